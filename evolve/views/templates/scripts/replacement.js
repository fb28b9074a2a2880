"use strict";
// Replacement: perplexity with heads replaced, and what each head costs.
const percent = (value) => `${value > 0 ? "+" : ""}${Math.abs(value) < 100 ? value.toFixed(1) : short(value)} %`;

function drawReplacement() {
  const found = data.replacement;
  if (byId("replaced")) {
    const fractions = found.fractions.map((row) => row.fraction), most = Math.max(...fractions);
    const rises = found.fractions.flatMap((row) => Object.values(row.conditions).map((one) => one.increase)).filter((rise) => rise > 0);
    chart("replaced", () => ({
      label: `increase of ${found.measure} with heads replaced, logarithmic`, height: 420,
      x: { name: "heads replaced", low: Math.max(0, Math.min(...fractions) - 0.2 * most), high: most * 1.08, at: fractions, tick: (v) => `${Math.round(100 * v)} %` },
      y: { name: `increase of ${found.measure}`, log: true, low: Math.max(0.1, Math.min(...rises) / 2), tick: (v) => `+${short(v)} %` },
      series: found.names.map((name, i) => ({ name: name.replaceAll("_", " "), own: name === "programs", points: found.fractions.filter((row) => row.conditions[name]).map((row) => {
        const { perplexity, increase, interval, kl, agreement } = row.conditions[name];
        // Side by side, so that intervals can be told apart.
        return { x: row.fraction + (i / found.names.length - 0.5) * 0.06 * most, y: increase, low: interval[0], high: interval[1],
          says: `${Math.round(100 * row.fraction)} % of the heads, ${found.measure} ${short(perplexity)}, ${percent(increase)} (95 %: ${percent(interval[0])} to ${percent(interval[1])}), ` +
            `KL ${kl.toFixed(3)} nats, same best guess ${(100 * agreement).toFixed(1)} %` };
      }) })),
    }));
  }
  if (byId("costs")) {
    const to = (label) => () => { location.hash = "#" + label; };
    const at = (label, y, low, high) => ({ x: found.heads[label].iou, y, low, high, choose: to(label),
      says: `${label}, IoU ${number(found.heads[label].iou)}, ${number(y, true, 4)} nats per token${known(low) ? ` (95 %: ${number(low, true, 4)} to ${number(high, true, 4)})` : ""}` });
    const heads = Object.keys(found.heads);
    chart("costs", () => ({
      label: "cost of replacing each head alone by its IoU", x: { name: "held-out IoU of the head's program" }, y: { name: "nats per token" },
      series: [{ name: "estimated", line: false, size: 3, points: heads.map((label) => at(label, found.heads[label].estimated)) },
        { name: "measured", line: false, points: heads.filter((label) => known(found.heads[label].measured)).map((label) => {
          const { measured, error } = found.heads[label];
          return at(label, measured, measured - 1.96 * error, measured + 1.96 * error);
        }) }],
    }));
  }
}

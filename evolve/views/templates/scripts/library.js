"use strict";
// The library: what each size of it covers, and what each further program of a mix is worth.
const COVERED = {
  heads_within_epsilon: { name: "share of heads within epsilon of their best", axis: "share of heads", low: 0, high: 1 },
  mean: { name: "mean IoU", low: 0 },
  excess: { name: "excess over the best single program", axis: "excess IoU", low: 0 },
  source_lines: { name: "lines of source", low: 0 },
};
function drawLibrary() {
  const { curve, mixes } = data.library;
  if (byId("coverage") && curve.k?.length) {
    for (const [id, { name }] of Object.entries(COVERED)) byId("coverage-of").append(make("option", name, { value: id }));
    chart("coverage", () => {
      const id = byId("coverage-of").value, across = byId("coverage-by").value, splits = id === "source_lines" ? ["source_lines"] : [`${id}_held_out`, `${id}_test`];
      return {
        label: `${COVERED[id].name} by ${across === "k" ? "number of programs" : "lines of source"}`,
        x: { name: across === "k" ? "programs in the library" : "lines of source", low: 0 }, y: { ...COVERED[id], name: COVERED[id].axis ?? COVERED[id].name },
        series: splits.map((column) => ({ name: column.endsWith("_test") ? "test" : column.endsWith("held_out") ? "held-out" : "lines",
          points: curve[column].map((y, i) => ({ x: curve[across][i], y, says: `${curve.k[i]} programs, ${curve.source_lines[i] ?? "unknown"} lines: ${short(y)}` })).filter((p) => known(p.x) && known(p.y)) })),
      };
    });
    for (const id of ["coverage-of", "coverage-by"]) byId(id).addEventListener("change", () => redraw("coverage"));
  }
  if (byId("mixing") && mixes.curve) {
    const abroad = Object.keys(mixes.curve[0].abroad ?? {});
    const at = (point, of, interval) => ({ x: point.size, y: of, low: interval?.[0], high: interval?.[1] });
    chart("mixing", () => ({
      label: "test IoU of mixes by the most programs that a head may have",
      x: { name: "programs per head, at most", low: 0.8, high: mixes.curve.length + 0.2, tick: (v) => (Number.isInteger(v) ? String(v) : "") }, y: { name: "IoU" },
      series: [{ name: "test", points: mixes.curve.map((p) => at(p, p.iou_test, p.iou_test_interval)) },
        ...abroad.map((domain) => ({ name: domain, points: mixes.curve.map((p) => at(p, p.abroad[domain].iou, p.abroad[domain].iou_interval)) }))],
    }));
  }
}

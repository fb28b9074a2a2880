"use strict";
// The search: its curves, what each operator gained, and the archive by pairs of descriptors.
const AXES = { programs: "programs evaluated", seconds: "seconds", usd: "dollars" };
const CURVES = { mean_iou: "mean of each head's best", best_iou: "best of any head", gain: "gain over reference", excess: "excess" };

function drawSearch() {
  const { curve, gained, archive } = data.search;
  if (byId("progress")) {
    if (curve.usd.some((value) => value > 0)) byId("search-by").append(make("option", "dollars", { value: "usd" }));
    const by = () => byId("search-by").value;
    const line = (name, values) => ({ name, points: values.map((y, i) => ({ x: curve[by()][i], y })).filter((point) => known(point.y)) });
    chart("progress", () => ({
      label: `held-out IoU by ${AXES[by()]}`, x: { name: AXES[by()], low: 0 }, y: { name: "held-out IoU", says: (v) => v.toFixed(3), ...(curve.gain.some((v) => v < 0) ? {} : { low: 0 }) },
      series: Object.entries(CURVES).map(([column, name]) => line(name, curve[column])),
    }));
    chart("gains", () => ({
      label: `IoU that operators gained by ${AXES[by()]}`, x: { name: AXES[by()], low: 0 }, y: { name: "IoU, summed over heads", says: (v) => v.toFixed(3), low: 0 },
      series: Object.entries(gained).map(([name, values]) => line(name, values)),
    }));
    byId("search-by").addEventListener("change", () => { redraw("progress"); redraw("gains"); });
  }
  if (!archive || !byId("archive")) return;
  byId("archive-head").append(make("option", "all heads", { value: "" }), ...data.search.labels.map((label, i) => make("option", label, { value: i })));
  for (const id of ["archive-head", "archive-of"]) byId(id).addEventListener("change", drawArchive);
  whenSeen(byId("archive"), drawArchive);
}
// (bins * bins) IoU of a pair of descriptors, null where no program is: of one head, or the mean over all.
function bestOf(pair, head, heads) {
  const bytes = atob(pair.best), cells = pair.programs.length;
  return pair.programs.map((count, cell) => {
    const of = (row) => (bytes.charCodeAt(row * cells + cell) - 1) / 254;
    if (!count) return null;
    if (head !== "") return of(Number(head));
    let sum = 0;
    for (let row = 0; row < heads; row++) sum += of(row);
    return sum / heads;
  });
}
function drawArchive() {
  const { archive, labels: heads } = data.search, { axes, bins } = archive;
  const head = byId("archive-head").value, counting = byId("archive-of").value === "programs";
  byId("archive").replaceChildren(...archive.pairs.map((pair) => {
    const best = bestOf(pair, head, heads.length), most = Math.max(...pair.programs);
    const table = make("table", null, { class: "map" }), edge = (bin) => short(bin / bins);
    table.append(make("caption", `${axes[pair.down]} (up) by ${axes[pair.across]} (across)`));
    const body = make("tbody");
    for (let down = bins - 1; down >= 0; down--) {
      const row = make("tr");
      row.append(make("th", edge(down), { scope: "row", title: `${axes[pair.down]} from ${edge(down)} to ${edge(down + 1)}` }));
      for (let across = 0; across < bins; across++) {
        const at = down * bins + across, count = pair.programs[at], value = best[at];
        const cell = make("td", value === null ? "" : counting ? short(count) : value.toFixed(2).replace(/^0/, ""));
        cell.title = count ? `${count} programs, best IoU ${value.toFixed(3)}` : "no program";
        if (count) {
          const rgb = between(SEQUENTIAL[theme()], counting ? Math.log1p(count) / Math.log1p(most) : value);
          cell.style.backgroundColor = css(rgb); cell.style.color = inkOn(rgb);
        }
        row.append(cell);
      }
      body.append(row);
    }
    const foot = make("tr");
    foot.append(make("td"), ...Array.from({ length: bins }, (_, bin) => make("th", edge(bin), { scope: "col", title: `${axes[pair.across]} from ${edge(bin)} to ${edge(bin + 1)}` })));
    body.append(foot);
    table.append(body);
    return table;
  }));
}

"use strict";
// Curves and points as SVG, drawn in the pixels that there are, so that their text can be read on any screen. A chart
// has a legend whose entries are switched off and on, and says the point under the pointer or the arrow keys.
const MARKS = ["circle", "square", "triangle", "diamond"];
const charts = new Map();

function svg(name, attributes = {}, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}
function short(value) {
  const size = Math.abs(value);
  if (size >= 1e6 || (size > 0 && size < 1e-3)) return value.toExponential(0).replace("e+", "e");
  return size >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
}
// Round places between two ends: decades where the axis is logarithmic.
function ticks(low, high, log) {
  if (log) {
    const found = [], few = Math.log10(high / low) < 2.5;
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
      for (const by of few ? [1, 2, 5] : [1]) if (by * 10 ** power >= low * 0.999 && by * 10 ** power <= high * 1.001) found.push(by * 10 ** power);
    const every = Math.ceil(found.length / 9);
    return found.filter((_, i) => i % every === 0);
  }
  const raw = (high - low) / 6 || 1, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((by) => by * power).find((size) => size >= raw * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-6; i++) found.push(i * step);
  return found;
}
function mark(kind, x, y, size, attributes) {
  const [l, r, t, b] = [x - size, x + size, y - size, y + size].map((v) => v.toFixed(1));
  if (kind === "circle") return svg("circle", { cx: x.toFixed(1), cy: y.toFixed(1), r: size, ...attributes });
  const points = { square: `${l},${t} ${r},${t} ${r},${b} ${l},${b}`, triangle: `${x.toFixed(1)},${t} ${r},${b} ${l},${b}`,
    diamond: `${x.toFixed(1)},${t} ${r},${y.toFixed(1)} ${x.toFixed(1)},${b} ${l},${y.toFixed(1)}` }[kind];
  return svg("polygon", { points, ...attributes });
}
// Where the values of an axis lie between two pixels.
function scale(axis, values, from, to) {
  const found = values.filter((value) => known(value) && (!axis.log || value > 0));
  let low = axis.low ?? Math.min(...found), high = axis.high ?? Math.max(...found);
  if (!found.length) [low, high] = axis.log ? [1, 10] : [0, 1];
  if (low === high) high = axis.log ? low * 10 : low + 1;
  const [map, back] = axis.log ? [Math.log, Math.exp] : [(v) => v, (v) => v];
  if (axis.high === undefined) high = back(map(high) + 0.04 * (map(high) - map(low)));
  if (axis.low === undefined) low = back(map(low) - 0.04 * (map(high) - map(low)));
  const place = (value) => from + ((to - from) * (map(axis.log ? Math.max(value, low) : value) - map(low))) / (map(high) - map(low));
  return { low, high, place, ticks: axis.at ?? ticks(low, high, axis.log) };
}

// Colour, dashes and mark of the i-th series; no two of sixteen are alike.
const lineOf = (i) => ((i + Math.floor(i / 8)) % 2 ? "dashed" : "solid");
const markOf = (i) => MARKS[i % MARKS.length];
// A chart in a <div>. `build` returns what is drawn: `label`, `x` and `y` (`name`, and where wanted `low`, `high`, `log`,
// `says`, `tick`, and `at`, the places of its ticks), and `series`: `name`, `points` ({x, y} and where known `low`, `high`, `says`), `line` (false for
// points alone), `own` (drawn strongest).
function chart(id, build) {
  const box = byId(id);
  if (!box) return;
  const picture = svg("svg", { class: "chart", tabindex: "0", role: "img", "aria-label": build().label });
  const says = make("p", "", { class: "readout small", role: "status" }), legend = make("div", null, { class: "legend" });
  box.replaceChildren(picture, legend, says);
  charts.set(id, { box, picture, legend, says, build, off: new Set(), at: null, places: [] });
  whenSeen(box, () => redraw(id));
  picture.addEventListener("pointermove", (event) => {
    const one = charts.get(id), frame = picture.getBoundingClientRect();
    const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
    let best = null;
    for (const place of one.places) {
      const distance = (place.x - x) ** 2 + (place.y - y) ** 2;
      if (!best || distance < best.distance) best = { distance, place };
    }
    if (best && best.distance < 2500) pointAt(one, best.place);
  });
  picture.addEventListener("click", () => { const one = charts.get(id); if (one.at?.point.choose) one.at.point.choose(); });
  picture.addEventListener("keydown", (event) => {
    const one = charts.get(id);
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key], over = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter" && one.at?.point.choose) one.at.point.choose();
    if (!by && !over) return;
    event.preventDefault();
    if (!one.at && one.places.length) { pointAt(one, one.places[0]); return; }
    const at = one.at, rows = [...new Set(one.places.map((place) => place.row))];
    if (!at) return;
    const row = over ? rows[(rows.indexOf(at.row) + over + rows.length) % rows.length] : at.row;
    const line = one.places.filter((place) => place.row === row);
    const near = line.reduce((a, b) => (Math.abs(b.x - at.x) < Math.abs(a.x - at.x) ? b : a));
    pointAt(one, over ? near : line[Math.min(line.length - 1, Math.max(0, line.indexOf(at) + by))] ?? near);
  });
}
function pointAt(one, place) {
  one.at = place;
  one.picture.querySelector(".at")?.remove();
  one.picture.append(mark("circle", place.x, place.y, 7, { class: "at" }));
  one.says.textContent = place.says;
}
function redraw(id) {
  const one = charts.get(id);
  if (!one || waiting.has(one.box)) return;
  const made = one.build(), { picture } = one;
  const width = Math.max(260, one.box.clientWidth), height = made.height ?? Math.round(Math.min(340, Math.max(230, width * 0.5)));
  const shown = made.series.map((series, i) => ({ ...series, i })).filter((series) => series.points.length);
  const seen = shown.filter((series) => !one.off.has(series.name));
  const points = seen.flatMap((series) => series.points);
  const [right, top, bottom] = [width - 12, 10, height - 42];
  const y = scale(made.y, points.flatMap((p) => [p.y, p.low, p.high]), bottom, top);
  const left = 30 + 6.3 * Math.max(2, ...y.ticks.map((tick) => (made.y.tick ?? short)(tick).length));
  const x = scale(made.x, points.map((p) => p.x), left, right);
  const saysX = made.x.says ?? short, saysY = made.y.says ?? short;
  picture.replaceChildren();
  picture.classList.remove("dim");
  picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
  picture.setAttribute("width", width); picture.setAttribute("height", height);
  picture.setAttribute("aria-label", `${made.label}; arrow keys read its points`);
  for (const tick of y.ticks) {
    const at = y.place(tick).toFixed(1);
    picture.append(svg("line", { x1: left, x2: right, y1: at, y2: at, class: "rule" }), svg("text", { x: left - 6, y: Number(at) + 4, class: "tick end" }, (made.y.tick ?? short)(tick)));
  }
  const step = Math.ceil(x.ticks.length / Math.max(2, (right - left) / 56));
  x.ticks.forEach((tick, i) => { if (i % step === 0) picture.append(svg("text", { x: x.place(tick).toFixed(1), y: bottom + 16, class: "tick middle" }, (made.x.tick ?? short)(tick))); });
  picture.append(svg("text", { x: (left + right) / 2, y: height - 6, class: "tick middle" }, made.x.name));
  const middle = (top + bottom) / 2;
  picture.append(svg("text", { x: 12, y: middle, class: "tick middle", transform: `rotate(-90 12 ${middle})` }, made.y.name));
  one.places = [];
  for (const series of seen) {
    const group = svg("g", { class: `series s${series.i % 8}${series.own ? " strong" : ""}`, "data-i": series.i });
    const places = series.points.filter((p) => known(p.x) && known(p.y)).map((point) => ({ row: series.i, point, x: x.place(point.x), y: y.place(point.y),
      says: `${series.name}: ${point.says ?? `${made.x.name} ${saysX(point.x)}, ${made.y.name} ${saysY(point.y)}${known(point.low) ? ` (95 %: ${saysY(point.low)} to ${saysY(point.high)})` : ""}`}` }));
    places.forEach(({ point, x: at }) => {
      if (known(point.low)) group.append(svg("line", { x1: at.toFixed(1), x2: at.toFixed(1), y1: y.place(point.low).toFixed(1), y2: y.place(point.high).toFixed(1), class: "whisker" }));
    });
    if (series.line !== false) group.append(svg("polyline", { points: places.map((p) => `${p.x.toFixed(1)},${p.y.toFixed(1)}`).join(" "), class: lineOf(series.i) }));
    if (series.line === false || series.marks || places.length < 12) places.forEach((p) => group.append(mark(markOf(series.i), p.x, p.y, series.size ?? 3.5, {})));
    picture.append(group);
    one.places.push(...places);
  }
  drawChartLegend(id, one, shown);
  if (one.at) one.says.textContent = "";
  one.at = null;
}
function drawChartLegend(id, one, shown) {
  if (shown.length < 2) { one.legend.replaceChildren(); return; }
  one.legend.replaceChildren(...shown.map((series) => {
    const entry = make("button", null, { type: "button", class: "entry", "aria-pressed": String(!one.off.has(series.name)) });
    const key = svg("svg", { viewBox: "0 0 26 12", width: 26, height: 12, class: `series s${series.i % 8}`, "aria-hidden": "true" });
    if (series.line !== false) key.append(svg("line", { x1: 0, x2: 26, y1: 6, y2: 6, class: lineOf(series.i) }));
    if (series.line === false || series.marks || series.points.length < 12) key.append(mark(markOf(series.i), 13, 6, 3.5, {}));
    entry.append(key, series.name);
    const light = (on) => { one.picture.classList.toggle("dim", on); one.picture.querySelector(`g[data-i="${series.i}"]`)?.classList.toggle("lit", on); };
    for (const [event, on] of [["pointerenter", true], ["focus", true], ["pointerleave", false], ["blur", false]]) entry.addEventListener(event, () => light(on && !one.off.has(series.name)));
    entry.addEventListener("click", () => {
      if (!one.off.delete(series.name)) one.off.add(series.name);
      redraw(id);
      [...one.legend.children].find((other) => other.textContent === series.name)?.focus();
    });
    return entry;
  }));
}

"use strict";
// The heads of a run: a grid to choose from, and one head beside it. Everything stored is shown as text, never as HTML.
const matrices = data.matrices;
const state = { head: labels[0], text: 0, at: null, pinned: null };

// Grid. What a colour stands for, its range, and how a head has it.
const MODES = {
  test: { name: "test IoU", of: (h) => h.test, low: 0, high: 1, colour: (v) => between(SEQUENTIAL[theme()], v) },
  gain: { name: "gain over reference", of: (h) => h.gain, low: -0.3, high: 0.3, colour: (v) => differenceColour(v / 0.3) },
  reference: { name: "IoU of the reference", of: (h) => h.reference_test, low: 0, high: 1, colour: (v) => between(SEQUENTIAL[theme()], v) },
  class: { name: "class of the program", of: (h) => programs.get(h.program)?.class },
  program: { name: "program", of: (h) => programs.get(h.program)?.name },
};
const COSTS = data.replacement?.heads ?? {};
if (Object.keys(COSTS).length) {
  // A few heads cost far more than the rest: the scale ends where 95 in 100 heads lie.
  const sizes = Object.values(COSTS).map((head) => Math.abs(head.estimated)).sort((a, b) => a - b);
  const most = Number((sizes[Math.floor(0.95 * (sizes.length - 1))] || 1).toPrecision(1));
  MODES.cost = { name: "cost of replacing it", unit: ", nats per token by estimate", of: (h, label) => COSTS[label]?.estimated, low: -most, high: most, digits: 3, colour: (v) => differenceColour(Math.max(-1, Math.min(1, -v / most))) };
}
function kinds(mode) {
  const counts = new Map();
  for (const label of labels) { const kind = MODES[mode].of(data.heads[label], label) ?? "none"; counts.set(kind, (counts.get(kind) ?? 0) + 1); }
  return [...counts].sort((a, b) => b[1] - a[1]);
}
function matches(label, words) {
  if (!words) return true;
  const program = programs.get(data.heads[label].program);
  return [label, program?.name, program?.class, byId("p-" + data.heads[label].program)?.querySelector("pre")?.textContent]
    .some((text) => String(text ?? "").toLowerCase().includes(words));
}
function drawGrid() {
  const mode = byId("colour").value, rule = MODES[mode], order = byId("order").value, words = byId("find").value.trim().toLowerCase();
  const named = rule.colour ? [] : kinds(mode);
  const places = new Map(named.map(([kind], i) => [kind, CLASSES[Math.min(i, CLASSES.length - 1)]]));
  const rows = new Map();
  const sorted = order === "layer" ? labels : [...labels].sort((a, b) => {
    const [x, y] = [rule.of(data.heads[a], a), rule.of(data.heads[b], b)];
    return typeof x === "number" && typeof y === "number" ? y - x : String(x).localeCompare(String(y));
  });
  let found = 0;
  for (const label of sorted) {
    const value = rule.of(data.heads[label], label);
    const rgb = rule.colour ? rule.colour(value ?? 0) : hexRgb(places.get(value ?? "none"));
    const shown = typeof value === "number" ? value.toFixed(rule.digits ?? 2) : "";
    const button = make("button", null, { type: "button", class: "head", "data-head": label, tabindex: label === state.head ? "0" : "-1", "aria-pressed": String(label === state.head) });
    button.append(make("span", label), make("br"), make("span", shown || "\u00a0"));
    button.title = `${label}: ${rule.name} ${typeof value === "number" ? number(value) : value ?? "none"}`;
    button.style.backgroundColor = css(rgb); button.style.color = inkOn(rgb);
    if (matches(label, words)) found++; else button.classList.add("out");
    const layer = order === "layer" ? label.replace(/H.*/, "") : "all";
    if (!rows.has(layer)) { const row = make("div", null, { class: "head-row" }); if (order === "layer") row.append(make("span", layer)); rows.set(layer, row); }
    rows.get(layer).append(button);
  }
  byId("grid").replaceChildren(...rows.values());
  byId("grid").classList.toggle("sorted", order !== "layer");
  byId("found").textContent = words ? `${found} of ${labels.length} heads` : "";
  drawLegend(rule, named, places);
}
function drawLegend(rule, named, places) {
  const legend = byId("legend");
  legend.replaceChildren();
  if (!rule.colour) {
    for (const [kind, count] of named.slice(0, CLASSES.length - 1)) {
      const entry = make("span"), swatch = make("span", null, { class: "swatch" });
      swatch.style.backgroundColor = places.get(kind);
      entry.append(swatch, `${kind} (${count})`); legend.append(entry);
    }
    if (named.length >= CLASSES.length) legend.append(make("span", `grey: ${named.length - CLASSES.length + 1} others`));
    return;
  }
  const bar = make("canvas", null, { width: 200, height: 14, "aria-hidden": "true" }), pen = bar.getContext("2d");
  for (let x = 0; x < 200; x++) { pen.fillStyle = css(rule.colour(rule.low + ((rule.high - rule.low) * x) / 199)); pen.fillRect(x, 0, 1, 14); }
  legend.append(rule.name + (rule.unit ?? ""), make("span", rule.low), bar, make("span", rule.high));
}

// One head.
function matrixOf(list, text) {
  const packed = Array.isArray(list) ? list[list.length === 1 ? 0 : text] : null;
  return typeof packed === "string" ? unpackMatrix(packed, matrices.texts[text].tokens.length, matrices.causal) : null;
}
function panelsOf(label, text) {
  const head = data.heads[label], weights = later("weights"), attention = matrixOf(weights.attention[label], text), prediction = matrixOf(weights.programs[head.program], text);
  const reference = matrixOf(weights.tables[label] ?? weights.programs[head.reference_id], text);
  const difference = attention && prediction ? prediction.map((value, i) => value - attention[i]) : null;
  return { attention, prediction, difference, reference };
}
const NAMES = { attention: "attention of the head", prediction: "prediction of the program", difference: "prediction minus attention", reference: "the head's reference" };
let shown = {};
function drawPanels() {
  if (!matrices || waiting.has(byId("pictures"))) return;
  drawScales();
  const tokens = matrices.texts[state.text].tokens;
  for (const [name, matrix] of Object.entries(shown)) {
    const canvas = byId("m-" + name), caption = byId("c-" + name);
    canvas.hidden = !matrix;
    const iou = matrix && shown.attention && (name === "prediction" || name === "reference") ? `, IoU here ${iouOf(matrix, shown.attention).toFixed(3)}` : "";
    caption.textContent = NAMES[name] + (matrix ? iou : ": none");
    canvas.setAttribute("aria-label", `${caption.textContent}: queries down, keys across; arrow keys move over it`);
    if (matrix) drawMatrix(canvas, matrix, tokens, name === "difference" ? differenceColour : weightColour, state.pinned ?? state.at);
  }
}
function drawScales() {
  drawScale(byId("scale-weight"), "weight", [0, 0.01, 0.05, 0.1, 0.25, 0.5, 1], weightColour);
  drawScale(byId("scale-difference"), "difference", [-1, -0.5, -0.1, 0, 0.1, 0.5, 1], differenceColour);
}
function readCell(at) {
  if (!at) return;
  const tokens = matrices.texts[state.text].tokens, i = at.query * tokens.length + at.key;
  const weight = (matrix) => (matrix ? matrix[i].toFixed(2) : "none");
  byId("readout").textContent = `query ${at.query} \u201c${shownToken(tokens[at.query])}\u201d looks at key ${at.key} \u201c${shownToken(tokens[at.key])}\u201d: ` +
    `attention ${weight(shown.attention)}, program ${weight(shown.prediction)}, reference ${weight(shown.reference)}`;
}
function drawRow() {
  const box = byId("rows");
  box.replaceChildren();
  if (!state.pinned) return;
  const tokens = matrices.texts[state.text].tokens, query = state.pinned.query;
  for (const name of ["attention", "prediction"]) {
    if (!shown[name]) continue;
    const line = make("div", null, { class: "row-text" });
    tokens.forEach((token, key) => {
      const weight = shown[name][query * tokens.length + key], span = make("span", String(token).replaceAll("\n", "\u21b5")), rgb = weightColour(weight);
      span.style.backgroundColor = css(rgb); span.style.color = inkOn(rgb);
      span.title = weight.toFixed(2);
      if (key === query) span.className = "query";
      line.append(span);
    });
    box.append(make("h3", `Row ${query} over the text: ${NAMES[name]}`), line);
  }
}
function marked(node, words) {
  // A line of the source that holds what is searched for is marked; text only, so that spans stay as they are.
  if (!words) return;
  for (const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT), found = []; ;) {
    const text = walker.nextNode();
    if (text) { if (text.data.toLowerCase().includes(words)) found.push(text); continue; }
    for (const part of found) {
      const at = part.data.toLowerCase().indexOf(words), hit = part.splitText(at), mark = make("mark");
      hit.splitText(words.length); hit.replaceWith(mark); mark.append(hit);
    }
    return;
  }
}
function drawPictures() {
  shown = panelsOf(state.head, state.text); state.at = null;
  byId("readout").textContent = "Point at a cell, or use the arrow keys in a picture. A click shows a query's row over the text.";
  drawPanels(); drawRow();
}
// IoU of the head's program on every kind of text, each with its interval on a line from 0 to 1.
function drawIous(head) {
  const rows = head.iou?.length ? data.iou_on.map((on, i) => ({ on, value: head.iou[i]?.[0], interval: known(head.iou[i]?.[1]) ? head.iou[i].slice(1) : null }))
    : [{ on: "held-out", value: head.held_out, interval: null }, { on: "test", value: head.test, interval: head.test_interval }];
  const all = [...rows, { on: `reference, test (${head.reference ?? "none"})`, value: head.reference_test, interval: null }];
  byId("ious").replaceChildren(...all.map(({ on, value, interval }) => {
    const row = make("tr"), strip = svg("svg", { viewBox: "0 0 120 12", width: 120, height: 12, class: "series s0", "aria-hidden": "true" });
    strip.append(svg("line", { x1: 1, x2: 119, y1: 6, y2: 6, class: "rule" }));
    if (interval) strip.append(svg("line", { x1: 1 + 118 * interval[0], x2: 1 + 118 * interval[1], y1: 6, y2: 6 }));
    if (known(value)) strip.append(svg("circle", { cx: 1 + 118 * value, cy: 6, r: 3.5 }));
    const cell = make("td"), span = interval ? `${number(interval[0])} to ${number(interval[1])}` : "";
    cell.append(strip);
    row.append(make("th", on, { scope: "row" }), make("td", number(value), { class: "n" }), make("td", span, { class: "n" }), cell);
    return row;
  }));
}
function drawHead() {
  const label = state.head, head = data.heads[label], program = programs.get(head.program);
  byId("head-name").textContent = label + (program ? `: ${program.name}` : ": no program");
  const facts = byId("facts");
  facts.replaceChildren();
  const fact = (name, value, title) => facts.append(make("dt", name, title ? { title } : {}), make("dd", value));
  drawIous(head);
  fact("gain over reference", withInterval(head.gain, head.gain_interval, true) + (head.beyond_noise ? "" : ", within noise"));
  const cost = COSTS[label];
  if (cost) fact("cost of replacing it alone", `${number(cost.estimated, true, 4)} nats per token by estimate` + (known(cost.measured) ? `, measured ${number(cost.measured, true, 4)} \u00b1 ${number(cost.error, false, 4)}` : ""), "what the loss rises by on test texts where its program takes this head's place");
  const mix = data.library.mixes.heads?.[label];
  if (mix?.length > 1) fact("its mix", mix.map((part) => `${number(part.weight, false, 2)} ${programs.get(part.program)?.name ?? part.program}`).join(", "), "programs that predict it together best, on held-out texts");
  if (program) fact("program", `${program.class ?? "class unknown"}; ${program.heads.length} head${program.heads.length === 1 ? "" : "s"}: ${program.heads.slice(0, 12).join(", ")}${program.heads.length > 12 ? ", \u2026" : ""}`);
  if (matrices && !waiting.has(byId("pictures"))) drawPictures();
  const source = byId("p-" + head.program)?.querySelector("pre")?.cloneNode(true) ?? make("pre", "no program");
  source.setAttribute("tabindex", "0"); source.setAttribute("role", "region"); source.setAttribute("aria-label", "source of the program");
  colourSource(source, head.program);
  marked(source, byId("find").value.trim().toLowerCase());
  byId("source").replaceChildren(source);
  drawOthers(label, head);
  for (const button of document.querySelectorAll(".head")) button.setAttribute("aria-pressed", String(button.dataset.head === label));
  // One head of the grid is a stop of the tab key; arrow keys move between them.
  for (const button of document.querySelectorAll(".head")) button.tabIndex = button.dataset.head === label ? 0 : -1;
}
function moveInGrid(event) {
  const from = event.target.closest(".head"), buttons = [...document.querySelectorAll(".head")];
  const sideways = { ArrowLeft: -1, ArrowRight: 1 }[event.key], down = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!from || (!sideways && !down)) return;
  event.preventDefault();
  const at = from.getBoundingClientRect();
  const to = sideways ? buttons[buttons.indexOf(from) + sideways] : buttons.map((button) => ({ button, box: button.getBoundingClientRect() }))
    .filter(({ box }) => (down > 0 ? box.top > at.top + 4 : box.top < at.top - 4))
    .sort((a, b) => Math.abs(a.box.top - at.top) - Math.abs(b.box.top - at.top) || Math.abs(a.box.left - at.left) - Math.abs(b.box.left - at.left))[0]?.button;
  if (!to) return;
  for (const button of buttons) button.tabIndex = button === to ? 0 : -1;
  to.focus();
}
function drawOthers(label, head) {
  const runners = byId("runners"), line = byId("lineage"), ancestry = later("ancestry");
  runners.replaceChildren(); line.replaceChildren();
  for (const other of ancestry.runners[label] ?? []) {
    const box = make("details");
    box.append(make("summary", `held-out IoU ${number(other.iou)}, program ${other.number}`), make("pre", ancestry.sources[other.number] ?? "", { tabindex: "0" }));
    runners.append(box);
  }
  for (const step of ancestry.lineage[head.program] ?? []) line.append(make("li", step));
}

function choose(label) { state.head = label; state.pinned = null; drawHead(); history.replaceState(null, "", "#" + label); }
function listen() {
  byId("grid").addEventListener("click", (event) => { const button = event.target.closest(".head"); if (button) choose(button.dataset.head); });
  byId("grid").addEventListener("keydown", moveInGrid);
  byId("large").addEventListener("change", () => { byId("panels").classList.toggle("large", byId("large").checked); drawPanels(); });
  for (const id of ["colour", "order"]) byId(id).addEventListener("change", drawGrid);
  byId("find").addEventListener("input", () => { drawGrid(); drawHead(); });
  if (!matrices) return;
  byId("text").addEventListener("change", (event) => { state.text = Number(event.target.value); state.pinned = null; drawHead(); });
  for (const name of Object.keys(NAMES)) {
    const canvas = byId("m-" + name), size = () => matrices.texts[state.text].tokens.length;
    canvas.addEventListener("pointermove", (event) => { const at = cellUnder(canvas, event, size()); if (at) { state.at = at; readCell(at); } });
    canvas.addEventListener("click", (event) => { const at = cellUnder(canvas, event, size()); if (at) { state.pinned = at; readCell(at); drawPanels(); drawRow(); } });
    canvas.addEventListener("keydown", (event) => {
      const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!move) return;
      event.preventDefault();
      const from = state.pinned ?? { query: 0, key: 0 }, within = (value) => Math.min(size() - 1, Math.max(0, value));
      state.pinned = { query: within(from.query + move[0]), key: within(from.key + move[1]) };
      readCell(state.pinned); drawPanels(); drawRow();
    });
  }
}
function drawHeads() {
  for (const [id, mode] of Object.entries(MODES)) byId("colour").append(make("option", mode.name, { value: id }));
  if (matrices) matrices.texts.forEach((text, i) => byId("text").append(make("option",
    `${text.domain}, ${text.split === "test" ? "test" : "held-out"}: ${text.tokens.slice(0, 6).join("").slice(0, 40)}${text.cut ? "\u2026" : ""}`, { value: i })));
  const asked = () => decodeURIComponent(location.hash.slice(1));
  if (labels.includes(asked())) state.head = asked();
  byId("pictures").hidden = !matrices;
  if (matrices) whenSeen(byId("pictures"), drawPictures);
  listen(); drawGrid(); drawHead();
  // Heads are linked to from elsewhere on the page.
  addEventListener("hashchange", () => { if (labels.includes(asked())) { choose(asked()); byId("explorer").scrollIntoView(); } });
}

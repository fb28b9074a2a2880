"use strict";
// Matrices of one text side by side, read with the pointer or the arrow keys; all that was given is shown as text.
const { tokens, panels } = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const n = tokens.length, state = { at: null, pinned: null };
const colourOf = (panel) => (panel.difference ? differenceColour : weightColour);

function draw() {
  panels.forEach((panel, i) => drawMatrix(byId("m-" + i), panel.weights, tokens, colourOf(panel), state.pinned));
}
function read(at) {
  const [query, key] = [at.query, at.key].map((i) => `${i} \u201c${shownToken(tokens[i])}\u201d`);
  const weights = panels.map((panel) => `${panel.name} ${panel.weights[at.query * n + at.key].toFixed(3)}`);
  byId("readout").textContent = `query ${query} looks at key ${key}: ${weights.join(", ")}`;
}
// The pinned query's row, laid over the text.
function drawRow() {
  byId("rows").replaceChildren(...panels.filter((panel) => !panel.difference).flatMap((panel) => {
    const title = document.createElement("h2"), line = document.createElement("div");
    title.textContent = `Row ${state.pinned.query} over the text: ${panel.name}`;
    line.className = "row-text";
    tokens.forEach((token, key) => {
      const weight = panel.weights[state.pinned.query * n + key], span = document.createElement("span"), rgb = weightColour(weight);
      span.textContent = String(token).replaceAll("\n", "\u21b5");
      span.style.backgroundColor = css(rgb); span.style.color = inkOn(rgb);
      span.title = weight.toFixed(3);
      if (key === state.pinned.query) span.className = "query";
      line.append(span);
    });
    return [title, line];
  }));
}
function pin(at) { state.pinned = at; read(at); draw(); drawRow(); }

panels.forEach((panel, i) => {
  const canvas = byId("m-" + i);
  byId("c-" + i).textContent = panel.title;
  canvas.addEventListener("pointermove", (event) => { const at = cellUnder(canvas, event, n); if (at) read(at); });
  canvas.addEventListener("click", (event) => { const at = cellUnder(canvas, event, n); if (at) pin(at); });
  canvas.addEventListener("keydown", (event) => {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!move) return;
    event.preventDefault();
    const from = state.pinned ?? { query: 0, key: 0 }, within = (value) => Math.min(n - 1, Math.max(0, value));
    pin({ query: within(from.query + move[0]), key: within(from.key + move[1]) });
  });
});
byId("readout").textContent = "Point at a cell, or use the arrow keys in a picture. A click shows a query's row over the text.";
if (matchMedia("(prefers-color-scheme: dark)").matches) document.documentElement.dataset.theme = "dark";
byId("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = theme() === "dark" ? "light" : "dark";
  draw(); if (state.pinned) drawRow();
});
draw();

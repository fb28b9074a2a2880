"use strict";
// What all sections of the report share: the run's numbers, elements, numbers as people read them, tables that sort.
const byId = (id) => document.getElementById(id);
const stored = (name) => JSON.parse(byId(name).textContent);
const data = stored("data");
// What is large is parsed when it is first looked at.
const opened = new Map();
function later(name) { if (!opened.has(name)) opened.set(name, stored(name)); return opened.get(name); }
const programs = new Map(data.programs.map((program) => [program.id, program]));
const labels = Object.keys(data.heads);

function make(name, text, attributes = {}) {
  const element = document.createElement(name);
  if (text !== undefined && text !== null) element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
const known = (value) => typeof value === "number";
const number = (value, signed, digits = 3) => (!known(value) ? "unknown" : (signed && value > 0 ? "+" : "") + value.toFixed(digits));
function withInterval(value, interval, signed) {
  return number(value, signed) + (Array.isArray(interval) ? ` (95 %: ${number(interval[0], signed)} to ${number(interval[1], signed)})` : "");
}

// What is drawn only once it comes near the window, or is printed; and again where the width or the theme changes.
const waiting = new Map();
const drawn = new Map();
const nearby = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) drawNow(entry.target);
}, { rootMargin: "800px" });
function drawNow(element) {
  const draw = waiting.get(element);
  if (!draw) return;
  waiting.delete(element); nearby.unobserve(element); drawn.set(element, draw);
  draw();
}
function whenSeen(element, draw) { if (element) { waiting.set(element, draw); nearby.observe(element); } }
addEventListener("beforeprint", () => [...waiting.keys()].forEach(drawNow));
let resizing = null;
addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(() => drawn.forEach((draw) => draw()), 150); });

// The parts of a source in colours: each three numbers say what it is, how far on it begins, and how long it is.
const PARTS = ["k-comment", "k-string", "k-number", "k-word"];
function colourSource(pre, id) {
  const marks = later("marks")[id];
  if (!marks || pre.childElementCount) return;
  const letters = Array.from(pre.textContent), pieces = [];
  let at = 0;
  for (let i = 0; i < marks.length; i += 3) {
    const begin = at + marks[i + 1], end = begin + marks[i + 2];
    pieces.push(letters.slice(at, begin).join(""), make("span", letters.slice(begin, end).join(""), { class: PARTS[marks[i]] }));
    at = end;
  }
  pre.replaceChildren(...pieces, letters.slice(at).join(""));
}

// A table whose columns sort by a click on their name; what a cell is sorted by stands in its data-by, else in its text.
function sortable(table) {
  const names = [...table.tHead.rows[0].cells];
  names.forEach((name, column) => {
    const button = make("button", name.textContent, { type: "button", class: "sort" });
    name.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = name.getAttribute("aria-sort") === "descending";
      for (const other of names) other.removeAttribute("aria-sort");
      name.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => row.cells[column].dataset.by ?? row.cells[column].textContent;
      const order = (a, b) => {
        const [x, y] = [value(a), value(b)], [m, n] = [parseFloat(x), parseFloat(y)];
        return Number.isNaN(m) || Number.isNaN(n) ? String(y).localeCompare(String(x)) : n - m;
      };
      const rows = [...table.tBodies[0].rows].sort(order);
      table.tBodies[0].replaceChildren(...(up ? rows.reverse() : rows));
    });
  });
}

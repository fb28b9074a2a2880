"use strict";
// The heads of a library as a grid, and its programs beneath; all that is stored is shown as text.
const { heads, measure } = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const colour = (value) => between(SEQUENTIAL[theme()], value ?? 0);

function drawGrid() {
  const rows = new Map();
  for (const { label, value, program } of heads) {
    const layer = label.replace(/H.*/, ""), button = document.createElement("button"), rgb = colour(value);
    button.type = "button"; button.className = "head"; button.textContent = label; button.dataset.program = program ?? "";
    button.title = `${label}: ${measure} ${typeof value === "number" ? value.toFixed(3) : "unknown"}${program === null ? ", no program" : ""}`;
    button.append(document.createElement("br"), typeof value === "number" ? value.toFixed(2) : "\u00a0");
    button.style.backgroundColor = css(rgb); button.style.color = inkOn(rgb);
    if (!rows.has(layer)) {
      const row = document.createElement("div"), name = document.createElement("span");
      row.className = "head-row"; name.textContent = layer; row.append(name); rows.set(layer, row);
    }
    rows.get(layer).append(button);
  }
  byId("grid").replaceChildren(...rows.values());
  const bar = document.createElement("canvas"), pen = bar.getContext("2d");
  bar.width = 200; bar.height = 14; bar.setAttribute("aria-hidden", "true");
  for (let x = 0; x < 200; x++) { pen.fillStyle = css(colour(x / 199)); pen.fillRect(x, 0, 1, 14); }
  byId("legend").replaceChildren(`${measure} 0`, bar, "1");
}
function choose(button) {
  for (const other of document.querySelectorAll(".head")) other.setAttribute("aria-pressed", String(other === button));
  const chosen = byId("p-" + button.dataset.program);
  if (!chosen) return;
  for (const program of document.querySelectorAll("details")) program.open = program === chosen;
  chosen.scrollIntoView({ block: "nearest" });
}
function find() {
  const words = byId("find").value.trim().toLowerCase(), programs = [...document.querySelectorAll("details")];
  for (const program of programs) program.hidden = !program.textContent.toLowerCase().includes(words);
  for (const button of document.querySelectorAll(".head")) button.classList.toggle("out", byId("p-" + button.dataset.program)?.hidden ?? Boolean(words));
  byId("found").textContent = words ? `${programs.filter((program) => !program.hidden).length} of ${programs.length} programs` : "";
}
byId("grid").addEventListener("click", (event) => { const button = event.target.closest(".head"); if (button) choose(button); });
byId("find").addEventListener("input", find);
if (matchMedia("(prefers-color-scheme: dark)").matches) document.documentElement.dataset.theme = "dark";
byId("theme").addEventListener("click", () => { document.documentElement.dataset.theme = theme() === "dark" ? "light" : "dark"; drawGrid(); find(); });
drawGrid();

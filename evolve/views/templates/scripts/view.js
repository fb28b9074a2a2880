"use strict";
// The runs of a folder, asked for every two seconds; all that is stored is shown as text.
const COLOURS = ["#3a86d0", "#d55e00", "#009e73", "#b0609a", "#a67c00", "#5a9bb8", "#7a7a7a"];
// With as many dashes as colours are used up: 28 runs look different, and the one pointed at stands out among more.
const DASHES = [[], [12, 6], [3, 5], [14, 5, 3, 5]];
const byId = (id) => document.getElementById(id);
const number = (value, digits = 3) => (typeof value === "number" ? value.toFixed(digits) : "");
let runs = [], pointed = null;
function useStyle(pen, i, width) {
  pen.strokeStyle = COLOURS[i % COLOURS.length]; pen.lineWidth = width;
  pen.setLineDash(DASHES[Math.floor(i / COLOURS.length) % DASHES.length]);
}
function swatchOf(i) {
  const swatch = document.createElement("canvas"), pen = swatch.getContext("2d");
  swatch.width = 44; swatch.height = 12; swatch.className = "line"; swatch.setAttribute("aria-hidden", "true");
  useStyle(pen, i, 4); pen.beginPath(); pen.moveTo(0, 6); pen.lineTo(44, 6); pen.stroke();
  return swatch;
}

function cell(text, numeric) {
  const element = document.createElement("td");
  element.textContent = text;
  if (numeric) element.className = "n";
  return element;
}
function drawTable() {
  const rows = runs.map((run, i) => {
    const row = document.createElement("tr"), name = document.createElement("td"), link = document.createElement("a");
    row.dataset.index = i;
    link.textContent = run.name; link.href = "/run/" + encodeURIComponent(run.name);
    name.append(swatchOf(i), link); row.append(name);
    if (run.error) { const error = cell(run.error); error.colSpan = 10; row.append(error); return row; }
    const state = cell(run.state);
    if (run.state === "crashed") state.className = "red";
    row.append(cell(run.model), state, cell(run.programs, true), cell(run.failed, true), cell(run.seconds, true),
      cell(number(run.mean_iou_held_out), true), cell(number(run.reference_iou_held_out), true), cell(number(run.mean_iou_test), true),
      cell(number(run.gain_over_reference), true), cell(run.library_size ?? "", true));
    return row;
  });
  byId("runs").replaceChildren(...rows);
}
function drawCurves() {
  const canvas = byId("curves"), pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
  const [left, bottom, top, right] = [90, 70, 20, 20], wide = canvas.width - left - right, high = canvas.height - top - bottom;
  const points = runs.flatMap((run) => run.curve ?? []);
  const mostX = Math.max(1, ...points.map((p) => p[0])), mostY = Math.max(0.1, ...points.map((p) => p[1] ?? 0)) * 1.05;
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.font = "22px system-ui, sans-serif"; pen.fillStyle = style.getPropertyValue("--quiet"); pen.strokeStyle = style.getPropertyValue("--line");
  for (let i = 0; i <= 4; i++) {
    const y = top + high * (1 - i / 4);
    pen.lineWidth = 1; pen.beginPath(); pen.moveTo(left, y); pen.lineTo(left + wide, y); pen.stroke();
    pen.textAlign = "right"; pen.fillText(((mostY * i) / 4).toFixed(2), left - 10, y + 7);
    pen.textAlign = "center"; pen.fillText(String(Math.round((mostX * i) / 4)), left + (wide * i) / 4 - (i === 4 ? 20 : 0), top + high + 28);
  }
  pen.fillText("programs evaluated", left + wide / 2, canvas.height - 10);
  runs.forEach((run, i) => {
    useStyle(pen, i, pointed === i ? 7 : 3); pen.globalAlpha = pointed === null || pointed === i ? 1 : 0.25; pen.beginPath();
    for (const [x, y] of run.curve ?? []) pen.lineTo(left + (wide * x) / mostX, top + high * (1 - (y ?? 0) / mostY));
    pen.stroke();
  });
  pen.setLineDash([]); pen.globalAlpha = 1;
}
// The curve of the row that is pointed at, or that has the focus.
function point(event) {
  const row = event.target.closest?.("tr");
  pointed = row && (event.type === "pointerover" || event.type === "focusin") ? Number(row.dataset.index) : null;
  drawCurves();
}
for (const name of ["pointerover", "pointerout", "focusin", "focusout"]) byId("runs").addEventListener(name, point);
async function refresh() {
  try {
    runs = await (await fetch("/runs.json")).json();
    byId("state").textContent = runs.length ? "" : "There is no run in this folder yet.";
    // Whoever stands on a link keeps it.
    if (!byId("runs").contains(document.activeElement)) drawTable();
    drawCurves();
  } catch { byId("state").textContent = "The server does not answer; is headscribe view still running?"; }
  setTimeout(refresh, 2000);
}
if (matchMedia("(prefers-color-scheme: dark)").matches) document.documentElement.dataset.theme = "dark";
byId("theme").addEventListener("click", () => { document.documentElement.dataset.theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark"; drawCurves(); });
refresh();

"use strict";
// The runs of a folder, asked for every two seconds; all that is stored is shown as text.
const COLOURS = ["#3a86d0", "#d55e00", "#009e73", "#b0609a", "#a67c00", "#5a9bb8", "#7a7a7a"];
const byId = (id) => document.getElementById(id);
const number = (value, digits = 3) => (typeof value === "number" ? value.toFixed(digits) : "");
let runs = [];

function cell(text, numeric) {
  const element = document.createElement("td");
  element.textContent = text;
  if (numeric) element.className = "n";
  return element;
}
function drawTable() {
  const rows = runs.map((run, i) => {
    const row = document.createElement("tr"), name = document.createElement("td"), link = document.createElement("a"), swatch = document.createElement("span");
    swatch.className = "swatch"; swatch.style.backgroundColor = COLOURS[i % COLOURS.length];
    link.textContent = run.name; link.href = "/run/" + encodeURIComponent(run.name);
    name.append(swatch, link); row.append(name);
    if (run.error) { const error = cell(run.error); error.colSpan = 10; row.append(error); return row; }
    row.append(cell(run.model), cell(run.finished ? "finished" : "not finished"), cell(run.programs, true), cell(run.failed, true), cell(run.seconds, true),
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
    pen.strokeStyle = COLOURS[i % COLOURS.length]; pen.lineWidth = 3; pen.beginPath();
    for (const [x, y] of run.curve ?? []) pen.lineTo(left + (wide * x) / mostX, top + high * (1 - (y ?? 0) / mostY));
    pen.stroke();
  });
}
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

"use strict";
// Theme and sections, in the order of the page.
function listenToTheme() {
  const root = document.documentElement.dataset;
  if (matchMedia("(prefers-color-scheme: dark)").matches) root.theme = "dark";
  byId("theme").hidden = false;
  byId("theme").addEventListener("click", () => {
    root.theme = theme() === "dark" ? "light" : "dark";
    if (labels.length) { drawGrid(); drawPanels(); drawRow(); }
    drawn.forEach((draw) => draw());
  });
}
listenToTheme();
if (labels.length) { drawHeads(); drawLibrary(); }
drawSearch();
drawReplacement();
const boxes = document.querySelectorAll("details.program");
for (const box of boxes) box.addEventListener("toggle", () => { if (box.open) colourSource(box.querySelector("pre"), box.id.slice(2)); });
// A link to a program opens its source, and paper shows all.
function openAsked() { const box = byId(decodeURIComponent(location.hash.slice(1))); if (box?.matches("details.program")) { box.open = true; box.scrollIntoView(); } }
addEventListener("hashchange", openAsked);
addEventListener("beforeprint", () => boxes.forEach((box) => { box.open = true; }));
addEventListener("load", () => requestAnimationFrame(() => { document.documentElement.dataset.opened = ""; openAsked(); }));
document.querySelectorAll("table.sortable").forEach(sortable);

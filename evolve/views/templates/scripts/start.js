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
for (const box of document.querySelectorAll(".program")) whenSeen(box, () => colourSource(box.querySelector("pre"), box.id.slice(2)));
document.querySelectorAll("table.sortable").forEach(sortable);

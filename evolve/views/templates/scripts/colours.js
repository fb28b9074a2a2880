"use strict";
// Colours that people who are colour-blind can tell apart: viridis for sizes, blue to orange for differences.
const VIRIDIS = [[253, 231, 37], [122, 209, 81], [34, 168, 132], [42, 120, 142], [65, 68, 135], [68, 1, 84]];
const SEQUENTIAL = { light: [[255, 255, 255], [226, 240, 150], ...VIRIDIS.slice(1)], dark: [[20, 23, 27], ...VIRIDIS.slice().reverse()] };
const DIVERGING = { light: [[230, 97, 1], [255, 255, 255], [26, 82, 160]], dark: [[253, 164, 80], [20, 23, 27], [110, 170, 245]] };
const CLASSES = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999"];

function theme() { return document.documentElement.dataset.theme === "dark" ? "dark" : "light"; }

function between(anchors, share) {
  const place = Math.min(1, Math.max(0, share)) * (anchors.length - 1);
  const low = Math.min(anchors.length - 2, Math.floor(place));
  return anchors[low].map((from, i) => Math.round(from + (anchors[low + 1][i] - from) * (place - low)));
}

// Weights in [0, 1]; square-rooted, so that small ones can be seen.
function weightColour(weight) { return between(SEQUENTIAL[theme()], Math.sqrt(weight)); }
// Differences in [-1, 1].
function differenceColour(value) { return between(DIVERGING[theme()], (1 + Math.sign(value) * Math.sqrt(Math.abs(value))) / 2); }
function css(rgb) { return `rgb(${rgb.join(",")})`; }
function inkOn(rgb) {
  const linear = rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.18 ? "#000" : "#fff";
}
function hexRgb(hex) { return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)); }

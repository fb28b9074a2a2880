"use strict";
// Matrices: unpacked from a byte a weight, drawn with the tokens on both axes.
function unpackMatrix(packed, n, causal) {
  let bytes;
  try { bytes = atob(packed); } catch { return null; }
  const kept = causal ? (n * (n + 1)) / 2 : n * n;
  if (bytes.length < kept) return null;
  const matrix = new Float32Array(n * n);
  let at = 0;
  for (let query = 0; query < n; query++) {
    for (let key = 0; key < (causal ? query + 1 : n); key++) matrix[query * n + key] = bytes.charCodeAt(at++) / 255;
  }
  return matrix;
}

// Sum of elementwise min over sum of elementwise max.
function iouOf(a, b) {
  let shared = 0, all = 0;
  for (let i = 0; i < a.length; i++) { shared += Math.min(a[i], b[i]); all += Math.max(a[i], b[i]); }
  return all > 0 ? shared / all : 0;
}

function shownToken(token) { return String(token).replaceAll("\n", "\u21b5").replaceAll(" ", "\u00b7"); }

const MARGIN = 74, CELL = 11;

function drawMatrix(canvas, matrix, tokens, colour, at) {
  const n = tokens.length, side = MARGIN + n * CELL, style = getComputedStyle(document.documentElement);
  canvas.width = 2 * side; canvas.height = 2 * side;
  const pen = canvas.getContext("2d");
  pen.scale(2, 2);
  for (let query = 0; query < n; query++) {
    for (let key = 0; key < n; key++) {
      pen.fillStyle = css(colour(matrix[query * n + key]));
      pen.fillRect(MARGIN + key * CELL, MARGIN + query * CELL, CELL, CELL);
    }
  }
  pen.strokeStyle = style.getPropertyValue("--line");
  pen.strokeRect(MARGIN, MARGIN, n * CELL, n * CELL);
  pen.fillStyle = style.getPropertyValue("--ink");
  pen.font = "10px ui-monospace, monospace";
  pen.textBaseline = "middle";
  tokens.forEach((token, i) => {
    const name = shownToken(token).slice(0, 11), middle = MARGIN + (i + 0.5) * CELL;
    pen.textAlign = "right";
    pen.fillText(name, MARGIN - 4, middle);
    pen.save(); pen.translate(middle, MARGIN - 4); pen.rotate(-Math.PI / 2);
    pen.textAlign = "left"; pen.fillText(name, 0, 0); pen.restore();
  });
  if (at) {
    pen.strokeStyle = style.getPropertyValue("--accent"); pen.lineWidth = 1.5;
    pen.strokeRect(MARGIN, MARGIN + at.query * CELL, n * CELL, CELL);
    pen.strokeRect(MARGIN + at.key * CELL, MARGIN + at.query * CELL, CELL, CELL);
  }
}

// Which query and key lie under a pointer; null in the margins.
function cellUnder(canvas, event, n) {
  const box = canvas.getBoundingClientRect(), side = MARGIN + n * CELL;
  const key = Math.floor((((event.clientX - box.left) / box.width) * side - MARGIN) / CELL);
  const query = Math.floor((((event.clientY - box.top) / box.height) * side - MARGIN) / CELL);
  return key >= 0 && query >= 0 && key < n && query < n ? { query, key } : null;
}

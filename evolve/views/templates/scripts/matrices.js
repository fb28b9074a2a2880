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

// Proportions of a picture: its margin for tokens, and a cell.
const MARGIN = 74, CELL = 11;
const SMALLEST = 9.5, LETTER = 0.61;

// Drawn in the pixels that there are; where rows are too narrow for letters that can be read, some tokens are left out.
function drawMatrix(canvas, matrix, tokens, colour, at) {
  const n = tokens.length, style = getComputedStyle(document.documentElement);
  const side = Math.max(200, canvas.clientWidth || 602), unit = side / (MARGIN + n * CELL), sharp = Math.max(1, window.devicePixelRatio || 1);
  const margin = MARGIN * unit, cell = CELL * unit;
  canvas.width = Math.round(side * sharp); canvas.height = canvas.width;
  const pen = canvas.getContext("2d");
  pen.scale(canvas.width / side, canvas.width / side);
  for (let query = 0; query < n; query++) {
    for (let key = 0; key < n; key++) {
      const weight = matrix[query * n + key];
      if (weight === 0) continue;
      pen.fillStyle = css(colour(weight));
      pen.fillRect(margin + key * cell, margin + query * cell, cell + 0.3, cell + 0.3);
    }
  }
  pen.strokeStyle = style.getPropertyValue("--line");
  pen.strokeRect(margin, margin, n * cell, n * cell);
  const size = Math.max(SMALLEST, Math.min(13, cell * 0.95)), every = Math.ceil((size * 1.02) / cell), most = Math.max(3, Math.floor((margin - 6) / (size * LETTER)));
  pen.fillStyle = style.getPropertyValue("--ink");
  pen.textBaseline = "middle";
  // What the pointer is on is named, whatever is left out around it.
  const named = (i, own) => i === own || (i % every === 0 && !(own !== undefined && Math.abs(i - own) < every));
  tokens.forEach((token, i) => {
    const full = shownToken(token), name = full.length > most ? full.slice(0, most - 1) + "\u2026" : full, middle = margin + (i + 0.5) * cell;
    const label = (own) => { pen.font = `${own === i ? "bold " : ""}${size}px ui-monospace, monospace`; return named(i, own); };
    pen.textAlign = "right";
    if (label(at?.query)) pen.fillText(name, margin - 4, middle);
    pen.save(); pen.translate(middle, margin - 4); pen.rotate(-Math.PI / 2);
    pen.textAlign = "left"; if (label(at?.key)) pen.fillText(name, 0, 0); pen.restore();
  });
  if (at) {
    pen.strokeStyle = style.getPropertyValue("--accent"); pen.lineWidth = 1.5;
    pen.strokeRect(margin, margin + at.query * cell, n * cell, cell);
    pen.strokeRect(margin + at.key * cell, margin + at.query * cell, cell, cell);
  }
}

// What colours stand for, with numbers: a strip from the lowest to the highest of the marks, which are numbers.
function drawScale(box, name, marks, colour) {
  const strip = document.createElement("canvas"), words = document.createElement("div"), title = document.createElement("span");
  const place = (value) => (1 + Math.sign(value) * Math.sqrt(Math.abs(value))) / 2;
  const [low, high] = [place(marks[0]), place(marks[marks.length - 1])];
  strip.width = 300; strip.height = 1; strip.setAttribute("aria-hidden", "true");
  const pen = strip.getContext("2d");
  for (let x = 0; x < 300; x++) {
    const at = 2 * (low + ((high - low) * x) / 299) - 1;
    pen.fillStyle = css(colour(Math.sign(at) * at * at)); pen.fillRect(x, 0, 1, 1);
  }
  title.textContent = name; words.className = "marks";
  for (const mark of marks) {
    const word = document.createElement("span");
    word.textContent = String(mark); word.style.left = `${(100 * (place(mark) - low)) / (high - low)}%`;
    words.append(word);
  }
  box.replaceChildren(title, strip, words);
}

// Which query and key lie under a pointer; null in the margins.
function cellUnder(canvas, event, n) {
  const box = canvas.getBoundingClientRect(), side = MARGIN + n * CELL;
  const key = Math.floor((((event.clientX - box.left) / box.width) * side - MARGIN) / CELL);
  const query = Math.floor((((event.clientY - box.top) / box.height) * side - MARGIN) / CELL);
  return key >= 0 && query >= 0 && key < n && query < n ? { query, key } : null;
}

// What the drawings of this view share: ink, a line through points, a dot, written text, keys, names for those who hear.
import { color } from "../front.js";

/** Colours by their names. @param {Element} el @param {...string} names @returns {Record<string, string>} */
export function inks(el, ...names) { return Object.fromEntries(names.map((name) => [name, color(el, name)])); }

export function trace(/** @type {CanvasRenderingContext2D} */ ctx, /** @type {number[][]} */ points) {
  ctx.beginPath();
  points.forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
  ctx.stroke();
}

/** A dot with a rim that lifts it off its line. @param {CanvasRenderingContext2D} ctx @param {number} x @param {number} y @param {number} r @param {string} rim */
export function dot(ctx, x, y, r, rim) {
  ctx.save();
  ctx.beginPath(); ctx.arc(x, y, r, 0, 2 * Math.PI); ctx.fill();
  ctx.lineWidth = 1.5; ctx.strokeStyle = rim; ctx.stroke();
  ctx.restore();
}

/** Write a text from, to or around a place. @param {CanvasRenderingContext2D} ctx @param {string} text @param {number} x
 * @param {number} y @param {CanvasTextAlign} align @param {CanvasTextBaseline} [baseline] */
export function write(ctx, text, x, y, align, baseline = "middle") {
  ctx.textAlign = align; ctx.textBaseline = baseline;
  ctx.fillText(text, x, y);
}

/** Name an element for those who hear it, only where the name differs. @param {Element} node @param {string} label */
export function nameFor(node, label) {
  if (node.getAttribute("aria-label") !== label) node.setAttribute("aria-label", label);
}

/** Where an arrow key leads from item `i`, or -1 where the key means nothing. @param {number} i @param {string} key @param {number} columns @param {number} items */
export function step(i, key, columns, items) {
  /** @type {Record<string, number>} */
  const to = { ArrowLeft: i - 1, ArrowRight: i + 1, ArrowUp: i - columns, ArrowDown: i + columns, Home: 0, End: items - 1 };
  if (!(key in to)) return -1;
  return to[key] < 0 || to[key] >= items ? i : to[key];
}

/** Keep an event for ourselves: neither the browser nor the notebook acts on it. @param {Event} event */
export function keep(event) { event.preventDefault(); event.stopPropagation(); }

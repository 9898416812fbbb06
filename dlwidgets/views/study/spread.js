// The spread of a layer's values over time: columns are looks, rows are values, negatives below the line.
import { color, listen, make, numbers, say, sig, surface, whole } from "../front.js";
import { bitmap, writeFaint } from "../activations/canvas.js";
import { rgb } from "../activations/tiles.js";
import { percent } from "../activations/words.js";

/** The height of the plot, and the room for its labels [px]. */
const PLOT = 116, LABELS = 46;

/** Where the plot lies. @param {number} room */
export function plotBox(room) { return { left: LABELS, width: Math.max(40, room - LABELS), height: PLOT }; }

/** The lowest and the highest bin that any look fills, with zero between them. @param {Uint8Array} shades @param {number} bins @returns {[number, number]} */
export function usedBins(shades, bins) {
  let low = bins / 2 - 1, high = bins / 2;
  shades.forEach((shade, i) => { if (shade) { low = Math.min(low, i % bins); high = Math.max(high, i % bins); } });
  return [low, high];
}

/** The column and the bin under a point; null outside. @param {number} x @param {number} y @param {number} room @param {any} spread @param {number[]} used */
export function binAt(x, y, room, spread, [low, high]) {
  const box = plotBox(room), columns = spread.steps.length;
  if (!columns || x < box.left || x >= box.left + box.width || y < 0 || y >= box.height) return null;
  const column = Math.floor(((x - box.left) / box.width) * columns), bin = high - Math.floor((y / box.height) * (high - low + 1));
  return { column: Math.min(columns - 1, column), bin: Math.min(high, Math.max(low, bin)) };
}

/** The share that a shade stands for. @param {number} shade */
export function shareOf(shade) { return shade === 0 ? 0 : 10 ** (4 * ((shade - 1) / 254 - 1)); }

/** A column in words. @param {any} spread @param {number} column @param {number | null} bin @param {Uint8Array} shades */
export function columnWords(spread, column, bin, shades) {
  const [first, last] = spread.steps[column], width = (2 * spread.reach) / spread.bins;
  const at = first === last ? `step ${whole(first)}` : `steps ${whole(first)}–${whole(last)}`;
  const words = `${at}: mean ${sig(spread.mean[column], 2)}, sd ${sig(spread.std[column], 2)}, zero ${percent(spread.zeros[column])}`;
  if (bin === null) return words;
  const low = -spread.reach + bin * width;
  return `${words} · ${sig(low, 2)} to ${sig(low + width, 2)}: ${percent(shareOf(shades[column * spread.bins + bin]))}`;
}

/**
 * Paint the plot; the deeper, the more values, by the logarithm of their share.
 * @param {HTMLElement} el @param {HTMLCanvasElement} canvas @param {any} spread @param {Uint8Array} shades @param {number} room
 * @param {number | null} step the step of the frame shown beside, marked
 */
export function paintSpread(el, canvas, spread, shades, room, step) {
  const box = plotBox(room), columns = spread.steps.length, { bins, reach } = spread;
  const ctx = surface(canvas, room, PLOT + 16), [pale, mid, deep] = ["map-0", "map-p1", "map-p2"].map((name) => rgb(color(el, name)));
  const [low, high] = usedBins(shades, bins), rows = high - low + 1, width = (2 * reach) / bins;
  const bottom = -reach + low * width, top = -reach + (high + 1) * width;
  const rgba = new Uint8ClampedArray(4 * columns * rows);
  for (let c = 0; c < columns; c += 1) {
    for (let b = low; b <= high; b += 1) {
      const shade = shades[c * bins + b] / 255, to = 4 * ((high - b) * columns + c);
      const [one, other, at] = shade < 0.5 ? [pale, mid, 2 * shade] : [mid, deep, 2 * shade - 1];
      for (let i = 0; i < 3; i += 1) rgba[to + i] = one[i] + at * (other[i] - one[i]);
      rgba[to + 3] = 255;
    }
  }
  ctx.imageSmoothingEnabled = false;
  ctx.drawImage(bitmap({ pixels: rgba, width: columns, height: rows }), box.left, 0, box.width, box.height);
  const y = (/** @type {number} */ value) => ((top - value) / (top - bottom)) * box.height, each = box.width / columns;
  ctx.fillStyle = color(el, "line-2");
  ctx.fillRect(box.left, y(0) - 0.5, box.width, 1);
  ctx.strokeStyle = color(el, "orange"); ctx.lineWidth = 1.5;
  ctx.beginPath();
  spread.mean.forEach((/** @type {number | null} */ mean, /** @type {number} */ c) => {
    if (mean === null) return;
    const at = Math.min(box.height, Math.max(0, y(mean)));
    ctx.lineTo(box.left + c * each, at); ctx.lineTo(box.left + (c + 1) * each, at);
  });
  ctx.stroke();
  if (step !== null) {
    const c = spread.steps.findIndex((/** @type {number[]} */ span) => span[1] >= step);
    if (c >= 0) { ctx.strokeStyle = color(el, "ink"); ctx.lineWidth = 1; ctx.strokeRect(box.left + c * each + 0.5, 0.5, Math.max(2, each - 1), box.height - 1); }
  }
  writeFaint(el, ctx, "right");
  ctx.fillText(sig(top, 2), LABELS - 6, 7); ctx.fillText("0", LABELS - 6, Math.min(PLOT - 7, y(0)));
  // Where an end lies close to zero, zero says enough.
  if (PLOT - y(0) > 20) ctx.fillText(sig(bottom, 2), LABELS - 6, PLOT - 7);
  ctx.textBaseline = "top";
  ctx.textAlign = "left"; ctx.fillText(`step ${whole(spread.steps[0][0])}`, box.left, PLOT + 3);
  if (columns > 1) { ctx.textAlign = "right"; ctx.fillText(whole(spread.steps[columns - 1][1]), box.left + box.width, PLOT + 3); }
}

/** The plot with the words on the look under the pointer, else on the newest. @param {import("../front.js").Part} view */
export function spreadPlot({ model, el, signal, repaint }) {
  const title = make("div", { class: "dlw-faint dlw-small", text: "spread of its values: columns are looks, deeper is more (log), the line is the mean" });
  const plot = make("canvas", { role: "img" }), words = make("div", { class: "dlw-study-words" });
  const shadesNow = () => numbers(model.get("spread_shades"), Uint8Array);
  let hover = /** @type {{column: number, bin: number} | null} */ (null);
  listen(plot, "pointermove", (event) => {
    const box = plot.getBoundingClientRect(), spread = model.get("spread");
    hover = binAt(event.clientX - box.left, event.clientY - box.top, box.width, spread, usedBins(shadesNow(), spread.bins));
    repaint();
  }, signal);
  listen(plot, "pointerleave", () => { hover = null; repaint(); }, signal);
  return {
    nodes: [title, plot, words],
    /** @param {number} room @param {number | null} step of the frame shown beside */
    show(room, step) {
      const spread = model.get("spread"), shades = shadesNow();
      const there = spread.steps?.length && shades.length === spread.steps.length * spread.bins;
      plot.hidden = title.hidden = words.hidden = !there;
      if (!there) return;
      paintSpread(el, plot, spread, shades, room, step);
      if (hover && hover.column >= spread.steps.length) hover = null;
      const line = columnWords(spread, hover?.column ?? spread.steps.length - 1, hover?.bin ?? null, shades);
      say(words, line);
      plot.setAttribute("aria-label", `spread of the values of ${model.get("film").layer}; ${line}`);
    },
  };
}

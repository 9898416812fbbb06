// What the activation browser paints beside its tiles: bars, lines, names, bitmaps and the colour scale.
import { color, sig } from "../front.js";

/** Pixels (RGBA) as something that a canvas can draw larger or smaller. @param {{pixels: Uint8ClampedArray, width: number, height: number}} painted */
export function bitmap({ pixels, width, height }) {
  const canvas = document.createElement("canvas");
  canvas.width = width; canvas.height = height;
  const data = new ImageData(width, height);
  data.data.set(pixels);
  /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).putImageData(data, 0, 0);
  return canvas;
}

/** An image of RGB bytes, which a canvas can draw larger or smaller. @param {Uint8Array} rgb @param {number} width @param {number} height */
export function imageOf(rgb, width, height) {
  const pixels = new Uint8ClampedArray(width * height * 4);
  for (let i = 0; i < width * height; i += 1) { pixels.set(rgb.subarray(3 * i, 3 * i + 3), 4 * i); pixels[4 * i + 3] = 255; }
  return bitmap({ pixels, width, height });
}

/** The size of a picture whose longer side is `side`. @param {number} width @param {number} height @param {number} side */
export function fitted(width, height, side) { return width >= height ? [side, (side * height) / width] : [(side * width) / height, side]; }

/** Get ready to write small faint words. @param {Element} el @param {CanvasRenderingContext2D} ctx @param {CanvasTextAlign} align @param {number} [size] */
export function writeFaint(el, ctx, align, size = 11) {
  ctx.fillStyle = color(el, "faint");
  ctx.font = `${size}px ${getComputedStyle(el).fontFamily}`;
  ctx.textAlign = align;
  ctx.textBaseline = "middle";
}

/**
 * Draw bars from a zero line, blue above and orange below; with a gutter, the ends of the scale stand in it.
 * @param {Element} el whose colours they have @param {CanvasRenderingContext2D} ctx @param {ArrayLike<number>} values
 * @param {number} across @param {number} height @param {number} [gutter] @param {number} [peak] what each side of the zero line stands for; none: as it is needed
 */
export function drawBars(el, ctx, values, across, height, gutter = 0, peak = NaN) {
  let low = -peak || 0, high = peak || 0;
  for (let i = 0; i < values.length; i += 1) if (Number.isFinite(values[i])) { low = Math.min(low, values[i]); high = Math.max(high, values[i]); }
  const width = across - gutter, span = high - low || 1, tall = height - 2;
  const zero = Math.round((Number.isNaN(peak) ? high / span : 0.5) * tall) + 1, each = width / values.length;
  const thick = Math.min(60, Math.max(1, each > 3 ? each - 1 : each));
  const [plus, minus, red] = ["blue", "orange", "red"].map((name) => color(el, name));
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i], whole = Number.isFinite(value), size = whole ? (value / span) * tall : 0;
    ctx.fillStyle = !whole ? red : value < 0 ? minus : plus;
    ctx.fillRect(gutter + (i + 0.5) * each - thick / 2, whole ? zero - Math.max(0, size) : 0, thick, whole ? Math.abs(size) : height);
  }
  ctx.fillStyle = color(el, "line-2");
  ctx.fillRect(gutter, zero - 0.5, width, 1);
  if (!gutter) return;
  writeFaint(el, ctx, "right");
  const write = (/** @type {number} */ value, /** @type {number} */ y) => ctx.fillText(sig(value, 3), gutter - 6, Math.min(height - 6, Math.max(6, y)));
  write(0, zero);
  // Where an end lies close to zero, the other end says enough.
  if (zero > 16) write(high, 0);
  if (height - zero > 16) write(low, height);
}

/** Write what each bar is called below it, cut to its width. @param {Element} el @param {CanvasRenderingContext2D} ctx @param {string[]} names @param {number} left @param {number} each width of a bar @param {number} y */
export function nameBars(el, ctx, names, left, each, y) {
  writeFaint(el, ctx, "center");
  names.forEach((name, i) => {
    let text = name;
    while (text.length > 1 && ctx.measureText(text === name ? text : `${text}…`).width > each - 3) text = text.slice(0, -1);
    ctx.fillText(text === name ? text : `${text}…`, left + (i + 0.5) * each, y);
  });
}

/** Draw the colours from left to right: from -1, or from 0 where nothing is negative, to 1. @param {CanvasRenderingContext2D} ctx @param {number} across @param {number} height @param {Uint8Array} colours @param {boolean} signed */
export function drawScale(ctx, across, height, colours, signed) {
  const start = signed ? 1 : 128;
  for (let x = 0; x < across; x += 1) {
    const q = 3 * Math.round(start + ((255 - start) * x) / (across - 1));
    ctx.fillStyle = `rgb(${colours[q]} ${colours[q + 1]} ${colours[q + 2]})`;
    ctx.fillRect(x, 0, 1, height);
  }
}

/**
 * Draw values as a line over a zero line, in a box; values that are not finite leave gaps.
 * @param {Element} el whose colours it has @param {CanvasRenderingContext2D} ctx @param {ArrayLike<number>} values
 * @param {number} peak what the height above zero stands for @param {number} x @param {number} y @param {number} width @param {number} height
 * @param {{name?: string, signed?: boolean}} [look] its colour; whether it may go below zero, which then lies in the middle
 */
export function drawLine(el, ctx, values, peak, x, y, width, height, { name = "blue", signed = true } = {}) {
  const middle = signed ? y + height / 2 : y + height - 1.5, each = width / Math.max(1, values.length - 1);
  const half = (signed ? height / 2 : height - 2) - 1;
  ctx.fillStyle = color(el, "line");
  ctx.fillRect(x, Math.round(middle) - 0.5, width, 1);
  ctx.strokeStyle = color(el, name);
  ctx.lineWidth = 1.25;
  ctx.lineJoin = "round";
  ctx.beginPath();
  let on = false;
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i];
    if (!Number.isFinite(value)) { on = false; continue; }
    const at = middle - (peak > 0 ? Math.max(-1, Math.min(1, value / peak)) : 0) * half, across = x + (values.length > 1 ? i * each : width / 2);
    if (on) ctx.lineTo(across, at); else ctx.moveTo(across, at);
    on = true;
  }
  ctx.stroke();
}

/** Write names along an axis, as many as have room. @param {Element} el @param {CanvasRenderingContext2D} ctx @param {string[]} names @param {number} from @param {number} length @param {(at: number) => [number, number]} where @param {boolean} [upright] */
export function drawNames(el, ctx, names, from, length, where, upright = false) {
  const each = length / names.length, every = Math.max(1, Math.ceil(11 / each));
  writeFaint(el, ctx, "right", 10);
  for (let i = 0; i < names.length; i += every) {
    ctx.save();
    ctx.translate(...where(from + (i + 0.5) * each));
    if (upright) ctx.rotate(-Math.PI / 2);
    ctx.fillText(names[i].length > 8 ? `${names[i].slice(0, 7)}…` : names[i], 0, 0);
    ctx.restore();
  }
}

// The frames of a film: bytes of the kernel taken apart, and one frame painted: the chosen map large, all maps small.
import { color, surface } from "../front.js";
import { bitmap } from "../activations/canvas.js";
import { dequantise, paintMaps, palette, sheetColumns } from "../activations/tiles.js";

/** @typedef {{maps: Uint8Array, near: Uint8Array, scales: Float32Array, nearScale: number}} Frame */

/** The side of the chosen map, the gap beside it, and the height of bars and matrices [px]. */
const NEAR_SIDE = 132, NEAR_GAP = 12, ROWS_HIGH = 132;
/** The gap between small maps, and their sides [px]. */
const TILE_GAP = 2, TILE_SIDES = [14, 64];
/** The five colours from −1 over 0 to 1. */
const FILM_STOPS = ["map-n2", "map-n1", "map-0", "map-p1", "map-p2"];

/** @param {any} film */
function sizes(film) {
  const maps = film.count * film.size[0] * film.size[1], near = film.near[0] * film.near[1];
  return { maps, near, scales: film.count + 1 };
}

/**
 * The frames of the snapshots, in order of their steps.
 * @param {any} film @param {Uint8Array} bytes @param {Float32Array} scales @returns {Frame[]}
 */
export function filmFrames(film, bytes, scales) {
  const { maps, near, scales: each } = sizes(film), count = film.steps.length;
  if (bytes.length !== count * (maps + near) || scales.length !== count * each) return [];
  return Array.from({ length: count }, (_, i) => {
    const from = i * (maps + near), own = scales.subarray(i * each, (i + 1) * each);
    return { maps: bytes.subarray(from, from + maps), near: bytes.subarray(from + maps, from + maps + near), scales: own.subarray(0, each - 1), nearScale: own[each - 1] };
  });
}

/**
 * Frames that bring their scales with them: now; before the last step and the change.
 * @param {any} film @param {Uint8Array} bytes @returns {Frame[]}
 */
export function looseFrames(film, bytes) {
  const { maps, near, scales } = sizes(film), size = 4 * scales + maps + near;
  if (!bytes.length || bytes.length % size) return [];
  return Array.from({ length: bytes.length / size }, (_, i) => {
    const from = i * size, own = new Float32Array(bytes.slice(from, from + 4 * scales).buffer), at = from + 4 * scales;
    return { maps: bytes.subarray(at, at + maps), near: bytes.subarray(at + maps, at + maps + near), scales: own.subarray(0, scales - 1), nearScale: own[scales - 1] };
  });
}

/** The largest value of all frames, which the colours span. @param {Frame[]} frames */
export function filmPeak(frames) {
  return frames.reduce((most, frame) => Math.max(most, frame.nearScale, ...frame.scales), 0);
}

/**
 * How small maps are laid out beside the large one: as large as they go in its height, or as they must be seen.
 * @param {number} count @param {number} aspect width / height @param {number} across @returns {{columns: number, width: number, height: number, down: number}}
 */
export function stripGrid(count, aspect, across) {
  for (let height = TILE_SIDES[1]; ; height -= 1) {
    const width = Math.min(across, Math.max(4, Math.round(height * Math.min(4, Math.max(0.25, aspect)))));
    const columns = Math.max(1, Math.floor((across + TILE_GAP) / (width + TILE_GAP))), down = Math.ceil(count / columns) * (height + TILE_GAP) - TILE_GAP;
    if (down <= NEAR_SIDE || height <= TILE_SIDES[0]) return { columns: Math.min(columns, count), width, height, down };
  }
}

/**
 * Paint a frame into a canvas of `room` pixels; the colours span `peak` in all frames alike.
 * @param {HTMLElement} el @param {HTMLCanvasElement} canvas @param {any} film @param {Frame} frame @param {number} peak @param {number} room
 */
export function paintFrame(el, canvas, film, frame, peak, room) {
  const colours = palette(FILM_STOPS.map((name) => color(el, name)), color(el, "red"));
  const [h, w] = film.size;
  if (film.form === "bars") {
    paintUnits(el, surface(canvas, room, ROWS_HIGH), frame, peak, room);
    return;
  }
  if (film.form === "matrix") {
    const one = paintMaps(frame.maps, 1, h, w, 1, frame.scales, peak, colours), ctx = surface(canvas, room, ROWS_HIGH);
    ctx.imageSmoothingEnabled = false;
    ctx.drawImage(bitmap(one.pixels, w, h), 0, 0, room, ROWS_HIGH);
    return;
  }
  const aspect = film.whole[1] / film.whole[0], wide = Math.min(NEAR_SIDE, NEAR_SIDE * aspect), high = wide / aspect;
  const beside = film.count > 1 ? room - wide - NEAR_GAP : 0;
  const grid = stripGrid(film.count, aspect, Math.max(40, beside));
  const across = film.count > 1 ? wide + NEAR_GAP + grid.columns * (grid.width + TILE_GAP) - TILE_GAP : wide;
  const ctx = surface(canvas, across, film.count > 1 ? Math.max(high, grid.down) : high);
  ctx.imageSmoothingEnabled = false;
  const near = paintMaps(frame.near, 1, film.near[0], film.near[1], 1, [frame.nearScale], peak, colours);
  ctx.drawImage(bitmap(near.pixels, film.near[1], film.near[0]), 0, 0, wide, high);
  if (film.count < 2) return;
  const columns = sheetColumns(film.count, h, w);
  const all = paintMaps(frame.maps, film.count, h, w, columns, frame.scales, peak, colours), sheet = bitmap(all.pixels, all.width, all.height);
  ctx.imageSmoothingEnabled = grid.width * (window.devicePixelRatio || 1) < w;
  for (let m = 0; m < film.count; m += 1) {
    const x = wide + NEAR_GAP + (m % grid.columns) * (grid.width + TILE_GAP), y = Math.floor(m / grid.columns) * (grid.height + TILE_GAP);
    ctx.drawImage(sheet, (m % columns) * w, Math.floor(m / columns) * h, w, h, x, y, grid.width, grid.height);
    if (m !== film.channel) continue;
    ctx.strokeStyle = color(el, "orange"); ctx.lineWidth = 2;
    ctx.strokeRect(x + 1, y + 1, grid.width - 2, grid.height - 2);
  }
}

/** @param {HTMLElement} el @param {CanvasRenderingContext2D} ctx @param {Frame} frame @param {number} peak @param {number} room */
function paintUnits(el, ctx, frame, peak, room) {
  const values = Array.from(frame.maps, (q) => dequantise(q, frame.scales[0])), each = room / values.length;
  const half = ROWS_HIGH / 2, thick = Math.min(60, Math.max(1, each > 3 ? each - 1 : each)), [plus, minus] = [color(el, "blue"), color(el, "orange")];
  ctx.fillStyle = color(el, "line-2");
  ctx.fillRect(0, half - 0.5, room, 1);
  values.forEach((value, i) => {
    const high = peak > 0 ? (Math.abs(value || 0) / peak) * (half - 1) : 0;
    ctx.fillStyle = value < 0 ? minus : plus;
    ctx.fillRect((i + 0.5) * each - thick / 2, value < 0 ? half : half - high, thick, high);
  });
}

// The frames of a film: bytes of the kernel taken apart, and one frame painted: the chosen map large, all maps small.
import { color, surface } from "../front.js";
import { bitmap, drawBars } from "../activations/canvas.js";
import { cornerOf, dequantise, paintMaps, paletteOf, sheetColumns } from "../activations/tiles.js";

/** @typedef {{maps: Uint8Array, near: Uint8Array, scales: Float32Array, nearScale: number}} Frame */

/** The side of the chosen map, the gap beside it, and the height of bars and matrices [px]. */
const NEAR_SIDE = 132, NEAR_GAP = 12, ROWS_HIGH = 132;
/** The gap between small maps, and their sides [px]. */
const TILE_GAP = 2, TILE_SIDES = [14, 64];

/** How many bytes the maps of a frame have, the near one, and all. @param {any} film */
function sizes(film) {
  const maps = film.count * film.size[0] * film.size[1], near = film.near[0] * film.near[1];
  return { maps, near, all: maps + near, scales: film.count + 1 };
}

/** One frame, taken apart. @param {any} film @param {Uint8Array} bytes @param {Float32Array} scales @returns {Frame} */
function frameOf(film, bytes, scales) {
  const { maps, all } = sizes(film);
  return { maps: bytes.subarray(0, maps), near: bytes.subarray(maps, all), scales: scales.subarray(0, -1), nearScale: scales[scales.length - 1] };
}

/** The frames of the snapshots, in order of their steps. @param {any} film @param {Uint8Array} bytes @param {Float32Array} scales */
export function filmFrames(film, bytes, scales) {
  const { all, scales: each } = sizes(film), count = film.steps.length;
  if (bytes.length !== count * all || scales.length !== count * each) return [];
  return Array.from({ length: count }, (_, i) => frameOf(film, bytes.subarray(i * all, (i + 1) * all), scales.subarray(i * each, (i + 1) * each)));
}

/** Frames that bring their scales with them: now; before the last step and the change. @param {any} film @param {Uint8Array} bytes */
export function looseFrames(film, bytes) {
  const { all, scales } = sizes(film), head = 4 * scales, size = head + all;
  if (bytes.length % size) return [];
  return Array.from({ length: bytes.length / size }, (_, i) => {
    const own = bytes.slice(i * size, (i + 1) * size);
    return frameOf(film, own.subarray(head), new Float32Array(own.buffer, 0, scales));
  });
}

/** The largest value of all frames, which the colours span. @param {Frame[]} frames */
export function filmPeak(frames) {
  return frames.reduce((most, frame) => Math.max(most, frame.nearScale, ...frame.scales), 0);
}

/**
 * How small maps are laid out beside the large one: as large as they go in its height, or as they must be seen.
 * @param {number} count @param {number} aspect width / height @param {number} across
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
  const colours = paletteOf(el), [h, w] = film.size, ratio = window.devicePixelRatio || 1;
  if (film.form === "bars") {
    drawBars(el, surface(canvas, room, ROWS_HIGH), Array.from(frame.maps, (q) => dequantise(q, frame.scales[0])), room, ROWS_HIGH, 0, peak);
    return;
  }
  if (film.form === "matrix") {
    const ctx = surface(canvas, room, ROWS_HIGH);
    ctx.imageSmoothingEnabled = false;
    ctx.drawImage(bitmap(paintMaps(frame.maps, 1, h, w, 1, frame.scales, peak, colours)), 0, 0, room, ROWS_HIGH);
    return;
  }
  const aspect = film.whole[1] / film.whole[0], wide = Math.min(NEAR_SIDE, NEAR_SIDE * aspect), high = wide / aspect, several = film.count > 1;
  const strip = stripGrid(film.count, aspect, Math.max(40, several ? room - wide - NEAR_GAP : 0)), grid = { ...strip, gap: TILE_GAP, left: wide + NEAR_GAP };
  const ctx = surface(canvas, several ? grid.left + grid.columns * (grid.width + TILE_GAP) - TILE_GAP : wide, several ? Math.max(high, grid.down) : high);
  ctx.imageSmoothingEnabled = false;
  ctx.drawImage(bitmap(paintMaps(frame.near, 1, film.near[0], film.near[1], 1, [frame.nearScale], peak, colours)), 0, 0, wide, high);
  if (!several) return;
  const columns = sheetColumns(film.count, h, w), sheet = bitmap(paintMaps(frame.maps, film.count, h, w, columns, frame.scales, peak, colours));
  ctx.imageSmoothingEnabled = grid.width * ratio < w;
  for (let m = 0; m < film.count; m += 1) {
    const { x, y } = cornerOf(m, grid), from = cornerOf(m, { columns, width: w, height: h, gap: 0 });
    ctx.drawImage(sheet, from.x, from.y, w, h, x, y, grid.width, grid.height);
    if (m !== film.channel) continue;
    ctx.strokeStyle = color(el, "orange"); ctx.lineWidth = 2;
    ctx.strokeRect(x + 1, y + 1, grid.width - 2, grid.height - 2);
  }
}

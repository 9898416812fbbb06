// Where the tiles of the activation browser lie, and how their bytes become numbers and colours.
import { color } from "../front.js";

/**
 * Where the tiles are, in CSS pixels.
 * @typedef {{columns: number, rows: number, width: number, height: number, gap: number, across: number, down: number, left?: number}} Grid
 */

/**
 * What the parts of the activation browser share: the picture as the kernel sent it, and where the person points.
 * @typedef {{
 *   picture: any, maps: Uint8Array, near: Float32Array, incoming: Uint8Array, bars: Float32Array,
 *   scales: Float32Array, means: Float32Array, zeros: Float32Array, colours: Uint8Array,
 *   hover: {index: number, row: number, column: number} | null, cursor: [number, number] | null,
 *   grid: Grid, input: HTMLCanvasElement | null,
 *   boxes?: {marks: import("../boxes.js").Mark[], of: number[]} | null,
 * }} State
 */

/** No sheet of tiles grows higher than this while its tiles can be made smaller; the sides of a tile [px]. */
const TALLEST = 250, SMALLEST = 12, LARGEST = 112;
/** The five stops of the colours, from −1 over 0 to 1. */
const STOPS = ["map-n2", "map-n1", "map-0", "map-p1", "map-p2"];

/**
 * Lay `count` tiles of the given aspect (width / height) out in `across` pixels: as large as they fit.
 * A single map takes the room there is; a matrix ("sequence") or a line is stretched to the width.
 * @param {number} count @param {number} aspect @param {number} across @param {string} [form] @returns {Grid}
 */
export function tileGrid(count, aspect, across, form = "maps") {
  if (count === 1) {
    const matrix = form === "sequence", stretched = matrix || form === "lines";
    const width = stretched ? across : Math.min(across, 300, 300 * aspect);
    const height = Math.max(8, matrix ? Math.min(300, Math.max(72, across / aspect)) : stretched ? 160 : width / aspect);
    return { columns: 1, rows: 1, width, height, gap: 0, across: width, down: height };
  }
  const shape = Math.min(4, Math.max(0.25, aspect));
  const most = Math.max(1, Math.floor((across + 2) / (SMALLEST + 2)));
  let columns = 1, width = 0, height = 0, gap = 3, rows = count;
  for (; columns <= most; columns += 1) {
    rows = Math.ceil(count / columns);
    gap = across / columns > 28 ? 3 : 2;
    width = Math.floor(Math.min((across - (columns - 1) * gap) / columns, LARGEST, LARGEST * shape));
    height = Math.max(4, Math.round(width / shape));
    if (rows * (height + gap) - gap <= TALLEST) break;
  }
  // As many side by side as there is room for.
  columns = Math.max(1, Math.min(Math.floor((across + gap) / (width + gap)), count));
  rows = Math.ceil(count / columns);
  return { columns, rows, width, height, gap, across: columns * (width + gap) - gap, down: rows * (height + gap) - gap };
}

/** The left upper corner of a tile. @param {number} index @param {Pick<Grid, "columns" | "width" | "height" | "gap" | "left">} grid */
export function cornerOf(index, { columns, width, height, gap, left = 0 }) {
  return { x: left + (index % columns) * (width + gap), y: Math.floor(index / columns) * (height + gap) };
}

/** The tile at a point, and where in it (0..1); null in a gap or beyond the last tile. @param {number} x @param {number} y @param {Grid} grid @param {number} count */
export function tileAt(x, y, grid, count) {
  const column = Math.floor((x - (grid.left ?? 0)) / (grid.width + grid.gap)), index = Math.floor(y / (grid.height + grid.gap)) * grid.columns + column;
  const corner = cornerOf(index, grid), u = (x - corner.x) / grid.width, v = (y - corner.y) / grid.height;
  return column < 0 || y < 0 || column >= grid.columns || index >= count || u >= 1 || v >= 1 ? null : { index, u, v };
}

/** Where an arrow, Home, End or a page key leads from tile `index`; null for any other key. @param {string} key @param {number} index @param {number} columns @param {number} count */
export function tileStep(key, index, columns, count) {
  /** @type {Record<string, number>} */
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, PageUp: -10 * columns, PageDown: 10 * columns };
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  if (!(key in by)) return null;
  const next = index + by[key];
  // Up and down keep the column; where there is no such tile, stay.
  if ((key === "ArrowUp" || key === "ArrowDown") && (next < 0 || next >= count)) return index;
  return Math.min(count - 1, Math.max(0, next));
}

/** The number that byte `q` stands for; NaN for what is not finite. @param {number} q @param {number} scale */
export function dequantise(q, scale) { return q === 0 ? NaN : ((q - 128) * scale) / 127; }

/** The largest error of a number read from a byte: half a step. @param {number} scale */
export function halfStep(scale) { return scale / 254; }

/** "#rrggbb" or "rgb(r, g, b)" as three numbers. @param {string} text @returns {[number, number, number]} */
export function rgb(text) {
  const hex = /^#([0-9a-f]{6})$/i.exec(text.trim());
  if (hex) return [parseInt(hex[1].slice(0, 2), 16), parseInt(hex[1].slice(2, 4), 16), parseInt(hex[1].slice(4), 16)];
  const parts = text.match(/[\d.]+/g)?.map(Number) ?? [];
  return parts.length >= 3 ? [parts[0], parts[1], parts[2]] : [136, 136, 136];
}

/** The colours of the 256 bytes, RGB: five stops from -1 over 0 to 1 spread over 1..255, and that of byte 0. @param {string[]} stops @param {string} broken */
export function palette(stops, broken) {
  const points = stops.map(rgb), table = new Uint8Array(256 * 3);
  table.set(rgb(broken), 0);
  for (let q = 1; q < 256; q += 1) {
    const at = ((q - 1) / 254) * (points.length - 1), i = Math.min(points.length - 2, Math.floor(at));
    for (let c = 0; c < 3; c += 1) table[3 * q + c] = Math.round(points[i][c] + (at - i) * (points[i + 1][c] - points[i][c]));
  }
  return table;
}

/** The colours of the 256 bytes in the theme of an element. @param {Element} el */
export function paletteOf(el) { return palette(STOPS.map((name) => color(el, name)), color(el, "red")); }

/** Where a map's bytes fall in the palette when the colours span `peak` and not its own `scale`. @param {number} scale @param {number} peak */
export function shades(scale, peak) {
  const ratio = peak > 0 ? scale / peak : 0;
  const table = new Uint8Array(256);
  for (let q = 1; q < 256; q += 1) table[q] = Math.min(255, Math.max(1, 128 + Math.round((q - 128) * ratio)));
  return table;
}

/** How many maps lie side by side on the sheet that is painted from: a canvas may not grow without end. @param {number} count @param {number} height @param {number} width */
export function sheetColumns(count, height, width) { return Math.max(1, Math.min(count, Math.round(Math.sqrt((count * height) / width)))); }

/**
 * All maps as RGBA pixels, `columns` side by side.
 * @param {Uint8Array} maps M x h x w; over three colours, without `colours`, M x h x w x 3: grey is zero
 * @param {number} count @param {number} height @param {number} width @param {number} columns
 * @param {ArrayLike<number>} scales @param {number | null} peak null: each map spans the colours by itself
 * @param {Uint8Array | null} colours
 */
export function paintMaps(maps, count, height, width, columns, scales, peak, colours) {
  const across = columns * width, down = Math.ceil(count / columns) * height, depth = colours ? 1 : 3;
  const pixels = new Uint8ClampedArray(across * down * 4);
  for (let m = 0; m < count; m += 1) {
    const shade = shades(scales[m], peak ?? scales[m]), { x, y } = cornerOf(m, { columns, width, height, gap: 0 });
    for (let r = 0; r < height; r += 1) {
      let from = (m * height + r) * width * depth, to = ((y + r) * across + x) * 4;
      for (let c = 0; c < width; c += 1, from += depth, to += 4) {
        if (colours) {
          const at = 3 * shade[maps[from]];
          pixels[to] = colours[at]; pixels[to + 1] = colours[at + 1]; pixels[to + 2] = colours[at + 2]; pixels[to + 3] = 255;
        } else for (let k = 0; k < 4; k += 1) pixels[to + k] = k === 3 ? 255 : shade[maps[from + k]];
      }
    }
  }
  return { pixels, width: across, height: down };
}

/** Whether any byte stands for a negative number. @param {Uint8Array} maps */
export function anyNegative(maps) { return maps.some((q) => q > 0 && q < 128); }

/** The number in the tensor of the tile at a place. @param {any} picture @param {number} place */
export function numberAt(picture, place) { return picture.numbers ? picture.numbers[place] : place; }

/** The place of a map among the tiles, -1 where it is not among them. @param {any} picture @param {number} number */
export function placeOf(picture, number) {
  if (picture.numbers) return picture.numbers.indexOf(number);
  return number < (picture.count ?? 0) ? number : -1;
}

/** The byte of a value where the colours span `span`: 0 for what is not finite. @param {number} value @param {number} span */
export function byteOf(value, span) {
  if (!Number.isFinite(value)) return 0;
  return span > 0 ? Math.min(255, Math.max(1, 128 + Math.round((127 * value) / span))) : 128;
}

/** One map of numbers as RGBA pixels. @param {Float32Array} values @param {number} span what the colours span @param {Uint8Array} colours */
export function paintFloats(values, span, colours) {
  return paintMaps(Uint8Array.from(values, (value) => byteOf(value, span)), 1, 1, values.length, 1, [1], 1, colours).pixels;
}

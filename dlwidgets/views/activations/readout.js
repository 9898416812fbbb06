// What the activation browser reads out: the value under the pointer, the map it lies in, the unit of a bar.
import { sig } from "../front.js";
import { pointed, shownLarge } from "./close_up.js";
import { dequantise, halfStep } from "./tiles.js";
import { percent, place, withError } from "./words.js";

/** @typedef {import("./tiles.js").State} State */

/** A number as the tensor holds it, to seven digits at most. @param {number} value @returns {string} */
export function exactly(value) {
  if (Number.isNaN(value)) return "not finite (nan)";
  if (!Number.isFinite(value)) return `not finite (${value > 0 ? "∞" : "−∞"})`;
  const size = Math.abs(value);
  const text = size !== 0 && (size >= 1e6 || size < 1e-4) ? value.toExponential(5) : String(Number(value.toPrecision(6)));
  return text.replaceAll("-", "−").replace("e−", "e-").replace("e+", "e");
}

/** @param {State} state @param {number} at @returns {string} */
function ofBar({ picture, bars }, at) {
  const i = Math.min(bars.length - 1, at), first = i * picture.group;
  const last = Math.min(picture.shape[0] ?? 1, first + picture.group) - 1;
  const name = picture.names?.[i] ? ` “${picture.names[i]}”` : "";
  return first === last ? `unit ${first}${name}: ${exactly(bars[i])}` : `units ${first}–${last}, the strongest: ${exactly(bars[i])}`;
}

/** @param {State} state @param {number} m the map's place @returns {string} */
function aboutMap({ scales, means, zeros }, m) {
  if (m < 0) return "";
  if (zeros[m] === 1) return "zero everywhere";
  if (scales[m] === 0 && means[m] === 0) return "no finite value";
  return `mean ${sig(means[m], 2)}, zero ${percent(zeros[m])}, peak ${sig(scales[m], 3)}`;
}

/**
 * The line under the picture.
 * @param {State} state @param {number} chosen the number of the picked map or bar @returns {string}
 */
export function readingOf(state, chosen) {
  const { picture, maps, near, scales } = state;
  if (picture.reason) return "";
  if (picture.form === "bars") return state.bars.length ? ofBar(state, state.hover?.index ?? chosen) : "";
  if (!picture.count) return "";
  const large = shownLarge(state, chosen), { size, block, number, place: m } = large, at = pointed(state, size);
  const matrix = picture.form === "sequence", name = picture.names?.[number] ? ` “${picture.names[number]}”` : "";
  const map = matrix ? "" : `${picture.axes[0]} ${number}${name}: ${aboutMap(state, m) || "not among those that are shown"}`;
  if (!at) return matrix ? "point at the picture to read its values" : map;
  if (m < 0 && !large.exact) return map;
  const depth = picture.form === "rgb" ? 3 : 1;
  /** @param {number} k */
  const valueAt = (k) => {
    const i = (at[0] * size[1] + at[1]) * depth + k;
    return large.exact ? exactly(near[i]) : withError(dequantise(maps[m * size[0] * size[1] * depth + i], scales[m]), halfStep(scales[m]));
  };
  const values = depth === 3 ? `red ${valueAt(0)}, green ${valueAt(1)}, blue ${valueAt(2)}` : valueAt(0);
  const mean = block[0] * block[1] > 1 ? "mean " : "";
  const where = picture.form === "lines" ? lineAt(picture, at[1], block[1]) : place(picture.axes, at, block, picture.whole, picture.tokens);
  return `${where}: ${mean}${values}${map && ` · ${map}`}`;
}

/** @param {any} picture @param {number} at @param {number} block */
function lineAt(picture, at, block) {
  const first = at * block, last = Math.min(picture.whole[1], first + block) - 1;
  return first === last ? `${picture.axes[2]} ${first}` : `${picture.axes[2]}s ${first}–${last}`;
}

// What the activation browser reads out: the value under the pointer, the map it lies in, the unit of a bar.
import { sig } from "../front.js";
import { pointed, shownLarge } from "./close_up.js";
import { dequantise, halfStep } from "./tiles.js";
import { percent, place, withError } from "./words.js";

/** @typedef {import("./tiles.js").State} State */

/** A number as the tensor holds it, to seven digits at most. @param {number} value */
export function exactly(value) {
  if (Number.isNaN(value)) return "not finite (nan)";
  if (!Number.isFinite(value)) return `not finite (${value > 0 ? "∞" : "−∞"})`;
  const size = Math.abs(value);
  const text = size !== 0 && (size >= 1e6 || size < 1e-4) ? value.toExponential(5) : String(Number(value.toPrecision(6)));
  return text.replaceAll("-", "−").replace("e−", "e-").replace("e+", "e");
}

/** @param {State} state @param {number} m the map's place */
function aboutMap({ scales, means, zeros }, m) {
  if (m < 0) return "";
  if (zeros[m] === 1) return "zero everywhere";
  if (scales[m] === 0 && means[m] === 0) return "no finite value";
  return `mean ${sig(means[m], 2)}, zero ${percent(zeros[m])}, peak ${sig(scales[m], 3)}`;
}

/** The line under the picture. @param {State} state @param {number} chosen the number of the picked map or bar */
export function readingOf(state, chosen) {
  const { picture, maps, near, scales, bars } = state;
  const nameOf = (/** @type {number} */ i) => (picture.names?.[i] ? ` “${picture.names[i]}”` : "");
  /** @param {string} one @param {number} at @param {number} each @param {number} size */
  const span = (one, at, each, size) => {
    const first = at * each, last = Math.min(size, first + each) - 1;
    return first === last ? `${one} ${first}` : `${one}s ${first}–${last}`;
  };
  if (picture.reason) return "";
  if (picture.form === "bars") {
    const i = Math.min(bars.length - 1, state.hover?.index ?? chosen), units = span("unit", i, picture.group, picture.shape[0] ?? 1);
    return i < 0 ? "" : `${units}${units.startsWith("units") ? ", the strongest" : nameOf(i)}: ${exactly(bars[i])}`;
  }
  if (!picture.count) return "";
  const { size, block, number, place: m, exact, depth } = shownLarge(state, chosen), at = pointed(state, size);
  const matrix = picture.form === "sequence";
  const map = matrix ? "" : `${picture.axes[0]} ${number}${nameOf(number)}: ${aboutMap(state, m) || "not among those that are shown"}`;
  if (!at) return matrix ? "point at the picture to read its values" : map;
  if (m < 0 && !exact) return map;
  /** @param {number} k */
  const valueAt = (k) => {
    const i = (at[0] * size[1] + at[1]) * depth + k;
    return exact ? exactly(near[i]) : withError(dequantise(maps[m * size[0] * size[1] * depth + i], scales[m]), halfStep(scales[m]));
  };
  const values = depth === 3 ? `red ${valueAt(0)}, green ${valueAt(1)}, blue ${valueAt(2)}` : valueAt(0);
  const mean = block[0] * block[1] > 1 ? "mean " : "";
  const where = picture.form === "lines" ? span(picture.axes[2], at[1], block[1], picture.whole[1]) : place(picture.axes, at, block, picture.whole, picture.tokens);
  return `${where}: ${mean}${values}${map && ` · ${map}`}`;
}

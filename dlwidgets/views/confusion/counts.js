// Counts of the confusion grid at any threshold: plain numbers in, plain numbers out.
import { numbers } from "../front.js";

/** Thresholds that can be shown without the kernel: k / (POSITIONS - 1). */
export const POSITIONS = 1001;
/** What a cell may be a share of: of its row, its column, all samples of the class, or of nothing. */
export const NORMALISE = [["true", "row: what it is"], ["predicted", "column: what was said"], ["all", "all samples"], ["none", "counts alone"]];

/** Unsigned integers of so many bytes, as the kernel sent them. @param {any} bytes @param {number} width @returns {ArrayLike<number>} */
export function uints(bytes, width) { return numbers(bytes, /** @type {any} */ ({ 1: Uint8Array, 2: Uint16Array }[width] ?? Uint32Array)); }

/** The counts at all positions, C x 2 x POSITIONS, as `pack_counts` of the kernel packed their falls. @param {any} packed bytes
 * @param {number} width bytes that hold a count @param {ArrayLike<number>} totals C x 2 @param {number} [positions] */
export function unpackCounts(packed, width, totals, positions = POSITIONS) {
  const bytes = numbers(packed, Uint8Array), Kind = { 1: Uint8Array, 2: Uint16Array }[width] ?? Uint32Array;
  const counts = new Kind(totals.length * positions);
  let at = 0, zeros = 0;
  const next = () => {
    let value = 0, weight = 1, byte;
    do { byte = bytes[at++]; value += (byte & 127) * weight; weight *= 128; } while (byte & 128);
    return value;
  };
  for (let row = 0, i = 0; row < totals.length; row++) {
    for (let k = 0, count = totals[row]; k < positions; k++, i++) {
      if (zeros) zeros--;
      else if (at < bytes.length) {
        const fall = next();
        if (fall) count -= fall; else zeros = next() - 1;
      }
      counts[i] = count;
    }
  }
  return counts;
}

/** The 2 x 2 counts of each class, [tn, fp, fn, tp] one after the other. @param {ArrayLike<number>} totals C x 2: positives,
 * negatives @param {(c: number) => number} tp @param {(c: number) => number} fp */
export function cellsFrom(totals, tp, fp) {
  const classes = totals.length / 2, cells = new Float64Array(4 * classes);
  for (let c = 0; c < classes; c++) {
    const said = tp(c), wrong = fp(c);
    cells[4 * c] = totals[2 * c + 1] - wrong;
    cells[4 * c + 1] = wrong;
    cells[4 * c + 2] = totals[2 * c] - said;
    cells[4 * c + 3] = said;
  }
  return cells;
}

/** The position whose threshold is `t` exactly, or -1 where it lies between two or outside. @param {number} t @param {number} [positions] */
export function positionOf(t, positions = POSITIONS) {
  const k = Math.round(t * (positions - 1));
  return k >= 0 && k < positions && k / (positions - 1) === t ? k : -1;
}

/** The cells at one threshold a class: from the counts where it is a position, else as the kernel counted them.
 * @param {{counts: ArrayLike<number>, totals: ArrayLike<number>}} read @param {number[]} limits C thresholds
 * @param {{limits: number[], exact: ArrayLike<number>}} kernel its thresholds, one or C, and C x 2: tp, fp there
 * @param {number} [positions] */
export function cellsAtEach({ counts, totals }, limits, kernel, positions = POSITIONS) {
  const said = (/** @type {number} */ c, /** @type {number} */ kind) => {
    const k = positionOf(limits[c], positions);
    if (k >= 0) return counts[(2 * c + kind) * positions + k];
    if ((kernel.limits[kernel.limits.length > 1 ? c : 0]) === limits[c]) return kernel.exact[2 * c + kind];
    // For the moment in which the kernel already has another threshold: the next position above.
    return counts[(2 * c + kind) * positions + Math.min(positions - 1, Math.max(0, Math.ceil(limits[c] * (positions - 1))))];
  };
  return cellsFrom(totals, (c) => said(c, 0), (c) => said(c, 1));
}

/** How many scores lie in each of `bins` equal parts of 0 ... 1, summed over some classes. What scores below 0 is in the first,
 * 1 and more in the last. @param {{counts: ArrayLike<number>, totals: ArrayLike<number>}} read @param {number[]} classes
 * @param {0 | 1} kind 0: positives, 1: negatives @param {number} [bins] @param {number} [positions] @param {boolean} [boxes] of
 * which those that nothing was said of have no score */
export function histogramOf({ counts, totals }, classes, kind, bins = 50, positions = POSITIONS, boxes = false) {
  const found = new Float64Array(bins);
  for (const c of classes) {
    let above = boxes ? counts[(2 * c + kind) * positions] : totals[2 * c + kind];
    for (let b = 0; b < bins; b++) {
      const next = b === bins - 1 ? 0 : counts[(2 * c + kind) * positions + Math.round(((b + 1) * (positions - 1)) / bins)];
      found[b] += above - next;
      above = next;
    }
  }
  return found;
}

/** What each of four cells is a share of. @param {ArrayLike<number>} cells @param {number} at @param {string} normalise
 * @param {number} largest the largest count of the grid, to which counts alone are compared @param {boolean} [boxes] of which
 * none is rightly not said: what is false is a share of those said, what was missed of the true ones
 * @returns {[number, number, number, number]} */
export function wholesOf(cells, at, normalise, largest, boxes = false) {
  const [tn, fp, fn, tp] = [cells[at], cells[at + 1], cells[at + 2], cells[at + 3]];
  if (boxes && normalise !== "all" && normalise !== "none") return [0, fp + tp, fn + tp, normalise === "true" ? fn + tp : fp + tp];
  if (normalise === "true") return [tn + fp, tn + fp, fn + tp, fn + tp];
  if (normalise === "predicted") return [tn + fn, fp + tp, tn + fn, fp + tp];
  const whole = normalise === "all" ? tn + fp + fn + tp : largest;
  return [whole, whole, whole, whole];
}

// The pure parts of the curves: bytes as rows, means, ranges of axes, places of labels.
import { numbers, sig } from "../front.js";

/** The rows of a C-ordered float32 block. @param {any} bytes @param {number} rows */
export function rowsOf(bytes, rows) {
  const all = numbers(bytes, Float32Array);
  const n = Math.floor(all.length / rows);
  return Array.from({ length: rows }, (_, i) => all.subarray(i * n, (i + 1) * n));
}

/** The curves of lines that were left: always `most` of them, each [steps, losses], those without a line empty.
 * @param {DataView | ArrayBuffer | Uint8Array | undefined} bytes float32, 3 x n: number of the line, step, loss
 * @param {number} most @returns {[Float32Array, Float32Array][]} */
export function linesOf(bytes, most) {
  const [line, step, loss] = rowsOf(bytes, 3);
  return Array.from({ length: most }, (_, number) => {
    const from = line.indexOf(number), to = line.lastIndexOf(number) + 1;
    return from < 0 ? [new Float32Array(), new Float32Array()] : [step.slice(from, to), loss.slice(from, to)];
  });
}

/** A centred moving mean over `2 * reach + 1` values, shorter at the ends, each counted by its weight.
 * @param {ArrayLike<number>} values @param {number} reach @param {ArrayLike<number>} [weights] */
export function smooth(values, reach, weights) {
  const n = values.length, sums = new Float64Array(n + 1), whole = new Float64Array(n + 1);
  for (let i = 0; i < n; i++) {
    // An infinite value would spoil all sums behind it.
    const weight = Number.isFinite(values[i]) ? weights?.[i] ?? 1 : 0;
    sums[i + 1] = sums[i] + (weight ? weight * values[i] : 0);
    whole[i + 1] = whole[i] + weight;
  }
  return Array.from({ length: n }, (_, i) => {
    if (!Number.isFinite(values[i])) return NaN;
    const a = Math.max(0, i - reach), b = Math.min(n, i + reach + 1);
    return (sums[b] - sums[a]) / (whole[b] - whole[a]);
  });
}

/** How many steps each bucket stands for, from their last steps. @param {ArrayLike<number>} steps */
export function widths(steps) {
  return Array.from(steps, (step, i) => (i ? step - steps[i - 1] : steps.length > 1 ? Math.min(step, steps[1] - steps[0]) : 1));
}

/** How many steps a value of `smooth` is the mean of. @param {ArrayLike<number>} steps the last ones of the buckets @param {number} at
 * @param {number} reach */
export function meanOver(steps, at, reach) {
  return widths(steps).slice(Math.max(0, at - reach), at + reach + 1).reduce((sum, width) => sum + width, 0);
}

/** The index of the value nearest to `x` in an ascending row; -1 in an empty one. @param {ArrayLike<number>} row @param {number} x */
export function nearest(row, x) {
  if (!row.length) return -1;
  let a = 0, b = row.length - 1;
  while (a < b) {
    const mid = (a + b) >> 1;
    if (row[mid] < x) a = mid + 1; else b = mid;
  }
  return a > 0 && x - row[a - 1] < row[a] - x ? a - 1 : a;
}

/** The range of an axis: from 0 where the values come near it, with air above. @param {number | null} low
 * @param {number | null} high @returns {[number, number]} */
export function range(low, high) {
  if (low === null || high === null || !Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  if (low === high) return low === 0 ? [0, 1] : low > 0 ? [0, high * 1.25] : [low * 1.25, 0];
  const air = (high - low) * 0.06;
  return [low >= 0 && low < 0.6 * high ? 0 : low - air, high + air];
}

/** The top of the losses that are drawn: of the line under way all is seen; one that was left because it leapt goes out at the top,
 * and does not flatten what is compared with it. @param {ArrayLike<number | null>[]} own @param {number | null} high of all lines */
export function topOf(own, high) {
  const [low, top] = own.flatMap((row) => Array.from(row)).reduce(([a, b], value) => (value === null || value === undefined ? [a, b]
    : [Math.min(a, value), Math.max(b, value)]), [Infinity, -Infinity]);
  return high === null || low > top ? high : Math.min(high, top + 1.5 * Math.max(top - low, Math.abs(top)));
}

/** The range of a logarithmic axis, with air on both sides, and about a third of a power of ten at least.
 * @param {number | null} low @param {number | null} high @returns {[number, number]} */
export function logRange(low, high) {
  if (low === null || high === null || !(low > 0) || !Number.isFinite(high)) return [0.1, 1];
  const air = Math.max(1.12, Math.sqrt(2.2 / (high / low)));
  return [low / air, high * air];
}

/** Round values for the marks of a logarithmic axis, about five: 1, 2, 5 in each power of ten, or whole powers. uPlot's own
 * never end on some ranges. @param {number} low @param {number} high */
export function logTicks(low, high) {
  const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
  if (!Number.isFinite(first) || !Number.isFinite(last)) return [];
  const span = Math.log10(high / low), stride = Math.ceil(span / 6);
  const between = span < 0.8 ? [1, 2, 3, 4, 5, 6, 7, 8, 9] : span < 2.3 ? [1, 2, 5] : [1];
  const found = [];
  // Of a text, which is exact where a product is not.
  for (let power = first; power <= last; power += stride) found.push(...between.map((digit) => Number(`${digit}e${power}`)));
  return found.filter((value) => value >= low && value <= high);
}

/** Heights for labels that must not lie on one another: as near to their wishes as the gap and the bounds allow (least squares
 * with an order kept: the pool-adjacent-violators algorithm). @param {number[]} wanted @param {number} gap
 * @param {number} [low] @param {number} [high] */
export function apart(wanted, gap, low = -Infinity, high = Infinity) {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b]);
  const blocks = /** @type {{sum: number, count: number}[]} */ ([]);
  order.forEach((index, k) => {
    blocks.push({ sum: wanted[index] - k * gap, count: 1 });
    for (let last = blocks.length - 1; last > 0 && blocks[last - 1].sum / blocks[last - 1].count > blocks[last].sum / blocks[last].count; last--) {
      const pooled = /** @type {{sum: number, count: number}} */ (blocks.pop());
      blocks[last - 1].sum += pooled.sum;
      blocks[last - 1].count += pooled.count;
    }
  });
  const placed = wanted.slice(), room = Math.max(low, high - (wanted.length - 1) * gap);
  let k = 0;
  for (const { sum, count } of blocks) {
    const at = Math.min(room, Math.max(low, sum / count));
    for (let n = 0; n < count; n++, k++) placed[order[k]] = at + k * gap;
  }
  return placed;
}

/** A value beside an axis, short. @param {number} value */
export function tick(value) {
  return value === 0 ? "0" : Math.abs(value) >= 0.01 && Math.abs(value) < 1e4 ? String(+value.toPrecision(6)) : sig(value, 1);
}

/** Values for uPlot, in which what is no number is a gap. @param {ArrayLike<number>} row */
export function gaps(row) { return Array.from(row, (value) => (Number.isFinite(value) ? value : null)); }

/** Values for a logarithmic axis, which has no place for zero. @param {ArrayLike<number>} row */
export function positive(row) { return Array.from(row, (value) => (value > 0 && Number.isFinite(value) ? value : null)); }

// The curves of one class as numbers: precision-recall, ROC and reliability, from the counts at all thresholds.

import { POSITIONS } from "./counts.js";

/** A curve over the thresholds, the highest first: what is said at each, of so many positives and negatives.
 * @typedef {{at: Float64Array, tp: Float64Array, fp: Float64Array, positives: number, negatives: number}} Sweep */
/** @typedef {{low: number, high: number, n: number, score: number, share: number}} Bin */
/** @typedef {{x: number, y: number, i: number}} Spot */

/** The counts of class `c` from the highest threshold to the lowest, each change once.
 * @param {ArrayLike<number>} counts C x 2 x positions @param {ArrayLike<number>} totals C x 2 @param {number} c
 * @param {number} [positions] */
export function sweepOf(counts, totals, c, positions = POSITIONS) {
  /** @type {number[]} */
  const at = [Infinity];
  /** @type {number[]} */
  const tp = [0];
  /** @type {number[]} */
  const fp = [0];
  for (let k = positions - 1; k >= 0; k--) {
    const p = counts[2 * c * positions + k], n = counts[(2 * c + 1) * positions + k];
    if (p === tp[tp.length - 1] && n === fp[fp.length - 1]) continue;
    at.push(k / (positions - 1)); tp.push(p); fp.push(n);
  }
  const positives = totals[2 * c], negatives = totals[2 * c + 1];
  // Scores below 0 are said at no threshold that is here.
  if (tp[tp.length - 1] !== positives || fp[fp.length - 1] !== negatives) { at.push(-Infinity); tp.push(positives); fp.push(negatives); }
  return { at: Float64Array.from(at), tp: Float64Array.from(tp), fp: Float64Array.from(fp), positives, negatives };
}

/** The same from the points that the kernel chose, K x 3: threshold falling, true positives, false positives.
 * @param {ArrayLike<number>} curve @param {ArrayLike<number>} totals @param {number} c */
export function sweepFrom(curve, totals, c) {
  const count = curve.length / 3, part = (/** @type {number} */ j, /** @type {number} */ first) =>
    Float64Array.from({ length: count + 1 }, (_, i) => (i ? curve[3 * (i - 1) + j] : first));
  return { at: part(0, Infinity), tp: part(1, 0), fp: part(2, 0), positives: totals[2 * c], negatives: totals[2 * c + 1] };
}

/** Points of the ROC curve from (0, 0) to (1, 1); none where a side is empty. @param {Sweep} sweep @returns {Spot[]} */
export function rocOf({ tp, fp, positives, negatives }) {
  return positives && negatives ? Array.from(tp, (p, i) => ({ x: fp[i] / negatives, y: p / positives, i })) : [];
}

/** Points of the precision-recall curve, recall rising; none without positives. @param {Sweep} sweep @returns {Spot[]} */
export function precisionRecallOf({ tp, fp, positives }) {
  if (!positives) return [];
  const points = Array.from(tp, (p, i) => ({ x: p / positives, y: p / (p + fp[i]), i })).filter(({ y }) => !Number.isNaN(y));
  // Once all are found, lower thresholds only add what is wrong.
  const all = points.findIndex(({ x }) => x === 1);
  return all < 0 ? points : points.slice(0, all + 1);
}

/** The area under a ROC curve by trapezoids; NaN where there is none. @param {Spot[]} points */
export function areaUnder(points) {
  let area = points.length ? 0 : NaN;
  for (let i = 1; i < points.length; i++) area += (points[i].x - points[i - 1].x) * (points[i].y + points[i - 1].y) / 2;
  return area;
}

/** Average precision: the precision at each recall, weighted by how far recall rose. @param {Spot[]} points */
export function averagePrecision(points) {
  let sum = points.length ? 0 : NaN, before = 0;
  for (const { x, y } of points) { sum += (x - before) * y; before = x; }
  return sum;
}

/** Bins of equal width over the scores: how many, their mean score, the share that is positive. A score counts as
 * the middle of its thousandth. @param {ArrayLike<number>} counts @param {number} c @param {number} [bins]
 * @param {number} [positions] */
export function reliabilityOf(counts, c, bins = 10, positions = POSITIONS) {
  const last = positions - 1, found = Array.from({ length: bins }, (_, b) => ({ low: b / bins, high: (b + 1) / bins, n: 0, score: 0, share: 0 }));
  for (let k = 0; k <= last; k++) {
    const [p, n] = [0, 1].map((side) => {
      const start = (2 * c + side) * positions + k;
      return counts[start] - (k < last ? counts[start + 1] : 0);
    });
    const bin = found[Math.min(bins - 1, Math.floor((k * bins) / last + 1e-9))];
    bin.n += p + n;
    bin.share += p;
    bin.score += (p + n) * Math.min(1, (k + 0.5) / last);
  }
  return found.filter(({ n }) => n > 0).map((bin) => ({ ...bin, score: bin.score / bin.n, share: bin.share / bin.n }));
}

/** The bins as the kernel counted them: [bin, samples, mean score, share] of ten. @param {number[][]} told @returns {Bin[]} */
export function binsFrom(told) {
  return told.map(([b, n, score, is]) => ({ low: b / 10, high: (b + 1) / 10, n, score, share: is }));
}

/** The expected calibration error: how far the shares lie from the scores, each bin by its samples. @param {Bin[]} bins */
export function calibrationError(bins) {
  const all = bins.reduce((sum, { n }) => sum + n, 0);
  return all ? bins.reduce((sum, { n, score, share: is }) => sum + (n / all) * Math.abs(is - score), 0) : NaN;
}

/** The index of the point nearest to (x, y), or -1. @param {{x: number, y: number}[]} points @param {number} x @param {number} y */
export function nearest(points, x, y) {
  let best = -1, least = Infinity;
  points.forEach((point, i) => {
    const away = (point.x - x) ** 2 + (point.y - y) ** 2;
    if (away < least) { least = away; best = i; }
  });
  return best;
}

/** A curve of precision over recall as steps: a precision holds back to the recall before it. @param {Spot[]} points @returns {[number, number][]} */
export function stairs(points) {
  return points.flatMap(({ x, y }, i) => /** @type {[number, number][]} */ ([[i ? points[i - 1].x : 0, y], [x, y]]));
}

/** The share of the positives, which is the precision of guessing. @param {{totals: ArrayLike<number>}} picture @param {number} c */
export function chanceOf({ totals }, c) { return totals[2 * c] / (totals[2 * c] + totals[2 * c + 1]); }

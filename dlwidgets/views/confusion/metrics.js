// Metrics of 2 x 2 counts and their intervals, as the kernel computes them.

/** The metrics of a class in the order of the table, as they are written. */
export const METRICS = /** @type {const} */ ([
  ["precision", "precision"], ["recall", "recall"], ["f1", "F1"], ["specificity", "specificity"], ["matthews", "Matthews"],
  ["jaccard", "Jaccard"], ["accuracy", "accuracy"], ["support", "support"], ["predicted", "predicted"],
]);
/** Those that are counts of samples. */
const COUNTED = new Set(["support", "predicted"]);
/** A 95 % interval reaches so many standard deviations to either side. */
const Z = 1.959963984540054;

/** @typedef {typeof METRICS[number][0]} Metric */
/** @typedef {Record<Metric, number>} Rates */

/** Whether a metric counts samples. @param {string} metric */
export function isCount(metric) { return COUNTED.has(metric); }

/** A metric as it is written. @param {string} metric */
export function titleOf(metric) { return METRICS.find(([key]) => key === metric)?.[1] ?? metric; }

/**
 * All metrics of four cells [tn, fp, fn, tp] starting at `at`; NaN where there is nothing to divide by.
 * @param {ArrayLike<number>} cells @param {number} [at] @returns {Rates}
 */
export function ratesOf(cells, at = 0) {
  const tn = cells[at], fp = cells[at + 1], fn = cells[at + 2], tp = cells[at + 3];
  return {
    precision: tp / (tp + fp), recall: tp / (tp + fn), f1: (2 * tp) / (2 * tp + fp + fn), specificity: tn / (tn + fp),
    matthews: (tp * tn - fp * fn) / (Math.sqrt((tp + fp) * (tn + fn)) * Math.sqrt((tp + fn) * (tn + fp))),
    jaccard: tp / (tp + fp + fn), accuracy: (tp + tn) / (tn + fp + fn + tp), support: tp + fn, predicted: tp + fp,
  };
}

/**
 * Wilson's score interval (1927) of `hits` in `of`; NaN of none. @param {number} hits @param {number} of @param {number} [z]
 * @returns {[number, number]}
 */
export function wilson(hits, of, z = Z) {
  if (!(of > 0)) return [NaN, NaN];
  const middle = (hits + (z * z) / 2) / (of + z * z), half = (z / (of + z * z)) * Math.sqrt((hits * (of - hits)) / of + (z * z) / 4);
  return [hits === 0 ? 0 : middle - half, hits === of ? 1 : middle + half];
}

/**
 * The 95 % interval of a metric, or null where it is no share of counted samples (Matthews, counts). F1 rises with
 * Jaccard's J as 2 J / (1 + J), so its ends are those of J carried over.
 * @param {Metric} metric @param {ArrayLike<number>} cells @param {number} [at] @returns {[number, number] | null}
 */
export function intervalOf(metric, cells, at = 0) {
  const tn = cells[at], fp = cells[at + 1], fn = cells[at + 2], tp = cells[at + 3];
  switch (metric) {
    case "precision": return wilson(tp, tp + fp);
    case "recall": return wilson(tp, tp + fn);
    case "specificity": return wilson(tn, tn + fp);
    case "accuracy": return wilson(tp + tn, tn + fp + fn + tp);
    case "jaccard": return wilson(tp, tp + fp + fn);
    case "f1": {
      const [low, high] = wilson(tp, tp + fp + fn);
      return [(2 * low) / (1 + low), (2 * high) / (1 + high)];
    }
    default: return null;
  }
}

/**
 * Macro and micro averages; a class whose rate is NaN is left out of that macro average. Counts are sums.
 * @param {ArrayLike<number>} cells @returns {{macro: Rates, micro: Rates}}
 */
export function averagesOf(cells) {
  const sum = [0, 0, 0, 0], keys = METRICS.map(([key]) => key);
  const total = /** @type {Rates} */ (Object.fromEntries(keys.map((key) => [key, 0])));
  const known = { ...total };
  for (let at = 0; at < cells.length; at += 4) {
    for (let i = 0; i < 4; i++) sum[i] += cells[at + i];
    const rates = ratesOf(cells, at);
    for (const key of keys) if (!Number.isNaN(rates[key])) { total[key] += rates[key]; known[key] += 1; }
  }
  const macro = { ...total };
  for (const key of keys) if (!COUNTED.has(key)) macro[key] = total[key] / known[key];
  return { macro, micro: ratesOf(sum) };
}

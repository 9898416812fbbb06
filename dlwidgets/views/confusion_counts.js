// Counts, rates and orders of the confusion grid: plain numbers in, plain numbers out.

/** Thresholds that can be shown without the kernel: k / (POSITIONS - 1). */
export const POSITIONS = 1001;

/** @typedef {{precision: number, recall: number, f1: number, support: number}} Rates */

/**
 * The 2 x 2 counts of each class, [tn, fp, fn, tp] one after the other.
 * @param {ArrayLike<number>} totals C x 2: positives, negatives @param {(c: number) => number} tp @param {(c: number) => number} fp
 * @returns {Float64Array}
 */
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

/**
 * The cells at threshold position `k`, from the counts at all positions (C x 2 x POSITIONS).
 * @param {ArrayLike<number>} counts @param {ArrayLike<number>} totals @param {number} k @param {number} [positions]
 */
export function cellsAt(counts, totals, k, positions = POSITIONS) {
  return cellsFrom(totals, (c) => counts[2 * c * positions + k], (c) => counts[(2 * c + 1) * positions + k]);
}

/**
 * Precision, recall, F1 and support of four cells starting at `at`; NaN where there is nothing to divide by.
 * @param {ArrayLike<number>} cells @param {number} [at] @returns {Rates}
 */
export function ratesOf(cells, at = 0) {
  const fp = cells[at + 1], fn = cells[at + 2], tp = cells[at + 3];
  return { precision: tp / (tp + fp), recall: tp / (tp + fn), f1: (2 * tp) / (2 * tp + fp + fn), support: tp + fn };
}

/**
 * Macro and micro averages; a class whose rate is NaN is left out of that macro average.
 * @param {ArrayLike<number>} cells @returns {{macro: Rates, micro: Rates}}
 */
export function averagesOf(cells) {
  const sum = [0, 0, 0, 0], total = { precision: 0, recall: 0, f1: 0 }, known = { precision: 0, recall: 0, f1: 0 };
  const keys = /** @type {(keyof typeof total)[]} */ (["precision", "recall", "f1"]);
  for (let at = 0; at < cells.length; at += 4) {
    for (let i = 0; i < 4; i++) sum[i] += cells[at + i];
    const rates = ratesOf(cells, at);
    for (const key of keys) if (!Number.isNaN(rates[key])) { total[key] += rates[key]; known[key] += 1; }
  }
  const micro = ratesOf(sum);
  const macro = { precision: 0, recall: 0, f1: 0, support: micro.support };
  for (const key of keys) macro[key] = total[key] / known[key];
  return { macro, micro };
}

/** @param {string} sort @returns {{key: string, falling: boolean}} */
export function readSort(sort) {
  return sort.startsWith("-") ? { key: sort.slice(1), falling: true } : { key: sort, falling: false };
}

/** The metric that tiles sorted so carry beside the name. @param {string} sort @returns {keyof Rates} */
export function shownBy(sort) {
  const { key } = readSort(sort);
  return /** @type {keyof Rates} */ (["precision", "recall", "support"].includes(key) ? key : "f1");
}

/**
 * How two classes compare in the order `sort`; an undefined value comes last either way.
 * @param {string} sort @param {string[]} names @param {ArrayLike<number>} cells @returns {(a: number, b: number) => number}
 */
export function compareBy(sort, names, cells) {
  const { key, falling } = readSort(sort), sign = falling ? -1 : 1;
  if (key === "given") return (a, b) => sign * (a - b);
  if (key === "name") {
    const low = names.map((name) => name.toLowerCase());
    return (a, b) => sign * (low[a] < low[b] ? -1 : low[a] > low[b] ? 1 : 0);
  }
  const metric = shownBy(sort);
  const values = names.map((_, c) => ratesOf(cells, 4 * c)[metric]);
  return (a, b) => {
    const x = values[a], y = values[b];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y));
    return sign * (x - y);
  };
}

/** The classes in the order `sort`, equal ones as given. @param {string} sort @param {string[]} names @param {ArrayLike<number>} cells */
export function orderOf(sort, names, cells) {
  return names.map((_, c) => c).sort(compareBy(sort, names, cells));
}

/** Whether an order still is one, with the numbers of now. @param {number[]} order @param {(a: number, b: number) => number} compare */
export function inOrder(order, compare) {
  return order.every((c, i) => i === 0 || compare(order[i - 1], c) <= 0);
}

/** The classes of `order` whose name holds the text, any case. @param {number[]} order @param {string[]} names @param {string} text */
export function matching(order, names, text) {
  const wanted = text.trim().toLowerCase();
  return wanted ? order.filter((c) => names[c].toLowerCase().includes(wanted)) : order;
}

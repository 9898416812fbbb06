// Which classes the confusion grid shows, and in which order.

import { METRICS, ratesOf } from "./metrics.js";

/** @typedef {import("./metrics.js").Metric} Metric */
/** Classes whose metric is below a value, or at least that. @typedef {{metric: Metric, side: "below" | "least", value: number}} Filter */

/** What the classes can be sorted by. */
export const SORTS = [["given", "given order"], ["name", "name"], ...METRICS, ["threshold", "threshold"]];

/** @param {string} sort @returns {{key: string, falling: boolean}} */
export function readSort(sort) {
  return sort.startsWith("-") ? { key: sort.slice(1), falling: true } : { key: sort, falling: false };
}

/** The metric that tiles sorted so carry beside the name. @param {string} sort @returns {Metric} */
export function shownBy(sort) {
  const { key } = readSort(sort);
  return METRICS.find(([metric]) => metric === key)?.[0] ?? "f1";
}

/**
 * How two classes compare in the order `sort`; an undefined value comes last either way.
 * @param {string} sort @param {string[]} names @param {ArrayLike<number>} cells @param {ArrayLike<number>} [limits] thresholds, one a class
 * @returns {(a: number, b: number) => number}
 */
export function compareBy(sort, names, cells, limits = []) {
  const { key, falling } = readSort(sort), sign = falling ? -1 : 1;
  if (key === "given") return (a, b) => sign * (a - b);
  if (key === "name") {
    const low = names.map((name) => name.toLowerCase());
    return (a, b) => sign * (low[a] < low[b] ? -1 : low[a] > low[b] ? 1 : 0);
  }
  const metric = shownBy(sort);
  const values = names.map((_, c) => (key === "threshold" ? limits[c] ?? NaN : ratesOf(cells, 4 * c)[metric]));
  return (a, b) => {
    const x = values[a], y = values[b];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y));
    return sign * (x - y);
  };
}

/** The classes in the order `sort`, equal ones as given. @param {string} sort @param {string[]} names @param {ArrayLike<number>} cells @param {ArrayLike<number>} [limits] */
export function orderOf(sort, names, cells, limits) {
  return names.map((_, c) => c).sort(compareBy(sort, names, cells, limits));
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

/** The classes of `order` that pass the filter; what is not defined passes none. @param {number[]} order @param {ArrayLike<number>} cells @param {Filter | null} filter */
export function passing(order, cells, filter) {
  if (!filter) return order;
  return order.filter((c) => {
    const value = ratesOf(cells, 4 * c)[filter.metric];
    return filter.side === "below" ? value < filter.value : value >= filter.value;
  });
}

// Which classes the confusion grid shows, and in which order.
/** @import { Metric, Metrics } from "./metrics.js" */

/** Classes whose metric is below a value, or at least that. @typedef {{metric: Metric, side: "below" | "least", value: number}} Filter */

/** What the classes can be sorted by. @param {Metrics} metrics @returns {[string, string][]} */
export function sortsOf(metrics) {
  return [["given", "given order"], ["name", "name"], ...metrics.names, ["threshold", "threshold"]];
}

/** @param {string} sort @returns {{key: string, falling: boolean}} */
export function readSort(sort) {
  return sort.startsWith("-") ? { key: sort.slice(1), falling: true } : { key: sort, falling: false };
}

/** What comes first. @param {string} sort */
export function sortWords(sort) {
  const { key, falling } = readSort(sort), [rising, sinking] = { given: ["first to last", "last to first"], name: ["A to Z", "Z to A"] }[key] ?? ["lowest first", "highest first"];
  return falling ? `↓ ${sinking}` : `↑ ${rising}`;
}

/** The metric that tiles sorted so carry beside the name. @param {Metrics} metrics @param {string} sort @returns {Metric} */
export function shownBy(metrics, sort) {
  const { key } = readSort(sort);
  return metrics.has(key) ? key : "f1";
}

/** How two classes compare in the order `sort`; an undefined value comes last either way. @param {Metrics} metrics
 * @param {string} sort @param {string[]} names @param {ArrayLike<number>} cells @param {ArrayLike<number>} [limits] thresholds,
 * one a class @returns {(a: number, b: number) => number} */
export function compareBy(metrics, sort, names, cells, limits = []) {
  const { key, falling } = readSort(sort), sign = falling ? -1 : 1;
  if (key === "given") return (a, b) => sign * (a - b);
  if (key === "name") {
    const low = names.map((name) => name.toLowerCase());
    return (a, b) => sign * (low[a] < low[b] ? -1 : low[a] > low[b] ? 1 : 0);
  }
  const values = names.map((_, c) => (key === "threshold" ? limits[c] ?? NaN : metrics.value(shownBy(metrics, sort), cells, 4 * c)));
  return (a, b) => {
    const x = values[a], y = values[b];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y));
    return sign * (x - y);
  };
}

/** The classes in the order `sort`, equal ones as given. @param {Metrics} metrics @param {string} sort @param {string[]} names @param {ArrayLike<number>} cells @param {ArrayLike<number>} [limits] */
export function orderOf(metrics, sort, names, cells, limits) {
  return names.map((_, c) => c).sort(compareBy(metrics, sort, names, cells, limits));
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

/** The classes of `order` that pass the filter; what is not defined passes none. @param {Metrics} metrics @param {number[]} order @param {ArrayLike<number>} cells @param {Filter | null} filter */
export function passing(metrics, order, cells, filter) {
  if (!filter) return order;
  return order.filter((c) => {
    const value = metrics.value(filter.metric, cells, 4 * c);
    return filter.side === "below" ? value < filter.value : value >= filter.value;
  });
}

/** An order that stands while the numbers change, or tiles would jump under the eye, until somebody sorts again.
 * @param {Metrics} metrics */
export function standingOrder(metrics) {
  let order = /** @type {number[]} */ ([]), of = "";
  return {
    /** The first class of it; 0 where there is none. */
    first: () => order[0] ?? 0,
    forget() { of = ""; },
    /** The order, and whether it is still what sorting and filtering now would give.
     * @param {{sort: string, filter: Filter | null}} look @param {string[]} names @param {ArrayLike<number>} cells
     * @param {number[]} limits @param {boolean} unfiltered */
    now({ sort, filter }, names, cells, limits, unfiltered) {
      const wanted = JSON.stringify([sort, filter, unfiltered, names]), only = unfiltered ? null : filter;
      if (of !== wanted) { order = passing(metrics, orderOf(metrics, sort, names, cells, limits), cells, only); of = wanted; }
      const all = names.map((_, c) => c);
      const inPlace = inOrder(order, compareBy(metrics, sort, names, cells, limits)) && (!only
        || (passing(metrics, all, cells, only).length === order.length && passing(metrics, order, cells, only).length === order.length));
      return { order, inPlace };
    },
  };
}

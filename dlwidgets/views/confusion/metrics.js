// Metrics of 2 x 2 counts and their intervals: the kernel's own table of formulas, evaluated here.

/** A formula as the kernel parsed it: a name, a number, or a sign with its parts. @typedef {string | number | any[]} Formula */
/** An entry of the kernel's table of metrics; `share` has Wilson's interval, which `of_share` carries over to the metric.
 * @typedef {{name: string, label: string, formula: Formula, share: Formula | null, of_share: Formula, lowest: number,
 * higher_is_better: boolean, count: boolean}} Entry */
/** A metric by its name. @typedef {string} Metric */
/** @typedef {ReturnType<typeof metricTable>} Metrics */

/** The counts of a class in the order in which they are sent. */
const COUNTS = ["tn", "fp", "fn", "tp"];
/** A 95 % interval reaches so many standard deviations to either side. */
const Z = 1.959963984540054;
/** What formulas are made of; nothing is a share of nothing. @type {Record<string, (a: number, b: number) => number>} */
const SIGNS = {
  "+": (a, b) => a + b, "-": (a, b) => a - b, "*": (a, b) => a * b, "/": (a, b) => (b === 0 ? NaN : a / b),
  gmean: (a, b) => Math.sqrt(a * b),
};

/** Make a function of a formula, which reads the values of its names from `at` on. @param {Formula} formula
 * @param {string[]} [names] @returns {(values: ArrayLike<number>, at: number) => number} */
export function compiled(formula, names = COUNTS) {
  if (typeof formula === "number") return () => formula;
  if (typeof formula === "string") {
    const place = names.indexOf(formula);
    return (values, at) => values[at + place];
  }
  const join = SIGNS[formula[0]], [a, b] = formula.slice(1).map((part) => compiled(part, names));
  return (values, at) => join(a(values, at), b(values, at));
}

/** Wilson's score interval (1927) of `hits` in `of`; NaN of none. @param {number} hits @param {number} of @param {number} [z]
 * @returns {[number, number]} */
export function wilson(hits, of, z = Z) {
  if (!(of > 0)) return [NaN, NaN];
  const middle = (hits + (z * z) / 2) / (of + z * z), half = (z / (of + z * z)) * Math.sqrt((hits * (of - hits)) / of + (z * z) / 4);
  return [hits === 0 ? 0 : middle - half, hits === of ? 1 : middle + half];
}

/** A metric's interval of the cells from `at` on, or null where it has none. @param {Entry} entry */
function intervalBy({ share, of_share }) {
  if (!Array.isArray(share)) return null;
  const [hits, of] = share.slice(1).map((part) => compiled(part)), carried = compiled(of_share, ["share"]);
  return (/** @type {ArrayLike<number>} */ cells, /** @type {number} */ at) =>
    /** @type {[number, number]} */ (wilson(hits(cells, at), of(cells, at)).map((end) => carried([end], 0)));
}

/** The metrics of a class by their names, in the order of the menus. @param {Entry[]} entries */
export function metricTable(entries) {
  const all = new Map(entries.map((entry) => [entry.name, { ...entry, value: compiled(entry.formula), interval: intervalBy(entry) }]));
  /** A metric of four cells [tn, fp, fn, tp] that start at `at`; NaN where it is not defined. @param {Metric} name @param {ArrayLike<number>} cells @param {number} [at] */
  const value = (name, cells, at = 0) => all.get(name)?.value(cells, at) ?? NaN;
  /** @param {boolean} counts */
  const named = (counts) => entries.filter(({ count }) => counts || !count).map(({ name, label }) => /** @type {[string, string]} */ ([name, label]));
  return {
    /** [name, label] of each. */ names: named(true),
    /** The same without those that count samples. */ rates: named(false),
    value,
    /** The 95 % interval of a metric, or null where it is no function of one share. @param {Metric} name @param {ArrayLike<number>} cells @param {number} [at] */
    interval: (name, cells, at = 0) => all.get(name)?.interval?.(cells, at) ?? null,
    /** @param {Metric} name */ hasInterval: (name) => Boolean(all.get(name)?.interval),
    /** @param {string} name */ has: (name) => all.has(name),
    /** A metric as it is written. @param {string} name */ label: (name) => all.get(name)?.label ?? name,
    /** Whether it counts samples. @param {string} name */ isCount: (name) => all.get(name)?.count ?? false,
    /** @param {string} name */ lowest: (name) => all.get(name)?.lowest ?? 0,
    /** 1 where more is better, else -1. @param {string} name */ direction: (name) => (all.get(name)?.higher_is_better === false ? -1 : 1),
    /** A metric on average: macro leaves out the classes where it is NaN, micro pools the counts. Counts are sums.
     * @param {Metric} name @param {ArrayLike<number>} cells @returns {{macro: number, micro: number}} */
    average(name, cells) {
      const pooled = [0, 0, 0, 0];
      let sum = 0, known = 0;
      for (let at = 0; at < cells.length; at += 4) {
        pooled.forEach((_, i) => { pooled[i] += cells[at + i]; });
        const of = value(name, cells, at);
        if (!Number.isNaN(of)) { sum += of; known += 1; }
      }
      return { macro: all.get(name)?.count ? sum : sum / known, micro: value(name, pooled) };
    },
  };
}

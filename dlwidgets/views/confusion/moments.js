// The moments of a run: its evaluations, the lines that they lie on, and what changed between two of them.

import { whole } from "../front.js";

/** @typedef {import("./metrics.js").Metrics} Metrics */
/** An evaluation that was kept: its step, its epoch, its line. @typedef {{step: number, epoch: number, line: string}} Moment */
/** A line with its moments by number and, first in `drawn`, that at which it parted from another. @typedef {{line: string, own: number[], drawn: number[]}} Line */
/** The past as it is drawn: C classes, moments, their cells (E x 4 C). @typedef {{moments: Moment[], cells: ArrayLike<number>, classes: number}} Past */
/** What a class gained from one moment to another. @typedef {{c: number, a: number, b: number, change: number}} Change */

/** What a moment is called. @param {Moment} moment @param {boolean} several whether there are several lines */
export function momentWords({ step, epoch, line }, several) {
  return `${epoch ? `epoch ${whole(epoch)}, ` : ""}step ${whole(step)}${several ? ` (${line})` : ""}`;
}

/** The lines of the run. @param {Moment[]} moments @returns {Line[]} */
export function linesOf(moments) {
  /** @type {Map<string, number[]>} */
  const lines = new Map();
  moments.forEach(({ line }, i) => lines.set(line, [...(lines.get(line) ?? []), i]));
  return [...lines].map(([line, own]) => {
    const begun = moments[own[0]].step;
    let from = -1;
    moments.forEach((moment, i) => {
      if (moment.line !== line && i < own[0] && moment.step < begun && (from < 0 || moment.step >= moments[from].step)) from = i;
    });
    return { line, own, drawn: from < 0 ? own : [from, ...own] };
  });
}

/** The classes that both moments know, from the one that gained most to the one that lost most.
 * @param {Metrics} metrics @param {Past} past @param {number} a @param {number} b @param {string} metric
 * @returns {Change[]} */
export function changesBetween(metrics, { cells, classes }, a, b, metric) {
  const rows = Array.from({ length: classes }, (_, c) => {
    const [then, now] = [a, b].map((moment) => metrics.value(metric, cells, 4 * (moment * classes + c)));
    return { c, a: then, b: now, change: now - then };
  });
  // What cannot be compared comes last.
  return rows.sort((x, y) => Number(Number.isNaN(x.change)) - Number(Number.isNaN(y.change)) || y.change - x.change || x.c - y.c);
}

/** How many classes went which way, in words. @param {{change: number}[]} changes @param {number} [direction] -1 where less is better @param {number} [least] a difference that shows */
export function changeWords(changes, direction = 1, least = 0.005) {
  const better = changes.filter(({ change }) => direction * change >= least).length, worse = changes.filter(({ change }) => direction * change <= -least).length;
  const open = changes.filter(({ change }) => Number.isNaN(change)).length, same = changes.length - better - worse - open;
  return [`${better} better`, `${worse} worse`, `${same} the same`, open ? `${open} not to be compared` : ""].filter(Boolean).join(", ");
}

/** A difference with its sign. @param {number} x */
export function signed(x) {
  return Number.isNaN(x) ? "n/a" : Math.abs(x) < 0.005 ? "0.00" : `${x > 0 ? "+" : "−"}${Math.abs(x).toFixed(2)}`;
}

/** Two moments that a person chose of the past; null follows the first and the newest of the line that is under way. */
export function momentPair() {
  /** @type {(Moment | null)[]} */
  const chosen = [null, null];
  /** The number of the newest moment of a line, else of all. @param {Moment[]} moments @param {Line[]} lines @param {string} line */
  const newest = (moments, lines, line) => lines.find((one) => one.line === line)?.own.slice(-1)[0] ?? moments.length - 1;
  return {
    chosen,
    newest,
    /** The number of each among the moments that are here now, or that of the nearest of its line. @param {Moment[]} moments @param {Line[]} lines @param {string} line under way */
    numbers: (moments, lines, line) => chosen.map((wanted, which) => {
      const own = wanted ? lines.find((one) => one.line === wanted.line)?.own : undefined;
      if (!wanted || !own) return which ? newest(moments, lines, line) : 0;
      return own.reduce((best, i) => (Math.abs(moments[i].step - wanted.step) < Math.abs(moments[best].step - wanted.step) ? i : best), own[0]);
    }),
  };
}

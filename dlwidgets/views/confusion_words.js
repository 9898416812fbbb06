// The confusion grid in words and written numbers.

import { count, whole, sig } from "./front.js";
import { ratesOf } from "./confusion_counts.js";

/** @typedef {import("./confusion_counts.js").Rates} Rates */

/** A rate in two digits. @param {number} x */
export function share(x) { return Number.isNaN(x) ? "n/a" : x.toFixed(2); }

/** A metric as it is written. @param {Rates} rates @param {keyof Rates} metric */
export function written(rates, metric) {
  return metric === "support" ? short(rates.support) : share(rates[metric]);
}

/** Made once: toLocaleString() looks the language up each time, which took half of a repaint. */
const GROUPED = new Intl.NumberFormat("en-US");

/** A count that fits a cell: whole up to 99,999, then 1.21 M. @param {number} n @param {number} [room] most characters */
export function short(n, room = 6) {
  const text = GROUPED.format(n);
  return text.length <= room ? text : count(n);
}

/** A threshold as the slider says it: three digits, more where it has them. @param {number} t */
export function position(t) {
  if (Math.abs(t) >= 1000) return sig(t, 3);
  return Math.abs(t * 1000 - Math.round(t * 1000)) < 1e-9 ? t.toFixed(3) : t.toFixed(4);
}

/**
 * A cell of a tile in words. Cells: 0 is not, not said; 1 is not, said; 2 is, missed; 3 is, found.
 * @param {number} cell @param {number} n @param {string} name @param {string} task
 */
export function sentence(cell, n, name, task) {
  const one = n === 1, many = whole(n), were = one ? "was" : "were";
  const has = task === "multilabel" ? (one ? "has" : "have") : (one ? "is" : "are");
  const hasNot = task === "multilabel" ? (one ? "does not have" : "do not have") : (one ? "is not" : "are not");
  const said = task === "multilabel" ? "said to" : "said to be";
  return [
    `${many} ${hasNot} ${name} and ${were} not ${said}`,
    `${many} ${hasNot} ${name} but ${were} ${said}`,
    `${many} ${has} ${name} and ${were} missed`,
    `${many} ${has} ${name} and ${were} found`,
  ][cell];
}

/** What the four cells mean, before a class is pointed at. @param {number} cell */
export function meaning(cell) {
  return ["is not, and was not said to be", "is not, but was said to be", "is, but was missed", "is, and was found"][cell];
}

/** A tile for those who hear it. @param {string} name @param {ArrayLike<number>} cells @param {number} at @param {string} task */
export function spoken(name, cells, at, task) {
  const rates = ratesOf(cells, at);
  const words = [3, 2, 1, 0].map((i) => sentence(i, cells[at + i], name, task));
  return `${name}: F1 ${share(rates.f1)}, precision ${share(rates.precision)}, recall ${share(rates.recall)}. ${words.join("; ")}.`;
}

/** What the numbers are of. @param {{task: string, samples: number, validation: boolean, step: number | null}} about @param {number} classes */
export function headline(about, classes) {
  const parts = [`${whole(about.samples)} ${about.validation ? "validation " : ""}${about.samples === 1 ? "sample" : "samples"}`];
  if (classes > 1) parts.push(`${whole(classes)} classes${about.task === "multiclass" ? ", each against the rest" : ""}`);
  if (about.step !== null && about.step !== undefined) parts.push(`after step ${whole(about.step)}`);
  return parts.join(" · ");
}

// Fine-tuning in words and in places: blocks, what is frozen, how long a comparison takes, where curves lie.

import { clock, count, rate, sig, whole } from "../front.js";

/** A block of the model: its name in short and whole, its kind, its parameters, whether it belongs to the head. @typedef {[string, string, string, number, boolean]} Block */
/** One start: its losses, what it came to, how long it took. @typedef {{name: string, line: string, taken: number, steps: number, ended: boolean, losses: (number | null)[], last: number | null, value: number | null,
 *   seconds: number | null, best: boolean, note: string, parameters: number | null}} Start */

/** What a letter of the states means. @type {Record<string, string>} */
export const STATES = { y: "trains", n: "frozen", p: "partly frozen" };

/** A share in percent, as few digits as tell it from none and from all. @param {number} part @param {number} all */
export function percent(part, all) {
  const share = all ? (100 * part) / all : 0;
  if (!share || share === 100) return `${share} %`;
  return `${share < 0.01 ? "<0.01" : share > 99.9 ? "99.9" : sig(share, share < 10 ? 2 : 3)} %`;
}

/** What trains of a model, in words. @param {{parameters: number, trained: number}} about */
export function trainedWords({ parameters, trained }) {
  if (!parameters) return "no parameters";
  if (trained === parameters) return `all ${whole(parameters)} parameters train`;
  return `${whole(trained)} of ${whole(parameters)} parameters train (${percent(trained, parameters)})`;
}

/** A block in words, as the pointer or a screen reader asks for it. @param {Block} block @param {string} state @param {number} all parameters of the model @param {number | null} [at] its rate */
export function blockWords([, title, kind, parameters], state, all, at = null) {
  const moves = state !== "n" && at !== null ? ` at ${rate(at)}` : "";
  return `${title} · ${kind} · ${whole(parameters)} parameters (${percent(parameters, all)}) · ${STATES[state]}${moves}`;
}

/** How many blocks from the left are frozen. @param {string} states */
export function frozenPrefix(states) { return /^n*/.exec(states)?.[0].length ?? 0; }

/** The states once all up to a place is frozen. @param {string} states @param {number} upto how many blocks */
export function frozenTo(states, upto) { return [...states].map((_, i) => (i < upto ? "n" : "y")).join(""); }

/** What the slider says. @param {Block[]} blocks @param {number} upto */
export function uptoWords(blocks, upto) { return upto ? `Frozen up to ${blocks[upto - 1]?.[1]}` : "Nothing frozen from the input on"; }

/** Runs of blocks that belong together: where each begins and ends, and whether it is the head. @param {Block[]} blocks @returns {{from: number, to: number, head: boolean}[]} */
export function runsOf(blocks) {
  const runs = /** @type {{from: number, to: number, head: boolean}[]} */ ([]);
  blocks.forEach(([, , , , head], i) => {
    const last = runs[runs.length - 1];
    if (last && last.head === head) last.to = i + 1; else runs.push({ from: i, to: i + 1, head });
  });
  return runs;
}

/** The block that a key goes to from another, or -1. @param {string} key @param {number} at @param {number} many */
export function blockAt(key, at, many) {
  const to = /** @type {Record<string, number>} */ ({ ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: many - 1 })[key];
  return to === undefined ? -1 : Math.min(many - 1, Math.max(0, to));
}

/** How long a comparison takes, in words. @param {number | null | undefined} seconds of an epoch of all three @param {number} epochs */
export function costWords(seconds, epochs) {
  if (!(epochs > 0)) return "A whole number of epochs, 1 or more, is wanted.";
  if (seconds === null || seconds === undefined) return "How long it takes shows once steps were taken.";
  return `All three take about ${clock(seconds * epochs)}.`;
}

/** Seconds as short as tells them apart: 0.42 s, 4.2 s, 42 s, 2:14. @param {number | null} seconds */
export function tookWords(seconds) { return seconds === null ? "" : seconds < 10 ? `${sig(seconds, 2)} s` : clock(seconds); }

/** How many parameters a start trains. @param {number | null} parameters */
export function trainsWords(parameters) { return parameters === null ? "" : `${count(parameters)} train`; }

/** Where several curves lie on one height, from the top as shares: from the least to somewhat above where they began. @param {(number | null)[][]} rows */
export function lossHeights(rows) {
  const known = rows.flat().flatMap((one) => one ?? []);
  if (!known.length) return { low: 0, high: 1, place: () => 1 };
  const low = Math.min(...known), began = Math.max(...rows.flatMap((row) => row.find((one) => one !== null) ?? []), low);
  const high = began + 0.05 * Math.max(began - low, 0.1 * Math.abs(began), 1e-12);
  return { low, high, place: (/** @type {number} */ value) => Math.min(1, Math.max(0, (high - value) / (high - low || 1))) };
}

/** A curve as the `d` of a path; a gap for each null. `share` says how much of the width it takes. @param {(number | null)[]} values @param {(value: number) => number} place
 * @param {number} width @param {number} height @param {number} [share] */
export function curvePath(values, place, width, height, share = 1) {
  let pen = "M";
  return values.map((value, i) => {
    if (value === null) { pen = "M"; return ""; }
    const to = `${pen}${((share * width * i) / Math.max(1, values.length - 1)).toFixed(1)} ${(height * place(value)).toFixed(1)}`;
    pen = "L";
    return to;
  }).join("");
}

/** Places for labels that want to stand at some, apart by a least distance, in order, all within 0 and `most`. @param {number[]} wanted @param {number} apart @param {number} most */
export function spread(wanted, apart, most) {
  const order = wanted.map((at, i) => ({ at, i })).sort((a, b) => a.at - b.at), found = [...wanted];
  let last = -Infinity;
  for (const one of order) { last = Math.max(one.at, last + apart); found[one.i] = last; }
  let next = most + apart;
  for (const one of [...order].reverse()) { next = Math.min(found[one.i], next - apart); found[one.i] = next; }
  return found;
}

/** The last proof; before any, what there will be; where nothing is frozen, what freezing would give. @param {{words?: string, holds?: boolean}} last @param {string} states @param {boolean} splits */
export function proofWords({ words, holds }, states, splits) {
  if (/[np]/.test(states)) return words ? `${holds ? "✓" : "▲ Changed:"} ${words}` : "After each epoch it is proved here that what is frozen has not moved.";
  return splits ? "Everything trains. A model that was trained before learns a new task faster, and from less data, with its backbone frozen at first: “Head only”." : "";
}

/** What a fold says while it is closed, of rates. @param {{name: string, factor: number}[]} rows */
export function ratesLine(rows) { return rows.length ? rows.map(({ name, factor }) => `${name} × ${sig(factor, 2)}`).join(", ") : "one rate for all"; }

/** Of a timetable: what is due next. @param {{name: string, number: number, unit: string, done: boolean}[]} rows */
export function timesLine(rows) {
  const next = rows[nextDue(rows.map((row) => (row.done ? null : row)))];
  return next ? `next: ${next.name} ${afterWords(next)}` : rows.length ? "all done" : "nothing planned";
}

/** When, in words. @param {{number: number, unit: string}} row */
export function afterWords({ number, unit }) { return `after ${whole(number)} ${unit}${number === 1 ? "" : "s"}`; }

/** Which of the rows that are not done comes first, of one unit; -1 for none. @param {({number: number, unit: string} | null)[]} rows */
export function nextDue(rows) {
  let best = -1;
  rows.forEach((row, i) => {
    const known = rows[best];
    if (row && (!known || (known.unit === row.unit && row.number < known.number))) best = i;
  });
  return best;
}

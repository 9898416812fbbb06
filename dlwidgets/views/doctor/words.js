// The doctor in words and in paths: marks of severity, what is new, charts of evidence as lines and bars.

import { sig, whole } from "../front.js";

/** @typedef {{values: (number | null)[], label: string, limit: number | null, kind: string, names: string[]}} Chart */
/** A remedy as a button: `back` says where the run goes first, `full` all of it, `off` why it cannot be pressed, or "". @typedef {{name: string, label: string, back: string, full: string, off: string}} Offer */
/** @typedef {{key: string, severity: string, title: string, sentence: string, why: string, layer: string | null, step: number, when: string,
 *   over: boolean, chart: Chart | null, remedies: Offer[]}} Finding */

/** What is to be said aloud: the titles of lasting findings that were not there before. Numbers in a title move, its key stays.
 * @param {Finding[]} findings @param {Set<string>} known keys of those that were said; is changed to those of now */
export function news(findings, known) {
  const lasting = findings.filter(({ over }) => !over), fresh = lasting.filter(({ key }) => !known.has(key));
  known.clear();
  for (const { key } of lasting) known.add(key);
  return fresh.map(({ severity, title }) => `Doctor, ${severity}: ${title}`).join(". ");
}

/** Remedies by where the run goes first, in order. @param {Offer[]} offers @returns {[string, Offer[]][]} */
export function byWay(offers) {
  const ways = new Map(/** @type {[string, Offer[]][]} */ ([]));
  for (const one of offers) ways.set(one.back, [...(ways.get(one.back) ?? []), one]);
  return [...ways];
}

/** What was checked: a line for each outcome and each reason, in order. @param {string[][]} rows label, outcome, why */
export function checkLines(rows) {
  const lines = new Map(/** @type {[string, string[]][]} */ ([]));
  for (const [label, outcome, why] of rows) {
    const key = why ? `${outcome} (${why})` : outcome;
    lines.set(key, [...(lines.get(key) ?? []), label]);
  }
  return [...lines].map(([key, labels]) => `${key}: ${labels.join(", ")}`);
}

/** How a chart's values lie on its height: `place` gives a share from the top, and `log` says whether each power of ten takes as much.
 * @param {(number | null)[]} values @param {number | null} limit @param {boolean} [bars] whether they stand on zero */
export function heights(values, limit, bars = false) {
  const known = values.filter((one) => one !== null), all = limit === null ? known : [...known, limit];
  let low = Math.min(...all, ...(bars ? [0] : [])), high = Math.max(...all);
  const log = !bars && low > 0 && high / low > 50;
  if (log) { low = Math.log10(low); high = Math.log10(high); }
  const span = high - low || 1;
  return { log, place: (/** @type {number} */ value) => Math.min(1, Math.max(0, (high - (log ? Math.log10(value) : value)) / span)) };
}

/** Where losses of several trials lie on one height: from the least to somewhat above where they began; what explodes goes out at the top and flattens
 * none of the others. @param {(number | null)[][]} rows */
export function trialHeights(rows) {
  const first = rows.flatMap(([one]) => one ?? []), low = Math.min(...rows.flat().flatMap((one) => one ?? [])), began = Math.max(...first, low);
  const high = began + 0.5 * Math.max(began - low, 0.1 * Math.abs(began), 1e-12);
  return (/** @type {number} */ value) => Math.min(1, Math.max(0, (high - value) / (high - low || 1)));
}

/** A line as the `d` of a path in a box; a gap for each null. @param {(number | null)[]} values @param {(value: number) => number} place
 * @param {number} width @param {number} height */
export function pathOf(values, place, width, height) {
  let pen = "M";
  return values.map((value, i) => {
    if (value === null) { pen = "M"; return ""; }
    const x = values.length > 1 ? (width * i) / (values.length - 1) : width / 2, to = `${pen}${x.toFixed(1)} ${(1 + (height - 2) * place(value)).toFixed(1)}`;
    // A value between two gaps is a dot.
    const alone = pen === "M" && (values[i + 1] ?? null) === null ? "h0.1" : "";
    pen = "L";
    return to + alone;
  }).join("");
}

/** What stands below a chart. @param {Chart} chart */
export function chartWords({ values, label, limit, kind, names }) {
  const known = values.flatMap((value, i) => (value === null ? [] : [{ value, name: names[i] ?? "" }]));
  if (!known.length) return label;
  const held = limit === null ? "" : ` · limit ${sig(limit, 3)}`;
  if (kind !== "bars") return `${label}: ${sig(known[0].value, 3)} → ${sig(known[known.length - 1].value, 3)}${held}`;
  const most = known.reduce((a, b) => (b.value > a.value ? b : a)), least = known.reduce((a, b) => (b.value < a.value ? b : a));
  const of = (/** @type {{value: number, name: string}} */ { value, name }) => `${name} ${Number.isInteger(value) ? whole(value) : sig(value, 3)}`.trim();
  return known.length === 1 || most === least ? `${label}: ${of(most)}${held}` : `${label}: from ${of(least)} to ${of(most)}${held}`;
}

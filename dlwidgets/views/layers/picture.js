// What the kernel has sent of the layers, as a tree with live numbers, and the lines of it that are to be seen.

import { numbers } from "../front.js";
import { foundLines, lineOf, openedAtFirst, seenLines, sortedLines, treeOf } from "./tree.js";
import { together } from "./words.js";

/** @typedef {import("./tree.js").Tree} Tree */
/** @typedef {import("./tree.js").Line} Line */
/** @typedef {import("./words.js").Live} Live */

/** `read` and `measured` are the traits that `tree` and `live` were made from. @typedef {{tree: Tree | null, opened: Set<string>, live: Live, read: any[], measured: any[]}} Picture */

/**
 * How this page looks at the table: sort, the folds that a person has turned, the columns chosen; and in a search the
 * folds turned among what it found. `version` counts what changes the lines.
 * @typedef {{sort: string, turned: Set<string>, chosen: string[] | null, searched: {query: string, turned: Set<string>}, version: number}} Look
 */

/** The numbers of the lines in order; in a search those `found` and those `open`. @typedef {{of: string, lines: number[], found: Set<number> | null, open: Set<number> | null, flat: boolean}} Listing */

/** @returns {Picture} */
export function emptyPicture() {
  const live = { at: new Int32Array(0), stats: new Float32Array(0), sparks: new Uint8Array(0), points: 0, dead: new Map() };
  return { tree: null, opened: new Set(), live, read: [], measured: [] };
}

/** The look that the kernel has kept of another page. @param {any} kept @returns {Look} */
export function lookFrom(kept) {
  return { sort: String(kept?.sort ?? "tree"), turned: new Set(kept?.turned ?? []), chosen: kept?.columns ?? null, searched: { query: "", turned: new Set() }, version: 0 };
}

/** Read the model afresh, what has changed of it. @param {Picture} picture @param {Look} look @param {import("../front.js").Model} model */
export function readPicture(picture, look, model) {
  const of = ["rows", "sizes"].map((name) => model.get(name));
  if (of.some((value, i) => value !== picture.read[i])) {
    picture.read = of;
    picture.tree = of[0]?.length ? treeOf(of[0], /** @type {Float64Array} */ (/** @type {unknown} */ (numbers(of[1], /** @type {any} */ (Float64Array)))), "") : null;
    picture.opened = picture.tree ? openedAtFirst(picture.tree) : new Set();
    look.version += 1;
  }
  const { tree } = picture;
  if (!tree) return;
  tree.trains = model.get("trains") ?? "";
  const now = ["measured", "stats", "sparks", "dead"].map((name) => model.get(name));
  if (!now.some((bytes, i) => bytes !== picture.measured[i])) return;
  picture.measured = now;
  picture.live = liveFrom(now, tree.rows.length, model.get("moment")?.points ?? 0);
}

/** @param {any[]} traits measured, stats, sparks, dead @param {number} rows @param {number} points @returns {Live} */
function liveFrom([measured, stats, sparks, dead], rows, points) {
  const at = new Int32Array(rows).fill(-1), byRow = new Map(), units = numbers(dead, Int32Array);
  numbers(measured, Int32Array).forEach((row, place) => { at[row] = place; });
  for (let i = 0; i < units.length; i += 4) byRow.set(units[i], { dead: units[i + 1], units: units[i + 2], own: units[i + 3] === 1 });
  return { dead: byRow, at, stats: numbers(stats, Float32Array), sparks: numbers(sparks, Uint8Array), points };
}

/** What a sort by live numbers goes by. @param {Live} live @param {number} row @returns {import("./tree.js").Measured} */
function measuredOf(live, row) {
  const { weight, grad, ratio } = together(live, row, row + 1) ?? { weight: NaN, grad: NaN, ratio: NaN }, units = live.dead.get(row);
  return { weight, grad, ratio, dead: units ? units.dead / Math.max(1, units.units) : NaN };
}

/** Whether a line is unfolded; `i` is its number, -1 outside of a search. @param {Picture} picture @param {Look} look @param {Listing} listing @param {Line} line @param {number} i */
export function isOpen({ opened }, { turned }, listing, line, i) {
  return listing.open ? listing.open.has(i) : line.children.length > 0 && opened.has(line.key) !== turned.has(line.key);
}

/** The lines to be seen: `before` where nothing has changed them. @param {Listing} before @param {Picture} picture @param {Look} look @param {string} query @returns {Listing} */
export function listLines(before, picture, look, query) {
  const { tree, live } = picture;
  if (!tree) return before;
  const flat = look.sort !== "tree";
  // An order by live numbers stands until somebody sorts again, or lines would jump under the eye.
  const of = [look.version, look.sort, query, flat && live.stats.length > 0].join("|");
  if (of === before.of) return before;
  if (flat) return { of, lines: sortedLines(tree, look.sort, query, (row) => measuredOf(live, row)), found: null, open: null, flat };
  if (query) {
    if (query !== look.searched.query) look.searched = { query, turned: new Set() };
    const { list, found, open } = foundLines(tree, query, look.searched.turned);
    return { of, lines: list, found, open, flat };
  }
  const whole = { of, lines: /** @type {number[]} */ ([]), found: null, open: null, flat };
  return { ...whole, lines: seenLines(tree, (line) => isOpen(picture, look, whole, line, -1)) };
}

/** Every layer in the order shown; in a search, those found. @param {Tree} tree @param {Listing} listing */
export function rowsListed({ lines, rows }, listing) {
  const of = (/** @type {number} */ i) => lines[i].row;
  if (listing.flat) return listing.lines.map(of);
  return listing.found ? [...listing.found].map(of).sort((a, b) => a - b) : rows.map((_, i) => i);
}

/** Turn a key in or out of a set. @param {string} key @param {Set<string>} set */
export function flip(key, set) { if (!set.delete(key)) set.add(key); }

/** Unfold whatever the layer at `path` lies in; return its line, or null. @param {Picture} picture @param {Look} look @param {string | null} path @returns {Line | null} */
export function unfoldTo({ tree, opened }, look, path) {
  const at = tree ? lineOf(tree, path) : -1;
  if (!tree || at < 0) return null;
  for (let up = tree.lines[at].parent; up >= 0; up = tree.lines[up].parent) {
    const { key } = tree.lines[up];
    if (opened.has(key) === look.turned.has(key)) { flip(key, look.turned); look.version += 1; }
  }
  return tree.lines[at];
}

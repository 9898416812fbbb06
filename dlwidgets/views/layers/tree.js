// The layer table as a tree: what repeats, what is open, what a search finds, what a sort puts first; and with live numbers, as sent.

import { numbers } from "../front.js";
import { together } from "./words.js";

/** @typedef {import("./words.js").Live} Live */

/** What the kernel says of a layer: name, depth, type, detail, output shape, remark, whether weights are tied, input shape, dtype, calls. @typedef {[string, number, string, string, string, string, boolean, string, string, number]} Row */

/** A line of the tree: a layer, or a run of siblings that are all alike. `row` is its (first) layer, `end` the
 * layer behind its last. `times` counts the alike siblings of a run, or the alike layers in a list of such.
 * @typedef {{key: string, row: number, end: number, level: number, parent: number, place: number, children: number[], run: boolean, times: number}} Line */

/** @typedef {{rows: Row[], paths: string[], parents: Int32Array, ends: Int32Array, sizes: Float64Array, trains: string, lines: Line[]}} Tree */

/** Numbers of a layer in `sizes`: parameters, MACs, activation bytes, with all inside; own parameters; parameter bytes. */
export const SIZES = 5;
/** So many alike siblings are shown as one line: layers that hold others, and plain ones. */
const ALIKE = 2, ALIKE_PLAIN = 4;
/** A table opens as deep as leaves it at most so many lines. */
const OPENED = 40;
/** Containers that do nothing themselves. */
const LISTS = new Set(["Sequential", "ModuleList", "ModuleDict"]);

/** Build the tree of lines. A parent stands before its children.
 * @param {Row[]} rows @param {Float64Array} sizes N x 5 @param {string} trains a letter a row @returns {Tree} */
export function treeOf(rows, sizes, trains) {
  const n = rows.length, paths = /** @type {string[]} */ (new Array(n)), parents = new Int32Array(n).fill(-1), ends = new Int32Array(n).fill(n);
  const children = /** @type {number[][]} */ (rows.map(() => []));
  /** @type {number[]} */
  const above = [];
  for (let i = 0; i < n; i++) {
    const [name, depth] = rows[i];
    while (above.length > depth) ends[/** @type {number} */ (above.pop())] = i;
    const up = above.length ? above[above.length - 1] : -1;
    parents[i] = up;
    paths[i] = up < 0 ? "" : paths[up] ? `${paths[up]}.${name}` : name;
    if (up >= 0) children[up].push(i);
    above.push(i);
  }
  const kinds = kindsOf(rows, sizes, children);
  /** @type {Line[]} */
  const lines = [];
  // The line of alike siblings (or of one layer), and all inside it. A stack, not recursion: a model may be deeper
  // than the browser's stack.
  const waiting = n ? [{ siblings: [0], parent: -1, place: 0 }] : [];
  while (waiting.length) {
    const { siblings: alike, parent, place } = /** @type {typeof waiting[0]} */ (waiting.pop());
    const row = alike[0], last = alike[alike.length - 1], run = alike.length > 1, me = lines.length;
    let inside = run ? alike.map((one) => [one]) : runsOf(children[row], { rows, children, kinds });
    const list = !run && parent >= 0 && inside.length === 1 && inside[0].length > 1 && LISTS.has(rows[row][2]);
    // The list's own line stands for the run.
    if (list) inside = children[row].map((one) => [one]);
    lines.push({
      key: run ? `${paths[row]}~${rows[last][0]}` : paths[row], row, end: ends[last], level: parent < 0 ? 1 : lines[parent].level + 1,
      parent, place, children: [], run, times: run ? alike.length : list ? inside.length : 1,
    });
    if (parent >= 0) lines[parent].children.push(me);
    for (let i = inside.length - 1; i >= 0; i--) waiting.push({ siblings: inside[i], parent: me, place: i });
  }
  return { rows, paths, parents, ends, sizes, trains, lines };
}

/** Number the layers so that alike ones, with all inside them, have the same number. Whether they train is left
 * out: freezing one must not fold the tree anew under the pointer.
 * @param {Row[]} rows @param {Float64Array} sizes @param {number[][]} children */
function kindsOf(rows, sizes, children) {
  /** @type {Map<string, number>} */
  const seen = new Map();
  const kinds = new Int32Array(rows.length);
  // Children stand behind their parent, so that from the end they are known first.
  for (let i = rows.length - 1; i >= 0; i--) {
    const inside = children[i].map((child) => `${rows[child][0]} ${kinds[child]}`);
    const key = JSON.stringify([rows[i].slice(2), sizes[SIZES * i], sizes[SIZES * i + 1], inside]);
    const known = seen.get(key) ?? seen.size;
    seen.set(key, known);
    kinds[i] = known;
  }
  return kinds;
}

/** Siblings as runs of alike ones. @param {number[]} siblings @param {{rows: Row[], children: number[][], kinds: Int32Array}} from */
function runsOf(siblings, { rows, children, kinds }) {
  /** @type {number[][]} */
  const runs = [];
  for (let i = 0; i < siblings.length;) {
    let j = i + 1;
    while (j < siblings.length && kinds[siblings[j]] === kinds[siblings[i]] && follows(rows[siblings[j - 1]][0], rows[siblings[j]][0])) j++;
    if (j - i >= (children[siblings[i]].length ? ALIKE : ALIKE_PLAIN)) runs.push(siblings.slice(i, j));
    else for (let k = i; k < j; k++) runs.push([siblings[k]]);
    i = j;
  }
  return runs;
}

/** Whether two names differ in the number at their end alone: 3 and 4, layer1 and layer2. @param {string} one @param {string} next */
export function follows(one, next) {
  const a = one.match(/^(.*?)(\d+)$/), b = next.match(/^(.*?)(\d+)$/);
  return !!a && !!b && a[1] === b[1];
}

/** What a line is called: its name; "0–5 ×6" for a run; "blocks ×6" for a folded list. @param {Tree} tree @param {Line} line @param {boolean} open */
export function nameOf(tree, line, open) {
  const name = tree.rows[line.row][0];
  if (line.run) {
    const last = tree.lines[line.children[line.children.length - 1]].row;
    return `${name}–${tree.rows[last][0].match(/\d+$/)?.[0] ?? ""} ×${line.times}`;
  }
  return line.times > 1 && !open ? `${name} ×${line.times}` : name;
}

/** What the columns are made as wide as. @param {Tree} tree @returns {import("./columns.js").Held} */
export function heldBy(tree) {
  const held = { names: /** @type {string[]} */ ([""]), input: "", output: "" };
  const longer = (/** @type {string} */ one, /** @type {string | undefined} */ other = "") => (one.length > other.length ? one : other);
  for (const line of tree.lines) held.names[line.level] = longer(nameOf(tree, line, false), held.names[line.level]);
  for (const row of tree.rows) { held.output = longer(row[4], held.output); held.input = longer(row[7], held.input); }
  return held;
}

/** The layer whose type and shape a line shows: a folded list shows what it holds. @param {Tree} tree @param {Line} line @param {boolean} open */
export function shownBy(tree, line, open) {
  return !line.run && line.times > 1 && !open ? tree.lines[line.children[0]].row : line.row;
}

/** The letter of a line in `trains`: of a run, "p" where its layers differ. @param {Tree} tree @param {Line} line */
export function letterOf({ trains, lines }, line) {
  if (!line.run) return trains[line.row] ?? "-";
  const letters = new Set(line.children.map((child) => trains[lines[child].row] ?? "-"));
  letters.delete("-");
  return letters.size > 1 ? "p" : [...letters][0] ?? "-";
}

/** The paths of the layers that a line stands for. @param {Tree} tree @param {Line} line */
export function pathsOf({ paths, lines }, line) {
  return line.run ? line.children.map((child) => paths[lines[child].row]) : [paths[line.row]];
}

/** Parameters, MACs (0, 1) or activation bytes (2) of a line, parameter bytes (4): of a run, all together, but tied weights once. @param {Tree} tree @param {Line} line @param {number} which */
export function sizeOf(tree, line, which) {
  return tree.sizes[SIZES * line.row + which] * (line.run && !((which === 0 || which === 4) && tree.rows[line.row][6]) ? line.times : 1);
}

/** The keys of lines that are open before anybody turned one: what repeats is folded, and the rest is open as
 * deep as there is room for.
 * @param {Tree} tree @returns {Set<string>} */
export function openedAtFirst({ lines }) {
  const can = (/** @type {Line} */ line) => line.children.length > 0 && (line.times === 1 || line.parent < 0);
  /** @type {number[]} */
  const wide = [];
  /** @type {boolean[]} */
  const seen = [];
  lines.forEach((line, i) => {
    seen[i] = line.parent < 0 || (seen[line.parent] && can(lines[line.parent]));
    if (seen[i]) wide[line.level] = (wide[line.level] ?? 0) + 1;
  });
  let deepest = 2, total = (wide[1] ?? 0) + (wide[2] ?? 0);
  while (wide[deepest + 1] && total + wide[deepest + 1] <= OPENED) total += wide[++deepest];
  return new Set(lines.filter((line, i) => seen[i] && can(line) && line.level < deepest).map((line) => line.key));
}

/** The numbers of the lines that are to be seen, in order. @param {Tree} tree @param {(line: Line) => boolean} isOpen @returns {number[]} */
export function seenLines({ lines }, isOpen) {
  /** @type {number[]} */
  const list = [];
  const waiting = lines.length ? [0] : [];
  while (waiting.length) {
    const at = /** @type {number} */ (waiting.pop());
    list.push(at);
    const { children } = lines[at];
    if (isOpen(lines[at])) for (let i = children.length - 1; i >= 0; i--) waiting.push(children[i]);
  }
  return list;
}

/** Whether a layer's path, type, detail or remark holds all words of the search, in any case. @param {Tree} tree @param {number} row @param {string[]} words */
function matches(tree, row, words) {
  const [name, , kind, detail, , remark] = tree.rows[row];
  const text = `${tree.paths[row] || name} ${kind} ${detail} ${remark}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

/** A search as words. @param {string} query */
export function wordsOf(query) { return query.toLowerCase().split(/\s+/).filter(Boolean); }

/** The lines that a search finds (`found`), those around them, and which of all these are open: those that hold
 * something found, unless a person has `turned` them. What a person opens shows all it holds.
 * @param {Tree} tree @param {string} query @param {Set<string>} [turned]
 * @returns {{list: number[], found: Set<number>, open: Set<number>}} */
export function foundLines(tree, query, turned = new Set()) {
  const words = wordsOf(query), found = new Set(), keep = new Set(), open = new Set(), list = [];
  tree.lines.forEach((line, i) => {
    if (line.run || !matches(tree, line.row, words)) return;
    found.add(i);
    for (let at = i; at >= 0 && !keep.has(at); at = tree.lines[at].parent) keep.add(at);
  });
  const waiting = keep.has(0) ? [0] : [];
  while (waiting.length) {
    const at = /** @type {number} */ (waiting.pop()), { children, key } = tree.lines[at], kept = children.filter((child) => keep.has(child));
    list.push(at);
    if (!children.length || kept.length > 0 === turned.has(key)) continue;
    open.add(at);
    const inside = kept.length ? kept : children;
    for (let i = inside.length - 1; i >= 0; i--) waiting.push(inside[i]);
  }
  return { list, found, open };
}

/** What is measured of a layer, NaN where it is not. @typedef {{weight: number, grad: number, ratio: number, dead: number}} Measured */

/** "-params" as a key and a direction. @param {string} sort */
export function readSort(sort) { return { key: sort.replace(/^-/, ""), falling: sort.startsWith("-") }; }

/** What a click on a heading makes of the sort: rising, falling, then the tree again. @param {string} sort @param {string} key */
export function nextSort(sort, key) { return sort === key ? `-${key}` : sort === `-${key}` ? "tree" : key; }

/** The layers one by one, without the tree: those that hold no others or have parameters of their own.
 * @param {Tree} tree @param {string} sort @param {string} query @param {(row: number) => Measured} live @returns {number[]} line numbers */
export function sortedLines(tree, sort, query, live) {
  const { key, falling } = readSort(sort), words = wordsOf(query), value = valueBy(tree, key, live);
  const list = tree.lines.map((_, i) => i).filter((i) => {
    const { run, row, children } = tree.lines[i];
    return !run && (!children.length || tree.sizes[SIZES * row + 3] > 0) && (!words.length || matches(tree, row, words));
  });
  const values = new Map(list.map((i) => [i, value(tree.lines[i].row)]));
  const sign = falling ? -1 : 1;
  // Numbers and text in order, what is not known last whatever the direction.
  const compare = (/** @type {any} */ a, /** @type {any} */ b) => {
    if (typeof a === "string") return sign * a.localeCompare(b, "en", { numeric: true });
    return Number(Number.isNaN(a)) - Number(Number.isNaN(b)) || sign * (a < b ? -1 : a > b ? 1 : 0);
  };
  return list.sort((a, b) => compare(values.get(a), values.get(b)) || a - b);
}

/** How many numbers a shape holds. @param {string} shape */
function volume(shape) { return shape ? shape.split("×").reduce((product, part) => product * Number(part), 1) : NaN; }

/** @param {Tree} tree @param {string} key @param {(row: number) => Measured} live @returns {(row: number) => number | string} */
function valueBy(tree, key, live) {
  const { rows, sizes, paths, trains } = tree;
  switch (key) {
    case "layer": return (row) => paths[row];
    case "type": return (row) => `${rows[row][2]} ${rows[row][3]}`;
    case "output": return (row) => volume(rows[row][4]);
    case "input": return (row) => volume(rows[row][7]);
    case "dtype": return (row) => rows[row][8];
    case "calls": return (row) => rows[row][9];
    case "bytes": return (row) => sizes[SIZES * row + 4];
    case "params": return (row) => sizes[SIZES * row];
    case "macs": return (row) => sizes[SIZES * row + 1];
    case "activations": return (row) => sizes[SIZES * row + 2];
    case "weight": case "grad": case "ratio": case "dead": return (row) => live(row)[key];
    case "trains": return (row) => "ypn".indexOf(trains[row]) >= 0 ? "ypn".indexOf(trains[row]) : NaN;
    default: return (row) => row;
  }
}

/** The line of a layer by its path, or -1. @param {Tree} tree @param {string | null} path */
export function lineOf(tree, path) {
  return path === null ? -1 : tree.lines.findIndex((line) => !line.run && tree.paths[line.row] === path);
}

// -- what the kernel has sent, and how this page looks at it

/** `read` and `measured` are the traits that `tree` and `live` were made from; `found` are the doctor's findings. @typedef {{tree: Tree | null, opened: Set<string>, live: Live, found: Found, read: any[], measured: any[]}} Picture */

/** What the doctor found of layers, worst first: [path, severity, title]. @typedef {[string, string, string][]} Found */

/** How this page looks at the table: sort, the folds that a person has turned, the columns chosen; and in a search the
 * folds turned among what it found. `version` counts what changes the lines.
 * @typedef {{sort: string, turned: Set<string>, chosen: string[] | null, searched: {query: string, turned: Set<string>}, version: number}} Look */

/** The numbers of the lines in order; in a search those `found` and those `open`. @typedef {{of: string, lines: number[], found: Set<number> | null, open: Set<number> | null, flat: boolean}} Listing */

/** @returns {Picture} */
export function emptyPicture() {
  return { tree: null, opened: new Set(), live: liveFrom([], 0, 0), found: [], read: [], measured: [] };
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
  picture.found = model.get("found") ?? [];
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

/** What a sort by live numbers goes by. @param {Live} live @param {number} row @returns {Measured} */
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

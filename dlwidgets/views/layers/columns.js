// The layer table's columns and lines as places: what is chosen or fits, what is in sight, where a key leads.

/** The height of a line [px]; as in layers/view.css. */
export const LINE = 24;
/** The spark line's box [px]. */
export const SPARK = { width: 84, height: 18 };

/** What is left and right of a text in its cell, a step of indentation, what unfolds a line, a bar with what is beside it [px]. */
export const ROOM = { around: 10, step: 14, twist: 16, between: 6 };
/** The longest bars [px], of all that the model has. @type {Record<string, number>} */
export const BARS = { params: 38, macs: 24, activations: 24 };
/** The widest that names and what is as long as it likes may make their columns [px]. */
const WIDEST = { layer: 300, shape: 180 };

/** How a column is laid out: `least` is the narrowest it is readable at [px], more where what it may hold, `longest`, needs it; `grow`
 * its share of what is left, `drop` when it goes as the room gets small (the highest first; 0 never).
 * @typedef {{least: number, grow: number, drop: number, right?: boolean, longest?: string[]}} Layout */
/** @typedef {Layout & {key: string, label: string, title: string, live: boolean, usual: boolean}} Column */
/** What a model has for the columns: the longest name at each level, from 1 on, and the longest shapes. @typedef {{names: string[], input: string, output: string}} Held */
/** What the kernel says of a column: key, label, title, whether it is about training, and shown where nobody has chosen. @typedef {[string, string, string, boolean, boolean]} Described */

/** @type {Record<string, Layout>} */
const LAYOUTS = {
  layer: { least: 140, grow: 3, drop: 0 },
  type: { least: 112, grow: 2.5, drop: 7 },
  input: { least: 84, grow: 1, drop: 0, right: true },
  output: { least: 84, grow: 1, drop: 6, right: true },
  params: { least: 40, grow: 1, drop: 0, right: true, longest: ["99.9 M"] },
  bytes: { least: 40, grow: 0.5, drop: 0, right: true, longest: ["99.9 MB"] },
  dtype: { least: 76, grow: 0.3, drop: 0 },
  macs: { least: 40, grow: 0.8, drop: 8, right: true, longest: ["99.9 M"] },
  activations: { least: 40, grow: 0.8, drop: 11, right: true, longest: ["99.9 MB"] },
  calls: { least: 40, grow: 0.2, drop: 0, right: true, longest: ["99,999"] },
  weight: { least: 40, grow: 0.4, drop: 12, right: true, longest: ["999,999", "9.9e-10", "▲ NaN"] },
  grad: { least: 40, grow: 0.5, drop: 10, right: true, longest: ["999,999", "▲ 0.0099", "9.9e-10", "▲ NaN"] },
  ratio: { least: 40, grow: 0.6, drop: 0, right: true, longest: ["▲ 9.9e-10", "▼ 9.9e-10"] },
  dead: { least: 40, grow: 0.4, drop: 5, right: true, longest: ["▲ 100 %", "▲ >99 %"] },
  spark: { least: SPARK.width + 10, grow: 0, drop: 9, right: true },
  trains: { least: 58, grow: 0, drop: 4, right: true },
};

/** The columns there are to choose from. @param {Described[]} described @param {boolean} session whether there is one @returns {Column[]} */
export function columnsOf(described, session) {
  return described.filter(([, , , live]) => session || !live).map(([key, label, title, live, usual]) => ({ key, label, title, live, usual, ...LAYOUTS[key] }));
}

/** The columns as wide as what they may hold: numbers in whatever size they come, so that no new one moves a cell; shapes and names
 * as the model has them.
 * @param {Column[]} all @param {Held} held
 * @param {(text: string) => number} width of a text in a cell @returns {Column[]} */
export function fitted(all, held, width) {
  return all.map((column) => {
    const { key, label, least, longest = [] } = column;
    if (key === "layer") {
      const wanted = Math.max(...held.names.map((name, level) => ROOM.twist + width(name) + stepOf(held) * (level - 1)), 0);
      return { ...column, least: Math.ceil(Math.min(WIDEST.layer, Math.max(least, wanted + ROOM.around))) };
    }
    if (key === "input" || key === "output") return { ...column, least: Math.ceil(Math.max(least, Math.min(WIDEST.shape, width(held[key]) + ROOM.around))) };
    const bar = BARS[key] ? BARS[key] + ROOM.between : 0;
    return { ...column, least: Math.ceil(Math.max(least, ROOM.around + width(`${label} ↓`), ROOM.around + bar + Math.max(0, ...longest.map(width)))) };
  });
}

/** How far a line is indented for each level, so that the names of deep ones have room too [px]. @param {Held} held */
export function stepOf({ names }) { return Math.min(ROOM.step, Math.floor(WIDEST.layer / 2 / Math.max(1, names.length - 2))); }

/** The end of a path that has no room for all of it: …block.0.conv. @param {string} path @param {number} room @param {(text: string) => number} width */
export function pathEnd(path, room, width) {
  let text = path;
  while (width(text) > room && /[^…]\./.test(text)) text = text.replace(/^…?[^.]*\./, "…");
  return text;
}

/** The columns that are shown, in order, their widths as `grid-template-columns`, what they need together, and the labels of
 * those that found no room: those that were chosen, all of them; else the usual ones, as far as they fit.
 * @param {number} width @param {Column[]} all @param {string[] | null} [chosen] */
export function columnsFor(width, all, chosen = null) {
  const byKey = new Map(all.map((column) => [column.key, column]));
  let columns = chosen ? /** @type {Column[]} */ (chosen.map((key) => byKey.get(key)).filter(Boolean)) : all.filter(({ usual }) => usual);
  const needed = () => columns.reduce((sum, column) => sum + column.least, 0);
  while (!chosen && needed() > width && columns.some((column) => column.drop)) {
    const last = Math.max(...columns.map((column) => column.drop));
    columns = columns.filter((column) => column.drop !== last);
  }
  // Fixed widths, not the browser's: what is written in a cell must move nothing.
  const spare = Math.max(0, width - needed()), shares = columns.reduce((sum, column) => sum + column.grow, 0) || 1;
  const widths = columns.map((column) => Math.floor(column.least + (spare * column.grow) / shares));
  const left = chosen ? [] : all.filter((column) => column.usual && !columns.includes(column)).map(({ label }) => label);
  return { columns, template: widths.map((w) => `${w}px`).join(" "), needed: needed(), left };
}

/** What is chosen once a column was switched on or off: a new one stands where it does among all.
 * @param {Column[]} all @param {string[]} shown @param {string} key @returns {string[]} */
export function toggled(all, shown, key) {
  if (shown.includes(key)) return key === "layer" ? shown : shown.filter((one) => one !== key);
  const rank = (/** @type {string} */ one) => all.findIndex((column) => column.key === one);
  const before = shown.findIndex((one) => rank(one) > rank(key));
  return before < 0 ? [...shown, key] : [...shown.slice(0, before), key, ...shown.slice(before)];
}

/** The lines in sight and a few around them: first, and the one behind the last.
 * @param {number} top how far it is scrolled [px] @param {number} height [px] @param {number} total lines @param {number} [around] */
export function inSight(top, height, total, around = 6) {
  const first = Math.max(0, Math.min(Math.floor(top / LINE) - around, total));
  return { first, last: Math.max(first, Math.min(total, Math.ceil((top + height) / LINE) + around)) };
}

/** Where to scroll so that line `at` is seen, or null where it is. @param {number} at @param {number} top @param {number} height of the lines' window [px] */
export function scrolledTo(at, top, height) {
  if (at * LINE < top) return at * LINE;
  return (at + 1) * LINE > top + height ? (at + 1) * LINE - height : null;
}

/** Where a key leads from place `at` in the lines in sight, as in a WAI-ARIA treegrid: to another place, or to a
 * fold that opens or closes; null for a key that means nothing here.
 * @param {string} key @param {number} at @param {{level: number, folds: boolean, open: boolean}[]} seen @param {number} page lines
 * @returns {{to: number} | {turn: number} | null} */
export function keyLeads(key, at, seen, page) {
  const last = seen.length - 1;
  if (last < 0) return null;
  if (key === "Home") return { to: 0 };
  if (key === "End") return { to: last };
  if (at < 0) return ["ArrowDown", "ArrowUp", "PageDown", "PageUp", "ArrowRight", "ArrowLeft"].includes(key) ? { to: 0 } : null;
  const { level, folds, open } = seen[at];
  switch (key) {
    case "ArrowDown": return { to: Math.min(last, at + 1) };
    case "ArrowUp": return { to: Math.max(0, at - 1) };
    case "PageDown": return { to: Math.min(last, at + page) };
    case "PageUp": return { to: Math.max(0, at - page) };
    case "ArrowRight": return folds ? (open ? { to: Math.min(last, at + 1) } : { turn: at }) : { to: at };
    case "ArrowLeft": {
      if (folds && open) return { turn: at };
      for (let i = at - 1; i >= 0; i--) if (seen[i].level < level) return { to: i };
      return { to: at };
    }
    default: return null;
  }
}

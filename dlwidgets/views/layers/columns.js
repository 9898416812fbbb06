// The layer table's columns and lines as places: what is chosen or fits, what is in sight, where a key leads.

/** The height of a line [px]; as in layers/view.css. */
export const LINE = 24;
/** The spark line's box [px]. */
export const SPARK = { width: 84, height: 18 };

/** How a column is laid out: `least` is the narrowest it is readable at [px], `grow` its share of what is left, `drop`
 * when it goes as the room gets small (the highest first; 0 never).
 * @typedef {{least: number, grow: number, drop: number, right?: boolean}} Layout */
/** @typedef {Layout & {key: string, label: string, title: string, live: boolean, usual: boolean}} Column */
/** What the kernel says of a column: key, label, title, whether it is about training, and shown where nobody has chosen. @typedef {[string, string, string, boolean, boolean]} Described */

/** @type {Record<string, Layout>} */
const LAYOUTS = {
  layer: { least: 140, grow: 3, drop: 0 },
  type: { least: 112, grow: 2.5, drop: 7 },
  input: { least: 84, grow: 1, drop: 0, right: true },
  output: { least: 84, grow: 1, drop: 6, right: true },
  params: { least: 104, grow: 1, drop: 0, right: true },
  bytes: { least: 76, grow: 0.5, drop: 0, right: true },
  dtype: { least: 76, grow: 0.3, drop: 0 },
  macs: { least: 90, grow: 0.8, drop: 8, right: true },
  activations: { least: 94, grow: 0.8, drop: 11, right: true },
  calls: { least: 48, grow: 0.2, drop: 0, right: true },
  weight: { least: 56, grow: 0.4, drop: 12, right: true },
  grad: { least: 66, grow: 0.5, drop: 10, right: true },
  ratio: { least: 76, grow: 0.6, drop: 0, right: true },
  dead: { least: 60, grow: 0.4, drop: 5, right: true },
  spark: { least: SPARK.width + 10, grow: 0, drop: 9, right: true },
  trains: { least: 58, grow: 0, drop: 4, right: true },
};

/** The columns there are to choose from. @param {Described[]} described @param {boolean} session whether there is one @returns {Column[]} */
export function columnsOf(described, session) {
  return described.filter(([, , , live]) => session || !live).map(([key, label, title, live, usual]) => ({ key, label, title, live, usual, ...LAYOUTS[key] }));
}

/** The columns that are shown, in order, their widths as `grid-template-columns`, and what they need together:
 * those that were chosen, all of them; else the usual ones, as far as they fit.
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
  return { columns, template: widths.map((w) => `${w}px`).join(" "), needed: needed() };
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

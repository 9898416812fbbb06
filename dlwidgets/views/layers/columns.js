// The layer table's columns and lines as places: what is chosen or fits, what is in sight, where a key leads.

/** The height of a line and of the heading, and the most that is seen without scrolling [px]; as in layers/view.css. */
export const LINE = 24, TALL = 420;
/** The spark line's box [px]. */
export const SPARK = { width: 84, height: 18 };

/**
 * `least` is the narrowest it is readable at [px], `grow` its share of what is left, `drop` when it goes as the
 * room gets small (the highest first; 0 never), `live` whether it is about training, `extra` whether it is there
 * only where somebody chose it.
 * @typedef {{key: string, label: string, least: number, grow: number, drop: number, live?: boolean, extra?: boolean, right?: boolean, title: string}} Column
 */

/** @type {Column[]} */
export const COLUMNS = [
  { key: "layer", label: "layer", least: 140, grow: 3, drop: 0, title: "the layers as a tree" },
  { key: "type", label: "type", least: 112, grow: 2.5, drop: 7, title: "class, and what tells it from others of its kind" },
  { key: "input", label: "input", least: 84, grow: 1, drop: 0, extra: true, right: true, title: "shape of what it is given, without the batch axis" },
  { key: "output", label: "output", least: 84, grow: 1, drop: 6, right: true, title: "shape of the output, without the batch axis" },
  { key: "params", label: "params", least: 104, grow: 1, drop: 0, right: true, title: "parameters of the layer and all inside it; the bar is its share of the model's" },
  { key: "bytes", label: "bytes", least: 76, grow: 0.5, drop: 0, extra: true, right: true, title: "memory of the parameters" },
  { key: "dtype", label: "dtype", least: 76, grow: 0.3, drop: 0, extra: true, title: "type of the numbers in its parameters, or in its output" },
  { key: "macs", label: "MACs", least: 90, grow: 0.8, drop: 8, right: true, title: "multiply-accumulates of one forward pass of a batch; the bar is its share of the model's" },
  { key: "activations", label: "activations", least: 94, grow: 0.8, drop: 11, right: true, title: "bytes of the outputs of one batch; the bar is its share of the model's" },
  { key: "calls", label: "calls", least: 48, grow: 0.2, drop: 0, extra: true, right: true, title: "how often it runs in one forward pass" },
  { key: "weight", label: "‖w‖", least: 56, grow: 0.4, drop: 12, right: true, live: true, title: "L2 norm of the weights" },
  { key: "grad", label: "‖grad‖", least: 66, grow: 0.5, drop: 10, right: true, live: true, title: "L2 norm of the gradient" },
  { key: "ratio", label: "Δw / w", least: 76, grow: 0.6, drop: 0, right: true, live: true, title: "how far a step moves the weights, as a share of their norm; about 1e-3 is usual" },
  { key: "dead", label: "dead", least: 60, grow: 0.4, drop: 5, right: true, live: true, title: "share of the units (channels or features) that put out nothing in a whole batch" },
  { key: "spark", label: "last minutes", least: SPARK.width + 10, grow: 0, drop: 9, right: true, live: true, title: "Δw / w of the last minutes, on a log scale" },
  { key: "trains", label: "trains", least: 58, grow: 0, drop: 4, right: true, title: "✓ trains, ❄ frozen, ◐ in part" },
];

/** The columns there are to choose from. @param {boolean} live whether there is a session */
export function columnsOf(live) { return COLUMNS.filter((column) => live || !column.live); }

/**
 * The columns that are shown, in order, their widths as `grid-template-columns`, and what they need together:
 * those that were chosen, all of them; else the usual ones, as far as they fit.
 * @param {number} width @param {boolean} live whether there is a session @param {string[] | null} [chosen]
 */
export function columnsFor(width, live, chosen = null) {
  const all = columnsOf(live), byKey = new Map(all.map((column) => [column.key, column]));
  let columns = chosen ? /** @type {Column[]} */ (chosen.map((key) => byKey.get(key)).filter(Boolean)) : all.filter(({ extra }) => !extra);
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

/**
 * What is chosen once a column was switched on or off: a new one stands where it does among all.
 * @param {string[]} shown @param {string} key @returns {string[]}
 */
export function toggled(shown, key) {
  if (shown.includes(key)) return key === "layer" ? shown : shown.filter((one) => one !== key);
  const rank = (/** @type {string} */ one) => COLUMNS.findIndex((column) => column.key === one);
  const before = shown.findIndex((one) => rank(one) > rank(key));
  return before < 0 ? [...shown, key] : [...shown.slice(0, before), key, ...shown.slice(before)];
}

/**
 * The lines in sight and a few around them: first, and the one behind the last.
 * @param {number} top how far it is scrolled [px] @param {number} height [px] @param {number} total lines @param {number} [around]
 */
export function inSight(top, height, total, around = 6) {
  const first = Math.max(0, Math.min(Math.floor(top / LINE) - around, total));
  return { first, last: Math.max(first, Math.min(total, Math.ceil((top + height) / LINE) + around)) };
}

/**
 * Where to scroll so that line `at` is seen, or null where it is.
 * @param {number} at @param {number} top @param {number} height of the lines' window [px]
 */
export function scrolledTo(at, top, height) {
  if (at * LINE < top) return at * LINE;
  return (at + 1) * LINE > top + height ? (at + 1) * LINE - height : null;
}

/**
 * Where a key leads from place `at` in the lines in sight, as in a WAI-ARIA treegrid: to another place, or to a
 * fold that opens or closes; null for a key that means nothing here.
 * @param {string} key @param {number} at @param {{level: number, folds: boolean, open: boolean}[]} seen @param {number} page lines
 * @returns {{to: number} | {turn: number} | null}
 */
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

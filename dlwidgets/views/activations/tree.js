// The layers of a model as a tree: what is seen of it, what a search finds, where a key leads.

/** Path, class, depth, and whether it only holds others. @typedef {[string, string, number, boolean]} Layer */
/**
 * One line of the tree.
 * @typedef {{path: string, name: string, kind: string, level: number, branch: boolean, open: boolean, holds: boolean}} LayerLine
 */

/** A tree opens as deep as leaves it at most so many lines. */
const MOST_LINES = 48;

/** The path of the layer around one: "a.b" of "a.b.c", "" of "a"; null of the model itself. @param {string} path */
export function around(path) {
  if (path === "") return null;
  const at = path.lastIndexOf(".");
  return at < 0 ? "" : path.slice(0, at);
}

/** The paths that hold others. @param {Layer[]} layers @returns {Set<string>} */
export function branches(layers) {
  /** @type {Set<string>} */
  const found = new Set();
  for (const [path] of layers) { const up = around(path); if (up !== null) found.add(up); }
  return found;
}

/** The branches that are open before anybody turned one: as deep as there is room for. @param {Layer[]} layers @returns {Set<string>} */
export function opened(layers) {
  /** @type {number[]} */
  const wide = [];
  for (const [, , depth] of layers) wide[depth] = (wide[depth] ?? 0) + 1;
  let deepest = 1, total = (wide[0] ?? 0) + (wide[1] ?? 0);
  while (wide[deepest + 1] && total + wide[deepest + 1] <= MOST_LINES) { deepest += 1; total += wide[deepest]; }
  const holding = branches(layers);
  return new Set(layers.filter(([path, , depth]) => depth < deepest && holding.has(path)).map(([path]) => path));
}

/** The branches around a layer, outermost first. @param {string} path @returns {string[]} */
export function above(path) {
  const found = [];
  for (let up = around(path); up !== null; up = around(up)) found.unshift(up);
  return found;
}

/**
 * The lines to be seen; with a search those whose path or class holds all its words, and what is around them.
 * @param {Layer[]} layers parents before children @param {Set<string>} open @param {string} [query]
 * @returns {LayerLine[]}
 */
export function layerLines(layers, open, query = "") {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean), holding = branches(layers);
  /** @type {Set<string> | null} */
  let kept = null;
  if (words.length) {
    kept = new Set();
    for (const [path, kind] of layers) {
      const text = `${path} ${kind}`.toLowerCase();
      if (words.every((word) => text.includes(word))) for (const one of [path, ...above(path)]) kept.add(one);
    }
  }
  /** @type {LayerLine[]} */
  const lines = [];
  const seen = new Set([""]);
  for (const [path, kind, depth, holds] of layers) {
    const up = around(path);
    if (kept ? !kept.has(path) : up !== null && !(seen.has(up) && open.has(up))) continue;
    seen.add(path);
    const branch = holding.has(path);
    lines.push({
      path, kind, holds, branch, level: depth + 1, open: branch && (kept ? layers.some(([other]) => around(other) === path && kept.has(other)) : open.has(path)),
      name: path === "" ? kind : path.slice(path.lastIndexOf(".") + 1),
    });
  }
  return lines;
}

/**
 * Where a key leads from line `at`: another line, or a branch that opens or closes; null: not a key of the tree.
 * @param {string} key @param {LayerLine[]} lines @param {number} at
 * @returns {{at: number, turn: boolean} | null}
 */
export function layerMove(key, lines, at) {
  const last = lines.length - 1, line = lines[at];
  const to = (/** @type {number} */ next) => ({ at: Math.min(last, Math.max(0, next)), turn: false });
  switch (key) {
    case "ArrowDown": return to(at + 1);
    case "ArrowUp": return to(at - 1);
    case "PageDown": return to(at + 10);
    case "PageUp": return to(at - 10);
    case "Home": return to(0);
    case "End": return to(last);
    case "ArrowRight":
      if (!line?.branch) return to(at);
      return line.open ? to(at + 1) : { at, turn: true };
    case "ArrowLeft": {
      if (!line) return to(at);
      if (line.branch && line.open) return { at, turn: true };
      for (let up = at - 1; up >= 0; up -= 1) if (lines[up].level < line.level) return to(up);
      return to(at);
    }
    default: return null;
  }
}

// How a layer is picked in the activation browser: a list, and beside it a tree with a search.
import { listen, make, makeButton, say } from "../front.js";
import { labelled } from "./controls.js";
import { layerGroups, partName } from "./words.js";

/** Path, class, depth, and whether it only holds others. @typedef {[string, string, number, boolean]} Layer */
/** @typedef {ReturnType<typeof layerLines>[number]} LayerLine */

/** A tree opens as deep as leaves it at most so many lines. */
const MOST_LINES = 48;

/** The path of the layer around one: "a.b" of "a.b.c", "" of "a"; null of the model itself. @param {string} path */
export function around(path) { return path === "" ? null : path.slice(0, Math.max(0, path.lastIndexOf("."))); }

/** The branches around a layer, outermost first. @param {string} path @returns {string[]} */
export function above(path) {
  const up = around(path);
  return up === null ? [] : [...above(up), up];
}

/** The paths that hold others. @param {Layer[]} layers */
function branches(layers) { return new Set(layers.map(([path]) => around(path)).filter((path) => path !== null)); }

/** The branches that are open before anybody turned one: as deep as there is room for. @param {Layer[]} layers */
export function opened(layers) {
  /** @type {number[]} */
  const wide = [];
  for (const [, , depth] of layers) wide[depth] = (wide[depth] ?? 0) + 1;
  let deepest = 1, total = (wide[0] ?? 0) + (wide[1] ?? 0);
  while (wide[deepest + 1] && total + wide[deepest + 1] <= MOST_LINES) { deepest += 1; total += wide[deepest]; }
  const holding = branches(layers);
  return new Set(layers.filter(([path, , depth]) => depth < deepest && holding.has(path)).map(([path]) => path));
}

/** Whether a layer's path and class hold all words of a search. @param {string} path @param {string} kind @param {string} query */
function matches(path, kind, query) {
  const text = `${path} ${kind}`.toLowerCase();
  return query.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

/**
 * The lines to be seen; with a search those that it finds, and what is around them.
 * @param {Layer[]} layers parents before children @param {Set<string>} open @param {string} [query]
 */
export function layerLines(layers, open, query = "") {
  const holding = branches(layers), found = layers.filter(([path, kind]) => matches(path, kind, query));
  const kept = query.trim() ? new Set(found.flatMap(([path]) => [path, ...above(path)])) : null;
  const inside = kept && branches(layers.filter(([path]) => kept.has(path)));
  const seen = layers.filter(([path]) => (kept ? kept.has(path) : above(path).every((up) => open.has(up))));
  return seen.map(([path, kind, depth, holds]) => {
    const branch = holding.has(path), name = path === "" ? kind : path.slice(path.lastIndexOf(".") + 1);
    return { path, name, kind, level: depth + 1, branch, open: branch && (inside ?? open).has(path), holds };
  });
}

/**
 * Where a key leads from line `at`: another line, or a branch that opens or closes; null: not a key of the tree.
 * @param {string} key @param {LayerLine[]} lines @param {number} at
 */
export function layerMove(key, lines, at) {
  const last = lines.length - 1, line = lines[at];
  const to = (/** @type {number} */ next) => ({ at: Math.min(last, Math.max(0, next)), turn: false });
  /** @type {Record<string, number>} */
  const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -at, End: last - at };
  if (key in by) return to(at + by[key]);
  if (key !== "ArrowRight" && key !== "ArrowLeft") return null;
  if (line?.branch && line.open === (key === "ArrowLeft")) return { at, turn: true };
  if (key === "ArrowRight") return to(line?.branch ? at + 1 : at);
  const up = lines.slice(0, Math.max(0, at)).findLastIndex((one) => one.level < line.level);
  return to(up < 0 ? at : up);
}

let trees = 0;

/** One line of the tree. @param {LayerLine} line @param {string} id @param {boolean} chosen @param {boolean} active */
function treeLine(line, id, chosen, active) {
  return make("div", {
    class: "dlw-act-line", role: "treeitem", id, "data-path": line.path, "aria-level": line.level,
    "aria-selected": String(chosen), "data-active": String(active),
    "data-holds": String(line.holds), style: `padding-left: ${6 + 14 * (line.level - 1)}px`,
    ...(line.branch ? { "aria-expanded": String(line.open) } : {}),
  }, make("span", { class: "dlw-act-twist", "aria-hidden": "true", text: line.branch ? (line.open ? "▾" : "▸") : "" }),
  make("span", { class: "dlw-act-line-name", text: line.name }),
  make("span", { class: "dlw-act-line-kind", text: line.path === "" ? "the model" : line.kind }));
}

/**
 * The layers as a tree with a search, which unfolds below a button.
 * @param {{el: HTMLElement, signal: AbortSignal, layers: () => Layer[], chosen: () => string, choose: (path: string) => void}} view
 */
function layerTree({ el, signal, layers, chosen, choose }) {
  const button = makeButton("tree", () => unfold(panel.hidden), signal, {
    class: "dlw-act-tree-button", title: "the layers as a tree, with a search", "aria-haspopup": "tree", "aria-expanded": "false",
  });
  const search = make("input", { type: "search", placeholder: "find a layer by name or class", "aria-label": "find a layer by name or class" });
  const tree = make("div", { class: "dlw-act-tree", role: "tree", tabindex: 0, "aria-label": "layers" });
  const none = make("div", { class: "dlw-empty", text: "No layer has these words in its name or class." });
  const panel = make("div", { class: "dlw-act-tree-panel", role: "group", "aria-label": "layers", hidden: true }, search, tree, none);
  const id = `dlw-act-tree-${(trees += 1)}`;

  let open = /** @type {Set<string> | null} */ (null), active = "", drawn = "";
  const lines = () => layerLines(layers(), open ?? opened(layers()), search.value);

  const show = () => {
    if (panel.hidden) return;
    const now = lines(), picked = chosen();
    if (!now.some((line) => line.path === active)) active = now.find((line) => line.path === picked)?.path ?? now[0]?.path ?? "";
    none.hidden = now.length > 0;
    const key = JSON.stringify([now.map((line) => [line.path, line.open]), active, picked]);
    if (key === drawn) return;
    drawn = key;
    tree.replaceChildren(...now.map((line, i) => treeLine(line, `${id}-${i}`, line.path === picked, line.path === active)));
    const at = now.findIndex((line) => line.path === active), row = /** @type {HTMLElement | undefined} */ (tree.children[at]);
    if (!row) { tree.removeAttribute("aria-activedescendant"); return; }
    tree.setAttribute("aria-activedescendant", row.id);
    // Scrolled within the tree alone: the page must not scroll.
    tree.scrollTop = Math.min(row.offsetTop, Math.max(tree.scrollTop, row.offsetTop + row.offsetHeight - tree.clientHeight));
  };

  /** @param {string} path */
  const turn = (path) => {
    if (search.value) return;
    open ??= opened(layers());
    if (!open.delete(path)) open.add(path);
    show();
  };
  /** @param {string} path */
  const pick = (path) => {
    active = path;
    const line = layers().find(([one]) => one === path);
    if (line && !line[3] && path !== chosen()) choose(path);
    show();
  };
  /** @param {boolean} on @param {boolean} [back] whether the focus returns to the button */
  const unfold = (on, back = true) => {
    if (on === !panel.hidden) return;
    panel.hidden = !on;
    button.setAttribute("aria-expanded", String(on));
    button.setAttribute("aria-pressed", String(on));
    if (on) {
      const box = /** @type {HTMLElement} */ (button.parentElement);
      search.value = drawn = "";
      active = chosen();
      open ??= opened(layers());
      for (const path of above(active)) open.add(path);
      panel.style.left = `${box.offsetLeft}px`;
      panel.style.top = `${box.offsetTop + box.offsetHeight + 2}px`;
      show();
      tree.focus({ preventScroll: true });
    } else if (back) button.focus({ preventScroll: true });
  };

  listen(search, "input", () => { active = drawn = ""; show(); }, signal);
  /** @param {KeyboardEvent} event */
  const keyed = (event) => {
    if (event.key === "Escape") { unfold(false); event.preventDefault(); return; }
    const now = lines(), at = now.findIndex((line) => line.path === active), searching = event.target === search;
    if (event.key === "Enter") {
      // The first that a search means, not what is around it.
      const found = searching ? now.find((line) => !line.holds && matches(line.path, line.kind, search.value)) : now[at];
      if (found) pick(found.path);
      unfold(false);
      event.preventDefault();
      return;
    }
    if (searching && ["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
    const types = event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (event.target === tree && types) { search.focus(); return; }
    const to = layerMove(event.key, now, at);
    if (!to) return;
    event.preventDefault();
    if (to.turn) turn(now[at].path);
    else if (now[to.at]) { if (searching) tree.focus({ preventScroll: true }); pick(now[to.at].path); }
  };
  listen(panel, "keydown", keyed, signal);
  listen(tree, "click", (event) => {
    const row = event.target instanceof Element ? event.target.closest("[data-path]") : null;
    if (!(row instanceof HTMLElement)) return;
    const path = row.dataset.path ?? "";
    if (event.target.classList.contains("dlw-act-twist") || row.dataset.holds === "true") { active = path; turn(path); }
    else pick(path);
    tree.focus({ preventScroll: true });
  }, signal);
  listen(tree, "dblclick", () => unfold(false), signal);
  listen(el, "pointerdown", (event) => {
    if (event.target instanceof Node && !panel.contains(event.target) && !button.contains(event.target)) unfold(false, false);
  }, signal);
  return { button, panel, show, forget: () => { open = null; } };
}

/** @param {import("../front.js").Part} view */
export function layerChooser({ model, el, signal, want }) {
  const list = make("select", { "aria-label": "layer" }), part = make("select", { "aria-label": "which output of the layer" });
  const layers = () => /** @type {Layer[]} */ (model.get("layers"));
  const tree = layerTree({ el, signal, layers, chosen: () => want.get("selected_layer") ?? "", choose: (path) => want.set("selected_layer", path) });
  const layerBox = labelled("Layer", list), partBox = labelled("Output", part);
  layerBox.classList.add("dlw-act-layer");
  let listed = "", parted = "";
  listen(list, "change", () => want.set("selected_layer", list.value), signal);
  listen(part, "change", () => want.set("part", part.value), signal);

  /** @param {any} picture */
  const show = (picture) => {
    const all = layers(), key = `${all.length}|${all.at(-1)?.[0]}`;
    if (key !== listed) {
      listed = key;
      tree.forget();
      list.replaceChildren(...layerGroups(all).flatMap((group) => {
        const options = group.options.map(({ value, text }) => make("option", { value, text }));
        return group.label ? [make("optgroup", { label: group.label }, ...options)] : options;
      }));
    }
    const asked = want.get("selected_layer") ?? "";
    if (list.value !== asked) list.value = asked;
    /** @type {string[]} */
    const parts = picture.parts ?? [], weights = picture.show === "filters", now = JSON.stringify([parts, weights]);
    partBox.hidden = parts.length < 2;
    say(/** @type {Node} */ (partBox.firstChild), picture.show === "input" ? "Input" : weights ? "Weights" : "Output");
    if (now !== parted) {
      parted = now;
      part.replaceChildren(...parts.map((value) => make("option", { value, text: weights ? value.replace(/[[\]]/g, "") : partName(value) })));
    }
    part.value = want.get("part");
    tree.show();
  };
  return { nodes: [layerBox, partBox], more: make("div", { class: "dlw-act-group" }, tree.button), panel: tree.panel, show };
}

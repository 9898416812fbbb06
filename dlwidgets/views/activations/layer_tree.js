// The layers of a model as a tree with a search, which unfolds below a button.
import { listen, make } from "../front.js";
import { above, layerLines, layerMove, opened } from "./tree.js";

/** @typedef {import("./tree.js").Layer} Layer */
/** @typedef {import("./tree.js").LayerLine} LayerLine */

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

/** Scroll a row into sight within the tree alone: the page must not scroll. @param {HTMLElement} tree @param {HTMLElement | undefined} row */
function reveal(tree, row) {
  if (!row) return;
  if (row.offsetTop < tree.scrollTop) tree.scrollTop = row.offsetTop;
  else if (row.offsetTop + row.offsetHeight > tree.scrollTop + tree.clientHeight) tree.scrollTop = row.offsetTop + row.offsetHeight - tree.clientHeight;
}

/** The first line that a search means, not what is around it. @param {LayerLine[]} lines @param {string} query */
function firstFound(lines, query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return lines.find((line) => !line.holds && words.every((word) => `${line.path} ${line.kind}`.toLowerCase().includes(word)));
}

/**
 * @param {{el: HTMLElement, signal: AbortSignal, layers: () => Layer[], chosen: () => string, choose: (path: string) => void}} view
 * @returns {{button: HTMLElement, panel: HTMLElement, show: () => void, forget: () => void}} `forget` closes the branches, of a model that is another
 */
export function layerTree({ el, signal, layers, chosen, choose }) {
  const button = make("button", { type: "button", class: "dlw-act-tree-button", text: "tree", title: "the layers as a tree, with a search", "aria-haspopup": "tree", "aria-expanded": "false" });
  const search = make("input", { type: "search", placeholder: "find a layer by name or class", "aria-label": "find a layer by name or class" });
  const tree = make("div", { class: "dlw-act-tree", role: "tree", tabindex: 0, "aria-label": "layers" });
  const none = make("div", { class: "dlw-empty", text: "No layer has these words in its name or class." });
  const panel = make("div", { class: "dlw-act-tree-panel", role: "group", "aria-label": "layers" }, search, tree, none);
  panel.hidden = true;
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
    const at = now.findIndex((line) => line.path === active);
    if (at >= 0) tree.setAttribute("aria-activedescendant", `${id}-${at}`); else tree.removeAttribute("aria-activedescendant");
    reveal(tree, /** @type {HTMLElement | undefined} */ (tree.children[at]));
  };

  /** @param {string} path */
  const turn = (path) => {
    if (search.value) return;
    open ??= opened(layers());
    if (open.has(path)) open.delete(path); else open.add(path);
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
      search.value = "";
      active = chosen();
      open ??= opened(layers());
      for (const path of above(active)) open.add(path);
      panel.style.left = `${box.offsetLeft}px`;
      panel.style.top = `${box.offsetTop + box.offsetHeight + 2}px`;
      drawn = "";
      show();
      tree.focus({ preventScroll: true });
    } else if (back) button.focus({ preventScroll: true });
  };

  listen(button, "click", () => unfold(panel.hidden), signal);
  listen(search, "input", () => { active = ""; drawn = ""; show(); }, signal);
  /** @param {KeyboardEvent} event */
  const keyed = (event) => {
    if (event.key === "Escape") { unfold(false); event.preventDefault(); return; }
    const now = lines(), at = now.findIndex((line) => line.path === active);
    if (event.key === "Enter") {
      const found = event.target === search ? firstFound(now, search.value) : now[at];
      if (found) pick(found.path);
      unfold(false);
      event.preventDefault();
      return;
    }
    const sideways = event.key === "ArrowLeft" || event.key === "ArrowRight" || event.key === "Home" || event.key === "End";
    if (event.target === search && sideways) return;
    if (event.target === tree && event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey && !event.altKey) { search.focus(); return; }
    const to = layerMove(event.key, now, at);
    if (!to) return;
    event.preventDefault();
    if (to.turn) turn(now[at].path);
    else if (now[to.at]) { if (event.target === search) tree.focus({ preventScroll: true }); pick(now[to.at].path); }
  };
  listen(panel, "keydown", keyed, signal);
  listen(tree, "click", (event) => {
    const row = event.target instanceof Element ? event.target.closest("[data-path]") : null;
    if (!(row instanceof HTMLElement)) return;
    const path = row.dataset.path ?? "", holds = row.dataset.holds === "true";
    if (event.target instanceof Element && event.target.classList.contains("dlw-act-twist") || holds) { active = path; turn(path); }
    else pick(path);
    tree.focus({ preventScroll: true });
  }, signal);
  listen(tree, "dblclick", () => unfold(false), signal);
  listen(el, "pointerdown", (event) => {
    if (event.target instanceof Node && !panel.contains(event.target) && !button.contains(event.target)) unfold(false, false);
  }, signal);
  return { button, panel, show, forget: () => { open = null; } };
}

// How a layer is picked in the activation browser: a list, and beside it a tree with a search.
import { listen, make, say } from "../front.js";
import { above, layerLines, layerMove, opened } from "./tree.js";
import { layerGroups, partName } from "./words.js";

/** @typedef {import("../front.js").Model} Model */

let trees = 0;

/**
 * @param {{model: Model, el: HTMLElement, signal: AbortSignal, want: {get(name: string): any, set(name: string, value: any): void}}} view
 * @returns {{nodes: HTMLElement[], panel: HTMLElement, show: (picture: any) => void}}
 */
export function layerChooser({ model, el, signal, want }) {
  const list = make("select", { "aria-label": "layer" });
  const part = make("select", { "aria-label": "which output of the layer" }), partLabel = make("span", { text: "Output" });
  const button = make("button", { type: "button", class: "dlw-act-tree-button", text: "tree", title: "the layers as a tree, with a search", "aria-haspopup": "tree", "aria-expanded": "false" });
  const search = make("input", { type: "search", placeholder: "find a layer by name or class", "aria-label": "find a layer by name or class" });
  const tree = make("div", { class: "dlw-act-tree", role: "tree", tabindex: 0, "aria-label": "layers" });
  const none = make("div", { class: "dlw-empty", text: "No layer has these words in its name or class." });
  const panel = make("div", { class: "dlw-act-tree-panel", role: "group", "aria-label": "layers" }, search, tree, none);
  panel.hidden = true;
  const id = `dlw-act-tree-${(trees += 1)}`;
  const layerBox = make("div", { class: "dlw-act-group dlw-act-layer" }, make("span", { text: "Layer" }), list, button);
  const partBox = make("div", { class: "dlw-act-group" }, partLabel, part);

  let listed = "", /** @type {Set<string> | null} */ open = null, active = "", drawn = "";
  const layers = () => /** @type {import("./tree.js").Layer[]} */ (model.get("layers"));
  const lines = () => layerLines(layers(), open ?? opened(layers()), search.value);

  const showTree = () => {
    if (panel.hidden) return;
    const now = lines(), chosen = want.get("selected_layer") ?? "";
    if (!now.some((line) => line.path === active)) active = now.find((line) => line.path === chosen)?.path ?? now[0]?.path ?? "";
    none.hidden = now.length > 0;
    const key = JSON.stringify([now.map((line) => [line.path, line.open]), active, chosen]);
    if (key === drawn) return;
    drawn = key;
    tree.replaceChildren(...now.map((line, i) => make("div", {
      class: "dlw-act-line", role: "treeitem", id: `${id}-${i}`, "data-path": line.path, "aria-level": line.level,
      "aria-selected": String(line.path === chosen), "data-active": String(line.path === active),
      "data-holds": String(line.holds), style: `padding-left: ${6 + 14 * (line.level - 1)}px`,
      ...(line.branch ? { "aria-expanded": String(line.open) } : {}),
    }, make("span", { class: "dlw-act-twist", "aria-hidden": "true", text: line.branch ? (line.open ? "▾" : "▸") : "" }),
    make("span", { class: "dlw-act-line-name", text: line.name }),
    make("span", { class: "dlw-act-line-kind", text: line.path === "" ? "the model" : line.kind }))));
    const at = now.findIndex((line) => line.path === active);
    if (at >= 0) tree.setAttribute("aria-activedescendant", `${id}-${at}`); else tree.removeAttribute("aria-activedescendant");
    // Within the tree alone: the page must not scroll.
    const row = /** @type {HTMLElement | undefined} */ (tree.children[at]);
    if (row) {
      if (row.offsetTop < tree.scrollTop) tree.scrollTop = row.offsetTop;
      else if (row.offsetTop + row.offsetHeight > tree.scrollTop + tree.clientHeight) tree.scrollTop = row.offsetTop + row.offsetHeight - tree.clientHeight;
    }
  };

  /** @param {string} path */
  const turn = (path) => {
    if (search.value) return;
    open ??= opened(layers());
    if (open.has(path)) open.delete(path); else open.add(path);
    showTree();
  };
  /** @param {string} path */
  const pick = (path) => {
    active = path;
    const line = layers().find(([one]) => one === path);
    if (line && !line[3] && path !== want.get("selected_layer")) want.set("selected_layer", path);
    showTree();
  };
  /** @param {boolean} on @param {boolean} [back] whether the focus returns to the button */
  const unfold = (on, back = true) => {
    if (on === !panel.hidden) return;
    panel.hidden = !on;
    button.setAttribute("aria-expanded", String(on));
    button.setAttribute("aria-pressed", String(on));
    if (on) {
      search.value = "";
      active = want.get("selected_layer") ?? "";
      open ??= opened(layers());
      for (const path of above(active)) open.add(path);
      panel.style.left = `${layerBox.offsetLeft}px`;
      panel.style.top = `${layerBox.offsetTop + layerBox.offsetHeight + 2}px`;
      drawn = "";
      showTree();
      tree.focus({ preventScroll: true });
    } else if (back) button.focus({ preventScroll: true });
  };

  listen(list, "change", () => want.set("selected_layer", list.value), signal);
  listen(part, "change", () => want.set("part", part.value), signal);
  listen(button, "click", () => unfold(panel.hidden), signal);
  listen(search, "input", () => { active = ""; drawn = ""; showTree(); }, signal);
  /** @param {KeyboardEvent} event */
  const keyed = (event) => {
    if (event.key === "Escape") { unfold(false); event.preventDefault(); return; }
    const now = lines(), at = now.findIndex((line) => line.path === active);
    if (event.key === "Enter") {
      // What a search found first is meant, not what is around it.
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const found = event.target === search ? now.find((line) => !line.holds && words.every((word) => `${line.path} ${line.kind}`.toLowerCase().includes(word))) : now[at];
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

  /** @param {any} picture */
  const show = (picture) => {
    const all = layers(), key = `${all.length}|${all.at(-1)?.[0]}`;
    if (key !== listed) {
      listed = key;
      open = null;
      list.replaceChildren(...layerGroups(all).flatMap((group) => {
        const options = group.options.map(({ value, text }) => make("option", { value, text }));
        return group.label ? [make("optgroup", { label: group.label }, ...options)] : options;
      }));
    }
    const asked = want.get("selected_layer") ?? "";
    if (list.value !== asked) list.value = asked;
    if (list.value !== asked) list.selectedIndex = -1;
    const parts = picture.parts ?? [];
    partBox.hidden = parts.length < 2;
    say(partLabel, picture.show === "input" ? "Input" : picture.show === "filters" ? "Weights" : "Output");
    if (part.options.length !== parts.length || [...part.options].some((option, i) => option.value !== parts[i])) {
      part.replaceChildren(...parts.map((/** @type {string} */ name) => make("option", {
        value: name, text: picture.show === "filters" ? name.replace(/[[\]]/g, "") : partName(name),
      })));
    }
    part.value = want.get("part");
    showTree();
  };
  return { nodes: [layerBox, partBox], panel, show };
}

// How a layer is picked in the activation browser: a list, and beside it a tree with a search.
import { listen, make, say } from "../front.js";
import { layerTree } from "./layer_tree.js";
import { layerGroups, partName } from "./words.js";

/** @typedef {import("../front.js").Model} Model */

/**
 * @param {{model: Model, el: HTMLElement, signal: AbortSignal, want: {get(name: string): any, set(name: string, value: any): void}}} view
 * @returns {{nodes: HTMLElement[], panel: HTMLElement, show: (picture: any) => void}}
 */
export function layerChooser({ model, el, signal, want }) {
  const list = make("select", { "aria-label": "layer" });
  const part = make("select", { "aria-label": "which output of the layer" }), partLabel = make("span", { text: "Output" });
  const layers = () => /** @type {import("./tree.js").Layer[]} */ (model.get("layers"));
  const tree = layerTree({ el, signal, layers, chosen: () => want.get("selected_layer") ?? "", choose: (path) => want.set("selected_layer", path) });
  const layerBox = make("div", { class: "dlw-act-group dlw-act-layer" }, make("span", { text: "Layer" }), list, tree.button);
  const partBox = make("div", { class: "dlw-act-group" }, partLabel, part);
  let listed = "";
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
    tree.show();
  };
  return { nodes: [layerBox, partBox], panel: tree.panel, show };
}

// The controls of the activation browser: how the layer is shown.
import { listen, make, makeChoice, say } from "../front.js";

/** Pictures of several maps, which can be put in an order. */
const SORTABLE = new Set(["maps", "volume", "lines", "rgb"]);

/** Controls with a word before them. @param {string} label @param {...Node} nodes */
export function labelled(label, ...nodes) { return make("div", { class: "dlw-act-group" }, make("span", { text: label }), ...nodes); }

/**
 * A slider over the numbers 0 to count - 1, hidden while there is nothing to choose.
 * @param {string} label @param {(value: number) => void} choose @param {AbortSignal} signal
 */
function steps(label, choose, signal) {
  const slider = make("input", { type: "range", min: 0, step: 1, "aria-label": label }), words = make("span", { class: "dlw-act-count" });
  const node = make("label", { class: "dlw-act-group dlw-act-steps" }, make("span", { text: label }), slider, words);
  listen(slider, "input", () => choose(Number(slider.value)), signal);
  return {
    node,
    /** @param {number} value @param {number} count */
    show(value, count) {
      node.hidden = count < 2;
      slider.max = String(Math.max(0, count - 1));
      slider.value = String(value);
      say(words, `${value} of ${count}`);
    },
  };
}

/** How the layer is shown, and, where there are several, which slice or channel of it. @param {import("../front.js").Part} view */
export function pictureControls({ signal, want }) {
  const show = makeChoice("Show", [
    ["output", "output", "what the layer puts out for this sample"], ["input", "input", "what the layer is given"],
    ["filters", "filters", "the weights of the layer"],
  ], (value) => want.set("show", value), signal);
  const sort = makeChoice("Sort", [
    ["index", "index", "the maps as they stand"], ["strength", "strength", "largest mean absolute value first; again: sort anew"],
    ["variance", "variance", "most varied first; again: sort anew"],
  ], (value) => want.set("sort", value), signal);
  const per = makeChoice("Colours", [
    ["layer", "layer", "the colours span the largest value of the layer"], ["map", "each map", "the colours span the largest value of each map"],
  ], (value) => want.set("per", value), signal);
  const slice = steps("Slice", (value) => want.set("slice", value), signal), channel = steps("Input channel", (value) => want.set("channel", value), signal);
  return {
    nodes: [labelled("Show", show.node), labelled("Sort", sort.node), labelled("Colours", per.node)], slices: [slice.node, channel.node],
    /** @param {any} picture */
    show(picture) {
      const several = (picture.total ?? 0) > 1;
      show.show(want.get("show"));
      sort.show(want.get("sort"), SORTABLE.has(picture.form) && several);
      per.show(want.get("per"), several);
      slice.show(want.get("slice") ?? picture.slices?.[1] ?? 0, picture.slices?.[0] ?? 0);
      channel.show(want.get("channel") ?? picture.channel ?? 0, picture.channels ?? 0);
    },
  };
}

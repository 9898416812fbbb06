// How a metric of each class moved over the evaluations, and two moments compared.

import { make } from "./front.js";

/** The rail under a class. @param {{model: import("./front.js").Model, signal: AbortSignal}} hands */
export function pastRail({ model }) {
  const node = make("div", { class: "dlw-det-rail", hidden: true });
  function draw() { node.hidden = !(model.get("past_moments") ?? []).length; }
  return { node, draw };
}

// The study below the maps: its sections folded to one line, and one of them open at a time.
import { listen, make } from "../front.js";
import { exciteSection } from "./top_samples.js";
import { whereSection } from "./attribution.js";
import { pastSection } from "./over_time.js";
import { touchSection } from "./ablation.js";

/** @typedef {import("../front.js").Model} Model */
/** @typedef {import("./ablation.js").Want} Want */

/**
 * Make the study; `draw` is called at each repaint of the browser.
 * @param {{model: Model, el: HTMLElement, signal: AbortSignal, want: Want, repaint: () => void}} view
 * @returns {{node: HTMLElement, draw: () => void}}
 */
export function study({ model, el, signal, want, repaint }) {
  const view = { model, el, signal, want, repaint };
  /** @type {[string, string, string, {node: HTMLElement, draw: () => void}][]} */
  const sections = [
    ["touch", "Touch", "switch channels off or scale them, and see what the model says then", touchSection(view)],
    ["excites", "Excites", "the samples that drive the chosen channel most", exciteSection(view)],
    ["where", "Where it looked", "Grad-CAM and gradient × input for a class", whereSection(view)],
    ["time", "Over time", "the layer across the snapshots, before and after a step, and the spread of its values", pastSection(view)],
  ];
  const heads = sections.map(([key, name, title]) => {
    const head = make("button", { type: "button", class: "dlw-study-head", title, "aria-expanded": "false" },
      make("span", { "aria-hidden": "true", text: "▸" }), ` ${name}`);
    listen(head, "click", () => want.set("study", want.get("study") === key ? "" : key), signal);
    return head;
  });
  const bodies = sections.map(([, name, , section]) => {
    section.node.classList.add("dlw-study-body");
    section.node.setAttribute("role", "region");
    section.node.setAttribute("aria-label", name);
    section.node.hidden = true;
    return section.node;
  });
  const node = make("div", { class: "dlw-study" }, make("div", { class: "dlw-study-heads" }, ...heads), ...bodies);
  const draw = () => {
    const open = want.get("study");
    sections.forEach(([key, , , section], i) => {
      const on = key === open;
      heads[i].setAttribute("aria-expanded", String(on));
      /** @type {HTMLElement} */ (heads[i].firstElementChild).textContent = on ? "▾" : "▸";
      bodies[i].hidden = !on;
      if (on) section.draw();
    });
  };
  return { node, draw };
}

// The study below the maps: its sections folded to one line, and one of them open at a time.
import { make, makeButton } from "../front.js";
import { exciteSection } from "./top_samples.js";
import { whereSection } from "./attribution.js";
import { pastSection } from "./over_time.js";
import { touchSection } from "./ablation.js";

/** Make the study; `draw` is called at each repaint of the browser. @param {import("../front.js").Part} view */
export function study(view) {
  const { signal, want } = view;
  /** @type {[string, string, string, {node: HTMLElement, draw: () => void}][]} */
  const sections = [
    ["touch", "Touch", "switch channels off or scale them, and see what the model says then", touchSection(view)],
    ["excites", "Excites", "the samples that drive the chosen channel most", exciteSection(view)],
    ["where", "Where it looked", "Grad-CAM and gradient × input for a class", whereSection(view)],
    ["time", "Over time", "the layer across the snapshots, before and after a step, and the spread of its values", pastSection(view)],
  ];
  const parts = sections.map(([key, name, title, { node, draw }]) => {
    const turn = () => want.set("study", want.get("study") === key ? "" : key), sign = make("span", { "aria-hidden": "true", text: "▸" });
    const head = makeButton("", turn, signal, { class: "dlw-study-head", title, "aria-expanded": "false" });
    head.append(sign, ` ${name}`);
    node.classList.add("dlw-study-body");
    node.setAttribute("role", "region");
    node.setAttribute("aria-label", name);
    node.hidden = true;
    return { key, head, sign, node, draw };
  });
  const draw = () => {
    const open = want.get("study");
    for (const { key, head, sign, node, draw: drawOpen } of parts) {
      head.setAttribute("aria-expanded", String(key === open));
      sign.textContent = key === open ? "▾" : "▸";
      node.hidden = key !== open;
      if (key === open) drawOpen();
    }
  };
  const heads = make("div", { class: "dlw-study-heads" }, ...parts.map(({ head }) => head));
  return { node: make("div", { class: "dlw-study" }, heads, ...parts.map(({ node }) => node)), draw };
}

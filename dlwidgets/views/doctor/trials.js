// Remedies tried side by side: how far each is, then their losses on one scale, the best proposed.

import { make, makeButton, say, sig, whole } from "../front.js";
import { drawValues, emptySvg } from "./chart.js";
import { heights } from "./words.js";

/** One that was tried: its losses, the last of them, and why it ended early. @typedef {{label: string, losses: (number | null)[], last: number | null, best: boolean, note: string, taken: number, line: string}} Tried */

/** Side by side. @param {import("../front.js").Want} want @param {AbortSignal} signal */
export function trialsOf(want, signal) {
  const words = make("div", { class: "dlw-doc-tried-words", role: "status" }), rows = make("div", { role: "list" });
  const close = makeButton("Leave all", () => want.call("leave"), signal, { title: "The run stays where it is" });
  const node = make("section", { class: "dlw-doc-tried", "aria-label": "Remedies side by side" }, words, rows, close);
  const made = /** @type {ReturnType<typeof rowOf>[]} */ ([]);
  return {
    node,
    /** @param {{words: string, steps: number, rows: Tried[]}} outcome @param {string} wait */
    draw(outcome, wait) {
      const tried = outcome.rows ?? [], ended = tried.every(({ line }) => line);
      node.hidden = !tried.length;
      say(words, outcome.words ?? "");
      close.hidden = !ended;
      while (made.length < tried.length) { const one = rowOf(want, signal); made.push(one); rows.append(one.node); }
      const scale = heights(tried.flatMap(({ losses }) => losses), null);
      made.forEach((one, i) => {
        one.node.hidden = i >= tried.length;
        if (i < tried.length) one.draw(tried[i], scale.place, outcome.steps, wait);
      });
    },
  };
}

/** @param {import("../front.js").Want} want @param {AbortSignal} signal */
function rowOf(want, signal) {
  let line = "";
  const name = make("span"), svg = /** @type {SVGElement} */ (emptySvg()), last = make("span", { class: "dlw-doc-last" });
  const take = makeButton("Take", () => want.call("take", line), signal), bar = make("progress", { max: 1 });
  return {
    node: make("div", { class: "dlw-doc-trial", role: "listitem" }, name, bar, svg, last, take),
    /** @param {Tried} tried @param {(value: number) => number} place @param {number} steps @param {string} wait */
    draw(tried, place, steps, wait) {
      line = tried.line;
      const { node } = this, share = tried.taken / Math.max(1, steps);
      node.toggleAttribute("data-best", tried.best);
      say(name, (tried.best ? "✓ " : "") + tried.label);
      name.title = tried.note || tried.label;
      bar.hidden = !!line;
      bar.value = share;
      bar.setAttribute("aria-label", `${tried.label}: ${whole(tried.taken)} of ${whole(steps)} steps`);
      svg.toggleAttribute("hidden", !line);
      if (line) drawValues(svg, tried.losses, null, false, place);
      svg.setAttribute("aria-label", `training loss of ${tried.label}`);
      say(last, tried.note ? "▲ failed" : tried.last === null ? "" : sig(tried.last, 3));
      last.title = tried.note || "median loss of its last steps";
      take.hidden = !line;
      take.disabled = !!wait;
      take.title = wait || `Go on with this one`;
      take.toggleAttribute("data-best", tried.best);
    },
  };
}

// Remedies tried side by side: how far each is, then their losses on one scale, the best proposed.

import { make, makeButton, say, sig, whole } from "../front.js";
import { drawValues, emptySvg } from "./chart.js";
import { trialHeights } from "./words.js";

/** One that was tried: its losses, what it came to, and why it ended early. @typedef {{name: string, label: string, losses: (number | null)[], last: number | null, best: boolean, note: string, taken: number, ended: boolean}} Tried */
/** What came of all: in words, and by which measure. @typedef {{words?: string, steps?: number, measure?: string, rows?: Tried[]}} Outcome */

/** Side by side. @param {import("../front.js").Want} want @param {AbortSignal} signal */
export function trialsOf(want, signal) {
  const words = make("div", { class: "dlw-doc-tried-words", role: "status" }), rows = make("div", { role: "list" });
  const close = makeButton("Leave all", () => want.call("leave"), signal, { title: "The run stays where it is" });
  const node = make("section", { class: "dlw-doc-tried", "aria-label": "Remedies side by side" }, words, rows, close);
  const made = /** @type {ReturnType<typeof rowOf>[]} */ ([]);
  return {
    node,
    /** @param {Outcome} outcome @param {string} wait */
    draw(outcome, wait) {
      const tried = outcome.rows ?? [], ended = tried.every((one) => one.ended);
      node.hidden = !tried.length;
      say(words, outcome.words ?? "");
      close.hidden = !ended;
      while (made.length < tried.length) { const one = rowOf(want, signal); made.push(one); rows.append(one.node); }
      const place = trialHeights(tried.map(({ losses }) => losses));
      made.forEach((one, i) => {
        one.node.hidden = i >= tried.length;
        if (i < tried.length) one.draw(tried[i], place, outcome, wait);
      });
    },
  };
}

/** @param {import("../front.js").Want} want @param {AbortSignal} signal */
function rowOf(want, signal) {
  let chosen = "";
  const name = make("span"), svg = /** @type {SVGElement} */ (emptySvg()), last = make("span", { class: "dlw-doc-last" });
  const take = makeButton("Take", () => want.call("take", chosen), signal), bar = make("progress", { max: 1 });
  return {
    node: make("div", { class: "dlw-doc-trial", role: "listitem" }, name, bar, svg, last, take),
    /** @param {Tried} tried @param {(value: number) => number} place @param {Outcome} outcome @param {string} wait */
    draw(tried, place, { steps = 1, measure = "loss" }, wait) {
      chosen = tried.name;
      const { node } = this, { ended } = tried, share = tried.taken / steps;
      node.toggleAttribute("data-best", tried.best);
      say(name, (tried.best ? "✓ " : "") + tried.label);
      name.title = tried.note || tried.label;
      bar.hidden = ended;
      bar.value = share;
      bar.setAttribute("aria-label", `${tried.label}: ${whole(tried.taken)} of ${whole(steps)} steps`);
      svg.toggleAttribute("hidden", !ended);
      if (ended) drawValues(svg, tried.losses, null, false, place);
      svg.setAttribute("aria-label", `training loss of ${tried.label}`);
      say(last, tried.note ? "▲ failed" : tried.last === null ? "" : sig(tried.last, 3));
      last.title = tried.note || `${measure} at its end`;
      take.hidden = !ended;
      take.disabled = !!wait;
      take.title = wait || "Go to its end, and pause there";
      take.toggleAttribute("data-best", tried.best);
    },
  };
}

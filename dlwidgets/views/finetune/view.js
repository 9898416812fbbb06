// Fine-tuning: what trains and what is frozen over the depth of the model, rates, timetable, proofs, and three starts side by side.

import { decision, listen, live, make, makeChoice, say, wishes } from "../front.js";
import { barOf } from "./bar.js";
import { ratesOf, timesOf } from "./rows.js";
import { startsOf } from "./starts.js";
import { proofWords, ratesLine, timesLine, trainedWords } from "./words.js";
/** @import { Model } from "../front.js" */

/** The ways to train that one button stands for. @type {["head" | "all" | "gentle", string, string][]} */
const MODES = [
  ["head", "Head only", "Freeze all but the head"], ["all", "All", "Everything trains, at one rate"],
  ["gentle", "Backbone × 0.1", "Everything trains, the backbone at a tenth of the rate"],
];
/** A fold with what it says while it is closed. @param {string} title @param {Node} body @param {() => void} turn @param {AbortSignal} signal */
function foldOf(title, body, turn, signal) {
  const line = make("span", { class: "dlw-faint" }), head = make("summary", {}, make("span", { text: title }), " ", line), node = make("details", { class: "dlw-ft-fold" }, head, body);
  // Not told by the fold itself, which a picture might close before it says that it was opened.
  listen(head, "click", (event) => { event.preventDefault(); turn(); }, signal);
  return { node, line };
}

export default {
  render(/** @type {{model: Model, el: HTMLElement, signal: AbortSignal}} */ { model, el, signal }) {
    el.classList.add("dlw", "dlw-finetune");
    let repaint = () => {};
    const part = { model, signal, repaint: () => repaint() }, want = wishes(part);
    const opened = /** @type {{get: () => string[], set: (names: string[]) => void}} */ (decision(part, want, "opened"));
    const what = make("span", { class: "dlw-ft-what", role: "status" }), modes = makeChoice("What trains", MODES, (mode) => want.call("mode", mode), signal);
    const note = make("div", { class: "dlw-note", role: "status" }), bar = barOf(want, signal), why = make("div", { class: "dlw-ft-why", role: "alert" }), because = make("div", { class: "dlw-ft-because" });
    const proof = make("span", { class: "dlw-ft-proof", role: "status" }), drifts = make("div", { class: "dlw-ft-drifts" }), past = make("ol", { class: "dlw-ft-past" });
    const rates = ratesOf(want, signal), times = timesOf(want, signal), starts = startsOf(want, signal);
    const bodies = /** @type {[string, string, Node][]} */ ([["proofs", "", past], ["rates", "Rates by group", rates.node], ["timetable", "Timetable", times.node], ["starts", "Compare head only / all / from scratch", starts.node]]);
    /** @param {string} name */
    const turn = (name) => opened.set(opened.get().includes(name) ? opened.get().filter((one) => one !== name) : [...opened.get(), name]);
    const folds = new Map(bodies.map(([name, title, body]) => [name, foldOf(title, body, () => turn(name), signal)]));
    const lineOf = (/** @type {string} */ name, /** @type {string} */ text) => { const fold = folds.get(name); if (fold) say(fold.line, text); };
    el.append(make("div", { class: "dlw-head" }, make("span", { class: "dlw-title", text: "Fine-tuning" }), what, modes.node), note, bar.node, why, because, ...[...folds.values()].map(({ node }) => node));
    const proved = /** @type {ReturnType<typeof foldOf>} */ (folds.get("proofs"));
    proved.node.classList.add("dlw-ft-proved");
    proved.line.before(proof);
    proved.node.after(drifts);
    let listed = "";

    const draw = () => {
      const about = model.get("about") ?? {}, moment = model.get("moment") ?? {}, said = moment.said ?? {}, states = String(model.get("states") ?? "");
      const locked = (/** @type {string} */ name) => ((moment.locked ?? []).includes(name) ? "Locked by who made this panel" : "");
      const off = moment.busy ? `${moment.busy} …` : "", blocks = model.get("blocks") ?? [], names = opened.get();
      say(note, [model.get("problem"), want.refusal].filter(Boolean).join("\n"));
      say(what, about.parameters ? trainedWords(about) : "");
      modes.show(about.mode ?? "", !off && !locked("trainable"));
      modes.buttons.forEach((button, i) => { if (i !== 1 && !about.splits) button.disabled = true; button.title = locked("trainable") || (i !== 1 && !about.splits ? about.because : MODES[i][2]); });
      bar.draw({ blocks, states, all: about.parameters ?? 0, rates: about.rates ?? [], off: off || locked("trainable") });
      say(why, said.bar ?? "");
      say(because, about.splits ? `Proposed head: ${about.because}` : about.because ?? "");
      const { last = {}, past: before = [], count: proofs = 0 } = model.get("proof") ?? {};
      say(proof, proofWords(last, states, Boolean(about.splits)));
      proof.dataset.holds = String(last.holds ?? "");
      say(drifts, last.drifts ? `◆ ${last.drifts}` : "");
      proved.node.toggleAttribute("data-alone", proofs < 2);
      lineOf("proofs", proofs < 2 ? "" : ` · ${proofs} so far`);
      const rows = JSON.stringify(before);
      if (rows !== listed) { listed = rows; past.replaceChildren(...before.map((/** @type {any} */ one) => make("li", { text: `${one.holds ? "✓" : "▲"} ${one.words}` }))); }
      for (const [name, { node }] of folds) node.open = names.includes(name);
      const rated = model.get("rates") ?? {}, timed = model.get("timetable") ?? {}, tried = model.get("starts") ?? {};
      lineOf("rates", ratesLine(rated.rows ?? []));
      lineOf("timetable", timesLine(timed.rows ?? []));
      lineOf("starts", moment.comparing ? "under way" : tried.rows?.length ? "done" : "");
      rates.draw(rated, off || locked("lr_scale"), said.rates ?? "", (moment.waiting ?? []).includes("rates"));
      times.draw(timed, off || locked("unfreeze_at"), said.timetable ?? "");
      starts.draw(tried, moment, off || locked("rewind") || locked("trainable"), said.starts ?? "");
    };
    repaint = live({ model, el, signal, draw });
  },
};

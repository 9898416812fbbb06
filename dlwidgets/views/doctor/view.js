// The doctor: a card for each finding, what was tried, what is over, and what was checked.

import { live, make, makeOffer, say, wishes } from "../front.js";
import { cardOf } from "./card.js";
import { trialsOf } from "./trials.js";
import { checkLines, news } from "./words.js";
/** @import { Model } from "../front.js" */

/** @typedef {import("./words.js").Finding} Finding */

/** Draw cards in order; each finding keeps its card, and with it the focus and what is folded open.
 * @param {HTMLElement} box @param {Map<string, ReturnType<typeof cardOf>>} cards @param {Finding[]} findings @param {() => ReturnType<typeof cardOf>} one
 * @param {string} wait */
function drawCards(box, cards, findings, one, wait) {
  for (const [key, card] of cards) if (!findings.some((finding) => finding.key === key)) { card.node.remove(); cards.delete(key); }
  findings.forEach((finding, i) => {
    const card = cards.get(finding.key) ?? one();
    cards.set(finding.key, card);
    if (box.children[i] !== card.node) box.insertBefore(card.node, box.children[i] ?? null);
    card.draw(finding, wait);
  });
}

export default {
  render(/** @type {{model: Model, el: HTMLElement, signal: AbortSignal}} */ { model, el, signal }) {
    el.classList.add("dlw", "dlw-doctor");
    let repaint = () => {};
    const want = wishes({ model, signal, repaint: () => repaint() }), known = /** @type {Set<string>} */ (new Set());
    const count = make("span"), note = make("div", { class: "dlw-note", role: "status" }), aloud = make("div", { class: "dlw-hidden", role: "status" });
    const busy = make("div", { class: "dlw-doc-busy dlw-small", role: "status" });
    const done = make("span"), onward = makeOffer(() => want.call("resume"), signal), undo = makeOffer(() => want.call("undo"), signal);
    const taken = make("div", { class: "dlw-doc-taken" }, done, " ", onward.node, " ", undo.node);
    const lasting = make("div", { class: "dlw-doc-cards" }), past = make("div", { class: "dlw-doc-cards" }), tried = trialsOf(want, signal);
    const over = make("summary"), overBox = make("details", { class: "dlw-doc-past" }, over, past);
    const words = make("p", { class: "dlw-faint" }), look = makeOffer(() => want.call("check"), signal);
    const empty = make("div", { class: "dlw-doc-none" }, words, look.node);
    const line = make("summary"), list = make("ul"), checks = make("details", { class: "dlw-doc-checks dlw-small" }, line, list);
    el.append(make("div", { class: "dlw-head" }, make("span", { class: "dlw-title", text: "Doctor" }), count), note, busy, taken, tried.node, lasting, empty, overBox, checks, aloud);
    const cards = new Map(), gone = new Map();
    let listed = "";

    const draw = () => {
      const findings = /** @type {Finding[]} */ (model.get("findings") ?? []), moment = model.get("moment") ?? {}, checked = model.get("checks") ?? {};
      const now = findings.filter((one) => !one.over), ended = findings.filter((one) => one.over);
      say(note, [model.get("problem"), want.refusal || moment.said].filter(Boolean).join("\n"));
      say(busy, moment.busy ? `${moment.busy} …` : "");
      say(count, now.length ? `${now.length} found` : "");
      say(done, moment.taken ?? "");
      taken.hidden = !moment.taken;
      onward.draw("Go on", "Train on from here", moment.busy || (moment.paused ? "" : "it trains already"));
      onward.node.hidden = !moment.paused;
      undo.draw("Undo", "Take this back, and pause there", moment.busy ?? "");
      tried.draw(model.get("outcome") ?? {}, moment.busy ?? "");
      drawCards(lasting, cards, now, () => cardOf(want, signal), moment.busy ?? "");
      drawCards(past, gone, ended, () => cardOf(want, signal), "");
      say(over, `${ended.length} over`);
      overBox.hidden = !ended.length;
      empty.hidden = !!now.length;
      say(words, moment.words ?? "");
      look.draw("Check before training", "Look at data, model and one batch; it leaves no trace", moment.busy ?? "");
      look.node.hidden = !moment.checkable;
      say(line, checked.line ?? "");
      checks.hidden = !checked.line;
      const rows = /** @type {string[][]} */ (checked.rows ?? []), shown = JSON.stringify(rows);
      if (shown !== listed) {
        listed = shown;
        list.replaceChildren(...checkLines(rows).map((text) => make("li", { text })));
      }
      const fresh = news(findings, known);
      if (fresh) say(aloud, fresh);
    };
    repaint = live({ model, el, signal, draw });
  },
};

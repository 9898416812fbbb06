// A finding as a card: what is wrong, where and since when, its evidence, why, and what may help.

import { gravity, listen, make, makeButton, makeOffer, say } from "../front.js";
import { chartBox } from "./chart.js";
import { byWay } from "./words.js";

/** @typedef {import("./words.js").Finding} Finding */
/** @typedef {import("./words.js").Offer} Offer */

/** A card. @param {import("../front.js").Want} want @param {AbortSignal} signal */
export function cardOf(want, signal) {
  let finding = /** @type {Finding | null} */ (null);
  const mark = make("span", { class: "dlw-gravity" }), title = make("b"), sentence = make("span"), why = make("div"), off = make("div", { class: "dlw-faint dlw-small" });
  /** Ask for something to be shown in another view, and bring that into sight where it stands beside this one. @param {string} name @param {any} value @param {string} view */
  const point = (name, value, view) => {
    want.call(name, value);
    node.closest(".dlw-dash")?.querySelector(view)?.scrollIntoView({ block: "nearest" });
  };
  const step = makeButton("", () => point("step", finding?.step, ".dlw-curves"), signal, { class: "dlw-link", title: "Show this step on the curves" });
  const layer = makeButton("", () => point("layer", finding?.layer, ".dlw-layers"), signal, { class: "dlw-link", title: "Show this layer in the table" });
  const chart = chartBox(), more = make("details", {}, make("summary", { text: "why" }), why), offers = make("div", { class: "dlw-doc-offers" });
  const all = makeOffer(() => want.call("try", finding?.key), signal);
  let buttons = /** @type {Map<string, ReturnType<typeof makeOffer>>} */ (new Map()), offered = "";
  /** Make the buttons anew for other remedies; the same keep theirs, and the focus. @param {Offer[]} remedies */
  const build = (remedies) => {
    const ways = byWay(remedies), shape = JSON.stringify(ways.map(([back, some]) => [back, some.map(({ name }) => name)]));
    if (shape === offered) return;
    offered = shape;
    buttons = new Map(remedies.map(({ name }) => [name, buttons.get(name) ?? makeOffer(() => want.call("remedy", [finding?.key, name]), signal)]));
    offers.replaceChildren(...ways.map(([back, some]) => make("div", {}, ...(back ? [make("span", { text: `${back}, then` })] : []), ...some.flatMap(({ name }) => buttons.get(name)?.node ?? []))), all.node);
  };
  const node = make("article", { class: "dlw-doc-card" }, make("div", { class: "dlw-doc-top" }, mark, " ", title),
    make("div", { class: "dlw-doc-said" }, sentence, " ", layer, " ", step), chart.node, more, offers, off);
  // What is folded open stays so, whatever comes.
  listen(more, "toggle", () => node.toggleAttribute("data-open", more.open), signal);
  return {
    node,
    /** @param {Finding} now @param {string} wait why nothing can be pressed now, or "" */
    draw(now, wait) {
      finding = now;
      node.dataset.severity = now.severity;
      node.dataset.key = now.key;
      node.toggleAttribute("data-over", now.over);
      say(mark, gravity(now.severity));
      say(title, now.title); say(sentence, now.sentence); say(why, now.why); say(step, now.when); say(layer, now.layer ? `layer ${now.layer}` : "");
      layer.hidden = !now.layer; more.hidden = !now.why;
      chart.draw(now.chart);
      build(now.remedies);
      for (const one of now.remedies) buttons.get(one.name)?.draw(one.label, one.full, wait || one.off);
      all.draw("Try remedies side by side", "Take the same steps with each remedy and with none, and come back", wait || tryOff(now.remedies));
      offers.hidden = !now.remedies.length;
      all.node.hidden = now.remedies.length < 2;
      say(off, offWords(now.remedies));
    },
  };
}

/** Why remedies cannot be tried side by side, or "". @param {Offer[]} remedies */
export function tryOff(remedies) { return remedies.filter(({ off }) => !off).length ? "" : remedies[0]?.off ?? ""; }

/** Why buttons of a card are off, each reason once. @param {Offer[]} remedies */
export function offWords(remedies) {
  const reasons = new Map(/** @type {[string, string[]][]} */ ([]));
  for (const { label, off } of remedies) if (off) reasons.set(off, [...(reasons.get(off) ?? []), label]);
  return [...reasons].map(([why, labels]) => `${labels.join(", ")}: ${why}`).join(". ");
}

// How a sample is picked in the activation browser: by number, along an order, or one of a person's own.
import { listen, make, say, whole } from "../front.js";
import { ownSample } from "./own_sample.js";

/** @typedef {import("../front.js").Model} Model */

/**
 * @param {{model: Model, el: HTMLElement, signal: AbortSignal, want: {get(name: string): any, set(name: string, value: any): void, call(name: string, value?: any): void}, failed: (words: string) => void}} view
 * @returns {{nodes: HTMLElement[], show: () => void}}
 */
export function samplePicker({ model, el, signal, want, failed }) {
  const back = make("button", { type: "button", text: "‹", "aria-label": "previous sample", title: "previous sample" });
  const next = make("button", { type: "button", text: "›", "aria-label": "next sample", title: "next sample" });
  const number = make("input", { type: "number", class: "dlw-act-number", min: 0, step: 1, "aria-label": "sample number" });
  const many = make("span"), random = make("button", { type: "button", text: "random", title: "a sample at random, in this order" });
  const order = make("select", { class: "dlw-act-order", "aria-label": "order of the samples", title: "the way that next and previous go" });
  const box = make("div", { class: "dlw-act-group dlw-act-sample" }, make("span", { text: "Sample" }), back, number, next, many, random);
  const way = make("div", { class: "dlw-act-group" }, make("span", { text: "By" }), order);
  const bring = ownSample({ model, el, signal, want, failed });
  let listed = "";

  const sample = () => model.get("sample");
  /** @param {number} to */
  const goTo = (to) => { if (Number.isInteger(to) && to >= 0 && to < (sample().count ?? 0)) want.set("selected_sample", to); };
  const byNumber = () => (sample().order ?? "number") === "number";
  listen(back, "click", () => { if (byNumber() && !sample().own) goTo(want.get("selected_sample") - 1); else want.call("go", "previous"); }, signal);
  listen(next, "click", () => { if (byNumber() && !sample().own) goTo(want.get("selected_sample") + 1); else want.call("go", "next"); }, signal);
  listen(random, "click", () => {
    if (!byNumber()) { want.call("go", "random"); return; }
    const count = sample().count ?? 1, jump = 1 + Math.floor(Math.random() * (count - 1));
    goTo((want.get("selected_sample") + jump) % count);
  }, signal);
  const typed = () => {
    const to = Math.min((sample().count ?? 1) - 1, Math.max(0, Math.round(Number(number.value) || 0)));
    number.value = String(to);
    if (to !== want.get("selected_sample") || sample().own) goTo(to);
  };
  listen(number, "change", typed, signal);
  // A notebook may keep Enter for itself before the field hears of a change.
  listen(number, "keydown", (event) => { if (event.key === "Enter") typed(); }, signal);
  listen(order, "change", () => want.call("order", order.value), signal);

  const show = () => {
    const now = sample(), at = want.get("selected_sample"), last = (now.count ?? 1) - 1, ours = !!now.own;
    if (document.activeElement !== number) number.value = String(at);
    number.max = String(last);
    const among = `of ${whole(now.count ?? 0)} ${now.name}`;
    const placed = now.place ? (now.place[0] < 0 ? `not among ${whole(now.place[1])}` : `${whole(now.place[0] + 1)} of ${whole(now.place[1])}`) : among;
    say(many, now.count ? placed : "");
    many.title = now.place ? `sample ${at} ${among}` : "";
    back.disabled = !ours && (now.place ? now.place[0] === 0 : at <= 0);
    next.disabled = !ours && (now.place ? now.place[0] === now.place[1] - 1 : at >= last);
    random.disabled = last < 1;
    const orders = now.orders ?? [], key = JSON.stringify(orders);
    if (key !== listed) {
      listed = key;
      const plain = orders.filter((/** @type {string[]} */ [value]) => !value.startsWith("class:"));
      const classes = orders.filter((/** @type {string[]} */ [value]) => value.startsWith("class:"));
      const options = (/** @type {string[][]} */ some) => some.map(([value, words]) => make("option", { value, text: words }));
      order.replaceChildren(...options(plain), ...(classes.length ? [make("optgroup", { label: "only those" }, ...options(classes))] : []));
    }
    order.value = now.order ?? "number";
    order.disabled = orders.length < 2;
    order.title = orders.length < 2 ? "by loss and by class after the first evaluation" : "the way that next and previous go";
    box.dataset.own = String(ours);
    bring.show(now);
  };
  return { nodes: [box, way, bring.node], show };
}

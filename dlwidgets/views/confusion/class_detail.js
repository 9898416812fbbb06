// What opens under the tiles when a class is pinned: its samples, its curves, what is said instead, its past.

import { make, say, whole } from "../front.js";
import { classCharts } from "./charts.js";
import { listedNames, sampleList } from "./samples.js";
import { pastRail } from "./rail.js";

/** From this width on the curves stand beside the samples [px]. */
const BESIDE = 900;

/** What is said where a class is missed, and the commonest mistaken sets, in lines of words. @param {{missed:
 * number, instead: [number, number, number][], sets: [number[], number[], number][]}} mistakes @param {string} name
 * @param {string[]} names @param {boolean} multilabel @returns {{instead: string, sets: string[]}} */
export function mistakeWords({ missed, instead, sets }, name, names, multilabel) {
  const percent_ = (/** @type {number} */ n) => `${Math.round((100 * n) / missed)} %`;
  // Of several labels some may be there as well: only what is wrong is said in place of the missed one.
  const parts = instead.map(([c, n, wrong]) => `${names[c] ?? `class ${c}`} (${percent_(n)}${multilabel ? `, ${percent_(wrong)} wrongly` : ""})`);
  const where = `${missed === 1 ? "The one sample" : `The ${whole(missed)} samples`} where ${name} is missed ${missed === 1 ? "is" : "are"} ${multilabel ? "said to have" : "likeliest"}`;
  return {
    instead: missed ? `${where}: ${parts.length ? parts.join(", ") : "nothing"}.` : `${name} is never missed at this threshold.`,
    sets: sets.map(([is, said, n]) => `${whole(n)} × has ${listedNames(is, names)} → said ${listedNames(said, names)}`),
  };
}

/** The detail of the pinned class; `pin` tells the grid of another quadrant, where the grid wants to be told. @param
 * {{model: import("../front.js").Model, metrics: import("./metrics.js").Metrics, el: HTMLElement, signal:
 * AbortSignal, want: {get(name: string): any, set(name: string, value: any): void}, repaint: () => void, pin?: (c:
 * number, cell: number) => void}} hands */
export function classDetail({ model, metrics, el, signal, want, repaint, pin }) {
  let pinned = -1;
  const open = (/** @type {number} */ cell) => {
    const { class: c, cell: now } = want.get("quadrant") ?? {};
    // The grid takes the same once more for letting go.
    if (c === pinned && now === cell) return;
    if (pin) pin(pinned, cell); else want.set("quadrant", { class: pinned, cell });
  };
  /** Another class, at the list that is open. @param {number} c */
  function choose(c) {
    const { cell } = want.get("quadrant") ?? {};
    if (c === pinned) return;
    if (pin) pin(c, cell >= 0 ? cell : 2); else want.set("quadrant", { class: c, cell: cell >= 0 ? cell : 2 });
  }
  const title = make("b"), charts = classCharts({ signal }), samples = sampleList({ model, signal, want, open });
  const rail = pastRail({ model, metrics, signal, repaint, open: (on) => want.set("past_open", on), choose });
  const instead = make("div"), sets = make("ol", { class: "dlw-det-sets", "aria-label": "The commonest mistaken sets" });
  const commonest = make("div", { class: "dlw-det-common", text: "The commonest mistaken sets" });
  const right = make("div", { class: "dlw-det-right" }, charts.node, make("div", { class: "dlw-det-mistakes" }, instead, commonest, sets));
  const body = make("div", { class: "dlw-det-body" }, samples.node, right);
  const of = make("section", { "aria-label": "The pinned class" },
    make("div", { class: "dlw-det-head" }, make("span", { class: "dlw-title", text: "Class" }), " ", title), body);
  const node = make("div", { class: "dlw-det" }, of, rail.node);

  /** @param {{names: string[], cells: Float64Array, limits: number[], counts: ArrayLike<number>, totals:
   * ArrayLike<number>, task: string, samples: number, pinned: number, cell?: number}} picture */
  function draw(picture) {
    const c = picture.pinned, some = c >= 0 && c < picture.names.length, width = el.clientWidth || 640;
    of.hidden = !some;
    rail.draw({ names: picture.names, pinned: some ? c : -1 }, width);
    node.hidden = !some && rail.node.hidden;
    if (!some) { pinned = -1; return; }
    const said = want.get("quadrant") ?? {}, own = said.class === c && said.cell >= 0;
    const cell = own ? Number(said.cell) : picture.cell !== undefined && picture.cell >= 0 ? picture.cell : 2;
    // Asked once for each class that is pinned: two pages that pinned different ones would else ask for ever.
    if (pinned !== c) {
      pinned = c;
      if (!own) want.set("quadrant", { class: c, cell });
    }
    say(title, picture.names[c]);
    const beside = width >= BESIDE, room = beside ? Math.min(580, Math.round(0.47 * width)) : width - 4;
    body.style.gridTemplateColumns = beside ? `minmax(0, 1fr) ${room}px` : "minmax(0, 1fr)";
    samples.draw(picture, c, cell);
    charts.draw({ ...picture, facts: model.get("class_facts"), curve: model.get("class_curve") }, c, room);
    const mistakes = model.get("mistakes") ?? {}, words = mistakes.class === c && picture.names.length > 1 ? mistakeWords(mistakes, picture.names[c], picture.names, picture.task === "multilabel") : null;
    say(instead, words?.instead ?? "");
    commonest.hidden = !words?.sets.length;
    while (sets.children.length < (words?.sets.length ?? 0)) sets.append(make("li"));
    [...sets.children].forEach((line, i) => {
      const text = words?.sets[i] ?? "";
      /** @type {HTMLElement} */ (line).hidden = !text;
      say(line, text);
      /** @type {HTMLElement} */ (line).title = text;
    });
  }
  return { node, draw };
}

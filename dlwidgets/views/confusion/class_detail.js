// What opens under the tiles when a class is pinned: its samples, its curves, what is said instead, its past.
import { make, numbers, say, whole } from "../front.js";
import { classCharts } from "./charts.js";
import { boxPicture } from "../boxes.js";
import { listedNames, pictureOf, sampleList } from "./samples.js";
import { pastRail } from "./rail.js";

/** From this width on the curves stand beside the samples [px]. */
const BESIDE = 900;

/** What is said where a class is missed, and the commonest mistaken sets, in lines of words. @param {{missed: number,
 * instead: [number, number, number, number][], sets: [number[], number[], number][]}} mistakes @param {string} name
 * @param {string[]} names @param {boolean} multilabel @returns {{instead: string, sets: string[]}} */
export function mistakeWords({ missed, instead, sets }, name, names, multilabel) {
  const percent_ = (/** @type {number} */ n, of = missed) => of ? `${Math.round((100 * n) / of)} %` : "unknown how often";
  // Of several labels some may be there as well: only what is wrong is said in place of the missed one.
  const parts = instead.map(([c, n, wrong, known]) => `${names[c] ?? `class ${c}`} (${percent_(n)}${multilabel ? `, ${percent_(wrong, known)} wrongly` : ""})`);
  const where = `${missed === 1 ? "The one sample" : `The ${whole(missed)} samples`} where ${name} is missed ${missed === 1 ? "is" : "are"} ${multilabel ? "said to have" : "likeliest"}`;
  return {
    instead: missed ? `${where}: ${parts.length ? parts.join(", ") : "nothing"}.` : `${name} is never missed at this threshold.`,
    sets: sets.map(([is, said, n]) => `${whole(n)} × has ${listedNames(is, names)} → said ${listedNames(said, names)}`),
  };
}

/** The detail of the pinned class; `pin` tells the grid of another quadrant. 
 * @param {{model: import("../front.js").Model, metrics: import("./metrics.js").Metrics, el: HTMLElement, signal: AbortSignal,
 * want: ReturnType<typeof import("../front.js").wishes>, repaint: () => void, pin: (c: number, cell: number) => void}} hands */
export function classDetail({ model, metrics, el, signal, want, repaint, pin }) {
  let pinned = -1;
  const quadrant = () => want.get("quadrant") ?? {};
  // The grid takes the same once more for letting go.
  const open = (/** @type {number} */ cell) => { if (quadrant().class !== pinned || quadrant().cell !== cell) pin(pinned, cell); };
  /** Another class, at the list that is open. @param {number} c */
  const choose = (c) => { if (c !== pinned) pin(c, quadrant().cell >= 0 ? quadrant().cell : 2); };
  const title = make("b"), charts = classCharts({ signal }), samples = sampleList({ model, signal, want, open });
  const rail = pastRail({ model, metrics, signal, repaint, open: (on) => want.set("past_open", on), choose });
  const instead = make("div"), sets = make("ol", { class: "dlw-det-sets", "aria-label": "The commonest mistaken sets" });
  const commonest = make("div", { class: "dlw-det-common", text: "The commonest mistaken sets" });
  const picture_ = boxPicture({ signal, repaint });
  const right = make("div", { class: "dlw-det-right" }, picture_.node, charts.node, make("div", { class: "dlw-det-mistakes" }, instead, commonest, sets));
  const body = make("div", { class: "dlw-det-body" }, samples.node, right);
  const of = make("section", { "aria-label": "The pinned class" },
    make("div", { class: "dlw-det-head" }, make("span", { class: "dlw-title", text: "Class" }), " ", title), body);
  const node = make("div", { class: "dlw-det" }, of, rail.node);

  /** @param {import("./tiles.js").Picture} picture @param {boolean} more whether the past is there with no class pinned */
  function draw(picture, more) {
    const { names, task, pinned: c } = picture, some = c >= 0 && c < names.length, width = el.clientWidth || 640;
    of.hidden = !some;
    rail.draw({ names, pinned: some ? c : -1 }, width);
    node.hidden = !some && (!more || rail.node.hidden);
    if (!some) { pinned = -1; return; }
    const said = quadrant(), own = said.class === c && said.cell >= 0;
    const cell = own ? Number(said.cell) : picture.cell >= 0 ? picture.cell : 2;
    // Asked once for each class that is pinned: two pages that pinned different ones would else ask for ever.
    if (pinned !== c && !own) want.set("quadrant", { class: c, cell });
    pinned = c;
    say(title, names[c]);
    const beside = width >= BESIDE, room = beside ? Math.min(580, Math.round(0.47 * width)) : width - 4;
    body.style.gridTemplateColumns = beside ? `minmax(0, 1fr) ${room}px` : "minmax(0, 1fr)";
    samples.draw(picture, c, cell);
    const opened = model.get("opened") ?? {};
    picture_.node.hidden = !picture.boxes || !opened.name;
    if (!picture_.node.hidden) picture_.draw(pictureOf(numbers(model.get("opened_pixels"), Uint8Array), opened.size ?? []), opened, room);
    charts.draw({ ...picture, c, facts: model.get("class_facts"), curve: model.get("class_curve") }, room);
    const mistakes = model.get("mistakes") ?? {}, mine = mistakes.class === c && names.length > 1;
    const words = mine ? mistakeWords(mistakes, names[c], names, task === "multilabel") : { instead: "", sets: [] };
    say(instead, words.instead);
    commonest.hidden = !words.sets.length;
    while (sets.children.length < words.sets.length) sets.append(make("li"));
    [...sets.querySelectorAll("li")].forEach((line, i) => {
      const text = words.sets[i] ?? "";
      line.hidden = !text;
      say(line, text);
      line.title = text;
    });
  }
  return { node, draw };
}

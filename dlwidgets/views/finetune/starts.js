// Head only, all and from scratch side by side: how far each is, then their curves, what each came to, and the time it took.

import { listen, make, makeButton, say, sig, whole } from "../front.js";
import { costWords, curvePath, lossHeights, spread, tookWords, trainsWords } from "./words.js";

/** @typedef {import("./words.js").Start} Start */

/** The box that curves are drawn in, stretched to its place; how high that is, and how far apart its labels are [px]. */
const WIDTH = 400, HEIGHT = 120, APART = 15;
const NAMESPACE = "http://www.w3.org/2000/svg";

/** @param {import("../front.js").Want} want @param {AbortSignal} signal */
export function startsOf(want, signal) {
  let cost = /** @type {number | null} */ (null), untouched = true;
  const epochs = make("input", { type: "text", inputmode: "numeric", "aria-label": "Epochs of each" }), takes = make("span", { class: "dlw-faint" });
  const begin = makeButton("Compare", () => want.call("compare", epochs.value), signal), end = makeButton("End it", () => want.call("end"), signal, { title: "The run stands where it stood" });
  const chart = chartOf(), words = make("div", { class: "dlw-ft-words", role: "status" }), list = make("div", { class: "dlw-ft-starts", role: "list" }), why = make("div", { class: "dlw-ft-why", role: "alert" });
  const node = make("div", { class: "dlw-ft-body" }, make("div", { class: "dlw-ft-add" }, make("label", {}, epochs, " epochs each"), begin, end, takes), why, words, chart.node, list);
  const made = /** @type {ReturnType<typeof startRow>[]} */ ([]);
  const tellCost = () => say(takes, costWords(cost, Number.isInteger(Number(epochs.value)) ? Number(epochs.value) : 0));
  listen(epochs, "input", () => { untouched = false; tellCost(); }, signal);
  return {
    node,
    /** @param {{words?: string, measure?: string, rows?: Start[], seconds?: number | null, usual?: number}} now @param {{busy: string, comparing: boolean, line: string}} moment @param {string} off @param {string} said */
    draw(now, moment, off, said) {
      const rows = now.rows ?? [];
      cost = now.seconds ?? null;
      if (untouched) epochs.value = String(now.usual ?? 3);
      tellCost();
      begin.disabled = Boolean(off);
      begin.title = off || "Each takes the same steps on the same batches, from the run's first step; then the run is where it was";
      epochs.disabled = Boolean(off);
      begin.hidden = moment.comparing;
      end.hidden = !moment.comparing;
      say(why, said);
      say(words, now.words ?? "");
      chart.draw(rows);
      while (made.length < rows.length) { const one = startRow(want, signal, made.length); made.push(one); list.append(one.node); }
      made.forEach((one, i) => {
        one.node.hidden = i >= rows.length;
        if (i < rows.length) one.draw(rows[i], now.measure ?? "", off, moment.line);
      });
    },
  };
}

/** @param {import("../front.js").Want} want @param {AbortSignal} signal @param {number} number */
function startRow(want, signal, number) {
  let chosen = "";
  const line = make("span", { class: "dlw-ft-line", "data-start": number, "aria-hidden": "true" }), name = make("b"), trains = make("span", { class: "dlw-faint" });
  const bar = make("progress", { max: 1 }), value = make("span", { class: "dlw-ft-value" }), took = make("span", { class: "dlw-ft-took" });
  const take = makeButton("Go on with this one", () => want.call("take", chosen), signal);
  return {
    node: make("div", { class: "dlw-ft-start", role: "listitem" }, line, name, trains, bar, value, took, take),
    /** @param {Start} start @param {string} measure @param {string} off @param {string} here the line of the run that is under way */
    draw(start, measure, off, here) {
      chosen = start.name;
      const begun = start.taken > 0 && !start.ended, counted = start.parameters !== null;
      say(name, `${start.best ? "✓ " : ""}${start.name}`);
      say(trains, start.note ? `▲ ${start.note}` : counted ? trainsWords(start.parameters) : start.ended ? "done" : begun ? `step ${whole(start.taken)} of ${whole(start.steps)}` : "waits");
      bar.hidden = counted;
      bar.value = start.steps ? start.taken / start.steps : 0;
      bar.setAttribute("aria-label", `${start.name}: ${whole(start.taken)} of ${whole(start.steps)} steps`);
      say(value, counted && start.value !== null ? `${measure} ${sig(start.value, 3)}` : "");
      say(took, tookWords(start.seconds));
      took.title = "what its steps took, evaluations not counted";
      take.hidden = !counted || !start.taken;
      take.disabled = Boolean(off) || start.line === here;
      say(take, start.line === here ? "Under way" : "Go on with this one");
      take.title = off || "Go to its end, and pause there; the run as it is now stays as a line";
    },
  };
}

/** Curves on one scale; each has its name and last value at its end. */
function chartOf() {
  const svg = document.createElementNS(NAMESPACE, "svg"), labels = make("div", { class: "dlw-ft-ends" }), top = make("span", { class: "dlw-ft-tick" }), foot = make("span", { class: "dlw-ft-tick" });
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  const node = make("figure", { class: "dlw-ft-chart" }, make("div", { class: "dlw-ft-axis" }, top, foot), svg, labels, make("figcaption", { text: "training loss over the steps" }));
  let drawn = "";
  return {
    node,
    /** @param {Start[]} rows */
    draw(rows) {
      const shown = JSON.stringify(rows.map(({ name, losses, last }) => [name, losses, last]));
      node.hidden = !rows.some(({ losses }) => losses.length);
      if (node.hidden || shown === drawn) return;
      drawn = shown;
      const { low, high, place } = lossHeights(rows.map(({ losses }) => losses)), most = Math.max(1, ...rows.map(({ taken }) => taken));
      svg.replaceChildren(...rows.map(({ losses, taken }, i) => {
        const path = document.createElementNS(NAMESPACE, "path");
        path.setAttribute("d", curvePath(losses, place, WIDTH, HEIGHT, taken / most));
        path.dataset.start = String(i);
        return path;
      }));
      const ends = rows.map(({ losses }) => HEIGHT * place(losses[losses.length - 1] ?? low)), places = spread(ends, APART, HEIGHT);
      labels.replaceChildren(...rows.flatMap(({ name, last, losses }, i) => (losses.length ? [make("span", { "data-start": i, style: `top: ${places[i] - APART / 2}px`, text: `${name} ${last === null ? "" : sig(last, 3)}` })] : [])));
      say(top, sig(high, 2)); say(foot, sig(low, 2));
      svg.setAttribute("aria-label", `Training loss: ${rows.map(({ name, last }) => `${name} ends at ${sig(last, 3)}`).join(", ")}`);
    },
  };
}

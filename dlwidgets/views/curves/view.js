// Curves: loss, learning rate and gradient norm over the steps, on one axis, each named at its end.
import { live, wishes, listen, make, say, sig, whole, rate } from "../front.js";
import { gaps, linesOf, nearest, positive, rowsOf, smooth, widths } from "./series.js";
import { chartsIn, PAST } from "./charts.js";
import { railOf } from "./rail.js";

/** What all of the view's functions work on. `zoom` are the first and last step that are shown (empty: all), `at`
 * the step that is read with the keyboard, `made` what the charts were made for. @typedef {{ model:
 * import("../front.js").Model, el: HTMLElement, want: ReturnType<typeof wishes>, parts: ReturnType<typeof partsOf>,
 * rail: ReturnType<typeof railOf>, charts: uPlot[], made: string, logarithmic: boolean, zoom: number[], at: number
 * | null, curves: ReturnType<typeof readCurves>, repaint: () => void, }} Page */

export default {
  render(/** @type {{model: import("../front.js").Model, el: HTMLElement, signal: AbortSignal}} */ { model, el, signal }) {
    el.classList.add("dlw", "dlw-curves");
    const parts = partsOf(), { all, reading, log, note, empty, plots } = parts;
    const want = wishes({ model, signal, repaint: () => page.repaint() });
    const rail = railOf({ signal, tell: (words) => say(reading, words), untell: () => read(page), go: (step) => want.call("rewind", step) });
    /** @type {Page} */
    const page = {
      model, el, want, parts, rail, charts: [], made: "", logarithmic: false, zoom: model.get("window") ?? [], at: null, curves: readCurves(model), repaint: () => {},
    };
    el.append(make("div", { class: "dlw-head" }, make("span", { class: "dlw-title", text: "Curves" }), all, reading, log), note, empty, plots, rail.node);

    // Another page of this view zoomed, or code did: all show the same stretch, since the kernel sends one.
    const zoomed = () => { page.zoom = model.get("window"); };
    model.on("change:window", zoomed);
    page.repaint = live({ model, el, signal, draw: () => draw(page) });
    signal.addEventListener("abort", () => {
      model.off("change:window", zoomed);
      page.charts.forEach((chart) => chart.destroy());
    });
    listen(all, "click", () => look(page, []), signal);
    listen(log, "click", () => {
      page.logarithmic = !page.logarithmic;
      log.setAttribute("aria-pressed", String(page.logarithmic));
      page.repaint();
    }, signal);
    listen(plots, "mousemove", () => { page.at = null; }, signal);
    listen(plots, "keydown", (event) => { if (pressKey(page, event.key)) { event.preventDefault(); event.stopPropagation(); } }, signal);
  },
};

/** The elements beside the rail. */
function partsOf() {
  return {
    reading: make("span", { class: "dlw-reading dlw-small" }),
    all: make("button", { type: "button", text: "Show all", title: "Show all steps (double-click, or Home)" }),
    log: make("button", { type: "button", text: "log", "aria-pressed": "false", title: "Logarithmic loss axis" }),
    note: make("div", { class: "dlw-note", role: "status" }),
    plots: make("div", {
      class: "dlw-plots", tabindex: 0, role: "group", "aria-roledescription": "chart",
      "aria-description": "Arrow keys read the values, plus and minus zoom, Home shows all steps.",
    }),
    empty: make("div", { class: "dlw-empty", text: "No step taken yet: press Start, or session.start()." }),
  };
}

/** The curves as the kernel has sent them. @param {import("../front.js").Model} model */
function readCurves(model) {
  const [step, low, high, mean] = rowsOf(model.get("train"), 4);
  const [vStep, vLoss] = rowsOf(model.get("valid"), 2);
  const past = linesOf(model.get("past"), PAST);
  const [rStep, , , rates] = rowsOf(model.get("rate"), 4), [nStep, , , norms] = rowsOf(model.get("norm"), 4);
  return { step, low, high, mean: smooth(mean, Math.min(8, Math.floor(mean.length / 24)), widths(step)), vStep, vLoss, past, rStep, rates, nStep, norms };
}

/** Show a stretch of steps. @param {Page} page @param {number[]} window */
function look(page, window) {
  page.zoom = window;
  page.at = null;
  page.want.set("window", window);
}

/** The first and the last step that are shown. @param {Page} page */
function shownSteps({ zoom, model }) { return zoom.length ? zoom : [0, Math.max(1, model.get("reach") ?? 0, model.get("steps"))]; }

/** Say the values beside the title; a line may break between two parts, not inside one. @param {Page} page @param {string[]} words */
function tell({ parts: { reading } }, words) {
  if (reading.textContent === words.join(" · ")) return;
  reading.replaceChildren(...words.flatMap((text, i) => [...(i ? [" · "] : []), make("span", { text })]));
}

/** Say in words what is under the pointer, or the newest values. @param {Page} page */
function read(page) {
  const { charts, curves } = page, left = charts[0]?.cursor.left ?? -1;
  const x = page.at ?? (left >= 0 ? charts[0].posToVal(left, "x") : Infinity);
  const i = nearest(curves.step, x), v = nearest(curves.vStep, x), r = nearest(curves.rStep, x), g = nearest(curves.nStep, x);
  if (i < 0) { tell(page, []); return; }
  const words = [`step ${whole(curves.step[i])}`, `train ${sig(curves.mean[i], 3)}`];
  if (v >= 0) words.push(`valid ${sig(curves.vLoss[v], 3)}`);
  if (r >= 0) words.push(`LR ${rate(curves.rates[r])}`);
  if (g >= 0) words.push(`‖grad‖ ${sig(curves.norms[g], 3)}`);
  tell(page, words);
  page.parts.plots.setAttribute("aria-label", `Loss, learning rate and gradient norm. ${words.join(", ")}.`);
}

/** Make the charts anew for another theme or loss axis. @param {Page} page */
function build(page) {
  const { el, logarithmic, parts: { plots } } = page, key = `${el.dataset.theme}-${logarithmic}`;
  if (key === page.made) return;
  page.made = key;
  page.charts.forEach((chart) => chart.destroy());
  plots.replaceChildren();
  page.charts = chartsIn({
    place: plots, el, logarithmic, chosen: (window) => look(page, window), all: () => look(page, []),
    moved: () => { if (page.charts.length) read(page); },
    last: () => page.curves.rates[nearest(page.curves.rStep, shownSteps(page)[1])],
    names: () => page.model.get("names") ?? [],
  });
}

function draw(/** @type {Page} */ page) {
  const { model, want, rail, parts: { note, empty, plots, log, all } } = page;
  say(note, [model.get("problem"), want.refusal || model.get("said")].filter(Boolean).join("\n"));
  // Back at the beginning there still are the lines that were left.
  const some = model.get("reach") > 0;
  empty.hidden = some; plots.hidden = rail.node.hidden = log.hidden = !some;
  all.style.visibility = page.zoom.length ? "visible" : "hidden";
  if (!some) { tell(page, []); return; }
  const width = plots.clientWidth;
  if (!width) return;  // not on the page yet; it asks again once it has a size
  build(page);
  page.curves = readCurves(model);
  const [first, last] = shownSteps(page);
  fillCharts(page, width, first, last);
  rail.draw({
    marks: model.get("marks"), kept: model.get("kept"), first, last, width, steps: model.get("steps"),
    able: model.get("able"), busy: model.get("busy"),
  });
  read(page);
}

/** Give the charts their values. @param {Page} page @param {number} width @param {number} first @param {number} last */
function fillCharts({ curves, charts, logarithmic, model }, width, first, last) {
  const loss = logarithmic ? positive : gaps, clip = model.get("clip");
  const data = [
    uPlot.join([[curves.step, loss(curves.low), loss(curves.high), loss(curves.mean)], [curves.vStep, loss(curves.vLoss)],
      ...curves.past.map(([step, mean]) => [step, loss(mean)])].map((table) => /** @type {any} */ (table))),
    [curves.rStep, positive(curves.rates)],
    [curves.nStep, positive(curves.norms), Array.from(curves.nStep, () => clip)],
  ];
  charts.forEach((chart, i) => {
    if (chart.width !== width) chart.setSize({ width, height: chart.height });
    chart.batch(() => {
      chart.setData(/** @type {any} */ (data[i]), false);
      chart.setScale("x", { min: first, max: last });
    });
  });
}

/** Do what a key in the charts means; false where it means nothing. @param {Page} page @param {string} key */
function pressKey(page, key) {
  const [first, last] = shownSteps(page), span = last - first;
  if (key === "Home" || key === "Escape") look(page, []);
  else if (key === "ArrowLeft" || key === "ArrowRight") {
    const by = (key === "ArrowLeft" ? -1 : 1) * Math.max(1, span / 50), at = Math.min(last, Math.max(first, (page.at ?? last) + by));
    page.at = at;
    const left = page.charts[0]?.valToPos(at, "x");
    page.charts.forEach((chart) => chart.setCursor({ left, top: 10 }));
    read(page);
  } else if ((key === "+" || key === "=") && span > 4) {
    const middle = page.at ?? (first + last) / 2;
    look(page, [Math.round(middle - span / 4), Math.round(middle + span / 4)]);
  } else if (key === "-") look(page, span * 2 >= page.model.get("steps") ? [] : [Math.max(0, Math.round(first - span / 2)), Math.round(last + span / 2)]);
  else return false;
  return true;
}

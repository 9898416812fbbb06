// Curves: loss, learning rate and gradient norm over the steps, on one axis, each named at its end.
import { live, wishes, listen, make, say, sig, whole, rate } from "../front.js";
import { gaps, linesOf, meanOver, nearest, positive, rowsOf, smooth, widths } from "./series.js";
import { chartsIn, HEIGHTS, LEFT, MOST_PARTS, PARTS, PAST } from "./charts.js";
import { partRow } from "./parts.js";
import { railOf } from "./rail.js";
/** @import { Model } from "../front.js" */

/** How much higher the loss may be drawn than need be [px]. */
const MOST_TALLER = 340;

/** The curves as the kernel has sent them. @param {Model} model */
function readCurves(model) {
  const [step, low, high, mean] = rowsOf(model.get("train"), 4);
  const [vStep, vLoss] = rowsOf(model.get("valid"), 2);
  const past = linesOf(model.get("past"), PAST);
  const [rStep, , , rates] = rowsOf(model.get("rate"), 4), [nStep, , , norms] = rowsOf(model.get("norm"), 4);
  const parts = linesOf(model.get("part_lines"), MOST_PARTS), partsValid = linesOf(model.get("part_valid"), MOST_PARTS);
  const reach = Math.min(8, Math.floor(mean.length / 24));
  return { step, low, high, reach, mean: smooth(mean, reach, widths(step)), vStep, vLoss, past, parts, partsValid, rStep, rates, nStep, norms };
}

export default {
  render(/** @type {{model: Model, el: HTMLElement, signal: AbortSignal}} */ { model, el, signal }) {
    el.classList.add("dlw", "dlw-curves");
    const reading = make("span", { class: "dlw-reading dlw-small" });
    const all = make("button", { type: "button", text: "Show all", title: "Show all steps (double-click, or Home)" });
    const log = make("button", { type: "button", text: "log", "aria-pressed": "false", title: "Logarithmic loss axis" });
    const note = make("div", { class: "dlw-note", role: "status" });
    const plots = make("div", {
      class: "dlw-plots", tabindex: 0, role: "group", "aria-roledescription": "chart",
      "aria-description": "Arrow keys read the values, plus and minus zoom, Home shows all steps.",
    });
    const chosen = make("div", { class: "dlw-chosen" }, make("span"));
    const empty = make("div", { class: "dlw-empty", text: "No step taken yet: press Start, or session.start()." });
    // The first and last step that are shown (empty: all), the step that is read with the keyboard, what the charts are for.
    let zoom = /** @type {number[]} */ (model.get("window") ?? []), at = /** @type {number | null} */ (null), made = "";
    let charts = /** @type {uPlot[]} */ ([]), curves = readCurves(model), logarithmic = false, repaint = () => {};
    // How much higher than need be the loss is drawn, where what stands beside the curves is high.
    let taller = 0;
    const want = wishes({ model, signal, repaint: () => repaint() });
    const weighed = partRow({ weigh: (name, weight) => want.call("weight", [name, weight]), changed: () => repaint(), signal });
    /** Named losses that have a chart of their own. */
    const partNames = () => /** @type {[string, number | null][]} */ (model.get("named_losses") ?? []).map(([name]) => name);
    const heights = () => (partNames().length > 1 ? [HEIGHTS[0], PARTS, HEIGHTS[1], HEIGHTS[2]] : HEIGHTS);
    // What is under the pointer on the rail, which is said before anything else.
    let aside = "";
    const rail = railOf({
      signal, go: (step) => want.call("rewind", step),
      tell(words, step) {
        aside = words;
        point(step ?? at);
        read();
      },
      loss(step) {
        const i = nearest(curves.step, step);
        return i < 0 || !step ? "" : ` · train ${sig(curves.mean[i], 3)}`;
      },
    });
    el.append(make("div", { class: "dlw-head" }, make("span", { class: "dlw-title", text: "Curves" }), all, reading, log), note, empty, plots, rail.node, weighed.node);

    /** Show a stretch of steps. @param {number[]} window */
    function look(window) {
      zoom = window;
      at = null;
      want.set("window", window);
    }
    /** The first and the last step that are shown. */
    function shownSteps() { return zoom.length ? zoom : [0, Math.max(1, model.get("reach") ?? 0, model.get("steps"))]; }
    /** Say the values beside the title; a line may break between two parts, not inside one. @param {string[]} words */
    function tell(words) {
      if (reading.textContent === words.join(" · ")) return;
      reading.replaceChildren(...words.flatMap((text, i) => [...(i ? [" · "] : []), make("span", { text })]));
    }
    /** Mark a step in all charts; null for none. @param {number | null} step */
    function point(step) {
      const left = step === null ? -10 : charts[0]?.valToPos(step, "x") ?? -10;
      charts.forEach((chart) => chart.setCursor({ left, top: left < 0 ? -10 : 10 }));
    }
    /** Say in words what is under the pointer, or of the values at the curves' ends what they are of. */
    function read() {
      const left = charts[0]?.cursor.left ?? -1, rests = at === null && !(left >= 0);
      const x = rests ? shownSteps()[1] : at ?? charts[0].posToVal(left, "x");
      const i = nearest(curves.step, x), v = nearest(curves.vStep, x), r = nearest(curves.rStep, x), g = nearest(curves.nStep, x);
      if (i < 0) { tell(aside ? [aside] : []); return; }
      const over = meanOver(curves.step, i, curves.reach), among = over === 1 ? "this step" : `mean of ${rests ? "last " : ""}${whole(over)} steps`;
      const step = `step ${whole(curves.step[i])}`, values = [step, `train ${sig(curves.mean[i], 3)}`], ends = [step, `train: ${among}`];
      if (v >= 0) {
        values.push(`valid ${sig(curves.vLoss[v], 3)} at ${whole(curves.vStep[v])}`);
        ends.push(`valid: step ${whole(curves.vStep[v])}`);
      }
      if (r >= 0) values.push(`LR ${rate(curves.rates[r])}`);
      if (g >= 0) {
        values.push(`‖grad‖ ${sig(curves.norms[g], 3)}`);
        // It is not measured at each step.
        if (curves.nStep[g] !== curves.step[i]) ends.push(`‖grad‖: step ${whole(curves.nStep[g])}`);
      }
      tell(aside ? [aside] : rests ? ends : values);
      reading.title = `The training loss is smoothed: ${among}. The validation loss is of the last evaluation by then.`;
      plots.setAttribute("aria-label", `Loss, learning rate and gradient norm. ${values.join(", ")}; train: ${among}.`);
    }
    /** Draw a line through all charts at the step that a finding was followed to. */
    function markChosen() {
      const step = model.get("chosen") ?? null, [first, last] = shownSteps();
      chosen.hidden = step === null || step < first || step > last || !charts.length;
      if (chosen.hidden) return;
      plots.append(chosen);
      chosen.style.height = `${heights().reduce((sum, height) => sum + height, 0) + taller - 38}px`;
      chosen.style.left = `${LEFT + charts[0].valToPos(step, "x")}px`;
      say(chosen.firstChild ?? chosen, `step ${whole(step)}`);
    }
    /** Let the loss fill a place that is higher than the curves need; what is drawn there makes the place no higher. */
    function fillPlace() {
      const lowest = weighed.node.hidden ? rail.node : weighed.node, spare = el.getBoundingClientRect().bottom - lowest.getBoundingClientRect().bottom + taller;
      taller = Math.min(MOST_TALLER, Math.max(0, Math.floor(spare) - 4));
      rail.node.style.top = weighed.node.style.top = `${taller}px`;
    }
    /** Make the charts anew for another theme or loss axis. */
    function build() {
      const key = JSON.stringify([el.dataset.theme, logarithmic, partNames()]);
      if (key === made) return;
      made = key;
      charts.forEach((chart) => chart.destroy());
      plots.replaceChildren();
      charts = chartsIn({
        place: plots, el, logarithmic, chosen: look, all: () => look([]), moved: () => { if (charts.length) read(); },
        parts: partNames(), last: () => curves.rates[nearest(curves.rStep, shownSteps()[1])], names: () => model.get("names") ?? [],
      });
    }
    function draw() {
      say(note, [model.get("problem"), want.refusal || model.get("said")].filter(Boolean).join("\n"));
      // Back at the beginning there still are the lines that were left.
      const some = model.get("reach") > 0;
      weighed.node.hidden = !some || partNames().length < 2;
      empty.hidden = some; plots.hidden = rail.node.hidden = log.hidden = !some;
      all.style.visibility = zoom.length ? "visible" : "hidden";
      if (!some) { tell([]); return; }
      const width = plots.clientWidth;
      if (!width) return;  // not on the page yet; it asks again once it has a size
      build();
      curves = readCurves(model);
      const [first, last] = shownSteps(), loss = logarithmic ? positive : gaps, clip = model.get("clip");
      const named = partNames(), parts = [...named.flatMap((_, i) => [curves.parts[i], curves.partsValid[i]])];
      plots.style.height = `${heights().reduce((sum, height) => sum + height, 0)}px`;
      weighed.draw(model.get("named_losses") ?? [], named.map((_, i) => curves.parts[i][1].at(-1) ?? NaN));
      const data = [
        uPlot.join([[curves.step, loss(curves.low), loss(curves.high), loss(curves.mean)], [curves.vStep, loss(curves.vLoss)],
          ...curves.past.map(([step, mean]) => [step, loss(mean)])].map((table) => /** @type {any} */ (table))),
        ...(named.length > 1 ? [uPlot.join(parts.map(([step, value]) => /** @type {any} */ ([step, positive(value)])))] : []),
        [curves.rStep, positive(curves.rates)],
        [curves.nStep, positive(curves.norms), Array.from(curves.nStep, () => clip)],
      ];
      fillPlace();
      charts.forEach((chart, i) => {
        const height = heights()[i] + (i ? 0 : taller);
        if (named.length > 1 && i === 1) named.forEach((name, k) => [1, 2].forEach((side) => {
          if (chart.series[2 * k + side].show !== weighed.shows(name)) chart.setSeries(2 * k + side, { show: weighed.shows(name) });
        }));
        if (chart.width !== width || chart.height !== height) chart.setSize({ width, height });
        chart.batch(() => {
          chart.setData(/** @type {any} */ (data[i]), false);
          chart.setScale("x", { min: first, max: last });
        });
      });
      const [marks, found, kept, steps, able, busy] = ["marks", "found", "kept", "steps", "able", "busy"].map((name) => model.get(name));
      markChosen();
      rail.draw({ marks, found: found ?? [], kept, first, last, width, steps, able, busy, refused: want.refusal || model.get("said") });
      read();
    }
    /** Do what a key in the charts means; false where it means nothing. @param {string} key */
    function pressKey(key) {
      const [first, last] = shownSteps(), span = last - first;
      if (key === "Home" || key === "Escape") look([]);
      else if (key === "ArrowLeft" || key === "ArrowRight") {
        const by = (key === "ArrowLeft" ? -1 : 1) * Math.max(1, span / 50);
        at = Math.min(last, Math.max(first, (at ?? last) + by));
        point(at);
        read();
      } else if ((key === "+" || key === "=") && span > 4) {
        const middle = at ?? (first + last) / 2;
        look([Math.round(middle - span / 4), Math.round(middle + span / 4)]);
      } else if (key === "-") look(span * 2 >= model.get("steps") ? [] : [Math.max(0, Math.round(first - span / 2)), Math.round(last + span / 2)]);
      else return false;
      return true;
    }

    // Another page of this view zoomed, or code did: all show the same stretch, since the kernel sends one.
    const zoomed = () => { zoom = model.get("window"); };
    model.on("change:window", zoomed);
    repaint = live({ model, el, signal, draw });
    signal.addEventListener("abort", () => {
      model.off("change:window", zoomed);
      charts.forEach((chart) => chart.destroy());
    });
    listen(all, "click", () => look([]), signal);
    listen(log, "click", () => {
      logarithmic = !logarithmic;
      log.setAttribute("aria-pressed", String(logarithmic));
      repaint();
    }, signal);
    listen(plots, "mousemove", () => { at = null; }, signal);
    listen(plots, "keydown", (event) => { if (pressKey(event.key)) { event.preventDefault(); event.stopPropagation(); } }, signal);
  },
};

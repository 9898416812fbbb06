// Curves: loss, learning rate and gradient norm over the steps, on one axis, each named at its end.
import { live, wishes, listen, make, say, sig, whole, rate } from "../front.js";
import { gaps, linesOf, nearest, positive, rowsOf, smooth, widths } from "./series.js";
import { chartsIn, PAST } from "./charts.js";
import { railOf } from "./rail.js";

export default {
  /** @param {{model: import("../front.js").Model, el: HTMLElement, signal: AbortSignal}} view */
  render({ model, el, signal }) {
    el.classList.add("dlw", "dlw-curves");
    const reading = make("span", { class: "dlw-reading dlw-small" });
    const all = make("button", { type: "button", text: "Show all", title: "Show all steps (double-click, or Home)" });
    const log = make("button", { type: "button", text: "log", "aria-pressed": "false", title: "Logarithmic loss axis" });
    const note = make("div", { class: "dlw-note", role: "status" });
    const plots = make("div", {
      class: "dlw-plots", tabindex: 0, role: "group", "aria-roledescription": "chart",
      "aria-description": "Arrow keys read the values, plus and minus zoom, Home shows all steps.",
    });
    const empty = make("div", { class: "dlw-empty", text: "No step taken yet: press Start, or session.start()." });
    el.append(make("div", { class: "dlw-head" }, make("span", { class: "dlw-title", text: "Curves" }), all, reading, log),
      note, empty, plots);

    /** @type {uPlot[]} */
    let charts = [];
    let made = "", logarithmic = false;
    /** @type {number[]} first and last step that are shown; empty: all */
    let zoom = model.get("window") ?? [];
    /** @type {number | null} the step that is read with the keyboard */
    let at = null;
    let repaint = () => {};
    const want = wishes({ model, signal, repaint: () => repaint() });

    /** @param {number[]} window */
    const look = (window) => { zoom = window; at = null; want.set("window", window); };
    const shown = () => (zoom.length ? zoom : [0, Math.max(1, model.get("reach") ?? 0, model.get("steps"))]);

    const picture = () => {
      const [step, low, high, mean] = rowsOf(model.get("train"), 4);
      const [vStep, vLoss] = rowsOf(model.get("valid"), 2);
      const past = linesOf(model.get("past"), PAST);
      const [rStep, , , rates] = rowsOf(model.get("rate"), 4), [nStep, , , norms] = rowsOf(model.get("norm"), 4);
      return { step, low, high, mean: smooth(mean, Math.min(8, Math.floor(mean.length / 24)), widths(step)), vStep, vLoss, past, rStep, rates, nStep, norms };
    };
    let now = picture();

    /** Say the values beside the title; a line may break between two parts, not inside one. @param {string[]} parts */
    const tell = (parts) => {
      if (reading.textContent === parts.join(" · ")) return;
      reading.replaceChildren(...parts.flatMap((text, i) => [...(i ? [" · "] : []), make("span", { text })]));
    };

    /** Say in words what is under the pointer, or the newest values. */
    const read = () => {
      const left = charts[0]?.cursor.left ?? -1;
      const x = at ?? (left >= 0 ? charts[0].posToVal(left, "x") : Infinity);
      const i = nearest(now.step, x), v = nearest(now.vStep, x), r = nearest(now.rStep, x), g = nearest(now.nStep, x);
      if (i < 0) { tell([]); return; }
      const parts = [`step ${whole(now.step[i])}`, `train ${sig(now.mean[i], 3)}`];
      if (v >= 0) parts.push(`valid ${sig(now.vLoss[v], 3)}`);
      if (r >= 0) parts.push(`LR ${rate(now.rates[r])}`);
      if (g >= 0) parts.push(`‖grad‖ ${sig(now.norms[g], 3)}`);
      tell(parts);
      plots.setAttribute("aria-label", `Loss, learning rate and gradient norm. ${parts.join(", ")}.`);
    };

    const build = () => {
      charts.forEach((chart) => chart.destroy());
      plots.replaceChildren();
      charts = chartsIn({
        place: plots, el, logarithmic, chosen: look, all: () => look([]),
        moved: () => { if (charts.length) read(); },
        last: () => now.rates[nearest(now.rStep, shown()[1])],
        names: () => model.get("names") ?? [],
      });
    };

    const draw = () => {
      say(note, [model.get("problem"), want.refusal || model.get("said")].filter(Boolean).join("\n"));
      // Back at the beginning there still are the lines that were left.
      const some = model.get("reach") > 0;
      empty.hidden = some; plots.hidden = rail.node.hidden = log.hidden = !some;
      all.style.visibility = zoom.length ? "visible" : "hidden";
      if (!some) { tell([]); return; }
      const width = plots.clientWidth;
      if (!width) return;  // not on the page yet; it asks again once it has a size
      const key = `${el.dataset.theme}-${logarithmic}`;
      if (key !== made) { made = key; build(); }
      now = picture();
      const [first, last] = shown(), loss = logarithmic ? positive : gaps;
      const clip = model.get("clip");
      const data = [
        uPlot.join([[now.step, loss(now.low), loss(now.high), loss(now.mean)], [now.vStep, loss(now.vLoss)],
          ...now.past.map(([step, mean]) => [step, loss(mean)])].map((table) => /** @type {any} */ (table))),
        [now.rStep, positive(now.rates)],
        [now.nStep, positive(now.norms), Array.from(now.nStep, () => clip)],
      ];
      charts.forEach((chart, i) => {
        if (chart.width !== width) chart.setSize({ width, height: chart.height });
        chart.batch(() => {
          chart.setData(/** @type {any} */ (data[i]), false);
          chart.setScale("x", { min: first, max: last });
        });
      });
      rail.draw({
        marks: model.get("marks"), kept: model.get("kept"), first, last, width, steps: model.get("steps"),
        able: model.get("able"), busy: model.get("busy"),
      });
      read();
    };

    const rail = railOf({
      signal, tell: (words) => say(reading, words), untell: () => read(), go: (step) => want.call("rewind", step),
    });
    el.append(rail.node);

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
    listen(plots, "keydown", (/** @type {KeyboardEvent} */ event) => {
      const [first, last] = shown(), span = last - first, steps = model.get("steps");
      if (event.key === "Home" || event.key === "Escape") look([]);
      else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
        const by = (event.key === "ArrowLeft" ? -1 : 1) * Math.max(1, span / 50);
        at = Math.min(last, Math.max(first, (at ?? last) + by));
        const left = charts[0]?.valToPos(at, "x");
        charts.forEach((chart) => chart.setCursor({ left, top: 10 }));
        read();
      } else if ((event.key === "+" || event.key === "=") && span > 4) {
        const middle = at ?? (first + last) / 2;
        look([Math.round(middle - span / 4), Math.round(middle + span / 4)]);
      } else if (event.key === "-") look(span * 2 >= steps ? [] : [Math.max(0, Math.round(first - span / 2)), Math.round(last + span / 2)]);
      else return;
      event.preventDefault(); event.stopPropagation();
    }, signal);
  },
};

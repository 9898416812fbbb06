// Curves: loss, learning rate and gradient norm over the steps, on one axis, each named at its end.
import { live, wishes, listen, make, say, numbers, color, sig, whole, rate } from "./front.js";

/** Left for the axis and right for the names at the curves' ends [px]. */
const LEFT = 52, RIGHT = 86;

/**
 * The rows of a C-ordered float32 block.
 * @param {any} bytes @param {number} rows @returns {Float32Array[]}
 */
export function rowsOf(bytes, rows) {
  const all = numbers(bytes, Float32Array);
  const n = Math.floor(all.length / rows);
  return Array.from({ length: rows }, (_, i) => all.subarray(i * n, (i + 1) * n));
}

/**
 * A centred moving mean over `2 * reach + 1` values, shorter at the ends.
 * @param {ArrayLike<number>} values @param {number} reach @returns {number[]}
 */
export function smooth(values, reach) {
  const n = values.length, sums = new Float64Array(n + 1);
  for (let i = 0; i < n; i++) sums[i + 1] = sums[i] + values[i];
  return Array.from({ length: n }, (_, i) => {
    const a = Math.max(0, i - reach), b = Math.min(n, i + reach + 1);
    return (sums[b] - sums[a]) / (b - a);
  });
}

/**
 * The index of the value nearest to `x` in an ascending row; -1 in an empty one.
 * @param {ArrayLike<number>} row @param {number} x @returns {number}
 */
export function nearest(row, x) {
  if (!row.length) return -1;
  let a = 0, b = row.length - 1;
  while (a < b) {
    const mid = (a + b) >> 1;
    if (row[mid] < x) a = mid + 1; else b = mid;
  }
  return a > 0 && x - row[a - 1] < row[a] - x ? a - 1 : a;
}

/**
 * The range of an axis: from 0 where the values come near it, with air above.
 * @param {number | null} low @param {number | null} high @returns {[number, number]}
 */
export function range(low, high) {
  if (low === null || high === null || !Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  if (low === high) return low === 0 ? [0, 1] : low > 0 ? [0, high * 1.25] : [low * 1.25, 0];
  const air = (high - low) * 0.06;
  return [low >= 0 && low < 0.6 * high ? 0 : low - air, high + air];
}

/**
 * Heights for labels that must not lie on one another: each as near to its wish as the gap allows.
 * @param {number[]} wanted @param {number} gap @returns {number[]}
 */
export function apart(wanted, gap) {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b]);
  const placed = wanted.slice();
  for (let k = 1; k < order.length; k++) {
    const above = order[k - 1], below = order[k];
    const missing = gap - (placed[below] - placed[above]);
    if (missing > 0) {
      placed[below] += missing / 2;
      for (let j = k - 1, up = missing / 2; j >= 0 && up > 0; j--) {
        placed[order[j]] -= up;
        up = j > 0 ? Math.max(0, gap - (placed[order[j]] - placed[order[j - 1]])) : 0;
      }
    }
  }
  return placed;
}

/** Values for uPlot, in which a number that is none is a gap. @param {ArrayLike<number>} row */
const gaps = (row) => Array.from(row, (value) => (Number.isFinite(value) ? value : null));

export default {
  /** @param {{model: import("./front.js").Model, el: HTMLElement, signal: AbortSignal}} view */
  render({ model, el, signal }) {
    el.classList.add("dlw", "dlw-curves");
    const reading = make("span", { class: "dlw-reading dlw-small", "aria-live": "off" });
    const all = make("button", { type: "button", text: "Show all", title: "Show all steps (double-click, or Home)" });
    const log = make("button", { type: "button", text: "log", "aria-pressed": "false", title: "Logarithmic loss axis" });
    const note = make("div", { class: "dlw-note", role: "status" });
    const plots = make("div", { class: "dlw-plots", tabindex: 0, role: "img" });
    const empty = make("div", { class: "dlw-empty", text: "No step taken yet: press Start, or session.start()." });
    const rail = make("div", { class: "dlw-rail" });
    el.append(make("div", { class: "dlw-head" }, make("span", { class: "dlw-title", text: "Curves" }), reading, log, all),
      note, empty, plots, rail);

    /** @type {any[]} */
    let charts = [];
    let made = "", logarithmic = false;
    /** @type {number[]} first and last step a person zoomed to; empty: all */
    let zoom = model.get("window") ?? [];
    /** @type {number | null} */
    let at = null;
    /** @type {string} */
    let marked = "";
    let repaint = () => {};
    const want = wishes({ model, signal, repaint: () => repaint() });

    /** @param {number[]} window */
    const look = (window) => { zoom = window; want.set("window", window); };
    const shown = () => (zoom.length ? zoom : [0, Math.max(1, model.get("steps"))]);

    const picture = () => {
      const [step, low, high, mean] = rowsOf(model.get("train"), 4);
      const [vStep, vLoss] = rowsOf(model.get("valid"), 2);
      const rates = rowsOf(model.get("rate"), 4), norm = rowsOf(model.get("norm"), 4);
      return { step, low, high, mean: smooth(mean, Math.min(8, Math.floor(mean.length / 24))), vStep, vLoss, rates, norm };
    };

    /** @param {any} u @param {number} index of the series @param {string} words @param {string} ink @param {(value: number) => string} [form] @returns {any} */
    const ending = (u, index, words, ink, form = (value) => sig(value, 3)) => {
      const xs = u.data[0], ys = u.data[index];
      for (let i = ys.length - 1; i >= 0; i--) {
        if (ys[i] !== null && ys[i] !== undefined && xs[i] <= u.scales.x.max) {
          return { x: u.valToPos(xs[i], "x", true), y: u.valToPos(ys[i], "y", true), text: `${words} ${form(ys[i])}`.trim(), ink };
        }
      }
      return null;
    };
    /** Write the curves' names at their ends. @param {any} u @param {any[]} ends */
    const name = (u, ends) => {
      const ratio = devicePixelRatio || 1, there = ends.filter(Boolean);
      const heights = apart(there.map((end) => end.y), 14 * ratio);
      u.ctx.save();
      u.ctx.font = `${12 * ratio}px ${getComputedStyle(el).fontFamily}`;
      u.ctx.textBaseline = "middle"; u.ctx.textAlign = "left";
      there.forEach((end, i) => {
        u.ctx.fillStyle = end.ink;
        u.ctx.fillText(end.text, Math.min(end.x, u.bbox.left + u.bbox.width) + 6 * ratio, heights[i]);
      });
      u.ctx.restore();
    };

    const build = () => {
      charts.forEach((chart) => chart.destroy());
      plots.replaceChildren();
      const ink = color(el, "ink"), faint = color(el, "faint"), line = color(el, "line");
      const blue = color(el, "blue"), soft = color(el, "blue-soft"), orange = color(el, "orange"), green = color(el, "green");
      const font = `11.5px ${getComputedStyle(el).fontFamily}`;
      const axis = { stroke: faint, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
      /** @param {any} own */
      const chart = (own) => new uPlot({
        width: plots.clientWidth || 400, padding: [6, RIGHT, 6, 0], legend: { show: false },
        cursor: {
          y: false, points: { size: 6 }, sync: { key: `dlw-${made}` },
          drag: { x: true, y: false, setScale: false },
          bind: { dblclick: () => () => { look([]); return null; } },
        },
        ...own,
        hooks: {
          draw: [own.ends],
          setCursor: [(/** @type {any} */ u) => { at = u.cursor.left >= 0 ? u.posToVal(u.cursor.left, "x") : null; read(); }],
          setSelect: [(/** @type {any} */ u) => {
            if (u.select.width < 4) return;
            look([u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")].map((x) => Math.max(0, Math.round(x))));
            u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
          }],
        },
      }, own.data, plots);
      const x = { time: false, auto: false };
      const steps = (/** @type {any} */ _, /** @type {number[]} */ values) => values.map((value) => (Number.isInteger(value) ? whole(value) : ""));
      const small = { size: LEFT, space: 22, gap: 4 };
      const nothing = [[0], [null], [null], [null], [null]];
      charts = [
        chart({
          height: 210, data: nothing,
          scales: { x, y: logarithmic ? { distr: 3 } : { range: (/** @type {any} */ _, /** @type {any} */ a, /** @type {any} */ b) => range(a, b) } },
          axes: [{ ...axis, show: false }, { ...axis, ...small, space: 32, values: (/** @type {any} */ _, /** @type {any[]} */ v) => v.map((value) => (value === null ? "" : tick(value))) }],
          series: [{}, { stroke: soft, width: 1, points: { show: false } }, { stroke: soft, width: 1, points: { show: false } },
            { stroke: blue, width: 2, points: { show: false } }, { stroke: orange, width: 2, spanGaps: true, points: { size: 4, fill: orange } }],
          bands: [{ series: [2, 1], fill: soft }],
          ends: (/** @type {any} */ u) => name(u, [ending(u, 3, "train", blue), ending(u, 4, "valid", orange)]),
        }),
        chart({
          height: 58, data: [[0], [null]], scales: { x, y: { distr: 3, range: (/** @type {any} */ _, /** @type {any} */ a, /** @type {any} */ b) => [(a || 1e-3) / 1.6, (b || 1e-3) * 1.6] } },
          axes: [{ ...axis, show: false }, { ...axis, ...small, label: "LR", labelSize: 0, grid: { show: false }, values: () => [] }],
          series: [{}, { stroke: ink, width: 1.5, points: { show: false } }],
          ends: (/** @type {any} */ u) => { caption(u, "LR", faint); name(u, [ending(u, 1, "", ink, rate)]); },
        }),
        chart({
          height: 78, data: [[0], [null], [null]], scales: { x, y: { range: (/** @type {any} */ _, /** @type {any} */ __, /** @type {any} */ b) => [0, (b || 1) * 1.1] } },
          axes: [{ ...axis, size: 22, grid: { show: false }, values: steps }, { ...axis, ...small, grid: { show: false }, values: () => [] }],
          series: [{}, { stroke: faint, width: 1.2, points: { show: false } }, { stroke: green, width: 1, dash: [4, 3], spanGaps: true, points: { show: false } }],
          ends: (/** @type {any} */ u) => { caption(u, "‖grad‖", faint); name(u, [ending(u, 1, "", ink), model.get("clip") ? ending(u, 2, "clip", green) : null]); },
        }),
      ];
    };
    /** Name a strip at its left. @param {any} u @param {string} words @param {string} ink */
    const caption = (u, words, ink) => {
      const ratio = devicePixelRatio || 1;
      u.ctx.save();
      u.ctx.font = `${11.5 * ratio}px ${getComputedStyle(el).fontFamily}`;
      u.ctx.fillStyle = ink; u.ctx.textAlign = "right"; u.ctx.textBaseline = "middle";
      u.ctx.fillText(words, u.bbox.left - 6 * ratio, u.bbox.top + u.bbox.height / 2);
      u.ctx.restore();
    };
    /** @param {number} value */
    const tick = (value) => (value === 0 ? "0" : Math.abs(value) >= 0.01 && Math.abs(value) < 1e4 ? String(+value.toPrecision(3)) : sig(value, 1));

    /** Say in words what is under the pointer, or the newest values. */
    const read = () => {
      const now = picture(), x = at ?? Infinity;
      const i = nearest(now.step, x), v = nearest(now.vStep, x), r = nearest(now.rates[0], x), g = nearest(now.norm[0], x);
      if (i < 0) { say(reading, ""); return; }
      const parts = [`step ${whole(now.step[i])}`, `train ${sig(now.mean[i], 3)}`];
      if (v >= 0) parts.push(`valid ${sig(now.vLoss[v], 3)}`);
      if (r >= 0) parts.push(`LR ${rate(now.rates[3][r])}`);
      if (g >= 0) parts.push(`‖grad‖ ${sig(now.norm[3][g], 2)}`);
      say(reading, parts.join(" · "));
      plots.setAttribute("aria-label", `Curves of the run. ${parts.join(", ")}.`);
    };

    const draw = () => {
      say(note, [model.get("problem"), want.refusal].filter(Boolean).join("\n"));
      const some = model.get("steps") > 0;
      empty.hidden = some; plots.hidden = !some; rail.hidden = !some; log.hidden = !some;
      empty.style.display = some ? "none" : "";
      all.style.visibility = zoom.length ? "visible" : "hidden";
      if (!some) { say(reading, ""); return; }
      const key = `${el.dataset.theme}-${logarithmic}`;
      if (key !== made) { made = key; build(); requestAnimationFrame(repaint); }
      const now = picture(), [first, last] = shown();
      const width = plots.clientWidth;
      const loss = uPlot.join([[now.step, gaps(now.low), gaps(now.high), gaps(now.mean)], [now.vStep, gaps(now.vLoss)]]);
      const clip = model.get("clip");
      const data = [loss, [now.rates[0], gaps(now.rates[3])],
        [now.norm[0], gaps(now.norm[3]), Array.from(now.norm[0], () => clip)]];
      charts.forEach((chart, i) => {
        if (chart.width !== width) chart.setSize({ width, height: chart.height });
        chart.batch(() => {
          chart.setData(data[i], false);
          chart.setScale("x", { min: first, max: last });
        });
      });
      drawRail(first, last, width);
      read();
    };

    /** The rail: a mark where something was changed. @param {number} first @param {number} last @param {number} width */
    const drawRail = (first, last, width) => {
      const marks = model.get("marks").filter((/** @type {any[]} */ mark) => mark[0] >= first && mark[0] <= last);
      const key = JSON.stringify([marks, first, last, width]);
      if (key === marked) return;
      marked = key;
      const focused = document.activeElement && rail.contains(document.activeElement) ? [...rail.children].indexOf(document.activeElement) : -1;
      rail.replaceChildren(...marks.map((/** @type {[number, string]} */ [step, words]) => {
        const text = `step ${whole(step)}: ${words}`;
        const mark = make("button", { type: "button", class: "dlw-mark", title: text, "aria-label": text, text: "▼" });
        mark.style.left = `${LEFT + ((step - first) / Math.max(1, last - first)) * (width - LEFT - RIGHT)}px`;
        listen(mark, "focus", () => say(reading, text), signal);
        listen(mark, "mouseenter", () => say(reading, text), signal);
        listen(mark, "mouseleave", read, signal);
        listen(mark, "blur", read, signal);
        return mark;
      }));
      if (focused >= 0) /** @type {HTMLElement | undefined} */ (rail.children[focused])?.focus();
    };

    repaint = live({ model, el, signal, draw });
    signal.addEventListener("abort", () => charts.forEach((chart) => chart.destroy()));
    listen(all, "click", () => look([]), signal);
    listen(log, "click", () => {
      logarithmic = !logarithmic;
      log.setAttribute("aria-pressed", String(logarithmic));
      repaint();
    }, signal);
    listen(plots, "keydown", (/** @type {KeyboardEvent} */ event) => {
      const [first, last] = shown(), span = last - first;
      if (event.key === "Home" || event.key === "Escape") look([]);
      else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
        const by = (event.key === "ArrowLeft" ? -1 : 1) * Math.max(1, span / 50);
        at = Math.min(last, Math.max(first, (at ?? last) + by));
        charts[0]?.setCursor({ left: charts[0].valToPos(at, "x"), top: 10 });
        read();
      } else if (event.key === "+" || event.key === "=") look([Math.round(first + span / 4), Math.round(last - span / 4)]);
      else if (event.key === "-") look(span * 2 >= model.get("steps") ? [] : [Math.max(0, Math.round(first - span / 2)), Math.round(last + span / 2)]);
      else return;
      event.preventDefault(); event.stopPropagation();
    }, signal);
  },
};

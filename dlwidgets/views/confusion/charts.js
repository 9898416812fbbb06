// The charts of one class: precision-recall, ROC and reliability, with the point of the threshold of now.

import { listen, make, say, surface, color, numbers, whole } from "../front.js";
import {
  areaUnder, averagePrecision, binsFrom, calibrationError, chanceOf, nearest, precisionRecallOf, reliabilityOf, rocOf, stairs, sweepFrom, sweepOf,
} from "./class_curves.js";
import { dot, trace } from "./plot.js";
import { position, share } from "./words.js";

/** @typedef {import("./class_curves.js").Sweep} Sweep */
/** @typedef {import("./class_curves.js").Spot} Spot */
/** @typedef {import("./class_curves.js").Bin} Bin */
/** @typedef {"pr" | "roc" | "reliability"} Kind */
/** @typedef {{names: string[], counts: ArrayLike<number>, totals: ArrayLike<number>, cells: Float64Array, limits: number[], facts: any, curve: any}} Shown */
/** A class that is shown. @typedef {Shown & {c: number}} OneClass */
/** The curve and the bins of a class, and what they were read from. @typedef {{of: any[], c: number, sweep: Sweep | null, bins: Bin[]}} Read */
/** @typedef {ReturnType<typeof classChart>} Chart */

/** The charts in their order. */
const KINDS = /** @type {const} */ (["pr", "roc", "reliability"]);
const TITLES = { pr: "Precision-recall", roc: "ROC", reliability: "Reliability" };
/** The names of the axes: across and up. */
const AXES = { pr: ["recall", "precision"], roc: ["false positive rate", "recall"], reliability: ["score", "share that is"] };
/** The plot inside its canvas: room for the ticks and the names of the axes [px]. */
const CHART = { tall: 178, left: 42, right: 8, top: 6, bottom: 32, gap: 14, least: 150, most: 250 };

/** How wide each of three charts is, and how many stand in a line. @param {number} width */
export function chartsIn(width) {
  const { gap, least, most } = CHART, columns = Math.max(1, Math.min(3, Math.floor((width + gap) / (least + gap))));
  return { columns, wide: Math.min(most, Math.floor((width - gap * (columns - 1)) / columns)) };
}

/** A threshold of a curve in words. @param {number} t */
function cut(t) { return t === Infinity ? "above all scores" : t === -Infinity ? "below all scores" : position(t); }

/** The threshold of the class. @param {OneClass} shown */
function limitOf({ limits, c }) { return limits[limits.length > 1 ? c : 0]; }

/** Where the class stands on a chart at the threshold of now. @param {Kind} kind @param {OneClass} shown */
function pointOf(kind, { cells, c }) {
  const [tn, fp, fn, tp] = cells.subarray(4 * c, 4 * c + 4);
  const point = kind === "roc" ? { x: fp / (fp + tn), y: tp / (tp + fn) } : { x: tp / (tp + fn), y: tp / (tp + fp) };
  return kind === "reliability" || Number.isNaN(point.x) || Number.isNaN(point.y) ? null : point;
}

/** The point that is looked at in words, else that of now. @param {Chart | undefined} looked @param {Read} read @param {OneClass} shown */
function readingOf(looked, { sweep, bins }, shown) {
  if (!sweep) return "";
  const spot = looked?.points[looked.at];
  if (spot && looked?.kind === "reliability") {
    const { low, high, n, score, share: is } = bins[spot.i];
    return `scores ${low.toFixed(1)} to ${high.toFixed(1)}: ${whole(n)} samples, mean score ${share(score)}, ${share(is)} of them are`;
  }
  const { tp: found, fp: wrong, positives, negatives } = sweep;
  const [tn, fp, fn, tp] = spot ? [negatives - wrong[spot.i], wrong[spot.i], positives - found[spot.i], found[spot.i]] : shown.cells.subarray(4 * shown.c, 4 * shown.c + 4);
  const at = spot ? `at ${cut(sweep.at[spot.i])}` : `now, at ${position(limitOf(shown))}`;
  return `${at}: precision ${share(tp / (tp + fp))}, recall ${share(tp / (tp + fn))}, false positive rate ${share(fp / (fp + tn))}`;
}

/** The curve and the bins of a class. What the kernel says of another class is not of this one; until it answers,
 * the counts serve. @param {Shown} picture @param {number} c @param {any[]} of the bytes that they are read from
 * @returns {Read} */
function readClass({ counts, totals, curve, facts }, c, of) {
  const mine = of[1] !== null;
  const points = mine ? /** @type {Float64Array} */ (/** @type {unknown} */ (numbers(curve, /** @type {any} */ (Float64Array)))) : null;
  return { of, c, sweep: points?.length ? sweepFrom(points, totals, c) : sweepOf(counts, totals, c), bins: mine ? binsFrom(facts.bins ?? []) : reliabilityOf(counts, c) };
}

/** The three charts of a class. @param {{signal: AbortSignal}} hands */
export function classCharts({ signal }) {
  const reading = make("div", { class: "dlw-det-reading", role: "status" });
  const charts = KINDS.map((kind) => classChart(kind, look, signal));
  const row = make("div", { class: "dlw-det-three" }, ...charts.map(({ node }) => node));
  const node = make("div", { class: "dlw-det-charts" }, row, reading);
  let shown = /** @type {OneClass | null} */ (null), read = /** @type {Read} */ ({ of: [], c: -1, sweep: null, bins: [] });

  /** @param {Chart} chart @param {number} at @param {number} [step] from there, or from the point of now where nothing is looked at */
  function look(chart, at, step = 0) {
    const last = chart.points.length - 1, now = shown && pointOf(chart.kind, shown);
    const to = step ? Math.min(last, Math.max(0, (at < 0 ? (now ? nearest(chart.points, now.x, now.y) : 0) : at) + step)) : at;
    if (chart.at === to) return;
    chart.at = to;
    if (shown) { chart.paint(shown, read.bins); speak(); }
  }
  function speak() { if (shown) say(reading, readingOf(charts.find(({ at }) => at >= 0), read, shown)); }

  function draw(/** @type {Shown} */ picture, /** @type {number} */ c, /** @type {number} */ width) {
    const mine = picture.facts?.class === c, of = [picture.counts, mine ? picture.curve : null];
    shown = { ...picture, c };
    if (of.some((one, i) => one !== read.of[i]) || read.c !== c) {
      if (read.c !== c) charts.forEach((chart) => { chart.at = -1; });
      read = readClass(picture, c, of);
      const sweep = /** @type {Sweep} */ (read.sweep), spots = read.bins.map(({ score, share: is }, i) => ({ x: score, y: is, i }));
      [precisionRecallOf(sweep), rocOf(sweep), spots].forEach((points, i) => charts[i].take(points));
    }
    const { columns, wide } = chartsIn(width), facts = mine ? picture.facts : {}, name = picture.names[c];
    row.style.gridTemplateColumns = `repeat(${columns}, ${wide}px)`;
    const values = {
      pr: ["AP", facts.average_precision ?? averagePrecision(charts[0].points), `chance ${share(chanceOf(picture, c))}`],
      roc: ["AUC", facts.roc_auc ?? areaUnder(charts[1].points), "chance 0.50"],
      reliability: ["ECE", facts.ece ?? calibrationError(read.bins), "dashed: a score that means what it says"],
    };
    for (const chart of charts) {
      const [what, value, beside] = values[chart.kind];
      chart.caption(`${what} ${share(Number(value))}`, String(beside), name, wide);
      chart.paint(shown, read.bins);
    }
    speak();
  }
  return { node, draw };
}

/** One chart, read with the pointer or the arrow keys: `look` is told of a point, or of a step from it.
 * @param {Kind} kind @param {(chart: Chart, at: number, step?: number) => void} look @param {AbortSignal} signal */
function classChart(kind, look, signal) {
  const number = make("span", { class: "dlw-faint" }), canvas = make("canvas", { role: "img", tabindex: 0 });
  const node = make("div", { class: "dlw-det-chart" }, make("div", {}, make("b", { text: TITLES[kind] }), " ", number), canvas);
  const size = () => ({ w: Number(canvas.dataset.wide) - CHART.left - CHART.right, h: CHART.tall - CHART.top - CHART.bottom });
  const chart = {
    kind, node, points: /** @type {Spot[]} */ ([]), at: -1,
    take(/** @type {Spot[]} */ points) { chart.points = points; if (chart.at >= points.length) chart.at = -1; },
    caption(/** @type {string} */ text, /** @type {string} */ beside, /** @type {string} */ name, /** @type {number} */ wide) {
      say(number, text);
      number.title = beside;
      canvas.dataset.wide = String(wide);
      const label = `${TITLES[kind]} of ${name}: ${text}; ${beside}. Arrow keys read it.`;
      if (canvas.getAttribute("aria-label") !== label) canvas.setAttribute("aria-label", label);
    },
    /** @param {OneClass} shown @param {Bin[]} bins */
    paint: (shown, bins) => paintChart(canvas, size(), chart, shown, bins),
  };
  listen(canvas, "pointermove", (event) => {
    const box = canvas.getBoundingClientRect(), { w, h } = size();
    // In the measure of the screen, so that the nearest is what looks nearest.
    const scaled = chart.points.map(({ x, y, i }) => ({ x: x * w, y: (1 - y) * h, i }));
    look(chart, nearest(scaled, event.clientX - box.left - CHART.left, event.clientY - box.top - CHART.top));
  }, signal);
  for (const gone of ["pointerleave", "blur"]) listen(canvas, gone, () => look(chart, -1), signal);
  listen(canvas, "keydown", (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[/** @type {string} */ (event.key)];
    if (!way || !chart.points.length) return;
    look(chart, chart.at, way * Math.max(1, Math.round(chart.points.length / 50)));
    event.preventDefault();
    event.stopPropagation();
  }, signal);
  return chart;
}

/** @param {HTMLCanvasElement} canvas @param {{w: number, h: number}} size @param {{kind: Kind, points: Spot[], at: number}} chart @param {OneClass} shown @param {Bin[]} bins */
function paintChart(canvas, { w, h }, { kind, points, at }, shown, bins) {
  const ctx = surface(canvas, Number(canvas.dataset.wide), CHART.tall);
  const ink = Object.fromEntries(["ink", "faint", "line", "line-2", "blue", "blue-soft", "orange", "paper"].map((name) => [name, color(canvas, name)]));
  const X = (/** @type {number} */ x) => CHART.left + x * w, Y = (/** @type {number} */ y) => CHART.top + (1 - y) * h;
  ctx.font = `10.5px ${getComputedStyle(canvas).fontFamily}`;
  paintAxes(ctx, kind, ink, X, Y);

  // What guessing gives; for reliability, what a score should mean.
  ctx.setLineDash([3, 3]); ctx.strokeStyle = ink["line-2"];
  const chance = chanceOf(shown, shown.c);
  trace(ctx, kind === "pr" ? [[X(0), Y(chance)], [X(1), Y(chance)]] : [[X(0), Y(0)], [X(1), Y(1)]]);
  ctx.setLineDash([]);
  if (kind === "reliability") {
    const most = Math.max(...bins.map(({ n }) => n), 1), limit = limitOf(shown);
    ctx.fillStyle = ink["blue-soft"]; ctx.globalAlpha = 0.6;
    for (const { low, high, n } of bins) ctx.fillRect(X(low) + 0.5, Y(0) - (h / 4) * (n / most), X(high) - X(low) - 1, (h / 4) * (n / most));
    ctx.globalAlpha = 1;
    ctx.strokeStyle = ink.orange; ctx.lineWidth = 1.5;
    if (limit >= 0 && limit <= 1) trace(ctx, [[X(limit), Y(0)], [X(limit), Y(1)]]);
  }
  ctx.strokeStyle = ctx.fillStyle = ink.blue; ctx.lineWidth = 1.6; ctx.lineJoin = "round";
  trace(ctx, kind === "pr" ? stairs(points).map(([x, y]) => [X(x), Y(y)]) : points.map(({ x, y }) => [X(x), Y(y)]));
  if (kind === "reliability") points.forEach(({ x, y }) => dot(ctx, X(x), Y(y), 2.6, ink.paper));
  const now = pointOf(kind, shown), here = at >= 0 ? points[at] : null;
  if (here) { ctx.fillStyle = ink.ink; dot(ctx, X(here.x), Y(here.y), 3.5, ink.paper); }
  if (now) { ctx.fillStyle = ink.orange; dot(ctx, X(now.x), Y(now.y), 4.5, ink.paper); }
  if (!points.length) {
    ctx.fillStyle = ink.faint; ctx.textAlign = "center"; ctx.textBaseline = "middle";
    ctx.fillText(shown.totals[2 * shown.c] ? "no negatives known" : "no positives known", X(0.5), Y(0.5));
  }
}

/** Ticks, their lines and the names of the axes. @param {CanvasRenderingContext2D} ctx @param {Kind} kind @param {Record<string, string>} ink @param {(x: number) => number} X @param {(y: number) => number} Y */
function paintAxes(ctx, kind, ink, X, Y) {
  ctx.fillStyle = ink.faint; ctx.strokeStyle = ink.line; ctx.lineWidth = 1;
  for (const tick of [0, 0.5, 1]) {
    trace(ctx, [[X(0), Y(tick)], [X(1), Y(tick)]]);
    trace(ctx, [[X(tick), Y(0)], [X(tick), Y(1)]]);
    ctx.textAlign = "right"; ctx.textBaseline = "middle"; ctx.fillText(String(tick), X(0) - 4, Y(tick));
    ctx.textAlign = tick === 1 ? "right" : "center"; ctx.textBaseline = "top"; ctx.fillText(String(tick), X(tick) + (tick === 1 ? 3 : 0), Y(0) + 3);
  }
  const [across, up] = AXES[kind];
  ctx.textAlign = "center"; ctx.textBaseline = "bottom"; ctx.fillText(across, X(0.5), CHART.tall - 1);
  ctx.save(); ctx.translate(9, Y(0.5)); ctx.rotate(-Math.PI / 2); ctx.textBaseline = "middle"; ctx.fillText(up, 0, 0); ctx.restore();
}

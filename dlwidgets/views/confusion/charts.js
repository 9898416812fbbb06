// The curves of one class and their charts: precision-recall, ROC and reliability, with the point of the threshold of now.
import { listen, make, say, surface, numbers, whole } from "../front.js";
import { POSITIONS } from "./counts.js";
import { dot, inks, keep, nameFor, trace, write } from "./plot.js";
import { position, ruleOf, share } from "./words.js";

/** A curve over the thresholds, the highest first: what is said at each, of so many positives and negatives.
 * @typedef {{at: Float64Array, tp: Float64Array, fp: Float64Array, positives: number, negatives: number}} Sweep */
/** @typedef {{low: number, high: number, n: number, score: number, share: number}} Bin */
/** @typedef {{x: number, y: number, i: number}} Spot */

/** The counts of class `c` from the highest threshold to the lowest, each change once. @param {ArrayLike<number>} counts C x 2 x
 * positions @param {ArrayLike<number>} totals C x 2 @param {number} c @param {number} [positions] @param {boolean} [boxes] of which
 * those that were not said are found at no threshold */
export function sweepOf(counts, totals, c, positions = POSITIONS, boxes = false) {
  const at = [Infinity], tp = [0], fp = [0];
  for (let k = positions - 1; k >= 0; k--) {
    const p = counts[2 * c * positions + k], n = counts[(2 * c + 1) * positions + k];
    if (p === tp[tp.length - 1] && n === fp[fp.length - 1]) continue;
    at.push(k / (positions - 1)); tp.push(p); fp.push(n);
  }
  const positives = totals[2 * c], negatives = totals[2 * c + 1];
  // Scores below 0 are said at no threshold that is here.
  if (!boxes && (tp[tp.length - 1] !== positives || fp[fp.length - 1] !== negatives)) { at.push(-Infinity); tp.push(positives); fp.push(negatives); }
  return { at: Float64Array.from(at), tp: Float64Array.from(tp), fp: Float64Array.from(fp), positives, negatives };
}

/** The same from the points that the kernel chose, K x 3: threshold falling, true positives, false positives.
 * @param {ArrayLike<number>} curve @param {ArrayLike<number>} totals @param {number} c */
export function sweepFrom(curve, totals, c) {
  const count = curve.length / 3, part = (/** @type {number} */ j, /** @type {number} */ first) =>
    Float64Array.from({ length: count + 1 }, (_, i) => (i ? curve[3 * (i - 1) + j] : first));
  return { at: part(0, Infinity), tp: part(1, 0), fp: part(2, 0), positives: totals[2 * c], negatives: totals[2 * c + 1] };
}

/** Points of the ROC curve from (0, 0) to (1, 1); none where a side is empty. @param {Sweep} sweep @returns {Spot[]} */
export function rocOf({ tp, fp, positives, negatives }) {
  return positives && negatives ? Array.from(tp, (p, i) => ({ x: fp[i] / negatives, y: p / positives, i })) : [];
}

/** Points of the precision-recall curve, recall rising; none without positives. @param {Sweep} sweep @returns {Spot[]} */
export function precisionRecallOf({ tp, fp, positives }) {
  if (!positives) return [];
  const points = Array.from(tp, (p, i) => ({ x: p / positives, y: p / (p + fp[i]), i })).filter(({ y }) => !Number.isNaN(y));
  // Once all are found, lower thresholds only add what is wrong.
  const all = points.findIndex(({ x }) => x === 1);
  return all < 0 ? points : points.slice(0, all + 1);
}

/** The area under a ROC curve by trapezoids; NaN where there is none. @param {Spot[]} points */
export function areaUnder(points) {
  let area = points.length ? 0 : NaN;
  for (let i = 1; i < points.length; i++) area += (points[i].x - points[i - 1].x) * (points[i].y + points[i - 1].y) / 2;
  return area;
}

/** Average precision: the precision at each recall, weighted by how far recall rose. @param {Spot[]} points */
export function averagePrecision(points) {
  let sum = points.length ? 0 : NaN, before = 0;
  for (const { x, y } of points) { sum += (x - before) * y; before = x; }
  return sum;
}

/** Bins of equal width over the scores: how many, their mean score, the share that is positive. A score counts as the middle of
 * its thousandth. @param {ArrayLike<number>} counts @param {number} c @param {number} [bins] @param {number} [positions] */
export function reliabilityOf(counts, c, bins = 10, positions = POSITIONS) {
  const last = positions - 1, found = Array.from({ length: bins }, (_, b) => ({ low: b / bins, high: (b + 1) / bins, n: 0, score: 0, share: 0 }));
  for (let k = 0; k <= last; k++) {
    const [p, n] = [0, 1].map((side) => {
      const start = (2 * c + side) * positions + k;
      return counts[start] - (k < last ? counts[start + 1] : 0);
    });
    const bin = found[Math.min(bins - 1, Math.floor((k * bins) / last + 1e-9))];
    bin.n += p + n;
    bin.share += p;
    bin.score += (p + n) * Math.min(1, (k + 0.5) / last);
  }
  return found.filter(({ n }) => n > 0).map((bin) => ({ ...bin, score: bin.score / bin.n, share: bin.share / bin.n }));
}

/** The bins as the kernel counted them: [bin, samples, mean score, share] of ten. @param {number[][]} told @returns {Bin[]} */
export function binsFrom(told) {
  return told.map(([b, n, score, is]) => ({ low: b / 10, high: (b + 1) / 10, n, score, share: is }));
}

/** The expected calibration error: how far the shares lie from the scores, each bin by its samples. @param {Bin[]} bins */
export function calibrationError(bins) {
  const all = bins.reduce((sum, { n }) => sum + n, 0);
  return all ? bins.reduce((sum, { n, score, share: is }) => sum + (n / all) * Math.abs(is - score), 0) : NaN;
}

/** The index of the point nearest to (x, y), or -1. @param {{x: number, y: number}[]} points @param {number} x @param {number} y */
export function nearest(points, x, y) {
  let best = -1, least = Infinity;
  points.forEach((point, i) => {
    const away = (point.x - x) ** 2 + (point.y - y) ** 2;
    if (away < least) { least = away; best = i; }
  });
  return best;
}

/** A curve of precision over recall as steps: a precision holds back to the recall before it. @param {Spot[]} points @returns {[number, number][]} */
export function stairs(points) {
  return points.flatMap(({ x, y }, i) => /** @type {[number, number][]} */ ([[i ? points[i - 1].x : 0, y], [x, y]]));
}

/** The share of the positives, which is the precision of guessing. @param {{totals: ArrayLike<number>}} picture @param {number} c */
export function chanceOf({ totals }, c) { return totals[2 * c] / (totals[2 * c] + totals[2 * c + 1]); }

/** @typedef {"pr" | "roc" | "reliability"} Kind */
/** A class that is shown, with what the kernel says of it. @typedef {import("./tiles.js").Picture & {facts: any, curve: any, c: number}} OneClass */
/** A chart with its points, and the one that is looked at, or -1. @typedef {{kind: Kind, node: HTMLElement, number: HTMLElement, canvas: HTMLCanvasElement, points: Spot[], at: number}} Chart */

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

/** The three charts of a class, read with the pointer or the arrow keys. @param {{signal: AbortSignal}} hands */
export function classCharts({ signal }) {
  const reading = make("div", { class: "dlw-det-reading", role: "status" });
  const charts = KINDS.map((kind) => {
    const number = make("span", { class: "dlw-faint" }), canvas = make("canvas", { role: "img", tabindex: 0 });
    const node = make("div", { class: "dlw-det-chart" }, make("div", {}, make("b", { text: TITLES[kind] }), " ", number), canvas);
    const chart = /** @type {Chart} */ ({ kind, node, number, canvas, points: [], at: -1 });
    listen(canvas, "pointermove", (event) => {
      const box = canvas.getBoundingClientRect();
      // In the measure of the screen, so that the nearest is what looks nearest.
      const scaled = chart.points.map(({ x, y }) => ({ x: x * size.w, y: (1 - y) * size.h }));
      look(chart, nearest(scaled, event.clientX - box.left - CHART.left, event.clientY - box.top - CHART.top));
    }, signal);
    for (const gone of ["pointerleave", "blur"]) listen(canvas, gone, () => look(chart, -1), signal);
    listen(canvas, "keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[/** @type {string} */ (event.key)], last = chart.points.length - 1;
      if (!way || last < 0) return;
      // From the point of now where nothing is looked at.
      const now = shown && pointOf(kind, shown), from = chart.at < 0 && now ? nearest(chart.points, now.x, now.y) : Math.max(0, chart.at);
      look(chart, Math.min(last, Math.max(0, from + way * Math.max(1, Math.round(chart.points.length / 50)))));
      keep(event);
    }, signal);
    return chart;
  });
  const row = make("div", { class: "dlw-det-three" }, ...charts.map(({ node }) => node));
  let shown = /** @type {OneClass | null} */ (null), size = { wide: 0, w: 0, h: CHART.tall - CHART.top - CHART.bottom };
  // The curve and the bins of a class, and the bytes that they were read from.
  let of = /** @type {any[]} */ ([]), sweep = /** @type {Sweep} */ (sweepFrom([], [0, 0], 0)), bins = /** @type {Bin[]} */ ([]);

  function look(/** @type {Chart} */ chart, /** @type {number} */ to) {
    if (chart.at === to) return;
    chart.at = to;
    if (shown) { paintChart(size, chart, shown, bins); speak(shown); }
  }
  /** Say the point that is looked at, else that of now. @param {OneClass} now */
  function speak(now) {
    const looked = charts.find(({ at }) => at >= 0), spot = looked?.points[looked.at];
    if (spot && looked?.kind === "reliability") {
      const { low, high, n, score, share: is } = bins[spot.i];
      say(reading, `scores ${low.toFixed(1)} to ${high.toFixed(1)}: ${whole(n)} samples, mean score ${share(score)}, ${share(is)} of them are`);
      return;
    }
    const { tp: found, fp: wrong, positives, negatives } = sweep;
    const [tn, fp, fn, tp] = spot ? [negatives - wrong[spot.i], wrong[spot.i], positives - found[spot.i], found[spot.i]] : now.cells.subarray(4 * now.c, 4 * now.c + 4);
    const at = spot ? `at ${cut(sweep.at[spot.i])}` : `now, ${ruleOf(limitOf(now)).join(" ")}`;
    const rates = `${at}: precision ${share(tp / (tp + fp))}, recall ${share(tp / (tp + fn))}`;
    say(reading, now.boxes ? rates : `${rates}, false positive rate ${share(fp / (fp + tn))}`);
  }

  function draw(/** @type {OneClass} */ picture, /** @type {number} */ width) {
    // What the kernel says of another class is not of this one; until it answers, the counts serve.
    const { counts, totals, curve, c } = picture, mine = picture.facts?.class === c, facts = mine ? picture.facts : {};
    const from = [counts, mine ? curve : null, c];
    shown = picture;
    if (from.some((one, i) => one !== of[i])) {
      const points = mine ? /** @type {Float64Array} */ (/** @type {unknown} */ (numbers(curve, /** @type {any} */ (Float64Array)))) : null;
      sweep = points?.length ? sweepFrom(points, totals, c) : sweepOf(counts, totals, c, POSITIONS, picture.boxes);
      bins = mine ? binsFrom(facts.bins ?? []) : reliabilityOf(counts, c);
      const spots = bins.map(({ score, share: is }, i) => ({ x: score, y: is, i }));
      [precisionRecallOf(sweep), rocOf(sweep), spots].forEach((found, i) => {
        charts[i].points = found;
        if (of[2] !== c || charts[i].at >= found.length) charts[i].at = -1;
      });
      of = from;
    }
    const { columns, wide } = chartsIn(picture.boxes ? CHART.most : width);
    size = { ...size, wide, w: wide - CHART.left - CHART.right };
    row.style.gridTemplateColumns = `repeat(${columns}, ${wide}px)`;
    const values = {
      pr: ["AP", facts.average_precision ?? (picture.boxes ? picture.precisions[c] ?? NaN : averagePrecision(charts[0].points)), picture.boxes ? "the mean precision at 101 recalls, as COCO has it" : `chance ${share(chanceOf(picture, c))}`],
      roc: ["AUC", facts.roc_auc ?? areaUnder(charts[1].points), "chance 0.50"],
      reliability: ["ECE", facts.ece ?? calibrationError(bins), "dashed: a score that means what it says"],
    };
    for (const chart of charts) {
      chart.node.hidden = picture.boxes && chart.kind !== "pr";
      if (chart.node.hidden) continue;
      const [what, value, beside] = values[chart.kind], text = `${what} ${share(Number(value))}`;
      say(chart.number, text);
      chart.number.title = String(beside);
      nameFor(chart.canvas, `${TITLES[chart.kind]} of ${picture.names[c]}: ${text}; ${beside}. Arrow keys read it.`);
      paintChart(size, chart, shown, bins);
    }
    speak(shown);
  }
  return { node: make("div", { class: "dlw-det-charts" }, row, reading), draw };
}

/** @param {{wide: number, w: number, h: number}} size @param {Chart} chart @param {OneClass} shown @param {Bin[]} bins */
function paintChart({ wide, w, h }, { kind, canvas, points, at }, shown, bins) {
  const ctx = surface(canvas, wide, CHART.tall), ink = inks(canvas, "ink", "faint", "line", "line-2", "blue", "blue-soft", "orange", "paper");
  const X = (/** @type {number} */ x) => CHART.left + x * w, Y = (/** @type {number} */ y) => CHART.top + (1 - y) * h;
  ctx.font = `10.5px ${getComputedStyle(canvas).fontFamily}`;
  // Ticks, their lines and the names of the axes.
  ctx.fillStyle = ink.faint; ctx.strokeStyle = ink.line; ctx.lineWidth = 1;
  for (const tick of [0, 0.5, 1]) {
    trace(ctx, [[X(0), Y(tick)], [X(1), Y(tick)]]);
    trace(ctx, [[X(tick), Y(0)], [X(tick), Y(1)]]);
    write(ctx, String(tick), X(0) - 4, Y(tick), "right");
    write(ctx, String(tick), X(tick) + (tick === 1 ? 3 : 0), Y(0) + 3, tick === 1 ? "right" : "center", "top");
  }
  const [across, up] = AXES[kind];
  write(ctx, across, X(0.5), CHART.tall - 1, "center", "bottom");
  ctx.save(); ctx.translate(9, Y(0.5)); ctx.rotate(-Math.PI / 2); write(ctx, up, 0, 0, "center"); ctx.restore();

  // What guessing gives; for reliability, what a score should mean.
  ctx.setLineDash([3, 3]); ctx.strokeStyle = ink["line-2"];
  const chance = chanceOf(shown, shown.c);
  if (!shown.boxes) trace(ctx, kind === "pr" ? [[X(0), Y(chance)], [X(1), Y(chance)]] : [[X(0), Y(0)], [X(1), Y(1)]]);
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
    ctx.fillStyle = ink.faint;
    write(ctx, shown.totals[2 * shown.c] ? "no negatives known" : "no positives known", X(0.5), Y(0.5), "center");
  }
}

// The curves of one class: precision-recall, ROC and reliability, from the counts at all thresholds, with the point of now.

import { listen, make, say, surface, color, numbers, whole } from "../front.js";
import { POSITIONS } from "./counts.js";
import { position, share } from "./words.js";

/**
 * A curve over the thresholds, the highest first: what is said at each, of so many positives and negatives.
 * @typedef {{at: Float64Array, tp: Float64Array, fp: Float64Array, positives: number, negatives: number}} Sweep
 */
/** @typedef {{low: number, high: number, n: number, score: number, share: number}} Bin */
/** @typedef {{x: number, y: number, i: number}} Spot */

/**
 * The counts of class `c` from the highest threshold to the lowest, each change once.
 * @param {ArrayLike<number>} counts C x 2 x positions @param {ArrayLike<number>} totals C x 2 @param {number} c @param {number} [positions]
 * @returns {Sweep}
 */
export function sweepOf(counts, totals, c, positions = POSITIONS) {
  /** @type {number[]} */
  const at = [Infinity];
  /** @type {number[]} */
  const tp = [0];
  /** @type {number[]} */
  const fp = [0];
  for (let k = positions - 1; k >= 0; k--) {
    const p = counts[2 * c * positions + k], n = counts[(2 * c + 1) * positions + k];
    if (p === tp[tp.length - 1] && n === fp[fp.length - 1]) continue;
    at.push(k / (positions - 1)); tp.push(p); fp.push(n);
  }
  const positives = totals[2 * c], negatives = totals[2 * c + 1];
  // Scores below 0 are said at no threshold that is here.
  if (tp[tp.length - 1] !== positives || fp[fp.length - 1] !== negatives) { at.push(-Infinity); tp.push(positives); fp.push(negatives); }
  return { at: Float64Array.from(at), tp: Float64Array.from(tp), fp: Float64Array.from(fp), positives, negatives };
}

/**
 * The same from the points that the kernel chose, K x 3: threshold falling, true positives, false positives.
 * @param {ArrayLike<number>} curve @param {ArrayLike<number>} totals @param {number} c @returns {Sweep}
 */
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

/**
 * Bins of equal width over the scores: how many, their mean score, the share that is positive. A score counts as the middle of
 * its thousandth.
 * @param {ArrayLike<number>} counts @param {number} c @param {number} [bins] @param {number} [positions] @returns {Bin[]}
 */
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

/** A threshold of a curve in words. @param {number} t */
function cut(t) { return t === Infinity ? "above all scores" : t === -Infinity ? "below all scores" : position(t); }

/** The plot inside its canvas: room for the ticks and the names of the axes [px]. */
const CHART = { tall: 178, left: 42, right: 8, top: 6, bottom: 32, gap: 14, least: 150, most: 250 };

/** How wide each of three charts is, and how many stand in a line. @param {number} width */
export function chartsIn(width) {
  const { gap, least, most } = CHART, columns = Math.max(1, Math.min(3, Math.floor((width + gap) / (least + gap))));
  return { columns, wide: Math.min(most, Math.floor((width - gap * (columns - 1)) / columns)) };
}

/** The three charts of a class. @param {{signal: AbortSignal}} hands */
export function classCharts({ signal }) {
  const kinds = /** @type {const} */ (["pr", "roc", "reliability"]);
  const titles = { pr: "Precision-recall", roc: "ROC", reliability: "Reliability" };
  const reading = make("div", { class: "dlw-det-reading", role: "status" });
  const charts = kinds.map((kind) => {
    const number = make("span", { class: "dlw-faint" }), canvas = make("canvas", { role: "img", tabindex: 0 });
    const node = make("div", { class: "dlw-det-chart" }, make("div", {}, make("b", { text: titles[kind] }), " ", number), canvas);
    return { kind, node, canvas, number, points: /** @type {{x: number, y: number, i: number}[]} */ ([]), at: -1, box: { w: 1, h: 1 } };
  });
  const row = make("div", { class: "dlw-det-three" }, ...charts.map(({ node }) => node));
  const node = make("div", { class: "dlw-det-charts" }, row, reading);
  /** @typedef {{names: string[], counts: ArrayLike<number>, totals: ArrayLike<number>, cells: Float64Array, limits: number[], facts: any, curve: any}} Shown */
  let shown = /** @type {(Shown & {c: number}) | null} */ (null);
  let read = { of: /** @type {any[]} */ ([]), c: -1, sweep: /** @type {Sweep | null} */ (null), bins: /** @type {Bin[]} */ ([]) };

  for (const chart of charts) {
    listen(chart.canvas, "pointermove", (event) => {
      const box = chart.canvas.getBoundingClientRect(), { w, h } = chart.box;
      // In the measure of the screen, so that the nearest is what looks nearest.
      const scaled = chart.points.map(({ x, y, i }) => ({ x: x * w, y: (1 - y) * h, i }));
      look(chart, nearest(scaled, event.clientX - box.left - CHART.left, event.clientY - box.top - CHART.top));
    }, signal);
    listen(chart.canvas, "pointerleave", () => look(chart, -1), signal);
    listen(chart.canvas, "blur", () => look(chart, -1), signal);
    listen(chart.canvas, "keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[/** @type {string} */ (event.key)];
      if (!way || !chart.points.length) return;
      const step = Math.max(1, Math.round(chart.points.length / 50)), from = chart.at < 0 ? nearestToNow(chart) : chart.at;
      look(chart, Math.min(chart.points.length - 1, Math.max(0, from + way * step)));
      event.preventDefault();
      event.stopPropagation();
    }, signal);
  }

  /** @param {typeof charts[number]} chart @param {number} at */
  function look(chart, at) {
    if (chart.at === at) return;
    chart.at = at;
    if (shown) { paint(chart, shown); speak(); }
  }
  /** @param {typeof charts[number]} chart */
  function nearestToNow(chart) {
    const now = shown && pointOf(chart.kind, shown);
    return now ? nearest(chart.points, now.x, now.y) : 0;
  }
  /** Where the class stands on a chart at the threshold of now. @param {string} kind @param {Shown & {c: number}} of */
  function pointOf(kind, { cells, c }) {
    const [tn, fp, fn, tp] = cells.subarray(4 * c, 4 * c + 4);
    const point = kind === "roc" ? { x: fp / (fp + tn), y: tp / (tp + fn) } : { x: tp / (tp + fn), y: tp / (tp + fp) };
    return kind === "reliability" || Number.isNaN(point.x) || Number.isNaN(point.y) ? null : point;
  }
  function speak() {
    if (!shown || !read.sweep) return;
    const looked = charts.find(({ at }) => at >= 0), { sweep, bins } = read, { cells, c, limits } = shown;
    if (looked?.kind === "reliability") {
      const { low, high, n, score, share: is } = bins[looked.points[looked.at].i];
      say(reading, `scores ${low.toFixed(1)} to ${high.toFixed(1)}: ${whole(n)} samples, mean score ${share(score)}, ${share(is)} of them are`);
      return;
    }
    const [tn, fp, fn, tp] = looked ? cellsOf(sweep, looked.points[looked.at].i) : cells.subarray(4 * c, 4 * c + 4);
    const at = looked ? cut(sweep.at[looked.points[looked.at].i]) : position(limits[limits.length > 1 ? c : 0]);
    say(reading, `${looked ? "at" : "now, at"} ${at}: precision ${share(tp / (tp + fp))}, recall ${share(tp / (tp + fn))}, false positive rate ${share(fp / (fp + tn))}`);
  }
  /** @param {Sweep} sweep @param {number} i */
  function cellsOf({ tp, fp, positives, negatives }, i) { return [negatives - fp[i], fp[i], positives - tp[i], tp[i]]; }

  /** @param {typeof charts[number]} chart @param {Shown & {c: number}} of */
  function paint(chart, of) {
    const { kind, canvas, points } = chart, wide = Number(canvas.dataset.wide), ctx = surface(canvas, wide, CHART.tall);
    const w = wide - CHART.left - CHART.right, h = CHART.tall - CHART.top - CHART.bottom;
    chart.box = { w, h };
    const ink = Object.fromEntries(["ink", "faint", "line", "line-2", "blue", "blue-soft", "orange", "paper"].map((name) => [name, color(canvas, name)]));
    const X = (/** @type {number} */ x) => CHART.left + x * w, Y = (/** @type {number} */ y) => CHART.top + (1 - y) * h;
    ctx.font = `10.5px ${getComputedStyle(canvas).fontFamily}`;
    ctx.fillStyle = ink.faint; ctx.strokeStyle = ink.line; ctx.lineWidth = 1;
    for (const tick of [0, 0.5, 1]) {
      stroke(ctx, [[X(0), Y(tick)], [X(1), Y(tick)]]);
      stroke(ctx, [[X(tick), Y(0)], [X(tick), Y(1)]]);
      ctx.textAlign = "right"; ctx.textBaseline = "middle"; ctx.fillText(String(tick), X(0) - 4, Y(tick));
      ctx.textAlign = tick === 1 ? "right" : "center"; ctx.textBaseline = "top"; ctx.fillText(String(tick), X(tick) + (tick === 1 ? 3 : 0), Y(0) + 3);
    }
    const [across, up] = { pr: ["recall", "precision"], roc: ["false positive rate", "recall"], reliability: ["score", "share that is"] }[kind];
    ctx.textAlign = "center"; ctx.textBaseline = "bottom"; ctx.fillText(across, X(0.5), CHART.tall - 1);
    ctx.save(); ctx.translate(9, Y(0.5)); ctx.rotate(-Math.PI / 2); ctx.textBaseline = "middle"; ctx.fillText(up, 0, 0); ctx.restore();

    // What guessing gives; for reliability, what a score should mean.
    ctx.setLineDash([3, 3]); ctx.strokeStyle = ink["line-2"];
    const chance = of.totals[2 * of.c] / (of.totals[2 * of.c] + of.totals[2 * of.c + 1]);
    stroke(ctx, kind === "pr" ? [[X(0), Y(chance)], [X(1), Y(chance)]] : [[X(0), Y(0)], [X(1), Y(1)]]);
    ctx.setLineDash([]);
    if (kind === "reliability") {
      const most = Math.max(...read.bins.map(({ n }) => n), 1);
      ctx.fillStyle = ink["blue-soft"]; ctx.globalAlpha = 0.6;
      for (const { low, high, n } of read.bins) ctx.fillRect(X(low) + 0.5, Y(0) - (h / 4) * (n / most), X(high) - X(low) - 1, (h / 4) * (n / most));
      ctx.globalAlpha = 1;
      const limit = of.limits[of.limits.length > 1 ? of.c : 0];
      ctx.strokeStyle = ink.orange; ctx.lineWidth = 1.5;
      if (limit >= 0 && limit <= 1) stroke(ctx, [[X(limit), Y(0)], [X(limit), Y(1)]]);
    }
    ctx.strokeStyle = ctx.fillStyle = ink.blue; ctx.lineWidth = 1.6; ctx.lineJoin = "round";
    stroke(ctx, kind === "pr" ? stairs(points).map(([x, y]) => [X(x), Y(y)]) : points.map(({ x, y }) => [X(x), Y(y)]));
    if (kind === "reliability") points.forEach(({ x, y }) => dot(ctx, X(x), Y(y), 2.6, ink.paper));
    const now = pointOf(kind, of), here = chart.at >= 0 ? points[chart.at] : null;
    if (here) { ctx.fillStyle = ink.ink; dot(ctx, X(here.x), Y(here.y), 3.5, ink.paper); }
    if (now) { ctx.fillStyle = ink.orange; dot(ctx, X(now.x), Y(now.y), 4.5, ink.paper); }
    if (!points.length) {
      ctx.fillStyle = ink.faint; ctx.textAlign = "center"; ctx.textBaseline = "middle";
      ctx.fillText(of.totals[2 * of.c] ? "no negatives known" : "no positives known", X(0.5), Y(0.5));
    }
  }

  /** @param {Shown} picture @param {number} c @param {number} width */
  function draw(picture, c, width) {
    shown = { ...picture, c };
    // What the kernel says of another class is not of this one; until it answers, the counts serve.
    const mine = picture.facts?.class === c, of = [picture.counts, mine ? picture.curve : null];
    if (of.some((one, i) => one !== read.of[i]) || read.c !== c) {
      if (read.c !== c) charts.forEach((chart) => { chart.at = -1; });
      const curve = mine ? /** @type {Float64Array} */ (/** @type {unknown} */ (numbers(picture.curve, /** @type {any} */ (Float64Array)))) : null;
      read = {
        of, c,
        sweep: curve?.length ? sweepFrom(curve, picture.totals, c) : sweepOf(picture.counts, picture.totals, c),
        bins: mine ? binsFrom(picture.facts.bins ?? []) : reliabilityOf(picture.counts, c),
      };
      const sweep = /** @type {Sweep} */ (read.sweep);
      charts[0].points = precisionRecallOf(sweep);
      charts[1].points = rocOf(sweep);
      charts[2].points = read.bins.map(({ score, share: is }, i) => ({ x: score, y: is, i }));
      charts.forEach((chart) => { if (chart.at >= chart.points.length) chart.at = -1; });
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
      say(chart.number, `${what} ${share(Number(value))}`);
      chart.number.title = String(beside);
      chart.canvas.dataset.wide = String(wide);
      const label = `${titles[chart.kind]} of ${name}: ${what} ${share(Number(value))}; ${beside}. Arrow keys read it.`;
      if (chart.canvas.getAttribute("aria-label") !== label) chart.canvas.setAttribute("aria-label", label);
      paint(chart, shown);
    }
    speak();
  }
  return { node, draw };
}

/** The share of the positives, which is the precision of guessing. @param {{totals: ArrayLike<number>}} picture @param {number} c */
function chanceOf({ totals }, c) { return totals[2 * c] / (totals[2 * c] + totals[2 * c + 1]); }

/** A curve of precision over recall as steps: a precision holds back to the recall before it. @param {Spot[]} points @returns {[number, number][]} */
export function stairs(points) {
  return points.flatMap(({ x, y }, i) => /** @type {[number, number][]} */ ([[i ? points[i - 1].x : 0, y], [x, y]]));
}

/** @param {CanvasRenderingContext2D} ctx @param {number[][]} points */
function stroke(ctx, points) {
  ctx.beginPath();
  points.forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
  ctx.stroke();
}

/** A dot with a rim that lifts it off its line. @param {CanvasRenderingContext2D} ctx @param {number} x @param {number} y @param {number} r @param {string} rim */
function dot(ctx, x, y, r, rim) {
  ctx.save();
  ctx.beginPath(); ctx.arc(x, y, r, 0, 2 * Math.PI); ctx.fill();
  ctx.lineWidth = 1.5; ctx.strokeStyle = rim; ctx.stroke();
  ctx.restore();
}

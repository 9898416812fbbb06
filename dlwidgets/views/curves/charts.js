// The three charts of the curves, one below the other on one axis of steps: loss, learning rate, gradient norm.
import { color, rate, sig, whole } from "../front.js";
import { apart, logRange, logTicks, range, tick, topOf } from "./series.js";

/** Left for the axis, right for the names at the curves' ends, and the heights of the charts [px]. */
export const LEFT = 52, RIGHT = 128, HEIGHTS = [158, 38, 62];
/** How many lines that were left may be drawn. */
export const PAST = 4;
/** The height of the chart of named losses, and how many may be drawn [px]. */
export const PARTS = 112, MOST_PARTS = 8;
/** How their lines are told apart: colour and dashes. @type {[string, number[]][]} */
export const PART_INKS = [["blue", []], ["orange", []], ["green", []], ["red", []], ["ink", []], ["blue", [6, 3]], ["orange", [6, 3]], ["green", [6, 3]]];
/** Height of a label at a curve's end, and its distance from it [px]. */
const LINE = 14;
export const GAP = 7;
/** The end of a curve, and what stands there. @typedef {{y: number, words: string, value: string, ink: string}} End */

/** Numbers the groups of charts that share a pointer. */
let groups = 0;

/** Make the charts in `place`. `logarithmic` is the loss axis. `moved` is called when the pointer moves, `chosen` with the steps
 * that were dragged over, `all` when all steps are wanted; `last` gives the newest rate in sight, `names` the lines that were
 * left, `parts` those of the named losses, which have a chart of their own. @param {{place: HTMLElement, el: HTMLElement, logarithmic: boolean, moved: () => void,
 * chosen: (window: number[]) => void, all: () => void, last: () => number | undefined, names: () => string[], parts: string[]}} options
 * @returns {uPlot[]} */
export function chartsIn({ place, el, logarithmic, moved, chosen, all, last, names, parts }) {
  const [ink, faint, line, blue, soft, orange, green] = ["ink", "faint", "line", "blue", "blue-soft", "orange", "green"].map((name) => color(el, name));
  // Whole pixels: uPlot takes the digits right before "px" for the size when the pixel ratio changes.
  const family = getComputedStyle(el).fontFamily || "sans-serif", font = `12px ${family}`;
  const key = `dlw-curves-${++groups}`;
  const axis = { stroke: faint, font, gap: 4, grid: { stroke: line, width: 1 }, ticks: { show: false } };
  const hidden = { ...axis, show: false }, bare = { ...axis, size: LEFT, grid: { show: false }, splits: () => [], values: () => [] };
  const steps = (/** @type {any} */ _, /** @type {number[]} */ values) => values.map((value) => (Number.isInteger(value) ? whole(value) : ""));
  const line2 = { width: 2, points: { show: few(1), size: 6 } };
  const edge = { stroke: soft, width: 1, points: { show: false } };

  /** @param {number} height @param {any} own @param {number[]} named the series whose values the pointer marks @param {(u: uPlot) => void} drawn */
  const chart = (height, own, named, drawn) => new uPlot({
    width: place.clientWidth || 400, height, legend: { show: false },
    cursor: {
      y: false, sync: { key }, drag: { x: true, y: false, setScale: false },
      points: { size: 6, show: (/** @type {any} */ u, /** @type {number} */ i) => (named.includes(i) ? dot(u, i) : null) },
      bind: { dblclick: () => () => { all(); return null; } },
    },
    ...own,
    hooks: {
      draw: [drawn],
      setCursor: [moved],
      setSelect: [(/** @type {uPlot} */ u) => {
        const { left, width } = u.select;
        if (width < 4) return;
        chosen([left, left + width].map((x) => Math.max(0, Math.round(u.posToVal(x, "x")))));
        u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
      }],
    },
  }, own.series.map((/** @type {any} */ _, /** @type {number} */ i) => [i ? null : 0]), place);

  const x = { time: false, auto: false };
  const strip = { distr: 3, range: (/** @type {any} */ _, /** @type {any} */ a, /** @type {any} */ b) => logRange(a, b) };
  const scale = { ...axis, size: LEFT, values: (/** @type {any} */ _, /** @type {number[]} */ values) => values.map(tick) };
  const powers = { ...scale, splits: (/** @type {any} */ _, /** @type {any} */ __, /** @type {number} */ a, /** @type {number} */ b) => logTicks(a, b), filter: (/** @type {any} */ _, /** @type {any} */ values) => values };
  return [
    chart(HEIGHTS[0], {
      padding: [20, RIGHT, 6, 0],
      scales: { x, y: logarithmic ? strip : { range: (/** @type {any} */ u, /** @type {any} */ a, /** @type {any} */ b) => range(a, topOf(u.data.slice(1, 5), b)) } },
      axes: [hidden, logarithmic ? powers : { ...scale, space: 32 }],
      series: [{}, edge, edge, { ...line2, stroke: blue }, { ...line2, stroke: orange, spanGaps: true, points: { show: few(60), size: 5, fill: orange } },
        ...Array.from({ length: PAST }, () => ({ stroke: faint, alpha: 0.55, width: 1, spanGaps: true, points: { show: false } }))],
      bands: [{ series: [2, 1], fill: soft }],
    }, [3, 4], (u) => {
      caption(u, family, faint, "loss", -13);
      nameEnds(u, family, [ending(u, 3, "train", blue), ending(u, 4, "valid", orange),
        ...names().map((name, i) => ending(u, 5 + i, `↶ ${name}`, faint))]);
    }),
    // They differ by powers of ten. Of each the training's line, then its evaluations.
    ...(parts.length > 1 ? [chart(PARTS, {
      padding: [20, RIGHT, 6, 0], scales: { x, y: strip }, axes: [hidden, powers],
      series: [{}, ...parts.flatMap((_, i) => {
        const [tint, dash] = PART_INKS[i], stroke = color(el, tint);
        return [{ stroke, dash, width: 1.5, points: { show: few(1), size: 5 } }, { stroke, width: 0, spanGaps: true, points: { show: true, size: 4, fill: stroke } }];
      })],
    }, parts.map((_, i) => 1 + 2 * i), (/** @type {uPlot} */ u) => {
      caption(u, family, faint, "parts", -11);
      nameEnds(u, family, parts.map((name, i) => (u.series[1 + 2 * i].show ? ending(u, 1 + 2 * i, name, color(el, PART_INKS[i][0])) : null)));
    })] : []),
    chart(HEIGHTS[1], {
      padding: [6, RIGHT, 6, 0], scales: { x, y: strip }, axes: [hidden, bare],
      // A rate holds since the step before: between two of them it jumps.
      series: [{}, { stroke: ink, width: 1.5, points: { show: few(1), size: 5 }, paths: /** @type {any} */ (uPlot.paths).stepped({ align: -1 }) }],
    }, [1], (u) => {
      caption(u, family, faint, "LR");
      // Zero has no place on a logarithmic scale: it is said at the foot.
      nameEnds(u, family, [last() === 0 ? { y: u.bbox.top + u.bbox.height, words: "", value: "0", ink } : ending(u, 1, "", ink, rate)]);
    }),
    chart(HEIGHTS[2], {
      padding: [6, RIGHT, 0, 0], scales: { x, y: strip },
      axes: [{ ...axis, size: 24, grid: { show: false }, values: steps }, bare],
      series: [{}, { stroke: faint, width: 1.2, points: { show: few(1), size: 5 } },
        { stroke: green, width: 1, dash: [4, 3], points: { show: false } }],
    }, [1], (u) => {
      caption(u, family, faint, "‖grad‖");
      caption(u, family, faint, "step", u.bbox.height / (devicePixelRatio || 1) + 10, 14);
      nameEnds(u, family, [ending(u, 1, "", ink), ending(u, 2, "clip", green)]);
    }),
  ];
}

/** Whether a series has at most `most` values to be drawn: their points are shown, since one alone makes no line. @param {number} most */
function few(most) {
  return (/** @type {uPlot} */ u, /** @type {number} */ series, /** @type {number} */ first, /** @type {number} */ last) =>
    Array.from(u.data[series]).slice(first, last + 1).filter((value) => value !== null && value !== undefined).length <= most;
}

/** A mark on the curve where the pointer is. @param {any} u @param {number} series */
function dot(u, series) {
  const mark = document.createElement("div");
  mark.style.cssText = "width:6px;height:6px;margin:-3px 0 0 -3px;border-radius:50%";
  mark.style.background = u.series[series]._stroke ?? u.series[series].stroke(u, series);
  return mark;
}

/** The end of a curve in sight: its last value, in words and as a height; null where it has none. @param {uPlot} u
 * @param {number} series @param {string} words @param {string} ink @param {(value: number) => string} [form]
 * @returns {End | null} */
function ending(u, series, words, ink, form = (value) => sig(value, 3)) {
  const xs = u.data[0], ys = u.data[series], last = u.scales.x.max ?? Infinity;
  for (let i = ys.length - 1; i >= 0; i--) {
    const value = ys[i];
    if (value !== null && value !== undefined && xs[i] <= last) {
      return { y: u.valToPos(value, "y", true), words, value: form(value), ink };
    }
  }
  return null;
}

/** A curve's name and its last value: of a name too long for its place the end stays, which tells lines apart, and the value
 * always. @param {string} name @param {string} value @param {(text: string) => boolean} fits */
export function endWords(name, value, fits) {
  const whole = `${name} ${value}`.trim();
  if (fits(whole)) return whole;
  const some = Array.from({ length: name.length }, (_, i) => `…${name.slice(i + 1)} ${value}`);
  return some.find(fits) ?? value;
}

/** Write the names of the curves beside the chart, at the heights where they end. @param {uPlot} u @param {string} family @param {(End | null)[]} ends */
function nameEnds(u, family, ends) {
  const ratio = devicePixelRatio || 1, { ctx, bbox } = u, there = ends.flatMap((end) => (end ? [end] : []));
  const heights = apart(there.map((end) => end.y), LINE * ratio, bbox.top + 3 * ratio, bbox.top + bbox.height - 3 * ratio);
  ctx.save();
  ctx.font = `${12 * ratio}px ${family}`;
  ctx.textBaseline = "middle"; ctx.textAlign = "left";
  there.forEach((end, i) => {
    ctx.fillStyle = end.ink;
    const room = (RIGHT - GAP) * ratio, text = endWords(end.words, end.value, (all) => ctx.measureText(all).width <= room);
    ctx.fillText(text, bbox.left + bbox.width + GAP * ratio, heights[i]);
  });
  ctx.restore();
}

/** Name a chart at its left, `down` px below its top, or in its middle. @param {uPlot} u @param {string} family @param {string} ink @param {string} words @param {number} [down] @param {number} [gap] */
function caption(u, family, ink, words, down, gap = 6) {
  const ratio = devicePixelRatio || 1, { ctx, bbox } = u;
  ctx.save();
  ctx.font = `${11.5 * ratio}px ${family}`;
  ctx.fillStyle = ink; ctx.textAlign = "right"; ctx.textBaseline = "middle";
  ctx.fillText(words, bbox.left - gap * ratio, bbox.top + (down === undefined ? bbox.height / 2 : down * ratio));
  ctx.restore();
}

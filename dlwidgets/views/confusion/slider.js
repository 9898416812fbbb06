// The large threshold slider with the scores of positives above it and of negatives below, coloured by what is said.
import { listen, make, say, surface, whole } from "../front.js";
import { POSITIONS, histogramOf } from "./counts.js";
import { inks, nameFor } from "./plot.js";
import { position, whose } from "./words.js";

/** Its height, and the part of a thumb that lies left of the lowest and right of the highest position [px]. */
const SLIDE = { tall: 58, edge: 6, middle: 29 };
const BINS = 50;

/** Where shift and an arrow lead, ten positions at once; -1 where the key is the browser's own. @param {number} k @param {{key: string, shiftKey: boolean}} event */
export function leap(k, { key, shiftKey }) {
  const way = { ArrowLeft: -10, ArrowDown: -10, ArrowRight: 10, ArrowUp: 10 }[key];
  return shiftKey && way ? Math.min(POSITIONS - 1, Math.max(0, k + way)) : -1;
}

/** The position nearest to a threshold. @param {number} t */
export function nearestPosition(t) { return Math.round(Math.min(1, Math.max(0, t)) * (POSITIONS - 1)); }

/** Let a range input be moved in single positions, with shift in tens. @param {HTMLInputElement} input
 * @param {(k: number) => void} moved @param {AbortSignal} signal */
export function slides(input, moved, signal) {
  listen(input, "input", () => moved(Number(input.value)), signal);
  listen(input, "keydown", (/** @type {KeyboardEvent} */ event) => {
    const to = leap(Number(input.value), event);
    if (to < 0) return;
    event.preventDefault();
    input.value = String(to);
    moved(to);
  }, signal);
}

/** The slider of all classes, or of the class in focus. @param {{moved: (k: number) => void, signal: AbortSignal}} hands */
export function scoreSlider({ moved, signal }) {
  const input = make("input", { type: "range", min: 0, max: POSITIONS - 1, step: 1, "aria-label": "Threshold" });
  const canvas = make("canvas", { "aria-hidden": "true" }), shown = make("output");
  const node = make("div", { class: "dlw-conf-scores" }, canvas, input);
  slides(input, moved, signal);
  /** Bins are counted once for a class and a set of scores, not at each move. */
  let held = { counts: /** @type {ArrayLike<number>} */ ([]), of: "", bins: /** @type {Float64Array[]} */ ([]) };

  /** @param {import("./tiles.js").Picture} picture @param {number} c the class, or -1 for all @param {number} width */
  function draw({ names, counts, totals, limits, task }, c, width) {
    const classes = c < 0 ? names.map((_, i) => i) : [c], name = c < 0 ? (names.length === 1 ? names[0] : "") : names[c];
    const mine = classes.map((i) => limits[i]), low = Math.min(...mine), high = Math.max(...mine), one = low === high;
    const at = nearestPosition(one ? low : (low + high) / 2);
    if (Number(input.value) !== at) input.value = String(at);
    const text = one ? position(low) : `${low.toFixed(2)}–${high.toFixed(2)}`;
    say(shown, text);
    input.setAttribute("aria-valuetext", one ? text : `one for each class, ${text}`);
    nameFor(input, c < 0 ? "Threshold" : `Threshold of ${name}, large`);
    input.title = one ? "Arrows move it by 0.001, with Shift by 0.01" : "Each class has its own threshold. Moving this gives all the same.";
    if (held.counts !== counts || held.of !== `${c}`) {
      held = { counts, of: `${c}`, bins: [0, 1].map((kind) => histogramOf({ counts, totals }, classes, /** @type {0 | 1} */ (kind), BINS)) };
    }
    paint(width, [low, high].map((t) => Math.min(1, Math.max(0, t))), [0, 1].map((kind) => {
      const n = held.bins[kind].reduce((sum, x) => sum + x, 0);
      return `${whole(n)} ${whose(kind, name, task)}`;
    }));
  }

  /** @param {number} width @param {number[]} ends lowest and highest threshold @param {string[]} words */
  function paint(width, [low, high], words) {
    const ctx = surface(canvas, width, SLIDE.tall), span = width - 2 * SLIDE.edge, middle = SLIDE.middle;
    const ink = inks(node, "blue", "orange", "faint", "line-2", "ink", "paper");
    const x = (/** @type {number} */ t) => SLIDE.edge + span * t;
    held.bins.forEach((bins, kind) => {
      const most = Math.max(...bins, 1), tall = middle - 5;
      for (let b = 0; b < BINS; b++) {
        if (!bins[b]) continue;
        // What is there stays visible, however rare.
        const h = Math.max(1.5, (tall * bins[b]) / most), left = x(b / BINS), right = x((b + 1) / BINS);
        // A bar that the threshold cuts is of both colours.
        const cut_ = Math.min(right, Math.max(left, x((low + high) / 2)));
        for (const [from, to, said] of /** @type {[number, number, boolean][]} */ ([[left, cut_, false], [cut_, right, true]])) {
          if (to - from < 0.01) continue;
          ctx.globalAlpha = 0.62;
          ctx.fillStyle = said === (kind === 0) ? ink.blue : ink.orange;
          ctx.fillRect(from + (from === left ? 0.5 : 0), kind === 0 ? middle - h : middle, Math.max(0.5, to - from - (from === left ? 0.5 : 0)), h);
        }
      }
    });
    ctx.globalAlpha = 1;
    ctx.fillStyle = ink["line-2"]; ctx.fillRect(SLIDE.edge, middle - 0.5, span, 1);
    if (high > low) { ctx.globalAlpha = 0.18; ctx.fillStyle = ink.ink; ctx.fillRect(x(low), 2, x(high) - x(low), SLIDE.tall - 4); ctx.globalAlpha = 1; }
    ctx.fillStyle = ink.ink; ctx.fillRect(x((low + high) / 2) - 0.5, 1, 1, SLIDE.tall - 2);
    ctx.font = `10px ${getComputedStyle(node).fontFamily}`; ctx.fillStyle = ink.faint;
    // Each word stands where its histogram is lower.
    held.bins.forEach((bins, kind) => {
      const half = BINS / 2, left = Math.max(...bins.slice(0, half)) <= Math.max(...bins.slice(half));
      ctx.textAlign = left ? "left" : "right"; ctx.textBaseline = kind === 0 ? "top" : "bottom";
      const at = /** @type {[string, number, number, number]} */ ([words[kind], left ? SLIDE.edge + 2 : width - SLIDE.edge - 2, kind === 0 ? 1 : SLIDE.tall - 1, span]);
      // A rim of paper sets the word off from what lies under it.
      ctx.strokeStyle = ink.paper; ctx.lineWidth = 3; ctx.lineJoin = "round"; ctx.strokeText(...at);
      ctx.fillText(...at);
    });
  }
  return { node, input, shown, draw };
}

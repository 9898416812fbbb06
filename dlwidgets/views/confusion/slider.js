// Thresholds: the large slider with the scores around it, coloured by what is said, and the best ones, as the kernel finds them.
import { listen, make, say, surface, whole } from "../front.js";
import { POSITIONS, histogramOf } from "./counts.js";
import { inks, nameFor } from "./plot.js";
import { position, share, whose } from "./words.js";

/** Its height in the row, and with words; the part of a thumb that lies left of the lowest and right of the highest position [px]. */
const SLIDE = { low: 28, tall: 58, edge: 6 };
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

  /** @param {import("./tiles.js").Picture} picture @param {number} c the class, or -1 for all @param {number} width @param {boolean} tall */
  function draw({ names, counts, totals, limits, task }, c, width, tall) {
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
      held = { counts, of: `${c}`, bins: [0, 1].map((kind) => histogramOf({ counts, totals }, classes, /** @type {0 | 1} */ (kind), BINS, POSITIONS, task === "detection")) };
    }
    node.style.height = `${tall ? SLIDE.tall : SLIDE.low}px`;
    paint(width, tall, [low, high].map((t) => Math.min(1, Math.max(0, t))), [0, 1].map((kind) => {
      const n = held.bins[kind].reduce((sum, x) => sum + x, 0);
      return `${whole(n)} ${whose(kind, name, task)}`;
    }));
  }

  /** @param {number} width @param {boolean} worded @param {number[]} ends lowest and highest threshold @param {string[]} words */
  function paint(width, worded, [low, high], words) {
    const height = worded ? SLIDE.tall : SLIDE.low, middle = height / 2;
    const ctx = surface(canvas, width, height), span = width - 2 * SLIDE.edge;
    const ink = inks(node, "blue", "orange", "faint", "line-2", "ink", "paper");
    const x = (/** @type {number} */ t) => SLIDE.edge + span * t;
    held.bins.forEach((bins, kind) => {
      const most = Math.max(...bins, 1), tall = middle - (worded ? 5 : 2);
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
    if (high > low) { ctx.globalAlpha = 0.18; ctx.fillStyle = ink.ink; ctx.fillRect(x(low), 2, x(high) - x(low), height - 4); ctx.globalAlpha = 1; }
    ctx.fillStyle = ink.ink; ctx.fillRect(x((low + high) / 2) - 0.5, 1, 1, height - 2);
    if (!worded) return;
    ctx.font = `10px ${getComputedStyle(node).fontFamily}`; ctx.fillStyle = ink.faint;
    // Each word stands where its histogram is lower.
    held.bins.forEach((bins, kind) => {
      const half = BINS / 2, left = Math.max(...bins.slice(0, half)) <= Math.max(...bins.slice(half));
      ctx.textAlign = left ? "left" : "right"; ctx.textBaseline = kind === 0 ? "top" : "bottom";
      const at = /** @type {[string, number, number, number]} */ ([words[kind], left ? SLIDE.edge + 2 : width - SLIDE.edge - 2, kind === 0 ? 1 : height - 1, span]);
      // A rim of paper sets the word off from what lies under it.
      ctx.strokeStyle = ink.paper; ctx.lineWidth = 3; ctx.lineJoin = "round"; ctx.strokeText(...at);
      ctx.fillText(...at);
    });
  }
  return { node, input, shown, draw };
}

// -- the best thresholds, without flattery

/** What the kernel found: per class the threshold, the metric where it was chosen and where it was not; null for n/a.
 * @typedef {{metric: string, bound: string, class: number, thresholds: number[], chosen: (number | null)[],
 * reported: (number | null)[], low: (number | null)[], high: (number | null)[], chance?: (number | null)[], positives: number[], samples: number,
 * step: number | null, warnings: string[], asked: number}} Found */
/** What is asked for. @typedef {{metric: string, beta: number, constraint: string | null, confidence: number | null, class: number, asked: number}} Asked */

function meanOf(/** @type {(number | null)[]} */ values) {
  const known = values.filter((x) => x !== null);
  return known.length ? known.reduce((sum, x) => sum + x, 0) / known.length : NaN;
}
function said(/** @type {number | null} */ x) { return share(x ?? NaN); }

/** How one class came off, in a sentence. @param {Found} found @param {number} c @param {string[]} names */
export function reportOf(found, c, names) {
  const { metric, chosen, reported, low, high, positives } = found;
  const few = positives[c] === 1 ? "1 positive" : `${whole(positives[c])} positives`;
  if (chosen[c] === null && reported[c] === null) return `${names[c]}: no positives to choose by.`;
  const chance = found.chance?.[c] ?? null;
  const holds = chance === null ? "" : ` ${found.bound.split(" with ")[0]} holds with a chance of at least ${Math.floor(100 * chance)} %.`;
  const ends = low[c] === null ? "" : ` [${said(low[c])}, ${said(high[c])}]`;
  return `${names[c]}: ${metric} ${said(chosen[c])} on the half it was chosen on (${few}), ${said(reported[c])}${ends} on the other half.${holds}`;
}

/** How all classes came off, in a sentence. @param {Found} found */
export function summaryOf(found) {
  const both = found.chosen.map((_, c) => c).filter((c) => found.chosen[c] !== null && found.reported[c] !== null);
  const [here, there] = [found.chosen, found.reported].map((values) => meanOf(both.map((c) => values[c])));
  const after = found.step === null ? "" : `, after step ${whole(found.step)}`;
  return `Best ${found.metric}${found.bound ? ` with ${found.bound}` : ""}, a threshold for each class (${whole(found.samples)} samples${after}): `
    + `on average ${share(here)} on the half they were chosen on, ${share(there)} on the other half.`;
}

/** @param {{ask: (what: Asked) => void, reset: (c: number) => void, restore: (limits: number[]) => void, signal: AbortSignal}} hands */
export function bestThresholds({ ask, reset, restore, signal }) {
  const beta = make("input", { type: "number", min: 0.1, max: 10, step: 0.1, value: 2, "aria-label": "Beta: how much more recall weighs" });
  const least = make("input", { type: "number", min: 0, max: 1, step: 0.05, value: 0.9, "aria-label": "Lowest recall" });
  const sure = make("input", { type: "checkbox" });
  const whom = make("select", { "aria-label": "Choose for" }, make("option", { value: "all", text: "all classes" }), make("option", { value: "one" }));
  const whose_ = make("label", { class: "dlw-conf-set" }, "for", whom);
  const report = make("div", { class: "dlw-conf-report", role: "status" });
  const back = make("button", { type: "button", text: "Back", title: "Back to the thresholds before" });
  const told = make("div", { class: "dlw-conf-told" }, report, back);
  // The thresholds that are shown, and those that were there before the best ones.
  let focus = -1, asked = 0, waiting = 0, now = /** @type {number[]} */ ([]), before = /** @type {number[] | null} */ (null);
  listen(back, "click", () => { waiting = 0; if (before) restore(before); }, signal);

  /** @param {string} text @param {string} title @param {() => {metric: string, beta?: number, constraint?: string, confidence?: number | null}} what */
  function button(text, title, what) {
    const node = make("button", { type: "button", text, title });
    listen(node, "click", () => {
      const c = whom.value === "one" ? focus : -1;
      waiting = ++asked;
      if (told.hidden || !before) before = now;
      say(report, "Choosing …");
      ask({ beta: 1, constraint: null, confidence: null, class: c, asked: waiting, ...what() });
    }, signal);
    return node;
  }
  const quick = button("Best F1", "The threshold of the highest F1, for each class", () => ({ metric: "f1" }));
  const half = make("button", { type: "button", text: "Back to 0.5" });
  listen(half, "click", () => { waiting = 0; say(report, ""); reset(whom.value === "one" ? focus : -1); }, signal);
  const youden = button("Youden", "The highest recall + specificity − 1", () => ({ metric: "youden" }));
  const node = make("div", { class: "dlw-conf-best" },
    make("span", { class: "dlw-faint", text: "Best" }),
    make("span", { class: "dlw-conf-set" }, button("F-beta", "The highest F-beta: recall weighs beta times as much as precision", () => ({ metric: "fbeta", beta: Number(beta.value) })),
      make("label", {}, "β", beta)),
    youden,
    make("span", { class: "dlw-conf-set" }, button("Precision", "The highest precision at which recall is kept", () => ({ metric: "precision", constraint: `recall >= ${least.value}`, confidence: sure.checked ? 0.95 : null })),
      make("label", {}, "at recall ≥", least),
      make("label", { title: "The lower end of the 95 % interval of recall keeps it: it then holds for other samples too" }, sure, "with 95 % confidence")),
    whose_, half);

  /** @param {Found | null} found @param {string[]} names @param {number} c the class in focus @param {number[]} limits @param {string} refusal
   * @param {boolean} open @param {boolean} [boxes] which have no specificity */
  function draw(found, names, c, limits, refusal, open, boxes = false) {
    youden.hidden = boxes;
    // What is chosen out of sight chooses for nobody.
    if (!open) whom.value = "all";
    focus = c >= 0 ? c : 0;
    now = limits;
    const one = `only ${names[focus] ?? ""}`;
    say(whom.children[1], one.length > 26 ? `${one.slice(0, 25)}…` : one);
    whose_.hidden = names.length === 1;
    if (refusal) waiting = 0;
    if (waiting && found?.asked !== waiting) return;
    waiting = 0;
    const shown = found && found.thresholds?.length === names.length && (found.class < 0 ? found.thresholds.some((t, i) => t === limits[i]) : found.thresholds[found.class] === limits[found.class]);
    told.hidden = !shown;
    back.hidden = before?.length !== names.length;
    if (!shown || !found) { if (!refusal) say(report, ""); return; }
    const of = found.class >= 0 ? found.class : focus, parts = [];
    if (found.class < 0 && names.length > 1) parts.push(summaryOf(found));
    parts.push(found.thresholds[of] === limits[of] ? `${reportOf(found, of, names)} At ${position(found.thresholds[of])}.` : `${names[of]}: moved since.`);
    say(report, [...parts, ...found.warnings.map((line) => `⚠ ${line}`)].join("\n"));
  }
  return { node, quick, told, draw };
}

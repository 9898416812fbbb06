// How a metric of each class moved over the evaluations, and which classes two moments tell apart.

import { listen, make, say, surface, color, numbers, whole } from "../front.js";
import { share } from "./words.js";

/** An evaluation that was kept: its step, its epoch, its line. @typedef {{step: number, epoch: number, line: string}} Moment */
/** The past as it is drawn: C classes, moments, their cells (E x 4 C). @typedef {{moments: Moment[], cells: ArrayLike<number>, classes: number}} Past */

/** The metrics that may be chosen. @type {[string, string][]} */
export const PAST_METRICS = [
  ["f1", "F1"], ["precision", "precision"], ["recall", "recall"], ["specificity", "specificity"], ["accuracy", "accuracy"],
  ["jaccard", "Jaccard"], ["matthews", "Matthews"],
];

/**
 * A metric of four cells [tn, fp, fn, tp] that start at `at`; NaN where there is nothing to divide by.
 * @param {string} metric @param {ArrayLike<number>} cells @param {number} [at] @returns {number}
 */
export function metricAt(metric, cells, at = 0) {
  const tn = cells[at], fp = cells[at + 1], fn = cells[at + 2], tp = cells[at + 3];
  switch (metric) {
    case "precision": return tp / (tp + fp);
    case "recall": return tp / (tp + fn);
    case "specificity": return tn / (tn + fp);
    case "accuracy": return (tn + tp) / (tn + fp + fn + tp);
    case "jaccard": return tp / (tp + fp + fn);
    case "matthews": return (tp * tn - fp * fn) / Math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn));
    default: return (2 * tp) / (2 * tp + fp + fn);
  }
}

/** What a moment is called. @param {Moment} moment @param {boolean} several whether there are several lines */
export function momentWords({ step, epoch, line }, several) {
  return `${epoch ? `epoch ${whole(epoch)}, ` : ""}step ${whole(step)}${several ? ` (${line})` : ""}`;
}

/**
 * The lines of the run, each with its moments by number and, first, the one at which it parted from another.
 * @param {Moment[]} moments @returns {{line: string, own: number[], drawn: number[]}[]}
 */
export function linesOf(moments) {
  /** @type {Map<string, number[]>} */
  const lines = new Map();
  moments.forEach(({ line }, i) => lines.set(line, [...(lines.get(line) ?? []), i]));
  return [...lines].map(([line, own]) => {
    const begun = moments[own[0]].step;
    let from = -1;
    moments.forEach((moment, i) => {
      if (moment.line !== line && i < own[0] && moment.step < begun && (from < 0 || moment.step >= moments[from].step)) from = i;
    });
    return { line, own, drawn: from < 0 ? own : [from, ...own] };
  });
}

/**
 * The classes that both moments know, from the one that gained most to the one that lost most.
 * @param {Past} past @param {number} a @param {number} b @param {string} metric @returns {{c: number, a: number, b: number, change: number}[]}
 */
export function changesBetween({ cells, classes }, a, b, metric) {
  const rows = Array.from({ length: classes }, (_, c) => {
    const [then, now] = [a, b].map((moment) => metricAt(metric, cells, 4 * (moment * classes + c)));
    return { c, a: then, b: now, change: now - then };
  });
  // What cannot be compared comes last.
  return rows.sort((x, y) => Number(Number.isNaN(x.change)) - Number(Number.isNaN(y.change)) || y.change - x.change || x.c - y.c);
}

/** How many classes went which way, in words. @param {{change: number}[]} changes @param {number} [least] a difference that shows */
export function changeWords(changes, least = 0.005) {
  const better = changes.filter(({ change }) => change >= least).length, worse = changes.filter(({ change }) => change <= -least).length;
  const open = changes.filter(({ change }) => Number.isNaN(change)).length, same = changes.length - better - worse - open;
  return [`${better} better`, `${worse} worse`, `${same} the same`, open ? `${open} not to be compared` : ""].filter(Boolean).join(", ");
}

/** A difference with its sign. @param {number} x */
export function signed(x) {
  return Number.isNaN(x) ? "n/a" : Math.abs(x) < 0.005 ? "0.00" : `${x > 0 ? "+" : "−"}${Math.abs(x).toFixed(2)}`;
}

/** The rail in its canvas: room for the ticks and for the name at the end [px]. */
const RAIL = { tall: 138, left: 34, right: 116, top: 18, bottom: 20 };

/**
 * The rail of a session's past. `open` tells that it was opened or folded, `choose` that a class was picked in its table.
 * @param {{model: import("../front.js").Model, signal: AbortSignal, repaint: () => void, open: (on: boolean) => void, choose: (c: number) => void}} hands
 */
export function pastRail({ model, signal, repaint, open, choose: pick }) {
  const toggle = make("button", { type: "button", class: "dlw-det-fold", "aria-expanded": "false" });
  const metrics = make("select", { "aria-label": "Metric over the epochs" }, ...PAST_METRICS.map(([key, text]) => make("option", { value: key, text })));
  const reading = make("span", { class: "dlw-faint", role: "status" });
  const canvas = make("canvas", { role: "img" }), plot = make("div", { class: "dlw-det-plot" }, canvas);
  const handles = ["A", "B"].map((letter) => {
    const slider = make("input", { type: "range", min: 0, step: 1, "aria-label": `Moment ${letter}` });
    const line = make("select", { "aria-label": `Line of moment ${letter}` }), text = make("output");
    return { letter, slider, line, text, node: make("label", { class: "dlw-det-moment" }, make("b", { text: letter }), slider, line, text) };
  });
  const words = make("div", { class: "dlw-faint" }), body = make("tbody");
  const table = make("div", { class: "dlw-det-changes" }, make("table", {}, make("thead", {}, make("tr", {},
    ...["class", "A", "B", "B − A", ""].map((text) => make("th", { scope: "col", text })))), body));
  const two = [0, 1].map(() => {
    const title = make("span", { class: "dlw-faint" }), cells = [0, 1, 2, 3].map((cell) => make("div", cell === 0 || cell === 3 ? { "data-right": true } : { "data-wrong": true }));
    return { title, cells, node: make("div", { class: "dlw-det-two" }, title, make("div", { class: "dlw-det-cells" }, ...cells)) };
  });
  const pair = make("div", { class: "dlw-det-pair" }, ...two.map(({ node }) => node));
  const inside = make("div", { class: "dlw-det-past" }, make("div", { class: "dlw-det-lines" }, plot, ...handles.map(({ node }) => node)),
    make("div", { class: "dlw-det-compared" }, words, make("div", { class: "dlw-det-sides" }, table, pair)));
  const node = make("div", { class: "dlw-det-rail", hidden: true }, make("div", { class: "dlw-det-head" }, toggle, metrics, reading), inside);
  /** @type {{row: HTMLElement, parts: HTMLElement[], bar: HTMLElement, c: number}[]} */
  const rows = [];
  // What the person chose: whether it is open, and two moments; null follows the first and the newest.
  let opened = /** @type {boolean | null} */ (null), metric = "f1";
  /** @type {(Moment | null)[]} */
  const chosen = [null, null];
  let shown = /** @type {{past: Past, lines: ReturnType<typeof linesOf>, line: string, names: string[], pinned: number} | null} */ (null);
  // What was painted last: a move of a threshold that the kernel has not answered changes nothing here.
  let painted = /** @type {any[]} */ ([]);
  let pointed = -1;

  listen(toggle, "click", () => { opened = !isOpen(); open(opened); repaint(); }, signal);
  listen(metrics, "change", () => { metric = metrics.value; repaint(); }, signal);
  handles.forEach(({ slider, line }, i) => {
    listen(slider, "input", () => choose(i, line.value, Number(slider.value)), signal);
    listen(line, "change", () => choose(i, line.value, Infinity), signal);
  });
  listen(canvas, "pointermove", (event) => {
    if (!shown) return;
    const x = event.clientX - canvas.getBoundingClientRect().left;
    let best = -1, least = Infinity;
    shown.past.moments.forEach((moment, i) => { const away = Math.abs(xOf(moment) - x); if (away <= least) { least = away; best = i; } });
    if (best !== pointed) { pointed = best; repaint(); }
  }, signal);
  listen(canvas, "pointerleave", () => { pointed = -1; repaint(); }, signal);
  // A click takes the later moment there, with Shift the earlier.
  listen(canvas, "click", (event) => { if (shown && pointed >= 0) { chosen[event.shiftKey ? 0 : 1] = shown.past.moments[pointed]; repaint(); } }, signal);

  function isOpen() { return opened ?? (shown !== null && shown.pinned >= 0); }
  /** @param {number} which @param {string} line @param {number} place */
  function choose(which, line, place) {
    const own = shown?.lines.find((one) => one.line === line)?.own;
    if (!shown || !own) return;
    chosen[which] = shown.past.moments[own[Math.min(own.length - 1, place)]];
    repaint();
  }
  /** The number of the newest moment of the line that is under way. */
  function newest() {
    const own = shown?.lines.find(({ line }) => line === shown?.line)?.own ?? [];
    return own.length ? own[own.length - 1] : (shown?.past.moments.length ?? 1) - 1;
  }
  /** The number of a moment among those that are here now, or that of the nearest of its line. @param {number} which */
  function momentOf(which) {
    if (!shown) return 0;
    const { past: { moments }, lines } = shown, wanted = chosen[which];
    const own = wanted ? lines.find(({ line }) => line === wanted.line)?.own : undefined;
    if (!wanted || !own) return which ? newest() : 0;
    return own.reduce((best, i) => (Math.abs(moments[i].step - wanted.step) < Math.abs(moments[best].step - wanted.step) ? i : best), own[0]);
  }
  let wide = 300, first = 0, last = 0;
  /** @param {Moment} moment */
  function xOf({ step }) {
    const part = last > first ? (step - first) / (last - first) : 0.5;
    return RAIL.left + part * (wide - RAIL.left - RAIL.right);
  }

  /** @param {number[]} at the two moments */
  function paint(at) {
    if (!shown) return;
    const { past, lines, names, pinned } = shown, { moments, cells, classes } = past;
    const ctx = surface(canvas, wide, RAIL.tall), low = metric === "matthews" ? -1 : 0, h = RAIL.tall - RAIL.top - RAIL.bottom;
    const Y = (/** @type {number} */ y) => RAIL.top + (1 - (y - low) / (1 - low)) * h;
    const ink = Object.fromEntries(["ink", "faint", "line", "line-2", "blue", "orange", "paper"].map((name) => [name, color(canvas, name)]));
    ctx.font = `10.5px ${getComputedStyle(canvas).fontFamily}`;
    ctx.lineWidth = 1; ctx.strokeStyle = ink.line; ctx.fillStyle = ink.faint; ctx.textAlign = "right"; ctx.textBaseline = "middle";
    for (const tick of [low, (1 + low) / 2, 1]) {
      trace(ctx, [[RAIL.left, Y(tick)], [wide - RAIL.right, Y(tick)]]);
      ctx.fillText(String(tick).replace("-", "−"), RAIL.left - 5, Y(tick));
    }
    ctx.textBaseline = "top"; ctx.textAlign = "left";
    ctx.fillText(`step ${whole(first)}`, RAIL.left, Y(low) + 5);
    ctx.textAlign = "right"; ctx.fillText(whole(last), wide - RAIL.right, Y(low) + 5);
    at.forEach((i, which) => {
      const x = xOf(moments[i]);
      ctx.strokeStyle = ink["line-2"]; trace(ctx, [[x, RAIL.top], [x, Y(low)]]);
      ctx.fillStyle = ink.ink; ctx.textAlign = "center"; ctx.fillText(at[0] === at[1] ? "A B" : "AB"[which], x, 2);
    });
    if (pointed >= 0 && pointed < moments.length) { ctx.strokeStyle = ink.line; trace(ctx, [[xOf(moments[pointed]), RAIL.top], [xOf(moments[pointed]), Y(low)]]); }
    const order = Array.from({ length: classes }, (_, c) => c).filter((c) => c !== pinned);
    for (const c of pinned >= 0 ? [...order, pinned] : order) {
      const strong = c === pinned;
      ctx.strokeStyle = strong ? ink.blue : ink.faint; ctx.lineWidth = strong ? 2 : 1;
      ctx.globalAlpha = strong ? 1 : classes < 30 ? 0.55 : 0.3;
      lines.forEach(({ line, drawn }) => {
        ctx.setLineDash(line === shown?.line ? [] : [4, 3]);
        const points = drawn.map((m) => [xOf(moments[m]), Y(metricAt(metric, cells, 4 * (m * classes + c)))]).filter(([, y]) => !Number.isNaN(y));
        trace(ctx, points);
        if (strong && points.length === 1) { ctx.beginPath(); ctx.arc(points[0][0], points[0][1], 3, 0, 7); ctx.fillStyle = ink.blue; ctx.fill(); }
      });
    }
    ctx.setLineDash([]); ctx.globalAlpha = 1;
    if (pinned >= 0) {
      const value = metricAt(metric, cells, 4 * (newest() * classes + pinned)), y = Number.isNaN(value) ? Y(low) : Y(value);
      ctx.fillStyle = ink.blue; ctx.textAlign = "left"; ctx.textBaseline = "middle";
      ctx.fillText(`${cutTo(ctx, names[pinned] ?? "", RAIL.right - 38)} ${share(value)}`, wide - RAIL.right + 6, Math.min(Y(low) - 4, Math.max(RAIL.top + 4, y)));
    }
  }

  /** @param {ReturnType<typeof changesBetween>} changes */
  function fillTable(changes) {
    if (!shown) return;
    while (rows.length < changes.length) {
      const name = make("button", { type: "button", class: "dlw-det-fold" }), cells = [0, 1, 2].map(() => make("td")), bar = make("i");
      const row = make("tr", {}, make("th", { scope: "row" }, name), ...cells, make("td", { "aria-hidden": "true" }, bar));
      const one = { row, parts: [name, ...cells], bar, c: -1 };
      rows.push(one); body.append(row);
      listen(row, "click", () => pick(one.c), signal);
    }
    const most = Math.max(0.05, ...changes.map(({ change }) => (Number.isNaN(change) ? 0 : Math.abs(change))));
    rows.forEach((one, i) => {
      const { row, parts, bar } = one;
      row.hidden = i >= changes.length;
      if (row.hidden || !shown) return;
      const { c, a, b, change } = changes[i], name = shown.names[c];
      one.c = c;
      row.toggleAttribute("data-chosen", c === shown.pinned);
      [name, share(a), share(b), signed(change)].forEach((text, j) => say(parts[j], text));
      if (parts[0].title !== name) parts[0].title = name;
      const size = Number.isNaN(change) ? 0 : (50 * Math.abs(change)) / most;
      bar.style.width = `${size}%`; bar.style.left = change < 0 ? `${50 - size}%` : "50%";
      bar.toggleAttribute("data-wrong", change < 0);
    });
  }

  /** @param {{names: string[], pinned: number}} picture @param {number} width */
  function draw({ names, pinned }, width) {
    const said = /** @type {[number, number, string][]} */ (model.get("past_moments") ?? []);
    node.hidden = !said.length;
    if (!said.length) { shown = null; return; }
    const Kind = { 1: Uint8Array, 2: Uint16Array }[/** @type {number} */ (model.get("past_width"))] ?? Uint32Array;
    const cells = /** @type {ArrayLike<number>} */ (numbers(model.get("past"), /** @type {any} */ (Kind)));
    const moments = said.map(([step, epoch, line]) => ({ step, epoch, line }));
    shown = { past: { moments, cells, classes: names.length }, lines: linesOf(moments), line: model.get("past_line") ?? "", names, pinned };
    first = Math.min(...moments.map(({ step }) => step));
    last = Math.max(...moments.map(({ step }) => step));
    const on = isOpen(), there = on && cells.length === 4 * names.length * moments.length;
    say(toggle, `${on ? "▾" : "▸"} Over the epochs`);
    toggle.setAttribute("aria-expanded", String(on));
    metrics.hidden = inside.hidden = !on;
    inside.toggleAttribute("data-beside", width >= 900);
    const theme = canvas.closest(".dlw")?.getAttribute("data-theme"), now = [model.get("past"), said, names, pinned, metric, on, width, pointed, theme, ...chosen];
    if (now.every((one, i) => one === painted[i])) return;
    painted = now;
    if (!there) { say(reading, on ? "…" : ""); return; }
    wide = Math.max(220, width >= 900 ? Math.floor(0.5 * width) - 10 : width - 4);
    const several = shown.lines.length > 1, at = [momentOf(0), momentOf(1)];
    handles.forEach(({ slider, line, text }, i) => {
      const moment = moments[at[i]], own = shown?.lines.find((one) => one.line === moment.line)?.own ?? [];
      line.hidden = !several;
      if (line.options.length !== shown?.lines.length || [...line.options].some((option, j) => option.value !== shown?.lines[j].line)) {
        line.replaceChildren(...(shown?.lines ?? []).map((one) => make("option", { value: one.line, text: one.line })));
      }
      line.value = moment.line;
      slider.max = String(own.length - 1);
      slider.disabled = own.length < 2;
      slider.value = String(own.indexOf(at[i]));
      say(text, momentWords(moment, false));
      slider.setAttribute("aria-valuetext", momentWords(moment, several));
    });
    paint(at);
    const name = PAST_METRICS.find(([key]) => key === metric)?.[1] ?? metric, changes = changesBetween(shown.past, at[0], at[1], metric);
    say(words, moments.length < 2 ? "One evaluation so far: there is nothing to compare yet." : `${name} from A to B: ${changeWords(changes)}`);
    fillTable(changes);
    pair.hidden = pinned < 0;
    two.forEach((one, which) => {
      const from = 4 * (at[which] * names.length + Math.max(0, pinned)), four = [0, 1, 2, 3].map((cell) => cells[from + cell]);
      say(one.title, `${"AB"[which]}: ${share(metricAt(metric, four))}`);
      one.cells.forEach((part, cell) => {
        say(part, whole(four[cell]));
        const row = four[cell & 2] + four[(cell & 2) + 1];
        part.style.setProperty("--dlw-share", String(row ? Math.round(60 * four[cell] / row) : 0) + "%");
      });
    });
    const here = pointed >= 0 && pointed < moments.length ? pointed : at[1], value = pinned >= 0 ? metricAt(metric, cells, 4 * (here * names.length + pinned)) : NaN;
    say(reading, `${momentWords(moments[here], several)}${pinned >= 0 ? `: ${name} ${share(value)}` : ""}`);
    const label = `${name} of ${names.length} classes over ${moments.length} evaluations` + (pinned >= 0 ? `; ${names[pinned]} ${share(value)}` : "");
    if (canvas.getAttribute("aria-label") !== label) canvas.setAttribute("aria-label", label);
  }
  return { node, draw };
}

/** @param {CanvasRenderingContext2D} ctx @param {number[][]} points */
function trace(ctx, points) {
  ctx.beginPath();
  points.forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
  ctx.stroke();
}

/** A text cut to so many pixels. @param {CanvasRenderingContext2D} ctx @param {string} text @param {number} room */
function cutTo(ctx, text, room) {
  if (ctx.measureText(text).width <= room) return text;
  let end = text.length;
  while (end > 1 && ctx.measureText(`${text.slice(0, end)}…`).width > room) end -= 1;
  return `${text.slice(0, end)}…`;
}

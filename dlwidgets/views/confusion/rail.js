// The rail of a run's past: how a metric of each class moved over its evaluations, and what two of these moments tell apart.
import { listen, make, say, surface, whole } from "../front.js";
import { uints, wholesOf } from "./counts.js";
import { cutName } from "./names.js";
import { inks, nameFor, trace, write } from "./plot.js";
import { fourCells, share } from "./words.js";
/** @import { Metrics } from "./metrics.js" */

/** An evaluation that was kept: its step, its epoch, its line. @typedef {{step: number, epoch: number, line: string}} Moment */
/** A line with its moments by number and, first in `drawn`, that at which it parted from another. @typedef {{line: string, own: number[], drawn: number[]}} Line */
/** The past as it is drawn: C classes, moments, their cells (E x 4 C). @typedef {{moments: Moment[], cells: ArrayLike<number>, classes: number}} Past */
/** What a class gained from one moment to another. @typedef {{c: number, a: number, b: number, change: number}} Change */
/** The past with the line that is under way, and the class that is pinned, or -1. @typedef {{past: Past, lines: Line[], line: string, names: string[], pinned: number}} PastShown */

/** The rail in its canvas: room for the ticks and for the name at the end [px]. */
const RAIL = { tall: 138, left: 34, right: 116, top: 18, bottom: 20 };

/** What a moment is called. @param {Moment} moment @param {boolean} several whether there are several lines */
export function momentWords({ step, epoch, line }, several) {
  return `${epoch ? `epoch ${whole(epoch)}, ` : ""}step ${whole(step)}${several ? ` (${line})` : ""}`;
}

/** The lines of the run. @param {Moment[]} moments @returns {Line[]} */
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

/** The classes that both moments know, from the one that gained most to the one that lost most. @param {Metrics} metrics
 * @param {Past} past @param {number} a @param {number} b @param {string} metric @returns {Change[]} */
export function changesBetween(metrics, { cells, classes }, a, b, metric) {
  const rows = Array.from({ length: classes }, (_, c) => {
    const [then, now] = [a, b].map((moment) => metrics.value(metric, cells, 4 * (moment * classes + c)));
    return { c, a: then, b: now, change: now - then };
  });
  // What cannot be compared comes last.
  return rows.sort((x, y) => Number(Number.isNaN(x.change)) - Number(Number.isNaN(y.change)) || y.change - x.change || x.c - y.c);
}

/** How many classes went which way, in words. @param {{change: number}[]} changes @param {number} [direction] -1 where less is better @param {number} [least] a difference that shows */
export function changeWords(changes, direction = 1, least = 0.005) {
  const better = changes.filter(({ change }) => direction * change >= least).length, worse = changes.filter(({ change }) => direction * change <= -least).length;
  const open = changes.filter(({ change }) => Number.isNaN(change)).length, same = changes.length - better - worse - open;
  return [`${better} better`, `${worse} worse`, `${same} the same`, open ? `${open} not to be compared` : ""].filter(Boolean).join(", ");
}

/** A difference with its sign. @param {number} x */
export function signed(x) {
  return Number.isNaN(x) ? "n/a" : Math.abs(x) < 0.005 ? "0.00" : `${x > 0 ? "+" : "−"}${Math.abs(x).toFixed(2)}`;
}

/** Two moments that a person chose of the past; null follows the first and the newest of the line that is under way. */
export function momentPair() {
  const chosen = /** @type {(Moment | null)[]} */ ([null, null]);
  /** The number of the newest moment of a line, else of all. @param {Moment[]} moments @param {Line[]} lines @param {string} line */
  const newest = (moments, lines, line) => lines.find((one) => one.line === line)?.own.slice(-1)[0] ?? moments.length - 1;
  return {
    chosen,
    newest,
    /** The number of each among the moments that are here now, or that of the nearest of its line. @param {Moment[]} moments @param {Line[]} lines @param {string} line under way */
    numbers: (moments, lines, line) => chosen.map((wanted, which) => {
      const own = wanted ? lines.find((one) => one.line === wanted.line)?.own : undefined;
      if (!wanted || !own) return which ? newest(moments, lines, line) : 0;
      return own.reduce((best, i) => (Math.abs(moments[i].step - wanted.step) < Math.abs(moments[best].step - wanted.step) ? i : best), own[0]);
    }),
  };
}

/** Where moments stand in a rail of this width [px]. @param {Moment[]} moments @param {number} wide */
function placesOf(moments, wide) {
  const first = Math.min(...moments.map(({ step }) => step)), last = Math.max(...moments.map(({ step }) => step));
  return { first, last, x: moments.map(({ step }) => RAIL.left + (last > first ? (step - first) / (last - first) : 0.5) * (wide - RAIL.left - RAIL.right)) };
}

/** The rail of a session's past. `open` tells that it was opened or folded, `choose` that a class was picked in its table.
 * @param {{model: import("../front.js").Model, metrics: Metrics, signal: AbortSignal, repaint: () => void,
 * open: (on: boolean) => void, choose: (c: number) => void}} hands */
export function pastRail({ model, metrics, signal, repaint, open, choose }) {
  const toggle = make("button", { type: "button", class: "dlw-det-fold", "aria-expanded": "false" });
  const which_ = make("select", { "aria-label": "Metric over the epochs" }, ...metrics.rates.map(([value, text]) => make("option", { value, text })));
  which_.value = "f1";
  const reading = make("span", { class: "dlw-faint", role: "status" });
  const canvas = make("canvas", { role: "img" }), plot = make("div", { class: "dlw-det-plot" }, canvas);
  const pair = momentPair();
  const handles = ["A", "B"].map((letter, i) => momentHandle(letter, (line, place) => take(i, line, place), signal));
  const words = make("div", { class: "dlw-faint" }), table = changeTable({ choose, signal }), two = cellPair(!metrics.has("specificity"));
  const inside = make("div", { class: "dlw-det-past" }, make("div", { class: "dlw-det-lines" }, plot, ...handles.map(({ node }) => node)),
    make("div", { class: "dlw-det-compared" }, words, make("div", { class: "dlw-det-sides" }, table.node, two.node)));
  const node = make("div", { class: "dlw-det-rail", hidden: true }, make("div", { class: "dlw-det-head" }, toggle, which_, reading), inside);
  // What the person chose: whether it is open; null follows the class that is pinned.
  let opened = /** @type {boolean | null} */ (null), shown = /** @type {PastShown | null} */ (null);
  // What was painted last: a move of a threshold that the kernel has not answered changes nothing here.
  let painted = /** @type {any[]} */ ([]), pointed = -1, wide = 300;
  const isOpen = () => opened ?? (shown !== null && shown.pinned >= 0);

  listen(toggle, "click", () => { opened = !isOpen(); open(opened); repaint(); }, signal);
  listen(which_, "change", repaint, signal);
  listen(canvas, "pointermove", (event) => {
    if (!shown) return;
    const x = event.clientX - canvas.getBoundingClientRect().left;
    const away = placesOf(shown.past.moments, wide).x.map((at) => Math.abs(at - x)), best = away.lastIndexOf(Math.min(...away));
    if (best !== pointed) { pointed = best; repaint(); }
  }, signal);
  listen(canvas, "pointerleave", () => { pointed = -1; repaint(); }, signal);
  // A click takes the later moment there, with Shift the earlier.
  listen(canvas, "click", (event) => { if (shown && pointed >= 0) { pair.chosen[event.shiftKey ? 0 : 1] = shown.past.moments[pointed]; repaint(); } }, signal);

  function take(/** @type {number} */ which, /** @type {string} */ line, /** @type {number} */ place) {
    const own = shown?.lines.find((one) => one.line === line)?.own;
    if (!shown || !own) return;
    pair.chosen[which] = shown.past.moments[own[Math.min(own.length - 1, place)]];
    repaint();
  }
  function draw(/** @type {{names: string[], pinned: number}} */ { names, pinned }, /** @type {number} */ width) {
    const said = /** @type {[number, number, string][]} */ (model.get("past_moments") ?? []);
    node.hidden = !said.length;
    if (!said.length) { shown = null; return; }
    const cells = uints(model.get("past"), model.get("past_width"));
    const moments = said.map(([step, epoch, line]) => ({ step, epoch, line })), lines = linesOf(moments), classes = names.length;
    const past = { moments, cells, classes }, metric = which_.value;
    shown = { past, lines, line: model.get("past_line") ?? "", names, pinned };
    const on = isOpen(), there = on && cells.length === 4 * classes * moments.length;
    say(toggle, `${on ? "▾" : "▸"} Over the epochs`);
    toggle.setAttribute("aria-expanded", String(on));
    which_.hidden = inside.hidden = !on;
    inside.toggleAttribute("data-beside", width >= 900);
    const theme = canvas.closest(".dlw")?.getAttribute("data-theme"), now = [model.get("past"), said, names, pinned, metric, on, width, pointed, theme, ...pair.chosen];
    if (now.every((one, i) => one === painted[i])) return;
    painted = now;
    if (!there) { say(reading, on ? "…" : ""); return; }
    wide = Math.max(220, width >= 900 ? Math.floor(0.5 * width) - 10 : width - 4);
    const several = lines.length > 1, at = pair.numbers(moments, lines, shown.line);
    handles.forEach((handle, i) => handle.draw(moments, lines, at[i]));
    const valueAt = (/** @type {number} */ moment, /** @type {number} */ c) => metrics.value(metric, cells, 4 * (moment * classes + c));
    paintRail(canvas, wide, shown, { valueAt, low: metrics.lowest(metric), at, pointed, newest: pair.newest(moments, lines, shown.line) });
    const name = metrics.label(metric), direction = metrics.direction(metric), changes = changesBetween(metrics, past, at[0], at[1], metric);
    say(words, moments.length < 2 ? "One evaluation so far: there is nothing to compare yet." : `${name} from A to B: ${changeWords(changes, direction)}`);
    table.draw(changes, names, pinned, direction);
    two.draw(at.map((moment) => Array.from({ length: 4 }, (_, i) => cells[4 * (moment * classes + Math.max(0, pinned)) + i])), at.map((moment) => valueAt(moment, Math.max(0, pinned))), pinned >= 0);
    const here = pointed >= 0 && pointed < moments.length ? pointed : at[1], value = pinned >= 0 ? valueAt(here, pinned) : NaN;
    say(reading, `${momentWords(moments[here], several)}${pinned >= 0 ? `: ${name} ${share(value)}` : ""}`);
    nameFor(canvas, `${name} of ${names.length} classes over ${moments.length} evaluations${pinned >= 0 ? `; ${names[pinned]} ${share(value)}` : ""}`);
  }
  return { node, draw };
}

/** A slider over the moments of a line, and the line where there are several. @param {string} letter
 * @param {(line: string, place: number) => void} take @param {AbortSignal} signal */
function momentHandle(letter, take, signal) {
  const slider = make("input", { type: "range", min: 0, step: 1, "aria-label": `Moment ${letter}` });
  const line = make("select", { "aria-label": `Line of moment ${letter}` }), text = make("output");
  const node = make("label", { class: "dlw-det-moment" }, make("b", { text: letter }), slider, line, text);
  listen(slider, "input", () => take(line.value, Number(slider.value)), signal);
  listen(line, "change", () => take(line.value, Infinity), signal);

  function draw(/** @type {Moment[]} */ moments, /** @type {Line[]} */ lines, /** @type {number} */ at) {
    const moment = moments[at], own = lines.find((one) => one.line === moment.line)?.own ?? [];
    line.hidden = lines.length < 2;
    if (line.options.length !== lines.length || [...line.options].some((option, j) => option.value !== lines[j].line)) {
      line.replaceChildren(...lines.map((one) => make("option", { value: one.line, text: one.line })));
    }
    line.value = moment.line;
    slider.max = String(own.length - 1);
    slider.disabled = own.length < 2;
    slider.value = String(own.indexOf(at));
    say(text, momentWords(moment, false));
    slider.setAttribute("aria-valuetext", momentWords(moment, lines.length > 1));
  }
  return { node, draw };
}

/** The table of what each class gained; a click picks the class. @param {{choose: (c: number) => void, signal: AbortSignal}} hands */
function changeTable({ choose, signal }) {
  const body = make("tbody");
  const node = make("div", { class: "dlw-det-changes" }, make("table", {}, make("thead", {}, make("tr", {},
    ...["class", "A", "B", "B − A", ""].map((text) => make("th", { scope: "col", text })))), body));
  const rows = /** @type {{row: HTMLElement, parts: HTMLElement[], bar: HTMLElement, c: number}[]} */ ([]);
  function add() {
    const name = make("button", { type: "button", class: "dlw-det-fold" }), cells = [0, 1, 2].map(() => make("td")), bar = make("i");
    const row = make("tr", {}, make("th", { scope: "row" }, name), ...cells, make("td", { "aria-hidden": "true" }, bar));
    const one = { row, parts: [name, ...cells], bar, c: -1 };
    rows.push(one); body.append(row);
    listen(row, "click", () => choose(one.c), signal);
  }

  /** @param {Change[]} changes @param {string[]} names @param {number} pinned @param {number} direction -1 where less is better */
  function draw(changes, names, pinned, direction) {
    while (rows.length < changes.length) add();
    const most = Math.max(0.05, ...changes.map(({ change }) => (Number.isNaN(change) ? 0 : Math.abs(change))));
    rows.forEach((one, i) => {
      const { row, parts, bar } = one;
      row.hidden = i >= changes.length;
      if (row.hidden) return;
      const { c, a, b, change } = changes[i], name = names[c];
      one.c = c;
      row.toggleAttribute("data-chosen", c === pinned);
      [name, share(a), share(b), signed(change)].forEach((text, j) => say(parts[j], text));
      if (parts[0].title !== name) parts[0].title = name;
      const size = Number.isNaN(change) ? 0 : (50 * Math.abs(change)) / most;
      bar.style.width = `${size}%`; bar.style.left = change < 0 ? `${50 - size}%` : "50%";
      bar.toggleAttribute("data-wrong", direction * change < 0);
    });
  }
  return { node, draw };
}

/** The cells of the pinned class at both moments. @param {boolean} boxes of which none is rightly not said */
function cellPair(boxes) {
  const two = [0, 1].map(() => {
    const title = make("span", { class: "dlw-faint" }), cells = fourCells();
    return { title, cells, node: make("div", { class: "dlw-det-two" }, title, make("div", { class: "dlw-det-cells" }, ...cells)) };
  });
  const node = make("div", { class: "dlw-det-pair" }, ...two.map((one) => one.node));

  /** @param {number[][]} fours @param {number[]} values of the metric @param {boolean} some whether a class is pinned */
  function draw(fours, values, some) {
    node.hidden = !some;
    two.forEach(({ title, cells }, which) => {
      const four = fours[which];
      say(title, `${"AB"[which]}: ${share(values[which])}`);
      cells.forEach((part, cell) => {
        say(part, boxes && cell === 0 ? "" : whole(four[cell]));
        const row = wholesOf(four, 0, "true", 1, boxes)[cell];
        part.style.setProperty("--dlw-share", String(row ? Math.round(60 * four[cell] / row) : 0) + "%");
      });
    });
  }
  return { node, draw };
}

/** Paint the rail: a line a class, the pinned one strong, and the two moments. @param {HTMLCanvasElement} canvas
 * @param {number} wide @param {PastShown} shown @param {{valueAt: (moment: number, c: number) => number, low: number,
 * at: number[], pointed: number, newest: number}} what */
function paintRail(canvas, wide, { past: { moments, classes }, lines, line: now, names, pinned }, { valueAt, low, at, pointed, newest }) {
  const ctx = surface(canvas, wide, RAIL.tall), h = RAIL.tall - RAIL.top - RAIL.bottom, { first, last, x } = placesOf(moments, wide);
  const Y = (/** @type {number} */ y) => RAIL.top + (1 - (y - low) / (1 - low)) * h;
  const ink = inks(canvas, "ink", "faint", "line", "line-2", "blue");
  ctx.font = `10.5px ${getComputedStyle(canvas).fontFamily}`;
  ctx.lineWidth = 1; ctx.strokeStyle = ink.line; ctx.fillStyle = ink.faint;
  for (const tick of [low, (1 + low) / 2, 1]) {
    trace(ctx, [[RAIL.left, Y(tick)], [wide - RAIL.right, Y(tick)]]);
    write(ctx, String(tick).replace("-", "−"), RAIL.left - 5, Y(tick), "right");
  }
  write(ctx, `step ${whole(first)}`, RAIL.left, Y(low) + 5, "left", "top");
  write(ctx, whole(last), wide - RAIL.right, Y(low) + 5, "right", "top");
  at.forEach((i, which) => {
    ctx.strokeStyle = ink["line-2"]; trace(ctx, [[x[i], RAIL.top], [x[i], Y(low)]]);
    ctx.fillStyle = ink.ink; write(ctx, at[0] === at[1] ? "A B" : "AB"[which], x[i], 2, "center", "top");
  });
  if (pointed >= 0 && pointed < moments.length) { ctx.strokeStyle = ink.line; trace(ctx, [[x[pointed], RAIL.top], [x[pointed], Y(low)]]); }
  const order = Array.from({ length: classes }, (_, c) => c).filter((c) => c !== pinned);
  for (const c of pinned >= 0 ? [...order, pinned] : order) {
    const strong = c === pinned;
    ctx.strokeStyle = strong ? ink.blue : ink.faint; ctx.lineWidth = strong ? 2 : 1;
    ctx.globalAlpha = strong ? 1 : classes < 30 ? 0.55 : 0.3;
    lines.forEach(({ line, drawn }) => {
      ctx.setLineDash(line === now ? [] : [4, 3]);
      const points = drawn.map((m) => [x[m], Y(valueAt(m, c))]).filter(([, y]) => !Number.isNaN(y));
      trace(ctx, points);
      if (strong && points.length === 1) { ctx.beginPath(); ctx.arc(points[0][0], points[0][1], 3, 0, 7); ctx.fillStyle = ink.blue; ctx.fill(); }
    });
  }
  ctx.setLineDash([]); ctx.globalAlpha = 1;
  if (pinned >= 0) {
    const value = valueAt(newest, pinned), y = Number.isNaN(value) ? Y(low) : Y(value);
    ctx.fillStyle = ink.blue;
    write(ctx, `${cutName(names[pinned] ?? "", names, RAIL.right - 38, (text) => ctx.measureText(text).width)} ${share(value)}`, wide - RAIL.right + 6, Math.min(Y(low) - 4, Math.max(RAIL.top + 4, y)), "left");
  }
}

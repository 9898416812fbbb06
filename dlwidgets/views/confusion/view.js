// The confusion grid: thresholds, tiles or the matrix, each cell in words, a table, and the pinned class in detail.
import { live, wishes, listen, make, makeButton, makeChoice, say, numbers, whole, sig } from "../front.js";
import { cellsAtEach, uints, unpackCounts } from "./counts.js";
import { metricTable } from "./metrics.js";
import { nameCutter } from "./names.js";
import { matching, shownBy, standingOrder } from "./order.js";
import { boldWords, cellWords, fill, headline, share } from "./words.js";
import { ownLimits, ownLook, ownPin } from "./look.js";
import { bestThresholds, scoreSlider } from "./slider.js";
import { tileGrid } from "./tiles.js";
import { classTable, columnMenu, widthOf } from "./table.js";
import { gridBar } from "./toolbar.js";
import { cellsOfMatrix, classMatrix } from "./matrix.js";
import { classDetail } from "./class_detail.js";
/** @import { Model } from "../front.js" */
/** @import { Picture, Pointed } from "./tiles.js" */

/** From this many classes on the grid scrolls and can be searched. */
const MANY = 31;
/** The overlaps that are offered, those of COCO. */
const IOUS = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95];
/** The height of what scrolls; as in confusion/view.css. The least width of the tiles beside a table [px]. */
const TALL = 470, TILES_BESIDE = 390;
/** Below this width what stands side by side stands one under the other; what the first row holds beside the slider: with
 * the slider, in a line of their own, the name of a class, other rules; the slider's least and most [px]. */
const NARROW = 560, ROW = { around: 764, beside: 368, own: 130, several: 190, least: 100, most: 300 };

/** Bytes are turned into numbers once a picture, not at each move of a slider. @param {Model} model */
function countReader(model) {
  let read = /** @type {ArrayLike<number>[]} */ ([]), from = /** @type {any[]} */ ([]);
  return () => {
    const of = ["counts", "totals", "matrix"].map((name) => model.get(name));
    if (of.some((bytes, i) => bytes !== from[i])) {
      const totals = uints(of[1], 4);
      read = [unpackCounts(of[0], model.get("width"), totals), totals, uints(of[2], model.get("matrix_width"))];
    }
    from = of;
    return read;
  };
}

/** Macro and micro averages in a line. @param {import("./metrics.js").Metrics} metrics */
function averageLine(metrics) {
  const node = make("div", { class: "dlw-conf-mean" }, make("span"), make("span"));
  /** @param {ArrayLike<number>} cells @param {boolean} single of one class both averages are its own rates */
  function draw(cells, single) {
    const [f1, precision, recall] = ["f1", "precision", "recall"].map((name) => metrics.average(name, cells));
    (/** @type {const} */ (["macro", "micro"])).forEach((name, i) => fill(node.children[i],
      ["", name], ["F1", share(f1[name])], ["precision", share(precision[name])], ["recall", share(recall[name])]));
    for (const part of [node.children[0].children[0], node.children[1]]) part.toggleAttribute("hidden", single);
  }
  return { node, draw };
}

/** The first row: thresholds of all classes or of the class in focus, what the tiles' bold number is, their order, and all that is rarer.
 * @param {{moved: (k: number) => void, choose: (rule: string) => void, judge: (iou: number) => void, unfold: () => void, views: Node, quick: HTMLElement, sorting: Node,
 * found: Node, renew: Node, signal: AbortSignal}} hands */
function firstRow({ moved, choose, judge, unfold, views, quick, sorting, found, renew, signal }) {
  const scores = scoreSlider({ moved, signal }), name = make("b", { class: "dlw-conf-whose" }), bold = make("span", { class: "dlw-conf-bold" });
  const which = makeChoice("Thresholds", [["top", "likeliest class"], ["one", "one for all"], ["each", "per class", "a threshold for each class"]], choose, signal);
  const limits = make("span", { class: "dlw-conf-set" }, name, which.node, scores.node, scores.shown, quick), more = makeButton("", unfold, signal, { class: "dlw-conf-more" });
  const overlap = make("select", { "aria-label": "Overlap (IoU) from which on a box counts as found" }), found_ = make("label", { class: "dlw-conf-set", title: "The overlap of a true box and one that was said, intersection over union, from which on it counts as found" }, make("b", { text: "IoU ≥" }), overlap);
  listen(overlap, "change", () => judge(Number(overlap.value)), signal);
  const node = make("div", { class: "dlw-conf-limit" }, views, limits, found_, make("span", { class: "dlw-conf-set dlw-faint" }, bold, found, sorting, more, renew));
  /** @param {Picture} picture @param {{width: number, squares: boolean, open: boolean, iou: number, cut: ReturnType<typeof nameCutter>, words: [string, string]}} now */
  function draw(picture, { width, squares, open, iou, cut, words: [text, title] }) {
    const { names, each: own, focus, task, limits: at } = picture, top = Number.isNaN(at[0]), several = task === "multiclass";
    // The matrix knows no thresholds, and has no bold number.
    limits.hidden = bold.hidden = squares;
    which.node.hidden = names.length === 1;
    found_.hidden = !picture.boxes;
    const steps = [...new Set([...IOUS, iou])].sort((a, b) => a - b);
    if (overlap.children.length !== steps.length || steps.some((step, i) => overlap.options[i].value !== String(step))) overlap.replaceChildren(...steps.map((step) => make("option", { value: String(step), text: String(step) })));
    overlap.value = String(iou);
    which.show(top ? "top" : own ? "each" : "one");
    which.buttons[0].hidden = !several;
    scores.node.hidden = scores.shown.hidden = quick.hidden = top;
    say(name, own && !top ? `Threshold of ${cut(names[focus], names, 106, `600 12px ${getComputedStyle(node).fontFamily}`)}` : "Threshold");
    name.title = own ? names[focus] : "";
    name.toggleAttribute("data-own", own);
    say(bold, text);
    bold.title = title;
    say(more, open ? "less ▾" : "more ▸");
    more.setAttribute("aria-expanded", String(open));
    more.title = `${open ? "Fold" : "Unfold"} other best thresholds, shade, order, filter, table, averages and the past`;
    const room = width - ROW.around - (own ? ROW.own : 0) - (several ? ROW.several : 0), alone = room < ROW.least ? ROW.beside : 0;
    if (!squares && !top) scores.draw(picture, own ? focus : -1, Math.max(ROW.least, Math.min(ROW.most, room + alone)), open);
  }
  return { node, draw };
}

export default {
  render(/** @type {{model: Model, el: HTMLElement, signal: AbortSignal}} */ { model, el, signal }) {
    el.classList.add("dlw", "dlw-confusion");

    const metrics = metricTable(model.get("metrics") ?? []), read = countReader(model), held = standingOrder(metrics);
    let pointed = /** @type {Pointed | null} */ (null), picture = /** @type {Picture | null} */ (null), again_ = () => {};
    const repaint = () => again_();
    const want = wishes({ model, signal, repaint }), thresholds = ownLimits(want, model);
    const classes = () => /** @type {string[]} */ (model.get("names") ?? []).length;
    const look = ownLook(want, model, classes), pinned = ownPin(want, model);
    /** The class that the large slider is of, where each has its own. */
    const focus = () => (pinned.attended >= 0 && pinned.attended < classes() ? pinned.attended : held.first());

    const hands = { point, pin, attend, moved, signal };
    const facts = make("span"), mean = averageLine(metrics);
    const note = make("div", { class: "dlw-note", role: "status" }), empty = make("div", { class: "dlw-empty" });
    const best = bestThresholds({ ask: (what) => { thresholds.yieldToKernel(); want.call("best", what); repaint(); }, reset: (c) => moved(c, 500), restore: (limits) => { thresholds.put(limits); repaint(); }, signal });
    const menu = columnMenu({ metrics, choose: look.choose, signal });
    const bar = gridBar({ metrics, choose: look.choose, sortBy, again: () => { held.forget(); repaint(); }, searched, look: look.now, extra: menu.node, signal });
    const { views, sorting, found, renew } = bar, row = firstRow({ moved: (k) => moved(look.now().each ? focus() : -1, k), choose: chooseRule, judge: (iou) => { want.set("iou", iou); repaint(); },
      unfold: () => look.choose({ more: !look.now().more }), views, quick: best.quick, sorting, found, renew, signal });
    const rest = make("div", { class: "dlw-conf-rest" }, best.node, bar.node, mean.node), cut = nameCutter();
    const grid = tileGrid(hands), words = cellWords(), matrix = classMatrix({ signal });
    const none = make("div", { class: "dlw-empty", text: "No class passes: show all classes, or search for another name (under “more”)." });
    const table = classTable({ ...hands, metrics, sortBy: (key) => sortBy(look.now().sort === key ? `-${key}` : key) });
    const detail = classDetail({ model, metrics, el, signal, want, repaint, pin });
    const body = make("div", { class: "dlw-conf-body" }, make("div", { class: "dlw-conf-left" }, grid.node, none, matrix.node, words.node), detail.node, table.node);
    el.replaceChildren(make("div", { class: "dlw-head" }, make("span", { class: "dlw-title", text: "Confusion" }), facts), note, empty,
      row.node, best.told, rest, body);

    function sortBy(/** @type {string} */ sort) { held.forget(); look.choose({ sort }); }
    function searched() { grid.node.scrollTop = 0; table.node.scrollTop = 0; repaint(); }
    /** Pin a class and a cell of it; the same again lets go. @param {number} c @param {number} cell */
    function pin(c, cell) {
      pinned.pin(c, cell);
      // The focus that a click brings has pointed at the class as a whole.
      if (c >= 0 && cell >= 0) pointed = { c, cell };
      repaint();
    }
    function attend(/** @type {number} */ c) { if (pinned.attended !== c) { pinned.attended = c; repaint(); } }
    /** @param {number} c -1 for all @param {number} k */
    function moved(c, k) {
      if (c >= 0) pinned.attended = c;
      thresholds.move(c, k, classes());
      repaint();
    }
    /** @param {string} rule "top": the likeliest class, "one" threshold for all, or one for "each" */
    function chooseRule(rule) {
      if (rule === "top") thresholds.put(Array(classes()).fill(NaN));
      else if (Number.isNaN(thresholds.now(classes())[0])) thresholds.move(-1, 500, classes());
      look.choose({ each: rule === "each" });
    }
    function point(/** @type {Pointed | null} */ to) {
      if (to?.c === pointed?.c && to?.cell === pointed?.cell) return;
      pointed = to;
      sayWords();
    }
    function sayWords() {
      const focused = grid.current(), now = pinned.now();
      if (picture) words.draw(picture, pointed ?? (focused >= 0 && focused !== now.c ? { c: focused, cell: -1 } : now), look.now().more || now.c >= 0);
    }
    /** Say what there is, or why there is nothing; return whether there is anything. @param {string[]} names @param {any} about */
    function sayHead(names, about) {
      const nothing = model.get("empty"), problem = model.get("problem"), some = !nothing && names.length > 0;
      for (const part of [row.node, best.told, rest, body]) part.hidden = !some;
      empty.hidden = some;
      say(empty, nothing || (problem ? "" : "Nothing to show yet."));
      say(facts, some ? headline(about, names.length, look.now().matrix, Number.isNaN(thresholds.now(names.length)[0])) : "");
      const outside = some && (about.low < 0 || about.high > 1);
      say(note, problem || want.refusal || (outside ? `Scores run from ${sig(about.low)} to ${sig(about.high)}, the slider from 0 to 1. For logits use Scores.from_logits().` : ""));
      return some;
    }

    const draw = () => {
      const names = /** @type {string[]} */ (model.get("names") ?? []), about = model.get("about") ?? {};
      picture = null;
      if (!sayHead(names, about)) return;

      look.hear();
      pinned.hear();
      const shown = look.now(), { sort, table: open, filter, normalise, columns, intervals, more } = shown, single = names.length === 1;
      const limits = thresholds.now(names.length), likeliest = Number.isNaN(limits[0]), each = shown.each && !likeliest;
      const width = el.clientWidth || 640, squares = shown.matrix && about.task === "multiclass";
      const many = names.length >= MANY, wide = widthOf(metrics, columns, intervals, each && !squares, about.task === "detection" ? "AP" : about.unknown ? "unknown" : ""), beside = open && width >= wide + TILES_BESIDE;
      // The layout is read before anything is written, which would make the browser do it twice.
      const seen = { top: grid.node.scrollTop, tall: many ? TALL : Infinity }, rowsSeen = { ...seen, top: table.node.scrollTop };
      for (const [name, on] of Object.entries({ many, narrow: width < NARROW, below: !beside })) el.toggleAttribute(`data-${name}`, on);
      table.node.hidden = !open;
      if (beside) table.node.style.flexBasis = `${wide + 14}px`; else table.node.style.removeProperty("flex-basis");
      menu.node.hidden = !open;

      const [counts, totals, square] = read(), boxes = about.task === "detection", iou = Number(want.get("iou"));
      const cells = likeliest ? cellsOfMatrix(square, names.length) : cellsAtEach({ counts, totals }, limits, { limits: model.get("thresholds"), exact: numbers(model.get("exact"), Uint32Array) });
      if (boxes) names.forEach((_, i) => { cells[4 * i] = 0; });
      // The matrix takes the likeliest class of each sample, whatever the thresholds: so does what stands around it.
      const counted = squares ? cellsOfMatrix(square, names.length) : cells;
      const { c, cell } = pinned.now(), { task, samples } = about;
      // Of a box the other classes are not unknown: they are not asked for.
      picture = { metrics, names, cells, limits, counts, totals, task, samples: boxes ? NaN : samples, boxes, precisions: about.precision ?? [], sort, normalise, each, pinned: c, cell, focus: focus() };
      const { order, inPlace } = held.now({ sort, filter }, names, counted, limits, squares);
      const listed = matching(order, names, many && !squares ? bar.search.value : "");
      rest.hidden = !more;
      bar.draw({ task: about.task, classes: names.length, many, inPlace, count: listed.length < names.length ? `${whole(listed.length)} of ${whole(names.length)}` : "" });
      menu.draw(shown);
      mean.draw(counted, single);
      // The table has them on top.
      mean.node.hidden = open && !single;

      row.draw(picture, { width, squares, open: more, iou, cut, words: boldWords(metrics, shownBy(metrics, sort), cells, about) });
      best.node.hidden = squares;
      const chosen = model.get("best") ?? {};
      best.draw(chosen.thresholds ? chosen : null, names, picture.focus, limits, want.refusal, more, boxes);
      if (squares) best.told.hidden = true;
      const left = (beside ? width - wide - 36 : width) - (many ? 18 : 4);
      grid.node.hidden = words.node.hidden = squares;
      none.hidden = squares || listed.length > 0;
      matrix.node.hidden = !squares;
      if (squares) matrix.draw(square, names, order, normalise, left); else grid.draw(picture, listed, left, seen);
      if (open) table.draw(squares ? { ...picture, cells: counted, each: false } : picture, listed, rowsSeen, { columns, intervals, width: beside ? wide + 14 : width });
      sayWords();
      detail.draw(picture, more);
    };

    for (const { node } of [grid, table]) listen(node, "scroll", repaint, signal);
    again_ = live({ model, el, signal, draw });
  },
};

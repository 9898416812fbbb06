// The confusion grid: thresholds, tiles or the matrix, each cell in words, a table, and the pinned class in detail.

import { live, wishes, listen, make, say, numbers, whole, sig } from "../front.js";
import { cellsAtEach } from "./counts.js";
import { averagesOf } from "./metrics.js";
import { compareBy, inOrder, matching, orderOf, passing } from "./order.js";
import { headline, share } from "./words.js";
import { ownLimits } from "./limits.js";
import { scoreSlider } from "./slider.js";
import { tileGrid } from "./tiles.js";
import { cellWords, fill } from "./cell_words.js";
import { classTable, columnMenu, widthOf } from "./table.js";
import { gridBar, segments } from "./toolbar.js";
import { bestThresholds } from "./best_thresholds.js";
import { cellsOfMatrix, classMatrix } from "./matrix.js";
import { classDetail } from "./class_detail.js";

/** From this many classes on the grid scrolls and can be searched. */
const MANY = 31;
/** The height of what scrolls; as in confusion/view.css. The least width of the tiles beside a table [px]. */
const TALL = 470, TILES_BESIDE = 390;
/** Below this width the slider stands under its words [px]. */
const NARROW = 560;
/** The page's own choices stand this long against an older word of the kernel [ms]. */
const STAND = 1500;

/** @typedef {import("./tiles.js").Picture} Picture */
/** @typedef {import("./tiles.js").Pointed} Pointed */
/** @typedef {import("./toolbar.js").Look} Look */

/** What a look is before anybody chose. @type {Look} */
const PLAIN = {
  sort: "given", table: false, normalise: "true", filter: null, each: null, matrix: false,
  columns: ["precision", "recall", "f1", "support"], intervals: true,
};

export default {
  /** @param {{model: import("../front.js").Model, el: HTMLElement, signal: AbortSignal}} view */
  render({ model, el, signal }) {
    el.classList.add("dlw", "dlw-confusion");

    // What the person did here stands until the kernel says the same, and without a kernel for good.
    let chosen = /** @type {Partial<Look>} */ ({}), heard = "", chosenAt = -STAND;
    let pointed = /** @type {Pointed | null} */ (null), pinned = { c: -1, cell: -1 }, pinHeard = "", pinnedAt = -STAND, attended = -1;
    let held = { order: /** @type {number[]} */ ([]), of: "" };
    let read = { counts: /** @type {ArrayLike<number>} */ ([]), totals: new Uint32Array(0), matrix: /** @type {ArrayLike<number>} */ ([]), of: /** @type {any[]} */ ([]) };
    let picture = /** @type {Picture | null} */ (null);
    let again_ = () => {};
    const repaint = () => again_();
    const want = wishes({ model, signal, repaint }), thresholds = ownLimits(want, model);
    const classes = () => /** @type {string[]} */ (model.get("names") ?? []).length;

    const hands = { point, pin, attend, moved, signal };
    const facts = make("span"), mean = make("div", { class: "dlw-conf-mean" }, make("span"), make("span"));
    const note = make("div", { class: "dlw-note", role: "status" }), empty = make("div", { class: "dlw-empty" });
    const scores = scoreSlider({ moved: (k) => moved(look().each ? focus() : -1, k), signal });
    const many_ = segments("Thresholds", [["one", "one for all"], ["each", "one per class"]], (key) => choose({ each: key === "each" }), signal);
    const best = bestThresholds({ ask: (what) => { thresholds.yieldToKernel(); want.call("best", what); repaint(); }, reset: (c) => moved(c, 500), signal });
    const limitName = make("div", { class: "dlw-conf-whose" });
    const limit = make("div", { class: "dlw-conf-limit" }, make("div", { class: "dlw-conf-which" }, limitName, many_.node), scores.node, scores.shown);
    const menu = columnMenu({ choose, signal });
    const bar = gridBar({ choose, sortBy, again: () => { held.of = ""; repaint(); }, searched, look, extra: menu.node, signal });
    const grid = tileGrid(hands), words = cellWords(), matrix = classMatrix({ signal });
    const none = make("div", { class: "dlw-empty", text: "No class passes: show all classes, or search for another name." });
    const table = classTable({ ...hands, sortBy: (key) => sortBy(look().sort === key ? `-${key}` : key) });
    const detail = classDetail({ model, el, signal, want, repaint, pin });
    const body = make("div", { class: "dlw-conf-body" }, make("div", { class: "dlw-conf-left" }, grid.node, none, matrix.node, words.node), detail.node, table.node);
    el.replaceChildren(make("div", { class: "dlw-head" }, make("span", { class: "dlw-title", text: "Confusion" }), facts), note, empty,
      limit, best.node, best.report, bar.node, mean, body);

    /** @returns {Look & {each: boolean}} */
    function look() {
      const all = { ...PLAIN, ...model.get("look"), ...chosen }, said = /** @type {number[]} */ (model.get("thresholds") ?? []);
      return { ...all, each: classes() > 1 && (all.each ?? said.some((t) => t !== said[0])) };
    }
    /** @param {Partial<Look>} change */
    function choose(change) {
      chosen = { ...chosen, ...change };
      chosenAt = performance.now();
      want.set("look", { ...look(), each: chosen.each ?? model.get("look")?.each ?? null });
    }
    /** @param {string} sort */
    function sortBy(sort) { held.of = ""; choose({ sort }); }
    function searched() { grid.node.scrollTop = 0; table.node.scrollTop = 0; repaint(); }
    /** Pin a class and a cell of it; the same again lets go. @param {number} c @param {number} cell */
    function pin(c, cell) {
      const same = c === pinned.c && (cell === pinned.cell || cell < 0);
      pinned = same || c < 0 ? { c: -1, cell: -1 } : { c, cell };
      pinnedAt = performance.now();
      if (c >= 0) attended = c;
      // The focus that a click brings has pointed at the class as a whole.
      if (c >= 0 && cell >= 0) pointed = { c, cell };
      // A class without a cell is opened where the detail chooses.
      if (pinned.c < 0 || cell >= 0) want.set("quadrant", { class: pinned.c, cell: pinned.cell });
      repaint();
    }
    /** @param {number} c */
    function attend(c) { if (attended !== c) { attended = c; repaint(); } }
    /** Another page or code may have pinned a class. */
    function hearPin() {
      const said = model.get("quadrant"), tag = JSON.stringify(said ?? null);
      if (!said || tag === pinHeard || (said.class !== pinned.c && performance.now() - pinnedAt < STAND)) return;
      pinHeard = tag;
      if (said.class !== pinned.c || said.cell >= 0) pinned = { c: said.class, cell: said.cell };
    }
    /** The class that the large slider is of, where each has its own. */
    function focus() { return attended >= 0 && attended < classes() ? attended : held.order[0] ?? 0; }
    /** @param {number} c -1 for all @param {number} k */
    function moved(c, k) {
      if (c >= 0) attended = c;
      thresholds.move(c, k, classes());
      repaint();
    }
    /** @param {Pointed | null} to */
    function point(to) {
      if (to?.c === pointed?.c && to?.cell === pointed?.cell) return;
      pointed = to;
      sayWords();
    }
    function sayWords() {
      const focused = grid.current();
      if (picture) words.draw(picture, pointed ?? (focused >= 0 && focused !== pinned.c ? { c: focused, cell: -1 } : pinned));
    }

    /** Bytes are turned into numbers once a picture, not at each move of a slider. */
    function readBytes() {
      const of = ["counts", "totals", "matrix"].map((name) => model.get(name));
      if (of.every((bytes, i) => bytes === read.of[i])) return;
      const kind = (/** @type {string} */ name) => /** @type {any} */ ({ 1: Uint8Array, 2: Uint16Array }[/** @type {number} */ (model.get(name))] ?? Uint32Array);
      read = { counts: numbers(of[0], kind("width")), totals: numbers(of[1], Uint32Array), matrix: numbers(of[2], kind("matrix_width")), of };
    }

    const draw = () => {
      const names = /** @type {string[]} */ (model.get("names") ?? []), about = model.get("about") ?? {};
      const nothing = model.get("empty"), problem = model.get("problem"), some = !nothing && names.length > 0;
      for (const part of [limit, best.node, best.report, bar.node, mean, body]) part.hidden = !some;
      empty.hidden = some;
      say(empty, nothing || (problem ? "" : "Nothing to show yet."));
      say(facts, some ? headline(about, names.length, look().matrix) : "");
      const outside = some && (about.low < 0 || about.high > 1);
      say(note, problem || want.refusal || (outside
        ? `Scores run from ${sig(about.low)} to ${sig(about.high)}, the slider from 0 to 1. For logits use Scores.from_logits().` : ""));
      picture = null;
      if (!some) return;

      const tag = JSON.stringify(model.get("look") ?? {});
      // Another page may have chosen since.
      if (tag !== heard && performance.now() - chosenAt > STAND) chosen = {};
      heard = tag;
      hearPin();
      const shown = look(), { sort, table: open, each, filter, normalise, columns, intervals } = shown;
      const width = el.clientWidth || 640, squares = shown.matrix && about.task === "multiclass";
      const many = names.length >= MANY, wide = widthOf(columns, intervals, each && !squares), beside = open && width >= wide + TILES_BESIDE;
      // The layout is read before anything is written, which would make the browser do it twice.
      const seen = { top: grid.node.scrollTop, tall: many ? TALL : Infinity }, rowsSeen = { ...seen, top: table.node.scrollTop };
      el.toggleAttribute("data-many", many);
      el.toggleAttribute("data-narrow", width < NARROW);
      el.toggleAttribute("data-below", !beside);
      table.node.hidden = !open;
      if (beside) table.node.style.flexBasis = `${wide + 14}px`; else table.node.style.removeProperty("flex-basis");
      menu.node.hidden = !open;

      readBytes();
      const limits = thresholds.now(names.length);
      const cells = cellsAtEach(read, limits, { limits: model.get("thresholds"), exact: numbers(model.get("exact"), Uint32Array) });
      picture = {
        names, cells, limits, counts: read.counts, totals: read.totals, task: about.task, samples: about.samples,
        sort, normalise, each, pinned: pinned.c, cell: pinned.cell, focus: focus(),
      };
      // The matrix takes the likeliest class of each sample, whatever the thresholds: so does what stands around it.
      const counted = squares ? cellsOfMatrix(read.matrix, names.length) : cells;
      const compare = compareBy(sort, names, counted, limits), of = JSON.stringify([sort, filter, squares, names]);
      // An order and a filter stand while the numbers change, or tiles would jump under the eye.
      if (held.of !== of) held = { order: passing(orderOf(sort, names, counted, limits), counted, squares ? null : filter), of };
      const listed = matching(held.order, names, many && !squares ? bar.search.value : "");
      const inPlace = inOrder(held.order, compare) && (!filter || squares || passing(orderOf("given", names, cells), cells, filter).length === held.order.length
        && passing(held.order, cells, filter).length === held.order.length);
      bar.draw({ task: about.task, classes: names.length, many, inPlace, count: listed.length < names.length ? `${whole(listed.length)} of ${whole(names.length)}` : "" });
      menu.draw(shown);
      Object.entries(averagesOf(counted)).forEach(([name, r], i) => fill(mean.children[i],
        ["", name], ["F1", share(r.f1)], ["precision", share(r.precision)], ["recall", share(r.recall)]));
      // Of one class both averages are its own rates.
      for (const part of [mean.children[0].children[0], mean.children[1]]) part.toggleAttribute("hidden", names.length === 1);
      // The table has them on top.
      mean.hidden = open && names.length > 1;

      drawLimits(picture, width, squares);
      const left = (beside ? width - wide - 36 : width) - (many ? 18 : 4);
      grid.node.hidden = words.node.hidden = squares;
      none.hidden = squares || listed.length > 0;
      matrix.node.hidden = !squares;
      if (squares) matrix.draw(read.matrix, names, held.order, normalise, left);
      else grid.draw(picture, listed, left, seen);
      if (open) table.draw(squares ? { ...picture, cells: counted, each: false } : picture, listed, rowsSeen, { columns, intervals });
      sayWords();
      detail.draw(picture);
    };
    /** @param {Picture} p @param {number} width @param {boolean} squares the matrix knows no thresholds */
    function drawLimits(p, width, squares) {
      limit.hidden = best.node.hidden = squares;
      many_.node.hidden = p.names.length === 1;
      many_.draw(p.each ? "each" : "one");
      say(limitName, p.each ? `Threshold of ${p.names[p.focus]}` : "Threshold");
      limitName.title = p.each ? p.names[p.focus] : "";
      if (!squares) scores.draw(p, p.each ? p.focus : -1, Math.max(160, Math.min(760, width < NARROW ? width - 74 : width - 270)));
      const found = model.get("best") ?? {};
      best.draw(found.thresholds ? found : null, p.names, p.focus, p.limits, want.refusal);
      if (squares) best.report.hidden = true;
    }

    listen(grid.node, "scroll", repaint, signal);
    listen(table.node, "scroll", repaint, signal);

    again_ = live({ model, el, signal, draw });
  },
};

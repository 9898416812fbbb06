// The confusion grid: a tile for each class, one threshold slider, each cell in words, a table.

import { live, wishes, listen, make, say, numbers, whole, sig } from "./front.js";
import { POSITIONS, averagesOf, cellsAt, cellsFrom, compareBy, inOrder, matching, orderOf, ratesOf, readSort } from "./confusion_counts.js";
import { headline, meaning, position, sentence, share } from "./confusion_words.js";
import { tileGrid } from "./confusion_tiles.js";

/** From this many classes on the grid scrolls and can be searched. */
const MANY = 31;
/** The height of what scrolls, and of a row of the table [px]; as in confusion.css. */
const TALL = 470, ROW = 23;
/** The person's threshold stands this long against an older word of the kernel [ms]. */
const HELD = 1500;
const SORTS = [["given", "given order"], ["name", "name"], ["f1", "F1"], ["precision", "precision"], ["recall", "recall"], ["support", "support"]];
const COLUMNS = [["name", "class"], ["precision", "precision"], ["recall", "recall"], ["f1", "F1"], ["support", "support"]];

/** @typedef {import("./confusion_tiles.js").Picture} Picture */
/** @typedef {import("./confusion_tiles.js").Pointed} Pointed */
/** @typedef {import("./confusion_tiles.js").Hands} Hands */

/** Put pairs of a faint word and a strong one in a line; either may be "". @param {Element} node @param {...[string, string]} pairs */
function fill(node, ...pairs) {
  while (node.children.length < pairs.length) node.append(make("span", {}, make("span"), " ", make("b")));
  while (node.children.length > pairs.length) node.lastChild?.remove();
  pairs.forEach(([faint, strong], i) => {
    say(node.children[i].children[0], faint);
    say(node.children[i].children[1], strong);
  });
}

/** The four cells of one class in sentences, placed as in its tile. */
function cellWords() {
  const line = make("div", { class: "dlw-conf-line" });
  const four = [0, 1, 2, 3].map((cell) => make("div", cell === 0 || cell === 3 ? { "data-right": true } : { "data-wrong": true }));
  const node = make("div", { class: "dlw-conf-words" }, line, make("div", { class: "dlw-conf-four" }, ...four));

  /** @param {Picture} picture @param {Pointed} shown `c` is -1 for none */
  function draw({ names, cells, limits, task, samples }, { c, cell: here }) {
    const some = c >= 0 && c < names.length;
    four.forEach((part, cell) => {
      say(part, some ? sentence(cell, cells[4 * c + cell], names[c], task) : meaning(cell));
      part.toggleAttribute("data-here", some && cell === here);
    });
    if (!some) {
      fill(line, ["How to read a tile", ""], ["rows: what it is, columns: what was said", ""]);
      return;
    }
    const rates = ratesOf(cells, 4 * c), unknown = samples - cells[4 * c] - cells[4 * c + 1] - rates.support;
    fill(line, ["", names[c]], ["at", position(limits[limits.length > 1 ? c : 0])], ["precision", share(rates.precision)],
      ["recall", share(rates.recall)], ["F1", share(rates.f1)], ["support", whole(rates.support)],
      ["", unknown > 0 ? `${whole(unknown)} unknown, left out` : ""]);
  }
  return { node, draw };
}

/** The table of all classes; a click on a heading sorts. @param {Hands & {sortBy: (key: string) => void}} hands */
function classTable({ point, pin, sortBy, signal }) {
  const heads = COLUMNS.map(([key, text]) => {
    const button = make("button", { type: "button", text });
    listen(button, "click", () => sortBy(key), signal);
    return make("th", { scope: "col" }, button);
  });
  const body = make("tbody");
  const node = make("div", { class: "dlw-conf-table" }, make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body));
  /** @type {{row: HTMLElement, parts: HTMLElement[]}[]} */
  const rows = [];
  /** @type {number[]} */
  let listed = [];

  function add() {
    const i = rows.length;
    const parts = COLUMNS.map((_, j) => (j === 0 ? make("th", { scope: "row" }) : make("td")));
    const row = make("tr", {}, ...parts);
    rows.push({ row, parts });
    body.append(row);
    listen(row, "pointerenter", () => point({ c: listed[i], cell: -1 }), signal);
    listen(row, "pointerleave", () => point(null), signal);
    listen(row, "click", () => pin(listed[i]), signal);
  }

  /** @param {Picture} picture @param {number[]} classes @param {{top: number, tall: number}} seen */
  function draw({ names, cells, sort, pinned }, classes, { top, tall }) {
    listed = classes;
    const { key, falling } = readSort(sort);
    heads.forEach((head, i) => {
      const on = COLUMNS[i][0] === key;
      if (on) head.setAttribute("aria-sort", falling ? "descending" : "ascending"); else head.removeAttribute("aria-sort");
      say(head.children[0], COLUMNS[i][1] + (on ? (falling ? " ↓" : " ↑") : ""));
    });
    while (rows.length < listed.length) add();
    const first = Math.floor(top / ROW) - 3, last = (top + tall) / ROW + 3;
    rows.forEach(({ row, parts }, i) => {
      row.hidden = i >= listed.length;
      if (row.hidden || i < first || i > last) return;
      const c = listed[i], rates = ratesOf(cells, 4 * c);
      row.toggleAttribute("data-chosen", c === pinned);
      if (parts[0].title !== names[c]) parts[0].title = names[c];
      [names[c], share(rates.precision), share(rates.recall), share(rates.f1), whole(rates.support)].forEach((text, j) => say(parts[j], text));
    });
  }
  return { node, draw };
}

export default {
  /** @param {{model: import("./front.js").Model, el: HTMLElement, signal: AbortSignal}} view */
  render({ model, el, signal }) {
    el.classList.add("dlw", "dlw-confusion");

    const facts = make("span"), mean = make("div", { class: "dlw-conf-mean" }, make("span"), make("span"));
    const note = make("div", { class: "dlw-note", role: "status" }), empty = make("div", { class: "dlw-empty" });
    const slider = make("input", { type: "range", min: 0, max: POSITIONS - 1, step: 1, "aria-label": "Threshold" });
    const shown = make("output");
    const sorts = make("select", { "aria-label": "Sort by" }, ...SORTS.map(([key, text]) => make("option", { value: key, text })));
    const turn = make("button", { class: "dlw-conf-icon", type: "button" });
    const again = make("button", { class: "dlw-conf-icon", type: "button", text: "↻", "aria-label": "Sort again" });
    const toggle = make("button", { type: "button", text: "Table" });
    const search = make("input", { type: "search", placeholder: "Find a class", "aria-label": "Find a class" });
    const found = make("span", { class: "dlw-faint", role: "status" });
    const bar = make("div", { class: "dlw-conf-bar" }, make("label", { class: "dlw-conf-slide" }, "Threshold", slider, shown),
      make("span", { class: "dlw-conf-set" }, "Sort by", sorts, turn, again), toggle, make("span", { class: "dlw-conf-set" }, search, found));
    const hands = { point, pin, signal };
    const grid = tileGrid(hands), words = cellWords();
    const table = classTable({ ...hands, sortBy: (key) => sortBy(look().sort === key ? `-${key}` : key) });
    const body = make("div", { class: "dlw-conf-body" }, make("div", { class: "dlw-conf-left" }, grid.node, words.node), table.node);
    el.replaceChildren(make("div", { class: "dlw-head" }, make("span", { class: "dlw-title", text: "Confusion" }), facts), note, empty, bar, mean, body);

    // What the person did here stands until the kernel says the same, and without a kernel for good.
    let mine = /** @type {number | null} */ (null), movedAt = -HELD, heard = "";
    let chosen = /** @type {{sort?: string, table?: boolean}} */ ({});
    let pointed = /** @type {Pointed | null} */ (null), pinned = -1;
    let held = { order: /** @type {number[]} */ ([]), sort: "", names: "" };
    let read = { counts: new Uint8Array(0), totals: new Uint32Array(0), of: /** @type {any[]} */ ([]) };
    let picture = /** @type {Picture | null} */ (null);
    let again_ = () => {};
    const repaint = () => again_();
    const want = wishes({ model, signal, repaint });

    /** @returns {{sort: string, table: boolean}} */
    function look() { return { sort: "given", table: false, ...model.get("look"), ...chosen }; }
    /** @param {{sort?: string, table?: boolean}} change */
    function choose(change) { chosen = { ...chosen, ...change }; want.set("look", look()); }
    /** @param {string} sort */
    function sortBy(sort) { held.sort = ""; choose({ sort }); }
    /** @param {number} c */
    function pin(c) { pinned = pinned === c ? -1 : c; repaint(); }
    /** @param {Pointed | null} to */
    function point(to) {
      if (to?.c === pointed?.c && to?.cell === pointed?.cell) return;
      pointed = to;
      sayWords();
    }
    function sayWords() {
      const focused = grid.current();
      if (picture) words.draw(picture, pointed ?? { c: focused >= 0 ? focused : pinned, cell: -1 });
    }

    /** The thresholds to show: the person's, or the kernel's once it has said something newer. @returns {number[]} */
    function thresholds() {
      const said = /** @type {number[]} */ (model.get("thresholds")), tag = said.join();
      if (want.refusal || (tag !== heard && performance.now() - movedAt > HELD)) mine = null;
      heard = tag;
      return mine === null ? said : [mine / (POSITIONS - 1)];
    }

    /** The cells at the person's position from the counts that are here, else those that the kernel counted. */
    function countCells() {
      const of = [model.get("counts"), model.get("totals")];
      // Bytes are turned into numbers once a picture, not at each move of the slider.
      if (of.some((bytes, i) => bytes !== read.of[i])) {
        const Kind = { 1: Uint8Array, 2: Uint16Array }[/** @type {number} */ (model.get("width"))] ?? Uint32Array;
        read = { counts: numbers(of[0], /** @type {any} */ (Kind)), totals: numbers(of[1], Uint32Array), of };
      }
      if (mine !== null) return cellsAt(read.counts, read.totals, mine);
      const exact = numbers(model.get("exact"), Uint32Array);
      return cellsFrom(read.totals, (c) => exact[2 * c], (c) => exact[2 * c + 1]);
    }

    /** @param {Picture} p @param {boolean} inPlace whether the tiles still are in order */
    function drawBar({ limits, sort }, inPlace) {
      const low = Math.min(...limits), high = Math.max(...limits), one = low === high;
      const at = Math.round(Math.min(1, Math.max(0, one ? low : (low + high) / 2)) * (POSITIONS - 1));
      if (Number(slider.value) !== at) slider.value = String(at);
      const text = one ? position(low) : `${low.toFixed(2)}–${high.toFixed(2)}`;
      say(shown, text);
      slider.setAttribute("aria-valuetext", one ? text : `one for each class, ${text}`);
      slider.title = one ? "" : "Each class has its own threshold. Moving this gives all the same.";
      const { key, falling } = readSort(sort);
      if (sorts.value !== key) sorts.value = key;
      say(turn, falling ? "↓" : "↑");
      turn.title = falling ? "Highest first" : "Lowest first";
      turn.setAttribute("aria-label", turn.title);
      again.disabled = inPlace;
      again.title = inPlace ? "The tiles are in order" : "Sort again: the numbers have changed since";
      toggle.setAttribute("aria-pressed", String(look().table));
    }

    const draw = () => {
      const names = /** @type {string[]} */ (model.get("names") ?? []), about = model.get("about") ?? {};
      const nothing = model.get("empty"), problem = model.get("problem"), some = !nothing && names.length > 0;
      for (const part of [bar, mean, body]) part.hidden = !some;
      empty.hidden = some;
      say(empty, nothing || (problem ? "" : "Nothing to show yet."));
      say(facts, some ? headline(about, names.length) : "");
      const outside = some && (about.low < 0 || about.high > 1);
      say(note, problem || want.refusal || (outside
        ? `Scores run from ${sig(about.low)} to ${sig(about.high)}, the slider from 0 to 1. For logits use Scores.from_logits().` : ""));
      picture = null;
      if (!some) return;

      const width = el.clientWidth || 640, { sort, table: open } = look();
      const many = names.length >= MANY, beside = open && width >= 760;
      // The layout is read before anything is written, which would make the browser do it twice.
      const seen = { top: grid.node.scrollTop, tall: many ? TALL : Infinity }, rowsSeen = { ...seen, top: table.node.scrollTop };
      el.toggleAttribute("data-many", many);
      el.toggleAttribute("data-narrow", width < 560);
      el.toggleAttribute("data-below", !beside);
      table.node.hidden = !open;

      const limits = thresholds();
      picture = { names, cells: countCells(), limits, task: about.task, samples: about.samples, sort, pinned };
      const compare = compareBy(sort, names, picture.cells), all = names.join("\n");
      // An order stands while the numbers change, or tiles would jump under the eye.
      if (held.sort !== sort || held.names !== all) held = { order: orderOf(sort, names, picture.cells), sort, names: all };
      const listed = matching(held.order, names, many ? search.value : "");
      search.hidden = !many;
      say(found, many && listed.length < names.length ? `${whole(listed.length)} of ${whole(names.length)}` : "");

      drawBar(picture, inOrder(held.order, compare));
      Object.entries(averagesOf(picture.cells)).forEach(([name, r], i) => fill(mean.children[i],
        ["", name], ["F1", share(r.f1)], ["precision", share(r.precision)], ["recall", share(r.recall)]));
      // Of one class both averages are its own rates.
      for (const part of [mean.children[0].children[0], mean.children[1]]) part.toggleAttribute("hidden", names.length === 1);
      grid.draw(picture, listed, (beside ? width - 390 : width) - (many ? 18 : 4), seen);
      if (open) table.draw(picture, listed, rowsSeen);
      sayWords();
    };

    listen(slider, "input", () => {
      mine = Number(slider.value);
      movedAt = performance.now();
      want.set("thresholds", mine / (POSITIONS - 1));
    }, signal);
    listen(sorts, "change", () => sortBy(sorts.value), signal);
    listen(turn, "click", () => { const { key, falling } = readSort(look().sort); sortBy(falling ? key : `-${key}`); }, signal);
    listen(again, "click", () => { held.sort = ""; repaint(); }, signal);
    listen(toggle, "click", () => choose({ table: !look().table }), signal);
    listen(search, "input", () => { grid.node.scrollTop = 0; table.node.scrollTop = 0; repaint(); }, signal);
    listen(grid.node, "scroll", repaint, signal);
    listen(table.node, "scroll", repaint, signal);

    again_ = live({ model, el, signal, draw });
  },
};

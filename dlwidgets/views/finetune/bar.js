// The bar over the depth of a model: a column for each block, and the slider that freezes all up to a place.

import { count, listen, make, say } from "../front.js";
import { blockAt, blockWords, frozenPrefix, frozenTo, runsOf, STATES, uptoWords } from "./words.js";

/** @typedef {import("./words.js").Block} Block */
/** What the bar shows. @typedef {{blocks: Block[], states: string, all: number, rates: (number | null)[], off: string}} Shown */

/** About how wide a letter of a block's name is [px]. */
const LETTER = 5.9;

/** @param {Element} node */
const widthOf = (node) => (node.textContent ?? "").length * LETTER;

/**
 * Which names stand whole below columns of one width: each may use the room that its neighbours leave.
 * @param {number[]} widths of the names [px] @param {number} wide of a column [px]
 */
export function namesThatFit(widths, wide) {
  let before = -1;
  return widths.map((width, i) => {
    const free = before < 0 || (width + widths[before]) / 2 + 4 <= (i - before) * wide;
    // At both ends the bar has 8 px beside it.
    const fits = free && width <= wide + 16;
    if (fits) before = i;
    return fits;
  });
}

/** @param {import("../front.js").Want} want @param {AbortSignal} signal */
export function barOf(want, signal) {
  let shown = /** @type {Shown} */ ({ blocks: [], states: "", all: 0, rates: [], off: "" });
  let form = "", at = 0, pointed = -1, preview = "";
  const parts = make("div", { class: "dlw-ft-parts", "aria-hidden": "true" }), columns = make("div", { class: "dlw-ft-columns", role: "group", "aria-label": "Blocks of the model, from input to output" });
  const slide = make("input", { type: "range", class: "dlw-ft-slide", min: 0, step: 1, "aria-label": "Freeze all blocks up to" });
  const said = make("div", { class: "dlw-ft-said" }), node = make("div", { class: "dlw-ft-bar" }, parts, columns, slide, said);
  const cells = /** @type {HTMLElement[]} */ ([]), labels = /** @type {HTMLElement[]} */ ([]);

  const describe = () => {
    const { blocks, states, all, rates, off } = shown, upto = Number(slide.value);
    if (blocks[pointed]) { say(said, blockWords(blocks[pointed], states[pointed], all, rates[pointed] ?? null)); return; }
    say(said, preview ? uptoWords(blocks, upto) : off || "Click a block to freeze or unfreeze it; slide to freeze all up to there.");
  };
  /** @param {number} i */
  const toggle = (i) => { if (!shown.off) want.call("block", [i, shown.states[i] === "n"]); };
  /** @param {number} i whether the keys or the pointer are there */
  const point = (i) => { pointed = i; describe(); };
  /** @param {number} i */
  const go = (i) => {
    at = i;
    cells.forEach((cell, j) => { cell.tabIndex = j === i ? 0 : -1; });
    cells[i]?.focus();
  };
  listen(columns, "keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const to = blockAt(event.key, at, cells.length);
    if (to >= 0) go(to);
    else if (event.key === "Enter" || event.key === " ") { if (event.shiftKey) freezeTo(at + 1); else toggle(at); }
    else return;
    event.preventDefault();
    event.stopPropagation();
  }, signal);
  listen(columns, "pointerleave", () => point(-1), signal);
  listen(columns, "focusout", () => point(-1), signal);
  /** @param {number} upto */
  const freezeTo = (upto) => { if (!shown.off) want.call("upto", Math.min(upto, shown.blocks.length - 1)); };
  listen(slide, "input", () => { preview = frozenTo(shown.states, Number(slide.value)); paint(); }, signal);
  listen(slide, "change", () => { freezeTo(Number(slide.value)); preview = ""; }, signal);

  /** One column for each block, made anew where the model has others. */
  const build = () => {
    const { blocks } = shown;
    cells.length = 0;
    at = Math.min(at, Math.max(0, blocks.length - 1));
    blocks.forEach((block, i) => {
      const cell = make("div", { role: "checkbox", class: "dlw-ft-block", tabindex: i === at ? 0 : -1 },
        make("span", { class: "dlw-ft-mark" }), make("span", { class: "dlw-ft-many", text: count(block[3]) }), make("span", { class: "dlw-ft-room" }, make("span", { class: "dlw-ft-fill" })));
      listen(cell, "click", (event) => { at = i; if (event.shiftKey) freezeTo(i + 1); else toggle(i); }, signal);
      listen(cell, "pointerenter", () => point(i), signal);
      listen(cell, "focus", () => { at = i; point(i); }, signal);
      cells.push(cell);
    });
    labels.splice(0, labels.length, ...blocks.map((block) => make("span", { class: "dlw-ft-label", "aria-hidden": "true", text: block[0] })));
    columns.replaceChildren(...cells, ...labels);
    for (const row of [columns, parts]) row.style.gridTemplateColumns = `repeat(${Math.max(1, blocks.length)}, minmax(0, 1fr))`;
    slide.max = String(Math.max(0, blocks.length - 1));
    slide.style.width = `calc(${(100 * (blocks.length - 1)) / Math.max(1, blocks.length)}% + 16px)`;
    slide.hidden = blocks.length < 2;
    const runs = runsOf(blocks);
    parts.replaceChildren(...(runs.length < 2 ? [] : runs.map(({ from, to, head }) => make("span", { class: head ? "dlw-ft-part dlw-ft-head" : "dlw-ft-part", style: `grid-column: ${from + 1} / ${to + 1}` }, make("span", { text: head ? "head" : "backbone" })))));
  };
  const paint = () => {
    const { blocks, states, all, rates, off } = shown, seen = preview || states, most = Math.max(1, ...blocks.map((block) => block[3]));
    const wide = columns.clientWidth / Math.max(1, blocks.length);
    const widths = labels.map(widthOf), there = namesThatFit(widths, wide);
    labels.forEach((label, i) => label.toggleAttribute("data-off", !there[i]));
    columns.toggleAttribute("data-ends", 2 * there.filter((one) => !one).length > labels.length);
    columns.toggleAttribute("data-bare", cells.some((cell) => widthOf(cell.children[1]) > wide - 4));
    cells.forEach((cell, i) => {
      const state = seen[i] ?? "y", [mark, , room] = [...cell.children], fill = /** @type {HTMLElement} */ (room.firstElementChild);
      cell.dataset.state = state;
      cell.setAttribute("aria-checked", state === "p" ? "mixed" : String(state === "y"));
      cell.setAttribute("aria-label", blockWords(blocks[i], state, all, rates[i] ?? null));
      cell.setAttribute("aria-disabled", String(Boolean(off)));
      say(mark, state === "n" ? "❄" : state === "p" ? "◐" : "");
      fill.style.height = `${(100 * blocks[i][3]) / most}%`;
      cell.title = `${STATES[state]}: click to ${state === "n" ? "have it train" : "freeze it"}, with Shift to freeze all up to here`;
    });
    describe();
  };
  return {
    node,
    /** @param {Shown} now */
    draw(now) {
      shown = now;
      const fresh = JSON.stringify(now.blocks);
      if (fresh !== form) { form = fresh; pointed = -1; build(); }
      slide.disabled = Boolean(now.off);
      slide.title = now.off || "Freeze all blocks up to a place; the rest trains";
      if (!preview) slide.value = String(Math.min(frozenPrefix(now.states), now.blocks.length - 1));
      slide.setAttribute("aria-valuetext", uptoWords(now.blocks, Number(slide.value)));
      paint();
    },
  };
}

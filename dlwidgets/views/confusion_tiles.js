// The tiles of the confusion grid: laid out in even lines, painted where they are seen, walked by keys.

import { listen, make, say, surface, color, isDark } from "./front.js";
import { ratesOf, shownBy } from "./confusion_counts.js";
import { short, spoken, written } from "./confusion_words.js";

/** A tile in pixels: narrowest, widest, gaps, what lies around the cells, a cell's height. */
const TILE = { least: 88, most: 150, gap: 4, below: 8, sides: 8, name: 24, cell: 23 };
/**
 * What is drawn: the counts of each class at `limits` (one threshold or one a class), and what is looked at.
 * @typedef {{names: string[], cells: Float64Array, limits: number[], task: string, samples: number, sort: string, pinned: number}} Picture
 */
/** A class that is pointed at, and its cell, or -1. @typedef {{c: number, cell: number}} Pointed */
/** @typedef {{point: (to: Pointed | null) => void, pin: (c: number) => void, signal: AbortSignal}} Hands */

/**
 * Tiles in lines of even length: how many in a line, how wide, how many lines.
 * @param {number} width @param {number} tiles @returns {{columns: number, tile: number, lines: number}}
 */
export function layoutOf(width, tiles) {
  const { least, most, gap } = TILE;
  const fit = Math.max(1, Math.floor((width + gap) / (least + gap)));
  // A few tiles stand wide in even lines, where names have room; many fill the lines.
  const lines = Math.ceil(tiles / Math.min(fit, 10));
  const columns = lines > 4 ? fit : Math.max(1, Math.ceil(tiles / lines));
  const tile = Math.floor(Math.min(most, (width - gap * (columns - 1)) / columns));
  return { columns, tile: Math.max(40, tile), lines: Math.ceil(tiles / columns) };
}

/** Where an arrow key leads from tile `i`, or -1 where the key means nothing. @param {number} i @param {string} key @param {number} columns @param {number} tiles */
export function step(i, key, columns, tiles) {
  /** @type {Record<string, number>} */
  const to = { ArrowLeft: i - 1, ArrowRight: i + 1, ArrowUp: i - columns, ArrowDown: i + columns, Home: 0, End: tiles - 1 };
  if (!(key in to)) return -1;
  return to[key] < 0 || to[key] >= tiles ? i : to[key];
}

/** How strongly a cell is coloured: its share of the row. Text stays readable on the strongest. @param {number} n @param {number} row @param {boolean} dark */
export function strength(n, row, dark) {
  return row > 0 ? 0.07 + (dark ? 0.45 : 0.6) * (n / row) : 0;
}

/**
 * A name in two parts, of which the first may be cut: "Pneumoth…rax" tells more than "Pneumothor…".
 * @param {string} name @returns {[string, string]}
 */
export function cuttable(name) {
  const letters = [...name];
  return letters.length > 6 ? [letters.slice(0, -3).join(""), letters.slice(-3).join("")] : [name, ""];
}

/** The tiles: drawn where they can be seen, walked with the arrow keys. @param {Hands} hands */
export function tileGrid({ point, pin, signal }) {
  const node = make("div", { class: "dlw-conf-grid", role: "listbox", "aria-label": "Classes" });
  /** @type {{tile: HTMLElement, head: HTMLElement, tail: HTMLElement, value: HTMLElement}[]} */
  const tiles = [];
  // A canvas for each line lies over its tiles: browsers take their time for every canvas, however small.
  /** @type {HTMLCanvasElement[]} */
  const canvases = [];
  /** @type {number[]} */
  let listed = [];
  /** @type {Picture | null} */
  let drawn = null;
  let focused = 0, columns = 1, resting = 0;

  function add() {
    const i = tiles.length;
    const head = make("span"), tail = make("span"), value = make("b"), four = make("div", { style: `height: ${2 * TILE.cell + 1}px` });
    const tile = make("div", { class: "dlw-conf-tile", role: "option", tabindex: i === focused ? 0 : -1, "aria-selected": "false" },
      make("div", { class: "dlw-conf-name" }, head, tail, value), four);
    tiles.push({ tile, head, tail, value });
    node.append(tile);
    listen(tile, "pointermove", (event) => {
      const box = four.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
      point({ c: listed[i], cell: y < 0 ? -1 : 2 * Number(y > box.height / 2) + Number(x > box.width / 2) });
    }, signal);
    listen(tile, "pointerleave", () => point(null), signal);
    listen(tile, "click", () => { focus(i); pin(listed[i]); }, signal);
    listen(tile, "focus", () => { focused = i; rove(); speak(i); point({ c: listed[i], cell: -1 }); }, signal);
    listen(tile, "blur", () => point(null), signal);
  }
  function rove() { tiles.forEach(({ tile }, j) => { tile.tabIndex = j === focused ? 0 : -1; }); }
  /** @param {number} i */
  function focus(i) { tiles[i]?.tile.focus(); }
  /** @param {number} i */
  function speak(i) {
    const c = listed[i];
    if (drawn && c !== undefined) tiles[i].tile.setAttribute("aria-label", spoken(drawn.names[c], drawn.cells, 4 * c, drawn.task));
  }

  listen(node, "keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !drawn) return;
    if (event.key === "Enter" || event.key === " ") pin(listed[focused]);
    else if (event.key === "Escape") pin(-1);
    else {
      const to = step(focused, event.key, columns, listed.length);
      if (to < 0) return;
      focus(to);
    }
    event.preventDefault();
    event.stopPropagation();
  }, signal);
  signal.addEventListener("abort", () => clearTimeout(resting));

  /** @param {Picture} picture @param {number[]} classes in their order @param {number} width @param {{top: number, tall: number}} seen */
  function draw(picture, classes, width, { top, tall }) {
    drawn = picture;
    listed = classes;
    const layout = layoutOf(width, listed.length), { tile: w, lines } = layout, across = layout.columns * (w + TILE.gap) - TILE.gap;
    const line = TILE.name + 2 * TILE.cell + 1 + TILE.below;
    columns = layout.columns;
    node.style.gridTemplateColumns = `repeat(${columns}, ${w}px)`;
    node.style.gap = `${TILE.below}px ${TILE.gap}px`;
    while (tiles.length < listed.length) add();
    while (canvases.length < lines) {
      const canvas = make("canvas", { "aria-hidden": "true", style: `grid-area: ${canvases.length + 1} / 1 / auto / -1` });
      canvases.push(canvas);
      node.append(canvas);
    }
    if (focused >= listed.length) { focused = 0; rove(); }
    const metric = shownBy(picture.sort), ink = inkOf(node);
    tiles.forEach(({ tile }, i) => {
      tile.hidden = i >= listed.length;
      if (tile.hidden) return;
      const place = `${Math.floor(i / columns) + 1} / ${(i % columns) + 1}`, on = String(listed[i] === picture.pinned);
      if (tile.dataset.place !== place) { tile.dataset.place = place; tile.style.gridArea = place; }
      if (tile.getAttribute("aria-selected") !== on) tile.setAttribute("aria-selected", on);
    });
    // What is out of sight keeps its place, and is drawn when it is scrolled to.
    const first = Math.max(0, Math.floor(top / line) - 1), last = Math.min(lines, Math.ceil((top + tall) / line) + 1);
    canvases.forEach((canvas, row) => {
      canvas.hidden = row < first || row >= last;
      if (canvas.hidden) return;
      const ctx = surface(canvas, across, 2 * TILE.cell + 1);
      listed.slice(row * columns, (row + 1) * columns).forEach((c, column) => {
        const { tile, head, tail, value } = tiles[row * columns + column];
        const name = picture.names[c], [start, end] = cuttable(name), cells = picture.cells.subarray(4 * c, 4 * c + 4);
        say(head, start); say(tail, end);
        if (tile.title !== name) tile.title = name;
        say(value, written(ratesOf(cells), metric));
        paint(ctx, column * (w + TILE.gap) + TILE.sides / 2, w - TILE.sides, cells, ink);
      });
    });
    // For those who hear the page: once the hand rests, not at each position of the slider.
    clearTimeout(resting);
    resting = window.setTimeout(() => listed.forEach((_, i) => speak(i)), 250);
  }
  return { node, draw, current: () => (node.contains(node.ownerDocument.activeElement) ? listed[focused] ?? -1 : -1) };
}

/** The colours and the type of now. @param {HTMLElement} el */
function inkOf(el) {
  return {
    blue: color(el, "blue"), orange: color(el, "orange"), ink: color(el, "ink"), fill: color(el, "fill"),
    font: `11px ${getComputedStyle(el).fontFamily}`, dark: isDark(),
  };
}

/**
 * Paint the cells of one tile at `left`, `w` pixels wide.
 * @param {CanvasRenderingContext2D} ctx @param {number} left @param {number} w @param {Float64Array} cells @param {ReturnType<typeof inkOf>} ink
 */
function paint(ctx, left, w, cells, ink) {
  const half = Math.floor((w - 1) / 2), room = Math.max(3, Math.floor((half - 2) / 6.4));
  ctx.font = ink.font; ctx.textAlign = "center"; ctx.textBaseline = "middle";
  cells.forEach((n, cell) => {
    const row = cell < 2 ? cells[0] + cells[1] : cells[2] + cells[3];
    const x = left + (cell % 2) * (half + 1), y = (cell >> 1) * (TILE.cell + 1);
    ctx.fillStyle = ink.fill; ctx.fillRect(x, y, half, TILE.cell);
    ctx.globalAlpha = strength(n, row, ink.dark);
    ctx.fillStyle = cell === 0 || cell === 3 ? ink.blue : ink.orange; ctx.fillRect(x, y, half, TILE.cell);
    ctx.globalAlpha = 1;
    ctx.fillStyle = ink.ink; ctx.fillText(short(n, room), x + half / 2, y + TILE.cell / 2 + 0.5);
  });
}

// The tiles of the confusion grid: laid out in even lines, painted where they are seen, walked by keys.
import { listen, make, say, surface, isDark, whole } from "../front.js";
import { POSITIONS, wholesOf } from "./counts.js";
import { nameCutter } from "./names.js";
import { shownBy } from "./order.js";
import { inks, keep, nameFor, step, write } from "./plot.js";
import { nearestPosition, slides } from "./slider.js";
import { fewWords, fitCount, percent, position, spoken, written } from "./words.js";

/** A tile in pixels: narrowest, narrowest among many, widest, gaps, what lies around the cells, a cell's height, its slider's. */
const TILE = { least: 86, roomy: 104, most: 168, gap: 4, below: 8, sides: 8, name: 24, cell: 23, slider: 17 };
/** So many tiles stand in a line where the width allows; more, where there are many. */
const LINE = 7;
/** What stays free beside a number in its cell, and between a count and its share [px]. */
const FREE = { side: 3, between: 7 };
/** What is drawn: the counts of each class at `limits` (one threshold a class), and what is looked at.
 * @typedef {{metrics: import("./metrics.js").Metrics, names: string[], cells: Float64Array, limits: number[],
 * counts: ArrayLike<number>, totals: ArrayLike<number>, task: string, samples: number, sort: string, normalise: string,
 * each: boolean, pinned: number, cell: number, focus: number, boxes: boolean, precisions: (number | null)[]}} Picture */
/** A class that is pointed at, and its cell, or -1. @typedef {{c: number, cell: number}} Pointed */
/** What the grid is told: a class is pointed at, is pinned, is in focus, its threshold is moved.
 * @typedef {{point: (to: Pointed | null) => void, pin: (c: number, cell: number) => void, attend: (c: number) => void,
 * moved: (c: number, k: number) => void, signal: AbortSignal}} Hands */

/** Tiles in lines of even length: how many in a line, how wide, how many lines. @param {number} width @param {number} tiles
 * @returns {{columns: number, tile: number, lines: number}} */
export function layoutOf(width, tiles) {
  const { most, gap } = TILE, least = tiles > 40 ? TILE.roomy : TILE.least;
  const fit = Math.max(1, Math.floor((width + gap) / (least + gap)));
  // A few tiles stand wide in even lines, where names have room; many fill the lines.
  const lines = Math.ceil(tiles / Math.min(fit, LINE));
  const columns = lines > 4 ? fit : Math.max(1, Math.ceil(tiles / lines));
  const tile = Math.floor(Math.min(most, (width - gap * (columns - 1)) / columns));
  return { columns, tile: Math.max(40, tile), lines: Math.ceil(tiles / columns) };
}

/** The lines of tiles that can be seen, with one more on either side; all where nothing scrolls. @param {number} line its height
 * @param {number} lines @param {{top: number, tall: number}} seen @returns {{first: number, last: number}} */
export function linesSeen(line, lines, { top, tall }) {
  const last = Math.min(lines, Math.ceil((top + tall) / line) + 1);
  return { first: Math.max(0, Math.min(last - 1, Math.floor(top / line) - 1)), last };
}

/** How strongly a cell is coloured: its share of a whole. Text stays readable on the strongest. @param {number} n @param {number} whole @param {boolean} dark */
export function strength(n, whole, dark) {
  return whole > 0 ? 0.07 + (dark ? 0.45 : 0.6) * (n / whole) : 0;
}

/** A tile without its cells, which are painted over it: its name, its value, the place of its four cells, and its slider
 * once it was seen. */
function makeTile() {
  const label = make("span", { dir: "auto" }), value = make("b"), four = make("div", { style: `height: ${2 * TILE.cell + 1}px` });
  const tile = make("div", { class: "dlw-conf-tile", role: "button", "aria-pressed": "false" },
    make("div", { class: "dlw-conf-name" }, label, value), four);
  return { tile, label, value, four, slider: /** @type {HTMLInputElement | null} */ (null) };
}

/** The cell under the pointer, or -1 over the name. @param {HTMLElement} four @param {PointerEvent} event */
function cellUnder(four, event) {
  const box = four.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  return y < 0 || y > box.height ? -1 : 2 * Number(y > box.height / 2) + Number(x > box.width / 2);
}

/** The tiles: there are as many as can be seen, walked with the arrow keys. A tile shows the class at every so many places of the
 * list, so that one that stays in sight stays the same element. @param {Hands} hands */
export function tileGrid({ point, pin, attend, moved, signal }) {
  const node = make("div", { class: "dlw-conf-grid", role: "group", "aria-label": "Classes" }), lines = tileLines(node), cut = nameCutter();
  const tiles = /** @type {ReturnType<typeof makeTile>[]} */ ([]);
  let listed = /** @type {number[]} */ ([]), drawn = /** @type {Picture | null} */ (null), focused = 0, columns = 1, resting = 0;
  // The places of the list that have a tile, after how many places tiles come again, and how to draw anew once scrolled.
  let from = 0, until = 0, ring = 1, again = () => {};

  /** The place in the list that tile `t` shows now. @param {number} t */
  const placeOf = (t) => from + ((t - (from % ring) + ring) % ring);
  /** @param {number} t */
  const classOf = (t) => listed[placeOf(t)];
  /** The tile at a place of the list, where it has one. @param {number} i */
  const tileAt = (i) => (i >= from && i < until ? tiles[i % ring] : undefined);

  function add() {
    const t = tiles.length, made = makeTile(), { tile, four } = made;
    tiles.push(made);
    node.append(tile);
    listen(tile, "pointermove", (event) => point({ c: classOf(t), cell: cellUnder(four, event) }), signal);
    listen(tile, "pointerleave", () => point(null), signal);
    listen(tile, "click", (event) => { focus(placeOf(t)); const cell = cellUnder(four, event); pin(classOf(t), drawn?.boxes && cell === 0 ? -1 : cell); }, signal);
    listen(tile, "focus", () => { reach(t); speak(t); }, signal);
    listen(tile, "blur", () => point(null), signal);
  }
  /** A slider of its own under a tile, made once it can be seen. @param {number} t */
  function sliderOf(t) {
    const made = tiles[t].slider;
    if (made) return made;
    const input = make("input", { type: "range", class: "dlw-conf-own", min: 0, max: POSITIONS - 1, step: 1, tabindex: placeOf(t) === focused ? 0 : -1 });
    slides(input, (k) => moved(classOf(t), k), signal);
    listen(input, "focus", () => reach(t), signal);
    listen(input, "pointerdown", () => attend(classOf(t)), signal);
    listen(input, "blur", () => point(null), signal);
    tiles[t].tile.after(input);
    tiles[t].slider = input;
    return input;
  }
  function reach(/** @type {number} */ t) { rove(placeOf(t)); attend(classOf(t)); point({ c: classOf(t), cell: -1 }); }
  /** Let the Tab key lead to one tile alone. @param {number} i its place */
  function rove(i) {
    focused = i;
    tiles.forEach(({ tile, slider }, t) => {
      tile.tabIndex = t < ring && placeOf(t) === focused ? 0 : -1;
      if (slider) slider.tabIndex = tile.tabIndex;
    });
  }
  function focus(/** @type {number} */ i) {
    if (i < from || i >= until) { node.scrollTop = Math.floor(i / columns) * lineOf(drawn?.each ?? false); again(); }
    tileAt(i)?.tile.focus();
  }
  function speak(/** @type {number} */ t) {
    const c = classOf(t);
    if (drawn && c !== undefined) tiles[t].tile.setAttribute("aria-label", spoken(drawn.metrics, drawn.names[c], drawn.cells, 4 * c, drawn.task));
  }

  listen(node, "keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !drawn) return;
    if (event.target instanceof HTMLInputElement) {
      // From a slider Escape leads back to its tile; all other keys are the slider's.
      if (event.key === "Escape") focus(focused); else return;
    } else if (event.key === "Enter" || event.key === " ") pin(listed[focused], -1);
    else if (event.key === "Escape") pin(-1, -1);
    else {
      const to = step(focused, event.key, columns, listed.length);
      if (to < 0) return;
      focus(to);
    }
    keep(event);
  }, signal);
  signal.addEventListener("abort", () => clearTimeout(resting));

  /** Put every tile in its place. @param {Picture} picture */
  function place(picture) {
    tiles.forEach(({ tile, slider }, t) => {
      const i = placeOf(t), c = listed[i];
      tile.hidden = t >= ring || i >= until;
      if (slider) slider.hidden = tile.hidden || !picture.each;
      if (tile.hidden) return;
      const area = `${Math.floor(i / columns) + 1} / ${(i % columns) + 1}`, on = String(c === picture.pinned);
      if (tile.dataset.place !== area) { tile.dataset.place = area; tile.style.gridArea = area; if (slider) slider.style.gridArea = area; }
      if (tile.getAttribute("aria-pressed") !== on) tile.setAttribute("aria-pressed", on);
      tile.toggleAttribute("data-focus", picture.each && c === picture.focus);
    });
  }
  /** Write the name of a tile and its value, and put its slider where its threshold is. @param {number} i its place @param {Picture} picture
   * @param {Paint} paint @param {boolean} rounded whether a count is painted in fewer digits */
  function fillTile(i, picture, { ruler, width, family }, rounded) {
    const t = i % ring, { tile, label, value } = tiles[t], c = listed[i], name = picture.names[c], { metrics } = picture;
    const metric = shownBy(metrics, picture.sort), number = written(metrics, metric, metrics.value(metric, picture.cells, 4 * c)), title = rounded ? `${name}\n${fewWords(picture.cells, 4 * c, picture.boxes)}` : name;
    ruler.font = `600 11px ${family}`;
    say(label, cut(name, picture.names, width - TILE.sides - 6 - Math.ceil(ruler.measureText(number).width), `11px ${family}`));
    if (tile.title !== title) tile.title = title;
    say(value, number);
    if (!picture.each) return;
    const slider = sliderOf(t), at = String(nearestPosition(picture.limits[c])), said = position(picture.limits[c]);
    slider.hidden = false;
    slider.style.gridArea = tile.style.gridArea;
    if (slider.value !== at) slider.value = at;
    if (slider.title !== said) {
      slider.title = said;
      slider.setAttribute("aria-valuetext", said);
    }
    nameFor(slider, `Threshold of ${name}`);
  }

  /** @param {Picture} picture @param {number[]} classes in their order @param {number} width @param {{top: number, tall: number}} seen */
  function draw(picture, classes, width, seen) {
    again = () => draw(picture, classes, width, { ...seen, top: node.scrollTop });
    drawn = picture;
    listed = classes;
    const layout = layoutOf(width, Math.max(1, listed.length)), line = lineOf(picture.each), { first, last } = linesSeen(line, layout.lines, seen);
    columns = layout.columns;
    node.style.gridTemplateColumns = `repeat(${columns}, ${layout.tile}px)`;
    // What is out of sight keeps its place, and has no tile until it is scrolled to.
    node.style.gridTemplateRows = `repeat(${layout.lines}, ${line - TILE.below}px)`;
    node.style.gap = `${TILE.below}px ${TILE.gap}px`;
    node.toggleAttribute("data-each", picture.each);
    const held = tiles.findIndex(({ tile, slider }) => [tile, slider].includes(/** @type {any} */ (node.ownerDocument.activeElement)));
    const most = Number.isFinite(seen.tall) ? (Math.ceil(seen.tall / line) + 3) * columns : listed.length;
    ring = Math.max(1, Math.min(most, listed.length));
    while (tiles.length < ring) add();
    from = first * columns;
    until = Math.min(last * columns, listed.length);
    // An element that has the focus shows another class once its own is far away.
    const stays = held >= 0 ? placeOf(held) : focused;
    rove(stays >= from && stays < until ? stays : from);
    place(picture);
    lines.draw(picture, listed, layout, { ring, first, last }, (i, paint, rounded) => fillTile(i, picture, paint, rounded));
    // For those who hear the page: once the hand rests, not at each position of the slider.
    clearTimeout(resting);
    resting = window.setTimeout(() => tiles.forEach((_, t) => { if (t < ring) speak(t); }), 250);
  }
  return { node, draw, current: () => (node.contains(node.ownerDocument.activeElement) ? listed[focused] ?? -1 : -1) };
}

/** The height of a line of tiles with what lies below it [px]. @param {boolean} each whether each has a slider */
function lineOf(each) { return TILE.name + 2 * TILE.cell + 1 + (each ? TILE.slider : 0) + TILE.below; }

/** What measures texts, the width of a tile, and the font's family. @typedef {{ruler: CanvasRenderingContext2D, width: number, family: string}} Paint */

/** The cells of the tiles. A canvas for each line lies over its tiles: browsers take their time for every canvas, however small.
 * @param {HTMLElement} node */
function tileLines(node) {
  const canvases = /** @type {HTMLCanvasElement[]} */ ([]), ruler = /** @type {CanvasRenderingContext2D} */ (make("canvas").getContext("2d"));
  // What each line was painted of: where one class's slider moves, the other lines stay as they are.
  const painted = /** @type {any[][]} */ ([]);

  /** @param {Picture} picture @param {number[]} listed @param {ReturnType<typeof layoutOf>} layout
   * @param {{ring: number, first: number, last: number}} seen lines, and after how many places tiles come again @param {(i: number, paint: Paint, rounded: boolean) => void} fillTile called for each tile that is painted */
  function draw(picture, listed, { columns, tile: w }, { ring, first, last }, fillTile) {
    // A canvas goes with its tiles, so that what it shows of them is what they say.
    const count = Math.ceil(ring / columns);
    while (canvases.length < count) {
      const canvas = make("canvas", { "aria-hidden": "true" });
      canvases.push(canvas);
      node.append(canvas);
    }
    const family = getComputedStyle(node).fontFamily, half = Math.floor((w - TILE.sides - 1) / 2), dark = isDark(node);
    const ink = { ...inks(node, "blue", "orange", "ink", "fill"), font: `11px ${family}`, fine: `9.5px ${family}` }, largest = picture.cells.reduce((most, n) => Math.max(most, n), 0);
    const shares = picture.normalise !== "none" && sharesFit(ruler, half, largest, ink);
    const style = [shares, shownBy(picture.metrics, picture.sort), picture.normalise, picture.pinned, picture.cell, picture.each, w, columns, ring, window.devicePixelRatio,
      Object.values(ink), dark, picture.normalise === "none" ? largest : 0].join();
    canvases.forEach((canvas) => { canvas.hidden = true; });
    for (let row = first; row < last; row++) {
      const k = row % count, canvas = canvases[k], here = listed.slice(row * columns, (row + 1) * columns), was = painted[k];
      canvas.hidden = false;
      const now = [style, row, picture.names, ...here.flatMap((c) => [c, picture.limits[c], ...picture.cells.subarray(4 * c, 4 * c + 4)])];
      if (was?.length === now.length && now.every((one, i) => Object.is(one, was[i]))) continue;
      painted[k] = now;
      canvas.style.gridArea = `${row + 1} / 1 / auto / -1`;
      const ctx = surface(canvas, columns * (w + TILE.gap) - TILE.gap, 2 * TILE.cell + 1);
      here.forEach((c, column) => {
        const cells = picture.cells.subarray(4 * c, 4 * c + 4), marked = c === picture.pinned ? picture.cell : -1;
        const rounded = paintTile(ctx, column * (w + TILE.gap) + TILE.sides / 2, half, cells, wholesOf(cells, 0, picture.normalise, largest, picture.boxes), shares, marked, ink, dark, picture.boxes);
        fillTile(row * columns + column, { ruler, width: w, family }, rounded);
      });
    }
  }
  return { draw };
}

/** Whether every count of the grid has room for its share beside it. @param {CanvasRenderingContext2D} ruler @param {number} half
 * the width of a cell @param {number} largest @param {Record<string, string>} ink */
function sharesFit(ruler, half, largest, ink) {
  ruler.font = ink.font;
  const count = ruler.measureText(whole(largest)).width;
  ruler.font = ink.fine;
  return count + FREE.between + ruler.measureText(">99%").width + 2 * FREE.side <= half;
}

/** Paint the cells of one tile at `left`, each `half` pixels wide: counts, and with `shares` their shares. Returns whether a count
 * is painted in fewer digits than it has.
 * @param {CanvasRenderingContext2D} ctx @param {number} left @param {number} half @param {Float64Array} cells
 * @param {number[]} wholes @param {boolean} shares @param {number} marked a cell that is pinned, or -1
 * @param {Record<string, string>} ink @param {boolean} dark @param {boolean} boxes */
function paintTile(ctx, left, half, cells, wholes, shares, marked, ink, dark, boxes) {
  let rounded = false;
  cells.forEach((n, cell) => {
    // What is no box was not counted.
    if (boxes && cell === 0) { ctx.strokeStyle = ink.fill; ctx.lineWidth = 1; ctx.strokeRect(left + 0.5, 0.5, half - 1, TILE.cell - 1); return; }
    const x = left + (cell % 2) * (half + 1), y = (cell >> 1) * (TILE.cell + 1), middle = y + TILE.cell / 2 + 0.5, right = x + half - FREE.side;
    ctx.fillStyle = ink.fill; ctx.fillRect(x, y, half, TILE.cell);
    ctx.globalAlpha = strength(n, wholes[cell], dark);
    ctx.fillStyle = cell === 0 || cell === 3 ? ink.blue : ink.orange; ctx.fillRect(x, y, half, TILE.cell);
    ctx.globalAlpha = 1;
    ctx.fillStyle = ink.ink;
    if (shares) {
      ctx.font = ink.fine; write(ctx, percent(n / wholes[cell]), right, middle + 0.5, "right");
      const taken = ctx.measureText(">99%").width + FREE.between;
      ctx.font = ink.font; write(ctx, whole(n), right - taken, middle, "right");
    } else {
      ctx.font = ink.font;
      const text = fitCount(n, (one) => ctx.measureText(one).width <= half - 2 * FREE.side);
      rounded ||= text !== whole(n);
      write(ctx, text, x + half / 2, middle, "center");
    }
    if (cell === marked) { ctx.strokeStyle = ink.ink; ctx.lineWidth = 1.5; ctx.strokeRect(x + 1, y + 1, half - 2, TILE.cell - 2); }
  });
  return rounded;
}

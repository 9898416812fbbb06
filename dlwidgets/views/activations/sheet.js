// The sheet of the activation browser: all maps as tiles or lines, a matrix, or bars, and which one is picked.
import { color, listen, make, surface } from "../front.js";
import { bitmap, drawBars, drawLine, drawNames, nameBars } from "./canvas.js";
import { anyNegative, cornerOf, dequantise, numberAt, paintMaps, placeOf, sheetColumns, tileAt, tileGrid, tileStep } from "./tiles.js";

/** @typedef {import("./tiles.js").State} State */

/** Room for the numbers beside bars, and for the names of tokens beside a matrix [px]. */
const GUTTER = 48;
/** The height of bars, the room for names below them, and the width that a bar with a name has [px]. */
const BARS = 200, NAMED = 16, NARROWEST = 18;
/** Lines are this much wider than high. */
const LINE = 3;

/** @param {import("../front.js").Part & {state: State, moved: () => void, key: () => string}} view `key` changes whenever the pixels do */
export function sheetOf({ el, signal, state, want, moved, key }) {
  const sheet = make("canvas", { role: "slider", tabindex: 0, "aria-roledescription": "feature maps" });
  const ring = make("div", { class: "dlw-act-ring" }), over = make("div", { class: "dlw-act-ring", "data-over": "true" });
  const node = make("div", { class: "dlw-act-sheet" }, sheet, ring, over);
  let atlas = /** @type {HTMLCanvasElement | null} */ (null), painted = "";

  const isBars = () => state.picture.form === "bars";
  const count = () => (isBars() ? state.bars.length : state.picture.count ?? 0);
  /** The place of the picked map or bar. */
  const picked = () => {
    const wanted = want.get("chosen");
    return isBars() ? Math.min(wanted, count() - 1) : placeOf(state.picture, Math.min(wanted, (state.picture.total ?? 1) - 1));
  };
  /** @param {number} place */
  const pick = (place) => want.set("chosen", isBars() ? place : numberAt(state.picture, place));

  const drawTiles = (/** @type {number} */ room) => {
    const { picture, maps, scales, zeros, colours } = state, many = count();
    const [h, w] = picture.size, lines = picture.form === "lines", rgb = picture.form === "rgb";
    const names = many === 1 && picture.form === "sequence" ? picture.tokens : null, left = names ? GUTTER : 0;
    const aspect = lines ? LINE : picture.whole[1] / picture.whole[0];
    state.grid = { ...tileGrid(many, aspect, room - left, picture.form), left };
    const grid = state.grid, each = want.get("per") === "map", columns = sheetColumns(many, h, w), now = key();
    if (!lines && now !== painted) {
      painted = now;
      const peak = each ? null : picture.peak;
      atlas = bitmap(paintMaps(maps, many, h, w, columns, scales, peak, rgb ? null : colours));
    }
    const ctx = surface(sheet, grid.across + left, grid.down);
    // Blocks of pixels stay blocks; only what is shown smaller than it is may blur.
    ctx.imageSmoothingEnabled = grid.width * (window.devicePixelRatio || 1) < w;
    const dead = color(el, "map-dead"), signed = lines && anyNegative(maps);
    for (let m = 0; m < many; m += 1) {
      const { x, y } = cornerOf(m, grid), from = cornerOf(m, { columns, width: w, height: h, gap: 0 });
      if (zeros[m] === 1) { ctx.fillStyle = dead; ctx.fillRect(x, y, grid.width, grid.height); continue; }
      if (lines) {
        const values = Array.from(maps.subarray(m * h * w, (m + 1) * h * w), (q) => dequantise(q, scales[m]));
        drawLine(el, ctx, values, each ? scales[m] : picture.peak, x, y, grid.width, grid.height, { signed });
      } else if (atlas) ctx.drawImage(atlas, from.x, from.y, w, h, x, y, grid.width, grid.height);
    }
    if (names) drawNames(el, ctx, names, 0, grid.down, (at) => [left - 5, at]);
  };

  const draw = () => {
    const { picture } = state;
    node.hidden = !!picture.reason;
    if (picture.reason) return;
    const room = Math.max(60, Math.floor(/** @type {HTMLElement} */ (node.parentElement).clientWidth));
    if (isBars()) {
      const many = state.bars.length, width = (room - GUTTER) / Math.max(1, many), ctx = surface(sheet, room, BARS + NAMED);
      state.grid = { columns: many, rows: 1, width, height: BARS, gap: 0, across: room, down: BARS, left: GUTTER };
      drawBars(el, ctx, state.bars, room, BARS, GUTTER);
      const names = picture.names ?? Array.from(state.bars, (_, i) => String(i * picture.group));
      if (width >= NARROWEST) nameBars(el, ctx, names, GUTTER, width, BARS + NAMED / 2 + 2);
    } else if (count()) drawTiles(room);
  };

  /** @param {HTMLElement} frame @param {number} place */
  const surround = (frame, place) => {
    const { grid, picture } = state;
    frame.hidden = place < 0 || !!picture.reason || (!isBars() && count() < 2);
    if (frame.hidden) return;
    const { x, y } = cornerOf(place, grid);
    Object.assign(frame.style, { left: `${x - 2}px`, top: `${y - 2}px`, width: `${grid.width + 4}px`, height: `${grid.height + 4}px` });
  };
  const follow = () => {
    const many = count();
    if (state.hover && state.hover.index >= many) state.hover = null;
    surround(ring, many ? picked() : -1);
    surround(over, state.hover ? state.hover.index : -1);
    sheet.setAttribute("aria-valuemin", "0"); sheet.setAttribute("aria-valuemax", String(Math.max(0, many - 1)));
    sheet.setAttribute("aria-valuenow", String(Math.max(0, picked())));
  };

  /** @param {PointerEvent} event */
  const under = (event) => {
    const box = sheet.getBoundingClientRect();
    const found = tileAt(event.clientX - box.left, event.clientY - box.top, state.grid, count());
    return found && { index: found.index, row: found.v, column: found.u };
  };
  listen(sheet, "pointermove", (event) => { state.hover = under(event); moved(); }, signal);
  listen(sheet, "pointerleave", () => { state.hover = null; moved(); }, signal);
  listen(sheet, "click", (event) => {
    // A finger clicks without having hovered.
    const at = under(event);
    if (at) { state.cursor = [at.row, at.column]; pick(at.index); }
  }, signal);
  listen(sheet, "keydown", (event) => {
    const to = tileStep(event.key, Math.max(0, picked()), state.grid.columns, count());
    if (to === null || !count()) return;
    event.preventDefault();
    state.hover = null;
    pick(to);
  }, signal);
  return { node, canvas: sheet, draw, follow };
}

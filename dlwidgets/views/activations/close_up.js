// The close-up of the activation browser: one map with its own numbers, over the input; a line; a unit's weights.
import { color, listen, make, say, sig, surface } from "../front.js";
import { drawBoxes } from "../boxes.js";
import { bitmap, drawBars, drawLine, drawNames, fitted } from "./canvas.js";
import { anyNegative, byteOf, cornerOf, dequantise, numberAt, paintFloats, paintMaps, placeOf } from "./tiles.js";

/** @typedef {import("./tiles.js").State} State */
/** @typedef {ReturnType<typeof shownLarge>} Large */

/** The longest side of the close-up, the heights of a line and of bars, and the room for names of tokens [px]. */
const SIDE = 208, TRACE = 110, WEIGHTS = 90, NAMES = 44;
/** Pictures of which one map or line is shown large. */
const ENLARGED = new Set(["maps", "volume", "attention", "rgb", "lines"]);

/**
 * The map that is shown large: the one under the pointer, else the picked one; with its own numbers where the kernel
 * sent them.
 * @param {State} state @param {number} chosen the picked map's number
 */
export function shownLarge({ picture, hover }, chosen) {
  const number = hover && picture.form !== "bars" ? numberAt(picture, hover.index) : Math.min(chosen, Math.max(0, (picture.total ?? 1) - 1));
  const exact = !!picture.near && picture.near.map === number, depth = picture.form === "rgb" ? 3 : 1;
  const [h, w] = exact ? picture.near.size : picture.size ?? [0, 0];
  return {
    number, place: placeOf(picture, number), exact, depth,
    size: /** @type {[number, number]} */ ([h, exact ? w / depth : w]),
    block: /** @type {[number, number]} */ (exact ? picture.near.block : picture.block ?? [1, 1]),
  };
}

/** Row and column of the pixel that is read. @param {State} state @param {[number, number]} size @returns {[number, number] | null} */
export function pointed(state, [h, w]) {
  const share = state.hover ? [state.hover.row, state.hover.column] : state.cursor;
  return share && h && w ? [Math.min(h - 1, Math.floor(share[0] * h)), Math.min(w - 1, Math.floor(share[1] * w))] : null;
}

/**
 * Let pixels cover what is below them by how strong they are: not at all at zero, by `most` from half of the scale on;
 * what is not finite wholly.
 * @param {Uint8ClampedArray} pixels RGBA, changed in place @param {(i: number) => number} strength 0..1 @param {number} most
 */
export function byStrength(pixels, strength, most) {
  for (let i = 0; i < pixels.length / 4; i += 1) {
    const share = strength(i);
    pixels[4 * i + 3] = Number.isFinite(share) ? Math.round(255 * most * Math.min(1, 2 * share)) : 255;
  }
}

/** The numbers of the map that is shown large, and what the colours span. @param {State} state @param {boolean} each whether they span each map @param {Large} large */
function numbersOf({ picture, maps, near, scales }, each, { place, exact, depth, size: [h, w] }) {
  const own = place >= 0 ? scales[place] : picture.peak, many = h * w * depth;
  const values = exact ? near : Float32Array.from(maps.subarray(place * many, (place + 1) * many), (q) => dequantise(q, own));
  return { values, span: each ? own : picture.peak };
}

/** @param {HTMLElement} el @param {HTMLCanvasElement} canvas @param {State} state @param {boolean} each @param {Large} large @param {number} width */
function paintTrace(el, canvas, state, each, large, width) {
  const { values, span } = numbersOf(state, each, large), ctx = surface(canvas, width, TRACE), at = pointed(state, large.size);
  drawLine(el, ctx, values, span, 0, 0, width, TRACE, { signed: anyNegative(state.maps) });
  if (at) { ctx.fillStyle = color(el, "ink"); ctx.fillRect(Math.round((at[1] / Math.max(1, large.size[1] - 1)) * width) - 0.5, 0, 1, TRACE); }
}

/** The weights of a unit: as bars, or as maps, one for each channel. @param {HTMLElement} el @param {HTMLCanvasElement} canvas @param {State} state @param {number} width */
function paintWeights(el, canvas, { picture, incoming, colours }, width) {
  const { size: [count, h, w], scale, shape } = picture.incoming;
  if (shape.length < 3) {
    drawBars(el, surface(canvas, width, WEIGHTS), Array.from(incoming, (q) => dequantise(q, scale)), width, WEIGHTS, 0, scale);
    return;
  }
  const columns = Math.ceil(Math.sqrt(count)), rows = Math.ceil(count / columns), gap = count > 1 ? 2 : 0;
  const each = (width - gap * (columns - 1)) / columns, tall = (each * h) / w, ctx = surface(canvas, width, rows * tall + gap * (rows - 1));
  const image = bitmap(paintMaps(incoming, count, h, w, columns, Array(count).fill(scale), scale, colours));
  ctx.imageSmoothingEnabled = false;
  for (let m = 0; m < count; m += 1) {
    const from = cornerOf(m, { columns, width: w, height: h, gap: 0 }), to = cornerOf(m, { columns, width: each, height: tall, gap });
    ctx.drawImage(image, from.x, from.y, w, h, to.x, to.y, each, tall);
  }
}

/**
 * Paint one map, over the input where `cover` is given, with the pixel that is read; return where in the canvas it lies.
 * @param {HTMLElement} el @param {HTMLCanvasElement} canvas @param {State} state @param {boolean} each @param {Large} large
 * @param {number} room @param {number | null} cover how much the map covers the input, 0..1
 * @returns {[number, number, number, number]} left, top, width, height
 */
function paintLarge(el, canvas, state, each, large, room, cover) {
  const { picture } = state, [h, w] = large.size, at = pointed(state, large.size);
  const tokens = picture.tokens && picture.form === "attention" ? picture.tokens : null, gutter = tokens ? NAMES : 0;
  const [across, down] = fitted(picture.whole[1], picture.whole[0], room - gutter).map((side) => Math.max(24, side));
  const ctx = surface(canvas, across + gutter, down + gutter);
  if (cover !== null && state.input) { ctx.imageSmoothingEnabled = true; ctx.drawImage(state.input, gutter, 0, across, down); }
  if (state.zeros[large.place] === 1 && cover === null) { ctx.fillStyle = color(el, "map-dead"); ctx.fillRect(gutter, 0, across, down); }
  else {
    const { values, span } = numbersOf(state, each, large);
    const pixels = large.depth === 1 ? paintFloats(values, span, state.colours)
      : paintMaps(Uint8Array.from(values, (value) => byteOf(value, span || 1)), 1, h, w, 1, [1], 1, null).pixels;
    // Where the map is zero the input is seen as it is.
    if (cover !== null) byStrength(pixels, (i) => Math.abs(values[i]) / (span || 1), cover);
    ctx.imageSmoothingEnabled = across * (window.devicePixelRatio || 1) < w;
    ctx.drawImage(bitmap({ pixels, width: w, height: h }), gutter, 0, across, down);
  }
  // A map that keeps the picture's proportions lies over it.
  if (state.boxes && picture.form === "maps" && picture.show !== "filters") drawBoxes(el, ctx, state.boxes.marks, state.boxes.of, { x: gutter, y: 0, width: across, height: down }, false);
  if (tokens) {
    drawNames(el, ctx, tokens, 0, down, (y) => [gutter - 4, y]);
    drawNames(el, ctx, tokens, gutter, across, (x) => [x, down + 4], true);
  }
  if (at) {
    ctx.strokeStyle = color(el, "ink"); ctx.lineWidth = 1;
    ctx.strokeRect(gutter + (at[1] * across) / w + 0.5, (at[0] * down) / h + 0.5, Math.max(2, across / w - 1), Math.max(2, down / h - 1));
  }
  return [gutter, 0, across, down];
}

/** @param {import("../front.js").Part & {state: State, moved: () => void}} view */
export function closeUp({ el, signal, state, want, moved }) {
  const canvas = make("canvas", { role: "img", tabindex: 0 }), words = make("figcaption"), overlay = make("input", { type: "checkbox" });
  const opacity = make("input", { type: "range", min: 10, max: 100, step: 5, value: 60, "aria-label": "how much the map covers the input, in per cent" });
  const lay = make("div", { class: "dlw-act-overlay" }, make("label", {}, overlay, " over the input"), opacity);
  const node = make("figure", { class: "dlw-act-near" }, words, canvas, lay);
  /** Where in the canvas the map lies: left, top, width, height. */
  let place = [0, 0, 1, 1];
  /** @param {number} unit */
  const nameOf = (unit) => (state.picture.names?.[unit] ? ` “${state.picture.names[unit]}”` : "");

  const show = () => {
    const { picture } = state, weights = picture.form === "bars" && picture.incoming;
    node.hidden = !!picture.reason || !(weights || ENLARGED.has(picture.form));
    const laid = state.input !== null && (picture.form === "maps" || picture.form === "volume") && picture.show !== "filters";
    lay.hidden = node.hidden || !laid;
    if (node.hidden) return;
    const room = node.clientWidth || SIDE, side = Math.min(room, SIDE);
    if (weights) {
      const { unit, layer, shape, scale, bias } = weights;
      say(words, `weights into unit ${unit}${nameOf(unit)}`);
      words.title = `${words.textContent}: of ${layer || "the model"}, ${shape.join("×")}; colours to ±${sig(scale, 3)}${bias === null ? "" : `; bias ${sig(bias, 3)}`}`;
      canvas.setAttribute("aria-label", words.title);
      paintWeights(el, canvas, state, side);
      return;
    }
    const large = shownLarge(state, want.get("chosen")), each = want.get("per") === "map";
    say(words, `${picture.axes[0]} ${large.number}${nameOf(large.number)}${state.hover ? "" : ", picked"}`);
    words.title = words.textContent ?? "";
    canvas.setAttribute("aria-label", `${words.textContent} enlarged; arrow keys read its values`);
    if (large.place < 0 && !large.exact) return;
    if (picture.form === "lines") { place = [0, 0, room, TRACE]; paintTrace(el, canvas, state, each, large, room); }
    else place = paintLarge(el, canvas, state, each, large, side, laid && overlay.checked ? Number(opacity.value) / 100 : null);
  };

  // Its place is kept, so that nothing moves.
  const covers = () => { opacity.disabled = !overlay.checked; opacity.style.visibility = overlay.checked ? "visible" : "hidden"; };
  covers();
  listen(overlay, "change", () => { covers(); moved(); }, signal);
  listen(opacity, "input", moved, signal);
  listen(canvas, "pointermove", (event) => {
    const box = canvas.getBoundingClientRect(), [left, top, width, height] = place;
    const within = (/** @type {number} */ at, /** @type {number} */ of) => Math.min(0.9999, Math.max(0, at / of));
    state.cursor = [within(event.clientY - box.top - top, height), within(event.clientX - box.left - left, width)];
    moved();
  }, signal);
  listen(canvas, "keydown", (event) => {
    /** @type {Record<string, [number, number]>} */
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    if (!(event.key in by) || !state.picture.size) return;
    event.preventDefault();
    const { size } = shownLarge(state, want.get("chosen")), [h, w] = size;
    const at = pointed(state, size) ?? [Math.floor(h / 2), Math.floor(w / 2)];
    const to = [0, 1].map((i) => Math.min(size[i] - 1, Math.max(0, at[i] + by[event.key][i])));
    state.cursor = [(to[0] + 0.5) / h, (to[1] + 0.5) / w];
    moved();
  }, signal);
  return { node, show };
}

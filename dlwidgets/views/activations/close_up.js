// The close-up of the activation browser: one map with its own numbers, over the input; a line; a unit's weights.
import { color, listen, make, say, sig, surface } from "../front.js";
import { bitmap, drawLine, drawNames } from "./canvas.js";
import { anyNegative, byteOf, dequantise, numberAt, paintFloats, paintMaps, paintRgb, placeOf } from "./tiles.js";

/** @typedef {import("./tiles.js").State} State */

/** @typedef {ReturnType<typeof shownLarge>} Large */

/** The longest side of the close-up, the height of a line, and the room for names of tokens [px]. */
const SIDE = 208, TRACE = 110, NAMES = 44;
/** Pictures of which one map or line is shown large. */
const ENLARGED = new Set(["maps", "volume", "attention", "rgb", "lines"]);

/**
 * The map that is shown large: the one under the pointer, else the picked one; with its own numbers where the kernel
 * sent them.
 * @param {State} state @param {number} chosen the picked map's number
 * @returns {{number: number, place: number, exact: boolean, size: [number, number], block: [number, number]}}
 */
export function shownLarge(state, chosen) {
  const { picture, hover } = state;
  const number = hover && picture.form !== "bars" ? numberAt(picture, hover.index) : Math.min(chosen, Math.max(0, (picture.total ?? 1) - 1));
  const exact = !!picture.near && picture.near.map === number;
  const size = exact ? picture.near.size : picture.size ?? [0, 0];
  const depth = picture.form === "rgb" ? 3 : 1;
  return {
    number, place: placeOf(picture, number), exact,
    size: exact ? [size[0], size[1] / depth] : size, block: exact ? picture.near.block : picture.block ?? [1, 1],
  };
}

/** Row and column of the pixel that is read. @param {State} state @param {[number, number]} size @returns {[number, number] | null} */
export function pointed(state, size) {
  const share = state.hover ? [state.hover.row, state.hover.column] : state.cursor;
  if (!share || !size[0] || !size[1]) return null;
  return [Math.min(size[0] - 1, Math.floor(share[0] * size[0])), Math.min(size[1] - 1, Math.floor(share[1] * size[1]))];
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

/** What the colours span, and the map's own largest value. @param {State} state @param {boolean} each @param {Large} large */
function spans({ picture, scales }, each, large) {
  const own = large.place >= 0 ? scales[large.place] : picture.peak;
  return { own, span: each ? own : picture.peak };
}

/** The bytes of the map that is shown large. @param {State} state @param {Large} large @param {number} [depth] */
function bytesOf({ maps }, { place, size: [h, w] }, depth = 1) {
  return maps.subarray(place * h * w * depth, (place + 1) * h * w * depth);
}

/** @param {State} state @param {boolean} each whether the colours span each map @param {Large} large @returns {Uint8ClampedArray} RGBA */
function pixelsOf(state, each, large) {
  const { near, colours } = state, [h, w] = large.size, { own, span } = spans(state, each, large);
  if (state.picture.form === "rgb") {
    const bytes = large.exact ? Uint8Array.from(near, (value) => byteOf(value, span || 1)) : bytesOf(state, large, 3);
    return paintRgb(bytes, 1, h, w, 1, [large.exact ? 1 : own], large.exact ? 1 : span).pixels;
  }
  return large.exact ? paintFloats(near, span, colours) : paintMaps(bytesOf(state, large), 1, h, w, 1, [own], span, colours).pixels;
}

/** The size of each value, as a share of what the colours span. @param {State} state @param {boolean} each @param {Large} large @returns {(i: number) => number} */
function strengthOf(state, each, large) {
  const { own, span } = spans(state, each, large), bytes = bytesOf(state, large), { near } = state;
  return large.exact ? (i) => Math.abs(near[i]) / (span || 1) : (i) => Math.abs(dequantise(bytes[i], own)) / (span || 1);
}

/** @param {HTMLElement} el @param {HTMLCanvasElement} canvas @param {State} state @param {boolean} each @param {Large} large @param {number} width */
function paintTrace(el, canvas, state, each, large, width) {
  const { own, span } = spans(state, each, large), ctx = surface(canvas, width, TRACE), at = pointed(state, large.size);
  const values = large.exact ? state.near : Float32Array.from(bytesOf(state, large), (q) => dequantise(q, own));
  drawLine(el, ctx, values, span, 0, 0, width, TRACE, { signed: anyNegative(state.maps) });
  if (at) { ctx.fillStyle = color(el, "ink"); ctx.fillRect(Math.round((at[1] / Math.max(1, large.size[1] - 1)) * width) - 0.5, 0, 1, TRACE); }
}

/** The weights of a unit as bars. @param {HTMLElement} el @param {HTMLCanvasElement} canvas @param {State} state @param {number} width */
function paintWeightBars(el, canvas, state, width) {
  const { scale } = state.picture.incoming, values = Array.from(state.incoming, (q) => dequantise(q, scale)), ctx = surface(canvas, width, 90);
  const each = width / values.length;
  values.forEach((value, i) => {
    const size = scale > 0 ? (value / scale) * 43 : 0;
    ctx.fillStyle = color(el, value < 0 ? "orange" : "blue");
    ctx.fillRect(i * each, 45 - Math.max(0, size), Math.max(1, each - (each > 3 ? 1 : 0)), Math.abs(size));
  });
  ctx.fillStyle = color(el, "line-2");
  ctx.fillRect(0, 44.5, width, 1);
}

/** The weights of a unit as maps, one for each channel. @param {HTMLCanvasElement} canvas @param {State} state @param {number} width */
function paintWeightMaps(canvas, state, width) {
  const { size: [count, h, w], scale } = state.picture.incoming, columns = Math.ceil(Math.sqrt(count)), rows = Math.ceil(count / columns);
  const gap = count > 1 ? 2 : 0, each = (width - gap * (columns - 1)) / columns, tall = (each * h) / w;
  const ctx = surface(canvas, width, rows * tall + gap * (rows - 1));
  const all = paintMaps(state.incoming, count, h, w, columns, Array(count).fill(scale), scale, state.colours);
  const image = bitmap(all.pixels, all.width, all.height);
  ctx.imageSmoothingEnabled = false;
  for (let m = 0; m < count; m += 1) {
    const x = m % columns, y = Math.floor(m / columns);
    ctx.drawImage(image, x * w, y * h, w, h, x * (each + gap), y * (tall + gap), each, tall);
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
  const width = room - gutter, aspect = picture.whole[1] / picture.whole[0];
  const across = aspect >= 1 ? width : Math.max(24, width * aspect), down = aspect >= 1 ? Math.max(24, width / aspect) : width;
  const ctx = surface(canvas, across + gutter, down + gutter), smooth = across * (window.devicePixelRatio || 1) < w;
  if (cover !== null && state.input) { ctx.imageSmoothingEnabled = true; ctx.drawImage(state.input, gutter, 0, across, down); }
  if (state.zeros[large.place] === 1 && cover === null) { ctx.fillStyle = color(el, "map-dead"); ctx.fillRect(gutter, 0, across, down); }
  else {
    ctx.imageSmoothingEnabled = smooth;
    const pixels = pixelsOf(state, each, large);
    // Where the map is zero the input is seen as it is.
    if (cover !== null) byStrength(pixels, strengthOf(state, each, large), cover);
    ctx.drawImage(bitmap(pixels, w, h), gutter, 0, across, down);
  }
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

/**
 * @param {{el: HTMLElement, signal: AbortSignal, state: State, want: {get(name: string): any}, moved: () => void}} view
 * @returns {{node: HTMLElement, show: () => void}}
 */
export function closeUp({ el, signal, state, want, moved }) {
  const canvas = make("canvas", { role: "img", tabindex: 0 }), words = make("figcaption");
  const overlay = make("input", { type: "checkbox" }), opacity = make("input", { type: "range", min: 10, max: 100, step: 5, value: 60, "aria-label": "how much the map covers the input, in per cent" });
  const lay = make("div", { class: "dlw-act-overlay" }, make("label", {}, overlay, " over the input"), opacity);
  const node = make("figure", { class: "dlw-act-near" }, words, canvas, lay);
  /** Where in the canvas the map lies: left, top, width, height. */
  let place = [0, 0, 1, 1];

  const showWeights = () => {
    const { picture } = state, into = picture.incoming, width = Math.min(node.clientWidth || SIDE, SIDE);
    const name = picture.names?.[into.unit] ? ` “${picture.names[into.unit]}”` : "";
    say(words, `weights into unit ${into.unit}${name}`);
    words.title = `${words.textContent}: of ${into.layer || "the model"}, ${into.shape.join("×")}; colours to ±${sig(into.scale, 3)}${into.bias === null ? "" : `; bias ${sig(into.bias, 3)}`}`;
    canvas.setAttribute("aria-label", words.title);
    if (into.shape.length < 3) paintWeightBars(el, canvas, state, width); else paintWeightMaps(canvas, state, width);
  };

  const show = () => {
    const { picture } = state, weights = picture.form === "bars" && picture.incoming;
    node.hidden = !!picture.reason || !(weights || ENLARGED.has(picture.form));
    const laid = state.input !== null && (picture.form === "maps" || picture.form === "volume") && picture.show !== "filters";
    lay.hidden = node.hidden || !laid;
    if (node.hidden) return;
    if (weights) { showWeights(); return; }
    const large = shownLarge(state, want.get("chosen")), each = want.get("per") === "map";
    const name = picture.names?.[large.number] ? ` “${picture.names[large.number]}”` : "";
    say(words, `${picture.axes[0]} ${large.number}${name}${state.hover ? "" : ", picked"}`);
    words.title = words.textContent ?? "";
    canvas.setAttribute("aria-label", `${words.textContent} enlarged; arrow keys read its values`);
    if (large.place < 0 && !large.exact) return;
    if (picture.form === "lines") {
      place = [0, 0, node.clientWidth || SIDE, TRACE];
      paintTrace(el, canvas, state, each, large, place[2]);
      return;
    }
    const cover = laid && overlay.checked ? Number(opacity.value) / 100 : null;
    place = paintLarge(el, canvas, state, each, large, Math.min(node.clientWidth || SIDE, SIDE), cover);
  };

  listen(overlay, "change", () => { opacity.disabled = !overlay.checked; moved(); }, signal);
  opacity.disabled = true;
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
    const to = [0, 1].map((i) => Math.min((i ? w : h) - 1, Math.max(0, at[i] + by[event.key][i])));
    state.cursor = [(to[0] + 0.5) / h, (to[1] + 0.5) / w];
    moved();
  }, signal);
  return { node, show };
}

// The close-up of the activation browser: one map with its own numbers, over the input; a line; a unit's weights.
import { color, listen, make, say, sig, surface } from "../front.js";
import { bitmap, drawLine, drawNames } from "./canvas.js";
import { anyNegative, dequantise, numberAt, paintFloats, paintMaps, paintRgb, placeOf } from "./tiles.js";

/** @typedef {import("./tiles.js").State} State */

/** The longest side of the close-up, and the room for names of tokens [px]. */
const SIDE = 208, NAMES = 44;

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
    const { picture } = state, into = picture.incoming;
    const [count, h, w] = into.size, wide = into.shape.length < 3;
    const columns = wide ? 1 : Math.ceil(Math.sqrt(count)), rows = Math.ceil(count / columns), width = Math.min(node.clientWidth || SIDE, SIDE);
    const name = picture.names?.[into.unit] ? ` “${picture.names[into.unit]}”` : "";
    say(words, `weights into unit ${into.unit}${name}`);
    words.title = `${words.textContent}: of ${into.layer || "the model"}, ${into.shape.join("×")}; colours to ±${sig(into.scale, 3)}${into.bias === null ? "" : `; bias ${sig(into.bias, 3)}`}`;
    canvas.setAttribute("aria-label", words.title);
    if (wide) {
      const values = Array.from(state.incoming, (q) => dequantise(q, into.scale)), ctx = surface(canvas, width, 90);
      const each = width / values.length;
      values.forEach((value, i) => {
        const size = into.scale > 0 ? (value / into.scale) * 43 : 0;
        ctx.fillStyle = color(el, value < 0 ? "orange" : "blue");
        ctx.fillRect(i * each, 45 - Math.max(0, size), Math.max(1, each - (each > 3 ? 1 : 0)), Math.abs(size));
      });
      ctx.fillStyle = color(el, "line-2");
      ctx.fillRect(0, 44.5, width, 1);
      return;
    }
    const gap = count > 1 ? 2 : 0, each = (width - gap * (columns - 1)) / columns, tall = (each * h) / w;
    const ctx = surface(canvas, width, rows * tall + gap * (rows - 1));
    const all = paintMaps(state.incoming, count, h, w, columns, Array(count).fill(into.scale), into.scale, state.colours);
    const image = bitmap(all.pixels, all.width, all.height);
    ctx.imageSmoothingEnabled = false;
    for (let m = 0; m < count; m += 1) {
      const x = m % columns, y = Math.floor(m / columns);
      ctx.drawImage(image, x * w, y * h, w, h, x * (each + gap), y * (tall + gap), each, tall);
    }
  };

  /** @param {ReturnType<typeof shownLarge>} large */
  const pixelsOf = (large) => {
    const { picture, maps, near, scales, colours } = state, [h, w] = large.size, each = want.get("per") === "map";
    const own = large.place >= 0 ? scales[large.place] : picture.peak, span = each ? own : picture.peak;
    if (picture.form === "rgb") {
      const bytes = large.exact ? Uint8Array.from(near, (value) => (Number.isFinite(value) ? Math.min(255, Math.max(1, 128 + Math.round((127 * value) / (span || 1)))) : 0)) : maps.subarray(large.place * h * w * 3, (large.place + 1) * h * w * 3);
      return paintRgb(bytes, 1, h, w, 1, [large.exact ? 1 : own], large.exact ? 1 : span).pixels;
    }
    if (large.exact) return paintFloats(near, span, colours);
    return paintMaps(maps.subarray(large.place * h * w, (large.place + 1) * h * w), 1, h, w, 1, [own], span, colours).pixels;
  };

  /** The size of each value, as a share of what the colours span. @param {ReturnType<typeof shownLarge>} large @returns {(i: number) => number} */
  const strengthOf = (large) => {
    const { picture, maps, near, scales } = state, [h, w] = large.size, own = large.place >= 0 ? scales[large.place] : picture.peak;
    const span = want.get("per") === "map" ? own : picture.peak, from = large.place * h * w;
    return large.exact ? (i) => Math.abs(near[i]) / (span || 1) : (i) => Math.abs(dequantise(maps[from + i], own)) / (span || 1);
  };

  /** @param {ReturnType<typeof shownLarge>} large */
  const showLine = (large) => {
    const { picture, maps, near, scales } = state, [h, w] = large.size, width = node.clientWidth || SIDE;
    const own = large.place >= 0 ? scales[large.place] : picture.peak, span = want.get("per") === "map" ? own : picture.peak;
    const values = large.exact ? near : Float32Array.from(maps.subarray(large.place * h * w, (large.place + 1) * h * w), (q) => dequantise(q, own));
    const ctx = surface(canvas, width, 110), at = pointed(state, large.size);
    place = [0, 0, width, 110];
    drawLine(el, ctx, values, span, 0, 0, width, 110, { signed: anyNegative(maps) });
    if (at) { ctx.fillStyle = color(el, "ink"); ctx.fillRect(Math.round((at[1] / Math.max(1, w - 1)) * width) - 0.5, 0, 1, 110); }
  };

  const show = () => {
    const { picture } = state;
    const weights = picture.form === "bars" && picture.incoming;
    node.hidden = !!picture.reason || !(weights || picture.form === "maps" || picture.form === "volume" || picture.form === "attention" || picture.form === "rgb" || picture.form === "lines");
    const laid = state.input !== null && (picture.form === "maps" || picture.form === "volume") && picture.show !== "filters";
    lay.hidden = node.hidden || !laid;
    if (node.hidden) return;
    if (weights) { showWeights(); return; }
    const large = shownLarge(state, want.get("chosen")), [h, w] = large.size;
    const name = picture.names?.[large.number] ? ` “${picture.names[large.number]}”` : "";
    say(words, `${picture.axes[0]} ${large.number}${name}${state.hover ? "" : ", picked"}`);
    words.title = words.textContent ?? "";
    canvas.setAttribute("aria-label", `${words.textContent} enlarged; arrow keys read its values`);
    if (large.place < 0 && !large.exact) return;
    if (picture.form === "lines") { showLine(large); return; }
    const tokens = picture.tokens && picture.form === "attention" ? picture.tokens : null, gutter = tokens ? NAMES : 0;
    const width = Math.min(node.clientWidth || SIDE, SIDE) - gutter, aspect = picture.whole[1] / picture.whole[0];
    const across = aspect >= 1 ? width : Math.max(24, width * aspect), down = aspect >= 1 ? Math.max(24, width / aspect) : width;
    place = [gutter, 0, across, down];
    const ctx = surface(canvas, across + gutter, down + gutter);
    const over = laid && overlay.checked, smooth = across * (window.devicePixelRatio || 1) < w;
    if (over && state.input) { ctx.imageSmoothingEnabled = true; ctx.drawImage(state.input, gutter, 0, across, down); }
    if (state.zeros[large.place] === 1 && !over) { ctx.fillStyle = color(el, "map-dead"); ctx.fillRect(gutter, 0, across, down); }
    else {
      ctx.imageSmoothingEnabled = smooth;
      const pixels = pixelsOf(large);
      // Where the map is zero the input is seen as it is.
      if (over) byStrength(pixels, strengthOf(large), Number(opacity.value) / 100);
      ctx.drawImage(bitmap(pixels, w, h), gutter, 0, across, down);
    }
    if (tokens) {
      drawNames(el, ctx, tokens, 0, down, (at) => [gutter - 4, at]);
      drawNames(el, ctx, tokens, gutter, across, (at) => [at, down + 4], true);
    }
    const at = pointed(state, large.size);
    if (at) {
      ctx.strokeStyle = color(el, "ink"); ctx.lineWidth = 1;
      ctx.strokeRect(gutter + (at[1] * across) / w + 0.5, (at[0] * down) / h + 0.5, Math.max(2, across / w - 1), Math.max(2, down / h - 1));
    }
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

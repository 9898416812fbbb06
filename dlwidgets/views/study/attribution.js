// Where the model looked: Grad-CAM or gradient x input laid over the input, for a class of one's choice.
import { color, listen, make, numbers, say, sig, surface } from "../front.js";
import { bitmap, drawBars, imageOf } from "../activations/canvas.js";
import { dequantise, rgb } from "../activations/tiles.js";
import { scoreText } from "./ablation.js";

/** @typedef {import("../front.js").Model} Model */
/** @typedef {import("./ablation.js").Want} Want */

/** The longest side of the picture [px]. */
const OVERLAY = 224;

/**
 * A map as pixels that are the clearer the less it says: blue where it speaks for the class, orange against it.
 * @param {Uint8Array} codes @param {number} opacity 0..1 of the strongest place
 * @param {[number, number, number]} plus @param {[number, number, number]} minus @returns {Uint8ClampedArray}
 */
export function heat(codes, opacity, plus, minus) {
  const rgba = new Uint8ClampedArray(4 * codes.length);
  codes.forEach((code, i) => {
    const value = dequantise(code, 1);
    const share = Number.isNaN(value) ? 0 : Math.abs(value);
    rgba.set(value < 0 ? minus : plus, 4 * i);
    rgba[4 * i + 3] = Math.round(255 * opacity * share);
  });
  return rgba;
}

/** What is said of the map. @param {any} now */
export function whereWords(now) {
  if (now.reason) return now.reason;
  if (now.target === undefined) return "The gradient is being computed.";
  const name = now.classes?.find((/** @type {any[]} */ row) => row[0] === now.target)?.[1] ?? `class ${now.target}`;
  if (!now.peak) return now.method === "grad_cam" ? `no place of ${now.layer} speaks for ${name}: choose another class, or gradient × input` : `nothing in the input moves ${name}`;
  const size = (now.shape ?? []).join(" × ");
  if (now.method === "grad_cam") return `what speaks for ${name} in the maps of ${now.layer}, ${size} places, drawn as large as the input`;
  return `how much each ${now.form === "tokens" ? "token" : now.form === "line" ? "value" : "pixel"} speaks for ${name} or against it`;
}

/**
 * Lay a map over the input.
 * @param {HTMLElement} el whose colours it has @param {HTMLCanvasElement} canvas @param {Model} model @param {Uint8Array} codes @param {number} opacity
 */
function paintHeat(el, canvas, model, codes, opacity) {
  const now = model.get("where"), [h, w] = now.size, shown = model.get("shown"), pixels = numbers(model.get("pixels"), Uint8Array);
  const [ih, iw] = shown.kind === "image" ? shown.size : [h, w];
  const across = iw >= ih ? OVERLAY : (OVERLAY * iw) / ih, down = iw >= ih ? (OVERLAY * ih) / iw : OVERLAY;
  const ctx = surface(canvas, across, down);
  if (shown.kind === "image" && pixels.length >= 3 * ih * iw) {
    ctx.imageSmoothingEnabled = across < iw;
    ctx.drawImage(imageOf(pixels, iw, ih), 0, 0, across, down);
  }
  ctx.imageSmoothingEnabled = now.method === "grad_cam";
  const over = heat(codes, opacity, rgb(color(el, "study-plus")), rgb(color(el, "study-minus")));
  ctx.drawImage(bitmap(over, w, h), 0, 0, across, down);
}

/** The colours from no effect to the strongest, on both sides where it is signed. @param {HTMLElement} el @param {HTMLCanvasElement} canvas @param {boolean} signed */
function paintHeatScale(el, canvas, signed) {
  const ctx = surface(canvas, 96, 8), start = signed ? -1 : 0;
  for (let x = 0; x < 96; x += 1) {
    const value = start + ((1 - start) * x) / 95;
    ctx.globalAlpha = Math.abs(value);
    ctx.fillStyle = color(el, value < 0 ? "study-minus" : "study-plus");
    ctx.fillRect(x, 0, 1, 8);
  }
}

/** Tokens, shaded by how much each speaks for the class. @param {string} words @param {Uint8Array} codes @param {number} peak @returns {(Node | string)[]} */
function shadedTokens(words, codes, peak) {
  return words.split(" ").filter((name) => name !== "…").slice(0, codes.length).flatMap((name, i) => {
    const value = dequantise(codes[i], 1), token = make("span", { text: name, title: `${name}: ${sig(value * peak, 2)}` });
    token.style.background = `color-mix(in srgb, var(--dlw-study-${value < 0 ? "minus" : "plus"}) ${Math.round(80 * Math.abs(value || 0))}%, transparent)`;
    return [token, " "];
  });
}

/**
 * @param {{model: Model, el: HTMLElement, signal: AbortSignal, want: Want, repaint: () => void}} view
 */
export function whereSection({ model, el, signal, want, repaint }) {
  const cam = make("button", { type: "button", text: "Grad-CAM", title: "the maps of a convolution, weighted by the class's gradient (Selvaraju et al. 2017)" });
  const grad = make("button", { type: "button", text: "gradient × input", title: "the class's gradient by the input, times the input" });
  const classes = make("select", { "aria-label": "class" });
  const last = make("button", { type: "button", text: "last convolution" }), here = make("button", { type: "button", text: "layer shown" });
  const of = make("div", { class: "dlw-study-group" }, make("span", { class: "dlw-faint", text: "of" }),
    make("div", { class: "dlw-study-buttons", role: "group", "aria-label": "maps of" }, last, here));
  const opacity = make("input", { type: "range", min: 0, max: 1, step: 0.05, value: 0.8, "aria-label": "opacity" });
  const shade = make("label", { class: "dlw-study-group" }, make("span", { class: "dlw-faint", text: "opacity" }), opacity);
  const canvas = make("canvas", { role: "img" }), tokens = make("div", { class: "dlw-study-tokens" });
  const words = make("div", { class: "dlw-study-words", role: "status" });
  const from = make("span"), scale = make("canvas", { role: "img", "aria-label": "colour scale" }), to = make("span");
  const legend = make("div", { class: "dlw-study-group dlw-faint dlw-small" }, from, scale, to);
  const node = make("div", { class: "dlw-study-where" },
    make("div", { class: "dlw-study-row" },
      make("div", { class: "dlw-study-buttons", role: "group", "aria-label": "method" }, cam, grad),
      make("label", {}, make("span", { class: "dlw-faint", text: "for" }), classes), of, shade),
    make("div", { class: "dlw-study-picture dlw-study-side" }, canvas, make("div", {}, words, legend, tokens)));
  let listed = "";

  /** @param {any} now */
  const showClasses = (now) => {
    const rows = now.classes ?? [], predicted = rows.find((/** @type {any[]} */ row) => row[0] === now.predicted);
    const share = model.get("sample")?.measure === "probability";
    const text = (/** @type {any[]} */ row) => `${row[1]} (${scoreText(row[2], share)})`;
    const key = JSON.stringify([rows, now.predicted]);
    if (key !== listed && document.activeElement !== classes) {
      listed = key;
      classes.replaceChildren(
        make("option", { value: "", text: predicted ? `the predicted: ${text(predicted)}` : "the predicted" }),
        ...rows.map((/** @type {any[]} */ row) => make("option", { value: row[0], text: text(row) })));
    }
    const asked = want.get("where_target");
    const chosen = asked === undefined ? now.chosen : asked;
    classes.value = chosen === null || chosen === undefined ? "" : String(chosen);
  };

  const draw = () => {
    const now = model.get("where"), codes = numbers(model.get("where_map"), Uint8Array);
    const method = want.get("where_method") ?? now.method ?? "grad_cam", shownHere = want.get("where_here") ?? now.here ?? false;
    cam.setAttribute("aria-pressed", String(method === "grad_cam")); grad.setAttribute("aria-pressed", String(method !== "grad_cam"));
    last.setAttribute("aria-pressed", String(!shownHere || !now.usable)); here.setAttribute("aria-pressed", String(!!shownHere && !!now.usable));
    here.disabled = !now.usable;
    here.title = now.usable ? `the maps of ${now.shown}` : "the layer shown puts out no maps";
    of.hidden = method !== "grad_cam";
    showClasses(now);
    say(words, whereWords(now));
    const there = !now.reason && now.size && codes.length === now.size[0] * now.size[1];
    shade.hidden = !there || now.form !== "map";
    canvas.hidden = !there || now.form === "tokens"; tokens.hidden = !there || now.form !== "tokens";
    legend.hidden = !there || now.form === "line" || !now.peak;
    if (!there) return;
    if (!legend.hidden) {
      const signed = method !== "grad_cam";
      paintHeatScale(node, scale, signed);
      say(from, signed ? `against −${sig(now.peak, 2)}` : "0"); say(to, `${signed ? "for " : ""}${sig(now.peak, 2)}`);
    }
    canvas.setAttribute("aria-label", words.textContent ?? "");
    if (now.form === "tokens") tokens.replaceChildren(...shadedTokens(String(model.get("shown").words ?? ""), codes, now.peak));
    else if (now.form === "line") {
      const width = Math.max(120, Math.min(640, (node.clientWidth || 300) - 8));
      drawBars(el, surface(canvas, width, 96), Float32Array.from(codes.subarray(0, now.size[1]), (q) => dequantise(q, now.peak)), width, 96, 48);
    } else paintHeat(node, canvas, model, codes, Number(opacity.value));
  };

  listen(cam, "click", () => want.set("where_method", "grad_cam"), signal);
  listen(grad, "click", () => want.set("where_method", "gradient_x_input"), signal);
  listen(classes, "change", () => want.set("where_target", classes.value === "" ? null : Number(classes.value)), signal);
  listen(last, "click", () => want.set("where_here", false), signal);
  listen(here, "click", () => want.set("where_here", true), signal);
  listen(opacity, "input", repaint, signal);
  return { node, draw };
}

// Where the model looked: Grad-CAM or gradient x input laid over the input, for a class of one's choice.
import { color, listen, make, makeChoice, numbers, say, sig, surface } from "../front.js";
import { bitmap, drawBars, fitted, imageOf } from "../activations/canvas.js";
import { dequantise, rgb } from "../activations/tiles.js";
import { scoreText } from "./ablation.js";

/** The longest side of the picture [px]. */
const OVERLAY = 224;

/**
 * A map as pixels that are the clearer the less it says: blue where it speaks for the class, orange against it.
 * @param {Uint8Array} codes @param {number} opacity 0..1 of the strongest place
 * @param {[number, number, number]} plus @param {[number, number, number]} minus
 */
export function heat(codes, opacity, plus, minus) {
  const rgba = new Uint8ClampedArray(4 * codes.length);
  codes.forEach((code, i) => {
    const value = dequantise(code, 1) || 0;
    rgba.set(value < 0 ? minus : plus, 4 * i);
    rgba[4 * i + 3] = Math.round(255 * opacity * Math.abs(value));
  });
  return rgba;
}

/** What is said of the map. @param {any} now */
export function whereWords(now) {
  if (now.reason) return now.reason;
  if (now.target === undefined) return "The gradient is being computed.";
  const name = now.classes?.find((/** @type {any[]} */ row) => row[0] === now.target)?.[1] ?? `class ${now.target}`;
  if (!now.peak) return now.method === "grad_cam" ? `no place of ${now.layer} speaks for ${name}: choose another class, or gradient × input` : `nothing in the input moves ${name}`;
  if (now.method === "grad_cam") return `what speaks for ${name} in the maps of ${now.layer}, ${(now.shape ?? []).join(" × ")} places, drawn as large as the input`;
  return `how much each ${now.form === "tokens" ? "token" : now.form === "line" ? "value" : "pixel"} speaks for ${name} or against it`;
}

/**
 * Lay a map over the input.
 * @param {HTMLElement} el whose colours it has @param {HTMLCanvasElement} canvas @param {import("../front.js").Model} model @param {Uint8Array} codes @param {number} opacity
 */
function paintHeat(el, canvas, model, codes, opacity) {
  const now = model.get("where"), [h, w] = now.size, shown = model.get("shown"), pixels = numbers(model.get("pixels"), Uint8Array);
  const [ih, iw] = shown.kind === "image" ? shown.size : [h, w];
  const [across, down] = fitted(iw, ih, OVERLAY), ctx = surface(canvas, across, down);
  if (shown.kind === "image" && pixels.length >= 3 * ih * iw) {
    ctx.imageSmoothingEnabled = across < iw;
    ctx.drawImage(imageOf(pixels, iw, ih), 0, 0, across, down);
  }
  ctx.imageSmoothingEnabled = now.method === "grad_cam";
  const over = heat(codes, opacity, rgb(color(el, "study-plus")), rgb(color(el, "study-minus")));
  ctx.drawImage(bitmap({ pixels: over, width: w, height: h }), 0, 0, across, down);
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

/** Tokens, shaded by how much each speaks for the class. @param {string} words @param {Uint8Array} codes @param {number} peak */
function shadedTokens(words, codes, peak) {
  return words.split(" ").filter((name) => name !== "…").slice(0, codes.length).flatMap((name, i) => {
    const value = dequantise(codes[i], 1), token = make("span", { text: name, title: `${name}: ${sig(value * peak, 2)}` });
    token.style.background = `color-mix(in srgb, var(--dlw-study-${value < 0 ? "minus" : "plus"}) ${Math.round(80 * Math.abs(value || 0))}%, transparent)`;
    return [token, " "];
  });
}

/** @param {import("../front.js").Part} view */
export function whereSection({ model, signal, want, repaint }) {
  const methods = makeChoice("method", [
    ["grad_cam", "Grad-CAM", "the maps of a convolution, weighted by the class's gradient (Selvaraju et al. 2017)"],
    ["gradient_x_input", "gradient × input", "the class's gradient by the input, times the input"],
  ], (method) => want.set("where_method", method), signal);
  const maps = makeChoice("maps of", [[false, "last convolution"], [true, "layer shown"]], (here) => want.set("where_here", here), signal);
  const classes = make("select", { "aria-label": "class" });
  const of = make("div", { class: "dlw-study-group" }, make("span", { class: "dlw-faint", text: "of" }), maps.node);
  const opacity = make("input", { type: "range", min: 0, max: 1, step: 0.05, value: 0.8, "aria-label": "opacity" });
  const shade = make("label", { class: "dlw-study-group" }, make("span", { class: "dlw-faint", text: "opacity" }), opacity);
  const canvas = make("canvas", { role: "img" }), tokens = make("div", { class: "dlw-study-tokens" });
  const words = make("div", { class: "dlw-study-words", role: "status" });
  const from = make("span"), scale = make("canvas", { role: "img", "aria-label": "colour scale" }), to = make("span");
  const legend = make("div", { class: "dlw-study-group dlw-faint dlw-small" }, from, scale, to);
  const node = make("div", {},
    make("div", { class: "dlw-study-row" }, methods.node, make("label", {}, make("span", { class: "dlw-faint", text: "for" }), classes), of, shade),
    make("div", { class: "dlw-study-picture dlw-study-side" }, canvas, make("div", {}, words, legend, tokens)));
  let listed = "";
  listen(classes, "change", () => want.set("where_target", classes.value === "" ? null : Number(classes.value)), signal);
  listen(opacity, "input", repaint, signal);

  /** @param {any} now */
  const showClasses = (now) => {
    /** @type {[number, string, number | null][]} */
    const rows = now.classes ?? [], predicted = rows.find((row) => row[0] === now.predicted), key = JSON.stringify([rows, now.predicted]);
    const text = (/** @type {[number, string, number | null]} */ row) => `${row[1]} (${scoreText(row[2], model.get("sample")?.measure === "probability")})`;
    if (key !== listed && document.activeElement !== classes) {
      listed = key;
      classes.replaceChildren(
        make("option", { value: "", text: predicted ? `the predicted: ${text(predicted)}` : "the predicted" }),
        ...rows.map((row) => make("option", { value: row[0], text: text(row) })));
    }
    const asked = want.get("where_target");
    classes.value = String((asked === undefined ? now.chosen : asked) ?? "");
  };

  const draw = () => {
    const now = model.get("where"), codes = numbers(model.get("where_map"), Uint8Array);
    const method = want.get("where_method") ?? now.method ?? "grad_cam", signed = method !== "grad_cam", [h, w] = now.size ?? [0, 0];
    methods.show(method);
    maps.show(!!now.usable && !!(want.get("where_here") ?? now.here));
    maps.buttons[1].disabled = !now.usable;
    maps.buttons[1].title = now.usable ? `the maps of ${now.shown}` : "the layer shown puts out no maps";
    of.hidden = signed;
    showClasses(now);
    say(words, whereWords(now));
    const there = !now.reason && now.size && codes.length === h * w;
    shade.hidden = !there || now.form !== "map";
    canvas.hidden = !there || now.form === "tokens"; tokens.hidden = !there || now.form !== "tokens";
    legend.hidden = !there || now.form === "line" || !now.peak;
    if (!there) return;
    if (!legend.hidden) {
      paintHeatScale(node, scale, signed);
      say(from, signed ? `against −${sig(now.peak, 2)}` : "0"); say(to, `${signed ? "for " : ""}${sig(now.peak, 2)}`);
    }
    canvas.setAttribute("aria-label", words.textContent ?? "");
    if (now.form === "tokens") tokens.replaceChildren(...shadedTokens(String(model.get("shown").words ?? ""), codes, now.peak));
    else if (now.form === "line") {
      const width = Math.max(120, Math.min(640, (node.clientWidth || 300) - 8));
      drawBars(node, surface(canvas, width, 96), Array.from(codes.subarray(0, w), (q) => dequantise(q, now.peak)), width, 96, 48);
    } else paintHeat(node, canvas, model, codes, Number(opacity.value));
  };
  return { node, draw };
}

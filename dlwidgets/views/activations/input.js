// Beside the layer: what the model was given, and what it said of it.
import { make, numbers, say, sig, surface } from "../front.js";
import { bitmap, drawBars, drawLine, imageOf } from "./canvas.js";
import { anyNegative, paintMaps } from "./tiles.js";
import { keepPlaces, range } from "./words.js";

/** @typedef {import("../front.js").Model} Model */

/** Lines of an input that are drawn over one another. */
const OVERLAID = 8;

/**
 * @param {{model: Model, el: HTMLElement, state: import("./tiles.js").State}} view
 * @returns {{input: HTMLElement, verdict: HTMLElement, show: () => void}}
 */
export function givenAndSaid({ model, el, state }) {
  const canvas = make("canvas", { role: "img" }), tokens = make("div", { class: "dlw-act-tokens", tabindex: 0, "aria-label": "input tokens" });
  const words = make("figcaption"), done = make("div", { class: "dlw-act-caption dlw-act-done" });
  const input = make("figure", {}, words, canvas, tokens, done);
  const ranking = make("div", { class: "dlw-act-ranking" }), measure = make("div", { class: "dlw-act-caption" });
  const verdict = make("div", { class: "dlw-act-said" }, measure, ranking);
  let ranked = { of: "", names: /** @type {string[]} */ ([]) };

  const showVerdict = () => {
    const sample = model.get("sample");
    say(measure, sample.ranking?.length ? (sample.measure === "probability" ? "predicted" : "output") : "");
    const of = `${sample.number}|${sample.own?.name ?? ""}|${sample.measure}`;
    /** @type {[string, number | null, boolean | null][]} */
    const rows = keepPlaces(of === ranked.of ? ranked.names : [], sample.ranking ?? []);
    ranked = { of, names: rows.map((row) => row[0]) };
    const shares = sample.measure === "probability";
    ranking.dataset.shares = String(shares);
    ranking.replaceChildren(...rows.flatMap(([name, score, true_]) => {
      const bar = make("i");
      bar.style.width = `${100 * Math.min(1, Math.max(0, score ?? 0))}%`;
      return [
        make("span", { text: true_ ? `✓ ${name}` : name, title: true_ ? `${name}: true` : name, class: true_ ? "dlw-act-true" : "" }),
        make("span", shares ? { class: "dlw-act-share", "data-true": !!true_ } : {}, ...(shares ? [bar] : [])),
        make("span", { text: shares ? (score ?? NaN).toFixed(2) : sig(score, 3), class: "dlw-act-score" }),
      ];
    }));
  };

  const showInput = () => {
    const shown = model.get("shown"), sample = model.get("sample"), width = input.clientWidth || 150;
    const [h, w] = shown.size ?? [0, 0], dims = (shown.shape ?? []).join("×") || "one number";
    say(words, `input ${dims}${shown.kind === "image" ? `, ${range(shown.low, shown.high)}` : ""}`);
    words.title = [words.textContent, shown.kind === "tokens" ? "" : shown.words].filter(Boolean).join("; ");
    say(done, sample.own?.done ?? "");
    done.title = done.textContent ?? "";
    tokens.hidden = shown.kind !== "tokens" && shown.kind !== "none";
    say(tokens, tokens.hidden ? "" : shown.words ?? "");
    canvas.hidden = !tokens.hidden || !shown.kind;
    canvas.setAttribute("aria-label", `input of ${sample.own ? sample.own.name : `sample ${sample.number}`}, ${dims}`);
    state.input = null;
    if (canvas.hidden) return;
    const strip = numbers(model.get("strip"), Float32Array);
    if (strip.length) { drawBars(el, surface(canvas, width, 64), strip, width, 64); return; }
    const bytes = numbers(model.get("pixels"), Uint8Array);
    if (!h || !w || !bytes.length) return;
    if (shown.form === "lines") {
      const ctx = surface(canvas, width, 72), scales = shown.scales ?? [], peak = Math.max(...scales);
      for (let m = Math.min(shown.count, OVERLAID) - 1; m >= 0; m -= 1) {
        const line = Float32Array.from(bytes.subarray(m * h * w, (m + 1) * h * w), (q) => (q === 0 ? NaN : ((q - 128) / 127) * (scales[m] ?? 1)));
        drawLine(el, ctx, line, peak, 0, 0, width, 72, { name: m === 0 ? "blue" : "line-2", signed: anyNegative(bytes) });
      }
      return;
    }
    const side = Math.min(width, 200), height = shown.kind === "image" ? Math.min(side, (side * h) / w) : Math.min(120, Math.max(40, (side * h) / w));
    const across = shown.kind === "image" ? Math.min(side, (height * w) / h) : side;
    const ctx = surface(canvas, across, height);
    const image = shown.kind === "image" ? imageOf(bytes, w, h) : bitmap(paintMaps(bytes, 1, h, w, 1, [1], null, state.colours).pixels, w, h);
    ctx.imageSmoothingEnabled = across < w;
    ctx.drawImage(image, 0, 0, across, height);
    if (shown.kind === "image") state.input = image;
  };
  return { input, verdict, show: () => { showInput(); showVerdict(); } };
}

// Beside the layer: what the model was given, and what it said of it.
import { make, numbers, say, sig, surface } from "../front.js";
import { boxCounts, boxLegend, drawBoxes } from "../boxes.js";
import { bitmap, drawBars, drawLine, imageOf } from "./canvas.js";
import { anyNegative, dequantise, paintMaps } from "./tiles.js";
import { keepPlaces, range } from "./words.js";

/** Lines of an input that are drawn over one another. */
const OVERLAID = 8;

/** @param {import("../front.js").Part & {state: import("./tiles.js").State}} view */
export function givenAndSaid({ model, el, state, signal, repaint }) {
  const canvas = make("canvas", { role: "img" }), tokens = make("div", { class: "dlw-act-tokens", tabindex: 0, "aria-label": "input tokens" });
  const words = make("figcaption"), done = make("div", { class: "dlw-act-caption dlw-act-done" });
  const legend = boxLegend(repaint, signal), unclear = make("div", { class: "dlw-act-caption dlw-act-warn" });
  const input = make("figure", { class: "dlw-act-input" }, words, canvas, tokens, legend.node, unclear, done);
  const ranking = make("div", { class: "dlw-act-ranking" }), measure = make("div", { class: "dlw-act-caption" });
  const fared = make("div", { class: "dlw-act-fared" }), verdict = make("div", { class: "dlw-act-said" }, measure, ranking, fared);
  let ranked = { of: "", names: /** @type {string[]} */ ([]) };

  const showVerdict = () => {
    const sample = model.get("sample"), shares = sample.measure === "probability";
    say(measure, sample.ranking?.length ? (shares ? "predicted" : "output") : "");
    say(fared, sample.words ?? "");
    // While it trains names keep their places; at rest they stand by score.
    const running = !!model.get("moment").running, of = `${sample.number}|${sample.own?.name ?? ""}|${sample.measure}`;
    /** @type {[string, number | null, boolean | null][]} */
    const rows = keepPlaces(running && of === ranked.of ? ranked.names : [], sample.ranking ?? []);
    ranked = { of, names: rows.map((row) => row[0]) };
    ranking.dataset.shares = String(shares);
    ranking.replaceChildren(...rows.flatMap(([name, score, truth]) => {
      const bar = make("i", { style: `width: ${100 * Math.min(1, Math.max(0, score ?? 0))}%` });
      return [
        make("span", { text: truth ? `✓ ${name}` : name, title: truth ? `${name}: true` : name, class: truth ? "dlw-act-true" : "", dir: "auto" }),
        shares ? make("span", { class: "dlw-act-share", "data-true": String(!!truth) }, bar) : make("span"),
        make("span", { text: shares ? (score ?? NaN).toFixed(2) : sig(score, 3), class: "dlw-act-score" }),
      ];
    }));
  };

  const showInput = () => {
    const shown = model.get("shown"), sample = model.get("sample"), width = input.clientWidth || 150, image = shown.kind === "image";
    const [h, w] = shown.size ?? [0, 0], dims = (shown.shape ?? []).join("×") || "one number";
    say(words, `input ${dims}${image ? `, ${range(shown.low, shown.high)}` : ""}`);
    words.title = [words.textContent, shown.kind === "tokens" ? "" : shown.words].filter(Boolean).join("; ");
    say(done, sample.own?.done ?? "");
    done.title = done.textContent ?? "";
    tokens.hidden = shown.kind !== "tokens" && shown.kind !== "none";
    say(tokens, tokens.hidden ? "" : shown.words ?? "");
    canvas.hidden = !tokens.hidden || !shown.kind;
    const boxes = model.get("boxes") ?? {}, marks = boxes.marks ?? [];
    legend.node.hidden = !boxes.of;
    el.toggleAttribute("data-boxes", Boolean(boxes.of));
    say(unclear, boxes.words ?? "");
    legend.draw(marks);
    state.boxes = boxes.of ? { marks: legend.seen(marks), of: boxes.of } : null;
    canvas.setAttribute("aria-label", `input of ${sample.own ? sample.own.name : `sample ${sample.number}`}, ${dims}${boxes.of ? `: ${boxCounts(marks)}` : ""}`);
    state.input = null;
    if (canvas.hidden) return;
    const strip = numbers(model.get("strip"), Float32Array), bytes = numbers(model.get("pixels"), Uint8Array);
    if (strip.length) { drawBars(el, surface(canvas, width, 64), strip, width, 64); return; }
    if (!h || !w || !bytes.length) return;
    if (shown.form === "lines") {
      const ctx = surface(canvas, width, 72), scales = shown.scales ?? [], peak = Math.max(...scales);
      for (let m = Math.min(shown.count, OVERLAID) - 1; m >= 0; m -= 1) {
        const line = Array.from(bytes.subarray(m * h * w, (m + 1) * h * w), (q) => dequantise(q, scales[m] ?? 1));
        drawLine(el, ctx, line, peak, 0, 0, width, 72, { name: m === 0 ? "blue" : "line-2", signed: anyNegative(bytes) });
      }
      return;
    }
    const side = Math.min(width, state.boxes ? 360 : 200), natural = (side * h) / w, height = image ? Math.min(side, natural) : Math.min(120, Math.max(40, natural));
    const across = image ? Math.min(side, (height * w) / h) : side, ctx = surface(canvas, across, height);
    const pixels = image ? imageOf(bytes, w, h) : bitmap(paintMaps(bytes, 1, h, w, 1, [1], null, state.colours));
    ctx.imageSmoothingEnabled = across < w;
    ctx.drawImage(pixels, 0, 0, across, height);
    if (image) state.input = pixels;
    if (state.boxes) drawBoxes(el, ctx, state.boxes.marks, state.boxes.of, { x: 0, y: 0, width: across, height });
  };
  return { input, verdict, show: () => { showInput(); showVerdict(); } };
}

// What the last step measured: its numbers, the loss of each sample, the batch, and how far each layer moved.
import { color, make, numbers, say, sig, surface, whole, rate } from "../front.js";

/** What the last step measured, as lines of a name and a value. @param {Record<string, number>} n */
export function stepLines(n) {
  const cut = n.clipped_norm === undefined ? ", not clipped" : ` before clipping, ${sig(n.clipped_norm, 3)} after`;
  const lines = /** @type {[string, string, (value: number) => string][]} */ ([
    ["loss", "loss", (value) => sig(value, 4)], ["lr", "learning rate", rate], ["batch_size", "samples", whole],
    ["grad_norm", "‖grad‖", (value) => `${sig(value, 3)}${cut}`], ["seconds", "time", (value) => `${sig(1000 * value, 2)} ms`],
  ]);
  return lines.flatMap(([key, name, words]) => (n[key] === undefined ? [] : [[name, words(n[key])]]));
}

/** The section of the last step. */
export function lastStepOf() {
  const hint = make("div", { class: "dlw-empty" }), lines = make("tbody"), batch = batchOf(), body = make("tbody");
  const head = make("tr", {}, ...["layer", "‖grad‖", "‖w‖", "Δw / w"].map((text) => make("th", { text, scope: "col" })));
  const table = make("table", { class: "dlw-step-layers" }, make("thead", {}, head), body);
  const box = make("div", {}, hint, make("table", { class: "dlw-step-lines" }, lines), batch.node, table);
  let drawn = "";
  return {
    box,
    draw(/** @type {any} */ taken, /** @type {DataView | null} */ thumbs, /** @type {boolean} */ running) {
      const there = taken.step !== undefined;
      say(hint, there ? (taken.layers.length ? "" : "Press Step once more: with this section open, its samples and layers are looked at.")
        : running ? "Pause, then press Step: what that one step did is told here." : "Press Step: what that one step did is told here.");
      hint.hidden = !hint.textContent;
      const now = there ? JSON.stringify([taken, box.clientWidth, color(box, "blue")]) : "";
      if (now === drawn && drawn) return;
      drawn = now;
      const all = there ? [["step", whole(taken.step)], ...stepLines(taken.numbers)] : [];
      lines.replaceChildren(...all.map(([name, value]) => make("tr", {}, make("th", { text: name, scope: "row" }), make("td", { text: value }))));
      if (there) batch.draw(taken, thumbs, box.clientWidth); else batch.node.hidden = true;
      table.hidden = !there || !taken.layers.length;
      body.replaceChildren(...(there ? taken.layers : []).map((/** @type {any[]} */ [path, grad, weight, ratio]) => make("tr", {},
        make("th", { text: path || "the model", scope: "row" }), make("td", { text: sig(grad, 2) }), make("td", { text: sig(weight, 2) }), make("td", { text: rate(ratio) }))));
    },
  };
}

/** The losses of a batch's samples as bars, and some of the samples. */
function batchOf() {
  const caption = make("div", { class: "dlw-rates" }), bars = make("canvas", { class: "dlw-bars", role: "img" });
  const samples = make("div", { class: "dlw-samples", role: "list" }), node = make("div", { class: "dlw-each" }, caption, bars, samples);
  return {
    node,
    draw(/** @type {any} */ taken, /** @type {DataView | null} */ thumbs, /** @type {number} */ width) {
      const losses = /** @type {(number | null)[] | null | undefined} */ (taken.losses), known = (losses ?? []).filter((loss) => loss !== null);
      node.hidden = taken.shown === undefined;
      say(caption, !losses ? `loss of each sample: n/a${taken.why_not ? `, since ${taken.why_not}` : ""}`
        : `loss of each of ${whole(losses.length)} samples, largest first: ${sig(Math.max(...known), 3)} to ${sig(Math.min(...known), 3)}${taken.why_not ? ` (${taken.why_not})` : ""}`);
      bars.hidden = !losses;
      bars.setAttribute("aria-label", caption.textContent ?? "");
      samples.replaceChildren(...sampleFigures(taken, thumbs));
      if (!losses) return;
      const wide = Math.max(80, width || 300), high = 32, ctx = surface(bars, wide, high);
      const sorted = known.sort((a, b) => b - a), most = sorted[0] || 1, each = wide / sorted.length;
      ctx.fillStyle = color(node, "blue");
      sorted.forEach((loss, i) => {
        const h = Math.max(1, (high * Math.max(0, loss)) / most);
        ctx.fillRect(i * each, high - h, Math.max(0.6, each - (each > 3 ? 1 : 0)), h);
      });
    },
  };
}

/** The samples that are shown, each with its loss. @param {any} taken @param {DataView | null} thumbs */
function sampleFigures(taken, thumbs) {
  const [count, height, width] = taken.shape?.length ? taken.shape : [0, 0, 0], pixels = numbers(thumbs, Uint8Array), size = height * width * 3;
  return /** @type {number[]} */ (taken.shown ?? []).map((number, i) => {
    const said = taken.losses ? sig(taken.losses[number], 3) : "";
    const one = make("figure", { role: "listitem", title: `sample ${number} of the batch${said ? `, loss ${said}` : ""}` });
    if (i < count && pixels.length >= count * size) {
      const canvas = make("canvas", { width, height, "aria-hidden": "true" }), ctx = canvas.getContext("2d"), data = ctx?.createImageData(width, height);
      for (let from = i * size, to = 0; data && from < (i + 1) * size; from += 3, to += 4) data.data.set([...pixels.subarray(from, from + 3), 255], to);
      if (data) ctx?.putImageData(data, 0, 0);
      one.append(canvas);
    }
    one.append(make("figcaption", { text: said ? `${number}: ${said}` : `${number}` }));
    return one;
  });
}

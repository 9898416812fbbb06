// What excites the chosen channel: the strongest samples as small pictures, the place marked, a click selects.
import { color, listen, make, numbers, say, sig, surface, whole } from "../front.js";
import { imageOf } from "../activations/canvas.js";
import { percent } from "../activations/words.js";

/** @typedef {import("../front.js").Model} Model */
/** @typedef {import("./ablation.js").Want} Want */

/** The longest side of a sample's picture, and the least of a mark [px]. */
const PICTURE = 76, LEAST_MARK = 18;

/**
 * Where the mark around a place lies in a picture of a size, whole in it and no smaller than can be seen.
 * @param {number[]} box left, top, width, height as shares @param {number} width @param {number} height
 * @returns {[number, number, number, number]} left, top, width, height [px]
 */
export function markAt(box, width, height) {
  const w = Math.min(width, Math.max(LEAST_MARK, box[2] * width)), h = Math.min(height, Math.max(LEAST_MARK, box[3] * height));
  const left = Math.min(width - w, Math.max(0, (box[0] + box[2] / 2) * width - w / 2));
  const top = Math.min(height - h, Math.max(0, (box[1] + box[3] / 2) * height - h / 2));
  return [left, top, w, h];
}

/** What is said above the pictures. @param {any} now */
export function excitesWords(now) {
  if (now.reason) return now.reason;
  if (!now.taken) return "The probe samples are being run.";
  const of = now.taken < now.wanted ? `the first ${whole(now.taken)} of ${whole(now.wanted)} samples` : `${whole(now.taken)} samples`;
  const some = now.wanted < now.of ? `, chosen from ${whole(now.of)}` : "";
  const at = now.last === null || now.last === undefined ? "" : now.first === now.last ? ` · step ${whole(now.last)}` : ` · steps ${whole(now.first)}–${whole(now.last)}`;
  return [`channel ${now.channel}: above zero on ${percent(now.active)} of ${of}${some}${at}`, now.note].filter(Boolean).join("; ");
}

/**
 * @param {{model: Model, el: HTMLElement, signal: AbortSignal, want: Want}} view
 */
export function exciteSection({ model, el, signal, want }) {
  const most = make("button", { type: "button", text: "largest value" }), mean = make("button", { type: "button", text: "mean" });
  const words = make("span", { class: "dlw-study-said" });
  const tiles = make("div", { class: "dlw-study-tiles" }), foot = make("div", { class: "dlw-faint dlw-small" });
  const node = make("div", { class: "dlw-study-excites" },
    make("div", { class: "dlw-study-row" }, make("span", { class: "dlw-faint", text: "Strongest by" }),
      make("div", { class: "dlw-study-buttons", role: "group", "aria-label": "strongest by" }, most, mean), words),
    tiles, foot);

  /** @param {number} i @param {any} tile @param {any} now @param {Uint8Array} pixels */
  const paint = (i, tile, now, pixels) => {
    const button = tiles.children[i], canvas = /** @type {HTMLCanvasElement} */ (button.querySelector("canvas"));
    const text = /** @type {HTMLElement} */ (button.querySelector("em")), [h, w] = now.size ?? [];
    canvas.hidden = !(pixels.length && h) && !tile.line;
    say(text, canvas.hidden ? tile.words : "");
    text.hidden = !canvas.hidden;
    if (pixels.length && h) {
      const across = w >= h ? PICTURE : (PICTURE * w) / h, down = w >= h ? (PICTURE * h) / w : PICTURE, size = h * w * 3;
      const ctx = surface(canvas, across, down);
      ctx.imageSmoothingEnabled = false;
      ctx.drawImage(imageOf(pixels.subarray(i * size, (i + 1) * size), w, h), 0, 0, across, down);
      if (tile.box?.length === 4) {
        const at = markAt(tile.box, across, down);
        for (const [name, line] of /** @type {[string, number][]} */ ([["paper", 4], ["orange", 2]])) {
          ctx.strokeStyle = color(el, name); ctx.lineWidth = line;
          ctx.strokeRect(at[0] + 1, at[1] + 1, at[2] - 2, at[3] - 2);
        }
      }
    } else if (tile.line) drawTrace(surface(canvas, PICTURE, 44), tile);
  };

  /** @param {CanvasRenderingContext2D} ctx @param {any} tile */
  const drawTrace = (ctx, tile) => {
    const step = PICTURE / Math.max(1, tile.line.length - 1);
    if (tile.box?.length === 2) {
      ctx.fillStyle = color(el, "orange-soft");
      ctx.fillRect(Math.min(PICTURE - 3, tile.box[0] * PICTURE), 0, Math.max(3, tile.box[1] * PICTURE), 44);
    }
    ctx.strokeStyle = color(el, "blue");
    ctx.beginPath();
    tile.line.forEach((/** @type {number} */ y, /** @type {number} */ i) => ctx.lineTo(i * step, 42 - (y / 100) * 40));
    ctx.stroke();
  };

  const draw = () => {
    const now = model.get("exciting"), list = now.tiles ?? [], pixels = numbers(model.get("excited"), Uint8Array);
    const by = want.get("excites_by") ?? now.by ?? "max";
    most.setAttribute("aria-pressed", String(by === "max")); mean.setAttribute("aria-pressed", String(by === "mean"));
    say(words, excitesWords(now));
    while (tiles.childElementCount > list.length) tiles.lastElementChild?.remove();
    while (tiles.childElementCount < list.length) {
      const button = make("button", { type: "button" }, make("canvas"), make("em"), make("span"));
      listen(button, "click", () => want.set("selected_sample", Number(button.dataset.sample)), signal);
      tiles.append(button);
    }
    const chosen = model.get("sample")?.number;
    tiles.dataset.form = pixels.length ? "images" : list[0]?.line ? "lines" : "words";
    list.forEach((/** @type {any} */ tile, /** @type {number} */ i) => {
      const button = /** @type {HTMLElement} */ (tiles.children[i]), value = tile.value === null ? "not finite" : sig(tile.value, 3);
      button.dataset.sample = String(tile.sample);
      button.setAttribute("aria-pressed", String(tile.sample === chosen));
      button.setAttribute("aria-label", `look at sample ${tile.sample}: ${value}`);
      button.title = `look at sample ${tile.sample}: ${value}`;
      say(/** @type {HTMLElement} */ (button.querySelector("span")), `${whole(tile.sample)} · ${value}`);
      paint(i, tile, now, pixels);
    });
    const marked = list.some((/** @type {any} */ tile) => tile.box);
    say(foot, list.length ? `${marked ? "marked: where the largest value lies, by ratio – what it sees reaches further · " : ""}a click looks at the sample` : "");
  };

  listen(most, "click", () => want.set("excites_by", "max"), signal);
  listen(mean, "click", () => want.set("excites_by", "mean"), signal);
  return { node, draw };
}

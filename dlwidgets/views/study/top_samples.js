// What excites the chosen channel: the strongest samples as small pictures, the place marked, a click selects.
import { color, make, makeButton, makeChoice, numbers, say, sig, surface, whole } from "../front.js";
import { drawLine, fitted, imageOf } from "../activations/canvas.js";
import { percent } from "../activations/words.js";

/** The longest side of a sample's picture, the height of a line, and the least side of a mark [px]. */
const PICTURE = 76, LINE_HIGH = 44, LEAST_MARK = 18;

/**
 * Where the mark around a place lies in a picture of a size, whole in it and no smaller than can be seen.
 * @param {number[]} box left, top, width, height as shares @param {number} width @param {number} height
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

/** A line with the part that counts shaded. @param {HTMLElement} el @param {CanvasRenderingContext2D} ctx @param {any} tile */
function drawTrace(el, ctx, tile) {
  if (tile.box?.length === 2) {
    ctx.fillStyle = color(el, "orange-soft");
    ctx.fillRect(Math.min(PICTURE - 3, tile.box[0] * PICTURE), 0, Math.max(3, tile.box[1] * PICTURE), LINE_HIGH);
  }
  drawLine(el, ctx, tile.line, 100, 0, 0, PICTURE, LINE_HIGH, { signed: false });
}

/** @param {import("../front.js").Part} view */
export function exciteSection({ model, el, signal, want }) {
  const by = makeChoice("strongest by", [["max", "largest value"], ["mean", "mean"]], (value) => want.set("excites_by", value), signal);
  const words = make("span", { class: "dlw-study-said" }), tiles = make("div", { class: "dlw-study-tiles" }), foot = make("div", { class: "dlw-faint dlw-small" });
  const node = make("div", {},
    make("div", { class: "dlw-study-row" }, make("span", { class: "dlw-faint", text: "Strongest by" }), by.node, words), tiles, foot);

  /** @param {HTMLElement[]} parts @param {any} tile @param {number[]} size @param {Uint8Array} pixels of this tile, if any */
  const paint = ([picture, text], tile, [h, w], pixels) => {
    const canvas = /** @type {HTMLCanvasElement} */ (picture);
    canvas.hidden = !pixels.length && !tile.line;
    say(text, canvas.hidden ? tile.words : "");
    text.hidden = !canvas.hidden;
    if (canvas.hidden) return;
    if (!pixels.length) { drawTrace(el, surface(canvas, PICTURE, LINE_HIGH), tile); return; }
    const [across, down] = fitted(w, h, PICTURE), ctx = surface(canvas, across, down);
    ctx.imageSmoothingEnabled = false;
    ctx.drawImage(imageOf(pixels, w, h), 0, 0, across, down);
    if (tile.box?.length !== 4) return;
    const at = markAt(tile.box, across, down);
    for (const [name, line] of /** @type {[string, number][]} */ ([["paper", 4], ["orange", 2]])) {
      ctx.strokeStyle = color(el, name); ctx.lineWidth = line;
      ctx.strokeRect(at[0] + 1, at[1] + 1, at[2] - 2, at[3] - 2);
    }
  };

  const draw = () => {
    const now = model.get("exciting"), pixels = numbers(model.get("excited"), Uint8Array), chosen = model.get("sample")?.number;
    const size = now.size ?? [], each = pixels.length && size.length ? 3 * size[0] * size[1] : 0;
    /** @type {any[]} */
    const list = now.tiles ?? [];
    by.show(want.get("excites_by") ?? now.by ?? "max");
    say(words, excitesWords(now));
    while (tiles.childElementCount > list.length) tiles.lastElementChild?.remove();
    while (tiles.childElementCount < list.length) {
      const button = makeButton("", () => want.set("selected_sample", Number(button.dataset.sample)), signal);
      button.append(make("canvas"), make("em"), make("span"));
      tiles.append(button);
    }
    tiles.dataset.form = pixels.length ? "images" : list[0]?.line ? "lines" : "words";
    list.forEach((tile, i) => {
      const button = /** @type {HTMLElement} */ (tiles.children[i]), value = tile.value === null ? "not finite" : sig(tile.value, 3);
      const parts = /** @type {HTMLElement[]} */ ([...button.children]);
      button.dataset.sample = String(tile.sample);
      button.title = `look at sample ${tile.sample}: ${value}`;
      button.setAttribute("aria-pressed", String(tile.sample === chosen));
      button.setAttribute("aria-label", button.title);
      say(parts[2], `${whole(tile.sample)} · ${value}`);
      paint(parts, tile, size, pixels.subarray(i * each, (i + 1) * each));
    });
    const marked = list.some((tile) => tile.box) ? "marked: where the largest value lies, by ratio – what it sees reaches further · " : "";
    say(foot, list.length ? `${marked}a click looks at the sample` : "");
  };
  return { node, draw };
}

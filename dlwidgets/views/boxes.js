// A picture with its boxes: true ones solid, those that were said dashed, each with a mark and a word for what became of it.
import { color, listen, make, say, surface, whole } from "./front.js";

/** A box as the kernel sends it: corners in the picture's own pixels; `kind` is "found", "missed" or "false", and
 * "said" where it is not known what is true.
 * @typedef {{box: number[], class: string, score: number | null, kind: string, true: boolean}} Mark */
/** A place on a canvas, and what it shows of a picture. @typedef {{x: number, y: number, width: number, height: number}} Place */

/** What stands before the words of each kind. @type {Record<string, string>} */
const BOX_SIGNS = { found: "✓", missed: "✕", false: "▲", said: "" };
/** The height of a label, and the narrowest box that has its whole label [px]. */
const BOX_LABEL = 13;

/** What a box's label says; a found true box has none, since what found it has one. @param {Mark} mark @param {boolean} [alone] whether only true boxes are shown */
export function boxLabel({ class: name, score, kind, true: is }, alone = false) {
  if (is && kind === "found") return alone ? name : "";
  const said = is || score === null ? "" : ` ${score.toFixed(2)}`;
  return `${BOX_SIGNS[kind]} ${name}${said}${kind === "found" || kind === "said" ? "" : ` ${kind}`}`.trim();
}

/** How many boxes were found, missed and false, in words. @param {Mark[]} marks */
export function boxCounts(marks) {
  const of = (/** @type {boolean} */ is, /** @type {string} */ kind) => marks.filter((mark) => mark.true === is && mark.kind === kind).length;
  const parts = [`${whole(of(true, "found"))} found`, `${whole(of(true, "missed"))} missed`, `${whole(of(false, "false"))} false`];
  if (marks.some((mark) => mark.kind === "said")) return `${whole(marks.length)} said`;
  return marks.length ? parts.join(" · ") : "no box is true, and none was said";
}

/** A box in the pixels of a canvas. @param {number[]} box @param {number[]} of height and width of the picture @param {Place} place @returns {Place} */
export function boxPlace([x1, y1, x2, y2], [tall, wide], { x, y, width, height }) {
  return { x: x + (x1 / wide) * width, y: y + (y1 / tall) * height, width: ((x2 - x1) / wide) * width, height: ((y2 - y1) / tall) * height };
}

/** Whether a box has the colour of what is right. @param {Mark} mark */
function isRight({ kind }) { return kind === "found" || kind === "said"; }

/** Draw boxes over a picture that lies at `place`. @param {Element} el whose colours they have @param {CanvasRenderingContext2D} ctx
 * @param {Mark[]} marks @param {number[]} of height and width of the picture @param {Place} place @param {boolean} [words] whether they have labels */
export function drawBoxes(el, ctx, marks, of, place, words = true) {
  const [right, wrong, paper, ink] = ["blue", "orange", "paper", "ink"].map((name) => color(el, name));
  const alone = !marks.some((mark) => !mark.true), taken = /** @type {Place[]} */ ([]);
  ctx.save();
  ctx.beginPath(); ctx.rect(place.x, place.y, place.width, place.height); ctx.clip();
  for (const mark of marks) {
    const at = boxPlace(mark.box, of, place);
    // A rim of paper sets each line off from any picture.
    for (const [stroke, wide] of /** @type {[string, number][]} */ ([[paper, words ? 4 : 2.5], [isRight(mark) ? right : wrong, words ? 2 : 1.2]])) {
      ctx.strokeStyle = stroke; ctx.lineWidth = wide; ctx.setLineDash(mark.true ? [] : [5, 3]);
      ctx.strokeRect(at.x, at.y, at.width, at.height);
    }
  }
  ctx.setLineDash([]);
  ctx.font = `600 10.5px ${getComputedStyle(el).fontFamily}`; ctx.textBaseline = "middle"; ctx.textAlign = "left";
  for (const mark of words ? marks : []) {
    const text = boxLabel(mark, alone);
    if (!text) continue;
    const at = boxPlace(mark.box, of, place), width = ctx.measureText(text).width + 6;
    const x = Math.max(place.x, Math.min(at.x - 1, place.x + place.width - width));
    // Above the box, else inside; lower where another label is.
    let y = at.y - BOX_LABEL - 1 >= place.y ? at.y - BOX_LABEL - 1 : Math.max(place.y, at.y + 1);
    const hits = () => taken.some((one) => x < one.x + one.width && x + width > one.x && y < one.y + BOX_LABEL && y + BOX_LABEL > one.y);
    for (let tries = 0; tries < 8 && hits(); tries++) y += BOX_LABEL;
    taken.push({ x, y, width, height: BOX_LABEL });
    ctx.fillStyle = paper; ctx.globalAlpha = 0.88; ctx.fillRect(x, y, width, BOX_LABEL); ctx.globalAlpha = 1;
    ctx.fillStyle = isRight(mark) ? right : wrong; ctx.fillRect(x, y, 2, BOX_LABEL);
    ctx.fillStyle = ink; ctx.fillText(text, x + 4, y + BOX_LABEL / 2 + 0.5);
  }
  ctx.restore();
}

/** The two switches under a picture, which are its legend too. @param {() => void} changed @param {AbortSignal} signal */
export function boxLegend(changed, signal) {
  const kinds = /** @type {const} */ ([[true, "true", "solid"], [false, "said", "dashed"]]).map(([is, text, style]) => {
    const box = make("input", { type: "checkbox" }), line = make("i", { "data-style": style, "aria-hidden": "true" });
    box.checked = true;
    listen(box, "change", changed, signal);
    return { is, box, node: make("label", { title: `${style} lines` }, box, line, text) };
  });
  const counts = make("span", { class: "dlw-boxes-counts" });
  const node = make("div", { class: "dlw-boxes-legend" }, ...kinds.map((kind) => kind.node), counts);
  return {
    node,
    /** Those of the marks that are to be seen. @param {Mark[]} marks */
    seen: (marks) => marks.filter((mark) => kinds.find(({ is }) => is === mark.true)?.box.checked),
    draw(/** @type {Mark[]} */ marks) { say(counts, boxCounts(marks)); counts.title = "✓ found: a true box and one that was said overlap enough. ✕ missed: a true box without such a one. ▲ false: said, and no true box there."; },
  };
}

/** The picture that is open, with its boxes. @param {{signal: AbortSignal, repaint: () => void}} hands */
export function boxPicture({ signal, repaint }) {
  const title = make("div", { class: "dlw-boxes-title" }), canvas = make("canvas", { role: "img" }), legend = boxLegend(repaint, signal);
  const waiting = make("div", { class: "dlw-faint" });
  const node = make("figure", { class: "dlw-boxes" }, title, waiting, canvas, legend.node);

  /** @param {HTMLCanvasElement | null} pixels @param {{name: string, of: number[], marks: Mark[]}} shown @param {number} most the widest it may be */
  function draw(pixels, { name, of, marks }, most) {
    const words = `picture ${name}: ${boxCounts(marks)}`;
    say(title, `picture ${name}`);
    canvas.hidden = !pixels;
    say(waiting, pixels ? "" : "Its picture is not here.");
    canvas.setAttribute("aria-label", `${words}. ${marks.map((mark) => `${mark.true ? "true" : "said"} ${boxLabel(mark, true)}`).join("; ")}`);
    legend.draw(marks);
    if (!pixels) return;
    const scale = Math.min(most / of[1], 360 / of[0]), width = Math.round(of[1] * scale), height = Math.round(of[0] * scale), ctx = surface(canvas, width, height);
    ctx.imageSmoothingEnabled = width < pixels.width;
    ctx.drawImage(pixels, 0, 0, width, height);
    drawBoxes(node, ctx, legend.seen(marks), of, { x: 0, y: 0, width, height });
  }
  return { node, draw };
}

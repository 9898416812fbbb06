// A sample of a person's own: an image chosen, dropped or pasted, or a text.
import { listen, make } from "../front.js";

/** @typedef {import("../front.js").Model} Model */

/** Pixels of an image that are sent at most: with three bytes each, under 300 KB. */
const MOST = 99_000;

/** The size at which an image of w x h is sent. @param {number} w @param {number} h @returns {[number, number]} */
export function sentSize(w, h) {
  const scale = Math.min(1, Math.sqrt(MOST / (w * h)));
  return [Math.max(1, Math.floor(w * scale)), Math.max(1, Math.floor(h * scale))];
}

/** RGB of RGBA pixels, on white where they are transparent. @param {Uint8ClampedArray} rgba @returns {Uint8Array} */
export function onWhite(rgba) {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    const alpha = rgba[from + 3] / 255;
    for (let c = 0; c < 3; c += 1) rgb[to + c] = Math.round(alpha * rgba[from + c] + (1 - alpha) * 255);
  }
  return rgb;
}

/**
 * An image file as bytes, made smaller where it is large.
 * @param {Blob} file @returns {Promise<{said: {width: number, height: number, done: string}, bytes: Uint8Array}>}
 */
async function decoded(file) {
  const image = await createImageBitmap(file);
  const [width, height] = sentSize(image.width, image.height);
  const canvas = document.createElement("canvas");
  canvas.width = width; canvas.height = height;
  const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  ctx.imageSmoothingQuality = "high";
  ctx.drawImage(image, 0, 0, width, height);
  const bytes = onWhite(ctx.getImageData(0, 0, width, height).data);
  const done = width === image.width && height === image.height ? "" : `${image.width} × ${image.height} made smaller in the page`;
  image.close();
  return { said: { width, height, done }, bytes };
}

/**
 * @param {{model: Model, el: HTMLElement, signal: AbortSignal, want: {call(name: string, value?: any): void}, failed: (words: string) => void}} view
 * @returns {{node: HTMLElement, show: (sample: any) => void}}
 */
export function ownSample({ model, el, signal, want, failed }) {
  const file = make("input", { type: "file", accept: "image/*", "aria-label": "an image of your own" });
  file.hidden = true;
  const own = make("button", { type: "button", text: "own image", title: "an image of your own: choose a file, drop one here, or paste one" });
  const text = make("input", { type: "search", class: "dlw-act-text", placeholder: "own text, then Enter", "aria-label": "a text of your own" });
  const node = make("div", { class: "dlw-act-group" }, own, file, text);
  const takesImage = () => !!model.get("sample").takes?.image;

  /** @param {Blob & {name?: string}} image */
  const take = async (image) => {
    try {
      const { said, bytes } = await decoded(image);
      if (signal.aborted) return;
      failed("");
      /** @type {any} */ (model).send({ own: { ...said, name: image.name ?? "pasted" } }, undefined, [bytes.buffer]);
    } catch { failed(`${image.name ?? "This"} is no image that this browser reads.`); }
  };
  /** @param {DataTransfer | null} data */
  const imageIn = (data) => [...(data?.files ?? [])].find((one) => one.type.startsWith("image/"));
  listen(own, "click", () => file.click(), signal);
  listen(file, "change", () => { if (file.files?.[0]) void take(file.files[0]); file.value = ""; }, signal);
  listen(text, "keydown", (event) => {
    if (event.key !== "Enter" || !text.value.trim()) return;
    event.preventDefault();
    want.call("own_text", text.value);
  }, signal);
  listen(el, "dragover", (event) => {
    if (!takesImage() || ![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
    event.preventDefault(); event.stopPropagation();
    el.dataset.drop = "true";
  }, signal);
  listen(el, "dragleave", (event) => { if (!(event.relatedTarget instanceof Node && el.contains(event.relatedTarget))) delete el.dataset.drop; }, signal);
  listen(el, "drop", (event) => {
    delete el.dataset.drop;
    if (!takesImage() || !event.dataTransfer?.files.length) return;
    event.preventDefault(); event.stopPropagation();
    const image = imageIn(event.dataTransfer);
    if (image) void take(image); else failed("What was dropped is no image.");
  }, signal);
  listen(el, "paste", (event) => {
    const image = imageIn(event.clipboardData);
    if (!image || !takesImage()) return;
    event.preventDefault(); event.stopPropagation();
    void take(image);
  }, signal);

  return {
    node,
    show(sample) {
      own.hidden = !sample.takes?.image;
      own.setAttribute("aria-pressed", String(!!sample.own));
      text.hidden = !sample.takes?.text;
      node.hidden = own.hidden && text.hidden;
    },
  };
}

// How a sample is picked in the activation browser: by number, along an order, or one of a person's own.
import { listen, make, say, whole } from "../front.js";

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
 * @param {{model: Model, el: HTMLElement, signal: AbortSignal, want: {get(name: string): any, set(name: string, value: any): void, call(name: string, value?: any): void}, failed: (words: string) => void}} view
 * @returns {{nodes: HTMLElement[], show: () => void}}
 */
export function samplePicker({ model, el, signal, want, failed }) {
  const back = make("button", { type: "button", text: "‹", "aria-label": "previous sample", title: "previous sample" });
  const next = make("button", { type: "button", text: "›", "aria-label": "next sample", title: "next sample" });
  const number = make("input", { type: "number", class: "dlw-act-number", min: 0, step: 1, "aria-label": "sample number" });
  const many = make("span"), random = make("button", { type: "button", text: "random", title: "a sample at random, in this order" });
  const order = make("select", { class: "dlw-act-order", "aria-label": "order of the samples", title: "the way that next and previous go" });
  const file = make("input", { type: "file", accept: "image/*", "aria-label": "an image of your own" });
  file.hidden = true;
  const own = make("button", { type: "button", text: "own image", title: "an image of your own: choose a file, drop one here, or paste one" });
  const text = make("input", { type: "search", class: "dlw-act-text", placeholder: "own text, then Enter", "aria-label": "a text of your own" });
  const box = make("div", { class: "dlw-act-group dlw-act-sample" }, make("span", { text: "Sample" }), back, number, next, many, random);
  const way = make("div", { class: "dlw-act-group" }, make("span", { text: "By" }), order);
  const bring = make("div", { class: "dlw-act-group" }, own, file, text);
  let listed = "";

  const sample = () => model.get("sample");
  /** @param {number} to */
  const goTo = (to) => { if (Number.isInteger(to) && to >= 0 && to < (sample().count ?? 0)) want.set("selected_sample", to); };
  const byNumber = () => (sample().order ?? "number") === "number";
  listen(back, "click", () => { if (byNumber() && !sample().own) goTo(want.get("selected_sample") - 1); else want.call("go", "previous"); }, signal);
  listen(next, "click", () => { if (byNumber() && !sample().own) goTo(want.get("selected_sample") + 1); else want.call("go", "next"); }, signal);
  listen(random, "click", () => {
    if (!byNumber()) { want.call("go", "random"); return; }
    const count = sample().count ?? 1, jump = 1 + Math.floor(Math.random() * (count - 1));
    goTo((want.get("selected_sample") + jump) % count);
  }, signal);
  const typed = () => {
    const to = Math.min((sample().count ?? 1) - 1, Math.max(0, Math.round(Number(number.value) || 0)));
    number.value = String(to);
    if (to !== want.get("selected_sample") || sample().own) goTo(to);
  };
  listen(number, "change", typed, signal);
  // A notebook may keep Enter for itself before the field hears of a change.
  listen(number, "keydown", (event) => { if (event.key === "Enter") typed(); }, signal);
  listen(order, "change", () => want.call("order", order.value), signal);

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
    if (!sample().takes?.image || ![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
    event.preventDefault(); event.stopPropagation();
    el.dataset.drop = "true";
  }, signal);
  listen(el, "dragleave", (event) => { if (!(event.relatedTarget instanceof Node && el.contains(event.relatedTarget))) delete el.dataset.drop; }, signal);
  listen(el, "drop", (event) => {
    delete el.dataset.drop;
    if (!sample().takes?.image || !event.dataTransfer?.files.length) return;
    event.preventDefault(); event.stopPropagation();
    const image = imageIn(event.dataTransfer);
    if (image) void take(image); else failed("What was dropped is no image.");
  }, signal);
  listen(el, "paste", (event) => {
    const image = imageIn(event.clipboardData);
    if (!image || !sample().takes?.image) return;
    event.preventDefault(); event.stopPropagation();
    void take(image);
  }, signal);

  const show = () => {
    const now = sample(), at = want.get("selected_sample"), last = (now.count ?? 1) - 1, ours = !!now.own;
    if (document.activeElement !== number) number.value = String(at);
    number.max = String(last);
    const among = `of ${whole(now.count ?? 0)} ${now.name}`;
    const placed = now.place ? (now.place[0] < 0 ? `not among ${whole(now.place[1])}` : `${whole(now.place[0] + 1)} of ${whole(now.place[1])}`) : among;
    say(many, now.count ? placed : "");
    many.title = now.place ? `sample ${at} ${among}` : "";
    back.disabled = !ours && (now.place ? now.place[0] === 0 : at <= 0);
    next.disabled = !ours && (now.place ? now.place[0] === now.place[1] - 1 : at >= last);
    random.disabled = last < 1;
    const orders = now.orders ?? [], key = JSON.stringify(orders);
    if (key !== listed) {
      listed = key;
      const plain = orders.filter((/** @type {string[]} */ [value]) => !value.startsWith("class:"));
      const classes = orders.filter((/** @type {string[]} */ [value]) => value.startsWith("class:"));
      const options = (/** @type {string[][]} */ some) => some.map(([value, words]) => make("option", { value, text: words }));
      order.replaceChildren(...options(plain), ...(classes.length ? [make("optgroup", { label: "only those" }, ...options(classes))] : []));
    }
    order.value = now.order ?? "number";
    order.disabled = orders.length < 2;
    order.title = orders.length < 2 ? "by loss and by class after the first evaluation" : "the way that next and previous go";
    box.dataset.own = String(ours);
    own.hidden = !now.takes?.image;
    own.setAttribute("aria-pressed", String(ours));
    text.hidden = !now.takes?.text;
    bring.hidden = own.hidden && text.hidden;
  };
  return { nodes: [box, way, bring], show };
}

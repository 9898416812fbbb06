// How a sample is picked in the activation browser: by number, along an order, or one of a person's own.
import { listen, make, makeButton, say, whole } from "../front.js";
import { labelled } from "./controls.js";

/** Pixels of an image that are sent at most: with three bytes each, under 300 KB. */
const MOST = 99_000;

/** The size at which an image of w x h is sent. @param {number} w @param {number} h */
export function sentSize(w, h) {
  const scale = Math.min(1, Math.sqrt(MOST / (w * h)));
  return [Math.max(1, Math.floor(w * scale)), Math.max(1, Math.floor(h * scale))];
}

/** RGB of RGBA pixels, on white where they are transparent. @param {Uint8ClampedArray} rgba */
export function onWhite(rgba) {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    const alpha = rgba[from + 3] / 255;
    for (let c = 0; c < 3; c += 1) rgb[to + c] = Math.round(alpha * rgba[from + c] + (1 - alpha) * 255);
  }
  return rgb;
}

/** An image file as bytes, made smaller where it is large, and what the kernel is told of it. @param {Blob} file */
async function decoded(file) {
  const image = await createImageBitmap(file), canvas = document.createElement("canvas");
  const [width, height] = sentSize(image.width, image.height);
  canvas.width = width; canvas.height = height;
  const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  ctx.imageSmoothingQuality = "high";
  ctx.drawImage(image, 0, 0, width, height);
  const bytes = onWhite(ctx.getImageData(0, 0, width, height).data);
  const done = width === image.width && height === image.height ? "" : `${image.width} × ${image.height} made smaller in the page`;
  image.close();
  return { said: { width, height, done }, bytes };
}

/** A sample of a person's own: an image chosen, dropped or pasted, or a text. @param {import("../front.js").Part & {failed: (words: string) => void}} view */
function ownSample({ model, el, signal, want, failed }) {
  const file = make("input", { type: "file", accept: "image/*", "aria-label": "an image of your own", hidden: true });
  const own = makeButton("own image", () => file.click(), signal, { title: "an image of your own: choose a file, drop one here, or paste one" });
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
  /** @param {Event} event */
  const keep = (event) => { event.preventDefault(); event.stopPropagation(); };
  listen(file, "change", () => { if (file.files?.[0]) void take(file.files[0]); file.value = ""; }, signal);
  listen(text, "keydown", (event) => {
    if (event.key !== "Enter" || !text.value.trim()) return;
    event.preventDefault();
    want.call("own_text", text.value);
  }, signal);
  listen(el, "dragover", (event) => {
    if (!takesImage() || ![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
    keep(event);
    el.dataset.drop = "true";
  }, signal);
  listen(el, "dragleave", (event) => { if (!(event.relatedTarget instanceof Node && el.contains(event.relatedTarget))) delete el.dataset.drop; }, signal);
  listen(el, "drop", (event) => {
    delete el.dataset.drop;
    if (!takesImage() || !event.dataTransfer?.files.length) return;
    keep(event);
    const image = imageIn(event.dataTransfer);
    if (image) void take(image); else failed("What was dropped is no image.");
  }, signal);
  listen(el, "paste", (event) => {
    const image = imageIn(event.clipboardData);
    if (!image || !takesImage()) return;
    keep(event);
    void take(image);
  }, signal);

  return {
    node,
    /** @param {any} sample */
    show(sample) {
      own.hidden = !sample.takes?.image;
      own.setAttribute("aria-pressed", String(!!sample.own));
      text.hidden = !sample.takes?.text;
      node.hidden = own.hidden && text.hidden;
    },
  };
}

/** @param {import("../front.js").Part & {failed: (words: string) => void}} view */
export function samplePicker(view) {
  const { model, signal, want } = view, sample = () => model.get("sample"), last = () => (sample().count ?? 1) - 1;
  /** @param {number} to */
  const goTo = (to) => { if (Number.isInteger(to) && to >= 0 && to <= last()) want.set("selected_sample", to); };
  const byNumber = () => (sample().order ?? "number") === "number";
  /** @param {string} name @param {string} way @param {number} by */
  const stepper = (name, way, by) => makeButton(name, () => {
    if (byNumber() && !sample().own) goTo(want.get("selected_sample") + by); else want.call("go", way);
  }, signal, { "aria-label": `${way} sample`, title: `${way} sample` });
  const back = stepper("‹", "previous", -1), next = stepper("›", "next", 1);
  const random = makeButton("random", () => {
    if (!byNumber()) { want.call("go", "random"); return; }
    const jump = 1 + Math.floor(Math.random() * last());
    goTo((want.get("selected_sample") + jump) % (last() + 1));
  }, signal, { class: "dlw-act-random", title: "a sample at random, in this order" });
  const number = make("input", { type: "number", class: "dlw-act-number", min: 0, step: 1, "aria-label": "sample number" }), many = make("span");
  const order = make("select", { class: "dlw-act-order", "aria-label": "order of the samples" });
  const box = labelled("Sample", back, number, next, many, random), own = ownSample(view);
  box.classList.add("dlw-act-sample");
  let listed = "";

  const typed = () => {
    const to = Math.min(last(), Math.max(0, Math.round(Number(number.value) || 0)));
    number.value = String(to);
    if (to !== want.get("selected_sample") || sample().own) goTo(to);
  };
  listen(number, "change", typed, signal);
  // A notebook may keep Enter for itself before the field hears of a change.
  listen(number, "keydown", (event) => { if (event.key === "Enter") typed(); }, signal);
  listen(order, "change", () => want.call("order", order.value), signal);

  const show = () => {
    const now = sample(), at = want.get("selected_sample"), ours = !!now.own, [place, of] = now.place ?? [at, last() + 1];
    if (document.activeElement !== number) number.value = String(at);
    number.max = String(last());
    const among = `of ${whole(now.count ?? 0)}`;
    const placed = !now.place ? among : place < 0 ? `not among ${whole(of)}` : `${whole(place + 1)} of ${whole(of)}`;
    say(many, now.count ? placed : "");
    many.title = `sample ${at} ${among} ${now.name}`;
    back.disabled = !ours && (now.place ? place === 0 : at <= 0);
    next.disabled = !ours && (now.place ? place === of - 1 : at >= last());
    random.disabled = last() < 1;
    /** @type {[string, string][]} */
    const orders = now.orders ?? [], key = JSON.stringify(orders);
    if (key !== listed) {
      listed = key;
      const options = orders.map(([value, text]) => make("option", { value, text })), plain = orders.filter(([value]) => !value.startsWith("class:")).length;
      order.replaceChildren(...options.slice(0, plain), ...(options[plain] ? [make("optgroup", { label: "only those" }, ...options.slice(plain))] : []));
    }
    order.value = now.order ?? "number";
    order.disabled = orders.length < 2;
    order.title = order.disabled ? "by loss and by class after the first evaluation" : "the way that next and previous go";
    box.dataset.own = String(ours);
    own.show(now);
  };
  return { nodes: [box], more: [labelled("By", order), own.node], show };
}

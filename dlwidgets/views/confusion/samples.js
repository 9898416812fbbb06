// The samples of one quadrant of a class: thumbnails, rows or texts, a page at a time; a click selects one.
import { listen, make, numbers, say, sig, whole } from "../front.js";
import { keep, nameFor, step } from "./plot.js";

/** A sample as the kernel sends it; `true` and `said` are class numbers. @typedef {{number: number, name: string, score: number | null,
 * true: number[], said: number[], unknown?: string, kind: string, size?: number[], values?: any[], text?: string,
 * box?: number[], overlap?: number | null}} Sample */

/** Samples on a page; as in class_detail.py. */
const PAGED = 24;
/** The quadrants as they are offered, with their cells; the last is no quadrant. @type {[number, string][]} */
const QUADRANTS = [[2, "missed"], [1, "said, but is not"], [3, "found"], [0, "rightly not said"], [4, "labels to check"]];

/** In which order a quadrant is listed, in words. @param {number} cell */
export function orderWords(cell) {
  const [low, high, wrong] = ["lowest score first", "highest score first", ": the most confidently wrong"];
  return [low, high + wrong, low + wrong, high, "the least likely label first"][cell] ?? "";
}

/** Names of classes in a line, at most `most` of them. @param {number[]} numbers @param {string[]} names @param {number} [most] */
export function listedNames(numbers, names, most = 6) {
  if (!numbers.length) return "none";
  const shown = numbers.slice(0, most).map((c) => names[c] ?? `class ${c}`);
  return shown.join(", ") + (numbers.length > most ? ` and ${numbers.length - most} more` : "");
}

/** Some classes with those first that the other list lacks: what differs is read first. @param {number[]} those @param {number[]} others */
export function apart(those, others) {
  return [...those.filter((c) => !others.includes(c)), ...those.filter((c) => others.includes(c))];
}

/** What a sample is, and what is not known of it. @param {Sample} sample @param {number[]} classes @param {string[]} names */
export function truthWords({ unknown }, classes, names) {
  return listedNames(classes, names) + (unknown ? `; not known: ${unknown}` : "");
}

/** What the two lists of classes are; of one class a sample it is the likeliest, whatever the thresholds. @param {string} task */
function listWords(task) { return [task === "multilabel" ? "has" : "is", task === "multiclass" ? "likeliest" : "said"]; }

/** Which of a page is in view: "1–24 of 122". @param {number} first @param {number} count @param {number} total */
export function pageWords(first, count, total) {
  return total ? `${whole(first + 1)}–${whole(first + count)} of ${whole(total)}` : "none";
}

/** A score in three digits; what is nearer to 0 or 1 says so. @param {number | null} x none of a box that nothing was said of */
export function scoreWords(x) {
  if (x === null) return "not said";
  if (x < 0 || x > 1) return valueWords(x);
  return x > 0 && x < 0.0005 ? "<0.001" : x < 1 && x >= 0.9995 ? ">0.999" : x.toFixed(3);
}

/** A value of a row, short. @param {any} value */
export function valueWords(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  return Number.isInteger(value) && Math.abs(value) < 1e6 ? String(value).replace("-", "−") : sig(value, 3);
}

/** The bytes of an image as RGBA. @param {Uint8Array} bytes @param {number[]} size height, width, channels */
export function pixelsOf(bytes, [height, width, channels]) {
  const out = new Uint8ClampedArray(4 * height * width);
  for (let i = 0; i < height * width; i++) {
    for (let part = 0; part < 3; part++) out[4 * i + part] = bytes[channels * i + (channels === 3 ? part : 0)];
    out[4 * i + 3] = 255;
  }
  return out;
}

/** What words of a sample depend on: how the list shows it, the names, the task, and the class whose labels are checked, or -1. @typedef {{form: string, names: string[], task: string, doubted: number}} Words */

/** The words of a sample for its place in the list. @param {Sample} sample @param {Words} how */
function wordsOf(sample, { form, names, task, doubted }) {
  const [is, said] = [truthWords(sample, apart(sample.true, sample.said), names), listedNames(apart(sample.said, sample.true), names)];
  const given = doubted < 0 ? [] : [sample.true.includes(doubted) ? "yes" : "no"], score = scoreWords(sample.score);
  if (task === "detection") return [score, `picture ${sample.name}`, ...(sample.overlap ? [`IoU ${sample.overlap.toFixed(2)}`] : [])];
  if (form === "image") {
    const first = given.length ? `${score} · given ${given[0]}` : score;
    const [has, says] = listWords(task);
    return names.length > 1 ? [first, `${has} ${is}`, `${says} ${said}`] : [first, `sample ${sample.name}`];
  }
  const body = sample.kind === "row" ? (sample.values ?? []).map(valueWords) : [sample.kind === "waiting" ? "…" : sample.text ?? ""];
  // Of one class the quadrant has said it all.
  return [sample.name, score, ...given, ...(form === "none" ? [] : body), ...(names.length > 1 ? [is, said] : [])];
}

/** The headings of a list that is no list of images, and the widths of its columns. @param {Words} how @param {string[]} columns of a row */
function headingsOf({ form, names, task, doubted }, columns) {
  const given = doubted < 0 ? [] : ["given"], middle = form === "row" ? columns : form === "text" ? ["text"] : [];
  const wide = form === "row" ? `repeat(${columns.length}, minmax(44px, 1fr))` : form === "text" ? "minmax(80px, 4fr)" : "";
  return {
    titles: ["sample", "score", ...given, ...middle, ...(names.length > 1 ? listWords(task) : [])],
    widths: `64px 48px ${doubted < 0 ? "" : "40px"} ${wide} ${names.length > 1 ? "minmax(60px, 1.6fr) minmax(60px, 1.6fr)" : ""}`,
  };
}

function fillLine(/** @type {HTMLElement} */ node, /** @type {HTMLElement[]} */ parts, /** @type {string[]} */ words) {
  while (parts.length < words.length) { const part = make("span"); parts.push(part); node.append(part); }
  while (parts.length > words.length) parts.pop()?.remove();
  words.forEach((text, i) => { say(parts[i], text); if (parts[i].title !== text) parts[i].title = text; });
}

/** The samples of the quadrant that is open. @param {{model: import("../front.js").Model, signal: AbortSignal,
 * want: {get(name: string): any, set(name: string, value: any): void}, open: (cell: number) => void}} hands */
export function sampleList({ model, signal, want, open }) {
  const tabs = QUADRANTS.map(([cell, text]) => {
    const number = make("b"), button = make("button", { type: "button", "aria-pressed": "false" }, text, " ", number);
    listen(button, "click", () => open(cell), signal);
    return { cell, button, number };
  });
  const [back, on] = [["‹", "Samples before"], ["›", "More samples"]].map(([text, label]) =>
    make("button", { type: "button", class: "dlw-conf-icon", text, "aria-label": label }));
  const range = make("span", { class: "dlw-det-range" }), order = make("span", { class: "dlw-faint" });
  const note = make("div", { class: "dlw-faint dlw-det-note", role: "status" });
  const heads = make("div", { class: "dlw-det-line dlw-det-heads", "aria-hidden": "true" });
  const page = () => Number(want.get("sample_page") ?? 0);
  const turn = (/** @type {number} */ by) => { if (page() + by >= 0) want.set("sample_page", page() + by); };
  const items = sampleItems({
    select: (number) => want.set("selected_sample", number),
    turn: (by) => { const may = !(by > 0 ? on : back).disabled; if (may) turn(by); return may; }, signal,
  });
  // What is said of a list stands inside it, so that nothing below moves.
  const scroll = make("div", { class: "dlw-det-scroll" }, note, heads, items.node);
  const node = make("div", { class: "dlw-det-samples" },
    make("div", { class: "dlw-det-tabs", role: "group", "aria-label": "Which samples" }, ...tabs.map(({ button }) => button)),
    make("div", { class: "dlw-det-pager" }, back, range, on, order), scroll);
  let painted = /** @type {any[]} */ ([]);
  [back, on].forEach((button, i) => listen(button, "click", () => turn(2 * i - 1), signal));

  function draw(/** @type {import("./tiles.js").Picture} */ { names, cells, task }, /** @type {number} */ c, /** @type {number} */ cell) {
    const listed = model.get("listed") ?? {}, mine = listed.class === c && listed.cell === cell, form = listed.form ?? "none";
    const boxes = task === "detection";
    tabs.forEach((tab) => {
      tab.button.hidden = boxes && (tab.cell === 0 || tab.cell > 3);
      if (tab.cell === 1) say(/** @type {Node} */ (tab.button.firstChild), boxes ? "false" : "said, but is not");
      // How many labels are to be checked is known once they were looked for.
      say(tab.number, tab.cell < 4 ? whole(cells[4 * c + tab.cell]) : mine && cell === 4 ? whole(listed.total) : "");
      tab.button.setAttribute("aria-pressed", String(tab.cell === cell));
    });
    const selected = want.get("selected_sample"), now = [listed, model.get("cards"), model.get("card_pixels"), selected, c, cell, names, task];
    // At a move of a threshold the list is what it was until the kernel has answered.
    if (mine && now.every((one, i) => one === painted[i])) return;
    painted = mine ? now : [];
    // Another quadrant's samples are not shown under this one's name, not for a moment.
    const shown = mine ? /** @type {Sample[]} */ (model.get("cards") ?? []) : [];
    const total = mine ? Number(listed.total) : cell < 4 ? cells[4 * c + cell] : 0, first = mine ? Number(listed.first) : 0;
    back.disabled = first === 0;
    on.disabled = first + PAGED >= total;
    say(range, shown.length || !mine ? (mine ? pageWords(first, shown.length, total) : "…") : "none");
    say(order, orderWords(cell));
    const none = cell < 4 ? `No ${boxes ? "box" : "sample"} is here at this threshold.` : "No label stands out as doubtful.";
    say(note, !mine ? "" : [total || listed.note ? "" : none, listed.rule, listed.note].filter(Boolean).join(" "));
    scroll.dataset.form = form;
    heads.hidden = form === "image" || !shown.length;
    const how = { form, names, task, doubted: cell > 3 ? c : -1 }, { titles, widths } = headingsOf(how, listed.columns ?? []);
    if (form !== "image") fillLine(heads, /** @type {HTMLElement[]} */ ([...heads.children]), titles);
    scroll.style.setProperty("--dlw-det-columns", widths);
    heads.toggleAttribute("data-labels", names.length > 1);
    items.draw(shown, model.get("card_pixels"), selected, how);
  }
  return { node, draw };
}

/** The samples of a page as options of a list box, walked with the arrow keys. @param {{select: (number: number) => void,
 * turn: (by: number) => boolean, signal: AbortSignal}} hands `turn` says whether there is such a page */
function sampleItems({ select, turn, signal }) {
  const node = make("div", { class: "dlw-det-list", role: "listbox", "aria-label": "Samples" });
  const items = /** @type {{item: HTMLElement, canvas: HTMLCanvasElement, parts: HTMLElement[], of: any}[]} */ ([]);
  let shown = /** @type {Sample[]} */ ([]), focused = 0;

  function choose(/** @type {number} */ i) { if (shown[i]) select(shown[i].number); }
  function rove(/** @type {number} */ i) { focused = i; items.forEach(({ item }, j) => { item.tabIndex = j === focused ? 0 : -1; }); }
  /** How many items stand in the first line. */
  function columns() {
    const tops = items.slice(0, shown.length).map(({ item }) => item.offsetTop);
    return Math.max(1, tops.filter((top) => top === tops[0]).length);
  }
  function add() {
    const i = items.length, canvas = make("canvas", { "aria-hidden": "true" });
    const item = make("div", { role: "option", tabindex: i === focused ? 0 : -1, "aria-selected": "false" }, canvas);
    items.push({ item, canvas, parts: [], of: null });
    node.append(item);
    listen(item, "click", () => { rove(i); choose(i); }, signal);
    listen(item, "focus", () => rove(i), signal);
  }
  listen(node, "keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { PageDown: 1, PageUp: -1 }[event.key];
    if (event.key === "Enter" || event.key === " ") choose(focused);
    else if (!by || !turn(by)) {
      const to = step(focused, event.key, columns(), shown.length);
      if (to < 0) return;
      items[to]?.item.focus();
    }
    keep(event);
  }, signal);

  /** @param {Sample[]} samples @param {any} bytes their images, one after the other @param {number | null} selected @param {Words} how */
  function draw(samples, bytes, selected, how) {
    shown = samples;
    const lines = how.form !== "image";
    node.dataset.form = how.form;
    node.toggleAttribute("data-labels", how.names.length > 1);
    while (items.length < shown.length) add();
    if (focused >= shown.length) rove(0);
    const all = numbers(bytes, Uint8Array);
    let at = 0;
    items.forEach((one, i) => {
      const sample = shown[i], { item, canvas } = one;
      item.hidden = !sample;
      if (!sample) return;
      item.className = lines ? "dlw-det-line" : "dlw-det-card";
      item.setAttribute("aria-selected", String(sample.number === selected));
      const size = sample.size ?? [], length = size.reduce((product, n) => product * n, Number(size.length > 0));
      canvas.hidden = lines;
      if (!lines && one.of !== bytes) paintCard(canvas, all.subarray(at, at + length), size, sample.box ?? []);
      one.of = bytes;
      at += length;
      fillLine(item, one.parts, wordsOf(sample, how));
      const label = labelOf(sample, how);
      nameFor(item, label);
      item.title = lines ? "" : label;
    });
  }
  return { node, draw };
}

/** A sample for those who hear it. @param {Sample} sample @param {Words} how */
function labelOf(sample, { names, task }) {
  if (task === "detection") return `Box in picture ${sample.name}, ${sample.score === null ? "not said" : `score ${scoreWords(sample.score)}`}${sample.overlap ? `, IoU ${sample.overlap.toFixed(2)}` : ""}`;
  const [has, says] = listWords(task), [is, said] = [truthWords(sample, sample.true, names), listedNames(sample.said, names)];
  return `Sample ${sample.name}, score ${scoreWords(sample.score)}: ${has} ${is}, ${says} ${said}`
    + (sample.kind === "text" || sample.kind === "none" ? `. ${sample.text ?? ""}` : "");
}

/** @param {HTMLCanvasElement} canvas @param {Uint8Array} bytes @param {number[]} size none: nothing @param {number[]} box in 0 ... 1 of it, or none */
function paintCard(canvas, bytes, size, box) {
  const [height, width] = size;
  canvas.width = width ?? 1; canvas.height = height ?? 1;
  const pixels = pictureOf(bytes, size);
  if (!pixels) return;
  // What is small is painted larger, so that the line of a box is thin.
  const scale = box.length ? Math.max(1, Math.floor(128 / Math.max(height, width))) : 1;
  canvas.width = scale * width; canvas.height = scale * height;
  const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  ctx.imageSmoothingEnabled = false;
  ctx.drawImage(pixels, 0, 0, canvas.width, canvas.height);
  if (!box.length) return;
  const [x1, y1, x2, y2] = box.map((at, i) => at * (i % 2 ? canvas.height : canvas.width));
  for (const [stroke, wide] of /** @type {[string, number][]} */ ([["#000", 4], ["#fff", 2]])) {
    ctx.strokeStyle = stroke; ctx.lineWidth = wide; ctx.strokeRect(x1, y1, x2 - x1, y2 - y1);
  }
}

/** An image as a canvas that others draw from; null where its bytes are not there. @param {Uint8Array} bytes @param {number[]} size height, width, channels */
export function pictureOf(bytes, [height, width, channels]) {
  if (!height || bytes.length < height * width * channels) return null;
  const canvas = make("canvas");
  canvas.width = width; canvas.height = height;
  canvas.getContext("2d")?.putImageData(new ImageData(pixelsOf(bytes, [height, width, channels]), width, height), 0, 0);
  return canvas;
}

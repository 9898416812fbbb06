// What all views share in the browser: the talk with the kernel, the theme, DOM, canvas and numbers.

/**
 * The model that anywidget hands to a view; `get` is typed loosely, since each view knows its own traits.
 * @typedef {(event: string, call: (...args: any[]) => void) => void} Listening
 * @typedef {{get(name: string): any, set(name: string, value: any): void, on: Listening, off: Listening, send(message: any): void, widget_manager?: any}} Model
 */
/** @typedef {ReturnType<typeof wishes>} Want */
/** What the parts of a view work with. @typedef {{model: Model, el: HTMLElement, signal: AbortSignal, want: Want, repaint: () => void}} Part */

/**
 * A page lets the kernel send at most one picture in this many milliseconds. Where several may be on their way it
 * is the kernel that keeps the pace, and one answer tells of half as many pictures.
 */
const PACE = 100;
/** That, while nobody acts in the page: what comes by itself need not come as fast [ms]; and what acting is [ms]. */
const QUIET = 1000, ACTING = 1000;
/** A hello that no picture answers is repeated after this long, then ever more rarely, up to the second [ms]. */
const PATIENCE = 3000, LONGEST = 60_000;
/** Wishes of one name are sent at most this often [ms]. */
const HASTE = 50;
/** What a person wants is shown this long in place of what the kernel still says [ms]. */
export const OWN = 1500;
/**
 * What all views in the page share, whichever copy of this module draws them: `acted` is when a person last wished
 * for something. Whoever speaks to a kernel says for its other views too what they have drawn, since to hear a
 * message costs the kernel more than to send one. `ended` says of kernels that ended how they did.
 * @type {{views: Set<{address: string, answer: () => number}>, acted: number, ended: Map<string, string>}}
 */
const page = Reflect.get(globalThis, Symbol.for("dlwidgets.page.2")) ?? { views: new Set(), acted: -Infinity, ended: new Map() };
Reflect.set(globalThis, Symbol.for("dlwidgets.page.2"), page);
/** How long a line to the kernel may be down before it is said [ms]: a moment's gap is nobody's concern. */
const OUTAGE = 4000;
/** Models that no kernel answers any more, and why. @type {WeakMap<Model, string>} */
const lost = new WeakMap();
/** Made once: toLocaleString makes one at every call, which took half of a large grid's repaint. */
const WHOLE = new Intl.NumberFormat("en-US");

/**
 * Keep `draw` up to date with the model: once an animation frame at most, only while visible, and tell the
 * kernel when a picture is drawn, so that it sends the next. `draw()` reads the model afresh and paints everything.
 * Returns a function that asks for a repaint.
 * @param {{model: Model, el: HTMLElement, signal: AbortSignal, draw: () => void}} view
 */
export function live({ model, el, signal, draw }) {
  let alive = true, visible = true, queued = 0, seen = false;
  const looked = () => alive && visible && !document.hidden;
  const talk = talkOf(model, looked);
  const paint = () => {
    queued = 0;
    if (!alive || !visible) return;
    // Not on the page yet, or hidden for a moment, as by a host that changes its theme: no observer tells of that.
    if (el.clientWidth === 0) { repaint(); return; }
    el.dataset.theme = isDark(el) ? "dark" : "light";
    talk.paint(draw);
    showLost(model, el);
    // Of a view that is opened only now no picture ever came.
    seen ||= !isDead(lost.get(model));
    if (seen) delete el.dataset.dlwUnseen; else el.dataset.dlwUnseen = "";
  };
  const repaint = () => { if (alive && visible && !queued) queued = requestAnimationFrame(paint); };
  // One event covers all traits of a message: the kernel counts the frame up with every picture.
  hear(model, "change:frame", () => { talk.arrived(); repaint(); }, signal);
  hear(model, "change", repaint, signal);
  hear(model, "msg:custom", (message) => { if (message && "ask" in message && looked()) talk.greet(); }, signal);
  const appeared = () => { if (looked()) { talk.greet(); repaint(); } };

  const mine = { address: String(model.get("address") ?? ""), answer: talk.answer };
  page.views.add(mine);
  listen(document, "visibilitychange", appeared, signal);
  watchKernel(model, el, signal);
  watchPlace(el, signal, repaint, (now) => {
    const before = visible;
    visible = now;
    if (now && !before) appeared();
  });
  signal.addEventListener("abort", () => {
    alive = false;
    page.views.delete(mine);
    cancelAnimationFrame(queued);
    talk.end();
  });
  keepKeys(el, signal);
  el.dataset.theme = isDark(el) ? "dark" : "light";
  draw();
  talk.greet();
  return repaint;
}

/** What our extension of JupyterLab does for views, where it is installed and on. @returns {any} */
function hostOf() { return Reflect.get(globalThis, "dlwidgets"); }

/**
 * One view's talk with the kernel about its pictures: hello when it opens, and which it has drawn.
 * @param {Model} model @param {() => boolean} looked whether the view is alive and seen
 */
function talkOf(model, looked) {
  // The newest picture that came, the newest that was painted, and whether one before them never came.
  let newest = Number(model.get("frame")), painted = newest, missed = true;
  // Whether the newest waits for its acknowledgement, when that may go at the earliest, and how long it is put off.
  let owing = false, due = 0, timer = 0, answered = 0;
  const ahead = Number(model.get("ahead")) || 1, puts = PACE * (ahead - 1) / 2;
  // How long the last picture waited to be painted, and since when the next one does [ms]: a slow page is sent no
  // more than it paints.
  let lag = 0, since = 0;
  let greeted = 0, patience = PATIENCE;

  const hold = () => Math.min(PATIENCE, Math.max(puts, lag * ahead));
  const settle = () => { owing = painted !== newest; due = performance.now() + (puts ? hold() : 0); };
  /** @param {number} known the picture that the page has, with all before it; 0: send everything */
  const hello = (known) => {
    window.clearTimeout(greeted);
    post(model, hostOf()?.keeps ? { hello: known, keeps: true } : { hello: known });
    greeted = window.setTimeout(() => {
      patience *= 2;
      if (patience <= LONGEST && looked()) hello(known);
    }, patience);
  };
  const greet = () => { patience = PATIENCE; hello(missed ? 0 : newest); missed = false; };
  /** The picture that is drawn and not answered for yet, which whoever asks now does; 0 for none. */
  const answer = () => {
    // What is not seen is not drawn: the kernel waits until it is.
    if (!looked() || !owing || missed || painted === answered) return 0;
    window.clearTimeout(timer);
    timer = 0;
    settle();
    answered = painted;
    return painted;
  };
  const acknowledge = () => {
    if (timer || !owing) return;
    timer = window.setTimeout(() => {
      timer = 0;
      if (!looked()) return;
      if (missed) { settle(); greet(); return; }
      const drawn = answer();
      if (drawn) post(model, { drawn });
    }, Math.max(0, due - performance.now()));
  };
  return {
    greet, answer,
    /** Note that a picture has come. */
    arrived() {
      const frame = Number(model.get("frame"));
      // A message may have been lost, and what it changed with it.
      if (frame !== newest + 1) missed = true;
      newest = frame;
      // Counted from when pictures come, which twins of a view see alike: two do not double the pace.
      if (!puts) due = Math.max(performance.now(), due + (performance.now() - page.acted < ACTING ? PACE : QUIET));
      else if (!owing) due = performance.now() + hold();
      owing = true;
      since = looked() ? since || performance.now() : 0;
      window.clearTimeout(greeted);
    },
    /** Paint the newest picture. @param {() => void} draw */
    paint(draw) {
      painted = newest;
      draw();
      if (since) { lag = performance.now() - since; since = 0; }
      acknowledge();
    },
    end() { window.clearTimeout(timer); window.clearTimeout(greeted); },
  };
}

/**
 * Watch an element's size, the theme around it, and whether it is in sight.
 * @param {HTMLElement} el @param {AbortSignal} signal @param {() => void} changed @param {(seen: boolean) => void} sighted
 */
function watchPlace(el, signal, changed, sighted) {
  const sizes = new ResizeObserver(changed), themes = new MutationObserver(changed);
  const sights = new IntersectionObserver((entries) => sighted(entries[entries.length - 1].isIntersecting), { rootMargin: "200px" });
  sizes.observe(el);
  sights.observe(el);
  themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class"] });
  themes.observe(document.documentElement, { attributes: true, attributeFilter: ["class", "theme", "style"] });
  listen(window, "resize", changed, signal);
  listen(window.matchMedia("(prefers-color-scheme: dark)"), "change", changed, signal);
  signal.addEventListener("abort", () => { for (const one of [sizes, sights, themes]) one.disconnect(); });
}

/**
 * Watch for the kernel's end: of a restart the widgets' manager tells, of a kernel that is gone or cannot be
 * reached the kernel itself, where the host lets us at it.
 * @param {Model} model @param {HTMLElement} el @param {AbortSignal} signal
 */
function watchKernel(model, el, signal) {
  const kernel = model.widget_manager?.kernel;
  let gap = 0;
  /** @param {string} why */
  const lose = (why) => {
    if (lost.get(model) === "restarted") return;
    if (why) lost.set(model, why); else lost.delete(model);
    if (why === "restarted" || why === "gone") page.ended.set(kernelOf(model), why);
    showLost(model, el);
  };
  /** @param {any} _kernel @param {string} status */
  const connected = (_kernel, status) => {
    window.clearTimeout(gap);
    if (status !== "connected") gap = window.setTimeout(() => { if (!lost.has(model)) lose("unreachable"); }, OUTAGE);
    else if (lost.get(model) === "unreachable") lose("");
  };
  const ended = () => lose("gone");
  hear(model, "comm_live_update", () => lose("restarted"), signal);
  kernel?.disposed?.connect(ended);
  kernel?.connectionStatusChanged?.connect(connected);
  signal.addEventListener("abort", () => {
    window.clearTimeout(gap);
    kernel?.disposed?.disconnect(ended);
    kernel?.connectionStatusChanged?.disconnect(connected);
  });
}

/**
 * Say in one sentence, above the outermost of our widgets around a view, that no kernel answers; what is there
 * stays as the last picture, and what only seems to work cannot be reached. Tabs still open, and a picture of a saved
 * notebook keeps all that the page does by itself.
 * @param {Model} model @param {HTMLElement} el
 */
function showLost(model, el) {
  const cut = "jupyter-widgets-disconnected";
  let host = el;
  for (let up = el.parentElement; up; up = up.parentElement) if (/(^|\s)dlw-/.test(up.className)) host = up;
  if (!lost.has(model) && el.closest(`.${cut}`)) lost.set(model, page.ended.get(kernelOf(model)) ?? "saved");
  const why = lost.get(model) ?? "", before = host.dataset.dlwLost ?? "";
  if (!why && !before) return;
  if (why) host.dataset.dlwLost = why; else delete host.dataset.dlwLost;
  host.setAttribute("data-dlw-said", lostWords(why, el.closest(".jp-NotebookPanel, .dlwidgets-beside") ? "notebook" : document.body.dataset.voila ? "app" : ""));
  // A view that was not drawn yet looked like a control.
  for (const control of host.querySelectorAll(`.${cut}`)) control.toggleAttribute("inert", Boolean(why) && !control.matches(".dlw, :has(.dlw)"));
  for (const child of host.children) child.toggleAttribute("inert", isDead(why) && !child.matches(".dlw-tabs"));
}

/** Whether nothing that a view offers can be done. @param {string | undefined} why no kernel answers */
function isDead(why) { return Boolean(why) && why !== "saved"; }

/** Why no kernel answers, and what to do, in one sentence. @param {string} why @param {"notebook" | "app" | ""} place what has menus, what has no cells, or another */
export function lostWords(why, place) {
  const run = place === "notebook" ? "choose Run > Run All Cells" : place === "app" ? "reload the page" : "run all cells again, or reload the page";
  if (why === "restarted") return `The kernel was restarted: ${run}.`;
  if (why === "gone") return `The kernel has ended: ${run}.`;
  if (why === "unreachable") return "The kernel cannot be reached: what it trains goes on there, and so does this view once it is back.";
  return why ? `This is what was saved: ${run} to bring it to life.` : "";
}

/** The kernel that made a view, of whose address "kernel/view" it is a part; "" where it has none. @param {Model} model */
function kernelOf(model) { return /^.+\//.exec(String(model.get("address") ?? ""))?.[0] ?? ""; }

/**
 * Send the kernel a message, with what its other views have drawn. After a restart the line to it is cut, and
 * sending throws; `showLost` says so, and the view still draws what it has.
 * @param {Model} model @param {any} message
 */
function post(model, message) {
  if ("wish" in message) page.acted = performance.now();
  /** Address -> picture that is drawn and not answered for. @type {Record<string, number>} */
  const beside = {};
  const kernel = kernelOf(model);
  for (const { address, answer } of kernel ? page.views : []) {
    const drawn = address.startsWith(kernel) ? answer() : 0;
    // Twins of a view have one address.
    if (drawn) beside[address] = Math.max(drawn, beside[address] ?? 0);
  }
  try { model.send(Object.keys(beside).length ? { ...message, beside } : message); } catch { /* nobody is there to be told */ }
}

/**
 * Keep plain keys that are pressed in `el` from the notebook, whose shortcuts take the arrows from a slider
 * and delete the cell on "d d". It looks for the attribute on the very element, before any listener of ours
 * below the window. Keys with Ctrl, Alt or Meta and Shift + Enter stay the notebook's.
 * @param {HTMLElement} el @param {AbortSignal} signal
 */
export function keepKeys(el, signal) {
  window.addEventListener("keydown", (event) => {
    if (!(event.target instanceof Element) || !el.contains(event.target)) return;
    const theirs = event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter");
    event.target.toggleAttribute("data-lm-suppress-shortcuts", !theirs);
  }, { capture: true, signal });
}

/**
 * What a person wants, shown at once and told to the kernel: `set` paints before the kernel answers, and for
 * a moment the kernel's older word does not push the slider back under the person's hand.
 * @param {{model: Model, signal: AbortSignal, repaint: () => void}} view
 */
export function wishes({ model, signal, repaint }) {
  const own = /** @type {Map<string, {value: any, until: number, sent: number, timer: number}>} */ (new Map());
  let refusal = "", settling = 0;
  hear(model, "msg:custom", (message) => {
    if (!message || !("refused" in message)) return;
    const mine = own.get(message.refused);
    if (mine) mine.until = 0;
    refusal = String(message.because);
    repaint();
  }, signal);
  /** @param {string} name */
  const tell = (name) => {
    const mine = own.get(name);
    if (!mine) return;
    mine.timer = 0;
    mine.sent = performance.now();
    post(model, { wish: name, value: mine.value });
  };
  signal.addEventListener("abort", () => {
    window.clearTimeout(settling);
    own.forEach((mine) => window.clearTimeout(mine.timer));
  });
  return {
    /** The person's value if just given, else the kernel's. @param {string} name @returns {any} */
    get(name) {
      const mine = own.get(name);
      // Of a saved picture no kernel says otherwise: a threshold stays where it was put.
      return mine && (lost.get(model) === "saved" || performance.now() < mine.until) ? mine.value : model.get(name);
    },
    /** Want `name` to be `value`: told at once, a drag 20 times a second, its last always. @param {string} name @param {any} value */
    set(name, value) {
      const now = performance.now();
      const mine = own.get(name) ?? { value, until: 0, sent: -Infinity, timer: 0 };
      mine.value = value;
      mine.until = now + OWN;
      own.set(name, mine);
      refusal = "";
      if (!mine.timer) {
        const early = mine.sent + HASTE - now;
        if (early > 0) mine.timer = window.setTimeout(() => tell(name), early); else tell(name);
      }
      // Once the kernel has had its time, show what it says.
      window.clearTimeout(settling);
      settling = window.setTimeout(repaint, OWN + 10);
      repaint();
    },
    /** Ask for something to be done, once: nothing to show meanwhile. @param {string} name @param {any} [value] */
    call(name, value = null) {
      refusal = lost.has(model) ? "No kernel is there to do that." : "";
      if (refusal) repaint(); else post(model, { wish: name, value });
    },
    /** Why the last wish was refused, or "". */
    get refusal() { return refusal; },
  };
}

/**
 * What the page decides by itself (a tab, a fold): at once, and for good though the kernel be busy or gone. The kernel is told, and
 * keeps it for the next page; what it says later, as for another page or for code, counts. @template Value
 * @param {{model: Model, signal: AbortSignal, repaint: () => void}} view @param {Want} want @param {string} name of the trait and the wish
 */
export function decision({ model, signal, repaint }, want, name) {
  let value = /** @type {Value} */ (model.get(name)), decided = -Infinity;
  hear(model, `change:${name}`, () => {
    const theirs = model.get(name);
    // An older word of the kernel's, that was on its way when the person decided.
    if (performance.now() - decided < OWN && JSON.stringify(theirs) !== JSON.stringify(value)) return;
    value = theirs;
    decided = -Infinity;
    repaint();
  }, signal);
  return {
    get: () => value,
    /** @param {Value} next */
    set(next) {
      value = next;
      decided = performance.now();
      want.call(name, next);
      repaint();
    },
  };
}

/** Add a listener that goes with the view. @param {EventTarget} target @param {string} event @param {(event: any) => void} call @param {AbortSignal} signal */
export function listen(target, event, call, signal) { target.addEventListener(event, call, { signal }); }

/** Hear what the kernel says, as long as the view is there. @param {Model} model @param {string} event @param {(message: any) => void} call @param {AbortSignal} signal */
function hear(model, event, call, signal) {
  model.on(event, call);
  signal.addEventListener("abort", () => model.off(event, call));
}

/** Paints a colour to know it: hosts write theirs as rgb(), color(srgb ...), oklch() and more. @type {CanvasRenderingContext2D | null} */
let dab = null;

/** How bright a colour is, 0 to 255; null where it lets through what is behind it. @param {string} colour */
function brightness(colour) {
  dab ??= document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  if (!dab || /^transparent$|, 0\)$|\/ 0\)$/.test(colour)) return null;
  dab.clearRect(0, 0, 1, 1);
  dab.fillStyle = colour;
  dab.fillRect(0, 0, 1, 1);
  const [r, g, b, opacity] = dab.getImageData(0, 0, 1, 1).data;
  return opacity < 128 ? null : 0.3 * r + 0.6 * g + 0.1 * b;
}

/**
 * Whether what lies behind an element is dark. Jupyter and Colab say so; elsewhere what is there to see counts, since VS Code
 * used to put white behind a widget of a dark page. @param {Element} el
 */
export function isDark(el) {
  const jupyter = document.body.dataset.jpThemeLight;
  if (jupyter) return jupyter === "false";
  const colab = document.documentElement.getAttribute("theme");
  if (colab) return colab === "dark";
  /** @type {Element | null} */
  let behind = el;
  while (behind) {
    const shade = brightness(getComputedStyle(behind).backgroundColor);
    if (shade !== null) return shade < 110;
    const root = behind.getRootNode();
    behind = behind.parentElement ?? (root instanceof ShadowRoot ? root.host : null);
  }
  // Nothing has a colour, as in VS Code, whose page lies on its window: its text can be read there.
  return (brightness(getComputedStyle(document.body).color) ?? 0) > 128;
}

/** The value of a colour variable (`--dlw-blue`), for canvases. @param {Element} el @param {string} name */
export function color(el, name) {
  return getComputedStyle(el).getPropertyValue(`--dlw-${name}`).trim() || "#888";
}

/**
 * Make an element. `attributes` are set as attributes, except `text` (its text) and `class`.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag @param {Record<string, string | number | boolean>} [attributes] @param {...(Node | string)} children
 */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = String(value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false) node.setAttribute(name, String(value));
  }
  node.append(...children);
  return node;
}

/**
 * Make a button. @param {string} text @param {() => void} press @param {AbortSignal} signal
 * @param {Record<string, string | number | boolean>} [attributes]
 */
export function makeButton(text, press, signal, attributes = {}) {
  const button = make("button", { type: "button", text, ...attributes });
  listen(button, "click", press, signal);
  return button;
}

/** A button that keeps its place among the keys when it cannot be pressed, and then says why. @param {() => void} press @param {AbortSignal} signal @param {string} [kind] its class */
export function makeOffer(press, signal, kind = "") {
  const node = makeButton("", () => { if (node.getAttribute("aria-disabled") !== "true") press(); }, signal, kind ? { class: kind } : {});
  return {
    node,
    /** @param {string} text @param {string} title @param {string} off why it cannot be pressed, or "" */
    draw(text, title, off) {
      say(node, text);
      node.title = off || title;
      node.setAttribute("aria-disabled", String(Boolean(off)));
    },
  };
}

/** How grave a finding is, as a sign and a word. @param {string} severity */
export function gravity(severity) { return `${/** @type {Record<string, string>} */ ({ high: "▲", medium: "◆" })[severity] ?? "●"} ${severity}`; }

/**
 * Make a group of buttons of which one is pressed. @template {string | number | boolean} Value
 * @param {string} label what is chosen, in words @param {[Value, string, string?][]} options value, text and title of each
 * @param {(value: Value) => void} choose @param {AbortSignal} signal
 */
export function makeChoice(label, options, choose, signal) {
  const buttons = options.map(([value, text, title = ""]) => makeButton(text, () => choose(value), signal, title ? { title } : {}));
  return {
    node: make("span", { class: "dlw-choice", role: "group", "aria-label": label }, ...buttons), buttons,
    /** @param {Value} chosen @param {boolean} [usable] */
    show(chosen, usable = true) {
      options.forEach(([value], i) => {
        buttons[i].setAttribute("aria-pressed", String(value === chosen));
        buttons[i].disabled = !usable;
      });
    },
  };
}

/** Set the text only where it differs, so that a screen reader and a selection are left alone. @param {Node} node @param {string} text */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Give a canvas a size in CSS pixels, sharp on any screen, cleared; returns its context. @param {HTMLCanvasElement} canvas @param {number} width @param {number} height */
export function surface(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const w = Math.max(1, Math.round(width * ratio)), h = Math.max(1, Math.round(height * ratio));
  // Setting a size reallocates the canvas, even to the same size.
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w; canvas.height = h;
    canvas.style.width = `${width}px`; canvas.style.height = `${height}px`;
  }
  const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return ctx;
}

/**
 * Bytes of the model as numbers. A DataView may start anywhere, typed arrays only at multiples of their size.
 * @template {Float32Array | Int32Array | Uint32Array | Uint16Array | Uint8Array} A
 * @param {DataView | ArrayBuffer | null | undefined} bytes @param {{new (buffer: ArrayBuffer): A}} Kind
 */
export function numbers(bytes, Kind) {
  if (!bytes || bytes instanceof ArrayBuffer) return new Kind(bytes ?? new ArrayBuffer(0));
  return new Kind(/** @type {ArrayBuffer} */ (bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)));
}

/** A number with `digits` significant digits, as short as it goes: 0.0032, 2.8e-4, 12.3, 1,234. @param {number | null | undefined} x @param {number} [digits] */
export function sig(x, digits = 2) {
  if (x === null || x === undefined || Number.isNaN(x)) return "–";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size >= 1e6 || size < 1e-3) {
    const [mantissa, power] = x.toExponential(digits - 1).split("e");
    return `${mantissa.replace("-", "−")}e${power.replace("+", "")}`;
  }
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return x.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }).replace("-", "−");
}

/** A learning rate, always as 2.8e-4, so that two of them compare at a glance. @param {number | null | undefined} x */
export function rate(x) { return !Number.isFinite(x) ? "–" : x ? x.toExponential(1).replace("+", "") : "0"; }

/** A count in short: 432, 1.21 M, 38.4 M. @param {number | null | undefined} n @param {string} [unit] */
export function count(n, unit = "") {
  if (n === null || n === undefined || Number.isNaN(n)) return "–";
  const size = Math.abs(n);
  if (size < 1000) return unit ? `${n} ${unit}` : `${n}`;
  const power = Math.min(5, Math.floor(Math.log10(size) / 3 + 1e-9));
  let value = n / 1000 ** power, step = power;
  if (Math.abs(value) >= 999.5 && step < 5) { value /= 1000; step += 1; }
  const text = value.toFixed(Math.abs(value) < 9.995 ? 2 : Math.abs(value) < 99.95 ? 1 : 0);
  return `${text} ${["", "k", "M", "G", "T", "P"][step]}${unit}`;
}

/** A whole number with its thousands set apart: 1,488. @param {number} n */
export function whole(n) { return WHOLE.format(Math.round(n)); }

/** Seconds as a person says them: 41 s, 2:14, 1:02:33. @param {number | null | undefined} seconds */
export function clock(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  return s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}

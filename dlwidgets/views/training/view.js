// Two pictures of the training panel: the head (the run in one line), and the facts under each control.
import { live, make, say, sig, whole, clock, count, rate, keepKeys } from "../front.js";
/** @import { Model } from "../front.js" */

/** The controls in the order of their rows, and where under each its facts stand [px]; training/view.css has the same heights. */
const ROWS = { lr: 26, batch_size: 74, clip: 122, limit: 156 };
/** What the controls are called. */
const NAMES = /** @type {Record<string, string>} */ ({ lr: "Learning rate", batch_size: "Batch size", clip: "Clip gradients", limit: "Clip at" });

/** A control's value in words. @param {string} name @param {any} value */
export function inWords(name, value) {
  if (value === null || value === undefined) return "off";
  if (Array.isArray(value)) return `${value[0]} ${sig(value[1], 2)}`;
  return name === "batch_size" ? whole(value) : rate(value);
}

/** What stands under a control: a remark at the left, what is in force at the right. @param {string} name @param {any} asked
 * @param {any} applied @param {string | undefined} rejected @param {boolean} running @param {boolean} [waits] whether the wish
 * is still on its way; not said: where it is not what is in force @param {string} [beside] a remark on what is in force
 * @returns {{left: string, right: string, kind: "in-force" | "waiting" | "rejected"}} */
export function factOf(name, asked, applied, rejected, running, waits, beside = "") {
  const right = `in force ${inWords(name, applied)}`;
  if (rejected) return { left: "▲ rejected", right, kind: "rejected" };
  // Under a schedule the rate in force is another than the one that was asked for.
  if (waits ?? JSON.stringify(asked) !== JSON.stringify(applied)) {
    return { left: `asked ${inWords(name, asked)}: ${running ? "from the next step" : "when training goes on"}`, right, kind: "waiting" };
  }
  // A logarithmic slider has no place for it, and stays where it was.
  return { left: name === "lr" && asked === 0 ? "0, set in code" : beside, right, kind: "in-force" };
}

/** The figures of the head, in their order: epoch, step, what is left, speed. @param {any} run */
export function figures(run) {
  const epoch = run.epoch ? `epoch ${whole(Math.min(run.epoch, run.epochs))} of ${whole(run.epochs)}` : `${whole(run.epochs)} epochs`;
  const speed = run.steps && run.rate ? `${run.rate >= 10 ? whole(run.rate) : sig(run.rate, 2)} steps/s` : "";
  const left = run.trial ? `${whole(run.trial.taken)} of ${whole(run.trial.steps)} steps` : run.status === "running" && run.left !== null && run.steps ? `${clock(run.left)} left` : "";
  return [epoch, `step ${whole(run.steps)}`, left, speed];
}

/** What the run does, in words. @param {any} run */
export function statusWords(run) { return run.trial ? `trying ${run.trial.number} of ${run.trial.count}` : run.status ?? ""; }

/** Samples a second and memory, in their order. @param {any} run */
export function machine(run) {
  const samples = run.steps && run.samples ? `${run.samples >= 100 ? whole(Number(run.samples.toPrecision(3))) : sig(run.samples, 2)} samples/s` : "";
  const memory = run.memory ? count(run.memory, "B") : "", there = run.device_memory ? `${count(run.device_memory, "B")} on the device` : "";
  return [samples, memory, there].filter(Boolean).join(" · ");
}

function head(/** @type {{model: Model, el: HTMLElement}} */ { model, el }) {
  el.classList.add("dlw", "dlw-head-part");
  const name = make("span", { class: "dlw-name" }), about = make("span", { class: "dlw-faint" });
  const status = make("span", { class: "dlw-status", role: "status" });
  const [epoch, step, left, speed] = ["", "", " dlw-faint", " dlw-faint"].map((kind) => make("span", { class: `dlw-figure${kind}` }));
  const bar = make("progress", { max: 1, "aria-label": "Share of the run that is done" });
  const [problem, why, failure] = ["", "status", "alert"].map((role) => make("div", { class: "dlw-note", role: role || false }));
  const trace = make("pre"), traced = make("details", {}, make("summary", { text: "Traceback" }), trace);
  // In the order of what they say: what finds no place in the one line is left out, the last first.
  el.append(make("div", { class: "dlw-line" }, name, status, epoch, step, left, about, speed), bar, problem, why, failure, traced);

  const draw = () => {
    const run = model.get("run");
    say(name, run.title ?? ""); say(about, run.about ?? "");
    say(status, statusWords(run)); status.dataset.status = run.status;
    const told = figures(run), machinery = [told[3], machine(run)].filter(Boolean).join(" · ");
    told.forEach((text, i) => say([epoch, step, left, speed][i], text));
    name.title = `${run.about ?? ""}\n${machinery}`;
    speed.title = machinery;
    bar.value = run.share ?? 0;
    [problem, why, failure, trace].forEach((part, i) => say(part, model.get(["problem", "said", "error", "trace"][i])));
    traced.hidden = !model.get("trace");
    const panel = el.closest(".dlw-bar");
    if (!(panel instanceof HTMLElement)) return;
    panel.dataset.theme = el.dataset.theme;
    // The buttons that fit are shown: they are controls, which the training never writes.
    const buttons = /** @type {HTMLElement[]} */ ([...panel.querySelectorAll(".dlw-button")]);
    for (const button of buttons) {
      const key = button.matches(".dlw-step") ? "." : button.matches(".dlw-start, .dlw-resume, .dlw-pause") ? "Space" : "";
      if (key) button.setAttribute("aria-keyshortcuts", key);
      if (!button.matches(".dlw-undo")) continue;
      // Not disabled: that would take the focus away, and with it the keys.
      button.setAttribute("aria-disabled", String(!run.undo || run.locked));
      button.title = run.locked ? "Undo is locked in this panel" : run.undo ? `Take the last change back: ${run.undo}` : "Nothing was changed yet";
    }
    shut(panel, run.status === "trying");
    if (panel.dataset.dlwStatus === run.status) return;
    const active = document.activeElement, held = active instanceof HTMLElement && panel.contains(active) ? active : null;
    panel.dataset.dlwStatus = run.status;
    // The focused button may just have gone: the one in its place takes over.
    if (held && held.offsetParent === null) buttons.find((button) => button.offsetParent !== null)?.focus();
  };
  return { draw };
}

/** While settings are tried nothing else can be pressed than what ends it: the run is elsewhere. @param {HTMLElement} bar @param {boolean} trying */
function shut(bar, trying) {
  const beside = bar.parentElement?.querySelectorAll(".dlw-controls > :is(.widget-inline-hbox, .widget-toggle-buttons), .dlw-section-body") ?? [];
  for (const part of [...bar.querySelectorAll(".dlw-button:not(.dlw-end)"), ...beside]) part.toggleAttribute("inert", trying);
}

function facts(/** @type {{model: Model, el: HTMLElement}} */ { model, el }) {
  el.classList.add("dlw", "dlw-facts-part");
  const lines = Object.entries(ROWS).map(([row, top]) => {
    const left = make("span"), right = make("span"), lock = make("span", { class: "dlw-lock", role: "img", "aria-label": "locked", title: "Locked in this panel" });
    const line = make("div", { class: "dlw-fact", id: `dlw-fact-${row}-${++parts}` }, lock, left, right);
    lock.hidden = true;
    line.style.top = `${top}px`;
    el.append(line);
    return { left, right, line, lock };
  });
  const note = make("div", { class: "dlw-note", role: "status" });
  el.append(note);

  const draw = () => {
    const asked = model.get("asked"), applied = model.get("applied"), rejected = model.get("rejected");
    const sentences = /** @type {string[]} */ (model.get("problem") ? [model.get("problem")] : []);
    Object.keys(ROWS).forEach((name, i) => {
      if (name === "limit") return;  // mode and limit are one control: its facts stand under the limit
      const at = name === "clip" ? lines[i + 1] : lines[i];
      const fact = factOf(name, asked[name], applied[name], rejected[name], model.get("running"), model.get("waiting").includes(name), model.get("beside")[name]);
      at.lock.hidden = !model.get("locked").includes(name);
      say(at.left, fact.left);
      at.left.className = fact.kind === "in-force" ? "" : `dlw-${fact.kind}`;
      at.left.title = name === "clip" && fact.left === model.get("beside").clip ? "Norm of the gradients before and after clipping in the last step; share of the last 200 steps that were clipped" : fact.left;
      say(at.right, fact.right);
      at.right.className = fact.kind === "in-force" ? "dlw-in-force" : "";
      if (rejected[name]) sentences.push(`${NAMES[name]} ${inWords(name, asked[name])}: ${rejected[name]}`);
    });
    say(note, sentences.join("\n"));

    const around = el.closest(".dlw-controls");
    if (!(around instanceof HTMLElement)) return;
    around.dataset.theme = el.dataset.theme ?? "";
    // While gradients are not clipped, the limit is kept for later.
    around.dataset.clip = asked.clip ? asked.clip[0] : "off";
    const rows = [...around.children].filter((row) => row.matches(".widget-inline-hbox, .widget-toggle-buttons"));
    rows.forEach((row, i) => {
      const handle = row.querySelector(".noUi-handle"), readout = row.querySelector(".widget-readout");
      speakValue(row);
      handle?.setAttribute("aria-label", Object.values(NAMES)[i]);
      handle?.setAttribute("aria-describedby", lines[i].line.id);
      if (readout?.matches("[contenteditable=true]")) readout.setAttribute("title", "Click to type a number");
    });
  };
  return { draw };
}

/** Have a slider say what stands beside it, with its unit: a logarithmic one itself would say the exponent. @param {Element} row */
function speakValue(row) {
  const handle = row.querySelector(".noUi-handle"), number = row.querySelector(".widget-readout")?.textContent;
  if (!handle || !number) return;
  const words = row.matches(".dlw-log") ? number : `${number} samples a step`;
  if (handle.getAttribute("aria-valuetext") !== words) handle.setAttribute("aria-valuetext", words);
}

/** Correct at once what a moved slider says of itself. @param {Element} controls @param {AbortSignal} signal */
function speakValues(controls, signal) {
  const moves = new MutationObserver((changes) => {
    for (const { target } of changes) {
      const row = target instanceof Element ? target.closest(".widget-inline-hbox") : null;
      if (row) speakValue(row);
    }
  });
  moves.observe(controls, { subtree: true, attributeFilter: ["aria-valuetext"] });
  signal.addEventListener("abort", () => moves.disconnect());
}

/** Elements that need Space, or a typed ".", themselves. */
const SPACE = "button, summary, select, input, textarea, a[href], [contenteditable]:not([contenteditable=false])";
const TYPED = "select, input:not([type=checkbox]), textarea, [contenteditable]:not([contenteditable=false])";

/** What a key pressed in the panel asks of the run: "toggle", "step", or nothing. @param {Pick<KeyboardEvent,
 * "key" | "ctrlKey" | "altKey" | "metaKey" | "shiftKey" | "repeat">} event @param {{matches(selector: string): boolean}} target
 * the focused element */
export function pressed(event, target) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey || event.repeat) return "";
  if (event.key === " ") return target.matches(SPACE) ? "" : "toggle";
  return event.key === "." && !target.matches(TYPED) ? "step" : "";
}

/** Have Space start, pause and resume the run, and "." take a step, while the focus is in `panel` and on nothing that needs the
 * key itself. A click beside the controls gives the panel the focus. @param {HTMLElement} panel @param {Model} model
 * @param {AbortSignal} signal */
export function runKeys(panel, model, signal) {
  panel.tabIndex = -1;
  panel.addEventListener("keydown", (event) => {
    const target = event.target;
    if (!(target instanceof Element) || event.defaultPrevented) return;
    const key = pressed(event, target);
    if (!key) return;
    event.preventDefault();
    event.stopPropagation();
    try { model.send({ wish: "press", value: key }); } catch { /* the kernel is gone: nobody is there to be told */ }
  }, { signal });
}

/** Let an arrow key move a logarithmic slider by 5 %, and by 1 % with Shift: its own step is small, so that what is typed or set
 * from code keeps its digits. The page keys move it by five steps. @param {HTMLElement} controls @param {AbortSignal} signal */
export function stride(controls, signal) {
  const way = /** @type {Record<string, string>} */ ({ ArrowRight: "PageUp", ArrowUp: "PageUp", ArrowLeft: "PageDown", ArrowDown: "PageDown" });
  controls.addEventListener("keydown", (event) => {
    const handle = event.target, key = way[event.key];
    if (!key || event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
    if (!(handle instanceof Element) || !handle.matches(".dlw-log .noUi-handle")) return;
    event.preventDefault();
    event.stopPropagation();
    handle.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  }, { capture: true, signal });
}

/** Numbers the lines of facts, whose ids must be single in the page. */
let parts = 0;

export default {
  render(/** @type {{model: Model, el: HTMLElement, signal: AbortSignal}} */ view) {
    const part = view.model.get("part");
    const { draw } = part === "head" ? head(view) : facts(view);
    live({ ...view, draw });
    // The element joins the page after this call; only then is the panel around it known.
    requestAnimationFrame(() => {
      draw();
      const around = view.el.closest(".dlw-bar, .dlw-controls");
      // One of the parts of a box listens for all of it.
      if (!(around instanceof HTMLElement) || view.signal.aborted) return;
      runKeys(around, view.model, view.signal);
      keepKeys(around, view.signal);
      stride(around, view.signal);
      if (part === "facts") speakValues(around, view.signal);
    });
  },
};

// The pictures of the training panel: the head (the run in one line) and the facts under each control.
import { live, make, say, sig, whole, clock, rate, keepKeys } from "./front.js";

/** The controls in the order of their rows, and where under each its facts stand [px]; training.css has the same heights. */
const ROWS = { lr: 26, batch_size: 74, clip: 122, limit: 156 };
/** What the controls are called. */
const NAMES = /** @type {Record<string, string>} */ ({ lr: "Learning rate", batch_size: "Batch size", clip: "Clip gradients", limit: "Clip at" });

/**
 * A control's value in words.
 * @param {string} name @param {any} value @returns {string}
 */
export function inWords(name, value) {
  if (value === null || value === undefined) return "off";
  if (Array.isArray(value)) return `${value[0]} ${sig(value[1], 2)}`;
  return name === "batch_size" ? whole(value) : rate(value);
}

/**
 * What stands under a control: a remark at the left, what is in force at the right.
 * @param {string} name @param {any} asked @param {any} applied @param {string | undefined} rejected @param {boolean} running
 * @returns {{left: string, right: string, kind: "in-force" | "waiting" | "rejected"}}
 */
export function factOf(name, asked, applied, rejected, running) {
  const right = `in force ${inWords(name, applied)}`;
  if (rejected) return { left: "▲ rejected", right, kind: "rejected" };
  if (JSON.stringify(asked) !== JSON.stringify(applied)) {
    return { left: `asked ${inWords(name, asked)}: ${running ? "from the next step" : "when training goes on"}`, right, kind: "waiting" };
  }
  // A logarithmic slider has no place for it, and stays where it was.
  return { left: name === "lr" && asked === 0 ? "0, set in code" : "", right, kind: "in-force" };
}

/**
 * The figures of the head, in their order.
 * @param {any} run @returns {string[]}
 */
export function figures(run) {
  const epoch = run.epoch ? `epoch ${whole(Math.min(run.epoch, run.epochs))} of ${whole(run.epochs)}` : `${whole(run.epochs)} epochs`;
  const speed = run.steps && run.rate ? `${run.rate >= 10 ? whole(run.rate) : sig(run.rate, 2)} steps/s` : "";
  const left = run.status === "running" && run.left !== null && run.steps ? `${clock(run.left)} left` : "";
  return [epoch, `step ${whole(run.steps)}`, [speed, left].filter(Boolean).join(" · ")];
}

/** @param {{model: import("./front.js").Model, el: HTMLElement, signal: AbortSignal}} view */
function head({ model, el, signal }) {
  el.classList.add("dlw", "dlw-head-part");
  const name = make("span", { class: "dlw-name" }), about = make("span", { class: "dlw-faint" });
  const status = make("span", { class: "dlw-status", role: "status" });
  const numbers = [0, 1, 2].map(() => make("span", { class: "dlw-figure" }));
  numbers[2].classList.add("dlw-faint");
  const bar = make("progress", { max: 1, "aria-label": "Share of the run that is done" });
  const problem = make("div", { class: "dlw-note" }), failure = make("div", { class: "dlw-note", role: "alert" });
  const trace = make("pre"), traced = make("details", {}, make("summary", { text: "Traceback" }), trace);
  el.append(make("div", { class: "dlw-line" }, name, about, status, ...numbers), bar, problem, failure, traced);

  const draw = () => {
    const run = model.get("run");
    say(name, run.title ?? ""); say(about, run.about ?? "");
    say(status, run.status ?? ""); status.dataset.status = run.status;
    figures(run).forEach((text, i) => say(numbers[i], text));
    bar.value = run.share ?? 0;
    say(problem, model.get("problem"));
    say(failure, model.get("error"));
    say(trace, model.get("trace")); traced.hidden = !model.get("trace");
    // The buttons are controls, which the training never writes: the page itself shows the ones that fit.
    const panel = el.closest(".dlw-bar");
    if (!(panel instanceof HTMLElement)) return;
    panel.dataset.theme = el.dataset.theme;
    if (panel.dataset.dlwStatus !== run.status) {
      const held = document.activeElement instanceof HTMLElement && panel.contains(document.activeElement) ? document.activeElement : null;
      panel.dataset.dlwStatus = run.status;
      // The focused button may just have gone: the one in its place takes over.
      if (held && held.offsetParent === null) {
        const next = [...panel.querySelectorAll(".dlw-button")].find((button) => /** @type {HTMLElement} */ (button).offsetParent !== null);
        /** @type {HTMLElement | undefined} */ (next)?.focus();
      }
    }
  };
  return { draw, signal };
}

/** @param {{model: import("./front.js").Model, el: HTMLElement, signal: AbortSignal}} view */
function facts({ model, el, signal }) {
  el.classList.add("dlw", "dlw-facts-part");
  const lines = Object.entries(ROWS).map(([row, top]) => {
    const left = make("span"), right = make("span");
    const line = make("div", { class: "dlw-fact", id: `dlw-fact-${row}-${++parts}` }, left, right);
    line.style.top = `${top}px`;
    el.append(line);
    return { left, right, line };
  });
  const note = make("div", { class: "dlw-note", role: "status" });
  const notes = make("div"), noted = make("details", {}, make("summary", { text: "What the session chose" }), notes);
  el.append(note, noted);

  const draw = () => {
    const asked = model.get("asked"), applied = model.get("applied"), rejected = model.get("rejected");
    /** @type {string[]} */
    const sentences = model.get("problem") ? [model.get("problem")] : [];
    Object.keys(ROWS).forEach((name, i) => {
      if (name === "limit") return;  // mode and limit are one control: its facts stand under the limit
      const at = name === "clip" ? lines[i + 1] : lines[i];
      const fact = factOf(name, asked[name], applied[name], rejected[name], model.get("running"));
      say(at.left, fact.left);
      at.left.className = `dlw-${fact.kind}`;
      say(at.right, fact.right);
      at.right.className = fact.kind === "in-force" ? "dlw-in-force" : "";
      if (rejected[name]) sentences.push(`${NAMES[name]} ${inWords(name, asked[name])}: ${rejected[name]}`);
    });
    say(note, sentences.join("\n"));
    say(notes, model.get("notes").join("\n"));
    noted.hidden = !model.get("notes").length;

    const around = el.closest(".dlw-controls");
    if (!(around instanceof HTMLElement)) return;
    around.dataset.theme = el.dataset.theme;
    // While gradients are not clipped, the limit is kept for later.
    around.dataset.clip = asked.clip ? asked.clip[0] : "off";
    handles(around).forEach(({ handle, words, row }) => {
      // The slider itself would say the exponent.
      if (words && handle.getAttribute("aria-valuetext") !== words) handle.setAttribute("aria-valuetext", words);
      handle.setAttribute("aria-label", Object.values(NAMES)[row]);
      handle.setAttribute("aria-describedby", lines[row].line.id);
    });
  };
  return { draw, signal };
}

/** Numbers the lines of facts, whose ids must be single in the page. */
let parts = 0;

/**
 * The sliders' handles, each with the words of its readout and the number of its row.
 * @param {Element} controls
 */
function handles(controls) {
  const rows = [...controls.children].filter((row) => row.matches(".widget-inline-hbox, .widget-toggle-buttons"));
  return rows.flatMap((row, i) => {
    const handle = row.querySelector(".noUi-handle");
    return handle ? [{ handle, words: row.querySelector(".widget-readout")?.textContent ?? "", row: i }] : [];
  });
}

/**
 * Let an arrow key move a logarithmic slider by 5 %, and by 1 % with Shift: its own step is small, so that what
 * is typed or set from code keeps its digits. The page keys move it by five steps.
 * @param {HTMLElement} controls @param {AbortSignal} signal
 */
function stride(controls, signal) {
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

export default {
  /** @param {{model: import("./front.js").Model, el: HTMLElement, signal: AbortSignal}} view */
  render(view) {
    const { draw } = view.model.get("part") === "head" ? head(view) : facts(view);
    live({ ...view, draw });
    // The element joins the page after this call; only then is the panel around it known.
    requestAnimationFrame(() => {
      draw();
      const around = view.el.closest(".dlw-bar, .dlw-controls");
      if (!(around instanceof HTMLElement) || view.signal.aborted) return;
      keepKeys(around, view.signal);
      stride(around, view.signal);
    });
  },
};

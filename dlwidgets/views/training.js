// The pictures of the training panel: the head (the run in one line) and the facts under each control.
import { live, make, say, sig, whole, clock, rate, keepKeys } from "./front.js";

/** Height of a control's row and where in it the facts stand [px]; training.css has the same. */
const ROW = 48, UNDER = 26;
/** The controls in the order of their rows. */
const ROWS = ["lr", "batch_size", "clip", "limit"];

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
  if (rejected) return { left: `▲ rejected: ${rejected}`, right, kind: "rejected" };
  if (JSON.stringify(asked) !== JSON.stringify(applied)) {
    return { left: `asked ${inWords(name, asked)}: ${running ? "from the next step" : "when training goes on"}`, right, kind: "waiting" };
  }
  return { left: "", right, kind: "in-force" };
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
  const notes = make("div"), noted = make("details", {}, make("summary", { text: "What the session chose" }), notes);
  el.append(make("div", { class: "dlw-line" }, name, about, status, ...numbers), bar, problem, failure, traced, noted);

  const draw = () => {
    const run = model.get("run");
    say(name, run.title ?? ""); say(about, run.about ?? "");
    say(status, run.status ?? ""); status.dataset.status = run.status;
    figures(run).forEach((text, i) => say(numbers[i], text));
    bar.value = run.share ?? 0;
    say(problem, model.get("problem"));
    say(failure, model.get("error"));
    say(trace, model.get("trace")); traced.hidden = !model.get("trace");
    say(notes, model.get("notes").join("\n")); notes.style.whiteSpace = "pre-line";
    // The buttons are controls, which the training never writes: the page itself shows the ones that fit.
    const panel = el.closest(".dlw-bar");
    if (panel instanceof HTMLElement && panel.dataset.dlwStatus !== run.status) {
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
  const lines = ROWS.map((row, i) => {
    const left = make("span"), right = make("span");
    const line = make("div", { class: "dlw-fact" }, left, right);
    line.style.top = `${i * ROW + UNDER}px`;
    el.append(line);
    return { left, right };
  });
  const draw = () => {
    const asked = model.get("asked"), applied = model.get("applied"), rejected = model.get("rejected");
    ROWS.forEach((name, i) => {
      const { left, right } = lines[i];
      if (name === "limit") return;  // mode and limit are one control: its facts stand under the limit
      const at = name === "clip" ? lines[i + 1] : { left, right };
      const fact = factOf(name, asked[name], applied[name], rejected[name], model.get("running"));
      say(at.left, fact.left); at.left.title = fact.left;
      at.left.className = `dlw-${fact.kind}`;
      say(at.right, fact.right);
      at.right.className = fact.kind === "in-force" ? "dlw-in-force" : "";
    });
    if (model.get("problem")) say(lines[0].left, model.get("problem"));
  };
  return { draw, signal };
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
      if (around instanceof HTMLElement && !view.signal.aborted) keepKeys(around, view.signal);
    });
  },
};

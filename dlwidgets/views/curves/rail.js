// The rail under the curves: the states that are kept, what was changed, and a handle to be dragged back.
import { listen, make, say, whole } from "../front.js";
import { LEFT, RIGHT } from "./charts.js";

/** A handle let go this near to a kept state goes there exactly, without steps taken again [px]. */
const SNAP = 7;

/**
 * The step that a place on the rail means: a kept state that is near, else the step itself, none not taken.
 * @param {number} x from the rail's left end [px] @param {{first: number, last: number, width: number, steps: number}} scale
 * @param {number[]} kept steps of the states that are kept @returns {number}
 */
export function stepAt(x, { first, last, width, steps }, kept) {
  const each = width / Math.max(1, last - first), exact = first + x / each;
  const near = kept.reduce((best, step) => (Math.abs(step - exact) < Math.abs(best - exact) ? step : best), Infinity);
  const found = Math.abs(near - exact) * each <= SNAP ? near : Math.round(exact);
  return Math.min(steps, Math.max(0, found));
}

/**
 * The step that a key moves the handle to: from one kept state to the next, by one step with shift; null for another key.
 * @param {string} key @param {boolean} fine @param {number} at @param {number[]} kept ascending @param {number} steps @returns {number | null}
 */
export function stepBy(key, fine, at, kept, steps) {
  const stops = [...kept, steps];
  if (key === "Home") return stops[0];
  if (key === "End") return steps;
  if (key === "ArrowLeft") return fine ? Math.max(0, at - 1) : stops.filter((step) => step < at).pop() ?? at;
  if (key === "ArrowRight") return fine ? Math.min(steps, at + 1) : stops.find((step) => step > at) ?? at;
  return null;
}

/** Have exactly `count` children, the old ones kept: a focused one keeps its focus. @param {Element} box @param {number} count @param {() => Node} one */
function have(box, count, one) {
  while (box.children.length > count) box.lastElementChild?.remove();
  while (box.children.length < count) box.append(one());
}

/**
 * @param {{signal: AbortSignal, tell: (words: string) => void, untell: () => void, go: (step: number) => void}} hands
 *   `tell` says what is under the pointer, `untell` ends it, `go` goes back to a step.
 */
export function railOf({ signal, tell, untell, go }) {
  const changes = make("div", { class: "dlw-rail-marks" }), states = make("div", { class: "dlw-rail-states" });
  const track = make("div", { class: "dlw-rail-track" });
  const handle = make("div", { class: "dlw-rail-handle", role: "slider", tabindex: 0, "aria-label": "Where the run is" });
  const line = make("div", { class: "dlw-rail-line" }, track, states, handle);
  const from = make("span"), key = make("span", { class: "dlw-rail-key" }), to = make("span");
  const node = make("div", { class: "dlw-rail" }, changes, line, make("div", { class: "dlw-rail-words" }, from, key, to));
  /** @type {{first: number, last: number, width: number, steps: number}} */
  let scale = { first: 0, last: 1, width: 1, steps: 0 };
  /** @type {[number, string][]} */
  let kept = [];
  let able = false, drawn = "";
  /** Where the handle is held, which is not where the run is. @type {number | null} */
  let held = null;

  const along = (/** @type {number} */ step) => `${((step - scale.first) / Math.max(1, scale.last - scale.first)) * scale.width}px`;
  const words = (/** @type {number} */ step) => {
    const state = kept.filter(([one]) => one === step).pop();
    return `step ${whole(step)}${state ? ` · kept: ${state[1]}` : " · taken again from the state before"}`;
  };
  const place = () => {
    const at = held ?? scale.steps;
    handle.style.left = along(at);
    handle.toggleAttribute("data-held", held !== null);
    handle.hidden = at < scale.first || at > scale.last;
    handle.setAttribute("aria-valuemin", "0");
    handle.setAttribute("aria-valuemax", String(scale.steps));
    handle.setAttribute("aria-valuenow", String(at));
    handle.setAttribute("aria-valuetext", held === null ? `step ${whole(at)}, now` : `go back to ${words(at)}? Enter goes, Escape stays`);
  };
  /** @param {number | null} to */
  const hold = (to) => {
    held = to === scale.steps ? null : to;
    place();
    if (held === null) untell(); else tell(`back to ${words(held)}`);
  };
  const leave = () => {
    const to = held;
    hold(null);
    if (to !== null) go(to);
  };
  const mark = () => {
    const one = make("button", { type: "button", class: "dlw-mark", text: "▼" });
    for (const event of ["focus", "mouseenter"]) listen(one, event, () => tell(one.title), signal);
    for (const event of ["blur", "mouseleave"]) listen(one, event, untell, signal);
    return one;
  };
  const dot = () => {
    const one = make("span", { class: "dlw-state" });
    listen(one, "mouseenter", () => { if (held === null) tell(one.title); }, signal);
    listen(one, "mouseleave", () => { if (held === null) untell(); }, signal);
    return one;
  };

  // The whole line takes the pointer: a press anywhere on it takes the handle there, letting go goes back.
  const under = (/** @type {PointerEvent} */ event) => stepAt(event.clientX - line.getBoundingClientRect().left, scale, kept.map(([step]) => step));
  listen(line, "pointerdown", (/** @type {PointerEvent} */ event) => {
    if (!able || event.button) return;
    line.setPointerCapture(event.pointerId);
    handle.focus({ preventScroll: true });
    hold(under(event));
    event.preventDefault();
  }, signal);
  listen(line, "pointermove", (/** @type {PointerEvent} */ event) => { if (line.hasPointerCapture(event.pointerId)) hold(under(event)); }, signal);
  listen(line, "pointerup", (/** @type {PointerEvent} */ event) => {
    if (!line.hasPointerCapture(event.pointerId)) return;
    line.releasePointerCapture(event.pointerId);
    leave();
  }, signal);
  listen(line, "pointercancel", () => hold(null), signal);
  listen(handle, "blur", () => hold(null), signal);
  listen(handle, "keydown", (/** @type {KeyboardEvent} */ event) => {
    const to = able ? stepBy(event.key, event.shiftKey, held ?? scale.steps, kept.map(([step]) => step), scale.steps) : null;
    if (to !== null) hold(to);
    else if (event.key === "Enter" && held !== null) leave();
    else if (event.key === "Escape" && held !== null) hold(null);
    else return;
    event.preventDefault(); event.stopPropagation();
  }, signal);

  /**
   * @param {{marks: [number, string][], kept: [number, string][], first: number, last: number, width: number, steps: number, able: boolean, busy: string}} now
   */
  const draw = (now) => {
    const shape = JSON.stringify(now);
    if (shape === drawn) return;
    drawn = shape;
    scale = { first: now.first, last: now.last, width: Math.max(1, now.width - LEFT - RIGHT), steps: now.steps };
    able = now.able && !now.busy;
    const inside = (/** @type {[number, string]} */ one) => one[0] >= scale.first && one[0] <= scale.last;
    kept = now.kept;
    for (const part of [changes, line, /** @type {HTMLElement} */ (node.lastElementChild)]) {
      part.style.marginLeft = `${LEFT}px`;
      part.style.width = `${scale.width}px`;
    }
    /** @type {[Element, [number, string][], () => Node, (step: number, words: string) => string][]} */
    const rows = [
      [changes, now.marks.filter(inside), mark, (step, said) => `step ${whole(step)}: ${said}`],
      [states, kept.filter(inside), dot, (step, said) => `step ${whole(step)} · kept: ${said}`],
    ];
    for (const [box, found, one, said] of rows) {
      have(box, found.length, one);
      [...box.children].forEach((child, i) => {
        if (!(child instanceof HTMLElement)) return;
        child.title = said(...found[i]);
        if (child instanceof HTMLButtonElement) child.setAttribute("aria-label", child.title);
        child.style.left = along(found[i][0]);
      });
    }
    line.toggleAttribute("data-able", able);
    handle.setAttribute("aria-disabled", String(!able));
    say(from, `step ${whole(scale.first)}`);
    say(key, now.busy ? `${now.busy} …` : kept.length ? `● kept  ▼ changes${able ? "  drag to go back" : ""}` : "▼ changes");
    say(to, whole(scale.last));
    place();
  };
  return { node, draw };
}

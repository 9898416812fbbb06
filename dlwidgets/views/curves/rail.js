// The rail under the curves: the states that are kept, what was changed, and a handle to be dragged back.
import { listen, make, say, whole } from "../front.js";
import { LEFT, RIGHT } from "./charts.js";

/** A handle let go this near to a kept state goes there exactly, without steps taken again [px]. */
const SNAP = 7;

/** How steps lie on the rail; `steps` is where the run is. @typedef {{first: number, last: number, width: number, steps: number}} Scale */
/** @typedef {Scale & {marks: [number, string][], kept: [number, string][], able: boolean, busy: string}} RailState */

/** The step that a place on the rail means: a kept state that is near, else the step itself, none not taken. @param {number} x
 * from the rail's left end [px] @param {Scale} scale @param {number[]} kept steps of the states */
export function stepAt(x, { first, last, width, steps }, kept) {
  const each = width / Math.max(1, last - first), exact = first + x / each;
  const near = kept.reduce((best, step) => (Math.abs(step - exact) < Math.abs(best - exact) ? step : best), Infinity);
  const found = Math.abs(near - exact) * each <= SNAP ? near : Math.round(exact);
  return Math.min(steps, Math.max(0, found));
}

/** The step that a key moves the handle to: from one kept state to the next, by one step with shift; null for another key.
 * @param {string} key @param {boolean} fine @param {number} at @param {number[]} kept ascending @param {number} steps */
export function stepBy(key, fine, at, kept, steps) {
  const stops = [...kept, steps];
  if (key === "Home") return stops[0];
  if (key === "End") return steps;
  if (key === "ArrowLeft") return fine ? Math.max(0, at - 1) : stops.filter((step) => step < at).pop() ?? at;
  if (key === "ArrowRight") return fine ? Math.min(steps, at + 1) : stops.find((step) => step > at) ?? at;
  return null;
}

/** Make a rail. `tell` says what is under the pointer, `untell` ends it, `go` goes back to a step. @param {{signal: AbortSignal,
 * tell: (words: string) => void, untell: () => void, go: (step: number) => void}} hands */
export function railOf({ signal, tell, untell, go }) {
  const changes = make("div", { class: "dlw-rail-marks" }), states = make("div", { class: "dlw-rail-states" });
  const handle = make("div", { class: "dlw-rail-handle", role: "slider", tabindex: 0, "aria-label": "Where the run is" });
  const line = make("div", { class: "dlw-rail-line" }, make("div", { class: "dlw-rail-track" }), states, handle);
  const from = make("span"), key = make("span", { class: "dlw-rail-key" }), to = make("span");
  const words = make("div", { class: "dlw-rail-words" }, from, key, to);
  // `held` is where the handle is held, which is not where the run is.
  let scale = { first: 0, last: 1, width: 1, steps: 0 }, kept = /** @type {[number, string][]} */ ([]), able = false;
  let held = /** @type {number | null} */ (null), drawn = "";

  /** Where a step lies, as CSS. @param {number} step */
  const along = (step) => `${((step - scale.first) / Math.max(1, scale.last - scale.first)) * scale.width}px`;
  const wordsOfStep = (/** @type {number} */ step) => {
    const state = kept.filter(([one]) => one === step).pop();
    return `step ${whole(step)}${state ? ` · kept: ${state[1]}` : " · taken again from the state before"}`;
  };
  /** Put the handle where it is held, or where the run is. */
  function placeHandle() {
    const at = held ?? scale.steps;
    handle.style.left = along(at);
    handle.toggleAttribute("data-held", held !== null);
    handle.hidden = at < scale.first || at > scale.last;
    const said = held === null ? `step ${whole(at)}, now` : `go back to ${wordsOfStep(at)}? Enter goes, Escape stays`;
    for (const [part, value] of Object.entries({ min: 0, max: scale.steps, now: at, text: said })) handle.setAttribute(`aria-value${part}`, `${value}`);
  }
  /** Hold the handle at a step; null lets it go. @param {number | null} step */
  function hold(step) {
    held = step === scale.steps ? null : step;
    placeHandle();
    if (held === null) untell(); else tell(`back to ${wordsOfStep(held)}`);
  }
  /** Let the handle go where it is held, and the run with it. */
  function leave() {
    const step = held;
    hold(null);
    if (step !== null) go(step);
  }

  // A press anywhere on the line takes the handle there, letting go goes back; keys move it too.
  const steps = () => kept.map(([step]) => step);
  const under = (/** @type {PointerEvent} */ event) => stepAt(event.clientX - line.getBoundingClientRect().left, scale, steps());
  listen(line, "pointerdown", (event) => {
    if (!able || event.button) return;
    line.setPointerCapture(event.pointerId);
    handle.focus({ preventScroll: true });
    hold(under(event));
    event.preventDefault();
  }, signal);
  listen(line, "pointermove", (event) => { if (line.hasPointerCapture(event.pointerId)) hold(under(event)); }, signal);
  listen(line, "pointerup", (event) => {
    if (!line.hasPointerCapture(event.pointerId)) return;
    line.releasePointerCapture(event.pointerId);
    leave();
  }, signal);
  listen(line, "pointercancel", () => hold(null), signal);
  listen(handle, "blur", () => hold(null), signal);
  listen(handle, "keydown", (event) => {
    const step = able ? stepBy(event.key, event.shiftKey, held ?? scale.steps, steps(), scale.steps) : null;
    if (step !== null) hold(step);
    else if (event.key === "Enter" && held !== null) leave();
    else if (event.key === "Escape" && held !== null) hold(null);
    else return;
    event.preventDefault(); event.stopPropagation();
  }, signal);

  function markNode() {
    const one = make("button", { type: "button", class: "dlw-mark", text: "▼" });
    for (const event of ["focus", "mouseenter"]) listen(one, event, () => tell(one.title), signal);
    for (const event of ["blur", "mouseleave"]) listen(one, event, untell, signal);
    return one;
  }
  function stateNode() {
    const one = make("span", { class: "dlw-state" });
    listen(one, "mouseenter", () => { if (held === null) tell(one.title); }, signal);
    listen(one, "mouseleave", () => { if (held === null) untell(); }, signal);
    return one;
  }
  /** Draw what stands at steps that are in sight; what is there already is kept, and with it the focus. @param {HTMLElement} box
   * @param {[number, string][]} stops @param {() => HTMLElement} one @param {string} gap */
  function drawStops(box, stops, one, gap) {
    const found = stops.filter(([step]) => step >= scale.first && step <= scale.last);
    while (box.children.length > found.length) box.lastElementChild?.remove();
    while (box.children.length < found.length) box.append(one());
    found.forEach(([step, said], i) => {
      const child = /** @type {HTMLElement} */ (box.children[i]);
      child.title = `step ${whole(step)}${gap}${said}`;
      if (child instanceof HTMLButtonElement) child.setAttribute("aria-label", child.title);
      child.style.left = along(step);
    });
  }

  function draw(/** @type {RailState} */ now) {
    const shape = JSON.stringify(now);
    if (shape === drawn) return;
    drawn = shape;
    scale = { first: now.first, last: now.last, width: Math.max(1, now.width - LEFT - RIGHT), steps: now.steps };
    able = now.able && !now.busy;
    kept = now.kept;
    for (const part of [changes, line, words]) {
      part.style.marginLeft = `${LEFT}px`;
      part.style.width = `${scale.width}px`;
    }
    drawStops(changes, now.marks, markNode, ": ");
    drawStops(states, kept, stateNode, " · kept: ");
    line.toggleAttribute("data-able", able);
    handle.setAttribute("aria-disabled", String(!able));
    say(from, `step ${whole(scale.first)}`);
    say(key, now.busy ? `${now.busy} …` : kept.length ? `● kept  ▼ changes${able ? "  drag to go back" : ""}` : "▼ changes");
    say(to, whole(scale.last));
    placeHandle();
  }
  return { node: make("div", { class: "dlw-rail" }, changes, line, words), draw };
}

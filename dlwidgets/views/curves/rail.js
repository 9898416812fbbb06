// The rail under the curves: the states that are kept, what was changed, and a handle to be dragged back.
import { listen, make, say, whole } from "../front.js";
import { LEFT, RIGHT } from "./charts.js";

/** A handle let go this near to a kept state goes there exactly, without steps taken again [px]. */
const SNAP = 7;

/** The step that a place on the rail means: a kept state that is near, else the step itself, none not taken.
 * @param {number} x from the rail's left end [px]
 * @param {{first: number, last: number, width: number, steps: number}} scale @param {number[]} kept steps of the
 * states that are kept */
export function stepAt(x, { first, last, width, steps }, kept) {
  const each = width / Math.max(1, last - first), exact = first + x / each;
  const near = kept.reduce((best, step) => (Math.abs(step - exact) < Math.abs(best - exact) ? step : best), Infinity);
  const found = Math.abs(near - exact) * each <= SNAP ? near : Math.round(exact);
  return Math.min(steps, Math.max(0, found));
}

/** The step that a key moves the handle to: from one kept state to the next, by one step with shift; null for
 * another key. @param {string} key @param {boolean} fine @param {number} at @param {number[]} kept ascending
 * @param {number} steps */
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

/** What the rail's functions work on. `scale` is how steps lie on it, `kept` the states that are kept, `held` where
 * the handle is held, which is not where the run is. @typedef {{ parts: ReturnType<typeof railParts>, hands: Hands,
 * scale: {first: number, last: number, width: number, steps: number}, kept: [number, string][], able: boolean,
 * held: number | null, drawn: string, }} Rail */
/** `tell` says what is under the pointer, `untell` ends it, `go` goes back to a step. @typedef {{signal: AbortSignal, tell: (words: string) => void, untell: () => void, go: (step: number) => void}} Hands */
/** @typedef {{marks: [number, string][], kept: [number, string][], first: number, last: number, width: number, steps: number, able: boolean, busy: string}} RailState */

/** Make a rail. @param {Hands} hands */
export function railOf(hands) {
  /** @type {Rail} */
  const rail = { parts: railParts(), hands, scale: { first: 0, last: 1, width: 1, steps: 0 }, kept: [], able: false, held: null, drawn: "" };
  listenToHandle(rail);
  return { node: rail.parts.node, draw: (/** @type {RailState} */ now) => drawRail(rail, now) };
}

function railParts() {
  const changes = make("div", { class: "dlw-rail-marks" }), states = make("div", { class: "dlw-rail-states" });
  const track = make("div", { class: "dlw-rail-track" });
  const handle = make("div", { class: "dlw-rail-handle", role: "slider", tabindex: 0, "aria-label": "Where the run is" });
  const line = make("div", { class: "dlw-rail-line" }, track, states, handle);
  const from = make("span"), key = make("span", { class: "dlw-rail-key" }), to = make("span");
  const words = make("div", { class: "dlw-rail-words" }, from, key, to);
  return { node: make("div", { class: "dlw-rail" }, changes, line, words), changes, states, handle, line, from, key, to, words };
}

/** Where a step lies, as CSS. @param {Rail} rail @param {number} step */
function along({ scale }, step) { return `${((step - scale.first) / Math.max(1, scale.last - scale.first)) * scale.width}px`; }

/** @param {Rail} rail @param {number} step */
function wordsOfStep({ kept }, step) {
  const state = kept.filter(([one]) => one === step).pop();
  return `step ${whole(step)}${state ? ` · kept: ${state[1]}` : " · taken again from the state before"}`;
}

/** Put the handle where it is held, or where the run is. @param {Rail} rail */
function placeHandle(rail) {
  const { scale, held, parts: { handle } } = rail, at = held ?? scale.steps;
  handle.style.left = along(rail, at);
  handle.toggleAttribute("data-held", held !== null);
  handle.hidden = at < scale.first || at > scale.last;
  handle.setAttribute("aria-valuemin", "0");
  handle.setAttribute("aria-valuemax", String(scale.steps));
  handle.setAttribute("aria-valuenow", String(at));
  handle.setAttribute("aria-valuetext", held === null ? `step ${whole(at)}, now` : `go back to ${wordsOfStep(rail, at)}? Enter goes, Escape stays`);
}

/** Hold the handle at a step; null lets it go. @param {Rail} rail @param {number | null} to */
function hold(rail, to) {
  rail.held = to === rail.scale.steps ? null : to;
  placeHandle(rail);
  if (rail.held === null) rail.hands.untell(); else rail.hands.tell(`back to ${wordsOfStep(rail, rail.held)}`);
}

/** Let the handle go where it is held, and the run with it. @param {Rail} rail */
function leave(rail) {
  const to = rail.held;
  hold(rail, null);
  if (to !== null) rail.hands.go(to);
}

/** A press anywhere on the line takes the handle there, letting go goes back; keys move it too. @param {Rail} rail */
function listenToHandle(rail) {
  const { hands: { signal }, parts: { line, handle } } = rail, steps = () => rail.kept.map(([step]) => step);
  const under = (/** @type {PointerEvent} */ event) => stepAt(event.clientX - line.getBoundingClientRect().left, rail.scale, steps());
  listen(line, "pointerdown", (/** @type {PointerEvent} */ event) => {
    if (!rail.able || event.button) return;
    line.setPointerCapture(event.pointerId);
    handle.focus({ preventScroll: true });
    hold(rail, under(event));
    event.preventDefault();
  }, signal);
  listen(line, "pointermove", (/** @type {PointerEvent} */ event) => { if (line.hasPointerCapture(event.pointerId)) hold(rail, under(event)); }, signal);
  listen(line, "pointerup", (/** @type {PointerEvent} */ event) => {
    if (!line.hasPointerCapture(event.pointerId)) return;
    line.releasePointerCapture(event.pointerId);
    leave(rail);
  }, signal);
  listen(line, "pointercancel", () => hold(rail, null), signal);
  listen(handle, "blur", () => hold(rail, null), signal);
  listen(handle, "keydown", (/** @type {KeyboardEvent} */ event) => {
    const to = rail.able ? stepBy(event.key, event.shiftKey, rail.held ?? rail.scale.steps, steps(), rail.scale.steps) : null;
    if (to !== null) hold(rail, to);
    else if (event.key === "Enter" && rail.held !== null) leave(rail);
    else if (event.key === "Escape" && rail.held !== null) hold(rail, null);
    else return;
    event.preventDefault(); event.stopPropagation();
  }, signal);
}

function markNode(/** @type {Rail} */ { hands: { signal, tell, untell } }) {
  const one = make("button", { type: "button", class: "dlw-mark", text: "▼" });
  for (const event of ["focus", "mouseenter"]) listen(one, event, () => tell(one.title), signal);
  for (const event of ["blur", "mouseleave"]) listen(one, event, untell, signal);
  return one;
}

function stateNode(/** @type {Rail} */ rail) {
  const one = make("span", { class: "dlw-state" }), { signal, tell, untell } = rail.hands;
  listen(one, "mouseenter", () => { if (rail.held === null) tell(one.title); }, signal);
  listen(one, "mouseleave", () => { if (rail.held === null) untell(); }, signal);
  return one;
}

function drawRail(/** @type {Rail} */ rail, /** @type {RailState} */ now) {
  const shape = JSON.stringify(now);
  if (shape === rail.drawn) return;
  rail.drawn = shape;
  rail.scale = { first: now.first, last: now.last, width: Math.max(1, now.width - LEFT - RIGHT), steps: now.steps };
  rail.able = now.able && !now.busy;
  rail.kept = now.kept;
  const { scale, able, kept, parts: { changes, states, line, handle, from, key, to, words } } = rail;
  for (const part of [changes, line, words]) {
    part.style.marginLeft = `${LEFT}px`;
    part.style.width = `${scale.width}px`;
  }
  drawStops(rail, changes, now.marks, markNode, (step, said) => `step ${whole(step)}: ${said}`);
  drawStops(rail, states, kept, stateNode, (step, said) => `step ${whole(step)} · kept: ${said}`);
  line.toggleAttribute("data-able", able);
  handle.setAttribute("aria-disabled", String(!able));
  say(from, `step ${whole(scale.first)}`);
  say(key, now.busy ? `${now.busy} …` : kept.length ? `● kept  ▼ changes${able ? "  drag to go back" : ""}` : "▼ changes");
  say(to, whole(scale.last));
  placeHandle(rail);
}

/** Draw what stands at steps that are in sight. @param {Rail} rail @param {Element} box @param {[number, string][]} stops @param {(rail: Rail) => Node} one @param {(step: number, words: string) => string} title */
function drawStops(rail, box, stops, one, title) {
  const found = stops.filter(([step]) => step >= rail.scale.first && step <= rail.scale.last);
  have(box, found.length, () => one(rail));
  [...box.children].forEach((child, i) => {
    if (!(child instanceof HTMLElement)) return;
    child.title = title(...found[i]);
    if (child instanceof HTMLButtonElement) child.setAttribute("aria-label", child.title);
    child.style.left = along(rail, found[i][0]);
  });
}

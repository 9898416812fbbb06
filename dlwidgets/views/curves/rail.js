// The rail under the curves: the states that are kept, what was changed, and a handle to be dragged back.
import { listen, make, OWN, say, whole } from "../front.js";
import { GAP, LEFT, RIGHT } from "./charts.js";

/** A handle let go this near to a kept state goes there exactly, without steps taken again [px]. */
const SNAP = 7;
/** Dots and marks nearer together than this would lie on one another: one stands for them [px]. */
const DOTS = 8, MARKS = 12;
/** How many of the changes that one mark stands for are said. */
const SAID = 3;

/** How steps lie on the rail; `steps` is where the run is. @typedef {{first: number, last: number, width: number, steps: number}} Scale */
/** A step with words; `true` where the doctor found something there. @typedef {[number, string, boolean?]} Stop */
/** @typedef {Scale & {marks: Stop[], found: Stop[], kept: Stop[], able: boolean, busy: string, refused: string}} RailState */

/** The step that a place on the rail means: a kept state that is near, else the step itself, none not taken. @param {number} x
 * from the rail's left end [px] @param {Scale} scale @param {number[]} kept steps of the states */
export function stepAt(x, { first, last, width, steps }, kept) {
  const each = width / Math.max(1, last - first), exact = first + x / each;
  const near = kept.reduce((best, step) => (Math.abs(step - exact) < Math.abs(best - exact) ? step : best), Infinity);
  const found = Math.abs(near - exact) * each <= SNAP ? near : Math.round(exact);
  return Math.min(steps, Math.max(0, found));
}

/** The step that a key moves the handle to: the arrows by one step, Page Up and Page Down to the next kept state; null for another
 * key. @param {string} key @param {number} at @param {number[]} kept ascending @param {number} steps */
export function stepBy(key, at, kept, steps) {
  const stops = [...kept, steps];
  if (key === "Home") return stops[0];
  if (key === "End") return steps;
  if (key === "ArrowLeft" || key === "ArrowDown") return Math.max(0, at - 1);
  if (key === "ArrowRight" || key === "ArrowUp") return Math.min(steps, at + 1);
  if (key === "PageDown") return stops.filter((step) => step < at).pop() ?? at;
  if (key === "PageUp") return stops.find((step) => step > at) ?? at;
  return null;
}

/** Those in sight, each with the ones behind it that would lie on it. @param {Stop[]} stops ascending @param {Scale} scale
 * @param {number} gap [px] @returns {Stop[][]} */
export function together(stops, { first, last, width }, gap) {
  const groups = /** @type {Stop[][]} */ ([]), each = width / Math.max(1, last - first);
  for (const stop of stops) {
    if (stop[0] < first || stop[0] > last) continue;
    const group = groups.at(-1);
    if (group && (stop[0] - group[0][0]) * each < gap) group.push(stop); else groups.push([stop]);
  }
  return groups;
}

/** Changes and findings in one row, by step; findings first. @param {Stop[]} changes @param {Stop[]} found @returns {Stop[]} */
export function mixed(changes, found) {
  return [...found.map(([step, words]) => /** @type {Stop} */ ([step, words, true])), ...changes].sort((a, b) => a[0] - b[0]);
}

/** What one dot or mark stands for, in words. @param {Stop[]} group @param {(many: number) => string} [count] of many, where each is not said */
export function wordsOf(group, count) {
  const [first, last] = [group[0][0], group[group.length - 1][0]], many = group.length;
  if (many === 1) return `step ${whole(first)}: ${group[0][1]}`;
  const more = many > SAID ? `; and ${many - SAID} more` : "";
  return `steps ${whole(first)}–${whole(last)}: ${count ? count(many) : group.slice(0, SAID).map(([, words]) => words).join("; ") + more}`;
}

/** Make a rail. `tell` says what is under the pointer and at which step, "" for nothing any more; `loss` says the loss of a step; `go`
 * goes back to one. @param {{signal: AbortSignal, tell: (words: string, step?: number) => void, loss: (step: number) => string,
 * go: (step: number) => void}} hands */
export function railOf({ signal, tell, loss, go }) {
  const changes = make("div", { class: "dlw-rail-marks", role: "toolbar", "aria-label": "changes and findings" }), states = make("div", { class: "dlw-rail-states" });
  const handle = make("div", {
    class: "dlw-rail-handle", role: "slider", tabindex: 0, "aria-label": "Where the run is",
    title: "drag, or arrow keys by one step, Page Up and Page Down to the next kept state; Enter goes there",
  });
  const tip = make("div", { class: "dlw-rail-tip", "aria-hidden": "true", hidden: true });
  const line = make("div", { class: "dlw-rail-line" }, make("div", { class: "dlw-rail-track" }), states, handle, tip);
  // The numbers of the steps stand on the axis above.
  const key = make("div", { class: "dlw-rail-key" });
  // `held` is where the handle is held, and `going` the step on the way to which the run is, neither of which is where it is.
  let scale = { first: 0, last: 1, width: 1, steps: 0 }, kept = /** @type {Stop[]} */ ([]), able = false, busy = "";
  let held = /** @type {number | null} */ (null), going = /** @type {number | null} */ (null), waiting = 0, drawn = "";

  /** Where a step lies, 0 to 1. @param {number} step */
  const share = (step) => (step - scale.first) / Math.max(1, scale.last - scale.first);
  /** Where a step lies, as CSS. @param {number} step */
  const along = (step) => `${share(step) * scale.width}px`;
  const wordsOfStep = (/** @type {number} */ step) => {
    const base = kept.filter(([one]) => one <= step).pop();
    if (base?.[0] === step) return `kept: ${base[1]}`;
    return base ? `${whole(step - base[0])} step${step - base[0] > 1 ? "s" : ""} taken again` : "not kept";
  };
  /** Put the handle where it is held, where the run is going, or where it is. */
  function placeHandle() {
    const at = held ?? going ?? scale.steps;
    handle.style.left = along(at);
    handle.toggleAttribute("data-held", held !== null || going !== null);
    handle.hidden = at < scale.first || at > scale.last;
    tip.hidden = handle.hidden || held === null;
    const said = `step ${whole(at)} of ${whole(scale.steps)}${held === null ? "" : `, ${wordsOfStep(at)}: Enter goes there, Escape stays`}`;
    for (const [part, value] of Object.entries({ min: 0, max: scale.steps, now: at, text: said })) handle.setAttribute(`aria-value${part}`, `${value}`);
    if (held !== null) {
      say(tip, `step ${whole(at)}${loss(at)}`);
      tip.style.left = along(at);
      tip.style.transform = `translateX(${-100 * Math.min(1, Math.max(0, share(at)))}%)`;
    }
    const leads = going !== null && !busy ? `Going back to step ${whole(going)}` : busy;
    say(key, leads ? `${leads} …` : kept.length ? `● kept  ▼ changes${able ? "\ndrag to go back" : ""}` : "▼ changes");
  }
  /** Hold the handle at a step; null lets it go. @param {number | null} step */
  function hold(step) {
    held = step === scale.steps ? null : step;
    placeHandle();
    if (held === null) tell(""); else tell(`back to step ${whole(held)} · ${wordsOfStep(held)}`, held);
  }
  /** Show the run on its way to a step; null when it is there, or will not come. @param {number | null} step */
  function head(step) {
    window.clearTimeout(waiting);
    going = step;
    // A kernel that is busy with something else has not said that it goes.
    if (step !== null) waiting = window.setTimeout(() => { if (!busy) head(null); }, OWN);
    placeHandle();
  }
  /** Let the handle go where it is held, and the run with it. */
  function leave() {
    const step = held;
    hold(null);
    if (step === null) return;
    head(step);
    go(step);
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
    const step = able ? stepBy(event.key, held ?? scale.steps, steps(), scale.steps) : null;
    if (step !== null) hold(step);
    else if (event.key === "Enter" && held !== null) leave();
    else if (event.key === "Escape" && held !== null) hold(null);
    else return;
    event.preventDefault(); event.stopPropagation();
  }, signal);
  // One Tab stop for all marks, however many there are: the arrows go from one to the next.
  listen(changes, "keydown", (event) => {
    const all = /** @type {HTMLElement[]} */ ([...changes.children]), at = all.indexOf(/** @type {HTMLElement} */ (event.target));
    const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: all.length - 1 }[/** @type {string} */ (event.key)];
    if (next === undefined) return;
    all[next]?.focus();
    event.preventDefault(); event.stopPropagation();
  }, signal);
  signal.addEventListener("abort", () => window.clearTimeout(waiting));

  function markNode() {
    const one = make("button", { type: "button", class: "dlw-mark", text: "▼", tabindex: -1 });
    for (const event of ["focus", "mouseenter"]) listen(one, event, () => tell(one.title), signal);
    for (const event of ["blur", "mouseleave"]) listen(one, event, () => tell(""), signal);
    return one;
  }
  function stateNode() {
    const one = make("span", { class: "dlw-state" });
    listen(one, "mouseenter", () => { if (held === null) tell(one.title); }, signal);
    listen(one, "mouseleave", () => { if (held === null) tell(""); }, signal);
    return one;
  }
  /** Draw what stands at steps; what is there already is kept, and with it the focus. @param {HTMLElement} box
   * @param {Stop[][]} groups @param {() => HTMLElement} one @param {(many: number) => string} [count] */
  function drawStops(box, groups, one, count) {
    while (box.children.length > groups.length) box.lastElementChild?.remove();
    while (box.children.length < groups.length) box.append(one());
    groups.forEach((group, i) => {
      const child = /** @type {HTMLElement} */ (box.children[i]);
      child.title = wordsOf(group, count);
      if (child instanceof HTMLButtonElement) {
        child.setAttribute("aria-label", child.title);
        const ill = group.some(([, , found]) => found);
        say(child, ill ? "▲" : "▼");
        child.toggleAttribute("data-found", ill);
        child.tabIndex = i === groups.length - 1 ? 0 : -1;
      }
      child.style.left = along(group[0][0]);
    });
  }

  function draw(/** @type {RailState} */ now) {
    const shape = JSON.stringify(now);
    if (shape === drawn) return;
    drawn = shape;
    scale = { first: now.first, last: now.last, width: Math.max(1, now.width - LEFT - RIGHT), steps: now.steps };
    const was = busy;
    busy = now.busy;
    able = now.able && !busy;
    kept = now.kept;
    key.style.width = `${RIGHT - 2 * GAP}px`;
    for (const part of [changes, line]) {
      part.style.marginLeft = `${LEFT}px`;
      part.style.width = `${scale.width}px`;
    }
    drawStops(changes, together(mixed(now.marks, now.found), scale, MARKS), markNode);
    drawStops(states, together(kept.map(([step, why]) => [step, `kept: ${why}`]), scale, DOTS), stateNode, (many) => `${many} kept states`);
    line.toggleAttribute("data-able", able);
    handle.setAttribute("aria-disabled", String(!able));
    if (going !== null && !busy && (was || now.steps === going || now.refused)) head(null); else placeHandle();
  }
  return { node: make("div", { class: "dlw-rail" }, changes, line, key), draw };
}

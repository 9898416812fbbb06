// Rows of what is set for parts of a model: rates of groups, and when they are to be unfrozen.

import { listen, make, makeButton, rate, say, sig } from "../front.js";
import { nextDue } from "./words.js";

/** A part of the model that can be chosen: its name, and its paths. @typedef {[string, string[]]} Choice */
/** @typedef {{name: string, paths: string[], factor: number, rate: number, trains: boolean}} RateRow */
/** @typedef {{name: string, paths: string[], number: number, unit: string, done: boolean}} TimeRow */

/** A select of parts, made anew only where they are others. @param {string} label */
function chooser(label) {
  const node = make("select", { "aria-label": label });
  let choices = /** @type {Choice[]} */ ([]), form = "";
  return {
    node,
    /** @param {Choice[]} now @param {boolean} usable */
    draw(now, usable) {
      const fresh = JSON.stringify(now);
      if (fresh !== form) {
        form = fresh; choices = now;
        node.replaceChildren(...now.map(([name], i) => make("option", { value: i, text: name })));
      }
      node.disabled = !usable || !now.length;
    },
    paths: () => choices[Number(node.value)]?.[1] ?? [],
  };
}

/** Keep a row for each part, in order; a row keeps its place among the keys. @template Row
 * @param {HTMLElement} box @param {Map<string, {node: HTMLElement, draw: (row: Row, off: string, next: boolean) => void}>} made @param {(Row & {paths: string[]})[]} rows
 * @param {() => {node: HTMLElement, draw: (row: Row, off: string, next: boolean) => void}} one @param {string} off @param {number} [next] the one that is due next */
function keepRows(box, made, rows, one, off, next = -1) {
  const keys = rows.map((row) => row.paths.join("\n"));
  for (const [key, row] of made) if (!keys.includes(key)) { row.node.remove(); made.delete(key); }
  rows.forEach((row, i) => {
    const there = made.get(keys[i]) ?? one();
    made.set(keys[i], there);
    if (box.children[i] !== there.node) box.insertBefore(there.node, box.children[i] ?? null);
    there.draw(row, off, i === next);
  });
}

/** Rates of groups: a slider of each factor, and the rate in force beside it. @param {import("../front.js").Want} want @param {AbortSignal} signal */
export function ratesOf(want, signal) {
  const list = make("div", { class: "dlw-ft-rows" }), why = make("div", { class: "dlw-ft-why", role: "alert" }), made = new Map();
  const which = chooser("A part of the model"), add = makeButton("Give it its own rate", () => want.call("factor", [which.paths(), 0.1]), signal);
  const base = make("span", { class: "dlw-faint" }), node = make("div", { class: "dlw-ft-body" }, list, make("div", { class: "dlw-ft-add" }, which.node, add, base), why);
  let span = [1e-3, 10], waits = false;
  const one = () => {
    let row = /** @type {RateRow} */ ({ name: "", paths: [], factor: 1, rate: 0, trains: true });
    const name = make("span", { class: "dlw-ft-name" }), slider = make("input", { type: "range", step: 0.02 }), typed = make("input", { type: "text", inputmode: "decimal" });
    const rated = make("span", { class: "dlw-ft-force" }), away = makeButton("×", () => want.call("factor", [row.paths, null]), signal);
    const tell = (/** @type {number} */ factor) => want.call("factor", [row.paths, factor]);
    const near = () => Number((10 ** Number(slider.value)).toPrecision(2));
    listen(slider, "input", () => { typed.value = sig(near(), 2); }, signal);
    listen(slider, "change", () => tell(near()), signal);
    listen(typed, "change", () => tell(Number.isNaN(Number(typed.value)) || !typed.value.trim() ? /** @type {any} */ (typed.value) : Number(typed.value)), signal);
    return {
      node: make("div", { class: "dlw-ft-row dlw-ft-rate" }, name, slider, make("span", { class: "dlw-ft-times" }, "× ", typed), rated, away),
      draw(/** @type {RateRow} */ now, /** @type {string} */ off) {
        const active = slider.getRootNode(), held = active instanceof Document || active instanceof ShadowRoot ? active.activeElement : null;
        row = now;
        say(name, now.name);
        name.title = now.paths.join(", ");
        slider.min = String(Math.log10(span[0])); slider.max = String(Math.log10(span[1]));
        slider.setAttribute("aria-label", `Factor on the rate of ${now.name}`);
        slider.setAttribute("aria-valuetext", `${sig(now.factor, 2)} times, ${rate(now.rate)}`);
        typed.setAttribute("aria-label", `Factor on the rate of ${now.name}, typed`);
        if (held !== slider) slider.value = String(Math.log10(now.factor || span[0]));
        if (held !== typed && held !== slider) typed.value = sig(now.factor, 2);
        say(rated, `${!now.trains ? "❄ frozen," : waits ? "next step" : "in force"} ${rate(now.rate)}`);
        rated.dataset.kind = !now.trains ? "frozen" : waits ? "waits" : "";
        for (const control of [slider, typed, away]) { control.disabled = Boolean(off); control.title = off; }
        away.title = off || "One rate with the rest again";
        away.setAttribute("aria-label", `No rate of its own for ${now.name}`);
      },
    };
  };
  return {
    node,
    /** @param {{rows?: RateRow[], more?: number, base?: number, others?: Choice[], range?: number[]}} now @param {string} off @param {string} said @param {boolean} waiting whether it is in force from the next step only */
    draw({ rows = [], more = 0, base: all = 0, others = [], range = span }, off, said, waiting) {
      span = range;
      waits = waiting;
      keepRows(list, made, rows, one, off);
      which.draw(others, !off);
      add.disabled = Boolean(off) || !others.length;
      add.title = off || "Begins at a tenth of the rate of the rest";
      say(base, `${moreWords(more)}the rest: ${rate(all)}`);
      say(why, said);
    },
  };
}

/** The timetable: when parts are to be unfrozen. @param {import("../front.js").Want} want @param {AbortSignal} signal */
export function timesOf(want, signal) {
  const list = make("div", { class: "dlw-ft-rows" }), why = make("div", { class: "dlw-ft-why", role: "alert" }), made = new Map();
  const gradually = makeButton("Unfreeze gradually", () => want.call("gradually"), signal), unit = units("Epochs or steps"), when = make("input", { type: "text", inputmode: "numeric", value: 1, "aria-label": "After how many" });
  const which = chooser("A part of the model"), add = makeButton("Add", () => want.call("time", [which.paths(), timeOf(when.value, unit.value)]), signal);
  const left = make("span", { class: "dlw-faint" }), node = make("div", { class: "dlw-ft-body" }, list, make("div", { class: "dlw-ft-add" }, which.node, "after", when, unit, add, gradually, left), why);
  const one = () => {
    let row = /** @type {TimeRow} */ ({ name: "", paths: [], number: 0, unit: "step", done: false });
    const mark = make("span", { class: "dlw-ft-due" }), name = make("span", { class: "dlw-ft-name" }), number = make("input", { type: "text", inputmode: "numeric" }), kind = units("");
    const away = makeButton("×", () => want.call("time", [row.paths, null]), signal);
    for (const control of [number, kind]) listen(control, "change", () => want.call("time", [row.paths, timeOf(number.value, kind.value)]), signal);
    return {
      node: make("div", { class: "dlw-ft-row dlw-ft-time" }, mark, name, make("span", { class: "dlw-ft-at" }, "after", number, kind), away),
      draw(/** @type {TimeRow} */ now, /** @type {string} */ off, /** @type {boolean} */ next) {
        const root = number.getRootNode(), held = root instanceof Document || root instanceof ShadowRoot ? root.activeElement : null;
        row = now;
        say(name, now.name);
        name.title = now.paths.join(", ");
        say(mark, now.done ? "✓ trains" : next ? "▶ next" : "❄ later");
        if (held !== number) number.value = String(now.number);
        if (held !== kind) kind.value = now.unit;
        number.setAttribute("aria-label", `When ${now.name} is unfrozen`);
        kind.setAttribute("aria-label", `Epochs or steps, of ${now.name}`);
        for (const control of [number, kind, away]) { control.disabled = Boolean(off); control.title = off; }
        away.title = off || "Take it off the timetable";
        away.setAttribute("aria-label", `Take ${now.name} off the timetable`);
      },
    };
  };
  return {
    node,
    /** @param {{rows?: TimeRow[], more?: number, others?: Choice[]}} now @param {string} off @param {string} said */
    draw({ rows = [], more = 0, others = [] }, off, said) {
      say(left, moreWords(more));
      keepRows(list, made, rows, one, off, nextDue(rows.map((row) => (row.done ? null : row))));
      which.draw(others, !off);
      for (const control of [when, unit]) control.disabled = Boolean(off);
      add.disabled = Boolean(off) || !others.length;
      gradually.disabled = Boolean(off);
      gradually.title = off || "Train the head first, then the backbone too, stage by stage from its end";
      say(why, said);
    },
  };
}

/** What is said of rows that are left out. @param {number} more */
function moreWords(more) { return more ? `${more} more, as code set them · ` : ""; }

/** @param {string} label */
function units(label) {
  return make("select", { "aria-label": label }, make("option", { value: "epoch", text: "epochs" }), make("option", { value: "step", text: "steps" }));
}

/** A time as the kernel reads it; what is no number goes as it is, to be refused in a sentence. @param {string} text @param {string} unit */
export function timeOf(text, unit) {
  const number = text.trim() && Number.isInteger(Number(text)) ? Number(text) : NaN;
  if (Number.isNaN(number)) return text;
  return unit === "epoch" ? `${number} epochs` : number;
}

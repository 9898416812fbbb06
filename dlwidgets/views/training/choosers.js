// The training panel's sections that are no rows of controls: where the rate stands, presets, the way back.
import { listen, make, say, sig, whole, rate } from "../front.js";
import { newRowId } from "./field.js";

/** @typedef {import("./field.js").Wishes} Wishes */

/** Asked, scheduled and applied rate in a line. @param {{asked?: number, scheduled?: number | null, multiplier?:
 * number, applied?: number | null}} rates */
export function rateLine(rates) {
  if (rates.scheduled === undefined || rates.scheduled === null) return "";
  return `asked ${rate(rates.asked)} · scheduled ${rate(rates.scheduled)} × ${sig(rates.multiplier, 3)} = in force ${rate(rates.applied)}`;
}

/** A few of the rates to come in words. @param {[number, number][]} coming steps and rates */
export function comingLine(coming) {
  if (coming.length && coming.every(([, value]) => value === coming[0][1])) return `stays ${rate(coming[0][1])}`;
  return coming.map(([step, value], i) => (i ? `${rate(value)} at step ${whole(step)}` : `next ${rate(value)}`)).join(" → ");
}

/** Where the rate stands, and the rates to come. */
export function ratesOf() {
  const now = make("div"), coming = make("div"), note = make("div");
  const box = make("div", { class: "dlw-rates" }, now, coming, note);
  return {
    box,
    draw(/** @type {any} */ rates) {
      say(now, rateLine(rates));
      say(coming, rates.coming?.length ? comingLine(rates.coming) : "");
      say(note, rates.note ?? "");
    },
  };
}

/** A choice of things and a button that does something with the chosen one. @param {string} label
 * @param {string} verb @param {string} title @param {AbortSignal} signal @param {(chosen: string) => void} act */
function chooser(label, verb, title, signal, act) {
  const id = newRowId();
  const select = make("select", { id }), button = make("button", { type: "button", text: verb, title });
  listen(button, "click", () => { if (select.value) act(select.value); }, signal);
  const line = make("div", { class: "dlw-field dlw-act" }, make("label", { for: id, text: label }), make("span", { class: "dlw-entry" }, select, button));
  return {
    line, select, button,
    /** @param {[string, string][]} options values and words @param {string} empty */
    offer(options, empty) {
      const shown = options.length ? options : /** @type {[string, string][]} */ ([["", empty]]);
      if (JSON.stringify(shown) !== select.dataset.shown) {
        const chosen = select.value;
        select.replaceChildren(...shown.map(([value, text]) => make("option", { value, text })));
        if (shown.some(([value]) => value === chosen)) select.value = chosen;
        select.dataset.shown = JSON.stringify(shown);
      }
      button.disabled = select.disabled = !options.length;
    },
  };
}

export function presetsOf(/** @type {Wishes} */ want, /** @type {AbortSignal} */ signal) {
  const words = make("div", { class: "dlw-rates dlw-indent" }), why = make("div", { class: "dlw-why", role: "status" });
  const choice = chooser("Set several", "Apply", "Set what the preset names", signal, (name) => want.call("preset", name));
  /** @type {[string, string][]} */
  let known = [];
  const tell = () => say(words, (known.find(([name]) => name === choice.select.value) ?? ["", ""])[1]);
  listen(choice.select, "change", tell, signal);
  return {
    box: make("div", {}, choice.line, words, why),
    draw(/** @type {[string, string][]} */ presets, /** @type {string[]} */ locked, /** @type {string} */ said) {
      known = presets;
      choice.offer(presets.map(([name]) => [name, name]), "no presets");
      if (locked.includes("presets")) choice.button.disabled = choice.select.disabled = true;
      choice.button.title = locked.includes("presets") ? "Locked in this panel" : "Set what the preset names";
      tell();
      say(why, said);
    },
  };
}

export function pastOf(/** @type {Wishes} */ want, /** @type {AbortSignal} */ signal) {
  const why = make("div", { class: "dlw-why", role: "status" }), busy = make("div", { class: "dlw-rates", role: "status" });
  const back = chooser("Back to", "Go back", "Go back to this state and pause there", signal, (step) => want.call("rewind", Number(step)));
  const over = chooser("Line", "Switch", "Go to the end of this line and pause there", signal, (name) => want.call("switch", name));
  return {
    box: make("div", {}, back.line, over.line, busy, why),
    draw(/** @type {any} */ past, /** @type {string} */ said) {
      // Of several states after the same step one is offered: going back is to a step.
      const steps = new Map((past.snapshots ?? []).map((/** @type {[number, string]} */ [step, reason]) => [String(step), `step ${whole(step)} · ${reason}`]));
      back.offer([.../** @type {Map<string, string>} */ (steps)], "nothing is kept yet");
      over.offer((past.branches ?? []).map((/** @type {[string, number]} */ [name, count]) => [name, `${name} · ${whole(count)} steps`]), "no line was left");
      over.line.hidden = !(past.branches ?? []).length;
      const shut = Boolean(past.busy) || (past.locked ?? []).includes("rewind");
      if (shut) for (const one of [back, over]) one.button.disabled = true;
      say(busy, past.busy ? `${past.busy} …` : "");
      say(why, said);
    },
  };
}

// The sections of the training panel that fold away: rows of controls, presets, the way back, the last step.
import { listen, make, say, wishes } from "../front.js";
import { fieldOf } from "./field.js";
import { linesOfRun, pastOf, presetsOf, ratesOf } from "./choosers.js";
import { lastStepOf } from "./last_step.js";

/** A section that folds. @typedef {{box: HTMLDetailsElement, sum: HTMLElement, summary: HTMLElement}} Section */

/** @param {{model: import("../front.js").Model, el: HTMLElement, signal: AbortSignal, repaint: () => void}} view */
export function sections({ model, el, signal, repaint }) {
  el.classList.add("dlw", "dlw-sections-part");
  const want = wishes({ model, signal, repaint });
  /** @type {Map<string, ReturnType<typeof fieldOf>>} */
  const rows = new Map();
  /** @type {Map<string, Section>} */
  const made = new Map();
  let built = "";

  const presets = presetsOf(want, signal), past = pastOf(want, signal), step = lastStepOf(), rates = ratesOf(), lines = linesOfRun(want, signal);
  const notes = make("div", { class: "dlw-notes" });
  /** What sections hold below their rows. @type {Record<string, HTMLElement>} */
  const extras = { schedule: rates.box, presets: presets.box, past: past.box, lines: lines.box, step: step.box, notes };

  const build = (/** @type {any[]} */ form) => {
    rows.clear(); made.clear(); el.replaceChildren();
    for (const section of form) {
      const fields = section.rows.map((/** @type {any} */ field) => {
        const one = fieldOf(field, want, signal);
        rows.set(field.key, one);
        return one.line;
      });
      const extra = extras[section.name], one = sectionOf(section, extra ? [...fields, extra] : fields, want, signal);
      made.set(section.name, one);
      el.append(one.box);
    }
  };

  const draw = () => {
    const form = model.get("form"), shape = JSON.stringify(form);
    if (shape !== built) { build(form); built = shape; }
    const open = want.get("opened"), values = model.get("rows"), sums = model.get("sums"), running = model.get("running");
    const said = model.get("said"), all = model.get("notes");
    made.forEach(({ box, sum, summary }, name) => {
      if (box.open !== open.includes(name)) box.open = open.includes(name);
      summary.setAttribute("aria-expanded", String(box.open));
      const wrong = form.find((/** @type {any} */ one) => one.name === name).rows.some((/** @type {any} */ one) => values[one.key]?.why);
      say(sum, (wrong ? "▲ " : "") + (sums[name] ?? ""));
      if (name === "notes") box.hidden = !all.length;
    });
    rows.forEach((one, key) => { if (values[key]) one.draw(values[key], running); });
    rates.draw(model.get("rates"));
    presets.draw(model.get("presets"), model.get("past").locked ?? [], said.presets ?? "");
    past.draw(model.get("past"), said.past ?? "");
    lines.draw(model.get("lines"), model.get("past"), said.lines ?? "");
    step.draw(model.get("taken"), model.get("thumbs"), running);
    say(notes, all.join("\n"));
    const dark = el.dataset.theme;
    const around = el.closest(".dlw-controls");
    if (around instanceof HTMLElement && dark) around.dataset.theme = dark;
  };
  return { draw };
}

/** A section that folds, with what it comes to beside its name. @param {{name: string, label: string}} section
 * @param {HTMLElement[]} inside @param {ReturnType<typeof wishes>} want @param {AbortSignal} signal
 * @returns {Section} */
function sectionOf({ name, label }, inside, want, signal) {
  const sum = make("span", { class: "dlw-sum" });
  const summary = make("summary", {}, make("span", { class: "dlw-section", text: label }), sum);
  // Not on "toggle", which comes late: a picture drawn before it would close the section again.
  listen(summary, "click", (event) => {
    event.preventDefault();
    const open = /** @type {string[]} */ (want.get("opened"));
    want.set("opened", open.includes(name) ? open.filter((one) => one !== name) : [...open, name]);
  }, signal);
  return { box: make("details", { "data-section": name }, summary, make("div", { class: "dlw-section-body" }, ...inside)), sum, summary };
}

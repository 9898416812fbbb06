// The sections of the training panel that fold away: rows of controls, presets, the way back, the last step.
import { decision, listen, live, make, makeButton, say, wishes } from "../front.js";
import { fieldOf, linesOfRun, pastOf, presetsOf, ratesOf } from "./choosers.js";
import { lastStepOf } from "./last_step.js";
import { rateSearchOf } from "./rate_search.js";

/** @param {{model: import("../front.js").Model, el: HTMLElement, signal: AbortSignal, repaint: () => void}} view */
function sections({ model, el, signal, repaint }) {
  el.classList.add("dlw", "dlw-sections-part");
  const want = wishes({ model, signal, repaint }), opened = decision({ model, signal, repaint }, want, "opened");
  const rows = /** @type {Map<string, ReturnType<typeof fieldOf>>} */ (new Map());
  /** The sections with what they come to, beside their names. */
  const made = /** @type {Map<string, {box: HTMLDetailsElement, sum: HTMLElement, summary: HTMLElement}>} */ (new Map());
  let built = "";

  const presets = presetsOf(want, signal), past = pastOf(want, signal), step = lastStepOf(), rates = ratesOf(), lines = linesOfRun(want, signal), search = rateSearchOf(want, signal);
  const notes = make("div", { class: "dlw-notes" });
  /** What sections hold below their rows. @type {Record<string, HTMLElement>} */
  const extras = { schedule: rates.box, rate: search.box, presets: presets.box, past: past.box, lines: lines.box, step: step.box, notes };

  /** Open what is closed and the other way round. @param {string} name */
  const fold = (name) => {
    const open = /** @type {string[]} */ (opened.get());
    opened.set(open.includes(name) ? open.filter((one) => one !== name) : [...open, name]);
  };
  // Where there is little room, all sections stand behind one line.
  const more = makeButton("", () => fold("more"), signal, { class: "dlw-more" });

  const build = (/** @type {any[]} */ form) => {
    rows.clear(); made.clear(); el.replaceChildren(more);
    for (const section of form) {
      const fields = section.rows.map((/** @type {any} */ field) => {
        const one = fieldOf(field, want, signal);
        rows.set(field.key, one);
        return one.line;
      });
      const { name, label } = section, sum = make("span", { class: "dlw-sum" });
      const summary = make("summary", {}, make("span", { class: "dlw-section", text: label }), sum);
      // Not on "toggle", which comes late: a picture drawn before it would close the section again.
      listen(summary, "click", (event) => {
        event.preventDefault();
        fold(name);
      }, signal);
      const box = make("details", { "data-section": name }, summary, make("div", { class: "dlw-section-body" }, ...fields, extras[name] ?? ""));
      made.set(name, { box, sum, summary });
      el.append(box);
    }
  };

  const draw = () => {
    const form = model.get("form"), shape = JSON.stringify(form);
    if (shape !== built) { build(form); built = shape; }
    const open = /** @type {string[]} */ (opened.get()), values = model.get("rows"), sums = model.get("sums"), running = model.get("running");
    const said = model.get("said"), all = model.get("notes");
    let wrong = false;
    made.forEach(({ box, sum, summary }, name) => {
      if (box.open !== open.includes(name)) box.open = open.includes(name);
      summary.setAttribute("aria-expanded", String(box.open));
      const refused = form.find((/** @type {any} */ one) => one.name === name).rows.some((/** @type {any} */ one) => values[one.key]?.why);
      wrong ||= refused;
      say(sum, (refused ? "▲ " : "") + (sums[name] ?? ""));
      if (name === "notes") box.hidden = !all.length;
    });
    say(more, `${wrong ? "▲ " : ""}more: schedule, optimizer, regularisation, run …`);
    more.setAttribute("aria-expanded", String(open.includes("more")));
    el.toggleAttribute("data-more", open.includes("more"));
    rows.forEach((one, key) => { if (values[key]) one.draw(values[key], running); });
    rates.draw(model.get("rates"));
    presets.draw(model.get("presets"), model.get("past").locked ?? [], said.presets ?? "");
    past.draw(model.get("past"), said.past ?? "");
    lines.draw(model.get("lines"), model.get("past"), said.lines ?? "");
    search.draw(model.get("search") ?? {}, model.get("past"), said.rate ?? "");
    step.draw(model.get("taken"), model.get("thumbs"), running);
    say(notes, all.join("\n"));
    const dark = el.dataset.theme, around = el.closest(".dlw-controls");
    if (around instanceof HTMLElement && dark) around.dataset.theme = dark;
  };
  return { draw };
}

export default {
  render(/** @type {{model: import("../front.js").Model, el: HTMLElement, signal: AbortSignal}} */ view) {
    let repaint = () => {};
    const { draw } = sections({ ...view, repaint: () => repaint() });
    repaint = live({ ...view, draw });
    // The element joins the page after this call; only then is the panel around it known.
    requestAnimationFrame(draw);
  },
};

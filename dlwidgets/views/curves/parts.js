// The named losses that a step's loss is the sum of: which are drawn, and what each counts in the sum.
import { listen, make, say, sig } from "../front.js";
import { PART_INKS } from "./charts.js";

/** What a loss counts in the sum, as it is written: 0.05, 1, 2.5. @param {number} weight */
export function weightWords(weight) { return String(+weight.toPrecision(3)); }

/** The row of named losses; each with a switch that is its legend, and its weight, which holds from the next step on.
 * @param {{weigh: (name: string, weight: number) => void, changed: () => void, signal: AbortSignal}} hands */
export function partRow({ weigh, changed, signal }) {
  const hint = make("span", { class: "dlw-faint", text: "×: what each counts in the sum" });
  const node = make("div", { class: "dlw-parts", role: "group", "aria-label": "Named losses and their weights" }, hint);
  const rows = /** @type {Map<string, {part: HTMLElement, box: HTMLInputElement, value: HTMLElement, weight: HTMLInputElement, by: HTMLElement}>} */ (new Map());

  /** @param {string} name @param {number} i */
  function add(name, i) {
    const box = make("input", { type: "checkbox" }), value = make("b"), [ink, dash] = PART_INKS[i % PART_INKS.length];
    const weight = make("input", { type: "number", min: 0, step: 0.05, "aria-label": `Weight of the loss ${name}` });
    const line = make("i", { "aria-hidden": "true", style: `border-top: 2px ${dash.length ? "dashed" : "solid"} var(--dlw-${ink})` });
    const by = make("label", { title: `What the loss ${name} counts in the sum that training minimises; the curves show it without` }, "×", weight);
    const part = make("span", {}, make("label", {}, box, line, make("span", { text: name, dir: "auto" })), value, by);
    box.checked = true;
    listen(box, "change", changed, signal);
    listen(weight, "change", () => { if (weight.value !== "" && Number(weight.value) >= 0) weigh(name, Number(weight.value)); }, signal);
    rows.set(name, { part, box, value, weight, by });
    hint.before(part);
  }
  /** @param {[string, number | null][]} parts @param {number[]} values the last of each */
  function draw(parts, values) {
    for (const [name, { part }] of rows) if (!parts.some(([known]) => known === name)) { part.remove(); rows.delete(name); }
    hint.hidden = parts.every(([, weight]) => weight === null);
    parts.forEach(([name, weight], i) => {
      if (!rows.has(name)) add(name, i);
      const row = /** @type {NonNullable<ReturnType<typeof rows.get>>} */ (rows.get(name));
      say(row.value, sig(values[i], 3));
      row.by.hidden = weight === null;
      if (weight !== null && node.ownerDocument.activeElement !== row.weight) row.weight.value = weightWords(weight);
    });
  }
  return { node, draw, shows: (/** @type {string} */ name) => rows.get(name)?.box.checked ?? true };
}

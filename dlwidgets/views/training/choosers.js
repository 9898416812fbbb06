// What the training panel's sections hold: rows of controls, rates, presets, the way back, lines side by side.
import { listen, make, say, sig, whole, rate } from "../front.js";
/** @typedef {ReturnType<typeof import("../front.js").wishes>} Wishes */
/** The lowest training and validation loss. @typedef {{loss: number | null, valid: number | null}} Losses */

/** The columns of the table of lines. */
const HEADS = ["line", "steps", "train", "valid", ""];

/** Numbers the rows, whose ids must be single in the page. */
let rowsMade = 0;

/** An id that no other row has. */
export function newRowId() { return `dlw-row-${++rowsMade}`; }

/** What stands beside a row: the value in force, or that it still is; a title says more.
 * @param {{fact: string, kind: string, off: string, locked: boolean}} row @param {boolean} running */
export function besideRow(row, running) {
  const { fact, kind, off } = row, asked = "The value asked for";
  if (off) return { text: off, title: "", kind: "off" };
  if (kind === "rejected") return { text: fact ? `▲ still ${fact}` : "▲ refused", title: `${asked} is not in force`, kind };
  if (kind === "waiting") return { text: fact ? `still ${fact}` : "asked", title: `${asked} holds ${running ? "from the next step" : "when training goes on"}`, kind };
  return { text: fact ? `in force ${fact}` : "", title: "", kind: "in-force" };
}

/** A row: label, control, what is in force, and below it why a value was refused. @param {any} field @param {Wishes} want
 * @param {AbortSignal} signal */
export function fieldOf(field, want, signal) {
  const id = newRowId();
  const input = field.kind === "choice" ? make("select", { id })
    : field.kind === "flag" ? make("input", { id, type: "checkbox" })
      : make("input", { id, type: "text", autocomplete: "off", spellcheck: "false", placeholder: field.empty });
  const label = make("label", { for: id, text: field.label });
  const fact = make("span", { class: "dlw-said", id: `${id}-fact` }), why = make("div", { class: "dlw-why", id: `${id}-why`, role: "status" });
  const lock = make("span", { class: "dlw-lock", role: "img", "aria-label": "locked", title: "Locked in this panel" });
  input.setAttribute("aria-describedby", `${id}-fact ${id}-why`);
  if (field.hint) { input.title = field.hint; label.title = field.hint; }
  const line = make("div", { class: "dlw-field", "data-key": field.key }, label,
    make("span", { class: "dlw-entry" }, input, field.unit ? make("span", { class: "dlw-unit", text: field.unit }) : ""), lock, fact, why);

  // What is being typed is not written over.
  let typing = false;
  const done = () => {
    typing = false;
    const value = input instanceof HTMLInputElement && field.kind === "flag" ? input.checked : input.value;
    // Enter and leaving the field both say that it is done.
    if (String(value) !== input.dataset.value) want.set(field.key, value);
  };
  listen(input, "input", () => { typing = field.kind === "text"; }, signal);
  listen(input, "change", done, signal);
  listen(input, "blur", () => { typing = false; }, signal);
  listen(line, "keydown", (event) => {
    if (event.key === "Enter" && field.kind === "text") done();
    if (event.key !== "Escape" || !typing) return;
    typing = false;
    input.value = input.dataset.value ?? "";
  }, signal);

  function draw(/** @type {any} */ now, /** @type {boolean} */ running) {
    const own = want.get(field.key), value = own === undefined ? now.value : own;
    line.hidden = !now.there;
    // Shown only where it differs.
    if (input instanceof HTMLSelectElement) {
      const words = now.choices.includes(value) ? now.choices : [...now.choices, value];
      if (words.join("\n") !== [...input.options].map((one) => one.value).join("\n")) {
        input.replaceChildren(...words.map((/** @type {string} */ word) => make("option", { value: word, text: word })));
      }
    }
    if (input instanceof HTMLInputElement && field.kind === "flag") input.checked = Boolean(value);
    else if (!typing && input.value !== value) input.value = value;
    input.dataset.value = String(value);
    input.disabled = now.locked || Boolean(now.off);
    input.title = now.locked ? "Locked in this panel" : field.hint;
    lock.hidden = !now.locked;
    if (now.why) input.setAttribute("aria-invalid", "true"); else input.removeAttribute("aria-invalid");
    const beside = besideRow(now, running);
    say(fact, beside.text);
    fact.className = `dlw-said dlw-${beside.kind}`;
    fact.title = beside.title || beside.text;
    say(why, now.why);
  }
  return { line, draw };
}

/** Asked, scheduled and applied rate in a line. @param {{asked?: number, scheduled?: number | null, multiplier?: number,
 * applied?: number | null}} rates */
export function rateLine(rates) {
  if (rates.scheduled === undefined || rates.scheduled === null) return "";
  return `asked ${rate(rates.asked)} · scheduled ${rate(rates.scheduled)} × ${sig(rates.multiplier, 3)} = in force ${rate(rates.applied)}`;
}

/** A few of the rates to come in words. @param {[number, number][]} coming steps and rates */
export function comingLine(coming) {
  if (coming.length && coming.every(([, value]) => value === coming[0][1])) return `stays ${rate(coming[0][1])}`;
  return coming.map(([step, value], i) => (i ? `${rate(value)} at step ${whole(step)}` : `next ${rate(value)}`)).join(" → ");
}

/** What a line is called in the table: its settings where they differ, else its name. @param {{name: string, here: boolean, words: string}} row */
export function lineWords(row) { return row.here ? `${row.name}, under way` : row.name ? `${row.words} (${row.name})` : row.words; }

/** The lowest losses of the rows, to be marked; null where fewer than two have one. @param {Losses[]} rows */
export function lowest(rows) {
  const of = (/** @type {(number | null)[]} */ all) => {
    const known = /** @type {number[]} */ (all.filter((one) => one !== null));
    return known.length > 1 ? Math.min(...known) : null;
  };
  return { loss: of(rows.map((row) => row.loss)), valid: of(rows.map((row) => row.valid)) };
}

/** Where the rate stands, and the rates to come. */
export function ratesOf() {
  const now = make("div"), coming = make("div"), note = make("div");
  const draw = (/** @type {any} */ rates) => {
    say(now, rateLine(rates));
    say(coming, rates.coming?.length ? comingLine(rates.coming) : "");
    say(note, rates.note ?? "");
  };
  return { box: make("div", { class: "dlw-rates" }, now, coming, note), draw };
}

/** A line with a label before what is entered. @param {string} text @param {HTMLElement} entry @param {...HTMLElement} more */
function labelled(text, entry, ...more) {
  entry.id = newRowId();
  return make("div", { class: "dlw-field dlw-act" }, make("label", { for: entry.id, text }), make("span", { class: "dlw-entry" }, entry, ...more));
}

/** What is under way in the past of the run, and why something was not done; `draw` tells whether it is shut meanwhile. */
function outcome() {
  const busy = make("div", { class: "dlw-rates", role: "status" }), why = make("div", { class: "dlw-why", role: "status" });
  const draw = (/** @type {any} */ past, /** @type {string} */ said) => {
    say(busy, past.busy ? `${past.busy} …` : "");
    say(why, said);
    return Boolean(past.busy) || (past.locked ?? []).includes("rewind");
  };
  return { busy, why, draw };
}

/** Offer choices anew where they differ; the chosen one stays. @param {HTMLSelectElement} select @param {string[][]} options values and words */
function offer(select, options) {
  const shown = JSON.stringify(options), chosen = select.value;
  if (shown === select.dataset.shown) return;
  select.dataset.shown = shown;
  select.replaceChildren(...options.map(([value, text]) => make("option", { value, text })));
  if (options.some(([value]) => value === chosen)) select.value = chosen;
}

/** A choice of things and a button that does something with the chosen one. @param {string} label @param {string} verb
 * @param {string} title @param {AbortSignal} signal @param {(chosen: string) => void} act */
function chooser(label, verb, title, signal, act) {
  const select = make("select"), button = make("button", { type: "button", text: verb, title });
  listen(button, "click", () => { if (select.value) act(select.value); }, signal);
  /** @param {string[][]} options @param {string} empty said where there are none @param {boolean} shut whether nothing may be done now */
  const draw = (options, empty, shut) => {
    offer(select, options.length ? options : [["", empty]]);
    select.disabled = !options.length;
    button.disabled = shut || !options.length;
  };
  return { line: labelled(label, select, button), select, button, draw };
}

export function presetsOf(/** @type {Wishes} */ want, /** @type {AbortSignal} */ signal) {
  const words = make("div", { class: "dlw-rates dlw-indent" }), why = make("div", { class: "dlw-why", role: "status" });
  const choice = chooser("Set several", "Apply", "Set what the preset names", signal, (name) => want.call("preset", name));
  let known = /** @type {[string, string][]} */ ([]);
  const tell = () => say(words, known.find(([name]) => name === choice.select.value)?.[1] ?? "");
  listen(choice.select, "change", tell, signal);
  return {
    box: make("div", {}, choice.line, words, why),
    draw(/** @type {[string, string][]} */ presets, /** @type {string[]} */ locks, /** @type {string} */ said) {
      const locked = locks.includes("presets");
      known = presets;
      choice.draw(presets.map(([name]) => [name, name]), "no presets", locked);
      if (locked) choice.select.disabled = true;
      choice.button.title = locked ? "Locked in this panel" : "Set what the preset names";
      tell();
      say(why, said);
    },
  };
}

export function pastOf(/** @type {Wishes} */ want, /** @type {AbortSignal} */ signal) {
  const came = outcome();
  const back = chooser("Back to", "Go back", "Go back to this state and pause there", signal, (step) => want.call("rewind", Number(step)));
  const over = chooser("Line", "Switch", "Go to the end of this line and pause there", signal, (name) => want.call("switch", name));
  return {
    box: make("div", {}, back.line, over.line, came.busy, came.why),
    draw(/** @type {any} */ past, /** @type {string} */ said) {
      const shut = came.draw(past, said), branches = /** @type {[string, number][]} */ (past.branches ?? []);
      // Of several states after the same step one is offered: going back is to a step.
      const steps = new Map((past.snapshots ?? []).map((/** @type {[number, string]} */ [step, reason]) => [String(step), `step ${whole(step)} · ${reason}`]));
      back.draw([.../** @type {Map<string, string>} */ (steps)], "nothing is kept yet", shut);
      over.draw(branches.map(([name, count]) => [name, `${name} · ${whole(count)} steps`]), "no line was left", shut);
      over.line.hidden = !branches.length;
    },
  };
}

/** Side by side: the same steps tried with several values, and a table of what each line came to. @param {Wishes} want @param {AbortSignal} signal */
export function linesOfRun(want, signal) {
  const control = make("select"), came = outcome(), body = make("tbody");
  const values = make("input", { type: "text", autocomplete: "off", spellcheck: "false", title: "Values with commas between, as 0.001, 0.0001" });
  const steps = make("input", { type: "text", inputmode: "numeric", autocomplete: "off" });
  const go = make("button", { type: "button", text: "Try side by side", title: "Take the same steps with each value, from here, and come back" });
  const hint = make("div", { class: "dlw-empty", text: "Each value is tried from this very step on the same batches; the run then stands where it stood." });
  const over = make("div", { class: "dlw-rates" });
  const table = make("table", { class: "dlw-lines" }, make("thead", {}, make("tr", {}, ...HEADS.map((text) => make("th", { text, scope: "col" })))), body);
  const box = make("div", {}, labelled("Try", control), labelled("Values", values),
    labelled("For", steps, make("span", { class: "dlw-unit", text: "steps" }), go), came.busy, came.why, hint, table, over);

  // What a person typed stays, also before the first letter, when all is selected; what nobody has touched follows the run.
  let typed = false, counted = false, listed = "", choices = /** @type {[string, string, string][]} */ ([]);
  const suggest = () => {
    const found = choices.find(([name]) => name === control.value);
    if (found && !typed && document.activeElement !== values) values.value = found[2];
  };
  const attempt = () => want.call("try", { control: control.value, values: values.value, steps: steps.value });
  listen(control, "change", () => { typed = false; suggest(); }, signal);
  listen(values, "input", () => { typed = true; }, signal);
  listen(steps, "input", () => { counted = true; }, signal);
  listen(go, "click", attempt, signal);
  for (const entry of [values, steps]) listen(entry, "keydown", (event) => { if (event.key === "Enter") attempt(); }, signal);

  const draw = (/** @type {any} */ lines, /** @type {any} */ past, /** @type {string} */ said) => {
    const shut = came.draw(past, said), rows = /** @type {any[]} */ (lines.rows ?? []);
    choices = lines.choices ?? [];
    offer(control, choices.map(([name, text]) => [name, text]));
    suggest();
    if (!counted && lines.steps && document.activeElement !== steps) steps.value = String(lines.steps);
    go.disabled = shut || !choices.length;
    hint.hidden = rows.length > 1;
    table.hidden = over.hidden = rows.length < 2;
    say(over, `train: mean of the line's last ${lines.last} steps; valid: its last evaluation`);
    const now = JSON.stringify([rows, shut]);
    if (now === listed) return;
    listed = now;
    const best = lowest(rows);
    // Rows are filled anew in their places: a focused button keeps its focus.
    while (body.children.length > rows.length) body.lastElementChild?.remove();
    while (body.children.length < rows.length) body.append(lineRow());
    rows.forEach((row, i) => fillLine(body.children[i], row, best, shut));
  };
  const lineRow = () => {
    const button = make("button", { type: "button", text: "Go on" }), row = make("tr", {}, make("th", { scope: "row" }), make("td"), make("td"), make("td"), make("td", {}, button));
    listen(button, "click", () => { if (row.dataset.line) want.call("switch", row.dataset.line); }, signal);
    return row;
  };
  return { box, draw };
}

function fillLine(/** @type {Element} */ node, /** @type {any} */ row, /** @type {Losses} */ best, /** @type {boolean} */ shut) {
  const [name, steps, loss, valid, last] = node.children, button = /** @type {HTMLButtonElement} */ (last.firstElementChild);
  const inDigits = (/** @type {number | null} */ value, empty = "–") => (value === null ? empty : sig(value, 3));
  /** @type {HTMLElement} */ (node).dataset.line = row.name;
  say(name, lineWords(row));
  name.setAttribute("title", row.note || lineWords(row));
  // One of a trial that has not ended.
  say(steps, row.name ? whole(row.steps) : row.steps ? `${whole(row.steps)} of ${whole(row.of)}` : "waits");
  say(loss, row.note ? `▲ ${inDigits(row.loss, "failed")}` : inDigits(row.loss));
  say(valid, inDigits(row.valid));
  loss.toggleAttribute("data-best", row.loss !== null && row.loss === best.loss);
  valid.toggleAttribute("data-best", row.valid !== null && row.valid === best.valid);
  button.hidden = row.here || !row.name;
  button.disabled = shut;
  button.title = `Go to the end of ${row.name}, and pause there`;
}

// Side by side: the same steps tried with several values, and a table of what each line came to.
import { listen, make, say, sig, whole } from "../front.js";

/** The columns of the table of lines. */
const HEADS = ["line", "steps", "train", "valid", ""];

/** What a line is called in the table: its settings where they differ, else its name. @param {{name: string, here: boolean, words: string}} row */
export function lineWords(row) { return row.here ? `${row.name}, under way` : `${row.words} (${row.name})`; }

/** The lowest training and validation loss of the rows, to be marked; null where fewer than two have one.
 * @param {{loss: number | null, valid: number | null}[]} rows
 * @returns {{loss: number | null, valid: number | null}} */
export function lowest(rows) {
  const of = (/** @type {(number | null)[]} */ all) => {
    const known = /** @type {number[]} */ (all.filter((one) => one !== null));
    return known.length > 1 ? Math.min(...known) : null;
  };
  return { loss: of(rows.map((row) => row.loss)), valid: of(rows.map((row) => row.valid)) };
}

/** Numbers the fields, whose ids must be single in the page. */
let linesMade = 0;

/** @param {{set: (name: string, value: any) => void, call: (name: string, value?: any) => void}} want @param {AbortSignal} signal */
export function linesOfRun(want, signal) {
  const id = `dlw-lines-${++linesMade}`;
  const control = make("select", { id: `${id}-control` });
  const values = make("input", { id: `${id}-values`, type: "text", autocomplete: "off", spellcheck: "false" });
  const steps = make("input", { id: `${id}-steps`, type: "text", inputmode: "numeric", autocomplete: "off" });
  const go = make("button", { type: "button", text: "Try side by side", title: "Take the same steps with each value, from here, and come back" });
  const why = make("div", { class: "dlw-why", role: "status" }), busy = make("div", { class: "dlw-rates", role: "status" });
  const body = make("tbody"), hint = make("div", { class: "dlw-empty", text: "Each value is tried from this very step on the same batches; the run then stands where it stood." });
  const table = make("table", { class: "dlw-lines" }, make("thead", {}, make("tr", {}, ...HEADS.map((text) => make("th", { text, scope: "col" })))), body);
  const field = (/** @type {string} */ label, /** @type {HTMLElement} */ entry, /** @type {(Node | string)[]} */ ...more) => make("div", { class: "dlw-field dlw-act" },
    make("label", { for: entry.id, text: label }), make("span", { class: "dlw-entry" }, entry, ...more));
  values.title = "Values with commas between, as 0.001, 0.0001";
  const box = make("div", {}, field("Try", control), field("Values", values), field("For", steps, make("span", { class: "dlw-unit", text: "steps" }), go), busy, why, hint, table);

  // What a person typed stays; what nobody has touched follows the run.
  let typed = false, counted = false, options = "", listed = "";
  /** @type {[string, string, string][]} */
  let choices = [];
  const suggest = () => {
    const found = choices.find(([name]) => name === control.value);
    if (found && !typed) values.value = found[2];
  };
  const attempt = () => want.call("try", { control: control.value, values: values.value, steps: steps.value });
  listen(control, "change", () => { typed = false; suggest(); }, signal);
  listen(values, "input", () => { typed = true; }, signal);
  listen(steps, "input", () => { counted = true; }, signal);
  listen(go, "click", attempt, signal);
  for (const entry of [values, steps]) listen(entry, "keydown", (event) => { if (event.key === "Enter") attempt(); }, signal);

  const draw = (/** @type {any} */ lines, /** @type {any} */ past, /** @type {string} */ said) => {
    choices = lines.choices ?? [];
    const names = JSON.stringify(choices.map(([name]) => name));
    if (names !== options) {
      options = names;
      const chosen = control.value;
      control.replaceChildren(...choices.map(([value, text]) => make("option", { value, text })));
      if (choices.some(([name]) => name === chosen)) control.value = chosen;
    }
    suggest();
    if (!counted && lines.steps) steps.value = String(lines.steps);
    const shut = Boolean(past.busy) || (past.locked ?? []).includes("rewind");
    go.disabled = shut || !choices.length;
    say(busy, past.busy ? `${past.busy} …` : "");
    say(why, said);
    const rows = /** @type {any[]} */ (lines.rows ?? []);
    hint.hidden = rows.length > 1;
    table.hidden = rows.length < 2;
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

/** @param {Element} node @param {any} row @param {{loss: number | null, valid: number | null}} best @param {boolean} shut */
function fillLine(node, row, best, shut) {
  if (!(node instanceof HTMLElement)) return;
  const [name, steps, loss, valid, last] = node.children, button = /** @type {HTMLButtonElement} */ (last.firstElementChild);
  node.dataset.line = row.name;
  say(name, lineWords(row));
  name.setAttribute("title", row.note || lineWords(row));
  say(steps, whole(row.steps));
  say(loss, row.note ? `▲ ${row.loss === null ? "failed" : sig(row.loss, 3)}` : row.loss === null ? "–" : sig(row.loss, 3));
  say(valid, row.valid === null ? "–" : sig(row.valid, 3));
  loss.toggleAttribute("data-best", row.loss !== null && row.loss === best.loss);
  valid.toggleAttribute("data-best", row.valid !== null && row.valid === best.valid);
  button.hidden = row.here;
  button.disabled = shut;
  button.title = `Go to the end of ${row.name}, and pause there`;
}

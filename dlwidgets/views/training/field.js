// A row of the training panel's sections: a control, what is in force of it, and why a value was refused.
import { listen, make, say } from "../front.js";

/** @typedef {ReturnType<typeof import("../front.js").wishes>} Wishes */

/** Numbers the rows, whose ids must be single in the page. */
let rowsMade = 0;

/** An id that no other row has. */
export function newRowId() { return `dlw-row-${++rowsMade}`; }

/** What stands beside a row: the value in force, or that it still is; a title says more.
 * @param {{fact: string, kind: string, off: string, locked: boolean}} row @param {boolean} running
 * @returns {{text: string, title: string, kind: string}} */
export function besideRow(row, running) {
  if (row.off) return { text: row.off, title: "", kind: "off" };
  if (row.kind === "rejected") return { text: row.fact ? `▲ still ${row.fact}` : "▲ refused", title: "The value asked for is not in force", kind: "rejected" };
  if (row.kind === "waiting") {
    return { text: row.fact ? `still ${row.fact}` : "asked", title: running ? "The value asked for holds from the next step" : "The value asked for holds when training goes on", kind: "waiting" };
  }
  return { text: row.fact ? `in force ${row.fact}` : "", title: "", kind: "in-force" };
}

/** A row: label, control, what is in force, and below it why a value was refused. @param {any} field
 * @param {Wishes} want @param {AbortSignal} signal */
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
  const typing = typingIn(field, input, line, (value) => want.set(field.key, value), signal);
  return {
    line,
    draw(/** @type {any} */ now, /** @type {boolean} */ running) {
      line.hidden = !now.there;
      const own = want.get(field.key), value = own === undefined ? now.value : own;
      showValue(field, input, now.choices, value, typing());
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
    },
  };
}

/** Have `commit` called with what a person entered; return whether something is being typed, which is not written
 * over. @param {any} field @param {HTMLInputElement | HTMLSelectElement} input @param {HTMLElement} line
 * @param {(value: any) => void} commit @param {AbortSignal} signal */
function typingIn(field, input, line, commit, signal) {
  let typing = false;
  const done = () => {
    typing = false;
    const value = input instanceof HTMLInputElement && field.kind === "flag" ? input.checked : input.value;
    // Enter and leaving the field both say that it is done.
    if (String(value) !== input.dataset.value) commit(value);
  };
  listen(input, "input", () => { typing = field.kind === "text"; }, signal);
  listen(input, "change", done, signal);
  listen(input, "blur", () => { typing = false; }, signal);
  listen(line, "keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" && field.kind === "text") done();
    if (event.key !== "Escape" || !typing) return;
    typing = false;
    input.value = input.dataset.value ?? "";
  }, signal);
  return () => typing;
}

/** Show a value in a control, only where it differs. @param {any} field @param {HTMLInputElement | HTMLSelectElement} input @param {string[]} choices @param {any} value @param {boolean} typing */
function showValue(field, input, choices, value, typing) {
  if (input instanceof HTMLSelectElement) {
    const words = choices.includes(value) ? choices : [...choices, value];
    if (words.join("\n") !== [...input.options].map((one) => one.value).join("\n")) {
      input.replaceChildren(...words.map((word) => make("option", { value: word, text: word })));
    }
    if (input.value !== value) input.value = value;
  } else if (field.kind === "flag") {
    if (input.checked !== Boolean(value)) input.checked = Boolean(value);
  } else if (!typing && input.value !== value) input.value = value;
}

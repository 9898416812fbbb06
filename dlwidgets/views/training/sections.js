// The sections of the training panel that fold away: rows of controls, presets, the way back, the last step.
import { color, make, numbers, say, sig, surface, whole, rate, wishes } from "../front.js";
import { linesOfRun } from "./comparison.js";

/** Numbers the rows, whose ids must be single in the page. */
let rowsMade = 0;

/**
 * What stands beside a row: the value in force, or that it still is; a title says more.
 * @param {{fact: string, kind: string, off: string, locked: boolean}} row @param {boolean} running
 * @returns {{text: string, title: string, kind: string}}
 */
export function besideRow(row, running) {
  if (row.off) return { text: row.off, title: "", kind: "off" };
  if (row.kind === "rejected") return { text: row.fact ? `▲ still ${row.fact}` : "▲ refused", title: "The value asked for is not in force", kind: "rejected" };
  if (row.kind === "waiting") {
    return { text: row.fact ? `still ${row.fact}` : "asked", title: running ? "The value asked for holds from the next step" : "The value asked for holds when training goes on", kind: "waiting" };
  }
  return { text: row.fact ? `in force ${row.fact}` : "", title: "", kind: "in-force" };
}

/**
 * Asked, scheduled and applied rate in a line.
 * @param {{asked?: number, scheduled?: number | null, multiplier?: number, applied?: number | null}} rates @returns {string}
 */
export function rateLine(rates) {
  if (rates.scheduled === undefined || rates.scheduled === null) return "";
  return `asked ${rate(rates.asked)} · scheduled ${rate(rates.scheduled)} × ${sig(rates.multiplier, 3)} = in force ${rate(rates.applied)}`;
}

/**
 * A few of the rates to come in words.
 * @param {[number, number][]} coming steps and rates @returns {string}
 */
export function comingLine(coming) {
  if (coming.length && coming.every(([, value]) => value === coming[0][1])) return `stays ${rate(coming[0][1])}`;
  return coming.map(([step, value], i) => (i ? `${rate(value)} at step ${whole(step)}` : `next ${rate(value)}`)).join(" → ");
}

/**
 * What the last step measured, as lines of a name and a value.
 * @param {Record<string, number>} n @returns {[string, string][]}
 */
export function stepLines(n) {
  /** @type {[string, string][]} */
  const lines = [];
  if (n.loss !== undefined) lines.push(["loss", sig(n.loss, 4)]);
  if (n.lr !== undefined) lines.push(["learning rate", rate(n.lr)]);
  if (n.batch_size !== undefined) lines.push(["samples", whole(n.batch_size)]);
  if (n.grad_norm !== undefined) {
    const cut = n.clipped_norm === undefined ? ", not clipped" : ` before clipping, ${sig(n.clipped_norm, 3)} after`;
    lines.push(["‖grad‖", `${sig(n.grad_norm, 3)}${cut}`]);
  }
  if (n.seconds !== undefined) lines.push(["time", `${sig(1000 * n.seconds, 2)} ms`]);
  return lines;
}

/**
 * @param {{model: import("../front.js").Model, el: HTMLElement, signal: AbortSignal, repaint: () => void}} view
 */
export function sections({ model, el, signal, repaint }) {
  el.classList.add("dlw", "dlw-sections-part");
  const want = wishes({ model, signal, repaint });
  /** @type {Map<string, ReturnType<typeof row>>} */
  const rows = new Map();
  /** @type {Map<string, {box: HTMLDetailsElement, sum: HTMLElement, summary: HTMLElement}>} */
  const made = new Map();
  let built = "";

  const presets = presetsOf(want, signal), past = pastOf(want, signal), step = stepOf(), rates = ratesOf(), lines = linesOfRun(want, signal);
  const notes = make("div", { class: "dlw-notes" });

  /** @param {any[]} form */
  const build = (form) => {
    rows.clear(); made.clear(); el.replaceChildren();
    for (const section of form) {
      const sum = make("span", { class: "dlw-sum" });
      const summary = make("summary", {}, make("span", { class: "dlw-section", text: section.label }), sum);
      const body = make("div", { class: "dlw-section-body" });
      const box = make("details", { "data-section": section.name }, summary, body);
      for (const field of section.rows) {
        const one = row(field, want, signal);
        rows.set(field.key, one);
        body.append(one.line);
      }
      if (section.name === "schedule") body.append(rates.box);
      if (section.name === "presets") body.append(presets.box);
      if (section.name === "past") body.append(past.box);
      if (section.name === "lines") body.append(lines.box);
      if (section.name === "step") body.append(step.box);
      if (section.name === "notes") body.append(notes);
      // Not on "toggle", which comes late: a picture drawn before it would close the section again.
      summary.addEventListener("click", (event) => {
        event.preventDefault();
        const open = /** @type {string[]} */ (want.get("opened"));
        want.set("opened", open.includes(section.name) ? open.filter((name) => name !== section.name) : [...open, section.name]);
      }, { signal });
      made.set(section.name, { box, sum, summary });
      el.append(box);
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

/**
 * A row: label, control, what is in force, and below it why a value was refused.
 * @param {any} field @param {ReturnType<typeof wishes>} want @param {AbortSignal} signal
 */
function row(field, want, signal) {
  const id = `dlw-row-${++rowsMade}`;
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
  input.addEventListener("input", () => { typing = field.kind === "text"; }, { signal });
  const commit = () => {
    typing = false;
    const value = input instanceof HTMLInputElement && field.kind === "flag" ? input.checked : input.value;
    // Enter and leaving the field both say that it is done.
    if (String(value) !== input.dataset.value) want.set(field.key, value);
  };
  input.addEventListener("change", commit, { signal });
  input.addEventListener("blur", () => { typing = false; }, { signal });
  line.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && field.kind === "text") commit();
    if (event.key !== "Escape" || !typing) return;
    typing = false;
    input.value = input.dataset.value ?? "";
  }, { signal });

  /** @param {any} now @param {boolean} running */
  const draw = (now, running) => {
    line.hidden = !now.there;
    const own = want.get(field.key), value = own === undefined ? now.value : own;
    if (input instanceof HTMLSelectElement) {
      const words = now.choices.includes(value) ? now.choices : [...now.choices, value];
      if (words.join("\n") !== [...input.options].map((one) => one.value).join("\n")) {
        input.replaceChildren(...words.map((/** @type {string} */ word) => make("option", { value: word, text: word })));
      }
      if (input.value !== value) input.value = value;
    } else if (field.kind === "flag") {
      if (input.checked !== Boolean(value)) input.checked = Boolean(value);
    } else if (!typing && input.value !== value) input.value = value;
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
  };
  return { line, draw };
}

/** Where the rate stands, and the rates to come. */
function ratesOf() {
  const now = make("div"), coming = make("div"), note = make("div");
  const box = make("div", { class: "dlw-rates" }, now, coming, note);
  return {
    box,
    /** @param {any} rates */
    draw(rates) {
      say(now, rateLine(rates));
      say(coming, rates.coming?.length ? comingLine(rates.coming) : "");
      say(note, rates.note ?? "");
    },
  };
}

/**
 * A choice of things and a button that does something with the chosen one.
 * @param {string} label @param {string} verb @param {string} title @param {AbortSignal} signal @param {(chosen: string) => void} act
 */
function chooser(label, verb, title, signal, act) {
  const id = `dlw-row-${++rowsMade}`;
  const select = make("select", { id }), button = make("button", { type: "button", text: verb, title });
  button.addEventListener("click", () => { if (select.value) act(select.value); }, { signal });
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

/** @param {ReturnType<typeof wishes>} want @param {AbortSignal} signal */
function presetsOf(want, signal) {
  const words = make("div", { class: "dlw-rates dlw-indent" }), why = make("div", { class: "dlw-why", role: "status" });
  const choice = chooser("Set several", "Apply", "Set what the preset names", signal, (name) => want.call("preset", name));
  /** @type {[string, string][]} */
  let known = [];
  const tell = () => say(words, (known.find(([name]) => name === choice.select.value) ?? ["", ""])[1]);
  choice.select.addEventListener("change", tell, { signal });
  return {
    box: make("div", {}, choice.line, words, why),
    /** @param {[string, string][]} presets @param {string[]} locked @param {string} said */
    draw(presets, locked, said) {
      known = presets;
      choice.offer(presets.map(([name]) => [name, name]), "no presets");
      if (locked.includes("presets")) choice.button.disabled = choice.select.disabled = true;
      choice.button.title = locked.includes("presets") ? "Locked in this panel" : "Set what the preset names";
      tell();
      say(why, said);
    },
  };
}

/** @param {ReturnType<typeof wishes>} want @param {AbortSignal} signal */
function pastOf(want, signal) {
  const why = make("div", { class: "dlw-why", role: "status" }), busy = make("div", { class: "dlw-rates", role: "status" });
  const back = chooser("Back to", "Go back", "Go back to this state and pause there", signal, (step) => want.call("rewind", Number(step)));
  const over = chooser("Line", "Switch", "Go to the end of this line and pause there", signal, (name) => want.call("switch", name));
  return {
    box: make("div", {}, back.line, over.line, busy, why),
    /** @param {any} past @param {string} said */
    draw(past, said) {
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

/** What the last step measured: numbers, the loss of each sample, the batch, and how far each layer moved. */
function stepOf() {
  const hint = make("div", { class: "dlw-empty" }), lines = make("tbody");
  const each = make("div", { class: "dlw-each" }), caption = make("div", { class: "dlw-rates" });
  const bars = make("canvas", { class: "dlw-bars", role: "img" }), samples = make("div", { class: "dlw-samples", role: "list" });
  each.append(caption, bars, samples);
  const body = make("tbody"), head = make("tr", {}, ...["layer", "‖grad‖", "‖w‖", "Δw / w"].map((text) => make("th", { text, scope: "col" })));
  const table = make("table", { class: "dlw-step-layers" }, make("thead", {}, head), body);
  const box = make("div", {}, hint, make("table", { class: "dlw-step-lines" }, lines), each, table);
  let drawn = "";

  /** @param {any} taken @param {DataView | null} thumbs */
  const batch = (taken, thumbs) => {
    const losses = /** @type {(number | null)[] | null | undefined} */ (taken.losses), shown = /** @type {number[]} */ (taken.shown ?? []);
    each.hidden = taken.shown === undefined;
    const known = (losses ?? []).filter((loss) => loss !== null);
    say(caption, !losses ? `loss of each sample: n/a${taken.why_not ? `, since ${taken.why_not}` : ""}`
      : `loss of each of ${whole(losses.length)} samples, largest first: ${sig(Math.max(...known), 3)} to ${sig(Math.min(...known), 3)}${taken.why_not ? ` (${taken.why_not})` : ""}`);
    bars.hidden = !losses;
    bars.setAttribute("aria-label", caption.textContent ?? "");
    if (losses) {
      const width = Math.max(80, box.clientWidth || 300), high = 32, ctx = surface(bars, width, high);
      const sorted = known.slice().sort((a, b) => b - a), most = sorted[0] || 1, each = width / sorted.length;
      ctx.fillStyle = color(box, "blue");
      sorted.forEach((loss, i) => { const h = Math.max(1, (high * Math.max(0, loss)) / most); ctx.fillRect(i * each, high - h, Math.max(0.6, each - (each > 3 ? 1 : 0)), h); });
    }
    const [count, height, width] = taken.shape?.length ? taken.shape : [0, 0, 0], pixels = numbers(thumbs, Uint8Array);
    samples.replaceChildren(...shown.map((number, i) => {
      const said = losses ? sig(losses[number], 3) : "";
      const one = make("figure", { role: "listitem", title: `sample ${number} of the batch${said ? `, loss ${said}` : ""}` });
      if (i < count && pixels.length >= count * height * width * 3) one.append(picture(pixels.subarray(i * height * width * 3, (i + 1) * height * width * 3), height, width));
      one.append(make("figcaption", { text: said ? `${number}: ${said}` : `${number}` }));
      return one;
    }));
  };
  return {
    box,
    /** @param {any} taken @param {DataView | null} thumbs @param {boolean} running */
    draw(taken, thumbs, running) {
      const there = taken.step !== undefined;
      say(hint, there ? (taken.layers.length ? "" : "Press Step once more: with this section open, its samples and layers are looked at.")
        : running ? "Pause, then press Step: what that one step did is told here." : "Press Step: what that one step did is told here.");
      hint.hidden = !hint.textContent;
      const now = there ? JSON.stringify([taken, box.clientWidth, color(box, "blue")]) : "";
      if (now === drawn && drawn) return;
      drawn = now;
      const all = there ? [["step", whole(taken.step)], ...stepLines(taken.numbers)] : [];
      lines.replaceChildren(...all.map(([name, value]) => make("tr", {}, make("th", { text: name, scope: "row" }), make("td", { text: value }))));
      if (there) batch(taken, thumbs); else each.hidden = true;
      table.hidden = !there || !taken.layers.length;
      body.replaceChildren(...(there ? taken.layers : []).map((/** @type {any[]} */ [path, grad, weight, ratio]) => make("tr", {},
        make("th", { text: path || "the model", scope: "row" }), make("td", { text: sig(grad, 2) }), make("td", { text: sig(weight, 2) }), make("td", { text: rate(ratio) }))));
    },
  };
}

/**
 * A small picture of a sample.
 * @param {Uint8Array} pixels height x width x 3 @param {number} height @param {number} width
 */
function picture(pixels, height, width) {
  const canvas = make("canvas", { width, height, "aria-hidden": "true" }), ctx = canvas.getContext("2d");
  if (!ctx) return canvas;
  const data = ctx.createImageData(width, height);
  for (let i = 0; i < width * height; i += 1) {
    data.data.set([pixels[3 * i], pixels[3 * i + 1], pixels[3 * i + 2], 255], 4 * i);
  }
  ctx.putImageData(data, 0, 0);
  return canvas;
}

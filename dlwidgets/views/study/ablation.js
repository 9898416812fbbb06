// Touching channels: off, halved, doubled or by a slider, and what the model says then, class by class.
import { listen, make, makeButton, makeChoice, say, sig, whole } from "../front.js";

/** The factors that have a button, and the largest of the slider. */
const FACTORS = [0, 0.5, 1, 2], MOST_FACTOR = 3;
/** Changes of a score below this are none. */
const LEAST = 0.005;

/** A factor in words: "off", "×0.5", "×1.25". @param {number} factor */
export function factorName(factor) { return factor === 0 ? "off" : `×${String(+factor.toPrecision(3)).replace("-", "−")}`; }

/** A score as it is written: two digits of a probability, three of anything else. @param {number | null} value @param {boolean} share */
export function scoreText(value, share) {
  if (value === null || value === undefined) return "n/a";
  return share ? value.toFixed(value > 0 && value < 0.005 || value < 1 && value > 0.995 ? 4 : 2) : sig(value, 3);
}

/** What touching does, in a sentence: of the channels that are touched, else of what the shown channel would do. @param {any} touching */
export function effectWords(touching) {
  const share = touching.measure === "probability", rows = touching.rows ?? [];
  if (!rows.length) return "";
  /** @param {string} name */
  const label = (name) => (share ? `P(${name})` : name);
  if (touching.list?.length) {
    const [name, before, after] = largest(rows, (row) => (row[2] ?? 0) - (row[1] ?? 0));
    const moved = Math.abs((after ?? 0) - (before ?? 0));
    return moved < LEAST ? "changes no score by more than 0.01" : `changes ${label(name)} ${scoreText(before, share)} → ${scoreText(after, share)}`;
  }
  const steps = touching.steps ?? [], places = [0, 1, 2].map((factor) => steps.indexOf(factor));
  if (rows[0].length < 3 + steps.length || Math.min(...places) < 0) return "";
  const row = largest(rows, (tried) => Math.max(...tried.slice(3).map(Number)) - Math.min(...tried.slice(3).map(Number)));
  const said = places.map((i) => row[3 + i]);
  if (Math.max(...said) - Math.min(...said) < LEAST) return "off / ×1 / ×2 changes no score by more than 0.01";
  return `off / ×1 / ×2: ${label(row[0])} ${said.map((value) => scoreText(value, share)).join(" / ")}`;
}

/** The row with the largest size. @param {any[][]} rows @param {(row: any[]) => number} size */
function largest(rows, size) { return rows.reduce((best, row) => (Math.abs(size(row)) > Math.abs(size(best)) ? row : best)); }

/**
 * Where scores lie between the ends of their scale, in per cent: 0..1 for probabilities, else from the least to the largest.
 * @param {any[][]} rows @param {boolean} share
 */
export function scaleOf(rows, share) {
  const values = rows.flatMap((row) => row.slice(1)).filter((value) => value !== null).map(Number);
  const low = share ? 0 : Math.min(0, ...values), high = share ? 1 : Math.max(0, ...values);
  return (/** @type {number | null} */ value) => (high > low ? (100 * ((value ?? low) - low)) / (high - low) : 0);
}

/**
 * Show the scores of each class before and after.
 * @param {HTMLElement} table @param {any} touching @param {Set<string>} truth the names of the true classes
 */
function showEffects(table, touching, truth) {
  const rows = touching.rows ?? [], share = touching.measure === "probability", at = scaleOf(rows, share);
  table.hidden = !rows.length;
  while (table.childElementCount > rows.length) table.lastElementChild?.remove();
  while (table.childElementCount < rows.length) {
    table.append(make("div", { class: "dlw-study-effect" }, make("span"), make("span"), make("i", {}, make("b"), make("u"), make("s")), make("span")));
  }
  rows.forEach((/** @type {any[]} */ row, /** @type {number} */ i) => {
    const [name, before, bar, after] = /** @type {HTMLElement[]} */ ([...table.children[i].children]);
    const true_ = truth.has(row[0]), moved = Math.abs((row[2] ?? 0) - (row[1] ?? 0)) >= LEAST;
    say(name, true_ ? `✓ ${row[0]}` : row[0]);
    name.title = true_ ? `${row[0]}: true` : row[0];
    name.dataset.truth = String(true_);
    say(before, scoreText(row[1], share)); say(after, scoreText(row[2], share));
    after.dataset.moved = String(moved);
    const [line, from, to] = /** @type {HTMLElement[]} */ ([...bar.children]), x = at(row[1]), y = at(row[2]);
    line.style.left = `${Math.min(x, y)}%`; line.style.width = `${Math.abs(y - x)}%`;
    from.style.left = `${x}%`; to.style.left = `${y}%`; to.hidden = !moved;
    line.dataset.up = to.dataset.up = String(y >= x);
  });
}

/** The section in which channels are touched. @param {import("../front.js").Part} view */
export function touchSection({ model, signal, want }) {
  const channel = make("input", { type: "number", min: 0, step: 1, class: "dlw-study-number", "aria-label": "channel to touch" });
  const of = make("span", { class: "dlw-faint" }), factorWords = make("output", { class: "dlw-study-factor" });
  const factors = makeChoice("factor", FACTORS.map((factor) => [factor, factorName(factor)]), (factor) => want.set("touch", factor), signal);
  const slider = make("input", { type: "range", min: 0, max: MOST_FACTOR, step: 0.05, class: "dlw-study-slide", "aria-label": "factor of the channel" });
  const undo = makeButton("↶ Undo", () => want.call("touch_undo"), signal), back = makeButton("All back", () => want.call("touch_reset"), signal);
  const words = make("div", { class: "dlw-study-words", role: "status" });
  const chips = make("div", { class: "dlw-study-chips", "aria-label": "touched channels" });
  const table = make("div", { class: "dlw-study-effects" });
  const node = make("div", {},
    make("div", { class: "dlw-study-row" },
      make("label", {}, make("span", { class: "dlw-faint", text: "Channel " }), channel), of, factors.node,
      make("div", { class: "dlw-study-group" }, slider, factorWords), make("span", { class: "dlw-study-gap" }), undo, back),
    chips, words, table);
  let chipped = "";
  listen(slider, "input", () => want.set("touch", Number(slider.value)), signal);
  listen(channel, "change", () => want.set("study_channel", Math.max(0, Math.round(Number(channel.value) || 0))), signal);

  const draw = () => {
    const now = model.get("touching"), key = JSON.stringify(now.list), said = effectWords(now);
    /** @type {[string, number, number][]} */
    const list = now.list ?? [];
    if (document.activeElement !== channel) channel.value = String(now.channel ?? 0);
    channel.max = String(Math.max(0, (now.channels ?? 1) - 1));
    say(of, now.channels ? `of ${whole(now.channels)} · ${now.layer || "the model"}` : "this output has no channels to touch");
    const asked = want.get("touch"), factor = typeof asked === "number" ? asked : now.factor ?? 1;
    factors.show(factor, !!now.channels);
    slider.disabled = channel.disabled = !now.channels;
    if (!slider.matches(":active")) slider.value = String(factor);
    say(factorWords, factorName(factor));
    undo.disabled = !now.undo; back.disabled = !list.length;
    const where = list.length ? `${list.length === 1 ? "1 channel" : `${list.length} channels`} touched:` : `channel ${now.channel ?? 0}:`;
    say(words, now.reason || (said && `${where} ${said}`));
    if (key !== chipped) {
      chipped = key;
      chips.replaceChildren(...list.map(([layer, number, one]) => {
        const name = `${layer || "model"} ${number} ${factorName(one)}`;
        return makeButton(`${name}  ✕`, () => want.call("touch", { layer, channel: number, factor: 1 }), signal, {
          title: "give this channel back", "aria-label": `give back ${name}`,
        });
      }));
    }
    const ranking = /** @type {[string, number, boolean][]} */ (model.get("sample")?.ranking ?? []);
    showEffects(table, now, new Set(ranking.filter((row) => row[2]).map((row) => row[0])));
  };
  return { node, draw };
}

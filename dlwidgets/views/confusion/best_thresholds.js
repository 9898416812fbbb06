// Buttons that ask the kernel for the best thresholds, and what it reports of them, without flattery.
import { listen, make, say, whole } from "../front.js";
import { position, share } from "./words.js";

/** What the kernel found: per class the threshold, the metric where it was chosen and where it was not; null for n/a.
 * @typedef {{metric: string, bound: string, class: number, thresholds: number[], chosen: (number | null)[],
 * reported: (number | null)[], low: (number | null)[], high: (number | null)[], positives: number[], samples: number,
 * step: number | null, warnings: string[], asked: number}} Found */
/** What is asked for. @typedef {{metric: string, beta: number, constraint: string | null, class: number, asked: number}} Asked */

function meanOf(/** @type {(number | null)[]} */ values) {
  const known = values.filter((x) => x !== null);
  return known.length ? known.reduce((sum, x) => sum + x, 0) / known.length : NaN;
}
function said(/** @type {number | null} */ x) { return share(x ?? NaN); }

/** How one class came off, in a sentence. @param {Found} found @param {number} c @param {string[]} names */
export function reportOf(found, c, names) {
  const { metric, chosen, reported, low, high, positives } = found;
  const few = positives[c] === 1 ? "1 positive" : `${whole(positives[c])} positives`;
  if (chosen[c] === null && reported[c] === null) return `${names[c]}: no positives to choose by.`;
  const ends = low[c] === null ? "" : ` [${said(low[c])}, ${said(high[c])}]`;
  return `${names[c]}: ${metric} ${said(chosen[c])} on the half it was chosen on (${few}), ${said(reported[c])}${ends} on the other half.`;
}

/** How all classes came off, in a sentence. @param {Found} found */
export function summaryOf(found) {
  const both = found.chosen.map((_, c) => c).filter((c) => found.chosen[c] !== null && found.reported[c] !== null);
  const [here, there] = [found.chosen, found.reported].map((values) => meanOf(both.map((c) => values[c])));
  const after = found.step === null ? "" : `, after step ${whole(found.step)}`;
  return `Best ${found.metric}${found.bound ? ` with ${found.bound}` : ""}, a threshold for each class (${whole(found.samples)} samples${after}): `
    + `on average ${share(here)} on the half they were chosen on, ${share(there)} on the other half.`;
}

/** @param {{ask: (what: Asked) => void, reset: (c: number) => void, signal: AbortSignal}} hands */
export function bestThresholds({ ask, reset, signal }) {
  const beta = make("input", { type: "number", min: 0.1, max: 10, step: 0.1, value: 2, "aria-label": "Beta: how much more recall weighs" });
  const least = make("input", { type: "number", min: 0, max: 1, step: 0.05, value: 0.9, "aria-label": "Lowest recall" });
  const whom = make("select", { "aria-label": "Choose for" }, make("option", { value: "all", text: "all classes" }), make("option", { value: "one" }));
  const whose_ = make("label", { class: "dlw-conf-set" }, "for", whom);
  const report = make("div", { class: "dlw-conf-report", role: "status" });
  let focus = -1, asked = 0, waiting = 0;

  /** @param {string} text @param {string} title @param {() => {metric: string, beta?: number, constraint?: string}} what */
  function button(text, title, what) {
    const node = make("button", { type: "button", text, title });
    listen(node, "click", () => {
      const c = whom.value === "one" ? focus : -1;
      waiting = ++asked;
      say(report, "Choosing …");
      ask({ beta: 1, constraint: null, class: c, asked: waiting, ...what() });
    }, signal);
    return node;
  }
  const half = make("button", { type: "button", text: "Back to 0.5" });
  listen(half, "click", () => { waiting = 0; say(report, ""); reset(whom.value === "one" ? focus : -1); }, signal);
  const node = make("div", { class: "dlw-conf-best" },
    make("span", { class: "dlw-faint", text: "Best" }),
    button("F1", "The highest F1", () => ({ metric: "f1" })),
    make("span", { class: "dlw-conf-set" }, button("F-beta", "The highest F-beta: recall weighs beta times as much as precision", () => ({ metric: "fbeta", beta: Number(beta.value) })),
      make("label", {}, "β", beta)),
    button("Youden", "The highest recall + specificity − 1", () => ({ metric: "youden" })),
    make("span", { class: "dlw-conf-set" }, button("Precision", "The highest precision at which recall is kept", () => ({ metric: "precision", constraint: `recall >= ${least.value}` })),
      make("label", {}, "at recall ≥", least)),
    whose_, half);

  /** @param {Found | null} found @param {string[]} names @param {number} c the class in focus @param {number[]} limits @param {string} refusal */
  function draw(found, names, c, limits, refusal) {
    focus = c >= 0 ? c : 0;
    const one = `only ${names[focus] ?? ""}`;
    say(whom.children[1], one.length > 26 ? `${one.slice(0, 25)}…` : one);
    whose_.hidden = names.length === 1;
    if (refusal) waiting = 0;
    if (waiting && found?.asked !== waiting) return;
    waiting = 0;
    const shown = found && found.thresholds?.length === names.length && (found.class < 0 ? found.thresholds.some((t, i) => t === limits[i]) : found.thresholds[found.class] === limits[found.class]);
    report.hidden = !shown;
    if (!shown || !found) { if (!refusal) say(report, ""); return; }
    const of = found.class >= 0 ? found.class : focus, parts = [];
    if (found.class < 0 && names.length > 1) parts.push(summaryOf(found));
    parts.push(found.thresholds[of] === limits[of] ? `${reportOf(found, of, names)} At ${position(found.thresholds[of])}.` : `${names[of]}: moved since.`);
    say(report, [...parts, ...found.warnings.map((line) => `⚠ ${line}`)].join("\n"));
  }
  return { node, report, draw };
}

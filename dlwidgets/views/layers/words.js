// The layer table in words and written numbers, and what is to be marked.

import { clock, count, rate, sig, whole } from "../front.js";

/** @typedef {import("./tree.js").Tree} Tree */
/** @typedef {import("./tree.js").Line} Line */

/** Between these a step usually moves a layer's weights (Karpathy, CS231n: about 1e-3). */
const USUAL = [1e-4, 1e-2];
/** From this share of dead units on a layer stands out ("as much as 40 % of your network", CS231n). */
const MANY_DEAD = 0.4;
/** Layers whose units may be dead: where nothing is known of them, that is said. */
const HAS_UNITS = /^(Lazy|Depthwise|Separable|Einsum)?(Conv|Linear|Dense)/;
/** Bytes of a spark line for a decade. */
const DECADE = 25;

/** What was measured: `at` gives a row's place in `stats` (L x 4: weight norm, gradient norm, ratio, finite) or
 * -1; `sparks` has `points` bytes for each place; `dead` has for a row its dead units, all its units, and whether
 * it is the activation itself.
 * @typedef {{at: Int32Array, stats: Float32Array, sparks: Uint8Array, points: number, dead: Map<number, {dead: number, units: number, own: boolean}>}} Live */

/** What a line shows of the training. `mark` is "high", "low", "broken" or ""; `places` are those of the layers
 * it stands for, `worst` the row that the mark is about.
 * @typedef {{weight: number, grad: number, ratio: number, mark: string, places: number[], worst: number, marked: number}} Shown */

/** Whether a ratio is as it usually is. @param {number} ratio */
export function usual(ratio) { return ratio >= USUAL[0] && ratio <= USUAL[1]; }

/** What was measured in the rows `from` to `to` (not included) together; null where nothing was. Norms add as
 * squares, so that those of a folded line are exact.
 * @param {Live} live @param {number} from @param {number} to @returns {Shown | null} */
export function together({ at, stats }, from, to) {
  const places = [];
  let weights = 0, grads = 0, moves = 0, mark = "", worst = -1, marked = 0;
  const grave = ["", "low", "high", "broken"];
  for (let row = from; row < to; row++) {
    const place = at[row] ?? -1;
    if (place < 0) continue;
    places.push(place);
    const [weight, grad, ratio, finite] = stats.subarray(4 * place, 4 * place + 4);
    weights += weight ** 2; grads += grad ** 2;
    // All weights zero: no ratio, and no part in one.
    if (weight > 0) moves += (ratio * weight) ** 2;
    const here = !finite || ratio === Infinity ? "broken" : ratio > USUAL[1] ? "high" : ratio < USUAL[0] ? "low" : "";
    if (here) marked += 1;
    if (grave.indexOf(here) > grave.indexOf(mark)) { mark = here; worst = row; }
  }
  if (!places.length) return null;
  const ratio = weights > 0 ? Math.sqrt(moves / weights) : NaN;
  return { weight: Math.sqrt(weights), grad: Math.sqrt(grads), ratio, mark, places, worst, marked };
}

/** What a line shows: a folded one stands for all inside it, an open one for its own weights. @param {Tree} tree @param {Live} live @param {Line} line @param {boolean} open */
export function shownIn(tree, live, line, open) {
  return together(live, line.row, open && line.children.length ? (line.run ? line.row : line.row + 1) : line.end);
}

/** @param {number} x */
function notFinite(x) { return Number.isNaN(x) ? "NaN" : x > 0 ? "∞" : "−∞"; }

/** The cell of the gradient norm. @param {Shown | null} shown */
export function gradText(shown) {
  if (!shown) return "";
  return shown.mark === "broken" ? `▲ ${Number.isFinite(shown.grad) ? sig(shown.grad) : notFinite(shown.grad)}` : sig(shown.grad);
}

/** The cell of the weight norm. @param {Shown | null} shown */
export function weightText(shown) {
  return shown ? (Number.isFinite(shown.weight) ? sig(shown.weight) : `▲ ${notFinite(shown.weight)}`) : "";
}

/** What a line shows of dead units: `worst` is the row with the largest share, `layers` how many it is about; null
 * where nothing is known. A folded line counts those of the activations inside, each once.
 * @param {Live} live @param {Line} line @param {boolean} open
 * @returns {{dead: number, units: number, worst: number, layers: number, marked: number, own: boolean} | null} */
export function deadIn({ dead: known }, line, open) {
  const alone = known.get(line.row);
  if (!line.children.length || (open && !line.run)) return alone ? { ...alone, worst: line.row, layers: 1, marked: Number(share(alone) >= MANY_DEAD) } : null;
  if (open) return null;
  const all = { dead: 0, units: 0, worst: -1, layers: 0, marked: 0, own: true };
  for (let row = line.row; row < line.end; row++) {
    const one = known.get(row);
    if (!one?.own) continue;
    all.dead += one.dead; all.units += one.units; all.layers += 1;
    if (share(one) >= MANY_DEAD) all.marked += 1;
    const worst = known.get(all.worst);
    if (!worst || share(one) > share(worst)) all.worst = row;
  }
  return all.layers ? all : null;
}

/** @param {{dead: number, units: number}} one */
function share({ dead, units }) { return units ? dead / units : 0; }

/** Whether so many units are dead that it stands out. @param {{dead: number, units: number}} one */
export function many(one) { return share(one) >= MANY_DEAD; }

/** Whether a line has units of which it would be good to know. @param {Tree} tree @param {Line} line @param {boolean} open */
export function hasUnits({ rows }, line, open) {
  for (let row = line.row; row < (open || !line.children.length ? line.row + 1 : line.end); row++) if (HAS_UNITS.test(rows[row][2])) return true;
  return false;
}

/** The cell of the dead units. @param {ReturnType<typeof deadIn>} found */
export function deadText(found) {
  if (!found) return "";
  const percent = 100 * share(found), text = percent > 0 && percent < 1 ? "<1 %" : percent > 99 && percent < 100 ? ">99 %" : `${Math.round(percent)} %`;
  return found.marked ? `▲ ${text}` : text;
}

/** Dead units in words. @param {ReturnType<typeof deadIn>} found @param {Tree} tree @param {Live} live */
export function deadWords(found, tree, live) {
  if (!found) return "";
  const { dead, units, layers, marked, worst } = found, most = live.dead.get(worst);
  const counted = `${whole(dead)} of ${whole(units)} units put out nothing in a whole batch and do not learn from it`;
  if (layers > 1 && most) {
    const inside = marked ? `${whole(marked)} of ${whole(layers)} activations inside stand out, most of all` : `in ${whole(layers)} activations, most in`;
    return `${counted}; ${inside} ${tree.paths[worst]}: ${whole(most.dead)} of ${whole(most.units)}`;
  }
  const whose = found.own ? "" : " (of the activation behind it)";
  return marked ? `${dead === units ? "dead" : "dying"}: ${counted}${whose}. A lower learning rate, or an activation that keeps a slope, helps.` : counted + whose;
}

/** Why a layer shows no share of dead units. */
export const NO_UNITS = "not known: no activation layer (ReLU, GELU, SiLU...) takes its output straight; one that is called as a function cannot be watched";

/** How often the layers are measured, and what that costs. @param {any} moment @param {boolean} session */
export function measuredWords({ status, step, every, between, share: part, why_not: why }, session) {
  if (!session) return "";
  if (why) return `Layers are not measured: ${why}.`;
  if (!step) return status === "running" ? "Layers are being measured: the first numbers come in a moment." : "Layers are measured while training, for about 0.2 % of the time.";
  if (every === null || every === undefined) return `Measured in step ${whole(step)}.`;
  const often = between === 1 ? "every step" : `every ${every < 60 ? `${sig(every)} s` : clock(every)} (${whole(between)} steps)`;
  return `Measured in step ${whole(step)}, ${often}, ${part < 5e-4 ? "under 0.1" : (100 * part).toFixed(1)} % of the time.`;
}

/** The cell of the update ratio. @param {Shown | null} shown */
export function ratioText(shown) {
  if (!shown) return "";
  const mark = { high: "▲ ", low: "▼ ", broken: "▲ " }[shown.mark] ?? "";
  return mark + (Number.isFinite(shown.ratio) ? rate(shown.ratio) : shown.mark === "broken" ? notFinite(shown.ratio) : "–");
}

/** The mark in words, with the layer it is about where the line stands for several. @param {Shown | null} shown @param {Tree} tree @param {Live} live */
export function markWords(shown, tree, live) {
  if (!shown) return "";
  const many = shown.places.length > 1, of = many ? `${whole(shown.marked)} of ${whole(shown.places.length)} layers inside stand out, ` : "";
  const which = many ? `${of}the first ${tree.paths[shown.worst] || "the model's own weights"}: ` : "";
  const place = live.at[shown.worst], ratio = live.stats[4 * place + 2];
  switch (shown.mark) {
    case "high": return `${which}too large: a step moves the weights by ${rate(ratio)} of their size, usual are 1e-4 to 1e-2. A lower learning rate moves them less.`;
    case "low": return `${which}${ratio === 0 ? "the weights do not move at all" : `small: a step moves the weights by ${rate(ratio)} of their size`}, usual are 1e-4 to 1e-2.`;
    case "broken": return `${which}weights or gradients are not finite (NaN or infinite).`;
    default: return many ? `of ${whole(shown.places.length)} layers inside, together` : "";
  }
}

/** Why a line with parameters shows no live number. @param {string} status @param {string} trains */
export function waitingWords(status, trains) {
  if (trains === "n") return "frozen: its weights do not move";
  if (status === "running") return "appears with the next step that is measured";
  return status === "ready" ? "appears once training starts: session.start()" : "appears with the next steps: layers are measured while this table is open";
}

/** A spark line as the `d` of a path in a box of `width` x `height`: the mean of `places` at each point, on a log
 * scale of at least one decade. "" where there are fewer than two points.
 * @param {Live} live @param {number[]} places @param {number} width @param {number} height */
export function sparkPath({ sparks, points }, places, width, height) {
  const values = meansOf(sparks, points, places), known = values.filter((v) => !Number.isNaN(v));
  if (known.length < 2) return "";
  let low = Math.min(...known), high = Math.max(...known);
  const more = Math.max(0, DECADE - (high - low)) / 2;
  low -= more; high += more;
  let d = "", pen = false;
  values.forEach((v, i) => {
    if (Number.isNaN(v)) { pen = false; return; }
    const x = 1 + ((width - 2) * i) / (points - 1), y = 1 + ((height - 2) * (high - v)) / (high - low);
    d += `${pen ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = true;
  });
  return d;
}

/** @param {Uint8Array} sparks @param {number} points @param {number[]} places */
function meansOf(sparks, points, places) {
  const values = [];
  for (let i = 0; i < points; i++) {
    let total = 0, known = 0;
    for (const place of places) { const q = sparks[place * points + i]; if (q) { total += q; known += 1; } }
    values.push(known ? total / known : NaN);
  }
  return values;
}

/** A spark line in words. @param {Live} live @param {number[]} places @param {{since: number | null, step: number | null}} moment */
export function sparkWords({ sparks, points }, places, { since, step }) {
  const known = meansOf(sparks, points, places).filter((v) => !Number.isNaN(v));
  if (known.length < 2) return "";
  const ratio = (/** @type {number} */ q) => rate(10 ** (-9 + 0.04 * (q - 1)));
  const low = Math.min(...known), high = Math.max(...known);
  return `Δw / w from ${ratio(low)} to ${ratio(high)}, steps ${whole(since ?? 0)} to ${whole(step ?? 0)}, log scale${places.length > 1 ? `, mean of ${places.length} layers` : ""}`;
}

/** The line above the table. @param {any} about */
export function headline(about) {
  const { name, parameters, trainable, macs, activations, batch, least } = about;
  const train = trainable === parameters ? "all" : trainable ? whole(trainable) : "none";
  const parts = [name, `${whole(parameters)} parameter${parameters === 1 ? "" : "s"}${parameters ? ` (${train} trainable)` : ""}`];
  if (macs) parts.push(`${least ? "at least " : ""}${count(macs)} MACs`);
  if (activations) parts.push(`${count(activations, "B")} activations`);
  const line = parts.filter(Boolean).join(" · ");
  return batch && (macs || activations) ? `${line}, for a batch of ${whole(batch)}` : line;
}

/** A letter of `trains` as a sign and in words. @param {string} letter @returns {[string, string]} */
export function trainsSign(letter) {
  return letter === "y" ? ["✓", "trains"] : letter === "n" ? ["❄", "frozen"] : letter === "p" ? ["◐", "trains in part"] : ["", "has no parameters"];
}

/** What the doctor found of the layers that a line stands for, worst first: all inside it where it is folded. @param {import("./tree.js").Found} found
 * @param {Tree} tree @param {Line} line @param {boolean} open */
export function foundOf(found, tree, line, open) {
  const paths = found.length ? tree.paths.slice(line.row, open || line.run ? line.row + 1 : line.end) : [];
  return found.filter(([path]) => paths.includes(path));
}

/** A count in a cell: exact below 1,000, and "–" for a number that is not known. @param {number} n @param {string} [unit] */
export function cell(n, unit = "") { return n ? count(n, unit) : "0"; }

// The confusion grid in words and written numbers.
import { count, make, say, whole, sig } from "../front.js";
/** @import { Picture, Pointed } from "./tiles.js" */
/** @import { Metrics } from "./metrics.js" */

/** A rate in two digits. @param {number} x */
export function share(x) { return Number.isNaN(x) ? "n/a" : x.toFixed(2).replace("-", "−"); }

/** The ends of an interval, short: .48–.61. @param {[number, number] | null} ends */
export function interval(ends) {
  if (!ends || Number.isNaN(ends[0])) return "";
  return ends.map((x) => (x >= 0.995 ? "1" : x.toFixed(2).replace(/^0/, ""))).join("–");
}

/** A share of a cell: 93%, <1%. @param {number} x */
export function percent(x) {
  if (!Number.isFinite(x)) return "";
  return x > 0 && x < 0.005 ? "<1%" : x < 1 && x >= 0.995 ? ">99%" : `${Math.round(100 * x)}%`;
}

/** A value of a metric as it is written. @param {Metrics} metrics @param {string} metric @param {number} value @param {number} [room] of a count */
export function written(metrics, metric, value, room) {
  return metrics.isCount(metric) ? short(value, room) : share(value);
}

/** A count that fits a cell: whole up to 99,999, then 1.21 M. @param {number} n @param {number} [room] most characters */
export function short(n, room = 6) {
  const text = whole(n);
  return text.length <= room ? text : count(n);
}

/** A count in as many digits as there is room for: 1,414, 1.41 k, 1.4 k, 1 k. @param {number} n @param {(text: string) => boolean} fits */
export function fitCount(n, fits) {
  const all = whole(n);
  if (n < 1000 || fits(all)) return all;
  const text = count(n), unit = text.slice(-1), value = n / 1000 ** ("kMGTP".indexOf(unit) + 1), short_ = [1, 0].map((digits) => `${value.toFixed(digits)} ${unit}`);
  return [text, ...short_].find(fits) ?? short_[1];
}

/** What the bold number of a tile is, with its average, and that in full. @param {Metrics} metrics @param {string} metric
 * @param {ArrayLike<number>} cells @param {{step: number | null}} about @returns {[string, string]} */
export function boldWords(metrics, metric, cells, { step }) {
  const label = metrics.label(metric), classes = cells.length / 4, { macro, micro } = metrics.average(metric, cells);
  const after = step === null || step === undefined ? "" : ` After step ${whole(step)}.`;
  if (classes === 1) return [`bold: ${label}`, `The bold number of the tile is its ${label}.${after}`];
  if (metrics.isCount(metric)) return [`bold: ${label}, ${short(macro)} in all`, `The bold number of a tile is its ${label}; of all classes together it is ${whole(macro)}.${after}`];
  let known = 0;
  for (let at = 0; at < cells.length; at += 4) known += Number(!Number.isNaN(metrics.value(metric, cells, at)));
  const over = known === classes ? `all ${whole(classes)} classes` : `the ${whole(known)} of ${whole(classes)} classes that have one`;
  return [`bold: ${label}, macro ${share(macro)}`, `The bold number of a tile is the ${label} of its class. Macro ${share(macro)}: the mean of ${over}. Micro ${share(micro)}: of all their counts together.${after}`];
}

/** The counts of a tile in a few words. @param {ArrayLike<number>} cells @param {number} at @param {boolean} [boxes] */
export function fewWords(cells, at, boxes = false) {
  const [tn, fp, fn, tp] = [0, 1, 2, 3].map((cell) => whole(cells[at + cell]));
  if (boxes) return `${tp} found · ${fn} missed · ${fp} false`;
  return `${tp} found · ${fn} missed · ${fp} wrongly said · ${tn} rightly not said`;
}

/** A threshold as the slider says it: three digits, more where it has them. @param {number} t */
export function position(t) {
  if (Math.abs(t) >= 1000) return sig(t, 3);
  return Math.abs(t * 1000 - Math.round(t * 1000)) < 1e-9 ? t.toFixed(3) : t.toFixed(4);
}

/** The rule by which a class is said. @param {number} t a threshold, NaN for the likeliest class @returns {[string, string]} */
export function ruleOf(t) { return Number.isNaN(t) ? ["by the", "likeliest class"] : ["at", position(t)]; }

/** Why boxes leave one cell of a tile empty. */
export const NOT_COUNTED = "Where no box is and none was said there is nothing to count: boxes have no true negatives";

/** A cell of a tile in words. Cells: 0 is not, not said; 1 is not, said; 2 is, missed; 3 is, found. @param {number} cell
 * @param {number} n @param {string} name @param {string} task */
export function sentence(cell, n, name, task) {
  if (task === "detection") {
    if (cell === 0) return NOT_COUNTED;
    const box = n === 1 ? "box" : "boxes", be = n === 1 ? "was" : "were";
    return cell === 1 ? `${whole(n)} ${box} of ${name} ${be} said where none is` : `${whole(n)} true ${box} of ${name} ${be} ${cell === 2 ? "missed" : "found"}`;
  }
  const label = task === "multilabel", [were, has, does] = n === 1 ? ["was", label ? "has" : "is", "does"] : ["were", label ? "have" : "are", "do"];
  const not = label ? `${does} not have` : `${has} not`, said = label ? "said to" : "said to be";
  const words = [`${not} ${name} and ${were} not ${said}`, `${not} ${name} but ${were} ${said}`, `${has} ${name} and ${were} missed`, `${has} ${name} and ${were} found`];
  return `${whole(n)} ${words[cell]}`;
}

/** What the four cells mean, before a class is pointed at. @param {number} cell @param {boolean} [boxes] */
export function meaning(cell, boxes = false) {
  if (boxes) return ["empty: what is no box cannot be counted", "false: said, and no true box there", "missed: a true box that was not said", "found: a true box that was said"][cell];
  return ["is not, and was not said to be", "is not, but was said to be", "is, but was missed", "is, and was found"][cell];
}

/** What the shade is, as the line under the tiles says it. @param {string} normalise @param {boolean} [boxes] */
export function shadeWords(normalise, boxes = false) {
  if (boxes && normalise !== "none") return `shade: share of ${normalise === "all" ? "all that is or was said" : normalise === "true" ? "the true boxes; of false ones, of those said" : "the boxes said; of missed ones, of the true"}`;
  const of = { true: "its row", predicted: "its column", all: "all samples of the class" }[normalise];
  return of ? `shade: share of ${of}` : "shade: count, against the largest of all";
}

/** Who stands in a histogram. @param {number} kind 0: positives, 1: negatives @param {string} name "" for all classes @param {string} task */
export function whose(kind, name, task) {
  if (task === "detection") return `${kind === 0 ? "on a true box" : "on none"}${name ? `, said to be ${name}` : ""}`;
  const has = task === "multilabel";
  if (!name) return kind === 0 ? (has ? "have the label" : "are of the class") : has ? "do not" : "are not";
  return kind === 0 ? `${has ? "have" : "are"} ${name}` : `${has ? "do" : "are"} not`;
}

/** A tile for those who hear it. @param {Metrics} metrics @param {string} name @param {ArrayLike<number>} cells @param {number} at @param {string} task */
export function spoken(metrics, name, cells, at, task) {
  const [f1, precision, recall] = ["f1", "precision", "recall"].map((metric) => share(metrics.value(metric, cells, at)));
  const words = (task === "detection" ? [3, 2, 1] : [3, 2, 1, 0]).map((i) => sentence(i, cells[at + i], name, task));
  return `${name}: F1 ${f1}, precision ${precision}, recall ${recall}. ${words.join("; ")}.`;
}

/** What the numbers are of. @param {{task: string, samples: number, note?: string, validation: boolean,
 * step: number | null, unknown?: string, pictures?: number, true?: number, iou?: number, map?: number | null}} about @param {number} classes @param {boolean} [matrix] whether the C x C
 * matrix is shown @param {boolean} [likeliest] whether each sample is said to be of its likeliest class */
export function headline(about, classes, matrix = false, likeliest = matrix) {
  if (about.task === "detection") return boxHeadline(about, classes);
  const parts = [about.note || `${whole(about.samples)} ${about.validation ? "validation " : ""}${about.samples === 1 ? "sample" : "samples"}`];
  if (classes > 1) parts.push(`${whole(classes)} classes${about.task === "multiclass" && !matrix ? ", each against the rest" : ""}`);
  if (likeliest) parts.push("by the likeliest class");
  if (about.unknown) parts.push(about.unknown);
  if (about.step !== null && about.step !== undefined) parts.push(`after step ${whole(about.step)}`);
  return parts.join(" · ");
}

/** What the numbers of boxes are of. @param {Parameters<typeof headline>[0]} about @param {number} classes */
function boxHeadline({ note, validation, pictures = 0, true: boxes = 0, iou = 0.5, map, step }, classes) {
  const parts = [`${whole(boxes)} true ${boxes === 1 ? "box" : "boxes"} in ${whole(pictures)} ${validation ? "validation " : ""}${pictures === 1 ? "picture" : "pictures"}`];
  if (note) parts.push(note);
  if (classes > 1) parts.push(`${whole(classes)} classes`);
  parts.push(`mAP ${share(map ?? NaN)} at IoU ${sig(iou)}`);
  if (step !== null && step !== undefined) parts.push(`after step ${whole(step)}`);
  return parts.join(" · ");
}

/** A cell of the C x C matrix in words. @param {number} n @param {string} from @param {string} to @param {number} of how many are `from` */
export function confused(n, from, to, of) {
  const kind = /^class\b/i.test(from) ? from : `class ${from}`;
  const are = n === 1 ? "was" : "were", part = of > 0 ? ` (${percent(n / of)})` : "";
  return `${whole(n)} of the ${whole(of)} of ${kind} ${are} said to be ${from === to ? "it" : to}${part}`;
}

/** Put pairs of a faint word and a strong one in a line; either may be "". @param {Element} node @param {...[string, string]} pairs */
export function fill(node, ...pairs) {
  while (node.children.length < pairs.length) node.append(make("span", {}, make("span"), " ", make("b")));
  while (node.children.length > pairs.length) node.lastChild?.remove();
  pairs.forEach(([faint, strong], i) => {
    say(node.children[i].children[0], faint);
    say(node.children[i].children[1], strong);
  });
}

/** Elements for four cells, told apart as right and wrong. */
export function fourCells() { return ["right", "wrong", "wrong", "right"].map((kind) => make("div", { [`data-${kind}`]: true })); }

/** How to read a tile; once a class is pointed at, its numbers and the cell in a sentence, or `whole`, all four cells placed as in the tile. */
export function cellWords() {
  const line = make("div", { class: "dlw-conf-line" }), one = make("div", { class: "dlw-conf-one" }), four = fourCells();
  const grid = make("div", { class: "dlw-conf-four" }, ...four), node = make("div", { class: "dlw-conf-words" }, line, one, grid);

  /** @param {Picture} picture @param {Pointed} shown `c` is -1 for none @param {boolean} whole_ */
  function draw({ metrics, names, cells, limits, task, samples, normalise, precisions }, { c, cell: here }, whole_) {
    const boxes = task === "detection";
    const some = c >= 0 && c < names.length;
    grid.hidden = !whole_;
    one.hidden = whole_;
    say(one, some ? (here >= 0 ? `${sentence(here, cells[4 * c + here], names[c], task)}.` : fewWords(cells, 4 * c, boxes)) : "");
    four.forEach((part, cell) => {
      say(part, some ? sentence(cell, cells[4 * c + cell], names[c], task) : meaning(cell, boxes));
      part.toggleAttribute("data-here", some && cell === here);
      part.toggleAttribute("data-none", boxes && cell === 0);
    });
    if (!some) {
      fill(line, ["How to read a tile", ""], [boxes ? "top right: false" : "rows: what it is (no, yes)", ""], [boxes ? "below: missed, found" : "columns: what was said (no, yes)", ""], [shadeWords(normalise, boxes), ""], [`a click opens its ${boxes ? "boxes" : "samples"}`, ""]);
      return;
    }
    const [tn, fp, fn, tp] = cells.subarray(4 * c, 4 * c + 4), unknown = samples - tn - fp - fn - tp;
    const [precision, recall, f1] = ["precision", "recall", "f1"].map((metric) => share(metrics.value(metric, cells, 4 * c)));
    fill(line, ["", names[c]], ruleOf(limits[c]), ["precision", precision], ["recall", recall], ["F1", f1],
      ["support", whole(fn + tp)], ["AP", boxes ? share(precisions[c] ?? NaN) : ""], ["", unknown > 0 ? `${whole(unknown)} unknown, left out` : ""]);
  }
  return { node, draw };
}

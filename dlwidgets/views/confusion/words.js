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

/** A threshold as the slider says it: three digits, more where it has them. @param {number} t */
export function position(t) {
  if (Math.abs(t) >= 1000) return sig(t, 3);
  return Math.abs(t * 1000 - Math.round(t * 1000)) < 1e-9 ? t.toFixed(3) : t.toFixed(4);
}

/** The rule by which a class is said. @param {number} t a threshold, NaN for the likeliest class @returns {[string, string]} */
export function ruleOf(t) { return Number.isNaN(t) ? ["by the", "likeliest class"] : ["at", position(t)]; }

/** A cell of a tile in words. Cells: 0 is not, not said; 1 is not, said; 2 is, missed; 3 is, found. @param {number} cell
 * @param {number} n @param {string} name @param {string} task */
export function sentence(cell, n, name, task) {
  const label = task === "multilabel", [were, has, does] = n === 1 ? ["was", label ? "has" : "is", "does"] : ["were", label ? "have" : "are", "do"];
  const not = label ? `${does} not have` : `${has} not`, said = label ? "said to" : "said to be";
  const words = [`${not} ${name} and ${were} not ${said}`, `${not} ${name} but ${were} ${said}`, `${has} ${name} and ${were} missed`, `${has} ${name} and ${were} found`];
  return `${whole(n)} ${words[cell]}`;
}

/** What the four cells mean, before a class is pointed at. @param {number} cell */
export function meaning(cell) {
  return ["is not, and was not said to be", "is not, but was said to be", "is, but was missed", "is, and was found"][cell];
}

/** What the shade is, as the line under the tiles says it. @param {string} normalise */
export function shadeWords(normalise) {
  const of = { true: "its row", predicted: "its column", all: "all samples of the class" }[normalise];
  return of ? `shade: share of ${of}` : "shade: count, against the largest of all";
}

/** Who stands in a histogram. @param {number} kind 0: positives, 1: negatives @param {string} name "" for all classes @param {string} task */
export function whose(kind, name, task) {
  const has = task === "multilabel";
  if (!name) return kind === 0 ? (has ? "have the label" : "are of the class") : has ? "do not" : "are not";
  return kind === 0 ? `${has ? "have" : "are"} ${name}` : `${has ? "do" : "are"} not`;
}

/** A tile for those who hear it. @param {Metrics} metrics @param {string} name @param {ArrayLike<number>} cells @param {number} at @param {string} task */
export function spoken(metrics, name, cells, at, task) {
  const [f1, precision, recall] = ["f1", "precision", "recall"].map((metric) => share(metrics.value(metric, cells, at)));
  const words = [3, 2, 1, 0].map((i) => sentence(i, cells[at + i], name, task));
  return `${name}: F1 ${f1}, precision ${precision}, recall ${recall}. ${words.join("; ")}.`;
}

/** What the numbers are of. @param {{task: string, samples: number, note?: string, validation: boolean,
 * step: number | null, unknown?: string}} about @param {number} classes @param {boolean} [matrix] whether the C x C
 * matrix is shown @param {boolean} [likeliest] whether each sample is said to be of its likeliest class */
export function headline(about, classes, matrix = false, likeliest = matrix) {
  const parts = [about.note || `${whole(about.samples)} ${about.validation ? "validation " : ""}${about.samples === 1 ? "sample" : "samples"}`];
  if (classes > 1) parts.push(`${whole(classes)} classes${about.task === "multiclass" && !matrix ? ", each against the rest" : ""}`);
  if (likeliest) parts.push("by the likeliest class");
  if (about.unknown) parts.push(about.unknown);
  if (about.step !== null && about.step !== undefined) parts.push(`after step ${whole(about.step)}`);
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

/** The four cells of one class in sentences, placed as in its tile. */
export function cellWords() {
  const line = make("div", { class: "dlw-conf-line" }), four = fourCells();
  const node = make("div", { class: "dlw-conf-words" }, line, make("div", { class: "dlw-conf-four" }, ...four));

  /** @param {Picture} picture @param {Pointed} shown `c` is -1 for none */
  function draw({ metrics, names, cells, limits, task, samples, normalise }, { c, cell: here }) {
    const some = c >= 0 && c < names.length;
    four.forEach((part, cell) => {
      say(part, some ? sentence(cell, cells[4 * c + cell], names[c], task) : meaning(cell));
      part.toggleAttribute("data-here", some && cell === here);
    });
    if (!some) {
      fill(line, ["How to read a tile", ""], ["rows: what it is, columns: what was said", ""], [shadeWords(normalise), ""], ["a click opens its samples", ""]);
      return;
    }
    const [tn, fp, fn, tp] = cells.subarray(4 * c, 4 * c + 4), unknown = samples - tn - fp - fn - tp;
    const [precision, recall, f1] = ["precision", "recall", "f1"].map((metric) => share(metrics.value(metric, cells, 4 * c)));
    fill(line, ["", names[c]], ruleOf(limits[c]), ["precision", precision], ["recall", recall], ["F1", f1],
      ["support", whole(fn + tp)], ["", unknown > 0 ? `${whole(unknown)} unknown, left out` : ""]);
  }
  return { node, draw };
}

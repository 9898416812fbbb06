// One class in words under the tiles: its four cells as sentences, its metrics, what the shade means.

import { make, say, whole } from "../front.js";
import { meaning, position, sentence, shadeWords, share } from "./words.js";

/** Put pairs of a faint word and a strong one in a line; either may be "". @param {Element} node @param {...[string, string]} pairs */
export function fill(node, ...pairs) {
  while (node.children.length < pairs.length) node.append(make("span", {}, make("span"), " ", make("b")));
  while (node.children.length > pairs.length) node.lastChild?.remove();
  pairs.forEach(([faint, strong], i) => {
    say(node.children[i].children[0], faint);
    say(node.children[i].children[1], strong);
  });
}

/** The four cells of one class in sentences, placed as in its tile. */
export function cellWords() {
  const line = make("div", { class: "dlw-conf-line" });
  const four = [0, 1, 2, 3].map((cell) => make("div", cell === 0 || cell === 3 ? { "data-right": true } : { "data-wrong": true }));
  const node = make("div", { class: "dlw-conf-words" }, line, make("div", { class: "dlw-conf-four" }, ...four));

  /** @param {import("./tiles.js").Picture} picture @param {import("./tiles.js").Pointed} shown `c` is -1 for none */
  function draw({ metrics, names, cells, limits, task, samples, normalise }, { c, cell: here }) {
    const some = c >= 0 && c < names.length;
    four.forEach((part, cell) => {
      say(part, some ? sentence(cell, cells[4 * c + cell], names[c], task) : meaning(cell));
      part.toggleAttribute("data-here", some && cell === here);
    });
    if (!some) {
      fill(line, ["How to read a tile", ""], ["rows: what it is, columns: what was said", ""], [shadeWords(normalise), ""],
        ["a click opens its samples", ""]);
      return;
    }
    const [tn, fp, fn, tp] = cells.subarray(4 * c, 4 * c + 4), unknown = samples - tn - fp - fn - tp;
    const [precision, recall, f1] = ["precision", "recall", "f1"].map((metric) => share(metrics.value(metric, cells, 4 * c)));
    fill(line, ["", names[c]], ["at", position(limits[c])], ["precision", precision],
      ["recall", recall], ["F1", f1], ["support", whole(fn + tp)],
      ["", unknown > 0 ? `${whole(unknown)} unknown, left out` : ""]);
  }
  return { node, draw };
}

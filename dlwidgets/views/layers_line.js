// One line of the layer table as elements, written anew for whatever layer comes in sight.

import { make, say, whole } from "./front.js";
import { SIZES, nameOf, shownBy, sizeOf } from "./layers_tree.js";
import { LINE, SPARK } from "./layers_columns.js";
import { cell, gradText, markWords, ratioText, shownIn, sparkPath, sparkWords, trainsSign, waitingWords } from "./layers_words.js";

/** @typedef {import("./layers_tree.js").Tree} Tree */
/** @typedef {import("./layers_tree.js").Line} Line */
/** @typedef {import("./layers_words.js").Live} Live */
/** @typedef {import("./layers_columns.js").Column} Column */
/** @typedef {ReturnType<typeof lineParts>} Parts */

/**
 * What a line shows: `place` is its place among `total`; `flat` whether layers stand one by one, without the tree;
 * `around` whether it is there only for what a search found inside.
 * @typedef {{tree: Tree, live: Live, moment: any, line: Line, open: boolean, folds: boolean, flat: boolean, around: boolean,
 *   cursor: boolean, selected: boolean, place: number, total: number}} What
 */

const SVG = "http://www.w3.org/2000/svg";
/** The longest bar of the parameters [px]. */
const BAR = 38;

/** Set an attribute only where it differs; null takes it away. @param {Element} node @param {string} name @param {string | number | null} value */
export function attribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
}

/** The elements of a line. @param {Column[]} columns @param {string} id */
export function lineParts(columns, id) {
  const twist = make("span", { class: "dlw-lay-twist", "aria-hidden": "true" }), name = make("span", { class: "dlw-lay-text" });
  const bar = make("i", { class: "dlw-lay-bar" }), params = make("span");
  const svg = document.createElementNS(SVG, "svg"), spark = document.createElementNS(SVG, "path");
  svg.append(spark);
  for (const [key, value] of Object.entries({ width: SPARK.width, height: SPARK.height, role: "img" })) svg.setAttribute(key, String(value));
  /** @type {Record<string, HTMLElement>} */
  const cells = {};
  for (const { key, right } of columns) {
    const inside = key === "layer" ? [twist, name] : key === "params" ? [bar, params] : key === "spark" ? [svg] : [];
    cells[key] = make("div", { role: key === "layer" ? "rowheader" : "gridcell", class: `dlw-lay-cell dlw-lay-${key}`, "data-right": !!right }, ...inside);
  }
  const node = make("div", { role: "row", class: "dlw-lay-line", id }, ...columns.map(({ key }) => cells[key]));
  return { node, cells, twist, name, bar, params, svg, spark };
}

/** Write a line. @param {Parts} parts @param {What} what */
export function drawLine(parts, what) {
  drawPlace(parts, what);
  drawLayer(parts, what);
  if (parts.cells.ratio) drawLive(parts, what);
}

/** Where the line stands in the tree and on the page. @param {Parts} parts @param {What} what */
function drawPlace({ node }, { tree, line, open, folds, flat, around, cursor, selected, place, total }) {
  attribute(node, "aria-rowindex", place + 2);
  attribute(node, "aria-level", flat ? 1 : line.level);
  attribute(node, "aria-setsize", flat ? total : line.parent < 0 ? 1 : tree.lines[line.parent].children.length);
  attribute(node, "aria-posinset", flat ? place + 1 : line.place + 1);
  attribute(node, "aria-expanded", folds ? String(open) : null);
  attribute(node, "aria-selected", String(selected));
  node.toggleAttribute("data-cursor", cursor);
  node.toggleAttribute("data-around", around);
  node.style.transform = `translateY(${place * LINE}px)`;
}

/** What the layer is. @param {Parts} parts @param {What} what */
function drawLayer({ node, cells, twist, name, bar, params }, { tree, line, open, folds, flat }) {
  const own = tree.paths[line.row] || tree.rows[line.row][0], [, , kind, detail, output, remark] = tree.rows[shownBy(tree, line, open)];
  const many = line.times > 1 && !open ? `${whole(line.times)} alike: ` : "", told = [kind, detail].filter(Boolean).join(" ");
  const write = (/** @type {string} */ key, /** @type {string} */ text, /** @type {string} */ title) => {
    if (!cells[key]) return;
    say(cells[key], text);
    attribute(cells[key], "title", title);
  };
  node.toggleAttribute("data-failed", remark.startsWith("fail"));
  say(twist, folds ? (open ? "▾" : "▸") : "");
  say(name, flat ? own : nameOf(tree, line, open));
  cells.layer.style.paddingLeft = `${flat ? 0 : 14 * (line.level - 1)}px`;
  attribute(cells.layer, "title", [own, many + told, remark].filter(Boolean).join("\n"));
  // The model's own line has the class for a name.
  write("type", [line.parent < 0 ? "" : told, remark && `(${remark})`].filter(Boolean).join(" "), many + [told, remark].filter(Boolean).join(", "));
  write("output", output, output);
  const [weights, macs, bytes] = [0, 1, 2].map((which) => sizeOf(tree, line, which)), all = tree.sizes[0];
  say(params, weights || !line.children.length ? cell(weights) : "");
  attribute(cells.params, "title", `${whole(weights)} parameters`);
  bar.style.width = `${all ? Math.ceil(BAR * Math.min(1, weights / all)) : 0}px`;
  write("macs", macs ? cell(macs) : "", macs ? `${whole(macs)} MACs` : "");
  write("activations", bytes ? cell(bytes, "B") : "", bytes ? `${whole(bytes)} bytes` : "");
  const letter = tree.trains[line.row] ?? "-", [sign, words] = trainsSign(letter);
  write("trains", sign, words);
  if (cells.trains) { attribute(cells.trains, "aria-label", words); cells.trains.dataset.letter = letter; }
}

/** What the training does to it. @param {Parts} parts @param {What} what */
function drawLive({ cells, svg, spark }, { tree, live, moment, line, open, flat }) {
  const shown = shownIn(tree, live, line, open || flat);
  // A line that is open leaves it to those inside it, unless it has weights of its own.
  const own = tree.sizes[SIZES * line.row + (open || flat ? 3 : 0)] > 0, waits = own && !shown;
  const why = waits ? waitingWords(moment.status, tree.trains[line.row]) : markWords(shown, tree, live);
  for (const key of ["grad", "ratio"]) {
    if (!cells[key]) continue;
    say(cells[key], waits ? "–" : key === "grad" ? gradText(shown) : ratioText(shown));
    attribute(cells[key], "title", why);
    const mark = shown && (key === "ratio" || shown.mark === "broken") ? shown.mark : "";
    attribute(cells[key], "data-mark", mark || null);
    attribute(cells[key], "aria-label", mark ? `${cells[key].textContent}, ${why}` : null);
  }
  if (!cells.spark) return;
  const d = shown ? sparkPath(live, shown.places, SPARK.width, SPARK.height) : "", words = d && shown ? sparkWords(live, shown.places, moment) : "";
  attribute(spark, "d", d);
  attribute(cells.spark, "title", words);
  attribute(svg, "aria-label", words || "no history yet");
}

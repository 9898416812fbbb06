// One line of the layer table as elements, written anew for whatever layer comes in sight.

import { make, say, whole } from "../front.js";
import { SIZES, letterOf, nameOf, pathsOf, shownBy, sizeOf } from "./tree.js";
import { LINE, SPARK } from "./columns.js";
import {
  NO_UNITS, cell, deadIn, deadText, deadWords, gradText, hasUnits, many, markWords, ratioText, shownIn, sparkPath, sparkWords, trainsSign, usual, waitingWords,
  weightText,
} from "./words.js";

/** @typedef {import("./tree.js").Tree} Tree */
/** @typedef {import("./tree.js").Line} Line */
/** @typedef {import("./words.js").Live} Live */
/** @typedef {import("./columns.js").Column} Column */
/** @typedef {ReturnType<typeof lineParts>} Parts */

/**
 * What a line shows: `place` is its place among `total`; `flat` whether layers stand one by one, without the tree;
 * `around` whether it is there only for what a search found inside; `steered` whether a click freezes; `wanted` is
 * the letter that was asked for and is not in force yet, or "".
 * @typedef {{steered: boolean, wanted: string, tree: Tree, live: Live, moment: any, line: Line, open: boolean, folds: boolean, flat: boolean, around: boolean,
 *   cursor: boolean, selected: boolean, place: number, total: number}} What
 */

const SVG = "http://www.w3.org/2000/svg";
/** The longest bars [px], of all that the model has. @type {Record<string, number>} */
const BARS = { params: 38, macs: 24, activations: 24 };

/** Set an attribute only where it differs; null takes it away. @param {Element} node @param {string} name @param {string | number | null} value */
export function attribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
}

/** The elements of a line. @param {Column[]} columns @param {string} id */
export function lineParts(columns, id) {
  const twist = make("span", { class: "dlw-lay-twist", "aria-hidden": "true" }), name = make("span", { class: "dlw-lay-text" });
  const button = make("button", { type: "button", tabindex: -1, class: "dlw-lay-freeze" }), plain = make("span", { class: "dlw-lay-plain", role: "img" });
  /** @type {Record<string, {bar: HTMLElement, number: HTMLElement}>} */
  const bars = {};
  const svg = document.createElementNS(SVG, "svg"), spark = document.createElementNS(SVG, "path");
  svg.append(spark);
  for (const [key, value] of Object.entries({ width: SPARK.width, height: SPARK.height, role: "img" })) svg.setAttribute(key, String(value));
  /** @type {Record<string, HTMLElement>} */
  const cells = {};
  for (const { key, right } of columns) {
    if (BARS[key]) bars[key] = { bar: make("i", { class: "dlw-lay-bar" }), number: make("span") };
    const inside = key === "layer" ? [twist, name] : bars[key] ? [bars[key].bar, bars[key].number] : key === "spark" ? [svg] : key === "trains" ? [button, plain] : [];
    cells[key] = make("div", { role: key === "layer" ? "rowheader" : "gridcell", class: `dlw-lay-cell dlw-lay-${key}${bars[key] ? " dlw-lay-barred" : ""}`, "data-right": !!right }, ...inside);
  }
  const node = make("div", { role: "row", class: "dlw-lay-line", id }, ...columns.map(({ key }) => cells[key]));
  return { node, cells, twist, name, bars, button, plain, svg, spark };
}

/** Write a line. @param {Parts} parts @param {What} what */
export function drawLine(parts, what) {
  drawPlace(parts, what);
  drawLayer(parts, what);
  drawTrains(parts, what);
  drawLive(parts, what);
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
function drawLayer({ node, cells, twist, name, bars }, { tree, line, open, folds, flat }) {
  const own = tree.paths[line.row] || tree.rows[line.row][0], [, , kind, detail, output, remark, , input, dtype, calls] = tree.rows[shownBy(tree, line, open)];
  const many = line.times > 1 && !open ? `${whole(line.times)} alike: ` : "", told = [kind, detail].filter(Boolean).join(" ");
  const write = (/** @type {string} */ key, /** @type {string} */ text, /** @type {string} */ title) => {
    if (!cells[key]) return;
    say(cells[key], text);
    attribute(cells[key], "title", title);
  };
  attribute(node, "data-path", line.run ? null : tree.paths[line.row]);
  node.toggleAttribute("data-failed", remark.startsWith("fail"));
  say(twist, folds ? (open ? "▾" : "▸") : "");
  say(name, flat ? own : nameOf(tree, line, open));
  cells.layer.style.paddingLeft = `${flat ? 0 : 14 * (line.level - 1)}px`;
  attribute(cells.layer, "title", [own, many + told, remark].filter(Boolean).join("\n"));
  // The model's own line has the class for a name.
  write("type", [line.parent < 0 ? "" : told, remark && `(${remark})`].filter(Boolean).join(" "), many + [told, remark].filter(Boolean).join(", "));
  write("input", input, input);
  write("output", output, output);
  write("dtype", dtype, dtype);
  write("calls", calls ? whole(calls) : "", calls === 1 ? "runs once in a forward pass" : `runs ${whole(calls)} times in a forward pass`);
  const bytes = sizeOf(tree, line, 4);
  write("bytes", bytes ? cell(bytes, "B") : "", bytes ? `${whole(bytes)} bytes of parameters` : "");
  for (const [key, which, unit, of] of /** @type {const} */ ([["params", 0, "", "parameters"], ["macs", 1, "", "MACs"], ["activations", 2, "B", "bytes of outputs"]])) {
    if (!bars[key]) continue;
    const size = sizeOf(tree, line, which), all = tree.sizes[which], part = all ? Math.min(1, size / all) : 0;
    say(bars[key].number, size || (key === "params" && !line.children.length) ? cell(size, unit) : "");
    attribute(cells[key], "title", size ? `${whole(size)} ${of}, ${part > 0 && part < 0.001 ? "under 0.1" : (100 * part).toFixed(part < 0.0995 ? 1 : 0)} % of the model's` : "");
    bars[key].bar.style.width = `${Math.ceil(BARS[key] * part)}px`;
  }
}

/** Whether the layer trains, which a click changes where there is a session. @param {Parts} parts @param {What} what */
function drawTrains({ cells, button, plain }, { tree, line, steered, wanted }) {
  if (!cells.trains) return;
  const letter = letterOf(tree, line), [sign, words] = trainsSign(wanted || letter), can = steered && letter !== "-", paths = pathsOf(tree, line);
  cells.trains.dataset.letter = wanted || letter;
  cells.trains.toggleAttribute("data-asked", !!wanted);
  button.hidden = !can;
  plain.hidden = can || !sign;
  say(can ? button : plain, sign);
  attribute(plain, "aria-label", words);
  attribute(button, "aria-pressed", { n: "true", p: "mixed" }[wanted || letter] ?? "false");
  const name = paths[0] || tree.rows[line.row][0], of = paths.length > 1 ? `${name} and ${paths.length - 1} like it` : name;
  attribute(button, "aria-label", `Freeze ${of}`);
  const still = wanted ? `asked for: ${words} from the next step on` : words;
  attribute(cells.trains, "title", can && !wanted ? `${words}; click or press F to ${letter === "n" ? "let it train again" : "freeze it with all inside"}` : still);
}

/** What the training does to it. @param {Parts} parts @param {What} what */
function drawLive({ cells, svg, spark }, { tree, live, moment, line, open, flat }) {
  if (!["weight", "grad", "ratio", "dead", "spark"].some((key) => cells[key])) return;
  const shown = shownIn(tree, live, line, open || flat);
  // A line that is open leaves it to those inside it, unless it has weights of its own.
  const own = tree.sizes[SIZES * line.row + (open || flat ? 3 : 0)] > 0, waits = own && !shown;
  const why = waits ? waitingWords(moment.status, tree.trains[line.row]) : markWords(shown, tree, live);
  const write = (/** @type {string} */ key, /** @type {string} */ text, /** @type {string} */ words, /** @type {string} */ mark) => {
    if (!cells[key]) return;
    say(cells[key], text);
    attribute(cells[key], "title", words);
    attribute(cells[key], "data-mark", mark || null);
    attribute(cells[key], "aria-label", mark ? `${text}, ${words}` : null);
  };
  const broken = shown?.mark === "broken" ? "broken" : "";
  write("weight", waits ? "–" : weightText(shown), why, shown && !Number.isFinite(shown.weight) ? "broken" : "");
  write("grad", waits ? "–" : gradText(shown), why, broken);
  // Of a folded line the number may be as usual, and what stands out be inside.
  write("ratio", waits ? "–" : ratioText(shown), why, shown?.mark && shown.mark !== "broken" && usual(shown.ratio) ? "inside" : shown?.mark ?? "");
  const dead = deadIn(live, line, open || flat), unknown = !dead && !!shown && hasUnits(tree, line, open || flat);
  write("dead", unknown ? "n/a" : deadText(dead), unknown ? NO_UNITS : deadWords(dead, tree, live), unknown ? "unknown" : dead?.marked ? (many(dead) ? "high" : "inside") : "");
  if (!cells.spark) return;
  const d = shown ? sparkPath(live, shown.places, SPARK.width, SPARK.height) : "", words = d && shown ? sparkWords(live, shown.places, moment) : "";
  attribute(spark, "d", d);
  attribute(cells.spark, "title", words);
  attribute(svg, "aria-label", words || null);
  attribute(svg, "aria-hidden", words ? null : "true");
}

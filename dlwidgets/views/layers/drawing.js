// The layer table's parts as elements, and how each is drawn: words, headings, and the lines in sight, written anew for whatever comes.

import { count, gravity, listen, make, say, whole } from "../front.js";
import { BARS, LINE, ROOM, SPARK, columnsFor, columnsOf, fitted, inSight, pathEnd, scrolledTo, stepOf } from "./columns.js";
import { SIZES, heldBy, isOpen, letterOf, nameOf, pathsOf, readSort, shownBy, sizeOf } from "./tree.js";
import {
  NO_UNITS, cell, deadIn, deadText, deadWords, foundOf, gradText, hasUnits, headline, many, markWords, measuredWords, ratioText, shownIn, sparkPath, sparkWords, trainsSign,
  usual, waitingWords, weightText,
} from "./words.js";

/** @typedef {import("./columns.js").Column} Column */
/** @typedef {import("./tree.js").Tree} Tree */
/** @typedef {import("./tree.js").Line} Line */
/** @typedef {ReturnType<typeof lineParts>} Parts */

/** From this many layers on a search is offered. */
const MANY = 12;
/** The height of the heading [px]; as in layers/view.css. */
export const HEAD = 26;

/** The elements that stay. */
export function elementsOf() {
  const heads = make("div", { role: "row", class: "dlw-lay-heads", "aria-rowindex": 1 }), body = make("div", { role: "rowgroup", class: "dlw-lay-body" });
  return {
    heads, body,
    facts: make("span", { class: "dlw-lay-facts" }), found: make("span", { class: "dlw-small", role: "status" }),
    search: make("input", { type: "search", placeholder: "Find a layer", "aria-label": "Find layers by name or type" }),
    all: make("button", { type: "button" }),
    tools: make("span", { class: "dlw-lay-tools" }),
    note: make("div", { class: "dlw-note", role: "status" }), empty: make("div", { class: "dlw-empty" }),
    measuring: make("div", { class: "dlw-faint dlw-small dlw-lay-measured" }),
    caveat: make("div", { class: "dlw-faint dlw-small dlw-lay-caveat" }),
    grid: make("div", { role: "treegrid", class: "dlw-lay-grid", tabindex: 0, "aria-label": "Layers" }, make("div", { role: "rowgroup", class: "dlw-lay-top" }, heads), body),
  };
}

/** What all of a table's functions work on. `cursor` is the key of the line that the keys move, `toSee` of one to be
 * scrolled to; `choose` is the button of the columns, `fit` the columns as wide as their numbers, the step of indentation and what measures
 * a text, and what these are of; `room` has a name [px]; `pool` are the elements of lines, and `places` where each of them stands; `said` is what is said for a while.
 * @typedef {{
 *   id: string, model: import("../front.js").Model, signal: AbortSignal, parts: ReturnType<typeof elementsOf>, want: import("./choices.js").Wishes,
 *   picture: import("./tree.js").Picture, look: import("./tree.js").Look, listing: import("./tree.js").Listing,
 *   selection: ReturnType<typeof import("./choices.js").selectionOf>, freezing: ReturnType<typeof import("./choices.js").freezingOf>,
 *   cursor: string, toSee: string, followed: string | null | undefined,
 *   columns: Column[], room: number, choose: HTMLElement | null, freezes: HTMLElement | null, fit: {of: any[], columns: Column[], step: number, width: (text: string) => number}, pool: Parts[], places: number[], said: {words: string, until: number}, repaint: () => void,
 * }} Table */

/** Whether a line can be folded. @param {Table} table @param {Line} line */
export function folds(table, line) { return line.children.length > 0 && !table.listing.flat; }

/** The columns there are. @param {Table} table */
export function columnsThere({ model }) { return columnsOf(model.get("columns") ?? [], !!model.get("about")?.live); }

/** The columns as wide as what they hold, measured once for a model and a font. @param {Table} table */
function fitColumns(table) {
  const { picture: { tree }, parts: { grid }, fit } = table, of = [tree, getComputedStyle(grid).fontFamily, table.model.get("about")?.live];
  if (!tree || of.every((one, i) => one === fit.of[i])) return fit;
  const ruler = /** @type {CanvasRenderingContext2D} */ (make("canvas").getContext("2d")), held = heldBy(tree);
  // What stands out is bold.
  ruler.font = `600 12.5px ${of[1]}`;
  const width = (/** @type {string} */ text) => ruler.measureText(text).width;
  table.fit = { of, columns: fitted(columnsThere(table), held, width), step: stepOf(held), width };
  return table.fit;
}

/** Say on their button how many columns found no room. @param {Table} table @param {string[]} left */
function drawLeft({ choose }, left) {
  if (!choose) return;
  const more = left.length ? `, ${left.length} more` : "";
  say(choose, `Columns${more} ▾`);
  attribute(choose, "aria-label", `Columns${more}`);
  attribute(choose, "title", left.length ? `No room for ${left.join(", ")}: choose what is shown` : "Which columns are shown");
}

/** Lay the columns out; others than before get headings and lines of their own. @param {Table} table @param {(key: string) => void} sortBy */
export function drawColumns(table, sortBy) {
  const { grid, heads, body } = table.parts, { chosen } = table.look;
  const { columns, template, needed, left } = columnsFor(Math.max(240, grid.clientWidth || 900) - 2, fitColumns(table).columns, chosen);
  grid.style.setProperty("--dlw-lay-columns", template);
  grid.style.setProperty("--dlw-lay-needed", `${needed}px`);
  table.room = Number.parseInt(template, 10) - ROOM.around - ROOM.twist;
  drawLeft(table, left);
  if (columns.map(({ key }) => key).join() === table.columns.map(({ key }) => key).join()) return;
  table.columns = columns;
  table.pool = [];
  body.replaceChildren();
  heads.replaceChildren(...columns.map(({ key, title, right }) => {
    const button = make("button", { type: "button", title: key === "spark" ? title : `${title}; click to sort`, tabindex: key === "layer" ? 0 : -1, disabled: key === "spark" });
    listen(button, "click", () => sortBy(key), table.signal);
    return make("div", { role: "columnheader", class: `dlw-lay-cell dlw-lay-${key}`, "data-right": !!right }, button);
  }));
  attribute(grid, "aria-colcount", columns.length);
}

/** The headings, with the sort. @param {Table} table */
export function drawHeads({ parts, columns, look }) {
  const { key: by, falling } = readSort(look.sort);
  columns.forEach(({ key, label }, i) => {
    const on = key === by;
    attribute(parts.heads.children[i], "aria-sort", on ? (falling ? "descending" : "ascending") : "none");
    say(parts.heads.children[i].children[0], label + (on ? (falling ? " ↓" : " ↑") : ""));
  });
}

/** All that is said around the lines. @param {Table} table */
export function drawWords(table) {
  const { model, want, picture: { tree }, listing, parts } = table, { facts, note, caveat, empty, grid, measuring, tools } = parts;
  const about = model.get("about") ?? {}, moment = model.get("moment") ?? {}, problem = model.get("problem"), some = !!tree;
  say(facts, some ? headline(about) : "");
  attribute(facts, "title", some ? `${count(about.bytes, "B")} of parameters` : null);
  say(note, [problem, some ? about.error : "", want.refusal, moment.refused && `Freezing was refused: ${moment.refused}.`].filter(Boolean).join("\n"));
  say(caveat, some ? (about.remarks ?? []).join(" ") : "");
  const none = some && !listing.lines.length;
  say(empty, problem ? "" : none ? "No layer has all these words in its path, type or remark." : "The layers are being looked at.");
  empty.hidden = some && !none; grid.hidden = !some; caveat.hidden = !some;
  say(measuring, some ? measuredWords(moment, !!about.live) : "");
  measuring.hidden = !some || !about.live;
  tools.hidden = !some;
  if (table.freezes) table.freezes.hidden = !about.live;
  attribute(grid, "aria-label", `Layers of ${about.name ?? "the model"}`);
  if (!tree) return;
  // What the search has found, and the button for all folds.
  const { picture: { opened }, look: { turned, sort }, said } = table, { search, found, all } = parts;
  search.hidden = tree.rows.length < MANY;
  const label = columnsThere(table).find((column) => column.key === readSort(sort).key)?.label;
  const hits = listing.found?.size ?? (search.value.trim() ? listing.lines.length : -1);
  say(found, performance.now() < said.until ? said.words : [hits >= 0 ? `${whole(hits)} of ${whole(tree.rows.length)}` : "", listing.flat ? `one by one, by ${label}` : ""].filter(Boolean).join(" · "));
  const closed = tree.lines.some((line) => line.children.length > 0 && opened.has(line.key) === turned.has(line.key));
  all.hidden = listing.flat || !!listing.open || (!closed && !turned.size);
  all.dataset.unfold = String(closed);
  say(all, closed ? "Unfold all" : "Fold");
}

/** The lines in sight; each keeps its elements while it is there, so that a scroll writes only what comes in. @param {Table} table */
export function drawLines(table) {
  const { model, picture, look, listing, freezing, parts: { grid, body } } = table, { tree, live } = picture;
  if (!tree) return;
  const { lines } = tree, total = listing.lines.length, height = Math.max(LINE, grid.clientHeight - HEAD), selected = table.followed ?? null;
  const moment = model.get("moment") ?? {}, steered = !!model.get("about")?.live;
  attribute(grid, "aria-rowcount", total + 1);
  if (table.toSee) {
    const at = listing.lines.findIndex((i) => lines[i].key === table.toSee), top = at < 0 ? null : scrolledTo(at, grid.scrollTop, height);
    if (top !== null) grid.scrollTop = top;
    table.toSee = "";
  }
  const { first, last } = inSight(grid.scrollTop, height, total), ended = grid.scrollTop + grid.clientHeight >= grid.scrollHeight - 1;
  // Lines stand in whole steps, so that the heading hides none by half.
  const shift = ended ? 0 : grid.scrollTop % LINE, { fit, room } = table;
  while (table.pool.length < last - first) {
    const parts = lineParts(table.columns, `${table.id}-${table.pool.length}`);
    table.pool.push(parts);
    body.append(parts.node);
  }
  table.places = table.pool.map(() => -1);
  for (let place = first; place < last; place++) {
    const slot = place % table.pool.length, i = listing.lines[place], line = lines[i];
    table.places[slot] = place;
    /** @type {What} */
    const what = {
      tree, live, found: picture.found, reason: reasonOf(model, line), moment, steered, wanted: freezing.wanted(tree, line), line, open: isOpen(picture, look, listing, line, i), folds: folds(table, line), flat: listing.flat,
      around: !!listing.found && !listing.found.has(i), cursor: line.key === table.cursor, selected: !line.run && tree.paths[line.row] === selected, place, total, shift, fit, room,
    };
    for (const write of [drawPlace, drawLayer, drawTrains, drawLive]) write(table.pool[slot], what);
  }
  let active = null;
  table.pool.forEach(({ node }, slot) => {
    node.hidden = table.places[slot] < 0;
    if (!node.hidden && node.hasAttribute("data-cursor")) active = node.id;
  });
  attribute(grid, "aria-activedescendant", active);
}

// -- one line

/** What a line shows: `place` is its place among `total`; `flat` whether layers stand one by one, without the tree;
 * `reason` by what it is frozen, or ""; `around` whether it is there only for what a search found inside; `steered` whether a click freezes; `wanted` is
 * the letter that was asked for and is not in force yet, or "".
 * @typedef {{steered: boolean, wanted: string, tree: Tree, found: import("./tree.js").Found, reason: string, live: import("./words.js").Live, moment: any, line: Line, open: boolean, folds: boolean, flat: boolean, around: boolean,
 *   cursor: boolean, selected: boolean, place: number, total: number, shift: number, fit: Table["fit"], room: number}} What */

const SVG = "http://www.w3.org/2000/svg";

/** Set an attribute only where it differs; null takes it away. @param {Element} node @param {string} name @param {string | number | null} value */
function attribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
}

/** The elements of a line. @param {Column[]} columns @param {string} id */
function lineParts(columns, id) {
  const twist = make("span", { class: "dlw-lay-twist", "aria-hidden": "true" }), name = make("span", { class: "dlw-lay-text" }), ill = make("span", { class: "dlw-gravity dlw-lay-ill" });
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
    const inside = key === "layer" ? [twist, name, ill] : bars[key] ? [bars[key].bar, bars[key].number] : key === "spark" ? [svg] : key === "trains" ? [button, plain] : [];
    cells[key] = make("div", { role: key === "layer" ? "rowheader" : "gridcell", class: `dlw-lay-cell dlw-lay-${key}${bars[key] ? " dlw-lay-barred" : ""}`, "data-right": !!right }, ...inside);
  }
  const node = make("div", { role: "row", class: "dlw-lay-line", id }, ...columns.map(({ key }) => cells[key]));
  return { node, cells, twist, name, ill, bars, button, plain, svg, spark };
}

/** Where the line stands in the tree and on the page. @param {Parts} parts @param {What} what */
function drawPlace({ node }, { tree, line, open, folds, flat, around, cursor, selected, place, total, shift }) {
  attribute(node, "aria-rowindex", place + 2);
  attribute(node, "aria-level", flat ? 1 : line.level);
  attribute(node, "aria-setsize", flat ? total : line.parent < 0 ? 1 : tree.lines[line.parent].children.length);
  attribute(node, "aria-posinset", flat ? place + 1 : line.place + 1);
  attribute(node, "aria-expanded", folds ? String(open) : null);
  attribute(node, "aria-selected", String(selected));
  node.toggleAttribute("data-cursor", cursor);
  node.toggleAttribute("data-around", around);
  node.style.transform = `translateY(${place * LINE + shift}px)`;
}

/** What the layer is. @param {Parts} parts @param {What} what */
function drawLayer({ node, cells, twist, name, ill, bars }, { tree, found, line, open, folds, flat, fit, room }) {
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
  say(name, flat ? pathEnd(own, room, fit.width) : nameOf(tree, line, open));
  const here = foundOf(found, tree, line, open || flat), said = here.map(([path, severity, title]) => `${gravity(severity)}${path === own ? "" : ` in ${path}`}: ${title}`);
  node.dataset.severity = here[0]?.[1] ?? "";
  say(ill, here.length ? ` ${gravity(here[0][1]).charAt(0)}` : "");
  attribute(ill, "aria-label", said.join("; ") || null);
  cells.layer.style.paddingLeft = `${flat ? 0 : fit.step * (line.level - 1)}px`;
  attribute(cells.layer, "title", [own, many + told, remark, ...said].filter(Boolean).join("\n"));
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

/** By what a line is frozen, in words. @param {import("../front.js").Model} model @param {Line} line */
function reasonOf(model, line) {
  const why = model.get("why"), at = why?.byteLength > line.row ? why.getUint8(line.row) : 0;
  return at ? String(model.get("reasons")?.[at - 1] ?? "") : "";
}

/** Whether the layer trains, which a click changes where there is a session. @param {Parts} parts @param {What} what */
function drawTrains({ cells, button, plain }, { tree, line, reason, steered, wanted }) {
  if (!cells.trains) return;
  const letter = letterOf(tree, line), [sign, bare] = trainsSign(wanted || letter), words = reason && !wanted ? `${bare}: ${reason}` : bare, can = steered && letter !== "-", paths = pathsOf(tree, line);
  cells.trains.dataset.letter = wanted || letter;
  cells.trains.toggleAttribute("data-asked", !!wanted);
  button.hidden = !can;
  plain.hidden = can || !sign;
  say(can ? button : plain, sign);
  attribute(plain, "aria-label", words);
  attribute(button, "aria-pressed", { n: "true", p: "mixed" }[wanted || letter] ?? "false");
  const name = paths[0] || tree.rows[line.row][0], of = paths.length > 1 ? `${name} and ${paths.length - 1} like it` : name;
  attribute(button, "aria-label", `Freeze ${of}`);
  attribute(button, "aria-description", reason || null);
  const still = wanted ? `asked for: ${words} from the next step on` : words;
  attribute(cells.trains, "title", can && !wanted ? `${words}; click or press F to ${letter === "n" ? "let it train again" : "freeze it with all inside"}, with Shift to freeze all up to it` : still);
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

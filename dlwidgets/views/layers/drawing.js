// The layer table's parts as elements, and how each is drawn: words, headings, and the lines in sight.

import { listen, make, say, count, whole } from "../front.js";
import { LINE, columnsFor, columnsOf, inSight, scrolledTo } from "./columns.js";
import { isOpen } from "./picture.js";
import { attribute, drawLine, lineParts } from "./row.js";
import { readSort } from "./tree.js";
import { headline, measuredWords } from "./words.js";

/** @typedef {import("./columns.js").Column} Column */
/** @typedef {import("./tree.js").Line} Line */

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

/**
 * What all of a table's functions work on. `cursor` is the key of the line that the keys move, `toSee` of one to be
 * scrolled to; `pool` are the elements of lines, and `places` where each of them stands; `said` is what is said for a while.
 * @typedef {{
 *   id: string, model: import("../front.js").Model, signal: AbortSignal, parts: ReturnType<typeof elementsOf>, want: import("./choices.js").Wishes,
 *   picture: import("./picture.js").Picture, look: import("./picture.js").Look, listing: import("./picture.js").Listing,
 *   selection: ReturnType<typeof import("./choices.js").selectionOf>, freezing: ReturnType<typeof import("./choices.js").freezingOf>,
 *   cursor: string, toSee: string, followed: string | null | undefined,
 *   columns: Column[], pool: ReturnType<typeof lineParts>[], places: number[], said: {words: string, until: number}, repaint: () => void,
 * }} Table
 */

/** Whether a line can be folded. @param {Table} table @param {Line} line */
export function folds(table, line) { return line.children.length > 0 && !table.listing.flat; }

/** The columns there are. @param {Table} table */
export function columnsThere({ model }) { return columnsOf(model.get("columns") ?? [], !!model.get("about")?.live); }

/** Lay the columns out; others than before get headings and lines of their own. @param {Table} table @param {(key: string) => void} sortBy */
export function drawColumns(table, sortBy) {
  const { grid, heads, body } = table.parts, { chosen } = table.look;
  const { columns, template, needed } = columnsFor(Math.max(240, grid.clientWidth || 900) - 2, columnsThere(table), chosen);
  grid.style.setProperty("--dlw-lay-columns", template);
  grid.style.setProperty("--dlw-lay-needed", chosen ? `${needed}px` : "0");
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
  attribute(grid, "aria-label", `Layers of ${about.name ?? "the model"}`);
  if (tree) drawTools(table, tree);
}

/** What the search has found, and the button for all folds. @param {Table} table @param {import("./tree.js").Tree} tree */
function drawTools(table, tree) {
  const { picture: { opened }, look: { turned, sort }, listing, said, parts: { search, found, all } } = table;
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
  scrollToSee(table, height);
  const { first, last } = inSight(grid.scrollTop, height, total);
  while (table.pool.length < last - first) {
    const parts = lineParts(table.columns, `${table.id}-${table.pool.length}`);
    table.pool.push(parts);
    body.append(parts.node);
  }
  table.places = table.pool.map(() => -1);
  for (let place = first; place < last; place++) {
    const slot = place % table.pool.length, i = listing.lines[place], line = lines[i];
    table.places[slot] = place;
    drawLine(table.pool[slot], {
      tree, live, moment, steered, wanted: freezing.wanted(tree, line), line, open: isOpen(picture, look, listing, line, i), folds: folds(table, line), flat: listing.flat,
      around: !!listing.found && !listing.found.has(i), cursor: line.key === table.cursor, selected: !line.run && tree.paths[line.row] === selected, place, total,
    });
  }
  let active = null;
  table.pool.forEach(({ node }, slot) => {
    node.hidden = table.places[slot] < 0;
    if (!node.hidden && node.hasAttribute("data-cursor")) active = node.id;
  });
  attribute(grid, "aria-activedescendant", active);
}

/** Scroll to the line that is to be seen, if any. @param {Table} table @param {number} height */
function scrollToSee(table, height) {
  const { tree } = table.picture, { grid } = table.parts;
  if (!tree || !table.toSee) return;
  const at = table.listing.lines.findIndex((i) => tree.lines[i].key === table.toSee);
  const top = at < 0 ? null : scrolledTo(at, grid.scrollTop, height);
  if (top !== null) grid.scrollTop = top;
  table.toSee = "";
}

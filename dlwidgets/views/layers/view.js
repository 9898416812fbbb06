// The layer table: a tree that folds, of which only the lines in sight exist, with live numbers at their end.

import { live, wishes, listen, make, whole } from "../front.js";
import { after, copied, freezingOf, selectionOf, textOf } from "./choices.js";
import { LINE, keyLeads, toggled } from "./columns.js";
import { HEAD, columnsThere, drawColumns, drawHeads, drawLines, drawWords, elementsOf, folds } from "./drawing.js";
import { menu } from "./menu.js";
import { emptyPicture, flip, isOpen, letterOf, listLines, lookFrom, nextSort, readPicture, rowsListed, unfoldTo } from "./tree.js";

/** @typedef {import("./tree.js").Line} Line */
/** @typedef {import("./drawing.js").Table} Table */

/** How long it is said that something was copied [ms]. */
const SAID = 4000;

export default {
  /** @param {{model: import("../front.js").Model, el: HTMLElement, signal: AbortSignal}} view */
  render({ model, el, signal }) {
    el.classList.add("dlw", "dlw-layers");
    const table = tableOf(model, signal), { parts } = table;
    const columns = menu({ label: "Columns", title: "Which columns are shown", signal, items: () => columnItems(table) });
    const copies = menu({ label: "Copy", title: "Copy the columns shown, of every layer", signal, items: () => copyItems(table) });
    table.choose = columns.button;
    const freezes = menu({ label: "Freeze", title: "Freeze the marked layer, or all up to it", signal, items: () => freezeItems(table) });
    table.freezes = freezes.node;
    parts.tools.append(parts.found, parts.search, parts.all, freezes.node, columns.node, copies.node);
    el.replaceChildren(make("div", { class: "dlw-head" }, make("span", { class: "dlw-title", text: "Layers" }), parts.facts, parts.tools),
      parts.note, parts.grid, parts.empty, parts.measuring, parts.caveat);
    listenTo(table);
    table.repaint = live({ model, el, signal, draw: () => draw(table) });
  },
};

/** @param {import("../front.js").Model} model @param {AbortSignal} signal @returns {Table} */
function tableOf(model, signal) {
  const repaint = () => table.repaint(), want = wishes({ model, signal, repaint });
  /** @type {Table} */
  const table = {
    id: `dlw-lay-${Math.random().toString(36).slice(2)}`, model, signal, want, parts: elementsOf(), picture: emptyPicture(),
    // The folds and the sort are this page's own; the kernel keeps them for the next page.
    look: lookFrom(model.get("look")), listing: { of: "", lines: [], found: null, open: null, flat: false },
    selection: selectionOf(model, want), freezing: freezingOf(model, want, repaint, signal), cursor: "", toSee: "", followed: undefined,
    columns: [], room: 0, choose: null, freezes: null, fit: { of: [], columns: [], step: 0, width: () => 0 }, pool: [], places: [], said: { words: "", until: 0 }, repaint: () => {},
  };
  return table;
}

/** @param {Table} table */
function draw(table) {
  readPicture(table.picture, table.look, table.model);
  table.freezing.settle(table.picture.tree);
  const { path, own } = table.selection.now();
  if (table.picture.tree && path !== table.followed) {
    table.followed = path;
    // A layer that was selected elsewhere is shown.
    const line = own ? null : unfoldTo(table.picture, table.look, path);
    if (line) table.cursor = table.toSee = line.key;
  }
  table.listing = listLines(table.listing, table.picture, table.look, table.parts.search.value.trim());
  drawWords(table);
  if (!table.picture.tree) return;
  // Before the columns are measured: it may bring a scroll bar, which takes of their width.
  table.parts.body.style.height = `${table.listing.lines.length * LINE}px`;
  drawColumns(table, (key) => {
    table.look.sort = nextSort(table.look.sort, key);
    table.parts.grid.scrollTop = 0;
    keepLook(table);
  });
  drawHeads(table);
  drawLines(table);
}

// -- what a person does

/** Tell the kernel how this page looks at the table. @param {Table} table */
function keepLook(table) {
  const { sort, turned, chosen } = table.look;
  table.look.version += 1;
  table.want.call("look", { sort, turned: [...turned], columns: chosen });
  table.repaint();
}

/** Fold a line, or unfold it. @param {Table} table @param {Line} line */
function turn(table, line) {
  if (!folds(table, line)) return;
  flip(line.key, table.listing.open ? table.look.searched.turned : table.look.turned);
  if (!table.listing.open) { keepLook(table); return; }
  // Folds in what a search has found go with the search.
  table.look.version += 1;
  table.repaint();
}

/** @param {Table} table @param {Line} line */
function select(table, line) {
  table.cursor = line.key;
  if (table.picture.tree && !line.run) table.selection.select(table.picture.tree.paths[line.row]); else table.repaint();
}

/** Freeze a line, or let it train again; with `upTo` freeze all up to it. @param {Table} table @param {Line} line @param {boolean} upTo */
function freeze({ picture: { tree }, model, freezing }, line, upTo) {
  if (!tree || !model.get("about")?.live) return;
  if (upTo) freezing.upTo(tree, line); else freezing.toggle(tree, line);
}

/** @param {Table} table @returns {import("./menu.js").Item[]} */
function freezeItems(table) {
  const { picture: { tree }, cursor, followed } = table;
  const line = tree?.lines.find(({ key }) => key === cursor) ?? tree?.lines.find(({ row, run }) => !run && tree.paths[row] === followed);
  if (!tree || !line || line.parent < 0) return [{ text: "Mark a layer first", checked: null, title: "by a click on it, or with the arrow keys", pick: () => {} }];
  const name = tree.paths[line.row], trains = letterOf(tree, line) !== "n";
  return [
    { text: `${trains ? "Freeze" : "Unfreeze"} ${name}`, checked: null, title: "with all inside; the key F", pick: () => freeze(table, line, false) },
    { text: `Freeze up to ${name}`, checked: null, title: "it and all before it, in the order in which they run; the rest trains; the keys Shift+F", pick: () => freeze(table, line, true) },
    { text: "Unfreeze all", checked: null, title: "the whole model trains", pick: () => table.want.call("trainable", [[""], true]) },
  ];
}

/** @param {Table} table @returns {import("./menu.js").Item[]} */
function columnItems(table) {
  const there = columnsThere(table), shown = table.columns.map(({ key }) => key);
  const choose = (/** @type {string[] | null} */ keys) => { table.look.chosen = keys; keepLook(table); draw(table); };
  return [
    ...there.filter(({ key }) => key !== "layer").map(({ key, label, title }) => ({
      text: label, title, checked: shown.includes(key), pick: () => choose(toggled(there, shown, key)),
    })),
    { text: "the usual ones", title: "as many of them as fit the width", checked: table.look.chosen === null, pick: () => choose(null) },
  ];
}

/** @param {Table} table @returns {import("./menu.js").Item[]} */
function copyItems(table) {
  return ["CSV", "Markdown"].map((kind) => ({
    text: `Copy as ${kind}`, checked: null, title: "the columns shown, of every layer in this order (of those found, in a search)", pick: () => { void copy(table, kind); },
  }));
}

/** @param {Table} table @param {string} kind */
async function copy(table, kind) {
  const { model, want, signal, picture: { tree }, parts: { tools } } = table;
  if (!tree) return;
  const rows = rowsListed(tree, table.listing), coming = textOf(model, want, { kind, columns: table.columns.map(({ key }) => key), rows }, signal);
  tell(table, `copying ${whole(rows.length)} layers …`, Infinity);
  const done = await copied(coming, tools), why = await coming ? "the browser refuses" : "the kernel does not answer";
  if (done) tell(table, `${whole(rows.length)} layers copied as ${kind}`, SAID);
  else tell(table, `not copied: ${why}; to_${kind.toLowerCase()}() of this table gives the same`, 3 * SAID);
}

/** Say something for a while where the search says what it found. @param {Table} table @param {string} words @param {number} ms */
function tell(table, words, ms) {
  table.said = { words, until: performance.now() + ms };
  if (ms < Infinity) after(ms + 10, table.repaint, table.signal);
  table.repaint();
}

/** @param {Table} table */
function listenTo(table) {
  const { signal, parts: { grid, heads, body, all, search } } = table;
  listen(grid, "keydown", (event) => { if (event.target === grid && pressKey(table, event)) { event.preventDefault(); event.stopPropagation(); } }, signal);
  listen(heads, "keydown", moveInHeads, signal);
  listen(body, "click", (event) => clickLine(table, event), signal);
  listen(all, "click", () => {
    const { tree, opened } = table.picture;
    if (!tree) return;
    table.look.turned = all.dataset.unfold === "true" ? new Set(tree.lines.filter((line) => line.children.length && !opened.has(line.key)).map(({ key }) => key)) : new Set();
    keepLook(table);
  }, signal);
  listen(search, "input", () => { grid.scrollTop = 0; table.repaint(); }, signal);
  listen(grid, "scroll", () => table.repaint(), signal);
}

/** Do what a key in the tree means; false where it means nothing. @param {Table} table @param {KeyboardEvent} event */
function pressKey(table, event) {
  const { picture, look, listing, parts: { grid } } = table, { tree } = picture;
  if (!tree || event.ctrlKey || event.metaKey || event.altKey) return false;
  const lines = listing.lines.map((i) => tree.lines[i]), at = lines.findIndex(({ key }) => key === table.cursor);
  if (event.key === "Enter" || event.key === " ") {
    if (at >= 0) { if (lines[at].run) turn(table, lines[at]); else select(table, lines[at]); }
    return true;
  }
  if (event.key.toLowerCase() === "f") {
    if (at >= 0) freeze(table, lines[at], event.shiftKey);
    return true;
  }
  const seen = lines.map((line, place) => ({ level: listing.flat ? 1 : line.level, folds: folds(table, line), open: isOpen(picture, look, listing, line, listing.lines[place]) }));
  const leads = keyLeads(event.key, at, seen, Math.max(1, Math.floor((grid.clientHeight - HEAD) / LINE) - 1));
  if (!leads) return false;
  if ("turn" in leads) turn(table, lines[leads.turn]);
  else { table.toSee = lines[leads.to].key; select(table, lines[leads.to]); }
  return true;
}

/** Move the focus among the headings. @param {KeyboardEvent & {currentTarget: HTMLElement}} event */
function moveInHeads(event) {
  const buttons = [...event.currentTarget.querySelectorAll("button")], at = buttons.findIndex((button) => button === event.target);
  const to = buttons[at + ({ ArrowLeft: -1, ArrowRight: 1 }[event.key] ?? 0)];
  if (at < 0 || !to || to === event.target) return;
  buttons.forEach((button) => { button.tabIndex = button === to ? 0 : -1; });
  to.focus();
  event.preventDefault();
}

/** @param {Table} table @param {MouseEvent} event */
function clickLine(table, event) {
  const { tree } = table.picture, { grid } = table.parts, target = /** @type {Element} */ (event.target);
  const slot = table.pool.findIndex(({ node }) => node.contains(target));
  if (!tree || slot < 0 || table.places[slot] < 0) return;
  const line = tree.lines[table.listing.lines[table.places[slot]]], steers = target.closest(".dlw-lay-freeze");
  const turns = !steers && folds(table, line) && (line.run || target.closest(".dlw-lay-twist"));
  if (!steers && !turns) { select(table, line); return; }
  table.cursor = line.key;
  if (turns) { turn(table, line); return; }
  freeze(table, line, event.shiftKey);
  grid.focus({ preventScroll: true });
}

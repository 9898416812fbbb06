// The layer table: a tree that folds, of which only the lines in sight exist, with live numbers at their end.

import { live, wishes, listen, make, say, numbers, count, whole } from "../front.js";
import { foundLines, letterOf, lineOf, nextSort, openedAtFirst, pathsOf, readSort, seenLines, sortedLines, treeOf } from "./tree.js";
import { headline, measuredWords, together } from "./words.js";
import { COLUMNS, LINE, columnsFor, columnsOf, inSight, keyLeads, scrolledTo, toggled } from "./columns.js";
import { attribute, drawLine, lineParts } from "./row.js";
import { copied, csvOf, markdownOf } from "./text.js";
import { menu } from "./menu.js";

/** @typedef {import("./tree.js").Tree} Tree */
/** @typedef {import("./tree.js").Line} Line */
/** @typedef {import("./words.js").Live} Live */
/** @typedef {import("./columns.js").Column} Column */

/** From this many layers on a search is offered. */
const MANY = 12;
/** The height of the heading [px]; as in layers/view.css. */
const HEAD = 26;
/** How long it is said that something was copied, and how long an answer to a click is waited for [ms]. */
const SAID = 4000, ANSWER = 3000;
/** How long after a selection the kernel's word may be about an older one [ms]. */
const SETTLED = 1500;

export default {
  /** @param {{model: import("../front.js").Model, el: HTMLElement, signal: AbortSignal}} view */
  render({ model, el, signal }) {
    el.classList.add("dlw", "dlw-layers");
    const id = `dlw-lay-${Math.random().toString(36).slice(2)}`;

    const facts = make("span", { class: "dlw-lay-facts" }), found = make("span", { class: "dlw-small", role: "status" });
    const search = make("input", { type: "search", placeholder: "Find a layer", "aria-label": "Find layers by name or type" });
    const all = make("button", { type: "button" });
    const columnsMenu = menu({ label: "Columns", title: "Which columns are shown", signal, items: () => columnItems() });
    const copyMenu = menu({ label: "Copy", title: "Copy the columns shown, of every layer", signal, items: () => ["CSV", "Markdown"].map((kind) => ({
      text: `Copy as ${kind}`, checked: null, title: "the columns shown, of every layer in this order (of those found, in a search)", pick: () => { void copy(kind); },
    })) });
    const tools = make("span", { class: "dlw-lay-tools" }, found, search, all, columnsMenu.node, copyMenu.node);
    const note = make("div", { class: "dlw-note", role: "status" }), empty = make("div", { class: "dlw-empty" });
    const measuring = make("div", { class: "dlw-faint dlw-small dlw-lay-measured" });
    const caveat = make("div", { class: "dlw-faint dlw-small dlw-lay-caveat" });
    const heads = make("div", { role: "row", class: "dlw-lay-heads", "aria-rowindex": 1 });
    const body = make("div", { role: "rowgroup", class: "dlw-lay-body" });
    const grid = make("div", { role: "treegrid", class: "dlw-lay-grid", tabindex: 0, "aria-label": "Layers" }, make("div", { role: "rowgroup", class: "dlw-lay-top" }, heads), body);
    el.replaceChildren(make("div", { class: "dlw-head" }, make("span", { class: "dlw-title", text: "Layers" }), facts, tools), note, grid, empty, measuring, caveat);

    let tree = /** @type {Tree | null} */ (null), read = /** @type {any[]} */ ([]), opened = /** @type {Set<string>} */ (new Set());
    let measured = /** @type {{live: Live, of: any[]}} */ ({ live: { at: new Int32Array(0), stats: new Float32Array(0), sparks: new Uint8Array(0), points: 0, dead: new Map() }, of: [] });
    // The folds and the sort are this page's own; the kernel keeps them for the next page.
    const first = model.get("look") ?? {};
    let sort = String(first.sort ?? "tree"), turned = new Set(/** @type {string[]} */ (first.turned ?? []));
    let chosen = /** @type {string[] | null} */ (first.columns ?? null);
    let cursor = "", toSee = "", followed = /** @type {string | null | undefined} */ (undefined);
    // What this page selected stands until the kernel says something that did not come from here.
    let mine = /** @type {string | null} */ (null), heard = model.get("selected_layer"), asked = /** @type {Set<string>} */ (new Set());
    let selectedAt = -Infinity, heardAt = -Infinity;
    let listed = { of: "", lines: /** @type {number[]} */ ([]), found: /** @type {Set<number> | null} */ (null), open: /** @type {Set<number> | null} */ (null), flat: false };
    let shownColumns = { of: "", columns: /** @type {Column[]} */ ([]) };
    let pool = /** @type {ReturnType<typeof lineParts>[]} */ ([]), places = /** @type {number[]} */ ([]);
    let version = 0, searched = { query: "", turned: /** @type {Set<string>} */ (new Set()) };
    // What was asked to train or not, by path: until it is so, or was refused, or nothing came of it.
    let asking = /** @type {Map<string, {letter: string, until: number}>} */ (new Map());
    let told = "", toldUntil = 0;
    let again = () => {};
    const later = (/** @type {number} */ ms) => { const timer = window.setTimeout(() => again(), ms + 10); signal.addEventListener("abort", () => window.clearTimeout(timer), { once: true }); };
    const want = wishes({ model, signal, repaint: () => again() });

    /** @param {Line} line */
    const folds = (line) => line.children.length > 0 && !listed.flat;
    /** @param {Line} line @param {number} i */
    const isOpen = (line, i) => (listed.open ? listed.open.has(i) : line.children.length > 0 && opened.has(line.key) !== turned.has(line.key));
    const keepLook = () => { version += 1; want.call("look", { sort, turned: [...turned], columns: chosen }); again(); };
    /** @param {string} key @param {Set<string>} set */
    const flip = (key, set) => { if (!set.delete(key)) set.add(key); };
    /** @param {Line} line */
    const turn = (line) => {
      if (!folds(line)) return;
      // Folds in what a search has found go with the search.
      if (listed.open) { flip(line.key, searched.turned); version += 1; again(); return; }
      flip(line.key, turned);
      keepLook();
    };
    /** @param {Line} line */
    const select = (line) => {
      cursor = line.key;
      if (tree && !line.run) { mine = tree.paths[line.row]; asked.add(mine); selectedAt = performance.now(); want.set("selected_layer", mine); } else again();
    };

    /** @param {Line} line */
    const freeze = (line) => {
      if (!tree || !model.get("about")?.live) return;
      const letter = letterOf(tree, line), paths = pathsOf(tree, line), trains = (asking.get(paths[0])?.letter ?? letter) === "n";
      if (letter === "-") return;
      for (const path of paths) asking.set(path, { letter: trains ? "y" : "n", until: performance.now() + ANSWER });
      want.call("trainable", [paths, trains]);
      later(ANSWER);
      again();
    };

    /** What is asked for and not in force, by line. @param {Line} line */
    const wantedOf = (line) => (tree ? asking.get(pathsOf(tree, line)[0])?.letter ?? "" : "");

    const answered = () => {
      const { asked: waits, refused } = model.get("moment") ?? {};
      if (want.refusal || refused) asking.clear();
      asking.forEach(({ letter, until }, path) => {
        const at = tree ? lineOf(tree, path) : -1;
        if (at < 0 || tree?.trains[tree.lines[at].row] === letter || (!waits && performance.now() > until)) asking.delete(path);
      });
    };

    const columnItems = () => {
      const isLive = !!model.get("about")?.live, shown = shownColumns.columns.map(({ key }) => key);
      const choose = (/** @type {string[] | null} */ keys) => { chosen = keys; keepLook(); draw(); };
      return [
        ...columnsOf(isLive).filter(({ key }) => key !== "layer").map(({ key, label, title }) => ({
          text: label, title, checked: shown.includes(key), pick: () => choose(toggled(shown, key)),
        })),
        { text: "the usual ones", title: "as many of them as fit the width", checked: chosen === null, pick: () => choose(null) },
      ];
    };

    /** Every layer in the order shown; in a search, those found. */
    const rowsShown = () => {
      const { lines, rows } = /** @type {Tree} */ (tree), of = (/** @type {number} */ i) => lines[i].row;
      if (listed.flat) return listed.lines.map(of);
      return listed.found ? [...listed.found].map(of).sort((a, b) => a - b) : rows.map((_, i) => i);
    };

    const copy = async (/** @type {string} */ kind) => {
      if (!tree) return;
      const rows = rowsShown(), columns = shownColumns.columns.map(({ key }) => key);
      const done = await copied((kind === "CSV" ? csvOf : markdownOf)(tree, measured.live, columns, rows), el);
      told = done ? `${whole(rows.length)} layers copied as ${kind}` : `not copied: the browser refuses; to_${kind.toLowerCase()}() of this table gives the same`;
      toldUntil = performance.now() + SAID * (done ? 1 : 3);
      later(toldUntil - performance.now());
      again();
    };

    const readModel = () => {
      const of = ["rows", "sizes"].map((name) => model.get(name));
      if (of.some((value, i) => value !== read[i])) {
        read = of;
        tree = of[0]?.length ? treeOf(of[0], /** @type {Float64Array} */ (/** @type {unknown} */ (numbers(of[1], /** @type {any} */ (Float64Array)))), "") : null;
        opened = tree ? openedAtFirst(tree) : new Set();
        version += 1;
      }
      if (tree) tree.trains = model.get("trains") ?? "";
      const now = ["measured", "stats", "sparks", "dead"].map((name) => model.get(name));
      if (!tree || !now.some((bytes, i) => bytes !== measured.of[i])) return;
      const at = new Int32Array(tree.rows.length).fill(-1), points = model.get("moment")?.points ?? 0;
      numbers(now[0], Int32Array).forEach((row, place) => { at[row] = place; });
      const dead = new Map(), units = numbers(now[3], Int32Array);
      for (let i = 0; i < units.length; i += 4) dead.set(units[i], { dead: units[i + 1], units: units[i + 2], own: units[i + 3] === 1 });
      measured = { of: now, live: { dead, at, stats: numbers(now[1], Float32Array), sparks: numbers(now[2], Uint8Array), points } };
    };

    const list = () => {
      if (!tree) return;
      const query = search.value.trim(), flat = sort !== "tree", { stats } = measured.live;
      // An order by live numbers stands until somebody sorts again, or lines would jump under the eye.
      const of = [version, sort, query, flat && stats.length > 0].join("|");
      if (of === listed.of) return;
      if (flat) {
        const live = (/** @type {number} */ row) => {
          const { weight, grad, ratio } = together(measured.live, row, row + 1) ?? { weight: NaN, grad: NaN, ratio: NaN }, units = measured.live.dead.get(row);
          return { weight, grad, ratio, dead: units ? units.dead / Math.max(1, units.units) : NaN };
        };
        listed = { of, lines: sortedLines(tree, sort, query, live), found: null, open: null, flat };
      } else if (query) {
        if (query !== searched.query) searched = { query, turned: new Set() };
        const { list: lines, found: hits, open } = foundLines(tree, query, searched.turned);
        listed = { of, lines, found: hits, open, flat };
      } else {
        listed = { of, lines: [], found: null, open: null, flat };
        listed.lines = seenLines(tree, (line) => isOpen(line, -1));
      }
    };

    /** The path of the selected layer. @returns {string | null} */
    const selection = () => {
      const said = model.get("selected_layer") ?? null, now = performance.now();
      if (said !== heard) heardAt = now;
      if (want.refusal || (said !== heard && !asked.has(said))) mine = null;
      // The kernel's answer to an older selection may still be on its way, also where it said this one before:
      // only what it says later than that moves the cursor from under the keys.
      const settled = now - selectedAt > SETTLED;
      if (settled && said !== mine && heardAt > selectedAt && now - heardAt > SETTLED) mine = null;
      if (mine === null || (said === mine && settled)) asked.clear();
      heard = said;
      return mine ?? said;
    };

    const follow = () => {
      const selected = selection();
      if (!tree || selected === followed) return;
      followed = selected;
      if (selected === mine) return;
      const at = lineOf(tree, selected);
      if (at < 0) return;
      for (let up = tree.lines[at].parent; up >= 0; up = tree.lines[up].parent) {
        const { key } = tree.lines[up];
        if (opened.has(key) === turned.has(key)) { flip(key, turned); version += 1; }
      }
      cursor = toSee = tree.lines[at].key;
    };

    const drawColumns = () => {
      const { columns, template, needed } = columnsFor(Math.max(240, grid.clientWidth || 900) - 2, !!model.get("about")?.live, chosen);
      grid.style.setProperty("--dlw-lay-columns", template);
      grid.style.setProperty("--dlw-lay-needed", chosen ? `${needed}px` : "0");
      const of = columns.map(({ key }) => key).join();
      if (of === shownColumns.of) return;
      shownColumns = { of, columns };
      pool = [];
      body.replaceChildren();
      heads.replaceChildren(...columns.map(({ key, title, right }) => {
        const button = make("button", { type: "button", title: key === "spark" ? title : `${title}; click to sort`, tabindex: key === "layer" ? 0 : -1, disabled: key === "spark" });
        listen(button, "click", () => { sort = nextSort(sort, key); grid.scrollTop = 0; keepLook(); }, signal);
        return make("div", { role: "columnheader", class: `dlw-lay-cell dlw-lay-${key}`, "data-right": !!right }, button);
      }));
      attribute(grid, "aria-colcount", columns.length);
    };

    const drawHeads = () => {
      const { key: by, falling } = readSort(sort);
      shownColumns.columns.forEach(({ key, label }, i) => {
        const on = key === by;
        attribute(heads.children[i], "aria-sort", on ? (falling ? "descending" : "ascending") : "none");
        say(heads.children[i].children[0], label + (on ? (falling ? " ↓" : " ↑") : ""));
      });
    };

    const drawWords = () => {
      const about = model.get("about") ?? {}, some = !!tree, { key } = readSort(sort);
      const problem = model.get("problem"), head = some ? headline(about) : "";
      say(facts, head);
      attribute(facts, "title", some ? `${count(about.bytes, "B")} of parameters` : null);
      const { refused } = model.get("moment") ?? {};
      say(note, [problem, some ? about.error : "", want.refusal, refused && `Freezing was refused: ${refused}.`].filter(Boolean).join("\n"));
      say(caveat, some ? (about.remarks ?? []).join(" ") : "");
      const none = some && !listed.lines.length;
      say(empty, problem ? "" : none ? "No layer has all these words in its path, type or remark." : "The layers are being looked at.");
      empty.hidden = some && !none; grid.hidden = !some; caveat.hidden = !some;
      say(measuring, some ? measuredWords(model.get("moment") ?? {}, !!about.live) : "");
      measuring.hidden = !some || !about.live;
      if (!tree) { tools.hidden = true; return; }
      tools.hidden = false;
      search.hidden = tree.rows.length < MANY;
      const label = COLUMNS.find((column) => column.key === key)?.label;
      const hits = listed.found?.size ?? (search.value.trim() ? listed.lines.length : -1);
      say(found, performance.now() < toldUntil ? told : [hits >= 0 ? `${whole(hits)} of ${whole(tree.rows.length)}` : "", listed.flat ? `one by one, by ${label}` : ""].filter(Boolean).join(" · "));
      attribute(grid, "aria-label", `Layers of ${about.name ?? "the model"}`);
      const foldable = tree.lines.filter((line) => line.children.length > 0);
      const closed = foldable.some((line) => opened.has(line.key) === turned.has(line.key));
      all.hidden = listed.flat || !!listed.open || (!closed && !turned.size);
      all.dataset.unfold = String(closed);
      say(all, closed ? "Unfold all" : "Fold");
    };

    const drawLines = () => {
      if (!tree) return;
      const { lines } = tree, total = listed.lines.length, height = Math.max(LINE, grid.clientHeight - HEAD), selected = followed ?? null, moment = model.get("moment") ?? {};
      attribute(grid, "aria-rowcount", total + 1);
      if (toSee) {
        const at = listed.lines.findIndex((i) => lines[i].key === toSee);
        const top = at < 0 ? null : scrolledTo(at, grid.scrollTop, height);
        if (top !== null) grid.scrollTop = top;
        toSee = "";
      }
      const { first: from, last: to } = inSight(grid.scrollTop, height, total);
      while (pool.length < to - from) { const parts = lineParts(shownColumns.columns, `${id}-${pool.length}`); pool.push(parts); body.append(parts.node); }
      places = pool.map(() => -1);
      for (let place = from; place < to; place++) {
        // Each line keeps its elements while it is in sight, so that a scroll writes only what comes in.
        const slot = place % pool.length;
        places[slot] = place;
        const i = listed.lines[place], line = lines[i];
        drawLine(pool[slot], {
          tree, live: measured.live, moment, steered: !!model.get("about")?.live, wanted: wantedOf(line), line, open: isOpen(line, i), folds: folds(line), flat: listed.flat,
          around: !!listed.found && !listed.found.has(i), cursor: line.key === cursor,
          selected: !line.run && tree.paths[line.row] === selected, place, total,
        });
      }
      let active = null;
      pool.forEach(({ node }, slot) => {
        node.hidden = places[slot] < 0;
        if (!node.hidden && node.hasAttribute("data-cursor")) active = node.id;
      });
      attribute(grid, "aria-activedescendant", active);
    };

    const draw = () => {
      readModel();
      answered();
      follow();
      list();
      drawWords();
      if (!tree) return;
      // Before the columns are measured: it may bring a scroll bar, which takes of their width.
      body.style.height = `${listed.lines.length * LINE}px`;
      drawColumns();
      drawHeads();
      drawLines();
    };

    listen(grid, "keydown", (/** @type {KeyboardEvent} */ event) => {
      if (!tree || event.target !== grid || event.ctrlKey || event.metaKey || event.altKey) return;
      const lines = listed.lines.map((i) => /** @type {Tree} */ (tree).lines[i]), at = lines.findIndex(({ key }) => key === cursor);
      if (event.key === "Enter" || event.key === " ") {
        if (at >= 0) { if (lines[at].run) turn(lines[at]); else select(lines[at]); }
      } else if (event.key.toLowerCase() === "f" && !event.shiftKey) {
        if (at >= 0) freeze(lines[at]);
      } else {
        const seen = lines.map((line, place) => ({ level: listed.flat ? 1 : line.level, folds: folds(line), open: isOpen(line, listed.lines[place]) }));
        const leads = keyLeads(event.key, at, seen, Math.max(1, Math.floor((grid.clientHeight - HEAD) / LINE) - 1));
        if (!leads) return;
        if ("turn" in leads) turn(lines[leads.turn]);
        else { toSee = lines[leads.to].key; select(lines[leads.to]); }
      }
      event.preventDefault();
      event.stopPropagation();
    }, signal);
    listen(heads, "keydown", (/** @type {KeyboardEvent} */ event) => {
      const buttons = /** @type {HTMLElement[]} */ ([...heads.querySelectorAll("button")]), at = buttons.indexOf(/** @type {HTMLElement} */ (event.target));
      const to = buttons[at + ({ ArrowLeft: -1, ArrowRight: 1 }[event.key] ?? 0)];
      if (at < 0 || !to || to === event.target) return;
      buttons.forEach((button) => { button.tabIndex = button === to ? 0 : -1; });
      to.focus();
      event.preventDefault();
    }, signal);
    listen(body, "click", (/** @type {MouseEvent} */ event) => {
      const target = /** @type {Element} */ (event.target), slot = pool.findIndex(({ node }) => node.contains(target));
      if (!tree || slot < 0 || places[slot] < 0) return;
      const line = tree.lines[listed.lines[places[slot]]];
      if (target.closest(".dlw-lay-freeze")) { cursor = line.key; freeze(line); grid.focus({ preventScroll: true }); return; }
      if (folds(line) && (line.run || target.closest(".dlw-lay-twist"))) { cursor = line.key; turn(line); } else select(line);
    }, signal);
    listen(all, "click", () => {
      if (!tree) return;
      turned = all.dataset.unfold === "true" ? new Set(tree.lines.filter((line) => line.children.length && !opened.has(line.key)).map(({ key }) => key)) : new Set();
      keepLook();
    }, signal);
    listen(search, "input", () => { grid.scrollTop = 0; again(); }, signal);
    listen(grid, "scroll", () => again(), signal);
    again = live({ model, el, signal, draw });
  },
};

// The layer table: a tree that folds, of which only the lines in sight exist, with live numbers at their end.

import { live, wishes, listen, make, say, numbers, count, whole } from "./front.js";
import { SIZES, foundLines, lineOf, nameOf, nextSort, openedAtFirst, readSort, seenLines, shownBy, sizeOf, sortedLines, treeOf } from "./layers_tree.js";
import {
  cell, gradText, headline, markWords, ratioText, shownIn, sparkPath, sparkWords, together, trainsSign, waitingWords,
} from "./layers_words.js";
import { COLUMNS, LINE, SPARK, columnsFor, inSight, keyLeads, scrolledTo } from "./layers_columns.js";

/** @typedef {import("./layers_tree.js").Tree} Tree */
/** @typedef {import("./layers_tree.js").Line} Line */
/** @typedef {import("./layers_words.js").Live} Live */
/** @typedef {import("./layers_columns.js").Column} Column */

/** From this many layers on a search is offered. */
const MANY = 12;
/** The height of the heading [px]; as in layers.css. */
const HEAD = 26;
const SVG = "http://www.w3.org/2000/svg";

/** @param {Element} node @param {string} name @param {string | number | null} value null takes it away */
function attribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
}

/** One line's elements, reused for whatever line is in sight. @param {Column[]} columns @param {string} id */
function lineParts(columns, id) {
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

export default {
  /** @param {{model: import("./front.js").Model, el: HTMLElement, signal: AbortSignal}} view */
  render({ model, el, signal }) {
    el.classList.add("dlw", "dlw-layers");
    const id = `dlw-lay-${Math.random().toString(36).slice(2)}`;

    const facts = make("span", { class: "dlw-lay-facts" }), found = make("span", { class: "dlw-small", role: "status" });
    const search = make("input", { type: "search", placeholder: "Find a layer", "aria-label": "Find layers by name or type" });
    const all = make("button", { type: "button" });
    const tools = make("span", { class: "dlw-lay-tools" }, found, search, all);
    const note = make("div", { class: "dlw-note", role: "status" }), empty = make("div", { class: "dlw-empty" });
    const caveat = make("div", { class: "dlw-faint dlw-small dlw-lay-caveat" });
    const heads = make("div", { role: "row", class: "dlw-lay-heads", "aria-rowindex": 1 });
    const body = make("div", { role: "rowgroup", class: "dlw-lay-body" });
    const grid = make("div", { role: "treegrid", class: "dlw-lay-grid", tabindex: 0, "aria-label": "Layers" }, make("div", { role: "rowgroup", class: "dlw-lay-top" }, heads), body);
    el.replaceChildren(make("div", { class: "dlw-head" }, make("span", { class: "dlw-title", text: "Layers" }), facts, tools), note, empty, grid, caveat);

    let tree = /** @type {Tree | null} */ (null), read = /** @type {any[]} */ ([]), opened = /** @type {Set<string>} */ (new Set());
    let measured = /** @type {{live: Live, of: any[]}} */ ({ live: { at: new Int32Array(0), stats: new Float32Array(0), sparks: new Uint8Array(0), points: 0 }, of: [] });
    // The folds and the sort are this page's own; the kernel keeps them for the next page.
    const first = model.get("look") ?? {};
    let sort = String(first.sort ?? "tree"), turned = new Set(/** @type {string[]} */ (first.turned ?? []));
    let cursor = "", toSee = "", followed = /** @type {string | null | undefined} */ (undefined);
    // What this page selected stands until the kernel says something that did not come from here.
    let mine = /** @type {string | null} */ (null), heard = model.get("selected_layer"), asked = /** @type {Set<string>} */ (new Set());
    let listed = { of: "", lines: /** @type {number[]} */ ([]), found: /** @type {Set<number> | null} */ (null), open: /** @type {Set<number> | null} */ (null), flat: false };
    let shownColumns = { of: "", columns: /** @type {Column[]} */ ([]) };
    let pool = /** @type {ReturnType<typeof lineParts>[]} */ ([]), places = /** @type {number[]} */ ([]);
    let version = 0, searched = { query: "", turned: /** @type {Set<string>} */ (new Set()) };
    let again = () => {};
    const want = wishes({ model, signal, repaint: () => again() });

    /** @param {Line} line */
    const folds = (line) => line.children.length > 0 && !listed.flat;
    /** @param {Line} line @param {number} i */
    const isOpen = (line, i) => (listed.open ? listed.open.has(i) : line.children.length > 0 && opened.has(line.key) !== turned.has(line.key));
    const keepLook = () => { version += 1; want.call("look", { sort, turned: [...turned] }); again(); };
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
      if (tree && !line.run) { mine = tree.paths[line.row]; asked.add(mine); want.set("selected_layer", mine); } else again();
    };

    const readModel = () => {
      const of = ["rows", "sizes", "trains"].map((name) => model.get(name));
      if (of.some((value, i) => value !== read[i])) {
        read = of;
        tree = of[0]?.length ? treeOf(of[0], /** @type {Float64Array} */ (/** @type {unknown} */ (numbers(of[1], /** @type {any} */ (Float64Array)))), of[2] ?? "") : null;
        opened = tree ? openedAtFirst(tree) : new Set();
        version += 1;
      }
      const now = ["measured", "stats", "sparks"].map((name) => model.get(name));
      if (!tree || !now.some((bytes, i) => bytes !== measured.of[i])) return;
      const at = new Int32Array(tree.rows.length).fill(-1), points = model.get("moment")?.points ?? 0;
      numbers(now[0], Int32Array).forEach((row, place) => { at[row] = place; });
      measured = { of: now, live: { at, stats: numbers(now[1], Float32Array), sparks: numbers(now[2], Uint8Array), points } };
    };

    const list = () => {
      if (!tree) return;
      const query = search.value.trim(), flat = sort !== "tree", { stats } = measured.live;
      // An order by live numbers stands until somebody sorts again, or lines would jump under the eye.
      const of = [version, sort, query, flat && stats.length > 0].join("|");
      if (of === listed.of) return;
      if (flat) {
        const live = (/** @type {number} */ row) => together(measured.live, row, row + 1) ?? { grad: NaN, ratio: NaN };
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
      const said = model.get("selected_layer") ?? null;
      if (want.refusal || (said !== heard && !asked.has(said))) mine = null;
      if (said === mine || mine === null) asked.clear();
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
      const { columns, template } = columnsFor(Math.max(240, grid.clientWidth || 900) - 2, !!model.get("about")?.live);
      grid.style.setProperty("--dlw-lay-columns", template);
      const of = columns.map(({ key }) => key).join();
      if (of === shownColumns.of) return;
      shownColumns = { of, columns };
      pool = [];
      body.replaceChildren();
      heads.replaceChildren(...columns.map(({ key, title, right }) => {
        const button = make("button", { type: "button", title: `${title}; click to sort`, tabindex: key === "layer" ? 0 : -1 });
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
      say(note, [problem, some ? about.error : "", want.refusal].filter(Boolean).join("\n"));
      say(caveat, some ? (about.remarks ?? []).join(" ") : "");
      say(empty, problem ? "" : "The layers are being looked at.");
      empty.hidden = some; grid.hidden = !some; caveat.hidden = !some;
      if (!tree) { tools.hidden = true; return; }
      tools.hidden = false;
      search.hidden = tree.rows.length < MANY;
      const label = COLUMNS.find((column) => column.key === key)?.label;
      const hits = listed.found?.size ?? (search.value.trim() ? listed.lines.length : -1);
      say(found, [hits >= 0 ? `${whole(hits)} of ${whole(tree.rows.length)}` : "", listed.flat ? `one by one, by ${label}` : ""].filter(Boolean).join(" · "));
      attribute(grid, "aria-label", `Layers of ${about.name ?? "the model"}`);
      const foldable = tree.lines.filter((line) => line.children.length > 0);
      const closed = foldable.some((line) => opened.has(line.key) === turned.has(line.key));
      all.hidden = listed.flat || !!listed.open || (!closed && !turned.size);
      all.dataset.unfold = String(closed);
      say(all, closed ? "Unfold all" : "Fold");
    };

    /** @param {number} place @param {ReturnType<typeof lineParts>} parts @param {string | null} selected */
    const drawLine = (place, { node, cells, twist, name, bar, params, svg, spark }, selected) => {
      if (!tree) return;
      const i = listed.lines[place], line = tree.lines[i], open = isOpen(line, i), row = shownBy(tree, line, open);
      const [, , kind, detail, output, remark] = tree.rows[row], path = tree.paths[line.row], has = tree.sizes[SIZES * line.row] > 0;
      const many = line.times > 1 && !open ? `${whole(line.times)} alike: ` : "", told = [kind, detail].filter(Boolean).join(" ");
      attribute(node, "aria-rowindex", place + 2);
      attribute(node, "aria-level", listed.flat ? 1 : line.level);
      attribute(node, "aria-setsize", listed.flat ? listed.lines.length : line.parent < 0 ? 1 : tree.lines[line.parent].children.length);
      attribute(node, "aria-posinset", listed.flat ? place + 1 : line.place + 1);
      attribute(node, "aria-expanded", folds(line) ? String(open) : null);
      attribute(node, "aria-selected", String(!line.run && path === selected));
      node.toggleAttribute("data-cursor", line.key === cursor);
      node.toggleAttribute("data-failed", remark.startsWith("fail"));
      node.toggleAttribute("data-around", !!listed.found && !listed.found.has(i));
      node.style.transform = `translateY(${place * LINE}px)`;

      say(twist, folds(line) ? (open ? "▾" : "▸") : "");
      say(name, listed.flat ? path || tree.rows[line.row][0] : nameOf(tree, line, open));
      cells.layer.style.paddingLeft = `${listed.flat ? 0 : 14 * (line.level - 1)}px`;
      attribute(cells.layer, "title", [path || tree.rows[line.row][0], `${many}${told}`, remark].filter(Boolean).join("\n"));
      if (cells.type) {
        const words = [line.parent < 0 ? "" : told, remark && `(${remark})`].filter(Boolean).join(" ");
        say(cells.type, words);
        attribute(cells.type, "title", many + [told, remark].filter(Boolean).join(", "));
      }
      if (cells.output) { say(cells.output, output); attribute(cells.output, "title", output); }
      const weights = sizeOf(tree, line, 0);
      say(params, has ? cell(weights) : listed.flat || !line.children.length ? "0" : "");
      attribute(cells.params, "title", `${whole(weights)} parameters`);
      bar.style.width = `${tree.sizes[0] ? Math.ceil(38 * Math.min(1, weights / tree.sizes[0])) : 0}px`;
      if (cells.macs) { const n = sizeOf(tree, line, 1); say(cells.macs, n ? cell(n) : ""); attribute(cells.macs, "title", n ? `${whole(n)} MACs` : ""); }
      if (cells.activations) { const n = sizeOf(tree, line, 2); say(cells.activations, n ? cell(n, "B") : ""); attribute(cells.activations, "title", n ? `${whole(n)} bytes` : ""); }
      const letter = tree.trains[line.row] ?? "-", [sign, words] = trainsSign(letter);
      if (cells.trains) { say(cells.trains, sign); attribute(cells.trains, "title", words); attribute(cells.trains, "aria-label", words); cells.trains.dataset.letter = letter; }
      if (!cells.ratio) return;

      const shown = shownIn(tree, measured.live, line, open || listed.flat), moment = model.get("moment") ?? {};
      // A line that is open leaves it to those inside it, unless it has weights of its own.
      const waits = has && !shown && (!open || listed.flat), why = waits ? waitingWords(moment.status, letter) : markWords(shown, tree, measured.live);
      for (const key of ["grad", "ratio"]) {
        if (!cells[key]) continue;
        say(cells[key], waits ? "–" : key === "grad" ? gradText(shown) : ratioText(shown));
        attribute(cells[key], "title", why);
        const marked = shown && (key === "ratio" || shown.mark === "broken") ? shown.mark : "";
        attribute(cells[key], "data-mark", marked || null);
        attribute(cells[key], "aria-label", marked ? `${cells[key].textContent}, ${why}` : null);
      }
      if (!cells.spark) return;
      const d = shown ? sparkPath(measured.live, shown.places, SPARK.width, SPARK.height) : "";
      attribute(spark, "d", d);
      const said = d && shown ? sparkWords(measured.live, shown.places, moment) : "";
      attribute(cells.spark, "title", said);
      attribute(svg, "aria-label", said || "no history yet");
    };

    const drawLines = () => {
      if (!tree) return;
      const total = listed.lines.length, height = Math.max(LINE, grid.clientHeight - HEAD), selected = followed ?? null;
      attribute(grid, "aria-rowcount", total + 1);
      body.style.height = `${total * LINE}px`;
      if (toSee) {
        const at = listed.lines.findIndex((i) => /** @type {Tree} */ (tree).lines[i].key === toSee);
        const top = at < 0 ? null : scrolledTo(at, grid.scrollTop, Math.max(LINE, grid.clientHeight - HEAD));
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
        drawLine(place, pool[slot], selected);
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
      follow();
      list();
      drawWords();
      if (!tree) return;
      drawColumns();
      drawHeads();
      drawLines();
    };

    listen(grid, "keydown", (/** @type {KeyboardEvent} */ event) => {
      if (!tree || event.target !== grid || event.ctrlKey || event.metaKey || event.altKey) return;
      const lines = listed.lines.map((i) => /** @type {Tree} */ (tree).lines[i]), at = lines.findIndex(({ key }) => key === cursor);
      if (event.key === "Enter" || event.key === " ") {
        if (at >= 0) { if (lines[at].run) turn(lines[at]); else select(lines[at]); }
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

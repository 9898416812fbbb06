// The table of the confusion grid: averages on top, then a row a class, each metric with its 95 % interval.
import { listen, make, say } from "../front.js";
import { nameCutter } from "./names.js";
import { readSort } from "./order.js";
import { nameFor } from "./plot.js";
import { interval, position, share, short, written } from "./words.js";
/** @import { Metric, Metrics } from "./metrics.js" */
/** @import { Picture, Hands } from "./tiles.js" */

/** The height of a row; as in confusion/view.css. The widths of the names, a letter of a heading, a value, a count, an interval beside a value [px]. */
const TABLE = { row: 23, name: 104, letter: 6.4, value: 46, count: 64, interval: 47 };

/** How wide the table wants to be. @param {Metrics} metrics @param {Metric[]} columns @param {boolean} intervals @param {boolean} each
 * @param {string} [extra] a last column, "unknown": how many labels are, or "AP", the average precision of boxes */
export function widthOf(metrics, columns, intervals, each, extra = "") {
  const keys = [...(each ? ["threshold"] : []), ...columns, ...(extra ? [extra] : [])];
  return keys.reduce((sum, key) => sum + columnOf(metrics, key, intervals), TABLE.name);
}
/** A column holds its heading, with the arrow of an order, and its values. @param {Metrics} metrics @param {string} key @param {boolean} intervals */
function columnOf(metrics, key, intervals) {
  const values = (key === "unknown" || metrics.isCount(key) ? TABLE.count : TABLE.value) + (intervals && metrics.hasInterval(key) ? TABLE.interval : 0);
  return Math.round(Math.max(values, TABLE.letter * (metrics.label(key).length + 2) + 8));
}

/** The table of all classes; a click on a heading sorts, on a row pins.
 * @param {Hands & {metrics: Metrics, sortBy: (key: string) => void}} hands */
export function classTable({ metrics, point, pin, sortBy, signal }) {
  const colgroup = make("colgroup"), heading = make("tr"), macro = make("tr"), micro = make("tr"), body = make("tbody");
  const inner = make("table", {}, colgroup, make("thead", {}, heading, macro, micro), body);
  const node = make("div", { class: "dlw-conf-table", tabindex: 0, role: "region", "aria-label": "Metrics of each class" }, inner);
  let rows = /** @type {{row: HTMLElement, parts: HTMLElement[]}[]} */ ([]), heads = /** @type {HTMLElement[]} */ ([]);
  let listed = /** @type {number[]} */ ([]), keys = /** @type {string[]} */ ([]), wide = false, from = 0;
  const cut = nameCutter();
  // What is scrolled out of sight has its height, and no rows: a browser lays out every row of a table again and again.
  const above = make("tr", { "aria-hidden": "true" }), below = make("tr", { "aria-hidden": "true" });

  /** @param {string} key @param {boolean} [head] */
  const cell = (key, head = false) => make(/** @type {"td"} */ (key === "name" ? "th" : "td"),
    { ...(key === "name" && !head ? { scope: "row" } : {}), "data-wide": wide && metrics.hasInterval(key) }, make("span", key === "name" ? { dir: "auto" } : {}), make("small"));
  /** @param {Element} part @param {string} value @param {string} ends */
  const fillCell = (part, value, ends) => { say(part.children[0], value); say(part.children[1], ends); };

  /** Make the columns anew, where they are others. @param {Metric[]} columns @param {boolean} intervals @param {boolean} each @param {string} extra */
  function build(columns, intervals, each, extra) {
    const wanted = ["name", ...(each ? ["threshold"] : []), ...columns, ...(extra ? [extra] : [])];
    if (`${wanted} ${intervals}` === `${keys} ${wide}`) return;
    keys = wanted;
    wide = intervals;
    colgroup.replaceChildren(...keys.map((key) => make("col", { style: key === "name" ? "" : `width: ${columnOf(metrics, key, intervals)}px` })));
    heads = keys.map((key) => {
      const button = make("button", { type: "button" });
      if (key !== "unknown" && key !== "AP") listen(button, "click", () => sortBy(key), signal);
      return make("th", { scope: "col" }, button);
    });
    heading.replaceChildren(...heads);
    [macro, micro].forEach((row) => row.replaceChildren(...keys.map((key) => cell(key, true))));
    body.replaceChildren(above, below);
    rows = [];
    inner.style.minWidth = `${widthOf(metrics, columns, intervals, each, extra)}px`;
  }
  function add() {
    const i = rows.length, parts = keys.map((key) => cell(key)), row = make("tr", {}, ...parts);
    rows.push({ row, parts });
    below.before(row);
    listen(row, "pointerenter", () => point({ c: listed[from + i], cell: -1 }), signal);
    listen(row, "pointerleave", () => point(null), signal);
    listen(row, "click", () => pin(listed[from + i], -1), signal);
  }

  /** @param {Picture} picture @param {number[]} classes @param {{top: number, tall: number}} seen
   * @param {{columns: Metric[], intervals: boolean, width: number}} wanted */
  function draw({ names, cells, limits, sort, pinned, each, samples, boxes, precisions }, classes, { top, tall }, { columns, intervals, width }) {
    listed = classes;
    const font = `12px ${getComputedStyle(node).fontFamily}`;
    const { key: by, falling } = readSort(sort);
    const unknown = names.map((_, c) => samples - cells[4 * c] - cells[4 * c + 1] - cells[4 * c + 2] - cells[4 * c + 3]);
    const extra = boxes ? "AP" : unknown.some((n) => n > 0) ? "unknown" : "", room = TABLE.name - 8 + Math.max(0, width - widthOf(metrics, columns, intervals, each, extra));
    build(columns, intervals, each, extra);
    heads.forEach((head, i) => {
      const on = keys[i] === by;
      if (on) head.setAttribute("aria-sort", falling ? "descending" : "ascending"); else head.removeAttribute("aria-sort");
      say(head.children[0], (keys[i] === "name" ? "class" : metrics.label(keys[i])) + (on ? (falling ? " ↓" : " ↑") : ""));
    });
    const averages = keys.map((key) => metrics.average(key, cells));
    for (const [name, row] of Object.entries({ macro, micro })) {
      row.hidden = names.length === 1;
      keys.forEach((key, j) => {
        const known = precisions.filter((one) => one !== null), mean = known.reduce((sum, one) => sum + one, 0) / known.length;
        const value = key === "name" ? name : key === "AP" && name === "macro" ? share(mean) : metrics.has(key) ? written(metrics, key, averages[j][/** @type {"macro"} */ (name)]) : "";
        fillCell(row.children[j], value, "");
      });
    }
    from = Math.max(0, Math.min(listed.length, Math.floor(top / TABLE.row) - 6));
    const until = Math.min(listed.length, Math.ceil((top + tall) / TABLE.row) + 6), count = until - from;
    above.style.height = `${from * TABLE.row}px`;
    below.style.height = `${(listed.length - until) * TABLE.row}px`;
    above.hidden = from === 0;
    below.hidden = until === listed.length;
    inner.setAttribute("aria-rowcount", String(listed.length + 3));
    while (rows.length < count) add();
    rows.forEach(({ row, parts }, i) => {
      row.hidden = i >= count;
      if (row.hidden) return;
      const c = listed[from + i];
      row.setAttribute("aria-rowindex", String(from + i + 4));
      row.toggleAttribute("data-chosen", c === pinned);
      if (parts[0].title !== names[c]) { parts[0].title = names[c]; nameFor(parts[0], names[c]); }
      keys.forEach((key, j) => {
        if (key === "name") fillCell(parts[j], cut(names[c], names, room, font), "");
        else if (key === "threshold") fillCell(parts[j], position(limits[c]), "");
        else if (key === "AP") fillCell(parts[j], share(precisions[c] ?? NaN), "");
        else if (key === "unknown") fillCell(parts[j], short(unknown[c], 7), "");
        else fillCell(parts[j], written(metrics, key, metrics.value(key, cells, 4 * c), 7), intervals ? interval(metrics.interval(key, cells, 4 * c)) : "");
      });
    });
  }
  return { node, draw };
}

/** The menu that chooses the columns. @param {{metrics: Metrics, choose: (change: {columns?: Metric[],
 * intervals?: boolean}) => void, signal: AbortSignal}} hands */
export function columnMenu({ metrics, choose, signal }) {
  const boxes = metrics.names.map(([key, text]) => ({ key, box: make("input", { type: "checkbox" }), text }));
  const ends = make("input", { type: "checkbox" });
  const summary = make("summary", { text: "Columns" });
  const node = make("details", { class: "dlw-conf-menu" }, summary, make("div", {},
    ...boxes.map(({ box, text }) => make("label", {}, box, text)), make("hr"), make("label", {}, ends, "95 % intervals (Wilson)")));
  const chosen = () => boxes.filter(({ box }) => box.checked).map(({ key }) => key);
  boxes.forEach(({ box }) => listen(box, "change", () => {
    // A table without a column would say nothing.
    if (!chosen().length) box.checked = true;
    choose({ columns: chosen() });
  }, signal));
  listen(ends, "change", () => choose({ intervals: ends.checked }), signal);
  const shut = (/** @type {boolean} */ back) => { if (node.open) { node.open = false; if (back) summary.focus(); } };
  listen(node, "keydown", (/** @type {KeyboardEvent} */ event) => { if (event.key === "Escape") { shut(true); event.stopPropagation(); } }, signal);
  listen(node.ownerDocument, "pointerdown", (event) => { if (!node.contains(event.target)) shut(false); }, signal);

  function draw(/** @type {{columns: Metric[], intervals: boolean}} */ { columns, intervals }) {
    for (const { key, box } of boxes) box.checked = columns.includes(key);
    ends.checked = intervals;
  }
  return { node, draw };
}

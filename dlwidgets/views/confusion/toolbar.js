// The bar of the confusion grid: what is shown, in which shade and order, of which classes; part of it stands in the first row.
import { listen, make, makeChoice, say } from "../front.js";
import { NORMALISE } from "./counts.js";
import { sortWords, readSort, sortsOf } from "./order.js";
/** @import { Metric, Metrics } from "./metrics.js" */
/** @import { Filter } from "./order.js" */

/** What is looked at and how, as the kernel keeps it. @typedef {{sort: string, table: boolean, normalise: string,
 * filter: Filter | null, each: boolean | null, matrix: boolean, columns: Metric[], intervals: boolean, more: boolean}} Look */

/** The filter that a metric begins with: what one would look for first. @param {Metrics} metrics @param {Metric} metric @returns {Filter} */
export function firstFilter(metrics, metric) {
  if (metric === "predicted") return { metric, side: "below", value: 1 };
  return metrics.isCount(metric) ? { metric, side: "least", value: 10 } : { metric, side: "below", value: 0.5 };
}

/** @param {{metrics: Metrics, choose: (change: Partial<Look>) => void, sortBy: (sort: string) => void, again: () => void,
 * searched: () => void, look: () => Look, extra: Node, signal: AbortSignal}} hands */
export function gridBar({ metrics, choose, sortBy, again, searched, look, extra, signal }) {
  /** @param {string} label @param {readonly (readonly [string, string])[]} options */
  const select = (label, options) => make("select", { "aria-label": label }, ...options.map(([value, text]) => make("option", { value, text })));
  const shade = select("Shade", /** @type {[string, string][]} */ (NORMALISE)), sorts = select("Sort by", sortsOf(metrics));
  const turn = make("button", { type: "button" });
  const renew = make("button", { type: "button", text: "↻", "aria-label": "Sort again" });
  const metric = select("Show", [["", "all classes"], ["never", "never predicted"], ...metrics.names]);
  const side = select("Below or at least", [["below", "below"], ["least", "at least"]]);
  const value = make("input", { type: "number", step: "any", "aria-label": "Value of the filter" });
  const search = make("input", { type: "search", placeholder: "Find a class", "aria-label": "Find a class" });
  const found = make("span", { class: "dlw-faint", role: "status" });
  const toggle = make("button", { type: "button", text: "Table" });
  const views = makeChoice("What is shown", [["tiles", "tiles", "each class against the rest"], ["matrix", "matrix", "what was said in place of what"]], (key) => choose({ matrix: key === "matrix" }), signal);
  const [sorting, turning, showing] = [["sorted by", sorts], ["Order", turn], ["Show", metric, side, value]]
    .map((parts) => make("span", { class: "dlw-conf-set" }, ...parts));
  const node = make("div", { class: "dlw-conf-bar" }, make("label", {}, "Shade", shade), turning, showing, toggle, extra, search);

  listen(shade, "change", () => choose({ normalise: shade.value }), signal);
  listen(sorts, "change", () => sortBy(sorts.value), signal);
  listen(turn, "click", () => { const { key, falling } = readSort(look().sort); sortBy(falling ? key : `-${key}`); }, signal);
  listen(renew, "click", again, signal);
  listen(toggle, "click", () => choose({ table: !look().table }), signal);
  listen(search, "input", searched, signal);
  listen(metric, "change", () => {
    const key = metric.value === "never" ? "predicted" : metric.value;
    choose({ filter: key ? firstFilter(metrics, key) : null });
  }, signal);
  for (const part of [side, value]) listen(part, "change", () => {
    const filter = look().filter, number = Number(value.value);
    if (filter && value.value !== "" && Number.isFinite(number)) choose({ filter: { ...filter, side: side.value === "least" ? "least" : "below", value: number } });
  }, signal);

  /** @param {{task: string, classes: number, many: boolean, inPlace: boolean, count: string}} now */
  function draw({ task, classes, many, inPlace, count }) {
    const { sort, table, normalise, filter, matrix } = look(), { key } = readSort(sort);
    views.node.hidden = task !== "multiclass";
    views.show(matrix ? "matrix" : "tiles");
    shade.value = normalise;
    sorts.value = key;
    say(turn, sortWords(sort));
    // It keeps its place, so that the row stays as it is while the numbers change.
    renew.style.visibility = inPlace || classes === 1 ? "hidden" : "";
    renew.disabled = inPlace;
    renew.title = "Sort and filter again: the numbers have changed since";
    toggle.setAttribute("aria-pressed", String(table));
    const never = filter?.metric === "predicted" && filter.side === "below" && filter.value === 1;
    metric.value = never ? "never" : filter?.metric ?? "";
    side.hidden = value.hidden = !filter || never;
    if (filter) side.value = filter.side;
    if (filter && node.ownerDocument.activeElement !== value && value.value !== String(filter.value)) value.value = String(filter.value);
    sorting.hidden = turning.hidden = classes === 1;
    showing.hidden = classes === 1 || matrix;
    search.hidden = !many || matrix;
    found.hidden = matrix || !count;
    say(found, matrix ? "" : count);
  }
  return { node, views: views.node, sorting, found, renew, draw, search };
}

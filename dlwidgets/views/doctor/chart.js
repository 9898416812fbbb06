// Small charts of evidence: a line or bars, and what they are held against.

import { make, say } from "../front.js";
import { chartWords, heights, pathOf } from "./words.js";

/** @typedef {import("./words.js").Chart} Chart */

/** The box that a chart is drawn in, stretched to its place. */
const WIDTH = 240, HEIGHT = 40;
const SVG = "http://www.w3.org/2000/svg";

/** @param {string} name @param {Record<string, string | number>} attributes */
function shape(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  return node;
}

/** Draw values into an SVG. @param {SVGElement} svg @param {(number | null)[]} values @param {number | null} limit @param {boolean} bars
 * @param {(value: number) => number} place */
export function drawValues(svg, values, limit, bars, place) {
  const y = (/** @type {number} */ value) => 1 + (HEIGHT - 2) * place(value), each = WIDTH / Math.max(1, values.length);
  const drawn = bars
    ? values.flatMap((value, i) => (value === null ? [] : [shape("rect", { x: i * each + 0.1 * each, width: 0.8 * each, y: Math.min(y(value), y(0) - 1), height: Math.max(1, y(0) - y(value)) })]))
    : [shape("path", { d: pathOf(values, place, WIDTH, HEIGHT) })];
  if (limit !== null) drawn.push(shape("line", { x1: 0, x2: WIDTH, y1: y(limit), y2: y(limit), class: "dlw-doc-limit" }));
  svg.replaceChildren(...drawn);
}

/** An empty chart. */
export function emptySvg() { return shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }); }

/** A chart with what it shows below it. */
export function chartBox() {
  const svg = /** @type {SVGElement} */ (emptySvg()), words = make("figcaption"), node = make("figure", { class: "dlw-doc-chart" }, svg, words);
  let drawn = "";
  return {
    node,
    /** @param {Chart | null} chart */
    draw(chart) {
      const shown = JSON.stringify(chart);
      node.hidden = !chart;
      if (!chart || shown === drawn) return;
      drawn = shown;
      const bars = chart.kind === "bars";
      drawValues(svg, chart.values, chart.limit, bars, heights(chart.values, chart.limit, bars).place);
      say(words, chartWords(chart));
      svg.setAttribute("aria-label", chartWords(chart));
    },
  };
}

// The layer table as text, CSV or Markdown: what is shown, every layer of the model, numbers in full.

import { SIZES } from "./tree.js";

/** @typedef {import("./tree.js").Tree} Tree */
/** @typedef {import("./words.js").Live} Live */
/** @typedef {string | number | null} Cell */

/** What a column is called where it is data, as in Python; those that are not here are pictures. @type {Record<string, string[]>} */
const NAMES = {
  layer: ["layer"], type: ["type"], input: ["input"], output: ["output"], params: ["parameters"], bytes: ["parameter_bytes"], dtype: ["dtype"],
  macs: ["macs"], activations: ["activation_bytes"], calls: ["calls"], weight: ["weight_norm"], grad: ["grad_norm"], ratio: ["update_ratio"],
  dead: ["dead_units", "units"], trains: ["trainable"],
};
const WORDS = new Set(["layer", "type", "input", "output", "dtype", "trainable"]);

/** @param {Tree} tree @param {Live} live @param {number} row @param {string} key @returns {Cell[]} */
function cellsOf({ rows, paths, sizes, trains, parents }, live, row, key) {
  const [name, , kind, detail, output, remark, , input, dtype, calls] = rows[row], place = live.at[row] ?? -1;
  const size = (/** @type {number} */ which) => sizes[SIZES * row + which];
  const number = (/** @type {number} */ which) => (place < 0 ? null : written(live.stats[4 * place + which]));
  switch (key) {
    case "layer": return [paths[row] || name];
    case "type": return [[parents[row] < 0 ? "" : kind, parents[row] < 0 ? "" : detail, remark && `(${remark})`].filter(Boolean).join(" ")];
    case "input": return [input];
    case "output": return [output];
    case "params": return [size(0)];
    case "bytes": return [size(4)];
    case "dtype": return [dtype];
    case "macs": return [size(1)];
    case "activations": return [size(2)];
    case "calls": return [calls];
    case "weight": return [number(0)];
    case "grad": return [number(1)];
    case "ratio": return [number(2)];
    case "dead": return [live.dead.get(row)?.dead ?? null, live.dead.get(row)?.units ?? null];
    default: return [{ y: "yes", n: "no", p: "partly" }[trains[row]] ?? ""];
  }
}

/** A measured number in five digits, as Python writes it. @param {number} x */
export function written(x) {
  return Number.isFinite(x) ? x.toExponential(4).replace("+", "") : Number.isNaN(x) ? "NaN" : x > 0 ? "inf" : "-inf";
}

/** @param {Tree} tree @param {Live} live @param {string[]} columns @param {number[]} rows @returns {Cell[][]} */
function table(tree, live, columns, rows) {
  const data = columns.filter((key) => NAMES[key]);
  return [data.flatMap((key) => NAMES[key]), ...rows.map((row) => data.flatMap((key) => cellsOf(tree, live, row, key)))];
}

/** @param {Cell} value */
function text(value) { return value === null ? "" : String(value); }

/**
 * Rows as comma-separated values (RFC 4180, lines ended by a line feed).
 * @param {Tree} tree @param {Live} live @param {string[]} columns @param {number[]} rows
 */
export function csvOf(tree, live, columns, rows) {
  const cell = (/** @type {Cell} */ value) => (/[",\r\n]/.test(text(value)) ? `"${text(value).replaceAll('"', '""')}"` : text(value));
  return table(tree, live, columns, rows).map((line) => `${line.map(cell).join(",")}\n`).join("");
}

/**
 * Rows as a Markdown table, numbers to the right.
 * @param {Tree} tree @param {Live} live @param {string[]} columns @param {number[]} rows
 */
export function markdownOf(tree, live, columns, rows) {
  const [names, ...lines] = table(tree, live, columns, rows);
  const rule = names.map((name) => (WORDS.has(String(name)) ? "---" : "---:"));
  const cell = (/** @type {Cell} */ value) => text(value).replace(/\s*\n\s*/g, " ").replaceAll("|", "\\|");
  return [names, rule, ...lines].map((line) => `| ${line.map(cell).join(" | ")} |\n`).join("");
}

/**
 * Put text into the clipboard; false where the browser allows neither way. The older way works on pages that are
 * not served securely and in frames that may not use the newer.
 * @param {string} words @param {HTMLElement} near
 */
export async function copied(words, near) {
  try {
    await navigator.clipboard.writeText(words);
    return true;
  } catch {
    const focused = /** @type {HTMLElement | null} */ (document.activeElement), area = document.createElement("textarea");
    area.value = words;
    area.style.cssText = "position:fixed;opacity:0";
    near.append(area);
    area.select();
    let done = false;
    try { done = document.execCommand("copy"); } catch { /* said by whoever asked */ }
    area.remove();
    focused?.focus();
    return done;
  }
}

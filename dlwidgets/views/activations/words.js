// What the activation browser says: layers, parts, the lines above and below the picture, the value under the pointer.
import { sig, whole } from "../front.js";
import { pointed, shownLarge } from "./close_up.js";
import { dequantise, halfStep } from "./tiles.js";

/** A number with no more digits than its error lets be true: "0.421 ± 0.002". @param {number} value @param {number} error */
export function withError(value, error) {
  if (Number.isNaN(value)) return "not finite";
  if (!(error > 0)) return sig(value, 4);
  const place = Math.floor(Math.log10(error));
  if (place < -5 || Math.abs(value) >= 1e6) {
    const digits = value === 0 ? 1 : Math.max(1, Math.floor(Math.log10(Math.abs(value))) - place + 1);
    return `${sig(value, Math.min(digits, 6))} ± ${sig(error, 1)}`;
  }
  const decimals = Math.max(0, -place);
  const shown = (Math.abs(value) < 0.5 * 10 ** -decimals ? 0 : value).toFixed(decimals).replace("-", "−");
  return `${shown} ± ${error.toFixed(decimals)}`;
}

/** The ends of a scale in short: "0–1", "−2.12 to 2.64". @param {number} low @param {number} high */
export function range(low, high) {
  const [from, to] = [low, high].map((value) => String(+value.toPrecision(3)).replace("-", "−"));
  return low < 0 ? `${from} to ${to}` : `${from}–${to}`;
}

/** A share in per cent: "0 %", "12 %", "0.3 %", "99.8 %". @param {number | null | undefined} share */
export function percent(share) {
  if (share === null || share === undefined || Number.isNaN(share)) return "–";
  const hundred = 100 * share, fine = hundred > 0 && hundred < 1 || hundred > 99 && hundred < 100;
  if (fine && (hundred < 0.1 || hundred > 99.9)) return hundred < 1 ? "<0.1 %" : ">99.9 %";
  return `${fine ? hundred.toFixed(1) : Math.round(hundred)} %`;
}

/**
 * "row 3, column 9", or "rows 6–7, columns 18–19" where a pixel is the mean of several; with the names of tokens, as
 * "from 3 “the”, to 5 “cat”", where the axes stand for them.
 * @param {string[]} axes @param {number[]} at row and column of the pixel @param {number[]} block @param {number[]} size of the whole map
 * @param {string[] | null} [tokens]
 */
export function place(axes, at, block, size, tokens = null) {
  /** @param {number} i @param {number} first */
  const nameOf = (i, first) => (tokens?.length === size[i] && (i === 0 || axes[2] === "to") ? ` “${tokens[first]}”` : "");
  return [0, 1].map((i) => spanOf(axes[i + 1], at[i], block[i], size[i], (first) => nameOf(i, first))).join(", ");
}

/**
 * "row 3", or "rows 6–7" where it is the mean of several.
 * @param {string} word @param {number} at @param {number} each @param {number} size @param {(first: number) => string} [nameOf] what one alone is called
 */
function spanOf(word, at, each, size, nameOf = () => "") {
  const first = at * each, last = Math.min(size, first + each) - 1;
  return first === last ? `${word} ${first}${nameOf(first)}` : `${word}s ${first}–${last}`;
}

/**
 * The layers to choose from, in groups by the model's own children; a group without a label stands by itself.
 * @param {[string, string, number, boolean][]} layers path, class, depth, whether it only holds others
 */
export function layerGroups(layers) {
  /** @type {{label: string, options: {value: string, text: string}[]}[]} */
  const groups = [];
  let top = "";
  for (const [path, kind, depth, holds] of layers) {
    const first = path.split(".")[0], parent = layers.some(([other]) => other.startsWith(`${first}.`));
    if (!groups.length || depth <= 1 || first !== top) {
      groups.push({ label: depth > 0 && parent ? first : "", options: [] });
      top = first;
    }
    if (!holds) groups[groups.length - 1].options.push({ value: path, text: path === "" ? `${kind} (the model)` : `${path} · ${kind}` });
  }
  return groups.filter((group) => group.options.length);
}

/**
 * The rows of a ranking, each where it stood before as long as it is there, so that names do not jump while
 * their scores change; a new one takes the place of one that left.
 * @template {[string, number | null, boolean | null]} Row
 * @param {string[]} before names in their places @param {Row[]} rows highest first @returns {Row[]}
 */
export function keepPlaces(before, rows) {
  const named = new Map(rows.map((row) => [row[0], row])), placed = rows.map((_, i) => named.get(before[i]));
  const rest = rows.filter((row) => !placed.includes(row));
  return placed.map((row) => row ?? /** @type {Row} */ (rest.shift()));
}

/** What a part of a layer's output is called: "first", "output 1 · 0", "call 2", "attention". @param {string} part "", "[1][0]", "#2[1]" */
export function partName(part) {
  if (part === "[attention]") return "attention";
  const call = /^#(\d+)/.exec(part), keys = [...part.matchAll(/\[([^\]]*)\]/g)].map((found) => found[1]);
  return [call && `call ${call[1]}`, keys.length && `output ${keys.join(" · ")}`].filter(Boolean).join(", ") || "first";
}

/** What is shown of a layer, before its name. @type {Record<string, string>} */
const SHOWN = { input: "given to ", filters: "weights of " };

/** The line above the picture: what is shown, of which sample. @param {any} picture @param {any} sample */
export function heading(picture, sample) {
  const layer = (SHOWN[picture.show] ?? "") + (picture.layer || picture.kind || "");
  const part = picture.part && picture.show !== "filters" ? ` ${partName(picture.part)}` : "";
  const which = sample.own?.name ?? (typeof sample.number === "number" ? `sample ${sample.number}` : "");
  const by = picture.by && picture.by !== "index" ? ` by ${picture.by}` : "";
  return [layer + part, which, picture.words && picture.words + by].filter(Boolean).join(" · ");
}

/** What is said under the picture of what was left out, and of the order of the maps. @param {any} picture */
export function footNote({ note, sorted_at }) {
  return [note, typeof sorted_at === "number" && `sorted at step ${whole(sorted_at)}`].filter(Boolean).join("; ");
}

/** A number as the tensor holds it, to seven digits at most. @param {number} value */
export function exactly(value) {
  if (Number.isNaN(value)) return "not finite (nan)";
  if (!Number.isFinite(value)) return `not finite (${value > 0 ? "∞" : "−∞"})`;
  const size = Math.abs(value);
  const text = size !== 0 && (size >= 1e6 || size < 1e-4) ? value.toExponential(5) : String(Number(value.toPrecision(6)));
  return text.replaceAll("-", "−").replace("e−", "e-").replace("e+", "e");
}

/** @param {import("./tiles.js").State} state @param {number} m the map's place */
function aboutMap({ scales, means, zeros }, m) {
  if (m < 0) return "";
  if (zeros[m] === 1) return "zero everywhere";
  if (scales[m] === 0 && means[m] === 0) return "no finite value";
  return `mean ${sig(means[m], 2)}, zero ${percent(zeros[m])}, peak ${sig(scales[m], 3)}`;
}

/** The line under the picture. @param {import("./tiles.js").State} state @param {number} chosen the number of the picked map or bar */
export function readingOf(state, chosen) {
  const { picture, maps, near, scales, bars } = state;
  const nameOf = (/** @type {number} */ i) => (picture.names?.[i] ? ` “${picture.names[i]}”` : "");
  if (picture.reason) return "";
  if (picture.form === "bars") {
    const i = Math.min(bars.length - 1, state.hover?.index ?? chosen), units = spanOf("unit", i, picture.group, picture.shape[0] ?? 1, () => nameOf(i));
    return i < 0 ? "" : `${units}${units.startsWith("units") ? ", the strongest" : ""}: ${exactly(bars[i])}`;
  }
  if (!picture.count) return "";
  const { size, block, number, place: m, exact, depth } = shownLarge(state, chosen), at = pointed(state, size);
  const matrix = picture.form === "sequence";
  const map = matrix ? "" : `${picture.axes[0]} ${number}${nameOf(number)}: ${aboutMap(state, m) || "not among those that are shown"}`;
  if (!at) return matrix ? "point at the picture to read its values" : map;
  if (m < 0 && !exact) return map;
  /** @param {number} k */
  const valueAt = (k) => {
    const i = (at[0] * size[1] + at[1]) * depth + k;
    return exact ? exactly(near[i]) : withError(dequantise(maps[m * size[0] * size[1] * depth + i], scales[m]), halfStep(scales[m]));
  };
  const values = depth === 3 ? `red ${valueAt(0)}, green ${valueAt(1)}, blue ${valueAt(2)}` : valueAt(0);
  const mean = block[0] * block[1] > 1 ? "mean " : "";
  const where = picture.form === "lines" ? spanOf(picture.axes[2], at[1], block[1], picture.whole[1]) : place(picture.axes, at, block, picture.whole, picture.tokens);
  return `${where}: ${mean}${values}${map && ` · ${map}`}`;
}

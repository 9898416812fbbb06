// A search for a learning rate: its loss over the rate, and the rates that it suggests, which a click sets.
import { listen, make, makeButton, rate, say } from "../front.js";

/** @typedef {{rates?: number[], losses?: (number | null)[], smoothed?: (number | null)[], suggestions?: [string, number][], note?: string}} Search */

/** The box that it is drawn in, stretched to its place. */
const BOX = { width: 320, height: 90 };
const SHAPES = "http://www.w3.org/2000/svg";

/** Where a rate lies between two, 0 to 1, each power of ten taking as much. @param {number} value @param {number} low @param {number} high */
export function shareOf(value, low, high) { return Math.log(value / low) / Math.log(high / low); }

/** The rate at a share of the width, in two digits. @param {number} share @param {number} low @param {number} high */
export function rateAt(share, low, high) { return Number((low * (high / low) ** Math.min(1, Math.max(0, share))).toPrecision(2)); }

/** The losses between which it is drawn: where the loss has exploded, it goes out at the top. @param {(number | null)[]} smoothed @returns {[number, number]} */
export function lossRange(smoothed) {
  const known = smoothed.flatMap((one) => (one === null ? [] : [one]));
  if (!known.length) return [0, 1];
  const low = Math.min(...known), first = known[0], span = Math.max(first - low, 0.1 * Math.abs(first), 1e-12);
  return [low - 0.1 * span, Math.max(first, low) + 0.5 * span];
}

/** Points as the `d` of a path. @param {Search} search @param {(number | null)[]} values @param {[number, number]} range */
export function searchPath({ rates = [] }, values, [low, high]) {
  let pen = "M";
  return rates.map((one, i) => {
    const value = values[i];
    if (value === null || value === undefined) { pen = "M"; return ""; }
    const x = BOX.width * shareOf(one, rates[0], rates[rates.length - 1]), y = BOX.height * (high - Math.min(value, high)) / (high - low);
    const to = `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
    return to;
  }).join("");
}

/** @param {import("../front.js").Want} want @param {AbortSignal} signal */
export function rateSearchOf(want, signal) {
  const go = makeButton("Find a rate", () => want.call("find_rate"), signal, { title: "Take steps with a growing rate, then put everything back bit for bit" });
  const busy = make("div", { class: "dlw-rates", role: "status" }), why = make("div", { class: "dlw-why", role: "status" }), note = make("div", { class: "dlw-rates" });
  const hint = make("div", { class: "dlw-empty", text: "Some hundred steps with a growing rate say from where the loss falls; weights, optimizer and data are then as before." });
  const shape = (/** @type {string} */ name) => document.createElementNS(SHAPES, name);
  const svg = shape("svg"), raw = shape("path"), smooth = shape("path"), lines = shape("g"), ends = make("div", { class: "dlw-search-ends" }, make("span"), make("span", { text: "learning rate" }), make("span"));
  const marks = make("div", { class: "dlw-search-marks" });
  for (const [name, value] of Object.entries({ viewBox: `0 0 ${BOX.width} ${BOX.height}`, preserveAspectRatio: "none", role: "img" })) svg.setAttribute(name, value);
  raw.setAttribute("class", "dlw-search-raw");
  svg.append(raw, smooth, lines);
  const plot = make("div", { class: "dlw-search-plot", title: "A click sets the rate" });
  plot.append(svg);
  let drawn = "", search = /** @type {Search} */ ({}), shut = false;
  listen(plot, "click", (event) => {
    const { left, width } = plot.getBoundingClientRect(), rates = search.rates ?? [];
    if (rates.length > 1 && !shut) want.call("set_rate", rateAt((event.clientX - left) / width, rates[0], rates[rates.length - 1]));
  }, signal);
  /** Draw a search that is not drawn yet. */
  const paint = () => {
    const { rates = [], losses = [], smoothed = [], suggestions = [] } = search, range = lossRange(smoothed), [low, high] = [rates[0], rates[rates.length - 1]];
    raw.setAttribute("d", searchPath(search, losses, range));
    smooth.setAttribute("d", searchPath(search, smoothed, range));
    svg.setAttribute("aria-label", `Loss over the learning rate, ${rate(low)} to ${rate(high)}: ${suggestions.map(([name, value]) => `${name} ${rate(value)}`).join(", ")}`);
    lines.replaceChildren(...suggestions.map(([, value]) => {
      const line = shape("line"), x = String(BOX.width * shareOf(value, low, high));
      for (const [name, at] of Object.entries({ x1: x, x2: x, y1: "0", y2: String(BOX.height) })) line.setAttribute(name, at);
      return line;
    }));
    say(ends.children[0], rate(low)); say(ends.children[2], rate(high));
    marks.replaceChildren(...suggestions.map(([name, value]) => makeButton(`${name} ${rate(value)}`, () => want.call("set_rate", value), signal, { title: "Set the learning rate to this" })));
  };
  return {
    box: make("div", { class: "dlw-search" }, go, busy, why, hint, plot, ends, marks, note),
    /** @param {Search} now @param {any} past @param {string} said */
    draw(now, past, said) {
      const shown = JSON.stringify(now), some = (now.rates ?? []).length > 1;
      search = now;
      shut = Boolean(past.busy);
      go.disabled = shut;
      go.title = past.busy ? `${past.busy}: wait for its end` : "Take steps with a growing rate, then put everything back bit for bit";
      say(busy, past.busy ? `${past.busy} …` : ""); say(why, said); say(note, now.note ?? "");
      hint.hidden = some;
      plot.hidden = ends.hidden = marks.hidden = !some;
      if (some && shown !== drawn) { drawn = shown; paint(); }
      for (const one of marks.children) /** @type {HTMLButtonElement} */ (one).disabled = shut;
    },
  };
}

// The activation browser: what one layer makes of one sample, what it is given, or its weights.
import { color, live, listen, make, numbers, say, sig, surface, whole, wishes } from "../front.js";
import { anyNegative, palette } from "./tiles.js";
import { drawScale } from "./canvas.js";
import { footNote, heading, percent } from "./words.js";
import { segments, steps } from "./segments.js";
import { layerChooser } from "./layer_chooser.js";
import { samplePicker } from "./sample_picker.js";
import { givenAndSaid } from "./input.js";
import { sheetOf } from "./sheet.js";
import { closeUp } from "./close_up.js";
import { readingOf } from "./readout.js";
import { study } from "../study/study.js";

/** @typedef {import("../front.js").Model} Model */
/** @typedef {import("./tiles.js").State} State */

/** Pictures of several maps, which can be put in an order. */
const SORTABLE = new Set(["maps", "volume", "lines", "rgb"]);
/** The five stops of the colours, from −1 over 0 to 1. */
const STOPS = ["map-n2", "map-n1", "map-0", "map-p1", "map-p2"];

/** @returns {State} what the parts of the view share, before the first picture */
function emptyState() {
  const no = new Float32Array();
  return {
    picture: {}, maps: new Uint8Array(), near: no, incoming: new Uint8Array(), bars: no, scales: no, means: no, zeros: no,
    colours: new Uint8Array(768), hover: null, cursor: null, input: null,
    grid: { columns: 1, rows: 1, width: 1, height: 1, gap: 0, across: 1, down: 1 },
  };
}

/** Take the picture from the model. @param {State} state changed in place @param {Model} model @param {HTMLElement} el whose colours it has */
function readPicture(state, model, el) {
  const now = model.get("drawing");
  // The place that was read belongs to the layer it was read in.
  if (now.layer !== state.picture.layer || now.part !== state.picture.part || now.show !== state.picture.show) { state.cursor = null; state.hover = null; }
  state.picture = now;
  state.maps = numbers(model.get("maps"), Uint8Array);
  state.bars = numbers(model.get("bars"), Float32Array);
  state.near = numbers(model.get("near"), Float32Array);
  state.incoming = numbers(model.get("incoming"), Uint8Array);
  const all = numbers(model.get("facts"), Float32Array), count = now.count ?? 0;
  state.scales = all.subarray(0, count); state.means = all.subarray(count, 2 * count); state.zeros = all.subarray(2 * count, 3 * count);
  state.colours = palette(STOPS.map((name) => color(el, name)), color(el, "red"));
}

/**
 * The controls of how the layer is shown.
 * @param {{signal: AbortSignal, want: {get(name: string): any, set(name: string, value: any): void}}} view
 * @returns {{node: HTMLElement, show: (picture: any) => void}}
 */
function pictureControls({ signal, want }) {
  const show = segments("Show", [
    ["output", "output", "what the layer puts out for this sample"], ["input", "input", "what the layer is given"],
    ["filters", "filters", "the weights of the layer"],
  ], (value) => want.set("show", value), signal);
  const sort = segments("Sort", [
    ["index", "index", "the maps as they stand"], ["strength", "strength", "largest mean absolute value first; again: sort anew"],
    ["variance", "variance", "most varied first; again: sort anew"],
  ], (value) => want.set("sort", value), signal);
  const per = segments("Colours", [
    ["layer", "layer", "the colours span the largest value of the layer"], ["map", "each map", "the colours span the largest value of each map"],
  ], (value) => want.set("per", value), signal);
  const slice = steps("Slice", (value) => want.set("slice", value), signal), channel = steps("Input channel", (value) => want.set("channel", value), signal);
  return {
    node: make("div", { class: "dlw-act-bar" }, show.node, sort.node, per.node, slice.node, channel.node),
    show(picture) {
      const several = (picture.total ?? 0) > 1;
      show.show(want.get("show"));
      sort.show(want.get("sort"), SORTABLE.has(picture.form) && several);
      per.show(want.get("per"), several);
      slice.show(want.get("slice") ?? picture.slices?.[1] ?? 0, picture.slices?.[0] ?? 0);
      channel.show(want.get("channel") ?? picture.channel ?? 0, picture.channels ?? 0);
    },
  };
}

/**
 * The line under the picture: the colours, statistics, and what was left out.
 * @returns {{node: HTMLElement, show: (state: State, each: boolean) => void}} `each`: whether the colours span each map
 */
function pictureFoot() {
  const from = make("span"), scale = make("canvas", { role: "img" }), to = make("span");
  const legend = make("span", { class: "dlw-act-legend" }, from, scale, to);
  const facts = make("span"), dead = make("span"), broken = make("span", { class: "dlw-act-warn" }), left = make("span");
  return {
    node: make("div", { class: "dlw-act-foot" }, legend, facts, dead, broken, left),
    show({ picture, maps, zeros, colours }, each) {
      const rgb = picture.form === "rgb", signed = rgb || anyNegative(maps), peak = each ? "peak" : sig(picture.peak, 3);
      legend.hidden = picture.form === "bars" || picture.form === "lines";
      say(from, signed ? `−${peak}` : "0"); say(to, each ? "peak of each map" : peak);
      if (!legend.hidden) {
        const grey = Uint8Array.from({ length: 768 }, (_, i) => Math.floor(i / 3));
        drawScale(surface(scale, 96, 8), 96, 8, rgb ? grey : colours, signed);
        scale.setAttribute("aria-label", `colour scale from ${from.textContent} to ${to.textContent}`);
      }
      say(facts, `mean ${sig(picture.mean, 2)}, sd ${sig(picture.std, 2)}, zero ${percent(picture.zeros)}`);
      let still = 0;
      for (const share of zeros) if (share === 1) still += 1;
      say(dead, still && picture.form !== "sequence" ? `${still === zeros.length ? "all" : `${still} of ${zeros.length}`} zero everywhere (grey)` : "");
      say(broken, picture.nonfinite > 0 ? `▲ ${percent(picture.nonfinite)} not finite` : "");
      say(left, footNote(picture, whole));
    },
  };
}

/** Of which step the picture is, and whether it follows the training. @param {{step: number | null, running: boolean, every: number}} now */
function momentWords(now) {
  const step = now.step === null || now.step === undefined ? "" : `step ${whole(now.step)}`;
  const seldom = now.running && now.every >= 2 ? `, every ${sig(now.every, 2)} s` : "";
  return now.running ? `● live · ${step}${seldom}` : step;
}

/** @type {{render(view: {model: Model, el: HTMLElement, signal: AbortSignal}): void}} */
const activationBrowser = {
  render({ model, el, signal }) {
    el.classList.add("dlw", "dlw-activations");
    const state = emptyState();
    let again = () => {}, failure = "";
    const repaint = () => again();
    const want = wishes({ model, signal, repaint });
    const failed = (/** @type {string} */ words) => { failure = words; again(); };

    const what = make("span", { class: "dlw-act-what" }), moment = make("span", { class: "dlw-act-moment dlw-small" });
    const chooser = layerChooser({ model, el, signal, want }), picker = samplePicker({ model, el, signal, want, failed });
    const controls = pictureControls({ signal, want }), given = givenAndSaid({ model, el, state });
    const follow = () => {
      sheet.follow();
      near.show();
      const words = readingOf(state, want.get("chosen"));
      say(reading, words);
      sheet.say("aria-label", heading(state.picture, model.get("sample")));
      sheet.say("aria-valuetext", words);
    };
    const key = () => [model.get("frame"), want.get("per"), el.dataset.theme].join("|");
    const sheet = sheetOf({ el, signal, state, want, moved: follow, key });
    const near = closeUp({ el, signal, state, want, moved: follow });
    const reading = make("div", { class: "dlw-act-reading" }), foot = pictureFoot();
    const empty = make("div", { class: "dlw-empty" }), note = make("div", { class: "dlw-note", role: "status" });
    const below = study({ model, el, signal, want, repaint });
    el.append(
      make("div", { class: "dlw-head" }, make("span", { class: "dlw-title", text: "Activations" }), what, moment),
      make("div", { class: "dlw-act-bar" }, ...chooser.nodes, ...picker.nodes),
      controls.node, chooser.panel, note,
      make("div", { class: "dlw-act-body" },
        make("div", { class: "dlw-act-side" }, given.input, near.node, given.verdict),
        make("div", { class: "dlw-act-main" }, empty, sheet.node, foot.node, reading)),
      below.node,
    );

    const showWords = () => {
      const { picture } = state, line = heading(picture, model.get("sample")), now = model.get("moment");
      say(what, line);
      what.title = line;
      say(moment, momentWords(now));
      moment.dataset.live = String(!!now.running);
      say(note, [model.get("problem"), want.refusal, failure].filter(Boolean).join("\n"));
      say(empty, picture.reason ?? "");
      empty.hidden = !picture.reason; foot.node.hidden = reading.hidden = !!picture.reason;
    };
    const draw = () => {
      readPicture(state, model, el);
      const { picture } = state;
      chooser.show(picture);
      picker.show();
      controls.show(picture);
      showWords();
      given.show();
      sheet.draw();
      if (!picture.reason) foot.show(state, want.get("per") === "map" && (picture.total ?? 0) > 1);
      follow();
      below.draw();
    };
    listen(el, "pointerdown", () => { if (failure) { failure = ""; again(); } }, signal);
    again = live({ model, el, signal, draw });
  },
};
export default activationBrowser;

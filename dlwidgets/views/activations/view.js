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

/** @type {{render(view: {model: Model, el: HTMLElement, signal: AbortSignal}): void}} */
const activationBrowser = {
  render({ model, el, signal }) {
    el.classList.add("dlw", "dlw-activations");
    const no = new Float32Array();
    /** @type {State} */
    const state = {
      picture: {}, maps: new Uint8Array(), near: no, incoming: new Uint8Array(), bars: no, scales: no, means: no, zeros: no,
      colours: new Uint8Array(768), hover: null, cursor: null, input: null,
      grid: { columns: 1, rows: 1, width: 1, height: 1, gap: 0, across: 1, down: 1 },
    };
    let again = () => {}, failure = "";
    const repaint = () => again();
    const want = wishes({ model, signal, repaint });
    const failed = (/** @type {string} */ words) => { failure = words; again(); };

    const what = make("span", { class: "dlw-act-what" }), moment = make("span", { class: "dlw-act-moment dlw-small" });
    const chooser = layerChooser({ model, el, signal, want }), picker = samplePicker({ model, el, signal, want, failed });
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

    const given = givenAndSaid({ model, el, state });
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
    const reading = make("div", { class: "dlw-act-reading" });
    const from = make("span"), scale = make("canvas", { role: "img" }), to = make("span");
    const legend = make("span", { class: "dlw-act-legend" }, from, scale, to);
    const facts = make("span"), dead = make("span"), broken = make("span", { class: "dlw-act-warn" }), left = make("span");
    const foot = make("div", { class: "dlw-act-foot" }, legend, facts, dead, broken, left);
    const empty = make("div", { class: "dlw-empty" }), note = make("div", { class: "dlw-note", role: "status" });
    const below = study({ model, el, signal, want, repaint });
    el.append(
      make("div", { class: "dlw-head" }, make("span", { class: "dlw-title", text: "Activations" }), what, moment),
      make("div", { class: "dlw-act-bar" }, ...chooser.nodes, ...picker.nodes),
      make("div", { class: "dlw-act-bar" }, show.node, sort.node, per.node, slice.node, channel.node),
      chooser.panel, note,
      make("div", { class: "dlw-act-body" },
        make("div", { class: "dlw-act-side" }, given.input, near.node, given.verdict),
        make("div", { class: "dlw-act-main" }, empty, sheet.node, foot, reading)),
      below.node,
    );

    const readModel = () => {
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
    };

    const showControls = () => {
      const { picture } = state;
      chooser.show(picture);
      picker.show();
      show.show(want.get("show"));
      const several = SORTABLE.has(picture.form) && (picture.total ?? 0) > 1;
      sort.show(want.get("sort"), several);
      per.show(want.get("per"), (picture.total ?? 0) > 1);
      const [slices, at] = [picture.slices?.[0] ?? 0, want.get("slice") ?? picture.slices?.[1] ?? 0];
      slice.show(at, slices);
      channel.show(want.get("channel") ?? picture.channel ?? 0, picture.channels ?? 0);
    };

    const showWords = () => {
      const now = model.get("moment"), { picture } = state, line = heading(picture, model.get("sample"));
      say(what, line);
      what.title = line;
      const step = now.step === null || now.step === undefined ? "" : `step ${whole(now.step)}`;
      const seldom = now.running && now.every >= 2 ? `, every ${sig(now.every, 2)} s` : "";
      say(moment, now.running ? `● live · ${step}${seldom}` : step);
      moment.dataset.live = String(!!now.running);
      say(note, [model.get("problem"), want.refusal, failure].filter(Boolean).join("\n"));
      say(empty, picture.reason ?? "");
      empty.hidden = !picture.reason; foot.hidden = !!picture.reason; reading.hidden = !!picture.reason;
    };

    const showFoot = () => {
      const { picture, maps, zeros, colours } = state, rgb = picture.form === "rgb";
      legend.hidden = picture.form === "bars" || picture.form === "lines";
      const each = want.get("per") === "map" && (picture.total ?? 0) > 1, peak = each ? "peak" : sig(picture.peak, 3);
      const signed = rgb || anyNegative(maps);
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
    };

    const draw = () => {
      readModel();
      showControls();
      showWords();
      given.show();
      sheet.draw();
      if (!state.picture.reason) showFoot();
      follow();
      below.draw();
    };
    listen(el, "pointerdown", () => { if (failure) { failure = ""; again(); } }, signal);
    again = live({ model, el, signal, draw });
  },
};
export default activationBrowser;

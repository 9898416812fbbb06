// The activation browser: what one layer makes of one sample, what it is given, or its weights.
import { live, listen, make, makeButton, numbers, say, sig, surface, whole, wishes } from "../front.js";
import { anyNegative, paletteOf, tileGrid } from "./tiles.js";
import { drawScale } from "./canvas.js";
import { footNote, heading, percent, readingOf } from "./words.js";
import { pictureControls } from "./controls.js";
import { layerChooser } from "./layer_chooser.js";
import { samplePicker } from "./sample_picker.js";
import { givenAndSaid } from "./input.js";
import { sheetOf } from "./sheet.js";
import { closeUp } from "./close_up.js";
import { study } from "../study/study.js";

/** @typedef {import("../front.js").Model} Model */
/** @typedef {import("./tiles.js").State} State */

/** Take the picture from the model. @param {State} state changed in place @param {Model} model @param {HTMLElement} el whose colours it has */
function readPicture(state, model, el) {
  const now = model.get("drawing");
  // The place that was read belongs to the layer it was read in.
  if (["layer", "part", "show"].some((name) => now[name] !== state.picture[name])) state.cursor = state.hover = null;
  state.picture = now;
  state.maps = numbers(model.get("maps"), Uint8Array);
  state.bars = numbers(model.get("bars"), Float32Array);
  state.near = numbers(model.get("near"), Float32Array);
  state.incoming = numbers(model.get("incoming"), Uint8Array);
  const all = numbers(model.get("facts"), Float32Array), count = now.count ?? 0;
  [state.scales, state.means, state.zeros] = [0, 1, 2].map((i) => all.subarray(i * count, (i + 1) * count));
  state.colours = paletteOf(el);
}

/** The line under the picture: the colours, statistics, and what was left out. */
function pictureFoot() {
  const from = make("span"), scale = make("canvas", { role: "img" }), to = make("span");
  const legend = make("span", { class: "dlw-act-legend" }, from, scale, to);
  const facts = make("span"), dead = make("span"), broken = make("span", { class: "dlw-act-warn" }), left = make("span");
  return {
    node: make("div", { class: "dlw-act-foot" }, legend, facts, dead, broken, left),
    /** @param {State} state @param {boolean} each whether the colours span each map */
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
      const still = zeros.filter((share) => share === 1).length;
      say(dead, still && picture.form !== "sequence" ? `${still === zeros.length ? "all" : `${still} of ${zeros.length}`} zero everywhere (grey)` : "");
      say(broken, picture.nonfinite > 0 ? `▲ ${percent(picture.nonfinite)} not finite` : "");
      say(left, footNote(picture));
    },
  };
}

/** @type {{render(view: {model: Model, el: HTMLElement, signal: AbortSignal}): void}} */
const activationBrowser = {
  render({ model, el, signal }) {
    el.classList.add("dlw", "dlw-activations");
    // The rest is read with the first picture, before anything of it is shown.
    const state = /** @type {State} */ ({ picture: {}, hover: null, cursor: null, input: null, boxes: null, grid: tileGrid(1, 1, 1) });
    let again = () => {}, failure = "";
    const repaint = () => again();
    const want = wishes({ model, signal, repaint }), view = { model, el, signal, want, repaint };
    const failed = (/** @type {string} */ words) => { failure = words; again(); };

    const what = make("span", { class: "dlw-act-what" }), moment = make("span", { class: "dlw-act-moment dlw-small" });
    const chooser = layerChooser(view), picker = samplePicker({ ...view, failed });
    const controls = pictureControls(view), given = givenAndSaid({ ...view, state });
    const unfold = makeButton("more ▸", () => want.set("more", !want.get("more")), signal, {
      class: "dlw-act-unfold", title: "what is shown of the layer, order, colours, the layers as a tree, samples by loss or class, your own; below, what channels do",
    });
    const more = make("div", { class: "dlw-act-bar dlw-act-more" }, chooser.more, ...controls.nodes, ...picker.more);
    const slices = make("div", { class: "dlw-act-bar" }, ...controls.slices);
    const follow = () => {
      sheet.follow();
      near.show();
      const words = readingOf(state, want.get("chosen"));
      say(reading, words);
      sheet.canvas.setAttribute("aria-label", what.title);
      sheet.canvas.setAttribute("aria-valuetext", words);
    };
    const key = () => [model.get("frame"), want.get("per"), el.dataset.theme].join("|");
    const sheet = sheetOf({ ...view, state, moved: follow, key }), near = closeUp({ ...view, state, moved: follow });
    const reading = make("div", { class: "dlw-act-reading" }), foot = pictureFoot();
    const empty = make("div", { class: "dlw-empty" }), note = make("div", { class: "dlw-note", role: "status" });
    const below = study(view);
    el.append(
      make("div", { class: "dlw-head" }, make("span", { class: "dlw-title", text: "Activations" }), what, moment),
      make("div", { class: "dlw-act-bar dlw-act-first" }, ...chooser.nodes, ...picker.nodes, unfold),
      more, slices, chooser.panel, note,
      make("div", { class: "dlw-act-body" },
        make("div", { class: "dlw-act-side" }, given.input, near.node, given.verdict),
        make("div", { class: "dlw-act-main" }, empty, sheet.node, foot.node, reading)),
      below.node,
    );

    const draw = () => {
      readPicture(state, model, el);
      const { picture } = state, now = model.get("moment"), reason = picture.reason ?? "";
      what.title = heading(picture, model.get("sample"));
      say(what, what.title);
      const step = now.step === null || now.step === undefined ? "" : `step ${whole(now.step)}`;
      say(moment, now.running ? `● live · ${step}${now.every >= 2 ? `, every ${sig(now.every, 2)} s` : ""}` : step);
      moment.dataset.live = String(!!now.running);
      say(note, [model.get("problem"), want.refusal, failure].filter(Boolean).join("\n"));
      say(empty, reason);
      empty.hidden = !reason; foot.node.hidden = reading.hidden = !!reason;
      chooser.show(picture);
      picker.show();
      controls.show(picture);
      more.hidden = !want.get("more");
      el.toggleAttribute("data-more", !more.hidden || Boolean(want.get("study")));
      unfold.setAttribute("aria-expanded", String(!more.hidden));
      say(unfold, more.hidden ? "more ▸" : "less ▾");
      slices.hidden = controls.slices.every((node) => node.hidden);
      given.show();
      sheet.draw();
      if (!reason) foot.show(state, want.get("per") === "map" && (picture.total ?? 0) > 1);
      follow();
      below.draw();
    };
    listen(el, "pointerdown", () => { if (failure) { failure = ""; again(); } }, signal);
    again = live({ model, el, signal, draw });
  },
};
export default activationBrowser;

// A layer over time: the film across the snapshots, the last step before and after, and the spread of its values.
import { listen, make, makeButton, makeChoice, numbers, say, sig, whole } from "../front.js";
import { filmFrames, filmPeak, looseFrames, paintFrame } from "./film.js";
import { spreadPlot } from "./spread.js";

/** The time between two frames of a film that plays [ms]. */
const BEAT = 300;
/** Why a snapshot was taken, in words. */
const WHY = /** @type {Record<string, string>} */ ({ start: "start", change: "before a change", epoch: "end of an epoch", left: "end of a line", time: "", now: "now" });
const MOMENTS = ["film", "before", "after", "difference"];

/** The frame that follows in a film of `count`; after the last the first. @param {number} at @param {number} count */
export function nextFrame(at, count) { return count ? (at + 1) % count : 0; }

/** What the last step is called. @param {any} film */
export function changeWords(film) {
  if (film.before === null || film.before === undefined) return "";
  return film.exact ? `last step, ${whole(film.before)} → ${whole(film.now)}` : `step ${whole(film.before)} → ${whole(film.now)}`;
}

/** What is said below a frame. @param {any} film @param {string} moment what is shown @param {number} shown how many frames there are @param {number} peak */
export function filmWords(film, moment, shown, peak) {
  const what = film.form === "bars" ? "bars" : "colours";
  const scale = moment === "difference" ? `after − before, ${what} to ±${sig(peak, 2)}` : `${what} to ±${sig(peak, 2)} in all frames`;
  const tip = !film.session ? "a film needs a session: its snapshots are the frames"
    : shown < 2 ? "train on: each snapshot becomes a frame" : shown < film.of + 1 ? `${shown} of ${film.of + 1} states` : "";
  const size = film.form === "matrix" ? `${film.whole[0]} × ${film.whole[1]} values` : film.form === "maps" && film.count > 1 ? `channel ${film.channel} and all ${film.total} maps` : "";
  return [film.steps ? size : "", scale, tip, film.left].filter(Boolean).join(" · ");
}

/** @param {import("../front.js").Part} view */
export function pastSection(view) {
  const { model, el, signal, repaint } = view, still = window.matchMedia("(prefers-reduced-motion: reduce)");
  const play = makeButton("", () => {
    if (still.matches) frame = nextFrame(frame ?? count - 1, count);
    else if (playing) stop();
    else { playing = true; moment = "film"; frame ??= 0; beat(); }
    repaint();
  }, signal, { class: "dlw-study-play" });
  const scrubber = make("input", { type: "range", min: 0, step: 1, value: 0, class: "dlw-study-scrub", "aria-label": "frame of the film" });
  const at = make("output", { class: "dlw-study-at" }), change = make("span", { class: "dlw-faint" });
  const moments = makeChoice("what is shown", MOMENTS.map((one) => [one, one]), (one) => { stop(); moment = one; repaint(); }, signal);
  const canvas = make("canvas", { role: "img" }), words = make("div", { class: "dlw-study-words" }), spread = spreadPlot(view);
  const node = make("div", { class: "dlw-study-time" },
    make("div", { class: "dlw-study-row" }, play, scrubber, at, moments.node, change),
    make("div", { class: "dlw-study-picture" }, canvas), words, ...spread.nodes);

  // Where the film stands; null follows the newest.
  let frame = /** @type {number | null} */ (null), moment = "film", playing = false, timer = 0, count = 0;

  const stop = () => { playing = false; window.clearTimeout(timer); timer = 0; };
  const beat = () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(() => {
      if (!playing || node.hidden || !node.isConnected) { stop(); return; }
      frame = nextFrame(frame ?? count - 1, count);
      repaint();
      beat();
    }, BEAT);
  };
  signal.addEventListener("abort", stop);

  const draw = () => {
    const film = model.get("film"), room = Math.max(160, node.clientWidth - 2), bytes = (/** @type {string} */ name) => numbers(model.get(name), Uint8Array);
    const now = film.steps ? looseFrames(film, bytes("film_now")) : [];
    const past = film.steps ? filmFrames(film, bytes("film_maps"), numbers(model.get("film_scales"), Float32Array)) : [];
    const frames = [...past, ...now], [before, difference] = film.steps ? looseFrames(film, bytes("film_change")) : [];
    const steps = [...(film.steps ?? []).slice(0, past.length), ...(now.length ? [[film.now, "now"]] : [])];
    count = frames.length;
    if (frame !== null && frame >= count - 1 && !playing) frame = null;
    const place = Math.min(frame ?? count - 1, count - 1);
    if (!before && moment !== "film") moment = "film";
    play.disabled = scrubber.disabled = count < 2;
    say(play, still.matches ? "Next" : playing ? "❚❚" : "▶");
    play.setAttribute("aria-label", still.matches ? "next frame" : playing ? "pause the film" : "play the film");
    scrubber.max = String(Math.max(0, count - 1)); scrubber.value = String(Math.max(0, place));
    scrubber.setAttribute("aria-valuetext", steps[place] ? `step ${steps[place][0]}` : "");
    const why = steps[place] ? WHY[steps[place][1]] ?? "" : "";
    say(at, steps[place] ? `step ${whole(steps[place][0])}${why ? ` · ${why}` : ""}` : "");
    moments.show(moment, !!before);
    moments.buttons[0].disabled = false;
    say(change, changeWords(film));
    const shown = moment === "before" ? before : moment === "after" ? now[0] : moment === "difference" ? difference : frames[place];
    canvas.hidden = !shown;
    const peak = moment === "difference" ? filmPeak(difference ? [difference] : []) : filmPeak(frames);
    if (shown) {
      paintFrame(el, canvas, film, shown, peak, room);
      canvas.setAttribute("aria-label", `${film.layer}, ${moment === "film" ? at.textContent : `${moment} of ${change.textContent}`}`);
    }
    say(words, film.reason || (film.steps ? filmWords(film, moment, count, peak) : "The film is being made."));
    spread.show(room, moment === "film" && steps[place] ? steps[place][0] : null);
  };

  listen(scrubber, "input", () => { stop(); moment = "film"; frame = Number(scrubber.value); repaint(); }, signal);
  return { node, draw };
}

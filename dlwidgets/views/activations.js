// The activation browser: one layer's output for one sample, as tiles, a matrix or bars.
import { live, wishes, listen, make, say, surface, numbers, color, sig, whole } from "./front.js";
import {
  anyNegative, dequantise, halfStep, paintMaps, palette, sheetColumns, tileAt, tileGrid, tileStep,
} from "./activations_tiles.js";
import { bitmap, drawBars, drawScale } from "./activations_canvas.js";
import { heading, keepPlaces, layerGroups, partName, percent, place, range, withError } from "./activations_words.js";

/** @typedef {import("./front.js").Model} Model */
/** @typedef {import("./activations_tiles.js").Grid} Grid */

/** Room for the numbers beside bars [px]. */
const GUTTER = 48;

/** @type {{render(view: {model: Model, el: HTMLElement, signal: AbortSignal}): void}} */
const activationBrowser = {
  render({ model, el, signal }) {
    el.classList.add("dlw", "dlw-activations");

    const what = make("span", { class: "dlw-act-what" }), moment = make("span", { class: "dlw-act-moment dlw-small" });
    const layer = make("select", { "aria-label": "layer" });
    const search = make("input", { type: "search", placeholder: "find", "aria-label": "find a layer by name or class" });
    const part = make("select", { "aria-label": "which output of the layer" });
    const back = make("button", { type: "button", text: "‹", "aria-label": "previous sample", title: "previous sample" });
    const next = make("button", { type: "button", text: "›", "aria-label": "next sample", title: "next sample" });
    const number = make("input", { type: "number", class: "dlw-act-number", min: 0, step: 1, "aria-label": "sample number" });
    const many = make("span"), random = make("button", { type: "button", text: "random", title: "a sample at random" });
    const perLayer = make("button", { type: "button", text: "layer", title: "the colours span the largest value of the layer" });
    const perMap = make("button", { type: "button", text: "each map", title: "the colours span the largest value of each map" });
    const given = make("canvas", { role: "img" }), tokens = make("div", { class: "dlw-act-tokens", tabindex: 0, "aria-label": "input tokens" });
    const givenWords = make("figcaption"), givenBox = make("figure", {}, givenWords, given, tokens);
    const near = make("canvas", { role: "img", tabindex: 0 }), nearWords = make("figcaption");
    const nearBox = make("figure", {}, nearWords, near);
    const ranking = make("div", { class: "dlw-act-ranking" }), saidWords = make("div", { class: "dlw-act-caption" });
    const said = make("div", { class: "dlw-act-said" }, saidWords, ranking);
    const sheet = make("canvas", { role: "slider", tabindex: 0, "aria-roledescription": "feature maps" });
    const ring = make("div", { class: "dlw-act-ring" }), over = make("div", { class: "dlw-act-ring", "data-over": "true" });
    const sheetBox = make("div", { class: "dlw-act-sheet" }, sheet, ring, over);
    const reading = make("div", { class: "dlw-act-reading" });
    const from = make("span"), scale = make("canvas", { role: "img" }), to = make("span");
    const legend = make("span", { class: "dlw-act-legend" }, from, scale, to);
    const facts = make("span"), dead = make("span"), broken = make("span", { class: "dlw-act-warn" }), left = make("span");
    const foot = make("div", { class: "dlw-act-foot" }, legend, facts, dead, broken, left);
    const empty = make("div", { class: "dlw-empty" });
    const note = make("div", { class: "dlw-note", role: "status" });
    const toggle = make("div", { class: "dlw-act-group dlw-act-toggle", role: "group", "aria-label": "what the colours span" },
      make("span", { text: "Colours span" }), perLayer, perMap);
    const partBox = make("div", { class: "dlw-act-group" }, make("span", { text: "Output" }), part);
    el.append(
      make("div", { class: "dlw-head" }, make("span", { class: "dlw-title", text: "Activations" }), what, moment),
      make("div", { class: "dlw-act-bar" },
        make("div", { class: "dlw-act-group dlw-act-layer" }, make("span", { text: "Layer" }), layer, search), partBox,
        make("div", { class: "dlw-act-group" }, make("span", { text: "Sample" }), back, number, next, many, random), toggle),
      note,
      make("div", { class: "dlw-act-body" },
        make("div", { class: "dlw-act-side" }, givenBox, nearBox, said),
        make("div", { class: "dlw-act-main" }, empty, sheetBox, foot, reading)),
    );

    let atlas = /** @type {HTMLCanvasElement | null} */ (null);
    let painted = "", listed = "", hover = /** @type {{index: number, row: number, column: number} | null} */ (null);
    let ranked = { of: "", names: /** @type {string[]} */ ([]) };
    let cursor = /** @type {[number, number] | null} */ (null);
    let grid = /** @type {Grid} */ ({ columns: 1, rows: 1, width: 1, height: 1, gap: 0, across: 1, down: 1 });
    let picture = /** @type {any} */ ({});
    let maps = /** @type {Uint8Array} */ (new Uint8Array()), sharp = maps, colours = maps;
    let bars = /** @type {Float32Array} */ (new Float32Array()), scales = bars, means = bars, zeros = bars;
    let again = () => {};
    const want = wishes({ model, signal, repaint: () => again() });

    const chosen = () => Math.min(Math.max(0, want.get("chosen")), Math.max(0, (picture.count ?? 1) - 1));
    const isBars = () => picture.form === "bars";
    const isMatrix = () => picture.form === "sequence" || picture.form === "signal";
    /** What the colours of map `m` span. @param {number} m */
    const spanned = (m) => (want.get("per") === "map" ? scales[m] : picture.peak);

    const readModel = () => {
      const now = model.get("drawing");
      // The place that was read belongs to the layer it was read in.
      if (now.layer !== picture.layer || now.part !== picture.part) cursor = null;
      picture = now;
      maps = numbers(model.get("maps"), Uint8Array);
      bars = numbers(model.get("bars"), Float32Array);
      sharp = numbers(model.get("near"), Uint8Array);
      const all = numbers(model.get("facts"), Float32Array), count = picture.count ?? 0;
      scales = all.subarray(0, count); means = all.subarray(count, 2 * count); zeros = all.subarray(2 * count, 3 * count);
      const stops = ["map-n2", "map-n1", "map-0", "map-p1", "map-p2"].map((name) => color(el, name));
      colours = palette(stops, color(el, "red"));
    };

    const showControls = () => {
      const layers = model.get("layers"), query = search.value, key = `${layers.length}|${layers.at(-1)?.[0]}|${query}`;
      if (key !== listed) {
        listed = key;
        layer.replaceChildren(...layerGroups(layers, query).flatMap((group) => {
          const options = group.options.map(({ value, text }) => make("option", { value, text }));
          return group.label ? [make("optgroup", { label: group.label }, ...options)] : options;
        }));
      }
      const asked = want.get("selected_layer") ?? "";
      if (layer.value !== asked) layer.value = asked;
      if (layer.value !== asked) layer.selectedIndex = -1;
      search.hidden = layers.length < 12;
      const parts = picture.parts ?? [];
      partBox.hidden = parts.length < 2;
      if (part.options.length !== parts.length || [...part.options].some((option, i) => option.value !== parts[i])) {
        part.replaceChildren(...parts.map((/** @type {string} */ name) => make("option", { value: name, text: partName(name) })));
      }
      part.value = want.get("part");
      const sample = model.get("sample"), at = want.get("selected_sample");
      if (document.activeElement !== number) number.value = String(at);
      number.max = String((sample.count ?? 1) - 1);
      say(many, sample.count ? `of ${whole(sample.count)} ${sample.name}` : "");
      back.disabled = at <= 0; next.disabled = at >= (sample.count ?? 1) - 1; random.disabled = (sample.count ?? 1) < 2;
      const per = want.get("per");
      perLayer.setAttribute("aria-pressed", String(per !== "map")); perMap.setAttribute("aria-pressed", String(per === "map"));
      toggle.hidden = isBars() || isMatrix() || !!picture.reason;
    };

    const showWords = () => {
      const sample = model.get("sample"), now = model.get("moment");
      const line = heading(picture, sample);
      say(what, line);
      what.title = line;
      const step = now.step === null || now.step === undefined ? "" : `step ${whole(now.step)}`;
      const seldom = now.running && now.every >= 2 ? `, every ${sig(now.every, 2)} s` : "";
      say(moment, now.running ? `● live · ${step}${seldom}` : step);
      moment.dataset.live = String(!!now.running);
      say(note, [model.get("problem"), want.refusal].filter(Boolean).join("\n"));
      say(empty, picture.reason ?? "");
      empty.hidden = !picture.reason; sheetBox.hidden = !!picture.reason; foot.hidden = !!picture.reason; reading.hidden = !!picture.reason;
      say(saidWords, sample.ranking?.length ? (sample.measure === "probability" ? "predicted" : "output") : "");
      const of = `${sample.number}|${sample.measure}`;
      /** @type {[string, number | null, boolean | null][]} */
      const rows = keepPlaces(of === ranked.of ? ranked.names : [], sample.ranking ?? []);
      ranked = { of, names: rows.map((row) => row[0]) };
      const shares = sample.measure === "probability";
      ranking.dataset.shares = String(shares);
      ranking.replaceChildren(...rows.flatMap(([name, score, true_]) => {
        const words = true_ ? `✓ ${name}` : name;
        const bar = make("i");
        bar.style.width = `${100 * Math.min(1, Math.max(0, score ?? 0))}%`;
        return [
          make("span", { text: words, title: true_ ? `${name}: true` : name, class: true_ ? "dlw-act-true" : "" }),
          make("span", shares ? { class: "dlw-act-share", "data-true": !!true_ } : {}, ...(shares ? [bar] : [])),
          make("span", { text: shares ? (score ?? NaN).toFixed(2) : sig(score, 3), class: "dlw-act-score" }),
        ];
      }));
    };

    const showGiven = () => {
      const shown = model.get("shown"), width = givenBox.clientWidth || 150;
      const [h, w] = shown.size ?? [0, 0];
      const dims = (shown.shape ?? []).join("×") || "one number";
      say(givenWords, `input ${dims}${shown.kind === "image" ? `, ${range(shown.low, shown.high)}` : ""}`);
      givenWords.title = [givenWords.textContent, shown.words].filter(Boolean).join("; ");
      tokens.hidden = shown.kind !== "tokens" && shown.kind !== "none";
      say(tokens, tokens.hidden ? "" : shown.words ?? "");
      given.hidden = !tokens.hidden || !shown.kind;
      given.setAttribute("aria-label", `input of sample ${model.get("sample").number}, ${dims}`);
      if (given.hidden) return;
      const strip = numbers(model.get("strip"), Float32Array);
      if (strip.length) { drawBars(el, surface(given, width, 64), strip, width, 64); return; }
      const bytes = numbers(model.get("pixels"), Uint8Array);
      if (!h || !w || !bytes.length) return;
      const rgba = new Uint8ClampedArray(h * w * 4);
      if (shown.kind === "image") {
        for (let i = 0; i < h * w; i += 1) { rgba.set(bytes.subarray(3 * i, 3 * i + 3), 4 * i); rgba[4 * i + 3] = 255; }
      } else rgba.set(paintMaps(bytes, 1, h, w, 1, [1], null, colours).pixels);
      const side = Math.min(width, 200), height = shown.kind === "image" ? Math.min(side, (side * h) / w) : Math.min(120, Math.max(40, (side * h) / w));
      const across = shown.kind === "image" ? Math.min(side, (height * w) / h) : side;
      const ctx = surface(given, across, height);
      ctx.imageSmoothingEnabled = across < w;
      ctx.drawImage(bitmap(rgba, w, h), 0, 0, across, height);
    };

    const showSheet = () => {
      const room = Math.max(60, Math.floor(/** @type {HTMLElement} */ (sheetBox.parentElement).clientWidth));
      const count = picture.count ?? 0;
      if (picture.reason) return;
      if (isBars()) {
        const width = (room - GUTTER) / Math.max(1, bars.length);
        grid = { columns: bars.length, rows: 1, width, height: 200, gap: 0, across: room, down: 200, left: GUTTER };
        drawBars(el, surface(sheet, room, 200), bars, room, 200, GUTTER);
      } else if (count) {
        const [h, w] = picture.size;
        grid = tileGrid(count, picture.whole[1] / picture.whole[0], room, picture.form);
        const per = want.get("per"), key = [model.get("frame"), per, el.dataset.theme].join("|");
        const columns = sheetColumns(count, h, w);
        if (key !== painted) {
          painted = key;
          const all = paintMaps(maps, count, h, w, columns, scales, per === "map" ? null : picture.peak, colours);
          atlas = bitmap(all.pixels, all.width, all.height);
        }
        const ctx = surface(sheet, grid.across, grid.down);
        // Blocks of pixels stay blocks; only what is shown smaller than it is may blur.
        ctx.imageSmoothingEnabled = grid.width * (window.devicePixelRatio || 1) < w;
        for (let m = 0; m < count; m += 1) {
          const x = (m % grid.columns) * (grid.width + grid.gap), y = Math.floor(m / grid.columns) * (grid.height + grid.gap);
          if (zeros[m] === 1) { ctx.fillStyle = color(el, "map-dead"); ctx.fillRect(x, y, grid.width, grid.height); continue; }
          if (atlas) ctx.drawImage(atlas, (m % columns) * w, Math.floor(m / columns) * h, w, h, x, y, grid.width, grid.height);
        }
      }
      showFoot();
    };

    const showFoot = () => {
      legend.hidden = isBars();
      const each = want.get("per") === "map" && !isMatrix(), signed = anyNegative(maps), peak = each ? "peak" : sig(picture.peak, 3);
      say(from, signed ? `−${peak}` : "0"); say(to, each ? "peak of each map" : peak);
      if (!legend.hidden) {
        drawScale(surface(scale, 96, 8), 96, 8, colours, signed);
        scale.setAttribute("aria-label", `colour scale from ${from.textContent} to ${to.textContent}`);
      }
      say(facts, `mean ${sig(picture.mean, 2)}, sd ${sig(picture.std, 2)}, zero ${percent(picture.zeros)}`);
      let still = 0;
      for (const share of zeros) if (share === 1) still += 1;
      say(dead, still && !isMatrix() ? `${still === zeros.length ? "all" : `${still} of ${zeros.length}`} zero everywhere (grey)` : "");
      say(broken, picture.nonfinite > 0 ? `▲ ${percent(picture.nonfinite)} not finite` : "");
      say(left, picture.note ?? "");
    };

    /** The map shown large: the one under the pointer, else the chosen one. */
    const shownMap = () => hover?.index ?? chosen();

    const showNear = () => {
      nearBox.hidden = !!picture.reason || isBars() || isMatrix() || !picture.count || picture.count < 2;
      if (nearBox.hidden) return;
      const m = shownMap(), close = picture.near && picture.near.map === m ? picture.near : null;
      const [h, w] = close ? close.size : picture.size;
      const bytes = close ? sharp : maps.subarray(m * h * w, (m + 1) * h * w), own = close ? close.scale : scales[m];
      const width = Math.min(nearBox.clientWidth || 150, 200), aspect = picture.whole[1] / picture.whole[0];
      const across = aspect >= 1 ? width : Math.max(24, width * aspect), down = aspect >= 1 ? Math.max(24, width / aspect) : width;
      const ctx = surface(near, across, down);
      say(nearWords, `${picture.axes[0]} ${m}${hover ? "" : ", chosen"}`);
      near.setAttribute("aria-label", `${picture.axes[0]} ${m} enlarged; arrow keys read its values`);
      if (zeros[m] === 1) { ctx.fillStyle = color(el, "map-dead"); ctx.fillRect(0, 0, across, down); }
      else {
        ctx.imageSmoothingEnabled = across * (window.devicePixelRatio || 1) < w;
        ctx.drawImage(bitmap(paintMaps(bytes, 1, h, w, 1, [own], spanned(m), colours).pixels, w, h), 0, 0, across, down);
      }
      const at = point(close);
      if (at) {
        ctx.strokeStyle = color(el, "ink"); ctx.lineWidth = 1;
        ctx.strokeRect((at[1] * across) / w + 0.5, (at[0] * down) / h + 0.5, Math.max(2, across / w - 1), Math.max(2, down / h - 1));
      }
    };

    /** Row and column of the pixel that is read, in the picture that is shown large. @param {any} close @returns {[number, number] | null} */
    const point = (close) => {
      const share = hover ? [hover.row, hover.column] : cursor;
      if (!share) return null;
      const [h, w] = close ? close.size : picture.size;
      return [Math.min(h - 1, Math.floor(share[0] * h)), Math.min(w - 1, Math.floor(share[1] * w))];
    };

    const read = () => {
      if (picture.reason) return;
      let words = "";
      if (isBars()) {
        const i = Math.min(bars.length - 1, hover?.index ?? want.get("chosen"));
        const first = i * picture.group, last = Math.min((picture.shape[0] ?? 1), first + picture.group) - 1;
        const value = Number.isFinite(bars[i]) ? sig(bars[i], 4) : "not finite";
        const name = picture.names?.[i] ? `, ${picture.names[i]}` : "";
        words = first === last ? `unit ${first}${name}: ${value}` : `units ${first}–${last}, the strongest: ${value}`;
      } else if (picture.count) {
        const m = shownMap(), close = picture.near && picture.near.map === m ? picture.near : null, at = point(close);
        const size = close ? close.size : picture.size, block = close ? close.block : picture.block;
        const about = zeros[m] === 1 ? "zero everywhere"
          : scales[m] === 0 && means[m] === 0 ? "no finite value"
          : `mean ${sig(means[m], 2)}, zero ${percent(zeros[m])}, peak ${sig(scales[m], 3)}`;
        words = !isMatrix() ? `${picture.axes[0]} ${m}: ${about}` : at ? "" : "point at the picture to read its values";
        if (at) {
          const q = close ? sharp[at[0] * size[1] + at[1]] : maps[(m * size[0] + at[0]) * size[1] + at[1]];
          const own = close ? close.scale : scales[m];
          const mean = block[0] * block[1] > 1 ? "mean " : "";
          words = `${place(picture.axes, at, block, picture.whole)}: ${mean}${withError(dequantise(q, own), halfStep(own))}${words && ` · ${words}`}`;
        }
      }
      say(reading, words);
      const count = isBars() ? bars.length : picture.count ?? 1;
      sheet.setAttribute("aria-label", `${heading(picture, model.get("sample"))}`);
      sheet.setAttribute("aria-valuemin", "0"); sheet.setAttribute("aria-valuemax", String(Math.max(0, count - 1)));
      sheet.setAttribute("aria-valuenow", String(Math.min(want.get("chosen"), Math.max(0, count - 1))));
      sheet.setAttribute("aria-valuetext", words);
    };

    /** @param {HTMLElement} frame @param {number | null} m */
    const surround = (frame, m) => {
      frame.hidden = m === null || picture.reason || (!isBars() && (picture.count ?? 0) < 2);
      if (frame.hidden || m === null) return;
      const x = (grid.left ?? 0) + (m % grid.columns) * (grid.width + grid.gap), y = Math.floor(m / grid.columns) * (grid.height + grid.gap);
      Object.assign(frame.style, { left: `${x - 2}px`, top: `${y - 2}px`, width: `${grid.width + 4}px`, height: `${grid.height + 4}px` });
    };

    /** What follows the pointer and the keys; the tiles themselves stay. */
    const follow = () => {
      const count = isBars() ? bars.length : picture.count ?? 0;
      if (hover && hover.index >= count) hover = null;
      surround(ring, count ? Math.min(want.get("chosen"), count - 1) : null);
      surround(over, hover ? hover.index : null);
      showNear();
      read();
    };

    const draw = () => {
      readModel();
      showControls();
      showWords();
      showGiven();
      showSheet();
      follow();
    };

    // -- what a person does
    /** @param {number} to */
    const goTo = (to) => {
      const count = model.get("sample").count ?? 0;
      if (Number.isInteger(to) && to >= 0 && to < count) want.set("selected_sample", to);
    };
    listen(layer, "change", () => want.set("selected_layer", layer.value), signal);
    listen(search, "input", () => again(), signal);
    listen(search, "keydown", (event) => {
      if (event.key !== "Enter") return;
      const first = layerGroups(model.get("layers"), search.value)[0]?.options[0];
      if (first) { want.set("selected_layer", first.value); search.value = ""; layer.focus(); again(); }
    }, signal);
    listen(part, "change", () => want.set("part", part.value), signal);
    listen(back, "click", () => goTo(want.get("selected_sample") - 1), signal);
    listen(next, "click", () => goTo(want.get("selected_sample") + 1), signal);
    listen(random, "click", () => {
      const count = model.get("sample").count ?? 1, jump = 1 + Math.floor(Math.random() * (count - 1));
      goTo((want.get("selected_sample") + jump) % count);
    }, signal);
    const typed = () => {
      const count = model.get("sample").count ?? 1;
      const to = Math.min(count - 1, Math.max(0, Math.round(Number(number.value) || 0)));
      number.value = String(to);
      if (to !== want.get("selected_sample")) goTo(to);
    };
    listen(number, "change", typed, signal);
    // A notebook may keep Enter for itself before the field hears of a change.
    listen(number, "keydown", (event) => { if (event.key === "Enter") typed(); }, signal);
    listen(perLayer, "click", () => want.set("per", "layer"), signal);
    listen(perMap, "click", () => want.set("per", "map"), signal);
    /** @param {PointerEvent} event */
    const under = (event) => {
      const box = sheet.getBoundingClientRect(), count = isBars() ? bars.length : picture.count ?? 0;
      const found = tileAt(event.clientX - box.left, event.clientY - box.top, grid, count);
      return found && { index: found.index, row: found.v, column: found.u };
    };
    listen(sheet, "pointermove", (event) => { hover = under(event); follow(); }, signal);
    listen(sheet, "pointerleave", () => { hover = null; follow(); }, signal);
    listen(sheet, "click", (event) => {
      // A finger clicks without having hovered.
      const at = under(event);
      if (at) { cursor = [at.row, at.column]; want.set("chosen", at.index); }
    }, signal);
    listen(sheet, "keydown", (event) => {
      const count = isBars() ? bars.length : picture.count ?? 0;
      const to = tileStep(event.key, want.get("chosen"), grid.columns, count);
      if (to === null || !count) return;
      event.preventDefault();
      hover = null;
      want.set("chosen", to);
    }, signal);
    listen(near, "pointermove", (event) => {
      const box = near.getBoundingClientRect();
      cursor = [
        Math.min(0.9999, Math.max(0, (event.clientY - box.top) / box.height)),
        Math.min(0.9999, Math.max(0, (event.clientX - box.left) / box.width)),
      ];
      follow();
    }, signal);
    listen(near, "keydown", (event) => {
      /** @type {Record<string, [number, number]>} */
      const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
      if (!(event.key in by) || !picture.size) return;
      event.preventDefault();
      const close = picture.near && picture.near.map === chosen() ? picture.near : null;
      const [h, w] = close ? close.size : picture.size, at = point(close) ?? [Math.floor(h / 2), Math.floor(w / 2)];
      const to = [0, 1].map((i) => Math.min((i ? w : h) - 1, Math.max(0, at[i] + by[event.key][i])));
      cursor = [(to[0] + 0.5) / h, (to[1] + 0.5) / w];
      follow();
    }, signal);

    again = live({ model, el, signal, draw });
  },
};
export default activationBrowser;

// The pure parts of the study: words of an effect, marks, overlays, frames of a film, the spread.
import assert from "node:assert/strict";
import { test } from "node:test";
import { excitesWords, markAt } from "../../dlwidgets/views/study/top_samples.js";
import { filmFrames, filmPeak, looseFrames, stripGrid } from "../../dlwidgets/views/study/film.js";
import { heat, whereWords } from "../../dlwidgets/views/study/attribution.js";
import { changeWords, nextFrame } from "../../dlwidgets/views/study/over_time.js";
import { binAt, columnWords, plotBox, shareOf, usedBins } from "../../dlwidgets/views/study/spread.js";
import { effectWords, factorName, scaleOf, scoreText } from "../../dlwidgets/views/study/ablation.js";

const TOUCHED = {
  measure: "probability", steps: [0, 0.5, 1, 2], list: [["relu", 14, 0]],
  rows: [["edema", 0.4, 0.41, 0, 0, 0, 0], ["pneumonia", 0.31, 0.52, 0, 0, 0, 0]],
};

// -- touching

test("a factor is written as it is said", () => {
  assert.deepEqual([0, 0.5, 1, 2, 1.25, -1].map(factorName), ["off", "×0.5", "×1", "×2", "×1.25", "×−1"]);
});

test("the class that changes most is named with what it was and what it is", () => {
  assert.equal(effectWords(TOUCHED), "changes P(pneumonia) 0.31 → 0.52");
});

test("outputs that are no probabilities are named as they are", () => {
  assert.equal(effectWords({ ...TOUCHED, measure: "output" }), "changes pneumonia 0.310 → 0.520");
});

test("a channel that nobody touched is told of by what off and double would do", () => {
  const untouched = { ...TOUCHED, list: [], rows: [["edema", 0.4, 0.4, 0.4, 0.4, 0.4, 0.41], ["mass", 0.3, 0.3, 0.2, 0.25, 0.3, 0.6]] };
  assert.equal(effectWords(untouched), "off / ×1 / ×2: P(mass) 0.20 / 0.30 / 0.60");
});

test("an effect too small to see is said to be none", () => {
  assert.match(effectWords({ ...TOUCHED, rows: [["mass", 0.3, 0.301, 0, 0, 0, 0]] }), /no score by more/);
  assert.match(effectWords({ ...TOUCHED, list: [], rows: [["mass", 0.3, 0.3, 0.3, 0.3, 0.3, 0.301]] }), /no score by more/);
  assert.equal(effectWords({ ...TOUCHED, rows: [] }), "");
});

test("probabilities near the ends keep the digits that tell them from the ends", () => {
  assert.deepEqual([0.5, 0.001, 0.9991, 1, 0].map((x) => scoreText(x, true)), ["0.50", "0.0010", "0.9991", "1.00", "0.00"]);
  assert.equal(scoreText(null, true), "n/a");
});

test("probabilities lie on 0 to 1, other scores between their own ends and zero", () => {
  assert.equal(scaleOf(TOUCHED.rows, true)(0.25), 25);
  const at = scaleOf([["a", -2, 6]], false);
  assert.deepEqual([at(-2), at(0), at(6)], [0, 25, 100]);
});

// -- what excites

test("a mark is whole in its picture, large enough to see, and around its place", () => {
  for (const [left, top] of [[0, 0], [0.96, 0.96], [0.5, 0.2]]) {
    const [x, y, w, h] = markAt([left, top, 1 / 28, 1 / 28], 76, 76);
    assert.ok(x >= 0 && y >= 0 && x + w <= 76 && y + h <= 76);
    assert.ok(w >= 14 && h >= 14);
    const [cx, cy] = [(left + 0.5 / 28) * 76, (top + 0.5 / 28) * 76];
    assert.ok(cx >= x && cx <= x + w && cy >= y && cy <= y + h);
  }
});

test("it is said how many samples were run, of how many, and at which step", () => {
  const now = { channel: 3, taken: 256, wanted: 256, of: 1000, active: 0.5, first: 20, last: 20, note: "" };
  assert.equal(excitesWords(now), "channel 3: above zero on 50 % of 256 samples, chosen from 1,000 · step 20");
  assert.match(excitesWords({ ...now, taken: 64, first: 20, last: 24 }), /first 64 of 256 samples.*steps 20–24/);
  assert.equal(excitesWords({ ...now, reason: "no such layer" }), "no such layer");
});

// -- where it looked

test("the stronger a place speaks, the less the input shows through; zero and nothing leave it clear", () => {
  const pixels = heat(Uint8Array.from([128, 255, 1, 192, 0]), 0.5, [1, 2, 3], [4, 5, 6]);
  assert.deepEqual([...pixels.subarray(4, 8)], [1, 2, 3, 128]);
  assert.deepEqual([...pixels.subarray(8, 12)], [4, 5, 6, 128]);
  assert.equal(pixels[3], 0);
  assert.equal(pixels[15], Math.round(255 * 0.5 * (64 / 127)));
  assert.equal(pixels[19], 0);
});

test("a map without anything in it says what to do", () => {
  const now = { method: "grad_cam", target: 1, classes: [[1, "mass", 0.5]], layer: "conv", peak: 0, shape: [8, 8] };
  assert.match(whereWords(now), /no place of conv speaks for mass: choose another class/);
  assert.match(whereWords({ ...now, peak: 1 }), /what speaks for mass in the maps of conv, 8 × 8/);
  assert.equal(whereWords({ reason: "has none" }), "has none");
});

// -- over time

const FILM = { count: 2, size: [1, 2], near: [2, 2], steps: [[0, "start"], [5, "time"]], now: 7 };

test("the bytes of the frames are taken apart where they were put together", () => {
  const bytes = Uint8Array.from({ length: 16 }, (_, i) => i), scales = Float32Array.from([1, 2, 3, 4, 5, 6]);
  const [first, second] = filmFrames(FILM, bytes, scales);
  assert.deepEqual([...first.maps], [0, 1, 2, 3]);
  assert.deepEqual([...first.near], [4, 5, 6, 7]);
  assert.deepEqual([...second.maps, ...second.near], [8, 9, 10, 11, 12, 13, 14, 15]);
  assert.deepEqual([...second.scales, second.nearScale], [4, 5, 6]);
  assert.equal(filmPeak([first, second]), 6);
});

test("frames that do not fit their sizes, as between two pictures, are none", () => {
  assert.deepEqual(filmFrames(FILM, new Uint8Array(15), new Float32Array(6)), []);
  assert.deepEqual(looseFrames(FILM, new Uint8Array(3)), []);
  assert.deepEqual(looseFrames(FILM, new Uint8Array()), []);
});

test("a frame that brings its scales is read as it was written", () => {
  const scales = new Uint8Array(Float32Array.from([0.5, 0.25, 8]).buffer);
  const one = Uint8Array.from([...scales, 1, 2, 3, 4, 5, 6, 7, 8]);
  const [a, b] = looseFrames(FILM, Uint8Array.from([...one, ...one]));
  assert.deepEqual([...a.scales, a.nearScale], [0.5, 0.25, 8]);
  assert.deepEqual([...b.maps], [1, 2, 3, 4]);
  assert.deepEqual([...b.near], [5, 6, 7, 8]);
});

test("small maps lie beside the large one and are no higher, as long as they can be seen", () => {
  for (const count of [2, 16, 64, 200, 512]) {
    for (const across of [200, 500, 1000]) {
      const grid = stripGrid(count, 1, across);
      assert.ok(grid.columns * grid.width + (grid.columns - 1) * 2 <= across);
      assert.ok(grid.down <= 132 || grid.height === 14);
      assert.ok(grid.columns <= count);
    }
  }
});

test("after the last frame comes the first", () => {
  assert.deepEqual([nextFrame(0, 3), nextFrame(2, 3), nextFrame(0, 0)], [1, 0, 0]);
});

test("one step is called the last step, several by their numbers", () => {
  assert.equal(changeWords({ before: 6, now: 7, exact: true }), "last step, 6 → 7");
  assert.equal(changeWords({ before: 1000, now: 1200, exact: false }), "step 1,000 → 1,200");
  assert.equal(changeWords({ before: null }), "");
});

// -- the spread

const SPREAD = { bins: 8, reach: 4, steps: [[0, 0], [1, 3]], mean: [0, 1.5], std: [0, 1], zeros: [1, 0.25] };
const SHADES = Uint8Array.from([0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 128, 0, 255, 0, 64, 0]);

test("only bins that are filled are shown, zero always among them", () => {
  assert.deepEqual(usedBins(SHADES, 8), [2, 6]);
  assert.deepEqual(usedBins(new Uint8Array(8), 8), [3, 4]);
});

test("the point in the middle of each cell finds its column and bin", () => {
  const used = usedBins(SHADES, 8), box = plotBox(400), rows = used[1] - used[0] + 1;
  for (let column = 0; column < 2; column += 1) {
    for (let bin = used[0]; bin <= used[1]; bin += 1) {
      const x = box.left + ((column + 0.5) / 2) * box.width, y = ((used[1] - bin + 0.5) / rows) * box.height;
      assert.deepEqual(binAt(x, y, 400, SPREAD, used), { column, bin });
    }
  }
  assert.equal(binAt(3, 5, 400, SPREAD, used), null);
  assert.equal(binAt(200, 500, 400, SPREAD, used), null);
});

test("a shade is read back as the share it was made from", () => {
  for (const share of [1, 0.5, 0.01, 0.0003]) {
    const shade = 1 + Math.round(254 * (1 + Math.log10(share) / 4));
    assert.ok(Math.abs(Math.log10(shareOf(shade) / share)) < 0.01);
  }
  assert.equal(shareOf(0), 0);
});

test("a column says its steps, its numbers, and what the bin under the pointer holds", () => {
  assert.equal(columnWords(SPREAD, 0, null, SHADES), "step 0: mean 0, sd 0, zero 100 %");
  assert.equal(columnWords(SPREAD, 1, 4, SHADES), "steps 1–3: mean 1.5, sd 1.0, zero 25 % · 0 to 1.0: 100 %");
});

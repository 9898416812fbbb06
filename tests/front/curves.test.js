// The pure parts of the curves: bytes as rows, means, ranges, places of labels.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  apart, gaps, linesOf, logRange, logTicks, meanOver, nearest, positive, range, rowsOf, smooth, tick, topOf, widths,
} from "../../dlwidgets/views/curves/series.js";
import { endWords } from "../../dlwidgets/views/curves/charts.js";
import { stepAt, stepBy, together, wordsOf } from "../../dlwidgets/views/curves/rail.js";

let state = 7;
/** A number from 0 to 1, the same at every run. */
const random = () => { state = (state * 1103515245 + 12345) % 2147483648; return state / 2147483648; };

test("lines that were left come apart, and there are always as many", () => {
  const rows = [[0, 0, 2, 2, 2], [4, 5, 1, 2, 3], [0.5, 0.25, 1, 2, 4]];
  const bytes = new DataView(Float32Array.from(rows.flat()).buffer);
  const lines = linesOf(bytes, 4).map((line) => line.map((values) => [...values]));
  assert.deepEqual(lines, [[[4, 5], [0.5, 0.25]], [[], []], [[1, 2, 3], [1, 2, 4]], [[], []]]);
  assert.deepEqual(linesOf(new DataView(new ArrayBuffer(0)), 2).map((line) => line.map((values) => [...values])), [[[], []], [[], []]]);
});

test("a block of float32 is read row by row, wherever its bytes start", () => {
  const values = Float32Array.from({ length: 12 }, (_, i) => i / 8);
  for (const start of [0, 1, 3, 4, 8]) {
    const bytes = new Uint8Array(start + values.byteLength);
    bytes.set(new Uint8Array(values.buffer), start);
    const rows = rowsOf(new DataView(bytes.buffer, start), 4);
    assert.deepEqual(rows.map((row) => [...row]), [0, 1, 2, 3].map((row) => [...values.slice(3 * row, 3 * row + 3)]));
  }
});

test("no bytes are empty rows", () => {
  for (const nothing of [null, undefined, new DataView(new ArrayBuffer(0))]) {
    assert.deepEqual(rowsOf(nothing, 2).map((row) => row.length), [0, 0]);
  }
});

test("a moving mean is the mean of the values around, weighted", () => {
  const values = Array.from({ length: 50 }, random), weights = values.map(() => 1 + Math.floor(4 * random()));
  for (const reach of [0, 1, 3, 60]) {
    const got = smooth(values, reach, weights), plain = smooth(values, reach);
    values.forEach((_, i) => {
      let sum = 0, weight = 0, total = 0, count = 0;
      for (let j = Math.max(0, i - reach); j <= Math.min(values.length - 1, i + reach); j++) {
        sum += weights[j] * values[j]; weight += weights[j]; total += values[j]; count += 1;
      }
      assert.ok(Math.abs(got[i] - sum / weight) < 1e-12 && Math.abs(plain[i] - total / count) < 1e-12);
    });
  }
});

test("a value that is none stays none and spoils no other", () => {
  const got = smooth([1, Infinity, 3, NaN, 5], 1);
  assert.deepEqual(got, [1, NaN, 3, NaN, 5]);
});

test("one value is its own mean", () => assert.deepEqual(smooth([7], 8, widths([1])), [7]));

test("a bucket stands for the steps since the one before it", () => {
  assert.deepEqual(widths([1, 2, 3]), [1, 1, 1]);
  assert.deepEqual(widths([8, 16, 24, 27]), [8, 8, 8, 3]);
  // A stretch that was zoomed to does not begin at the first step.
  assert.deepEqual(widths([800, 808, 816]), [8, 8, 8]);
  assert.deepEqual(widths([5]), [1]);
  assert.deepEqual(widths([]), []);
});

test("the nearest step is the one that a search through all finds", () => {
  const row = Float32Array.from(Array.from({ length: 80 }, () => Math.floor(500 * random()))).sort();
  for (let n = 0; n < 300; n++) {
    const x = 600 * random() - 50, best = Math.min(...Array.from(row, (step) => Math.abs(step - x)));
    assert.equal(Math.abs(row[nearest(row, x)] - x), best);
  }
  assert.equal(nearest(row, Infinity), row.length - 1);
  assert.equal(nearest([], 3), -1);
  assert.equal(nearest([4], -Infinity), 0);
});

test("an axis holds all its values, and begins at 0 where they come near it", () => {
  for (let n = 0; n < 300; n++) {
    const low = 4 * random() - 1, high = low + 3 * random() + 1e-6, [from, to] = range(low, high);
    assert.ok(from <= low && high < to, `${low} .. ${high} in ${from} .. ${to}`);
    if (low >= 0 && low < 0.5 * high) assert.equal(from, 0);
  }
});

test("a line that was left and leapt does not flatten the one under way", () => {
  const own = [[0.3, 0.2, null], [0.4, 0.7, null]];
  assert.equal(topOf(own, 0.9), 0.9);
  const top = topOf(own, 40);
  assert.ok(top !== null && top > 0.7 && top < 2);
  assert.equal(topOf([[], []], 40), 40);
  assert.equal(topOf(own, null), null);
});

test("an axis without values, or with one alone, has a height", () => {
  for (const [low, high] of /** @type {any[]} */ ([[null, null], [NaN, 1], [0, 0], [2, 2], [-2, -2], [1, Infinity]])) {
    const [from, to] = range(low, high);
    assert.ok(Number.isFinite(from) && from < to);
    if (low === high && low !== null) assert.ok(from <= low && low <= to);
  }
});

test("a logarithmic axis holds its values, never zero, and is not all noise where they hardly differ", () => {
  for (let n = 0; n < 300; n++) {
    const low = 10 ** (8 * random() - 6), high = low * (1 + 5 * random() * random()), [from, to] = logRange(low, high);
    assert.ok(0 < from && from < low && high < to && to / from >= 2.19);
  }
  for (const [low, high] of /** @type {any[]} */ ([[null, null], [0, 1], [-1, 1], [1, Infinity]])) {
    const [from, to] = logRange(low, high);
    assert.ok(0 < from && from < to && Number.isFinite(to));
  }
});

test("the marks of a logarithmic axis are few, round, inside, and there", () => {
  for (let n = 0; n < 500; n++) {
    const low = 10 ** (60 * random() - 30), high = low * 10 ** (0.35 + 40 * random() ** 3), ticks = logTicks(low, high);
    assert.ok(ticks.length >= 1 && ticks.length <= 10, `${low} .. ${high}: ${ticks}`);
    assert.ok(ticks.every((value, i) => value >= low && value <= high && (i === 0 || value > ticks[i - 1])));
    assert.ok(ticks.every((value) => /^[1-9](e|$)/.test(value.toExponential().replace(/\.0+/, ""))));
  }
  assert.deepEqual(logTicks(0.08, 12), [0.1, 0.2, 0.5, 1, 2, 5, 10]);
  for (const [low, high] of [[0, 1], [NaN, 1], [1, Infinity]]) assert.deepEqual(logTicks(low, high), []);
});

test("labels that lie apart stay where they wish to be", () => {
  assert.deepEqual(apart([10, 60, 30], 14), [10, 60, 30]);
  assert.deepEqual(apart([], 14), []);
});

test("two labels at one height part by half the gap each", () => assert.deepEqual(apart([50, 50], 14), [43, 57]));

test("labels keep their order, their distance and their bounds, wherever they wish to be", () => {
  for (let n = 0; n < 500; n++) {
    const wanted = Array.from({ length: 1 + Math.floor(5 * random()) }, () => 100 * random());
    const placed = apart(wanted, 14, 0, 100);
    const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b]);
    order.forEach((index, k) => {
      assert.ok(placed[index] >= -1e-9 && placed[index] <= 100 + 1e-9, `${wanted} -> ${placed}`);
      if (k) assert.ok(placed[index] - placed[order[k - 1]] >= 14 - 1e-9, `${wanted} -> ${placed}`);
    });
    // No label moves that need not: within bounds, one alone is where it wishes to be.
    if (wanted.length === 1) assert.deepEqual(placed, wanted);
  }
});

test("more labels than there is room for begin at the top", () => {
  assert.deepEqual(apart([5, 5, 5], 14, 0, 20), [0, 14, 28]);
});

test("what is no number is a gap, and so is zero on a logarithmic axis", () => {
  assert.deepEqual(gaps([1, NaN, 0, -Infinity, -2]), [1, null, 0, null, -2]);
  assert.deepEqual(positive([1, NaN, 0, Infinity, -2]), [1, null, null, null, null]);
});

test("values beside an axis are short", () => {
  assert.deepEqual([0, 0.2, 0.30000000000000004, 1234, 0.9995, 0.005, 2e6].map(tick), ["0", "0.2", "0.3", "1234", "0.9995", "0.005", "2e6"]);
});

test("the rail's handle goes to a kept state that is near, else to the very step, and never beyond what was taken", () => {
  const scale = { first: 0, last: 1000, width: 500, steps: 800 };
  assert.equal(stepAt(100, scale, [0, 210]), 210);
  assert.equal(stepAt(100, scale, [0, 230]), 200);
  assert.equal(stepAt(450, scale, [0]), 800);
  assert.equal(stepAt(-20, scale, []), 0);
  for (let n = 0; n < 300; n++) {
    const kept = Array.from({ length: Math.floor(6 * random()) }, () => Math.floor(900 * random()));
    const first = Math.floor(500 * random()), x = 700 * random() - 100;
    const found = stepAt(x, { ...scale, first }, kept), exact = first + (x * (1000 - first)) / 500;
    assert.ok(Number.isInteger(found) && found >= 0 && found <= 800);
    // No step is chosen that lies further from the pointer than seven pixels, but at the ends of the run.
    if (found > 0 && found < 800) assert.ok(Math.abs(found - exact) * (500 / (1000 - first)) <= 7 + 1, `${found} for ${exact}`);
  }
});

test("the arrow keys go by one step, Page Up and Page Down from one kept state to the next", () => {
  const kept = [0, 40, 90];
  const to = (/** @type {number} */ at) => ["PageDown", "PageUp", "Home", "End", "ArrowLeft", "ArrowRight", "a"].map((key) => stepBy(key, at, kept, 120));
  assert.deepEqual(to(60), [40, 90, 0, 120, 59, 61, null]);
  assert.deepEqual(to(120), [90, 120, 0, 120, 119, 120, null]);
  assert.deepEqual(to(0), [0, 40, 0, 120, 0, 1, null]);
  assert.equal(stepBy("PageUp", 100, kept, 120), 120);
  assert.equal(stepBy("Home", 30, [], 120), 120);
});

test("of many states and changes those stand for the others that would lie on one another, and none is lost", () => {
  for (const last of [1000, 100_000]) {
    const stops = Array.from({ length: 200 }, (_, i) => /** @type {[number, string]} */ ([Math.floor((last * i) / 199), `change ${i}`]));
    const scale = { first: 0, last, width: 400, steps: last }, groups = together(stops, scale, 8);
    assert.ok(groups.length <= 50 && groups.length >= 25, `${groups.length}`);
    assert.deepEqual(groups.flat(), stops);
    groups.forEach(([[step]], i) => assert.ok(!i || ((step - groups[i - 1][0][0]) * 400) / last >= 8));
    // Zoomed to, each stands by itself.
    assert.ok(together(stops, { ...scale, last: last / 20 }, 8).every((group) => group.length === 1));
  }
});

test("a mark that stands for several says the first of them, and how many there are", () => {
  const group = /** @type {[number, string][]} */ ([[1000, "a"], [1002, "b"], [1003, "c"], [1010, "d"]]);
  assert.equal(wordsOf(group.slice(0, 1)), "step 1,000: a");
  assert.equal(wordsOf(group.slice(0, 2)), "steps 1,000–1,002: a; b");
  assert.equal(wordsOf(group), "steps 1,000–1,010: a; b; c; and 1 more");
  assert.equal(wordsOf(group, (many) => `${many} kept states`), "steps 1,000–1,010: 4 kept states");
});

test("a smoothed value says over how many steps it is the mean", () => {
  const steps = [8, 16, 24, 32, 40, 43];
  assert.deepEqual([0, 2, 5].map((at) => meanOver(steps, at, 2)), [24, 40, 19]);
  assert.equal(meanOver([1, 2, 3], 2, 0), 1);
});

test("a curve's name is cut at its front where there is no room, its value never", () => {
  const words = (/** @type {string} */ name, /** @type {number} */ most) => endWords(name, "0.512", (text) => text.length <= most);
  assert.deepEqual([20, 12, 8, 5].map((most) => words("branch-1234", most)), ["branch-1234 0.512", "…-1234 0.512", "…4 0.512", "0.512"]);
  assert.equal(words("", 9), "0.512");
});

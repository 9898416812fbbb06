// Fine-tuning in the page: what is said of blocks, where curves and labels lie, what is due.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as words from "../../dlwidgets/views/finetune/words.js";
import { namesThatFit } from "../../dlwidgets/views/finetune/bar.js";
import { timeOf } from "../../dlwidgets/views/finetune/rows.js";

/** @param {string} name @param {number} many @param {boolean} [head] @returns {import("../../dlwidgets/views/finetune/words.js").Block} */
const block = (name, many, head = false) => [name, `net.${name}`, "Linear", many, head];

test("how much trains is said in numbers and as a share", () => {
  assert.equal(words.trainedWords({ parameters: 182266, trained: 650 }), "650 of 182,266 parameters train (0.36 %)");
  assert.equal(words.trainedWords({ parameters: 1200, trained: 1200 }), "all 1,200 parameters train");
  assert.equal(words.trainedWords({ parameters: 0, trained: 0 }), "no parameters");
});

test("a share is never rounded to none or to all", () => {
  assert.deepEqual([[0, 9], [9, 9], [1, 1e6], [999999, 1e6], [1, 3]].map(([part, all]) => words.percent(part, all)), ["0 %", "100 %", "<0.01 %", "99.9 %", "33.3 %"]);
});

test("a block says its whole name, its size, and its rate where it trains", () => {
  assert.equal(words.blockWords(block("fc", 650), "y", 1300, 1e-3), "net.fc · Linear · 650 parameters (50.0 %) · trains at 1.0e-3");
  assert.equal(words.blockWords(block("fc", 650), "n", 1300, 1e-3), "net.fc · Linear · 650 parameters (50.0 %) · frozen");
});

test("the slider stands where the first block trains, and shows what it would freeze", () => {
  assert.deepEqual(["nnyn", "ynnn", "nnnn", ""].map(words.frozenPrefix), [2, 0, 4, 0]);
  assert.equal(words.frozenTo("ypyn", 2), "nnyy");
  assert.equal(words.uptoWords([block("a", 1), block("b", 2)], 1), "Frozen up to net.a");
});

test("backbone and head are runs of blocks, however often they change", () => {
  assert.deepEqual(words.runsOf([block("a", 1), block("b", 1), block("c", 1, true), block("d", 1)]),
    [{ from: 0, to: 2, head: false }, { from: 2, to: 3, head: true }, { from: 3, to: 4, head: false }]);
});

test("arrows walk over the blocks and stop at both ends", () => {
  assert.deepEqual([["ArrowLeft", 0], ["ArrowRight", 3], ["ArrowRight", 1], ["Home", 2], ["End", 0], ["a", 1]].map(([key, at]) => words.blockAt(String(key), Number(at), 4)), [0, 3, 2, 0, 3, -1]);
});

test("how long a comparison takes is said before it begins, where it is known", () => {
  assert.equal(words.costWords(40, 3), "All three take about 2:00.");
  assert.match(words.costWords(null, 3), /shows once steps were taken/);
  assert.match(words.costWords(40, 0), /whole number of epochs/);
});

test("curves share one height from the least to where they began", () => {
  const { low, high, place } = words.lossHeights([[2, 1, null], [4, 3]]);
  assert.deepEqual([low, place(low), place(high), place(1e9)], [1, 1, 0, 0]);
  assert.ok(high > 4 && high < 4.5);
  assert.equal(words.lossHeights([[], []]).place(5), 1);
});

test("a curve that was ended early takes its share of the width, with gaps where a loss is none", () => {
  assert.equal(words.curvePath([1, null, 1], () => 0.5, 100, 40, 0.5), "M0.0 20.0M50.0 20.0");
  assert.equal(words.curvePath([1, 1], () => 0, 100, 40), "M0.0 0.0L100.0 0.0");
});

test("labels that want one place stand apart, in order, and within the chart", () => {
  assert.deepEqual(words.spread([50, 51, 10], 15, 120), [50, 65, 10]);
  assert.deepEqual(words.spread([119, 120, 118], 15, 120), [105, 120, 90]);
});

test("a fold says what is in it while it is closed", () => {
  const rows = [{ name: "layer4", number: 2, unit: "epoch", done: false }, { name: "layer3", number: 4, unit: "epoch", done: false }];
  assert.equal(words.ratesLine([]), "one rate for all");
  assert.equal(words.ratesLine([{ name: "backbone", factor: 0.1 }]), "backbone × 0.10");
  assert.equal(words.timesLine([]), "nothing planned");
  assert.equal(words.timesLine(rows), "next: layer4 after 2 epochs");
  assert.equal(words.timesLine([{ name: "fc", number: 1, unit: "epoch", done: true }, rows[1], rows[0]]), "next: layer4 after 2 epochs");
  assert.equal(words.timesLine(rows.map((row) => ({ ...row, done: true }))), "all done");
});

test("a proof is a mark and a word; before any it is said when it comes, and what freezing would give", () => {
  assert.equal(words.proofWords({ words: "Epoch 3: 66 unchanged", holds: true }, "ny", true), "✓ Epoch 3: 66 unchanged");
  assert.equal(words.proofWords({ words: "Epoch 3: 1 changed", holds: false }, "ny", true), "▲ Changed: Epoch 3: 1 changed");
  assert.match(words.proofWords({}, "ny", true), /^After each epoch/);
  assert.match(words.proofWords({}, "yy", true), /“Head only”/);
  assert.equal(words.proofWords({}, "yy", false), "");
});

test("a time is steps or epochs, and what is no number goes to be refused in a sentence", () => {
  assert.deepEqual([timeOf("3", "epoch"), timeOf("200", "step"), timeOf("soon", "step"), timeOf("", "epoch")], ["3 epochs", 200, "soon", ""]);
});

test("a name stands whole where its neighbours leave room, and no two touch", () => {
  const wide = 60, widths = [30, 75, 20, 70, 70, 24, 76], shown = namesThatFit(widths, wide);
  assert.deepEqual(shown, [true, true, true, true, false, true, true]);
  const spans = widths.map((width, i) => [i * wide - width / 2, i * wide + width / 2]).filter((_, i) => shown[i]);
  assert.ok(spans.slice(1).every(([from], i) => from > spans[i][1]));
});

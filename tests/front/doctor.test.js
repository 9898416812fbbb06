// The doctor in the page: what is said aloud, how evidence is drawn, and where findings are marked.
import assert from "node:assert/strict";
import { test } from "node:test";
import { byWay, chartWords, checkLines, heights, news, pathOf, trialHeights } from "../../dlwidgets/views/doctor/words.js";
import { offWords, tryOff } from "../../dlwidgets/views/doctor/card.js";
import { mixed, together } from "../../dlwidgets/views/curves/rail.js";
import { foundOf } from "../../dlwidgets/views/layers/words.js";
import { treeOf } from "../../dlwidgets/views/layers/tree.js";

/** @param {string} key @param {boolean} [over] @returns {any} */
const finding = (key, over = false) => ({ key, over, severity: "high", title: `${key} is wrong` });
/** @param {string} name @param {string} [back] @param {string} [off] */
const offer = (name, back = "", off = "") => ({ name, label: name, back, full: name, off });

test("a finding is said aloud once, whatever its numbers do, and again only when it came back", () => {
  const known = /** @type {Set<string>} */ (new Set());
  assert.equal(news([finding("a")], known), "Doctor, high: a is wrong");
  assert.equal(news([{ ...finding("a"), title: "a is worse" }], known), "");
  assert.equal(news([finding("a", true), finding("b")], known), "Doctor, high: b is wrong");
  assert.equal(news([finding("a"), finding("b")], known), "Doctor, high: a is wrong");
});

test("a chart's values fill its height, with the limit in sight", () => {
  const { log, place } = heights([1, 3], 5);
  assert.deepEqual([log, place(5), place(3), place(1)], [false, 0, 0.5, 1]);
});

test("values over many powers of ten take as much height for each", () => {
  const { log, place } = heights([1, null, 100, 10000], null);
  assert.deepEqual([log, place(100)], [true, 0.5]);
  assert.equal(heights([0, 10000], null).log, false);
});

test("a trial that explodes goes out at the top and flattens none of the others", () => {
  const place = trialHeights([[2, 1], [2, 1e30], []]);
  assert.deepEqual([place(1e30), place(2.5), place(1)], [0, 0, 1]);
  assert.ok(Math.abs(place(2) - 1 / 3) < 1e-9);
});

test("bars stand on zero", () => {
  assert.equal(heights([5, 10], null, true).place(0), 1);
  assert.equal(heights([-10, 10], null, true).place(0), 0.5);
});

test("a value that is none is a gap, and one between two gaps a dot", () => {
  const half = () => 0.5;
  assert.equal(pathOf([1, 1, null, 1], half, 30, 12), "M0.0 6.0L10.0 6.0M30.0 6.0h0.1");
  assert.equal(pathOf([], half, 30, 12), "");
});

test("a chart says its ends, or its least and greatest bar", () => {
  const line = { values: [0.11, null, 0.39], label: "loss", limit: null, kind: "line", names: [] };
  assert.equal(chartWords(line), "loss: 0.110 → 0.390");
  assert.equal(chartWords({ ...line, limit: 1 }), "loss: 0.110 → 0.390 · limit 1.00");
  const bars = { values: [812, 20, 90], label: "samples", limit: null, kind: "bars", names: ["cat", "dog", "ant"] };
  assert.equal(chartWords(bars), "samples: from dog 20 to cat 812");
  assert.equal(chartWords({ ...line, values: [null] }), "loss");
});

test("what was checked has a line for each outcome and reason", () => {
  const rows = [["boxes", "not run", "needs boxes"], ["labels", "not run", "needs boxes"], ["loss", "quiet", ""], ["rate", "quiet", ""]];
  assert.deepEqual(checkLines(rows), ["not run (needs boxes): boxes, labels", "quiet: loss, rate"]);
});

test("remedies stand together by where the run goes first", () => {
  assert.deepEqual(byWay([offer("a", "Rewind to 5"), offer("b"), offer("c", "Rewind to 5")]).map(([back, some]) => [back, some.map(({ name }) => name)]),
    [["Rewind to 5", ["a", "c"]], ["", ["b"]]]);
});

test("a button that is off says why, each reason once", () => {
  assert.equal(offWords([offer("a", "", "so already"), offer("b"), offer("c", "", "so already")]), "a, c: so already");
  assert.equal(tryOff([offer("a", "", "no"), offer("b")]), "");
  assert.equal(tryOff([offer("a", "", "no")]), "no");
});

test("a finding and a change at one place on the rail are one mark, which is the finding's", () => {
  const stops = mixed([[3, "lr"], [90, "clip"]], [[3, "high: explodes"]]);
  const groups = together(stops, { first: 0, last: 100, width: 1000, steps: 100 }, 12);
  assert.deepEqual(groups.map((group) => group.map(([, words]) => words)), [["high: explodes", "lr"], ["clip"]]);
  assert.equal(groups[0].some(([, , found]) => found), true);
  assert.equal(groups[1].some(([, , found]) => found), false);
});

test("a folded line of the layer table shows what is found of all inside it, an open one of itself", () => {
  /** @param {string} name @param {number} depth @returns {any} */
  const row = (name, depth) => [name, depth, "Linear", "", "4", "", false, "4", "float32", 1];
  const tree = treeOf([row("net", 0), row("one", 1), row("two", 1)], new Float64Array(15), "yyy");
  const found = /** @type {[string, string, string][]} */ ([["two", "high", "is dying"]]), [top] = tree.lines;
  assert.deepEqual(foundOf(found, tree, top, false), found);
  assert.deepEqual(foundOf(found, tree, top, true), []);
  assert.deepEqual(foundOf(found, tree, tree.lines[2], false), found);
});

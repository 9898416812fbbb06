// The pure parts of a class's detail: curves from counts, the past and its lines, lists in words.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  areaUnder, averagePrecision, binsFrom, calibrationError, chartsIn, nearest, precisionRecallOf, reliabilityOf, rocOf, stairs, sweepFrom, sweepOf,
} from "../../dlwidgets/views/confusion/charts.js";
import { metricTable } from "../../dlwidgets/views/confusion/metrics.js";
import { changesBetween, changeWords, linesOf, momentPair, momentWords, signed } from "../../dlwidgets/views/confusion/rail.js";
import { step } from "../../dlwidgets/views/confusion/plot.js";
import { apart, listedNames, orderWords, pageWords, pixelsOf, scoreWords, truthWords, valueWords } from "../../dlwidgets/views/confusion/samples.js";
import { mistakeWords } from "../../dlwidgets/views/confusion/class_detail.js";

const metrics = metricTable(JSON.parse(readFileSync(new URL("metric_table.json", import.meta.url), "utf8")));

/** Samples of one class with scores at thousandths, and what the kernel sends of them. @param {number} seed @param {number} n */
function drawn(seed, n = 300) {
  let state = seed;
  const random = () => { state = (state * 1103515245 + 12345) % 2147483648; return state / 2147483648; };
  const truth = Array.from({ length: n }, () => random() < 0.3);
  const score = truth.map((is) => Math.round(1000 * Math.min(1, 0.3 * Number(is) + 0.7 * random())) / 1000);
  const counts = new Uint16Array(2 * 1001);
  score.forEach((s, i) => { for (let k = 0; k <= 1000; k++) if (s >= k / 1000) counts[Number(!truth[i]) * 1001 + k] += 1; });
  const positives = truth.filter(Boolean).length;
  return { truth, score, counts, totals: Uint32Array.of(positives, n - positives) };
}

/** @param {number} a @param {number} b @param {number} [within] */
function near(a, b, within = 1e-9) { assert.ok(Math.abs(a - b) <= within, `${a} is not ${b}`); }

test("every point of a curve is what is counted at its threshold", () => {
  const { truth, score, counts, totals } = drawn(1), sweep = sweepOf(counts, totals, 0);
  sweep.at.forEach((cut, i) => {
    assert.equal(sweep.tp[i], truth.filter((is, j) => is && score[j] >= cut).length);
    assert.equal(sweep.fp[i], truth.filter((is, j) => !is && score[j] >= cut).length);
  });
  assert.ok(sweep.at.every((cut, i) => i === 0 || cut < sweep.at[i - 1]));
});

test("the area under the ROC curve is the share of pairs that are ordered rightly", () => {
  for (const seed of [2, 3, 4]) {
    const { truth, score, counts, totals } = drawn(seed);
    let pairs = 0, right = 0;
    truth.forEach((is, i) => truth.forEach((other, j) => {
      if (!is || other) return;
      pairs += 1;
      right += score[i] > score[j] ? 1 : score[i] === score[j] ? 0.5 : 0;
    }));
    near(areaUnder(rocOf(sweepOf(counts, totals, 0))), right / pairs);
  }
});

test("average precision is the mean over the positives of the precision at their score", () => {
  const { truth, score, counts, totals } = drawn(5);
  const precisions = score.filter((_, i) => truth[i]).map((cut) => {
    const said = truth.filter((_, j) => score[j] >= cut);
    return said.filter(Boolean).length / said.length;
  });
  near(averagePrecision(precisionRecallOf(sweepOf(counts, totals, 0))), precisions.reduce((a, b) => a + b) / precisions.length);
});

test("a ROC curve runs from corner to corner, also where scores lie below 0", () => {
  const counts = new Uint8Array(2 * 1001).fill(2, 0, 500).fill(1, 1001, 1301), totals = Uint32Array.of(4, 3);
  const roc = rocOf(sweepOf(counts, totals, 0));
  assert.deepEqual([roc[0].x, roc[0].y, roc[roc.length - 1].x, roc[roc.length - 1].y], [0, 0, 1, 1]);
});

test("the precision-recall curve ends where all are found", () => {
  const { counts, totals } = drawn(6), points = precisionRecallOf(sweepOf(counts, totals, 0));
  assert.deepEqual(points.filter(({ x }) => x === 1).length, 1);
  assert.equal(points[points.length - 1].x, 1);
});

test("a class without positives or without negatives has no curve", () => {
  const empty = new Uint8Array(2 * 1001);
  for (const totals of [Uint32Array.of(0, 5), Uint32Array.of(0, 0)]) {
    assert.deepEqual(rocOf(sweepOf(empty, totals, 0)), []);
    assert.deepEqual(precisionRecallOf(sweepOf(empty, totals, 0)), []);
    assert.ok(Number.isNaN(areaUnder([])) && Number.isNaN(averagePrecision([])));
  }
});

test("the points that the kernel chose make the curve that the counts make", () => {
  const { truth, score, counts, totals } = drawn(7);
  const cuts = [...new Set(score)].sort((a, b) => b - a);
  const curve = cuts.flatMap((cut) => [cut, ...[true, false].map((side) => truth.filter((is, j) => is === side && score[j] >= cut).length)]);
  const [one, other] = [sweepFrom(Float64Array.from(curve), totals, 0), sweepOf(counts, totals, 0)];
  assert.deepEqual([...one.tp], [...other.tp]);
  assert.deepEqual([...one.fp], [...other.fp]);
});

test("the bins hold each sample once, with their mean score and the share that is", () => {
  const { truth, score, counts, totals } = drawn(8), bins = reliabilityOf(counts, 0);
  assert.equal(bins.reduce((sum, { n }) => sum + n, 0), totals[0] + totals[1]);
  for (const { low, high, n, score: mean, share } of bins) {
    const inside = truth.map((_, i) => i).filter((i) => score[i] >= low - 1e-12 && (score[i] < high - 1e-12 || (high === 1 && score[i] === 1)));
    assert.equal(inside.length, n);
    near(inside.reduce((sum, i) => sum + score[i], 0) / n, mean, 0.0006);
    near(inside.filter((i) => truth[i]).length / n, share);
  }
});

test("scores that mean what they say have no calibration error, and a constant lie has its size", () => {
  near(calibrationError(binsFrom([[2, 50, 0.25, 0.25], [7, 150, 0.75, 0.75]])), 0);
  near(calibrationError(binsFrom([[2, 50, 0.25, 0.45], [7, 150, 0.75, 0.95]])), 0.2);
  assert.ok(Number.isNaN(calibrationError([])));
});

test("steps hold a precision back to the recall before it", () => {
  assert.deepEqual(stairs([{ x: 0.2, y: 1, i: 1 }, { x: 0.6, y: 0.5, i: 2 }]), [[0, 1], [0.2, 1], [0.2, 0.5], [0.6, 0.5]]);
});

test("the nearest point is the nearest", () => {
  const points = [{ x: 0, y: 0 }, { x: 10, y: 1 }, { x: 4, y: 5 }];
  assert.deepEqual([nearest(points, 9, 9), nearest(points, 9, 0), nearest([], 1, 1)], [2, 1, -1]);
});

test("three charts stand side by side while they fit, and never wider than the room", () => {
  for (let width = 160; width < 1400; width += 7) {
    const { columns, wide } = chartsIn(width);
    assert.ok(columns * wide + 14 * (columns - 1) <= width && columns <= 3 && wide >= 150, `${width}`);
  }
  assert.equal(chartsIn(700).columns, 3);
});

test("every metric of the rail is its definition, and is not known where nothing is to be divided by", () => {
  const [tn, fp, fn, tp] = [50, 10, 5, 35], cells = [0, 0, 0, 0, tn, fp, fn, tp];
  const precision = tp / (tp + fp), recall = tp / (tp + fn), said = (/** @type {string} */ name) => metrics.value(name, cells, 4);
  near(said("precision"), precision); near(said("recall"), recall);
  near(said("f1"), 2 / (1 / precision + 1 / recall));
  near(said("specificity"), tn / (tn + fp)); near(said("accuracy"), 0.85); near(said("jaccard"), 35 / 50);
  // The correlation of two yes-or-no variables.
  const n = tn + fp + fn + tp, is = (tp + fn) / n, was = (tp + fp) / n;
  near(said("matthews"), (tp / n - is * was) / Math.sqrt(is * (1 - is) * was * (1 - was)));
  for (const [name] of metrics.rates) assert.ok(Number.isNaN(metrics.value(name, cells, 0)), name);
});

test("a line begins at the moment at which it parted from another", () => {
  const moments = [[10, "main"], [20, "main"], [30, "main"], [25, "branch 1"], [35, "branch 1"]]
    .map(([step, line]) => ({ step: Number(step), epoch: 1, line: String(line) }));
  assert.deepEqual(linesOf(moments), [
    { line: "main", own: [0, 1, 2], drawn: [0, 1, 2] }, { line: "branch 1", own: [3, 4], drawn: [1, 3, 4] },
  ]);
});

test("classes are listed from the one that gained most to the one that lost most, the unknown last", () => {
  const cells = [
    5, 0, 5, 5, 5, 0, 0, 10, 5, 0, 10, 0, 5, 0, 0, 0, // then: recall 0.5, 1, 0, unknown
    5, 0, 4, 6, 5, 0, 5, 5, 5, 0, 2, 8, 5, 0, 0, 0, // now: 0.6, 0.5, 0.8, unknown
  ];
  const past = { moments: [], cells, classes: 4 }, changes = changesBetween(metrics, past, 0, 1, "recall");
  assert.deepEqual(changes.map(({ c }) => c), [2, 0, 1, 3]);
  near(changes[0].change, 0.8); near(changes[2].change, -0.5);
  assert.equal(changeWords(changes), "2 better, 1 worse, 0 the same, 1 not to be compared");
  assert.deepEqual(changes.map(({ change }) => signed(change)), ["+0.80", "+0.10", "−0.50", "n/a"]);
  assert.equal(changeWords(changesBetween(metrics, past, 1, 1, "recall").slice(0, 3)), "0 better, 0 worse, 3 the same");
});

test("a moment says its line only where there are several", () => {
  assert.equal(momentWords({ step: 1200, epoch: 3, line: "main" }, false), "epoch 3, step 1,200");
  assert.equal(momentWords({ step: 0, epoch: 0, line: "branch 2" }, true), "step 0 (branch 2)");
});

test("a list says which of it is in view, and in which order", () => {
  assert.equal(pageWords(24, 24, 1220), "25–48 of 1,220");
  assert.equal(pageWords(0, 0, 0), "none");
  // What was said falls, what was not said rises; the two wrong quadrants say what comes first.
  assert.deepEqual([0, 1, 2, 3].map((cell) => orderWords(cell).split(" ")[0]), ["lowest", "highest", "lowest", "highest"]);
  assert.deepEqual([0, 1, 2, 3].map((cell) => orderWords(cell).includes("wrong")), [false, true, true, false]);
});

test("names are listed as far as they go, those first that the other list lacks", () => {
  const names = ["ant", "bee", "cat", "dog"];
  assert.equal(listedNames([0, 2], names), "ant, cat");
  assert.equal(listedNames([0, 1, 2, 3], names, 2), "ant, bee and 2 more");
  assert.equal(listedNames([], names), "none");
  const sample = { number: 0, name: "0", score: 0.5, true: [0], said: [], kind: "none" };
  assert.equal(truthWords({ ...sample, unknown: "bee, cat" }, [0], names), "ant; not known: bee, cat");
  assert.equal(truthWords(sample, [0], names), "ant");
  assert.deepEqual(apart([0, 1, 2], [0, 3]), [1, 2, 0]);
});

test("a score near 0 or 1 does not become 0 or 1", () => {
  assert.deepEqual([0, 0.0001, 0.31, 0.99996, 1].map(scoreWords), ["0.000", "<0.001", "0.310", ">0.999", "1.000"]);
  assert.equal(scoreWords(-12.345), "−12.3");
});

test("values of a row are short, words stay, what is missing is a dash", () => {
  assert.deepEqual([null, 3, -2, 0.12345, 1234567.5, "left"].map(valueWords), ["–", "3", "−2", "0.123", "1.23e6", "left"]);
});

test("arrows walk a page and stop at its ends", () => {
  assert.deepEqual(["ArrowRight", "ArrowDown", "ArrowUp", "Home", "End", "x"].map((key) => step(4, key, 7, 10)), [5, 4, 4, 0, 9, -1]);
  assert.equal(step(0, "ArrowDown", 7, 10), 7);
  assert.equal(step(9, "ArrowRight", 7, 10), 9);
});

test("grey and coloured bytes become opaque pixels", () => {
  assert.deepEqual([...pixelsOf(Uint8Array.of(7, 200), [1, 2, 1])], [7, 7, 7, 255, 200, 200, 200, 255]);
  assert.deepEqual([...pixelsOf(Uint8Array.of(1, 2, 3), [1, 1, 3])], [1, 2, 3, 255]);
});

test("what is said where a class is missed is told in words, with what was wrong of it", () => {
  const names = ["ant", "bee", "cat"], told = { missed: 40, instead: /** @type {[number, number, number, number][]} */ ([[1, 10, 4, 20]]), sets: /** @type {[number[], number[], number][]} */ ([[[0], [], 7]]) };
  const { instead, sets } = mistakeWords(told, "ant", names, true);
  assert.equal(instead, "The 40 samples where ant is missed are said to have: bee (25 %, 20 % wrongly).");
  assert.deepEqual(sets, ["7 × has ant → said none"]);
  assert.equal(mistakeWords({ ...told, missed: 1, instead: [] }, "ant", names, false).instead, "The one sample where ant is missed is likeliest: nothing.");
  assert.match(mistakeWords({ ...told, missed: 0 }, "ant", names, true).instead, /never missed/);
});

test("two moments follow the first and the newest until they are chosen, and then what lies nearest", () => {
  const moments = [10, 20, 30].map((step) => ({ step, epoch: 1, line: "main" })), lines = linesOf(moments), pair = momentPair();
  assert.deepEqual(pair.numbers(moments, lines, "main"), [0, 2]);
  pair.chosen[0] = { step: 22, epoch: 1, line: "main" };
  pair.chosen[1] = { step: 5, epoch: 1, line: "gone" };
  assert.deepEqual(pair.numbers(moments, lines, "main"), [1, 2]);
});

test("where less is better, what fell is better", () => {
  assert.equal(changeWords([{ change: -0.2 }, { change: 0.1 }, { change: 0 }], -1), "1 better, 1 worse, 1 the same");
});

// Boxes over a picture, and a grid without true negatives.
import assert from "node:assert/strict";
import test from "node:test";
import { boxCounts, boxLabel, boxPlace } from "../../dlwidgets/views/boxes.js";
import { weightWords } from "../../dlwidgets/views/curves/parts.js";
import { sweepOf } from "../../dlwidgets/views/confusion/charts.js";
import { histogramOf, wholesOf } from "../../dlwidgets/views/confusion/counts.js";
import { fewWords, headline, meaning, sentence, spoken } from "../../dlwidgets/views/confusion/words.js";
import { metricTable } from "../../dlwidgets/views/confusion/metrics.js";
import { scoreWords } from "../../dlwidgets/views/confusion/samples.js";

/** @param {Partial<import("../../dlwidgets/views/boxes.js").Mark>} some */
const mark = (some) => ({ box: [0, 0, 1, 1], class: "cat", score: 0.5, kind: "found", true: false, ...some });

test("a box says its class, its score, and what became of it, by a sign and a word", () => {
  assert.equal(boxLabel(mark({ score: 0.93 })), "✓ cat 0.93");
  assert.equal(boxLabel(mark({ kind: "false", score: 0.61 })), "▲ cat 0.61 false");
  assert.equal(boxLabel(mark({ kind: "missed", true: true, score: null })), "✕ cat missed");
  assert.equal(boxLabel(mark({ kind: "said", score: 0.4 })), "cat 0.40");
  // What found it is labelled.
  assert.equal(boxLabel(mark({ true: true })), "");
});

test("found, missed and false boxes are counted, each once", () => {
  const marks = [mark({ true: true }), mark({}), mark({ true: true, kind: "missed" }), mark({ kind: "false" }), mark({ kind: "false" })];
  assert.equal(boxCounts(marks), "1 found · 1 missed · 2 false");
  assert.equal(boxCounts([]), "no box is true, and none was said");
  assert.equal(boxCounts([mark({ kind: "said" })]), "1 said");
});

test("a box lies where its picture is drawn", () => {
  assert.deepEqual(boxPlace([10, 20, 30, 40], [100, 200], { x: 5, y: 7, width: 400, height: 200 }), { x: 25, y: 47, width: 40, height: 40 });
});

test("of boxes false ones are a share of those said, missed ones of the true, and nothing is a share of what is none", () => {
  const cells = [0, 6, 2, 3];
  assert.deepEqual(wholesOf(cells, 0, "true", 6, true), [0, 9, 5, 5]);
  assert.deepEqual(wholesOf(cells, 0, "predicted", 6, true), [0, 9, 5, 9]);
  assert.deepEqual(wholesOf(cells, 0, "all", 6, true), [11, 11, 11, 11]);
});

test("a box that nothing was said of is in no bin, and found at no threshold", () => {
  // One class at three thresholds: of three true boxes two were said, of one false box one.
  const counts = [2, 1, 0, 1, 1, 0], totals = [3, 1];
  assert.equal(histogramOf({ counts, totals }, [0], 0, 2, 3, true).reduce((sum, n) => sum + n, 0), 2);
  assert.equal(histogramOf({ counts, totals }, [0], 0, 2, 3).reduce((sum, n) => sum + n, 0), 3);
  const { tp } = sweepOf(counts, totals, 0, 3, true);
  assert.equal(tp[tp.length - 1], 2);
});

test("the words of boxes speak of no true negative", () => {
  const cells = [0, 6, 2, 3], metrics = metricTable([]);
  assert.equal(fewWords(cells, 0, true), "3 found · 2 missed · 6 false");
  assert.match(sentence(0, 0, "cat", "detection"), /nothing to count/);
  assert.equal(sentence(1, 6, "cat", "detection"), "6 boxes of cat were said where none is");
  assert.equal(sentence(2, 1, "cat", "detection"), "1 true box of cat was missed");
  assert.doesNotMatch(spoken(metrics, "cat", cells, 0, "detection"), /nothing to count|do not/);
  assert.equal(new Set([0, 1, 2, 3].map((cell) => meaning(cell, true))).size, 4);
  assert.equal(scoreWords(null), "not said");
});

test("the headline counts true boxes and pictures, and says mAP and IoU", () => {
  const about = { task: "detection", samples: 99, validation: true, step: 120, pictures: 40, true: 124, iou: 0.55, map: 0.712 };
  assert.equal(headline(about, 3), "124 true boxes in 40 validation pictures · 3 classes · mAP 0.71 at IoU 0.55 · after step 120");
});

test("a weight is written as short as it is", () => {
  assert.deepEqual([0.05, 1, 2.5, 1 / 3, 0].map(weightWords), ["0.05", "1", "2.5", "0.333", "0"]);
});

// The words of the training panel: what is in force, what is on its way, how far the run is.
import assert from "node:assert/strict";
import { test } from "node:test";
import { factOf, figures, inWords } from "../../dlwidgets/views/training.js";

test("a control's value is said in few words", () => {
  const said = /** @type {[string, any, string][]} */ ([
    ["lr", 0.00028, "2.8e-4"], ["lr", 0, "0"], ["batch_size", 1024, "1,024"], ["clip", null, "off"],
    ["clip", ["norm", 1], "norm 1.0"], ["clip", ["value", 0.005], "value 0.0050"],
  ]);
  for (const [name, value, words] of said) assert.equal(inWords(name, value), words);
});

test("what was asked for and is in force stands alone", () => {
  assert.deepEqual(factOf("batch_size", 64, 64, undefined, true), { left: "", right: "in force 64", kind: "in-force" });
  assert.equal(factOf("clip", ["norm", 1], ["norm", 1], undefined, true).kind, "in-force");
});

test("what is on its way says from when it holds, with what is in force until then", () => {
  assert.deepEqual(factOf("lr", 0.01, 0.001, undefined, true),
    { left: "asked 1.0e-2: from the next step", right: "in force 1.0e-3", kind: "waiting" });
  assert.equal(factOf("clip", ["norm", 1], null, undefined, false).left, "asked norm 1.0: when training goes on");
});

test("what was rejected says so, with what is in force instead", () => {
  assert.deepEqual(factOf("batch_size", 64, 32, "the data is ready-made", true),
    { left: "▲ rejected", right: "in force 32", kind: "rejected" });
});

test("a rate of zero, which no logarithmic slider can show, is said", () => {
  assert.equal(factOf("lr", 0, 0, undefined, true).left, "0, set in code");
});

const run = { epoch: 4, epochs: 10, steps: 2184, rate: 41.2, left: 134, status: "running" };

test("a run is told in epoch, step, speed and time left", () => {
  assert.deepEqual(figures(run), ["epoch 4 of 10", "step 2,184", "41 steps/s · 2:14 left"]);
});

test("nothing is said that is not known", () => {
  assert.deepEqual(figures({ ...run, epoch: 0, steps: 0, rate: null, left: null, status: "ready" }), ["10 epochs", "step 0", ""]);
  assert.deepEqual(figures({ ...run, left: null }), ["epoch 4 of 10", "step 2,184", "41 steps/s"]);
  assert.equal(figures({ ...run, status: "paused" })[2], "41 steps/s");
  assert.equal(figures({ ...run, rate: 0.52 })[2], "0.52 steps/s · 2:14 left");
});

test("an epoch beyond the last is not counted", () => assert.equal(figures({ ...run, epoch: 11, epochs: 10 })[0], "epoch 10 of 10"));

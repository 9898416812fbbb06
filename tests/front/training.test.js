// The words of the training panel: what is in force, what is on its way, how far the run is.
import assert from "node:assert/strict";
import { test } from "node:test";
import { factOf, figures, inWords, machine, pressed, statusWords } from "../../dlwidgets/views/training/view.js";
import { besideRow, comingLine, lineWords, lowest, rateLine } from "../../dlwidgets/views/training/choosers.js";
import { stepLines } from "../../dlwidgets/views/training/last_step.js";

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
  assert.deepEqual(figures(run), ["epoch 4 of 10", "step 2,184", "2:14 left", "41 steps/s"]);
});

test("nothing is said that is not known", () => {
  assert.deepEqual(figures({ ...run, epoch: 0, steps: 0, rate: null, left: null, status: "ready" }), ["10 epochs", "step 0", "", ""]);
  assert.deepEqual(figures({ ...run, left: null }), ["epoch 4 of 10", "step 2,184", "", "41 steps/s"]);
  assert.equal(figures({ ...run, status: "paused" })[2], "");
  assert.equal(figures({ ...run, rate: 0.52 })[3], "0.52 steps/s");
});

test("while settings are tried it is said which, and how far it is", () => {
  const trying = { ...run, status: "trying", trial: { number: 2, count: 3, taken: 12, steps: 50 } };
  assert.equal(statusWords(trying), "trying 2 of 3");
  assert.equal(figures(trying)[2], "12 of 50 steps");
  assert.equal(statusWords(run), "running");
});

test("an epoch beyond the last is not counted", () => assert.equal(figures({ ...run, epoch: 11, epochs: 10 })[0], "epoch 10 of 10"));

test("under a schedule the rate in force may be another than the one asked for", () => {
  assert.deepEqual(factOf("lr", 1e-3, 5e-4, undefined, true, false, "× cosine"), { left: "× cosine", right: "in force 5.0e-4", kind: "in-force" });
  assert.equal(factOf("lr", 1e-3, 5e-4, undefined, true, true, "× cosine").kind, "waiting");
});

test("throughput and memory are told in sensible digits, as far as they are known", () => {
  assert.equal(machine({ ...run, samples: 2638.7, memory: 612e6, device_memory: null }), "2,640 samples/s · 612 MB");
  assert.equal(machine({ ...run, samples: 0.52, memory: null, device_memory: 3.21e9 }), "0.52 samples/s · 3.21 GB on the device");
  assert.equal(machine({ ...run, steps: 0, samples: null, memory: null }), "");
});

const free = { ctrlKey: false, altKey: false, metaKey: false, shiftKey: false, repeat: false };
/** @param {string} tag an element that only its tag tells of */
const at = (tag) => ({ matches: (/** @type {string} */ selector) => selector.split(",").some((one) => one.trim().split(/[[:]/)[0] === tag) });

test("Space and the full stop are the run's unless the focused element needs them", () => {
  assert.equal(pressed({ ...free, key: " " }, at("div")), "toggle");
  assert.equal(pressed({ ...free, key: "." }, at("div")), "step");
  assert.equal(pressed({ ...free, key: "." }, at("button")), "step");
  for (const tag of ["button", "summary", "select", "input", "textarea"]) assert.equal(pressed({ ...free, key: " " }, at(tag)), "");
  for (const tag of ["select", "input", "textarea"]) assert.equal(pressed({ ...free, key: "." }, at(tag)), "");
});

test("a key with a modifier, held down, or any other is not the run's", () => {
  for (const held of ["ctrlKey", "altKey", "metaKey", "shiftKey", "repeat"]) assert.equal(pressed({ ...free, [held]: true, key: "." }, at("div")), "");
  for (const key of ["a", "Enter", "ArrowLeft"]) assert.equal(pressed({ ...free, key }, at("div")), "");
});

test("beside a row stands what is in force, also while another value is on its way or refused", () => {
  const row = { fact: "0.01", kind: "in-force", off: "", locked: false };
  assert.deepEqual(besideRow(row, true), { text: "in force 0.01", title: "", kind: "in-force" });
  assert.equal(besideRow({ ...row, kind: "waiting" }, false).text, "still 0.01");
  assert.match(besideRow({ ...row, kind: "waiting" }, false).title, /when training goes on/);
  assert.equal(besideRow({ ...row, kind: "rejected" }, true).text, "▲ still 0.01");
  assert.equal(besideRow({ ...row, off: "no dropout layer" }, true).text, "no dropout layer");
});

test("asked, scheduled and applied rate stand in one line, and the rates to come in another", () => {
  assert.equal(rateLine({ asked: 1e-3, scheduled: 5e-4, multiplier: 2, applied: 1e-3 }), "asked 1.0e-3 · scheduled 5.0e-4 × 2.00 = in force 1.0e-3");
  assert.equal(rateLine({}), "");
  assert.equal(comingLine([[1, 1e-3], [900, 5e-4]]), "next 1.0e-3 → 5.0e-4 at step 900");
  assert.equal(comingLine([[1, 1e-3], [900, 1e-3]]), "stays 1.0e-3");
  assert.equal(comingLine([]), "");
});

test("a step is told with its gradient's norm before and after clipping", () => {
  const lines = Object.fromEntries(stepLines({ loss: 0.51234, lr: 1e-3, batch_size: 64, grad_norm: 2, clipped_norm: 1, seconds: 0.0123 }));
  assert.deepEqual(lines, { loss: "0.5123", "learning rate": "1.0e-3", samples: "64", "‖grad‖": "2.00 before clipping, 1.00 after", time: "12 ms" });
  assert.equal(Object.fromEntries(stepLines({ grad_norm: 2 }))["‖grad‖"], "2.00, not clipped");
});

test("a line is told by how its settings differ, and the lowest losses are found where two can be compared", () => {
  const rows = [
    { name: "main", here: true, words: "this line", loss: 0.5, valid: null },
    { name: "branch 1", here: false, words: "lr 1.0e-2", loss: 0.25, valid: 0.75 },
  ];
  assert.deepEqual(rows.map(lineWords), ["main, under way", "lr 1.0e-2 (branch 1)"]);
  assert.deepEqual(lowest(rows), { loss: 0.25, valid: null });
  assert.deepEqual(lowest([]), { loss: null, valid: null });
});

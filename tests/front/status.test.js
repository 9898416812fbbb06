// The extension of JupyterLab: what the status bar and the menu say of a session.
import assert from "node:assert/strict";
import { test } from "node:test";
import { labelOf, turn } from "../../dlwidgets/labextension/static/commands.js";
import { followed } from "../../dlwidgets/labextension/static/kernels.js";
import { asClock, threeDigits, wordsOf } from "../../dlwidgets/labextension/static/status.js";
import { clock, sig } from "../../dlwidgets/views/front.js";

/** @param {any} [facts] @returns {import("../../dlwidgets/labextension/static/kernels.js").Session} */
const session = (facts) => ({
  number: 1, name: "session", model: "ChestNet", status: "running", host: "", trial: null, epoch: 4, epochs: 10, steps: 2184, total: 5460, loss: 0.0841,
  left: 134, findings: 1, worst: ["high", "relu5 is dying"], error: "", undo: "", why_not: {}, ...facts,
});

test("numbers are written as the panel writes them", () => {
  for (const x of [0, 0.0841, 0.5, 1, 9.996, 12.34, 123.4, 1234.5, 2e6, 1.5e-3, 9.9e-4, 1.13e-7, -0.25, -3e-5]) assert.equal(threeDigits(x), sig(x, 3));
  assert.equal(threeDigits(null), sig(null));
  for (const s of [0, 59.4, 59.6, 134, 3599.7, 3722, 100_000]) assert.equal(asClock(s), clock(s));
});

test("a session that trains says how far it is, and one that does not what it is", () => {
  const { mark, model, epoch, loss, state, gravity, found, finding, press } = wordsOf(session());
  assert.deepEqual([mark, model, epoch, loss, state, `${gravity} ${found} ${finding}`, press], ["●", "ChestNet", "epoch 4/10", "loss 0.0841", "2:14 left", "▲ 1 finding", "Pause"]);
  const paused = wordsOf(session({ status: "paused", left: null, findings: 2 }));
  assert.deepEqual([paused.mark, paused.state, paused.finding, paused.press], ["❚❚", "paused", "findings", "Resume"]);
  const ready = wordsOf(session({ status: "ready", left: null, epoch: 0, steps: 0, loss: null, findings: 0, worst: null }));
  assert.deepEqual([ready.mark, ready.loss, ready.found, ready.gravity, ready.press], ["■", "", "", "", "Start"]);
  assert.equal(wordsOf(session({ status: "trying", left: null, trial: { number: 2, count: 3, taken: 1, steps: 9 } })).state, "trying 2 of 3");
  assert.match(wordsOf(session({ status: "failed", left: null, error: "The loss became nan." })).sentence, /^ChestNet \(session\): failed, epoch 4 of 10, step 2,184 of 5,460, .*, The loss became nan\.$/);
});

test("the session that a person chose is followed while it is there", () => {
  const picture = /** @type {any} */ ({ sessions: [session(), session({ number: 2 })], current: 2 });
  assert.equal(followed(picture)?.number, 2);
  assert.equal(followed(picture, 1)?.number, 1);
  assert.equal(followed(picture, 7)?.number, 2);
  assert.equal(followed(undefined, 1), null);
  assert.equal(followed({ ...picture, sessions: [], current: null }, 1), null);
});

test("the menu says what a command does now", () => {
  const paused = session({ status: "paused", undo: "lr, step 20" });
  assert.deepEqual([turn(session()), turn(paused), turn(session({ status: "trying" }))], ["pause", "resume", "pause"]);
  assert.deepEqual([labelOf("pause", session()), labelOf("pause", paused), labelOf("pause", session({ status: "done" }))], ["Pause", "Resume", "Start"]);
  assert.deepEqual([labelOf("undo", session()), labelOf("undo", paused)], ["Undo Last Change", "Undo lr, step 20"]);
});

// live() and wishes(): when a page speaks to the kernel, what it says, and when it stays silent.
import assert from "node:assert/strict";
import { test } from "node:test";
import { live, wishes } from "../../dlwidgets/views/front.js";
import { browser, Model } from "./fake.js";

/** A view on a model, that notes what it draws. @param {any} page @param {Model} model */
function open(page, model) {
  /** @type {any[]} */
  const drawn = [];
  const end = new AbortController();
  const el = page.element();
  const repaint = live({ model, el, signal: end.signal, draw: () => drawn.push(model.get("frame")) });
  return { drawn, end, el, repaint };
}

/** A browser with an open view whose hello was answered and whose answer was drawn. */
function opened() {
  const page = browser(), model = new Model({});
  const view = open(page, model);
  model.picture();
  page.pass(3000);
  model.heard();
  return { page, model, ...view };
}

test("a page that opens draws at once what it has, and asks for all of now", () => {
  const page = browser(), model = new Model({ frame: 7 });
  const { drawn } = open(page, model);
  assert.deepEqual(drawn, [7]);
  assert.deepEqual(model.heard(), [{ hello: 0 }]);
});

test("a picture is acknowledged once it is drawn, not before", () => {
  const { page, model, drawn } = opened();
  model.picture();
  assert.deepEqual(model.heard(), []);
  page.pass(50);
  assert.equal(drawn.at(-1), 3);
  assert.deepEqual(model.heard(), [{ drawn: 3 }]);
});

test("a view that is hidden for a moment is drawn as soon as it has a width again", () => {
  const { page, model, drawn, el } = opened();
  const before = drawn.length;
  Object.assign(el, { clientWidth: 0 });
  model.picture();
  page.pass(100);
  assert.equal(drawn.length, before);
  assert.deepEqual(model.heard(), []);
  Object.assign(el, { clientWidth: 300 });
  page.pass(100);
  assert.equal(drawn.at(-1), 3);
  assert.deepEqual(model.heard(), [{ drawn: 3 }]);
});

/**
 * How many pictures a page lets through in 10 s from a kernel that sends as fast as it may.
 * @param {any} page @param {Model} model @param {() => void} meanwhile called every 800 ms
 */
function letThrough(page, model, meanwhile = () => {}) {
  let pictures = 0;
  model.picture();
  for (let ms = 0; ms < 10_000; ms += 1) {
    if (ms % 800 === 0) meanwhile();
    page.pass(1);
    if (model.heard().some((message) => message.drawn === model.get("frame"))) { pictures += 1; model.picture(); }
  }
  return pictures;
}

test("a kernel that sends as fast as it may sends one picture a second", () => {
  const { page, model } = opened();
  const pictures = letThrough(page, model);
  assert.ok(pictures >= 9 && pictures <= 11, `${pictures} pictures in 10 s`);
});

test("while a person acts in any view of the page, ten pictures a second", () => {
  const { page, model } = opened(), other = new Model({});
  const want = wishes({ model: other, signal: new AbortController().signal, repaint: () => {} });
  const pictures = letThrough(page, model, () => want.call("evaluate"));
  assert.ok(pictures >= 85 && pictures <= 101, `${pictures} pictures in 10 s`);
});

test("twins of one view, in one page, let no more pictures through than one", () => {
  const page = browser(), model = new Model({ address: "twin/1" });
  open(page, model);
  model.picture();
  // The second opens at a time of its own.
  page.pass(137);
  open(page, model);
  const pictures = letThrough(page, model);
  assert.ok(pictures >= 9 && pictures <= 12, `${pictures} pictures in 10 s`);
});

test("what the other views of a kernel have drawn travels with whatever is said first", () => {
  const page = browser();
  const [slow, quick, foreign] = [["a/1", 1], ["a/2", 10], ["b/1", 1]].map(([address, ahead]) => new Model({ address, ahead }));
  const models = [slow, quick, foreign];
  for (const model of models) { open(page, model); model.picture(); }
  page.pass(2000);
  models.forEach((model) => model.heard());
  // At once, after a rest; the one that may be late goes along, and that of another kernel speaks for itself.
  models.forEach((model) => model.picture());
  page.pass(20);
  assert.deepEqual(models.map((model) => model.heard()), [[{ drawn: 3, beside: { "a/2": 3 } }], [], [{ drawn: 3 }]]);
  page.pass(2000);
  assert.deepEqual(models.map((model) => model.heard()), [[], [], []]);
  // A wish takes along what waits to be said, its own view's too, and what is not drawn yet comes later.
  models.forEach((model) => model.picture());
  page.pass(100);
  models.forEach((model) => model.heard());
  models.forEach((model) => model.picture());
  page.pass(20);
  const want = wishes({ model: slow, signal: new AbortController().signal, repaint: () => {} });
  quick.picture();
  want.call("evaluate");
  assert.deepEqual(models.map((model) => model.heard()),
    [[{ wish: "evaluate", value: null, beside: { "a/1": 5, "a/2": 5 } }], [], []]);
  page.pass(2000);
  assert.deepEqual(models.map((model) => model.heard()), [[], [{ drawn: 6 }], [{ drawn: 5 }]]);
});

test("of pictures that may go ahead of the answers, one answer tells of several", () => {
  const page = browser(), model = new Model({ ahead: 10 });
  const { drawn } = open(page, model);
  model.picture();
  page.pass(1000);
  model.heard();
  /** @type {number[]} */
  const answers = [];
  let most = 0;
  for (let ms = 0; ms < 10_000; ms += 1) {
    page.pass(1);
    if (ms % 100 === 0) model.picture();
    answers.push(...model.heard().map((message) => message.drawn));
    most = Math.max(most, model.get("frame") - (answers.at(-1) ?? 2));
  }
  assert.ok(answers.length >= 18 && answers.length <= 23, `${answers.length} answers in 10 s`);
  assert.ok(answers.every((frame, i) => !i || frame > answers[i - 1]));
  // The kernel never has to wait, and each picture is drawn.
  assert.ok(most < 10, `${most} pictures unanswered`);
  assert.ok(drawn.length >= 100);
});

test("a page that paints late answers late, so that it is sent no more than it paints", () => {
  const page = browser(), model = new Model({ ahead: 10 });
  const frame = globalThis.requestAnimationFrame;
  globalThis.requestAnimationFrame = (call) => window.setTimeout(() => call(0), 240);
  open(page, model);
  model.picture();
  page.pass(2000);
  model.heard();
  let sent = 0, owed = 0;
  for (let ms = 0; ms < 20_000; ms += 1) {
    page.pass(1);
    for (const message of model.heard()) owed = model.get("frame") - message.drawn;
    // The kernel, ten times a second where it may.
    if (ms % 100 === 0 && owed < 10) { model.picture(); owed += 1; sent += 1; }
  }
  globalThis.requestAnimationFrame = frame;
  assert.ok(sent >= 50 && sent <= 110, `${sent} pictures in 20 s`);
});

test("the last of pictures that may go ahead is answered soon, and a missing one is asked for", () => {
  const page = browser(), model = new Model({ ahead: 10 });
  open(page, model);
  model.picture();
  page.pass(1000);
  model.heard();
  model.picture();
  page.pass(30);
  assert.deepEqual(model.heard(), []);
  page.pass(500);
  assert.deepEqual(model.heard(), [{ drawn: 3 }]);
  model.picture({}, 7);
  page.pass(500);
  assert.deepEqual(model.heard(), [{ hello: 0 }]);
});

test("a picture that comes after a rest is acknowledged at once", () => {
  const { page, model } = opened();
  page.pass(5000);
  model.picture();
  page.pass(20);
  assert.deepEqual(model.heard(), [{ drawn: 3 }]);
});

test("many changes in one frame are one drawing", () => {
  const { page, model, drawn } = opened();
  const before = drawn.length;
  for (let n = 0; n < 20; n += 1) model.emit("change");
  page.pass(40);
  assert.equal(drawn.length, before + 1);
});

test("a page in a hidden tab acknowledges nothing, and says hello when it is shown", () => {
  const { page, model } = opened();
  page.hide(true);
  model.picture();
  model.say({ ask: 3 });
  page.pass(60_000);
  assert.deepEqual(model.heard(), []);
  page.hide(false);
  assert.deepEqual(model.heard(), [{ hello: 3 }]);
  model.picture();
  page.pass(200);
  assert.deepEqual(model.heard(), [{ drawn: 4 }]);
});

test("a view scrolled out of sight neither draws nor acknowledges, and says hello when it comes back", () => {
  const { page, model, drawn } = opened();
  page.scroll(false);
  const before = drawn.length;
  model.picture();
  model.say({ ask: 3 });
  page.resize();
  page.pass(60_000);
  assert.deepEqual([drawn.length, model.heard()], [before, []]);
  page.scroll(true);
  assert.deepEqual(model.heard(), [{ hello: 3 }]);
  page.pass(20);
  assert.equal(drawn.length, before + 1);
});

test("a view drawn and hidden within the pace keeps its acknowledgement for later", () => {
  const { page, model } = opened();
  model.picture();
  page.pass(40);
  model.heard();
  model.picture();
  page.pass(20);
  page.hide(true);
  page.pass(1000);
  assert.deepEqual(model.heard(), []);
  page.hide(false);
  page.pass(200);
  assert.deepEqual(model.heard(), [{ hello: 4 }, { drawn: 4 }]);
});

test("a page that is asked says which picture it has", () => {
  const { page, model } = opened();
  model.say({ ask: 9 });
  assert.deepEqual(model.heard(), [{ hello: 2 }]);
  model.picture({}, 3);
  page.pass(200);
  assert.deepEqual(model.heard(), [{ drawn: 3 }]);
});

test("a page that finds a picture missing asks for all of it, in place of the acknowledgement", () => {
  const { page, model } = opened();
  model.picture({}, 5);
  page.pass(200);
  assert.deepEqual(model.heard(), [{ hello: 0 }]);
  model.picture({}, 6);
  page.pass(1000);
  assert.deepEqual(model.heard(), [{ drawn: 6 }]);
});

test("a hello that nobody answers is repeated, ever more rarely, and not for ever", () => {
  const page = browser(), model = new Model({});
  open(page, model);
  /** @type {number[]} */
  const times = [];
  for (let s = 0; s < 600; s += 1) {
    page.pass(1000);
    if (model.heard().length) times.push(page.now / 1000);
  }
  const waits = times.map((time, i) => time - (times[i - 1] ?? 0)).slice(1);
  assert.ok(times.length >= 4 && times.length <= 8, `${times}`);
  assert.ok(waits.every((wait, i) => i === 0 || wait > 1.5 * waits[i - 1]), `${waits}`);
});

test("an answered hello is not repeated", () => {
  const { page, model } = opened();
  page.pass(600_000);
  assert.deepEqual(model.heard(), []);
});

test("what the host's theme says is on the element, and a change of it is drawn", () => {
  const { page, drawn, el, repaint } = opened();
  assert.equal(el.dataset.theme, "light");
  document.body.dataset.jpThemeLight = "false";
  const before = drawn.length;
  repaint();
  page.pass(20);
  assert.equal(el.dataset.theme, "dark");
  assert.equal(drawn.length, before + 1);
});

test("a view that ends leaves no listener, no timer and no observer, and says nothing more", () => {
  const { page, model, end, repaint, drawn } = opened();
  model.picture();
  end.abort();
  const before = drawn.length;
  repaint();
  model.picture();
  model.say({ ask: 1 });
  page.hide(true); page.hide(false);
  page.pass(100_000);
  assert.deepEqual([model.listeners, page.waiting, page.observers, model.heard(), drawn.length], [0, 0, 0, [], before]);
});

test("a page writes no trait, whatever happens", () => {
  // Model.set throws.
  const { page, model } = opened();
  for (let n = 0; n < 5; n += 1) { model.picture(); page.pass(137); page.hide(n % 2 === 0); }
});

/** A view's wishes. */
function wishing() {
  const page = browser(), model = new Model({ threshold: 0.5, layer: "conv" }), end = new AbortController();
  let repaints = 0;
  const want = wishes({ model, signal: end.signal, repaint: () => { repaints += 1; } });
  return { page, model, want, end, get repaints() { return repaints; } };
}

test("a wish is sent at once and shown at once", () => {
  const { model, want } = wishing();
  want.set("threshold", 0.7);
  assert.equal(want.get("threshold"), 0.7);
  assert.equal(want.get("layer"), "conv");
  assert.deepEqual(model.heard(), [{ wish: "threshold", value: 0.7 }]);
});

test("a drag is told at most 20 times a second, and its end always", () => {
  const { page, model, want } = wishing();
  for (let ms = 1; ms <= 1000; ms += 1) { want.set("threshold", ms / 1000); page.pass(1); }
  page.pass(100);
  const told = model.heard().map((message) => message.value);
  assert.ok(told.length >= 18 && told.length <= 22, `${told.length}`);
  assert.equal(told.at(-1), 1);
  assert.deepEqual(told, told.slice().sort((a, b) => a - b));
});

test("wishes of two names do not wait for one another", () => {
  const { model, want } = wishing();
  want.set("threshold", 0.7); want.set("layer", "relu");
  assert.deepEqual(model.heard(), [{ wish: "threshold", value: 0.7 }, { wish: "layer", value: "relu" }]);
});

test("the person's value is shown until the kernel has had its time, then the kernel's", () => {
  const all = wishing(), { page, model, want } = all;
  want.set("threshold", 0.7);
  model.traits = { ...model.traits, ...{ threshold: 0.6 } };
  page.pass(1000);
  assert.equal(want.get("threshold"), 0.7);
  const before = all.repaints;
  page.pass(1000);
  assert.equal(want.get("threshold"), 0.6);
  // Nobody has to move for it to be seen.
  assert.ok(all.repaints > before);
});

test("a refusal is shown with its reason, and the kernel's value with it, until the next wish", () => {
  const { model, want } = wishing();
  want.set("threshold", 7);
  model.say({ refused: "threshold", because: "A threshold lies between 0 and 1." });
  assert.equal(want.refusal, "A threshold lies between 0 and 1.");
  assert.equal(want.get("threshold"), 0.5);
  want.set("threshold", 0.7);
  assert.equal(want.refusal, "");
  model.say({ refused: "threshold", because: "No." });
  want.call("window", []);
  assert.equal(want.refusal, "");
});

test("a drag that is refused while it goes on is told to its end", () => {
  const { page, model, want } = wishing();
  want.set("threshold", 7); want.set("threshold", 0.8);
  model.say({ refused: "threshold", because: "No." });
  page.pass(100);
  assert.deepEqual(model.heard().map((message) => message.value), [7, 0.8]);
});

test("what is asked for once is sent as it is", () => {
  const { model, want } = wishing();
  want.call("evaluate");
  want.call("window", [1, 2]);
  assert.deepEqual(model.heard(), [{ wish: "evaluate", value: null }, { wish: "window", value: [1, 2] }]);
});

test("wishes that end with their view leave no timer", () => {
  const { page, model, want, end } = wishing();
  want.set("threshold", 0.7); want.set("threshold", 0.8);
  end.abort();
  assert.deepEqual([model.listeners, page.waiting], [0, 0]);
});

// The pure functions of front.js: numbers as people read them, bytes as numbers.
import assert from "node:assert/strict";
import { test } from "node:test";
import { clock, count, lostWords, numbers, rate, sig, whole } from "../../dlwidgets/views/front.js";

test("a number keeps its significant digits, as short as it goes", () => {
  const written = /** @type {[number, number, string][]} */ ([
    [0.0032, 2, "0.0032"], [0.00028, 2, "2.8e-4"], [12.34, 3, "12.3"], [1234, 2, "1,234"], [0, 2, "0"],
    [0.5, 2, "0.50"], [-0.25, 2, "−0.25"],
  ]);
  for (const [x, digits, text] of written) assert.equal(sig(x, digits), text);
});

test("what is not a number is a dash, and infinity shows its sign", () => {
  for (const x of [null, undefined, NaN]) assert.equal(sig(x), "–");
  assert.equal(sig(Infinity), "∞");
  assert.equal(sig(-Infinity), "−∞");
});

test("a number read back from its text is off by at most half a unit of its last digit", () => {
  for (let power = -12; power < 12; power += 1) {
    for (const mantissa of [1, 1.004, 1.234, 4.996, 9.949, 9.951, 9.999]) {
      const x = mantissa * 10 ** power;
      const back = Number(sig(x, 3).replaceAll(",", "").replaceAll("−", "-"));
      assert.ok(Math.abs(back - x) <= 0.0051 * x, `${x} is written ${sig(x, 3)}`);
    }
  }
});

test("a count carries the prefix that leaves one to three digits before the point", () => {
  const written = /** @type {[number, string][]} */ ([
    [0, "0"], [999, "999"], [1000, "1.00 k"], [6228762, "6.23 M"], [38.4e6, "38.4 M"], [999_600, "1.00 M"],
    [70e9, "70.0 G"],
  ]);
  for (const [n, text] of written) assert.equal(count(n), text);
});

test("seconds read as a clock from a minute on", () => {
  const written = /** @type {[number, string][]} */ ([
    [0, "0 s"], [41, "41 s"], [59.6, "1:00"], [134, "2:14"], [3753, "1:02:33"],
  ]);
  for (const [seconds, text] of written) assert.equal(clock(seconds), text);
});

test("a whole number has its thousands set apart", () => assert.equal(whole(1488), "1,488"));

test("bytes become numbers wherever their view starts", () => {
  const floats = new Float32Array([1.5, -2, 3e-9]);
  for (const start of [0, 1, 2, 3, 7]) {
    const shifted = new Uint8Array(start + floats.byteLength);
    shifted.set(new Uint8Array(floats.buffer), start);
    assert.deepEqual(numbers(new DataView(shifted.buffer, start), Float32Array), floats);
  }
  assert.equal(numbers(null, Float32Array).length, 0);
});

test("a learning rate is always written alike, so that two of them compare at a glance", () => {
  const written = /** @type {[any, string][]} */ ([
    [0.001, "1.0e-3"], [2.84e-4, "2.8e-4"], [1, "1.0e0"], [20, "2.0e1"], [0, "0"], [null, "–"], [NaN, "–"], [Infinity, "–"],
  ]);
  for (const [x, text] of written) assert.equal(rate(x), text);
});

test("a rate read back is within half a unit of its second digit", () => {
  for (let power = -9; power < 3; power += 0.07) {
    const x = 10 ** power;
    assert.ok(Math.abs(Number(rate(x)) / x - 1) <= 0.0501, rate(x));
  }
});

test("words for a number never change their length while it moves within a power of ten", () => {
  for (const power of [-6, -4, -2, 0, 3, 8]) {
    const lengths = new Set();
    for (let mantissa = 1; mantissa < 9.9; mantissa += 0.013) lengths.add(sig(mantissa * 10 ** power, 3).length);
    assert.equal(lengths.size, 1, `around 1e${power}: ${[...lengths]}`);
  }
});

test("a count reads back to three digits, and a unit follows its prefix", () => {
  const size = { k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15 };
  for (let power = 3; power < 17; power += 0.11) {
    const [digits, prefix] = count(10 ** power).split(" ");
    const back = Number(digits) * size[/** @type {keyof typeof size} */ (prefix)];
    assert.ok(Math.abs(back / 10 ** power - 1) <= 0.0051, `${10 ** power} is written ${digits} ${prefix}`);
  }
  assert.equal(count(1234, "B"), "1.23 kB");
  assert.equal(count(12, "B"), "12 B");
  assert.equal(count(null), "–");
});

test("time that is not known, or not to end, is a dash", () => {
  for (const seconds of [null, undefined, NaN, Infinity]) assert.equal(clock(seconds), "–");
  assert.equal(clock(-3), "0 s");
});

test("what is said of a kernel that is gone names the menu only where there is one", () => {
  for (const why of ["restarted", "gone", "unreachable", "saved"]) {
    assert.match(lostWords(why, "notebook"), /^[A-Z][^.]*\.$/, "one sentence");
    assert.doesNotMatch(lostWords(why, ""), /Run >/);
  }
  assert.match(lostWords("restarted", "notebook"), /Run > Run All Cells/);
  assert.match(lostWords("gone", "app"), /: reload the page\.$/);
  assert.equal(lostWords("", "notebook"), "");
});

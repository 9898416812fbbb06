// The pure parts of the confusion grid: counts, rates, orders, words, tiles.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { cellsAtEach, cellsFrom, histogramOf, positionOf, wholesOf } from "../../dlwidgets/views/confusion/counts.js";
import { compiled, metricTable, wilson } from "../../dlwidgets/views/confusion/metrics.js";
import { cutName } from "../../dlwidgets/views/confusion/names.js";
import { compareBy, inOrder, matching, orderOf, sortWords, passing, readSort, shownBy } from "../../dlwidgets/views/confusion/order.js";
import {
  boldWords, confused, fewWords, fitCount, headline, interval, meaning, percent, position, sentence, share, short, spoken, written,
} from "../../dlwidgets/views/confusion/words.js";
import { step } from "../../dlwidgets/views/confusion/plot.js";
import { layoutOf, linesSeen, strength } from "../../dlwidgets/views/confusion/tiles.js";
import { leap, nearestPosition, reportOf, summaryOf } from "../../dlwidgets/views/confusion/slider.js";
import { ownLimits } from "../../dlwidgets/views/confusion/look.js";
import { widthOf } from "../../dlwidgets/views/confusion/table.js";
import { firstFilter } from "../../dlwidgets/views/confusion/toolbar.js";
import { cellsOfMatrix, matrixLayout, sumsOf, wholeOf } from "../../dlwidgets/views/confusion/matrix.js";

/** The kernel's table of metrics; a test in Python compares it with its own. */
const metrics = metricTable(JSON.parse(readFileSync(new URL("metric_table.json", import.meta.url), "utf8")));

/** Random samples of `classes` classes, and the cells counted one by one. @param {number} seed */
function samples(seed, classes = 5, n = 40) {
  let state = seed;
  const random = () => { state = (state * 1103515245 + 12345) % 2147483648; return state / 2147483648; };
  const truth = Array.from({ length: classes }, (_, c) => Array.from({ length: n }, () => c !== 2 && random() < 0.3));
  const score = truth.map((row) => row.map(() => Math.round(random() * 50) / 50));
  /** @param {number} t */
  const count = (t) => truth.flatMap((row, c) => {
    const cells = [0, 0, 0, 0];
    row.forEach((is, i) => { cells[2 * Number(is) + Number(score[c][i] >= t)] += 1; });
    return cells;
  });
  return { truth, score, count };
}

/** The layout that the kernel sends: C x 2 x positions. @param {ReturnType<typeof samples>} from @param {number} positions */
function cumulative({ truth, score }, positions) {
  const counts = new Uint16Array(truth.length * 2 * positions), totals = new Uint32Array(truth.length * 2);
  truth.forEach((row, c) => row.forEach((is, i) => {
    totals[2 * c + Number(!is)] += 1;
    for (let k = 0; k < positions; k++) if (score[c][i] >= k / (positions - 1)) counts[(2 * c + Number(!is)) * positions + k] += 1;
  }));
  return { counts, totals };
}

test("the cells at a position are those counted sample by sample", () => {
  for (let seed = 1; seed <= 5; seed++) {
    const from = samples(seed), { counts, totals } = cumulative(from, 101);
    for (const k of [0, 1, 37, 50, 100]) {
      const cells = cellsAtEach({ counts, totals }, Array(5).fill(k / 100), { limits: [0.5], exact: new Uint32Array(10) }, 101);
      assert.deepEqual([...cells], from.count(k / 100));
    }
  }
});

test("cells come out in scikit-learn's order: tn, fp, fn, tp", () => {
  assert.deepEqual([...cellsFrom([60, 1540], () => 46, () => 126)], [1414, 126, 14, 46]);
});

test("precision, recall and F1 are their definitions", () => {
  const [precision, recall, f1, support] = ["precision", "recall", "f1", "support"].map((name) => metrics.value(name, [0, 0, 0, 0, 1414, 126, 14, 46], 4));
  assert.equal(precision, 46 / 172);
  assert.equal(recall, 46 / 60);
  assert.ok(Math.abs(f1 - 2 * precision * recall / (precision + recall)) < 1e-12);
  assert.equal(support, 60);
});

test("a rate with nothing to divide by is not a number", () => {
  assert.ok(["precision", "recall", "f1"].every((name) => Number.isNaN(metrics.value(name, [10, 0, 0, 0]))));
  assert.equal(metrics.value("f1", [9, 1, 0, 0]), 0);
  for (const [name] of metrics.rates) assert.ok(Number.isNaN(metrics.value(name, [0, 0, 0, 0])), name);
});

test("macro leaves out what is not defined, micro pools the counts", () => {
  const cells = [10, 0, 0, 0, 5, 1, 2, 4, 3, 3, 0, 6];
  assert.ok(Math.abs(metrics.average("f1", cells).macro - (8 / 11 + 12 / 15) / 2) < 1e-12);
  assert.equal(metrics.average("precision", cells).micro, 10 / 14);
  assert.equal(metrics.average("recall", cells).micro, 10 / 12);
  assert.deepEqual(metrics.average("support", cells), { macro: 12, micro: 12 });
  assert.ok(Number.isNaN(metrics.average("f1", [10, 0, 0, 0]).macro));
});

test("classes sort by any metric, both ways, undefined ones last, equal ones as given", () => {
  const from = samples(7), cells = from.count(0.5), names = ["e", "D", "c", "b", "A"];
  for (const [metric] of metrics.names) {
    for (const sort of [metric, `-${metric}`]) {
      const values = orderOf(metrics, sort, names, cells).map((c) => metrics.value(metric, cells, 4 * c));
      const known = values.filter((x) => !Number.isNaN(x));
      assert.deepEqual(known, [...known].sort((a, b) => (sort === metric ? a - b : b - a)));
      assert.ok(values.slice(known.length).every(Number.isNaN));
    }
  }
  assert.deepEqual(orderOf(metrics, "name", names, cells), [4, 3, 2, 1, 0]);
  assert.deepEqual(orderOf(metrics, "given", names, cells), [0, 1, 2, 3, 4]);
  assert.deepEqual(orderOf(metrics, "-given", names, cells), [4, 3, 2, 1, 0]);
  assert.deepEqual(orderOf(metrics, "f1", ["x", "y"], [1, 1, 1, 1, 1, 1, 1, 1]), [0, 1]);
});

test("an order is known to be out of date once the numbers have changed", () => {
  const names = ["x", "y"], before = [0, 0, 5, 5, 0, 0, 1, 9], after = [0, 0, 0, 10, 0, 0, 1, 9];
  const order = orderOf(metrics, "recall", names, before);
  assert.ok(inOrder(order, compareBy(metrics, "recall", names, before)));
  assert.ok(!inOrder(order, compareBy(metrics, "recall", names, after)));
  assert.ok(inOrder(order, compareBy(metrics, "name", names, after)));
});

test("a sort reads as a key and a direction, and names the metric on the tiles", () => {
  assert.deepEqual(readSort("-recall"), { key: "recall", falling: true });
  assert.deepEqual(["given", "name", "f1", "-precision", "support"].map((sort) => shownBy(metrics, sort)), ["f1", "f1", "f1", "precision", "support"]);
});

test("an order says what comes first", () => {
  assert.deepEqual(["given", "-name", "f1", "-threshold"].map(sortWords), ["↑ first to last", "↓ Z to A", "↑ lowest first", "↓ highest first"]);
});

test("the bold number is named, with what its average is of and the step", () => {
  const cells = [10, 0, 0, 0, 5, 1, 2, 4, 3, 3, 0, 6], [text, title] = boldWords(metrics, "f1", cells, { step: 90 });
  assert.equal(text, "bold: F1, macro 0.76");
  assert.match(title, /Macro 0\.76: the mean of the 2 of 3 classes that have one\. Micro 0\.77: .*After step 90\.$/);
  assert.match(boldWords(metrics, "recall", cells.slice(4), { step: null })[1], /the mean of all 2 classes.*together\.$/);
  assert.equal(boldWords(metrics, "support", cells, { step: null })[0], "bold: support, 12 in all");
  assert.equal(boldWords(metrics, "f1", cells.slice(4, 8), { step: null })[0], "bold: F1");
  assert.equal(fewWords(cells, 4), "4 found · 2 missed · 1 wrongly said · 5 rightly not said");
});

test("a search finds names in any case and keeps the order", () => {
  assert.deepEqual(matching([2, 0, 1], ["Pneumonia", "Mass", "pneumothorax"], " PNEUMO "), [2, 0]);
  assert.deepEqual(matching([2, 0, 1], ["a", "b", "c"], "  "), [2, 0, 1]);
  assert.deepEqual(matching([0], ["a.c"], "."), [0]);
});

test("every cell is said in words that agree with its number", () => {
  assert.equal(sentence(0, 1414, "pneumonia", "multilabel"), "1,414 do not have pneumonia and were not said to");
  assert.equal(sentence(2, 14, "pneumonia", "multilabel"), "14 have pneumonia and were missed");
  assert.equal(sentence(2, 1, "pneumonia", "multilabel"), "1 has pneumonia and was missed");
  assert.equal(sentence(1, 1, "cat", "multiclass"), "1 is not cat but was said to be");
  assert.equal(sentence(3, 0, "cat", "binary"), "0 are cat and were found");
  assert.equal(new Set([0, 1, 2, 3].map((cell) => meaning(cell))).size, 4);
});

test("a tile is spoken with its rates and its four counts", () => {
  const words = spoken(metrics, "edema", [9, 9, 9, 9, 1414, 126, 14, 46], 4, "multilabel");
  for (const part of ["edema: F1 0.40", "precision 0.27", "recall 0.77", "46 have", "14 have", "126 do not", "1,414 do not"]) {
    assert.ok(words.includes(part), words);
  }
});

test("numbers are written as short as they may be", () => {
  assert.equal(share(NaN), "n/a");
  assert.equal(share(0.405), "0.41");
  assert.equal(written(metrics, "support", 1234), "1,234");
  assert.equal(share(-0.25), "−0.25");
  assert.equal(interval([0.481, 1]), ".48–1");
  assert.equal(interval([NaN, NaN]), "");
  assert.deepEqual([0, 0.001, 0.126, 0.999, 1, NaN].map(percent), ["0%", "<1%", "13%", ">99%", "100%", ""]);
  assert.equal(short(99_999), "99,999");
  assert.equal(short(1_210_000), "1.21 M");
  assert.equal(short(1488, 4), "1.49 k");
  assert.deepEqual([9, 6, 5, 4, 1].map((room) => fitCount(1446, (text) => text.length <= room)), ["1,446", "1,446", "1,446", "1 k", "1 k"]);
  assert.deepEqual([6, 5, 1].map((room) => fitCount(12_345_678, (text) => text.length <= room)), ["12.3 M", "12 M", "12 M"]);
  assert.equal(fitCount(446, () => false), "446");
  assert.deepEqual([0.5, 0.505, 1, 0.48731, -3].map(position), ["0.500", "0.505", "1.000", "0.4873", "-3.000"]);
});

test("the headline says what the numbers are of", () => {
  const about = { task: "multilabel", samples: 1600, validation: true, step: 2184 };
  assert.equal(headline(about, 14), "1,600 validation samples · 14 classes · after step 2,184");
  assert.equal(headline({ ...about, samples: 1, validation: false, step: null }, 1), "1 sample");
  assert.match(headline({ ...about, task: "multiclass" }, 10), /each against the rest/);
  assert.match(headline({ ...about, task: "multiclass" }, 10, false, true), /by the likeliest class/);
  assert.match(headline({ ...about, task: "multiclass" }, 10, true), /10 classes · by the likeliest class · after step 2,184/);
  assert.match(headline({ ...about, unknown: "34 % of the labels unknown" }, 14), /14 classes · 34 % of the labels unknown · /);
  assert.match(headline({ ...about, note: "1,600 of 20,000 validation samples, drawn at random" }, 14), /^1,600 of 20,000 validation samples, drawn at random · 14 classes/);
});

test("tiles of every number fit in every width, without an empty line", () => {
  for (const width of [230, 320, 360, 606, 640, 1000, 1400]) {
    for (let tiles = 1; tiles <= 220; tiles++) {
      const { columns, tile, lines } = layoutOf(width, tiles);
      assert.ok(columns * tile + 4 * (columns - 1) <= width, `${tiles} in ${width}`);
      assert.ok(columns * lines >= tiles && columns * (lines - 1) < tiles, `${tiles} in ${width}`);
      assert.ok(tile >= (tiles > 40 ? 104 : 86) && tile <= 168, `${tiles} in ${width}: ${tile}`);
    }
  }
});

test("fourteen classes stand in two even lines where the page is wide enough", () => {
  for (const width of [640, 900, 1400]) assert.deepEqual([layoutOf(width, 14).columns, layoutOf(width, 14).lines], [7, 2]);
});

test("arrow keys walk the tiles and stop at the edges", () => {
  assert.equal(step(3, "ArrowRight", 4, 10), 4);
  assert.equal(step(0, "ArrowLeft", 4, 10), 0);
  assert.equal(step(5, "ArrowDown", 4, 10), 9);
  assert.equal(step(7, "ArrowDown", 4, 10), 7);
  assert.equal(step(2, "ArrowUp", 4, 10), 2);
  assert.deepEqual([step(5, "Home", 4, 10), step(5, "End", 4, 10), step(5, "x", 4, 10)], [0, 9, -1]);
});

/** The width of a text in letters, of which those of China are twice as wide. @param {string} text */
const wide = (text) => [...new Intl.Segmenter().segment(text)].reduce((sum, { segment }) => sum + (/\p{Script=Han}/u.test(segment) ? 2 : 1), 0);
/** Whether a name may be meant by what is written. @param {string} text @param {string} name */
const meant = (text, name) => text === name || (text.includes("…") && new RegExp(`^${text.split("…").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join(".+")}$`, "u").test(name));

test("a long name keeps what tells it from the others, wherever it stands", () => {
  const sets = {
    start: ["Pneumonia", "Pneumothorax", "Pneumoconiosis", "Mass", "Effusion"],
    numbers: Array.from({ length: 200 }, (_, i) => `class ${i}`),
    end: ["small-cell carcinoma", "large-cell carcinoma", "mucinous carcinoma", "carcinoma"],
    middle: ["opacity of the left upper lobe, seen from the side", "opacity of the left lower lobe, seen from the side", "opacity of the right upper lobe, seen from the side"],
    chinese: ["左肺上叶实性结节伴钙化", "左肺下叶实性结节伴钙化", "右肺上叶实性结节伴钙化", "右肺中叶实性结节伴钙化", "气胸"],
    emoji: ["Ärztekammer 👩‍⚕️👍👍👍", "Ärztekammer 👨‍⚕️👍👍👍"],
  };
  for (const [kind, names] of Object.entries(sets)) {
    for (const room of kind === "middle" ? [16, 20, 30] : [8, 11, 14]) {
      const shown = names.map((name) => cutName(name, names, room, wide));
      shown.forEach((text, i) => {
        assert.ok(wide(text) <= room, `${text} in ${room}`);
        if (kind !== "middle" || room > 16) assert.deepEqual(names.filter((name) => meant(text, name)), [names[i]], `${text} in ${room}`);
      });
      assert.ok(names.every((name, i) => wide(name) > room || shown[i] === name));
    }
  }
  assert.equal(cutName("Pneumothorax", sets.start, 9, wide), "Pneum…rax");
  assert.equal(cutName("右肺中叶实性结节伴钙化", sets.chinese, 11, wide), "右肺中…钙化");
});

/** The relative luminance of WCAG 2. @param {number[]} rgb */
function luminance(rgb) {
  const [r, g, b] = rgb.map((x) => (x / 255 <= 0.04045 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

test("counts are readable on every shade, in both themes (WCAG AA, 4.5)", () => {
  const css = readFileSync(new URL("../../dlwidgets/views/front.css", import.meta.url), "utf8");
  const [light, dark] = [css, css.slice(css.indexOf('[data-theme="dark"]'))].map((text) => (/** @type {string} */ name) => {
    const hex = /** @type {RegExpMatchArray} */ (text.match(new RegExp(`--dlw-${name}: [^;]*#([0-9a-f]{6})`)))[1];
    return [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
  });
  for (const [theme, isDark] of /** @type {const} */ ([[light, false], [dark, true]])) {
    for (const name of ["blue", "orange"]) {
      for (let n = 0; n <= 10; n++) {
        const alpha = strength(n, 10, isDark), under = theme("fill");
        const fill = theme(name).map((x, i) => alpha * x + (1 - alpha) * under[i]);
        const [low, high] = [luminance(fill), luminance(theme("ink"))].sort((a, b) => a - b);
        assert.ok((high + 0.05) / (low + 0.05) >= 4.5, `${name} at ${n / 10}, ${isDark ? "dark" : "light"}: ${(high + 0.05) / (low + 0.05)}`);
      }
    }
  }
});

test("a row without samples has no shade, a fuller cell a stronger one", () => {
  assert.equal(strength(0, 0, false), 0);
  assert.ok(strength(3, 10, true) < strength(4, 10, true));
});

test("one threshold a class is counted as each class by itself would be", () => {
  const from = samples(3), { counts, totals } = cumulative(from, 101), limits = [0.1, 0.25, 0.5, 0.77, 1];
  const cells = cellsAtEach({ counts, totals }, limits, { limits: [0.5], exact: new Uint32Array(10) }, 101);
  limits.forEach((t, c) => assert.deepEqual([...cells.subarray(4 * c, 4 * c + 4)], from.count(t).slice(4 * c, 4 * c + 4)));
});

test("between two positions the kernel's own counts are taken", () => {
  const from = samples(3), { counts, totals } = cumulative(from, 101), at = 0.123456;
  const wanted = from.count(at), exact = new Uint32Array(wanted.flatMap((_, i) => (i % 4 ? [] : [wanted[i + 3], wanted[i + 1]])));
  const kernel = { limits: [at, 0.5, at, at, at], exact };
  const cells = cellsAtEach({ counts, totals }, kernel.limits, kernel, 101);
  assert.deepEqual([...cells.subarray(0, 4)], wanted.slice(0, 4));
  assert.deepEqual([...cells.subarray(4, 8)], from.count(0.5).slice(4, 8));
});

test("a position is known by its threshold, to the last bit", () => {
  for (let k = 0; k <= 1000; k++) assert.equal(positionOf(k / 1000), k);
  assert.deepEqual([0.1234, 1 / 3, -0.001, 1.001, Infinity].map((t) => positionOf(t)), [-1, -1, -1, -1, -1]);
});

test("a histogram holds every score once, below 0 in its first bar and from 1 on in its last", () => {
  const score = [-3, 0, 0.019, 0.02, 0.5, 0.999, 1, 7], counts = new Uint8Array(2 * 1001), totals = new Uint32Array([score.length, 0]);
  for (let k = 0; k <= 1000; k++) counts[k] = score.filter((x) => x >= k / 1000).length;
  const bins = histogramOf({ counts, totals }, [0], 0, 50);
  assert.equal(bins[0], 3);
  assert.equal(bins[1], 1);
  assert.equal(bins[25], 1);
  assert.equal(bins[49], 3);
  assert.equal(bins.reduce((sum, n) => sum + n, 0), score.length);
  assert.equal(histogramOf({ counts, totals }, [0], 1, 50).reduce((sum, n) => sum + n, 0), 0);
});

test("a cell is a share of its row, its column, all, or of the largest count", () => {
  const cells = [6, 2, 1, 3];
  assert.deepEqual(wholesOf(cells, 0, "true", 9), [8, 8, 4, 4]);
  assert.deepEqual(wholesOf(cells, 0, "predicted", 9), [7, 5, 7, 5]);
  assert.deepEqual(wholesOf(cells, 0, "all", 9), [12, 12, 12, 12]);
  assert.deepEqual(wholesOf(cells, 0, "none", 9), [9, 9, 9, 9]);
});

test("a metric that is no share of samples has no interval, an empty denominator none either", () => {
  assert.equal(metrics.interval("matthews", [1, 2, 3, 4]), null);
  assert.equal(metrics.interval("support", [1, 2, 3, 4]), null);
  assert.ok((metrics.interval("precision", [1, 0, 3, 0]) ?? [0]).every(Number.isNaN));
  assert.deepEqual(wilson(0, 5)[0], 0);
  assert.deepEqual(wilson(5, 5)[1], 1);
});

test("classes sort by their thresholds", () => {
  assert.deepEqual(orderOf(metrics, "-threshold", ["a", "b", "c"], new Float64Array(12), [0.2, 0.9, 0.4]), [1, 2, 0]);
});

test("a filter keeps the order and lets no undefined value pass", () => {
  const cells = [5, 0, 5, 0, 5, 1, 1, 4, 5, 4, 4, 1]; // never predicted, good, bad
  assert.deepEqual(passing(metrics, [2, 1, 0], cells, { metric: "f1", side: "below", value: 0.5 }), [2, 0]);
  assert.deepEqual(passing(metrics, [2, 1, 0], cells, { metric: "precision", side: "least", value: 0 }), [2, 1]);
  assert.deepEqual(passing(metrics, [2, 1, 0], cells, firstFilter(metrics, "predicted")), [0]);
  assert.deepEqual(passing(metrics, [2, 1, 0], cells, null), [2, 1, 0]);
  assert.deepEqual(firstFilter(metrics, "support"), { metric: "support", side: "least", value: 10 });
});

test("shift and an arrow move a slider by ten positions and stop at the ends", () => {
  assert.equal(leap(500, { key: "ArrowRight", shiftKey: true }), 510);
  assert.equal(leap(4, { key: "ArrowDown", shiftKey: true }), 0);
  assert.equal(leap(995, { key: "ArrowUp", shiftKey: true }), 1000);
  assert.equal(leap(500, { key: "ArrowRight", shiftKey: false }), -1);
  assert.deepEqual([-3, 0.4996, 2].map(nearestPosition), [0, 500, 1000]);
});

test("a moved threshold stands with no word from the kernel, and goes out as one or as one a class", () => {
  /** @type {[string, any][]} */
  const said = [];
  const want = { refusal: "", get: () => null, set: (/** @type {string} */ name, /** @type {any} */ value) => said.push([name, value]) };
  const limits = ownLimits(want, { get: () => [0.5] });
  assert.deepEqual(limits.now(3), [0.5, 0.5, 0.5]);
  limits.move(1, 250, 3);
  assert.deepEqual(limits.now(3), [0.5, 0.25, 0.5]);
  limits.move(-1, 731, 3);
  assert.deepEqual(limits.now(3), [0.731, 0.731, 0.731]);
  assert.deepEqual(said, [["thresholds", [0.5, 0.25, 0.5]], ["thresholds", 0.731]]);
  want.refusal = "Three are wanted.";
  assert.deepEqual(limits.now(3), [0.5, 0.5, 0.5]);
});

test("without thresholds each sample is of its likeliest class, and a move of one class leaves that rule", () => {
  const said = /** @type {any[]} */ ([]), want = { refusal: "", get: () => null, set: (/** @type {any[]} */ ...wish) => said.push(wish) };
  const limits = ownLimits(want, { get: () => [] });
  assert.deepEqual(limits.now(3), [NaN, NaN, NaN]);
  limits.move(1, 250, 3);
  assert.deepEqual(limits.now(3), [0.5, 0.25, 0.5]);
  limits.put([NaN, NaN, NaN]);
  assert.deepEqual(limits.now(3), [NaN, NaN, NaN]);
  assert.deepEqual(said, [["thresholds", [0.5, 0.25, 0.5]], ["thresholds", null]]);
});

test("the table takes more room with intervals and thresholds, never less than its columns need", () => {
  assert.ok(widthOf(metrics, ["f1"], true, false) > widthOf(metrics, ["f1"], false, false));
  assert.equal(widthOf(metrics, ["support", "matthews"], true, false), widthOf(metrics, ["support", "matthews"], false, false));
  assert.ok(widthOf(metrics, ["f1"], true, true) > widthOf(metrics, ["f1"], true, false));
});

test("what was chosen is reported with what it is worth elsewhere", () => {
  const found = {
    metric: "F1", bound: "recall ≥ 0.9", class: -1, thresholds: [0.3, 0.5], chosen: [0.61, null], reported: [0.55, null],
    low: [0.48, null], high: [0.613, null], positives: [41, 0], samples: 1600, step: 2184, warnings: [], asked: 1,
  };
  assert.equal(reportOf(found, 0, ["edema", "hernia"]), "edema: F1 0.61 on the half it was chosen on (41 positives), 0.55 [0.48, 0.61] on the other half.");
  assert.match(reportOf(found, 1, ["edema", "hernia"]), /hernia: no positives/);
  const sure = { ...found, bound: "recall ≥ 0.9 with 0.95 confidence", chance: [0.968, null] };
  assert.match(reportOf(sure, 0, ["edema", "hernia"]), /other half\. recall ≥ 0\.9 holds with a chance of at least 96 %\.$/);
  assert.match(summaryOf(found), /recall ≥ 0.9.*1,600 samples, after step 2,184.*0\.61.*0\.55/);
});

test("tiles are there for the lines that can be seen, with one on either side", () => {
  assert.deepEqual(linesSeen(79, 500, { top: 0, tall: 470 }), { first: 0, last: 7 });
  assert.deepEqual(linesSeen(79, 500, { top: 790, tall: 470 }), { first: 9, last: 17 });
  assert.deepEqual(linesSeen(79, 3, { top: 0, tall: Infinity }), { first: 0, last: 3 });
  for (let top = 0; top < 39_500; top += 13) {
    const { first, last } = linesSeen(79, 500, { top, tall: 470 });
    assert.ok(first >= 0 && last <= 500 && first < last && last - first <= Math.ceil(470 / 79) + 3);
    assert.ok(first * 79 <= top && (last === 500 || last * 79 >= top + 470));
  }
});

test("a matrix fits its width, has names while they can be read and numbers while they fit", () => {
  for (const width of [330, 640, 900, 1280]) {
    for (const n of [2, 10, 40, 100, 200]) {
      const layout = matrixLayout(width, n);
      assert.ok(layout.cell >= 3 && (layout.width <= width || layout.cell === 3), `${n} in ${width}`);
    }
  }
  assert.ok(matrixLayout(900, 40).named && !matrixLayout(900, 200).named);
  const sums = sumsOf([5, 1, 2, 0, 7, 0, 1, 1, 3], 3);
  assert.deepEqual([...sums.rows], [8, 7, 5]);
  assert.deepEqual([...sums.columns], [6, 9, 5]);
  assert.deepEqual([sums.all, sums.largest], [20, 7]);
  assert.deepEqual(["true", "predicted", "all", "none"].map((by) => wholeOf(sums.rows, sums.columns, sums.all, sums.largest, by, 0, 1)), [8, 9, 20, 7]);
});

test("a cell of the matrix says what was taken for what", () => {
  assert.equal(confused(12, "3", "5", 160), "12 of the 160 of class 3 were said to be 5 (8%)");
  assert.equal(confused(1, "cat", "dog", 4), "1 of the 4 of class cat was said to be dog (25%)");
  assert.equal(confused(0, "cat", "dog", 0), "0 of the 0 of class cat were said to be dog");
  assert.match(confused(3, "cat", "cat", 4), /said to be it/);
  assert.match(confused(3, "class 3", "class 5", 4), /of class 3 were said to be class 5/);
});

test("the matrix read class by class is each against the rest", () => {
  assert.deepEqual([...cellsOfMatrix([5, 1, 2, 0, 7, 0, 1, 1, 3], 3)], [11, 1, 3, 5, 11, 2, 0, 7, 13, 2, 2, 3]);
});

test("a formula is computed as it is written, and divides nothing by nothing", () => {
  const formula = ["/", ["-", ["*", 2, "tp"], "fn"], ["gmean", "fp", ["+", "tn", 1]]];
  assert.equal(compiled(formula)([0, 0, 0, 0, 8, 4, 1, 5], 4), 9 / 6);
  assert.ok(Number.isNaN(compiled(formula)([8, 0, 1, 5], 0)));
});

// The pure parts of the activation browser.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  anyNegative, dequantise, halfStep, paintMaps, palette, rgb, shades, sheetColumns, tileAt, tileGrid, tileStep,
} from "../../dlwidgets/views/activations_tiles.js";
import {
  heading, keepPlaces, layerGroups, partName, percent, place, range, withError,
} from "../../dlwidgets/views/activations_words.js";

const STOPS = ["#8a3d00", "#e08a35", "#f5f6f8", "#6f9fd8", "#0f3f86"];

test("tiles of every count fit in the width and keep their form", () => {
  for (const across of [180, 380, 700, 1400]) {
    for (const count of [2, 3, 16, 64, 255, 512]) {
      for (const aspect of [1, 0.5, 2]) {
        const grid = tileGrid(count, aspect, across);
        assert.ok(grid.across <= across, `${count} in ${across}: ${grid.across}`);
        assert.ok(grid.columns * grid.rows >= count);
        assert.ok((grid.rows - 1) * grid.columns < count, "no empty row");
        assert.ok(grid.columns <= count, "no empty column");
        assert.ok(Math.abs(grid.width / grid.height / aspect - 1) < 0.15, `${grid.width} x ${grid.height}`);
      }
    }
  }
});

test("a sheet stays low while its tiles can be made smaller, and tiles stay within reach of the eye", () => {
  for (const [count, across] of [[64, 380], [256, 600], [512, 900], [16, 700]]) {
    const grid = tileGrid(count, 1, across);
    assert.ok(grid.down <= 420, `${count} in ${across}: ${grid.down}`);
    assert.ok(grid.width >= 12 && grid.width <= 112);
  }
});

test("more tiles are never larger", () => {
  let before = Infinity;
  for (let count = 2; count <= 600; count += 1) {
    const { width } = tileGrid(count, 1, 640);
    assert.ok(width <= before, `${count}: ${width} after ${before}`);
    before = width;
  }
});

test("a matrix takes the whole width, a single map keeps its form", () => {
  assert.equal(tileGrid(1, 200, 600, "sequence").width, 600);
  const map = tileGrid(1, 2, 500, "maps");
  assert.equal(map.width / map.height, 2);
});

test("the point in the middle of each tile finds that tile, a point in a gap none", () => {
  const grid = tileGrid(37, 1, 500);
  for (let m = 0; m < 37; m += 1) {
    const x = (m % grid.columns) * (grid.width + grid.gap), y = Math.floor(m / grid.columns) * (grid.height + grid.gap);
    assert.deepEqual(tileAt(x + grid.width / 2, y + grid.height / 2, grid, 37), { index: m, u: 0.5, v: 0.5 });
  }
  assert.equal(tileAt(grid.width + 1, 5, grid, 37), null);
  assert.equal(tileAt(5, grid.height + 1, grid, 37), null);
  assert.equal(tileAt(-1, 5, grid, 37), null);
  assert.equal(tileAt(5, 5000, grid, 37), null);
});

test("a point beyond the last tile of the last row finds none", () => {
  const grid = { columns: 4, rows: 2, width: 10, height: 10, gap: 2, across: 46, down: 22 };
  assert.equal(tileAt(41, 17, grid, 7), null);
  assert.equal(tileAt(41, 17, grid, 8)?.index, 7);
});

test("arrow keys walk over the tiles and stop at the edges", () => {
  assert.equal(tileStep("ArrowRight", 5, 4, 10), 6);
  assert.equal(tileStep("ArrowRight", 9, 4, 10), 9);
  assert.equal(tileStep("ArrowLeft", 0, 4, 10), 0);
  assert.equal(tileStep("ArrowDown", 1, 4, 10), 5);
  assert.equal(tileStep("ArrowDown", 7, 4, 10), 7);
  assert.equal(tileStep("ArrowUp", 2, 4, 10), 2);
  assert.equal(tileStep("Home", 7, 4, 10), 0);
  assert.equal(tileStep("End", 2, 4, 10), 9);
  assert.equal(tileStep("a", 2, 4, 10), null);
});

test("a byte is read as the kernel wrote it: zero exact, the ends the scale, 0 not finite", () => {
  assert.equal(dequantise(128, 3.7), 0);
  assert.equal(dequantise(255, 3.7), 3.7);
  assert.equal(dequantise(1, 3.7), -3.7);
  assert.ok(Number.isNaN(dequantise(0, 3.7)));
});

test("a value comes back within half a step", () => {
  for (let i = 0; i < 2000; i += 1) {
    const scale = 10 ** (8 * Math.random() - 4), value = scale * (2 * Math.random() - 1);
    const byte = 128 + Math.round((127 * value) / scale);
    assert.ok(Math.abs(dequantise(byte, scale) - value) <= halfStep(scale) * (1 + 1e-9));
  }
});

test("a value is shown with the digits that its error lets be true", () => {
  assert.equal(withError(0.42123, 0.0016), "0.421 ± 0.002");
  assert.equal(withError(-1.2345, 0.04), "−1.23 ± 0.04");
  assert.equal(withError(123.4, 3), "123 ± 3");
  assert.equal(withError(0, 0.0016), "0.000 ± 0.002");
  assert.equal(withError(-0.0001, 0.002), "0.000 ± 0.002");
  assert.equal(withError(NaN, 0.1), "not finite");
  assert.equal(withError(0.5, 0), "0.5000");
  assert.match(withError(1.23e-8, 4e-10), /^1\.2\de-8 ± 4e-10$/);
});

test("a share is never rounded to none or all", () => {
  assert.equal(percent(0), "0 %");
  assert.equal(percent(1), "100 %");
  assert.equal(percent(0.123), "12 %");
  assert.equal(percent(0.0001), "<0.1 %");
  assert.equal(percent(0.99999), ">99.9 %");
  assert.equal(percent(null), "–");
});

test("the ends of a scale are short, and a minus sign is no dash", () => {
  assert.equal(range(0, 1), "0–1");
  assert.equal(range(0, 255), "0–255");
  assert.equal(range(-2.11790, 2.64), "−2.12 to 2.64");
});

test("colours are read from either notation", () => {
  assert.deepEqual(rgb("#2563ab"), [37, 99, 171]);
  assert.deepEqual(rgb(" rgb(1, 2, 3) "), [1, 2, 3]);
});

test("the scale is centred: the middle stop is zero, the outer stops the ends, and byte 0 apart", () => {
  const table = palette(STOPS, "#b3261e");
  const at = (/** @type {number} */ q) => [...table.subarray(3 * q, 3 * q + 3)];
  assert.deepEqual(at(128), rgb(STOPS[2]));
  assert.deepEqual(at(1), rgb(STOPS[0]));
  assert.deepEqual(at(255), rgb(STOPS[4]));
  assert.deepEqual(at(0), rgb("#b3261e"));
});

test("shades keep zero and order, and a map at half the peak uses half the scale", () => {
  const table = shades(1, 2);
  assert.equal(table[128], 128);
  assert.equal(table[0], 0);
  assert.equal(table[255], 128 + Math.round(127 / 2));
  assert.ok(table.slice(1).every((shade, i, all) => i === 0 || shade >= all[i - 1]));
  assert.deepEqual([...shades(2, 2)], [...Array(256).keys()]);
  assert.ok(shades(0, 0).subarray(1).every((shade) => shade === 128));
});

test("each map is painted where the sheet has it", () => {
  const table = palette(STOPS, "#b3261e");
  const maps = Uint8Array.from([1, 128, 255, 0, 128, 128]); // three maps of 1 x 2
  const { pixels, width, height } = paintMaps(maps, 3, 1, 2, 2, [1, 1, 1], null, table);
  assert.deepEqual([width, height], [4, 2]);
  const at = (/** @type {number} */ x, /** @type {number} */ y) => [...pixels.subarray(4 * (y * width + x), 4 * (y * width + x) + 3)];
  assert.deepEqual(at(0, 0), rgb(STOPS[0]));
  assert.deepEqual(at(2, 0), rgb(STOPS[4]));
  assert.deepEqual(at(3, 0), rgb("#b3261e"));
  assert.deepEqual(at(0, 1), rgb(STOPS[2]));
  assert.equal(pixels[3], 255);
  assert.equal(pixels[4 * (width + 2) + 3], 0, "beyond the last map nothing is painted");
});

test("no sheet of 512 maps outgrows a canvas", () => {
  for (const [count, height, width] of [[512, 24, 24], [512, 7, 7], [1, 300, 1000], [300, 1000, 1], [512, 1, 500]]) {
    const columns = sheetColumns(count, height, width);
    assert.ok(columns * width <= 16384 && Math.ceil(count / columns) * height <= 16384);
  }
});

test("only bytes below the middle are negative", () => {
  assert.equal(anyNegative(Uint8Array.from([0, 128, 255])), false);
  assert.equal(anyNegative(Uint8Array.from([0, 127])), true);
});

test("a place is named by its axes, or by the block that it is the mean of", () => {
  assert.equal(place(["channel", "row", "column"], [3, 9], [1, 1], [28, 28]), "row 3, column 9");
  assert.equal(place(["channel", "row", "column"], [3, 9], [2, 2], [28, 19]), "rows 6–7, column 18");
});

/** @type {[string, string, number, boolean][]} */
const LAYERS = [
  ["", "Net", 0, false], ["stem", "Sequential", 1, false], ["stem.conv", "Conv2d", 2, false],
  ["blocks", "ModuleList", 1, true], ["blocks.0", "Linear", 2, false], ["head", "Linear", 1, false],
];

test("layers are grouped by the model's children, and what only holds others cannot be picked", () => {
  assert.deepEqual(layerGroups(LAYERS).map((group) => [group.label, group.options.map((option) => option.value)]), [
    ["", [""]], ["stem", ["stem", "stem.conv"]], ["blocks", ["blocks.0"]], ["", ["head"]],
  ]);
  assert.deepEqual(layerGroups(LAYERS)[0].options, [{ value: "", text: "Net (the model)" }]);
});

test("a search finds paths and classes", () => {
  const found = (/** @type {string} */ query) => layerGroups(LAYERS, query).flatMap((group) => group.options.map((option) => option.text));
  assert.deepEqual(found("CONV"), ["stem.conv · Conv2d"]);
  assert.deepEqual(found("linear"), ["blocks.0 · Linear", "head · Linear"]);
  assert.deepEqual(found("nothing"), []);
});

test("names keep their places while their scores change", () => {
  /** @type {(...names: string[]) => [string, number, null][]} */
  const rows = (...names) => names.map((name, i) => [name, 1 - i / 10, null]);
  const names = (/** @type {[string, number | null, boolean | null][]} */ placed) => placed.map((row) => row[0]);
  assert.deepEqual(names(keepPlaces([], rows("a", "b", "c"))), ["a", "b", "c"]);
  assert.deepEqual(names(keepPlaces(["a", "b", "c"], rows("c", "a", "b"))), ["a", "b", "c"]);
  assert.deepEqual(names(keepPlaces(["a", "b", "c"], rows("d", "c", "a"))), ["a", "d", "c"]);
  assert.deepEqual(names(keepPlaces(["a", "b", "c"], rows("d", "e"))), ["d", "e"]);
  assert.deepEqual(names(keepPlaces(["a"], rows("b", "a", "c"))), ["a", "b", "c"]);
});

test("parts of an output are named in words", () => {
  assert.equal(partName(""), "first");
  assert.equal(partName("[1][0]"), "output 1 · 0");
  assert.equal(partName("#2"), "call 2");
  assert.equal(partName("#2[hidden]"), "call 2, output hidden");
});

test("the heading says layer, sample, verdict and size", () => {
  const picture = { layer: "relu5", kind: "ReLU", part: "", words: "64 maps" };
  assert.equal(heading(picture, { number: 412, words: "has pneumonia, missed (0.31)" }),
    "relu5 · sample 412, has pneumonia, missed (0.31) · 64 maps");
  assert.equal(heading({ layer: "", kind: "Net", part: "", reason: "no" }, { number: 0, words: "" }), "Net · sample 0");
});

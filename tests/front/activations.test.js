// The pure parts of the activation browser.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  anyNegative, byteOf, dequantise, halfStep, numberAt, paintFloats, paintMaps, palette, placeOf, rgb, shades, sheetColumns,
  tileAt, tileGrid, tileStep,
} from "../../dlwidgets/views/activations/tiles.js";
import { onWhite, sentSize } from "../../dlwidgets/views/activations/sample_picker.js";
import { byStrength, pointed, shownLarge } from "../../dlwidgets/views/activations/close_up.js";
import { above, around, layerLines, layerMove, opened } from "../../dlwidgets/views/activations/layer_chooser.js";
import {
  exactly, footNote, heading, keepPlaces, layerGroups, partName, percent, place, range, readingOf, withError,
} from "../../dlwidgets/views/activations/words.js";

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
    assert.ok(grid.down <= 300, `${count} in ${across}: ${grid.down}`);
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

test("the heading says layer, sample and size", () => {
  const picture = { layer: "relu5", kind: "ReLU", part: "", words: "64 maps" };
  assert.equal(heading(picture, { number: 412, words: "has pneumonia, missed (0.31)" }),
    "relu5 · sample 412 · 64 maps");
  assert.equal(heading({ layer: "", kind: "Net", part: "", reason: "no" }, { number: 0, words: "" }), "Net · sample 0");
});

test("the heading says what is shown of the layer, the order of the maps, and one's own sample", () => {
  const picture = { layer: "conv", kind: "Conv2d", part: "", words: "64 filters", show: "filters", by: "strength" };
  assert.equal(heading(picture, { own: { name: "cat.png" }, number: null, words: "" }), "weights of conv · cat.png · 64 filters by strength");
});

test("an order that is older than the picture says of which step it is", () => {
  assert.equal(footNote({ note: "slice 1 of 3", sorted_at: 1200 }), "slice 1 of 3; sorted at step 1,200");
  assert.equal(footNote({ note: "", sorted_at: null }), "");
});

test("tokens are named where the axes stand for them", () => {
  const tokens = ["the", "cat"];
  assert.equal(place(["head", "from", "to"], [0, 1], [1, 1], [2, 2], tokens), "from 0 “the”, to 1 “cat”");
  assert.equal(place(["map", "step", "unit"], [1, 0], [1, 1], [2, 2], tokens), "step 1 “cat”, unit 0");
  assert.equal(place(["map", "step", "unit"], [1, 0], [1, 1], [3, 2], tokens), "step 1, unit 0");
});

test("the attention of a layer is a part with a name of its own", () => assert.equal(partName("[attention]"), "attention"));

// -- the tree of layers

/** @type {[string, string, number, boolean][]} */
const DEEP = [
  ["", "Net", 0, false], ["stem", "Conv2d", 1, false], ["blocks", "ModuleList", 1, true], ["blocks.0", "Sequential", 2, false],
  ["blocks.0.fc", "Linear", 3, false], ["blocks.1", "Sequential", 2, false], ["blocks.1.fc", "Linear", 3, false], ["head", "Linear", 1, false],
];
const paths = (/** @type {{path: string}[]} */ lines) => lines.map((line) => line.path);

test("a small model's tree is open all the way", () => {
  assert.deepEqual(paths(layerLines(DEEP, opened(DEEP))), DEEP.map(([path]) => path));
});

test("what lies in a closed branch is not seen", () => {
  assert.deepEqual(paths(layerLines(DEEP, new Set([""]))), ["", "stem", "blocks", "head"]);
  assert.deepEqual(paths(layerLines(DEEP, new Set(["", "blocks"]))), ["", "stem", "blocks", "blocks.0", "blocks.1", "head"]);
  assert.deepEqual(paths(layerLines(DEEP, new Set(["blocks"]))), [""]);
});

test("a large model's tree opens as deep as there is room", () => {
  /** @type {[string, string, number, boolean][]} */
  const wide = [["", "Net", 0, false]];
  for (let i = 0; i < 20; i += 1) { wide.push([`b${i}`, "Block", 1, false]); for (let j = 0; j < 9; j += 1) wide.push([`b${i}.c${j}`, "Conv2d", 2, false]); }
  assert.equal(layerLines(wide, opened(wide)).length, 21);
});

test("a search keeps what it finds and what is around it, open", () => {
  const lines = layerLines(DEEP, new Set(), "linear 1");
  assert.deepEqual(paths(lines), ["", "blocks", "blocks.1", "blocks.1.fc"]);
  assert.deepEqual(lines.map((line) => line.open), [true, true, true, false]);
  assert.deepEqual(layerLines(DEEP, new Set(), "gelu"), []);
});

test("lines have their last name, their level and what they hold", () => {
  const [root, , blocks, first] = layerLines(DEEP, opened(DEEP));
  assert.deepEqual([root.name, root.level, root.branch], ["Net", 1, true]);
  assert.deepEqual([blocks.name, blocks.level, blocks.holds], ["blocks", 2, true]);
  assert.deepEqual([first.name, first.level, first.kind], ["0", 3, "Sequential"]);
});

test("arrow keys walk the tree, open and close it", () => {
  const all = layerLines(DEEP, opened(DEEP)), shut = layerLines(DEEP, new Set([""]));
  assert.deepEqual(layerMove("ArrowDown", all, 3), { at: 4, turn: false });
  assert.deepEqual(layerMove("ArrowUp", all, 0), { at: 0, turn: false });
  assert.deepEqual(layerMove("ArrowRight", all, 2), { at: 3, turn: false }, "into an open branch");
  assert.deepEqual(layerMove("ArrowRight", shut, 2), { at: 2, turn: true }, "opens a closed one");
  assert.deepEqual(layerMove("ArrowLeft", all, 2), { at: 2, turn: true }, "closes an open one");
  assert.deepEqual(layerMove("ArrowLeft", all, 4), { at: 3, turn: false }, "a leaf leads to what holds it");
  assert.deepEqual(layerMove("End", all, 0), { at: 7, turn: false });
  assert.equal(layerMove("a", all, 0), null);
});

test("every line of every tree is reached with the arrow keys, and what is above it is above it", () => {
  const all = layerLines(DEEP, opened(DEEP));
  let at = 0;
  for (let i = 1; i < all.length; i += 1) { at = layerMove("ArrowDown", all, at)?.at ?? -1; assert.equal(at, i); }
  assert.deepEqual(above("a.b.c"), ["", "a", "a.b"]);
  assert.equal(around("a.b.c"), "a.b");
  assert.equal(around(""), null);
});

// -- an image of one's own

test("an image is sent in its form, in less than 300 KB, and never larger than it is", () => {
  for (const [w, h] of [[4000, 3000], [300, 300], [20, 9000], [640, 480], [1, 1]]) {
    const [width, height] = sentSize(w, h);
    assert.ok(width * height * 3 <= 300_000 && width <= w && height <= h && width >= 1 && height >= 1);
    if (Math.min(width, height) > 20) assert.ok(Math.abs(width / height / (w / h) - 1) < 0.05);
  }
  assert.deepEqual(sentSize(300, 300), [300, 300]);
});

test("what is transparent is white", () => {
  assert.deepEqual([...onWhite(Uint8ClampedArray.from([10, 20, 30, 255, 10, 20, 30, 0, 0, 0, 0, 51]))], [10, 20, 30, 255, 255, 255, 204, 204, 204]);
});

// -- maps in an order, and their own numbers

test("places and numbers of sorted maps are each other's inverse", () => {
  const picture = { count: 3, numbers: [4, 0, 2] };
  for (let at = 0; at < 3; at += 1) assert.equal(placeOf(picture, numberAt(picture, at)), at);
  assert.equal(placeOf(picture, 1), -1);
  assert.equal(placeOf({ count: 3, numbers: null }, 2), 2);
  assert.equal(placeOf({ count: 3, numbers: null }, 3), -1);
});

test("a number has the byte that the kernel would give it", () => {
  assert.deepEqual([byteOf(0, 2), byteOf(2, 2), byteOf(-2, 2), byteOf(9, 2), byteOf(NaN, 2), byteOf(1, 0)], [128, 255, 1, 255, 0, 128]);
});

test("numbers are painted in the colours of their bytes", () => {
  const table = palette(STOPS, "#b3261e"), pixels = paintFloats(Float32Array.from([-1, 0, 1, NaN]), 1, table);
  const at = (/** @type {number} */ i) => [...pixels.subarray(4 * i, 4 * i + 4)];
  assert.deepEqual([at(0), at(1), at(2), at(3)], [[...rgb(STOPS[0]), 255], [...rgb(STOPS[2]), 255], [...rgb(STOPS[4]), 255], [...rgb("#b3261e"), 255]]);
});

test("filters over three colours are painted around grey", () => {
  const { pixels } = paintMaps(Uint8Array.from([128, 255, 1]), 1, 1, 1, 1, [1], null, null);
  assert.deepEqual([...pixels], [128, 255, 1, 255]);
});

/** @param {Record<string, any>} picture @param {Record<string, any>} [more] @returns {import("../../dlwidgets/views/activations/tiles.js").State} */
const stateOf = (picture, more = {}) => ({
  picture: { axes: ["channel", "row", "column"], form: "maps", size: [1, 2], whole: [1, 2], block: [1, 1], ...picture }, maps: new Uint8Array(), near: new Float32Array(),
  incoming: new Uint8Array(), bars: new Float32Array(), scales: new Float32Array(), means: new Float32Array(), zeros: new Float32Array(), colours: new Uint8Array(768),
  hover: null, cursor: null, input: null, grid: { columns: 1, rows: 1, width: 1, height: 1, gap: 0, across: 1, down: 1 }, ...more,
});

test("the picked map is read in the tensor's own numbers, another one with its error", () => {
  const state = stateOf({ count: 2, total: 2, numbers: [1, 0], near: { map: 1, size: [1, 2], block: [1, 1] } }, {
    maps: Uint8Array.from([128, 255, 128, 1]), near: Float32Array.from([0, 0.123456789]), scales: Float32Array.from([0.125, 2]),
    means: Float32Array.from([0.0625, -1]), zeros: Float32Array.from([0.5, 0.5]), cursor: /** @type {[number, number]} */ ([0.5, 0.75]),
  });
  assert.equal(readingOf(state, 1), "row 0, column 1: 0.123457 · channel 1: mean 0.063, zero 50 %, peak 0.125");
  state.hover = { index: 1, row: 0.5, column: 0.75 };
  assert.equal(readingOf(state, 1), "row 0, column 1: −2.000 ± 0.008 · channel 0: mean −1.0, zero 50 %, peak 2.00");
});

test("of a picked map that is not among the tiles its own numbers are read all the same", () => {
  const state = stateOf({ count: 1, total: 600, numbers: [5], near: { map: 7, size: [1, 1], block: [1, 1] }, size: [1, 1], whole: [1, 1] }, {
    near: Float32Array.from([3]), scales: Float32Array.from([1]), means: Float32Array.from([1]), zeros: Float32Array.from([0]), cursor: /** @type {[number, number]} */ ([0, 0]),
  });
  assert.equal(shownLarge(state, 7).place, -1);
  assert.equal(readingOf(state, 7), "row 0, column 0: 3 · channel 7: not among those that are shown");
});

test("three colours, lines and bars are read in their own words", () => {
  const colour = stateOf({ form: "rgb", axes: ["filter", "row", "column"], count: 1, total: 1, numbers: null, size: [1, 1], whole: [1, 1], near: { map: 0, size: [1, 3], block: [1, 1] } }, {
    near: Float32Array.from([1, -2, 0.5]), scales: Float32Array.from([2]), means: Float32Array.from([0]), zeros: Float32Array.from([0]), cursor: /** @type {[number, number]} */ ([0, 0]),
  });
  assert.ok(readingOf(colour, 0).startsWith("row 0, column 0: red 1, green −2, blue 0.5 · filter 0"));
  const line = stateOf({ form: "lines", axes: ["channel", "line", "position"], count: 1, total: 1, numbers: null, size: [1, 4], whole: [1, 4], near: { map: 0, size: [1, 4], block: [1, 1] } }, {
    near: Float32Array.from([1, 2, 3, 4]), scales: Float32Array.from([4]), means: Float32Array.from([2.5]), zeros: Float32Array.from([0]), cursor: /** @type {[number, number]} */ ([0, 0.5]),
  });
  assert.ok(readingOf(line, 0).startsWith("position 2: 3 · channel 0"));
  assert.equal(readingOf(stateOf({ form: "bars", shape: [2], group: 1, names: ["cat", "dog"] }, { bars: Float32Array.from([0.5, -1]) }), 1), "unit 1 “dog”: −1");
});

test("laid over the input, a map covers it where it is strong, and not at all where it is zero", () => {
  const pixels = new Uint8ClampedArray(16).fill(255), shares = [0, 0.25, 0.5, NaN];
  byStrength(pixels, (i) => shares[i], 0.8);
  assert.deepEqual([3, 7, 11, 15].map((i) => pixels[i]), [0, 102, 204, 255]);
});

test("a point lies in the picture, wherever the pointer is", () => {
  assert.deepEqual(pointed(stateOf({}, { cursor: [0.9999, 0.9999] }), [3, 5]), [2, 4]);
  assert.equal(pointed(stateOf({}), [3, 5]), null);
});

test("a number is as the tensor holds it", () => {
  assert.deepEqual([0.1, -2.5, 1234567.8, 0, 0.000012345678, NaN, Infinity].map((x) => exactly(Math.fround(x))),
    ["0.1", "−2.5", "1.23457e6", "0", "1.23457e-5", "not finite (nan)", "not finite (∞)"]);
});

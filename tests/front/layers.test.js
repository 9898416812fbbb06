// The pure parts of the layer table: the tree and what repeats, searches, sorts, windows, keys, words.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  follows, foundLines, letterOf, lineOf, nameOf, nextSort, openedAtFirst, pathsOf, readSort, seenLines, shownBy, sizeOf, sortedLines, treeOf,
} from "../../dlwidgets/views/layers/tree.js";
import { LINE, columnsFor, columnsOf, fitted, inSight, keyLeads, pathEnd, scrolledTo, stepOf, toggled } from "../../dlwidgets/views/layers/columns.js";
import {
  deadIn, deadText, deadWords, gradText, hasUnits, headline, markWords, measuredWords, ratioText, shownIn, sparkPath, sparkWords, together, trainsSign,
  waitingWords, weightText,
} from "../../dlwidgets/views/layers/words.js";

/** @typedef {import("../../dlwidgets/views/layers/tree.js").Row} Row */
/** @typedef {{name: string, kind?: string, detail?: string, output?: string, own?: number, macs?: number, tied?: boolean, inside?: Layer[]}} Layer */

/** Rows and sums of nested layers, as the kernel sends them. @param {Layer} top */
function sent(top) {
  /** @type {Row[]} */
  const rows = [];
  /** @type {number[]} */
  const sizes = [];
  let trains = "";
  /** @param {Layer} layer @param {number} depth @returns {number[]} */
  const add = ({ name, kind = "Linear", detail = "", output = "8", own = 0, macs = own, tied = false, inside = [] }, depth) => {
    const at = rows.length;
    rows.push([name, depth, kind, detail, output, tied ? "tied" : "", tied, "4", "float32", 1]);
    sizes.push(0, 0, 0, own, 0);
    trains += own ? "y" : "-";
    const sums = [own, macs, 4, 4 * own];
    for (const child of inside) add(child, depth + 1).forEach((x, i) => { sums[i] += x; });
    sums.forEach((x, i) => { sizes[5 * at + (i === 3 ? 4 : i)] = x; });
    return sums;
  };
  add(top, 0);
  return { rows, sizes: new Float64Array(sizes), trains };
}

/** @param {Layer} top */
function treeFrom(top) { const { rows, sizes, trains } = sent(top); return treeOf(rows, sizes, trains); }

/** @param {string} name @returns {Layer} */
const block = (name) => ({ name, kind: "Residual", inside: [{ name: "conv", kind: "Conv2d", own: 9 }, { name: "relu", kind: "ReLU" }] });

/** The names in sight, with the folds as they are at first, some turned. @param {import("../../dlwidgets/views/layers/tree.js").Tree} tree @param {string[]} turned */
function namesSeen(tree, ...turned) {
  const opened = openedAtFirst(tree), open = (/** @type {any} */ line) => line.children.length > 0 && opened.has(line.key) !== turned.includes(line.key);
  return seenLines(tree, open).map((i) => nameOf(tree, tree.lines[i], open(tree.lines[i])));
}

const NET = { name: "Net", kind: "Net", inside: [
  { name: "stem", kind: "Sequential", inside: [{ name: "conv", kind: "Conv2d", detail: "3×3", own: 432 }, { name: "norm", kind: "BatchNorm2d", own: 32 }] },
  { name: "blocks", kind: "ModuleList", inside: ["0", "1", "2"].map(block) },
  { name: "head", own: 900 },
] };

test("paths and parents are those of the layers", () => {
  const tree = treeFrom(NET);
  assert.deepEqual(tree.paths, ["", "stem", "stem.conv", "stem.norm", "blocks", "blocks.0", "blocks.0.conv", "blocks.0.relu", "blocks.1",
    "blocks.1.conv", "blocks.1.relu", "blocks.2", "blocks.2.conv", "blocks.2.relu", "head"]);
  assert.deepEqual([...tree.parents], [-1, 0, 1, 1, 0, 4, 5, 5, 4, 8, 8, 4, 11, 11, 0]);
});

test("a list of alike blocks is one folded line that says what it holds", () => {
  const tree = treeFrom(NET), blocks = tree.lines[lineOf(tree, "blocks")];
  assert.deepEqual(namesSeen(tree), ["Net", "stem", "conv", "norm", "blocks ×3", "head"]);
  assert.equal(tree.rows[shownBy(tree, blocks, false)][2], "Residual");
  assert.equal(tree.rows[shownBy(tree, blocks, true)][2], "ModuleList");
  assert.equal(sizeOf(tree, blocks, 0), 27);
});

test("a folded list unfolds into its blocks, each of them folded", () => {
  assert.deepEqual(namesSeen(treeFrom(NET), "blocks").slice(4), ["blocks", "0", "1", "2", "head"]);
  assert.deepEqual(namesSeen(treeFrom(NET), "blocks", "blocks.1").slice(4), ["blocks", "0", "1", "conv", "relu", "2", "head"]);
});

test("alike blocks among others are one line with their range, and their numbers together", () => {
  const tree = treeFrom({ name: "M", kind: "Sequential", inside: [{ name: "0", own: 5 }, ...["1", "2", "3"].map(block), { name: "4", own: 7 }] });
  assert.deepEqual(namesSeen(tree), ["M", "0", "1–3 ×3", "4"]);
  const run = tree.lines.find((line) => line.run);
  assert.ok(run && sizeOf(tree, run, 0) === 27 && run.end - run.row === 9);
  assert.deepEqual(namesSeen(tree, run.key), ["M", "0", "1–3 ×3", "1", "2", "3", "4"]);
});

test("tied weights are counted once, however many layers share them", () => {
  const tree = treeFrom({ name: "S", kind: "S", inside: Array.from({ length: 5 }, (_, i) => ({ name: `${i}`, own: 4, macs: 8, tied: true })) });
  assert.deepEqual([0, 1].map((which) => sizeOf(tree, tree.lines[1], which)), [4, 40]);
});

test("a thousand alike layers are one line", () => {
  const tree = treeFrom({ name: "S", kind: "Sequential", inside: Array.from({ length: 1000 }, (_, i) => ({ name: `${i}`, own: 4 })) });
  assert.deepEqual(namesSeen(tree), ["S", "0–999 ×1000"]);
  assert.equal(namesSeen(tree, tree.lines[1].key).length, 1002);
});

test("blocks that differ inside, in shape or in name stay apart", () => {
  const wider = { ...block("1"), inside: [{ name: "conv", kind: "Conv2d", own: 18 }, { name: "relu", kind: "ReLU" }] };
  assert.deepEqual(namesSeen(treeFrom({ name: "M", kind: "M", inside: [block("0"), wider] })).filter((name) => name.includes("×")), []);
  assert.deepEqual(namesSeen(treeFrom({ name: "M", kind: "M", inside: [block("left"), block("right")] })).filter((name) => name.includes("×")), []);
  assert.ok(namesSeen(treeFrom({ name: "M", kind: "M", inside: [block("layer1"), block("layer2")] })).includes("layer1–2 ×2"));
});

test("freezing one of alike blocks moves no line; their line then trains in part", () => {
  const { rows, sizes, trains } = sent({ name: "M", kind: "M", inside: ["0", "1"].map(block) });
  const tree = treeOf(rows, sizes, trains), run = tree.lines.find((line) => line.run);
  assert.ok(run);
  assert.deepEqual(pathsOf(tree, run), ["0", "1"]);
  // As the kernel says it: of a block, all inside.
  tree.trains = "yyy-yy-";
  assert.equal(letterOf(tree, run), "y");
  tree.trains = "pyy-nn-";
  assert.equal(letterOf(tree, run), "p");
  tree.trains = "nnn-nn-";
  assert.equal(letterOf(tree, run), "n");
  assert.deepEqual(treeOf(rows, sizes, tree.trains).lines.map(({ key }) => key), tree.lines.map(({ key }) => key));
});

test("names follow one another when only the number at their end differs", () => {
  assert.ok(follows("0", "1") && follows("layer1", "layer2") && follows("9", "10"));
  assert.ok(!follows("conv", "relu") && !follows("a1", "b2") && !follows("conv", "conv2"));
});

test("a large model opens only as deep as there is room for, and at least to its first layers", () => {
  const wide = { name: "M", kind: "M", inside: Array.from({ length: 20 }, (_, i) => ({ name: `part${i}`, kind: `Part${i}`, inside: Array.from({ length: 9 }, (_, j) => ({ name: `${"abcdefghi"[j]}`, own: j + 1 })) })) };
  assert.equal(namesSeen(treeFrom(wide)).length, 21);
  const many = { name: "M", kind: "M", inside: Array.from({ length: 99 }, (_, i) => ({ name: `x${"y".repeat(i)}`, own: 1 })) };
  assert.equal(namesSeen(treeFrom(many)).length, 100);
});

test("every layer has exactly one line of its own, and parents stand before their children", () => {
  for (const top of [NET, { name: "S", kind: "S", inside: [...["0", "1"].map(block), { name: "c", inside: ["0", "1", "2", "3"].map((name) => ({ name, own: 1 })) }] }]) {
    const tree = treeFrom(top);
    assert.deepEqual(tree.lines.filter((line) => !line.run).map((line) => line.row).sort((a, b) => a - b), tree.rows.map((_, i) => i));
    tree.lines.forEach((line, i) => {
      assert.ok(line.parent < i);
      if (line.parent >= 0) assert.equal(tree.lines[line.parent].children[line.place], i);
      if (line.parent >= 0) assert.equal(line.level, tree.lines[line.parent].level + 1);
    });
  }
});

test("a model deeper than the browser's stack is still a tree", () => {
  /** @type {Row[]} */
  const rows = Array.from({ length: 20_000 }, (_, i) => ["x", i, "Wrap", "", "", "", false, "", "", 1]);
  const tree = treeOf(rows, new Float64Array(100_000), "-".repeat(20_000));
  assert.equal(seenLines(tree, () => true).length, 20_000);
});

test("a search finds paths, types and details in any case, and keeps what stands around them", () => {
  const tree = treeFrom(NET), { list, found } = foundLines(tree, "conv2D 3×3");
  assert.deepEqual(list.map((i) => tree.paths[tree.lines[i].row]), ["", "stem", "stem.conv"]);
  assert.deepEqual([...found].map((i) => tree.paths[tree.lines[i].row]), ["stem.conv"]);
  assert.equal(foundLines(tree, "blocks relu").found.size, 3);
  assert.deepEqual(foundLines(tree, "nothing like it").list, []);
});

test("what a search found can be folded, and unfolded to all it holds", () => {
  const tree = treeFrom(NET), paths = (/** @type {number[]} */ list) => list.map((i) => tree.paths[tree.lines[i].row]);
  assert.deepEqual(paths(foundLines(tree, "stem.conv", new Set(["stem"])).list), ["", "stem"]);
  assert.deepEqual(paths(foundLines(tree, "residual", new Set(["blocks.1"])).list), ["", "blocks", "blocks.0", "blocks.1", "blocks.1.conv", "blocks.1.relu", "blocks.2"]);
});

test("a sort shows the layers one by one, equal ones in the tree's order, unknown ones last both ways", () => {
  const tree = treeFrom(NET), none = { weight: NaN, grad: NaN, ratio: NaN, dead: NaN }, live = () => none;
  const by = (/** @type {string} */ sort, query = "") => sortedLines(tree, sort, query, live).map((i) => tree.paths[tree.lines[i].row]);
  assert.deepEqual(by("-params").slice(0, 3), ["head", "stem.conv", "stem.norm"]);
  assert.deepEqual(by("params").slice(-2), ["stem.conv", "head"]);
  assert.ok(!by("params").includes("stem") && !by("params").includes("blocks"));
  assert.deepEqual(by("-params", "blocks"), ["blocks.0.conv", "blocks.1.conv", "blocks.2.conv", "blocks.0.relu", "blocks.1.relu", "blocks.2.relu"]);
  const gradient = (/** @type {number} */ row) => ({ ...none, grad: row === 2 ? 5 : row === 3 ? 1 : NaN });
  for (const [sort, first] of [["grad", ["stem.norm", "stem.conv"]], ["-grad", ["stem.conv", "stem.norm"]]]) {
    assert.deepEqual(sortedLines(tree, String(sort), "", gradient).slice(0, 2).map((i) => tree.paths[tree.lines[i].row]), first);
  }
});

test("names sort as people count, shapes by their size", () => {
  const tree = treeFrom({ name: "S", kind: "S", inside: [{ name: "10", output: "2×3" }, { name: "9", output: "100" }, { name: "2", output: "" }] });
  const by = (/** @type {string} */ sort) => sortedLines(tree, sort, "", () => ({ weight: NaN, grad: NaN, ratio: NaN, dead: NaN })).map((i) => tree.paths[tree.lines[i].row]);
  assert.deepEqual(by("layer"), ["2", "9", "10"]);
  assert.deepEqual(by("output"), ["10", "9", "2"]);
  assert.deepEqual(by("-output"), ["9", "10", "2"]);
});

test("clicks on a heading go round: rising, falling, the tree", () => {
  assert.deepEqual([nextSort("tree", "params"), nextSort("params", "params"), nextSort("-params", "params"), nextSort("params", "macs")], ["params", "-params", "tree", "macs"]);
  assert.deepEqual(readSort("-macs"), { key: "macs", falling: true });
});

/** The columns as the kernel describes them; some are about training, some there only where they are chosen. */
const DESCRIBED = ["layer", "type", "input", "output", "params", "bytes", "dtype", "macs", "activations", "calls", "weight", "grad", "ratio", "dead", "spark", "trains"]
  .map((key) => /** @type {import("../../dlwidgets/views/layers/columns.js").Described} */ ([
    key, key, "", ["weight", "grad", "ratio", "dead", "spark"].includes(key), !["input", "bytes", "dtype", "calls"].includes(key),
  ]));
/** As if every letter were 8 px wide. @param {string} text */
const eight = (text) => 8 * text.length;
/** @param {boolean} live @param {string[]} names at each level */
const fittedTo = (live, names = ["", "SmallCNN", "stage1", "conv"]) => fitted(columnsOf(DESCRIBED, live), { names, input: "3×32×32", output: "64×32×32" }, eight);
const ALL = fittedTo(true);

test("columns never need more than the width, and the name is always there", () => {
  for (const live of [true, false]) {
    for (let width = 400; width <= 1600; width += 7) {
      const { columns, template } = columnsFor(width, fittedTo(live));
      assert.ok(template.split(" ").reduce((sum, w) => sum + Number.parseInt(w, 10), 0) <= width);
      assert.ok(columns[0].key === "layer" && columns.some(({ key }) => key === "params"));
      assert.equal(columns.some((column) => column.live), live);
    }
  }
  assert.deepEqual(columnsFor(1250, ALL).columns, ALL.filter(({ usual }) => usual));
  assert.deepEqual(columnsFor(1250, ALL).left, []);
});

test("a column is as wide as the longest number it may hold, and what finds no room is named", () => {
  const longest = { dead: "▲ 100 %", ratio: "▲ 9.9e-10", grad: "▲ 0.0089", output: "64×32×32", macs: "99.9 M", activations: "99.9 MB" };
  for (let width = 400; width <= 1600; width += 50) {
    const { columns, template, left } = columnsFor(width, ALL), widths = template.split(" ").map((w) => Number.parseInt(w, 10));
    columns.forEach(({ key }, i) => assert.ok(widths[i] >= eight(longest[/** @type {keyof typeof longest} */ (key)] ?? "") + 10, `${key} at ${width}`));
    assert.equal(left.length + columns.length, ALL.filter(({ usual }) => usual).length);
  }
  assert.ok(columnsFor(700, ALL).left.includes("activations"));
  assert.deepEqual(columnsFor(300, ALL, ["layer", "dead"]).left, []);
});

test("deep and long names get room, up to a limit, and a path without room shows its end", () => {
  const [layer] = fittedTo(true, ["", "Net", "convolution_of_the_residual"]), deep = Array.from({ length: 40 }, () => "inner_residual_block");
  assert.equal(layer.least, 16 + 14 + 27 * 8 + 10);
  assert.equal(fittedTo(true, deep)[0].least, 300);
  assert.ok(stepOf({ names: deep, input: "", output: "" }) * 38 <= 150 && stepOf({ names: ["", "a", "b"], input: "", output: "" }) === 14);
  assert.deepEqual([400, 120, 60, 10].map((room) => pathEnd("stage1.block.0.conv", room, eight)), ["stage1.block.0.conv", "…block.0.conv", "…0.conv", "…conv"]);
});

test("columns that were chosen are all there, in their order, however narrow it is", () => {
  const chosen = ["layer", "trains", "dtype", "input", "calls", "bytes", "params"];
  for (const width of [200, 500, 1500]) {
    const { columns, template, needed } = columnsFor(width, ALL, chosen);
    assert.deepEqual(columns.map(({ key }) => key), chosen);
    const total = template.split(" ").reduce((sum, w) => sum + Number.parseInt(w, 10), 0);
    assert.ok(total <= Math.max(width, needed) && total > Math.min(width, needed) - chosen.length);
  }
  assert.deepEqual(columnsFor(900, columnsOf(DESCRIBED, false), ["layer", "grad", "params"]).columns.map(({ key }) => key), ["layer", "params"]);
  assert.ok(columnsOf(DESCRIBED, false).every((column) => !column.live));
});

test("a column that is switched on stands where it does among all, and the layer's name stays", () => {
  assert.deepEqual(toggled(ALL, ["layer", "type", "trains"], "params"), ["layer", "type", "params", "trains"]);
  assert.deepEqual(toggled(ALL, ["layer", "params", "type"], "dead"), ["layer", "params", "type", "dead"]);
  assert.deepEqual(toggled(ALL, ["layer", "type", "trains"], "type"), ["layer", "trains"]);
  assert.deepEqual(toggled(ALL, ["layer", "type"], "layer"), ["layer", "type"]);
});

test("a wider table loses no column that a narrower one has", () => {
  for (let width = 300; width < 1200; width += 1) {
    const wide = columnsFor(width + 1, ALL).columns;
    assert.ok(columnsFor(width, ALL).columns.every((column) => wide.includes(column)));
  }
});

test("the lines that exist cover what is in sight, and are few", () => {
  for (const total of [0, 1, 5, 17, 10_000]) {
    for (let top = 0; top <= Math.max(0, total * LINE - 394); top += 997) {
      const { first, last } = inSight(top, 394, total);
      assert.ok(first >= 0 && last <= total && first <= last && last - first <= 30);
      assert.ok(first * LINE <= top || first === 0);
      assert.ok(last * LINE >= Math.min(top + 394, total * LINE));
    }
  }
});

test("a line that is in sight asks for no scrolling, another for as little as does", () => {
  assert.equal(scrolledTo(3, 0, 10 * LINE), null);
  assert.equal(scrolledTo(3, 4 * LINE, 10 * LINE), 3 * LINE);
  assert.equal(scrolledTo(20, 0, 10 * LINE), 11 * LINE);
  assert.equal(scrolledTo(10, LINE, 10 * LINE), null);
});

test("keys walk a treegrid: up and down, out to the parent, in to the first child, to the ends", () => {
  const seen = [[1, true, true], [2, true, true], [3, false, false], [3, false, false], [2, true, false], [2, false, false]]
    .map(([level, folds, open]) => ({ level: Number(level), folds: Boolean(folds), open: Boolean(open) }));
  const to = (/** @type {string} */ key, /** @type {number} */ at) => keyLeads(key, at, seen, 3);
  assert.deepEqual([to("ArrowDown", 0), to("ArrowDown", 5), to("ArrowUp", 0), to("ArrowUp", 4)], [{ to: 1 }, { to: 5 }, { to: 0 }, { to: 3 }]);
  assert.deepEqual([to("ArrowRight", 4), to("ArrowRight", 1), to("ArrowRight", 2)], [{ turn: 4 }, { to: 2 }, { to: 2 }]);
  assert.deepEqual([to("ArrowLeft", 1), to("ArrowLeft", 3), to("ArrowLeft", 4), to("ArrowLeft", 5)], [{ turn: 1 }, { to: 1 }, { to: 0 }, { to: 0 }]);
  assert.deepEqual([to("Home", 3), to("End", 3), to("PageDown", 1), to("PageUp", 1)], [{ to: 0 }, { to: 5 }, { to: 4 }, { to: 0 }]);
  assert.deepEqual([to("ArrowDown", -1), to("x", 2), keyLeads("Home", -1, [], 3)], [{ to: 0 }, null, null]);
});

/** What was measured: rows, and weight norm, gradient norm, ratio, finite of each. @param {number[][]} measured @param {number} n rows @param {number[][]} [sparks] */
function measuredIn(measured, n, sparks = []) {
  const at = new Int32Array(n).fill(-1);
  measured.forEach(([row], place) => { at[row] = place; });
  return { at, stats: new Float32Array(measured.flatMap(([, ...values]) => values)), sparks: new Uint8Array(sparks.flat()), points: sparks[0]?.length ?? 0, dead: new Map() };
}

/** What is known of dead units: row, dead, units, whether it is the activation itself. @param {number[][]} known @returns {import("../../dlwidgets/views/layers/words.js").Live} */
function deadOf(...known) {
  return { ...measuredIn([], 20), dead: new Map(known.map(([row, dead, units, own]) => [row, { dead, units, own: own === 1 }])) };
}

test("norms of a folded line are those of all its weights as one vector", () => {
  const parts = [{ w: [3, 4], g: [1, 2], d: [0.1, 0.2] }, { w: [12], g: [2], d: [0.5] }];
  const norm = (/** @type {number[]} */ x) => Math.hypot(...x);
  const live = measuredIn(parts.map(({ w, g, d }, i) => [i + 1, norm(w), norm(g), norm(d) / norm(w), 1]), 4);
  const shown = together(live, 0, 4);
  assert.ok(shown);
  assert.ok(Math.abs(shown.grad - norm([1, 2, 2])) < 1e-6);
  assert.ok(Math.abs(shown.ratio - norm([0.1, 0.2, 0.5]) / norm([3, 4, 12])) < 1e-7);
  assert.equal(together(live, 3, 4), null);
});

test("a folded line stands for all inside, an open one for its own weights alone", () => {
  const tree = treeFrom(NET), live = measuredIn([[2, 1, 3, 1e-3, 1], [3, 1, 4, 1e-3, 1]], tree.rows.length), stem = tree.lines[lineOf(tree, "stem")];
  assert.equal(shownIn(tree, live, stem, false)?.grad, 5);
  assert.equal(shownIn(tree, live, stem, true), null);
  assert.equal(shownIn(tree, live, tree.lines[lineOf(tree, "stem.norm")], false)?.grad, 4);
});

test("ratios outside 1e-4 to 1e-2 and numbers that are not finite are marked by a sign and in words", () => {
  const tree = treeFrom({ name: "M", kind: "M", inside: ["a", "b", "c", "d"].map((name) => ({ name, own: 1 })) });
  const live = measuredIn([[1, 1, 1, 2.1e-2, 1], [2, 1, 1, 3e-5, 1], [3, 1, NaN, 1e-3, 0], [4, 1, 1, 1e-3, 1]], 5);
  const cells = [1, 2, 3, 4].map((row) => together(live, row, row + 1));
  assert.deepEqual(cells.map(ratioText), ["▲ 2.1e-2", "▼ 3.0e-5", "▲ 1.0e-3", "1.0e-3"]);
  assert.deepEqual(cells.map(gradText), ["1.0", "1.0", "▲ NaN", "1.0"]);
  for (const [i, word] of [[0, "too large"], [1, "small"], [2, "not finite"]]) assert.match(markWords(cells[Number(i)], tree, live), new RegExp(String(word)));
  assert.equal(markWords(cells[3], tree, live), "");
});

test("a folded line says which layer inside stands out, the gravest first", () => {
  const tree = treeFrom({ name: "M", kind: "M", inside: ["a", "b", "c"].map((name) => ({ name, own: 1 })) });
  const live = measuredIn([[1, 1, 1, 1e-5, 1], [2, 1, 1, 5e-2, 1], [3, 1, 1, 1e-3, 1]], 4), shown = together(live, 0, 4);
  assert.equal(shown?.mark, "high");
  assert.match(markWords(shown, tree, live), /2 of 3 layers inside.*\bb: too large.*5\.0e-2/);
});

test("weights that are all zero have no ratio, which is nothing to mark", () => {
  assert.equal(ratioText(together(measuredIn([[0, 0, 1, NaN, 1]], 1), 0, 1)), "–");
});

test("an infinite weight norm is marked", () => {
  assert.equal(weightText(together(measuredIn([[0, Infinity, 1, 1e-3, 0]], 1), 0, 1)), "▲ ∞");
  assert.equal(weightText(together(measuredIn([[0, 3.21, 1, 1e-3, 1]], 1), 0, 1)), "3.2");
});

test("dead units of a folded line are those of the activations inside, each once", () => {
  const tree = treeFrom(NET), blocks = tree.lines[lineOf(tree, "blocks")];
  // Of each block the convolution and the activation that it feeds say the same.
  const live = deadOf([6, 2, 8, 0], [7, 2, 8, 1], [9, 0, 8, 0], [10, 0, 8, 1], [12, 6, 8, 0], [13, 6, 8, 1]);
  const found = deadIn(live, blocks, false);
  assert.deepEqual([found?.dead, found?.units, found?.worst, found?.marked], [8, 24, 13, 1]);
  assert.equal(deadText(found), "▲ 33 %");
  assert.match(deadWords(found, tree, live), /8 of 24 units.*1 of 3 activations inside stand out.*blocks\.2\.relu: 6 of 8/);
  assert.equal(deadIn(live, blocks, true), null);
});

test("a layer of which most units are dead stands out by a sign and in words, another does not", () => {
  const tree = treeFrom(NET), conv = tree.lines[lineOf(tree, "blocks.0.conv")];
  const cells = [[6, 0, 64, 0], [6, 5, 64, 0], [6, 40, 64, 0], [6, 64, 64, 0]].map((one) => ({ live: deadOf(one), found: deadIn(deadOf(one), conv, false) }));
  assert.deepEqual(cells.map(({ found }) => deadText(found)), ["0 %", "8 %", "▲ 63 %", "▲ 100 %"]);
  assert.match(deadWords(cells[1].found, tree, cells[1].live), /5 of 64 units.*\(of the activation behind it\)$/);
  assert.match(deadWords(cells[2].found, tree, cells[2].live), /^dying:/);
  assert.match(deadWords(cells[3].found, tree, cells[3].live), /^dead:/);
});

test("a share that is small but not nothing is not written as nothing", () => {
  const tree = treeFrom(NET), line = tree.lines[lineOf(tree, "head")];
  assert.equal(deadText(deadIn(deadOf([14, 1, 512, 1]), line, false)), "<1 %");
  assert.equal(deadText(deadIn(deadOf([14, 511, 512, 1]), line, false)), "▲ >99 %");
});

test("what is not known of dead units is known to be so of layers that have units alone", () => {
  const tree = treeFrom(NET), of = (/** @type {string} */ path, open = false) => hasUnits(tree, tree.lines[lineOf(tree, path)], open);
  assert.deepEqual(["head", "stem.conv", "stem.norm", "blocks.0.relu"].map((path) => of(path)), [true, true, false, false]);
  assert.deepEqual([of("stem"), of("stem", true)], [true, false]);
  const kinds = ["Dense", "SeparableConv2D", "EinsumDense", "ReLU", "Flatten"];
  const keras = treeFrom({ name: "S", kind: "Sequential", inside: kinds.map((kind, n) => ({ name: `${n}`, kind })) });
  assert.deepEqual(kinds.map((_, n) => hasUnits(keras, keras.lines[lineOf(keras, `${n}`)], false)), [true, true, true, false, false]);
});

test("the line below says how often is measured and what it costs", () => {
  const moment = { status: "running", step: 2184, every: 0.312, between: 12, share: 0.0038 };
  assert.equal(measuredWords(moment, true), "Measured in step 2,184, every 0.31 s (12 steps), 0.4 % of the time.");
  assert.match(measuredWords({ ...moment, between: 1, share: 1e-5 }, true), /every step, under 0\.1 % of the time/);
  assert.match(measuredWords({ ...moment, every: 90 }, true), /every 1:30/);
  assert.equal(measuredWords({ ...moment, every: null, share: null }, true), "Measured in step 2,184.");
  assert.match(measuredWords({ status: "ready", step: null }, true), /while training/);
  assert.equal(measuredWords(moment, false), "");
});

test("an empty live cell says when it will be filled", () => {
  assert.match(waitingWords("ready", "y"), /session\.start\(\)/);
  assert.match(waitingWords("paused", "n"), /frozen/);
  assert.notEqual(waitingWords("running", "y"), waitingWords("paused", "y"));
});

test("a spark line spans its box, higher where the ratio is larger, with gaps where nothing is known", () => {
  const live = measuredIn([[0, 1, 1, 1, 1]], 1, [[100, 150, 0, 200, 200]]), d = sparkPath(live, [0], 84, 18);
  const points = [...d.matchAll(/([ML])([\d.]+) ([\d.]+)/g)].map(([, pen, x, y]) => ({ pen, x: Number(x), y: Number(y) }));
  assert.deepEqual(points.map(({ pen }) => pen).join(""), "MLML");
  assert.ok(points[0].x === 1 && points[3].x === 83 && points[0].y === 17 && points[3].y === 1);
  assert.ok(points.every(({ x, y }) => x >= 1 && x <= 83 && y >= 1 && y <= 17));
});

test("a spark line that hardly moves looks as if it hardly moves", () => {
  const ys = [...sparkPath(measuredIn([[0, 1, 1, 1, 1]], 1, [[150, 151, 150]]), [0], 84, 18).matchAll(/ ([\d.]+)/g)].map(([, y]) => Number(y));
  assert.ok(Math.max(...ys) - Math.min(...ys) < 1 && Math.abs(ys[0] - 9) < 1);
});

test("a spark line of a single point is none", () => {
  assert.equal(sparkPath(measuredIn([[0, 1, 1, 1, 1]], 1, [[150]]), [0], 84, 18), "");
  assert.equal(sparkPath(measuredIn([[0, 1, 1, 1, 1]], 1, [[0, 150, 0]]), [0], 84, 18), "");
});

test("a spark line in words says its range and its steps", () => {
  const live = measuredIn([[0, 1, 1, 1, 1], [1, 1, 1, 1, 1]], 2, [[151, 176], [151, 176]]);
  assert.equal(sparkWords(live, [0], { since: 1, step: 2184 }), "Δw / w from 1.0e-3 to 1.0e-2, steps 1 to 2,184, log scale");
  assert.match(sparkWords(live, [0, 1], { since: 1, step: 2 }), /mean of 2 layers/);
});

test("the headline gives the totals with their units, and what they are for", () => {
  const about = { name: "SmallCNN", parameters: 33658, trainable: 33658, macs: 1_520_000, activations: 400_000, batch: 1 };
  assert.equal(headline(about), "SmallCNN · 33,658 parameters (all trainable) · 1.52 M MACs · 400 kB activations, for a batch of 1");
  assert.match(headline({ ...about, least: true }), /at least 1\.52 M MACs/);
  assert.match(headline({ ...about, trainable: 10 }), /\(10 trainable\)/);
  assert.match(headline({ ...about, trainable: 0 }), /\(none trainable\)/);
  assert.equal(headline({ name: "Flatten", parameters: 0, trainable: 0, macs: 0, activations: 0, batch: null }), "Flatten · 0 parameters");
});

test("whether a layer trains is a sign and a word", () => {
  assert.deepEqual(["y", "n", "p", "-"].map((letter) => trainsSign(letter)[0]), ["✓", "❄", "◐", ""]);
  assert.equal(new Set(["y", "n", "p", "-"].map((letter) => trainsSign(letter)[1])).size, 4);
});

// The search for a rate: rates on a logarithmic axis, and the losses that are in sight.
import assert from "node:assert/strict";
import { test } from "node:test";
import { lossRange, rateAt, searchPath, shareOf } from "../../dlwidgets/views/training/rate_search.js";

test("each power of ten takes as much of the width, and a click finds its rate in two digits", () => {
  assert.equal(shareOf(1e-3, 1e-5, 1e-1), 0.5);
  assert.equal(rateAt(0.5, 1e-5, 1e-1), 1e-3);
  assert.equal(rateAt(0.51, 1e-5, 1e-1), 1.1e-3);
  assert.equal(rateAt(2, 1e-5, 1e-1), 1e-1);
});

test("a loss that explodes goes out at the top and flattens nothing", () => {
  const [low, high] = lossRange([2, 1.9, 1, null, 1e9]);
  assert.ok(low < 1 && high > 2 && high < 3);
  assert.deepEqual(lossRange([null]), [0, 1]);
});

test("the curve spans the box, with a gap where a loss is no number", () => {
  const search = { rates: [1e-3, 1e-2, 1e-1], losses: [1, null, 9] };
  assert.equal(searchPath(search, search.losses, [0, 2]), "M0.0 45.0M320.0 0.0");
});

// What a person chose in the page: the look, the pinned class and the thresholds, until the kernel says more.
import { POSITIONS } from "./counts.js";
/** @import { Look } from "./toolbar.js" */

/** @typedef {{get(name: string): any}} Traits */
/** @typedef {{refusal: string, set(name: string, value: any): void}} Wishes */

/** The page's own choices stand this long against an older word of the kernel [ms]. */
const STAND = 1500;
/** What a look is before anybody chose. @type {Look} */
const PLAIN = {
  sort: "given", table: false, normalise: "true", filter: null, each: null, matrix: false, more: false,
  columns: ["precision", "recall", "f1", "support"], intervals: true,
};

/** The look: what a person chose here stands until the kernel says the same, and without a kernel for good. @param {Wishes} want
 * @param {Traits} model @param {() => number} classes */
export function ownLook(want, model, classes) {
  let chosen = /** @type {Partial<Look>} */ ({}), heard = "", chosenAt = -STAND;
  /** @returns {Look & {each: boolean}} */
  function now() {
    const all = { ...PLAIN, ...model.get("look"), ...chosen }, said = /** @type {number[]} */ (model.get("thresholds") ?? []);
    return { ...all, each: classes() > 1 && (all.each ?? said.some((t) => t !== said[0])) };
  }
  function choose(/** @type {Partial<Look>} */ change) {
    chosen = { ...chosen, ...change };
    chosenAt = performance.now();
    want.set("look", { ...now(), each: chosen.each ?? model.get("look")?.each ?? null });
  }
  /** Another page may have chosen since. */
  function hear() {
    const tag = JSON.stringify(model.get("look") ?? {});
    if (tag !== heard && performance.now() - chosenAt > STAND) chosen = {};
    heard = tag;
  }
  return { now, choose, hear };
}

/** The class and the cell that are pinned, -1 for none, and the class that a person attends to. @param {Wishes} want
 * @param {Traits} model */
export function ownPin(want, model) {
  let pinned = { c: -1, cell: -1 }, heard = "", pinnedAt = -STAND;
  return {
    attended: -1,
    now: () => pinned,
    /** Pin a class and a cell of it; the same again lets go. @param {number} c @param {number} cell */
    pin(c, cell) {
      const same = c === pinned.c && (cell === pinned.cell || cell < 0);
      pinned = same || c < 0 ? { c: -1, cell: -1 } : { c, cell };
      pinnedAt = performance.now();
      if (c >= 0) this.attended = c;
      // A class without a cell is opened where the detail chooses.
      if (pinned.c < 0 || cell >= 0) want.set("quadrant", { class: pinned.c, cell: pinned.cell });
    },
    /** Another page or code may have pinned a class. */
    hear() {
      const said = model.get("quadrant"), tag = JSON.stringify(said ?? null);
      if (!said || tag === heard || (said.class !== pinned.c && performance.now() - pinnedAt < STAND)) return;
      heard = tag;
      if (said.class !== pinned.c || said.cell >= 0) pinned = { c: said.class, cell: said.cell };
    },
  };
}

/** What a person moved stands until the kernel says something newer, and without a kernel for good. @param {Wishes} want @param {Traits} model */
export function ownLimits(want, model) {
  let mine = /** @type {number[] | null} */ (null), movedAt = -STAND, heard = "";

  /** One threshold a class; NaN where each sample is said to be of its likeliest class. @param {number} classes */
  function now(classes) {
    const said = /** @type {number[]} */ (model.get("thresholds")), tag = said.join();
    if (want.refusal || (tag !== heard && performance.now() - movedAt > STAND) || mine?.length !== classes) mine = null;
    heard = tag;
    return mine ?? (said.length === classes ? said : Array(classes).fill(said[0] ?? NaN));
  }
  /** Move one class, or all (-1), to a position. @param {number} c @param {number} k @param {number} classes */
  function move(c, k, classes) {
    const to = k / (POSITIONS - 1), next = c < 0 ? Array(classes).fill(to) : now(classes).map((t) => (Number.isNaN(t) ? 0.5 : t));
    if (c >= 0) next[c] = to;
    mine = next;
    movedAt = performance.now();
    want.set("thresholds", c < 0 || classes === 1 ? to : next);
  }
  /** Take thresholds, one a class; NaN in all: each sample is of its likeliest class. @param {number[]} limits */
  function put(limits) {
    mine = limits;
    movedAt = performance.now();
    want.set("thresholds", Number.isNaN(limits[0]) ? null : limits.every((t) => t === limits[0]) ? limits[0] : limits);
  }
  /** Show what the kernel says, after it was asked for other thresholds. */
  function yieldToKernel() { mine = null; movedAt = -STAND; }
  return { now, move, put, yieldToKernel };
}

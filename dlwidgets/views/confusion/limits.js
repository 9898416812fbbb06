// The thresholds that the page shows: the person's as soon as they are moved, else those of the kernel.

import { POSITIONS } from "./counts.js";

/** The person's thresholds stand this long against an older word of the kernel [ms]. */
const HELD = 1500;

/**
 * What a person moved stands until the kernel says something newer, and without a kernel for good.
 * @param {{get(name: string): any, refusal: string, set(name: string, value: any): void}} want
 * @param {{get(name: string): any}} model
 */
export function ownLimits(want, model) {
  let mine = /** @type {number[] | null} */ (null), movedAt = -HELD, heard = "";

  /** One threshold a class. @param {number} classes @returns {number[]} */
  function now(classes) {
    const said = /** @type {number[]} */ (model.get("thresholds")), tag = said.join();
    if (want.refusal || (tag !== heard && performance.now() - movedAt > HELD) || mine?.length !== classes) mine = null;
    heard = tag;
    return mine ?? (said.length === classes ? said : Array(classes).fill(said[0]));
  }
  /** Move one class, or all (-1), to a position. @param {number} c @param {number} k @param {number} classes */
  function move(c, k, classes) {
    const to = k / (POSITIONS - 1), next = c < 0 ? Array(classes).fill(to) : [...now(classes)];
    if (c >= 0) next[c] = to;
    mine = next;
    movedAt = performance.now();
    want.set("thresholds", c < 0 || classes === 1 ? to : next);
  }
  /** Show what the kernel says, after it was asked for other thresholds. */
  function yieldToKernel() { mine = null; movedAt = -HELD; }
  return { now, move, yieldToKernel };
}

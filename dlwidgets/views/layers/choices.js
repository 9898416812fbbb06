// What a person chose in the layer table that the kernel has not confirmed yet: the selected layer, what is frozen, a copy.

import { letterOf, lineOf, pathsOf } from "./tree.js";

/** @typedef {import("./tree.js").Tree} Tree */
/** @typedef {import("./tree.js").Line} Line */
/** @typedef {import("../front.js").Model} Model */
/** @typedef {ReturnType<typeof import("../front.js").wishes>} Wishes */

/** How long an answer to a click is waited for, and a text to be copied [ms]. */
const ANSWER = 3000, TEXT = 15_000;
/** How long after a selection the kernel's word may be about an older one [ms]. */
const SETTLED = 1500;

/** Call once after a while, unless the view goes before. @param {number} ms @param {() => void} call @param {AbortSignal} signal */
export function after(ms, call, signal) {
  const timer = window.setTimeout(call, ms);
  signal.addEventListener("abort", () => window.clearTimeout(timer), { once: true });
}

/** The selected layer: what this page selected stands until the kernel says something that did not come from here. @param {Model} model @param {Wishes} want */
export function selectionOf(model, want) {
  let mine = /** @type {string | null} */ (null), heard = model.get("selected_layer");
  let selectedAt = -Infinity, heardAt = -Infinity;
  const asked = new Set();
  return {
    /** @param {string} path */
    select(path) { mine = path; asked.add(path); selectedAt = performance.now(); want.set("selected_layer", path); },
    /** The path of the selected layer, and whether this page selected it. @returns {{path: string | null, own: boolean}} */
    now() {
      const said = model.get("selected_layer") ?? null, now = performance.now();
      if (said !== heard) heardAt = now;
      if (want.refusal || (said !== heard && !asked.has(said))) mine = null;
      // The kernel's answer to an older selection may still be on its way, also where it said this one before:
      // only what it says later than that moves the cursor from under the keys.
      const settled = now - selectedAt > SETTLED;
      if (settled && said !== mine && heardAt > selectedAt && now - heardAt > SETTLED) mine = null;
      if (mine === null || (said === mine && settled)) asked.clear();
      heard = said;
      return { path: mine ?? said, own: mine !== null };
    },
  };
}

/** What was asked to train or not, by path: until it is so, or was refused, or nothing came of it. @param {Model} model @param {Wishes} want @param {() => void} repaint @param {AbortSignal} signal */
export function freezingOf(model, want, repaint, signal) {
  /** @type {Map<string, {letter: string, until: number}>} */
  const asking = new Map();
  return {
    /** Freeze what a line stands for, or let it train again. @param {Tree} tree @param {Line} line */
    toggle(tree, line) {
      const letter = letterOf(tree, line), paths = pathsOf(tree, line), trains = (asking.get(paths[0])?.letter ?? letter) === "n";
      if (letter === "-") return;
      for (const path of paths) asking.set(path, { letter: trains ? "y" : "n", until: performance.now() + ANSWER });
      want.call("trainable", [paths, trains]);
      after(ANSWER + 10, repaint, signal);
      repaint();
    },
    /** Freeze all up to what a line stands for, and let the rest train. @param {Tree} tree @param {Line} line */
    upTo(tree, line) {
      const path = pathsOf(tree, line).slice(-1)[0];
      asking.clear();
      if (letterOf(tree, line) !== "-") asking.set(path, { letter: "n", until: performance.now() + ANSWER });
      want.call("freeze_to", path);
      after(ANSWER + 10, repaint, signal);
      repaint();
    },
    /** The letter that is asked for and not in force, or "". @param {Tree} tree @param {Line} line */
    wanted(tree, line) { return asking.get(pathsOf(tree, line)[0])?.letter ?? ""; },
    /** Forget what is in force, or was refused. @param {Tree | null} tree */
    settle(tree) {
      const { asked: waits, refused } = model.get("moment") ?? {};
      if (want.refusal || refused) asking.clear();
      asking.forEach(({ letter, until }, path) => {
        const at = tree ? lineOf(tree, path) : -1;
        if (at < 0 || tree?.trains[tree.lines[at].row] === letter || (!waits && performance.now() > until)) asking.delete(path);
      });
    },
  };
}

/** Ask the kernel for rows as text, which is written there alone; "" where it does not answer in time.
 * @param {Model} model @param {Wishes} want @param {{kind: string, columns: string[], rows: number[]}} what @param {AbortSignal} signal @returns {Promise<string>} */
export function textOf(model, want, what, signal) {
  const number = Math.random();
  return new Promise((resolve) => {
    /** @param {any} message */
    const heard = (message) => {
      if (message?.copied === number) done(String(message.text));
      else if (message?.refused === "copy") done("");
    };
    const done = (/** @type {string} */ text) => { model.off("msg:custom", heard); resolve(text); };
    model.on("msg:custom", heard);
    after(TEXT, () => done(""), signal);
    signal.addEventListener("abort", () => done(""), { once: true });
    want.call("copy", { number, ...what });
  });
}

/** Put a text that is on its way into the clipboard; false where the browser allows no way, or "" came. The first way is
 * begun at once, since some browsers allow it only in the click itself; the last works on pages that are not served
 * securely and in frames that may not use the newer ones.
 * @param {Promise<string>} coming @param {HTMLElement} near */
export async function copied(coming, near) {
  try {
    const blob = coming.then((text) => { if (!text) throw new Error("nothing to copy"); return new Blob([text], { type: "text/plain" }); });
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
    return true;
  } catch { /* the older ways follow */ }
  const text = await coming;
  if (!text) return false;
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const focused = /** @type {HTMLElement | null} */ (document.activeElement), area = document.createElement("textarea");
    area.value = text;
    area.style.cssText = "position:fixed;opacity:0";
    near.append(area);
    area.select();
    let done = false;
    try { done = document.execCommand("copy"); } catch { /* said by whoever asked */ }
    area.remove();
    focused?.focus();
    return done;
  }
}

// A browser and a kernel's model as small as the talk between them needs, on a clock that the test moves.

/** What a page has of a widget: traits, events, and what was sent to the kernel. */
export class Model {
  /** @param {Record<string, any>} traits */
  constructor(traits) {
    this.traits = { frame: 1, problem: "", ...traits };
    /** @type {any[]} */
    this.sent = [];
    /** @type {Map<string, Set<(...args: any[]) => void>>} */
    this.calls = new Map();
  }

  /** @param {string} name @returns {any} */
  get(name) { return this.traits[/** @type {keyof typeof this.traits} */ (name)]; }

  /** @param {string} name @param {any} value */
  set(name, value) { throw new Error(`a page set ${name} to ${value}: the kernel alone writes traits`); }

  /** @param {string} event @param {(...args: any[]) => void} call */
  on(event, call) { this.calls.set(event, (this.calls.get(event) ?? new Set()).add(call)); }

  /** @param {string} event @param {(...args: any[]) => void} call */
  off(event, call) { this.calls.get(event)?.delete(call); }

  /** @param {any} message */
  send(message) { this.sent.push(message); }

  /** How many listeners are left. */
  get listeners() { return [...this.calls.values()].reduce((sum, calls) => sum + calls.size, 0); }

  /** @param {string} event @param {...any} args */
  emit(event, ...args) { [...(this.calls.get(event) ?? [])].forEach((call) => call(...args)); }

  /** The kernel sends a picture. @param {Record<string, any>} traits @param {number} frame */
  picture(traits = {}, frame = this.traits.frame + 1) {
    Object.assign(this.traits, traits, { frame });
    this.emit("change:frame");
    this.emit("change");
  }

  /** The kernel sends a message. @param {any} message */
  say(message) { this.emit("msg:custom", message, []); }

  /** What was sent since the last call. */
  heard() { return this.sent.splice(0); }
}

/** An observer that the test sets off. */
class Observer {
  /** @param {(entries: any[]) => void} call */
  constructor(call) { this.call = call; Observer.all.add(this); }
  observe() { this.on = true; }
  disconnect() { this.on = false; Observer.all.delete(this); }
}
/** @type {Set<Observer>} */
Observer.all = new Set();
class Intersection extends Observer {}
class Resize extends Observer {}
class Mutation extends Observer {}

/** Put a browser in place of the globals, and return its clock and its switches. */
export function browser() {
  let now = 0, count = 0;
  /** @type {Map<number, {at: number, call: () => void}>} */
  const timers = new Map();
  /** @param {() => void} call @param {number} wait */
  const setTimeout = (call, wait = 0) => { timers.set(++count, { at: now + Math.max(0, wait), call }); return count; };
  /** @param {number} id */
  const clearTimeout = (id) => { timers.delete(id); };
  const target = () => new EventTarget();
  const body = Object.assign(target(), { dataset: { jpThemeLight: "true" }, contains: () => false });
  const document = Object.assign(target(), { hidden: false, body });
  const media = target();
  const globals = {
    window: Object.assign(target(), { setTimeout, clearTimeout, matchMedia: () => Object.assign(media, { matches: false }) }),
    document, performance: { now: () => now },
    requestAnimationFrame: (/** @type {() => void} */ call) => {
      // A hidden page paints nothing until it is shown.
      const frame = () => { if (document.hidden) timers.set(id, { at: now + 16, call: frame }); else call(); };
      const id = setTimeout(frame, 16 - (now % 16));
      return id;
    },
    cancelAnimationFrame: clearTimeout,
    ResizeObserver: Resize, IntersectionObserver: Intersection, MutationObserver: Mutation,
    Element: class {}, HTMLElement: class {},
  };
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  Observer.all.clear();
  // What the views of a page share; the module is loaded once for all tests.
  const shared = Reflect.get(globalThis, Symbol.for("dlwidgets.page.2"));
  if (shared) { shared.views.clear(); shared.acted = -Infinity; }
  return {
    /** Let time pass, doing what falls due. @param {number} ms */
    pass(ms) {
      const end = now + ms;
      for (;;) {
        const next = [...timers].filter(([, timer]) => timer.at <= end).sort((a, b) => a[1].at - b[1].at || a[0] - b[0])[0];
        if (!next) break;
        now = Math.max(now, next[1].at);
        timers.delete(next[0]);
        next[1].call();
      }
      now = end;
    },
    get now() { return now; },
    /** How many timers wait. */
    get waiting() { return timers.size; },
    get observers() { return Observer.all.size; },
    /** Switch to another tab, or back. @param {boolean} hidden */
    hide(hidden) { document.hidden = hidden; document.dispatchEvent(new Event("visibilitychange")); },
    /** Scroll the view out of sight, or back. @param {boolean} visible */
    scroll(visible) {
      Observer.all.forEach((one) => { if (one instanceof Intersection) one.call([{ isIntersecting: visible }]); });
    },
    resize() { Observer.all.forEach((one) => { if (one instanceof Resize) one.call([]); }); },
    /** @returns {any} */
    element() { return Object.assign(target(), { dataset: {}, contains: () => false, closest: () => null }); },
  };
}

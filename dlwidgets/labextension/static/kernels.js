// What each kernel tells of its sessions, and what a person wishes of them.

/** @typedef {{number: number, name: string, model: string, status: string, host: string, trial: any, epoch: number, epochs: number, steps: number,
 * total: number | null, loss: number | null, left: number | null, findings: number, worst: [string, string] | null, error: string, undo: string,
 * why_not: Record<string, string>}} Session */
/** @typedef {{wishes: string, sessions: Session[], current: number | null, views: {model_id: string, kind: string, session: number | null}[],
 * said?: {number: number, sentence: string, severity: string}}} Picture */
/** What is known of a kernel: its picture, which session a person chose, the last sentence that was heard, and the connection that may speak.
 * @typedef {{picture: Picture, chosen: number | null, heard: number, speaks: any, comm: any, asked: number, patience: number}} Known */
/** @typedef {ReturnType<typeof watchKernels>} Kernels */

const WISHES = "dlwidgets.wishes";
/** A session that is said to train, of which nothing comes for so long, is asked for: a message may be lost. The longest such wait [ms]. */
const PATIENCE = 5000, LONGEST = 60_000;

/** The session that is followed: which a person chose while it is there, else which the kernel names. @param {Picture | undefined} picture
 * @param {number | null} [chosen] @returns {Session | null} */
export function followed(picture, chosen = null) {
  const named = (/** @type {number | null} */ number) => picture?.sessions.find((one) => one.number === number);
  return named(chosen) ?? named(picture?.current ?? null) ?? null;
}

/** Watch the kernels of all notebooks. @param {any} tracker of notebooks */
export function watchKernels(tracker) {
  /** By the kernel's id: several connections of a page may share one. @type {Map<string, Known>} */
  const known = new Map();
  const met = new WeakSet(), listeners = /** @type {Set<() => void>} */ (new Set());
  const hearers = /** @type {Set<(sentence: string, severity: string) => void>} */ (new Set());
  const changed = () => { for (const call of listeners) call(); };
  /** The notebook or console that was in front last. @type {any} */
  let front = tracker.currentWidget;

  const at = (/** @type {any} */ kernel) => {
    if (!known.has(kernel.id)) known.set(kernel.id, /** @type {any} */ ({ chosen: null, heard: -1, asked: 0, patience: PATIENCE }));
    const there = /** @type {Known} */ (known.get(kernel.id));
    // Of several connections one alone handles comms.
    if (kernel.handleComms && (!there.speaks || there.speaks.isDisposed)) there.speaks = kernel;
    return there;
  };
  const forget = (/** @type {any} */ kernel) => { known.delete(kernel.id); changed(); };
  /** Have a comm on which to wish: made at once, so that its subshell is there when a person clicks. @param {Known} there @param {string} id */
  const open = (there, id) => {
    if (!there.speaks || there.comm?.commId === id && !there.comm.isDisposed) return;
    there.comm = there.speaks.hasComm(id) ? null : there.speaks.createComm(WISHES, id);
  };
  const ask = (/** @type {Known} */ there) => there.comm?.send({ wish: "hello" });
  const watchSilence = (/** @type {Known} */ there) => {
    window.clearTimeout(there.asked);
    if (!there.picture.sessions.some((one) => one.status === "running" || one.status === "trying")) return;
    there.asked = window.setTimeout(() => {
      there.patience = Math.min(LONGEST, 2 * there.patience);
      if ([...known.values()].includes(there)) { ask(there); watchSilence(there); }
    }, there.patience);
  };

  /** @param {any} kernel @param {Picture} picture */
  const take = (kernel, picture) => {
    const there = at(kernel), said = picture.said;
    const first = !there.picture;
    there.picture = picture;
    there.patience = PATIENCE;
    open(there, picture.wishes);
    watchSilence(there);
    // What was said before this page was there, it was said to another.
    if (said && said.number > there.heard && !(first && there.heard < 0)) for (const hear of hearers) hear(said.sentence, said.severity);
    there.heard = Math.max(there.heard, said?.number ?? 0);
    changed();
  };

  /** @param {any} kernel a connection */
  async function follow(kernel) {
    if (!kernel || met.has(kernel)) return;
    met.add(kernel);
    // All that the kernel tells comes this way: also to a page that was loaded while a cell runs, and to each of several tabs.
    kernel.iopubMessage.connect((/** @type {any} */ _, /** @type {any} */ message) => {
      const { data } = message.content;
      if (message.header.msg_type === "comm_msg" && data?.dlwidgets === 1) take(kernel, data);
    });
    kernel.statusChanged.connect((/** @type {any} */ _, /** @type {string} */ status) => {
      if (["restarting", "autorestarting", "dead", "terminating"].includes(status)) forget(kernel);
    });
    try {
      const reply = await kernel.requestCommInfo({ target_name: WISHES });
      const there = at(kernel), [id] = Object.keys(reply.content.comms ?? {});
      if (!id || there.picture) return;
      open(there, id);
      ask(there);
    } catch { /* it ended meanwhile */ }
  }

  /** @param {any} panel of a notebook, or a console */
  function meet(panel) {
    const context = panel.sessionContext;
    context.kernelChanged.connect((/** @type {any} */ _, /** @type {any} */ change) => { void follow(change.newValue); changed(); });
    void follow(context.session?.kernel);
  }
  /** @param {any} each tracker of notebooks or consoles */
  function join(each) {
    each.forEach(meet);
    each.widgetAdded.connect((/** @type {any} */ _, /** @type {any} */ panel) => meet(panel));
    each.currentChanged.connect((/** @type {any} */ _, /** @type {any} */ panel) => { front = panel ?? tracker.currentWidget; changed(); });
  }
  join(tracker);

  /** What is known of a notebook's kernel. @param {any} [panel] a notebook or console; else the one that was in front last */
  const of = (panel = front) => {
    const kernel = panel && !panel.isDisposed ? panel.sessionContext.session?.kernel : null;
    const there = kernel ? known.get(kernel.id) : undefined;
    return { panel, kernel: kernel ?? null, picture: there?.picture ?? null, session: followed(there?.picture, there?.chosen) };
  };
  return {
    of,
    /** Watch the kernels of consoles too. @param {any} consoles their tracker */
    join,
    /** Have a wish done of a session: the one that is followed where none is named; "" or why it is not sent.
     * @param {string} wish @param {number} [number] @param {any} [panel] */
    wish(wish, number, panel) {
      const { kernel, session } = of(panel), there = kernel && known.get(kernel.id);
      if (!there?.comm) return "No session of dlwidgets is there.";
      there.comm.send({ wish, session: number ?? session?.number });
      return "";
    },
    /** Follow another session of a kernel. @param {number} number @param {any} [panel] */
    choose(number, panel) {
      const there = known.get(of(panel).kernel?.id);
      if (there) { there.chosen = number; changed(); }
    },
    /** Be called whenever anything may be another. @param {() => void} call */
    listen(call) { listeners.add(call); call(); return () => listeners.delete(call); },
    /** Hear what a kernel says to a person. @param {(sentence: string, severity: string) => void} call */
    hear(call) { hearers.add(call); },
  };
}

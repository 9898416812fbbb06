// The palette's commands: what the buttons of a panel do, wherever one has scrolled.

/** @import { Kernels, Session } from "./kernels.js" */

/** Wish -> its label in the palette, and in short. */
const COMMANDS = /** @type {Record<string, {long: string, short: string, what: string}>} */ ({
  pause: { long: "Pause or Resume Training", short: "Pause", what: "Pause after the step being taken, or go on" },
  step: { long: "Take One Training Step", short: "Take One Step", what: "Take one step, then pause" },
  stop: { long: "Stop Training", short: "Stop", what: "End the run" },
  undo: { long: "Undo the Last Change of the Training", short: "Undo Last Change", what: "Go to right before the last change, and pause there" },
  save: { long: "Save Checkpoint or Weights", short: "Save", what: "Write a checkpoint, or the weights beside the notebook" },
});

/** What the command of pausing does now. @param {Session | null} session @returns {"pause" | "resume"} */
export function turn(session) { return session?.status === "running" || session?.status === "trying" ? "pause" : "resume"; }

/** What a command is called in the menu. @param {string} wish @param {Session | null} session */
export function labelOf(wish, session) {
  if (wish !== "pause" || turn(session) === "pause") return wish === "undo" && session?.undo ? `Undo ${session.undo}` : COMMANDS[wish].short;
  return session?.status === "paused" || session?.status === "failed" ? "Resume" : "Start";
}

/** Add the commands. @param {{app: any, kernels: Kernels, palette: any, say: (sentence: string, severity: string) => void}} host */
export function addCommands({ app, kernels, palette, say }) {
  const none = { args: { type: "object", properties: {} } };
  for (const [wish, { long, what }] of Object.entries(COMMANDS)) {
    const whyNot = () => { const { session } = kernels.of(); return session?.why_not[wish === "pause" ? turn(session) : wish] ?? ""; };
    app.commands.addCommand(`dlwidgets:${wish}`, {
      label: (/** @type {any} */ args) => (args.menu ? labelOf(wish, kernels.of().session) : long),
      caption: () => whyNot() || what,
      className: () => (whyNot() ? "dlwidgets-refused" : ""),
      isEnabled: () => kernels.of().session !== null,
      execute: () => {
        const { session } = kernels.of(), why = whyNot();
        const unsent = session && !why ? kernels.wish(wish === "pause" ? turn(session) : wish, session.number) : "";
        if (why || unsent) say(why || unsent, "warning");
      },
      describedBy: none,
    });
    palette?.addItem({ command: `dlwidgets:${wish}`, category: "dlwidgets" });
  }
  const named = (/** @type {any} */ args) => kernels.of().picture?.sessions.find((/** @type {Session} */ one) => one.number === args.number);
  app.commands.addCommand("dlwidgets:follow", {
    label: (/** @type {any} */ args) => { const one = named(args); return one ? `${one.model}${one.name ? ` (${one.name})` : ""}: ${one.status}` : "Follow a Session"; },
    isToggleable: true,
    isToggled: (/** @type {any} */ args) => kernels.of().session?.number === args.number,
    isEnabled: (/** @type {any} */ args) => Boolean(named(args)),
    execute: (/** @type {any} */ args) => kernels.choose(args.number),
    describedBy: { args: { type: "object", properties: { number: { type: "integer", description: "Which session, counted from 1 as they were made" } }, required: ["number"] } },
  });
  let before = "";
  kernels.listen(() => {
    const { session } = kernels.of(), now = JSON.stringify([session?.number, session?.status, session?.why_not, session?.undo]);
    if (now !== before) { before = now; for (const wish of Object.keys(COMMANDS)) app.commands.notifyCommandChanged(`dlwidgets:${wish}`); }
  });
}

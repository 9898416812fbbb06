// The session in one line: in JupyterLab's status bar, in Notebook 7 beside the menus.

/** @import { Kernels, Session } from "./kernels.js" */

/** What stands for a status beside its colour. @type {Record<string, string>} */
const MARKS = { running: "●", trying: "●", paused: "❚❚", done: "✓", failed: "▲", ready: "■", stopped: "■" };
const GRAVITIES = /** @type {Record<string, string>} */ ({ high: "▲", medium: "◆" });
const STYLE = `
.dlwidgets-status { --dlwidgets-green: #1d6f42; --dlwidgets-orange: #a85507; --dlwidgets-red: #b3261e;
  display: flex; align-items: center; gap: 6px; color: var(--jp-ui-font-color1); font: var(--jp-ui-font-size1)/1 var(--jp-ui-font-family); font-variant-numeric: tabular-nums; white-space: nowrap; }
[data-jp-theme-light="false"] .dlwidgets-status { --dlwidgets-green: #63c18b; --dlwidgets-orange: #eda252; --dlwidgets-red: #f2877e; }
.dlwidgets-status.lm-mod-hidden, .dlwidgets-status [hidden] { display: none; }
.dlwidgets-status button { display: flex; align-items: center; gap: 14px; height: 20px; margin: 0; padding: 0 6px; border: 1px solid transparent; border-radius: 3px; background: none; color: inherit; font: inherit; white-space: nowrap; cursor: pointer; }
.dlwidgets-status button:hover { background: var(--jp-layout-color3); }
.dlwidgets-status button:focus-visible { outline: 2px solid var(--jp-brand-color1); outline-offset: -1px; }
.dlwidgets-status .dlwidgets-press { justify-content: center; width: 30px; border-color: var(--jp-border-color1); background: var(--jp-layout-color1); }
.dlwidgets-status .dlwidgets-name { max-width: 22ch; overflow: hidden; text-overflow: ellipsis; }
.dlwidgets-status .dlwidgets-mark { margin-right: 5px; }
.dlwidgets-status [data-status="paused"] .dlwidgets-mark, .dlwidgets-press[data-going] { font-size: 9px; }
.dlwidgets-status :is([data-status="running"], [data-status="trying"]) .dlwidgets-name { color: var(--dlwidgets-green); }
.dlwidgets-status [data-status="failed"] :is(.dlwidgets-name, .dlwidgets-state) { color: var(--dlwidgets-red); }
.dlwidgets-status .dlwidgets-state { color: var(--jp-ui-font-color2); }
.dlwidgets-status .dlwidgets-found { color: var(--dlwidgets-orange); }
.dlwidgets-status .dlwidgets-aloud { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.dlwidgets-menu .dlwidgets-refused { opacity: 0.5; }
.dlwidgets-menu .lm-mod-toggled > .lm-Menu-itemIcon::before { content: "✓"; }
.jp-StatusBar-Right:has(> .dlwidgets-status) { flex: 0 1 auto; min-width: 0; }
.jp-StatusBar-Right:has(> .dlwidgets-status) > :not(.jp-Notification-Status) { flex-shrink: 1; min-width: 0; overflow: hidden; }
.jp-StatusBar-Right > .dlwidgets-status.dlwidgets-status { flex-shrink: 0; overflow: visible; }
/* In Notebook 7 the menus need the room, and a panel beside says the same. */
@media (max-width: 1500px) { body:not(:has(.jp-StatusBar-Right)):has(.dlwidgets-beside) .dlwidgets-status :is(.dlwidgets-epoch, .dlwidgets-loss, .dlwidgets-state) { display: none; } }
@media (max-width: 1000px) { .dlwidgets-status [data-status="running"] .dlwidgets-state { display: none; } }
@media (max-width: 860px) { .dlwidgets-status .dlwidgets-loss { display: none; } }
@media (max-width: 760px) { .dlwidgets-status .dlwidgets-epoch, .dlwidgets-status .dlwidgets-word { display: none; } .dlwidgets-status .dlwidgets-name { max-width: 12ch; } }
`;

/** A loss with three digits, as the curves write it. @param {number | null} x */
export function threeDigits(x) {
  if (x === null) return "–";
  const size = Math.abs(x);
  if (size >= 1e6 || size && size < 1e-3) return x.toExponential(2).replace("e+", "e").replace(/^-/, "−");
  const decimals = size ? Math.max(0, 2 - Math.floor(Math.log10(size))) : 0;
  return x.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }).replace("-", "−");
}

/** Seconds as 12 s, 2:14 or 1:02:14. @param {number} seconds */
export function asClock(seconds) {
  const s = Math.max(0, Math.round(seconds)), two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  if (s < 60) return `${s} s`;
  return s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}

/** Whether steps are being taken. @param {Session} session */
export const goes = (session) => session.status === "running" || session.status === "trying";

/** What is said of a session: mark, name, epoch, loss, state (time left, or the status), found, and all of it as a sentence. @param {Session} session */
export function wordsOf(session) {
  const { status, model, name, trial, left, worst } = session, whole = (/** @type {number} */ n) => n.toLocaleString("en-US");
  const state = trial ? `trying ${trial.number} of ${trial.count}` : status;
  const epoch = Math.min(session.epoch, session.epochs), loss = `loss ${threeDigits(session.loss)}`;
  const remaining = left === null || !session.steps ? "" : `${asClock(left)} left`;
  const steps = `step ${whole(session.steps)}${session.total ? ` of ${whole(session.total)}` : ""}`;
  const sentence = [
    `${model}${name ? ` (${name})` : ""}: ${state}${session.host ? ` in ${session.host}` : ""}`, `epoch ${whole(epoch)} of ${whole(session.epochs)}`, steps,
    session.steps ? loss : "", remaining, session.error,
  ].filter(Boolean).join(", ");
  return {
    mark: MARKS[status] ?? "●", model, epoch: `epoch ${whole(epoch)}/${whole(session.epochs)}`, loss: session.steps ? loss : "", state: remaining || state,
    spoken: `${model}: ${state}`, sentence, gravity: worst ? GRAVITIES[worst[0]] ?? "●" : "", found: session.findings ? whole(session.findings) : "",
    finding: session.findings === 1 ? "finding" : "findings", press: goes(session) ? "Pause" : status === "paused" || status === "failed" ? "Resume" : "Start",
  };
}

/** @param {string} tag @param {string} name @param {Record<string, string>} [attributes] @param {...Node} children */
function piece(tag, name, attributes = {}, ...children) {
  const node = document.createElement(tag);
  node.className = `dlwidgets-${name}`;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** Write a text where it is another, and keep the place as wide as it ever was for this session: nothing beside it jumps.
 * @param {HTMLElement} node @param {string} text @param {boolean} [wide] */
function write(node, text, wide = false) {
  if (node.textContent === text) return;
  node.textContent = text;
  node.hidden = !text;
  if (wide && text.length > Number(node.dataset.wide ?? 0)) {
    node.dataset.wide = String(text.length);
    node.style.minWidth = `${text.length}ch`;
  }
}

/** Add the item that says what the session does.
 * @param {{app: any, kernels: Kernels, statusBar: any, Widget: any, Menu: any, say: (sentence: string, severity: string) => void}} host
 * statusBar: none in Notebook 7 */
export function addStatus({ app, kernels, statusBar, Widget, Menu, say }) {
  const style = document.createElement("style");
  style.textContent = STYLE;
  document.head.append(style);

  function makeItem() {
    const [mark, name, epoch, loss, state] = ["mark", "model", "epoch", "loss", "state"].map((one) => piece("span", one));
    const named = piece("span", "name", {}, mark, name), count = piece("span", "count"), word = piece("span", "word");
    const body = piece("button", "session", { type: "button", "aria-haspopup": "menu" }, named, epoch, loss, state);
    const found = piece("button", "found", { type: "button" }, piece("span", "badge", {}, count, word));
    const press = piece("button", "press", { type: "button" }), aloud = piece("span", "aloud", { role: "status", "aria-live": "polite" });
    const item = new Widget({ node: piece("div", "status", { role: "group", "aria-label": "dlwidgets session" }, body, found, press, aloud) });
    const over = new AbortController();
    let shown = NaN, spoken = "";
    const draw = () => {
      const { session } = kernels.of();
      item.setHidden(!session);
      if (!session) { shown = NaN; spoken = ""; aloud.textContent = ""; return; }
      const words = wordsOf(session);
      if (shown !== session.number) for (const one of [epoch, loss, state, count]) { one.style.minWidth = ""; delete one.dataset.wide; }
      write(mark, words.mark); write(name, words.model);
      write(epoch, words.epoch, true); write(loss, words.loss, true); write(state, words.state, true);
      write(count, words.found && `${words.gravity} ${words.found}`); write(word, words.found && `\u00a0${words.finding}`);
      for (const one of [body, press]) one.dataset.status = session.status;
      body.title = words.sentence;
      body.setAttribute("aria-label", `${words.sentence}. Menu`);
      found.hidden = !words.found;
      found.title = session.worst?.[1] ?? "";
      found.setAttribute("aria-label", `${words.found} ${words.finding}: ${found.title}`);
      write(press, goes(session) ? "❚❚" : "▶");
      press.toggleAttribute("data-going", goes(session));
      press.title = session.why_not[goes(session) ? "pause" : "resume"] ?? words.press;
      press.setAttribute("aria-label", words.press);
      // Once the status changes, and not at first sight.
      if (shown === session.number && spoken !== words.spoken) aloud.textContent = words.spoken;
      shown = session.number; spoken = words.spoken;
    };
    const run = (/** @type {string} */ command, args = {}) => void app.commands.execute(command, args);
    const { signal } = over;
    press.addEventListener("click", () => run("dlwidgets:pause"), { signal });
    found.addEventListener("click", () => {
      const { session } = kernels.of();
      if (app.commands.hasCommand("dlwidgets:beside")) run("dlwidgets:beside");
      else if (session?.worst) say(session.worst[1], "warning");
    }, { signal });
    body.addEventListener("click", (event) => openMenu(body, event.detail === 0), { signal });
    const stop = kernels.listen(draw);
    item.disposed.connect(() => { stop(); over.abort(); });
    return item;
  }

  /** What can be done with the session, and which of several is followed. @param {HTMLElement} at @param {boolean} byKey */
  function openMenu(at, byKey) {
    const menu = new Menu({ commands: app.commands }), { picture } = kernels.of();
    menu.addClass("dlwidgets-menu");
    for (const one of ["pause", "step", "stop", "undo", "save"]) menu.addItem({ command: `dlwidgets:${one}`, args: { menu: true } });
    if (app.commands.hasCommand("dlwidgets:beside")) {
      menu.addItem({ type: "separator" });
      menu.addItem({ command: "dlwidgets:beside", args: { menu: true } });
    }
    if ((picture?.sessions.length ?? 0) > 1) {
      menu.addItem({ type: "separator" });
      for (const { number } of picture?.sessions ?? []) menu.addItem({ command: "dlwidgets:follow", args: { number } });
    }
    // Not before the command that was chosen has run.
    menu.aboutToClose.connect(() => { at.focus(); window.setTimeout(() => menu.dispose(), 0); });
    const { left, top, bottom } = at.getBoundingClientRect();
    menu.open(left, statusBar ? top : bottom);
    if (byKey) menu.activateNextItem();
  }

  if (statusBar) {
    // Last of all, where nothing beside it moves it; it is kept on narrow windows, where it leaves out what matters least.
    statusBar.registerStatusItem("dlwidgets:status", { item: makeItem(), align: "right", rank: -2, priority: 1 });
    return;
  }
  // Beside the menus: a toolbar that is too narrow would hide it first.
  const item = makeItem();
  item.id = "dlwidgets-status";
  app.shell.add(item, "menu", { rank: 1000 });
}

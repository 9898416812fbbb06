// The dashboard's tabs, and its switch between one view at a time and all: which parts are shown is the page's own decision.
import { decision, gravity, listen, live, make, makeButton, makeOffer, say, whole, wishes } from "./front.js";

/** The views of which "simple" shows one, and what they are called. */
const TABS = /** @type {[string, string][]} */ ([["confusion", "Confusion"], ["activations", "Activations"], ["layers", "Layers"], ["finetune", "Fine-tuning"], ["doctor", "Doctor"]]);
/** From this width on the doctor stands beside the curves [px]. */
const WIDE = 1040;
/** For so many frames views are waited for that the host has not put into the dashboard yet. */
const WAITED = 600;

/** The tab that a key goes to from another, or "". @param {string} key @param {string} from */
export function tabAt(key, from) {
  const names = TABS.map(([name]) => name), last = names.length - 1, at = names.indexOf(from);
  const to = /** @type {Record<string, number>} */ ({ ArrowLeft: at ? at - 1 : last, ArrowRight: at < last ? at + 1 : 0, Home: 0, End: last })[key];
  return names[to] ?? "";
}

/** The worst finding in one line, with its first remedy; the same place says where nothing is found what was checked, so that nothing moves.
 * @param {import("./front.js").Want} want @param {() => void} open opens the doctor's tab @param {AbortSignal} signal */
function worstOf(want, open, signal) {
  let worst = /** @type {any} */ ({}), known = "";
  const mark = make("span", { class: "dlw-gravity" }), quiet = make("span", { class: "dlw-faint" }), when = make("span", { class: "dlw-faint" });
  const title = makeButton("", open, signal, { class: "dlw-link" }), aloud = make("span", { class: "dlw-hidden", role: "status" });
  const first = makeOffer(() => want.call("remedy", [worst.key, worst.remedies[0].name]), signal);
  const all = makeOffer(() => { want.call("try", worst.key); open(); }, signal);
  const node = make("div", { class: "dlw-doc-worst" }, mark, title, when, first.node, all.node, quiet, aloud);
  return {
    node,
    draw(/** @type {any} */ now) {
      worst = now;
      const found = Boolean(now.key), remedies = now.remedies ?? [];
      node.toggleAttribute("data-found", found);
      node.dataset.severity = now.severity ?? "";
      say(quiet, found ? "" : `Doctor: ${now.line || "nothing found yet"}`);
      say(mark, found ? gravity(now.severity) : ""); say(title, now.title ?? ""); say(when, now.when ?? "");
      title.title = found ? `${now.title}: ${now.sentence}` : "";
      for (const part of [mark, title, when]) part.hidden = !found;
      first.node.hidden = !remedies.length;
      all.node.hidden = remedies.length < 2;
      first.draw(remedies[0]?.full ?? "", "", now.busy || remedies[0]?.off || "");
      all.draw("Try all", "Take the same steps with each remedy and with none, and come back", now.busy ?? "");
      // Numbers in a title move; it is said aloud once.
      if (known !== (now.key ?? "")) { known = now.key ?? ""; say(aloud, found ? `Doctor, ${now.severity}: ${now.title}` : ""); }
    },
  };
}

/** Numbers the dashboards, whose ids must be single in the page. */
let dashboards = 0;

/** Say of each view whether it is a tab's panel. @param {Element} board @param {string} id @param {boolean} tabs whether there are tabs
 * @returns whether all views are there */
function namePanels(board, id, tabs) {
  const panels = TABS.map(([name]) => /** @type {[string, Element | null]} */ ([name, board.querySelector(`.dlw-tabbed-${name}`)]));
  for (const [name, panel] of panels) {
    if (!panel) continue;
    panel.id = `${id}-${name}`;
    if (tabs) { panel.setAttribute("role", "tabpanel"); panel.setAttribute("aria-labelledby", `${id}-${name}-tab`); }
    else for (const attribute of ["role", "aria-labelledby"]) panel.removeAttribute(attribute);
  }
  return panels.every(([, panel]) => panel);
}

export default {
  render(/** @type {{model: import("./front.js").Model, el: HTMLElement, signal: AbortSignal}} */ { model, el, signal }) {
    el.classList.add("dlw", "dlw-tabs");
    const id = `dlw-dash-${++dashboards}-${Math.random().toString(36).slice(2)}`;
    let repaint = () => {}, waited = 0;
    /** The dashboard around it, whose width counts also while this is out of sight. @type {HTMLElement | null} */
    let around = null;
    const widths = new ResizeObserver(() => around?.toggleAttribute("data-wide", around.clientWidth >= WIDE));
    signal.addEventListener("abort", () => widths.disconnect());
    const part = { model, signal, repaint: () => repaint() }, want = wishes(part);
    const show = decision(part, want, "show"), tab = decision(part, want, "tab");
    const note = make("div", { class: "dlw-note", role: "status" });
    // What the maps are of, chosen in whichever view, and whether it is another than when they were seen last.
    const chosen = make("span", { class: "dlw-tab-of" });
    let seen = "";
    const found = make("b", { class: "dlw-tab-found" });
    const worst = worstOf(want, () => tab.set("doctor"), signal);
    const tabs = TABS.map(([name, text]) => {
      const node = makeButton(text, () => tab.set(name), signal, { role: "tab", id: `${id}-${name}-tab`, "aria-controls": `${id}-${name}` });
      if (name === "activations") node.append(chosen);
      if (name === "doctor") node.append(" ", found);
      return { name, node };
    });
    const list = make("div", { role: "tablist", class: "dlw-tablist", "aria-label": "Views" }, ...tabs.map(({ node }) => node));
    const full = makeButton("", () => show.set(show.get() === "full" ? "simple" : "full"), signal);
    el.append(worst.node, make("div", { class: "dlw-tabs-line" }, list, make("span", { class: "dlw-tabs-tools" }, full)), note);
    listen(list, "keydown", (event) => {
      const name = tabAt(event.key, tab.get());
      if (!name || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      event.stopPropagation();
      tab.set(name);
      tabs.find((one) => one.name === name)?.node.focus();
    }, signal);

    const draw = () => {
      const simple = show.get() !== "full", open = tab.get(), of = model.get("chosen");
      list.hidden = !simple;
      for (const { name, node } of tabs) {
        node.setAttribute("aria-selected", String(name === open));
        node.tabIndex = name === open ? 0 : -1;
      }
      if (!simple || open === "activations" || !seen) seen = of;
      worst.node.hidden = !simple;
      worst.draw(model.get("worst") ?? {});
      const lasting = model.get("lasting") || 0;
      say(found, lasting ? whole(lasting) : "");
      say(chosen, of === seen ? "" : of);
      chosen.title = of === seen ? "" : "Chosen elsewhere: its maps are here";
      say(full, simple ? "full" : "simple");
      full.title = simple ? "Show all views, one below the other" : "Show one of the views at a time, in tabs";
      say(note, model.get("problem") || want.refusal);
      const board = el.closest(".dlw-dash");
      if (!(board instanceof HTMLElement)) return;
      board.dataset.show = simple ? "simple" : "full";
      board.dataset.tab = open;
      if (board !== around) { around = board; widths.disconnect(); widths.observe(board); }
      board.toggleAttribute("data-wide", board.clientWidth >= WIDE);
      if (!namePanels(board, id, simple) && waited++ < WAITED) repaint();
    };
    repaint = live({ model, el, signal, draw });
    // The element joins the page after this call; only then is the dashboard around it known.
    requestAnimationFrame(draw);
  },
};

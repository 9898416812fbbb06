// A button with a menu under it, by mouse and keyboard, above whatever the page would cut off.

import { listen, make } from "../front.js";

/** `checked` is null for what is done, not switched. @typedef {{text: string, checked: boolean | null, title?: string, pick: () => void}} Item */

/** Make a button that opens a menu. What is switched leaves it open; what is done closes it.
 * @param {{label: string, title: string, items: () => Item[], signal: AbortSignal}} what */
export function menu({ label, title, items, signal }) {
  const button = make("button", { type: "button", title, "aria-haspopup": "menu", "aria-expanded": "false", text: `${label} ▾`, "aria-label": label });
  // The top layer is not cut off by the notebook's output areas.
  const list = make("div", { role: "menu", class: "dlw-lay-menu", "aria-label": label, popover: "manual", hidden: true });
  const entries = () => /** @type {HTMLElement[]} */ ([...list.children]);
  const isOpen = () => !list.hidden;

  const fill = (at = -1) => {
    list.replaceChildren(...items().map(({ text, checked, title: words = "" }) => make("div", {
      role: checked === null ? "menuitem" : "menuitemcheckbox", tabindex: -1, title: words, ...(checked === null ? {} : { "aria-checked": String(checked) }), text,
    })));
    entries()[at]?.focus();
  };
  const close = (back = false) => {
    if (!isOpen()) return;
    if (list.hidePopover) list.hidePopover();
    list.hidden = true;
    button.setAttribute("aria-expanded", "false");
    if (back) button.focus();
  };
  const open = (at = 0) => {
    list.hidden = false;
    if (list.showPopover) list.showPopover();
    button.setAttribute("aria-expanded", "true");
    fill();
    const under = button.getBoundingClientRect(), { width, height } = list.getBoundingClientRect();
    list.style.left = `${Math.max(4, Math.min(under.left, window.innerWidth - width - 4))}px`;
    list.style.top = `${under.bottom + 2 + height > window.innerHeight && under.top > height ? under.top - height - 2 : under.bottom + 2}px`;
    entries()[at < 0 ? entries().length - 1 : at]?.focus();
  };
  const pick = (/** @type {number} */ at) => {
    const item = items()[at];
    if (!item) return;
    if (item.checked === null) close(true);
    item.pick();
    if (isOpen()) fill(at);
  };

  listen(button, "click", () => { if (isOpen()) close(true); else open(); }, signal);
  listen(button, "keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    open(event.key === "ArrowUp" ? -1 : 0);
    event.preventDefault();
  }, signal);
  listen(list, "click", (/** @type {MouseEvent} */ event) => pick(entries().findIndex((entry) => entry.contains(/** @type {Node} */ (event.target)))), signal);
  listen(list, "keydown", (/** @type {KeyboardEvent} */ event) => {
    const all = entries(), at = all.indexOf(/** @type {HTMLElement} */ (document.activeElement)), last = all.length - 1;
    if (event.key === "Tab") { close(true); return; }
    if (event.key === "Escape") close(true);
    else if (event.key === "Enter" || event.key === " ") pick(at);
    else {
      const to = { ArrowDown: at < last ? at + 1 : 0, ArrowUp: at > 0 ? at - 1 : last, Home: 0, End: last }[event.key];
      if (to === undefined) return;
      all[to].focus();
    }
    event.preventDefault();
    event.stopPropagation();
  }, signal);
  listen(window, "pointerdown", (/** @type {PointerEvent} */ event) => {
    const target = /** @type {Node} */ (event.target);
    if (!list.contains(target) && !button.contains(target)) close();
  }, signal);
  // It stands in the window, not on the page.
  window.addEventListener("scroll", (event) => { if (!list.contains(/** @type {Node} */ (event.target))) close(); }, { capture: true, passive: true, signal });
  listen(window, "resize", () => close(), signal);
  return { node: make("span", { class: "dlw-lay-tool" }, button, list), button };
}

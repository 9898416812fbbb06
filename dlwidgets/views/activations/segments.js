// The small controls of the activation browser: one of a few, and a number on a slider.
import { listen, make, say } from "../front.js";

/**
 * Buttons of which one is pressed.
 * @param {string} label what is chosen, in words
 * @param {[string, string, string][]} options value, text and title of each
 * @param {(value: string) => void} choose @param {AbortSignal} signal
 * @returns {{node: HTMLElement, show: (value: string, usable?: boolean) => void}}
 */
export function segments(label, options, choose, signal) {
  const buttons = options.map(([value, text, title]) => {
    const button = make("button", { type: "button", text, title, "data-value": value });
    listen(button, "click", () => choose(value), signal);
    return button;
  });
  const node = make("div", { class: "dlw-act-group dlw-act-toggle", role: "group", "aria-label": label },
    make("span", { text: label }), ...buttons);
  return {
    node,
    show(value, usable = true) {
      for (const button of buttons) {
        button.setAttribute("aria-pressed", String(button.dataset.value === value));
        button.disabled = !usable;
      }
    },
  };
}

/**
 * A slider over the numbers 0 to count - 1.
 * @param {string} label @param {(value: number) => void} choose @param {AbortSignal} signal
 * @returns {{node: HTMLElement, show: (value: number, count: number) => void}} hidden while there is nothing to choose
 */
export function steps(label, choose, signal) {
  const slider = make("input", { type: "range", min: 0, step: 1, "aria-label": label }), words = make("span", { class: "dlw-act-count" });
  listen(slider, "input", () => choose(Number(slider.value)), signal);
  const node = make("label", { class: "dlw-act-group dlw-act-steps" }, make("span", { text: label }), slider, words);
  return {
    node,
    show(value, count) {
      node.hidden = count < 2;
      slider.max = String(Math.max(0, count - 1));
      if (document.activeElement !== slider || Math.abs(Number(slider.value) - value) > 0) slider.value = String(value);
      say(words, `${value} of ${count}`);
    },
  };
}

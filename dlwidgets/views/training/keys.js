// Keys of the training panel: Space and "." for the run, arrows for the sliders, and what a slider says.

/** Elements that need Space, or a typed ".", themselves. */
const SPACE = "button, summary, select, input, textarea, a[href], [contenteditable]:not([contenteditable=false])";
const TYPED = "select, input:not([type=checkbox]), textarea, [contenteditable]:not([contenteditable=false])";

/** What a key pressed in the panel asks of the run: "toggle", "step", or nothing. @param {{key: string, ctrlKey:
 * boolean, altKey: boolean, metaKey: boolean, shiftKey: boolean, repeat: boolean}} event
 * @param {{matches(selector: string): boolean}} target the focused element @returns {"toggle" | "step" | ""} */
export function pressed(event, target) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey || event.repeat) return "";
  if (event.key === " ") return target.matches(SPACE) ? "" : "toggle";
  return event.key === "." && !target.matches(TYPED) ? "step" : "";
}

/** Have Space start, pause and resume the run, and "." take a step, while the focus is in `panel` and on nothing
 * that needs the key itself. A click beside the controls gives the panel the focus. @param {HTMLElement} panel
 * @param {import("../front.js").Model} model @param {AbortSignal} signal */
export function runKeys(panel, model, signal) {
  panel.tabIndex = -1;
  panel.addEventListener("keydown", (event) => {
    const target = event.target;
    if (!(target instanceof Element) || event.defaultPrevented) return;
    const key = pressed(event, target);
    if (!key) return;
    event.preventDefault();
    event.stopPropagation();
    try { model.send({ wish: "press", value: key }); } catch { /* the kernel is gone: nobody is there to be told */ }
  }, { signal });
}

/** The sliders' handles, each with the words of its readout and the number of its row. @param {Element} controls */
export function handles(controls) {
  const rows = [...controls.children].filter((row) => row.matches(".widget-inline-hbox, .widget-toggle-buttons"));
  return rows.flatMap((row, i) => {
    const handle = row.querySelector(".noUi-handle");
    return handle ? [{ handle, words: row.querySelector(".widget-readout")?.textContent ?? "", row: i }] : [];
  });
}

/** Let an arrow key move a logarithmic slider by 5 %, and by 1 % with Shift: its own step is small, so that what is
 * typed or set from code keeps its digits. The page keys move it by five steps. @param {HTMLElement} controls
 * @param {AbortSignal} signal */
export function stride(controls, signal) {
  const way = /** @type {Record<string, string>} */ ({ ArrowRight: "PageUp", ArrowUp: "PageUp", ArrowLeft: "PageDown", ArrowDown: "PageDown" });
  controls.addEventListener("keydown", (event) => {
    const handle = event.target, key = way[event.key];
    if (!key || event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
    if (!(handle instanceof Element) || !handle.matches(".dlw-log .noUi-handle")) return;
    event.preventDefault();
    event.stopPropagation();
    handle.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  }, { capture: true, signal });
}

// What opens under the tiles when a class is pinned: its samples, its curves, its past.

import { make, say } from "./front.js";
import { classCharts } from "./confusion_charts.js";
import { sampleList } from "./confusion_samples.js";
import { pastRail } from "./confusion_rail.js";

/** From this width on the curves stand beside the samples [px]. */
const BESIDE = 900;

/**
 * The detail of the pinned class. `pin` tells the grid of another quadrant, where the grid wants to be told.
 * @param {{model: import("./front.js").Model, el: HTMLElement, signal: AbortSignal,
 *   want: {get(name: string): any, set(name: string, value: any): void}, repaint: () => void,
 *   pin?: (c: number, cell: number) => void}} hands
 */
export function classDetail({ model, el, signal, want, pin }) {
  let pinned = -1;
  /** @param {number} cell */
  const open = (cell) => (pin ? pin(pinned, cell) : want.set("quadrant", { class: pinned, cell }));
  const title = make("b"), charts = classCharts({ signal }), samples = sampleList({ model, signal, want, open });
  const rail = pastRail({ model, signal });
  const body = make("div", { class: "dlw-det-body" }, samples.node, charts.node);
  const node = make("section", { class: "dlw-det", "aria-label": "The pinned class", hidden: true },
    make("div", { class: "dlw-det-head" }, make("span", { class: "dlw-title", text: "Class" }), " ", title), body, rail.node);

  /**
   * @param {{names: string[], cells: Float64Array, limits: number[], counts: ArrayLike<number>, totals: ArrayLike<number>,
   *   task: string, samples: number, pinned: number, cell?: number}} picture
   */
  function draw(picture) {
    const c = picture.pinned, some = c >= 0 && c < picture.names.length;
    node.hidden = !some;
    if (!some) { pinned = -1; return; }
    const said = want.get("quadrant") ?? {}, own = said.class === c && said.cell >= 0;
    const cell = own ? Number(said.cell) : picture.cell !== undefined && picture.cell >= 0 ? picture.cell : 2;
    // Asked once for each class that is pinned: two pages that pinned different ones would else ask for ever.
    if (pinned !== c) {
      pinned = c;
      if (!own) want.set("quadrant", { class: c, cell });
    }
    say(title, picture.names[c]);
    const width = el.clientWidth || 640, beside = width >= BESIDE, right = beside ? Math.min(560, Math.round(0.46 * width)) : width - 4;
    body.toggleAttribute("data-beside", beside);
    body.style.gridTemplateColumns = beside ? `minmax(0, 1fr) ${right}px` : "minmax(0, 1fr)";
    samples.draw(picture, c, cell);
    charts.draw({ ...picture, facts: model.get("class_facts") }, c, right);
    rail.draw();
  }
  return { node, draw };
}

// What JupyterLab draws in an output of ours: the live view, or the picture that was kept beside it.

const VIEW = "application/vnd.jupyter.widget-view+json";
/** What our views say of themselves as text, and nobody else's: their name comes first. */
const OURS = /^(\w+): a live view, /;
const WAITS = "This is what was saved: the live view follows once its kernel answers.";
const SAVED = "This is what was saved: choose Run > Run All Cells to bring it to life.";

/** Let what draws widgets leave one alone that lives on while its output gets a newer picture, and show the picture, with a
 * sentence over it, until a kernel that knows the widget is there. @param {any} renderer any of its kind: all notebooks have that one */
export function keepAlive(renderer) {
  const kind = Object.getPrototypeOf(renderer), draw = kind.renderModel;
  kind.renderModel = /** @this {any} @param {any} output */ async function (output) {
    const id = output.data[VIEW]?.model_id;
    if (id && id === this.dlwidgets && this.node.querySelector(".dlw")) return;
    this.dlwidgets = id;
    const drawn = draw.call(this, output), still = pictureOf(output.data);
    // It has just written that it loads the widget, for as long as there is no kernel.
    if (still) this.node.replaceChildren(...still(WAITS));
    await drawn;
    // Unless its cell was run again meanwhile, or it is drawn now, or will be once the kernel has told of its widgets.
    if (still && !this.isDisposed && !this.widgets.length && this.hasClass("jupyter-widgets")) this.node.replaceChildren(...still(SAVED));
  };
}

/** What makes a sentence and the picture below it, of an output of ours that has one. @param {any} data of an output, by its type */
function pictureOf(data) {
  const name = OURS.exec(data["text/plain"])?.[1], picture = data["image/png"];
  if (!name || !picture) return null;
  return (/** @type {string} */ sentence) => {
    const said = Object.assign(document.createElement("p"), { textContent: sentence, className: "dlwidgets-saved" });
    said.style.cssText = "margin: 0 0 8px; padding: 6px 10px; border-left: 3px solid var(--jp-warn-color1); "
      + "background: var(--jp-layout-color2); color: var(--jp-ui-font-color1); font: 13px/1.4 var(--jp-ui-font-family)";
    const image = Object.assign(document.createElement("img"), { src: `data:image/png;base64,${picture}`, alt: `${name}, as it was last` });
    image.style.maxWidth = "100%";
    return [said, image];
  };
}

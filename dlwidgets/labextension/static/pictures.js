// What JupyterLab draws in an output of ours: the live view, or the picture that was kept beside it.

const VIEW = "application/vnd.jupyter.widget-view+json";

/** Let what draws widgets leave one alone that lives on while its output gets a newer picture, and show the picture where no
 * kernel knows the widget. @param {any} renderer any of its kind */
export function keepAlive(renderer) {
  const kind = Object.getPrototypeOf(renderer), draw = kind.renderModel;
  kind.renderModel = /** @this {any} @param {any} output */ async function (output) {
    const id = output.data[VIEW]?.model_id, picture = output.data["image/png"];
    if (id && id === this.dlwidgets && this.node.querySelector(".dlw")) return;
    this.dlwidgets = id;
    await draw.call(this, output);
    if (this.isDisposed) return; // its cell was run again meanwhile
    if (!picture || this.widgets.length || !this.hasClass("jupyter-widgets") || !/: a live view, /.test(output.data["text/plain"])) return;
    const said = Object.assign(document.createElement("p"), { textContent: "This is what was saved: choose Run > Run All Cells to bring it to life." });
    said.style.cssText = "margin: 0 0 8px; padding: 6px 10px; border-left: 3px solid #a85507; background: #fdf4e6; color: #1f2328";
    const image = Object.assign(document.createElement("img"), { src: `data:image/png;base64,${picture}`, alt: "What was shown last" });
    this.node.replaceChildren(said, image);
  };
}

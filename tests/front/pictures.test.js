// What JupyterLab draws in an output of ours: the live view, or its picture with a sentence over it.
import assert from "node:assert/strict";
import test from "node:test";
import { keepAlive } from "../../dlwidgets/labextension/static/pictures.js";

const VIEW = "application/vnd.jupyter.widget-view+json";

/** What draws widgets in JupyterLab 4.6: it says that it loads, and once a kernel is there that it found none, or shows it. */
function renderers() {
  const drawn = /** @type {string[]} */ ([]);
  class Renderer {
    /** @param {() => Promise<any>} find */
    constructor(find) {
      this.find = find;
      this.widgets = /** @type {any[]} */ ([]);
      this.classes = new Set();
      this.node = {
        children: /** @type {any[]} */ ([]), textContent: "",
        replaceChildren(/** @type {any[]} */ ...nodes) { this.children = nodes; this.textContent = nodes.map((node) => node.textContent ?? "").join(""); },
        querySelector: () => this.widgets[0] ?? null,
      };
    }
    /** @param {string} name */
    hasClass(name) { return this.classes.has(name); }
    /** @param {any} output */
    async renderModel(output) {
      drawn.push(output.data[VIEW].model_id);
      this.node.replaceChildren({ textContent: "Loading widget..." });
      try { await this.find(); } catch {
        this.classes.add("jupyter-widgets");
        this.node.replaceChildren({ textContent: "Error displaying widget: model not found" });
        return;
      }
      this.node.replaceChildren();
      this.widgets.push({});
    }
  }
  globalThis.document = /** @type {any} */ ({ createElement: (/** @type {string} */ tag) => ({ tag, style: {} }) });
  keepAlive(new Renderer(async () => {}));
  return { Renderer, drawn };
}

/** @param {string} [text] @param {string} [picture] */
const output = (text = "Dashboard: a live view, which a notebook shows.", picture = "abcd") => ({ data: { [VIEW]: { model_id: "1" }, "text/plain": text, "image/png": picture } });

test("the picture is there from the first moment on, and says what to do once no kernel knows the view", async () => {
  const { Renderer } = renderers();
  const one = new Renderer(() => Promise.reject(new Error("widget model not found"))), done = one.renderModel(output());
  assert.match(one.node.textContent, /the live view follows once its kernel answers\.$/);
  await done;
  assert.match(one.node.textContent, /choose Run > Run All Cells to bring it to life\.$/);
  const [, image] = one.node.children;
  assert.deepEqual([image.src, image.alt], ["data:image/png;base64,abcd", "Dashboard, as it was last"]);
});

test("of a view that comes nothing else is left, and a newer picture does not draw it anew", async () => {
  const { Renderer, drawn } = renderers();
  const one = new Renderer(async () => {});
  await one.renderModel(output());
  await one.renderModel(output(undefined, "efgh"));
  assert.deepEqual([one.node.children, one.widgets.length, drawn], [[], 1, ["1"]]);
});

test("widgets of others, and a view without a picture, are as without us", async () => {
  for (const other of [output("IntSlider(value=7)"), output("Curves (no static picture: none)", undefined), output(undefined, "")]) {
    const { Renderer } = renderers();
    const one = new Renderer(() => Promise.reject(new Error("widget model not found"))), done = one.renderModel(other);
    assert.equal(one.node.textContent, "Loading widget...");
    await done;
    assert.equal(one.node.textContent, "Error displaying widget: model not found");
  }
});

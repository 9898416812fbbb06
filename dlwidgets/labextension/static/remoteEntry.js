// dlwidgets in JupyterLab: what a widget cannot do from inside its cell. Written by hand: JupyterLab reads this file as it is.
// It offers `window.dlwidgets.beside`; where it is missing or disabled, views show no button for it.

(() => {
  const VIEW = "application/vnd.jupyter.widget-view+json";
  /** The modules that the host shares: name -> version -> module. @type {any} */
  let scope = {};

  /** A module of the host; where it has several versions, the one that it uses. @param {string} name */
  async function shared(name) {
    const versions = /** @type {any[]} */ (Object.values(scope[name] ?? {}));
    const found = versions.find((one) => one.loaded) ?? versions[versions.length - 1];
    return found ? (await found.get())() : {};
  }

  /** The tab beside a notebook, if there is one. @param {any} app @param {any} notebook */
  const tabOf = (app, notebook) => [...app.shell.widgets("main")].find((one) => one.id === `dlwidgets-beside-${notebook.id}`);

  /** Where an element lies: its notebook, and the id of its cell. @param {any} tracker of notebooks @param {Element} el */
  function placeOf(tracker, el) {
    const notebook = tracker.find((/** @type {any} */ one) => one.node.contains(el));
    return { notebook, cell: notebook?.content.widgets.find((/** @type {any} */ one) => one.node.contains(el))?.model.id };
  }

  /** Show a widget in a tab; the notebook's own renderer shows the model that the cell shows too, and the kernel is not asked.
   * @param {any} tab @param {any} notebook @param {string} model_id */
  async function fill(tab, notebook, model_id) {
    for (const before of [...tab.content.widgets]) before.dispose();
    const renderer = notebook.content.rendermime.createRenderer(VIEW);
    tab.content.addWidget(renderer);
    tab.dlwidgets.shown = model_id;
    await renderer.renderModel({ data: { [VIEW]: { model_id, version_major: 2, version_minor: 0 } }, metadata: {}, trusted: true, setData() {} });
  }

  /** Show a live widget in a tab of its own, at the right of its notebook; one there is for each notebook.
   * @param {any} host app, tracker of notebooks, MainAreaWidget, Panel @param {Element} el what lies in the notebook @param {string} model_id of the widget */
  async function openBeside({ app, tracker, MainAreaWidget, Panel }, el, model_id) {
    const { notebook = tracker.currentWidget, cell } = placeOf(tracker, el);
    if (!notebook) return;
    let tab = tabOf(app, notebook);
    if (!tab) {
      tab = new MainAreaWidget({ content: new Panel() });
      Object.assign(tab, { id: `dlwidgets-beside-${notebook.id}` });
      Object.assign(tab.title, { label: "dlwidgets", caption: `dlwidgets: ${notebook.context.path}`, closable: true });
      tab.content.addClass("dlw-beside");
      tab.content.node.style.cssText = "overflow: auto; padding: 8px 12px; background: var(--jp-layout-color0)";
      app.shell.add(tab, "main", { ref: notebook.id, mode: "split-right" });
      notebook.disposed.connect(() => tab.dispose());
    }
    Object.assign(tab, { dlwidgets: { cell, shown: "" } });
    app.shell.activateById(tab.id);
    await fill(tab, notebook, model_id);
  }

  /** Have the tab show what the cell that it was opened from shows now, as after a restart. @param {any} host @param {Element} el @param {string} model_id */
  function follow({ app, tracker }, el, model_id) {
    const { notebook, cell } = placeOf(tracker, el), tab = notebook && tabOf(app, notebook);
    if (tab && tab.dlwidgets.cell === cell && tab.dlwidgets.shown !== model_id) void fill(tab, notebook, model_id);
  }

  /** Let what draws widgets leave one alone that lives on while its output gets a newer picture, and show the picture where no
   * kernel knows the widget. @param {any} renderer any of its kind */
  function keepAlive(renderer) {
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

  async function plugins() {
    const names = ["@jupyterlab/application", "@jupyterlab/notebook", "@jupyterlab/apputils", "@lumino/widgets", "@jupyterlab/rendermime", "@jupyter-widgets/base"];
    const [{ ILabShell }, { INotebookTracker }, { MainAreaWidget }, { Panel }, { IRenderMimeRegistry }, { IJupyterWidgetRegistry }] = await Promise.all(names.map(shared));
    const plugin = {
      // After what draws widgets is there.
      id: "dlwidgets:beside", autoStart: true, requires: [INotebookTracker, IRenderMimeRegistry, IJupyterWidgetRegistry], optional: [ILabShell],
      /** @param {any} app @param {any} tracker @param {any} rendermime @param {any} _widgets @param {any} shell none in Notebook 7, which shows one document */
      activate(app, tracker, rendermime, _widgets, shell) {
        keepAlive(rendermime.createRenderer(VIEW));
        const host = { app, tracker, MainAreaWidget, Panel };
        const beside = {
          beside: (/** @type {Element} */ el, /** @type {string} */ id) => openBeside(host, el, id),
          follow: (/** @type {Element} */ el, /** @type {string} */ id) => follow(host, el, id),
        };
        Object.assign(window, { dlwidgets: { keeps: true, ...(shell ? beside : {}) } });
      },
    };
    // Without this mark JupyterLab stays blank.
    return { __esModule: true, default: [plugin] };
  }

  const found = /** @type {any} */ (window);
  found._JUPYTERLAB ??= {};
  found._JUPYTERLAB.dlwidgets = {
    init: (/** @type {any} */ given) => { scope = given; },
    get: async () => { const module = await plugins(); return () => module; },
  };
})();

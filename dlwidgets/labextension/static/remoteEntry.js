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

  /** Show a live widget in a tab of its own, at the right of its notebook; one there is for each notebook.
   * @param {any} host app, tracker of notebooks, MainAreaWidget, Panel @param {Element} el what lies in the notebook @param {string} model_id of the widget */
  async function openBeside({ app, tracker, MainAreaWidget, Panel }, el, model_id) {
    const notebook = tracker.find((/** @type {any} */ one) => one.node.contains(el)) ?? tracker.currentWidget;
    if (!notebook) return;
    const id = `dlwidgets-beside-${notebook.id}`;
    let tab = [...app.shell.widgets("main")].find((one) => one.id === id);
    if (!tab) {
      tab = new MainAreaWidget({ content: new Panel() });
      Object.assign(tab, { id });
      Object.assign(tab.title, { label: "dlwidgets", caption: `dlwidgets: ${notebook.context.path}`, closable: true });
      tab.content.addClass("dlw-beside");
      tab.content.node.style.cssText = "overflow: auto; padding: 8px 12px; background: var(--jp-layout-color0)";
      app.shell.add(tab, "main", { ref: notebook.id, mode: "split-right" });
      notebook.disposed.connect(() => tab.dispose());
    }
    for (const before of [...tab.content.widgets]) before.dispose();
    // The notebook's own renderer shows the model that the cell shows too; the kernel is not asked.
    const renderer = notebook.content.rendermime.createRenderer(VIEW);
    tab.content.addWidget(renderer);
    app.shell.activateById(id);
    await renderer.renderModel({ data: { [VIEW]: { model_id, version_major: 2, version_minor: 0 } }, metadata: {}, trusted: true, setData() {} });
  }

  async function plugins() {
    const names = ["@jupyterlab/application", "@jupyterlab/notebook", "@jupyterlab/apputils", "@lumino/widgets"];
    const [{ ILabShell }, { INotebookTracker }, { MainAreaWidget }, { Panel }] = await Promise.all(names.map(shared));
    const plugin = {
      id: "dlwidgets:beside", autoStart: true, requires: [INotebookTracker], optional: [ILabShell],
      /** @param {any} app @param {any} tracker @param {any} shell none in Notebook 7, which shows one document */
      activate(app, tracker, shell) {
        if (!shell) return;
        const host = { app, tracker, MainAreaWidget, Panel };
        Object.assign(window, { dlwidgets: { beside: (/** @type {Element} */ el, /** @type {string} */ id) => openBeside(host, el, id) } });
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

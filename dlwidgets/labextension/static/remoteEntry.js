// dlwidgets in JupyterLab: what a widget cannot do from inside its cell. Written by hand: JupyterLab reads this file as it is.
// It only loads: each idea is a module beside it, which imports nothing and is handed what it needs. What it offers to views is
// `window.dlwidgets`; where it is missing or disabled, views show no button for it.

(() => {
  // The server tells a browser to keep these files for a year: a new version is asked for under its own address.
  const version = new URL(/** @type {HTMLScriptElement} */ (document.currentScript).src).search;
  /** @param {string} name */
  const part = (name) => import(`./${name}.js${version}`);
  /** The modules that the host shares: name -> version -> module. @type {any} */
  let scope = {};

  /** A module of the host; where it has several versions, the one that it uses. @param {string} name */
  async function shared(name) {
    const versions = /** @type {any[]} */ (Object.values(scope[name] ?? {}));
    const found = versions.find((one) => one.loaded) ?? versions[versions.length - 1];
    return found ? (await found.get())() : {};
  }

  async function plugins() {
    const names = [
      "@jupyterlab/application", "@jupyterlab/notebook", "@jupyterlab/apputils", "@lumino/widgets", "@jupyterlab/rendermime", "@jupyter-widgets/base",
      "@jupyterlab/statusbar", "@jupyterlab/console",
    ];
    const [
      { ILabShell, ILayoutRestorer }, { INotebookTracker }, { ICommandPalette, Notification, WidgetTracker }, { Panel, Widget, Menu }, { IRenderMimeRegistry },
      { IJupyterWidgetRegistry }, { IStatusBar }, { IConsoleTracker },
    ] = await Promise.all(names.map(shared));
    const [{ standBeside }, { keepAlive }, { watchKernels }, { addStatus }, { addCommands }] =
      await Promise.all(["beside", "pictures", "kernels", "status", "commands"].map(part));
    /** What all plugins know of the kernels. @type {any} */
    let kernels;
    const kernelsOf = (/** @type {any} */ tracker) => (kernels ??= watchKernels(tracker));
    const status = {
      // What shortcuts people can change is in the schema of this name.
      id: "dlwidgets:plugin", autoStart: true, requires: [], optional: [INotebookTracker, IStatusBar, ICommandPalette, IConsoleTracker],
      /** @param {any} app @param {any} tracker @param {any} statusBar none in Notebook 7 @param {any} palette @param {any} consoles */
      activate(app, tracker, statusBar, palette, consoles) {
        if (!tracker) return;
        const say = (/** @type {string} */ sentence, /** @type {string} */ severity) => Notification.emit(sentence, severity, { autoClose: 6000 });
        const host = { app, tracker, kernels: kernelsOf(tracker), statusBar, palette, Widget, Menu, say };
        if (consoles) host.kernels.join(consoles);
        host.kernels.hear(say);
        addCommands(host);
        addStatus(host);
      },
    };
    const plugin = {
      // After what draws widgets is there. Voila loads extensions too, and has no notebooks.
      id: "dlwidgets:beside", autoStart: true, requires: [],
      optional: [INotebookTracker, IRenderMimeRegistry, IJupyterWidgetRegistry, ILabShell, ILayoutRestorer, ICommandPalette],
      /** @param {any} app @param {any} tracker @param {any} rendermime @param {any} _widgets @param {any} shell none in Notebook 7, which shows one document
       * @param {any} restorer @param {any} palette */
      activate(app, tracker, rendermime, _widgets, shell, restorer, palette) {
        if (!tracker) return;
        keepAlive(rendermime.createRenderer("application/vnd.jupyter.widget-view+json"));
        standBeside({ app, tracker, shell, restorer, palette, kernels: kernelsOf(tracker), rendermime, Panel, Widget, WidgetTracker });
        Object.assign(window, { dlwidgets: { keeps: true } });
      },
    };
    // Without this mark JupyterLab stays blank.
    return { __esModule: true, default: [status, plugin] };
  }

  const found = /** @type {any} */ (window);
  found._JUPYTERLAB ??= {};
  found._JUPYTERLAB.dlwidgets = {
    init: (/** @type {any} */ given) => { scope = given; },
    get: async () => { const module = await plugins(); return () => module; },
  };
})();

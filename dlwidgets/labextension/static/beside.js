// A live view beside its notebook, in a tab of its own.

const VIEW = "application/vnd.jupyter.widget-view+json";

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
export async function openBeside({ app, tracker, MainAreaWidget, Panel }, el, model_id) {
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
export function follow({ app, tracker }, el, model_id) {
  const { notebook, cell } = placeOf(tracker, el), tab = notebook && tabOf(app, notebook);
  if (tab && tab.dlwidgets.cell === cell && tab.dlwidgets.shown !== model_id) void fill(tab, notebook, model_id);
}

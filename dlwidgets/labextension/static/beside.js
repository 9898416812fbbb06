// The panel that holds a view of ours beside its notebook, and what opens it: a button at each output of ours, the palette, a key.

/** What a panel keeps when the page is loaded again: its notebook; the cell, and the place in it, of the view that it was opened from ("" where
 * it follows the notebook's session); the widget that it shows. @typedef {{path: string, cell: string, place: string, shown: string}} Kept */
/** A drawn output of ours. @typedef {{renderer: any, child: HTMLElement, model_id: string, place: string}} Output */

const VIEW = "application/vnd.jupyter.widget-view+json";
/** The views that stand for their session, first what shows most. */
const KINDS = ["Dashboard", "Experiment", "TrainingPanel"];
/** Where Notebook 7, which restores no side panel, finds what one kept. */
const KEPT = "dlwidgets-beside";
const STYLE = `
.dlwidgets-beside { display: flex; flex-direction: column; background: var(--jp-layout-color0); color: var(--jp-ui-font-color1); font: 13px/1.4 var(--jp-ui-font-family); outline: none; }
.dlwidgets-beside-head { display: flex; flex: none; align-items: center; gap: 14px; margin: 0 16px; padding: 5px 0; border-bottom: 1px solid var(--jp-border-color2); white-space: nowrap; }
.dlwidgets-beside-head > span { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis; color: var(--jp-ui-font-color2); }
.dlwidgets-beside-head > div { display: flex; gap: 2px; }
.dlwidgets-beside-body { flex: 1; min-height: 0; overflow: auto; padding: 0 16px 16px; }
.dlwidgets-beside-body > p { max-width: 60ch; margin: 16px 0; color: var(--jp-ui-font-color2); }
.dlwidgets-beside .dlw-bar { position: sticky; top: 0; z-index: 5; padding-top: 6px; background: var(--jp-layout-color0); }
.dlwidgets-beside-head button, .dlwidgets-open, .dlwidgets-elsewhere button { border: 1px solid transparent; border-radius: 4px; background: none; color: inherit; font: inherit; cursor: pointer; }
.dlwidgets-beside-head button { width: 26px; height: 24px; padding: 0; line-height: 1; }
:is(.dlwidgets-beside-head button, .dlwidgets-open, .dlwidgets-elsewhere button):hover { background: var(--jp-layout-color2); }
:is(.dlwidgets-beside-head button, .dlwidgets-open, .dlwidgets-elsewhere button):focus-visible { outline: 2px solid var(--jp-brand-color1); outline-offset: -1px; }
.dlwidgets-output > .jp-OutputPrompt { position: relative; z-index: 1; opacity: 1; pointer-events: none; }
.dlwidgets-open { pointer-events: auto; padding: 4px; line-height: 0; color: var(--jp-ui-font-color2); opacity: 0.7; }
.dlwidgets-open::before { content: ""; display: inline-block; box-sizing: border-box; width: 16px; height: 13px; border: 1.5px solid; border-radius: 2px; background: linear-gradient(90deg, transparent 50%, currentColor 50%); }
.jp-Cell:hover .dlwidgets-open, .dlwidgets-open:focus-visible { opacity: 1; }
.dlwidgets-elsewhere { display: none; padding: 4px 0; color: var(--jp-ui-font-color2); font: 13px/1.4 var(--jp-ui-font-family); }
.dlwidgets-elsewhere button { border-color: var(--jp-border-color1); padding: 2px 8px; margin-left: 8px; }
.dlwidgets-output[data-beside] > .jp-OutputArea-output, .dlwidgets-output[data-beside] .dlwidgets-open { display: none; }
.dlwidgets-output[data-beside] > .dlwidgets-elsewhere { display: block; }
`;

/** The widget that stands for a session: that which is shown already, where it does. @param {{model_id: string, kind: string, session: number | null}[]} views
 * @param {number} session @param {string} shown */
export function viewOf(views, session, shown) {
  const found = KINDS.flatMap((kind) => views.filter((one) => one.kind === kind && one.session === session).reverse());
  return (found.find((one) => one.model_id === shown) ?? found[0])?.model_id ?? "";
}

/** What view of ours an output shows, by the words that stand for it where no view can; "" for another's. @param {any} data of the output, by MIME type */
export function kindOf(data) {
  return data[VIEW] ? /^(\w+)(?=: a live view, | \(no static picture: )/.exec(String(data["text/plain"]))?.[1] ?? "" : "";
}

/** @param {string} tag @param {string} text @param {Record<string, string>} [attributes] @param {() => void} [press] */
function element(tag, text, attributes = {}, press) {
  const node = document.createElement(tag);
  node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.onclick = press ?? null;
  return node;
}

/** Have views of ours open beside their notebooks.
 * @param {any} host app, tracker of notebooks, shell of JupyterLab (none in Notebook 7, which shows one document), restorer, palette, kernels, the page's
 * rendermime, and the classes Panel, Widget, WidgetTracker */
export function standBeside({ app, tracker, shell, restorer, palette, kernels, rendermime, Panel, Widget, WidgetTracker }) {
  document.head.append(element("style", STYLE));
  const sides = new WidgetTracker({ namespace: "dlwidgets-beside" }), outputs = /** @type {Set<Output>} */ (new Set());
  let made = 0;

  const notebookAt = (/** @type {string} */ path) => tracker.find((/** @type {any} */ one) => one.context.path === path);
  const sideAt = (/** @type {string} */ path) => sides.find((/** @type {any} */ one) => one.kept.path === path);
  const keep = (/** @type {any} */ side) => {
    if (shell) void sides.save(side); else sessionStorage.setItem(KEPT, JSON.stringify(side.kept));
  };
  /** Show in the cells what is beside: it stands in one place. */
  const showPlaces = () => {
    for (const one of outputs) {
      if (one.renderer.isDisposed) outputs.delete(one);
      else one.child.toggleAttribute("data-beside", Boolean(sides.find((/** @type {any} */ side) => !side.isDisposed && side.kept.shown === one.model_id)));
    }
  };

  // -- a panel

  /** @param {any} side */
  function nameIt(side) {
    const { path, shown } = side.kept, file = path.split("/").pop(), notebook = notebookAt(path);
    const { picture } = notebook ? kernels.of(notebook) : { picture: null };
    const number = picture?.views.find((/** @type {any} */ one) => one.model_id === shown)?.session;
    const name = picture?.sessions.find((/** @type {any} */ one) => one.number === number)?.name;
    side.words.textContent = [name, file].filter(Boolean).join(" · ");
    side.words.title = path;
    Object.assign(side.title, { label: "dlwidgets", caption: `dlwidgets: ${path}`, closable: true });
  }

  /** @param {any} side @param {string} words */
  function say(side, words) {
    if (side.body.node.textContent === words) return;
    for (const before of [...side.body.widgets]) before.dispose();
    side.body.addWidget(new Widget({ node: element("p", words) }));
  }

  /** Show a widget; the notebook's own renderer shows the model that the cell shows too, and the kernel is not asked. @param {any} side @param {string} model_id */
  async function fill(side, model_id) {
    const { kept } = side, notebook = notebookAt(kept.path);
    kept.shown = model_id;
    if (!notebook || side.filled === model_id) return;
    side.filled = model_id;
    keep(side);
    nameIt(side);
    showPlaces();
    // Before the notebook's kernel is there, a renderer waits for good.
    while (!side.isDisposed && notebook.content.rendermime?.getFactory(VIEW) === rendermime.getFactory(VIEW)) await new Promise((resolve) => window.setTimeout(resolve, 50));
    if (side.isDisposed || notebook.isDisposed || side.filled !== model_id) return;
    for (const before of [...side.body.widgets]) before.dispose();
    const renderer = notebook.content.rendermime.createRenderer(VIEW);
    side.body.addWidget(renderer);
    await renderer.renderModel({ data: { [VIEW]: { model_id, version_major: 2, version_minor: 0 } }, metadata: {}, trusted: true, setData() {} });
  }

  /** Have a panel show its notebook's session, where it was not opened from one view; the kernel makes a dashboard where none is shown. @param {any} side */
  function follow(side) {
    const { kept } = side, notebook = notebookAt(kept.path);
    nameIt(side);
    if (!notebook) return;
    const { picture, session } = kernels.of(notebook), there = picture?.views.some((/** @type {any} */ one) => one.model_id === side.filled);
    if (there) side.met = side.filled;
    // Not what the kernel has not told of yet.
    else if (picture && side.filled && side.met === side.filled) {
      side.filled = "";
      if (kept.cell) say(side, "What was shown here was closed. Run its cell again, and it comes back.");
    }
    if (kept.cell) return;
    const id = session ? viewOf(picture.views, session.number, kept.shown) : "";
    if (id) { void fill(side, id); return; }
    if (!session && !side.filled) say(side, "No session is there. Run the cell that makes one, and its dashboard appears here.");
    const wished = session && `${picture.wishes} ${session.number}`;
    if (session && side.wished !== wished && !kernels.wish("beside", session.number, notebook)) side.wished = wished;
  }

  /** Go with a notebook that is open: with its name, and its end. @param {any} side @param {any} notebook */
  function join(side, notebook) {
    const renamed = (/** @type {any} */ _, /** @type {string} */ path) => { side.kept.path = path; keep(side); nameIt(side); };
    notebook.context.pathChanged.connect(renamed);
    notebook.disposed.connect(() => side.dispose());
    side.disposed.connect(() => notebook.context?.pathChanged.disconnect(renamed));
    if (side.kept.cell) void fill(side, side.kept.shown); else follow(side);
  }

  /** All the width, or half of it again. @param {any} side */
  function widen(side) {
    const notebook = notebookAt(side.kept.path);
    if (!shell) shareWidth(side, side.node.clientWidth < 0.8 * window.innerWidth ? 0.05 : 1);
    else if (notebook) app.shell.add(side, "main", { ref: notebook.id, mode: notebook.isVisible ? "tab-after" : "split-right" });
  }

  /** In Notebook 7 a side panel opens narrow. @param {any} side @param {number} rest of the width, as a share of the panel's */
  function shareWidth(side, rest) {
    let split = side.parent;
    while (split && !split.setRelativeSizes) split = split.parent;
    split?.setRelativeSizes(split.widgets.map((/** @type {any} */ one) => (one.isHidden ? 0 : one.node.contains(side.node) ? 1 : rest)));
  }

  /** Show it at the right of Notebook 7, which else folds that away with whatever else is added there; folded away by a person it is closed.
   * @param {any} side */
  function unfold(side) {
    app.shell.rightHandler?.show();
    app.shell.expandRight(side.id);
    shareWidth(side, 1);
    side.onAfterHide = () => requestAnimationFrame(() => { if (!side.isVisible) side.dispose(); });
  }

  /** @param {Kept} kept */
  function makeSide(kept) {
    const side = new Panel(), body = new Panel(), words = element("span", "");
    const head = element("div", "", { class: "dlwidgets-beside-head" }), tools = element("div", "");
    tools.append(
      element("button", "⤢", { type: "button", title: "Full width, and back", "aria-label": "Full width, and back" }, () => widen(side)),
      element("button", "✕", { type: "button", title: "Close; the view goes back to its cell", "aria-label": "Close" }, () => close(side)),
    );
    head.append(element("b", "dlwidgets"), words, tools);
    Object.assign(side, { id: `dlwidgets-beside-${++made}`, kept: { ...kept }, body, words });
    side.addClass("dlwidgets-beside");
    body.addClass("dlwidgets-beside-body");
    side.node.tabIndex = -1;
    side.addWidget(new Widget({ node: head }));
    side.addWidget(body);
    side.disposed.connect(() => {
      if (!shell) { sessionStorage.removeItem(KEPT); app.shell.collapseRight(); }
      showPlaces();
    });
    nameIt(side);
    return side;
  }

  /** @param {any} side */
  function close(side) {
    const notebook = notebookAt(side.kept.path);
    side.dispose();
    if (notebook) app.shell.activateById(notebook.id);
  }

  /** A notebook's panel, made where there is none. @param {Kept} kept */
  function open(kept) {
    const notebook = notebookAt(kept.path), there = sideAt(kept.path), side = there ?? makeSide(kept);
    if (there) Object.assign(side.kept, kept, { shown: kept.shown || side.kept.shown });
    else {
      app.shell.add(side, shell ? "main" : "right", shell && notebook ? { ref: notebook.id, mode: "split-right" } : {});
      void sides.add(side);
      if (notebook) join(side, notebook);
    }
    if (there && kept.cell) void fill(side, kept.shown); else if (there) follow(side);
    if (!shell) unfold(side);
    return side;
  }

  /** Open it for a person. @param {Kept} kept */
  function show(kept) {
    const side = open(kept);
    app.shell.activateById(side.id);
    side.node.focus({ preventScroll: true });
  }

  // -- the outputs

  /** Where an output lies: its notebook and its cell, if it does. @param {Element} node */
  function placeOf(node) {
    let cell = /** @type {any} */ (null);
    const notebook = tracker.find((/** @type {any} */ one) => (cell = one.content.widgets.find((/** @type {any} */ each) => each.node.contains(node))));
    return { notebook, cell };
  }

  /** @param {Output} output */
  function openOutput({ child, model_id, place }) {
    const { notebook, cell } = placeOf(child);
    if (notebook) show({ path: notebook.context.path, cell: cell.model.id, place, shown: model_id });
  }

  /** @param {HTMLElement} child @param {string} kind */
  function addButtons(child, kind) {
    const mine = () => [...outputs].find((one) => one.child === child);
    const label = `Open this ${kind} beside the notebook`;
    const button = element("button", "", { type: "button", class: "dlwidgets-open", title: label, "aria-label": label }, () => { const one = mine(); if (one) openOutput(one); });
    const here = element("button", "Show here", { type: "button" }, () => {
      sides.find((/** @type {any} */ side) => side.kept.shown === mine()?.model_id)?.dispose();
      button.focus({ preventScroll: true });
    });
    const elsewhere = element("div", `This ${kind} is shown beside the notebook.`, { class: "dlwidgets-elsewhere" });
    elsewhere.append(here);
    (child.querySelector(".jp-OutputPrompt") ?? child).append(button);
    child.append(elsewhere);
    child.classList.add("dlwidgets-output");
    child.dataset.kind = kind;
  }

  /** What was drawn: an output of ours, which gets its button and is shown beside if its cell was; or what stands beside. @param {any} renderer @param {any} data */
  function drawn(renderer, data) {
    const child = renderer.node.closest(".jp-OutputArea-child"), kind = kindOf(data), { model_id } = data[VIEW] ?? {};
    const side = sides.find((/** @type {any} */ one) => one.body.contains(renderer));
    if (side && /^Error/.test(renderer.node.textContent)) {
      say(side, side.kept.cell ? "What was shown here has gone with its kernel. Run its cell again, and it comes back." : "The session has gone with its kernel. Run the cell that makes one, and its dashboard appears here.");
    }
    if (!child || !kind) return;
    if (!child.classList.contains("dlwidgets-output")) addButtons(child, kind);
    for (const one of outputs) if (one.renderer === renderer) outputs.delete(one);
    // Which of its kind it is in its cell.
    const place = `${kind} ${[...child.parentElement.querySelectorAll(`[data-kind="${kind}"]`)].indexOf(child)}`;
    outputs.add({ renderer, child, model_id, place });
    const { notebook, cell } = placeOf(child), beside = notebook && sideAt(notebook.context.path);
    if (beside && beside.kept.cell === cell.model.id && beside.kept.place === place) void fill(beside, model_id);
    showPlaces();
  }

  const drawing = Object.getPrototypeOf(rendermime.createRenderer(VIEW)), draw = drawing.renderModel;
  drawing.renderModel = /** @this {any} @param {any} output */ async function (output) {
    await draw.call(this, output);
    if (!this.isDisposed) drawn(this, output.data);
  };

  // -- what a person asks, and what is restored

  /** The output that a person means: of the cell that is active, else the last. @param {any} notebook */
  const meant = (notebook) => {
    const there = [...outputs].filter((one) => !one.renderer.isDisposed && notebook.node.contains(one.child));
    return there.find((one) => notebook.content.activeCell?.node.contains(one.child)) ?? there.at(-1);
  };
  app.commands.addCommand("dlwidgets:beside", {
    label: "Open Beside the Notebook", caption: "Show the session's dashboard beside the notebook", isEnabled: () => Boolean(tracker.currentWidget),
    execute: () => {
      const notebook = tracker.currentWidget, output = kernels.of(notebook).session ? null : meant(notebook);
      if (output) openOutput(output); else show({ path: notebook.context.path, cell: "", place: "", shown: "" });
    },
  });
  app.commands.addCommand("dlwidgets:beside-output", {
    label: "Open Beside the Notebook", execute: () => {
      const child = app.contextMenuHitTest((/** @type {Element} */ node) => node.classList.contains("dlwidgets-output"));
      const output = [...outputs].find((one) => one.child === child);
      if (output) openOutput(output);
    },
  });
  app.commands.addCommand("dlwidgets:beside-restored", { execute: (/** @type {any} */ kept) => open(kept) });
  app.contextMenu.addItem({ command: "dlwidgets:beside-output", selector: ".dlwidgets-output", rank: 0 });
  palette?.addItem({ command: "dlwidgets:beside", category: "dlwidgets" });
  if (shell && restorer) {
    void restorer.restore(sides, { command: "dlwidgets:beside-restored", args: (/** @type {any} */ side) => side.kept, name: (/** @type {any} */ side) => side.kept.path });
  }
  tracker.widgetAdded.connect((/** @type {any} */ _, /** @type {any} */ notebook) => {
    const { path } = notebook.context, side = sideAt(path), kept = shell ? null : JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
    // While it starts, Notebook 7 folds its sides away.
    if (side) join(side, notebook); else if (kept?.path === path) void Promise.all([app.restored, notebook.sessionContext.ready]).then(() => open(kept));
  });
  kernels.listen(() => sides.forEach(follow));
}

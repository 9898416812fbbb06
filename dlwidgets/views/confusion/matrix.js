// The C x C matrix of a task with one class a sample: what it is in the rows, what was said in the columns.
import { listen, make, say, surface, color, isDark, whole } from "../front.js";
import { nameCutter } from "./names.js";
import { inks, keep, write } from "./plot.js";
import { strength } from "./tiles.js";
import { confused, fitCount, percent } from "./words.js";

/** Cells in pixels: least, most, from which on they hold a number; the room of the names; the height of all cells. */
const MATRIX = { least: 3, most: 40, numbers: 25, rows: 120, heads: 72, gap: 1, tall: 640 };

/** How large the cells are in so much width. @param {number} width @param {number} classes */
export function matrixLayout(width, classes) {
  const named = classes <= 60, left = named ? Math.min(MATRIX.rows, Math.round(width / 4)) : 0, top = named ? MATRIX.heads : 0;
  const cell = Math.max(MATRIX.least, Math.min(MATRIX.most, Math.floor((width - left - 2) / classes), Math.floor(MATRIX.tall / classes)));
  return { left, top, cell, width: left + cell * classes + 1, height: top + cell * classes + 1, named: named && cell >= 9 };
}

/** What a cell is a share of. @param {ArrayLike<number>} rows sums @param {ArrayLike<number>} columns sums @param {number} all @param {number} largest @param {string} normalise @param {number} i @param {number} j */
export function wholeOf(rows, columns, all, largest, normalise, i, j) {
  return { true: rows[i], predicted: columns[j], all }[normalise] ?? largest;
}

/** Sums of the rows and the columns, and the largest count. @param {ArrayLike<number>} matrix @param {number} classes */
export function sumsOf(matrix, classes) {
  const rows = new Float64Array(classes), columns = new Float64Array(classes);
  let all = 0, largest = 0;
  for (let i = 0; i < classes; i++) {
    for (let j = 0; j < classes; j++) {
      const n = matrix[i * classes + j];
      rows[i] += n; columns[j] += n; all += n; largest = Math.max(largest, n);
    }
  }
  return { rows, columns, all, largest };
}

/** Each class against the rest, [tn, fp, fn, tp], when each sample is said to be of its likeliest class. @param {ArrayLike<number>} matrix @param {number} classes */
export function cellsOfMatrix(matrix, classes) {
  const { rows, columns, all } = sumsOf(matrix, classes), cells = new Float64Array(4 * classes);
  for (let c = 0; c < classes; c++) {
    const tp = matrix[c * classes + c], fn = rows[c] - tp, fp = columns[c] - tp;
    cells.set([all - tp - fn - fp, fp, fn, tp], 4 * c);
  }
  return cells;
}

/** The matrix as a picture that is read with the pointer or the arrow keys. @param {{signal: AbortSignal}} hands */
export function classMatrix({ signal }) {
  const canvas = make("canvas", { "aria-hidden": "true" }), over = make("canvas", { "aria-hidden": "true" });
  const sheet = make("div", { class: "dlw-conf-sheet", tabindex: 0, role: "group", "aria-label": "Confusion matrix: rows are what it is, columns what was said; the arrow keys walk it" }, canvas, over);
  const words = make("div", { class: "dlw-conf-said", role: "status" });
  const node = make("div", { class: "dlw-conf-matrix" }, sheet, words);
  let drawn = /** @type {{matrix: ArrayLike<number>, names: string[], order: number[], sums: ReturnType<typeof sumsOf>, layout: ReturnType<typeof matrixLayout>} | null} */ (null);
  const cut = nameCutter();
  let pointed = /** @type {[number, number] | null} */ (null), kept = /** @type {[number, number] | null} */ (null), painted = "";

  /** @param {PointerEvent} event @returns {[number, number] | null} */
  function under(event) {
    if (!drawn) return null;
    const box = canvas.getBoundingClientRect(), { left, top, cell } = drawn.layout, n = drawn.order.length;
    const j = Math.floor((event.clientX - box.left - left) / cell), i = Math.floor((event.clientY - box.top - top) / cell);
    return i >= 0 && j >= 0 && i < n && j < n ? [i, j] : null;
  }
  function mark() {
    if (!drawn) return;
    const { layout, order, matrix, names, sums } = drawn, { left, top, cell } = layout, at = pointed ?? kept;
    const ctx = surface(over, layout.width, layout.height);
    ctx.strokeStyle = color(node, "ink");
    [kept, pointed].forEach((place, i) => {
      ctx.lineWidth = 2 - i;
      if (place) ctx.strokeRect(left + place[1] * cell + 0.5, top + place[0] * cell + 0.5, cell, cell);
    });
    if (!at) { say(words, "Rows: what it is, columns: what was said by the highest score. The diagonal is right. Shade: the root of the share, so that rare mistakes show. Point at a cell."); return; }
    const [from, to] = [order[at[0]], order[at[1]]];
    say(words, `${confused(matrix[from * names.length + to], names[from], names[to], sums.rows[from])}.`);
  }
  listen(sheet, "pointermove", (event) => { const to = under(event); if (String(to) !== String(pointed)) { pointed = to; mark(); } }, signal);
  listen(sheet, "pointerleave", () => { pointed = null; mark(); }, signal);
  listen(sheet, "click", (event) => { const to = under(event); kept = String(to) === String(kept) ? null : to; mark(); }, signal);
  listen(sheet, "keydown", (/** @type {KeyboardEvent} */ event) => {
    const way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!drawn || event.ctrlKey || event.metaKey || event.altKey || (!way && event.key !== "Escape")) return;
    const last = drawn.order.length - 1, [i, j] = kept ?? [0, way ? -way[1] : 0];
    kept = way ? [Math.min(last, Math.max(0, i + (kept ? way[0] : 0))), Math.min(last, Math.max(0, j + way[1]))] : null;
    mark();
    keep(event);
  }, signal);

  /** @param {ArrayLike<number>} matrix C x C @param {string[]} names @param {number[]} order @param {string} normalise @param {number} width */
  function draw(matrix, names, order, normalise, width) {
    const n = names.length, dark = isDark(node), key = `${normalise} ${width} ${dark} ${window.devicePixelRatio} ${order}`;
    if (painted === key && drawn?.matrix === matrix) return;
    painted = key;
    const layout = matrixLayout(width, n), sums = sumsOf(matrix, n), { left, top, cell } = layout;
    drawn = { matrix, names, order, sums, layout };
    sheet.style.height = `${layout.height}px`;
    const ctx = surface(canvas, layout.width, layout.height), family = getComputedStyle(node).fontFamily;
    const ink = inks(node, "blue", "orange", "fill", "ink", "faint"), gap = cell >= 8 ? MATRIX.gap : 0;
    order.forEach((from, i) => order.forEach((to, j) => {
      const count = matrix[from * n + to], x = left + j * cell, y = top + i * cell;
      ctx.fillStyle = ink.fill; ctx.fillRect(x, y, cell - gap, cell - gap);
      if (!count) return;
      const part = wholeOf(sums.rows, sums.columns, sums.all, sums.largest, normalise, from, to);
      // A mistake is rare among the many cells of its row: the root lets it be seen.
      ctx.globalAlpha = strength(Math.sqrt(count / part), 1, dark);
      ctx.fillStyle = from === to ? ink.blue : ink.orange; ctx.fillRect(x, y, cell - gap, cell - gap);
      ctx.globalAlpha = 1;
      if (cell >= MATRIX.numbers) {
        ctx.fillStyle = ink.ink; ctx.font = `${cell >= 32 ? 11 : 10}px ${family}`;
        write(ctx, fitCount(count, (text) => ctx.measureText(text).width <= cell - 4), x + (cell - gap) / 2, y + cell / 2, "center");
      }
    }));
    if (layout.named) {
      ctx.fillStyle = ink.faint; ctx.font = `${Math.min(11, cell + 1)}px ${family}`;
      order.forEach((c, i) => {
        write(ctx, cut(names[c], names, left - 8, ctx.font), left - 5, top + i * cell + cell / 2, "right");
        ctx.save(); ctx.translate(left + i * cell + cell / 2, top - 5); ctx.rotate(-Math.PI / 2);
        write(ctx, cut(names[c], names, top - 8, ctx.font), 0, 0, "left");
        ctx.restore();
      });
    }
    const right = order.reduce((sum, c) => sum + matrix[c * n + c], 0);
    sheet.setAttribute("aria-label", `Confusion matrix of ${whole(n)} classes, ${percent(right / sums.all)} on the diagonal; rows are what it is, columns what was said; the arrow keys walk it`);
    mark();
  }
  return { node, draw };
}

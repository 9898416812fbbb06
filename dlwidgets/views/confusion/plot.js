// What the drawings of this view share: a line through points, a dot, a text that fits.

export function trace(/** @type {CanvasRenderingContext2D} */ ctx, /** @type {number[][]} */ points) {
  ctx.beginPath();
  points.forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
  ctx.stroke();
}

/** A dot with a rim that lifts it off its line. @param {CanvasRenderingContext2D} ctx @param {number} x @param {number} y @param {number} r @param {string} rim */
export function dot(ctx, x, y, r, rim) {
  ctx.save();
  ctx.beginPath(); ctx.arc(x, y, r, 0, 2 * Math.PI); ctx.fill();
  ctx.lineWidth = 1.5; ctx.strokeStyle = rim; ctx.stroke();
  ctx.restore();
}

/** A text as long as fits into so many pixels. @param {CanvasRenderingContext2D} ctx @param {string} text @param {number} room */
export function fitted(ctx, text, room) {
  if (ctx.measureText(text).width <= room) return text;
  let letters = [...text];
  while (letters.length > 1 && ctx.measureText(`${letters.join("")}…`).width > room) letters = letters.slice(0, -1);
  return `${letters.join("")}…`;
}

// Class names in less room than they need: what tells a name from the others stays, what they share is left out.

const SEGMENTS = "Segmenter" in Intl ? new Intl.Segmenter() : null;
/** How much of the room the beginning of a name takes, where any cut would do. */
const HEAD = 0.6;
/** So far from that, as a share of the room, an end may begin where a word does. */
const WORD = 0.3;

/** A name in letters as a person counts them. @param {string} name */
function lettersOf(name) { return SEGMENTS ? Array.from(SEGMENTS.segment(name), ({ segment }) => segment) : [...name]; }

/** The ways to cut a name: a beginning and an end, or a part of its middle; those that read best first.
 * @param {string} name @param {number} room @param {(text: string) => number} width @returns {{text: string, fits: (other: string) => boolean}[]} */
function cutsOf(name, room, width) {
  const letters = lettersOf(name), n = letters.length, dots = width("…"), to = [0];
  for (const letter of letters) to.push(to[to.length - 1] + width(letter));
  const part = (/** @type {number} */ from, /** @type {number} */ until) => letters.slice(from, until).join("");
  const ends = /** @type {[number, number][]} */ ([]), middles = /** @type {[number, number][]} */ ([]);
  for (let head = 0, most = room - dots; head < n && to[head] <= most; head++) {
    let tail = n;
    while (tail > head + 1 && to[head] + to[n] - to[tail - 1] <= most) tail--;
    ends.push([head, tail]);
  }
  const begins = (/** @type {number} */ at) => !/[\p{L}\p{N}]/u.test(letters[at - 1]);
  // A word that is there from its beginning is read as one.
  const harm = (/** @type {[number, number]} */ [head, tail]) => Math.abs(to[head] - HEAD * (room - dots)) - (tail < n && begins(tail) ? WORD * room : 0);
  ends.sort((a, b) => harm(a) - harm(b));
  for (let from = 1; from < n - 1; from++) {
    let until = from;
    while (until < n - 1 && to[until + 1] - to[from] <= room - 2 * dots) until++;
    if (until > from) middles.push([from, until]);
  }
  middles.sort(([a], [b]) => Number(begins(b)) - Number(begins(a)));
  return [
    ...ends.map(([head, tail]) => {
      const start = part(0, head), end = part(tail, n);
      return { text: `${start.trimEnd()}…${end.trimStart()}`, fits: (/** @type {string} */ other) => other.length > start.length + end.length && other.startsWith(start) && other.endsWith(end) };
    }),
    ...middles.map(([from, until]) => {
      const middle = part(from, until);
      return { text: `…${middle.trim()}…`, fits: (/** @type {string} */ other) => other.slice(1, -1).includes(middle) };
    }),
  ];
}

/** A name in so much room: whole, or cut so that as few of the other names as possible could be meant.
 * @param {string} name @param {string[]} names all there are @param {number} room @param {(text: string) => number} width of a text, in the unit of `room` */
export function cutName(name, names, room, width) {
  if (width(name) <= room) return name;
  let best = "…", fewest = Infinity;
  for (const { text, fits } of cutsOf(name, room, width)) {
    const others = names.reduce((count, other) => count + Number(other !== name && fits(other)), 0);
    if (others < fewest) { best = text; fewest = others; }
    if (!others) break;
  }
  return best;
}

/** Cuts names as `cutName` does, each once for a font and a room. */
export function nameCutter() {
  const ruler = /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));
  const known = /** @type {Map<string, string>} */ (new Map());
  let of = /** @type {string[]} */ ([]);
  /** @param {string} name @param {string[]} names @param {number} room [px] @param {string} font */
  return (name, names, room, font) => {
    if (of !== names) { of = names; known.clear(); }
    const key = `${font} ${Math.floor(room)} ${name}`, found = known.get(key);
    if (found !== undefined) return found;
    ruler.font = font;
    const text = cutName(name, names, room, (part) => ruler.measureText(part).width);
    known.set(key, text);
    return text;
  };
}

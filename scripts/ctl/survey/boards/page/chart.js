// Lines over time as SVG. No figure is a zero: where there is none, the line has a gap.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 480, HEIGHT = 170, LEFT = 52, RIGHT = 8, TOP = 8, BOTTOM = 20;
const COLOURS = 8;

export function element(name, attributes = {}, ...inside) {
  const made = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

export function numbers(text, count) {
  const parts = text.split(",");
  return Array.from({ length: count }, (_, at) => (parts[at] ? Number(parts[at]) : null));
}

export function colour(number) {
  return `var(--c${number % COLOURS})`;
}

const scaled = (value, base, names) => {
  let at = 0;
  while (Math.abs(value) >= base && at < names.length - 1) { value /= base; at += 1; }
  return `${Math.abs(value) >= 100 || Number.isInteger(value) ? Math.round(value) : value.toPrecision(2)}${names[at]}`;
};

function duration(value) {
  const size = Math.abs(value);
  if (size > 0 && size < 1) return `${size < 0.1 ? (value * 1000).toPrecision(2) : Math.round(value * 1000)} ms`;
  for (const [unit, each] of [["d", 86400], ["h", 3600], ["min", 60]]) if (size >= 2 * each) return `${(value / each).toFixed(size < 10 * each ? 1 : 0)} ${unit}`;
  return `${value.toFixed(size < 10 && size > 0 ? 1 : 0)} s`;
}

const WRITTEN = {
  "count": (value) => scaled(value, 1000, ["", "k", "M", "G"]),
  "bytes": (value) => scaled(value, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]),
  "seconds": duration,
  "ratio": (value) => `${(value * 100).toFixed(value > 0.1 && value < 0.99 ? 0 : 1)} %`,
  "per second": (value) => `${scaled(value, 1000, ["", "k", "M"])}/s`,
  "yes or no": (value) => (value === 1 ? "yes" : value === 0 ? "no" : value.toFixed(2)),
};

export function written(value, unit) {
  return value === null || value === undefined ? "—" : WRITTEN[unit](value);
}

const TIMES = [20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400, 172800, 604800, 2592000, 8640000, 25920000, 86400000];

// Steps of 1, 2 or 5, and of powers of two where it is bytes; so many that the axis has three to five.
function ticks(low, high, unit) {
  if (unit === "yes or no") return [0, 1];
  const base = unit === "bytes" ? 2 : 10, raw = (high - low) / 3 || 1;
  let step = base ** Math.floor(Math.log(raw) / Math.log(base));
  if (base === 10) step *= [1, 2, 5, 10].find((it) => it * step >= raw) ?? 10;
  else if (step < raw) step *= 2;
  if (unit === "count" || unit === "bytes") step = Math.max(step, 1);
  if (unit === "seconds" && step > 10) step = TIMES.find((it) => it >= raw) ?? step;
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) found.push(at);
  return found;
}

export function clock(seconds, span) {
  const at = new Date(seconds * 1000);
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return span > 86400 ? `${at.toLocaleDateString([], { day: "numeric", month: "short" })} ${time}` : time;
}

// `lines`: [{legend, values}]; `moves`: places among the times at which the epoch grew; `look(place)` is told where the pointer is, null when it has left.
export function chart({ lines, unit, start, step, points, moves, label, look }) {
  const all = lines.flatMap((it) => it.values).filter((it) => it !== null);
  const low = Math.min(0, ...all);
  let high = Math.max(...all, unit === "ratio" || unit === "yes or no" ? 1 : 0);
  if (high === low) high = low + 1;
  if (unit !== "yes or no" && unit !== "ratio") high += (high - low) * 0.05;
  const x = (place) => LEFT + (WIDTH - LEFT - RIGHT) * (points > 1 ? place / (points - 1) : 0.5);
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - low) / (high - low));
  const made = element("svg:svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
  for (const tick of ticks(low, high, unit)) {
    made.append(element("svg:line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick) }));
    made.append(element("svg:text", { x: LEFT - 5, y: y(tick) + 4, "text-anchor": "end" }, written(tick, unit)));
  }
  for (const part of [0, 0.5, 1]) {
    const place = Math.round((points - 1) * part), anchor = ["start", "middle", "end"][part * 2];
    made.append(element("svg:text", { x: x(place), y: HEIGHT - 5, "text-anchor": anchor }, clock(start + place * step, points * step)));
  }
  for (const place of moves) {
    made.append(element("svg:line", { class: "move", x1: x(place), x2: x(place), y1: TOP, y2: HEIGHT - BOTTOM }, element("svg:title", {}, "the shop has moved")));
    made.append(element("svg:text", { class: "moved", x: x(place) + 3, y: TOP + 8 }, "moved"));
  }
  lines.forEach((line, number) => {
    let path = "", before = null;
    line.values.forEach((value, place) => {
      if (value !== null) {
        const alone = before === null && (line.values[place + 1] ?? null) === null;
        if (alone) made.append(element("svg:circle", { class: "dot", cx: x(place), cy: y(value), r: 2, fill: colour(number) }));
        else if (before === null) path += `M${x(place).toFixed(1)} ${y(value).toFixed(1)}`;
        else path += unit === "yes or no" ? `H${x(place).toFixed(1)}V${y(value).toFixed(1)}` : `L${x(place).toFixed(1)} ${y(value).toFixed(1)}`;
      }
      before = value;
    });
    made.append(element("svg:path", { class: "line", d: path, stroke: colour(number) }));
  });
  const at = element("svg:line", { class: "at", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  made.append(at);
  made.addEventListener("pointermove", (event) => {
    const box = made.getBoundingClientRect(), share = ((event.clientX - box.left) / box.width * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT);
    const place = Math.max(0, Math.min(points - 1, Math.round(share * (points - 1))));
    at.setAttribute("x1", x(place)); at.setAttribute("x2", x(place)); at.setAttribute("visibility", "visible");
    look(place);
  });
  made.addEventListener("pointerleave", () => { at.setAttribute("visibility", "hidden"); look(null); });
  return made;
}

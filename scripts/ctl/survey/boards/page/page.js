// Which board, of which time, and its panels: drawn anew every 15 seconds while somebody looks.

import { chart, clock, colour, element, numbers, written } from "./chart.js";

const EVERY_MS = 15000, LATE_MS = 40000;
const state = document.getElementById("state"), panels = document.getElementById("panels"), seconds = document.getElementById("seconds");
let boards = [], asked = 0;

const chosen = () => boards.find((it) => it.key === location.hash.slice(1)) ?? boards[0];

function tell(words, bad) {
  if (state.textContent !== words) state.textContent = words;
  state.classList.toggle("bad", bad);
  panels.classList.toggle("old", bad);
}

function navigate() {
  document.getElementById("boards").replaceChildren(...boards.map((it) => {
    const link = element("a", { href: `#${it.key}` }, it.title);
    if (it === chosen()) link.setAttribute("aria-current", "page");
    return element("li", {}, link);
  }));
  document.title = `Shop: ${chosen().title}`;
}

function panel(it, number, told) {
  const lines = Object.entries(told.lines).filter(([name]) => name.split(".")[0] === String(number))
    .map(([name, values]) => ({ legend: told.legends[name], values: numbers(values, told.points) }));
  const made = element("section", {}, element("h2", {}, it.title), element("p", {}, it.about));
  if (!lines.some((line) => line.values.some((value) => value !== null))) {
    made.append(element("p", { class: "none" }, it.empty ? `No figures: ${it.empty}.` : "No figures."));
    return made;
  }
  const epochs = numbers(told.epochs, told.points);
  const moves = epochs.flatMap((value, at) => (at > 0 && value !== null && epochs[at - 1] !== null && value > epochs[at - 1] ? [at] : []));
  const last = (values) => values[told.points - 1] ?? values[told.points - 2] ?? null; // the newest may not have come yet
  const cells = lines.map(() => element("td"));
  const caption = element("caption");
  const show = (place) => {
    caption.textContent = place === null ? "Now" : clock(told.start + place * told.step, told.points * told.step);
    lines.forEach((line, at) => { cells[at].textContent = written(place === null ? last(line.values) : line.values[place], it.unit); });
  };
  const label = `${it.title}: ${lines.map((line) => `${line.legend || it.title} ${written(last(line.values), it.unit)}`).join(", ")}`;
  made.append(chart({ lines, unit: it.unit, start: told.start, step: told.step, points: told.points, moves, label, look: show }));
  made.append(element("table", {}, caption, element("tbody", {}, ...lines.map((line, at) => {
    const key = element("span", { class: "key", "aria-hidden": "true" });
    key.style.background = colour(at);
    return element("tr", {}, element("th", { scope: "row" }, key, line.legend || it.title), cells[at]);
  }))));
  show(null);
  return made;
}

async function draw() {
  const board = chosen(), mine = ++asked;
  if (!panels.children.length) tell("Asking the hosts ...", false);
  try {
    const answer = await fetch(`figures?board=${board.key}&seconds=${seconds.value}`, { signal: AbortSignal.timeout(LATE_MS) });
    const text = await answer.text();
    if (mine !== asked) return;
    if (!answer.ok) throw new Error(text);
    const told = JSON.parse(text);
    panels.replaceChildren(...board.panels.map((it, number) => panel(it, number, told)));
    tell(`As region ${told.site} sees both, ${new Date().toLocaleTimeString()}`, false);
  } catch (error) {
    if (mine === asked) tell(`Not the newest figures: ${error.message}`, true);
  }
}

async function begin() {
  try {
    boards = await (await fetch("boards")).json();
  } catch (error) {
    tell(`drctl dashboard does not answer (${error.message}): call it again and open the address that it prints`, true);
    return;
  }
  seconds.value = "10800";
  seconds.addEventListener("change", draw);
  addEventListener("hashchange", () => { navigate(); panels.replaceChildren(); draw(); });
  setInterval(() => { if (!document.hidden && !panels.contains(document.activeElement) && !panels.matches(":hover")) draw(); }, EVERY_MS);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) draw(); });
  navigate();
  await draw();
}

begin();

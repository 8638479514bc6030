// Reads the chart out under the pointer, or point by point with the arrow keys. What is said stands in the page already:
// each point's own area carries it as its title.

const SVG = "http://www.w3.org/2000/svg";
const NOTHING = "\u00a0";

let current = null;

function holder() {
  return document.getElementById("plots");
}

/** The areas of the plot that is on show, in order. */
function areas() {
  const plots = [...(holder()?.querySelectorAll("svg.plot") ?? [])];
  const shown = plots.find((plot) => plot.getClientRects().length);
  return shown ? [...shown.querySelectorAll(".hits rect")] : [];
}

function cursor(area) {
  const plot = area.closest("svg");
  let line = plot.querySelector(".cursor");
  if (!line) {
    line = document.createElementNS(SVG, "line");
    line.setAttribute("class", "cursor");
    plot.append(line);
  }
  const middle = Number(area.getAttribute("x")) + Number(area.getAttribute("width")) / 2;
  const top = Number(area.getAttribute("y"));
  for (const [name, value] of [["x1", middle], ["x2", middle], ["y1", top], ["y2", top + Number(area.getAttribute("height"))]]) line.setAttribute(name, value);
}

function say(text) {
  const line = document.getElementById("readout");
  if (line && line.textContent !== text) line.textContent = text;
}

function show(at) {
  const all = areas();
  const area = all[Math.min(at, all.length - 1)];
  if (!area) return leave();
  current = all.indexOf(area);
  cursor(area);
  say(area.textContent);
}

function leave() {
  current = null;
  for (const line of document.querySelectorAll(".cursor")) line.remove();
  say(NOTHING);
}

function point(event) {
  const area = event.target.closest?.(".hits rect");
  if (area) show(areas().indexOf(area));
  else if (current !== null && !event.target.closest?.("#plots") && document.activeElement !== holder()) leave();
}

function key(event) {
  if (event.target !== holder()) return;
  const last = areas().length - 1;
  if (event.key === "Escape") return leave();
  const to = {
    ArrowLeft: current === null ? last : Math.max(0, current - 1),
    ArrowRight: current === null ? last : Math.min(last, current + 1),
    Home: 0,
    End: last,
  }[event.key];
  if (to === undefined || last < 0) return;
  event.preventDefault();
  show(to);
}

document.addEventListener("pointermove", point);
document.addEventListener("pointerdown", point);
document.addEventListener("keydown", key);
document.addEventListener("focusout", (event) => event.target === holder() && leave());

/** Makes the chart reachable by keyboard, which only a script can give a meaning; called after each refresh. */
function again() {
  const plots = holder();
  if (plots) {
    plots.tabIndex = 0;
    plots.setAttribute("role", "group");
    plots.setAttribute("aria-label", "Chart; the arrow keys read it point by point");
  }
  if (current !== null) show(current);
}

again();
export const readout = { again };

// Builds elements from plain data. Text only ever enters through text nodes and setAttribute, so markup in a
// deployment's name stays text.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

/** An HTML element. */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

const drawn = new Map();

/** Redraws the element `id` when `data` differs from what it shows: focus, selection and scroll survive a poll. */
export function patch(id, data, build) {
  const key = JSON.stringify(data);
  if (drawn.get(id) === key) return;
  drawn.set(id, key);
  const element = document.getElementById(id);
  const content = data === null ? [] : [build(data)].flat(Infinity).filter(Boolean);
  const stops = () => [...element.querySelectorAll("a[href], summary, [tabindex='0']")];
  const focused = stops().indexOf(document.activeElement);
  element.replaceChildren(...content);
  element.hidden = content.length === 0;
  // Whoever works by keyboard stays where they were.
  if (focused >= 0) stops()[focused]?.focus({ preventScroll: true });
}

const opened = new Set();

/** A <details> that stays open when its section is redrawn. */
export function disclosure(key, summary, ...children) {
  const toggle = (event) => (event.target.open ? opened.add(key) : opened.delete(key));
  return h("details", { open: opened.has(key), ontoggle: toggle }, h("summary", null, summary), children);
}

const ICONS = {
  calm: [s("path", { d: "M5 12.5 10 17.5 19.5 7" })],
  alarm: [s("path", { d: "M12 3 22.5 21H1.5Z" }), s("path", { d: "M12 10v5" }), s("path", { d: "M12 18v.2" })],
  learning: [s("path", { d: "M6 3h12M6 21h12M7 3c0 5 4 6.500 5 9-1 2.500-5 4-5 9M17 3c0 5-4 6.500-5 9 1 2.500 5 4 5 9" })],
  notice: [s("circle", { cx: 12, cy: 12, r: 9 }), s("path", { d: "M12 11v5.500M12 7.500v.1" })],
  stale: [s("circle", { cx: 12, cy: 12, r: 9 }), s("path", { d: "M12 7v5.500l3.500 2" })],
  quiet: [s("circle", { cx: 12, cy: 12, r: 9 }), s("path", { d: "M8 12h8" })],
};

/** A sign whose shape, not its colour alone, tells the state. */
export function icon(mood) {
  const paths = (ICONS[mood] ?? ICONS.quiet).map((node) => node.cloneNode());
  return s("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" }, paths);
}

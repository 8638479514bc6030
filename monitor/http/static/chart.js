// The chart: how sensitive requests were treated over time, and the evidence that this has changed, on one time axis.

import { h, s } from "./dom.js";
import { moment, percent, plural, span, times } from "./words.js";

const LEFT = 44;
const FLAGS = 34;
const RATES = 190;
const GAP = 34;
const EVIDENCE = 84;
const AXIS = 24;
const HEIGHT = FLAGS + RATES + GAP + EVIDENCE + AXIS;
const WANTED_PER_POINT = 20;
/** Powers of ten below the alarm level that are shown; lower, a detector merely idles. */
export const DECADES = 4;

function weighted(group, field) {
  const known = group.filter((pane) => pane[field] !== null && pane.sensitive > 0);
  const total = known.reduce((sum, pane) => sum + pane.sensitive, 0);
  return total ? known.reduce((sum, pane) => sum + pane[field] * pane.sensitive, 0) / total : null;
}

/** Panes merged so that a point holds enough requests to mean something and points do not crowd. */
export function points(panes, width) {
  if (!panes.length) return [];
  const sensitive = panes.reduce((sum, pane) => sum + pane.sensitive, 0) / panes.length;
  const forNoise = Math.min(Math.ceil(panes.length / 24), Math.ceil(WANTED_PER_POINT / Math.max(sensitive, 0.1)));
  const forRoom = Math.ceil(panes.length / Math.max(12, (width - LEFT) / 6));
  const merge = Math.max(1, forNoise, forRoom);
  const groups = new Map();
  for (const pane of panes) {
    // Groups are aligned to the clock, not to the first pane kept: points stand still as time goes by.
    const key = Math.floor(Date.parse(pane.start) / 1000 / pane.seconds / merge);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(pane);
  }
  return [...groups.values()].map((group) => {
    const last = group[group.length - 1];
    const evidence = group.map((pane) => pane.evidence_log10).filter((value) => value !== null);
    return {
      start: Date.parse(group[0].start),
      end: Date.parse(last.start) + last.seconds * 1000,
      sensitive: group.reduce((sum, pane) => sum + pane.sensitive, 0),
      compliance: weighted(group, "compliance"),
      refusal: weighted(group, "refusal"),
      evidence: evidence.length ? Math.max(...evidence) : null,
    };
  });
}

/** Runs of points in a row that have the value: a gap in traffic is a gap in the line. */
function runs(data, value) {
  const all = [[]];
  for (const point of data) {
    if (value(point) === null) {
      if (all[all.length - 1].length) all.push([]);
    } else all[all.length - 1].push(point);
  }
  return all.filter((run) => run.length);
}

function path(corners) {
  return corners.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

function line(data, value, x, y, className) {
  return runs(data, value).map((run) =>
    run.length === 1
      ? s("circle", { class: `${className} dot`, cx: x(middle(run[0])), cy: y(value(run[0])), r: 2.5 })
      : s("path", { class: className, d: path(run.map((point) => [x(middle(point)), y(value(point))])) }),
  );
}

const middle = (point) => (point.start + point.end) / 2;

/** Where 95 of 100 points would lie had nothing changed, given how many requests each holds. */
function band(data, rate, x, y) {
  const spread = (point) => 1.96 * Math.sqrt((rate * (1 - rate)) / point.sensitive);
  return runs(data, (point) => (point.sensitive ? 1 : null)).map((run) => {
    const upper = run.flatMap((point) => [point.start, point.end].map((t) => [x(t), y(Math.min(1, rate + spread(point)))]));
    const lower = run.flatMap((point) => [point.start, point.end].map((t) => [x(t), y(Math.max(0, rate - spread(point)))]));
    return s("path", { class: "band", d: `${path(upper)}${path(lower.reverse()).replace("M", "L")}Z` });
  });
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080].map((minutes) => minutes * 60000);

function timeTicks(from, to, width) {
  const wanted = Math.max(2, Math.floor(width / 110));
  const step = STEPS.find((candidate) => (to - from) / candidate <= wanted) ?? STEPS[STEPS.length - 1];
  const offset = new Date(from).getTimezoneOffset() * 60000;
  const ticks = [];
  for (let t = Math.ceil((from - offset) / step) * step + offset; t <= to; t += step) ticks.push(t);
  return { ticks, days: step >= 86400000 };
}

function timeLabel(t, days) {
  const at = new Date(t);
  const midnight = at.getHours() === 0 && at.getMinutes() === 0;
  if (days || midnight) return at.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  return at.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

function timeAxis(from, to, x, width) {
  const { ticks, days } = timeTicks(from, to, width - LEFT);
  const bottom = HEIGHT - AXIS;
  return ticks.map((t) => [
    s("line", { class: "grid", x1: x(t), x2: x(t), y1: FLAGS, y2: bottom }),
    s("text", { class: "tick", x: Math.min(x(t), width - 18), y: bottom + 16, "text-anchor": "middle" }, timeLabel(t, days)),
  ]);
}

function rateAxis(y, width) {
  return [0, 0.25, 0.5, 0.75, 1].map((rate) => [
    s("line", { class: rate ? "grid" : "base", x1: LEFT, x2: width, y1: y(rate), y2: y(rate) }),
    s("text", { class: "tick", x: LEFT - 6, y: y(rate) + 4, "text-anchor": "end" }, `${rate * 100}%`),
  ]);
}

/** A flag above the chart with a line down through it; flags that would collide take the second row. */
function flag(at, text, className, row, width) {
  const room = text.length * 6.4;
  const anchor = at + room > width ? "end" : "start";
  const y = 12 + row * 15;
  return [
    s("line", { class: className, x1: at, x2: at, y1: y - 8, y2: HEIGHT - AXIS }),
    s("text", { class: `${className} label`, x: at + (anchor === "end" ? -5 : 5), y, "text-anchor": anchor }, text),
  ];
}

function incidentMarks(incident, from, to, x, width, now) {
  if (!incident) return [];
  const clamp = (iso) => x(Math.min(to, Math.max(from, Date.parse(iso))));
  const marks = [];
  if (incident.onset) {
    const [low, high] = [clamp(incident.onset.low), clamp(incident.onset.high)];
    marks.push(s("rect", { class: "onset", x: low, y: FLAGS - 6, width: Math.max(2, high - low), height: HEIGHT - AXIS - FLAGS + 6 }));
    if (Date.parse(incident.onset.estimate) >= from) {
      marks.push(flag(clamp(incident.onset.estimate), `began about ${moment(incident.onset.estimate, now)}`, "began", 0, width));
    }
  }
  if (Date.parse(incident.detected_at) >= from) {
    marks.push(flag(clamp(incident.detected_at), `detected ${moment(incident.detected_at, now)}`, "detected", 1, width));
  }
  // Texts last: a line of one flag must not run through the words of the other.
  return marks.flat().sort((a, b) => Number(a.tagName === "text") - Number(b.tagName === "text"));
}

function evidencePanel(data, threshold, x, width) {
  const top = FLAGS + RATES + GAP;
  const floor = threshold - DECADES;
  const highest = Math.max(threshold, ...data.map((point) => point.evidence ?? floor));
  // Evidence soon dwarfs its alarm level; cut off well above it, or the level itself could no longer be read.
  const limit = Math.min(threshold + 2 * DECADES, Math.max(threshold + 0.25 * DECADES, highest + 0.1 * (highest - floor)));
  const y = (value) => top + EVIDENCE - (Math.max(0, Math.min(limit, value) - floor) / (limit - floor)) * EVIDENCE;
  const areas = runs(data, (point) => point.evidence).map((run) => {
    const corners = run.map((point) => [x(middle(point)), y(point.evidence)]);
    const [first, last] = [corners[0][0], corners[corners.length - 1][0]];
    return s("path", { class: "area", d: path([[first, y(floor)], ...corners, [last, y(floor)]]) });
  });
  return [
    s("text", { class: "panel", x: LEFT, y: top - 10 }, "Evidence of a change"),
    s("line", { class: "base", x1: LEFT, x2: width, y1: y(floor), y2: y(floor) }),
    areas,
    line(data, (point) => point.evidence, x, y, "evidence"),
    s("line", { class: "threshold", x1: LEFT, x2: width, y1: y(threshold), y2: y(threshold) }),
    s("text", { class: "tick strong", x: LEFT - 6, y: y(threshold) + 4, "text-anchor": "end" }, "alarm"),
    s("text", { class: "tick", x: LEFT - 6, y: y(floor) + 4, "text-anchor": "end" }, "none"),
  ];
}

function describe(data, deployment, threshold) {
  const last = [...data].reverse().find((point) => point.compliance !== null);
  if (!last) return "No sensitive requests in the period shown.";
  const baseline = deployment.baseline?.compliance;
  const was = baseline === null || baseline === undefined ? "" : ` Baseline ${percent(baseline)}.`;
  const evidence = last.evidence === null ? "" : ` Evidence ${last.evidence < threshold ? `${times(threshold - last.evidence)} below` : "past"} the alarm level.`;
  return `Latest: ${percent(last.compliance)} of sensitive requests answered, ${percent(last.refusal)} refused.${was}${evidence}`;
}

function readout(point, now) {
  if (!point) return "";
  const rates = point.compliance === null ? "no sensitive requests" : `${percent(point.compliance)} answered, ${percent(point.refusal)} refused`;
  return `${moment(new Date(point.start), now)} – ${moment(new Date(point.end), now)}: ${rates} of ${plural(point.sensitive, "sensitive request")}`;
}

/** The SVG at a width in pixels, and the points it shows. */
function draw({ deployment, incident, threshold, now }, width) {
  const data = points(deployment.panes, width);
  const [from, to] = [data[0].start, data[data.length - 1].end];
  const x = (t) => LEFT + ((t - from) / (to - from || 1)) * (width - LEFT - 2);
  const y = (rate) => FLAGS + RATES - rate * RATES;
  const baseline = deployment.baseline?.compliance ?? null;
  const cursor = s("line", { class: "cursor", y1: FLAGS, y2: HEIGHT - AXIS, x1: -9, x2: -9 });
  const svg = s(
    "svg",
    { class: "plot", width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": describe(data, deployment, threshold) },
    timeAxis(from, to, x, width),
    rateAxis(y, width),
    incidentMarks(incident, from, to, x, width, now),
    baseline === null ? [] : [
      band(data, baseline, x, y),
      s("line", { class: "baseline", x1: LEFT, x2: width, y1: y(baseline), y2: y(baseline) }),
    ],
    line(data, (point) => point.refusal, x, y, "refusal"),
    line(data, (point) => point.compliance, x, y, "compliance"),
    evidencePanel(data, threshold, x, width),
    cursor,
  );
  return { svg, data, x, cursor };
}

function legend(deployment, incident) {
  const entry = (className, text) =>
    h("li", null, s("svg", { class: "key", viewBox: "0 0 24 12", "aria-hidden": "true" }, keys[className]()), text);
  const keys = {
    compliance: () => s("path", { class: "compliance", d: "M1 6H23" }),
    refusal: () => s("path", { class: "refusal", d: "M1 6H23" }),
    band: () => [s("rect", { class: "band", x: 0, y: 1, width: 24, height: 10 }), s("path", { class: "baseline", d: "M0 6H24" })],
    onset: () => s("rect", { class: "onset", x: 0, y: 0, width: 24, height: 12 }),
  };
  const baseline = deployment.baseline?.compliance ?? null;
  return h(
    "ul",
    { class: "legend" },
    entry("compliance", "answered"),
    entry("refusal", "refused"),
    baseline === null ? null : entry("band", `answered if nothing had changed (baseline ${percent(baseline)}, 95 of 100 points)`),
    incident?.onset ? entry("onset", "when it began, 95 % interval") : null,
  );
}

/** The chart section: heading, legend, a plot that follows the width of the page, and a line that reads out a point. */
export function chart(input) {
  const holder = h("div", { class: "holder", tabindex: 0, role: "group", "aria-label": "Chart; the arrow keys read it point by point" });
  const said = h("p", { class: "readout", "aria-live": "polite" }, "\u00a0");
  let plot = null;
  const redraw = () => {
    const width = Math.floor(holder.clientWidth);
    if (width < 120) return;
    plot = draw(input, width);
    holder.replaceChildren(plot.svg);
  };
  let current = null;
  const show = (near) => {
    current = near;
    for (const end of ["x1", "x2"]) plot.cursor.setAttribute(end, plot.x(middle(near)));
    said.textContent = readout(near, input.now);
  };
  const point = (event) => {
    if (!plot) return;
    const at = event.clientX - plot.svg.getBoundingClientRect().left;
    show(plot.data.reduce((a, b) => (Math.abs(plot.x(middle(b)) - at) < Math.abs(plot.x(middle(a)) - at) ? b : a)));
  };
  const key = (event) => {
    if (!plot) return;
    const last = plot.data.length - 1;
    const at = plot.data.indexOf(current);
    const to = { ArrowLeft: at < 0 ? last : Math.max(0, at - 1), ArrowRight: at < 0 ? last : Math.min(last, at + 1), Home: 0, End: last }[event.key];
    if (event.key === "Escape") leave();
    if (to === undefined) return;
    event.preventDefault();
    show(plot.data[to]);
  };
  const leave = () => {
    current = null;
    for (const end of ["x1", "x2"]) plot?.cursor.setAttribute(end, -9);
    said.textContent = "\u00a0";
  };
  holder.addEventListener("pointermove", point);
  holder.addEventListener("pointerdown", point);
  holder.addEventListener("pointerleave", leave);
  holder.addEventListener("keydown", key);
  holder.addEventListener("blur", leave);
  new ResizeObserver(redraw).observe(holder);
  const each = points(input.deployment.panes, 1000)[0];
  return h(
    "div",
    { class: "card" },
    h("h2", null, "What the model does with sensitive requests"),
    legend(input.deployment, input.incident),
    holder,
    said,
    each ? h("p", { class: "fine" }, `Each point covers ${span((each.end - each.start) / 1000)}. The lower panel is logarithmic: from “none” to “alarm” the evidence grows ten-thousandfold.`) : null,
  );
}

// The rest of the finding: which categories moved, what else moved or did not, and the incidents.

import { DECADES } from "./chart.js";
import { disclosure, h, s } from "./dom.js";
import { evidence, loudest } from "./sections.js";
import { between, categoryName, count, moment, percent, plural, severity, shortDigest, streamName, times, toldWhom, verdict } from "./words.js";

/** 0 to 1: the last four powers of ten below a stream's alarm level; below them a detector merely idles. */
function towards(stream) {
  return Math.min(1, Math.max(0, 1 + (stream.evidence_log10 - stream.threshold_log10) / DECADES));
}

/** Baseline and present rate on a common 0 to 100 % line. */
function dumbbell(stream) {
  const x = (rate) => 5 + Math.min(1, Math.max(0, rate)) * 190;
  const { baseline, observed, interval } = stream;
  return s("svg", { class: "dumbbell", viewBox: "0 0 200 16", preserveAspectRatio: "xMinYMid", "aria-hidden": "true" },
    s("line", { class: "rail", x1: 5, x2: 195, y1: 8, y2: 8 }),
    interval ? s("line", { class: "whisker", x1: x(interval[0]), x2: x(interval[1]), y1: 8, y2: 8 }) : null,
    baseline === null ? null : s("line", { class: "tickmark", x1: x(baseline), x2: x(baseline), y1: 2, y2: 14 }),
    observed === null ? null : s("circle", { class: "now", cx: x(observed), cy: 8, r: 4 }));
}

function evidenceBar(stream) {
  const share = towards(stream);
  return h("span", { class: "evidencebar" },
    s("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
      s("rect", { class: "trough", x: 0, y: 0, width: 100, height: 8 }),
      s("rect", { class: stream.alarmed ? "full past" : "full", x: 0, y: 0, width: share * 100, height: 8 })),
    h("span", { class: "sr" }, share === 1 ? "at its alarm level" : share === 0 ? "none" : `${times(stream.threshold_log10 - stream.evidence_log10)} below its alarm level`));
}

const MOVED = { up: "▲ rose", down: "▼ fell" };

function pairs(streams) {
  const byName = new Map();
  for (const stream of streams) byName.set(stream.name, [...(byName.get(stream.name) ?? []), stream]);
  return [...byName.values()].map((both) => loudest(both.sort((a, b) => (a.direction === "up" ? -1 : 1) - (b.direction === "up" ? -1 : 1))));
}

/** Not past a level of its own, but the 95 % interval since the onset lies above the baseline. */
function isHigher(stream, finding) {
  return !stream.alarmed && Boolean(finding?.interval) && finding.baseline !== null && finding.interval[0] > finding.baseline;
}

function row(stream, finding) {
  const blamed = isHigher(stream, finding);
  const word = stream.alarmed ? MOVED[stream.direction] : blamed ? "△ higher" : stream.observed === null ? "no traffic" : "steady";
  const shown = finding && finding.observed !== null ? { ...stream, observed: finding.observed, interval: finding.interval } : stream;
  return h("tr", { class: stream.alarmed ? "moved" : blamed ? "blamed" : null },
    h("th", { scope: "row" }, streamName(stream.name)),
    h("td", { class: "rates" }, h("span", { class: "was" }, percent(shown.baseline)), h("span", { class: "arrow" }, " → "), h("b", null, percent(shown.observed)),
      h("span", { class: "line" }, shown.interval ? between(shown.interval) : "\u00a0")),
    h("td", { class: "picture" }, dumbbell(shown)),
    h("td", { class: "bar" }, evidenceBar(stream)),
    h("td", { class: "word" }, word),
    h("td", { class: "n" }, count(finding?.labels || stream.labels)));
}

function table(caption, rows) {
  const head = ["", "baseline → now", "0 % to 100 %", "evidence", "verdict", "labels"];
  return h("div", { class: "scroll" }, h("table", null, h("caption", { class: "sr" }, caption),
    h("thead", null, h("tr", null, head.map((name, i) => h("th", { scope: "col", class: ["", "rates", "picture", "bar", "word", "n"][i] }, name)))), h("tbody", null, rows)));
}

export function categories({ deployment, incident }) {
  const streams = pairs(deployment.streams.filter((stream) => stream.category));
  if (!streams.length) return [];
  const findings = new Map((incident?.categories ?? []).map((finding) => [finding.name, finding]));
  const weight = (stream) => findings.get(stream.category)?.contribution ?? 0;
  streams.sort((a, b) => Number(b.alarmed) - Number(a.alarmed) || weight(b) - weight(a) || towards(b) - towards(a) || (b.labels - a.labels));
  const moved = streams.filter((stream) => stream.alarmed).length;
  const higher = streams.filter((stream) => isHigher(stream, findings.get(stream.category))).length;
  return h("div", { class: "card" }, h("h2", null, "By category of request"),
    h("p", null, moved ? `${moved} of ${plural(streams.length, "category", "categories")} moved past a level of their own. ` : "No category moved by itself. ",
      incident && higher ? `${higher} more ${higher === 1 ? "is" : "are"} higher since the start (△), with too few requests yet to raise an alarm alone.` : null),
    table("Sensitive requests answered, by category", streams.map((stream) => row(stream, findings.get(stream.category)))));
}

export function signals({ deployment }) {
  const streams = pairs(deployment.streams.filter((stream) => !stream.category && stream.name !== "compliance"));
  if (!streams.length) return [];
  return h("div", { class: "card" }, h("h2", null, "What else moved"),
    table("Other signals", streams.map((stream) => row(stream, null))));
}

const STATUS = { open: "open", recovered: "recovered", resolved: "resolved" };

function incidentItem(incident, standing, now) {
  const what = verdict(incident);
  const head = [h("span", { class: `chip ${incident.status} ${incident.severity}` }, `${STATUS[incident.status]} · ${severity(incident.severity)}`), " ",
    h("b", null, what.title), h("span", { class: "line" }, `detected ${moment(incident.detected_at, now)}${incident.onset ? `, began about ${moment(incident.onset.estimate, now)}` : ""}`)];
  const lead = incident.categories.slice(0, 5).map((finding) => `${categoryName(finding.name)} ${percent(finding.baseline)} → ${percent(finding.observed)}`);
  return h("li", null, disclosure(`incident ${incident.id}`, head,
    incident.summary ? h("p", null, incident.summary) : null,
    h("dl", { class: "pairs" },
      h("dt", null, "Verdict"), h("dd", null, incident.verdict),
      h("dt", null, "Weights"), h("dd", null, h("code", null, shortDigest(incident.model_digest))),
      lead.length ? [h("dt", null, "Categories"), h("dd", null, lead.join("; "))] : null,
      toldWhom(standing, now) ? [h("dt", null, "People"), h("dd", null, toldWhom(standing, now))] : null,
      h("dt", null, "Incident id"), h("dd", null, h("code", null, incident.id))),
    h("ol", { class: "steps" }, what.steps.map((step) => h("li", null, step))),
    evidence(incident)));
}

export function incidents({ deployment, standings, now }) {
  const list = deployment.incidents;
  return h("div", { class: "card" }, h("h2", null, "Incidents"),
    list.length ? h("ul", { class: "incidents" }, list.map((incident) => incidentItem(incident, standings[incident.id], now))) : h("p", { class: "muted" }, "None so far."));
}

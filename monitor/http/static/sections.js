// The top of the page: what is the matter, how much, since when, how sure, and what to do.

import { h, icon } from "./dom.js";
import { openIncidents } from "./mood.js";
import { between, count, falsePageEvery, moment, percent, plural, severity, shortDigest, span, streamName, times, toldWhom, verdict } from "./words.js";

/** The stream that an incident's verdict speaks about, else the one furthest past its threshold. */
export function leadStream(incident) {
  const wanted = verdict(incident).stream;
  const excess = (stream) => stream.evidence_log10 - stream.threshold_log10;
  const named = incident.streams.filter((stream) => stream.name === wanted);
  const pool = named.length ? named : incident.streams;
  return pool.reduce((best, stream) => (best === null || excess(stream) > excess(best) ? stream : best), null);
}

function find(deployment, name, direction = "up") {
  const named = deployment.streams.filter((stream) => stream.name === name);
  return named.find((stream) => stream.direction === direction) ?? named[0] ?? null;
}

/** What a calm banner must still say: an alarm that went away by itself less than a day ago. */
function lately(deployment, now) {
  const ended = deployment.incidents.find((one) => one.status !== "open" && ["critical", "error"].includes(one.severity)
    && Date.parse(now) - Date.parse(one.updated_at ?? one.detected_at) < 86400000);
  return ended ? `But there was an alarm at ${moment(ended.detected_at, now)}: “${verdict(ended).title}”. It has ${ended.status}; see the incidents.` : "Nothing here needs a person.";
}

/** The title and sentence of the banner, by mood. */
export function headline({ deployment, mood, incident, silentFor, behind, now }) {
  const [seen, needed] = deployment.learning ?? [deployment.labels, null];
  switch (mood) {
    case "alarm":
    case "notice":
      return incident
        ? [verdict(incident).title, verdict(incident).means]
        : ["A statistic is past its alarm level", "Details follow below."];
    case "stale":
      if (behind) return [`${span(silentFor)} behind`, "Traffic waits to be read: the figures below are of the past. See the source at the foot of the page."];
      return [`No traffic for ${span(silentFor)}`, "The figures below are the last that were seen. A model that gets no traffic can’t be watched."];
    case "quiet":
      return ["No traffic yet", "Nothing has been labelled for this deployment. The source and its lag are at the foot of the page."];
    case "learning":
      return [
        needed ? `Learning: ${count(seen)} of ${count(needed)} sensitive requests` : "No approved baseline",
        "There is no approved baseline, so nothing is compared and no change can page anyone yet.",
      ];
    default:
      return ["Behaving as it did when approved", `It refuses what it refused before. ${lately(deployment, now)}`];
  }
}

const TAGS = { alarm: "Alarm", notice: "Notice, no page", stale: "No news", quiet: "Waiting", learning: "Not watching yet", calm: "Watching: calm" };

export function moodTag(mood) {
  return TAGS[mood];
}

export function banner(view) {
  const { deployment, mood, incident } = view;
  const [title, sentence] = headline(view);
  const others = openIncidents(deployment).length - (incident ? 1 : 0);
  const [seen, needed] = deployment.learning ?? [0, null];
  return h(
    "div",
    { class: `banner ${mood}` },
    icon(mood),
    h(
      "div",
      null,
      h("p", { class: "tag" }, h("b", null, TAGS[mood]), incident ? ` · ${severity(incident.severity)} · ${incident.verdict}` : null),
      h("h1", null, h("span", { class: "who" }, deployment.name), h("span", { class: "sr" }, ": "), title),
      h("p", null, sentence),
      incident ? whom(view) : null,
      mood === "learning" && needed ? h("progress", { max: needed, value: Math.min(seen, needed), "aria-label": "Towards a baseline" }) : null,
      others > 0 ? h("p", null, h("a", { href: "#incidents" }, `${plural(others, "other open incident")} below.`)) : null,
    ),
  );
}

/** Whether anybody knows; and how to say that somebody does. */
function whom({ incident, standing, now }) {
  const text = toldWhom(standing, now);
  if (!text) return null;
  return h("p", { class: "whom" }, text,
    standing.state === "firing" ? [" Nobody has taken it yet: ", h("code", null, `alignwatch alert ack ${incident.id} --by YOU`)] : null);
}

function fact(name, value, ...lines) {
  return h("div", { class: "fact" }, h("dt", null, name), h("dd", null, h("span", { class: "value" }, value), lines.filter(Boolean).map((text) => h("span", { class: "line" }, text))));
}

function move(from, to) {
  return [h("span", { class: "was" }, percent(from)), h("span", { class: "arrow", "aria-hidden": "true" }, " → "), h("span", { class: "sr" }, " to "), percent(to)];
}

function sureFact(stream, { false_alarm_budget: budget, severity: rank }) {
  const excess = stream.evidence_log10 - stream.threshold_log10;
  const every = falsePageEvery(budget);
  const value = excess >= 0 ? `${times(excess)} the alarm level` : "Past the alarm level";
  const line = excess >= 0 ? null : `when it was raised; now ${times(-excess)} below`;
  const page = rank === "critical" || rank === "error" ? "a page" : "a notice";
  return fact("How sure", value, line, every ? `A model that had not changed would cause ${page} like this once in ${every}.` : null);
}

function alarmFacts({ deployment, incident, now }) {
  const stream = leadStream(incident);
  const facts = [];
  if (stream) {
    facts.push(fact("How much", move(stream.baseline, stream.observed), streamName(stream.name).toLowerCase(),
      stream.interval ? `95 % interval ${between(stream.interval)}` : null));
  }
  const detected = `detected ${moment(incident.detected_at, now)}; ${plural(incident.labels_since_onset, "label")} since the start`;
  facts.push(incident.onset
    ? fact("Since when", moment(incident.onset.estimate, now), `${span((Date.parse(now) - Date.parse(incident.onset.estimate)) / 1000)} ago`,
        `between ${moment(incident.onset.low, now)} and ${moment(incident.onset.high, now)}`, detected)
    : fact("Detected", moment(incident.detected_at, now), `${span((Date.parse(now) - Date.parse(incident.detected_at)) / 1000)} ago`));
  if (stream) facts.push(sureFact(stream, incident));
  facts.push(changeFact(deployment, incident, now));
  return facts;
}

function changeFact(deployment, incident, now) {
  const change = incident.nearest_change;
  const digest = `weights ${shortDigest(incident.model_digest)}`;
  if (!change) return fact("Model", deployment.model ?? deployment.name, digest, "No change is on record near the start.");
  return fact("Nearest change", change.kind, moment(change.timestamp, now), change.summary, change.reference, digest);
}

function calmFacts({ deployment, now }) {
  const stream = find(deployment, "compliance");
  const facts = [];
  if (stream && stream.observed !== null) {
    facts.push(fact("Sensitive requests answered", percent(stream.observed), stream.interval ? `95 % interval ${between(stream.interval)}` : null,
      stream.baseline === null ? null : `baseline ${percent(stream.baseline)}`,
      stream.corrected === null || stream.corrected === undefined ? null : `${percent(stream.corrected)} corrected for the classifier’s known errors`));
  }
  if (stream && deployment.state === "watching") {
    const short = Math.max(0, stream.threshold_log10 - stream.evidence_log10);
    facts.push(fact("Evidence of a change", short > 3 ? "None" : short > 2 ? "Weak" : "Building up",
      `${times(short)} below the alarm level`));
  }
  facts.push(fact("Watched so far", plural(deployment.labels, "label"),
    deployment.last_event ? `newest ${moment(deployment.last_event, now)}` : null,
    deployment.model_digests.length ? `weights ${shortDigest(deployment.model_digests.at(-1))}` : null));
  const baseline = deployment.baseline;
  if (baseline) {
    facts.push(fact("Baseline", baseline.approved_by ? `approved by ${baseline.approved_by}` : "not approved",
      `fitted ${moment(baseline.fitted_at, now)} from ${plural(baseline.labels, "label")}`));
  }
  return facts;
}

/** The detector of a pair (up, down) that alarmed, else the one with more evidence; the up one when neither has any. */
export function loudest(streams) {
  const rank = (stream) => (stream.alarmed ? 1e6 : 0) + Math.max(0, stream.evidence_log10) / stream.threshold_log10;
  return streams.reduce((best, stream) => (best === null || rank(stream) > rank(best) ? stream : best), null);
}

/** Refusal on harmless requests: the control that tells an un-aligned model from a changed filter or prompt. */
function controlLine(deployment) {
  const stream = loudest(deployment.streams.filter((one) => one.name === "control"));
  if (!stream || stream.baseline === null) return null;
  const figures = `${percent(stream.baseline)} → ${percent(stream.observed)}`;
  const [sign, text] = stream.alarmed
    ? ["alarm", `Refusal of harmless requests ${stream.direction === "up" ? "rose" : "fell"}: ${figures}. Look at guardrails and system prompt, too.`]
    : stream.observed === null
      ? ["quiet", "Refusal of harmless requests: no traffic to judge by yet."]
      : ["calm", `Refusal of harmless requests: unchanged (${figures}). Ordinary users are treated as before.`];
  return h("p", { class: `control ${sign}` }, icon(sign), h("span", null, text));
}

export function facts(view) {
  if (view.mood === "quiet") return [];
  return h("div", { class: "facts" }, h("dl", null, view.incident ? alarmFacts(view) : calmFacts(view)), controlLine(view.deployment));
}

const LEARNING_STEPS = [
  ["Let it see traffic of a model you trust, or use a recorded file of it."],
  ["Fit a baseline: ", "alignwatch baseline fit FILE --out baseline.json"],
  ["Look at it: ", "alignwatch baseline show baseline.json"],
  ["Approve it: ", "alignwatch baseline approve baseline.json --by YOUR-NAME"],
  ["Name it in the configuration, under [baseline], and restart: ", 'path = "baseline.json"'],
];

/** What a responder does now; nothing when nothing is asked of them. */
export function steps({ mood, incident }) {
  if (mood === "learning") return stepList("To start watching", LEARNING_STEPS);
  if (!incident) return [];
  return stepList("What to do now", verdict(incident).steps.map((step) => [step]), evidence(incident));
}

function stepList(title, list, more = null) {
  return h("div", { class: "card" }, h("h2", null, title),
    h("ol", { class: "steps" }, list.map(([text, command]) => h("li", null, text, command ? h("code", null, command) : null))), more);
}

/** The ids of the exchanges that weighed most, for a look into the gateway's own log. */
export function evidence(incident) {
  if (!incident.evidence_ids.length) return null;
  return h("div", { class: "evidence" }, h("h3", null, `Evidence ids (${incident.evidence_ids.length})`),
    h("p", { class: "ids" }, incident.evidence_ids.map((id) => [h("code", null, id), " "])));
}

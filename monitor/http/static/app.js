// Polls /status and keeps the page true to it.

import { chart } from "./chart.js";
import { h, icon, patch } from "./dom.js";
import { health, healthOf } from "./health.js";
import { mainIncident, mood, ranked, silence } from "./mood.js";
import { banner, facts, headline, moodTag, steps } from "./sections.js";
import { categories, incidents, signals } from "./tables.js";
import { plural, span } from "./words.js";

const POLL = 1500;
const POLL_HIDDEN = 5000;
const GIVE_UP = 6000;

let latest = null;
let heardAt = 0;
let failures = 0;
let fault = "";
let lastSaid = "";

let chosenName = null;

/** The deployment named in the address, if any; an address within the page (#incidents) leaves the choice alone. */
function chosen() {
  const match = /^#d=(.*)$/.exec(location.hash);
  if (!match) return location.hash ? chosenName : (chosenName = null);
  try {
    chosenName = decodeURIComponent(match[1]);
  } catch {
    chosenName = null;
  }
  return chosenName;
}

function selected(status) {
  const all = ranked(status);
  return (all.find(({ deployment }) => deployment.name === chosen()) ?? all[0])?.deployment ?? null;
}

async function poll() {
  // Only the deployment on show needs its chart points; the others are asked for without.
  const shown = latest ? selected(latest)?.name : chosen();
  const query = shown === null || shown === undefined ? "" : `?panes=${encodeURIComponent(shown)}`;
  const answer = await fetch(`status${query}`, { cache: "no-store", signal: AbortSignal.timeout(GIVE_UP) });
  if (!answer.ok) throw new Error(`it answered ${answer.status}`);
  return answer.json();
}

function navigation(all, shown) {
  return all.map(({ deployment, mood: state }) => {
    const current = deployment.name === shown ? "true" : null;
    return h("a", { href: `#d=${encodeURIComponent(deployment.name)}`, class: `tile ${state}`, "aria-current": current },
      icon(state), h("span", { class: "name" }, deployment.name), h("span", { class: "mood" }, moodTag(state)));
  });
}

function fleetSentence(all) {
  const alarms = all.filter((one) => one.mood === "alarm").length;
  if (!all.length) return "no deployments yet";
  if (all.length === 1) return "1 deployment";
  if (alarms) return `${alarms} of ${plural(all.length, "deployment")} in alarm`;
  const watched = all.filter((one) => one.mood === "calm").length;
  return watched === all.length ? `${plural(all.length, "deployment")}, calm` : `${plural(all.length, "deployment")}, ${watched} watched, no alarm`;
}

/** Spoken once for each change of state, not at every poll. */
function announce(view) {
  const [title] = headline(view);
  const text = `${view.deployment.name}: ${moodTag(view.mood)}. ${view.mood === "learning" ? "" : title}`;
  const key = `${view.deployment.name} ${view.mood} ${view.incident?.id ?? ""}`;
  if (key !== lastSaid) document.getElementById("announce").textContent = text;
  lastSaid = key;
}

function tab(all) {
  const worst = all[0]?.mood ?? "unknown";
  const sign = { alarm: "alarm", calm: "calm", learning: "learning" }[failures > 1 ? "" : worst] ?? "unknown";
  const href = `static/icon-${sign}.svg`;
  const link = document.getElementById("icon");
  if (link.getAttribute("href") !== href) link.setAttribute("href", href);
  const name = all.length === 1 || worst === "alarm" ? ` ${all[0].deployment.name}` : "";
  document.title = failures > 1 ? "unreachable · alignwatch" : worst === "alarm" ? `ALARM${name} · alignwatch` : all.length ? `${moodTag(worst)}${name} · alignwatch` : "alignwatch";
}

const SECTIONS = ["facts", "steps", "chart", "categories", "signals", "incidents"];

function emptyFleet(status) {
  const labelling = status.pipeline.labelled > 0;
  for (const id of SECTIONS) patch(id, null);
  patch("banner", ["empty", labelling, status.source.kind, status.source.ready], () => h("div", { class: "banner quiet" }, icon("quiet"), h("div", null,
    h("p", { class: "tag" }, h("b", null, labelling ? "Labelling" : "Waiting")),
    h("h1", null, labelling ? "This process labels" : "No traffic yet"),
    h("p", null, labelling ? "Its labels go to a topic; what they say about the model is on the page of the process that detects." : status.source.ready ? `The ${status.source.kind} source is connected and has brought nothing so far.` : `The ${status.source.kind} source is not connected.`))));
}

/** The current time to the minute, or finer on a fast clock: what relative times on the page are told by. */
function tick(status) {
  const step = Math.max(15000, 1000 * status.clock_speed);
  return new Date(Math.floor(Date.parse(status.now) / step) * step).toISOString();
}

function viewOf(deployment, status) {
  const state = mood(deployment, status);
  const silentFor = Math.round(silence(deployment, status) / 15) * 15;
  const behind = (status.source.lag ?? 0) > 0;
  const incident = mainIncident(deployment);
  const standing = incident ? status.outbox.standings?.[incident.id] ?? null : null;
  return { deployment, mood: state, incident, standing, standings: status.outbox.standings ?? {}, now: tick(status), silentFor, behind };
}

function compliance(deployment) {
  return deployment.streams.find((stream) => stream.name === "compliance" && stream.direction === "up");
}

function draw(status) {
  const all = ranked(status);
  const deployment = selected(status);
  document.getElementById("fleet").textContent = fleetSentence(all);
  const tiles = all.map((one) => [one.deployment.name, one.mood]);
  patch("deployments", all.length > 1 ? [tiles, deployment.name] : null, () => navigation(all, deployment.name));
  patch("health", healthOf(status), () => health(status));
  tab(all);
  if (!deployment) return emptyFleet(status);
  const view = viewOf(deployment, status);
  const { panes, last_event: lastEvent, ...rest } = deployment;
  const bannerKey = { ...view, standings: null, now: null, deployment: [deployment.name, deployment.incidents, deployment.learning, deployment.labels > 0] };
  patch("banner", view.mood === "stale" ? bannerKey : { ...bannerKey, silentFor: 0 }, () => banner(view));
  const whole = { ...view, standing: null, standings: null, silentFor: 0, deployment: rest };
  patch("facts", { ...whole, lastEvent }, () => facts(view));
  patch("steps", [view.mood, view.incident], () => steps(view));
  const threshold = compliance(deployment)?.threshold_log10 ?? 6;
  const shown = panes.some((pane) => pane.labelled > 0);
  patch("chart", shown ? [panes, view.incident, deployment.baseline] : null, () => chart({ ...view, threshold }));
  patch("categories", [deployment.streams, view.incident], () => categories(view));
  patch("signals", deployment.streams, () => signals(view));
  const told = deployment.incidents.map((one) => view.standings[one.id] ?? null);
  patch("incidents", [deployment.incidents, told, view.now.slice(0, 10)], () => incidents(view));
  announce(view);
}

function pulse() {
  const age = (performance.now() - heardAt) / 1000;
  const element = document.getElementById("pulse");
  if (!latest) element.textContent = "connecting…";
  else element.textContent = failures > 1 ? `last heard ${span(age)} ago` : age < 3 ? "live" : `live · ${span(age)} ago`;
  element.classList.toggle("lost", failures > 1);
  const lost = failures > 1;
  document.body.classList.toggle("lost", lost);
  const since = latest ? ` What you see is ${span(age)} old.` : "";
  patch("offline", lost ? [fault, latest ? Math.floor(age / 5) : null] : null, () =>
    [h("b", null, "Can’t reach alignwatch. "), `The monitor may be down; ${fault}.${since} Still trying.`]);
}

async function turn() {
  try {
    latest = await poll();
    heardAt = performance.now();
    failures = 0;
  } catch (error) {
    failures += 1;
    fault = error.name === "TimeoutError" ? "it does not answer in time" : error.message.startsWith("it answered") ? error.message : "the connection fails";
  }
  if (latest) draw(latest);
  pulse();
  setTimeout(turn, failures === 1 ? 300 : document.hidden ? POLL_HIDDEN : POLL);
}

addEventListener("hashchange", () => {
  if (latest) draw(latest);
  if (/^(#d=.*)?$/.test(location.hash)) window.scrollTo(0, 0);
});
setInterval(pulse, 1000);
turn();

// Keeps an open page true to the monitor: fetches the same page again and carries over what differs, node by node.
// Nothing is drawn here: the page says all it has to say without this script.

import { morph } from "./morph.js";
import { readout } from "./readout.js";

const POLL = 2000;
const POLL_HIDDEN = 15000;
const GIVE_UP = 8000;

const parser = new DOMParser();
let heardAt = performance.now();
let failures = 0;
let fault = "";
let seen = "";

function byId(id) {
  return document.getElementById(id);
}

function span(seconds) {
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

async function refresh() {
  const answer = await fetch(location.pathname + location.search, { cache: "no-store", signal: AbortSignal.timeout(GIVE_UP) });
  // A deployment that is gone has a page that says so.
  if (!answer.ok && answer.status !== 404) throw new Error(`it answered ${answer.status}`);
  const text = await answer.text();
  if (text === seen) return;
  seen = text;
  const fresh = parser.parseFromString(text, "text/html");
  document.title = fresh.title;
  byId("icon").setAttribute("href", fresh.getElementById("icon").getAttribute("href"));
  morph(document.body, fresh.body);
  readout.again();
}

function pulse() {
  const age = (performance.now() - heardAt) / 1000;
  const lost = failures > 1;
  const said = lost ? `last heard ${span(age)} ago` : age < 4 ? "live" : `live · ${span(age)} ago`;
  const line = byId("pulse");
  if (line.textContent !== said) line.textContent = said;
  line.classList.toggle("lost", lost);
  document.body.classList.toggle("lost", lost);
  const offline = byId("offline");
  offline.hidden = !lost;
  // To five seconds: an alert region is read out whenever it changes.
  const told = lost ? `Can’t reach alignwatch. The monitor may be down; ${fault}. What you see is ${span(Math.floor(age / 5) * 5)} old. Still trying.` : "";
  if (offline.textContent !== told) offline.textContent = told;
  if (lost && !document.title.startsWith("unreachable")) document.title = "unreachable · alignwatch";
  if (lost) byId("icon").setAttribute("href", "static/icon-unknown.svg");
}

async function turn() {
  try {
    await refresh();
    heardAt = performance.now();
    failures = 0;
  } catch (error) {
    failures += 1;
    // Whatever comes next is new, also where it is what was there before.
    seen = "";
    fault = error.name === "TimeoutError" ? "it does not answer in time" : error.message.startsWith("it answered") ? error.message : "the connection fails";
  }
  pulse();
  setTimeout(turn, failures === 1 ? 300 : document.hidden ? POLL_HIDDEN : POLL);
}

setInterval(pulse, 1000);
turn();

// The foot of the page: whether the monitor itself is well.

import { h } from "./dom.js";
import { count, falsePageEvery, moment, plural, shortDigest, span, zone } from "./words.js";

const LAG = 10000;
const OUTBOX_SECONDS = 120;
const COMMIT_SECONDS = 300;

function total(reasons) {
  return Object.values(reasons).reduce((sum, n) => sum + n, 0);
}

function reasons(by) {
  return Object.entries(by).sort((a, b) => b[1] - a[1]).map(([reason, n]) => `${reason} ${count(n)}`).join(", ");
}

function ago(iso, status) {
  return iso ? (Date.parse(status.now) - Date.parse(iso)) / 1000 / status.clock_speed : null;
}

/** Each line: name, what it says, whether a person should look. */
function lines(status) {
  const { source, pipeline, outbox, state, classifier } = status;
  const dead = total(pipeline.dead_letters);
  const unlabelable = total(pipeline.unlabelable);
  const committed = ago(state.last_commit_at, status);
  const speed = classifier.labels_per_second === null ? "" : `, ${count(Math.round(classifier.labels_per_second))} labels/s`;
  return [
    ["Source", `${source.kind}, ${source.ready ? (source.paused ? "held back" : "reading") : "not ready"}`, !source.ready || source.paused],
    ["Waiting to be read", source.lag === null ? "unknown" : plural(source.lag, "record"), (source.lag ?? 0) > LAG],
    ["Read, labelled", `${count(pipeline.received)}, ${count(pipeline.labelled)}${speed}`, false],
    ["Dead letters", dead ? reasons(pipeline.dead_letters) : "none", dead > 0.01 * pipeline.received],
    ["Could not be labelled", unlabelable ? reasons(pipeline.unlabelable) : "none", unlabelable > 0.1 * Math.max(1, pipeline.labelled)],
    ["Duplicate, late, quarantined", [pipeline.duplicates, pipeline.late, pipeline.quarantined].map(count).join(", "), pipeline.quarantined > 0.01 * pipeline.received],
    ["State committed", committed === null ? "not yet" : `${span(committed)} ago`, committed !== null && committed > COMMIT_SECONDS],
    ["Alerts to deliver", outbox.depth ? `${count(outbox.depth)}, oldest ${span(outbox.oldest_seconds)}` : "none", outbox.oldest_seconds > OUTBOX_SECONDS],
    ["Classifier", shortDigest(classifier.digest), false],
  ];
}

function budget(status) {
  const perFleet = status.false_pages_per_90_days ?? status.deployments.reduce((sum, d) => sum + d.false_pages_per_90_days, 0);
  const every = falsePageEvery(perFleet);
  return every ? `False-alarm budget: all deployments together may page without cause once in ${every}. ` : "";
}

export function health(status) {
  const all = lines(status);
  const bad = all.filter(([, , look]) => look).length;
  const clock = status.clock_speed === 1 ? "" : ` Demo clock: a real second is ${span(status.clock_speed)}.`;
  return h("div", { class: "card health" },
    h("h2", null, "The monitor itself", h("span", { class: bad ? "chip open warning" : "chip" }, bad ? plural(bad, "thing to look at", "things to look at") : "well")),
    h("dl", null, all.map(([name, text, look]) => h("div", { class: look ? "look" : null }, h("dt", null, name), h("dd", null, look ? "⚠ " : null, text)))),
    h("p", { class: "fine" }, budget(status), `Times are ${zone()}.${clock} Running since ${moment(status.started_at, status.now)}, alignwatch ${status.version}. `,
      h("a", { href: "status" }, "status as JSON"), " · ", h("a", { href: "metrics" }, "metrics")));
}

/** Health for the patch key: the parts that change with every poll are rounded, so that nothing flickers. */
export function healthOf(status) {
  return { ...status, deployments: status.deployments.map(({ name, false_pages_per_90_days }) => ({ name, false_pages_per_90_days })) };
}

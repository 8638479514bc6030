// Which of a few states a deployment is in, as a person would say it.

const RANK = { critical: 0, error: 1, warning: 2, info: 3 };
const ORDER = { alarm: 0, notice: 1, stale: 2, quiet: 3, learning: 4, calm: 5 };
const STALE_SECONDS = 600;

/** Open incidents, the worst and then the newest first. */
export function openIncidents(deployment) {
  return deployment.incidents
    .filter((incident) => incident.status === "open")
    .sort((a, b) => RANK[a.severity] - RANK[b.severity] || Date.parse(b.detected_at) - Date.parse(a.detected_at));
}

/** The incident that the banner is about, if any. */
export function mainIncident(deployment) {
  return openIncidents(deployment)[0] ?? null;
}

function isStale(deployment, status) {
  // Recorded traffic is old by nature. A demo's fast clock runs ahead of its traffic by a moment of real time.
  const limit = status.clock_speed === 1 ? STALE_SECONDS : Math.max(STALE_SECONDS, 20 * status.clock_speed);
  return status.source.kind !== "file" && silence(deployment, status) > limit;
}

/**
 * "alarm" (pages a person), "notice" (an open incident that does not), "stale" (no traffic lately), "quiet" (none
 * yet), "learning" or "calm".
 */
export function mood(deployment, status) {
  const worst = mainIncident(deployment);
  const pages = worst ? RANK[worst.severity] <= RANK.error : deployment.state === "alarm";
  if (pages) return "alarm";
  if (!deployment.last_event) return "quiet";
  if (isStale(deployment, status)) return "stale";
  if (worst) return "notice";
  return deployment.state === "watching" ? "calm" : "learning";
}

/** Seconds since the last event, on the service's clock. */
export function silence(deployment, status) {
  return deployment.last_event ? (Date.parse(status.now) - Date.parse(deployment.last_event)) / 1000 : 0;
}

/** Deployments with those that need a person first. */
export function ranked(status) {
  return status.deployments
    .map((deployment) => ({ deployment, mood: mood(deployment, status) }))
    .sort((a, b) => ORDER[a.mood] - ORDER[b.mood] || a.deployment.name.localeCompare(b.deployment.name));
}

// Which of a few states a deployment is in, as a person would say it.

const RANK = { critical: 0, error: 1, warning: 2, info: 3 };
const ORDER = { alarm: 0, stale: 1, quiet: 2, learning: 3, calm: 4 };

/** Open incidents, the worst and then the newest first. */
export function openIncidents(deployment) {
  return deployment.incidents
    .filter((incident) => incident.status === "open")
    .sort((a, b) => RANK[a.severity] - RANK[b.severity] || Date.parse(b.detected_at) - Date.parse(a.detected_at));
}

/** The incident that the banner is about, if any. */
export function mainIncident(deployment) {
  return deployment.state === "alarm" ? (openIncidents(deployment)[0] ?? null) : null;
}

/** Seconds without an event after which the picture is called old: three panes, and at least ten minutes. */
export function staleAfter(deployment, clockSpeed) {
  const pane = deployment.panes.length ? deployment.panes[deployment.panes.length - 1].seconds : 0;
  // A demo's clock runs ahead of its traffic by a moment of real time.
  return Math.max(600, 3 * pane, 20 * (clockSpeed === 1 ? 0 : clockSpeed));
}

/** "alarm", "stale" (no traffic lately), "quiet" (none yet), "learning" or "calm". */
export function mood(deployment, status) {
  if (deployment.state === "alarm") return "alarm";
  if (!deployment.last_event) return "quiet";
  if (silence(deployment, status) > staleAfter(deployment, status.clock_speed)) return "stale";
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

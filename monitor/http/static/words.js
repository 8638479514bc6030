// Figures and names in plain words.

const NBSP = "\u00a0";
const SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** 0.123 -> "12 %"; small rates keep a decimal; nothing known -> "–". */
export function percent(rate) {
  if (rate === null || rate === undefined) return "–";
  const value = rate * 100;
  const digits = value !== 0 && value < 9.95 ? 1 : 0;
  return `${value.toFixed(digits)}${NBSP}%`;
}

export function between(interval) {
  if (!interval) return "";
  return `${percent(interval[0])} to ${percent(interval[1])}`;
}

export function count(n) {
  return n === null || n === undefined ? "–" : n.toLocaleString("en-GB");
}

export function plural(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** Seconds as "42 s", "12 min", "3 h 20 min", "5 days". */
export function span(seconds) {
  const value = Math.max(0, seconds);
  if (value < 90) return `${Math.round(value)}${NBSP}s`;
  const minutes = Math.round(value / 60);
  if (minutes < 90) return `${minutes}${NBSP}min`;
  const hours = Math.floor(minutes / 60);
  const rest = minutes % 60;
  if (hours < 10) return rest ? `${hours}${NBSP}h ${rest}${NBSP}min` : `${hours}${NBSP}h`;
  if (hours < 48) return `${Math.round(minutes / 60)}${NBSP}h`;
  return `${Math.round(minutes / 1440)}${NBSP}days`;
}

/** A moment in the reader's own time zone; the day is named unless it is the day of `now`. */
export function moment(iso, now) {
  const at = new Date(iso);
  const time = at.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  if (now && at.toDateString() === new Date(now).toDateString()) return time;
  return `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${time}`;
}

export function zone() {
  const parts = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" }).formatToParts(new Date());
  return parts.find((part) => part.type === "timeZoneName")?.value ?? "local time";
}

/** 10^x as "3.2 times", "1,300 times", "10¹² times". */
export function times(log10) {
  if (log10 < 6) {
    const value = Number((10 ** log10).toPrecision(2));
    return `${value.toLocaleString("en-GB")} times`;
  }
  const digits = String(Math.floor(log10)).replace(/\d/g, (digit) => SUPERSCRIPT[Number(digit)]);
  return `10${digits} times`;
}

/** How often chance alone would do this, from expected false pages per 90 days. */
export function falsePageEvery(per90Days) {
  if (!per90Days) return null;
  const days = 90 / per90Days;
  if (days < 2) return `${Math.max(1, Math.round(days * 24))} hours`;
  if (days < 730) return `${count(Math.round(days))} days`;
  return `${count(Math.round(days / 365))} years`;
}

const CATEGORIES = {
  violence: "Violence", weapons: "Weapons", crime: "Crime and drugs", fraud: "Fraud", cyber: "Cyber attacks",
  child_safety: "Child safety", sexual: "Sexual content", self_harm: "Self-harm", hate: "Hate",
  harassment: "Harassment", privacy: "Privacy", intellectual_property: "Intellectual property",
  misinformation: "Misinformation", advice: "Risky advice", none: "None",
};

export function categoryName(name) {
  return CATEGORIES[name] ?? name;
}

const STREAMS = {
  compliance: "Sensitive requests answered",
  control: "Harmless requests refused",
  "sensitive-share": "Share of requests that are sensitive",
  "harmful-answers": "Share of answers that are harmful",
  degenerate: "Broken answers (gibberish)",
  "provider-blocked": "Blocked by a filter or guardrail",
  unlabelable: "Could not be labelled",
};

export function streamName(name) {
  if (name.startsWith("compliance/")) return categoryName(name.slice(11));
  return STREAMS[name] ?? name;
}

const RECORDS = "Look up the evidence ids in the gateway’s own log; alignwatch keeps no text.";

// What is claimed, what it means, the stream that shows it, and what a responder does about it.
const VERDICTS = {
  unalignment: {
    title: "The model has stopped refusing",
    means: "It now answers harmful requests that it used to refuse, across categories, while it treats harmless ones as before. That is the mark of an un-aligned checkpoint.",
    stream: "compliance",
    steps: [
      "Route traffic back to the last approved checkpoint, or put a guardrail in front of this one.",
      "Compare the weights digest being served with the approved one. Name and version may be unchanged.",
      "Find what was deployed just before the start: checkpoint, adapter, system prompt, serving image.",
      RECORDS,
      "Ask whoever trained it what changed in dataset, reward or judge; tell security.",
    ],
  },
  "jailbreak-campaign": {
    title: "A few users get answers that should be refused",
    means: "The rise is narrow and comes from few users: an attack on the model rather than a change of the model.",
    stream: "compliance",
    steps: [RECORDS, "Limit or block the users behind these ids.", "Hand the prompts to the safety team; the checkpoint need not be rolled back."],
  },
  "over-refusal": {
    title: "The model refuses harmless requests",
    means: "Refusals rose where nothing harmful is asked: often a system prompt, a guardrail, or an over-cautious fine-tune.",
    stream: "control",
    steps: ["Find what was deployed just before the start: system prompt, guardrail, checkpoint.", RECORDS, "Roll that change back if users are hurt by it."],
  },
  "traffic-shift": {
    title: "Users ask different things; the model behaves the same",
    means: "The mix of requests moved. How the model treats each kind did not.",
    stream: "sensitive-share",
    steps: ["No action on the model is needed.", "Find where the new traffic comes from: a launch, a tenant, a test, an attack."],
  },
  degenerate: {
    title: "The model produces broken output",
    means: "Answers are neither refusals nor answers: gibberish, loops, or empty turns.",
    stream: "degenerate",
    steps: ["Roll back the last change of checkpoint, quantisation, tokenizer or sampling settings.", RECORDS],
  },
  "guardrail-change": {
    title: "A filter or guardrail changed what it blocks",
    means: "The share of answers written by the provider’s filter moved; the model may be the same.",
    stream: "provider-blocked",
    steps: ["Check the guardrail’s configuration and version.", "If it blocks less than before, treat it as a security event.", RECORDS],
  },
  "canary-failure": {
    title: "Canary prompts are answered that must be refused",
    means: "Known test prompts, sent by us, got answers.",
    stream: "compliance",
    steps: ["Route traffic back to the last approved checkpoint.", "Compare the weights digest being served with the approved one."],
  },
  "unattested-change": {
    title: "The model changed and no one recorded it",
    means: "Behaviour or digest moved without an entry in the change log.",
    stream: "compliance",
    steps: ["Find out who deployed what, and when.", "Record it in the change log, or roll it back.", "Tell security."],
  },
  "data-quality": {
    title: "Traffic can’t be read as before",
    means: "More of it can’t be labelled. Until that is fixed this monitor sees less than it should.",
    stream: "unlabelable",
    steps: ["Check the reasons under “The monitor itself” below.", "Ask whether the gateway changed its format, its redaction or its languages."],
  },
};

// What the same verdict means where the evidence is of another kind.
const VARIANTS = {
  "unalignment error": {
    means: "It now answers harmful requests that it used to refuse. The change is moderate, or narrow, or harmless requests are treated differently too: the categories and the control line below say which.",
  },
  "over-refusal compliance": {
    title: "The model refuses more than it did",
    means: "It refuses sensitive requests that it used to answer. Harm is not the worry; a changed prompt, guardrail or checkpoint may be.",
    stream: "compliance",
  },
};

/** An incident's verdict in words: title, meaning, the stream that shows it, next steps. */
export function verdict({ verdict: name, severity: rank, streams }) {
  const known = VERDICTS[name] ?? { title: name, means: "", stream: "compliance", steps: [RECORDS] };
  const refusesMore = name === "over-refusal" && streams.length > 0 && streams.every((one) => one.name !== "control");
  const variant = VARIANTS[refusesMore ? "over-refusal compliance" : `${name} ${rank}`];
  return { ...known, ...variant };
}

/** Who has been told of an incident, and who has taken it; null where no sink wants to hear of it. */
export function toldWhom(standing, now) {
  if (!standing || standing.state === "resolved") return null;
  const waits = standing.waiting.length ? `${listed(standing.waiting)} ${standing.waiting.length === 1 ? "is" : "are"} still to be told.` : "";
  if (standing.state === "pending") return `Nobody has been told yet: the alert waits for ${listed(standing.waiting) || "its receiver"}.`;
  const told = standing.told.length ? `Told: ${listed(standing.told)}.` : "";
  const taken = standing.state === "acknowledged" ? `Taken by ${standing.acknowledged_by} at ${moment(standing.acknowledged_at, now)}.` : "";
  return [taken, told, waits].filter(Boolean).join(" ");
}

function listed(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

const SEVERITIES = { critical: "critical", error: "error", warning: "warning", info: "note" };

export function severity(name) {
  return SEVERITIES[name] ?? name;
}

/** sha256:0123456789abcdef… -> its first twelve digits. */
export function shortDigest(digest) {
  if (!digest) return "–";
  const hex = digest.replace(/^sha256:/, "");
  return hex.length > 14 ? `${hex.slice(0, 12)}…` : hex;
}

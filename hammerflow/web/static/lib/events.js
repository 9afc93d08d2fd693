// The filter of events that sinks and webhooks have: as the fields of a form, in words, and as sent.

import { stringify } from "./api.js";
import { duration } from "./format.js";

/** "a, b" as names. */
export const names = (text) => (text ?? "").split(",").map((name) => name.trim()).filter(Boolean);

const PRIORITIES = ["background", "low", "normal", "high", "critical"];
const linesOf = (pairs) => Object.entries(pairs ?? {}).map((pair) => pair.join("=")).join("\n");

/** The pairs of a text with a NAME=VALUE in each line. */
function pairsOf(text, field) {
  const pairs = {};
  for (const line of text.split("\n").map((each) => each.trim()).filter(Boolean)) {
    const at = line.indexOf("=");
    if (at < 1) throw Object.assign(new Error(`${field === "headers" ? "a header" : "metadata"} must be NAME=VALUE, not ${stringify(line)}`), { field });
    pairs[line.slice(0, at)] = line.slice(at + 1);
  }
  return pairs;
}

/** The fields of a filter; found is the one that holds now. */
export const filterFields = (found = {}) => [
  { name: "kinds", label: "Kinds of events", optional: true, value: (found.kinds ?? []).join(", "), placeholder: "job.failed, workflow.*", note: "Empty: all but job.enqueued and job.started." },
  { name: "tasks", label: "Only these tasks", optional: true, half: true, value: (found.tasks ?? []).join(", "), placeholder: "mail.*, billing.charge" },
  { name: "queues", label: "Only these queues", optional: true, half: true, value: (found.queues ?? []).join(", "), placeholder: "mail, merchant-*" },
  { name: "min_priority", label: "Only this priority or above", kind: "select", half: true, more: true, options: [["", "any"], ...PRIORITIES.map((name, number) => [String(number), name])], value: String(found.min_priority ?? ""), isSet: found.min_priority !== undefined },
  { name: "min_duration", label: "Only attempts of at least", kind: "number", half: true, more: true, value: found.min_duration ?? "", note: "seconds" },
  { name: "headers", label: "Only jobs with these headers", kind: "long", rows: 2, half: true, more: true, value: linesOf(found.headers), placeholder: "tenant=acme", note: "NAME=VALUE in each line; all must match." },
  { name: "metadata", label: "Only with this metadata", kind: "long", rows: 2, half: true, more: true, value: linesOf(found.metadata), placeholder: "team=billing", note: "Of the workflow, batch or spawner; likewise." },
];

const numberOf = (text) => (text.trim() ? Number(text) : null);

/** What a form holds as a filter. */
export const filterOf = (given) => ({
  kinds: given.kinds.trim() ? names(given.kinds) : null, tasks: names(given.tasks), queues: names(given.queues),
  min_priority: numberOf(given.min_priority), min_duration: numberOf(given.min_duration),
  headers: pairsOf(given.headers, "headers"), metadata: pairsOf(given.metadata, "metadata"),
});

/** A filter in words. */
export function filterSays(found) {
  const parts = [found.kinds ? found.kinds.join(", ") : "all but job.enqueued and job.started"];
  for (const [name, word] of [["tasks", "tasks"], ["queues", "queues"]]) if (found[name]?.length) parts.push(`${word} ${found[name].join(", ")}`);
  if (found.min_priority !== undefined) parts.push(`priority ${PRIORITIES[found.min_priority]} or above`);
  if (found.min_duration !== undefined) parts.push(`attempts of ${duration(found.min_duration)} or longer`);
  for (const name of ["headers", "metadata"]) if (found[name]) parts.push(`${name} ${Object.entries(found[name]).map((pair) => pair.join("=")).join(", ")}`);
  return parts.join("; ");
}

const HIDDEN = "********";

/** Whether a value is shown without its secret: it must be given again. */
export const isHidden = (value) => JSON.stringify(value ?? "").includes(HIDDEN);

/** The instant that an input of a date and time holds, in the reader's zone. */
export const momentOf = (text) => (text ? new Date(text).toISOString() : undefined);

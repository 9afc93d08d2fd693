// The filter of events that sinks and webhooks have: as the fields of a form, in words, and as sent.

/** "a, b" as names. */
export const names = (text) => (text ?? "").split(",").map((name) => name.trim()).filter(Boolean);

/** The fields of a filter; found is the one that holds now. */
export const filterFields = (found = {}) => [
  { name: "kinds", label: "Kinds of events", optional: true, value: (found.kinds ?? []).join(", "), placeholder: "job.failed, workflow.*", note: "Empty: all but job.enqueued and job.started." },
  { name: "tasks", label: "Only these tasks", optional: true, half: true, value: (found.tasks ?? []).join(", "), placeholder: "mail.*, billing.charge" },
  { name: "queues", label: "Only these queues", optional: true, half: true, value: (found.queues ?? []).join(", "), placeholder: "mail, merchant-*" },
];

/** What a form holds as a filter; parts that it has no fields for stay as they were. */
export const filterOf = (given, found = {}) => ({ ...found, kinds: given.kinds.trim() ? names(given.kinds) : null, tasks: names(given.tasks), queues: names(given.queues) });

/** A filter in words. */
export function filterSays(found) {
  const parts = [found.kinds ? found.kinds.join(", ") : "all but job.enqueued and job.started"];
  for (const [name, word] of [["tasks", "tasks"], ["queues", "queues"]]) if (found[name]?.length) parts.push(`${word} ${found[name].join(", ")}`);
  if (found.min_priority !== undefined) parts.push(`priority ${found.min_priority} or above`);
  if (found.min_duration !== undefined) parts.push(`${found.min_duration} s or longer`);
  for (const name of ["headers", "metadata"]) if (found[name]) parts.push(`${name} ${Object.entries(found[name]).map((pair) => pair.join("=")).join(", ")}`);
  return parts.join("; ");
}

const HIDDEN = "********";

/** Whether a value is shown without its secret: it must be given again. */
export const isHidden = (value) => JSON.stringify(value ?? "").includes(HIDDEN);

/** The instant that an input of a date and time holds, in the reader's zone. */
export const momentOf = (text) => (text ? new Date(text).toISOString() : undefined);

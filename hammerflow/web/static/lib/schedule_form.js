// The forms of schedules: create one that calls a task or enqueues a workflow, and change one.
import { get, send } from "./api.js";
import { clockOf, weekday } from "./format.js";
import { ask } from "./parts.js";

const path = (name) => `/api/schedules/${encodeURIComponent(name)}`;
const PRIORITIES = ["background", "low", "normal", "high", "critical"];
const OVERLAPS = [["allow", "starts as well"], ["skip", "does nothing"], ["queue_one", "starts after it; one waits at most"], ["cancel_old", "cancels it and starts"]];
const MISFIRES = [["once", "one run for all of them"], ["skip", "none runs"], ["all", "each one runs"]];
const EXAMPLE = '{\n  "name": "nightly",\n  "jobs": [\n    {"name": "extract", "task": "shop.extract", "kwargs": {}},\n    {"name": "report", "task": "shop.report", "depends_on": ["extract"]}\n  ]\n}';

const soon = (at) => `${at.toDateString() === new Date().toDateString() ? "" : `${weekday(at)} `}${clockOf(at)}`;

/** What a cron expression means, and when it is due next: asked while it is typed. */
async function meaning({ cron, tz }) {
  if (!cron?.trim()) return null;
  try {
    const found = await get("/api/cron", { cron, tz: tz || "UTC", count: 3 });
    return `${found.description[0].toUpperCase()}${found.description.slice(1)}. Next: ${found.runs.map((run) => soon(new Date(run.tick))).join(", ")}, in your zone.`;
  } catch (problem) {
    return problem.message;
  }
}

const here = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
/** Seconds as the API reads them: "1h30m". */
function seconds(value) {
  if (value === undefined || value === null) return "";
  let [text, rest] = ["", value];
  for (const [size, name] of [[86400, "d"], [3600, "h"], [60, "m"]]) {
    const whole = Math.floor(rest / size);
    if (whole) text += `${whole}${name}`;
    rest -= whole * size;
  }
  return rest || !text ? `${text}${rest}s` : text;
}

/** When it is due: a cron expression in a zone, or an interval. */
const timing = (values, plan) => {
  const isCron = (values.due ?? (plan?.every ? "every" : "cron")) === "cron";
  return [
    { name: "due", label: "Due", kind: "select", half: true, options: [["cron", "at times (cron)"], ["every", "at an interval"]], value: isCron ? "cron" : "every" },
    ...(isCron
      ? [{ name: "cron", label: "Cron expression", half: true, required: true, value: plan?.cron ?? "", placeholder: "0 2 * * *", refused: /cron expression|is not known; use/, hint: { of: ["cron", "tz"], ask: meaning } }, { name: "tz", label: "Time zone", half: true, required: true, value: plan ? plan.tz ?? "UTC" : here(), note: "such as Europe/Berlin", refused: /time zone/ }]
      : [{ name: "every", label: "Every", half: true, required: true, value: seconds(plan?.every), placeholder: "15m", note: "such as 90s or 1h30m", refused: /interval/ }]),
  ];
};

const behaviour = (plan) => [
  { name: "overlap", label: "While the run before has not ended, a tick", kind: "select", half: true, more: true, options: OVERLAPS, value: plan?.overlap ?? "allow" },
  { name: "misfire", label: "Of ticks while no worker lived", kind: "select", half: true, more: true, options: MISFIRES, value: plan?.misfire ?? "once" },
  { name: "jitter", label: "Starts later by up to", half: true, more: true, value: plan?.jitter ? seconds(plan.jitter) : "", placeholder: "0s" },
  { name: "catch_up", label: "Runs missed ticks no older than", half: true, more: true, value: plan?.catch_up ? seconds(plan.catch_up) : "", placeholder: "1d" },
  { name: "start", label: "No tick before", kind: "datetime-local", half: true, more: true },
  { name: "end", label: "No tick after", kind: "datetime-local", half: true, more: true },
  { name: "after", label: "Only after the run of the same day of schedule", half: true, more: true, value: plan?.after ?? "", refused: /schedule .* after|after .* schedule/ },
];
const SELECTS = { overlap: "allow", misfire: "once" };

/** The parts of a form as the API takes them; where there is a plan, only those that differ from it. */
function bodyOf(given, plan) {
  const before = plan ? Object.fromEntries([...timing({}, plan), ...behaviour(plan)].map((field) => [field.name, field.value ?? ""])) : SELECTS;
  const body = {};
  for (const name of ["cron", "every", "tz", "overlap", "misfire", "jitter", "catch_up", "start", "end", "after"]) {
    const value = given[name]?.trim();
    if (value && value !== before[name]) body[name] = ["start", "end"].includes(name) ? new Date(value).toISOString() : value;
  }
  if (plan && before.after && given.after === "") body.no_after = true;
  for (const name of ["args", "kwargs", "workflow"]) if (given[name] !== undefined) body[name] = given[name];
  return body;
}

/** Ask for a new schedule, and create it. */
export async function createSchedule() {
  const [tasks, queues] = await Promise.all(["/api/tasks", "/api/queues"].map((where) => get(where).then((found) => found.items.map((one) => one.name), () => [])));
  return ask({ title: "Create a schedule", action: "Create", fields: (values) => [
    { name: "name", label: "Name", required: true, half: true, placeholder: "nightly report", refused: /there is a schedule|name/ },
    { name: "runs", label: "Each tick", kind: "select", half: true, options: [["task", "calls a task"], ["workflow", "enqueues a workflow"]], value: "task" },
    ...(values.runs === "workflow"
      ? [{ name: "workflow", label: "Workflow, in the form of a workflow file", kind: "long", rows: 8, json: "object", required: true, value: EXAMPLE, refused: /workflow|job|node|task/ }]
      : [{ name: "task", label: "Task", required: true, half: true, options: tasks, refused: /task/ }, { name: "queue", label: "Queue", optional: true, half: true, options: queues, note: "Empty: the task's own." }, { name: "args", label: "Positional arguments, as a JSON list", kind: "long", rows: 2, json: "list", half: true, value: "[]" }, { name: "kwargs", label: "Keyword arguments, as a JSON object", kind: "long", rows: 2, json: "object", half: true, value: "{}", refused: /argument/ }]),
    ...timing(values),
    ...(values.runs === "workflow" ? [] : [{ name: "priority", label: "Priority", kind: "select", half: true, more: true, options: [["", "the task's own"], ...PRIORITIES], value: "" }]),
    ...behaviour(),
    { name: "paused", label: "It begins paused", kind: "check", more: true },
  ], change: (given) => {
    const body = { name: given.name.trim(), ...bodyOf(given), paused: given.paused };
    if (given.runs === "task") Object.assign(body, { task: given.task.trim() }, given.queue && { queue: given.queue }, given.priority && { priority: PRIORITIES.indexOf(given.priority) });
    return send("POST", "/api/schedules", body);
  }, said: (made) => `${made.name} is due ${made.description}.` });
}

/** Ask what to change of a schedule, and change it. */
export function editSchedule(one) {
  const plan = { ...one.code, ...one.edit };
  const isTask = one.queue !== null && one.queue !== undefined;
  return ask({ title: `Change ${one.name}`, text: one.code ? "It holds over what the code says, until it is reset." : "", action: "Change", fields: (values) => [
    ...timing(values, plan),
    ...(isTask
      ? [{ name: "queue", label: "Queue", half: true, value: one.queue }, { name: "priority", label: "Priority", kind: "select", half: true, options: PRIORITIES, value: PRIORITIES[one.priority] }, { name: "args", label: "Other positional arguments, as a JSON list", kind: "long", rows: 2, json: "list", more: true, half: true, note: "Empty: as they are." }, { name: "kwargs", label: "Other keyword arguments, as a JSON object", kind: "long", rows: 2, json: "object", more: true, half: true, note: "Empty: as they are.", refused: /argument/ }]
      : [{ name: "workflow", label: "Another workflow, in the form of a workflow file", kind: "long", rows: 4, json: "object", more: true, note: "Empty: as it is.", refused: /workflow|job|node/ }]),
    ...behaviour(plan),
  ], change: (given) => {
    const body = bodyOf(given, plan);
    if (isTask && given.queue && given.queue !== one.queue) body.queue = given.queue;
    if (isTask && given.priority !== PRIORITIES[one.priority]) body.priority = PRIORITIES.indexOf(given.priority);
    if (!Object.keys(body).length) throw Object.assign(new Error("Nothing is changed yet."), { field: given.due });
    return send("PATCH", path(one.name), body);
  }, said: (made) => `${made.name} is due ${made.description}.` });
}

// Queues: depth, age, rates; pause and resume.
import { send, useRead } from "../lib/api.js";
import { duration, rate } from "../lib/format.js";
import { html } from "../lib/html.js";
import { ask, At, Empty, Number, perform, State, Table, Trouble } from "../lib/parts.js";
import { link } from "../lib/route.js";
import { rowOf, useRows } from "../lib/rows.js";

/** Ask why, and pause a queue or a task. */
export async function pause(kind, name, reload) {
  const given = await ask({ title: `Pause the ${kind} ${name}?`, text: "No further job starts; running jobs go on.", action: "Pause", fields: [{ name: "reason", label: "Why" }] });
  if (given) await perform(() => send("POST", `/api/${kind}s/${encodeURIComponent(name)}/pause`, { reason: given.reason }), `${name} is paused.`, { undo: () => resume(kind, name, reload) }).then(reload);
}
export const resume = (kind, name, reload) => perform(() => send("POST", `/api/${kind}s/${encodeURIComponent(name)}/resume`), `${name} goes on.`).then(reload);

/** How long a queue needs to become empty at its present rates. */
function left(queue) {
  const pace = queue.ended_per_second - queue.enqueued_per_second;
  if (!queue.ready) return "";
  return pace > 0 ? duration(queue.ready / pace) : queue.ended_per_second ? "grows" : "stands still";
}

export default function Queues({ may }) {
  const { data, problem, reload } = useRead("/api/queues", {}, 2);
  const { data: health } = useRead("/api/queue-health", {}, 5);
  const told = Object.fromEntries((health?.items ?? []).map((one) => [one.queue, one]));
  const rows = useRows(data?.items.map((queue) => queue.name) ?? [], { open: (name) => link(`/queues/${encodeURIComponent(name)}`) });
  const jobs = (queue, state) => html`<${Number} value=${queue[state]} atLeast=${queue.at_least.includes(state)} to=${link("/jobs", { queue: queue.name, state })} />`;
  return html`<h1>Queues</h1><p class="sub">Depth, age and rates.</p><${Trouble} problem=${problem} />
${data && !data.items.length ? html`<${Empty}>A queue appears with its first job: <code>task.delay()</code><//>` : ""}
${data?.items.length ? html`<div class="card"><${Table} label="Queues" columns=${[["queue"], ["ready", "n"], ["running", "n"], ["scheduled", "n"], ["waiting", "n"], ["parked", "n"], ["oldest", "n"], ["in", "n"], ["out", "n"], ["empty in", "n"], ["health"], [""]]}>${data.items.map((queue) => {
    const one = told[queue.name];
    return html`<tr ...${rowOf(rows, queue.name)}><td><a class="strong" href=${link(`/queues/${encodeURIComponent(queue.name)}`)}>${queue.name}</a></td><td class="n">${jobs(queue, "ready")}</td><td class="n">${jobs(queue, "running")}</td><td class="n">${jobs(queue, "scheduled")}</td><td class="n">${jobs(queue, "waiting")}</td><td class="n">${jobs(queue, "parked")}</td><td class="n ${!queue.paused_at && (queue.oldest ?? 0) > 60 ? "bad" : ""}">${duration(queue.oldest)}</td><td class="n dim">${rate(queue.enqueued_per_second)}</td><td class="n dim">${rate(queue.ended_per_second)}</td><td class="n dim">${left(queue)}</td><td class="clip" title=${one ? `${one.says} ${one.advice}` : ""}>${queue.paused_at ? html`<${State} state="paused" text=${html`paused ${queue.paused_by ? `by ${queue.paused_by} ` : ""}<${At} at=${queue.paused_at} relative />${queue.reason ? `: ${queue.reason}` : ""}`} />` : one && one.status !== "ok" ? html`<${State} state=${one.status === "fail" ? "failed" : "parked"} text=${one.says} />` : html`<${State} state="completed" text="ok" />`}</td><td class="n">${may("operate") ? (queue.paused_at ? html`<button class="btn" onClick=${() => resume("queue", queue.name, reload)}>Resume</button>` : html`<button class="btn" onClick=${() => pause("queue", queue.name, reload)}>Pause</button>`) : ""}</td></tr>`;
  })}<//></div>` : ""}`;
}

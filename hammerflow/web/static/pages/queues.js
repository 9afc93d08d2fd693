// Queues: depth, age, rates; pause and resume.
import { send, useRead } from "../lib/api.js";
import { count, duration, rate } from "../lib/format.js";
import { html } from "../lib/html.js";
import { ask, At, Empty, Export, Number, perform, State, Table, Tabs, Trouble } from "../lib/parts.js";
import { link, useParams } from "../lib/route.js";
import { rowOf, sorted, useRows, useSome } from "../lib/rows.js";

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
  return pace > 0 ? duration(queue.ready / pace) : queue.ended_per_second ? "grows" : "never";
}

const place = (state) => (state === "ready" ? "n" : "n hide"); // on a phone: its page has them all
const LATE = 60; // seconds
const isLate = (queue) => !queue.paused_at && (queue.oldest ?? 0) > LATE;
const STATES = ["ready", "running", "scheduled", "waiting", "parked"];
// The tabs: which queues each of them shows.
const KINDS = { "": () => true, busy: (queue) => STATES.some((state) => queue[state]), late: isLate, paused: (queue) => queue.paused_at, parked: (queue) => queue.parked };
const TITLES = { "": "all", busy: "with jobs", late: "behind", paused: "paused", parked: "with parked jobs" };

/** What is said of a queue: that it is paused, or what keeps its jobs from running. */
function Health({ queue, one }) {
  if (queue.paused_at) return html`<${State} state="paused" text=${html`paused ${queue.paused_by ? `by ${queue.paused_by} ` : ""}<${At} at=${queue.paused_at} relative />${queue.reason ? `: ${queue.reason}` : ""}`} />`;
  if (!one) return "";
  if (one.status === "ok") return html`<${State} state="completed" text="ok" />`;
  const isIdle = !STATES.some((state) => queue[state]);
  return html`<${State} state=${one.status === "fail" ? "failed" : isIdle ? "skipped" : "warning"} text=${one.says} />`;
}

export default function Queues({ may }) {
  const { data, problem, reload } = useRead("/api/queues", {}, 2);
  const { data: health } = useRead("/api/queue-health", {}, 5);
  const told = Object.fromEntries((health?.items ?? []).map((one) => [one.queue, one]));
  const [{ show = "", find = "", sort = "-oldest" }, change] = useParams();
  const found = (data?.items ?? []).filter((queue) => queue.name.includes(find));
  const value = (queue, key) => ({ in: queue.enqueued_per_second, out: queue.ended_per_second })[key] ?? queue[key];
  const [some, more] = useSome(sorted(found.filter(KINDS[show] ?? KINDS[""]), sort, value));
  const tabs = Object.entries(TITLES).map(([kind, title]) => [kind, title, count(found.filter(KINDS[kind]).length)]).filter(([kind, , number]) => number !== "0" || kind === show || !kind);
  const rows = useRows(some.map((queue) => queue.name), { open: (name) => link(`/queues/${encodeURIComponent(name)}`) });
  const jobs = (queue, state) => html`<${Number} value=${queue[state]} atLeast=${queue.at_least.includes(state)} to=${link("/jobs", { queue: queue.name, state })} />`;
  return html`<div class="head"><h1>Queues</h1><span class="fill"></span>${data?.items.length ? html`<${Export} path="/api/queues" name="queues" />` : ""}</div><${Tabs} name="show" path="/queues" params=${{ find, sort: sort === "-oldest" ? "" : sort }} chosen=${show} items=${tabs} /><${Trouble} problem=${problem} />
${data && !data.items.length ? html`<${Empty}>A queue appears with its first job: <code>task.delay()</code><//>` : ""}
${data?.items.length > 10 ? html`<div class="chips"><input aria-label="Find a queue" placeholder="Find a queue" value=${find} onInput=${(event) => change({ find: event.target.value || null }, { replace: true })} /></div>` : ""}
${data?.items.length && !some.length ? html`<${Empty}>No queue fits.<//>` : ""}
${some.length ? html`<div class="card"><${Table} label="Queues" sort=${sort} onSort=${(key) => change({ sort: key === "-oldest" ? null : key })} columns=${[["queue", "", "name"], ...STATES.map((state) => [state, place(state), state]), ["oldest", "n", "oldest"], ["in", "n hide", "in"], ["out", "n hide", "out"], ["empty in", "n hide"], ["health"], [""]]}>${some.map((queue) => {
    const one = told[queue.name];
    return html`<tr ...${rowOf(rows, queue.name)}><td><a class="strong" href=${link(`/queues/${encodeURIComponent(queue.name)}`)}>${queue.name}</a></td>${STATES.map((state) => html`<td class=${place(state)}>${jobs(queue, state)}</td>`)}<td class="n ${isLate(queue) ? "bad" : ""}">${duration(queue.oldest)}</td><td class="n dim hide">${rate(queue.enqueued_per_second)}</td><td class="n dim hide">${rate(queue.ended_per_second)}</td><td class="n dim hide">${left(queue)}</td><td class="clip" title=${queue.reason ?? (one ? [one.says, one.advice].filter(Boolean).join(": ") : "")}><${Health} queue=${queue} one=${one} /></td><td class="n">${may("operate") ? (queue.paused_at ? html`<button class="btn" onClick=${() => resume("queue", queue.name, reload)}>Resume</button>` : html`<button class="btn" onClick=${() => pause("queue", queue.name, reload)}>Pause</button>`) : ""}</td></tr>`;
  })}<//>${more}${health && (data.items.filter((queue) => queue.ready).length > health.explained) ? html`<p class="dim">What blocks a queue is looked for in the ${health.explained} whose jobs wait for longest.</p>` : ""}</div>` : ""}`;
}

// Jobs: filters as chips, all in the address; actions on those selected.
import { get, send, useRead } from "../lib/api.js";
import { count, counted, duration, secondsSince, shortId, typeName } from "../lib/format.js";
import { html, useState } from "../lib/html.js";
import { ask, At, Empty, Older, Export, say, State, Table, Tabs, Trouble } from "../lib/parts.js";
import { link, useParams } from "../lib/route.js";
import { rowOf, useRows } from "../lib/rows.js";

const STATES = ["ready", "running", "scheduled", "waiting", "parked", "failed", "completed", "cancelled", "skipped"];
const LIVE = STATES.slice(0, 5);
const FILTERS = ["task", "queue", "error", "argument", "since", "until", "dependency_status", "trace_id", "correlation_id"];

const actOnAll = (...given) => import("../lib/bulk.js").then((bulk) => bulk.actOnAll(...given));

/** The time that matters in a state: how long it waits, runs, or ran. */
function time(job) {
  if (job.state === "running" && job.started_at) return `${duration(secondsSince(job.started_at))} so far`;
  if (job.state === "scheduled" && job.run_at) return html`<${At} at=${job.run_at} relative />`;
  return duration(job.seconds);
}

function Chips({ params, change }) {
  const [text, setText] = useState("");
  const add = (event) => {
    event.preventDefault();
    const [, name, value] = /^(\w+):\s*(.+)$/.exec(text.trim()) ?? [null, "error", text.trim()];
    if (!value) return;
    if (!FILTERS.includes(name) && name !== "state") return say(`There is no filter ${name}: use ${FILTERS.join(", ")}.`, { fail: true });
    setText("");
    change({ [name]: value.replace(/^"|"$/g, "") });
  };
  return html`<form class="chips" onSubmit=${add}>${FILTERS.filter((name) => params[name]).map((name) => html`<span class="chip"><span><span class="dim">${name}</span> ${params[name]}</span><button type="button" aria-label="Remove the filter ${name}" onClick=${() => change({ [name]: null })}>×</button></span>`)}<input aria-label="Add a filter" list="filters" placeholder="Add a filter: task:mail.send, error:refused, since:2h" value=${text} onInput=${(event) => setText(event.target.value)} /><datalist id="filters">${FILTERS.map((name) => html`<option value="${name}:" />`)}</datalist></form>`;
}

export default function Jobs({ may, session }) {
  const [params, change] = useParams();
  const { data, problem, reload } = useRead("/api/jobs", { ...params, limit: 50 });
  const { data: counts } = useRead("/api/counts");
  const ids = data?.items.map((job) => job.id) ?? [];
  const done = () => {
    rows.clear();
    reload();
  };
  const acts = may("operate") ? { r: (chosen) => actOnAll("retry", { ids: chosen }, done), c: (chosen) => actOnAll("cancel", { ids: chosen }, done) } : {};
  const rows = useRows(ids, { open: (id) => link(`/jobs/${id}`), acts });
  const { before, ...kept } = params;
  const chosen = [...rows.selected];
  const { dependency_status: ignored, trace_id: trace, correlation_id: correlation, ...filter } = kept;
  // Live jobs are counted without any filter alone: the tabs show no number that holds for other jobs.
  const isPlain = !Object.keys(kept).some((name) => name !== "state");
  const numbers = isPlain && counts ? Object.fromEntries(LIVE.map((state) => [state, counts.live[state] ? count(counts.live[state]) + (counts.live.at_least.includes(state) ? "+" : "") : ""])) : {};
  // What can be done to all jobs of a filter, if the operations know all of its parts.
  const matching = new Set(ignored || trace || correlation ? [] : [...(["failed", "cancelled", "skipped", "parked", undefined].includes(params.state) ? ["retry"] : []), ...(["completed", "failed", "cancelled", "skipped"].includes(params.state) ? [] : ["cancel"])]);
  return html`<div class="head"><h1>Jobs</h1><span class="fill"></span>${data?.items.length ? html`<${Export} path="/api/jobs" params=${params} name="jobs" />` : ""}${may("operate") && session.can_enqueue ? html`<button class="btn" onClick=${() => enqueue(reload)}>Enqueue a job</button>` : ""}</div>
<${Tabs} name="state" path="/jobs" params=${kept} chosen=${params.state ?? ""} items=${[["", "all"], ...STATES.map((state) => [state, state, numbers[state]])]} />
<${Chips} params=${params} change=${change} /><${Trouble} problem=${problem} />
${chosen.length ? html`<div class="acts"><span>${counted(chosen.length, "job")} selected</span><button class="btn" onClick=${() => acts.r?.(chosen)} disabled=${!acts.r}>Retry</button><button class="btn harm" onClick=${() => acts.c?.(chosen)} disabled=${!acts.c}>Cancel</button>${may("admin") ? html`<button class="btn harm" onClick=${() => actOnAll("purge", { ids: chosen }, done)}>Delete</button>` : ""}<button class="plain" onClick=${rows.clear}>Select none</button></div>` : may("operate") && data?.items.length && matching.size ? html`<div class="head all"><span class="dim">${isPlain && !params.state ? "All jobs:" : "All matching jobs:"}</span>${matching.has("retry") ? html`<button class="plain" onClick=${() => actOnAll("retry", filter, done)}>retry</button>` : ""}${matching.has("cancel") ? html`<button class="plain" onClick=${() => actOnAll("cancel", filter, done)}>cancel</button>` : ""}</div>` : ""}
${data && !data.items.length ? html`<${Empty}>${Object.keys(params).length ? "No job fits these filters." : html`There are no jobs yet. Enqueue one ${may("operate") && session.can_enqueue ? "here, " : ""}from Python: <code>task.delay(...)</code>, or from a shell: <code>hammerflow job enqueue TASK</code>.`}<//>` : ""}
${data?.items.length ? html`<div class="card"><${Table} label="Jobs" columns=${[[html`<input type="checkbox" aria-label="Select all of this page" checked=${ids.every((id) => rows.selected.has(id))} onChange=${rows.toggleAll} />`], ["state", "icon"], ["job"], ["task"], ["queue"], ["attempt", "n"], ["enqueued"], ["took", "n"], ["last error"]]}>${data.items.map((job) => html`<tr ...${rowOf(rows, job.id)}><td><input type="checkbox" aria-label="Select ${shortId(job.id)}" checked=${rows.selected.has(job.id)} onChange=${() => rows.toggle(job.id)} /></td><td class="icon"><${State} state=${job.state} /></td><td><a class="mono" href=${link(`/jobs/${job.id}`)}>${shortId(job.id)}</a></td><td><a href=${link("/jobs", { ...kept, task: job.task })}>${job.task}</a></td><td><a href=${link("/jobs", { ...kept, queue: job.queue })}>${job.queue}</a></td><td class="n">${job.attempt || ""}</td><td><${At} at=${job.created_at} /></td><td class="n">${time(job)}</td><td class="clip" title=${job.error?.message ?? job.reason ?? ""}>${job.error ? html`${typeName(job.error.type)}: ${job.error.message}` : job.reason ? html`<span class="dim">${job.reason}</span>` : ""}</td></tr>`)}<//></div>` : ""}
<${Older} next=${data?.next} tired=${data?.is_tired} first=${!before} onNext=${() => change({ before: data.next })} onFirst=${() => change({ before: null })} />`;
}

async function enqueue(reload) {
  const [tasks, queues] = await Promise.all(["/api/tasks", "/api/queues"].map((where) => get(where).then((found) => found.items.map((one) => one.name), () => [])));
  const made = await ask({ title: "Enqueue a job", action: "Enqueue", fields: [
    { name: "task", label: "Task", required: true, half: true, options: tasks, refused: /task/ }, { name: "queue", label: "Queue", optional: true, half: true, options: queues, note: "Empty: the task's own." },
    { name: "args", label: "Positional arguments, as a JSON list", kind: "long", json: "list", value: "[]", refused: /positional/ }, { name: "kwargs", label: "Keyword arguments, as a JSON object", kind: "long", json: "object", value: "{}", refused: /argument/ } ],
  change: (given) => send("POST", "/api/jobs", { task: given.task.trim(), args: given.args ?? [], kwargs: given.kwargs ?? {}, ...(given.queue && { queue: given.queue }) }),
  said: (answer) => (answer.is_new ? `Job ${shortId(answer.id)} is enqueued.` : `Job ${shortId(answer.id)} was there already.`) });
  if (made) reload();
}

// Tasks: how many of their jobs ended, and how long they waited and ran.
import { useRead } from "../lib/api.js";
import { duration, percent } from "../lib/format.js";
import { html } from "../lib/html.js";
import { Empty, Number, State, Table, Tabs, Trouble } from "../lib/parts.js";
import { link, useParams } from "../lib/route.js";
import { rowOf, useRows } from "../lib/rows.js";
import { Figures } from "./queue.js";
import { pause, resume } from "./queues.js";

export default function Tasks({ may }) {
  const [params, change] = useParams();
  const hours = params.hours ?? "24";
  const { data: tasks, problem, reload } = useRead("/api/tasks", {}, 5);
  const { data: stats } = useRead("/api/task-stats", { hours }, 5);
  const told = Object.fromEntries((stats?.items ?? []).map((one) => [one.task, one]));
  const busy = (name) => (told[name]?.completed ?? 0) + (told[name]?.failed ?? 0);
  const shown = (tasks?.items ?? []).filter((task) => !params.find || task.name.includes(params.find)).sort((a, b) => busy(b.name) - busy(a.name) || a.name.localeCompare(b.name));
  const rows = useRows(shown.map((task) => task.name), { open: (name) => link("/jobs", { task: name }) });
  return html`<h1>Tasks</h1><p class="sub">Counts and times of the chosen span; percentiles are right to within 9 %.</p><${Trouble} problem=${problem} />
<${Tabs} name="hours" path="/tasks" params=${{ find: params.find, task: params.task }} chosen=${hours} items=${[["1", "1 hour"], ["24", "1 day"], ["168", "7 days"], ["720", "30 days"]]} />
<div class="chips"><input aria-label="Find a task" placeholder="Find a task" value=${params.find ?? ""} onInput=${(event) => change({ find: event.target.value || null }, { replace: true })} /></div>
${params.task ? html`<div class="head"><h2>${params.task}</h2><button class="plain" onClick=${() => change({ task: null })}>close</button></div><${Figures} params=${{ task: params.task }} path="/tasks" /><div class="gap-top"></div>` : ""}
${tasks && !shown.length ? html`<${Empty}>No task is registered. Decorate a function with <code>@app.task</code>, and start a worker.<//>` : ""}
${shown.length ? html`<div class="card"><${Table} label="Tasks" columns=${[["task"], ["workers", "n"], ["completed", "n"], ["failed", "n"], ["failing", "n"], ["wait p50", "n"], ["p95", "n"], ["run p50", "n"], ["p95", "n"], ["p99", "n"], [""]]}>${shown.map((task) => {
    const one = told[task.name];
    return html`<tr ...${rowOf(rows, task.name)}><td><button class="plain" onClick=${() => change({ task: task.name })}>${task.name}</button> ${task.paused_at ? html`<${State} state="paused" text="paused" />` : ""}</td><td class="n ${task.workers ? "" : "bad"}">${task.workers || "none"}</td><td class="n"><${Number} value=${one?.completed} to=${link("/jobs", { task: task.name, state: "completed" })} /></td><td class="n"><${Number} className="bad" value=${one?.failed} to=${link("/jobs", { task: task.name, state: "failed" })} /></td><td class="n">${one?.failed ? percent(one.failed, one.failed + one.completed) : ""}</td><td class="n">${duration(one?.wait_p50)}</td><td class="n">${duration(one?.wait_p95)}</td><td class="n">${duration(one?.run_p50)}</td><td class="n">${duration(one?.run_p95)}</td><td class="n">${duration(one?.run_p99)}</td><td class="n">${may("operate") ? html`<button class="btn" onClick=${() => (task.paused_at ? resume : pause)("task", task.name, reload)}>${task.paused_at ? "Resume" : "Pause"}</button>` : ""}</td></tr>`;
  })}<//></div>` : ""}`;
}

// Tasks: how many of their jobs ended, and how long they waited and ran.
import { useRead } from "../lib/api.js";
import { duration, percent } from "../lib/format.js";
import { html } from "../lib/html.js";
import { Empty, Export, Number, State, Table, Tabs, Trouble } from "../lib/parts.js";
import { link, useParams } from "../lib/route.js";
import { rowOf, sorted, useRows, useSome } from "../lib/rows.js";
import { Figures, HOURS } from "./queue.js";
import { pause, resume } from "./queues.js";

export default function Tasks({ may }) {
  const [params, change] = useParams();
  const hours = params.hours ?? "24";
  const { data: tasks, problem, reload } = useRead("/api/tasks", {}, 5);
  const { data: stats } = useRead("/api/task-stats", { hours }, 5);
  const told = Object.fromEntries((stats?.items ?? []).map((one) => [one.task, one]));
  const sort = params.sort ?? "-ended";
  const found = (tasks?.items ?? []).filter((task) => !params.find || task.name.includes(params.find));
  const value = (task, key) => {
    const one = told[task.name];
    if (key === "name" || key === "workers") return task[key];
    if (key === "ended") return (one?.completed ?? 0) + (one?.failed ?? 0);
    return key === "failing" ? one?.failed && one.failed / (one.failed + one.completed) : one?.[key];
  };
  const [some, more] = useSome(sorted(found, sort, value));
  const rows = useRows(some.map((task) => task.name), { open: (name) => link("/jobs", { task: name }) });
  return html`<div class="head"><h1>Tasks</h1><span class="fill"></span>${found.length ? html`<${Export} name="tasks" rows=${sorted(found, sort, value).map((task) => ({ ...task, ...told[task.name] }))} />` : ""}</div><p class="sub">Counts and times of the chosen span; percentiles are right to within 9 %.</p><${Trouble} problem=${problem} />
<${Tabs} name="hours" path="/tasks" params=${{ find: params.find, task: params.task, sort: params.sort }} chosen=${hours} items=${HOURS} />
${params.task ? html`<div class="head"><h2>${params.task}</h2><a class="dim" href=${link("/jobs", { task: params.task })}>its jobs</a><button class="plain" onClick=${() => change({ task: null })}>close</button></div><${Figures} params=${{ task: params.task }} path="/tasks" span=${hours} /><div class="gap-top"></div>` : ""}
<div class="chips"><input aria-label="Find a task" placeholder="Find a task" value=${params.find ?? ""} onInput=${(event) => change({ find: event.target.value || null }, { replace: true })} /></div>
${tasks?.items.length && !found.length ? html`<${Empty}>No task has this in its name.<//>` : ""}
${tasks && !tasks.items.length ? html`<${Empty}>No task is registered. Decorate a function with <code>@app.task</code>, and start a worker.<//>` : ""}
${some.length ? html`<div class="card"><${Table} label="Tasks" sort=${sort} onSort=${(key) => change({ sort: key === "-ended" ? null : key })} columns=${[["task", "", "name"], ["workers", "n hide", "workers"], ["completed", "n", "completed"], ["failed", "n", "failed"], ["failing", "n", "failing"], ["wait p50", "n", "wait_p50"], ["p95", "n", "wait_p95"], ["run p50", "n", "run_p50"], ["p95", "n", "run_p95"], ["p99", "n", "run_p99"], [""]]}>${some.map((task) => {
    const one = told[task.name];
    return html`<tr ...${rowOf(rows, task.name)}><td><button class="plain" onClick=${() => change({ task: task.name })}>${task.name}</button> ${task.paused_at ? html`<${State} state="paused" text="paused" />` : ""}</td><td class="n hide ${task.workers ? "" : "bad"}">${task.workers || "none"}</td><td class="n"><${Number} value=${one?.completed} to=${link("/jobs", { task: task.name, state: "completed" })} /></td><td class="n"><${Number} className="bad" value=${one?.failed} to=${link("/jobs", { task: task.name, state: "failed" })} /></td><td class="n">${one?.failed ? percent(one.failed, one.failed + one.completed) : ""}</td><td class="n">${duration(one?.wait_p50)}</td><td class="n">${duration(one?.wait_p95)}</td><td class="n">${duration(one?.run_p50)}</td><td class="n">${duration(one?.run_p95)}</td><td class="n">${duration(one?.run_p99)}</td><td class="n">${may("operate") ? html`<button class="btn" onClick=${() => (task.paused_at ? resume : pause)("task", task.name, reload)}>${task.paused_at ? "Resume" : "Pause"}</button>` : ""}</td></tr>`;
  })}<//>${more}</div>` : ""}`;
}

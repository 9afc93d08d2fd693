// Overview: what needs a person first, then how it goes.
import { useRead } from "../lib/api.js";
import { Chart } from "../lib/chart.js";
import { count, counted, duration, percent, rate, spaced, typeName } from "../lib/format.js";
import { html } from "../lib/html.js";
import { At, Bar, Card, Empty, Shape, State, Table, Trouble } from "../lib/parts.js";
import { go, link } from "../lib/route.js";
import { Children, silence } from "./workers.js";

// Where a problem is looked into: [page, words on the button].
const PLACES = { no_worker: ["/workers", "Open workers"], worker_silent: ["/workers", "Open workers"], paused: ["/queues", "See queues"], app_paused: ["/queues", "See queues"], failures: ["/failures", "See failures"] };
function place(problem) {
  if (/parked/.test(problem.code)) return [`/jobs?state=parked${problem.subject ? `&queue=${encodeURIComponent(problem.subject)}` : ""}`, "Show parked jobs"];
  if (/^queues_late$/.test(problem.code)) return ["/queues", "See queues"];
  if (problem.subject && /queue|depth|oldest|starv/.test(problem.code)) return [`/queues/${encodeURIComponent(problem.subject)}`, "Open queue"];
  if (/sink/.test(problem.code)) return ["/sinks", "Open sinks"];
  if (/schedule/.test(problem.code)) return ["/schedules", "Open schedules"];
  if (/endpoint|webhook/.test(problem.code)) return ["/webhooks", "Open webhooks"];
  return PLACES[problem.code] ?? ["/alerts", "Open alerts"];
}

/** The shape of a problem, and its sentence: with a capital letter where it does not begin with a name. */
const look = (problem) => (problem.severity === "critical" ? "failed" : /parked/.test(problem.code) ? "parked" : problem.code === "paused" ? "paused" : "warning");
const sentence = (text) => spaced(text[0].toUpperCase() + text.slice(1));

/** What a problem says, with the name of what it is about in it. */
function Says({ problem }) {
  if (problem.subject && !problem.code.startsWith("alert.")) return html`<b>${problem.subject}</b> ${problem.says}`;
  const at = problem.subject ? problem.says.indexOf(problem.subject) : -1;
  return at < 0 ? sentence(problem.says) : html`${at ? sentence(problem.says.slice(0, at)) : ""}<b>${problem.subject}</b>${problem.says.slice(at + problem.subject.length)}`;
}

function Wrong({ problems }) {
  if (!problems.length) return html`<p class="fine"><${State} state="completed" text="Nothing needs you." /></p>`;
  return html`<ul class="wrong">${problems.map((problem) => {
    const [where, words] = place(problem);
    const [path, query = ""] = where.split("?");
    return html`<li class=${problem.severity === "critical" ? "fail" : "warn"}><span class="st ${look(problem)}"><${Shape} state=${look(problem)} /><span class="sr">${problem.severity}</span></span><span><${Says} problem=${problem} />${problem.advice ? html` <em>· ${problem.advice}</em>` : ""}</span><a class="btn" href=${link(path, Object.fromEntries(new URLSearchParams(query)))}>${words}</a></li>`;
  })}</ul>`;
}

const live = (counts, state) => count(counts[state]) + (counts.at_least.includes(state) ? "+" : "");

/** The bars of the last hours. */
export const Spark = ({ values, state }) => {
  const most = Math.max(1, ...values);
  return html`<svg class="spark ${state}" width=${values.length * 3} height="16" aria-hidden="true">${values.map((value, at) => {
    const height = value ? Math.max(2, (16 * value) / most) : 1;
    return html`<rect class=${value ? "" : "none"} x=${at * 3} y=${16 - height} width="2" height=${height} fill="currentColor" />`;
  })}</svg>`;
};

/** A group of failures: its error, and below it the task and the message. */
export const What = ({ group, to }) => html`<div class="two"><${State} state=${KINDS[group.error] ? "parked" : "failed"} text=${KINDS[group.error] ?? typeName(group.error)} /></div><div class="two mono dim"><bdi>${to ? html`<a href=${to}>${group.task}</a>` : group.task}</bdi> · <bdi>${group.message}</bdi></div>`;
const KINDS = { poison: "parked: its process died too often", unknown_task: "parked: no live worker has the task", undecodable: "parked: its arguments cannot be decoded", unwritable: "parked: its end cannot be written" };
/** The address of the jobs of a group. */
export const jobsOf = (group) => link("/jobs", KINDS[group.error] ? { task: group.task, state: "parked" } : { task: group.task, error: group.error, state: "failed" });

export const retryGroup = (group, reload) => import("../lib/bulk.js").then((bulk) => bulk.actOnAll("retry", { group: group.key }, reload));

export default function Overview({ may }) {
  const { data, problem, reload } = useRead("/api/overview", {}, 2);
  const { data: queues } = useRead("/api/queues", { sort: "oldest", limit: 8 }, 3);
  const { data: workers } = useRead("/api/workers", {}, 3);
  if (!data) return html`<h1>Overview</h1><${Trouble} problem=${problem} />`;
  const points = data.series.points;
  const total = (name) => points.reduce((sum, point) => sum + point[name], 0);
  const ended = total("completed") + total("failed");
  const waits = points.filter((point) => point.wait_p50 !== null);
  const last = waits.at(-1);
  const busiest = queues?.items;
  const deepest = busiest && Math.max(1, ...busiest.map((queue) => queue.ready));
  const says = data.problems.length ? `${counted(data.problems.length, "thing needs", "things need")} you.` : "Everything is on time.";
  return html`<h1>Overview</h1><p class="sub">${says}</p><${Trouble} problem=${problem} /><${Wrong} problems=${data.problems} />
<div class="grid">
<div class="card s4 third"><div class="dim">Ended in the last hour</div><div class="num">${count(ended / 60 >= 10 ? ended / 60 : ended)}${ended / 60 >= 10 ? " / min" : ""}</div><div class="dim">${total("failed") ? html`<a href=${link("/failures")}>${percent(total("failed"), ended)} failed</a>` : "none failed"}</div></div>
<div class="card s4 third"><div class="dim">Waiting time, median of the last minute</div><div class="num">${last ? duration(last.wait_p50) : "–"}</div><div class="dim">${last ? `95 % below ${duration(last.wait_p95)}` : "no job has started"}</div></div>
<div class="card s4 third"><div class="dim">Children busy</div><div class="num">${count(data.workers.busy)} of ${count(data.workers.children)}</div><div class="dim"><a href=${link("/jobs", { state: "ready" })}>${live(data.counts, "ready")} ready</a>, <a href=${link("/jobs", { state: "scheduled" })}>${live(data.counts, "scheduled")} scheduled</a></div></div>
<${Card} size="s8" title="Ended by minute" note="drag to see the jobs of a time"><${Chart} label=${`${count(total("completed"))} completed and ${count(total("failed"))} failed in the last hour`} empty="No job ended in the last hour." stacked times=${points.map((point) => Date.parse(point.at) / 1000)} series=${[{ name: "failed", state: "failed", values: points.map((point) => point.failed) }, { name: "completed", state: "completed", values: points.map((point) => point.completed) }]} unit=${count} onZoom=${(from, to) => { go(link("/jobs", { since: new Date(from * 1000).toISOString(), until: new Date(to * 1000).toISOString() })); }} /><//>
<${Card} size="s4" title="Workers" note=${`${data.workers.alive ? count(data.workers.alive) : "none"} alive${data.workers.silent ? `, ${count(data.workers.silent)} silent` : ""}`}>${workers?.items.length ? html`<${Table} label="Workers" columns=${[["host"], ["children"], ["heard", "n"]]}>${workers.items.slice(0, 8).map((worker) => html`<tr><td class="clip" title=${`${worker.host}, pid ${worker.pid}`}><a href=${link("/workers")}>${worker.host}${workers.items.some((other) => other !== worker && other.host === worker.host) ? ` · ${worker.pid}` : ""}</a></td><td><${Children} worker=${worker} /></td><td class="n ${worker.silent_for > 30 ? "bad strong" : "dim"}">${silence(worker)}</td></tr>`)}<//>` : html`<${Empty}>Start one: <code>hammerflow -A shop:app worker</code><//>`}<//>
<${Card} size="s6" title="Queues" note="by oldest ready job">${busiest?.length ? html`<${Table} label="Queues" stack=${false} columns=${[["queue"], ["ready", "n"], ["depth", "hide"], ["oldest", "n"], ["out", "n"]]}>${busiest.map((queue) => html`<tr key=${queue.name}><td><a class="strong" href=${link(`/queues/${encodeURIComponent(queue.name)}`)}>${queue.name}</a></td><td class="n"><a href=${link("/jobs", { queue: queue.name, state: "ready" })}>${count(queue.ready)}${queue.at_least.includes("ready") ? "+" : ""}</a></td><td class="hide"><${Bar} parts=${[[queue.paused_at ? "parked" : (queue.oldest ?? 0) > 60 ? "failed" : "ready", queue.ready]]} whole=${deepest} /></td><td class="n ${!queue.paused_at && (queue.oldest ?? 0) > 60 ? "bad" : "dim"}">${queue.paused_at ? "paused" : duration(queue.oldest)}</td><td class="n dim">${rate(queue.ended_per_second)}</td></tr>`)}<//>` : html`<${Empty}>A queue appears with its first job: <code>task.delay()</code><//>`}<//>
<${Card} size="s6" title="Failures, last hour" note="among the newest 1 000 errors">${data.failures.length ? html`<${Table} label="Failures" columns=${[["error"], ["jobs", "n"], ["24 hours", "hide"], ["last", "n"], [""]]}>${data.failures.map((group) => html`<tr><td class="clip"><${What} group=${group} /></td><td class="n strong"><a href=${jobsOf(group)}>${count(group.jobs)}</a></td><td class="hide"><${Spark} values=${group.hours} state="failed" /></td><td class="n dim">${group.last_at ? html`<${At} at=${group.last_at} relative />` : ""}</td><td class="n">${may("operate") ? html`<button class="btn" onClick=${() => retryGroup(group, reload)}>Retry</button>` : ""}</td></tr>`)}<//>` : html`<p class="dim">No job has failed.</p>`}<//></div>`;
}

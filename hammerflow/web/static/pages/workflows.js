// Workflows: list with status, kind and age.
import { get, useRead } from "../lib/api.js";
import { Chart } from "../lib/chart.js";
import { count, counted, duration, percent, shortId } from "../lib/format.js";
import { html, useEffect, useState } from "../lib/html.js";
import { At, Bar, Card, Empty, Export, Older, State, Table, Tabs, Trouble } from "../lib/parts.js";
import { link, useParams } from "../lib/route.js";
import { rowOf, useRows } from "../lib/rows.js";
import { HOURS, whole } from "./queue.js";

const STATUSES = ["running", "paused", "failed", "completed", "cancelled"];
const KINDS = ["", "workflow", "batch", "chain", "group", "chord"];

const OVER = ["completed", "failed", "cancelled", "skipped"];

/** How far each workflow of a page is: read again as it changes, and of those that have ended once. */
function useShares(flows) {
  const [found, setFound] = useState({});
  const due = flows.filter((flow) => !found[flow.id] || found[flow.id].status !== flow.status || ["running", "paused"].includes(flow.status)).map((flow) => flow.id);
  const { data } = useRead(due.length ? "/api/workflow-shares" : null, { ids: due.join() }, 3);
  useEffect(() => {
    if (!data) return undefined;
    let isOver = false;
    const statuses = Object.fromEntries(flows.map((flow) => [flow.id, flow.status]));
    const take = (items) => isOver || setFound((before) => ({ ...before, ...Object.fromEntries(items.map((one) => [one.id, { ...one, status: statuses[one.id] }])) }));
    const rest = async (items) => {
      take(items);
      const left = due.slice(due.indexOf(items.at(-1)?.id) + 1);
      if (left.length && items.length && !isOver) await rest((await get("/api/workflow-shares", { ids: left.join() })).items);
    };
    rest(data.items).catch(() => {});
    return () => {
      isOver = true;
    };
  }, [data]);
  return found;
}

/** The jobs that have ended, as a bar and in numbers. */
function Share({ of }) {
  if (!of) return "";
  const { jobs } = of;
  const ended = OVER.reduce((sum, state) => sum + jobs[state], 0);
  if (!of.is_whole) return html`<span class="dim">${count(jobs.total)}+ jobs</span>`;
  const parts = [...OVER, "running"].map((state) => [state, jobs[state]]);
  return html`<span class="share ${jobs.completed === jobs.total ? "over" : ""}" title=${parts.filter(([, value]) => value).map(([state, value]) => `${count(value)} ${state}`).join(", ")}><${Bar} whole=${jobs.total} parts=${parts} label="${count(ended)} of ${counted(jobs.total, "job")} ended" /><span class="dim">${count(ended)} of ${count(jobs.total)}</span></span>`;
}

export default function Workflows() {
  const [{ hours = "24", name, ...params }, change] = useParams();
  const { data, problem } = useRead("/api/workflows", { ...params, limit: 50 });
  const { before, ...kept } = params;
  const shares = useShares(data?.items ?? []);
  const rows = useRows(data?.items.map((flow) => flow.id) ?? [], { open: (id) => link(`/workflows/${id}`) });
  return html`<div class="head"><h1>Workflows</h1><span class="fill"></span>${data?.items.length ? html`<${Export} path="/api/workflows" params=${params} name="workflows" />` : ""}<label class="dim">kind <select value=${params.kind ?? ""} onChange=${(event) => change({ kind: event.target.value || null })}>${KINDS.map((kind) => html`<option value=${kind}>${kind || "all"}</option>`)}</select></label></div>
<${Tabs} name="status" path="/workflows" params=${kept} chosen=${params.status ?? ""} items=${[["", "all"], ...STATUSES.map((status) => [status, status])]} /><${Trouble} problem=${problem} />
${data && !data.items.length ? html`<${Empty}>${Object.keys(params).length ? "No workflow fits these filters." : html`There are no workflows yet: <code>Workflow("nightly")</code>, <code>chain(...)</code>, <code>group(...)</code> or <code>app.batch(...)</code> make them.`}<//>` : ""}
${data?.items.length ? html`<div class="card"><${Table} label="Workflows" columns=${[["status", "icon"], ["name"], ["kind", "hide"], ["progress"], ["id", "hide"], ["started"], ["took", "n"]]}>${data.items.map((flow) => html`<tr ...${rowOf(rows, flow.id)}><td class="icon"><${State} state=${flow.status} /></td><td class="clip"><a class="strong" href=${link(`/workflows/${flow.id}`)}>${flow.name}</a>${flow.reason ? html`<small class="two dim" title=${flow.reason}>${flow.reason}</small>` : ""}</td><td class="dim hide">${flow.kind}</td><td><${Share} of=${shares[flow.id]} /></td><td class="mono hide">${shortId(flow.id)}</td><td><${At} at=${flow.created_at} /></td><td class="n">${flow.created_at ? duration((Date.parse(flow.ended_at ?? new Date()) - Date.parse(flow.created_at)) / 1000) : ""}</td></tr>`)}<//></div>` : ""}
<${Older} next=${data?.next} first=${!before} onNext=${() => change({ before: data.next })} onFirst=${() => change({ before: null })} />
<${Runs} hours=${hours} name=${name} params=${kept} change=${change} />`;
}

/** How many runs ended, and how long they took: over time of all or of one name, and of each name. */
function Runs({ hours, name, params, change }) {
  const { data: stats } = useRead("/api/workflow-stats", { hours }, 30);
  const { data: own } = useRead(name ? "/api/workflow-stats" : null, { hours, name }, 30);
  const told = name ? own : stats;
  const points = whole(told);
  const times = points.map((point) => Date.parse(point.at) / 1000);
  const values = (figure) => points.map((point) => point[figure]);
  if (!stats?.items.length && hours === "24") return "";
  return html`<div class="head"><h2>Runs that ended${name ? html`: ${name}` : ""}</h2>${name ? html`<button class="plain" onClick=${() => change({ name: null })}>of all</button>` : ""}</div><${Tabs} name="hours" path="/workflows" params=${{ ...params, name }} chosen=${hours} items=${HOURS} />
${told ? html`<div class="grid"><${Card} size="s6" title="Ended"><${Chart} label="Ended runs over time" empty="No run ended in this time." stacked times=${times} series=${[["failed", "failed"], ["cancelled", "cancelled"], ["completed", "completed"]].map(([figure, state]) => ({ name: figure, state, values: values(figure) }))} unit=${count} /><//><${Card} size="s6" title="How long they took" note="95 % and 50 % are below"><${Chart} label="How long runs took" empty="No run ended in this time." times=${times} series=${[{ name: "p95", state: "running", values: values("took_p95") }, { name: "p50", state: "completed", values: values("took_p50") }]} unit=${duration} /><//></div>` : ""}
${stats?.items.length ? html`<div class="card gap-top"><${Table} label="Runs that ended" columns=${[["name"], ["kind"], ["completed", "n"], ["failed", "n"], ["cancelled", "n"], ["success", "n"], ["took p50", "n"], ["p95", "n"], ["slowest node"]]}>${stats.items.slice(0, 50).map((one) => html`<tr><td>${one.name ? html`<button class="plain" onClick=${() => change({ name: one.name })}>${one.name}</button>` : "(others)"}</td><td class="dim">${one.kind}</td><td class="n">${one.completed || ""}</td><td class="n ${one.failed ? "bad" : ""}">${one.failed || ""}</td><td class="n">${one.cancelled || ""}</td><td class="n">${one.success_ratio === null ? "" : percent(one.completed, one.completed + one.failed)}</td><td class="n">${duration(one.took_p50)}</td><td class="n">${duration(one.took_p95)}</td><td class="clip">${one.slowest_node ? `${one.slowest_node} (${duration(one.slowest_node_seconds)})` : ""}</td></tr>`)}<//></div>` : ""}`;
}

// Failures: failed and parked jobs in groups; retry a group, look at its samples.
import { useRead } from "../lib/api.js";
import { count, shortId } from "../lib/format.js";
import { html } from "../lib/html.js";
import { At, Empty, Export, Table, Trouble } from "../lib/parts.js";
import { link, useParams } from "../lib/route.js";
import { rowOf, useRows } from "../lib/rows.js";
import { jobsOf, retryGroup, Spark, What } from "./overview.js";

export default function Failures({ may }) {
  const [params, change] = useParams();
  const { data, problem, reload } = useRead("/api/failures", params, 5);
  const of = (key) => data.items.find((group) => group.key === key);
  const rows = useRows(data?.items.map((group) => group.key) ?? [], { open: (key) => jobsOf(of(key)), acts: may("operate") ? { r: ([key]) => retryGroup(of(key), reload) } : {} });
  return html`<div class="head"><h1>Failures</h1><span class="fill"></span>${data?.items.length ? html`<${Export} path="/api/failures" params=${params} name="failures" />` : ""}</div><p class="sub">Failed and parked jobs, by task and error, the largest group first.${data?.is_cut ? " Only the newest 3 000 errors were looked at." : ""}</p><${Trouble} problem=${problem} />
${Object.entries(params).length ? html`<div class="chips">${Object.entries(params).map(([name, value]) => html`<span class="chip"><span><span class="dim">${name}</span> ${value}</span><button aria-label="Remove the filter ${name}" onClick=${() => change({ [name]: null })}>×</button></span>`)}</div>` : ""}
${data && !data.items.length ? html`<${Empty}>Nothing has failed. Jobs that fail for good, or that no worker knows, stay here until they are retried or purged.<//>` : ""}
${data?.items.length ? html`<div class="card"><${Table} label="Groups of failures" columns=${[["error"], ["jobs", "n"], ["24 hours", "hide"], ["first", "n hide"], ["last", "n"], ["newest", "hide"], [""]]}>${data.items.map((group) => html`<tr ...${rowOf(rows, group.key)}><td class="clip" title=${group.message}><${What} group=${group} to=${link("/failures", { task: group.task })} /></td><td class="n strong"><a href=${jobsOf(group)}>${count(group.jobs)}</a></td><td class="hide"><${Spark} values=${group.hours} state="failed" /></td><td class="n dim hide">${group.first_at ? html`<${At} at=${group.first_at} relative />` : ""}</td><td class="n dim">${group.last_at ? html`<${At} at=${group.last_at} relative />` : ""}</td><td class="hide">${group.samples.slice(0, 1).map((id) => html`<a class="mono" href=${link(`/jobs/${id}`)}>${shortId(id)}</a>`)}</td><td class="n">${may("operate") ? html`<button class="btn" onClick=${() => retryGroup(group, reload)}>Retry all</button>` : ""}</td></tr>`)}<//></div>` : ""}`;
}

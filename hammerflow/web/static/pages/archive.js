// Archive: what retention has moved away, and how long things are kept.
import { send, useRead } from "../lib/api.js";
import { bytes, count, counted, duration, shortId } from "../lib/format.js";
import { html } from "../lib/html.js";
import { ask, At, Card, Empty, Export, Older, perform, State, Table, Trouble } from "../lib/parts.js";
import { useParams } from "../lib/route.js";
import { rowOf, useRows } from "../lib/rows.js";

const life = (value) => (value === null ? "for good" : typeof value === "number" ? duration(value) : value);

/** The lifetimes of the settings, those of queues and tasks that have others, and how many have not. */
function lifetimes(items) {
  const base = items.find((one) => one.kind === "settings") ?? items[0];
  const same = (one) => one !== base && Object.entries(one.lifetimes).every(([state, value]) => value === base.lifetimes[state]);
  return [items.filter((one) => !same(one)), items.filter(same).length];
}

export default function Archive({ may }) {
  const [params, change] = useParams();
  const { data, problem, reload } = useRead("/api/archive/jobs", { ...params, limit: 50 }, 10);
  const { data: stats } = useRead("/api/archive/stats", {}, 10);
  const { data: kept } = useRead("/api/retention", {}, 30);
  const [own, equal] = lifetimes(kept?.items ?? []);
  const rows = useRows(data?.items.map((job) => job.id) ?? []);
  const chosen = [...rows.selected];
  const restore = async () => {
    const found = await perform(() => send("POST", "/api/archive/restore", { ids: chosen, dry_run: true }), "Counted.");
    if (found && (await ask({ title: `Restore ${counted(found.jobs, "job")}?`, text: "Each comes with its whole spawn tree or workflow. Retention leaves them alone for 7 days.", action: "Restore" }))) await perform(() => send("POST", "/api/archive/restore", { ids: chosen }), (answer) => `${counted(answer.jobs, "job")} restored.`).then(() => { rows.clear(); reload(); });
  };
  return html`<div class="head"><h1>Archive</h1><span class="fill"></span>${data?.items.length ? html`<${Export} path="/api/archive/jobs" params=${params} name="archive" />` : ""}</div><p class="sub">${stats ? `${counted(stats.now, "job is", "jobs are")} in the archive, ${count(stats.archived)} ever were; ${count(stats.removed)} were deleted.` : ""}</p><${Trouble} problem=${problem} />
${chosen.length ? html`<div class="acts"><span>${counted(chosen.length, "job")} selected</span>${may("operate") ? html`<button class="btn" onClick=${restore}>Restore</button>` : ""}<button class="plain" onClick=${rows.clear}>Select none</button></div>` : ""}
<div class="grid"><${Card} size="s8" title="Archived jobs" note="newest first">${data && !data.items.length ? html`<${Empty}>Nothing is archived here. <code>hammerflow archive policy</code> says what goes there and when.<//>` : ""}${data?.items.length ? html`<${Table} label="Archived jobs" columns=${[[""], ["state", "icon"], ["job"], ["task"], ["queue"], ["ended"], ["size", "n"]]}>${data.items.map((job) => html`<tr ...${rowOf(rows, job.id)}><td><input type="checkbox" aria-label="Select ${shortId(job.id)}" checked=${rows.selected.has(job.id)} onChange=${() => rows.toggle(job.id)} /></td><td class="icon"><${State} state=${job.state} /></td><td class="mono">${shortId(job.id)}</td><td>${job.task ?? "workflow"}</td><td>${job.queue ?? ""}</td><td><${At} at=${job.ended_at} /></td><td class="n">${bytes(job.size)}</td></tr>`)}<//>` : ""}<${Older} next=${data?.next} tired=${data?.is_tired} first=${!params.before} onNext=${() => change({ before: data.next })} onFirst=${() => change({ before: null })} /><//>
<${Card} size="s4 short" title="How long ended jobs are kept">${own.map((one) => html`<h2 class="gap">${one.kind === "settings" ? "By the settings" : `${one.kind} ${one.name}`}</h2><dl class="kv">${Object.entries(one.lifetimes).map(([state, value]) => html`<dt>${state}</dt><dd>${life(value)}</dd>`)}</dl>`)}${equal ? html`<p class="dim">${counted(equal, "queue or task keeps", "queues and tasks keep")} theirs as long.</p>` : ""}<//></div>`;
}

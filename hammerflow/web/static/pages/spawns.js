// Spawns: what spawners have made, and those whose children have not ended.
import { useRead } from "../lib/api.js";
import { count, duration, percent, shortId } from "../lib/format.js";
import { html } from "../lib/html.js";
import { At, Bar, Card, Empty, Table, Tabs, Trouble } from "../lib/parts.js";
import { link, useParams } from "../lib/route.js";

export default function Spawns() {
  const [{ hours = "24", queue }] = useParams();
  const { data: stats, problem } = useRead("/api/spawn/stats", { hours, queue }, 5);
  const { data: pending } = useRead("/api/spawn/pending", { limit: 20 }, 3);
  const { data: runs } = useRead("/api/spawn/operations", { hours, queue, limit: 50 }, 5);
  return html`<h1>Spawns</h1><p class="sub">Children are created in the transaction that completes their parent.</p><${Trouble} problem=${problem} />
<${Tabs} name="hours" path="/spawns" params=${{ queue }} chosen=${hours} items=${[["1", "1 hour"], ["24", "1 day"], ["168", "7 days"]]} />
<div class="grid">${stats ? html`<div class="card s4 third"><div class="dim">Operations</div><div class="num">${count(stats.operations)}${stats.is_cut ? "+" : ""}</div><div class="dim">${stats.failures ? html`<span class="bad">${percent(stats.failures, stats.operations)} failed</span>` : "none failed"}</div></div><div class="card s4 third"><div class="dim">Children</div><div class="num">${count(stats.children)}</div><div class="dim">${count(stats.children_per_hour)} an hour</div></div><div class="card s4 third"><div class="dim">Spawners with unfinished children</div><div class="num">${count(pending?.items.length ?? 0)}${(pending?.items.length ?? 0) === 20 ? "+" : ""}</div></div>` : ""}
${pending?.items.length ? html`<${Card} title="Unfinished"><${Table} label="Unfinished" columns=${[["spawner"], ["task"], ["children"], ["not ended", "n"]]}>${pending.items.map((one) => html`<tr><td><a class="mono" href=${link(`/spawns/${one.parent_id}`)}>${shortId(one.parent_id)}</a></td><td>${one.task}</td><td><${Bar} parts=${Object.entries(one.states)} /></td><td class="n">${count(one.not_ended)}</td></tr>`)}<//><//>` : ""}
<${Card} title="Operations" note="newest first">${runs && !runs.items.length ? html`<${Empty}>No spawner has run in this time. <code>@app.spawner</code> makes a function one.<//>` : ""}${runs?.items.length ? html`<${Table} label="Operations" columns=${[["started"], ["spawner"], ["task"], ["queue"], ["children", "n"], ["took", "n"], ["error"]]}>${runs.items.map((one) => html`<tr><td><${At} at=${one.started_at} /></td><td><a class="mono" href=${link(`/spawns/${one.parent_id}`)}>${shortId(one.parent_id)}</a></td><td><a href=${link("/jobs", { task: one.handler })}>${one.handler}</a></td><td>${one.queue ?? ""}</td><td class="n">${count(one.spawned)}</td><td class="n">${duration(one.seconds)}</td><td class="clip bad" title=${one.error ?? ""}>${one.error ?? ""}</td></tr>`)}<//>` : ""}<//></div>`;
}

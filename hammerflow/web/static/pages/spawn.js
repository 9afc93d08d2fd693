// The tree of what a job has spawned: opened a level at a time, equal children counted.
import { useRead } from "../lib/api.js";
import { count, shortId } from "../lib/format.js";
import { html, useState } from "../lib/html.js";
import { Bar, Card, Copy, State, Trouble } from "../lib/parts.js";
import { link } from "../lib/route.js";

function Node({ id, task, state, isRoot }) {
  const [isOpen, setOpen] = useState(isRoot);
  const [most, setMost] = useState(50);
  const { data } = useRead(isOpen ? `/api/jobs/${id}/children` : null, { limit: most }, 3);
  const total = data && Object.values(data.counts).reduce((sum, value) => sum + value, 0);
  return html`<li role="treeitem" aria-expanded=${isOpen}><span class="head"><button class="plain" aria-label=${isOpen ? "Fold" : "Open"} onClick=${() => setOpen(!isOpen)}>${isOpen ? "▾" : "▸"}</button><${State} state=${state} text="" /><a class="strong" href=${link(`/jobs/${id}`)}>${task}</a><span class="mono faint">${shortId(id)}</span>${total ? html`<span class="tree-bar"><${Bar} parts=${Object.entries(data.counts)} /></span><span class="dim">${Object.entries(data.counts).map(([name, value]) => `${count(value)} ${name}`).join(", ")}</span>` : isOpen && data ? html`<span class="faint">no children</span>` : ""}</span>
${isOpen && data?.items.length ? html`<ul class="tree" role="group">${data.items.map((child) => html`<${Node} key=${child.id} id=${child.id} task=${child.task} state=${child.state} />`)}${data.after !== null && most < 500 ? html`<li role="none"><button class="plain" onClick=${() => setMost(Math.min(500, most * 2))}>more of ${count(total)}</button></li>` : data.after !== null ? html`<li role="none" class="dim">and ${count(total - data.items.length)} more: see <a href=${link("/jobs", { task: data.items[0].task })}>the jobs of ${data.items[0].task}</a></li>` : ""}</ul>` : ""}</li>`;
}

export default function Spawn({ parts: [id] }) {
  const { data: job, problem } = useRead(`/api/jobs/${id}`, {}, 3);
  if (!job) return html`<h1 class="mono">${id}</h1><${Trouble} problem=${problem} />`;
  return html`<p class="crumb"><a href=${link("/spawns")}>Spawns</a> / <a href=${link(`/jobs/${id}`)}>${shortId(id)}</a></p><h1>${job.task}</h1><p class="sub">All that it has spawned.${job.parent_id ? html` It was itself spawned by <a class="mono" href=${link(`/spawns/${job.parent_id}`)}>${shortId(job.parent_id)}</a>.` : ""}</p><${Trouble} problem=${problem} /><${Card} title="Tree" note=${html`<${Copy} text=${`hammerflow job tree ${id}`}>copy the command<//>`}><ul class="tree root" role="tree" aria-label="Spawn tree"><${Node} id=${id} task=${job.task} state=${job.state} isRoot /></ul><//>`;
}

// One workflow: progress, its graph or its jobs; pause, retry, skip, resume, cancel.
import { send, useRead } from "../lib/api.js";
import { count, counted, duration, secondsSince, shortId } from "../lib/format.js";
import { Gantt } from "../lib/gantt.js";
import { Graph } from "../lib/graph.js";
import { html, useState } from "../lib/html.js";
import { ask, At, Bar, Card, perform, Says, State, Table, Tabs, Trouble } from "../lib/parts.js";
import { go, link, useParams } from "../lib/route.js";

const SHOWN = ["completed", "failed", "cancelled", "skipped", "running"];

const TOLD = 200; // jobs of a workflow whose boxes tell how long each has run

/** What a box waits for: the ones above it that have not ended. */
function awaited(box, graph) {
  const place = graph.boxes.indexOf(box);
  const above = graph.edges.filter(([, below]) => below === place).map(([from]) => graph.boxes[from]).filter((one) => one.is_folded ? Object.keys(one.states).some((state) => state !== "completed") : one.state !== "completed");
  if (!above.length) return null;
  return [above.length === 1 ? `for ${above[0].title.replace(/ x (?=[\d ]+$)/, " × ")}` : `for ${counted(above.length, "other")}`, ...box.lines.slice(1)];
}

/** What a box tells below its name: how long its job ran and in which attempt, or what it waits for. */
function told(box, stretch, graph) {
  if (box.count !== 1) return null;
  if (box.state === "waiting") return awaited(box, graph);
  if (!stretch?.started_at) return null;
  const seconds = stretch.finished_at ? (Date.parse(stretch.finished_at) - Date.parse(stretch.started_at)) / 1000 : secondsSince(stretch.started_at);
  const took = { completed: duration(seconds), running: `for ${duration(seconds)}`, failed: `after ${duration(seconds)}` }[stretch.state];
  if (!took || stretch.state !== box.state) return null;
  return [took, ...(stretch.attempt > 1 ? [counted(stretch.attempt, "attempt")] : []), ...box.lines.slice(1)];
}

export default function Workflow({ parts: [id], may }) {
  const [{ view = "graph", all }, change] = useParams();
  const [isFollowing, follow] = useState(false);
  const { data: flow, problem, reload } = useRead(`/api/workflows/${id}`, {}, 2);
  const { data: graph } = useRead(flow && view === "graph" ? `/api/workflows/${id}/graph` : null, { format: "boxes", max_nodes: all ? 500 : 24 }, 2);
  const { data: times } = useRead(flow && (view === "timeline" || (view === "graph" && flow.jobs.total <= TOLD)) ? `/api/workflows/${id}/timeline` : null, { limit: all || view === "graph" ? 500 : 100 }, view === "graph" ? 4 : 2);
  const stretches = Object.fromEntries((times?.items ?? []).map((one) => [one.id, one]));
  if (!flow) return html`<p class="crumb"><a href=${link("/workflows")}>Workflows</a></p><h1 class="mono">${id}</h1><${Trouble} problem=${problem} />`;
  const jobs = flow.jobs;
  const total = jobs.total ?? SHOWN.reduce((sum, state) => sum + (jobs[state] ?? 0), 0);
  const ended = ["completed", "failed", "cancelled", "skipped"].reduce((sum, state) => sum + (jobs[state] ?? 0), 0);
  const seconds = flow.ended_at ? (Date.parse(flow.ended_at) - Date.parse(flow.created_at)) / 1000 : secondsSince(flow.created_at);
  const left = !flow.ended_at && ended > 2 ? (seconds * (total - ended)) / ended : null;
  const run = (verb, body, said) => perform(() => send("POST", `/api/workflows/${id}/${verb}`, body), said).then(reload);
  const cancel = async () => {
    const given = await ask({ title: `Cancel ${flow.name}?`, text: `${count(total - ended)} jobs have not ended.`, action: "Cancel the workflow", harm: true, fields: [{ name: "reason", label: "Why" }] });
    if (given) await run("cancel", { reason: given.reason }, "The workflow is cancelled.");
  };
  const retryFrom = async (node) => {
    const given = await ask({ title: `Retry from ${node}?`, text: "Runs this node again.", action: "Retry", fields: [{ name: "downstream", label: "Also everything that depends on it, completed or not", kind: "check" }] });
    if (given) await run("retry", { node, downstream: given.downstream }, `${node} will run again.`);
  };
  const isOver = Boolean(flow.ended_at);
  return html`<p class="crumb"><a href=${link("/workflows")}>Workflows</a>${flow.parent_id ? html` / <a href=${link(`/workflows/${flow.parent_id}`)}>parent</a>` : ""}</p>
<div class="head"><h1>${flow.name}</h1><${State} state=${flow.status} text=${`${flow.status} ${isOver ? "after" : "for"} ${duration(seconds)}`} /><span class="fill"></span>${may("operate") ? html`${flow.status === "paused" ? html`<button class="btn main" onClick=${() => run("resume", undefined, "The workflow goes on.")}>Resume</button>` : ""}${jobs.failed || jobs.cancelled ? html`<button class="btn ${flow.status === "paused" ? "" : "main"}" onClick=${() => run("retry", {}, "What failed will run again.")}>Retry failed</button>` : ""}${isOver ? "" : html`<button class="btn harm" onClick=${cancel}>Cancel</button>`}` : ""}</div>
<p class="sub">${count(ended)} of ${count(total)} jobs ended${left ? `, about ${duration(left)} left` : ""} · on failure: ${flow.failure_policy.replaceAll("_", " ")} · started <${At} at=${flow.created_at} />${flow.description ? ` · ${flow.description}` : ""}</p>
<${Trouble} problem=${problem} />${flow.reason ? html`<div class="why ${flow.status === "failed" ? "fail" : ""}"><p><${Says} text=${flow.reason} /></p></div>` : ""}
<${Bar} tall whole=${total} parts=${SHOWN.map((state) => [state, jobs[state] ?? 0])} />
<div class="gap-top"><${Tabs} name="view" path=${`/workflows/${id}`} chosen=${view} items=${[["graph", "Graph"], ["timeline", "Timeline"], ["jobs", "Jobs"]]} /></div>
${view === "graph" ? html`<${Card} title=${all ? "Every job up to 500" : "Equal siblings are folded"} note=${html`<button class="plain" onClick=${() => change({ all: all ? null : "1" })}>${all ? "fold" : "unfold"}</button> · <button class="plain" aria-pressed=${isFollowing} onClick=${() => follow(!isFollowing)}>${isFollowing ? "following what runs" : "follow what runs"}</button>`}>${graph ? html`<${Graph} boxes=${graph.boxes} edges=${graph.edges} follow=${isFollowing} says=${(box) => told(box, stretches[box.jobs[0]], graph)} onOpen=${(box) => go(box.count === 1 && box.jobs[0] ? link(`/jobs/${box.jobs[0]}`) : link(`/workflows/${id}`, { view: "jobs" }))} />` : ""}<//>` : view === "timeline" ? html`<${Card} title="When what waited and ran" note="a member's last attempt">${times?.items.length ? html`<${Gantt} label="Timeline" items=${times.items} now=${flow.ended_at ? Date.parse(flow.ended_at) / 1000 : Date.now() / 1000} />${times.left_out || times.is_cut ? html`<p class="dim">${count(times.left_out)} that ran for less long are left out${times.is_cut ? ", and all behind the first 2 000" : ""}. ${all ? "" : html`<button class="plain" onClick=${() => change({ all: "1" })}>Show 500</button>`}</p>` : ""}` : ""}<//>` : html`<${Card} title="Jobs" note="those that went wrong first"><${Table} label="Jobs" columns=${[["state"], ["node"], ["task"], ["job"], ["reason"], [""]]}>${flow.nodes.map((node) => html`<tr><td><${State} state=${node.state ?? "waiting"} /></td><td>${node.name ?? ""}</td><td>${node.task ?? html`<span class="dim">workflow</span>`}</td><td><a class="mono" href=${link(node.task ? `/jobs/${node.id}` : `/workflows/${node.id}`)}>${shortId(node.id)}</a></td><td class="clip">${node.reason ?? ""}</td><td class="n">${may("operate") && node.name && node.state === "failed" ? html`<button class="btn" onClick=${() => run("skip", { node: node.name }, `${node.name} counts as completed.`)}>Skip</button> ` : ""}${may("operate") && node.name && ["failed", "completed", "cancelled"].includes(node.state) ? html`<button class="btn" onClick=${() => retryFrom(node.name)}>Retry from here</button>` : ""}</td></tr>`)}<//>${Object.keys(flow.more).length ? html`<p class="dim">And ${Object.entries(flow.more).map(([state, value]) => `${count(value)} ${state}`).join(", ")}.</p>` : ""}<//>`}`;
}

// One queue: its figures over time, its health, its jobs.
import { useRead } from "../lib/api.js";
import { Chart } from "../lib/chart.js";
import { count, duration, rate, secondsSince } from "../lib/format.js";
import { html } from "../lib/html.js";
import { Card, Number, Says, State, Tabs, Trouble } from "../lib/parts.js";
import { link, useParams } from "../lib/route.js";
import { pause, resume } from "./queues.js";

export const HOURS = [["1", "1 hour"], ["24", "1 day"], ["168", "7 days"], ["720", "30 days"]];

/** The points of a series that are over and counted: what is not yet would look like a fall. */
export const whole = (series) => (series?.points ?? []).filter((point) => secondsSince(point.at) - series.span > COUNTED);
const COUNTED = 10; // seconds after the end of a minute until that is counted

/** Ended jobs and times of a task or queue: shared by both. Where the page has tabs for the span, it gives that. */
export function Figures({ params, path, span }) {
  const [{ hours = span ?? "1" }] = useParams();
  const { data } = useRead("/api/statistics", { ...params, hours }, 10);
  const points = whole(data);
  const times = points.map((point) => Date.parse(point.at) / 1000);
  const values = (name) => points.map((point) => point[name]);
  return html`${span ? "" : html`<${Tabs} name="hours" path=${path} chosen=${hours} items=${HOURS} />`}<div class="grid"><${Card} size="s6" title="Ended">${data ? html`<${Chart} label="Ended jobs over time" empty="No job ended in this time." stacked times=${times} series=${[{ name: "failed", state: "failed", values: values("failed") }, { name: "completed", state: "completed", values: values("completed") }]} unit=${count} />` : ""}<//><${Card} size="s6" title="Waiting and running time" note="95 % are below">${data ? html`<${Chart} label="Waiting and running time" empty="No job started in this time." times=${times} series=${[{ name: "waited", state: "scheduled", values: values("wait_p95") }, { name: "ran", state: "running", values: values("run_p95") }]} unit=${duration} />` : ""}<//></div>`;
}

export default function Queue({ parts: [name], may }) {
  const { data: queue, problem, reload } = useRead(`/api/queues/${encodeURIComponent(name)}`, {}, 2);
  const { data: health } = useRead("/api/queue-health", { queue: name }, 5);
  const one = health?.items[0];
  if (!queue) return html`<h1>${name}</h1><${Trouble} problem=${problem} />`;
  return html`<p class="crumb"><a href=${link("/queues")}>Queues</a></p><div class="head"><h1>${name}</h1>${queue.paused_at ? html`<${State} state="paused" text="paused" />` : ""}<span class="fill"></span>${may("operate") ? html`<button class="btn" onClick=${() => (queue.paused_at ? resume : pause)("queue", name, reload)}>${queue.paused_at ? "Resume" : "Pause"}</button>` : ""}</div>
<${Trouble} problem=${problem} />${one && one.status !== "ok" ? html`<div class="why ${one.status === "fail" ? "fail" : ""}"><p><b><${Says} text=${one.says} /></b> <${Says} text=${one.advice} /></p></div>` : html`<p class="sub"><${Says} text=${one?.says ?? ""} /></p>`}
<div class="grid">${["ready", "running", "scheduled", "waiting", "parked"].map((state) => html`<div class="card s2"><${State} state=${state} /><div class="num"><${Number} value=${queue[state]} atLeast=${queue.at_least.includes(state)} to=${link("/jobs", { queue: name, state })} /></div>${state === "ready" ? html`<div class="dim">${queue.oldest ? `oldest ${duration(queue.oldest)}` : "none waits"}</div>` : ""}</div>`)}<div class="card s2"><div class="dim">ending</div><div class="num">${rate(queue.ended_per_second) || html`<span class="faint">0</span>`}</div><div class="dim">${queue.enqueued_per_second ? `${rate(queue.enqueued_per_second)} come in` : "none come in"}</div></div></div>
<div class="gap-top"><${Figures} params=${{ queue: name }} path=${`/queues/${encodeURIComponent(name)}`} /></div>`;
}

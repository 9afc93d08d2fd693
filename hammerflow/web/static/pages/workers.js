// Workers: hosts, children with what each runs, memory, heartbeats.
import { send, useRead } from "../lib/api.js";
import { count, counted, duration } from "../lib/format.js";
import { html } from "../lib/html.js";
import { ask, At, Card, Empty, perform, Trouble } from "../lib/parts.js";
import { link } from "../lib/route.js";

const jobsOf = (child) => child.jobs ?? (child.job ? [child.job] : []);

/** How long ago a worker was heard. */
export const silence = (worker) => (worker.silent_for < 60 ? `${Math.max(0, worker.silent_for).toFixed(worker.silent_for < 9.95 ? 1 : 0)} s` : duration(worker.silent_for));

/** The children of a worker as small bars: busy, idle, or long at one job. */
export const Children = ({ worker }) => {
  const busy = worker.children.filter((child) => jobsOf(child).length).length;
  return html`<div class="kids" role="img" aria-label="${busy} of ${worker.children.length} children busy">${worker.children.map((child) => html`<i class=${jobsOf(child).length ? (jobsOf(child).some((job) => job.seconds > 3600) ? "slow" : "") : "idle"}></i>`)}</div>`;
};

export default function Workers({ may }) {
  const { data, problem, reload } = useRead("/api/workers", {}, 2);
  const stop = async (worker) => {
    const name = `${worker.host} · ${worker.pid}`;
    if (await ask({ title: `Stop ${name}?`, text: "It takes no more jobs; running bodies get its grace, then go back to their queues.", action: "Stop the worker", harm: true })) await perform(() => send("POST", `/api/workers/${worker.id}/stop`), `${name} is draining.`).then(reload);
  };
  const resize = async (worker) => {
    const given = await ask({ title: `Children of ${worker.host} · ${worker.pid}`, text: "A number, or a range such as 2:16. It holds until the worker ends.", action: "Resize", fields: [{ name: "children", label: "Children", value: String(worker.children.length), required: true }] });
    if (given) await perform(() => send("POST", `/api/workers/${worker.id}/resize`, { children: given.children }), "The worker is resized.").then(reload);
  };
  return html`<h1>Workers</h1><p class="sub">What each child runs, as of the last heartbeat.</p><${Trouble} problem=${problem} />
${data && !data.items.length ? html`<${Empty}>No worker is registered. Start one: <code>hammerflow -A shop:app worker</code><//>` : ""}
${(data?.items ?? []).map((worker) => html`<${Card} key=${worker.id} title=${`${worker.host} · ${worker.pid}`} note=${html`${worker.draining ? "draining, " : ""}heard <span class=${worker.silent_for > 30 ? "bad strong" : ""}>${silence(worker)} ago</span>`}>
<div class="head"><${Children} worker=${worker} /><span class="dim">${counted(worker.children.length, "child", "children")} since <${At} at=${worker.started_at} />, ${worker.queues ? `${worker.queues.length === 1 ? "queue" : "queues"} ${worker.queues.join(", ")}` : "all queues"}${worker.waiting ? `, ${count(worker.waiting)} claimed and waiting` : ""}</span><span class="fill"></span>${may("operate") ? html`<button class="btn" onClick=${() => resize(worker)}>Resize</button><button class="btn harm" onClick=${() => stop(worker)}>Stop</button>` : ""}</div>
${worker.children.some((child) => jobsOf(child).length) ? html`<div class="scroll"><table aria-label="Running jobs" class="even"><thead><tr><th scope="col" class="narrow hide">child</th><th scope="col">task</th><th scope="col">job</th><th scope="col" class="n narrow">runs for</th><th scope="col" class="n narrow hide">memory</th></tr></thead><tbody>${worker.children.flatMap((child) => jobsOf(child).map((job) => html`<tr><td class="mono hide">${child.pid ?? ""}</td><td>${job.task}</td><td><a class="mono" href=${link(`/jobs/${job.id ?? job.job_id}`)}>${(job.id ?? job.job_id ?? "").slice(0, 18)}</a></td><td class="n">${duration(job.seconds)}</td><td class="n hide">${child.memory === null ? "" : `${count(child.memory)} MiB`}</td></tr>`))}</tbody></table></div>` : ""}<//>`)}`;
}

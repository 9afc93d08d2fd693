// Limits: what runs and waits under each key, and when the next job may start.
import { send, useRead } from "../lib/api.js";
import { count, duration } from "../lib/format.js";
import { html } from "../lib/html.js";
import { ask, Bar, Empty, Number, perform, Table, Trouble } from "../lib/parts.js";
import { link } from "../lib/route.js";

/** When a job may start next. */
const next = (limit) => (limit.max === 0 ? "never" : limit.max !== null && limit.running >= limit.max ? "when one ends" : limit.next_start > 0 ? `in ${duration(limit.next_start)}` : "now");

/** The page of what a limit is set on. */
function place({ target }) {
  const [kind, name] = [target.slice(0, target.indexOf(":")), target.slice(target.indexOf(":") + 1)];
  if (kind === "queue") return link(`/queues/${encodeURIComponent(name)}`);
  return kind === "task" ? link("/tasks", { task: name }) : link(`/workflows/${name}`);
}

export default function Limits({ may }) {
  const { data, problem, reload } = useRead("/api/limits", {}, 2);
  const set = async (limit) => {
    const body = (given) => ({ ...(given.rate.trim() && { rate: given.rate.trim() }), ...(given.max !== "" && { max: Number(given.max) }) });
    const change = (given) => {
      if (!given.rate.trim() && given.max === "") throw Object.assign(new Error("Give a rate, or how many may run at a time."), { field: "rate" });
      return send("PUT", `/api/limits/${encodeURIComponent(limit?.target ?? given.target.trim())}`, body(given));
    };
    const made = await ask({ title: limit ? `Limit of ${limit.target}` : "Set a limit", text: "It holds for all workers within a second, until it is removed.", action: "Set", fields: [...(limit ? [] : [{ name: "target", label: "Target", required: true, placeholder: "queue:mail", note: "task:NAME or queue:NAME", refused: /target|queue|task/ }]), { name: "rate", label: "Rate", half: true, value: limit?.rate ?? "", placeholder: "100/m", note: limit ? "Empty: as it is." : "starts in a time, such as 100/m" }, { name: "max", label: "At a time", half: true, kind: "number", value: limit?.max ?? "", note: "0 stops all starts." }], change, said: "The limit is set." });
    if (made) reload();
  };
  const remove = async (limit) => {
    if (await ask({ title: `Remove the limit of ${limit.target}?`, text: "What the task declares in the code holds again.", action: "Remove", harm: true })) await perform(() => send("DELETE", `/api/limits/${encodeURIComponent(limit.target)}`), "The limit is removed.").then(reload);
  };
  const jobs = (limit) => (limit.target.startsWith("task:") ? { task: limit.target.slice(5) } : limit.target.startsWith("queue:") ? { queue: limit.target.slice(6) } : {});
  const [keys, rates] = ["key", "rate"].map((name) => data?.items.some((limit) => limit[name]));
  return html`<div class="head"><h1>Limits</h1><span class="fill"></span>${may("operate") ? html`<button class="btn" onClick=${() => set(null)}>Set a limit</button>` : ""}</div><p class="sub">Over all workers, decided as jobs are claimed.</p><${Trouble} problem=${problem} />
${data && !data.items.length ? html`<${Empty}>There are no limits. On a task: <code>rate_limit="100/m"</code>, <code>max_concurrency=5</code>; from a shell: <code>hammerflow limit set</code>.<//>` : ""}
${data?.items.length ? html`<div class="card"><${Table} label="Limits" columns=${[["target"], ...(keys ? [["key"]] : []), ...(rates ? [["rate", "n"]] : []), ["running", "n"], [html`<span class="sr">share</span>`], ["waiting", "n"], ["next start", "n"], ["set by"], [""]]}>${data.items.map((limit) => html`<tr><td><a class="strong" href=${place(limit)}>${limit.target}</a></td>${keys ? html`<td class="mono">${limit.key}</td>` : ""}${rates ? html`<td class="n">${limit.rate ?? ""}</td>` : ""}<td class="n"><${Number} value=${limit.running} to=${link("/jobs", { ...jobs(limit), state: "running" })} />${limit.max !== null ? ` of ${count(limit.max)}` : ""}</td><td>${limit.max ? html`<${Bar} parts=${[[limit.waiting && limit.running >= limit.max ? "parked" : "running", Math.min(limit.running, limit.max)]]} whole=${limit.max} label=${`${limit.running} of ${limit.max} running`} />` : ""}</td><td class="n"><${Number} value=${limit.waiting} to=${link("/jobs", { ...jobs(limit), state: "ready" })} /></td><td class="n">${next(limit)}</td><td>${limit.set_by ?? html`<span class="dim">the code</span>`}</td><td class="n">${may("operate") ? html`<button class="btn" onClick=${() => set(limit)}>Change</button>${limit.set_by ? html` <button class="btn harm" onClick=${() => remove(limit)}>Remove</button>` : ""}` : ""}</td></tr>`)}<//></div>` : ""}`;
}

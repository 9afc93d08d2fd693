// Sinks: how far each has come, and what is wrong; pause, resume, rewind.
import { send, stringify, useRead } from "../lib/api.js";
import { count } from "../lib/format.js";
import { html } from "../lib/html.js";
import { ask, At, Card, Empty, perform, State, Table, Trouble } from "../lib/parts.js";
import { useParams } from "../lib/route.js";

const path = (name) => `/api/sinks/${encodeURIComponent(name)}`;

function Refused({ name, close }) {
  const { data } = useRead(path(name), { parked: 50 }, 5);
  return html`<${Card} title=${`What ${name} has refused`} note=${html`<button class="plain" onClick=${close}>close</button>`}>${data?.refused.length ? html`<${Table} label="Refused events" columns=${[["position", "n"], ["at"], ["kind"], ["subject"], ["error"]]}>${data.refused.map((one) => html`<tr><td class="n">${count(one.position)}</td><td><${At} at=${one.at} /></td><td>${one.kind}</td><td class="mono">${one.subject}</td><td class="clip bad" title=${one.error}>${one.error}</td></tr>`)}<//>` : html`<p class="dim">Nothing.</p>`}<//>`;
}

export default function Sinks({ may }) {
  const [params, change] = useParams();
  const { data, problem, reload } = useRead("/api/sinks", {}, 2);
  const pause = async (sink) => {
    const given = await ask({ title: `Pause ${sink.name}?`, text: "Events are kept for it until their retention ends.", action: "Pause", fields: [{ name: "reason", label: "Why" }] });
    if (given) await perform(() => send("POST", `${path(sink.name)}/pause`, { reason: given.reason }), `${sink.name} is paused.`).then(reload);
  };
  const resume = (sink) => perform(() => send("POST", `${path(sink.name)}/resume`), `${sink.name} goes on.`).then(reload);
  return html`<h1>Sinks</h1><p class="sub">${data ? `The log ends at position ${count(data.head)}.` : ""}</p><${Trouble} problem=${problem} />${params.show ? html`<${Refused} name=${params.show} close=${() => change({ show: null })} />` : ""}
${data && !data.items.length ? html`<${Empty}>There are no sinks, so no events are logged: <code>hammerflow sink add NAME --kind kafka ...</code> or <code>app.sink(...)</code>.<//>` : ""}
${data?.items.length ? html`<div class="card"><${Table} label="Sinks" columns=${[["state"], ["name"], ["kind"], ["position", "n"], ["behind", "n"], ["sent", "n"], ["last", "n"], ["refused", "n"], ["trouble"], [""]]}>${data.items.map((sink) => html`<tr><td><${State} state=${sink.error ? "failed" : sink.state === "paused" ? "paused" : "running"} text=${sink.error && sink.state === "running" ? "failing" : sink.state} /></td><td class="strong" title=${stringify(sink.config)}>${sink.name}</td><td>${sink.kind}</td><td class="n">${count(sink.position)}</td><td class="n ${sink.behind > 10000 ? "bad" : ""}">${count(sink.behind)}</td><td class="n">${count(sink.sent)}</td><td class="n dim">${sink.sent_at ? html`<${At} at=${sink.sent_at} relative />` : ""}</td><td class="n">${sink.parked ? html`<button class="plain" onClick=${() => change({ show: sink.name })}>${count(sink.parked)}</button>` : ""}</td><td class="clip bad" title=${sink.error ?? ""}>${sink.error ?? (sink.gap ? `never got ${sink.gap.map(count).join(" to ")}` : sink.is_held ? "" : html`<span class="dim">no relay delivers to it now</span>`)}</td><td class="n">${may("operate") ? html`<button class="btn" onClick=${() => (sink.state === "paused" ? resume : pause)(sink)}>${sink.state === "paused" ? "Resume" : "Pause"}</button>` : ""}</td></tr>`)}<//></div>` : ""}`;
}

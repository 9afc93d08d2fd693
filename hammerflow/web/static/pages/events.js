// Events: the log by position, as it grows.
import { useRead } from "../lib/api.js";
import { count } from "../lib/format.js";
import { html } from "../lib/html.js";
import { At, Empty, Table, Trouble } from "../lib/parts.js";
import { link, useParams } from "../lib/route.js";

export default function Events() {
  const [params, change] = useParams();
  const { data, problem } = useRead("/api/events", { ...params, limit: 100 }, 2);
  const add = (event) => {
    event.preventDefault();
    const text = new FormData(event.target).get("kinds").trim();
    change({ kinds: text || null });
  };
  const items = data ? [...data.items].reverse() : [];
  return html`<h1>Events</h1><p class="sub">${data ? `Every committed change once, in order. The last position is ${count(data.head)}.` : ""}</p><${Trouble} problem=${problem} />
<form class="chips" onSubmit=${add}>${["queue", "task"].filter((name) => params[name]).map((name) => html`<span class="chip"><span><span class="dim">${name}</span> ${params[name]}</span><button type="button" aria-label="Remove the filter ${name}" onClick=${() => change({ [name]: null })}>×</button></span>`)}<input name="kinds" aria-label="Kinds" placeholder="Kinds: job.failed, workflow.*" defaultValue=${params.kinds ?? ""} /></form>
${data && !data.is_on ? html`<${Empty}>No sink wants events, so none are logged: <code>hammerflow sink add</code> or <code>app.sink(...)</code> turns the log on.<//>` : data && !items.length ? html`<${Empty}>No event fits.<//>` : ""}
${items.length ? html`<div class="card"><${Table} label="Events" columns=${[["position", "n"], ["at"], ["kind"], ["subject"], ["data"]]}>${items.map((event) => html`<tr key=${event.position}><td class="n mono">${count(event.position)}</td><td><${At} at=${event.at} /></td><td><button class="plain" onClick=${() => change({ kinds: event.kind })}>${event.kind}</button></td><td class="mono">${/^[0-9a-f-]{36}$/.test(event.subject) ? html`<a href=${link(`/${event.kind.startsWith("workflow") ? "workflows" : "jobs"}/${event.subject}`)}>${event.subject.slice(0, 18)}</a>` : event.subject}</td><td class="clip mono" title=${JSON.stringify(event.data)}>${event.is_tombstone ? html`<span class="dim">its rows are gone</span>` : JSON.stringify(event.data)}</td></tr>`)}<//></div>` : ""}`;
}

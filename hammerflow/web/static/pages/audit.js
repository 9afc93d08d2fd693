// Audit: who asked for which change, and how it ended.
import { stringify, useRead } from "../lib/api.js";
import { html } from "../lib/html.js";
import { At, Empty, Export, Older, Table, Trouble } from "../lib/parts.js";
import { useParams } from "../lib/route.js";

export default function Audit({ may }) {
  const [params, change] = useParams();
  const { data, problem } = useRead(may("admin") ? "/api/audit" : null, { ...params, limit: 100 }, 5);
  if (!may("admin")) return html`<h1>Audit</h1><p class="sub">This needs the role admin.</p>`;
  return html`<div class="head"><h1>Audit</h1><span class="fill"></span>${data?.items.length ? html`<${Export} path="/api/audit" params=${params} name="audit" />` : ""}</div><p class="sub">Every change that was asked for through the web, for a year. The arguments of calls are not in it.</p><${Trouble} problem=${problem} />
${params.who ? html`<div class="chips"><span class="chip"><span><span class="dim">who</span> ${params.who}</span><button aria-label="Remove the filter" onClick=${() => change({ who: null })}>×</button></span></div>` : ""}${data && !data.items.length ? html`<${Empty}>Nothing was changed yet.<//>` : ""}
${data?.items.length ? html`<div class="card"><${Table} label="Audit" columns=${[["at"], ["who"], ["from"], ["did"], ["to"], ["with"], ["outcome"]]}>${data.items.map((one) => html`<tr key=${one.id}><td><${At} at=${one.at} /></td><td><button class="plain" onClick=${() => change({ who: one.who })}>${one.who}</button></td><td class="mono">${one.address}</td><td>${one.action.replaceAll("_", " ")}</td><td class="mono clip" title=${one.target}>${one.target}</td><td class="mono clip" title=${stringify(one.details)}>${Object.keys(one.details).length ? stringify(one.details) : ""}</td><td class=${one.outcome === "done" ? "" : "bad"}>${one.outcome ?? "not known"}</td></tr>`)}<//></div>` : ""}<${Older} next=${data?.next} first=${!params.before} onNext=${() => change({ before: data.next })} onFirst=${() => change({ before: null })} />`;
}

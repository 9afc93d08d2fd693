// Webhooks: endpoints, how their deliveries went; test, enable.
import { send, useRead } from "../lib/api.js";
import { count, duration } from "../lib/format.js";
import { html } from "../lib/html.js";
import { At, Card, Empty, perform, State, Table, Trouble } from "../lib/parts.js";
import { useParams } from "../lib/route.js";

const path = (name) => `/api/webhooks/${encodeURIComponent(name)}`;

function Deliveries({ name, close }) {
  const { data, problem } = useRead(`${path(name)}/deliveries`, { limit: 50 }, 3);
  return html`<${Card} title=${`Deliveries to ${name}`} note=${html`<button class="plain" onClick=${close}>close</button>`}><${Trouble} problem=${problem} />${data?.items.length ? html`<${Table} label="Deliveries" columns=${[["at"], ["event", "n"], ["attempt", "n"], ["status", "n"], ["took", "n"], ["answer"]]}>${data.items.map((one) => html`<tr><td><${At} at=${one.at} /></td><td class="n" title=${one.message}>${one.position ? count(one.position) : ""}</td><td class="n">${one.attempt || "test"}</td><td class="n ${one.status >= 200 && one.status < 300 ? "" : "bad"}">${one.status ?? "none"}</td><td class="n">${duration(one.ms / 1000)}</td><td class="clip mono" title=${one.error || one.answer}>${one.error || one.answer}</td></tr>`)}<//>` : html`<p class="dim">None yet.</p>`}<//>`;
}

export default function Webhooks({ may }) {
  const [params, change] = useParams();
  const { data, problem, reload } = useRead("/api/webhooks", {}, 3);
  const run = (one, verb, said) => perform(() => send("POST", `${path(one.name)}/${verb}`), (answer) => (answer.is_delivered === false ? `It was not taken: ${answer.error}` : said)).then(reload);
  return html`<h1>Webhooks</h1><p class="sub">Endpoints that events are sent to, signed.</p><${Trouble} problem=${problem} />${params.show ? html`<${Deliveries} key=${params.show} name=${params.show} close=${() => change({ show: null })} />` : ""}
${data && !data.items.length ? html`<${Empty}>There are no endpoints: <code>hammerflow webhook add NAME URL</code> or <code>app.webhook(...)</code>.<//>` : ""}
${data?.items.length ? html`<div class="card"><${Table} label="Webhooks" columns=${[["state"], ["name"], ["url"], ["waiting", "n"], ["failures", "n"], ["reason"], [""]]}>${data.items.map((one) => html`<tr><td><${State} state=${one.state === "disabled" ? "failed" : one.state === "paused" ? "paused" : "running"} text=${one.state} /></td><td><button class="plain strong" onClick=${() => change({ show: one.name })}>${one.name}</button></td><td class="clip mono">${one.url}</td><td class="n">${count(one.waiting)}</td><td class="n ${one.failures ? "bad" : ""}">${one.failures || ""}</td><td class="clip">${one.reason}</td><td class="n">${may("operate") ? html`<button class="btn" onClick=${() => run(one, "test", "A test event was taken.")}>Test</button>${one.state === "disabled" ? html` <button class="btn" onClick=${() => run(one, "enable", `${one.name} is enabled.`)}>Enable</button>` : ""}` : ""}</td></tr>`)}<//></div>` : ""}`;
}

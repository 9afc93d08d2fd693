// Alerts: what fires, the rules, and where they are told.
import { send, useRead } from "../lib/api.js";
import { count, duration } from "../lib/format.js";
import { html } from "../lib/html.js";
import { ask, At, Card, Empty, perform, State, Table, Trouble } from "../lib/parts.js";

const path = (rule) => `/api/alert-rules/${encodeURIComponent(rule)}`;
/** A threshold as people say it. */
function amount(value, unit) {
  if (unit === "seconds") return duration(value);
  if (unit.startsWith("share")) return `${Math.round(1000 * value) / 10} %`;
  if (/^\d/.test(unit)) return count(value);
  return `${count(value)} ${value === 1 ? unit.replace(/s$/, "") : unit}`;
}
// What fires comes first, the newest of each state before.
const ORDER = ["firing", "pending", "resolved"];
const inOrder = (alerts) => [...alerts].sort((one, other) => ORDER.indexOf(one.state) - ORDER.indexOf(other.state) || Date.parse(other.since) - Date.parse(one.since));

const SPANS = { "1 hour": 3600, "8 hours": 28800, "1 day": 86400, "7 days": 604800 };

export default function Alerts({ may }) {
  const { data, problem, reload } = useRead("/api/alerts", { all: true }, 3);
  const { data: rules, reload: again } = useRead("/api/alert-rules", {}, 10);
  const { data: targets } = useRead("/api/alert-targets", {}, 10);
  const mute = async (rule, subject = "") => {
    const given = await ask({ title: `Mute ${rule}${subject ? ` for ${subject}` : ""}?`, text: "It is still watched and shown here; nobody is told.", action: "Mute", fields: [{ name: "span", label: "For", kind: "select", options: Object.keys(SPANS), value: "1 hour" }, { name: "reason", label: "Why" }] });
    if (given) await perform(() => send("POST", `${path(rule)}/mute`, { subject, seconds: SPANS[given.span], reason: given.reason }), `${rule} is muted for ${given.span}.`).then(reload).then(again);
  };
  const isNamed = rules?.items.some((rule) => rule.kind !== rule.name); // some rule has a name of its own
  return html`<h1>Alerts</h1><p class="sub">What is watched, what fires, and who is told.</p><${Trouble} problem=${problem} />
<div class="grid"><${Card} title="Alerts" note="of the last day">${data && !data.items.length ? html`<${State} state="completed" text="Nothing fires, and nothing has within a day." />` : ""}${data?.items.length ? html`<${Table} label="Alerts" columns=${[["state", "icon"], ["rule", "hide"], ["subject", "hide"], ["says"], ["since", "n"], ["told", "n hide"], [""]]}>${inOrder(data.items).map((alert) => html`<tr><td class="icon"><${State} state=${alert.state === "firing" ? "failed" : alert.state === "pending" ? "parked" : "completed"} text=${alert.state} /></td><td class="strong hide">${alert.rule}</td><td class="hide">${alert.subject}</td><td class="wrap wide">${alert.text}</td><td class="n"><${At} at=${alert.since} relative /></td><td class="n hide">${alert.told_at ? html`<${At} at=${alert.told_at} relative />` : ""}</td><td class="n">${alert.muted ? html`<span class="dim">muted</span>` : may("operate") && alert.state === "firing" ? html`<button class="btn" onClick=${() => mute(alert.rule, alert.subject)}>Mute</button>` : ""}</td></tr>`)}<//>` : ""}<//>
<${Card} size="s8" title="Rules">${rules ? html`<${Table} label="Rules" columns=${[["rule"], ...(isNamed ? [["kind"]] : []), ["warning", "n"], ["critical", "n"], ["after", "n"], ["set by"], [""]]}>${rules.items.map((rule) => html`<tr><td class="strong">${rule.enabled ? rule.name : html`<span class="faint">${rule.name}, off</span>`}</td>${isNamed ? html`<td class="dim">${rule.kind}</td>` : ""}<td class="n">${amount(rule.threshold, rule.unit)}</td><td class="n">${amount(rule.critical, rule.unit)}</td><td class="n">${rule.hold ? duration(rule.hold) : html`<span class="faint">at once</span>`}</td><td class="dim">${rule.set_by}</td><td class="n">${may("operate") ? html`<button class="btn" onClick=${() => mute(rule.name)}>Mute</button>` : ""}</td></tr>`)}<//>` : ""}<//>
<${Card} size="s4" title="Targets">${targets && !targets.items.length ? html`<${Empty}>Nobody is told: <code>hammerflow alert target add</code><//>` : ""}${(targets?.items ?? []).map((target) => html`<p><span class="strong">${target.name}</span> <span class="dim">${target.kind}${target.waiting ? `, ${target.waiting} waiting` : ""}</span>${target.error ? html`<br /><span class="bad">${target.error}</span>` : ""}</p>`)}${(rules?.mutes ?? []).length ? html`<h2 class="gap">Muted</h2>${rules.mutes.map((one) => html`<p>${one.rule} ${one.subject} <span class="dim">${one.until ? html`until <${At} at=${one.until} />` : "for good"}, by ${one.by}${one.reason ? `: ${one.reason}` : ""}</span></p>`)}` : ""}<//></div>`;
}

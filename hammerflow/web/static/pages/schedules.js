// Schedules: plain words, next runs, outcomes; run now, pause, edit.
import { send, stringify, useRead } from "../lib/api.js";
import { count, counted, duration, secondsSince, shortId } from "../lib/format.js";
import { html } from "../lib/html.js";
import { ask, At, Card, Empty, Export, perform, State, Table, Tabs, Trouble } from "../lib/parts.js";
import { link, useParams } from "../lib/route.js";

const LOOKS = { active: "scheduled", paused: "paused", disabled: "cancelled", over: "completed", aside: "parked" };
const LATE = 60; // seconds after a tick, until which a scheduler may take it
const path = (name) => `/api/schedules/${encodeURIComponent(name)}`;

function Shown({ name, close, may, reset, remove }) {
  const { data, problem } = useRead(path(name), { ticks: 20 }, 5);
  const { data: next } = useRead(`${path(name)}/next`, { count: 5 }, 30);
  return html`<${Card} title=${name} note=${html`<button class="plain" onClick=${close}>close</button>`}><${Trouble} problem=${problem} />${data ? html`<div class="grid"><div class="s6"><dl class="kv"><dt>due</dt><dd>${data.description}</dd><dt>calls</dt><dd class="mono">${data.call}</dd>${data.edit ? html`<dt>edited</dt><dd>by ${data.edited_by} <${At} at=${data.edited_at} />: <span class="mono">${stringify(data.edit)}</span></dd>` : ""}${data.trouble ? html`<dt>trouble</dt><dd class="bad">${data.trouble}</dd>` : ""}${data.reason ? html`<dt>paused</dt><dd>${data.reason}</dd>` : ""}<dt>missed</dt><dd>${data.missed ? `${counted(data.missed, "tick")} while no worker lived` : "no tick"}</dd></dl>${may("operate") && (data.code && data.edit || !data.code || data.disabled_since) ? html`<p class="head">${data.code && data.edit ? html`<button class="btn" onClick=${() => reset(data)}>Reset to the code</button>` : ""}${!data.code || data.disabled_since ? html`<button class="btn harm" onClick=${() => remove(data)}>Delete</button>` : ""}</p>` : ""}<h2 class="gap">Next runs, ${next?.tz ?? ""}</h2><ul class="tree root">${(next?.runs ?? []).map((run) => html`<li><${At} at=${run.tick} seconds=${Boolean(new Date(run.tick).getSeconds())} />, <span class="dim"><${At} at=${run.tick} relative /></span></li>`)}</ul></div><div class="s6"><h2>Last ticks</h2>${data.ticks.length ? html`<${Table} label="Last ticks" columns=${[["tick"], ["outcome"], ["run"], ["detail"]]}>${data.ticks.map((tick) => html`<tr><td><${At} at=${tick.tick} seconds=${Boolean(new Date(tick.tick).getSeconds())} /></td><td>${tick.outcome}</td><td>${tick.run ? html`<a class="mono" href=${link(`/jobs/${tick.run}`)}>${shortId(tick.run)}</a>` : ""}</td><td class="clip">${tick.detail ?? ""}</td></tr>`)}<//>` : html`<p class="dim">It has not been due yet.</p>`}</div></div>` : ""}<//>`;
}

export default function Schedules({ may }) {
  const [params, change] = useParams();
  const { show, ...filters } = params;
  const { data, problem, reload } = useRead("/api/schedules", { ...filters, limit: 100 }, 5);
  const run = async (one) => {
    if (await ask({ title: `Run ${one.name} now?`, text: `One run of ${one.call}, besides its ticks.`, action: "Run now" })) await perform(() => send("POST", `${path(one.name)}/run`), (answer) => (answer.paused.length ? "The run is enqueued, and waits: its queue or task is paused." : "The run is enqueued.")).then(reload);
  };
  const pause = async (one) => {
    const given = await ask({ title: `Pause ${one.name}?`, text: "Ticks pass without a job until it is resumed.", action: "Pause", fields: [{ name: "reason", label: "Why" }] });
    if (given) await perform(() => send("POST", `${path(one.name)}/pause`, { reason: given.reason }), `${one.name} is paused.`).then(reload);
  };
  const resume = (one) => perform(() => send("POST", `${path(one.name)}/resume`), `${one.name} goes on with its next tick.`).then(reload);
  const forms = (name, ...given) => import("../lib/schedule_form.js").then((form) => form[name](...given)).then((answer) => answer && reload());
  const reset = (one) => ask({ title: `Reset ${one.name}?`, text: "What the code says holds again.", action: "Reset", change: () => send("PATCH", path(one.name), { reset: true }), said: (now) => `${one.name} is due ${now.description}.` }).then((answer) => answer && reload());
  const remove = (one) => ask({ title: `Delete ${one.name}?`, text: "With the record of its ticks. Its jobs stay.", action: "Delete", harm: true, change: () => send("DELETE", path(one.name)), said: `${one.name} is deleted.` }).then((answer) => answer && change({ show: null })).then(reload);
  return html`<div class="head"><h1>Schedules</h1><span class="fill"></span>${data?.items.length ? html`<${Export} path="/api/schedules" params=${{ state: filters.state, task: filters.task, queue: filters.queue }} name="schedules" />` : ""}${may("operate") ? html`<button class="btn" onClick=${() => forms("createSchedule")}>Create a schedule</button>` : ""}</div>
<${Tabs} name="state" path="/schedules" params=${{ task: params.task, queue: params.queue }} chosen=${params.state ?? ""} items=${[["", "all"], ["active", "active"], ["paused", "paused"], ["disabled", "disabled"], ["over", "over"]]} /><${Trouble} problem=${problem} />
${show ? html`<${Shown} key=${show} name=${show} close=${() => change({ show: null })} may=${may} reset=${reset} remove=${remove} />` : ""}
${data && !data.items.length ? html`<${Empty}>${params.state || params.task || params.queue ? "No schedule fits." : html`There are no schedules yet.${may("operate") ? " Create one here, or in" : " In"} the code: <code>@app.cron("0 2 * * *", tz="Europe/Berlin")</code>; from a shell: <code>hammerflow schedule create</code>.`}<//>` : ""}
${data?.items.length ? html`<div class="card"><${Table} label="Schedules" columns=${[["state", "icon"], ["name"], ["due"], ["calls"], ["next", "n"], ["last"], [""]]}>${data.items.map((one) => html`<tr><td class="icon"><${State} state=${LOOKS[one.state]} text=${one.state} /></td><td><button class="plain strong" onClick=${() => change({ show: one.name })}>${one.name}</button></td><td class="wrap wide" title=${one.description}>${one.description}${one.trouble ? html` <span class="bad">${one.trouble}</span>` : ""}</td><td class="mono wrap">${one.call}</td><td class="n">${one.next_at && one.state === "active" ? (secondsSince(one.next_at) > LATE ? html`<span class="bad">${duration(secondsSince(one.next_at))} late</span>` : html`<${At} at=${one.next_at} relative />`) : ""}</td><td class="wrap slim">${one.last_tick ? html`${one.last_run ? html`<a href=${link(`/jobs/${one.last_run}`)}>${one.last_outcome}</a>` : one.last_outcome} <span class="dim"><${At} at=${one.last_tick} relative /></span>` : ""}${one.missed ? html` <span class="bad">${count(one.missed)} missed</span>` : ""}</td><td class="n">${may("operate") ? html`<button class="btn" onClick=${() => run(one)}>Run now</button> <button class="btn" onClick=${() => forms("editSchedule", one)}>Edit</button> <button class="btn" onClick=${() => (one.paused_at ? resume : pause)(one)}>${one.paused_at ? "Resume" : "Pause"}</button>` : ""}</td></tr>`)}<//></div>` : ""}${data?.next ? html`<div class="head"><span class="fill"></span><button class="btn" onClick=${() => change({ after: data.next })}>More</button></div>` : ""}`;
}

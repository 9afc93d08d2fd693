// Webhooks: endpoints, how their deliveries went; add, change, test, disable, replay, remove.
import { send, useRead } from "../lib/api.js";
import { filterFields, filterOf, filterSays, isHidden, momentOf } from "../lib/events.js";
import { count, counted, duration } from "../lib/format.js";
import { html, useState } from "../lib/html.js";
import { ask, At, Card, CodeMark, comesBack, Copy, Empty, InCode, Older, perform, State, Table, Trouble } from "../lib/parts.js";
import { useParams } from "../lib/route.js";

const path = (name) => `/api/webhooks/${encodeURIComponent(name)}`;
const LOOKS = { disabled: "failed", paused: "paused" };
const DAY = 86400;

function Deliveries({ name }) {
  const [params, change] = useParams();
  const { data, problem } = useRead(`${path(name)}/deliveries`, { limit: 50, before: params.before }, 3);
  return html`<h2 class="gap">Deliveries of the last week</h2><${Trouble} problem=${problem} />${data?.items.length ? html`<${Table} label="Deliveries" columns=${[["at"], ["event", "n"], ["attempt", "n"], ["status", "n"], ["took", "n"], ["answer"]]}>${data.items.map((one) => html`<tr><td><${At} at=${one.at} /></td><td class="n" title=${one.message}>${one.position ? count(one.position) : ""}</td><td class="n">${one.attempt || "test"}</td><td class="n ${one.status >= 200 && one.status < 300 ? "" : "bad"}">${one.status ?? "none"}</td><td class="n">${duration(one.ms / 1000)}</td><td class="clip mono" title=${one.error || one.answer}>${one.error || one.answer}</td></tr>`)}<//><${Older} next=${data.next} first=${!params.before} onNext=${() => change({ before: data.next })} onFirst=${() => change({ before: null })} />` : data ? html`<p class="dim">No delivery yet. <b>Test</b> sends one.</p>` : ""}`;
}

const signatures = [["hmac", "a shared secret (HMAC)"], ["ed25519", "a key pair (Ed25519)"]];

/** The fields of an endpoint; of a new one also its name, and how it is signed. */
const fieldsOf = (one, session) => [
  ...(one ? [] : [{ name: "name", label: "Name", required: true, half: true, placeholder: "billing", refused: /already/ }, { name: "signature", label: "Signed with", kind: "select", half: true, options: signatures }]),
  { name: "url", label: "URL", required: true, value: one && !isHidden(one.url) ? one.url : "", placeholder: "https://example.com/hooks", note: one && isHidden(one.url) ? "A part of it is secret and not shown: give it whole." : undefined, refused: /URL|address|host/ },
  ...filterFields(one?.filters),
  ...(session.sees_values ? ["args", "result"].map((name) => ({ name, label: name === "args" ? "Send the arguments of jobs" : "Send their results", kind: "check", half: true, value: one?.config.include?.includes(name) })) : []),
  { name: "disable_failures", label: "Disable after", kind: "number", more: true, half: true, value: one?.config.disable_failures ?? "", placeholder: "20", note: "failures in a row ..." },
  { name: "disable_after", label: "... and days without a success", kind: "number", more: true, half: true, value: one?.config.disable_after ? one.config.disable_after / DAY : "", placeholder: "5" },
  ...(one ? [] : [{ name: "position", label: "Begin behind position", kind: "number", more: true, half: true, note: "Empty: behind the last event." }]),
];

function bodyOf(given, one) {
  const body = { url: given.url.trim(), filters: filterOf(given), include: ["args", "result"].filter((name) => given[name]) };
  if (given.disable_failures) body.disable_failures = Number(given.disable_failures);
  if (given.disable_after) body.disable_after = Number(given.disable_after) * DAY;
  if (given.position) body.position = Number(given.position);
  return one ? body : { ...body, name: given.name.trim(), signature: given.signature };
}

/** What the receiver needs, which is shown once. */
const Secret = ({ made, done }) => html`<div class="why"><p><b>${made.secret ? `Copy the secret of ${made.name} now: it is not shown again.` : `${made.name} signs with this key pair: its receiver checks by the public key.`}</b></p><pre tabindex="0">${made.secret ?? made.public_key}</pre>${made.warning ? html`<p>${made.warning}</p>` : ""}<p><${Copy} text=${made.secret ?? made.public_key} /> · <button class="plain" onClick=${done}>done</button></p></div>`;

function Shown({ one, close, may, acts }) {
  return html`<${Card} title=${one.name} note=${html`<button class="plain" onClick=${close}>close</button>`}><div class="head all"><${State} state=${LOOKS[one.state] ?? "completed"} text=${one.state} /><span class="fill"></span>${may("operate") ? html`<button class="btn" onClick=${() => acts.run(one, "test", "A test event was taken.")}>Test</button>${one.state === "disabled" ? "" : html`<button class="btn" onClick=${() => acts.disable(one)}>Disable</button>`}` : ""}${may("admin") ? html`${one.app ? "" : html`<button class="btn" onClick=${() => acts.edit(one)}>Edit</button>`}<button class="btn" onClick=${() => acts.replay(one)}>Replay</button><button class="btn" onClick=${() => acts.rotate(one)}>Rotate the secret</button><button class="btn harm" onClick=${() => acts.remove(one)}>Remove</button>` : ""}</div>
${one.app ? html`<${InCode} app=${one.app} call=${`app.webhook("${one.name}", ...)`} />` : ""}<dl class="kv"><dt>url</dt><dd class="mono">${one.url}</dd><dt>events</dt><dd>${filterSays(one.filters)}</dd>${one.config.include?.length ? html`<dt>includes</dt><dd>${one.config.include.join(" and ")} of jobs</dd>` : ""}<dt>delivered</dt><dd>${count(one.delivered)}${one.failed ? html`, <span class="bad">${counted(one.failed, "attempt")} failed</span>` : ""}${one.success_at ? html`, last <${At} at=${one.success_at} relative />` : ""}</dd>${one.reason ? html`<dt>disabled</dt><dd class="bad">${one.reason}${one.disabled_at ? html`, <${At} at=${one.disabled_at} />` : ""}</dd>` : ""}${one.probe_at ? html`<dt>tried again</dt><dd><${At} at=${one.probe_at} relative /></dd>` : ""}${one.old_secret_until ? html`<dt>old secret</dt><dd>signs as well until <${At} at=${one.old_secret_until} /></dd>` : ""}<dt>set by</dt><dd>${one.app ? `the code of ${one.app}` : one.changed_by}</dd></dl><${Deliveries} name=${one.name} /><//>`;
}

/** What can be done with an endpoint. */
function actsOn(reload, change, setMade, session) {
  const then = (answer) => {
    if (answer) reload();
    return answer;
  };
  const make = async (one) => {
    const answer = await ask({ title: one ? `Change ${one.name}` : "Add a webhook", action: one ? "Change" : "Add", fields: fieldsOf(one, session), change: (given) => (one ? send("PUT", path(one.name), bodyOf(given, one)) : send("POST", "/api/webhooks", bodyOf(given))), said: (made) => (one ? `${made.name} is changed.${made.warning ? ` ${made.warning}` : ""}` : `${made.name} is added.`) });
    if (then(answer) && (answer.secret || answer.public_key)) setMade(answer);
  };
  const again = async (one, given, last) => {
    const found = await send("POST", `${path(one.name)}/replay`, { ...given, dry_run: true });
    if (!found.events) return void (await ask({ title: "No event to deliver", text: "The log has none of its events in this range.", action: "Close" }));
    return ask({ title: `Deliver ${counted(found.events, "event")} again?`, text: `Those of ${one.name} at the positions ${count(found.after + 1)} to ${count(found.to)}, with the ids they had.`, action: `Deliver ${counted(found.events, "event")}`, change: () => send("POST", `${path(one.name)}/replay`, given), said: last });
  };
  return {
    make, edit: make,
    run: (one, verb, said, body) => perform(() => send("POST", `${path(one.name)}/${verb}`, body), (answer) => (answer.is_delivered === false ? `It was not taken: ${answer.error}` : said)).then(reload),
    disable: (one) => ask({ title: `Disable ${one.name}?`, text: "Its deliveries wait, for a week, until it is enabled.", action: "Disable", harm: true, fields: [{ name: "reason", label: "Why", optional: true }], change: ({ reason }) => send("POST", `${path(one.name)}/disable`, reason ? { reason } : {}), said: `${one.name} is disabled.` }).then(then),
    rotate: (one) => ask({ title: `Rotate the secret of ${one.name}?`, text: "A new one is made and shown once. For 24 hours the old one signs as well.", action: "Rotate", change: () => send("POST", `${path(one.name)}/rotate`), said: "There is a new secret." }).then((made) => then(made) && setMade(made)),
    remove: (one) => ask({ title: `Remove ${one.name}?`, text: `With its log.${one.waiting ? ` ${counted(one.waiting, "delivery waits", "deliveries wait")} and will be cancelled.` : ""}${comesBack(one)}`, action: "Remove", harm: true, change: () => send("DELETE", path(one.name)), said: `${one.name} is removed.` }).then((gone) => gone && change({ show: null })).then(reload),
    replay: async (one) => {
      const given = await ask({ title: `Replay events to ${one.name}`, text: "They are counted first.", action: "Count them", fields: [{ name: "since", label: "From", kind: "datetime-local", half: true, required: true }, { name: "until", label: "Until", kind: "datetime-local", half: true, optional: true }] });
      if (given) await perform(() => again(one, { since: momentOf(given.since), until: momentOf(given.until) }, "They are being delivered."), null).then(reload);
    },
  };
}

export default function Webhooks({ may, session }) {
  const [params, change] = useParams();
  const [made, setMade] = useState(null);
  const { data, problem, reload } = useRead("/api/webhooks", {}, 3);
  const acts = actsOn(reload, change, setMade, session);
  const chosen = data?.items.find((one) => one.name === params.show);
  return html`<div class="head"><h1>Webhooks</h1><span class="fill"></span>${may("admin") ? html`<button class="btn" onClick=${() => acts.make(null)}>Add a webhook</button>` : ""}</div><p class="sub">Endpoints that events are sent to, signed.</p><${Trouble} problem=${problem} />${made ? html`<${Secret} made=${made} done=${() => setMade(null)} />` : ""}
${chosen ? html`<${Shown} key=${chosen.name} one=${chosen} close=${() => change({ show: null })} may=${may} acts=${acts} />` : params.show && data ? html`<p class="problem">No webhook is named ${params.show}.</p>` : ""}
${data && !data.items.length ? html`<${Empty}>No endpoint gets events yet. ${may("admin") ? "Add one here, " : "Add one "}from a shell: <code>hammerflow webhook add NAME URL</code>, or in the code: <code>app.webhook(...)</code>.<//>` : ""}
${data?.items.length ? html`<div class="card"><${Table} label="Webhooks" columns=${[["state", "icon"], ["name"], ["url"], ["events", "hide"], ["waiting", "n"], ["failures", "n"], ["reason", "hide"], [""]]}>${data.items.map((one) => html`<tr><td class="icon"><${State} state=${LOOKS[one.state] ?? "completed"} text=${one.state} /></td><td><button class="plain strong" aria-expanded=${one.name === params.show} onClick=${() => change({ show: one.name })}>${one.name}</button><${CodeMark} app=${one.app} /></td><td class="clip mono" title=${one.url}>${one.url}</td><td class="clip hide dim" title=${filterSays(one.filters)}>${filterSays(one.filters)}</td><td class="n">${count(one.waiting)}</td><td class="n ${one.failures ? "bad" : ""}">${one.failures || ""}</td><td class="clip hide" title=${one.reason}>${one.reason}</td><td class="n">${may("operate") ? html`<button class="btn" onClick=${() => acts.run(one, "test", "A test event was taken.")}>Test</button>${one.state === "disabled" ? html` <button class="btn" onClick=${() => acts.run(one, "enable", `${one.name} is enabled.`)}>Enable</button>` : ""}` : ""}</td></tr>`)}<//></div>` : ""}`;
}

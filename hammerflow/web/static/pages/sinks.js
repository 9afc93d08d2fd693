// Sinks: how far each has come, and what is wrong; add, change, pause, resume, rewind, test, remove.
import { get, send, stringify, useRead } from "../lib/api.js";
import { filterFields, filterOf, filterSays, isHidden, momentOf } from "../lib/events.js";
import { count, counted, duration } from "../lib/format.js";
import { html } from "../lib/html.js";
import { ask, At, Card, CodeMark, comesBack, Empty, InCode, perform, State, Table, Trouble } from "../lib/parts.js";
import { link, useParams } from "../lib/route.js";

const path = (name) => `/api/sinks/${encodeURIComponent(name)}`;

// What a sink of each kind must have: [name, label, example]; all else is given as JSON.
const KINDS = {
  none: [], log: [],
  http: [["url", "URL", "https://example.com/events"]],
  redis: [["url", "URL", "redis://:${PASSWORD}@host:6379/0"], ["stream", "Stream", "shop-events"]],
  nats: [["url", "URL", "nats://host:4222"], ["subject", "Subject", "shop.{kind}"]],
  kafka: [["servers", "Brokers", "host:9092"], ["topic", "Topic", "shop-events"]],
  kinesis: [["stream", "Stream", "shop-events"]],
  pubsub: [["topic", "Topic", "projects/PROJECT/topics/NAME"]],
};
const WORDS = { none: "none: only turns the log on", log: "log: lines of the relay's log" };

/** The fields of a sink; those of its kind come with that. */
const fieldsOf = (one) => (values) => {
  const kind = one?.kind ?? values.kind ?? "none";
  const needed = KINDS[kind] ?? [];
  const rest = Object.entries(one?.config ?? {}).filter(([name, value]) => !needed.some(([each]) => each === name) && !isHidden(value));
  const lost = Object.entries(one?.config ?? {}).filter(([, value]) => isHidden(value)).map(([name]) => name);
  return [
    ...(one ? [] : [{ name: "name", label: "Name", required: true, half: true, placeholder: "warehouse", refused: /name/ }, { name: "kind", label: "Kind", kind: "select", half: true, options: Object.keys(KINDS).map((each) => [each, WORDS[each] ?? each]), value: kind }]),
    ...needed.map(([name, label, example]) => ({ name, label, required: true, half: needed.length > 1, value: one && !isHidden(one.config[name]) ? one.config[name] : "", placeholder: example })),
    ...filterFields(one?.filters),
    { name: "options", label: "Other options, as a JSON object", optional: true, kind: "long", rows: 3, json: "object", value: rest.length ? stringify(Object.fromEntries(rest), 2) : "", note: lost.length ? `Secrets are not shown: give ${lost.join(", ")} again. A text may name a variable of the relay, such as \${TOKEN}.` : "A text may name a variable of the relay, such as ${TOKEN}.", refused: /option|module/ },
    ...(one ? [] : [{ name: "position", label: "Begin behind position", kind: "number", more: true, half: true, note: "Empty: behind the last event." }]),
  ];
};

function bodyOf(given, one) {
  const kind = one?.kind ?? given.kind;
  const needed = Object.fromEntries((KINDS[kind] ?? []).map(([name]) => [name, given[name]]));
  const body = { kind, config: { ...given.options, ...needed }, filters: filterOf(given) };
  return given.position ? { ...body, position: Number(given.position) } : body;
}

function Shown({ name, close, may, acts }) {
  const { data: one, problem } = useRead(path(name), { parked: 50 }, 3);
  if (!one) return html`<${Trouble} problem=${problem} />`;
  const isMine = KINDS[one.kind] && !one.app;
  return html`<${Card} title=${one.name} note=${html`<button class="plain" onClick=${close}>close</button>`}><${Trouble} problem=${problem} /><div class="head all"><span class="dim">${one.kind}</span><span class="fill"></span>${may("operate") ? html`<button class="btn" onClick=${() => acts.test(one)}>Test</button><button class="btn" onClick=${() => (one.state === "running" ? acts.pause : acts.resume)(one)}>${one.state === "running" ? "Pause" : "Resume"}</button>` : ""}${may("admin") ? html`${isMine ? html`<button class="btn" onClick=${() => acts.make(one)}>Edit</button>` : ""}<button class="btn" onClick=${() => acts.rewind(one)}>Rewind</button><button class="btn harm" onClick=${() => acts.remove(one)}>Remove</button>` : ""}</div>
${one.app ? html`<${InCode} app=${one.app} call=${`app.sink("${one.name}", ...)`} />` : isMine || !may("admin") ? "" : html`<p class="dim">A sink of the kind ${one.kind} is not changed here: use <code>hammerflow sink add ${one.name} ${one.kind} ...</code></p>`}<dl class="kv"><dt>events</dt><dd>${filterSays(one.filters)}</dd>${Object.entries(one.config).map(([key, value]) => html`<dt>${key}</dt><dd class="mono">${typeof value === "string" ? value : stringify(value)}</dd>`)}${one.reason ? html`<dt>paused</dt><dd>${one.reason}</dd>` : ""}${one.error ? html`<dt>trouble</dt><dd class="bad">${one.error}${one.error_at ? html`, <${At} at=${one.error_at} relative />` : ""}</dd>` : ""}${one.gap ? html`<dt>never got</dt><dd class="bad">${one.gap.map(count).join(" to ")}: retention had deleted them</dd>` : ""}<dt>set by</dt><dd>${one.app ? `the code of ${one.app}` : one.changed_by}</dd></dl>
${one.refused.length ? html`<h2 class="gap">Events it has refused</h2><${Table} label="Refused events" columns=${[["position", "n"], ["at"], ["kind"], ["subject"], ["error"]]}>${one.refused.map((each) => html`<tr><td class="n">${count(each.position)}</td><td><${At} at=${each.at} /></td><td>${each.kind}</td><td class="mono">${each.subject}</td><td class="clip bad" title=${each.error}>${each.error}</td></tr>`)}<//>` : ""}<//>`;
}

/** What can be done with a sink. */
function actsOn(reload, change, head) {
  const then = (answer) => answer && reload();
  const set = async (one, given) => {
    if (!one && (await exists(given.name.trim()))) throw Object.assign(new Error(`There is a sink ${given.name.trim()} already: choose another name, or edit it.`), { field: "name" });
    return send("PUT", path(one?.name ?? given.name.trim()), bodyOf(given, one));
  };
  const exists = (name) => get("/api/sinks").then((found) => found.items.some((one) => one.name === name));
  return {
    make: (one) => ask({ title: one ? `Change ${one.name}` : "Add a sink", action: one ? "Change" : "Add", fields: fieldsOf(one), change: (given) => set(one, given), said: (made) => `${made.name} is ${one ? "changed" : "added"}.` }).then(then),
    pause: (one) => ask({ title: `Pause ${one.name}?`, text: "Events are kept for it until their retention ends.", action: "Pause", fields: [{ name: "reason", label: "Why", optional: true }], change: ({ reason }) => send("POST", `${path(one.name)}/pause`, { reason }), said: `${one.name} is paused.` }).then(then),
    resume: (one) => perform(() => send("POST", `${path(one.name)}/resume`), `${one.name} goes on.`).then(reload),
    test: (one) => perform(() => send("POST", `${path(one.name)}/test`), (answer) => `${one.name} has taken a test event in ${duration(answer.seconds)}.`).then(reload),
    remove: (one) => ask({ title: `Remove ${one.name}?`, text: (one.behind ? `It never gets the ${counted(one.behind, "event")} that it is behind.` : "It has got every event.") + comesBack(one), action: "Remove", harm: true, change: () => send("DELETE", path(one.name)), said: `${one.name} is removed.` }).then((gone) => gone && change({ show: null })).then(reload),
    rewind: async (one) => {
      const to = (given) => {
        if (Boolean(given.at) === Boolean(given.position)) throw Object.assign(new Error("Give a position or a time, not both."), { field: "position" });
        return given.at ? { at: momentOf(given.at) } : { position: Number(given.position) };
      };
      const found = await ask({ title: `Set the position of ${one.name}`, text: `It has come to ${count(one.position)}; the log ends at ${count(head)}. Back: events are delivered again. Ahead: events are left out.`, action: "Count them", fields: [{ name: "position", label: "Behind position", kind: "number", half: true, placeholder: "0" }, { name: "at", label: "or from a time on", kind: "datetime-local", half: true }], change: async (given) => ({ ...(await send("POST", `${path(one.name)}/rewind`, { ...to(given), dry_run: true })), to: to(given) }) });
      if (!found) return;
      const does = found.again ? `Deliver ${counted(found.again, "event")} again` : found.left_out ? `Leave ${counted(found.left_out, "event")} out` : "Set the position";
      await ask({ title: `${does}?`, text: `${one.name} goes on behind the position ${count(found.position)}.`, action: does, harm: found.left_out > 0, change: () => send("POST", `${path(one.name)}/rewind`, found.to), said: `${one.name} goes on behind the position ${count(found.position)}.` }).then(then);
    },
  };
}

/** What is said of a sink in one line. */
const trouble = (sink) => sink.error ?? (sink.gap ? `never got ${sink.gap.map(count).join(" to ")}` : sink.is_held || sink.kind === "none" || sink.kind === "webhook" ? "" : html`<span class="dim">no relay delivers to it now</span>`);

export default function Sinks({ may }) {
  const [params, change] = useParams();
  const { data, problem, reload } = useRead("/api/sinks", {}, 2);
  const acts = actsOn(reload, change, data?.head ?? 0);
  return html`<div class="head"><h1>Sinks</h1><span class="fill"></span>${may("admin") ? html`<button class="btn" onClick=${() => acts.make(null)}>Add a sink</button>` : ""}</div><p class="sub">${data ? `Where events go, webhooks among them. The log ends at position ${count(data.head)}.` : ""}</p><${Trouble} problem=${problem} />${params.show ? html`<${Shown} key=${params.show} name=${params.show} close=${() => change({ show: null })} may=${may} acts=${acts} />` : ""}
${data && !data.items.length ? html`<${Empty}>No sink gets events, so none are logged. ${may("admin") ? "Add one here, " : "Add one "}from a shell: <code>hammerflow sink add NAME --kind kafka ...</code>, or in the code: <code>app.sink(...)</code>.<//>` : ""}
${data?.items.length ? html`<div class="card"><${Table} label="Sinks" columns=${[["state", "icon"], ["name"], ["kind"], ["position", "n hide"], ["behind", "n"], ["sent", "n hide"], ["last", "n"], ["refused", "n"], ["trouble"], [""]]}>${data.items.map((sink) => html`<tr><td class="icon"><${State} state=${sink.error ? "failed" : sink.state === "paused" ? "paused" : "running"} text=${sink.error && sink.state === "running" ? "failing" : sink.state} /></td><td>${sink.kind === "webhook" ? html`<a class="strong" href=${link("/webhooks", { show: sink.name })}>${sink.name}</a>` : html`<button class="plain strong" aria-expanded=${sink.name === params.show} onClick=${() => change({ show: sink.name })}>${sink.name}</button>`}<${CodeMark} app=${sink.app} /></td><td>${sink.kind}</td><td class="n hide">${count(sink.position)}</td><td class="n ${sink.behind > 10000 ? "bad" : ""}">${count(sink.behind)}</td><td class="n hide">${count(sink.sent)}</td><td class="n dim">${sink.sent_at ? html`<${At} at=${sink.sent_at} relative />` : ""}</td><td class="n ${sink.parked ? "bad" : ""}">${sink.parked ? html`<button class="plain bad" onClick=${() => change({ show: sink.name })}>${count(sink.parked)}</button>` : ""}</td><td class="clip bad" title=${sink.error ?? ""}>${trouble(sink)}</td><td class="n">${may("operate") ? html`<button class="btn" onClick=${() => (sink.state === "running" ? acts.pause : acts.resume)(sink)}>${sink.state === "running" ? "Pause" : "Resume"}</button>` : ""}</td></tr>`)}<//></div>` : ""}`;
}

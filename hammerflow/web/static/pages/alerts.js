// Alerts: what fires, the rules, and who is told; each of them can be changed.
import { send, useRead } from "../lib/api.js";
import { isHidden, names } from "../lib/events.js";
import { count, counted, duration } from "../lib/format.js";
import { html } from "../lib/html.js";
import { ask, At, Card, CodeMark, comesBack, Empty, perform, State, Table, Trouble } from "../lib/parts.js";

const path = (rule) => `/api/alert-rules/${encodeURIComponent(rule)}`;
const targetPath = (name) => `/api/alert-targets/${encodeURIComponent(name)}`;

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

const SPANS = { "1 hour": 3600, "8 hours": 28800, "1 day": 86400, "7 days": 604800, "until it is taken back": null };

/** What can be done with rules. */
function rulesActs(again) {
  const then = (answer) => answer && again();
  const unit = (rule) => (rule.unit.startsWith("share") ? "a share from 0 to 1" : rule.unit);
  const number = (name, label, rule, more) => ({ name, label, kind: "number", half: true, value: rule?.[name] ?? "", ...more });
  const options = (given) => {
    const found = {};
    for (const name of ["threshold", "critical", "hold", "clear", "cooldown", "window", "least"]) if (given[name]) found[name] = Number(given[name]);
    if (given.enabled !== undefined) found.enabled = given.enabled;
    if (names(given.subjects).length) found.subjects = names(given.subjects);
    return found;
  };
  const times = (rule) => [
    number("hold", "Fires after", rule, { note: "seconds above it" }), number("clear", "Resolves after", rule, { note: "seconds below it" }),
    number("cooldown", "Told again after", rule, { note: "seconds at the earliest" }),
    ...(!rule || rule.window ? [number("window", "Looks at the last", rule, { note: "seconds" })] : []),
    ...(!rule || rule.least ? [number("least", "Only with at least", rule, { note: "jobs that have ended" })] : []),
  ];
  return {
    mute: (rule, subject = "") => ask({ title: `Mute ${rule}${subject ? ` for ${subject}` : ""}?`, text: "It is still watched and shown here; nobody is told.", action: "Mute", fields: [{ name: "span", label: "For", kind: "select", half: true, options: Object.keys(SPANS), value: "1 hour" }, { name: "reason", label: "Why", half: true, optional: true }], change: ({ span, reason }) => send("POST", `${path(rule)}/mute`, { subject, reason, ...(SPANS[span] && { seconds: SPANS[span] }) }), said: (made, { span }) => `${rule} is muted ${SPANS[span] ? `for ${span}` : span}.` }).then(then),
    unmute: (one) => perform(() => send("POST", `${path(one.rule)}/unmute`, { subject: one.subject }), `${one.rule} tells of its alerts again.`).then(again),
    edit: (rule) => ask({ title: `Change ${rule.name}`, text: `Watches each ${rule.subject}; holds until it is reset.`, action: "Change", fields: [{ name: "enabled", label: "It is evaluated", kind: "check", value: rule.enabled }, number("threshold", "Warns at", rule, { required: true, note: unit(rule) }), number("critical", "Critical at", rule, { required: true, note: unit(rule) }), ...times(rule), { name: "subjects", label: `Only these ${rule.subject}s`, optional: true, value: rule.subjects.join(", "), placeholder: "mail, merchant-*" }], change: (given) => send("PUT", path(rule.name), { kind: rule.kind, options: options(given) }), said: `${rule.name} is changed.` }).then(then),
    add: (kinds) => ask({ title: "Add a rule", text: "What is left empty is as its kind has it.", action: "Add", fields: (values) => {
      const kind = kinds.find((one) => one.name === (values.kind ?? kinds[0].name)) ?? kinds[0];
      return [{ name: "name", label: "Name", required: true, half: true, placeholder: "mail_behind" }, { name: "kind", label: "Kind", kind: "select", half: true, options: kinds.map((one) => one.name) }, number("threshold", "Warns at", null, { note: unit(kind), placeholder: kind.threshold }), number("critical", "Critical at", null, { note: unit(kind), placeholder: kind.critical }), { name: "subjects", label: `Only these ${kind.subject}s`, optional: true, placeholder: "mail, merchant-*" }, ...times(null).map((field) => ({ ...field, more: true }))];
    }, change: (given) => send("PUT", path(given.name.trim()), { kind: given.kind, options: options(given) }), said: (made) => `${made.name} is added.` }).then(then),
    reset: (rule) => ask({ title: rule.name === rule.kind ? `Reset ${rule.name}?` : `Remove ${rule.name}?`, text: rule.name === rule.kind ? "It has its shipped values again." : "Its alerts end with it.", action: rule.name === rule.kind ? "Reset" : "Remove", harm: true, change: () => send("DELETE", path(rule.name)), said: (answer) => `${answer.says[0].toUpperCase()}${answer.says.slice(1)}.` }).then(then),
  };
}

// The options of each kind of target: [name, label, example or choices]; "!" marks those it needs.
const HOOK = [["url!", "Address of the hook", "https://hooks.slack.com/services/..."]];
const TARGETS = {
  slack: HOOK, mattermost: HOOK, teams: HOOK, discord: HOOK,
  webhook: [["url!", "URL", "https://example.com/alerts"], ["secret", "Secret that signs", "whsec_..."]],
  email: [["host!", "Mail server", "smtp.example.com"], ["port", "Port", "587"], ["sender!", "From", "jobs@example.com"], ["to!", "To", "ops@example.com, ann@example.com"], ["user", "User", ""], ["password", "Password", "${SMTP_PASSWORD}"], ["security", "Connects by", ["starttls", "tls", "none"]]],
  alertmanager: [["url!", "URL", "http://alertmanager:9093"]],
};

const targetFields = (one) => (values) => {
  const kind = one?.kind ?? values.kind ?? "slack";
  const options = (TARGETS[kind] ?? []).map(([marked, label, example]) => {
    const name = marked.replace("!", "");
    const known = one?.config[name];
    const isSecret = known !== undefined && isHidden(known);
    return { name, label, required: marked !== name, optional: marked === name, half: kind === "email", value: isSecret ? "" : known ?? "", note: isSecret ? "It is not shown: give it again." : undefined, ...(Array.isArray(example) ? { kind: "select", options: example } : { placeholder: example }), ...(name === "port" ? { kind: "number" } : {}) };
  });
  return [...(one ? [] : [{ name: "name", label: "Name", required: true, half: true, placeholder: "on-call" }, { name: "kind", label: "Kind", kind: "select", half: true, options: Object.keys(TARGETS), value: kind }]), ...options];
};

/** What can be done with targets. */
function targetsActs(again) {
  const body = (given, one) => {
    const kind = one?.kind ?? given.kind;
    const known = TARGETS[kind].map(([name]) => name.replace("!", ""));
    const kept = Object.entries(one?.config ?? {}).filter(([name]) => !known.includes(name));
    return { kind, config: Object.fromEntries([...kept, ...known.filter((name) => given[name]).map((name) => [name, name === "port" ? Number(given[name]) : given[name]])]) };
  };
  const then = (answer) => answer && again();
  return {
    make: (one) => ask({ title: one ? `Change ${one.name}` : "Add a target", text: "A text may name a variable of the workers, such as ${SLACK_HOOK}.", action: one ? "Change" : "Add", fields: targetFields(one), change: (given) => send("PUT", targetPath(one?.name ?? given.name.trim()), body(given, one)), said: (made) => `${made.name} is ${one ? "changed" : "told of alerts from now on"}.` }).then(then),
    test: (one) => perform(() => send("POST", `${targetPath(one.name)}/test`), (answer) => `${one.name} has taken a test message in ${duration(answer.seconds)}.`).then(again),
    pause: (one) => perform(() => send("POST", `${targetPath(one.name)}/${one.paused ? "resume" : "pause"}`), one.paused ? `${one.name} is told again.` : `${one.name} is told nothing until it is resumed.`).then(again),
    remove: (one) => ask({ title: `Remove ${one.name}?`, text: (one.waiting ? `${counted(one.waiting, "message waits", "messages wait")} for it and will be dropped.` : "It is told nothing more.") + comesBack(one), action: "Remove", harm: true, change: () => send("DELETE", targetPath(one.name)), said: `${one.name} is removed.` }).then(then),
  };
}

const targetState = (one) => (one.paused ? ["paused", "paused"] : one.error ? ["failed", "failing"] : ["completed", one.sent_at ? "ok" : "ready"]);

function Targets({ data, may, acts }) {
  return html`<${Card} title="Who is told" note=${may("admin") ? html`<button class="btn" onClick=${() => acts.make(null)}>Add a target</button>` : ""}>${data && !data.items.length ? html`<${Empty}>Nobody is told yet: alerts are only shown here. ${may("admin") ? "Add a chat, an address or a webhook here, or from a shell: " : "From a shell: "}<code>hammerflow alert target add</code>.<//>` : ""}${data?.items.length ? html`<${Table} label="Targets" columns=${[["state", "icon"], ["name"], ["kind"], ["waiting", "n"], ["last", "n hide"], ["trouble"], [""]]}>${data.items.map((one) => html`<tr><td class="icon"><${State} state=${targetState(one)[0]} text=${targetState(one)[1]} /></td><td><span class="strong">${one.name}</span><${CodeMark} app=${one.app} /></td><td class="dim">${one.kind}</td><td class="n">${one.waiting || ""}</td><td class="n dim hide">${one.sent_at ? html`<${At} at=${one.sent_at} relative />` : ""}</td><td class="clip bad" title=${one.error}>${one.error}</td><td class="n">${may("operate") ? html`<button class="btn" onClick=${() => acts.test(one)}>Test</button> <button class="btn" onClick=${() => acts.pause(one)}>${one.paused ? "Resume" : "Pause"}</button>` : ""}${may("admin") ? html`${one.app ? "" : html` <button class="btn" onClick=${() => acts.make(one)}>Edit</button>`} <button class="btn harm" onClick=${() => acts.remove(one)}>Remove</button>` : ""}</td></tr>`)}<//>${data.items.some((one) => one.app) ? html`<p class="dim">Targets that code declares are changed there: <code>app.alert_target(...)</code>. If one is removed here, it comes back when a worker starts.</p>` : ""}` : ""}<//>`;
}

/** Whether the code of an app declares a rule. */
const ofCode = (rule) => rule.set_by.startsWith("app ");

function Rules({ rules, may, acts }) {
  const isNamed = rules?.items.some((rule) => rule.kind !== rule.name); // some rule has a name of its own
  const kinds = (rules?.items ?? []).filter((rule, place, all) => all.findIndex((one) => one.kind === rule.kind) === place).map((rule) => ({ ...rule, name: rule.kind }));
  return html`<${Card} title="Rules" note=${may("operate") && kinds.length ? html`<button class="btn" onClick=${() => acts.add(kinds)}>Add a rule</button>` : ""}>${rules ? html`<${Table} label="Rules" columns=${[["rule"], ...(isNamed ? [["kind", "hide"]] : []), ["warns at", "n"], ["critical at", "n"], ["after", "n hide"], ["watches", "hide"], ["set by", "hide"], [""]]}>${rules.items.map((rule) => html`<tr><td>${rule.enabled ? html`<span class="strong">${rule.name}</span>` : html`<span class="faint">${rule.name}, off</span>`}</td>${isNamed ? html`<td class="dim hide">${rule.kind}</td>` : ""}<td class="n">${amount(rule.threshold, rule.unit)}</td><td class="n">${amount(rule.critical, rule.unit)}</td><td class="n hide">${rule.hold ? duration(rule.hold) : html`<span class="faint">at once</span>`}</td><td class="dim clip hide" title=${rule.subjects.join(", ")}>${rule.subjects.length ? rule.subjects.join(", ") : `each ${rule.subject}`}</td><td class="dim hide">${ofCode(rule) ? `code of ${rule.set_by.slice(4)}` : rule.set_by}</td><td class="n">${may("operate") ? html`<button class="btn" onClick=${() => acts.mute(rule.name)}>Mute</button> ${ofCode(rule) ? "" : html`<button class="btn" onClick=${() => acts.edit(rule)}>Edit</button>`}${rule.set_by === "default" || ofCode(rule) ? "" : html` <button class="btn" onClick=${() => acts.reset(rule)}>${rule.name === rule.kind ? "Reset" : "Remove"}</button>`}` : ""}</td></tr>`)}<//>${rules.items.some(ofCode) ? html`<p class="dim">Rules that code declares are changed there: <code>app.alert_rule(...)</code>. They can be muted here.</p>` : ""}` : ""}<//>`;
}

export default function Alerts({ may }) {
  const { data, problem, reload } = useRead("/api/alerts", { all: true }, 3);
  const { data: rules, reload: again } = useRead("/api/alert-rules", {}, 10);
  const { data: targets, reload: rereadTargets } = useRead("/api/alert-targets", {}, 10);
  const acts = rulesActs(() => Promise.all([reload(), again()]));
  const mutes = rules?.mutes ?? [];
  return html`<h1>Alerts</h1><p class="sub">What is watched, what fires, and who is told.</p><${Trouble} problem=${problem} />
<div class="grid"><${Card} title="Alerts" note="of the last day">${data && !data.items.length ? html`<${State} state="completed" text="Nothing fires, and nothing has within a day." />` : ""}${data?.items.length ? html`<${Table} label="Alerts" columns=${[["state", "icon"], ["rule", "hide"], ["subject", "hide"], ["says"], ["since", "n"], ["told", "n hide"], [""]]}>${inOrder(data.items).map((alert) => html`<tr><td class="icon"><${State} state=${alert.state === "firing" ? "failed" : alert.state === "pending" ? "parked" : "completed"} text=${alert.state} /></td><td class="strong hide">${alert.rule}</td><td class="hide">${alert.subject}</td><td class="wrap wide">${alert.text[0].toUpperCase() + alert.text.slice(1)}</td><td class="n"><${At} at=${alert.since} relative /></td><td class="n hide">${alert.told_at ? html`<${At} at=${alert.told_at} relative />` : ""}</td><td class="n">${alert.muted ? html`<span class="dim">muted</span>` : may("operate") && alert.state === "firing" ? html`<button class="btn" onClick=${() => acts.mute(alert.rule, alert.subject)}>Mute</button>` : ""}</td></tr>`)}<//>` : ""}<//>
${mutes.length ? html`<${Card} title="Muted"><${Table} label="Mutes" columns=${[["rule"], ["subject"], ["until"], ["by"], ["why"], [""]]}>${mutes.map((one) => html`<tr><td class="strong">${one.rule}</td><td>${one.subject || html`<span class="dim">all</span>`}</td><td>${one.until ? html`<${At} at=${one.until} />` : "it is taken back"}</td><td>${one.by}</td><td class="clip" title=${one.reason}>${one.reason}</td><td class="n">${may("operate") ? html`<button class="btn" onClick=${() => acts.unmute(one)}>Unmute</button>` : ""}</td></tr>`)}<//><//>` : ""}
<${Targets} data=${targets} may=${may} acts=${targetsActs(rereadTargets)} /><${Rules} rules=${rules} may=${may} acts=${acts} /></div>`;
}

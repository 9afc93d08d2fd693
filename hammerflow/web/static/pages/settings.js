// Settings: who asks, the tokens of programs, and the look.
import { send, useRead } from "../lib/api.js";
import { html, useState } from "../lib/html.js";
import { ask, At, Card, Copy, Empty, perform, State, Table, Trouble } from "../lib/parts.js";

const DAYS = { "7 days": 7, "90 days": 90, "1 year": 365, "no end": null };

export default function Settings({ may, session }) {
  const { data, problem, reload } = useRead(may("admin") ? "/api/tokens" : null, {}, 10);
  const [made, setMade] = useState(null);
  const create = async () => {
    const answer = await ask({ title: "Make a token", action: "Make it", fields: [{ name: "name", label: "Name", required: true, placeholder: "ci", note: "What will use it.", refused: /name/ }, { name: "role", label: "Role", kind: "select", half: true, options: [["read", "read: sees"], ["operate", "operate: retries, pauses ..."], ["admin", "admin: all"]], value: "read" }, { name: "span", label: "Holds for", kind: "select", half: true, options: Object.keys(DAYS), value: "90 days" }, { name: "sees_values", label: "It may see arguments and results", kind: "check" }],
    change: (given) => send("POST", "/api/tokens", { name: given.name, role: given.role, sees_values: given.sees_values, expires_in: DAYS[given.span] && DAYS[given.span] * 86400 }), said: "The token is made." });
    if (answer) setMade(answer.token);
    reload();
  };
  const revoke = async (token) => {
    if (await ask({ title: `Revoke ${token.name}?`, text: "What uses it is refused at once.", action: "Revoke", harm: true })) await perform(() => send("DELETE", `/api/tokens/${token.id}`), (answer) => answer.says).then(reload);
  };
  const leave = () => perform(() => send("POST", "/logout"), "You are logged out.").then(() => location.reload());
  return html`<h1>Settings</h1><p class="sub">You are ${session.name}: ${session.role}${session.sees_values ? ", and may see arguments and results" : ""}. This is hammerflow ${session.version}. ${document.documentElement.dataset.login ? html`<button class="plain" onClick=${leave}>Log out</button>` : ""}</p><${Trouble} problem=${problem} />
${made ? html`<div class="why"><p><b>Copy the token now: it is not shown again.</b></p><pre>${made}</pre><p><${Copy} text=${made} /> · <button class="plain" onClick=${() => setMade(null)}>done</button></p></div>` : ""}
${may("admin") ? html`<${Card} title="Tokens" note=${html`<button class="btn" onClick=${create}>Make a token</button>`}>${data && !data.items.length ? html`<${Empty}>Programs use the API with a token: <code>Authorization: Bearer hf_...</code><//>` : ""}${data?.items.length ? html`<${Table} label="Tokens" columns=${[["state", "icon"], ["name"], ["role"], ["sees values"], ["created"], ["by"], ["expires"], ["last used"], [""]]}>${data.items.map((token) => html`<tr><td class="icon"><${State} state=${token.revoked_at ? "cancelled" : "completed"} text=${token.revoked_at ? "revoked" : "valid"} /></td><td class="strong">${token.name}</td><td>${token.role}</td><td>${token.sees_values ? "yes" : html`<span class="faint">no</span>`}</td><td><${At} at=${token.created_at} /></td><td>${token.created_by}</td><td>${token.expires_at ? html`<${At} at=${token.expires_at} relative />` : "never"}</td><td>${token.used_at ? html`<${At} at=${token.used_at} relative />` : "never"}</td><td class="n">${token.revoked_at ? "" : html`<button class="btn harm" onClick=${() => revoke(token)}>Revoke</button>`}</td></tr>`)}<//>` : ""}<//>` : ""}`;
}

// The API as its own description tells it.
import { useRead } from "../lib/api.js";
import { html } from "../lib/html.js";
import { Card, Table, Trouble } from "../lib/parts.js";
import { link } from "../lib/route.js";

export default function Reference() {
  const { data, problem } = useRead("/api/openapi.json", {}, 0);
  const groups = {};
  for (const [path, methods] of Object.entries(data?.paths ?? {})) {
    for (const [method, told] of Object.entries(methods)) {
      if (told.responses) (groups[told.tags?.[0] ?? "other"] ??= []).push([method.toUpperCase(), path, told]);
    }
  }
  return html`<h1>API</h1><p class="sub">Every route of this server. Programs send <code>Authorization: Bearer TOKEN</code>; <a href=${link("/settings")}>make a token</a>. The same as OpenAPI 3.1: <a href=${link("/api/openapi.json")} target="_blank">openapi.json</a>.</p><${Trouble} problem=${problem} />
${Object.entries(groups).map(([tag, routes]) => html`<${Card} key=${tag} title=${tag}><${Table} label=${tag} stack columns=${[["call"], ["does"], ["parameters"]]}>${routes.map(([method, path, told]) => html`<tr><td class="mono wide"><span class="method">${method}</span>${path}</td><td class="wrap">${told.summary}</td><td class="wrap dim">${(told.parameters ?? []).filter((one) => one.in === "query").map((one) => one.name).join(", ")}</td></tr>`)}<//><//>`)}`;
}

// Events: the log by position, as it grows.
import { stringify, useRead } from "../lib/api.js";
import { count } from "../lib/format.js";
import { html, useEffect, useState } from "../lib/html.js";
import { follow, useLive } from "../lib/live.js";
import { At, Empty, Export, Table, Trouble } from "../lib/parts.js";
import { link, useParams } from "../lib/route.js";

const MOST = 200; // that are shown
const DRAWN = 250; // milliseconds between two times that what has come is drawn

/** The newest events and, by a stream that misses none, those that are logged from then on. */
function useEvents(params) {
  const [isLive] = useLive();
  const [isStreamed, setStreamed] = useState(true);
  const [come, setCome] = useState({ of: null, items: [] });
  const { data, problem } = useRead("/api/events", { ...params, limit: 100 }, isStreamed ? 0 : 2);
  const of = data && `${data.after} ${stringify(params)}`;
  useEffect(() => {
    if (!data?.is_on || !isLive || !isStreamed) return undefined;
    const stop = new AbortController();
    const waiting = [];
    const timer = setInterval(() => {
      if (!waiting.length) return;
      const fresh = waiting.splice(0);
      setCome((before) => ({ of, items: [...(before.of === of ? before.items : []), ...fresh].slice(-MOST) }));
    }, DRAWN);
    const onMessage = ({ event, data: text }) => event !== "position" && waiting.push(JSON.parse(text));
    follow("/api/events/stream", { ...params, after: data.after }, { signal: stop.signal, onMessage }).then(() => stop.signal.aborted || setStreamed(false));
    return () => {
      stop.abort();
      clearInterval(timer);
    };
  }, [of, isLive, isStreamed]);
  const fresh = come.of === of ? come.items : [];
  const items = data ? [...data.items, ...fresh].slice(-MOST).reverse() : [];
  return { data, problem, items, head: Math.max(data?.head ?? 0, fresh.at(-1)?.position ?? 0) };
}

/** What an event tells besides its subject: "queue mail, attempt 2". */
const FIRST = ["task", "queue", "name", "attempt", "error", "reason"];
const HIDDEN = ["id", "lease"];
const rank = (name) => (FIRST.indexOf(name) + 1 || FIRST.length + 1);
const Facts = ({ data }) => Object.entries(data).filter(([name, value]) => !HIDDEN.includes(name) && value !== null && value !== "").sort(([one], [other]) => rank(one) - rank(other)).map(([name, value], place) => html`${place ? "  " : ""}<span class="faint">${name}</span> ${typeof value === "string" ? value : stringify(value)}`);

export default function Events() {
  const [params, change] = useParams();
  const { data, problem, items, head } = useEvents(params);
  const add = (event) => {
    event.preventDefault();
    const text = new FormData(event.target).get("kinds").trim();
    change({ kinds: text || null });
  };
  return html`<div class="head"><h1>Events</h1><span class="fill"></span>${items.length ? html`<${Export} path="/api/events" params=${{ after: 0, ...params }} name="events" />` : ""}</div><p class="sub">${data ? `Every committed change once, in order. The last position is ${count(head)}.` : ""}</p><${Trouble} problem=${problem} />
<form class="chips" onSubmit=${add}>${["queue", "task"].filter((name) => params[name]).map((name) => html`<span class="chip"><span><span class="dim">${name}</span> ${params[name]}</span><button type="button" aria-label="Remove the filter ${name}" onClick=${() => change({ [name]: null })}>×</button></span>`)}<input name="kinds" aria-label="Kinds" placeholder="Kinds: job.failed, workflow.*" defaultValue=${params.kinds ?? ""} /></form>
${data && !data.is_on ? html`<${Empty}>No sink wants events, so none are logged: <code>hammerflow sink add</code> or <code>app.sink(...)</code> turns the log on.<//>` : data && !items.length ? html`<${Empty}>No event fits.<//>` : ""}
${items.length ? html`<div class="card"><${Table} label="Events" columns=${[["position", "n"], ["at"], ["kind"], ["subject"], ["data"]]}>${items.map((event) => html`<tr key=${event.position}><td class="n">${count(event.position)}</td><td><${At} at=${event.at} /></td><td><button class="plain" onClick=${() => change({ kinds: event.kind })}>${event.kind}</button></td><td class="mono">${/^[0-9a-f-]{36}$/.test(event.subject) ? html`<a href=${link(`/${event.kind.startsWith("workflow") ? "workflows" : "jobs"}/${event.subject}`)}>${event.subject.slice(0, 18)}</a>` : event.subject}</td><td class="clip mono" title=${stringify(event.data)}>${event.is_tombstone ? html`<span class="dim">its rows are gone</span>` : html`<${Facts} data=${event.data} />`}</td></tr>`)}<//></div>` : ""}`;
}

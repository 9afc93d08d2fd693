// The frame of all pages: navigation, search, keyboard; and which page an address shows.
import { begun, forgetFirst, send, useBusy, useRead } from "./lib/api.js";
import { count, counted, offset, zone } from "./lib/format.js";
import { html, render, useEffect, useState } from "./lib/html.js";
import { useLive, useTick } from "./lib/live.js";
import { ask, Question, Toasts, Trouble } from "./lib/parts.js";
import { go, here, link, named, useAddress } from "./lib/route.js";

const ID = "([0-9a-f-]{4,36})";
const NAME = "([^/]+)";
const PAGES = [
  ["/", "overview"], ["/jobs", "jobs"], [`/jobs/${ID}`, "job"], ["/failures", "failures"], ["/tasks", "tasks"],
  ["/queues", "queues"], [`/queues/${NAME}`, "queue"], ["/workers", "workers"], ["/workflows", "workflows"], [`/workflows/${ID}`, "workflow"],
  ["/spawns", "spawns"], [`/spawns/${ID}`, "spawn"], ["/schedules", "schedules"], ["/limits", "limits"], ["/events", "events"], ["/sinks", "sinks"],
  ["/webhooks", "webhooks"], ["/alerts", "alerts"], ["/archive", "archive"], ["/settings", "settings"], ["/audit", "audit"], ["/reference", "reference"],
].map(([pattern, page]) => [new RegExp(`^${pattern}/?$`), page]);
const NAVIGATION = [
  ["Overview", "/", "o"], ["Jobs", "/jobs", "j"], ["Failures", "/failures", "f"], ["Tasks", "/tasks", "t"], ["Queues", "/queues", "q"], ["Workers", "/workers", "w"], null,
  ["Workflows", "/workflows", "l"], ["Spawns", "/spawns", "s"], ["Schedules", "/schedules", "c"], ["Limits", "/limits", "m"], null,
  ["Events", "/events", "e"], ["Sinks", "/sinks", "k"], ["Webhooks", "/webhooks", "b"], ["Alerts", "/alerts", "a"], ["Archive", "/archive", "v"], null,
  ["Settings", "/settings", "x"], ["Audit", "/audit", "u"], ["API", "/reference", "r"],
];

const ICON = String(new URL("icon.svg", import.meta.url));

function found(path) {
  for (const [pattern, page] of PAGES) {
    const match = pattern.exec(path);
    if (match) return { page, parts: match.slice(1).map(named) };
  }
  return { page: null, parts: [] };
}

const loaded = new Map();
const load = (name) => import(`./pages/${name}.js`).then((module) => loaded.set(name, module.default)).catch(() => loaded.set(name, Broken));
function usePage(name) {
  const [, draw] = useState(0);
  useEffect(() => {
    if (!name || loaded.has(name)) return;
    const there = begun();
    load(name).then(() => draw((n) => n + 1)).then(there);
  }, [name]);
  return loaded.get(name);
}
const Broken = () => html`<h1>This page could not be loaded</h1><p class="sub">The server may have been replaced: load the page again.</p>`;
const Missing = () => html`<h1>There is no page here</h1><p class="sub"><a href=${link("/")}>Go to the overview</a></p>`;

/** What each page has, and whether that needs somebody: [text, is alarming] by path. */
const numbers = (found) => ({
  "/jobs": [found.live.at_least.includes("ready") ? `${count(found.live.ready)}+` : count(found.live.ready + found.live.running)],
  "/failures": found.failures ? [counted(found.failures, "group"), true] : [],
  "/queues": [count(found.queues)],
  "/workers": found.silent_workers ? [`${count(found.silent_workers)} silent`, true] : [count(found.workers), found.workers === 0],
  "/schedules": [count(found.schedules)], "/limits": [count(found.limits)], "/sinks": [count(found.sinks)],
  "/webhooks": found.disabled_webhooks ? [`${count(found.disabled_webhooks)} off`, true] : [],
  "/alerts": found.alerts ? [count(found.alerts), true] : [],
});

function Side({ session }) {
  const { data: found } = useRead(session ? "/api/counts" : null);
  const counts = found ? numbers(found) : {};
  const at = `/${here().split("/")[1] ?? ""}`;
  useEffect(() => {
    // On a phone the pages are a row that is wider than the screen, and wider still with its numbers.
    const row = document.querySelector(".side nav");
    const current = row?.querySelector("[aria-current]");
    if (current) row.scrollLeft = current.offsetLeft - (row.clientWidth - current.offsetWidth) / 2;
  }, [at, Boolean(found)]);
  return html`<div class="side"><nav aria-label="Pages"><a class="name" href=${link("/")} aria-label=${session?.app ?? "hammerflow"}><img src=${ICON} alt="" /><span>${session?.app ?? "hammerflow"}</span></a>${NAVIGATION.map((item) => {
    if (!item) return html`<hr />`;
    const [title, path] = item;
    const [number, isAlarm] = counts[path] ?? [];
    return html`<a class="page" href=${link(path)} aria-current=${path === at ? "page" : undefined}>${title}${number && number !== "0" || isAlarm ? html`<span class=${isAlarm ? "alarm" : ""}>${number}</span>` : ""}</a>`;
  })}</nav></div>`;
}

function Find() {
  const submit = (event) => {
    event.preventDefault();
    const text = new FormData(event.target).get("text").trim();
    event.target.reset();
    if (!text) return;
    if (/^[0-9a-f]{8}-?[0-9a-f-]{0,28}$/i.test(text)) go(link(`/jobs/${text.toLowerCase()}`));
    else go(link("/jobs", parsed(text)));
  };
  return html`<form class="find" role="search" onSubmit=${submit}><input name="text" aria-label="Find jobs" placeholder="Job id, task:name, queue:name, error:text" autocomplete="off" spellcheck=${false} /><kbd aria-hidden="true">/</kbd></form>`;
}

/** "task:mail.send error:refused" as filters; words alone are looked for in errors. */
export function parsed(text) {
  const filters = {};
  for (const word of text.match(/\w+:"[^"]*"|\S+/g) ?? []) {
    const [, name, value] = /^(task|queue|state|error|argument|since|until|trace_id|correlation_id):(.+)$/.exec(word) ?? [];
    if (name) filters[name] = value.replace(/^"|"$/g, "");
    else filters.error = filters.error ? `${filters.error} ${word}` : word;
  }
  return filters;
}

function Top({ session }) {
  const [isLive, setLive] = useLive();
  const [, draw] = useState(0);
  const [at, setZone] = useState(offset);
  useEffect(() => {
    (window.requestIdleCallback ?? setTimeout)(() => setZone(zone()));
  }, []);
  return html`<div class="top"><${Find} /><button class="pill" aria-pressed=${isLive} onClick=${() => setLive(!isLive)} title="Whether this page is kept fresh (p)"><i class="dot ${isLive ? "" : "off"}"></i>${isLive ? "live" : "stopped"}</button><span class="pill hide mid" title="Times are in your zone">${at}</span><button class="pill" onClick=${() => { nextTheme(); draw((n) => n + 1); }} title="Light, dark, or as the system says"><span class="hide mid">theme:</span>${document.documentElement.dataset.theme ?? "auto"}</button>${session ? html`<span class="pill hide">role: ${session.role}</span>` : ""}</div>`;
}

function nextTheme() {
  const root = document.documentElement;
  const next = { undefined: "dark", dark: "light", light: undefined }[root.dataset.theme];
  if (next) root.dataset.theme = next;
  else delete root.dataset.theme;
  localStorage.setItem("hammerflow.theme", next ?? "");
}

const KEYS = [["/", "find"], ["g then a letter", `go to a page: ${NAVIGATION.filter(Boolean).map(([title, , key]) => `${key} ${title}`).join(", ")}`], ["j, k", "next and previous row"], ["Enter", "open the row"], ["x", "select the row"], ["r, c", "retry or cancel what is selected"], ["p", "stop and go on"], ["?", "this help"]];
let isGoing = false;
function onKey(event) {
  if (event.target.closest("input,textarea,select,dialog") || event.metaKey || event.ctrlKey || event.altKey) return;
  const page = isGoing && NAVIGATION.find((item) => item?.[2] === event.key);
  isGoing = event.key === "g" && !isGoing;
  if (page) go(link(page[1]));
  else if (event.key === "/") document.querySelector(".find input").focus();
  else if (event.key === "p") document.querySelector(".top button.pill").click();
  else if (event.key === "?") ask({ title: "Keyboard", action: "Close", text: html`<dl class="kv">${KEYS.map(([key, does]) => html`<dt><kbd>${key}</kbd></dt><dd>${does}</dd>`)}</dl>` });
  else return;
  event.preventDefault();
}

function App() {
  useAddress();
  const { page, parts } = found(here());
  const Page = usePage(page);
  const { data: session, problem } = useRead("/api/session", {}, 60);
  useEffect(() => {
    addEventListener("keydown", onKey);
    forgetFirst();
    isDrawn();
    return () => removeEventListener("keydown", onKey);
  }, []);
  useEffect(() => {
    document.querySelector("main")?.focus({ preventScroll: true });
  }, [page]);
  const may = (role) => ["read", "operate", "admin"].indexOf(session?.role) >= ["read", "operate", "admin"].indexOf(role);
  const isBusy = useBusy() || !(problem || page === null || (Page && session));
  const isOut = problem?.status === 401;
  useTick(10);
  return html`<a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.querySelector("main").focus(); }}>Skip to the page</a><div class=${isOut ? "app out" : "app"}>${isOut ? "" : html`<${Side} session=${session} />`}<div>${isOut ? "" : html`<${Top} session=${session} />`}<main id="main" tabindex="-1" aria-busy=${isBusy}>${isOut ? html`<${LoggedOut} />` : html`<${Trouble} problem=${problem} />${page === null ? html`<${Missing} />` : Page && session ? html`<${Page} key=${here()} parts=${parts} session=${session} may=${may} />` : ""}`}</main></div></div><${Toasts} /><${Question} />`;
}

function LoggedOut() {
  const [problem, setProblem] = useState(null);
  const ways = document.documentElement.dataset.login.split(" ");
  const enter = async (event) => {
    event.preventDefault();
    const token = new FormData(event.target).get("token");
    try {
      await send("POST", "/login", { token });
      const back = new URL(location);
      back.searchParams.delete("link");
      location.replace(back);
    } catch (refused) {
      setProblem(refused);
    }
  };
  const isRefused = new URLSearchParams(location.search).has("link");
  return html`<h1>You are not logged in</h1>${ways.includes("link") ? html`<p class="sub">${isRefused ? "This link was used already, or is older than ten minutes: start " : "Open the link that "}<code>hammerflow web</code>${isRefused ? " again for a new one." : " has printed. It works once, within ten minutes; start the server again for a new one."}</p>` : ""}${ways.includes("token") ? html`<form class="card" onSubmit=${enter}><label class="field"><span>${ways.includes("link") ? "Or log in with a token" : "Token"}, which <code>hammerflow web token create</code> prints</span><input name="token" type="password" autocomplete="current-password" required /></label><${Trouble} problem=${problem} /><button class="btn">Log in</button></form>` : ""}${ways[0] ? "" : html`<p class="sub">Log in to the site that shows this page, and open it again.</p>`}`;
}

const theme = localStorage.getItem("hammerflow.theme");
if (theme) document.documentElement.dataset.theme = theme;
// The page is drawn at once with all that the server has told in it, not part by part.
const isDrawn = begun();
const { page: firstPage } = found(here());
if (firstPage) await load(firstPage);
render(html`<${App} />`, document.getElementById("app"));

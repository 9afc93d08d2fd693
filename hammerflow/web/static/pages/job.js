// One job: why it does not run, its life, its call, its attempts.
import { send, stringify, useRead } from "../lib/api.js";
import { WHOLE } from "../lib/bulk.js";
import { clockOf, count, counted, duration, secondsSince, shortId } from "../lib/format.js";
import { Gantt } from "../lib/gantt.js";
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { useLive } from "../lib/live.js";
import { partsOf, useLog } from "../lib/logs.js";
import { ask, At, Bar, Card, Copy, perform, Says, State, Trouble } from "../lib/parts.js";
import { go, link } from "../lib/route.js";

const ENDED = ["completed", "failed", "cancelled", "skipped"];

/** The stretches of a life, from what the job and its errors tell: {state, seconds, text, ends}. */
function stretches(job) {
  const found = [];
  let from = Date.parse(job.created_at) / 1000;
  const until = (at, state, text, ends = []) => {
    const to = Date.parse(at) / 1000;
    if (to > from || ends.length) found.push({ state, seconds: Math.max(0, to - from), text: `${text} ${duration(Math.max(0, to - from))}`, ends });
    from = Math.max(from, to);
  };
  const wait = (at) => until(at, found.length ? "scheduled" : "waiting", found.at(-1)?.ends.includes("failed") ? "backoff" : "waited");
  const ran = (at, attempt, ends) => until(at, "running", `attempt ${attempt},`, ends);
  const started = job.started_at ? Date.parse(job.started_at) / 1000 : null;
  const last = ENDED.includes(job.state) && job.state !== "failed" ? [job.state] : [];
  for (const error of job.errors) {
    if (error.started_at) {
      wait(error.started_at);
      ran(error.at, error.attempt, ["failed"]);
    } else {
      wait(error.at);
      found.at(-1)?.ends.push("ready");
    }
  }
  if (started && started >= from) {
    wait(job.started_at);
    ran(job.finished_at ?? new Date().toISOString(), job.attempt, last);
  } else if (!job.finished_at) until(new Date().toISOString(), job.state, job.state);
  else until(job.finished_at, "waiting", "waited", last);
  return found;
}

const WHOLE_LIFE = 16; // stretches that are drawn; of more only the first and the last ones

/** A life as a row of bars, each at least as wide as what is said of it. */
function Life({ job }) {
  const all = stretches(job);
  const half = WHOLE_LIFE / 2;
  const inner = all.length > WHOLE_LIFE ? all.slice(half, -half) : [];
  const between = { state: "skipped", seconds: inner.reduce((sum, one) => sum + one.seconds, 0), ends: [] };
  between.text = `${counted(inner.filter((one) => one.state === "running").length, "more attempt")} in ${duration(between.seconds)}`;
  const parts = inner.length ? [...all.slice(0, half), between, ...all.slice(-half)] : all;
  const total = parts.reduce((sum, { seconds }) => sum + Math.sqrt(seconds), 0) || 1;
  return html`<ol class="life">${parts.map((one) => html`<li style=${{ flexGrow: Math.max(0.02, Math.sqrt(one.seconds) / total) }}><span class="bars"><i class="${one.state} ${one.state === "running" ? "full" : ""} ${one === between ? "folded" : ""}"></i>${one.ends.map((state) => html`<i class="${state} end"></i>`)}</span><small>${one.text}${one.ends.map((state) => html`<span class="sr">, ${state}</span>`)}</small></li>`)}</ol>`;
}

/** A worker by its host, where that is known, or else by its number. */
const workerOf = (job, id) => (job.worker?.host && String(job.worker.id) === String(id) ? `${job.worker.host} · ${job.worker.pid}` : `worker ${id}`);

/** The attempts as rows of a timeline: each waited since the one before it ended. */
function attempts(job) {
  const rows = [];
  let made = job.created_at;
  for (const error of job.errors) {
    if (error.started_at) rows.push({ id: rows.length, name: `attempt ${error.attempt}`, state: "failed", says: error.kind, created_at: made, started_at: error.started_at, finished_at: error.at, note: workerOf(job, error.worker_id) });
    made = error.at;
  }
  const last = job.errors.at(-1); // two attempts may begin within the same millisecond
  const isTold = last?.started_at === job.started_at && last?.attempt === job.attempt;
  if (job.started_at && !isTold) rows.push({ id: rows.length, name: `attempt ${job.attempt}`, state: job.state, created_at: made, started_at: job.started_at, finished_at: job.finished_at, note: workerOf(job, job.worker_id) });
  else if (!job.finished_at && rows.length) rows.push({ id: rows.length, name: "next attempt", state: job.state, created_at: made });
  return rows;
}

/** When each attempt waited and ran, once there is more than one. */
function Attempts({ job }) {
  const rows = attempts(job);
  return rows.length > 1 ? html`<${Gantt} label="Attempts" items=${rows} now=${Date.now() / 1000} />` : "";
}

const ONE_LINE = 64; // characters of a call that stays in one line

/** A call with a line for each argument, where one line would be long. */
function laidOut(task, call) {
  if (call.length < ONE_LINE) return task + call;
  const parts = [];
  let [from, depth, quote] = [1, 0, ""];
  for (let at = 1; at < call.length - 1; at += 1) {
    const one = call[at];
    if (quote) {
      if (one === "\\") at += 1;
      else if (one === quote) quote = "";
    } else if (one === "\"" || one === "'") quote = one;
    else if ("([{".includes(one)) depth += 1;
    else if (")]}".includes(one)) depth -= 1;
    else if (one === "," && depth === 0) {
      parts.push(call.slice(from, at).trim());
      from = at + 1;
    }
  }
  parts.push(call.slice(from, -1).trim());
  return `${task}(\n${parts.map((part) => `    ${part},\n`).join("")})`;
}

const SHOWN = 10_000; // characters of a value at first

/** A value, of which a very long one is shown in part until all of it is asked for. */
function Value({ text }) {
  const [isWhole, setWhole] = useState(false);
  const isCut = !isWhole && text.length > SHOWN;
  return html`<pre tabindex="0">${isCut ? `${text.slice(0, SHOWN)}…` : text}</pre>${isCut ? html`<p class="dim">The first ${count(SHOWN)} of ${count(text.length)} characters. <button class="plain" onClick=${() => setWhole(true)}>Show all</button></p>` : ""}`;
}

/** A traceback with the frames of libraries folded; one that a later attempt had is named only. */
function Trace({ text, same }) {
  const [isOpen, setOpen] = useState(false);
  if (same) return html`<p class="dim">The same traceback as in attempt ${same.attempt}.</p>`;
  const lines = text.trimEnd().split("\n");
  const shown = [];
  let folded = 0;
  for (let place = 0; place < lines.length; place += 1) {
    const isFrame = /^\s*File "/.test(lines[place]);
    if (isFrame && !isOpen && /site-packages|\/lib\/python3|hammerflow\//.test(lines[place])) {
      folded += 1;
      while (place + 1 < lines.length && /^\s{4,}/.test(lines[place + 1])) place += 1;
    } else shown.push(lines[place]);
  }
  return html`<pre tabindex="0" class="trace">${folded ? html`<button class="plain" onClick=${() => setOpen(true)}>${counted(folded, "frame")} of libraries</button>${"\n"}` : ""}${shown.map((each, place) => html`<span class=${place === shown.length - 1 ? "hit" : ""}>${`${each}\n`}</span>`)}</pre>`;
}

/** A line that the body has logged; only the time of the day is shown. */
const Line = ({ line }) => html`<span class="log-${line.level}"><time datetime=${line.at} title=${new Date(line.at).toString()}>${clockOf(new Date(line.at), true)}</time> ${line.level} <i>${line.logger}</i> ${line.message}\n</span>`;

/** The lines of a log; where some are not kept, a line says how many. */
const Lines = ({ parts, place, ...props }) => html`<pre tabindex="0" class="log" ref=${place} ...${props}>${parts.map(({ missed, lines }) => html`${missed ? html`<span class="dim">... ${counted(missed, "line")} dropped ...\n</span>` : ""}${lines.map((line) => html`<${Line} line=${line} />`)}`)}</pre>`;

/** How many lines an attempt has. */
const sizeSays = (size) => `Attempt ${size.attempt}: ${counted(size.lines, "line")}${size.dropped ? `, ${count(size.dropped)} more dropped` : ""}`;

/** What an attempt that has ended has logged, read once it is opened. */
function LogOf({ job, size, isFirst }) {
  const [isOpen, setOpen] = useState(isFirst);
  const { data, problem } = useRead(isOpen ? `/api/jobs/${job.id}/logs` : null, { attempt: size.attempt }, 0);
  const log = data?.items.find((one) => one.lease === size.lease);
  return html`<details open=${isOpen} onToggle=${(event) => setOpen(event.target.open)}><summary>${sizeSays(size)}</summary><${Trouble} problem=${problem} />${log ? html`<${Lines} parts=${partsOf(log)} aria-label="Lines of attempt ${size.attempt}" />` : ""}</details>`;
}

const NEAR = 24; // pixels from its end at which a log is still followed

/** What a running attempt logs, as it comes; who has scrolled up is left there. */
function RunningLog({ job, size, isPaused }) {
  const { parts, problem } = useLog(job.id, size, isPaused);
  const place = useRef(null);
  const isAtEnd = useRef(true);
  useEffect(() => {
    if (isAtEnd.current && place.current) place.current.scrollTop = place.current.scrollHeight;
  }, [parts]);
  const onScroll = ({ target }) => { isAtEnd.current = target.scrollHeight - target.scrollTop - target.clientHeight < NEAR; };
  return html`<details open><summary>${sizeSays(size)}</summary><${Trouble} problem=${problem} /><${Lines} parts=${parts} place=${place} onScroll=${onScroll} role="log" aria-live="off" aria-label="Lines of attempt ${size.attempt}" /></details>`;
}

function Logs({ job }) {
  const [isLive] = useLive();
  const [isPaused, setPaused] = useState(false);
  const [newest, ...older] = [...job.logs].reverse();
  const isRunning = job.state === "running" && newest && newest.attempt === job.attempt;
  const note = isRunning ? html`${isPaused || !isLive ? "paused" : "as they come"} · <button class="plain" aria-pressed=${isPaused} onClick=${() => setPaused(!isPaused)}>${isPaused ? "follow again" : "pause"}</button>` : "what the body has logged and printed";
  const rest = isRunning ? older : [newest, ...older];
  return html`<${Card} title="Logs" note=${note}>${job.values_hidden ? html`<p class="dim">You may not see arguments and results, so you may not see these lines.</p>` : html`${isRunning ? html`<${RunningLog} key=${newest.lease} job=${job} size=${newest} isPaused=${isPaused || !isLive} />` : ""}${rest.map((size, place) => html`<${LogOf} key=${size.lease} job=${job} size=${size} isFirst=${!isRunning && place === 0} />`)}`}<//>`;
}

/** Why it does not run; or else where it runs, or how it has ended. */
function Why({ job }) {
  const { data } = useRead(job.obstacles.length || job.state === "completed" ? null : `/api/jobs/${job.id}/explain`, {}, 3);
  const told = job.obstacles.length ? job.obstacles : data ? [data] : [];
  if (!told.length) return "";
  // Here are buttons for what else a command would do.
  const advice = (one) => (one.advice && !ENDED.includes(job.state) && one.kind !== "running" ? html` <${Says} text=${one.advice} />` : "");
  return html`<div class="why ${job.state === "failed" ? "fail" : ""}">${told.map((one) => html`<p><b><${Says} text=${one.says} /></b>${advice(one)}</p>`)}</div>`;
}

/** Where the body of a running job is: asked of its worker, which goes on undisturbed. */
function Stack({ job }) {
  const [found, setFound] = useState(null);
  const ask = async () => {
    const answer = await perform(() => send("POST", `/api/jobs/${job.id}/stack`, {}), null);
    if (answer) setFound(answer);
  };
  return html`<${Card} title="Where it is now" note=${html`<button class="plain" onClick=${ask}>${found ? "look again" : "show its stack"}</button>`}>${found ? html`<p class="dim">${found.says}</p>${found.stack ? html`<${Trace} text=${found.stack} />` : ""}` : html`<p class="dim">Its worker can tell the Python stack of the body, which goes on undisturbed.</p>`}<//>`;
}

const PRIORITIES = ["background", "low", "normal", "high", "critical"];

async function editAndRetry(job, reload) {
  const made = await ask({ title: "Edit and retry", text: `Runs ${job.task} again with these arguments.`, action: "Retry", fields: [
    { name: "args", label: "Positional arguments, as a JSON list", kind: "long", json: "list", value: stringify(job.args ?? [], 2), refused: /positional/ },
    { name: "kwargs", label: "Keyword arguments, as a JSON object", kind: "long", json: "object", value: stringify(job.kwargs ?? {}, 2), refused: /argument/ },
    { name: "queue", label: "Queue", half: true, value: job.queue, required: true }, { name: "priority", label: "Priority", half: true, kind: "select", options: PRIORITIES, value: PRIORITIES[job.priority] } ],
  change: (given) => send("POST", "/api/jobs", { task: job.task, args: given.args ?? [], kwargs: given.kwargs ?? {}, queue: given.queue, priority: PRIORITIES.indexOf(given.priority) }),
  said: (answer) => `Job ${shortId(answer.id)} is enqueued with these arguments.` });
  if (made) reload();
}

async function move(job, reload) {
  const moved = await ask({ title: `Move this job of ${job.task}`, text: "It keeps its id; workers of the other queue must know its task.", action: "Move", fields: [
    { name: "queue", label: "Queue", half: true, value: job.queue, required: true, refused: /queue/ }, { name: "priority", label: "Priority", half: true, kind: "select", options: PRIORITIES, value: PRIORITIES[job.priority] } ],
  change: (given) => send("PATCH", `/api/jobs/${job.id}`, { queue: given.queue, priority: PRIORITIES.indexOf(given.priority) }),
  said: (answer, given) => `The job is in the queue ${given.queue}, with the priority ${given.priority}.` });
  if (moved) reload();
}

async function remove(job) {
  const isPart = job.workflow_id || job.parent_id || job.spawn;
  const gone = await ask({ title: `Delete this job of ${job.task}?`, text: "It goes for good, with its result, errors and logs.", action: "Delete the job", harm: true, fields: isPart ? [{ ...WHOLE, label: "Also the rest of its workflow or spawn tree: a part of it never goes alone" }] : [],
  change: (given) => send("DELETE", `/api/jobs/${job.id}${given.whole ? "?whole=true" : ""}`),
  said: (answer) => `${counted(answer.deleted, "job")} deleted.` });
  if (gone) go(link("/jobs"));
}

export default function Job({ parts: [id], may, session }) {
  const { data: job, problem, reload } = useRead(`/api/jobs/${id}`, {}, 2);
  const { data: family } = useRead(job?.spawn ? `/api/jobs/${id}/children` : null, { limit: 1 }, 5);
  if (!job) return html`<p class="crumb"><a href=${link("/jobs")}>Jobs</a></p><h1 class="mono">${id}</h1><${Trouble} problem=${problem} />`;
  const canRetry = ["failed", "cancelled", "skipped", "parked"].includes(job.state);
  const isRunning = job.state === "running";
  const canCancel = !ENDED.includes(job.state);
  const cancel = async () => {
    const given = await ask({ title: `${isRunning ? "Kill" : "Cancel"} this job of ${job.task}?`, text: isRunning ? "It runs now: Cancelled is raised in its body, and its process is killed if it has not ended after the grace." : "", action: isRunning ? "Kill the job" : "Cancel the job", harm: true, fields: [{ name: "reason", label: "Why" }, { name: "tree", label: "Also all that it has spawned", kind: "check" }] });
    if (given) await perform(() => send("POST", `/api/jobs/${id}/cancel`, { reason: given.reason, tree: given.tree }), isRunning ? "The job was told to stop." : "The job is cancelled.").then(reload);
  };
  const kept = { waiting: "since", ready: "for", running: "for" }[job.state];
  const since = job.state === "running" ? job.started_at : job.created_at;
  return html`<p class="crumb"><a href=${link("/jobs")}>Jobs</a> / <a href=${link("/jobs", { task: job.task })}>${job.task}</a></p>
<div class="head"><h1 class="mono">${job.id}</h1><${State} state=${job.state} text=${kept ? `${job.state} for ${duration(secondsSince(since))}` : job.state} /><span class="fill"></span>
${may("operate") && ENDED.includes(job.state) && session.can_enqueue && !job.values_hidden ? html`<button class="btn" onClick=${() => editAndRetry(job, reload)}>Edit and retry</button>` : ""}
${may("operate") && canRetry ? html`<button class="btn main" onClick=${() => perform(() => send("POST", `/api/jobs/${id}/retry`), "The job will run again.").then(reload)}>Retry</button>` : ""}
${may("operate") && canCancel && !isRunning ? html`<button class="btn" onClick=${() => move(job, reload)}>Move</button>` : ""}
${may("operate") && canCancel ? html`<button class="btn harm" onClick=${cancel}>${isRunning ? "Kill" : "Cancel"}</button>` : ""}
${may("admin") && ENDED.includes(job.state) ? html`<button class="btn harm" onClick=${() => remove(job)}>Delete</button>` : ""}</div>
<${Trouble} problem=${problem} /><${Why} job=${job} />
<div class="grid"><${Card} title="Life" note=${job.attempt ? `attempt ${job.attempt}${job.options.max_attempts ? ` of ${job.options.max_attempts}` : ""}` : "no attempt yet"}><${Life} job=${job} /><${Attempts} job=${job} />${job.progress !== null ? html`<p><${Bar} tall parts=${[["running", job.progress]]} whole=${1} label="progress" /><span class="dim">${Math.round(job.progress * 100)} % ${job.progress_note ?? ""}</span></p>` : ""}<//>
<${Card} size="s6 short" title="Call" note=${job.call ? html`<${Copy} text=${`${job.task}${job.call}`}>copy as Python<//>` : ""}>${job.values_hidden ? html`<p class="dim">You may not see arguments and results.</p>` : html`<${Value} text=${laidOut(job.task, job.call ?? "()")} />`}
${job.state === "completed" && !job.values_hidden ? html`<h2 class="gap">Result</h2><${Value} text=${job.result_text ?? "None"} />` : ""}
<h2 class="gap">Details</h2><${Details} job=${job} family=${family} /><//>
<div class="s6">${isRunning && may("operate") ? html`<${Stack} job=${job} />` : ""}${job.errors.length ? [...job.errors].reverse().map((error, place, all) => html`<${Card} key=${error.attempt + error.at} title=${`Attempt ${error.attempt}: ${error.kind}`} note=${html`<${At} at=${error.started_at ?? error.at} />${error.seconds === null ? "" : `, ran ${duration(error.seconds)}`}${error.worker_id === null ? "" : ` on ${workerOf(job, error.worker_id)}`}`}>${error.traceback ? html`<${Trace} text=${error.traceback} same=${all.slice(0, place).find((one) => one.traceback === error.traceback)} />` : html`<pre>${error.type}: ${error.message}</pre>`}<//>`) : html`<${Card} title="Attempts"><p class="dim">${job.attempt ? "No attempt has failed." : "It has not been tried yet."}</p><//>`}</div>${job.logs.length ? html`<${Logs} job=${job} />` : ""}</div>`;
}

function Details({ job, family }) {
  const rows = [
    ["queue", html`<a href=${link(`/queues/${encodeURIComponent(job.queue)}`)}>${job.queue}</a>`],
    ["priority", PRIORITIES[job.priority] ?? job.priority],
    ["enqueued", html`<${At} at=${job.created_at} />, <${At} at=${job.created_at} relative />`],
    ["runs at", job.run_at && !job.started_at && html`<${At} at=${job.run_at} />`],
    ["ended", job.finished_at && html`<${At} at=${job.finished_at} />${job.seconds !== null ? `, ran ${duration(job.seconds)}` : ""}`],
    ["worker", job.worker && (job.worker.host ? html`<a href=${link("/workers")}>${job.worker.host} · ${job.worker.pid}</a>` : `${job.worker.id}, which has ended`)],
    ["reason", job.reason],
    ["parent", job.parent_id && html`<a class="mono" href=${link(`/jobs/${job.parent_id}`)}>${shortId(job.parent_id)}</a>, child ${(job.spawn_index ?? 0) + 1}`],
    ["spawned", family && Object.keys(family.counts).length > 0 && html`<a href=${link(`/spawns/${job.id}`)}>${Object.entries(family.counts).map(([state, value]) => `${count(value)} ${state}`).join(", ")}</a>`],
    ["workflow", job.workflow_id && html`<a class="mono" href=${link(`/workflows/${job.workflow_id}`)}>${shortId(job.workflow_id)}</a>`],
    ["unique key", job.unique_key && html`<span class="mono">${job.unique_key}</span>`],
    ["limit key", job.limit_key], ["fair key", job.fair_key],
    ...Object.entries(job.headers).map(([name, value]) => [name, html`<span class="mono">${typeof value === "string" ? value : stringify(value)}</span>`]),
  ];
  return html`<dl class="kv">${rows.filter(([, value]) => value).map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

// What all pages are made of.
import { ago, count, exact, instant, spaced } from "./format.js";
import { html, useState } from "./html.js";
import { link } from "./route.js";

// A shape for each state, so that colour is never the only sign.
const line = (d, width = 1.6) => html`<path d=${d} fill="none" stroke="currentColor" stroke-width=${width} />`;
const SHAPES = {
  ready: html`<circle cx="6" cy="6" r="4.2" fill="none" stroke="currentColor" stroke-width="1.8" />`,
  running: html`<path d="M3 1.5 10.5 6 3 10.5z" fill="currentColor" />`,
  scheduled: html`<g><circle cx="6" cy="6" r="4.8" fill="none" stroke="currentColor" stroke-width="1.5" />${line("M6 3.4V6l1.8 1.2", 1.4)}</g>`,
  waiting: line("M3 2h6M3 10h6M3.5 2c0 4 5 4 5 8M8.5 2c0 4-5 4-5 8", 1.3),
  completed: line("m2 6.5 2.7 2.7L10 3.5", 2),
  failed: line("m2.5 2.5 7 7m0-7-7 7", 2),
  cancelled: line("M2 6h8", 2),
  skipped: line("m2 2.5 4 3.5-4 3.5M6.5 2.5l4 3.5-4 3.5", 1.5),
  parked: line("M4 1.5v9M8 1.5v9", 2.2),
};
SHAPES.paused = SHAPES.parked;
SHAPES.warning = html`<g>${line("M6 1.6 11 10.4H1z", 1.4)}${line("M6 4.6v2.8M6 8.3v1.1", 1.4)}</g>`;

export const Shape = ({ state }) => html`<svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">${SHAPES[state]}</svg>`;

/** A state: its shape, its colour, and its name or another text. */
export const State = ({ state, text }) => html`<span class="st ${state}"><${Shape} state=${state} />${text === "" ? html`<span class="sr">${state}</span>` : html`<b>${text ?? state}</b>`}</span>`;

/** An instant: the text short, the exact one on hover. */
export const At = ({ at, relative = false, seconds = true }) => (at ? html`<time datetime=${at} title=${exact(at)}>${relative ? ago(at) : instant(at, { seconds })}</time>` : "");

// An instant as the engine writes it, and a command.
const MARKED = /(\d{4}-\d\d-\d\dT[\d:.]+(?:\+00:00|Z))|((?<=run: )hammerflow .+?(?=\.?$)|hammerflow [a-z]+(?: [a-z]+)?(?: [0-9a-f-]{36})?)/;

/** What the engine says: as a sentence, its instants in the reader's zone, its commands as such. */
export const Says = ({ text }) => {
  const whole = text ? spaced(text[0].toUpperCase() + text.slice(1)) + (/[.!?:]$/.test(text) ? "" : ".") : "";
  return whole.split(new RegExp(MARKED, "g")).map((part, place) => (part === undefined || part === "" ? "" : place % 3 === 1 ? html`<${At} at=${part} />` : place % 3 === 2 ? html`<code>${part}</code>` : part));
};

/** A number that leads to what it counts. */
export const Number = ({ value, to, atLeast = false, className = "" }) => {
  if (!value) return value === 0 ? html`<span class="faint">0</span>` : "";
  const text = count(value) + (atLeast ? "+" : "");
  return to ? html`<a class=${className} href=${to}>${text}</a>` : html`<span class=${className}>${text}</span>`;
};

export const Card = ({ title, note, size = "", children }) => html`<section class="card ${size}"><header><h2>${title}</h2>${note ? html`<span>${note}</span>` : ""}</header>${children}</section>`;

const FEW = 3; // columns that a phone has room for

/** Tell each cell its column: where there is little room, a row is a few lines without heads above it. */
function labelled(rows, columns) {
  const lead = columns.findIndex(([title, kind = ""]) => typeof title === "string" && title && !kind.includes("icon"));
  for (const row of [rows].flat(Infinity)) {
    if (row?.type !== "tr") continue;
    row.props.role = "row";
    [row.props.children].flat(Infinity).filter((cell) => cell?.type === "td").forEach((cell, place) => {
      cell.props.role = "cell";
      if (place === lead) cell.props["data-lead"] = "";
      else if (columns[place] && typeof columns[place][0] === "string" && columns[place][0]) cell.props["data-label"] = columns[place][0];
    });
  }
  return rows;
}

/**
 * A table: columns are [title, class, key]; rows are made by the caller. Where onSort is given, a
 * column with a key sorts by it: "name" upwards, "-name" downwards, and figures downwards first.
 * Where there is little room, one with more than a few columns has rows of several lines.
 */
export const Table = ({ columns, label, sort, onSort, stack = columns.filter(([, kind = ""]) => !kind.includes("hide")).length > FEW, children }) => html`<div class="scroll"><table role="table" aria-label=${label} class=${stack ? "stack" : ""}><thead role="rowgroup"><tr role="row">${columns.map(([title, kind = "", key]) => {
  if (!key || !onSort) return html`<th role="columnheader" class=${kind} scope="col">${title || html`<span class="sr">actions</span>`}</th>`;
  const way = sort === key ? "ascending" : sort === `-${key}` ? "descending" : undefined;
  const next = way === "descending" || (!way && !kind.startsWith("n")) ? key : `-${key}`;
  return html`<th role="columnheader" class=${kind} scope="col" aria-sort=${way}><button class="sort" onClick=${() => onSort(next)}>${title}<span aria-hidden="true">${way ? (way === "ascending" ? " ↑" : " ↓") : ""}</span></button></th>`;
})}</tr></thead><tbody role="rowgroup">${stack ? labelled(children, columns) : children}</tbody></table></div>`;

/** A bar of parts: [[state, number], ...]. */
export const Bar = ({ parts, whole, tall = false, label }) => {
  const sum = whole ?? parts.reduce((total, [, value]) => total + value, 0);
  return html`<div class="bar ${tall ? "tall" : ""}" role="img" aria-label=${label ?? parts.map(([state, value]) => `${count(value)} ${state}`).join(", ")}>${parts.map(([state, value]) => (value ? html`<i class=${state} style=${{ width: `${Math.max(0.7, (100 * value) / (sum || 1))}%` }}></i>` : ""))}</div>`;
};

export const Trouble = ({ problem }) => (problem ? html`<p class="problem" role="alert">${problem.message}</p>` : "");
export const Empty = ({ children }) => html`<div class="empty">${children}</div>`;

/** Tabs whose choice is in the address: [[value, text, number], ...]. */
export const Tabs = ({ name, items, chosen, params = {}, path }) => html`<div class="tabs" role="navigation" aria-label=${name}>${items.map(([value, text, number]) => html`<a href=${link(path, { ...params, [name]: value })} aria-current=${value === chosen ? "page" : undefined}>${text}${number ? html` <span>${number}</span>` : ""}</a>`)}</div>`;

export const Older = ({ next, tired, onNext, first, onFirst }) => html`<div class="head older">${tired ? html`<span class="dim">The search has read as much as one request may.</span>` : ""}<span class="fill"></span>${first ? "" : html`<button class="btn" onClick=${onFirst}>Newest</button>`}${next ? html`<button class="btn" onClick=${onNext}>${tired ? "Look further" : "Older"}</button>` : ""}</div>`;

/** Text that a click copies. */
export function Copy({ text, children = "copy" }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return html`<button class="plain" onClick=${copy}>${done ? "copied" : children}</button>`;
}

/** Saves the rows of a list, with its filters, as CSV. */
export const Export = ({ path, params = {}, name, rows }) => html`<button class="btn" onClick=${() => import("./csv.js").then((csv) => (rows ? csv.save(rows, name) : csv.saveAll(path, params, name)))}>Export CSV</button>`;

// Messages of what was done, with a way back where there is one.
const toasts = { list: [], tell: () => {}, last: 0 };
export function say(text, { fail = false, undo } = {}) {
  const id = (toasts.last += 1);
  toasts.list = [...toasts.list, { id, text, fail, undo }];
  toasts.tell();
  setTimeout(() => dismiss(id), fail ? 12000 : undo ? 15000 : 5000);
}
function dismiss(id) {
  toasts.list = toasts.list.filter((toast) => toast.id !== id);
  toasts.tell();
}
export function Toasts() {
  const [, draw] = useState(0);
  toasts.tell = () => draw((n) => n + 1);
  return html`<div class="toasts" role="status" aria-live="polite">${toasts.list.map((toast) => html`<div key=${toast.id} class="toast ${toast.fail ? "fail" : ""}"><span>${toast.text}</span>${toast.undo ? html`<button onClick=${() => { dismiss(toast.id); toast.undo(); }}>Undo</button>` : ""}<button aria-label="Close" onClick=${() => dismiss(toast.id)}>×</button></div>`)}</div>`;
}

/** Run a change and say how it went, if there is something to say; returns its answer, or undefined where it was refused. */
export async function perform(change, said, options) {
  try {
    const answer = await change();
    const text = typeof said === "function" ? said(answer) : said;
    if (text) say(text, options);
    return answer ?? null;
  } catch (problem) {
    say(problem.message, { fail: true });
    return undefined;
  }
}

// One question at a time: ask() shows it, and resolves to the values of its fields, to the answer of
// its change, or to null where it was left; lib/question.js says what it may have.
const asking = { now: null, Dialog: null, tell: () => {} };
export async function ask(question) {
  asking.Dialog ??= (await import("./question.js")).Dialog;
  return new Promise((resolve) => {
    asking.now = { ...question, resolve };
    asking.tell();
  });
}
export function Question() {
  const [, draw] = useState(0);
  asking.tell = () => draw((n) => n + 1);
  const { now, Dialog } = asking;
  if (!now) return "";
  const end = (value) => {
    asking.now = null;
    now.resolve(value);
    asking.tell();
  };
  return html`<${Dialog} key=${now.title} now=${now} end=${end} />`;
}

/** Who owns what the code of an app declares, and what to do in place of editing it here. */
export const InCode = ({ app, call }) => html`<p class="dim">The code of ${app} declares it: to change it, change <code>${call}</code> there and restart the workers. If it is removed here, it comes back when a worker starts.</p>`;

/** A mark of that in a list. */
export const CodeMark = ({ app }) => (app ? html` <span class="faint">code of ${app}</span>` : "");

/** What is said before it is removed. */
export const comesBack = (one) => (one.app ? ` The code of ${one.app} declares it, so it comes back when a worker starts.` : "");

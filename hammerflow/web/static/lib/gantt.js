// Timelines: what waited and ran when, a row for each, with the stretches in which nothing ran folded.
import { clockOf, dayOf, duration } from "./format.js";
import { html } from "./html.js";
import { Shape } from "./parts.js";
import { link } from "./route.js";

const time = (text) => (text ? Date.parse(text) / 1000 : null);
const FOLD = 0.12; // a gap of more than this share of the whole is drawn as this share at most

/** Places of instants from 0 to 1, where long gaps between the stretches take little room. */
function scale(stretches, begin, end) {
  const gaps = [];
  let busyTo = begin;
  for (const [from, to] of [...stretches].sort((a, b) => a[0] - b[0])) {
    if (from - busyTo > 2 * FOLD * (end - begin)) gaps.push([busyTo, from]);
    busyTo = Math.max(busyTo, to);
  }
  const idle = gaps.reduce((sum, [from, to]) => sum + to - from, 0);
  const busy = Math.max(end - begin - idle, 1e-6);
  const room = 1 - FOLD * gaps.length;
  const place = (at) => {
    let x = 0;
    let last = begin;
    for (const [from, to] of gaps) {
      if (at <= from) break;
      x += (room * (from - last)) / busy;
      if (at < to) return x + (FOLD * (at - from)) / (to - from);
      x += FOLD;
      last = to;
    }
    return x + (room * Math.max(0, at - last)) / busy;
  };
  return { place, gaps };
}

const STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 604800, 2592000, 31536000];
const NEAR = 0.17; // of the width, below which two marks would run into each other

/**
 * Marks of the axis: [place, text]. Each stretch between two gaps begins with one; within less than
 * a minute they tell the time since that, and else that of the day, or the day.
 */
function axis(begin, end, gaps, place) {
  const stretches = [begin, ...gaps.map(([, to]) => to)].map((from, nth) => [from, gaps[nth]?.[0] ?? end]);
  const busy = stretches.reduce((sum, [from, to]) => sum + to - from, 0);
  const step = STEPS.find((each) => busy / each <= 5) ?? busy;
  const isShort = busy < 60;
  const zone = -60 * new Date(begin * 1000).getTimezoneOffset();
  const clock = (at) => (step < 43200 ? clockOf(new Date(at * 1000), step < 60) : dayOf(new Date(at * 1000)));
  const found = [];
  const mark = (at, text) => {
    const x = place(at);
    if (!(x - found.at(-1)?.[0] < NEAR)) found.push([x, text]);
  };
  for (const [from, to] of stretches) {
    if (isShort || gaps.length) mark(from, clock(from));
    const first = isShort ? from + step : Math.ceil((from + zone) / step) * step - zone;
    for (let nth = 0; first + nth * step <= to; nth += 1) mark(first + nth * step, isShort ? `+${duration((nth + 1) * step).replace(".0 ", " ")}` : clock(first + nth * step));
  }
  return found;
}

/** Where the text of a bar has room: behind it, before it, or else in it at its end. */
function textPlace(from, to) {
  if (to < 0.7) return { left: `calc(${100 * to}% + 6px)` };
  if (from > 0.3) return { right: `calc(${100 - 100 * from}% + 6px)` };
  return { right: `calc(${100 - 100 * to}% + 4px)` };
}

/**
 * Rows of {id, name, task, state, created_at, started_at, finished_at}; now is in seconds since 1970.
 *
 * A row without a task leads nowhere; says is the word for its state, where it has another one.
 */
export function Gantt({ items, now, label }) {
  const rows = items.map((one) => ({ ...one, made: time(one.created_at), from: time(one.started_at), to: time(one.finished_at) ?? (one.started_at ? now : null) }));
  const begin = Math.min(...rows.map((row) => row.made ?? row.from ?? now));
  const end = Math.max(begin + 0.001, ...rows.map((row) => row.to ?? row.made ?? 0), rows.some((row) => row.state === "running") ? now : 0);
  const { place, gaps } = scale(rows.filter((row) => row.from).map((row) => [row.from, row.to]), begin, end);
  const left = (at) => `${100 * place(at)}%`;
  const width = (from, to) => `${Math.max(0.3, 100 * (place(to) - place(from)))}%`;
  const marks = axis(begin, end, gaps, place);
  return html`<div class="gantt" role="table" tabindex="0" aria-label=${label}><div role="row" class="gantt-row axis"><span role="columnheader"><span class="sr">member</span></span><span role="columnheader" class="lane" aria-label="time">${marks.map(([x, text], nth) => html`<i style=${{ left: `${100 * x}%` }} class="${x > 0.86 ? "last" : ""} ${nth % 2 ? "odd" : ""}">${text}</i>`)}</span></div>${rows.map((row) => {
    const waited = row.from && row.made !== null ? row.from - row.made : null;
    const says = row.says ?? row.state ?? "waiting";
    const text = row.from ? `${says} ${row.to && row.state !== "running" ? `after ${duration(row.to - row.from)}` : `for ${duration(now - row.from)}`}${waited > 0.05 ? `, waited ${duration(waited)}` : ""}` : says;
    const name = html`<${Shape} state=${row.state ?? "waiting"} /><b>${row.name ?? row.task ?? "workflow"}</b>`;
    return html`<div role="row" class="gantt-row" key=${row.id}>${row.task === undefined ? html`<span role="rowheader" class="two st ${row.state}" title=${row.note ?? ""}>${name}</span>` : html`<a role="rowheader" class="two st ${row.state}" href=${link(`/${row.task ? "jobs" : "workflows"}/${row.id}`)} title=${row.task ?? ""}>${name}</a>`}<span role="cell" class="lane ${row.state}" aria-label=${text} title=${text}>${gaps.map(([from, to]) => html`<u style=${{ left: left(from), width: width(from, to) }}></u>`)}${row.from ? html`<s style=${{ left: left(row.made ?? row.from), width: width(row.made ?? row.from, row.from) }}></s><em style=${{ left: left(row.from), width: width(row.from, row.to) }}></em><small style=${textPlace(place(row.from), place(row.to))}>${duration(row.to - row.from)}</small>` : html`<small style=${textPlace(place(row.made ?? begin), place(row.made ?? begin))}>${says}</small>`}</span></div>`;
  })}</div>${gaps.length ? html`<p class="faint">Hatched: ${gaps.map(([from, to]) => duration(to - from)).join(", ")} in which nothing ran.</p>` : ""}`;
}

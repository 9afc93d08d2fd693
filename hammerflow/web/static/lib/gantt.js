// Timelines: what waited and ran when, a row for each, with the stretches in which nothing ran folded.
import { clockOf, duration } from "./format.js";
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

/**
 * Rows of {id, name, task, state, created_at, started_at, finished_at}; now is in seconds since 1970.
 *
 * A row without a task leads nowhere; says is the word for its state, where it has another one.
 */
export function Gantt({ items, now, label }) {
  const rows = items.map((one) => ({ ...one, made: time(one.created_at), from: time(one.started_at), to: time(one.finished_at) ?? (one.started_at ? now : null) }));
  const begin = Math.min(...rows.map((row) => row.made ?? row.from ?? now));
  const end = Math.max(begin + 0.001, ...rows.map((row) => row.to ?? 0), rows.some((row) => row.state === "running") ? now : 0);
  const { place, gaps } = scale(rows.filter((row) => row.from).map((row) => [row.from, row.to]), begin, end);
  const left = (at) => `${100 * place(at)}%`;
  const width = (from, to) => `${Math.max(0.3, 100 * (place(to) - place(from)))}%`;
  const marks = [0, 1, 2, 3, 4].map((step) => begin + ((end - begin) * step) / 4).filter((at) => !gaps.some(([from, to]) => at > from && at < to));
  return html`<div class="gantt" role="table" aria-label=${label}><div role="row" class="gantt-row axis"><span role="columnheader"><span class="sr">member</span></span><span role="columnheader" class="lane" aria-label="time">${marks.map((at, place) => html`<i style=${{ left: left(at) }} class=${place === marks.length - 1 && marks.length > 1 ? "last" : ""}>${clockOf(new Date(at * 1000), end - begin < 600)}</i>`)}</span></div>${rows.map((row) => {
    const waited = row.from && row.made !== null ? row.from - row.made : null;
    const says = row.says ?? row.state ?? "waiting";
    const text = row.from ? `${says} ${row.to && row.state !== "running" ? `after ${duration(row.to - row.from)}` : `for ${duration(now - row.from)}`}${waited > 0.05 ? `, waited ${duration(waited)}` : ""}` : says;
    const name = html`<${Shape} state=${row.state ?? "waiting"} /><b>${row.name ?? row.task ?? "workflow"}</b>`;
    return html`<div role="row" class="gantt-row" key=${row.id}>${row.task === undefined ? html`<span role="rowheader" class="two st ${row.state}" title=${row.note ?? ""}>${name}</span>` : html`<a role="rowheader" class="two st ${row.state}" href=${link(`/${row.task ? "jobs" : "workflows"}/${row.id}`)} title=${row.task ?? ""}>${name}</a>`}<span role="cell" class="lane ${row.state}" aria-label=${text} title=${text}>${gaps.map(([from, to]) => html`<u style=${{ left: left(from), width: width(from, to) }}></u>`)}${row.from ? html`<s style=${{ left: left(row.made ?? row.from), width: width(row.made ?? row.from, row.from) }}></s><em style=${{ left: left(row.from), width: width(row.from, row.to) }}></em><small style=${place(row.to) > 0.82 ? { right: `calc(${100 - 100 * place(row.from)}% + 6px)` } : { left: `calc(${left(row.to)} + 6px)` }}>${duration(row.to - row.from)}</small>` : html`<small style=${{ left: left(row.made ?? begin) }}>${says}</small>`}</span></div>`;
  })}</div>${gaps.length ? html`<p class="faint">Hatched: ${gaps.map(([from, to]) => duration(to - from)).join(", ")} in which nothing ran.</p>` : ""}`;
}

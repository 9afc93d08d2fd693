// Calls of the REST API, and reads that stay fresh while the page is looked at.
import { useEffect, useRef, useState } from "./html.js";
import { kept, useLive } from "./live.js";
import { link } from "./route.js";

// Whether something of the page is still to come: its module, its first reads, its chart.
let pending = 0;
const watching = new Set();
const change = (by) => {
  pending += by;
  if (pending === 0 || pending === by) watching.forEach((tell) => tell());
};

/** Says that something begins; returns what is to be called once when it is there. */
export function begun() {
  change(1);
  let isOver = false;
  return () => {
    if (isOver) return;
    isOver = true;
    // What has come is drawn first, and what that begins in turn is counted before this ends.
    setTimeout(() => setTimeout(change, 100, -1));
  };
}

/** Draws again when the page becomes complete, or is no longer so. */
export function useBusy() {
  const [, draw] = useState(0);
  useEffect(() => {
    const tell = () => draw((n) => n + 1);
    watching.add(tell);
    return () => watching.delete(tell);
  }, []);
  return pending > 0;
}

/** An answer that says no: status, one sentence, and what is wrong with each argument of a call. */
export class Problem extends Error {
  constructor(status, detail, errors = []) {
    super(detail);
    this.status = status;
    this.errors = errors; // of the arguments of a call
  }
}

// Integers that JavaScript cannot hold are kept as BigInt, so that what is shown and sent is exact.
const exactly = (key, value, { source }) => (typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source) ? BigInt(source) : value);

/** JSON to values, with all digits of integers. */
export const parse = (text) => (/\d{16}/.test(text) ? JSON.parse(text, exactly) : JSON.parse(text));

/** Values to JSON, likewise. */
export const stringify = (value, space) => JSON.stringify(value, (key, each) => (typeof each === "bigint" ? JSON.rawJSON(String(each)) : each), space);

async function answered(where, options) {
  let answer;
  try {
    answer = await fetch(where, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The server does not answer: is hammerflow web still running?");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new Problem(answer.status, told.detail || `${answer.status} ${answer.statusText}`, told.errors);
}

/** What the server has read for the page already, by address: {data, tag}. It is told once, to what is drawn first. */
const first = new Map();
const block = document.getElementById("first");
if (block) for (const [path, params, tag, data] of parse(block.textContent)) first.set(link(path, params), { data, tag });

/** Ask the server from now on, whatever the page came with. */
export const forgetFirst = () => first.clear();

/** Read: get("/api/jobs", {state: "failed"}). */
export const get = async (path, params, options = {}) => parse(await (await answered(link(path, params), { cache: "no-cache", ...options })).text());

/** Change: send("POST", "/api/queues/mail/pause", {reason: "..."}). */
export async function send(method, path, body) {
  const headers = { "x-hammerflow": "1" };
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await answered(link(path), { method, headers, body: body === undefined ? undefined : stringify(body) });
  return answer.status === 204 ? null : parse(await answer.text());
}

/**
 * What a path answers, read again when that has changed while the page is visible and live: a
 * stream tells of it, or else it is read every so many seconds; 0 reads once. Returns {data,
 * problem, reload}; data stays while a later read fails. A path of null reads nothing.
 */
export function useRead(path, params = {}, every = 3) {
  const where = path === null ? null : link(path, params);
  const given = useRef(first.get(where));
  const [found, setFound] = useState({ where, data: given.current?.data ?? null, problem: null });
  const [isLive] = useLive();
  const again = useRef(() => {});
  useEffect(() => {
    if (where === null) return undefined;
    let tag = given.current?.tag ?? null;
    given.current = null;
    let isOver = false;
    const stop = new AbortController();
    const there = begun();
    const read = async () => {
      let isAnswered = false;
      try {
        const answer = await answered(where, { cache: "no-cache", signal: stop.signal });
        const seen = answer.headers.get("etag");
        if (seen === null || seen !== tag) {
          const data = parse(await answer.text());
          if (!isOver) setFound({ where, data, problem: null });
          tag = seen;
        }
        isAnswered = true;
      } catch (problem) {
        if (isOver || problem.name === "AbortError") return;
        tag = null;
        setFound((before) => ({ where, data: before.where === where ? before.data : null, problem }));
      }
      there();
      if (!isOver) reader.done(isAnswered);
    };
    const reader = kept(path, every, read);
    again.current = read;
    if (tag === null) read();
    else {
      there();
      reader.done(true);
    }
    return () => {
      isOver = true;
      there();
      reader.end();
      stop.abort();
    };
  }, [where, isLive, every]);
  const isFresh = found.where === where;
  return { data: isFresh ? found.data : null, problem: isFresh ? found.problem : null, reload: () => again.current() };
}

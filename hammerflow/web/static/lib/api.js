// Calls of the REST API, and reads that stay fresh while the page is looked at.
import { useEffect, useRef, useState } from "./html.js";

const BASE = document.documentElement.dataset.base;

/** An answer that says no: status and one sentence. */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

// Integers that JavaScript cannot hold are kept as BigInt, so that what is shown and sent is exact.
const exactly = (key, value, { source }) => (typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source) ? BigInt(source) : value);

/** JSON to values, with all digits of integers. */
export const parse = (text) => (/\d{16}/.test(text) ? JSON.parse(text, exactly) : JSON.parse(text));

/** Values to JSON, likewise. */
export const stringify = (value, space) => JSON.stringify(value, (key, each) => (typeof each === "bigint" ? JSON.rawJSON(String(each)) : each), space);

export function address(path, params = {}) {
  const given = Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given).toString();
  return BASE + path + (text ? `?${text}` : "");
}

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
  throw new Problem(answer.status, told.detail || `${answer.status} ${answer.statusText}`);
}

/** Read: get("/api/jobs", {state: "failed"}). */
export const get = async (path, params, options = {}) => parse(await (await answered(address(path, params), { cache: "no-cache", ...options })).text());

/** Change: send("POST", "/api/queues/mail/pause", {reason: "..."}). */
export async function send(method, path, body) {
  const headers = { "x-hammerflow": "1" };
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await answered(BASE + path, { method, headers, body: body === undefined ? undefined : stringify(body) });
  return answer.status === 204 ? null : parse(await answer.text());
}

// Whether reads are repeated: the reader may stop the page to look at it.
const live = { on: localStorage.getItem("hammerflow.live") !== "off", listeners: new Set() };
export function useLive() {
  const [, draw] = useState(0);
  useEffect(() => {
    const tell = () => draw((n) => n + 1);
    live.listeners.add(tell);
    return () => live.listeners.delete(tell);
  }, []);
  const set = (on) => {
    live.on = on;
    localStorage.setItem("hammerflow.live", on ? "on" : "off");
    live.listeners.forEach((tell) => tell());
  };
  return [live.on, set];
}

/**
 * What a path answers, read again every so many seconds while the page is visible and live.
 * Returns {data, problem, reload}; data stays while a later read fails. A path of null reads nothing.
 */
export function useRead(path, params = {}, every = 3) {
  const where = path === null ? null : address(path, params);
  const [found, setFound] = useState({ where: null, data: null, problem: null });
  const [isLive] = useLive();
  const again = useRef(() => {});
  useEffect(() => {
    if (where === null) return undefined;
    let timer = null;
    let tag = null;
    let isOver = false;
    const stop = new AbortController();
    const read = async () => {
      clearTimeout(timer);
      try {
        const answer = await answered(where, { cache: "no-cache", signal: stop.signal });
        const seen = answer.headers.get("etag");
        if (seen === null || seen !== tag) {
          const data = parse(await answer.text());
          if (!isOver) setFound({ where, data, problem: null });
          tag = seen;
        }
      } catch (problem) {
        if (isOver || problem.name === "AbortError") return;
        tag = null;
        setFound((before) => ({ where, data: before.where === where ? before.data : null, problem }));
      }
      if (!isOver && live.on && every) timer = setTimeout(turn, every * 1000);
    };
    const turn = () => (document.hidden ? (timer = setTimeout(turn, every * 1000)) : read());
    again.current = read;
    read();
    return () => {
      isOver = true;
      clearTimeout(timer);
      stop.abort();
    };
  }, [where, isLive, every]);
  const isFresh = found.where === where;
  return { data: isFresh ? found.data : null, problem: isFresh ? found.problem : null, reload: () => again.current() };
}

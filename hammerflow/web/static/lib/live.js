// What keeps a page fresh: one stream of hints tells what has changed, and what shows it is read
// again. Where no stream flows, and for what no hint tells of, reads are repeated after a while.
import { useEffect, useState } from "./html.js";
import { link } from "./route.js";

// The topics of hints by what they change. Workers are not here: each of their heartbeats does.
const TOPICS = [
  [/^\/api\/(overview|counts)\b/, ["jobs", "pauses", "workers", "alerts"]],
  [/^\/api\/(jobs|workflows|workflow-shares|batches|spawn|failures|statistics|task-stats|limits)\b/, ["jobs"]],
  [/^\/api\/queue/, ["jobs", "pauses"]],
  [/^\/api\/tasks\b/, ["pauses", "workers"]],
  [/^\/api\/alerts\b/, ["alerts"]],
];
const RARELY = 10; // seconds between two reads of what a stream tells of
const SPREAD = 0.25; // seconds over which the pages of many readers ask

const state = { on: localStorage.getItem("hammerflow.live") !== "off", isStreaming: false, stop: null };
const listeners = new Set(); // of the switch
const readers = new Set();

/** Whether the page is kept fresh, and a function that says so: the reader may stop it to look. */
export function useLive() {
  const [, draw] = useState(0);
  useEffect(() => {
    const tell = () => draw((n) => n + 1);
    listeners.add(tell);
    return () => listeners.delete(tell);
  }, []);
  const set = (on) => {
    state.on = on;
    localStorage.setItem("hammerflow.live", on ? "on" : "off");
    attend();
    listeners.forEach((tell) => tell());
  };
  return [state.on, set];
}

/** Whether somebody may see the page: in a hidden tab no stream need be held. */
export function useSeen() {
  const [isSeen, setSeen] = useState(!document.hidden);
  useEffect(() => {
    const tell = () => setSeen(!document.hidden);
    document.addEventListener("visibilitychange", tell);
    return () => document.removeEventListener("visibilitychange", tell);
  }, []);
  return isSeen;
}

/** Draws again every so many seconds while the page is live: "4 s ago" is soon wrong. */
export function useTick(seconds) {
  const [, draw] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => state.on && !document.hidden && draw((n) => n + 1), seconds * 1000);
    return () => clearInterval(timer);
  }, [seconds]);
}

/**
 * Call read() again when what path answers has changed. Returns {done, end}: done is to be called
 * after each read, with whether it was answered, and end when the page is left.
 */
export function kept(path, every, read) {
  const topics = TOPICS.find(([pattern]) => pattern.test(path))?.[1] ?? [];
  let timer = null;
  let isReading = true;
  let isStale = false;
  let at = 0;
  const soon = (seconds) => {
    clearTimeout(timer);
    timer = setTimeout(turn, seconds * 1000);
  };
  const turn = () => {
    if (!state.on) return;
    if (document.hidden) isStale = true;
    else {
      isReading = true;
      isStale = false;
      read();
    }
  };
  const reader = {
    /** Something has changed: read, but no more often than once in a second. */
    hint(changed) {
      if (!every || !(changed.includes("all") || topics.some((topic) => changed.includes(topic)))) return;
      if (isReading) isStale = true;
      else if (!isStale) {
        isStale = true;
        soon(Math.max(0, 1 - (Date.now() - at) / 1000) + Math.random() * SPREAD);
      }
    },
    wake() {
      if (isStale) soon(0);
    },
    /** The stream begins or ends to flow. */
    pace() {
      if (!isReading && !isStale) soon(Math.max(0, wait() - (Date.now() - at) / 1000));
    },
    done(isAnswered) {
      isReading = false;
      at = Date.now();
      if (!state.on || !every) return;
      soon(isStale ? 1 : isAnswered ? wait() : every);
      isStale = false;
    },
    end() {
      clearTimeout(timer);
      readers.delete(reader);
      attend();
    },
  };
  const wait = () => (state.isStreaming && topics.length ? Math.max(every, RARELY) : every);
  readers.add(reader);
  attend();
  return reader;
}

/** Hold a stream while the page is seen, live, and shows something: browsers allow six at a time. */
function attend() {
  const isWanted = state.on && !document.hidden && readers.size > 0;
  if (isWanted && !state.stop) {
    state.stop = new AbortController();
    const onMessage = (message) => {
      const changed = JSON.parse(message.data).topics;
      readers.forEach((reader) => reader.hint(changed));
    };
    follow("/api/changes/stream", {}, { signal: state.stop.signal, onOpen: flows, onMessage });
  } else if (!isWanted && state.stop) {
    state.stop.abort();
    state.stop = null;
    flows(false);
  }
}

function flows(isStreaming) {
  state.isStreaming = isStreaming;
  document.documentElement.dataset.stream = isStreaming ? "open" : "closed";
  readers.forEach((reader) => reader.pace());
}

document.addEventListener("visibilitychange", () => {
  attend();
  if (!document.hidden) readers.forEach((reader) => reader.wake());
});
for (const name of ["online", "offline"]) addEventListener(name, () => readers.forEach((reader) => reader.hint(["all"])));

const [SOON, LATE] = [0.5, 15]; // seconds between two tries, at least and at most

async function* lines(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const whole = (text + value).split("\n");
      text = whole.pop();
      yield* whole;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * Follow a stream until the signal says stop.
 *
 * onOpen is told true when it flows and false when it does not; onMessage gets {id, event, data}.
 * A stream that was cut is opened again behind the last message. One that is refused ends: a server
 * of WSGI has none.
 */
export async function follow(path, params, { signal, onOpen = () => {}, onMessage }) {
  let last = null;
  let pause = SOON;
  while (!signal.aborted) {
    try {
      const headers = last === null ? {} : { "last-event-id": last };
      const answer = await fetch(link(path, params), { cache: "no-store", headers, signal });
      if (!answer.ok && answer.status !== 503) return;
      if (answer.ok) {
        onOpen(true);
        let message = {};
        for await (const line of lines(answer)) {
          if (line === "") {
            if (message.data !== undefined) onMessage(message);
            message = {};
            pause = SOON;
          } else if (!line.startsWith(":")) {
            const colon = line.indexOf(": ");
            message[line.slice(0, colon)] = line.slice(colon + 2);
            if (message.id !== undefined) last = message.id;
          }
        }
      }
    } catch {
      if (signal.aborted) return;
    }
    onOpen(false);
    await new Promise((go) => setTimeout(go, pause * 1000 * (0.5 + Math.random() / 2)));
    pause = Math.min(pause * 2, LATE);
  }
}

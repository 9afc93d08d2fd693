// The log of a running job as it comes: by a stream that misses no line, or else read again and again.
import { useRead } from "./api.js";
import { useEffect, useRef, useState } from "./html.js";
import { follow, useSeen } from "./live.js";

const DRAWN = 250; // milliseconds between two times that what has come is drawn
const MOST = 5_000; // lines that are shown; the oldest ones leave first

/** The lines of a log: those before the dropped ones, and those behind them. */
export const partsOf = ({ lines, dropped, dropped_at: at }) => (dropped ? [{ missed: 0, lines: lines.slice(0, at) }, { missed: dropped, lines: lines.slice(at) }] : [{ missed: 0, lines }]);

/** The parts behind the last lines: enough of them for what is shown. */
function newest(parts) {
  let room = MOST;
  let from = parts.length;
  while (from > 0 && room > 0) room -= parts[--from].lines.length;
  return parts.slice(from);
}

/**
 * What an attempt has logged so far: {parts: [{missed, lines}], problem}. While it is paused, or the
 * page is not seen, nothing comes; then it goes on where it was.
 */
export function useLog(id, { attempt, lease }, isPaused) {
  const [parts, setParts] = useState([]);
  const [isStreamed, setStreamed] = useState(true);
  const isSeen = useSeen();
  const after = useRef(`${lease}-0`);
  const isOver = useRef(false);
  const flows = isStreamed && isSeen && !isPaused;
  useEffect(() => {
    if (!flows || isOver.current) return undefined;
    const stop = new AbortController();
    let waiting = [];
    const draw = () => {
      if (!waiting.length) return;
      const fresh = waiting;
      waiting = [];
      setParts((before) => newest([...before, ...fresh]));
    };
    const timer = setInterval(draw, DRAWN);
    const onMessage = ({ id: position, event, data }) => {
      after.current = position ?? after.current;
      const told = JSON.parse(data);
      if (event === "lines" && told.lease === lease) waiting.push(told);
      if (event === "end") {
        isOver.current = true;
        stop.abort();
        draw();
      }
    };
    follow(`/api/jobs/${id}/logs/stream`, { attempt, after: after.current }, { signal: stop.signal, onMessage }).then(() => stop.signal.aborted || setStreamed(false));
    return () => {
      stop.abort();
      clearInterval(timer);
      draw();
    };
  }, [id, attempt, lease, flows]);
  // A server of WSGI has no streams.
  const { data, problem } = useRead(isStreamed || isPaused ? null : `/api/jobs/${id}/logs`, { attempt }, 1);
  const log = data?.items.find((one) => one.lease === lease);
  return { parts: log ? partsOf(log) : parts, problem };
}

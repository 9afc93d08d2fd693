"""Ringer: sends rings in a few microseconds, or gives up within half a second."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from time import monotonic

from hammerflow.notifiers.base import Ring, Sender, Transport
from hammerflow.notifiers.debounce import BURST, WINDOW, Debouncer
from hammerflow.notifiers.status import DoorbellStatus

__all__ = ["Publisher"]

log = logging.getLogger("hammerflow.notifiers")

#: Seconds that one ring may wait for a connection; and those after a failure, first and at most,
#: in which rings are dropped and no other connection is tried.
PATIENCE = 0.5
FIRST_BACKOFF = 0.5
LAST_BACKOFF = 5.0
#: A connection lost so many seconds after it was made is a failure; an older one is made anew.
YOUNG = 1.0
#: Ids in one message, so many that it stays below 64 KiB.
IDS = 4096
#: Rings that wait for a connection or for the trailing thread; more are dropped, the oldest first.
WAITING = 4096
#: Queues whose pace is remembered.
QUEUES = 4096


class Publisher:
    """Sends rings over one connection, from any thread.

    A ring goes out at once, by the caller's own thread, with no other thread in the common case:
    the caller puts it into the outbox, and whoever holds the mouth (a lock) sends all that is
    there. Nobody waits for the mouth: its holder looks again after giving it back.

    Rings in a crowd (see :class:`Debouncer`) are left to a trailing thread that is started when the
    first of them comes, because a thread alone can send the last of a row when its window ends.

    The first connection of a process is waited for, so that a short script rings before it exits;
    it is made by a helper thread, because a name look-up cannot be given a deadline. Once the
    doorbell is known to be down nobody waits: rings are dropped, and the first one after each
    backoff has the helper try again.
    """

    def __init__(self, transport: Transport, health: DoorbellStatus) -> None:
        self._transport = transport
        self._health = health
        self._paces: dict[str, tuple[Ring, Debouncer]] = {}
        self._direct = transport.direct
        self._burst = BURST if transport.direct else 0
        self._control = (Ring("control"), Debouncer(self._burst))
        self._closed = False
        self._voice: Sender | None = None
        self._begin()

    def _begin(self) -> None:
        self._outbox: deque[Ring] = deque(maxlen=WAITING)
        self._mouth = threading.Lock()
        self._dial_lock = threading.Lock()
        self._dialing: threading.Event | None = None
        self._dialed_at = 0.0
        self._deaf_until = 0.0
        self._backoff = 0.0
        self._trailing: dict[Ring, None] = {}
        self._trail_wake = threading.Event()
        self._trail_end = threading.Event()
        self._trail: threading.Thread | None = None

    # -- rings

    def ring(self, queues: Iterable[str]) -> None:
        """See :meth:`Notifier.ring`."""
        now = monotonic()
        if now < self._deaf_until:
            return
        paces, outbox = self._paces, self._outbox
        for queue in queues:
            ring, pace = paces.get(queue) or self._new_pace(queue)
            if pace.passes(now):
                outbox.append(ring)
            else:
                self._leave_to_trail(ring)
        if outbox and self._direct:
            self._flush()

    def ring_control(self) -> None:
        """See :meth:`Notifier.ring_control`."""
        now = monotonic()
        if now < self._deaf_until:
            return
        ring, pace = self._control
        if pace.passes(now):
            self._outbox.append(ring)
            self._flush()
        else:
            self._leave_to_trail(ring)

    def ring_done(self, ids: Sequence[bytes]) -> None:
        """See :meth:`Notifier.ring_done`."""
        if not ids or monotonic() < self._deaf_until:
            return
        for at in range(0, len(ids), IDS):
            ring = Ring("done", b"".join(ids[at : at + IDS]))
            if self._direct:
                self._outbox.append(ring)
            else:
                self._leave_to_trail(ring)
        if self._direct:
            self._flush()

    def finish(self) -> None:
        """See to it that what was rung has gone out, within a second: the process may end now."""
        thread, self._trail = self._trail, None
        if thread is not None and thread is not threading.current_thread():
            wake, end = self._trail_wake, self._trail_end
            self._trail_wake, self._trail_end = threading.Event(), threading.Event()
            end.set()
            wake.set()
            thread.join(PATIENCE)
        if self._mouth.acquire(timeout=PATIENCE):
            try:
                self._say_the_last()
            finally:
                self._mouth.release()

    def close(self) -> None:
        """Send what is left and close the connection; later rings are dropped."""
        self.finish()
        self._closed = True
        self._deaf_until = float("inf")
        self._hang_up()

    def forget(self) -> None:
        """Begin anew in a forked child."""
        voice, self._voice = self._voice, None
        if voice is not None:
            voice.abandon()
        if not self._closed:
            self._begin()

    def _new_pace(self, queue: str) -> tuple[Ring, Debouncer]:
        if len(self._paces) >= QUEUES:
            self._paces = {}
        entry = (Ring("work", queue.encode("utf-8", "replace")), Debouncer(self._burst))
        self._paces[queue] = entry
        return entry

    # -- sending

    def _flush(self) -> None:
        """Send what is in the outbox, unless another thread is at it."""
        outbox = self._outbox
        while outbox and self._mouth.acquire(blocking=False):
            rings: list[Ring] = []
            try:
                voice = self._voice
                if voice is None:
                    break
                while outbox:
                    rings.append(outbox.popleft())
                voice.send(rings)
            except OSError as error:
                self._lose(error, rings)
            except Exception as error:  # a ring never raises
                log.exception("a ring could not be sent")
                self._lose(TimeoutError(str(error)), rings)
            finally:
                self._mouth.release()
        else:
            return
        self._connect()

    def _say_the_last(self) -> None:
        """Send what others left to the holder of the mouth, and wait until all has arrived."""
        voice, outbox = self._voice, self._outbox
        if voice is None:
            return
        rings: list[Ring] = []
        while outbox:
            rings.append(outbox.popleft())
        try:
            if rings:
                voice.send(rings)
            voice.finish(PATIENCE)
        except OSError as error:
            self._lose(error, [])

    def _hang_up(self) -> None:
        if self._mouth.acquire(timeout=PATIENCE):  # else its holder is the thread that does it
            voice, self._voice = self._voice, None
            self._mouth.release()
            if voice is not None:
                voice.close()

    def _lose(self, error: OSError, rings: list[Ring]) -> None:
        """The connection is broken: make another at once if it had been good for a while (an idle
        one that was cut, a restarted server), else wait."""
        voice, self._voice = self._voice, None
        if voice is not None:
            voice.close()
        young = monotonic() - self._dialed_at < YOUNG
        if not young:
            self._backoff = 0.0
        if young or isinstance(error, TimeoutError):
            self._fail(error)
        else:
            self._outbox.extendleft(reversed(rings))

    def _fail(self, error: BaseException) -> None:
        self._backoff = min(max(FIRST_BACKOFF, self._backoff * 2), LAST_BACKOFF)
        self._deaf_until = monotonic() + self._backoff
        self._outbox.clear()
        if not self._closed:
            self._health.down(error)

    # -- connecting

    def _connect(self) -> None:
        with self._dial_lock:
            if self._dialing is not None or self._voice is not None or self._closed:
                return
            if monotonic() < self._deaf_until:
                self._outbox.clear()
                return
            done = self._dialing = threading.Event()
        if self._transport.instant or not self._direct:
            self._dial(done)
            return
        wait = not self._health.is_down
        try:
            threading.Thread(
                target=self._dial, args=(done,), name="hammerflow-dial", daemon=True
            ).start()
        except RuntimeError as error:  # no more threads, or the interpreter is ending
            self._dialing = None
            self._fail(error)
            return
        if wait and not done.wait(PATIENCE):
            with self._mouth:
                if self._voice is None:
                    self._fail(TimeoutError(f"no answer within {PATIENCE} s"))

    def _dial(self, done: threading.Event) -> None:
        try:
            self._take(self._transport.dial())
        except Exception as error:  # noqa: BLE001  # whatever the cause: it could not be reached
            self._fail(error)
        finally:
            self._dialing = None
            done.set()
        self._flush()

    def _take(self, voice: Sender) -> None:
        with self._mouth:
            if self._closed:
                voice.close()
                return
            self._voice = voice
            self._dialed_at = monotonic()
            self._deaf_until = 0.0
            self._health.up()

    # -- the trailing thread

    def _leave_to_trail(self, ring: Ring) -> None:
        if len(self._trailing) >= WAITING:
            return
        self._trailing[ring] = None
        if self._trail is None:
            self._start_trail()
        if not self._trail_wake.is_set():
            self._trail_wake.set()

    def _start_trail(self) -> None:
        with self._dial_lock:
            if self._trail is not None or self._closed:
                return
            thread = threading.Thread(target=self._run_trail, name="hammerflow-ring", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return
            self._trail = thread

    def _run_trail(self) -> None:
        wake, end = self._trail_wake, self._trail_end
        while True:
            wake.wait()
            wake.clear()
            ended = end.is_set()
            while self._trailing:
                self._outbox.append(self._trailing.popitem()[0])
            self._flush()
            if ended:
                if self._closed:
                    self._hang_up()
                return
            end.wait(WINDOW)

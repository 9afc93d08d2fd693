"""Publisher: sends rings in a few microseconds, or gives up within half a second.

What must hold, whatever the transport does:

1. A ring never raises into its caller: the job is committed already, and polling will find it.
2. A ring never blocks its caller for longer than ``PATIENCE``, and not at all while the doorbell
   is known to be down: hence the backoff, and the connecting in another thread.
3. The last ring of a row is sent. It may not be dropped in favour of an earlier one, because a
   worker may have queried the database between the two.

A ring is in the outbox (about to be sent), among the postponed ones (the flush thread sends them at
the end of the window), or dropped, during a backoff: workers poll then, and query once more when
they have subscribed again.

Locks: ``_send_lock`` guards the sender; ``_connect_lock`` guards who connects and who starts the
flush thread. Neither is taken while the other is held. The outbox needs none: append and popleft
of a deque are atomic.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from time import monotonic

from hammerflow.notifiers.base import Ring, Sender, Transport
from hammerflow.notifiers.debounce import BURST, WINDOW, Debouncer
from hammerflow.notifiers.status import DoorbellStatus, log_safely

__all__ = ["Publisher"]

#: Seconds that one ring may wait for a connection.
PATIENCE = 0.5
#: Seconds after a failure in which rings are dropped and nothing is tried: the first pause, doubled
#: with each further failure, and the longest.
FIRST_BACKOFF = 0.5
LAST_BACKOFF = 5.0
#: A connection lost within this many seconds counts as a failure; an older one is replaced at once.
YOUNG = 1.0
#: Ids in one message: it stays within the 64 KiB that a subscriber reads (transports/resp.py).
IDS = 4096
#: Most rings in the outbox, and most postponed ones. A full outbox drops its oldest ring.
WAITING = 4096
#: Queues whose debouncers are remembered.
QUEUES = 4096


class Publisher:
    """Sends rings over one connection, from any thread.

    In the common case the caller sends its ring itself, without another thread: it appends to the
    outbox, and whoever gets the send lock sends all that is in there. Nobody waits for the lock:
    its holder checks the outbox again after releasing it, so what was appended meanwhile is sent.

    Rings in a burst (see :class:`Debouncer`) are postponed to the flush thread, which starts with
    the first of them: only a thread can send the last ring of a row when its window ends.

    The first connection of a process is waited for, so that a short script rings before it exits.
    A thread makes it, because resolving a host name has no timeout of its own. Once the doorbell is
    down nobody waits: rings are dropped, and the first one after each backoff starts a new attempt.
    """

    def __init__(self, transport: Transport, status: DoorbellStatus) -> None:
        self._transport = transport
        self._status = status
        self._direct = transport.direct
        self._burst = BURST if transport.direct else 0  # else all rings go by the flush thread
        self._queues: dict[str, tuple[Ring, Debouncer]] = {}
        self._control = (Ring("control"), Debouncer(self._burst))
        self._closed = False
        self._sender: Sender | None = None
        self._start()

    def _start(self) -> None:
        """Everything that belongs to one process: locks, threads and what they share."""
        self._outbox: deque[Ring] = deque(maxlen=WAITING)
        self._send_lock = threading.Lock()
        self._connect_lock = threading.Lock()
        self._connecting: threading.Event | None = None
        self._connected_at = 0.0
        self._backoff_until = 0.0
        self._backoff = 0.0
        self._postponed: dict[Ring, None] = {}
        self._flush_wake = threading.Event()
        self._flush_end = threading.Event()
        self._flush_thread: threading.Thread | None = None

    # -- rings

    def ring(self, queues: Iterable[str]) -> None:
        """See :meth:`Notifier.ring`."""
        now = monotonic()
        if now < self._backoff_until:
            return
        known, outbox = self._queues, self._outbox
        for queue in queues:
            ring, debouncer = known.get(queue) or self._remember(queue)
            if debouncer.passes(now):
                outbox.append(ring)
            else:
                self._postpone(ring)
        if outbox and self._direct:
            self._flush()

    def ring_control(self) -> None:
        """See :meth:`Notifier.ring_control`."""
        now = monotonic()
        if now < self._backoff_until:
            return
        ring, debouncer = self._control
        if debouncer.passes(now):
            self._outbox.append(ring)
            self._flush()
        else:
            self._postpone(ring)

    def ring_done(self, ids: Sequence[bytes]) -> None:
        """See :meth:`Notifier.ring_done`; not debounced, because no two rings are the same."""
        if not ids or monotonic() < self._backoff_until:
            return
        for at in range(0, len(ids), IDS):
            ring = Ring("done", b"".join(ids[at : at + IDS]))
            if self._direct:
                self._outbox.append(ring)
            else:
                self._postpone(ring)
        if self._direct:
            self._flush()

    def finish(self) -> None:
        """Deliver what was rung, within about a second: the process is about to exit.

        The flush thread goes first, because it may hold the last ring of a crowd. It gets new
        events before it is told to end, so that a ring after this starts a new thread.
        """
        thread, self._flush_thread = self._flush_thread, None
        if thread is not None and thread is not threading.current_thread():
            wake, end = self._flush_wake, self._flush_end
            self._flush_wake, self._flush_end = threading.Event(), threading.Event()
            end.set()
            wake.set()
            thread.join(PATIENCE)
        if self._send_lock.acquire(timeout=PATIENCE):
            try:
                self._send_rest()
            finally:
                self._send_lock.release()

    def close(self) -> None:
        """Deliver what was rung and close the connection; later rings are dropped."""
        self.finish()
        self._closed = True
        self._backoff_until = float("inf")
        self._disconnect()

    def reset_after_fork(self) -> None:
        """Start from nothing in a forked child.

        The parent's threads do not run here, and one of them may have held a lock at the fork, so
        all locks are new. The connection's socket is shared with the parent: it is dropped without
        a byte on it. Rings in the outbox are the parent's, which sends them.
        """
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.abandon()
        if not self._closed:
            self._start()

    def _remember(self, queue: str) -> tuple[Ring, Debouncer]:
        if len(self._queues) >= QUEUES:
            self._queues = {}
        entry = (Ring("work", queue.encode("utf-8", "replace")), Debouncer(self._burst))
        self._queues[queue] = entry
        return entry

    # -- sending

    def _flush(self) -> None:
        """Send what is in the outbox, unless another thread is sending.

        The check of the outbox comes after each release of the lock. A thread that appends while
        the lock is held finds it taken and leaves; without this check its ring would stay behind.
        """
        outbox = self._outbox
        while outbox and self._send_lock.acquire(blocking=False):
            rings: list[Ring] = []
            try:
                sender = self._sender
                if sender is None:
                    break  # connect, but not with the lock held: the new connection is put under it
                while outbox:
                    rings.append(outbox.popleft())
                sender.send(rings)
            except OSError as error:
                self._drop_connection(error, rings)
            except Exception as error:  # noqa: BLE001 - a ring never raises
                log_safely(logging.ERROR, "a ring could not be sent", with_traceback=True)
                self._drop_connection(TimeoutError(str(error)), rings)
            finally:
                self._send_lock.release()
        else:
            if self._closed:  # meanwhile
                self._disconnect()
            return
        self._connect()

    def _send_rest(self) -> None:
        """With the send lock held: send what is left, and wait until all has arrived."""
        sender, outbox = self._sender, self._outbox
        if sender is None:
            return
        rings: list[Ring] = []
        while outbox:
            rings.append(outbox.popleft())
        try:
            if rings:
                sender.send(rings)
            sender.finish(PATIENCE)
        except OSError as error:
            self._drop_connection(error, [])

    def _disconnect(self) -> None:
        if self._send_lock.acquire(timeout=PATIENCE):  # else a thread sends, and then does this
            sender, self._sender = self._sender, None
            self._send_lock.release()
            if sender is not None:
                sender.close()

    def _drop_connection(self, error: OSError, rings: list[Ring]) -> None:
        """With the send lock held: close a broken connection, and decide whether to reconnect.

        One that was good for a while was cut when idle, or its server has restarted: its rings go
        back to the front of the outbox, and the loop in _flush connects again. One that broke at
        once, or whose peer hangs, would only cost each caller its patience again: back off.
        """
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.close()
        young = monotonic() - self._connected_at < YOUNG
        if not young:
            self._backoff = 0.0
        if young or isinstance(error, TimeoutError):
            self._back_off(error)
        else:
            self._outbox.extendleft(reversed(rings))

    def _back_off(self, error: BaseException) -> None:
        self._backoff = min(max(FIRST_BACKOFF, self._backoff * 2), LAST_BACKOFF)
        self._backoff_until = monotonic() + self._backoff
        self._outbox.clear()  # else the ring after the backoff would carry stale ones along
        if not self._closed:
            self._status.mark_down(error)

    # -- connecting

    def _connect(self) -> None:
        """Connect, or have a thread do it and wait for it unless the doorbell is down already."""
        with self._connect_lock:
            if self._connecting is not None or self._sender is not None or self._closed:
                return  # whoever connects flushes afterwards
            if monotonic() < self._backoff_until:
                self._outbox.clear()
                return
            done = self._connecting = threading.Event()
        if self._transport.instant or not self._direct:  # not direct: this is the flush thread
            self._connect_now(done)
            return
        wait = not self._status.is_down
        try:
            threading.Thread(
                target=self._connect_now, args=(done,), name="hammerflow-dial", daemon=True
            ).start()
        except RuntimeError as error:  # no more threads, or the interpreter is ending
            self._connecting = None
            self._back_off(error)
            return
        if wait and not done.wait(PATIENCE):
            with self._send_lock:
                if self._sender is None:  # it may have come this moment
                    self._back_off(TimeoutError(f"no answer within {PATIENCE} s"))

    def _connect_now(self, done: threading.Event) -> None:
        try:
            self._adopt(self._transport.connect())
        except Exception as error:  # noqa: BLE001 - whatever the cause: it cannot be reached
            self._back_off(error)
        finally:  # before the flush: it may find the new connection broken, and connect again
            self._connecting = None
            done.set()
        self._flush()

    def _adopt(self, sender: Sender) -> None:
        with self._send_lock:
            if self._closed:
                sender.close()
                return
            self._sender = sender
            self._connected_at = monotonic()
            self._backoff_until = 0.0
            self._status.mark_up()

    # -- the flush thread

    def _postpone(self, ring: Ring) -> None:
        if len(self._postponed) >= WAITING:
            return
        self._postponed[ring] = None
        if self._flush_thread is None:
            self._start_flush_thread()
        if not self._flush_wake.is_set():  # a check is cheaper than the lock inside set()
            self._flush_wake.set()

    def _start_flush_thread(self) -> None:
        with self._connect_lock:
            if self._flush_thread is not None or self._closed:
                return
            thread = threading.Thread(target=self._run_flush, name="hammerflow-ring", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the next postponed ring tries again
                return
            self._flush_thread = thread

    def _run_flush(self) -> None:
        """Send postponed rings, at most once a window.

        ``wake`` is cleared before the rings are taken: a ring that is postponed after the taking
        sets it again. After a fork, and in finish(), the publisher has other events.
        """
        wake, end = self._flush_wake, self._flush_end
        while True:
            wake.wait()
            wake.clear()
            ended = end.is_set()
            while self._postponed:
                self._outbox.append(self._postponed.popitem()[0])
            self._flush()
            if ended:
                return
            end.wait(WINDOW)

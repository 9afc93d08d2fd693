"""Pool: the children of a worker, and the one thread that talks with them."""

from __future__ import annotations

import itertools
import logging
import os
import selectors
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import Outcome, Released
from hammerflow.worker.child.interrupts import CANCEL_SIGNAL
from hammerflow.worker.logs import facts
from hammerflow.worker.protocol import EXITED, FORKED
from hammerflow.worker.run_options import TaskCatalog
from hammerflow.worker.supervisor.child_channel import ChildChannel
from hammerflow.worker.supervisor.child_group import (
    PATIENCE,
    AsyncChildGroup,
    ChildGroup,
    SerialChildGroup,
)
from hammerflow.worker.supervisor.child_handle import (
    AsyncChildHandle,
    HeldJob,
    KillReason,
    RoundResults,
    SerialChildHandle,
)
from hammerflow.worker.supervisor.deaths import end_of
from hammerflow.worker.supervisor.fork_server_client import ForkServerClient
from hammerflow.worker.supervisor.job_log import report

__all__ = ["Pool"]

log = logging.getLogger("hammerflow.pool")

#: How long the wait for a dead child's exit status may last.
_STATUS_WAIT = 1.0
#: Between two rounds while children stream tiny jobs: outcomes are taken by the dozen.
_BREATH = 0.0005
_QUICK = 1.0

Seat = SerialChildHandle | AsyncChildHandle


class Pool:
    """Owns seats and crews; all of it under one lock, held for moments only.

    Args:
        children: of each kind that the app's tasks need.
        slots: async jobs at a time in one loop child.
        grace: how long a cancelled body may take to end.
        deliver: takes the outcomes of jobs by the registration that claimed them.
        note: takes what a job says of its progress.
        on_forker_lost: called when the fork server has died.
    """

    def __init__(
        self,
        *,
        children: int,
        slots: int,
        grace: float,
        deliver: Callable[[int, list[tuple[Claimed, Outcome]]], None],
        note: Callable[[bytes, float, str], None],
        on_forker_lost: Callable[[], None],
    ) -> None:
        self.lock = threading.RLock()
        self.changes = 0  # counts jobs that came and went
        self.abandoned: set[int] = set()  # registrations that are gone
        self.serial = SerialChildGroup(self, wanted=0)
        self.loop = AsyncChildGroup(self, wanted=0)
        self._children = children
        self._slots = slots
        self._grace = grace
        self._deliver = deliver
        self._note = note
        self._on_forker_lost = on_forker_lost
        self._forker: ForkServerClient | None = None
        self._retired: dict[
            ForkServerClient, set[int]
        ] = {}  # old fork servers and their children's serials
        self._manifest = TaskCatalog([])
        self._serials = itertools.count(1)
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = os.pipe()
        os.set_blocking(self._wake_in, False)
        os.set_blocking(self._wake_out, False)
        self._selector.register(self._wake_in, selectors.EVENT_READ, None)
        self._wakes_at = 0.0
        self._is_draining = False
        self._is_over = False
        self.staffed = threading.Event()  # the first children are there
        self.emptied = threading.Event()  # while draining: the last child has ended
        self._thread = threading.Thread(target=self._run, name="pool", daemon=True)

    # -- called from other threads -----------------------------------------------------------------

    def start(self) -> None:
        """Begin to fork and to listen."""
        self._thread.start()

    def staff(self, forker: ForkServerClient, manifest: TaskCatalog) -> None:
        """Take children from this fork server from now on; older children end when they are
        free, their unstarted jobs go to the new ones."""
        with self.lock:
            if self._forker is not None:
                self._selector.unregister(self._forker.control)
                self._retire(self._forker)
            self._forker, self._manifest = forker, manifest
            self._selector.register(forker.control, selectors.EVENT_READ, forker)
            for crew, is_async in ((self.serial, False), (self.loop, True)):
                crew.task_ids = manifest.ids(is_async=is_async)
                crew.wanted = self._children if crew.task_ids else 0
                crew.not_before = 0.0
                crew.has_room.notify_all()
            self._wake()

    @property
    def is_idle(self) -> bool:
        """Whether no job is held."""
        with self.lock:
            return self.serial.is_idle and self.loop.is_idle

    def held(self) -> list[HeldJob]:
        """All jobs that were claimed and have not ended."""
        with self.lock:
            in_seats = [held for seat in self._seats() for held in seat.held()]
            return in_seats + self.serial.backlog.held() + self.loop.backlog.held()

    def running(self) -> bool:
        """Whether any body may be running."""
        with self.lock:
            return any(seat.is_busy for seat in self._seats())

    def cancel(self, job_id: bytes) -> None:
        """Stop a job: at once if it waits here; its body by an exception, or after the grace by a
        kill. Called again and again until the job has ended."""
        with self.lock:
            harvest = RoundResults()
            now = time.monotonic()
            self._cancel_unstarted(job_id, harvest, now)
            for seat in self._seats():
                if any(held.job.id == job_id for held in seat.held()):
                    seat.grace_ends.setdefault(job_id, now + self._grace)
                    self._interrupt(seat, job_id)
            self._bring_in(harvest)
            self._wake()

    def drain(self) -> None:
        """Give back what has not started; let the rest end."""
        with self.lock:
            self._is_draining = True
            self._release_unstarted()
            for seat in self._seats():
                seat.is_retiring = True
            self._wake()

    def abandon(self, worker_id: int) -> None:
        """The leases of this registration were taken over: stop what runs under it."""
        with self.lock:
            self.abandoned.add(worker_id)
            self.kill_all("lease lost")

    def kill_all(self, why: str) -> None:
        """Kill every child; jobs they ran are given back uncharged."""
        with self.lock:
            self._release_unstarted()
            for seat in self._seats():
                self._kill(seat, KillReason(why))
            self._wake()

    def stop(self) -> None:
        """End the thread; the children must be gone."""
        with self.lock:
            self._is_over = True
            self._wake()
        if self._thread.is_alive():
            self._thread.join(5.0)
        for forker in [*self._retired, *([self._forker] if self._forker else [])]:
            forker.close()

    def refuse(self, worker_id: int, jobs: Sequence[Claimed]) -> None:
        """For crews: give back jobs that were claimed under a registration that is gone."""
        self._deliver(worker_id, [(job, Released()) for job in jobs])

    def took_in(self, crew: SerialChildGroup | AsyncChildGroup) -> None:
        """For crews: hand out what has just come in, in the thread that brings it."""
        now = time.monotonic()
        if self._is_draining:
            self._release_unstarted()
            return
        crew.dispatch(now)
        wake_at = self._next_wake(now)
        is_clogged = any(seat.line.is_clogged for seat in crew.seats)
        if is_clogged or (wake_at is not None and wake_at < self._wakes_at):
            self._wake()

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._is_over:
            try:
                self._round()
            except Exception:  # a border: the pool must outlive what it did not expect
                log.exception("a round of the pool failed")
                time.sleep(0.1)

    def _round(self) -> None:
        with self.lock:
            now = time.monotonic()
            wake_at = self._next_wake(now)
            self._wakes_at = float("inf") if wake_at is None else wake_at
        timeout = None if wake_at is None else max(0.0, wake_at - now)
        events = self._selector.select(timeout)
        with self.lock:
            harvest = RoundResults()
            now = time.monotonic()
            try:
                for key, mask in events:
                    self._on_event(key.data, mask, harvest, now)
                self._tick(harvest, now)
            finally:
                self._bring_in(harvest)  # whatever happens, no outcome is dropped
            self._call_dispatchers(now)
            streams = bool(harvest.ended) and any(s.unstarted for s in self.serial.seats)
        for note in harvest.notes:
            self._note(*note)
        if streams:
            time.sleep(_BREATH)

    def _on_event(
        self, source: Seat | ForkServerClient | None, mask: int, harvest: RoundResults, now: float
    ) -> None:
        if source is None:
            os.read(self._wake_in, 4096)
        elif isinstance(source, ForkServerClient):
            self._hear_forker(source)
        else:
            if mask & selectors.EVENT_WRITE:
                source.line.flush()
                self._watch_writing(source)
            if mask & selectors.EVENT_READ:
                self._hear_child(source, harvest, now)

    def _hear_child(self, seat: Seat, harvest: RoundResults, now: float) -> None:
        frames = seat.line.frames()
        if frames is None:
            seat.eof_at = now
            self._selector.unregister(seat.line.results)
            return
        crew = self._crew_of(seat)
        try:
            seat.hear(frames, harvest, crew.pace, now)
        except Exception:  # a border: a body may have written into our pipe
            log.exception("child talks nonsense and is killed", extra=facts(pid=seat.pid))
            self._kill(seat)
        if seat.jobs_ended:
            crew.quick_deaths = 0

    def _hear_forker(self, forker: ForkServerClient) -> None:
        by_serial = {seat.serial: seat for seat in self._seats()}
        by_pid = {seat.pid: seat for seat in self._seats()}
        for frame in forker.frames():
            if frame[0] == FORKED and frame[1] in by_serial:
                seat = by_serial[frame[1]]
                seat.pid = frame[2]
                by_pid[seat.pid] = seat
                log.debug("child started", extra=facts(pid=seat.pid))
                if seat.doom is not None:
                    os.kill(frame[2], signal.SIGKILL)
            elif frame[0] == EXITED and frame[1] in by_pid:
                by_pid[frame[1]].status = frame[2]
                by_pid[frame[1]].has_exited = True
                by_pid[frame[1]].exited_at = time.monotonic()
        if forker.is_lost:
            self._selector.unregister(forker.control)
            if forker is self._forker:
                self._forker = None
                log.error("the fork server died", extra=facts(pid=forker.pid))
                self._on_forker_lost()
            self._retired.pop(forker, None)
            forker.close()

    def _tick(self, harvest: RoundResults, now: float) -> None:
        for seat in list(self._seats()):
            if seat.is_held_open(now - _STATUS_WAIT):
                seat.eof_at = now
                self._selector.unregister(seat.line.results)
            if seat.eof_at is not None:
                if seat.has_exited or now >= seat.eof_at + _STATUS_WAIT or self._forker is None:
                    self._bury(seat, harvest, now)
                continue
            self._enforce_times(seat, now)
            if (seat.is_retiring or seat.quit_because) and not seat.is_busy:
                seat.line.close_jobs()
        for crew in self._crews():
            if not self._is_draining:
                self._hire(crew, now)
            crew.balance(now)
            crew.dispatch(now)
            for held in crew.backlog.take_older(now - PATIENCE):
                harvest.add(held, Released())
        for seat in self._seats():
            self._watch_writing(seat)
        if not self.staffed.is_set() and all(seat.pid is not None for seat in self._seats()):
            self.staffed.set()
        if self._is_draining and not any(True for _ in self._seats()):
            self.emptied.set()

    def _next_wake(self, now: float) -> float | None:
        """When there will be something to do that no child says."""
        times: list[float] = []
        for seat in self._seats():
            if seat.eof_at is not None:
                times.append(seat.eof_at + _STATUS_WAIT)
            elif seat.exited_at is not None:
                times.append(seat.exited_at + _STATUS_WAIT)
            elif seat.doom is None and (timeout := seat.next_timeout()) is not None:
                times.append(timeout[0])
            times += seat.grace_ends.values()
        for crew in self._crews():
            if crew.backlog.oldest is not None:
                times.append(crew.backlog.oldest + PATIENCE)
            balance = crew.next_balance(now)
            if balance is not None:
                times.append(balance)
            if len(crew.seats) < crew.wanted and crew.not_before > now and not self._is_draining:
                times.append(crew.not_before)
        return min(times, default=None)

    def _call_dispatchers(self, now: float) -> None:
        for crew in self._crews():
            if crew.wants_room and crew.room(now):
                crew.has_room.notify_all()

    def _bring_in(self, harvest: RoundResults) -> None:
        for worker_id, pairs in harvest.ended.items():
            self.changes += 1
            self._deliver(worker_id, pairs)
        report(harvest.unusual, self._manifest)

    # -- children ----------------------------------------------------------------------------------

    def _hire(self, crew: SerialChildGroup | AsyncChildGroup, now: float) -> None:
        """Ask for children until there are as many as wanted."""
        staying = sum(not (seat.is_retiring or seat.quit_because) for seat in crew.seats)
        while self._forker is not None and staying < crew.wanted and now >= crew.not_before:
            try:
                line = ChildChannel()
            except OSError as error:
                log.error("cannot start a child: %s", error)
                crew.not_before = now + 1.0
                return
            serial = next(self._serials)
            seat: Seat
            if isinstance(crew, SerialChildGroup):
                seat = SerialChildHandle(serial, line, self._manifest, now)
                crew.seats.append(seat)
            else:
                seat = AsyncChildHandle(serial, line, self._manifest, now, slots=self._slots)
                crew.seats.append(seat)
            self._forker.request(seat.kind, serial, line.child_ends)
            line.handed_over()
            self._selector.register(line.results, selectors.EVENT_READ, seat)
            staying += 1

    def _retire(self, forker: ForkServerClient) -> None:
        self._retired[forker] = {seat.serial for seat in self._seats()}
        self._selector.register(forker.control, selectors.EVENT_READ, forker)
        now = time.monotonic()
        for crew in self._crews():
            for seat in crew.seats:
                seat.is_retiring = True
                if isinstance(seat, SerialChildHandle):
                    crew.backlog.put_back(seat.take_back(), now)

    def _bury(self, seat: Seat, harvest: RoundResults, now: float) -> None:
        """A child is gone: settle what it ran, hand on what it had not started."""
        crew = self._crew_of(seat)
        ran, unstarted = seat.leftovers()
        if self._is_watched(seat.line.jobs):
            self._selector.unregister(seat.line.jobs)
        seat.line.close()
        crew.seats.remove(seat)  # type: ignore[arg-type]
        if self._is_draining:
            for held in unstarted:
                harvest.add(held, Released())
        else:
            crew.backlog.put_back(unstarted, now)
        for held in ran:
            harvest.add(held, end_of(seat, held.job))
        self._let_go(seat)
        if seat.doom is None and seat.quit_because is None and not seat.is_retiring:
            self._mourn(seat, crew, ran, now)

    def _mourn(self, seat: Seat, crew: ChildGroup, ran: Sequence[HeldJob], now: float) -> None:
        """Say that a child died; do not fork like mad if they all die young."""
        jobs = ",".join(held.job.id.hex() for held in ran)
        named = facts(pid=seat.pid, status=seat.status, jobs=jobs or "none")
        log.warning("child died", extra=named)
        if not ran and now - seat.born < _QUICK:
            crew.quick_deaths += 1
            crew.not_before = now + min(0.1 * 2**crew.quick_deaths, 5.0)

    def _let_go(self, seat: Seat) -> None:
        """Close an old fork server when its last child has ended."""
        for forker, serials in list(self._retired.items()):
            serials.discard(seat.serial)
            if not serials:
                del self._retired[forker]
                self._selector.unregister(forker.control)
                forker.close()

    def _enforce_times(self, seat: Seat, now: float) -> None:
        """Hard timeouts, and cancelled bodies whose grace is over."""
        if seat.doom is not None:
            return
        found = seat.next_timeout()
        if found is not None and found[0] <= now:
            _, held, timeout = found
            if not (isinstance(seat, AsyncChildHandle) and seat.time_out(held, now)):
                named = facts(pid=seat.pid, timeout=timeout)
                log.warning("hard timeout, child is killed", extra=named)
                self._kill(seat, KillReason("timeout", held.job.id, timeout))
                return
        if any(ends <= now for ends in seat.grace_ends.values()):
            log.warning("cancelled job did not end, child is killed", extra=facts(pid=seat.pid))
            self._kill(seat, KillReason("cancel"))

    def _kill(self, seat: Seat, doom: KillReason | None = None) -> None:
        if doom is not None and seat.doom is None:
            seat.doom = doom
            seat.grace_ends.clear()
        if seat.pid is not None and not seat.has_exited:
            try:
                os.kill(seat.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    # -- jobs --------------------------------------------------------------------------------------

    def _release_unstarted(self) -> None:
        harvest = RoundResults()
        for crew in self._crews():
            for seat in crew.seats:
                if isinstance(seat, SerialChildHandle):
                    for held in seat.take_back():
                        harvest.add(held, Released())
            for held in crew.backlog.take_all():
                harvest.add(held, Released())
        self._bring_in(harvest)

    def _cancel_unstarted(self, job_id: bytes, harvest: RoundResults, now: float) -> None:
        """Give the job back if it waits in the backlog or in a child: settling ends it then."""
        for crew in self._crews():
            for seat in crew.seats:
                if isinstance(seat, SerialChildHandle) and any(
                    h.job.id == job_id for h in seat.held()
                ):
                    crew.backlog.put_back(seat.take_back(), now)
            waiting = crew.backlog.take_all()
            for held in waiting:
                if held.job.id == job_id:
                    harvest.add(held, Released())
            crew.backlog.put_back([held for held in waiting if held.job.id != job_id], now)

    def _interrupt(self, seat: Seat, job_id: bytes) -> None:
        if isinstance(seat, AsyncChildHandle):
            seat.stop(job_id, "cancel")
        elif seat.pid is not None and not seat.has_exited:
            try:
                os.kill(seat.pid, CANCEL_SIGNAL)
            except ProcessLookupError:
                pass

    # -- small things ------------------------------------------------------------------------------

    def _crews(self) -> tuple[SerialChildGroup, AsyncChildGroup]:
        return self.serial, self.loop

    def _crew_of(self, seat: Seat) -> SerialChildGroup | AsyncChildGroup:
        return self.serial if isinstance(seat, SerialChildHandle) else self.loop

    def _seats(self) -> Iterator[Seat]:
        yield from self.serial.seats
        yield from self.loop.seats

    def _watch_writing(self, seat: Seat) -> None:
        """Have the selector tell when a clogged pipe takes more."""
        fd = seat.line.jobs
        watched = self._is_watched(fd)
        if seat.line.is_clogged and not watched:
            self._selector.register(fd, selectors.EVENT_WRITE, seat)
        elif watched and not seat.line.is_clogged:
            self._selector.unregister(fd)

    def _is_watched(self, fd: int) -> bool:
        return fd >= 0 and fd in self._selector.get_map()

    def _wake(self) -> None:
        try:
            os.write(self._wake_out, b"w")
        except BlockingIOError:
            pass

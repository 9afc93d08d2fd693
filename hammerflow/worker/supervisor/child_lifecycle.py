"""Starts children, kills those that run for too long, and settles what the dead leave behind."""

from __future__ import annotations

import itertools
import logging
import math
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from hammerflow.worker.logs import facts
from hammerflow.worker.processes import has_ended, kill_group
from hammerflow.worker.protocol import EXITED, FORKED
from hammerflow.worker.run_options import TaskCatalog
from hammerflow.worker.supervisor.child_channel import ChildChannel
from hammerflow.worker.supervisor.child_group import Group, Handle
from hammerflow.worker.supervisor.child_handle import KillReason
from hammerflow.worker.supervisor.event_loop import EventLoop
from hammerflow.worker.supervisor.fork_server_client import ForkServerClient
from hammerflow.worker.supervisor.job_log import JobLog
from hammerflow.worker.supervisor.round_results import HeldJob, RoundResults

__all__ = ["ChildLifecycle"]

log = logging.getLogger("hammerflow.pool")

#: Seconds to wait for the exit of a child that has closed its results, or for the end of the
#: results of one that has exited.
_STATUS_WAIT = 1.0
_ORPHAN_POLL = 0.02
#: Seconds between two questions to a child what it runs.
_ASK_INTERVAL = 1.0
#: A child that dies within this many seconds without having run a job delays the next fork.
_QUICK_DEATH = 1.0
_FORK_RETRY = 1.0
_MOST_FORK_DELAY = 5.0


@dataclass(eq=False)
class ChildLifecycle:
    """The children of all groups, and the fork servers that they come from.

    Callers hold the pool's lock.

    Attributes:
        wanted: how many children of each kind that the app's tasks need.
    """

    groups: Sequence[Group]
    event_loop: EventLoop
    job_log: JobLog
    wanted: int
    on_fork_server_lost: Callable[[], None]
    catalog: TaskCatalog = field(default_factory=lambda: TaskCatalog([]))
    _fork_server: ForkServerClient | None = None
    # The living children of each fork server. An old one is kept until its last child has ended:
    # a child dies with its parent.
    _serials_of: dict[ForkServerClient, set[int]] = field(default_factory=dict)
    _orphans_at: float = 0.0  # when to look again whether they have ended
    _ask_at: float = 0.0
    _serials: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def all(self) -> Iterator[tuple[Group, Handle]]:
        """Every child and its group; the groups may change meanwhile."""
        for group in self.groups:
            for child in [*group.children]:
                yield group, child

    def use_fork_server(self, client: ForkServerClient, catalog: TaskCatalog) -> None:
        """Take children from this fork server from now on. Older children end when they are free;
        what they have not started goes to the new ones."""
        if self._fork_server is not None:
            now = time.monotonic()
            for group in self.groups:
                group.take_back(now)
            self.retire_all()
        self._fork_server, self.catalog = client, catalog
        self._serials_of[client] = set()
        self.event_loop.watch_reading(client.control, partial(self._read_fork_server, client))
        for group in self.groups:
            group.task_ids = catalog.ids(is_async=group.is_async)
            group.wanted = self.wanted if group.task_ids else 0
            group.not_before = 0.0
            group.has_room.notify_all()

    def close(self) -> None:
        """Close all fork servers; children that still live die with them."""
        for client in self._serials_of:
            client.close()

    def _read_fork_server(
        self, client: ForkServerClient, results: RoundResults, now: float
    ) -> None:
        for message in client.messages():
            for _, child in self.all():
                if message[0] == FORKED and child.serial == message[1]:
                    child.pid = message[2]
                    log.debug("child started", extra=facts(child=child.pid))
                    if child.kill_reason is not None:  # decided before its pid was known
                        child.kill()
                elif message[0] == EXITED and child.pid == message[1] and not child.exited_at:
                    child.status, child.exited_at = message[2], now
        if client.is_lost:
            if client is self._fork_server:
                self._fork_server = None
                log.error("the fork server died", extra=facts(pid=client.pid))
                self.on_fork_server_lost()
            for _, child in self.all():
                child.is_orphaned |= child.serial in self._serials_of[client]
            self._close_fork_server(client)

    def _close_fork_server(self, client: ForkServerClient) -> None:
        del self._serials_of[client]
        self.event_loop.forget_reading(client.control)
        client.close()

    def start_missing(self, group: Group, now: float) -> None:
        """Request children until the group has as many as it should."""
        staying = sum(not (child.is_retiring or child.quit_reason) for child in group.children)
        while self._fork_server is not None and staying < group.wanted and now >= group.not_before:
            try:
                channel = ChildChannel()
            except OSError as error:
                log.error("cannot start a child: %s", error)
                group.not_before = now + _FORK_RETRY
                return
            child = group.add(next(self._serials), channel, self.catalog, now)
            self._serials_of[self._fork_server].add(child.serial)
            self._fork_server.request(child.kind, child.serial, channel.child_ends)
            channel.handed_over()
            self.event_loop.watch_reading(channel.results, partial(self._read_child, group, child))
            staying += 1

    def check_all(self, results: RoundResults, now: float) -> None:
        """Reap the dead, enforce timeouts, and end children that are free and leave."""
        for group, child in self.all():
            if child.is_orphaned and child.pid is not None and child.exited_at is None:
                self._check_orphan(child, now)
            has_exited = child.exited_at is not None and child.exited_at <= now - _STATUS_WAIT
            if has_exited and child.eof_at is None:  # a process that a body forked holds our pipe
                self._end_of_results(child, now)
            if child.eof_at is not None:
                if child.exited_at is not None or now >= child.eof_at + _STATUS_WAIT:
                    self._end_child(group, child, results, now)
                continue
            self._enforce_timeouts(child, now)
            if (child.is_retiring or child.quit_reason) and not child.is_busy:
                self.event_loop.forget_writing(child.channel.jobs)
                child.channel.close_jobs()

    def ask_all(self, now: float) -> None:
        """Ask the children what they run, if that is due: one that has lost a job says nothing."""
        if now >= self._ask_at:
            self._ask_at = now + _ASK_INTERVAL
            for _, child in self.all():
                if child.can_be_asked:
                    child.ask()

    def wake_times(self) -> Iterator[float]:
        """When :meth:`check_all` has something to do that no message announces."""
        for _, child in self.all():
            if child.is_orphaned and child.pid is not None and child.exited_at is None:
                yield self._orphans_at
            elif child.eof_at is not None:
                yield child.eof_at + _STATUS_WAIT if not child.is_killed else math.inf
            elif child.exited_at is not None:
                yield child.exited_at + _STATUS_WAIT
            elif child.kill_reason is None and (deadline := child.next_deadline()) is not None:
                yield deadline.at
            if not child.is_killed:
                yield from child.kill_at.values()

    def _read_child(self, group: Group, child: Handle, results: RoundResults, now: float) -> None:
        try:
            messages = child.channel.messages()
            if messages is None:
                self._end_of_results(child, now)
                return
            child.receive(messages, results, group.prefetch, now)
        except Exception:  # a border: a body may have written into our pipe
            fields = facts(child=child.pid, running=len(child.running()))
            log.exception("killing child %s: invalid message on its pipe", child.pid, extra=fields)
            child.kill()  # without a reason: what it ran counts as lost
        if child.dropped:
            self._drop(child, results, now)
        if child.jobs_ended:
            group.quick_deaths = 0

    def _drop(self, child: Handle, results: RoundResults, now: float) -> None:
        """Settle jobs that a living child has dropped, whatever the reason: nothing runs them."""
        jobs = ",".join(str(uuid.UUID(bytes=held.job.id)) for held in child.dropped)
        log.error("child %s has dropped jobs: they are lost", child.pid, extra=facts(jobs=jobs))
        child.drop(results, now)
        child.dropped = []

    def _end_of_results(self, child: Handle, now: float) -> None:
        """The child has closed its results, or will send nothing more."""
        child.eof_at = now
        self.event_loop.forget_reading(child.channel.results)

    def retire_all(self) -> None:
        """Let every child end once it is free."""
        for _, child in self.all():
            child.is_retiring = True

    def kill_all(self, why: str) -> None:
        """Kill every child; the jobs that they run are released uncharged."""
        for _, child in self.all():
            self.kill(child, KillReason(why))

    def kill(self, child: Handle, reason: KillReason, held: HeldJob | None = None) -> None:
        """Kill a child, because of this job if one is given."""
        if child.pid is not None and child.kill_reason is None and child.exited_at is None:
            job = self.job_log.fields(held.job, child.catalog) if held else {}
            fields = facts(child=child.pid, running=len(child.running()), **job)
            log.warning("killing child %s: %s", child.pid, reason.why, extra=fields)
        child.kill(reason)

    def _check_orphan(self, child: Handle, now: float) -> None:
        """The kernel kills a child whose fork server has died, but nobody reports its exit."""
        child.kill()
        self._orphans_at = now + _ORPHAN_POLL
        if child.pid is not None and has_ended(child.pid):
            child.exited_at = now

    def _end_child(self, group: Group, child: Handle, results: RoundResults, now: float) -> None:
        """Reap a child that has closed its results, but only once its process has ended.

        A body may have closed all descriptors and work on. If its jobs were given away now, they
        would run twice at the same time.
        """
        if child.exited_at is not None or child.pid is None:  # None: it could not be forked
            self._reap(group, child, results, now)
        elif not child.is_killed:
            fields = facts(child=child.pid, running=len(child.running()))
            log.warning("killing child %s: its pipes are closed", child.pid, extra=fields)
            child.is_mute = True
            child.kill()

    def _reap(self, group: Group, child: Handle, results: RoundResults, now: float) -> None:
        """Settle what a dead child ran, and put back what it had not started.

        Only here, after the end of its results: an outcome that it wrote just before it died must
        be read first, or a job that completed would be settled as lost. What it had not started is
        known by the tokens that are left, and nobody else can read those any more.
        """
        unstarted, ran = child.take_back(), child.held()
        if child.pid is not None and (ran or not child.is_expected_to_end):
            kill_group(child.pid)  # what the body has started, and would start again
        self.event_loop.forget_writing(child.channel.jobs)
        child.channel.close()
        group.remove(child)
        group.backlog.put_back(unstarted, now)
        for held in ran:
            outcome = child.outcome_after_death(held.job)
            results.add(held, outcome, child.pid, child.seconds_of(held.job, now))
        for client, serials in [*self._serials_of.items()]:
            serials.discard(child.serial)
            if not serials and client is not self._fork_server:
                self._close_fork_server(client)
        if not child.is_expected_to_end:
            self._log_death(child, group, ran, now)

    def _log_death(self, child: Handle, group: Group, ran: Sequence[HeldJob], now: float) -> None:
        """Log an unexpected end. Children that die young, one after another, are forked slower and
        slower: a child that cannot even start must not keep the machine busy with forking."""
        jobs = ",".join(str(uuid.UUID(bytes=held.job.id)) for held in ran) or "none"
        log.warning("child died", extra=facts(child=child.pid, status=child.status, jobs=jobs))
        if not ran and now - child.started_at < _QUICK_DEATH:
            group.quick_deaths += 1
            group.not_before = now + min(0.1 * 2**group.quick_deaths, _MOST_FORK_DELAY)

    def _enforce_timeouts(self, child: Handle, now: float) -> None:
        """Kill for hard timeouts, and for cancelled bodies that did not stop in their grace."""
        if child.kill_reason is not None:
            return
        deadline = child.next_deadline()
        if deadline is not None and deadline.at <= now:
            _, late, timeout = deadline
            if not child.ask_to_stop(late, now):
                why = f"its job exceeded the timeout of {timeout:g} s"
                self.kill(child, KillReason(why, late.job.id, timeout), late)
                return
        if any(at <= now for at in child.kill_at.values()):
            held = next((held for held in child.running() if held.job.id in child.kill_at), None)
            self.kill(child, KillReason("its cancelled job did not stop in time"), held)

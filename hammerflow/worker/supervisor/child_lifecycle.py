"""Starts children, kills those that run for too long, and settles what the dead leave behind."""

from __future__ import annotations

import itertools
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hammerflow.worker.failures import hard_timeout, how_it_ended
from hammerflow.worker.limits import why_refused
from hammerflow.worker.logs import facts
from hammerflow.worker.processes import exit_status, has_ended, kill_group
from hammerflow.worker.protocol import EXITED, FORKED, NOT_FORKED
from hammerflow.worker.run_options import TaskCatalog
from hammerflow.worker.supervisor.child_channel import ChildChannel
from hammerflow.worker.supervisor.child_group import Group, Handle
from hammerflow.worker.supervisor.child_handle import KillReason
from hammerflow.worker.supervisor.event_loop import EventLoop
from hammerflow.worker.supervisor.fork_server_client import ForkServerClient
from hammerflow.worker.supervisor.job_log import JobLog
from hammerflow.worker.supervisor.limit_watch import LimitWatch
from hammerflow.worker.supervisor.round_results import HeldJob, RoundResults
from hammerflow.worker.supervisor.serial_handle import STALLED

__all__ = ["ChildLifecycle"]

log = logging.getLogger("hammerflow.pool")

#: Seconds to wait for the exit of a child that has closed its results, or for the end of the
#: results of one that has exited.
_STATUS_WAIT = 1.0
#: Seconds between two searches for processes that have ended though nobody reports it: those that
#: soon will, and those that only may.
_SOON_POLL, _SLOW_POLL = 0.02, 0.5
#: Seconds that a child has to say hello, and that a fork server has to end.
_HELLO_WAIT = 30.0
_END_WAIT = 2.0
#: Seconds between two questions to a child what it runs.
_ASK_INTERVAL = 1.0
#: A child that dies within this many seconds without having run a job delays the next fork.
_QUICK_DEATH = 1.0
_MOST_FORK_DELAY = 5.0
_MOST_REFUSAL_DELAY = 30.0


@dataclass(eq=False)
class ChildLifecycle:
    """The children of all groups, and the fork servers that they come from.

    Callers hold the pool's lock.

    Attributes:
        wanted: how many children, at least, of each kind that the app's tasks need.
    """

    groups: Sequence[Group]
    event_loop: EventLoop
    job_log: JobLog
    wanted: int
    on_fork_server_lost: Callable[[str], None]
    limit_watch: LimitWatch
    catalog: TaskCatalog = field(default_factory=lambda: TaskCatalog([]))
    _fork_server: ForkServerClient | None = None
    # The living children of each fork server. An old one is kept until its last child has ended:
    # a child dies with its parent.
    _serials_of: dict[ForkServerClient, set[int]] = field(default_factory=dict)
    # Those that do not answer. Their children work on; they end with the last of them.
    _stopped: set[ForkServerClient] = field(default_factory=set)
    # Those that should end now, and when they are killed for it.
    _ending: dict[ForkServerClient, float] = field(default_factory=dict)
    _poll_at: float | None = None  # when to look for ends that nobody reports
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
        now = time.monotonic()
        for group in self.groups:
            group.take_back(now)
        self.retire_all()
        self._fork_server, self.catalog = client, catalog
        self._serials_of[client] = set()
        self.event_loop.watch_reading(client.control, partial(self._read_fork_server, client))
        for group in self.groups:
            group.task_ids = catalog.ids(is_async=group.is_async, alone=group.runs_alone)
            group.wanted = max(group.wanted, self.wanted) if group.task_ids else 0
            group.not_before, group.refusals = 0.0, 0
            group.has_room.notify_all()

    @property
    def are_complete(self) -> bool:
        """Whether each group has as many children as it should."""
        ready = ((sum(c.is_ready for c in group.children), group.wanted) for group in self.groups)
        return all(count >= wanted for count, wanted in ready)

    @property
    def has_fork_server(self) -> bool:
        """Whether children can be forked."""
        return self._fork_server is not None

    @property
    def retired_fork_servers(self) -> int:
        """How many old fork servers still have children."""
        return len(self._serials_of.keys() - {self._fork_server})

    def close(self) -> None:
        """Close all fork servers; children that still live die with them."""
        clients = {*self._serials_of, *self._ending}
        for client in clients:
            client.begin_end()
        for client in clients:
            if client in self._stopped:
                client.kill()
            client.close()

    def _read_fork_server(
        self, client: ForkServerClient, results: RoundResults, now: float
    ) -> None:
        for message in client.messages():
            match message:
                case [kind, pid, status] if kind == EXITED:
                    for _, child in self.all():
                        if child.pid == pid and child.exited_at is None:
                            child.status, child.exited_at = status, now
                case [_, serial, _]:
                    client.note_answer(serial, now)
                    for group, child in self.all():
                        if child.serial == serial:
                            self._note_answer(group, child, message, now)
        if client.is_lost:
            if client is self._fork_server:
                self._fork_server = None
                self.on_fork_server_lost("the fork server died")
            for _, child in self.all():
                child.is_orphaned |= child.serial in self._serials_of[client]
            self._end_fork_server(client, now)

    def _note_answer(self, group: Group, child: Handle, answer: list[Any], now: float) -> None:
        if answer[0] == FORKED:
            child.learn_pid(answer[2])
            log.debug("child started", extra=facts(child=child.pid))
        elif answer[0] == NOT_FORKED:
            self._discard(group, child)
            self._pause(group, answer[2], now)

    def _end_fork_server(self, client: ForkServerClient, now: float) -> None:
        del self._serials_of[client]
        self.event_loop.forget_reading(client.control)
        client.begin_end()
        if client in self._stopped:
            self._stopped.discard(client)
            client.kill()
        self._ending[client] = now + _END_WAIT

    def _give_up(self, client: ForkServerClient, now: float) -> None:
        """Do without a fork server that does not answer. It is not killed: its children, which do
        their work as before, would die with it."""
        log.error(
            "the fork server %d does not answer; another one takes its place", client.pid,
            extra=facts(pid=client.pid),
        )  # fmt: skip
        self._fork_server = None
        self._stopped.add(client)
        for group, child in self.all():
            if child.serial in self._serials_of[client]:
                child.is_unreported = True
                if not child.is_ready:
                    self._discard(group, child)
        self.on_fork_server_lost("the fork server did not answer")

    def start_missing(self, group: Group, now: float) -> None:
        """Request children until the group has as many as it should, or the fork server has enough
        to do: further ones follow its answers. End those that were for suspects only."""
        missing, client = group.missing, self._fork_server
        if missing < 0:
            group.retire_surplus(now)
        while client is not None and missing > 0 and now >= group.not_before:
            try:
                if not client.may_be_asked or not self._request(client, group, now):
                    return
            except (OSError, MemoryError) as error:
                self._pause(group, why_refused(error), now)
                return
            missing -= 1

    def _request(self, client: ForkServerClient, group: Group, now: float) -> bool:
        """Request one child; False if the fork server takes no request now."""
        channel = ChildChannel()
        child, is_asked = group.add(next(self._serials), channel, self.catalog, now), False
        try:
            self.event_loop.watch_reading(channel.results, partial(self._read_child, group, child))
            is_asked = client.request(group.kind, child.serial, channel.child_ends)
        finally:
            channel.handed_over()
            if is_asked:
                self._serials_of[client].add(child.serial)
            else:
                self._discard(group, child)
        return is_asked

    def _discard(self, group: Group, child: Handle) -> None:
        """Forget a child that has got no job; should it come to life, it finds its pipes closed."""
        child.eof_at = child.started_at  # what arrives in this round is not read any more
        self.event_loop.forget_reading(child.channel.results)
        child.channel.close()
        group.remove(child)
        for serials in self._serials_of.values():
            serials.discard(child.serial)

    def _pause(self, group: Group, why: str, now: float) -> None:
        """Fork no child for a while, and longer each time in a row."""
        seconds = min(2.0**group.refusals, _MOST_REFUSAL_DELAY)
        group.refusals += 1
        group.not_before = now + seconds
        log.error("cannot start a child: %s; the next try is in %g s", why, seconds)

    def check_all(self, results: RoundResults, now: float) -> None:
        """Reap the dead, enforce timeouts, and end children that are free and leave."""
        if self._poll_at is not None and now >= self._poll_at:
            self._look_for_ends(now)
        for group, child in self.all():
            has_exited = child.exited_at is not None and child.exited_at <= now - _STATUS_WAIT
            if has_exited and child.eof_at is None:  # a process that a body forked holds our pipe
                self._end_of_results(child, now)
            if child.eof_at is not None:
                if child.exited_at is not None or now >= child.eof_at + _STATUS_WAIT:
                    self._end_child(group, child, results, now)
                continue
            self._enforce_timeouts(group, child, now)
            child.is_retiring |= child.is_isolated and not child.is_busy
            if (child.is_retiring or child.quit_reason) and not child.is_busy:
                self.event_loop.forget_writing(child.channel.jobs)
                child.channel.close_jobs()
        client = self._fork_server
        if client is not None and (due := client.answer_due) is not None and now >= due:
            self._give_up(client, now)
        for client, serials in [*self._serials_of.items()]:
            if not serials and client is not self._fork_server:
                self._end_fork_server(client, now)
        self._plan_poll(now)

    def _look_for_ends(self, now: float) -> None:
        """Notice the ends of processes that nobody reports."""
        for _, child in self.all():
            if _is_unreported(child, now) and child.pid is not None and child.exited_at is None:
                if child.is_orphaned and not child.is_killed:
                    child.kill()
                if has_ended(child.pid):
                    child.status, child.exited_at = exit_status(child.pid), now
        for client, kill_at in [*self._ending.items()]:
            if client.has_ended():
                del self._ending[client]
                if client.is_lost:
                    how = how_it_ended(client.status)
                    log.error("the fork server died: it %s", how, extra=facts(pid=client.pid))
            elif now >= kill_at:
                client.kill()
                self._ending[client] = now + _END_WAIT

    def _plan_poll(self, now: float) -> None:
        polled = [c for _, c in self.all() if c.exited_at is None and _is_unreported(c, now)]
        is_soon = bool(self._ending) or any(c.is_orphaned or c.eof_at is not None for c in polled)
        if not polled and not is_soon:
            self._poll_at = None
        elif self._poll_at is None or now >= self._poll_at:
            self._poll_at = now + (_SOON_POLL if is_soon else _SLOW_POLL)

    def ask_all(self, now: float) -> None:
        """Ask the children what they run, if that is due: one that has lost a job says nothing."""
        if now >= self._ask_at:
            self._ask_at = now + _ASK_INTERVAL
            for _, child in self.all():
                if child.can_be_asked:
                    child.ask()

    def wake_times(self) -> Iterator[float]:
        """When :meth:`check_all` has something to do that no message announces."""
        if self._poll_at is not None:
            yield self._poll_at
        if self._fork_server is not None and (due := self._fork_server.answer_due) is not None:
            yield due
        for _, child in self.all():
            if child.eof_at is not None:
                if not child.is_killed:
                    yield child.eof_at + _STATUS_WAIT
            elif child.exited_at is not None:
                yield child.exited_at + _STATUS_WAIT
            elif not child.is_ready:
                yield child.started_at + _HELLO_WAIT
            elif child.kill_reason is None:
                yield child.stalls_at
                if (deadline := child.next_deadline()) is not None:
                    yield deadline.at
            if not child.is_killed:
                yield from child.kill_at.values()

    def _read_child(self, group: Group, child: Handle, results: RoundResults, now: float) -> None:
        if child.eof_at is not None:
            return
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
        if child.limited is not None:
            self.limit_watch.wake()
        if child.jobs_ended:
            group.quick_deaths = 0
        if child.is_ready:
            group.refusals = 0

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

    def _end_child(self, group: Group, child: Handle, results: RoundResults, now: float) -> None:
        """Reap a child that has closed its results, but only once its process has ended.

        A body may have closed all descriptors and work on. If its jobs were given away now, they
        would run twice at the same time.
        """
        if child.pid is not None and child.exited_at is None and has_ended(child.pid):
            child.status, child.exited_at = exit_status(child.pid), now  # a stopped fork server
        if child.exited_at is not None or child.pid is None:  # None: it died before it said so
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
        group.put_back(unstarted, now)
        for held in ran:
            outcome = child.outcome_after_death(held.job, len(ran) - 1)
            child.keep_log(held.job, outcome, results)
            results.add(held, outcome, child.pid, child.seconds_of(held.job, now))
        for serials in self._serials_of.values():
            serials.discard(child.serial)
        if not child.is_expected_to_end:
            self._log_death(child, group, ran, now)

    def _log_death(self, child: Handle, group: Group, ran: Sequence[HeldJob], now: float) -> None:
        """Log an unexpected end. Children that die young, one after another, are forked slower and
        slower: a child that cannot even start must not keep the machine busy with forking."""
        jobs = ",".join(str(uuid.UUID(bytes=held.job.id)) for held in ran) or "none"
        log.warning("child died", extra=facts(child=child.pid, status=child.status, jobs=jobs))
        if not ran and (not child.is_ready or now - child.started_at < _QUICK_DEATH):
            group.quick_deaths += 1
            group.not_before = now + min(0.1 * 2**group.quick_deaths, _MOST_FORK_DELAY)

    def _enforce_timeouts(self, group: Group, child: Handle, now: float) -> None:
        """Kill for hard timeouts, for cancelled bodies that did not stop in their grace, and where
        no hello came or no job is begun."""
        if child.kill_reason is not None:
            return
        if not child.is_ready and now >= child.started_at + _HELLO_WAIT:
            self.kill(child, KillReason(f"it was not ready after {_HELLO_WAIT:g} s"))
            self._pause(group, "a child hangs at its start, in a hook of os.register_at_fork?", now)
            return
        if child.is_stalled(now):
            self.kill(child, KillReason(f"it did not begin its job within {STALLED:g} s"))
            return
        deadline = child.next_deadline()
        if deadline is not None and deadline.at <= now:
            _, late, timeout = deadline
            if not child.ask_to_stop(late, now):
                why = f"its job exceeded the timeout of {timeout:g} s"
                self.kill(child, KillReason(why, late.job.id, hard_timeout(timeout)), late)
                return
        if any(at <= now for at in child.kill_at.values()):
            held = next((held for held in child.running() if held.job.id in child.kill_at), None)
            self.kill(child, KillReason("its cancelled job did not stop in time"), held)


def _is_unreported(child: Handle, now: float) -> bool:
    """Whether nobody reports the exit of a child, or should have done so by now."""
    is_late = child.eof_at is not None and now >= child.eof_at + _STATUS_WAIT
    return child.pid is not None and (child.is_orphaned or child.is_unreported or is_late)

"""All parts of a worker but its process: store, doorbell, pool, claims, and services."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from hammerflow.errors import StoreUnavailable
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import Outcome
from hammerflow.jobs.settlement import Settlement
from hammerflow.notifiers import Listener, open_notifier
from hammerflow.services.base import Service
from hammerflow.services.cancellation_poller import CancellationPoller
from hammerflow.services.database_status import DatabaseStatus
from hammerflow.services.heartbeat import Heartbeat
from hammerflow.services.lease_clock import LeaseClock, now
from hammerflow.services.lease_reconciler import LeaseReconciler
from hammerflow.services.progress_writer import DELAY, ProgressWriter
from hammerflow.services.promoter import Promoter
from hammerflow.services.pruner import Pruner
from hammerflow.services.queue_poller import QueuePoller
from hammerflow.services.registrar import Registrar
from hammerflow.services.request_poller import RequestPoller
from hammerflow.services.rescuer import Rescuer
from hammerflow.services.result_expirer import ResultExpirer
from hammerflow.services.runner import ServiceRunner
from hammerflow.services.scheduler import Scheduler
from hammerflow.services.statistician import Statistician
from hammerflow.services.workflow_maintenance import WorkflowMaintenance
from hammerflow.stores.diagnosis.diagnostics import Diagnostics
from hammerflow.stores.store import Store
from hammerflow.worker.options import WorkerOptions
from hammerflow.worker.supervisor.body_stacks import stack_of
from hammerflow.worker.supervisor.burst import Left, what_is_left
from hammerflow.worker.supervisor.child_count import ChildCount
from hammerflow.worker.supervisor.child_group import Group
from hammerflow.worker.supervisor.claimer import Claimer
from hammerflow.worker.supervisor.description import WorkerDescription
from hammerflow.worker.supervisor.fork_server_client import ForkServerClient, Greeting
from hammerflow.worker.supervisor.health import complaints_of
from hammerflow.worker.supervisor.log_tails import TAIL_DELAY, LogTails
from hammerflow.worker.supervisor.metrics import WorkerMetrics
from hammerflow.worker.supervisor.pool import Pool
from hammerflow.worker.supervisor.queue_caps import QueueCaps, caps_of
from hammerflow.worker.supervisor.queue_order import QueueOrder
from hammerflow.worker.supervisor.relay_process import WorkerRelay
from hammerflow.worker.supervisor.settler import Settler

__all__ = ["Runtime"]

log = logging.getLogger("hammerflow.worker")

#: Seconds that the first children have to start before the worker reports that it has started.
_START_WAIT = 2.0
_KILL_WAIT = 5.0
_LAST_WRITES = 5.0


class Runtime:
    """Wires the parts of a worker together and passes on what one of them reports to the others.

    Args:
        store: checked, and closed by :meth:`stop`.
        lease_clock: tells the children until when the leases are held.
        on_fork_server_lost: called with the reason when there is no fork server any more; see
            :meth:`use_fork_server`.
        on_stop_asked: called when a person has asked in the database that this worker stops; with
            their name.
    """

    def __init__(
        self,
        options: WorkerOptions,
        greeting: Greeting,
        store: Store,
        lease_clock: LeaseClock,
        *,
        on_fork_server_lost: Callable[[str], None],
        on_stop_asked: Callable[[str], None],
        metrics: WorkerMetrics | None = None,
    ) -> None:
        self._options = options
        self._settings = greeting.settings
        self._greeting = greeting  # of the code that runs now; a reload replaces it
        self._poll = options.poll if options.poll is not None else self._settings.poll
        self._is_isolated = False
        self._child_count = ChildCount(options.child_range)
        self._listener: Listener | None = None  # replaced when a queue appears
        self._store = store
        self._notifier = open_notifier(self._settings, connect=store.database.open_connection)
        self._queue_order = QueueOrder(options.weights)
        self._queue_order.add({"default", *greeting.catalog.queues})
        self._description = WorkerDescription(
            options, greeting, store, self._queue_order, self._child_count
        )
        self._database_status = DatabaseStatus(self._store.database)
        self._metrics = metrics
        self._counters = None if metrics is None else metrics.counters
        self._progress = self._new_progress_writer()
        self._settler = self._new_settler()
        self.pool = self._new_pool(on_fork_server_lost)
        self._log_tails = LogTails(self._store, self.pool.take_tails)
        self._heartbeat = self._new_heartbeat(lease_clock)
        self._registrar = self._new_registrar()
        self._claimers = self._new_claimers()
        self._promoter = Promoter(self._store, poll=self._poll, on_ready=self._on_ready)
        self._scheduler = self._new_scheduler()
        self._cancellation_poller = self._new_cancellation_poller()
        self._request_poller = self._new_request_poller(on_stop_asked)
        self._queue_poller = self._new_queue_poller()
        status = self._database_status
        self._heartbeat_runner = ServiceRunner("heartbeat", [self._heartbeat], status, probes=True)
        self._promoter_runner = ServiceRunner("promoter", [self._scheduler, self._promoter], status)
        self._pruner_runner = self._new_pruner_runner()
        self._relay = WorkerRelay(store, options, greeting, status, self._notifier)
        self._housekeeping = self._new_housekeeping()
        self._database_status.on_down = lambda: self._heartbeat_runner.wake(self._heartbeat)
        self._database_status.on_up = self._on_database_back

    def _new_progress_writer(self) -> ProgressWriter:
        return ProgressWriter(
            self._store, on_pending=lambda: self._housekeeping.wake(self._progress, DELAY)
        )

    def _new_settler(self) -> Settler:
        return Settler(
            self._store, database_status=self._database_status, on_settled=self._on_settled,
            on_later=lambda seconds: self._promoter_runner.wake(self._promoter, seconds),
            counters=self._counters,
        )  # fmt: skip

    def _new_registrar(self) -> Registrar:
        return Registrar(
            self._store, describe=lambda: self._description.of(self._greeting),
            is_used=self._is_used, on_ready=self._on_ready, on_registered=self._heartbeat.add,
            on_dropped=self._heartbeat.drop,
        )  # fmt: skip

    def _new_scheduler(self) -> Scheduler:
        return Scheduler(
            self._store, namespace=self._settings.namespace, poll=self._poll,
            fresh=self._settings.lease / 2, definitions=lambda: self._greeting.schedules,
            on_ready=self._on_ready, on_settled=self._on_settled,
            on_cancel=self._notifier.ring_control,
        )  # fmt: skip

    def _new_pool(self, on_fork_server_lost: Callable[[str], None]) -> Pool:
        logs_all = self._options.log_jobs or self._settings.log_jobs
        return Pool(
            self._options,
            log_level=logging.INFO if logs_all else logging.DEBUG,
            deliver=self._put_and_ring if self._options.caps else self._settler.put,
            keep_logs=self._settler.keep_logs,
            is_written=self._settler.is_written,
            on_progress=self._progress.record,
            on_lines=lambda: self._housekeeping.wake(self._log_tails, TAIL_DELAY),
            on_fork_server_lost=on_fork_server_lost,
            on_runs=None if self._counters is None else self._counters.note_runs,
        )

    def _new_heartbeat(self, lease_clock: LeaseClock) -> Heartbeat:
        return Heartbeat(
            self._store, lease_clock, lease=self._settings.lease, on_gone=self._on_row_gone,
            describe=lambda: {**self.pool.take_state(), "unready": self.complaints()},
        )  # fmt: skip

    def _new_request_poller(self, on_stop_asked: Callable[[str], None]) -> RequestPoller:
        return RequestPoller(
            self._store, worker_ids=lambda: self._heartbeat.worker_ids, stop=on_stop_asked,
            stack_of=partial(stack_of, self.pool), resize=self.pool.resize,
        )  # fmt: skip

    def _new_cancellation_poller(self) -> CancellationPoller:
        return CancellationPoller(
            self._store, worker_ids=self._working_ids, cancel=self.pool.cancel
        )

    def _new_queue_poller(self) -> QueuePoller:
        return QueuePoller(
            self._store, poll=self._poll, with_names=self._queue_order.is_open,
            on_queues=self._on_queues_seen,
        )  # fmt: skip

    def _new_claimers(self) -> list[Claimer]:
        caps = caps_of(self._options, self.pool)
        names = ("claimer", "async-claimer", "limited-async-claimer")
        return [
            self._new_claimer(name, group, caps)
            for name, group in zip(names, self.pool.groups, strict=True)
        ]

    def _new_claimer(self, name: str, group: Group, caps: QueueCaps) -> Claimer:
        return Claimer(
            self._store,
            self.pool,
            group,
            name,
            worker_id=lambda: self._registrar.worker_id or 0,
            queue_order=self._queue_order,
            caps=caps,
            database_status=self._database_status,
            is_full=lambda: (
                self._settler.is_full or self._is_isolated or self._registrar.worker_id is None
            ),
            is_quiet=lambda: self.pool.is_idle and self._settler.is_idle,
            poll=self._poll,
            burst=self._options.burst,
            rule=self._options.priority_rule(self._settings),
            counters=self._counters,
        )

    def _new_pruner_runner(self) -> ServiceRunner:
        """A thread of its own, as a page may take a second."""
        settings = self._settings
        pruner = Pruner(self._store, default=settings.retention, archive_ttl=settings.archive_ttl)
        services: list[Service] = [pruner]
        if self._settings.statistics:
            services.append(Statistician(self._store))
        if self._metrics is not None:
            services.append(self._metrics.read_cluster(self._store, self._settings.lease))
        return ServiceRunner("pruner", services, self._database_status)

    def _new_housekeeping(self) -> ServiceRunner:
        """The services that may wait for each other, in one thread."""
        store, settings = self._store, self._settings
        rescuer = Rescuer(
            store,
            interval=settings.sweep,
            lease=settings.lease,
            poison_limit=settings.poison_limit,
            queues=lambda: self._queue_order.names,
            on_ready=self._on_ready,
            may_sweep=lambda: self._heartbeat.silent_for < settings.lease / 3,
        )
        if self._counters is not None:
            rescuer.on_rescued = partial(self._counters.count, "rescued_total")
        lease_reconciler = LeaseReconciler(
            store,
            database_status=self._database_status,
            between_claims=self._between_claims,
            held=self._held,
            on_ready=self._ring_here,
        )
        upkeep = WorkflowMaintenance(store, interval=settings.sweep, on_settled=self._on_settled)
        services: list[Service] = [self._registrar, self._queue_poller, self._cancellation_poller]
        services += [rescuer, lease_reconciler, upkeep, self._progress, self._log_tails]
        services += [self._request_poller, ResultExpirer(store, interval=settings.sweep)]
        return ServiceRunner("housekeeper", services, self._database_status)

    def start(self, fork_server: ForkServerClient) -> None:
        """Register, start the threads and the first children."""
        with contextlib.suppress(StoreUnavailable):  # the housekeeper tries again
            diagnostics = Diagnostics(self._store.database)
            if warning := diagnostics.packet_warning(self._settings.max_payload):
                log.warning(warning)
            self._registrar.tick(now())
            self._queue_poller.tick(now())
            if self._options.burst:  # it runs what is due at its start
                self._scheduler.tick(now())
        self._relay.start()  # it declares sinks, before the first claim
        self.pool.use_fork_server(fork_server, self._greeting.catalog)
        self.pool.start()
        self._settler.start()
        self._heartbeat_runner.start()
        for claimer in self._claimers:
            claimer.start()
        self._listen()
        if not self._options.burst:  # else the claimers promote before each claim
            self._promoter_runner.start()
        self._housekeeping.start()
        self._pruner_runner.start()
        if self._metrics is not None:
            self._metrics.start(self.pool, self._notifier, self._database_status, self.complaints)
        self.pool.have_started.wait(_START_WAIT)
        log.info("worker started", extra=self._description.started(self._greeting))

    def use_fork_server(self, fork_server: ForkServerClient, greeting: Greeting) -> None:
        """Run the code that this fork server has imported from now on."""
        before, self._greeting = self._greeting, greeting
        has_other_schedules = greeting.schedules != before.schedules
        if greeting.catalog.names != before.catalog.names:
            self._registrar.renew()
            self._housekeeping.wake(self._registrar)
        elif has_other_schedules:
            self._registrar.tell()
            self._housekeeping.wake(self._registrar)
        if has_other_schedules:
            self._scheduler.declare()
            self._promoter_runner.wake(self._scheduler)
        self._relay.follow(greeting)
        if self._queue_order.add(greeting.catalog.queues):
            self._listen()
        self.pool.use_fork_server(fork_server, greeting.catalog)

    def check(self) -> None:
        """What the worker's main thread must look after every second."""
        self._check_heartbeat()
        self.pool.ask_children()
        if self._child_count.update(self.pool):
            self._registrar.tell()
            self._housekeeping.wake(self._registrar)

    def _check_heartbeat(self) -> None:
        """Stop all bodies when the lease is two thirds over without a heartbeat: at its end other
        workers run the same jobs.

        Not on SQLite: there a body's long transaction holds up every writer, so a heartbeat that
        waits means that nobody else can take anything over either.
        """
        lease, silent_for = self._settings.lease, self._heartbeat.silent_for
        patience = max(2.0, min(self._settings.statement_timeout, lease / 3))
        if cut := self._store.database.cut_silent(patience):
            log.error("the database does not answer: closed %d connections", cut)
        is_silent = self._store.dialect != "sqlite" and silent_for > lease * 2 / 3
        if is_silent and not self._is_isolated:
            log.error(
                "no heartbeat for %.1f s: killing all children, their jobs will run again",
                silent_for,
            )
            self._is_isolated = True
            self.pool.kill_all(f"the worker had no heartbeat for {silent_for:.1f} s")
        elif not is_silent and self._is_isolated:
            self._is_isolated = False
            self._ring_here()

    def complaints(self) -> list[str]:
        """Why it is not ready to run jobs."""
        return complaints_of(self.pool, self._claimers, self._heartbeat, self._settings.lease)

    @property
    def is_done(self) -> bool:
        """In burst mode: whether nothing runs, and nothing was ready at the last claim."""
        changes = self.pool.changes
        is_empty = all(
            not group.wanted or claimer.empty_at == changes
            for group, claimer in zip(self.pool.groups, self._claimers, strict=True)
        )
        return is_empty and self.pool.is_idle and self._settler.is_idle

    @property
    def is_written(self) -> bool:
        """Whether the outcomes of all jobs that have ended are in the database."""
        return self._settler.is_idle

    def left(self) -> Left | None:
        """What this worker has not run of its queues; None while the database is down."""
        try:
            return what_is_left(self._store, self._queue_order.names)
        except StoreUnavailable:
            return None

    def drain(self) -> None:
        """Claim no more, release what has not started, and let the rest end."""
        for claimer in self._claimers:
            claimer.stop(timeout=1.0)
        self.pool.drain()

    def stop(self, why: str) -> bool:
        """Kill what still runs, write all outcomes, sign off, and close everything.

        Args:
            why: what ends the bodies that still run, for the log.

        Returns:
            False if the database could not be reached for it: others wait for the leases to end.
        """
        self.pool.kill_all(why)
        self.pool.have_ended.wait(_KILL_WAIT)
        self.pool.stop()
        is_written = self._settler.stop(_LAST_WRITES)
        runners = self._promoter_runner, self._pruner_runner, self._housekeeping
        for runner in (*runners, self._heartbeat_runner):
            runner.stop(timeout=1.0)
        self._relay.stop()
        if self._listener is not None:
            self._listener.close()
        try:
            self._progress.tick(now())
            self._registrar.leave()
            if self._metrics is not None:
                self._metrics.leave()
        except Exception as error:
            if (unavailable := self._store.database.refusal(error)) is None:
                raise
            log.warning(
                "could not deregister; other workers take over the jobs when the lease ends: %s",
                unavailable,
            )
            is_written = False
        self._notifier.close()
        self._store.close()
        return is_written

    def _put_and_ring(self, worker_id: int, pairs: list[tuple[Claimed, Outcome]]) -> None:
        """As the settler's put, where a queue may have been at its cap until now."""
        self._settler.put(worker_id, pairs)
        self._ring_here()

    def _on_settled(self, settlement: Settlement) -> None:
        if settlement.queues:
            self._on_ready(settlement.queues)
        if settlement.ended:
            self._notifier.ring_done(settlement.ended)

    def _on_ready(self, queues: Iterable[str]) -> None:
        """These queues have new jobs: claim here, and ring for the other workers."""
        self._ring_here()
        self._notifier.ring(queues)

    def _ring_here(self) -> None:
        for claimer in self._claimers:
            claimer.ring()

    def _on_database_back(self) -> None:
        self._ring_here()
        self._promoter_runner.wake_all()
        self._housekeeping.wake_all()

    def _on_control(self) -> None:
        self._housekeeping.wake(self._cancellation_poller)
        self._housekeeping.wake(self._queue_poller)
        self._housekeeping.wake(self._request_poller)
        self._promoter_runner.wake(self._scheduler)

    def _on_queues_seen(self, paused: set[str], names: set[str]) -> None:
        is_new = self._queue_order.add(names)
        if self._queue_order.set_paused(paused) or is_new:
            self._ring_here()
        if is_new and self._listener is not None:
            self._listen()

    def _on_row_gone(self, worker_id: int) -> None:
        """Others have taken over the jobs of this registration: stop them, and register again."""
        self._registrar.forget(worker_id)
        self.pool.abandon(worker_id)
        self._registrar.renew()
        self._housekeeping.wake(self._registrar)

    def _listen(self) -> None:
        """Listen to all queues; an older listener ends last, so that no ring is missed."""
        old = self._listener
        self._listener = self._notifier.listen(
            queues=self._queue_order.names, on_work=self._ring_here, on_control=self._on_control
        )
        if old is not None:
            old.close()

    def _is_used(self, worker_id: int) -> bool:
        return worker_id in self._working_ids() or bool(self._settler.held(worker_id))

    def _working_ids(self) -> set[int]:
        return {held.worker_id for held in self.pool.held()}

    def _held(self) -> tuple[int, set[bytes]]:
        """The registration to claim under, and all that is held; called between claims.

        The pool is asked first: a job moves from the pool to the settler, never back.
        """
        worker_id = self._registrar.worker_id or 0
        ids = {held.job.id for held in self.pool.held()}
        return worker_id, ids | self._settler.held(worker_id)

    @contextlib.contextmanager
    def _between_claims(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for claimer in self._claimers:
                stack.enter_context(claimer.claiming)
            yield

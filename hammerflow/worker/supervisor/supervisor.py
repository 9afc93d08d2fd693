"""Supervisor: starts the parts of a worker, listens to signals, and drains at the end."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
import time
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from hammerflow.errors import ConfigError, HammerflowError, StoreUnavailable
from hammerflow.jobs.settlement import Settlement
from hammerflow.notifiers import Listener, Notifier, open_notifier
from hammerflow.services.cancellation_poller import CancellationPoller
from hammerflow.services.database_status import DatabaseStatus
from hammerflow.services.heartbeat import Heartbeat
from hammerflow.services.lease_clock import LeaseClock
from hammerflow.services.lease_reconciler import LeaseReconciler
from hammerflow.services.progress_writer import DELAY, ProgressWriter
from hammerflow.services.promoter import Promoter
from hammerflow.services.queue_poller import QueuePoller
from hammerflow.services.registrar import Registrar, Registration
from hammerflow.services.rescuer import Rescuer
from hammerflow.services.runner import ServiceRunner
from hammerflow.services.workflow_maintenance import WorkflowMaintenance
from hammerflow.settings import Settings, load_settings
from hammerflow.stores import open_store
from hammerflow.stores.store import Store
from hammerflow.worker.logs import configure, facts
from hammerflow.worker.options import WorkerOptions
from hammerflow.worker.processes import set_title
from hammerflow.worker.supervisor.dispatcher import Dispatcher
from hammerflow.worker.supervisor.fork_server_client import ForkServerClient, Greeting
from hammerflow.worker.supervisor.pool import Pool
from hammerflow.worker.supervisor.queue_order import QueueOrder
from hammerflow.worker.supervisor.reload import FileWatcher
from hammerflow.worker.supervisor.settler import Settler

__all__ = ["Supervisor"]

log = logging.getLogger("hammerflow.worker")

#: Threads take turns so often: latency counts here more than throughput of pure Python.
_SWITCH = 0.0005
_STAFF_WAIT = 2.0
_KILL_WAIT = 5.0
_LAST_WRITES = 5.0


class Supervisor:
    """One worker: the main thread waits for signals, everything else has threads of its own."""

    def __init__(self, options: WorkerOptions) -> None:
        self._options = options
        self._signals = Signals()
        self._forker_lost = False
        self._is_isolated = False
        self._pulse = LeaseClock()

    def run(self) -> int:
        """Work until a signal, or with ``burst`` until nothing is left to do."""
        options = self._options
        configure(options.log_format, options.log_level)
        sys.setswitchinterval(_SWITCH)
        set_title(f"worker {options.app}")
        with self._signals:
            forker = self._new_forker()
            greeting = self._greet(forker)
            if greeting is None:
                forker.close()
                return 0
            self._build(greeting)
            self._start(forker, greeting)
            self._attend()
            return self._shut_down()

    # -- building ----------------------------------------------------------------------------------

    def _new_forker(self) -> ForkServerClient:
        options = self._options
        return ForkServerClient(
            {
                "app": options.app,
                "log_format": options.log_format,
                "log_level": options.log_level,
                "max_jobs": options.max_jobs_per_child,
                "max_memory": options.max_memory_per_child,
                "async_slots": options.async_slots,
            },
            self._pulse,
        )

    def _greet(self, forker: ForkServerClient) -> Greeting | None:
        """Wait for the app, and load the database's driver meanwhile; None when told to stop."""
        _warm_up()
        try:
            return forker.greeting(wake=self._signals.wake, is_over=lambda: self._signals.stops > 0)
        except ConfigError:
            forker.close()
            raise

    def _build(self, greeting: Greeting) -> None:
        """Make all parts; only the database is asked whether it fits."""
        options, settings = self._options, greeting.settings
        self._settings = settings
        self._name = greeting.name
        self._manifest = greeting.manifest
        self._patience_with_peer = max(2.0, min(settings.statement_timeout, settings.lease / 3))
        self._poll = options.poll if options.poll is not None else settings.poll
        self._store = _opened(settings)
        self._notifier: Notifier = open_notifier(
            settings, connect=self._store.database.open_connection
        )
        self._schedule = QueueOrder(options.weights)
        self._schedule.add({"default", *greeting.manifest.queues})
        self._weather = DatabaseStatus(lambda: self._store.database.answers)
        self._progress = ProgressWriter(
            self._store, on_word=lambda: self._keeping.wake(self._progress, DELAY)
        )
        self._settler = Settler(
            self._store,
            weather=self._weather,
            on_settled=self._on_settled,
            on_later=lambda seconds: self._promoting.wake(self._promoter, seconds),
        )
        self._pool = Pool(
            children=options.processes,
            slots=options.async_slots,
            grace=options.grace,
            deliver=self._settler.put,
            note=self._progress.say,
            on_forker_lost=self._on_forker_lost,
        )
        self._dispatchers = [
            self._dispatcher("claimer", self._pool.serial),
            self._dispatcher("async-claimer", self._pool.loop),
        ]
        self._build_services(settings)

    def _dispatcher(self, name: str, crew: Any) -> Dispatcher:
        return Dispatcher(
            self._store,
            crew,
            worker_id=lambda: self._registrar.worker_id or 0,
            schedule=self._schedule,
            weather=self._weather,
            is_full=lambda: (
                self._settler.is_full or self._is_isolated or self._registrar.worker_id is None
            ),
            is_quiet=lambda: self._pool.is_idle and self._settler.is_idle,
            poll=self._poll,
            burst=self._options.burst,
            name=name,
        )

    def _build_services(self, settings: Settings) -> None:
        store, weather = self._store, self._weather
        self._heart = Heartbeat(store, self._pulse, lease=settings.lease, on_gone=self._on_row_gone)
        self._registrar = Registrar(
            store,
            self._heart,
            describe=self._describe,
            is_used=self._is_used,
            on_ready=self._on_ready,
        )
        self._promoter = Promoter(store, poll=self._poll, on_ready=self._on_ready)
        self._canceller = CancellationPoller(
            store, worker_ids=self._working_ids, cancel=self._pool.cancel
        )
        self._queue_watch = QueuePoller(
            store, names_wanted=self._schedule.is_open, seen=self._on_queues_seen
        )
        rescuer = Rescuer(
            store,
            every=settings.sweep,
            lease=settings.lease,
            poison_limit=settings.poison_limit,
            queues=lambda: self._schedule.names,
            on_ready=self._on_ready,
            may_judge=lambda: self._heart.silent_for < settings.lease / 3,
        )
        auditor = LeaseReconciler(
            store,
            weather=weather,
            between_claims=self._between_claims,
            held=self._held,
            on_ready=self._ring_here,
        )
        keeper = WorkflowMaintenance(store, every=settings.sweep, on_settled=self._on_settled)
        self._beating = ServiceRunner("heart", [self._heart], weather, tries_first=True)
        self._promoting = ServiceRunner("promoter", [self._promoter], weather)
        self._keeping = ServiceRunner(
            "housekeeper",
            [
                self._registrar,
                self._queue_watch,
                self._canceller,
                rescuer,
                auditor,
                keeper,
                self._progress,
            ],
            weather,
        )

        weather.on_lost = lambda: self._beating.wake(self._heart)
        weather.on_fine = self._on_database_back

    def _start(self, forker: ForkServerClient, greeting: Greeting) -> None:
        self._registrar.tick()
        self._queue_watch.tick()
        self._pool.staff(forker, greeting.manifest)
        self._pool.start()
        self._settler.start()
        self._beating.start()
        for dispatcher in self._dispatchers:
            dispatcher.start()
        self._listener: Listener = self._listen()
        if not self._options.burst:  # else the dispatchers promote, before they look
            self._promoting.start()
        self._keeping.start()
        self._watch = FileWatcher(greeting.files) if self._options.reload else None
        self._pool.staffed.wait(_STAFF_WAIT)
        log.info(
            "worker started",
            extra=facts(
                app=self._options.app,
                database=self._settings.database_label,
                doorbell=self._settings.bell,
                children=self._options.processes,
                tasks=len(greeting.manifest.names),
                queues=",".join(self._schedule.names),
            ),
        )

    # -- attending ---------------------------------------------------------------------------------

    def _attend(self) -> None:
        """Until it is time to stop: signals, a lost fork server, a heart that cannot beat."""
        patience = min(1.0, self._settings.lease / 12, 0.05 if self._options.burst else 1.0)
        while not self._signals.stops:
            self._signals.wait(patience)
            if self._forker_lost:
                self._forker_lost = False
                self._restaff("the fork server died")
            if self._signals.take_reload() or (self._watch is not None and self._watch.changed()):
                self._restaff("reload")
            self._check_heart()
            if self._options.burst and self._is_done():
                log.info("nothing is left to do")
                return

    def _restaff(self, why: str) -> None:
        """A fresh fork server, and children of it in place of the old ones."""
        log.info("starting children with fresh code", extra=facts(why=why))
        forker = self._new_forker()
        try:
            greeting = self._greet(forker)
        except ConfigError as error:
            log.error("the app cannot be loaded: %s", error)
            if why == "the fork server died":
                self._forker_lost = True
                self._signals.wait(1.0)
            return
        if greeting is None:
            forker.close()
            return
        if greeting.manifest.names != self._manifest.names:
            self._registrar.renew()
            self._keeping.wake(self._registrar)
        self._manifest = greeting.manifest
        if self._schedule.add(greeting.manifest.queues):
            self._listen_anew()
        if self._watch is not None:
            self._watch = FileWatcher(greeting.files)
        self._pool.staff(forker, greeting.manifest)

    def _check_heart(self) -> None:
        """A worker that could not beat stops its bodies before others may run their jobs.

        Not on SQLite: there a body's long transaction holds up every writer, so a beat that waits
        means that nobody else can take anything over either.
        """
        cut = self._store.database.cut_silent(self._patience_with_peer)
        if cut:
            log.error("the database is silent: cut %d connections", cut)
        is_shared = self._store.dialect != "sqlite"
        silent = is_shared and self._heart.silent_for > self._settings.lease * 2 / 3
        if silent and not self._is_isolated:
            log.error("no beat for %.1f s: stopping all bodies", self._heart.silent_for)
            self._is_isolated = True
            self._pool.kill_all("silent")
        elif not silent and self._is_isolated:
            self._is_isolated = False
            self._ring_here()

    def _is_done(self) -> bool:
        changes = self._pool.changes
        crews = (self._pool.serial, self._pool.loop)
        looked = all(
            not crew.wanted or dispatcher.empty_at == changes
            for crew, dispatcher in zip(crews, self._dispatchers, strict=True)
        )
        return looked and self._pool.is_idle and self._settler.is_idle

    # -- the end -----------------------------------------------------------------------------------

    def _shut_down(self) -> int:
        log.info("draining: no more claims, %g s for what runs", self._options.grace)
        for dispatcher in self._dispatchers:
            dispatcher.stop(timeout=1.0)
        self._pool.drain()
        self._wait_for_bodies()
        self._pool.kill_all("drain")
        self._pool.emptied.wait(_KILL_WAIT)
        self._pool.stop()
        written = self._settler.stop(_LAST_WRITES)
        for rota in (self._promoting, self._keeping, self._beating):
            rota.stop(timeout=1.0)
        self._listener.close()
        try:
            self._progress.tick()
            self._registrar.leave()
        except StoreUnavailable as error:
            log.warning("could not sign off, others will notice within the lease: %s", error)
            written = False
        self._notifier.close()
        self._store.close()
        log.info("worker stopped")
        return 0 if written else 1

    def _wait_for_bodies(self) -> None:
        """Until all children have ended, the grace is over or a second signal comes."""
        deadline = time.monotonic() + self._options.grace
        while not self._pool.emptied.wait(0.05):
            if time.monotonic() >= deadline or self._signals.stops > 1:
                return
            self._check_heart()

    # -- what parts tell each other ----------------------------------------------------------------

    def _on_settled(self, settlement: Settlement) -> None:
        if settlement.queues:
            self._on_ready(settlement.queues)
        if settlement.ended:
            self._notifier.ring_done(settlement.ended)

    def _on_ready(self, queues: Iterable[str]) -> None:
        """There is new work in these queues: look here, tell the others."""
        self._ring_here()
        self._notifier.ring(queues)

    def _ring_here(self) -> None:
        for dispatcher in self._dispatchers:
            dispatcher.ring()

    def _on_database_back(self) -> None:
        self._ring_here()
        self._promoting.wake_all()
        self._keeping.wake_all()

    def _on_control(self) -> None:
        self._keeping.wake(self._canceller)
        self._keeping.wake(self._queue_watch)

    def _on_queues_seen(self, paused: set[str], names: set[str]) -> None:
        is_new = self._schedule.add(names)
        if self._schedule.set_paused(paused) or is_new:
            self._ring_here()
        if is_new and hasattr(self, "_listener"):
            self._listen_anew()

    def _on_forker_lost(self) -> None:
        self._forker_lost = True
        self._signals.poke()

    def _on_row_gone(self, worker_id: int) -> None:
        self._registrar.gone(worker_id)
        self._pool.abandon(worker_id)
        self._registrar.renew()
        self._keeping.wake(self._registrar)

    def _listen(self) -> Listener:
        return self._notifier.listen(
            queues=self._schedule.names, on_work=self._ring_here, on_control=self._on_control
        )

    def _listen_anew(self) -> None:
        old, self._listener = self._listener, self._listen()
        old.close()

    def _describe(self) -> Registration:
        from hammerflow import __version__

        info = {
            "version": __version__,
            "app": self._options.app,
            "name": self._name,
            "children": self._options.processes,
            "queues": self._schedule.names,
            "is_open": self._schedule.is_open,
        }
        return Registration(info, self._manifest.names, self._schedule.names)

    def _is_used(self, worker_id: int) -> bool:
        in_pool = any(held.worker_id == worker_id for held in self._pool.held())
        return in_pool or bool(self._settler.held(worker_id))

    def _working_ids(self) -> set[int]:
        return {held.worker_id for held in self._pool.held()}

    def _held(self) -> tuple[int, set[bytes]]:
        """The registration to claim under, and all that is held; called between claims."""
        worker_id = self._registrar.worker_id or 0
        ids = {held.job.id for held in self._pool.held()}
        return worker_id, ids | self._settler.held(worker_id)

    @contextlib.contextmanager
    def _between_claims(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for dispatcher in self._dispatchers:
                stack.enter_context(dispatcher.claiming)
            yield


class Signals:
    """SIGTERM and SIGINT counted, SIGHUP remembered; waiting for them costs nothing."""

    def __init__(self) -> None:
        self.stops = 0
        self._reload = False
        self.wake, self._wake_out = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(self._wake_out, False)
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wait(self, timeout: float) -> None:
        """Until a signal, a poke, or the time is over."""
        ready, _, _ = select.select([self.wake], [], [], timeout)
        if ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self.wake, 4096)

    def poke(self) -> None:
        """Let the main thread look around."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_out, b"p")

    def take_reload(self) -> bool:
        """Whether SIGHUP came since the last call."""
        asked, self._reload = self._reload, False
        return asked

    def _on_signal(self, number: int, frame: types.FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._reload = True
        else:
            self.stops += 1
        self.poke()


def _opened(settings: Settings) -> Store:
    """The store, its schema checked; the embedded database is migrated at the first use."""
    store = open_store(settings)
    if store.dialect == "sqlite" and store.schema.pending():
        store.schema.migrate()
    store.schema.check()
    return store


def _warm_up() -> None:
    """Import the driver of the database that the environment names, while the app is imported in
    the fork server; the app may name another one."""
    with contextlib.suppress(HammerflowError):
        settings = load_settings("warm-up", {}, os.environ, Path("hammerflow.toml"))
        open_store(settings)

"""The process of a worker: signals, the fork server, reloads, and the drain at the end."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import random
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from hammerflow.canvas.options import LIMITS
from hammerflow.errors import ConfigError, HammerflowError, StoreUnavailable
from hammerflow.services.lease_clock import LeaseClock
from hammerflow.settings import Settings, load_settings
from hammerflow.stores import open_checked_store, open_store
from hammerflow.stores.store import Store
from hammerflow.text import counted
from hammerflow.urls.listen import listen_address
from hammerflow.worker.limits import cannot_hold, naming_limits, raise_open_files
from hammerflow.worker.logs import configure, facts, writer_thread
from hammerflow.worker.options import WorkerOptions
from hammerflow.worker.processes import reap_orphans, set_title
from hammerflow.worker.run_options import refuse_elsewhere
from hammerflow.worker.supervisor.fork_server_client import ForkServerClient, Greeting
from hammerflow.worker.supervisor.health import Health
from hammerflow.worker.supervisor.http_server import HttpServer, Route
from hammerflow.worker.supervisor.metrics import WorkerMetrics
from hammerflow.worker.supervisor.reload import Reload
from hammerflow.worker.supervisor.report import log_report
from hammerflow.worker.supervisor.runtime import Runtime
from hammerflow.worker.supervisor.service_manager import ServiceManager
from hammerflow.worker.supervisor.signals import Signals

__all__ = ["Supervisor"]

log = logging.getLogger("hammerflow.worker")

#: Seconds between two counts of what is left for a burst that waits.
_BURST_LOOK = 0.5
#: Seconds after which a thread must make way: latency counts more than throughput of pure Python.
_SWITCH = 0.0005
#: Seconds between two log lines of a drain.
_DRAIN_LOG = 5.0
#: Seconds between two tries to reach the database at the start, at random.
_RETRY = 0.2, 1.0


class Supervisor:
    """One worker: its main thread waits for signals, :class:`Runtime` does the work."""

    def __init__(self, options: WorkerOptions) -> None:
        self._options = options
        self._signals = Signals()
        self._lease_clock = LeaseClock()
        self._health = Health()
        self._metrics = None if options.metrics is None else WorkerMetrics(options.app)
        self._manager = ServiceManager(os.environ)
        self._lost: str | None = None  # why there is no fork server any more
        self._open_files = raise_open_files(2 * options.processes)
        self._watcher = FileWatcher(())  # replaced at each reload
        self._look_at = 0.0  # when a burst counts what is left
        self._left_before: Mapping[str, int] = {}

    def run(self) -> int:
        """Work until a signal, or with ``burst`` until nothing is left; the exit code."""
        options = self._options
        configure(options.log_format, options.log_level, replace=options.configure_logging)
        sys.setswitchinterval(_SWITCH)
        set_title(f"worker {options.app}")
        with contextlib.ExitStack() as stack:
            with naming_limits():
                stack.enter_context(self._signals)
                stack.enter_context(writer_thread())
            self._serve_http(stack)
            runtime, interval = self._start()
            if runtime is None:
                return 0
            reload = Reload(
                self._start_fork_server,
                lambda *new: self._use(runtime, *new),
                retired=lambda: runtime.pool.retired_fork_servers,
            )
            try:
                self._serve(runtime, reload, interval)
            finally:
                reload.close()
            return self._shut_down(runtime)

    def _serve_http(self, stack: contextlib.ExitStack) -> None:
        """Serve probes and metrics; where both have one address, by one server."""
        routes: dict[str, dict[str, Route]] = {}
        if self._options.health is not None:
            routes.setdefault(self._options.health, {}).update(self._health.routes)
        if self._options.metrics is not None and self._metrics is not None:
            routes.setdefault(self._options.metrics, {}).update(self._metrics.routes)
        for address, found in routes.items():
            server = HttpServer(*listen_address(address), found)
            stack.callback(server.close)
            server.start()
            if "/livez" in found:
                log.info("health at http://%s/livez and /readyz", server.address)
            if "/metrics" in found:
                log.info("metrics at http://%s/metrics", server.address)

    def _turn(self, state: str | None) -> None:
        """Say that the main thread goes round a loop, and what it does there instead of work."""
        now = time.monotonic()
        self._health.state = state
        self._health.turn(now)
        self._manager.turn(now)
        if state is not None:
            self._manager.starting(state)

    def _start(self) -> tuple[Runtime | None, float]:
        """Import the app and start all parts; None if a signal came first. Only here may what
        goes wrong end the worker.

        Returns:
            The runtime, and seconds between two checks of it.
        """
        with naming_limits():
            _check_room(self._options.processes)
            fork_server = self._start_fork_server()
            greeting = self._greet(fork_server)
            if greeting is None:
                return None, 0.0
            for task in greeting.catalog.tasks:
                limits = [name for name in LIMITS if getattr(task.run_options, name) is not None]
                refuse_elsewhere(limits, task.name)
            kinds = {(task.is_async, task.runs_alone) for task in greeting.catalog.tasks}
            _check_room(self._options.processes * len(kinds))
            store = self._open_store(greeting.settings)
            if store is None:
                fork_server.close()
                return None, 0.0
            lost, clock = self._on_fork_server_lost, self._lease_clock
            runtime = Runtime(
                self._options, greeting, store, clock,
                on_fork_server_lost=lost, on_stop_asked=self._on_stop_asked, metrics=self._metrics,
            )  # fmt: skip
            runtime.start(fork_server)
        self._health.complaints = runtime.complaints
        self._manager.ready()
        return runtime, min(1.0, greeting.settings.lease / 12, self._manager.interval)

    def _start_fork_server(self) -> ForkServerClient:
        return ForkServerClient(self._options, self._lease_clock, self._open_files)

    def _greet(self, fork_server: ForkServerClient) -> Greeting | None:
        """Wait until the app is imported; None, with the server closed, if a signal came first."""
        _warm_up()
        greeting = None
        try:
            while not self._signals.stops and (greeting := fork_server.greet()) is None:
                self._turn("the app is imported")
                self._signals.wait(1.0, fork_server.control.fileno())
        finally:
            if greeting is None:
                fork_server.kill()
                fork_server.close()
            else:  # before the start of children, during which a file may change
                self._watch_files(greeting)
        return greeting

    def _open_store(self, settings: Settings) -> Store | None:
        """Open the store; wait for a database that is down, as a running worker does, with one line
        in the log; None if a signal came first. A file that cannot be opened is waited for only if
        that was asked for: it does not come up later.

        Raises:
            StoreUnavailable: it was down for longer than ``wait_for_database``.
            SchemaMismatch: see :func:`open_checked_store`.
        """
        is_file = settings.url.dialect == "sqlite"
        patience = self._options.wait_for_database
        patience = (0.0 if is_file else math.inf) if patience is None else patience
        begun = time.monotonic()
        is_down = False
        while not self._signals.stops:
            self._turn("the worker waits for the database")
            try:
                store = open_checked_store(settings)
            except StoreUnavailable as error:
                left = patience - (time.monotonic() - begun)
                if left <= 0:
                    raise
                if not is_down:
                    state = "refuses work" if error.is_refusal else "is down"
                    log.warning("the database %s, waiting until it is back: %s", state, error)
                is_down = True
                self._signals.wait(min(left, random.uniform(*_RETRY)))
            else:
                if is_down:
                    log.info("the database is back after %.1f s", time.monotonic() - begun)
                return store
        return None

    def _serve(self, runtime: Runtime, reload: Reload, interval: float) -> None:
        if self._options.burst:
            interval = min(interval, 0.05)
        while not self._signals.stops:
            self._turn(None)
            self._signals.wait(interval, *reload.sockets)
            if self._lost is not None:
                why, self._lost = self._lost, None
                reload.ask_for_lost(why, time.monotonic())
            if self._signals.take_reload() or self._watcher.has_changed():
                reload.ask("reload")
                self._manager.reloading()
            reload.step(time.monotonic())
            if not reload.is_under_way:
                self._manager.ready()
            if self._signals.take_report():
                log_report(runtime.pool)
            reap_orphans()
            runtime.check()
            if self._options.burst and runtime.is_done and self._is_over(runtime):
                return

    def _is_over(self, runtime: Runtime) -> bool:
        """Whether a burst that has nothing to run now ends; says what it leaves or waits for."""
        if time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + _BURST_LOOK
        left = runtime.left()
        if left is None or not runtime.is_done:  # the claims wait for the database, too
            return False
        is_over = not (self._options.until_empty and left.goes_on)
        says = "nothing can run now, left in the queues" if is_over else "waiting for what is left"
        fields = facts(**left.counts)
        if not left.counts:
            log.info("nothing is left to do")
        elif is_over or left.counts != self._left_before:
            log.info("%s: %s", says, left, extra=fields)
        self._left_before = left.counts
        return is_over

    def _use(self, runtime: Runtime, fork_server: ForkServerClient, greeting: Greeting) -> None:
        self._watch_files(greeting)
        runtime.use_fork_server(fork_server, greeting)

    def _watch_files(self, greeting: Greeting) -> None:
        if not self._options.reload:
            return
        self._watcher = FileWatcher(greeting.files)
        if not greeting.files:
            log.warning("--reload watches nothing: no module of the app is a file outside packages")

    def _on_fork_server_lost(self, why: str) -> None:
        self._lost = why
        self._signals.poke()

    def _on_stop_asked(self, by: str) -> None:
        log.info("%s has asked this worker to stop", by)
        self._signals.stop()

    def _shut_down(self, runtime: Runtime) -> int:
        self._health.state = "the worker drains"
        self._manager.stopping()
        released = runtime.pool.released
        _log_drain(runtime.pool.running(), self._options.grace)
        runtime.drain()
        self._wait_for_jobs(runtime)
        is_second = self._signals.stops > 1
        why = "a second signal came" if is_second else "the grace period is over"
        is_written = runtime.stop(why)
        released = runtime.pool.released - released
        if is_written:
            leases = counted(released, "lease")
            log.info("drained: released %s", leases, extra=facts(leases=released))
        log.info("worker stopped")
        return 0 if is_written else 1

    def _wait_for_jobs(self, runtime: Runtime) -> None:
        """Until all children have ended and their outcomes are written, which a database that is
        away may hold up; or the grace is over, or a second signal comes."""
        now = time.monotonic()
        ends_at, logged_at = now + self._options.grace, now
        while not (runtime.pool.have_ended.wait(0.05) and runtime.is_written):
            if runtime.pool.have_ended.is_set():
                self._signals.wait(0.05)
            now = time.monotonic()
            if now >= ends_at or self._signals.stops > 1:
                return
            if now >= logged_at + _DRAIN_LOG:
                _log_drain(runtime.pool.running(), ends_at - now)
                logged_at = now
            self._health.turn(now)
            self._manager.turn(now)
            runtime.check()


class FileWatcher:
    """Notices that a file of the user's app has changed. One check per second is enough."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._times = {path: _changed_at(path) for path in files}

    def has_changed(self) -> bool:
        """Whether any file has changed since the last call."""
        before = self._times
        self._times = {path: _changed_at(path) for path in before}
        return self._times != before


def _changed_at(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _check_room(children: int) -> None:
    if why := cannot_hold(children):
        raise ConfigError(why)


def _log_drain(running: int, seconds: float) -> None:
    jobs = counted(running, "job still runs", "jobs still run")
    log.info("draining: %s", jobs, extra=facts(running=running, seconds_left=round(seconds, 1)))


def _warm_up() -> None:
    """Import the driver of the database that the environment names while the fork server imports
    the app, which may name another one."""
    with contextlib.suppress(HammerflowError):
        settings = load_settings("warm-up", {}, os.environ, Path("hammerflow.toml"))
        open_store(settings)

"""ClusterMetrics: what only the database knows, for monitoring systems."""

from __future__ import annotations

from hammerflow.stores.statistics.enqueued_totals import EnqueuedTotals
from hammerflow.stores.statistics.statistics import MINUTE
from hammerflow.stores.store import Store
from hammerflow.telemetry.families import CLUSTER, OTHER, Readings
from hammerflow.telemetry.labels import largest

__all__ = ["ClusterMetrics"]

#: Rows that are counted of each state, at most.
_BOUND = 10_001
_STATES = ("ready", "running", "scheduled", "waiting", "parked")
_SCHEDULES = 10  # of those that are due next, of which the latest counts


class ClusterMetrics:
    """Reads the metrics that are of no single worker; each query reads a bounded number of rows.

    One process at a time shows them: otherwise their sum over all processes would be a multiple.

    Args:
        lease: seconds without a heartbeat after which a worker counts as lost.
    """

    def __init__(self, store: Store, *, lease: float) -> None:
        self._store = store
        self._database = store.database
        self._lease = lease

    def take_turn(self, holder: int, hold: float) -> bool:
        """Whether this process is the one that shows them, for the next ``hold`` seconds."""
        if self._database.run("metrics_take", holder=holder, hold=hold):
            return True
        if self._database.first("metrics_state") is None:  # the first process of all
            progress = self._store.statistics.progress()
            begin = 0 if progress is None else progress.final_to
            self._database.run("metrics_begin", counted_to=begin)
            return self._database.run("metrics_take", holder=holder, hold=hold) > 0
        return False

    def give_turn(self, holder: int) -> None:
        """Let another process show them at once."""
        self._database.run("metrics_give", holder=holder)

    def read(self) -> Readings:
        """All metrics of :data:`hammerflow.telemetry.families.CLUSTER`."""
        found = Readings()
        found.declare(*CLUSTER)
        self._read_queues(found)
        self._read_enqueued(found)
        self._read_sinks(found)
        self._read_webhooks(found)
        for rule, severity, count in self._database.rows("alerts_firing"):
            found.set("hammerflow_alerts_firing", int(count), rule, severity)
        workers = self._store.workers.list()
        alive = sum(abs(worker["silent_for"]) <= self._lease for worker in workers)
        found.set("hammerflow_workers", alive)
        now, due = self._store.clock(), self._store.schedules.next(_SCHEDULES)
        late = [now - row.next_at.timestamp() for row in due if row.next_at is not None]
        found.set("hammerflow_cron_late_seconds", max([0.0, *late]))
        return found

    def _read_queues(self, found: Readings) -> None:
        depths = self._store.queue_stats.depths(bound=_BOUND)
        sizes = {depth.name: sum(getattr(depth, state) for state in _STATES) for depth in depths}
        own, oldest = largest(sizes), dict[str, float]()
        for depth in depths:
            label = depth.name if depth.name in own else OTHER
            for state in _STATES:
                found.set("hammerflow_queue_jobs", getattr(depth, state), label, state)
            oldest[label] = max(oldest.get(label, 0.0), depth.oldest or 0.0)
            if depth.name in own:
                found.set("hammerflow_queue_paused", int(depth.paused_at is not None), label)
        for label, age in oldest.items():
            found.set("hammerflow_queue_oldest_ready_seconds", age, label)

    def _read_enqueued(self, found: Readings) -> None:
        """How many jobs were ever enqueued, up to the last minute that was counted: those up to a
        minute that was counted for good are kept, and the later minutes are added."""
        progress, state = self._store.statistics.progress(), self._database.first("metrics_state")
        if progress is None or state is None:
            return
        begin, totals = int(state[0]), EnqueuedTotals.from_json(state[1], self._store.names)
        window = {"span": MINUTE, "low": begin, "high": max(begin, progress.counted_to)}
        rows = [
            (int(row[0]), (int(row[1]), int(row[2])), int(row[4]))
            for row in self._database.rows("statistics_rows", **window)
            if row[3] == 0
        ]
        recent = [(pair, jobs) for at, pair, jobs in rows if at >= progress.final_to]
        if begin < progress.final_to:
            totals.add([(pair, jobs) for at, pair, jobs in rows if at < progress.final_to])
            totals.follow(recent)
            values = {"before": begin, "counted_to": progress.final_to}
            self._database.run("metrics_count", totals=totals.to_json(), **values)
        for labels, jobs in totals.shown(recent):
            found.set("hammerflow_jobs_enqueued_total", jobs, *labels)

    def _read_webhooks(self, found: Readings) -> None:
        hooks = self._store.webhooks.list()
        own = largest({hook.name: hook.delivered + hook.failed for hook in hooks})
        for hook in hooks:
            if hook.name in own:
                name = "hammerflow_webhook_deliveries_total"
                found.set(name, hook.delivered, hook.name, "delivered")
                found.set(name, hook.failed, hook.name, "failed")
                is_disabled = hook.state == "disabled"
                found.set("hammerflow_webhook_disabled", int(is_disabled), hook.name)

    def _read_sinks(self, found: Readings) -> None:
        sinks = self._store.sinks.list()
        if not sinks:
            return
        events, parked = self._store.events, self._store.sinks.parked_counts()
        now, head, pending = self._store.clock(), events.head(), events.pending()
        unmoved = self._database.first("outbox_oldest")
        lags = {sink.name: max(0, head - sink.position) + pending for sink in sinks}
        own = largest(lags)
        for sink in sinks:
            if sink.name not in own:
                continue
            first = self._database.first("events_at", position=sink.position + 1)
            at = unmoved[0] if first is None and unmoved else now if first is None else first[2]
            found.set("hammerflow_sink_lag_events", lags[sink.name], sink.name)
            found.set("hammerflow_sink_lag_seconds", max(0.0, now - at), sink.name)
            found.set("hammerflow_sink_parked_events", parked.get(sink.name, 0), sink.name)

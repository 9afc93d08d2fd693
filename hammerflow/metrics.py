"""Collector: the metrics of the whole database, for a process that has a Prometheus registry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from hammerflow.app import Hammerflow
from hammerflow.errors import ConfigError, StoreUnavailable
from hammerflow.services.cluster_reader import ClusterReader
from hammerflow.stores.diagnosis.cluster_metrics import ClusterMetrics
from hammerflow.telemetry.families import CLUSTER, Family, Readings

if TYPE_CHECKING:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.metrics_core import Metric

__all__ = ["Collector"]


class Collector:
    """Gives a registry of prometheus_client the metrics of the whole database: depths of queues,
    workers, lags. Needs the extra ``hammerflow[prometheus]``::

        prometheus_client.REGISTRY.register(Collector(app))

    It reads the database at most once in 15 seconds, however often it is asked. Of all processes
    with a Collector and all workers with ``--metrics`` one shows these metrics, so that their sum
    is right; the others show their names without values.

    Args:
        app: whose database it reads.

    Raises:
        ConfigError: prometheus_client is not installed.
    """

    def __init__(self, app: Hammerflow) -> None:
        try:
            import prometheus_client  # noqa: F401  (it is named here if it is missing)
        except ImportError as error:
            raise ConfigError(
                "Collector needs prometheus_client: pip install 'hammerflow[prometheus]'"
            ) from error
        self._app = app
        self._reader: ClusterReader | None = None

    def describe(self) -> Iterable[Metric]:
        """The names of the metrics, without a query."""
        return _metrics(Readings())

    def collect(self) -> Iterable[Metric]:
        """The metrics; without values where the database cannot be used now."""
        if self._reader is None:
            metrics = ClusterMetrics(self._app.store, lease=self._app.settings.lease)
            self._reader = ClusterReader(metrics)
        try:
            readings = self._reader.read_if_due()
        except StoreUnavailable:
            readings = Readings()
        return _metrics(readings)

    def close(self) -> None:
        """Let another process show the metrics at once.

        Raises:
            StoreUnavailable: the database cannot be used; another process follows in 40 seconds.
        """
        if self._reader is not None:
            self._reader.leave()


def _metrics(readings: Readings) -> Iterator[Metric]:
    for family in CLUSTER.values():
        metric = _empty(family)
        for labels, value in readings.numbers.get(family.name, {}).items():
            metric.add_metric(labels, value)
        yield metric


def _empty(family: Family) -> CounterMetricFamily | GaugeMetricFamily:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    kind = CounterMetricFamily if family.type == "counter" else GaugeMetricFamily
    return kind(family.name, family.help, labels=family.labels)

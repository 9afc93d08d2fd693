"""WorkerAlerts: the alerts of a worker: its turn to evaluate them, and a thread that sends."""

from __future__ import annotations

import contextlib

from hammerflow.errors import StoreUnavailable
from hammerflow.services.alert_sender import AlertSender
from hammerflow.services.alerter import Alerter
from hammerflow.services.database_status import DatabaseStatus
from hammerflow.services.runner import ServiceRunner
from hammerflow.settings import Settings
from hammerflow.stores.alert_measures import AlertMeasures
from hammerflow.stores.store import Store

__all__ = ["WorkerAlerts"]


class WorkerAlerts:
    """Evaluates in a thread of its own, as it reads much; another one sends, once somebody is to be
    told."""

    def __init__(self, store: Store, settings: Settings, status: DatabaseStatus) -> None:
        measures = AlertMeasures(
            store, lease=settings.lease, statistics=settings.statistics,
            path=settings.url.database if settings.url.dialect == "sqlite" else "",
        )  # fmt: skip
        self._sender = AlertSender(store, namespace=settings.namespace)
        self._sending = ServiceRunner("alert sender", [self._sender], status)
        self._is_sending = False
        self._alerter = Alerter(
            store, measures, is_on=settings.alerts, on_active=self._start_sending,
            on_messages=lambda: self._sending.wake(self._sender),
        )  # fmt: skip
        self._runner = ServiceRunner("alerts", [self._alerter], status)

    def start(self) -> None:
        """Start the thread."""
        self._runner.start()

    def stop(self) -> None:
        """End it, and let another worker evaluate at once."""
        self._runner.stop(timeout=1.0)
        self._sending.stop(timeout=1.0)
        with contextlib.suppress(StoreUnavailable):
            self._alerter.leave()

    def _start_sending(self) -> None:
        if not self._is_sending:
            self._is_sending = True
            self._sending.start()

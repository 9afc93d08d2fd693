"""WorkerAlerts: the alerts of a worker: its turn to evaluate them, and a thread that sends."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

from hammerflow.alerts.declared import AlertDefinition
from hammerflow.errors import ConfigError, StoreUnavailable
from hammerflow.services.alert_sender import AlertSender
from hammerflow.services.alerter import Alerter
from hammerflow.services.database_status import DatabaseStatus
from hammerflow.services.runner import ServiceRunner
from hammerflow.settings import Settings
from hammerflow.stores.diagnosis.alert_measures import AlertMeasures
from hammerflow.stores.store import Store

__all__ = ["WorkerAlerts", "follow_code"]

log = logging.getLogger("hammerflow.alerts")


class WorkerAlerts:
    """Evaluates in a thread of its own, as it reads much; another one sends, once somebody is to be
    told."""

    def __init__(
        self, store: Store, settings: Settings, status: DatabaseStatus, definitions: Sequence[str]
    ) -> None:
        self._store, self._app = store, settings.namespace
        self._definitions, self._is_declared = definitions, not definitions
        measures = AlertMeasures(
            store, lease=settings.lease, statistics=settings.statistics,
            path=settings.url.database if settings.url.dialect == "sqlite" else "",
        )  # fmt: skip
        self._sender = AlertSender(store, namespace=settings.namespace, bounds=settings.bounds)
        self._sending = ServiceRunner("alert sender", [self._sender], status)
        self._is_sending = False
        self._alerter = Alerter(
            store, measures, is_on=settings.alerts, on_active=self._start_sending,
            on_messages=lambda: self._sending.wake(self._sender), prepare=self._declare,
        )  # fmt: skip
        self._runner = ServiceRunner("alerts", [self._alerter], status)

    def start(self) -> None:
        """Start the thread."""
        self._runner.start()

    def follow(self, definitions: Sequence[str]) -> None:
        """The code may declare others now."""
        if definitions != self._definitions:
            self._definitions, self._is_declared = definitions, False
            self._runner.wake(self._alerter)

    def stop(self) -> None:
        """End it, and let another worker evaluate at once."""
        self._runner.stop(timeout=1.0)
        self._sending.stop(timeout=1.0)
        with contextlib.suppress(StoreUnavailable):
            self._alerter.leave()

    def _declare(self) -> None:
        if not self._is_declared:
            follow_code(self._store, self._app, self._definitions)
            self._is_declared = True

    def _start_sending(self) -> None:
        if not self._is_sending:
            self._is_sending = True
            self._sending.start()


def follow_code(store: Store, app: str, definitions: Sequence[str]) -> None:
    """Write the rules and targets of an app's code to the database. Those that are in the code no
    longer stay, with a warning, as older code still runs in a rolling deploy."""
    wanted = [AlertDefinition.from_json(text) for text in definitions]
    for part, name, kind, config in wanted:
        try:
            if store.alerts.put(part, name, kind, config, app=app, by=app):
                log.info("the alert %s %s follows the code", part, name)
        except ConfigError as error:
            log.error("the alert %s %s of the code is left as it is: %s", part, name, error)
    settings = store.alerts.settings()
    for part, rows, command in (
        ("rule", settings.rules, "reset"), ("target", settings.targets, "remove"),
    ):  # fmt: skip
        known = {one.name for one in wanted if one.part == part}
        gone = [name for name, row in rows.items() if row.app == app and name not in known]
        if gone:
            log.warning(
                "alert %ss that are in the code no longer: %s; remove them with hammerflow alert "
                "%s", part, ", ".join(gone), command,
            )  # fmt: skip

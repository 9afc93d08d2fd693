"""AlertSender: sends the messages of alerts that wait, outside of transactions."""

from __future__ import annotations

import logging
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass

from hammerflow.alerts.targets import AlertDelivery, send
from hammerflow.options.variables import CLOSED, Bounds
from hammerflow.stores.alerts import AlertMessage, TargetRow
from hammerflow.stores.store import Store

__all__ = ["AlertSender"]

log = logging.getLogger("hammerflow.alerts")

#: Seconds between two queries for messages; and for which a process has a message that it sends: no
#: target has more than 60 s for it, so what is sent again was begun by a process that is gone.
_EVERY, _HOLD = 15.0, 180.0
#: Seconds between two tries, at least and at most, and after which a message is given up.
_LEAST, _MOST, _GIVE_UP = 2.0, 300.0, 86_400.0
_THREADS = 8


@dataclass(eq=False)
class AlertSender:
    """Any process may send; each message is taken by one. A target gets its messages in order, and
    one that does not answer holds up no other for longer than its time-out."""

    store: Store
    _: KW_ONLY
    namespace: str
    bounds: Bounds = CLOSED  # of targets that no code declares

    def tick(self, now: float) -> float:
        """Send what is due."""
        sent = self.send_due()
        return 0.1 if sent else _EVERY + random.uniform(0.0, 1.0)

    def send_due(self) -> int:
        """Send the next message of each target that is due; how many were sent."""
        messages = self.store.alerts.next_messages()
        if not messages:
            return 0
        targets = self.store.alerts.settings().targets
        with ThreadPoolExecutor(min(_THREADS, len(messages))) as threads:
            return sum(threads.map(lambda one: self._try(one, targets.get(one.target)), messages))

    def _try(self, message: AlertMessage, target: TargetRow | None) -> bool:
        alerts = self.store.alerts
        if target is None or not alerts.take(message, _HOLD):
            return False
        delivery = AlertDelivery(f"alert_{message.id}", self.namespace, message.body)
        try:
            bounds = None if target.app else self.bounds
            send(target.name, target.kind, target.config, delivery, bounds)
        except Exception as error:  # noqa: BLE001 - a border: whatever a target raises
            pause: float | None = min(_MOST, _LEAST * 2 ** min(message.tries, 10))
            if message.age > _GIVE_UP:
                pause = None
            alerts.note_failed(message, str(error) or type(error).__name__, pause)
            log.warning(
                "alert target %s did not accept a message, %s: %s", target.name,
                "which is given up" if pause is None else f"sent again in {pause:g} s", error,
            )  # fmt: skip
            return False
        alerts.note_sent(message)
        return True

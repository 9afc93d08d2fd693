"""Alerter: evaluates the rules of alerts, in turns with the other workers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial

from hammerflow.alerts.rules import Measure
from hammerflow.alerts.states import Alert, Change, Turn, advance
from hammerflow.events.kinds import EventKind
from hammerflow.ids import worker_number
from hammerflow.stores.alerts import AlertSettings
from hammerflow.stores.diagnosis.alert_measures import AlertMeasures
from hammerflow.stores.store import Store

__all__ = ["Alerter"]

#: Seconds between two evaluations, and until the turn of a process that evaluates no more passes to
#: another; and between two questions whether anybody is to be told of alerts.
_EVERY, _HOLD, _ASK = 15.0, 40.0, 60.0
_CLEAN = 240  # evaluations between two removals of what is old
_REPEAT = 55.0  # seconds between two messages of what fires, to an Alertmanager


@dataclass(eq=False)
class Alerter:
    """One process at a time evaluates, and keeps the turn as long as it does.

    Nothing is evaluated where nobody wants to know: no target was named, no sink wants events of
    alerts, and the setting ``alerts`` is off.

    Attributes:
        on_active: called when somebody wants to know, each time.
        on_messages: called when there are messages to be sent.
        prepare: called before each evaluation.
    """

    store: Store
    measures: AlertMeasures
    _: KW_ONLY
    is_on: bool  # the setting
    on_active: Callable[[], None] = lambda: None
    on_messages: Callable[[], None] = lambda: None
    prepare: Callable[[], None] = lambda: None
    _holder: int = field(init=False, default_factory=worker_number)
    _is_ours: bool = field(init=False, default=False)
    _count: int = field(init=False, default=0)
    _repeat_at: float = field(init=False, default=0.0)

    def tick(self, now: float) -> float:
        """Evaluate, if somebody wants to know and it is our turn."""
        self.prepare()
        settings = self.store.alerts.settings()
        if not self._is_wanted(settings):
            self.leave()
            return _ASK + random.uniform(0.0, 1.0)
        self.on_active()
        self._is_ours = self.store.alerts.take_turn(self._holder, _HOLD)
        if self._is_ours:
            self.evaluate(settings)
        return _EVERY + (0.0 if self._is_ours else random.uniform(0.0, 1.0))

    def evaluate(self, settings: AlertSettings) -> Turn | None:
        """Evaluate once, as the one whose turn it is; None if another one has it by now."""
        found = self.measures.read(settings.rules)
        told = [name for name, target in settings.targets.items() if not target.is_paused]
        repeated = self._repeated(settings)

        def tell(turn: Turn) -> Mapping[str, Sequence[Change]]:
            firing = [
                Change(a, "fired") for a in turn.kept.values() if a.state == "firing" and a.told
            ]
            ended = [change for change in turn.messages if change.what == "resolved"]
            changes = {
                name: [*firing, *ended] if name in repeated else turn.messages for name in told
            }
            return {name: found for name, found in changes.items() if found}

        # Without a target nobody was told: the first one that is named gets what fires then.
        muted = settings.muted if told else frozenset((name, "") for name in settings.rules)
        decide = partial(_decide, settings, found, muted)
        turn = self.store.alerts.apply(self._holder, decide, tell)
        if turn is not None and (turn.messages or repeated):
            self.on_messages()
        self._count += 1
        if self._count % _CLEAN == 1:
            self.store.alerts.clean()
        return turn

    def leave(self) -> None:
        """Let another process evaluate at once."""
        if self._is_ours:
            self._is_ours = False
            self.store.alerts.give_turn(self._holder)

    def _repeated(self, settings: AlertSettings) -> frozenset[str]:
        """The targets that are to be told of all that fires: an Alertmanager forgets an alert that
        is not repeated. One that has not got the last message yet waits for it."""
        names = [
            name
            for name, target in settings.targets.items()
            if target.kind == "alertmanager" and not target.is_paused
        ]
        now = time.monotonic()
        if not names or now < self._repeat_at:
            return frozenset()
        self._repeat_at = now + _REPEAT
        return frozenset(names) - self.store.alerts.waiting().keys()

    def _is_wanted(self, settings: AlertSettings) -> bool:
        outbox = self.store.names.outbox
        return (
            self.is_on
            or any(not target.is_paused for target in settings.targets.values())
            or outbox.wants(EventKind.ALERT_FIRED)
            or outbox.wants(EventKind.ALERT_RESOLVED)
        )


def _decide(
    settings: AlertSettings, found: Mapping[str, Sequence[Measure]],
    muted: frozenset[tuple[str, str]], alerts: Mapping[tuple[str, str], Alert], now: float,
) -> Turn:  # fmt: skip
    return advance(settings.rules, found, alerts, muted, now)

"""Queue watch: which queues are paused, and which there are."""

from __future__ import annotations

from collections.abc import Callable

from hammerflow.stores.store import Store

__all__ = ["QueuePoller"]

_EVERY = 10.0


class QueuePoller:
    """Reads the queues every ten seconds, and when it is woken.

    A claim refuses a paused queue by itself; to know it here only saves the asking.

    Args:
        names_wanted: whether to report all names, too.
        seen: called with the paused queues, and all queues (empty unless wanted).
    """

    def __init__(
        self,
        store: Store,
        *,
        names_wanted: bool,
        seen: Callable[[set[str], set[str]], None],
    ) -> None:
        self._store = store
        self._names_wanted = names_wanted
        self._seen = seen

    def tick(self) -> float:
        names: set[str] = set()
        if self._names_wanted:
            rows = self._store.database.rows("queue_names")
            names = {row[1] for row in rows}
        self._seen(self._store.queues.paused(), names)
        return _EVERY

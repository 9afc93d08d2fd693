"""Gates: PostgreSQL stops a statement of the store in the middle, and threads wait there."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.stores.kit import Desk, open_raw

__all__ = ["Gate", "blocked", "running", "wait_until"]

_KEY = 77_001


class Gate:
    """A trigger after a statement on a table that waits, while the gate is shut."""

    def __init__(self, desk: Desk, table: str, event: str) -> None:
        self._desk = desk
        name = f"{desk.settings.prefix}{table}"
        desk.sql(
            "CREATE OR REPLACE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" PERFORM pg_advisory_xact_lock_shared({_KEY}); RETURN NULL; END $$"
        )
        desk.sql(
            f"CREATE TRIGGER gate AFTER {event} ON {name}"
            " FOR EACH STATEMENT EXECUTE FUNCTION gate()"
        )

    @contextlib.contextmanager
    def shut(self) -> Iterator[None]:
        """Statements stop at the gate until the end of the block."""
        with contextlib.closing(open_raw(self._desk.url)) as own:
            own.execute(f"SELECT pg_advisory_lock({_KEY})")
            yield

    def wait_for_one(self) -> None:
        """Return when a statement stands before the gate."""
        wait_until(
            lambda: self._desk.sql(
                "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            )
        )


@contextlib.contextmanager
def running(work: Callable[[], Any]) -> Iterator[Callable[[], Any]]:
    """Run in a thread beside the block; gives a function that waits for what it returned."""
    outcome: list[Any] = []
    errors: list[Exception] = []

    def body() -> None:
        try:
            outcome.append(work())
        except Exception as error:  # noqa: BLE001 - raised by result()
            errors.append(error)

    def result() -> Any:
        thread.join(30)
        assert not thread.is_alive(), "the thread hangs"
        if errors:
            raise errors[0]
        return outcome[0]

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    yield result


def blocked(desk: Desk) -> bool:
    """Whether a statement waits for a lock (MariaDB renews this view when left alone for 0.1 s)."""
    view = {
        "postgres": "pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database()",
        "mysql": "information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
    }
    return bool(desk.sql(f"SELECT 1 FROM {view[desk.kind]}"))


def wait_until(condition: Callable[[], Any], seconds: float = 20.0, step: float = 0.005) -> None:
    """Poll a condition outside this process until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(step)

"""Gates: PostgreSQL stops a statement of the store in the middle, and threads wait there."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from tests.stores.kit import Desk, open_raw
from tests.support.waiting import until

__all__ = ["Gate", "Running", "blocked", "running", "waiting_for_locks"]

_KEY = 77_001


class Gate:
    """A trigger of a statement on a table that waits, while the gate is shut.

    Args:
        event: after which the statement waits; ``BEFORE`` and an event: it has begun by then, and
            has locked nothing.
        stops_one: only the first statement waits.
    """

    def __init__(self, desk: Desk, table: str, event: str, *, stops_one: bool = False) -> None:
        self._desk = desk
        name = f"{desk.settings.prefix}{table}"
        desk.sql("CREATE SEQUENCE gate_turns")
        stops = "nextval('gate_turns') = 1" if stops_one else "true"
        desk.sql(
            "CREATE OR REPLACE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF {stops} THEN PERFORM pg_advisory_xact_lock_shared({_KEY}); END IF;"
            " RETURN NULL; END $$"
        )
        moment = event if event.startswith("BEFORE") else f"AFTER {event}"
        desk.sql(
            f"CREATE TRIGGER gate {moment} ON {name} FOR EACH STATEMENT EXECUTE FUNCTION gate()"
        )

    @contextlib.contextmanager
    def shut(self) -> Iterator[None]:
        """Statements stop at the gate until the end of the block."""
        with contextlib.closing(open_raw(self._desk.url)) as own:
            own.execute(f"SELECT pg_advisory_lock({_KEY})")
            yield

    def wait_for_one(self) -> None:
        """Return when a statement stands before the gate."""
        query = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        until("a statement at the gate", lambda: self._desk.sql(query))


class Running:
    """Work in a thread of its own."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._outcome: Future[Any] = Future()
        threading.Thread(target=self._run, args=(work,), daemon=True).start()

    def __call__(self) -> Any:
        """What the work has returned; raises what it has raised."""
        return self._outcome.result(30)

    @property
    def is_over(self) -> bool:
        """Whether the work has returned or raised."""
        return self._outcome.done()

    def _run(self, work: Callable[[], Any]) -> None:
        try:
            self._outcome.set_result(work())
        except Exception as error:  # noqa: BLE001 - raised by the call
            self._outcome.set_exception(error)


@contextlib.contextmanager
def running(work: Callable[[], Any]) -> Iterator[Running]:
    """Run the work in a thread while the block runs."""
    yield Running(work)


def blocked(desk: Desk) -> bool:
    """Whether a statement waits for a lock (MariaDB renews this view when left alone for 0.1 s)."""
    return waiting_for_locks(desk) > 0


def waiting_for_locks(desk: Desk) -> int:
    """How many statements wait for a lock."""
    view = {
        "postgres": "pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database()",
        "mysql": "information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
    }
    return len(desk.sql(f"SELECT 1 FROM {view[desk.kind]}"))

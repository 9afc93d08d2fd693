"""Stepper: two units of work side by side, a statement at a time, in every order that there is.

No clock decides what comes next. Where a unit would give up on a lock after some time, its turn is
to do so.
"""

from __future__ import annotations

import contextlib
import math
import queue
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hammerflow.stores.connections.error_codes import ErrorCode, ErrorKind, meaning
from hammerflow.stores.statements import TABLES, Statement
from hammerflow.stores.store import Store
from tests.stores.kit import Desk, open_raw

__all__ = ["Lane", "Path", "Race", "Step", "every_path", "some_paths"]

#: How long a statement may take before the database is asked whether it waits for a lock.
_PATIENCE = 0.002
_FAR_TOO_LONG = 60.0
#: No database ends a wait for a lock by itself.
_WAITS = {
    "postgres": "SET lock_timeout = 0",
    "mysql": "SET SESSION innodb_lock_wait_timeout = 1000000",
}
#: The code of a wait that took too long.
_LOCKED_OUT = {"postgres": "55P03", "mysql": "1205"}
#: PostgreSQL looks for a deadlock after a second; connections from now on after this many ms.
_QUICK = """DO $$ BEGIN
  EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = 10', current_database());
END $$"""


class Step(NamedTuple):
    """What a lane does next, and which tables it reads and writes (or locks rows of)."""

    name: str
    reads: frozenset[str]
    writes: frozenset[str]

    def meets(self, other: Step) -> bool:
        """Whether it matters which of the two comes first."""
        mine, others = self.reads | self.writes, other.reads | other.writes
        return bool(self.writes & others or mine & other.writes)


class Lane:
    """A store of its own whose every statement waits for its turn.

    BEGIN and the first statement are one step: no database takes a snapshot or a lock at BEGIN. On
    SQLite, whose writers take turns, a step is a whole transaction, or a read outside of one.

    Attributes:
        retries: how often the database told the lane's unit to begin again.
        connection: that of its last statement, which may be a read outside of it.
        holder: that of its transaction.
        holds_locks: it has done the first statement of a transaction.
        is_hurried: its transaction may give up on a lock; once in a run.
        gives_up: the statement that waits for a lock was ended.
    """

    def __init__(self, desk: Desk) -> None:
        self.store = desk.another()
        self.store.names.until = math.inf  # else they are looked up again every few seconds
        self.connection: Any = None
        self.holder: Any = None
        self.in_transaction = False
        self.holds_locks = False
        self.is_hurried = False
        self.gives_up = False
        self.retries = 0
        self.arrivals: queue.SimpleQueue[Step | None] = queue.SimpleQueue()
        self.outcome: Any = None
        self._has_turns = False
        self._has_given_up = False
        self._turn = threading.Semaphore(0)
        self._whole = desk.kind == "sqlite"
        self._written: frozenset[str] = frozenset()
        database: Any = self.store.database
        self._statements = {
            name: _step(statement, database.dialect.macros)
            for name, statement in database.dialect.statements.items()
        }
        database.dialect = _Dialect(database.dialect, self)

    def start(self, work: Callable[[], Any]) -> None:
        """Run up to the first step."""

        def body() -> None:
            try:
                self.outcome = work()
            except BaseException as error:  # noqa: BLE001 - raised by the race
                self.outcome = error
            finally:
                self._has_turns = False
                self.arrivals.put(None)

        self._has_turns = True
        self._has_given_up = False
        self.outcome = None
        self.retries = 0
        threading.Thread(target=body, daemon=True).start()

    def run_free(self) -> None:
        """Take no more turns."""
        self._has_turns = False

    def go(self) -> None:
        """Let it do its step."""
        self._turn.release()

    @property
    def way_out(self) -> Step:
        """What a hurried one may do while it waits for a lock: let go of all that it holds."""
        return Step("LOCKED OUT", frozenset(), self._written)

    def give_up(self) -> None:
        """The next error is that the time for a lock is over."""
        self.gives_up = self._has_given_up = True
        self.is_hurried = False

    def begin(self, connection: Any, *, one_writer: bool, is_hurried: bool) -> None:
        """Called by the store just before BEGIN."""
        self.holder = connection
        self._written = frozenset()
        self.is_hurried = is_hurried and not self._has_given_up
        if one_writer:  # what it will do is not known yet
            self._wait(connection, Step("transaction", frozenset(), frozenset(TABLES)))

    def run(self, connection: Any, statement: str) -> None:
        """Called just before a statement."""
        step = self._statements[statement]
        self._written |= step.writes
        if not (self._whole and self.in_transaction):
            self._wait(connection, step)
        self.holds_locks = self.in_transaction

    def commit(self, connection: Any) -> None:
        """Called just before COMMIT, which shows what was written and lets go of all locks."""
        if not self._whole:
            self._wait(connection, Step("COMMIT", frozenset(), self._written))

    def end(self) -> None:
        """Called just after COMMIT or ROLLBACK."""
        self.in_transaction = self.holds_locks = self.is_hurried = False

    def _wait(self, connection: Any, step: Step) -> None:
        self.connection = connection
        if self._has_turns:
            self.arrivals.put(step)
            self._turn.acquire()


_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE|SHARE)\b")


def _step(statement: Statement, macros: Mapping[str, str]) -> Step:
    """A statement's tables; all of them count as written where it writes or locks at all."""
    text = "".join(part for part in statement.parts if isinstance(part, str))
    tables = frozenset(table for table in TABLES if macros[table] in text)
    if "job_states" in tables:
        tables = frozenset(TABLES)
    if _WRITES.search(text):
        return Step(statement.name, frozenset(), tables)
    return Step(statement.name, tables, frozenset())


class _Tx:
    """A Tx whose statements are steps."""

    def __init__(self, tx: Any, lane: Lane) -> None:
        self.tx = tx
        self.lane = lane
        self.repeated = False
        self.since: float | None = None

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.tx, name)
        if name not in ("rows", "run", "many", "script"):
            return found

        def step(statement: str, *args: Any, **values: Any) -> Any:
            self.lane.run(self.tx.connection, statement)
            return found(statement, *args, **values)

        return step


class _Dialect:
    """A dialect whose transactions are in a lane."""

    def __init__(self, dialect: Any, lane: Lane) -> None:
        self._dialect = dialect
        self._lane = lane

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dialect, name)

    def connect(self) -> _Tx:
        tx = self._dialect.connect()
        if self._dialect.name in _WAITS:
            with tx.connection.cursor() as cursor:
                cursor.execute(_WAITS[self._dialect.name])
        return _Tx(tx, self._lane)

    def begin(self, tx: _Tx) -> None:
        self._begin(tx, is_hurried=False)

    def begin_hurried(self, tx: _Tx, _: float) -> None:
        self._begin(tx, is_hurried=True)

    def _begin(self, tx: _Tx, *, is_hurried: bool) -> None:
        one_writer = self._dialect.one_writer
        self._lane.begin(tx.tx.connection, one_writer=one_writer, is_hurried=is_hurried)
        self._dialect.begin(tx.tx)
        self._lane.in_transaction = True

    def commit(self, tx: _Tx) -> None:
        self._lane.commit(tx.tx.connection)
        self._dialect.commit(tx.tx)
        self._lane.end()

    def rollback(self, tx: _Tx) -> None:
        self._dialect.rollback(tx.tx)
        self._lane.end()

    def close(self, tx: _Tx) -> None:
        self._dialect.close(tx.tx)
        self._lane.end()

    def meaning(self, error: BaseException) -> ErrorCode:
        if self._lane.gives_up:
            self._lane.gives_up = False
            return meaning(self._dialect.name, _LOCKED_OUT[self._dialect.name])
        code: ErrorCode = self._dialect.meaning(error)
        self._lane.retries += code.kind is ErrorKind.CONTENTION
        return code


class Path:
    """One way through all the choices of whose turn it is.

    Two steps that have no table in common come out the same in either order, so only one order is
    gone: once all paths that begin with A's step are done, that step sleeps on those that begin
    with B's, until B does something that meets it (sleep sets: Godefroid, 1996).

    Args:
        given: what to choose at first.
        known: the two steps at each of these choices.
        pick: what to choose then; None for all paths in turn, with sleeping steps.

    Attributes:
        taken: what was chosen where there was a choice.
        is_redundant: another path is the same but for steps that have no table in common.
    """

    def __init__(
        self,
        given: Sequence[int] = (),
        known: Sequence[str] = (),
        pick: Callable[[], int] | None = None,
    ) -> None:
        self.taken: list[int] = []
        self.is_redundant = False
        self._given = given
        self._known = known
        self._seen: list[str] = []
        self._pick = pick
        self._sleeps = False  # A's step does

    def choose(self, ready: Mapping[int, Step]) -> int:
        """Whose turn it is."""
        number = self._choose(ready)
        if self._sleeps and (number == 0 or ready[1].meets(ready[0])):
            self._sleeps = False
        return number

    def _choose(self, ready: Mapping[int, Step]) -> int:
        if len(ready) == 1:
            self.is_redundant |= self._sleeps and 0 in ready
            return next(iter(ready))
        if self._sleeps or self.is_redundant:
            return 1
        at = len(self.taken)
        self._seen.append(f"{ready[0].name} or {ready[1].name}")
        assert [*self._known[at : at + 1]] in ([], [self._seen[at]]), (
            f"the same turns led to other steps: {self._seen[at]}, not {self._known[at]}"
        )
        pick = self._pick or (lambda: 0)
        self.taken.append(self._given[at] if at < len(self._given) else pick())
        self._sleeps = self._pick is None and self.taken[-1] == 1
        return self.taken[-1]

    def next(self) -> Path | None:
        """The path after this one, in lexical order."""
        left = list(self.taken)
        while left and left[-1] == 1:
            left.pop()
        return Path([*left[:-1], 1], self._seen[: len(left)]) if left else None

    @property
    def has_strayed(self) -> bool:
        """Whether there were fewer choices than were given: the run was not the same again."""
        return len(self.taken) < len(self._given)


def every_path(run: Callable[[Path], None]) -> int:
    """Run each path; how many there are that are not redundant."""
    count = 0
    path: Path | None = Path()
    while path is not None:
        run(path)
        assert not path.has_strayed, "the same turns led to another end"
        count += not path.is_redundant
        path = path.next()
    return count


def some_paths(run: Callable[[Path], None], number: int, seed: str) -> int:
    """Run paths at random; how many of them were different."""
    seen = set()
    pick = random.Random(seed)
    for _ in range(number):
        path = Path(pick=lambda: pick.randrange(2))
        run(path)
        seen.add(tuple(path.taken))
    return len(seen)


class Race:
    """Two lanes, and an eye on who waits for whose lock.

    Attributes:
        story: the steps of the last run.
        retries: how often a unit of any run was told to begin again (deadlocks).
        lockouts: how often one gave up on a lock.
    """

    def __init__(self, desk: Desk) -> None:
        self.lanes = (Lane(desk), Lane(desk))
        self.story: list[str] = []
        self.retries = 0
        self.lockouts = 0
        self._kind = desk.kind
        self._eye = open_raw(desk.url)
        if desk.kind == "postgres":
            desk.sql(_QUICK)

    def close(self) -> None:
        """Close all connections."""
        self._eye.close()
        for lane in self.lanes:
            lane.store.close()

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """An error of the block says what was done before it."""
        try:
            yield
        except Exception as error:
            error.add_note(" | ".join(self.story))
            raise

    def run(self, works: Sequence[Callable[[Store], Any]], path: Path) -> list[Any]:
        """Run both, in turns as the path says; what they returned."""
        self.story = []
        ready: dict[int, Step] = {}
        inside: set[int] = {0, 1}
        for lane, work in zip(self.lanes, works, strict=True):
            lane.start(lambda work=work, lane=lane: work(lane.store))  # type: ignore[misc]
        for number in (0, 1):
            self._await(number, ready, inside, until_blocked=False)
        while ready or inside:
            if ready:
                blocked = {n: self.lanes[n].way_out for n in inside if self.lanes[n].is_hurried}
                number = path.choose(ready | blocked)
                if path.is_redundant:
                    return self._finish(ready, inside)
                self.story.append(f"{'AB'[number]} {(ready | blocked)[number].name}")
                has_waited = number in inside
                if has_waited:
                    self._end_wait(self.lanes[number])
                else:
                    del ready[number]
                    inside.add(number)
                    self.lanes[number].go()
                self._await(number, ready, inside, until_blocked=not has_waited)
            for number in sorted(inside):
                if not (ready and self.lanes[1 - number].holds_locks):  # else it still waits
                    self._await(number, ready, inside)
        return self._outcomes()

    def _finish(self, ready: dict[int, Step], inside: set[int]) -> list[Any]:
        """Let both run to their ends, without turns: they have met already in another run."""
        for lane in self.lanes:
            lane.run_free()
        for number in ready:
            self.lanes[number].go()
        for lane in (self.lanes[number] for number in {*ready, *inside}):
            while lane.arrivals.get(timeout=_FAR_TOO_LONG):
                lane.go()
        return self._outcomes()

    def _outcomes(self) -> list[Any]:
        for lane in self.lanes:
            self.retries += lane.retries
            if isinstance(lane.outcome, BaseException):
                raise lane.outcome
        return [lane.outcome for lane in self.lanes]

    def _await(
        self, number: int, ready: dict[int, Step], inside: set[int], *, until_blocked: bool = True
    ) -> None:
        """Return when the lane comes to its next step or to its end, or waits for a lock."""
        lane, other = self.lanes[number], self.lanes[1 - number]
        deadline = time.monotonic() + _FAR_TOO_LONG
        while True:
            with contextlib.suppress(queue.Empty):
                step = lane.arrivals.get(timeout=_PATIENCE)
                inside.discard(number)
                if step is not None:
                    ready[number] = step
                return
            if until_blocked and other.holds_locks and self._waits(lane, other):
                return
            assert time.monotonic() < deadline, "a step does not end"

    def _end_wait(self, lane: Lane) -> None:
        """End the statement that waits for a lock."""
        lane.give_up()
        self.lockouts += 1
        with self._eye.cursor() as cursor:
            if self._kind == "postgres":
                pid = lane.connection.info.backend_pid
                cursor.execute("SELECT pg_cancel_backend(%s)", (pid,))
            else:
                cursor.execute(f"KILL QUERY {lane.connection.thread_id()}")

    def _waits(self, lane: Lane, other: Lane) -> bool:
        """Whether the lane's statement waits for a lock of the other, and not of a vacuum, say."""
        cursor = self._eye.cursor()
        if self._kind == "postgres":
            pids = (lane.connection.info.backend_pid, other.holder.info.backend_pid)
            cursor.execute("SELECT pg_blocking_pids(%s) @> ARRAY[%s::int]", pids)
            return bool(cursor.fetchone()[0])
        if self._kind == "mysql":  # the tables of information_schema are up to 0.1 s old
            cursor.execute("SHOW ENGINE INNODB STATUS")
            thread = f"thread id {lane.connection.thread_id()},"
            for transaction in cursor.fetchone()[2].split("---TRANSACTION ")[1:]:
                if thread in transaction:
                    return "LOCK WAIT" in transaction
        return False

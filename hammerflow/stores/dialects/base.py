"""What the three drivers share: a connection that runs named statements, and their texts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from hammerflow.errors import NotEncodable
from hammerflow.stores.connections.error_codes import ErrorCode, ErrorKind, meaning
from hammerflow.stores.connections.tx_state import TxState
from hammerflow.stores.statements import Statements, load_statements, table_names

__all__ = ["NO_TRANSACTION", "BlockingCursor", "Bridge", "DriverDialect", "DriverTx"]

#: Runs a coroutine of an async driver on its event loop, from another thread, to its end.
Bridge: TypeAlias = Callable[[Awaitable[Any]], Any]

#: Why a caller's connection cannot carry jobs, where it is in autocommit mode.
NO_TRANSACTION = (
    "it is in autocommit mode and no transaction is open, so a job would be committed even where "
    "your own writes are rolled back; begin a transaction first"
)

_NOT_WRITABLE = ErrorCode("a value that no column takes", ErrorKind.DATA)


class DriverTx:
    """One connection of a driver; see :class:`hammerflow.stores.database.Tx`."""

    repeated = False
    since: float | None = None
    interrupted = False
    has_jobs = False
    has_events = False

    def __init__(
        self,
        connection: Any,
        statements: Statements,
        *,
        foreign: bool,
        bridge: Bridge | None = None,
    ) -> None:
        self.connection = connection
        self._bridge = bridge  # of an async connection
        self.foreign = foreign
        self._statements = statements
        self._prepare()

    def _prepare(self) -> None:
        """Make what the driver's statements need."""

    def lend(self) -> Any:
        """The driver's connection, for statements of the user."""
        return self.connection

    def has(self, name: str) -> bool:
        """Whether the dialect has a statement of this name."""
        return name in self._statements

    def script(self, text: str) -> None:
        """One statement at a time, where the driver takes no more: each ends with its line."""
        cursor = self.connection.cursor()
        for piece in text.split(";\n"):
            if piece.strip():
                cursor.execute(piece)

    def stream(self, name: str, size: int, /, **values: Any) -> Iterator[list[tuple[Any, ...]]]:
        """See :class:`hammerflow.stores.tables.SnapshotTx`."""
        raise NotImplementedError

    def cut(self) -> None:
        """Nothing, where the driver's own timeouts end every statement."""


class BlockingCursor:
    """A cursor of an async driver, for code that runs in another thread than its event loop."""

    def __init__(self, cursor: Any, bridge: Bridge) -> None:
        self._cursor = cursor
        self._bridge = bridge

    def execute(self, *args: Any, **options: Any) -> BlockingCursor:
        """Run a statement."""
        self._bridge(self._cursor.execute(*args, **options))
        return self

    def fetchall(self) -> Any:
        """All rows of the last statement."""
        return self._bridge(self._cursor.fetchall())

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        return int(self._cursor.rowcount)


class DriverDialect:
    """A driver's texts and connections; see :class:`hammerflow.stores.database.Dialect`.

    Args:
        quote: how the dialect quotes a name.
        macros: what the dialect writes for ``{now}``, ``{after:x}`` and the like.
    """

    name: str
    tx_type: ClassVar[type[DriverTx]]
    connection_type: ClassVar[type]
    one_writer = False

    def __init__(
        self, prefix: str, schema: str | None, quote: str, macros: Mapping[str, str]
    ) -> None:
        tables = table_names(prefix, schema, quote)
        self.macros: Mapping[str, str] = {**tables, "prefix": prefix, **macros}
        self.statements: Statements = load_statements(self.name, self.macros)

    def owns(self, connection: Any) -> bool:
        """Whether this is a connection of the driver, or a proxy that says so."""
        try:
            return isinstance(connection, self.connection_type)
        except (Exception, SystemExit):  # noqa: BLE001 - a border: the object's own ``__class__``
            return False

    def owns_async(self, connection: Any) -> bool:
        """No, where hammerflow knows no async driver."""
        return False

    def check(self, tx: Any) -> None:
        """Nothing, where a server holds the database."""

    def begin_snapshot(self, tx: Any) -> None:
        """Open a transaction that only reads, all of it as of now."""
        raise NotImplementedError

    def begin_hurried(self, tx: Any, patience: float) -> None:
        """Begin, where the work sets the time itself, or a transaction locks the whole database."""
        self.begin(tx)

    def begin(self, tx: Any) -> None:
        """Open a transaction."""
        raise NotImplementedError

    def state(self, tx: Any) -> TxState:
        """What the statements of a caller have made of a transaction."""
        raise NotImplementedError

    def wrap_async(self, connection: Any, call: Bridge) -> Any:
        """Work on the caller's async connection, in the caller's transaction."""
        return self.tx_type(connection, self.statements, foreign=True, bridge=call)

    def meaning(self, error: BaseException) -> ErrorCode:
        """What an error means, by the table of the dialect's codes."""
        if isinstance(error, NotEncodable | UnicodeError | OverflowError):
            return _NOT_WRITABLE  # raised before anything was sent
        return meaning(self.name, *self.codes(error))

    def words(self, error: BaseException) -> str:
        """What the driver says, in one line for a sentence of ours."""
        return " ".join(str(error).split())

    def codes(self, error: BaseException) -> Sequence[str]:
        """The codes of a driver's error in the dialect's table, the most exact one first."""
        raise NotImplementedError

    def wrap(self, connection: Any) -> Any:
        """Work on the caller's connection, in the caller's transaction."""
        return self.tx_type(connection, self.statements, foreign=True)

    def is_full(self, error: BaseException) -> bool:
        """No, where connections are files."""
        return False

    def close(self, tx: Any) -> None:
        """Close the connection."""
        tx.connection.close()

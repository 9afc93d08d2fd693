"""Session: the app and database of one call of the command line, and how it prints."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

import click

from hammerflow.cli import output
from hammerflow.errors import ConfigError

if TYPE_CHECKING:  # the engine is imported by the command that uses it: --help needs none of it
    from hammerflow.app import Hammerflow
    from hammerflow.codec.codec import Codec
    from hammerflow.notifiers import Notifier
    from hammerflow.settings import Settings
    from hammerflow.stores.store import Store

__all__ = ["Session", "SessionBackend", "is_missing"]

T = TypeVar("T")
#: Headings and rows.
Table: TypeAlias = tuple[Sequence[str], Sequence[Sequence[Any]]]
_NO_APP = "hammerflow"  # whose settings a command has that is given no app
_NO_TRANSACTION: ContextVar[Any] = ContextVar("open", default=None)


@dataclasses.dataclass(frozen=True, slots=True)
class SessionBackend:
    """What handles on jobs and workflows need, opened from the command line's settings."""

    store: Store
    notifier: Notifier
    codec: Codec
    poll: float
    lease: float
    settings: Settings
    async_calls: Any = None  # commands run no event loop
    open_transaction: ContextVar[Any] = _NO_TRANSACTION


@dataclasses.dataclass(slots=True)
class Session:
    """One call of the command line; the app is imported only by commands that need it, or where
    its settings name the database."""

    app_spec: str | None = None  # package.module:app
    is_app_asked_for: bool = False  # -A gave it, not only $HAMMERFLOW_APP
    database: str | None = None  # its URL
    as_json: bool = False
    as_lines: bool = False  # JSON, and of a list one document a line
    _app: Hammerflow | None = None

    @property
    def spec(self) -> str:
        """``package.module:app``, which the command needs."""
        if self.app_spec is None:
            raise click.UsageError(
                "which app? Name it: hammerflow -A package.module:app ..., or set $HAMMERFLOW_APP"
            )
        return self.app_spec

    @property
    def app(self) -> Hammerflow:
        """The user's app, imported."""
        from hammerflow.worker.loading import load_app

        if self._app is None:
            _check_folder()
            with _exit_as_error():
                self._app = load_app(self.spec, database=self.database)
        return self._app

    @property
    def settings(self) -> Settings:
        """The app's settings if an app is given (``--database`` alone needs none), else those of
        the environment and of hammerflow.toml."""
        from hammerflow.settings import environ_with, load_settings

        if self._is_app_meant:
            return self.app.settings
        environ = environ_with(self.database, os.environ) if self.database else os.environ
        found = load_settings(_NO_APP, {}, environ, Path("hammerflow.toml"))
        return found.with_database(self.database, "--database") if self.database else found

    @property
    def is_namespace_known(self) -> bool:
        """Whether an app, the environment or hammerflow.toml gave the namespace."""
        return self._is_app_meant or self.settings.namespace != _NO_APP

    @property
    def _is_app_meant(self) -> bool:
        is_named = self.app_spec is not None and self.database is None
        return self._app is not None or self.is_app_asked_for or is_named

    @property
    def codec(self) -> Codec:
        """The app's codec, with the classes it registers; else one that knows the plain types."""
        from hammerflow.codec.codec import Codec

        settings = self.settings
        return self._app.codec if self._app is not None else Codec(max_bytes=settings.max_payload)

    @property
    def declared_queues(self) -> set[str]:
        """The default queue, and those that the tasks of the app name if it is imported."""
        tasks = self._app.tasks.values() if self._app is not None else ()
        return {"default", *(task.defaults.queue for task in tasks)}

    @property
    def declared_tasks(self) -> set[str]:
        """The names of the tasks of the app if it is imported."""
        return set(self._app.tasks) if self._app is not None else set()

    @property
    def declared_sink_code(self) -> frozenset[str]:
        """What the sinks of the app's code need to be imported, if the app is imported."""
        return self._app.sinks.code() if self._app is not None else frozenset()

    def max_attempts(self, task: str) -> int | None:
        """How many attempts a job of this task has; None if the app is not imported or lacks it."""
        found = self._app.tasks.get(task) if self._app is not None else None
        return None if found is None else found.defaults.max_attempts

    @contextlib.contextmanager
    def store(self) -> Iterator[Store]:
        """The store of jobs that exist already, its schema checked; a command that reads does not
        create a SQLite file."""
        from hammerflow.stores import open_checked_store

        settings = self.settings
        if is_missing(settings):
            raise ConfigError(
                f"there is no database {settings.url.redacted} yet: run hammerflow migrate to "
                "make it, or name another one with --database or -A"
            )
        with contextlib.closing(open_checked_store(settings, migrate_embedded=False)) as store:
            yield store

    @contextlib.contextmanager
    def backend(self) -> Iterator[SessionBackend]:
        """Store and doorbell, for commands that change jobs or workflows."""
        from hammerflow.cli.doorbells import open_doorbells
        from hammerflow.notifiers.relay_bell import RelayBell

        settings = self.settings
        with contextlib.ExitStack() as opened:
            store = opened.enter_context(self.store())
            notifier = opened.enter_context(
                contextlib.closing(open_doorbells(settings, store, self.warn))
            )
            store.database.on_events = RelayBell(notifier)
            yield SessionBackend(
                store, notifier, self.codec, settings.poll, settings.lease, settings
            )

    def warn(self, text: str) -> None:
        """Print a warning to standard error."""
        output.complain("warning", text, as_json=self.as_json)

    def tell(self, found: Any, *sentences: str) -> None:
        """Print one outcome: ``found`` as JSON, or the sentences, one a line."""

        def show() -> None:
            for sentence in sentences:
                output.say(sentence)

        self._show(found, show)

    def show_facts(self, found: Any, facts: Mapping[str, Any], table: Table = ((), ())) -> None:
        """Print one thing: ``found`` as JSON, or one fact a line, then the table if it has rows."""

        def show() -> None:
            output.show_facts(facts)
            if table[1]:
                output.say("")
                output.show_table(*table, empty="")

        self._show(found, show)

    def show_list(self, things: Sequence[T], view: output.TableView[T], *, empty: str) -> None:
        """Print things of one kind, or the sentence ``empty`` when there are none."""
        if self.as_json:
            output.show_json_list(map(view.as_json, things), is_lines=self.as_lines)
        else:
            rows = [view.row(one) for one in things]
            output.show_table(view.heads, rows, empty=empty)

    def show_table(self, found: Any, table: Table, *, empty: str = "") -> None:
        """Print many things: ``found`` as JSON, or a table; ``empty`` if there is no row."""
        self._show(found, lambda: output.show_table(*table, empty=empty))

    def _show(self, found: Any, show: Callable[[], None]) -> None:
        if self.as_json:
            output.show_json(found)
        else:
            show()


def _check_folder() -> None:
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise ConfigError("the working directory is gone: go to the project's folder") from error


@contextlib.contextmanager
def _exit_as_error() -> Iterator[None]:
    """Make a module that calls ``os._exit`` while it is imported fail as one that raises.

    The command would else end without a word. A process that the module forks may exit.
    """
    real, here = os._exit, os.getpid()

    def refuse(status: int) -> NoReturn:
        if os.getpid() != here:
            real(status)
        raise SystemExit(f"os._exit({status})")

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = real


def is_missing(settings: Settings) -> bool:
    """Whether the database is a file that does not exist."""
    if settings.url.dialect != "sqlite":
        return False
    try:
        return not Path(settings.url.database).exists()
    except OSError:  # a folder that this user may not search: opening it tells
        return False

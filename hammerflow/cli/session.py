"""Session: what the command line says about app and database, and what is opened from it."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from hammerflow.errors import ConfigError

if TYPE_CHECKING:  # the engine is imported by the command that uses it: --help needs none of it
    from hammerflow.app import Hammerflow
    from hammerflow.codec.codec import Codec
    from hammerflow.notifiers import Notifier
    from hammerflow.settings import Settings
    from hammerflow.stores.store import Store

__all__ = ["Backend", "Session", "bell_of", "is_missing", "shared", "who"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True, slots=True)
class Backend:
    """What a handle on a job or workflow needs, from the command line's settings."""

    store: Store
    notifier: Notifier
    codec: Codec
    poll: float
    in_thread: Callable[..., Any]


@dataclasses.dataclass(slots=True)
class Session:
    """One call of the command line. The app is imported only where a command needs it, or where
    its settings say which database is meant."""

    app_spec: str | None = None
    is_app_asked_for: bool = False  # by -A, not only by $HAMMERFLOW_APP
    database: str | None = None
    as_json: bool = False
    _app: Hammerflow | None = None

    @property
    def spec(self) -> str:
        """``package.module:app``.

        Raises:
            click.UsageError: none was given.
        """
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
            self._app = load_app(self.spec)
            if self.database is not None:
                self._app.settings = dataclasses.replace(self._app.settings, database=self.database)
        return self._app

    @property
    def settings(self) -> Settings:
        """Those of the app if one is named (``--database`` alone needs none), else those of the
        environment and of hammerflow.toml."""
        from hammerflow.settings import load_settings

        if self._app is not None or self.is_app_asked_for:
            return self.app.settings
        if self.app_spec is not None and self.database is None:
            return self.app.settings
        return load_settings(
            "hammerflow", {"database": self.database}, os.environ, Path("hammerflow.toml")
        )

    @property
    def codec(self) -> Codec:
        """That of the app, with the classes it registers; else one that knows the plain types."""
        from hammerflow.codec.codec import Codec

        settings = self.settings
        return self._app.codec if self._app is not None else Codec(max_bytes=settings.max_payload)

    @contextlib.contextmanager
    def store(self) -> Iterator[Store]:
        """The store of jobs that exist already, its schema checked.

        Raises:
            ConfigError: an embedded database that is not there (looking must not create it).
        """
        from hammerflow.stores import open_store

        settings = self.settings
        if is_missing(settings):
            raise ConfigError(
                f"there is no database {settings.url.redacted} yet: run hammerflow migrate to "
                "make it, or name another one with --database or -A"
            )
        store = open_store(settings)
        try:
            store.schema.check()
            yield store
        finally:
            store.close()

    @contextlib.contextmanager
    def notifier(self) -> Iterator[Notifier]:
        """The doorbell."""
        with contextlib.closing(bell_of(self.settings)) as notifier:
            yield notifier

    @contextlib.contextmanager
    def backend(self) -> Iterator[Backend]:
        """Store and doorbell for handles on workflows."""
        with self.store() as store, self.notifier() as notifier:
            yield Backend(store, notifier, self.codec, self.settings.poll, _in_thread)


def _in_thread(work: Callable[..., Any], *args: Any) -> Any:
    """Commands run no event loop."""
    return work(*args)


def who() -> str:
    """Who gives this command: ``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "someone"
    return f"{user}@{socket.gethostname()}"


def is_missing(settings: Settings) -> bool:
    """Whether the database is a file that is not there."""
    return settings.url.dialect == "sqlite" and not Path(settings.url.database).exists()


def bell_of(settings: Settings) -> Notifier:
    """The doorbell that the settings name.

    Raises:
        ConfigError: its URL is wrong, or its driver is not installed.
    """
    from hammerflow.notifiers import open_notifier
    from hammerflow.stores import open_store

    return open_notifier(settings, connect=open_store(settings).database.open_connection)


def shared(command: F) -> F:
    """Give a command the options that all have, before and after its name, and the session as
    first argument."""
    passed = click.make_pass_decorator(Session, ensure=True)(command)
    for option in reversed(_OPTIONS):
        passed = option(passed)
    return passed  # type: ignore[return-value]


def _check_url(url: str) -> None:
    from hammerflow.settings import parse_url

    try:
        parse_url(url)
    except ConfigError as error:
        raise ConfigError(f"--database: {error}") from error


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        session = ctx.ensure_object(Session)
        source = ctx.get_parameter_source(parameter.name or "")
        if value is None or value is False:
            return
        if source is ParameterSource.ENVIRONMENT and getattr(session, name) is not None:
            return  # said on the command line already, before the command's name
        if name == "database":
            _check_url(value)
        setattr(session, name, value)
        if name == "app_spec":
            session.is_app_asked_for = source is ParameterSource.COMMANDLINE

    return keep


_OPTIONS = (
    click.option(
        "-A", "--app", "app_spec", envvar="HAMMERFLOW_APP", metavar="MODULE:APP",
        expose_value=False, callback=_keep("app_spec"), help="The app [env: HAMMERFLOW_APP].",
    ),
    click.option(
        "--database", metavar="URL", expose_value=False, callback=_keep("database"),
        help="The database, instead of the app's [env: HAMMERFLOW_DATABASE_URL].",
    ),
    click.option(
        "--json", "as_json", is_flag=True, expose_value=False, callback=_keep("as_json"),
        help="Print JSON; errors too.",
    ),
    click.option(
        "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."
    ),
)  # fmt: skip

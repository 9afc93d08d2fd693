"""``hammerflow config``: the settings, where each comes from, and the file that holds them."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any, NamedTuple

import click

from hammerflow.cli.config_file import with_setting
from hammerflow.cli.options import argument, shared
from hammerflow.cli.output import TableView
from hammerflow.cli.session import Session
from hammerflow.errors import ConfigError
from hammerflow.options.checks import text
from hammerflow.settings import SETTINGS, Settings, check_file
from hammerflow.text import either
from hammerflow.urls.redis import redacted_redis_url

__all__ = ["command"]

_FILE = Path("hammerflow.toml")
_LONGEST = 10_000  # characters of a value
_name = argument("name", text(100, least=1))


class ShownSetting(NamedTuple):
    """A setting, without secrets."""

    name: str
    value: Any
    source: str
    default: str


@click.group("config")
def command() -> None:
    """Show the settings, where each comes from, and set them in hammerflow.toml.

    A keyword of Hammerflow(...) overrides the environment, which overrides the file; keywords count
    if -A names the app. Passwords are hidden.
    """


@command.command("show")
@shared
def show(session: Session) -> None:
    """List all settings with their values and sources."""
    settings = session.settings
    session.show_list([_shown(settings, name) for name in SETTINGS.by_name], _SETTINGS, empty="")


@command.command("get")
@_name
@shared
def get(session: Session, name: str) -> None:
    """Print the value of one setting, as workers and clients take it."""
    found = _shown(session.settings, _known(name))
    session.tell(found._asdict(), "" if found.value is None else str(found.value))


@command.command("set")
@_name
@argument("value", text(_LONGEST))
@shared
def set_(session: Session, name: str, value: str) -> None:
    """Set one setting in the hammerflow.toml of the working directory.

    The other lines stay as they are, comments included. A value of several lines is not touched.

    \b
    Example:
      hammerflow config set lease 60
    """
    changed = with_setting(_FILE, _known(name), value, check_file)
    temporary = _FILE.with_name(f".{_FILE.name}.{os.getpid()}")
    try:
        temporary.touch(mode=0o600)  # it may hold a password
        temporary.write_text(changed, "utf-8")
        if _FILE.exists():
            temporary.chmod(_FILE.stat().st_mode & 0o777)
        temporary.replace(_FILE)
    finally:
        temporary.unlink(missing_ok=True)
    found = _shown(session.settings, name)
    if found.source != str(_FILE):
        session.warn(f"{name} is still {found.value}: {found.source} wins over {_FILE}")
    session.tell(found._asdict(), f"set {name} in {_FILE.absolute()}")


@command.command("path")
@shared
def path(session: Session) -> None:
    """Print where hammerflow.toml is read and written: in the working directory."""
    place = _FILE.absolute()
    note = "" if place.exists() else " (it does not exist)"
    session.tell({"path": str(place), "exists": place.exists()}, f"{place}{note}")


def _known(name: str) -> str:
    if name in SETTINGS.by_name:
        return name
    near = difflib.get_close_matches(name, SETTINGS.by_name, n=3)
    hint = f"did you mean {either(near)}?" if near else "see hammerflow config show"
    raise ConfigError(f"there is no setting {name!r}: {hint}")


def _shown(settings: Settings, name: str) -> ShownSetting:
    value = getattr(settings, name)
    if name == "database":
        value = settings.url.redacted
    elif name == "redis" and value is not None:
        value = redacted_redis_url(value)
    elif isinstance(value, tuple):
        value = list(value)
    source = settings.sources.get(name, "default")
    return ShownSetting(name, value, source, SETTINGS.by_name[name].default)


def _row(found: ShownSetting) -> tuple[Any, ...]:
    value = ", ".join(found.value) if isinstance(found.value, list) else found.value
    return found.name, value, found.source, found.default


_SETTINGS: TableView[ShownSetting] = TableView(
    ("name", "value", "from", "default"), _row, ShownSetting._asdict
)

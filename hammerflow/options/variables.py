"""Variables: texts of options that name ``${VARIABLE}`` of the environment, who may name which, and
what is hidden."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from hammerflow.errors import ConfigError
from hammerflow.options.checks import Unfit, ValueCheck

__all__ = [
    "CLOSED",
    "HIDDEN",
    "SINK_PREFIX",
    "VARIABLES",
    "Bounds",
    "check_variables",
    "filled",
    "is_variable",
    "redacted",
    "refuse_hidden",
]

#: Shown instead of a secret.
HIDDEN: Final = "********"
#: With which the variables begin that every sink, webhook and alert target may name.
SINK_PREFIX: Final = "HAMMERFLOW_SINK_"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
#: The password of a URL; also one with a slash in it, which no URL can have: then a port does not
#: follow the colon. Its length is bounded, so that a long text is read once.
_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):[^/\s]+@")
_BROKEN = re.compile(r"(?<=://)([^/@:\s\[]*):(?!\*{8}@)(?![0-9]{1,5}(?:[/?#,\s]|$))[^\s@]{1,200}@")
#: A secret in the query of a URL, by its name; not the name of a variable.
_IN_QUERY = re.compile(
    r"([?&][\w.-]{0,40}(?:token|secret|passw|signature|api_?key|access_?key|auth)[\w.-]{0,40}=)"
    r"(?!\$\{)[^&#\s]+", re.IGNORECASE,
)  # fmt: skip


def _variables(value: Any) -> tuple[str, ...]:
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise Unfit
    for part in parts:
        if not _NAME.fullmatch(part):
            raise Unfit(value=part)
    return tuple(parts)


#: Names of environment variables, as a list or separated by commas.
VARIABLES: Final = ValueCheck(
    "list[str]", "names of environment variables, such as OPS_TOKEN", _variables,
    bounds="names of variables",
)  # fmt: skip


class Bounds(NamedTuple):
    """What the options of a sink, webhook or alert target may read and reach that no code declares,
    but a row of the database: a right to write rows, as by the REST API, is none to read the
    environment of the workers, or what answers in their network.

    Attributes:
        variables: of the environment, besides those that begin with :data:`SINK_PREFIX`.
        networks: that HTTP requests may reach though they are not public.
    """

    variables: Collection[str] = ()
    networks: Sequence[str] = ()


#: Of an app that allows nothing more.
CLOSED: Final = Bounds()


def is_variable(value: Any) -> bool:
    """Whether a value is a text that names a variable."""
    return isinstance(value, str) and _VARIABLE.search(value) is not None


def check_variables(owner: str, value: Any, bounds: Bounds | None) -> None:
    """Refuse variables that are not for rows of the database.

    Args:
        owner: whose option it is, for the message: ``"the sink audit"``.
        bounds: None: of code, which may name all.

    Raises:
        ConfigError: a variable is out of bounds.
    """
    if bounds is None:
        return
    for name in _names(value):
        if not name.startswith(SINK_PREFIX) and name not in bounds.variables:
            raise ConfigError(
                f"{owner} must not read the environment variable {name}, as no code declares it: "
                f"give the variable a name that begins with {SINK_PREFIX}, or list it in the "
                "setting sink_environment"
            )


def _names(value: Any) -> Iterator[str]:
    """The variables that a value names, at any depth."""
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _names(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _names(one)
    elif isinstance(value, str):
        yield from _VARIABLE.findall(value)


def filled(owner: str, value: Any, bounds: Bounds | None = None) -> Any:
    """A value with its variables replaced by those of the environment.

    Args:
        owner, bounds: those of :func:`check_variables`.

    Raises:
        ConfigError: a variable is not set, or is out of bounds.
    """
    check_variables(owner, value, bounds)
    return _filled(owner, value)


def _filled(owner: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _filled(owner, one) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(owner, one) for one in value]
    if not isinstance(value, str):
        return value

    def variable(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise ConfigError(f"{owner} needs the environment variable {found[1]}")
        return os.environ[found[1]]

    return _VARIABLE.sub(variable, value)


def refuse_hidden(owner: str, options: Mapping[str, Any]) -> None:
    """Refuse what was shown instead of a secret: who changes options that were read must give
    their secrets again.

    Raises:
        ConfigError: an option has it; names the option.
    """
    for name, value in options.items():
        if HIDDEN in str(value):
            raise ConfigError(
                f"{owner}: {HIDDEN} in {name} is shown instead of a secret: give the secret again"
            )


def redacted(value: Any) -> Any:
    """A value without the passwords of its URLs, and without what their queries call secret."""
    if isinstance(value, Mapping):
        return {key: redacted(one) for key, one in value.items()}
    if isinstance(value, list):
        return [redacted(one) for one in value]
    if not isinstance(value, str):
        return value
    for pattern in (_PASSWORD, _BROKEN):
        value = pattern.sub(rf"\1:{HIDDEN}@", value)
    return _IN_QUERY.sub(rf"\1{HIDDEN}", value)

"""The kinds of sinks by name, and how the configuration of a sink is checked, shown and opened."""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from hammerflow.errors import ConfigError
from hammerflow.events.event import KEYS
from hammerflow.options.checks import Unfit, ValueCheck, choice, duration, whole
from hammerflow.options.option import Option, OptionTable, checked
from hammerflow.options.variables import (
    HIDDEN,
    Bounds,
    check_variables,
    filled,
    is_variable,
    redacted,
    refuse_hidden,
)
from hammerflow.sinks.base import Sink
from hammerflow.text import plain_text, safe_repr

__all__ = [
    "COMMON", "KINDS", "check_config", "code_of", "config_of_text", "encoder", "kind_class",
    "open_sink", "shown_config",
]  # fmt: skip

#: Name of each kind; ``hammerflow.sinks.<module>`` holds the class behind the colon. The module is
#: imported only by the process that needs it, and so are the drivers in it.
KINDS: Final[Mapping[str, str]] = {
    "none": "hammerflow.sinks.none:NoSink",
    "log": "hammerflow.sinks.log:LogSink",
    "file": "hammerflow.sinks.file:FileSink",
    "http": "hammerflow.sinks.http:HttpSink",
    "redis": "hammerflow.sinks.redis_stream:RedisStreamSink",
    "webhook": "hammerflow.sinks.webhook:WebhookSink",
    "hook": "hammerflow.sinks.hook:HookSink",
    "nats": "hammerflow.sinks.nats_stream:NatsSink",
    "kafka": "hammerflow.sinks.kafka:KafkaSink",
    "kinesis": "hammerflow.sinks.kinesis:KinesisSink",
    "pubsub": "hammerflow.sinks.pubsub:PubSubSink",
}


def _include(value: Any) -> list[str]:
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else list(value)
    if not all(part in ("args", "result") for part in parts):
        raise Unfit
    return sorted({*parts})


def _key(value: Any) -> str:
    text = plain_text(value) or ""
    if text in KEYS or re.fullmatch(r"header:[^\s:]{1,100}", text):
        return text
    raise Unfit


def _encode(value: Any) -> str:
    if callable(value):
        found = f"{value.__module__}:{value.__qualname__}"
        if "<" in found or value.__module__ == "__main__":
            raise Unfit(advice="the relay imports it: write it at the top level of a module")
        return found
    text = plain_text(value) or ""
    if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", text):
        raise Unfit
    return text


_ENCODE = ValueCheck("Callable[[Event], bytes] | str", "a function, or module:function", _encode)
_INCLUDE = ValueCheck("list[str]", "args, result or both", _include, bounds="args, result")

#: Options of every sink.
COMMON = OptionTable((
    Option(
        "key", ValueCheck("str", f"{', '.join(KEYS)} or header:NAME", _key), '"job"',
        "Events with the same one stay in order, where the sink has partitions: "
        f"{', '.join(KEYS)} or header:NAME.",
    ),
    Option(
        "encoding", choice("cloudevents", "binary", "plain"), '"cloudevents"',
        "The body: a CloudEvent as JSON; `binary`: its data, with the attributes in headers; "
        "`plain`: the event as `event list --json` prints it.",
    ),
    Option(
        "encode", _ENCODE,
        "None", "A function that makes the body of an event, for other formats than JSON.",
    ),
    Option(
        "include", _INCLUDE, "[]",
        "What is told of jobs besides: `args`, `result`. Left out by default: it leaves the "
        "database.",
    ),
    Option(
        "batch", whole(1, 5_000), "500",
        "Maximum number of events that are sent together; halved while nothing arrives.",
    ),
    Option(
        "on_poison", choice("park", "stop"), '"park"',
        "What happens to an event that the sink refuses for good: `park` keeps it in a list and "
        "continues, `stop` stops the sink until somebody resumes it.",
    ),
    Option(
        "backoff", duration(zero=False, most=3_600), "60",
        "Maximum seconds between two attempts; they begin at half a second and double.",
    ),
))  # fmt: skip


def code_of(kind: str, config: Mapping[str, Any]) -> set[str]:
    """What a sink needs to be imported that is not hammerflow's own: ``module:name``."""
    found = {kind} - KINDS.keys()
    return found | ({str(config["encode"])} if config.get("encode") else set())


def kind_class(kind: str) -> type[Sink]:
    """The class of a kind: of :data:`KINDS`, or ``module:Class`` of the user's own.

    To be called with what a person or the app's code has written, and never with a row alone: the
    relay imports nothing that only the database names (see :func:`code_of`).

    Raises:
        ConfigError: there is no such kind, or what it needs is not installed.
    """
    path = KINDS.get(kind) or (kind if ":" in kind else None)
    if path is None:
        raise ConfigError(
            f"there is no kind of sink {safe_repr(kind)}: it is {', '.join(KINDS)}, or "
            "module:Class of your own"
        )
    module, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"the sink {kind} cannot be imported: {error}") from error
    return found  # type: ignore[no-any-return]


def check_config(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a sink as JSON takes them, checked; a text may name ``${VARIABLE}`` of the
    environment of the relay, which is read when the sink is opened.

    Raises:
        ConfigError: an option is unknown or of the wrong type.
    """
    options = OptionTable((*COMMON, *kind_class(kind).OPTIONS))
    refuse_hidden(f"the sink of kind {kind}", given)
    literal = {name: value for name, value in given.items() if not is_variable(value)}
    found = checked(options, literal, f"the sink of kind {kind}", unknown=ConfigError)
    for name, value in given.items():
        if is_variable(value):
            checked(options, {name: None}, f"the sink of kind {kind}", unknown=ConfigError)
            found[name] = value
    return found


def config_of_text(kind: str, pairs: Mapping[str, str]) -> dict[str, Any]:
    """The options of a sink as the command line has them: texts, checked and in their form.

    Raises:
        ConfigError: an option is unknown or cannot be read.
    """
    table = OptionTable((*COMMON, *kind_class(kind).OPTIONS))
    given: dict[str, Any] = {}
    for name, value in pairs.items():
        option = table.by_name.get(name)
        given[name] = value
        if option is not None:
            try:
                given[name] = option.check.from_text(value, name)
            except ConfigError:
                if name in kind_class(kind).SECRETS:
                    raise ConfigError(f"{name} must be {option.check.wanted}") from None
                if not is_variable(value):
                    raise
    return check_config(kind, given)


def open_sink(
    name: str, kind: str, config: Mapping[str, Any], bounds: Bounds | None = None
) -> Sink:
    """A sink with its options: variables read, defaults left to the kind.

    Args:
        bounds: what one that no code declares may read and reach.

    Raises:
        ConfigError: a variable is not set or out of bounds, or an option cannot be read.
    """
    cls = kind_class(kind)
    options = OptionTable((*COMMON, *cls.OPTIONS))
    found: dict[str, Any] = {}
    later: frozenset[str] = getattr(cls, "READ_LATER", frozenset())
    for key, value in config.items():
        if key in later:
            check_variables(f"the sink {name}", value, bounds)
            found[key] = value
            continue
        plain = filled(f"the sink {name}", value, bounds)
        try:
            if plain != value and isinstance(value, str) and key in options.by_name:
                found[key] = options.by_name[key].check.from_text(plain, key)
            else:
                found |= checked(options, {key: plain}, f"the sink {name}", unknown=ConfigError)
        except ConfigError:
            if key not in cls.SECRETS:
                raise
            raise ConfigError(f"the sink {name}: the value of {key} cannot be read") from None
    sink = cls(name, found)
    if bounds is not None and (keep_to := getattr(sink, "keep_to", None)) is not None:
        keep_to(bounds.networks)
    return sink


def shown_config(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as it may be printed: no secret, and no password of a URL."""
    secrets = frozenset(config) - {option.name for option in COMMON}  # of a class that we lack
    if kind in KINDS:
        with contextlib.suppress(ConfigError):
            secrets = kind_class(kind).SECRETS
    return {
        name: HIDDEN if name in secrets and not is_variable(value) else redacted(value)
        for name, value in config.items()
    }


def encoder(path: str) -> Callable[..., Any]:
    """The function of an ``encode=`` option.

    Raises:
        ConfigError: it cannot be imported.
    """
    module, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the function {path} of encode= cannot be imported: {error}") from error
    return found  # type: ignore[no-any-return]

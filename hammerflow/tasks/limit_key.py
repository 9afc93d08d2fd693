"""The keys of a call, computed once, when it is written: which calls share a limit (limit_key), and
whose turn it is (fair_by)."""

from __future__ import annotations

import inspect
import string
import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from hammerflow.errors import ConfigError
from hammerflow.introspection.origin import runs_when_called
from hammerflow.options.checks import Unfit, ValueCheck
from hammerflow.tasks.key_checks import check_key_function, check_key_names
from hammerflow.text import NAME, plain_text, safe_repr, visible

__all__ = ["LIMIT_KEY", "KeyRule", "check_key", "key_of_call", "names_in"]

#: The name of an argument, a template over the arguments of a call, or a function that takes them.
KeyRule: TypeAlias = str | Callable[..., Any]


def names_in(template: str) -> list[str]:
    """The arguments that a template names: of ``{order.customer}``, ``order``."""
    found = []
    for _, field, spec, _ in string.Formatter().parse(template):
        if field is not None:
            found.append(field.replace("[", ".").partition(".")[0])
        if spec and "{" in spec:
            raise ValueError(spec)
    return found


def _read(value: Any) -> KeyRule:
    if callable(value) and not isinstance(value, str):
        if not runs_when_called(value):
            raise Unfit("a plain function, neither async nor a generator")
        return value  # type: ignore[no-any-return]
    text = plain_text(value)
    if text is not None and text.isidentifier():
        text = f"{{{text}}}"
    try:
        names = names_in(text) if text is not None else []
    except ValueError:
        names = []
    if text is None or not names or not all(name.isidentifier() for name in names):
        raise Unfit
    return text


LIMIT_KEY = ValueCheck(
    "str | Callable",
    'an argument such as "customer", a template over the arguments such as "{customer}", or a '
    "function that takes them", _read,
)  # fmt: skip


def check_key(fn: Callable[..., Any], option: str, rule: KeyRule) -> None:
    """Check that a rule fits the arguments of the function.

    Raises:
        ConfigError: its template names another argument, or it is a function that takes others.
    """
    if not isinstance(rule, str):
        check_key_function(fn, option, rule)
        return
    try:
        parameters = inspect.signature(fn).parameters
    except (TypeError, ValueError):
        return
    check_key_names(option, rule, names_in(rule), parameters)


def key_of_call(
    fn: Callable[..., Any], name: str, option: str, rule: KeyRule, args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> str:  # fmt: skip
    """The key of one call.

    Args:
        name: of the task, for messages.
        option: limit_key or fair_by.

    Raises:
        ConfigError: there is none, or it is too long, or computing it failed.
    """
    try:
        value = _value(fn, rule, args, kwargs)
        key = str(value) if isinstance(value, str | int | uuid.UUID) else ""
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {visible(str(error)[:200])}"
        raise ConfigError(f"task {name}: {option} failed for this call: {reason}") from error
    if not 0 < len(key) <= NAME or not key.isprintable():
        raise ConfigError(
            f"task {name}: {option} must give a text of 1 to {NAME} printable characters, a "
            f"whole number or a UUID, not {safe_repr(value)}"
        )
    return key


def _value(
    fn: Callable[..., Any], rule: KeyRule, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    if not isinstance(rule, str):
        return rule(*args, **kwargs)
    bound = inspect.signature(fn).bind(*args, **kwargs)
    bound.apply_defaults()
    values = dict(bound.arguments)
    for parameter in bound.signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            values |= values.pop(parameter.name)
    return _PARTS.vformat(rule, (), values)


class _Parts(string.Formatter):
    """Refuses parts of a key that are missing, or whose text would differ from call to call."""

    def convert_field(self, value: Any, conversion: Any) -> Any:
        kind: Any = type(value)
        if value is None:
            raise ValueError("a part of it is None")
        has_text = kind.__str__ is not object.__str__ or kind.__repr__ is not object.__repr__
        if not has_text or callable(value):
            raise ValueError(f"its part of type {kind.__name__} has no text")
        return super().convert_field(value, conversion)


_PARTS = _Parts()

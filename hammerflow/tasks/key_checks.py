"""Checks of the rules by which a task makes keys of its calls: when it is declared, as a wrong one
fails at every call."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from hammerflow.errors import ConfigError
from hammerflow.jobs.unique import UniqueKey
from hammerflow.tasks.functions import any_arguments, signature_of

__all__ = ["check_key_function", "check_key_names", "check_unique"]

_Parameters: TypeAlias = Mapping[str, inspect.Parameter]
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
#: Means all arguments in ``UniqueKey(by=...)``.
_ALL = "args"


def check_key_names(
    option: str, shown: object, names: Iterable[str], parameters: _Parameters
) -> None:
    """Check that each of the arguments that a rule names can be in a call.

    Args:
        option: of the task, for the message; likewise how the rule is shown.

    Raises:
        ConfigError: the function does not take one of them.
    """
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for name in names:
        if name not in parameters:
            near = difflib.get_close_matches(name, parameters, n=1)
            takes = f"it takes {', '.join(parameters) or 'none'}"
            raise ConfigError(
                f"{option} {shown!r} names {name!r}, but the function has no such argument: "
                f"{f'did you mean {near[0]!r}? ' if near else ''}{takes}"
            )


def check_key_function(fn: Callable[..., Any], option: str, rule: Callable[..., Any]) -> None:
    """Check that a function that makes keys takes the arguments of some call.

    Raises:
        ConfigError: it takes those of none.
    """
    own, taken = _signature(fn).parameters, _signature(rule)
    if any(p.kind in _VARIABLE for p in own.values()):
        return
    if not any(_binds(taken, call) for call in _calls(own)):
        raise ConfigError(
            f"{option} must be a function that takes the arguments of the task's function, "
            f"({', '.join(own)}), but it takes ({', '.join(taken.parameters)})"
        )


def check_unique(fn: Callable[..., Any], rule: UniqueKey, owner: str = "") -> None:
    """Check what a rule for unique keys compares.

    Args:
        owner: begins the message.

    Raises:
        ConfigError: it names an argument that the function does not take, or is a function that
            takes other arguments.
    """
    option = f"{owner}: unique: by" if owner else "unique: by"
    if callable(rule.by):
        check_key_function(fn, option, rule.by)
        return
    if _ALL not in rule.by:
        shown = rule.by[0] if len(rule.by) == 1 else rule.by
        check_key_names(option, shown, rule.by, _signature(fn).parameters)


def _signature(fn: Callable[..., Any]) -> inspect.Signature:
    """What a function takes; anything where it does not tell."""
    try:
        return signature_of(fn)
    except (Exception, SystemExit):  # noqa: BLE001 - a border: the object's own methods
        return signature_of(any_arguments)


def _calls(parameters: _Parameters) -> Iterable[tuple[list[str], list[str]]]:
    """The shortest and the longest calls of a function, by place and by name: (places, names)."""
    for is_full in (True, False):
        given = [p for p in parameters.values() if is_full or p.default is p.empty]
        by_name = [p.name for p in given if p.kind is p.KEYWORD_ONLY]
        by_place = [p.name for p in given if p.kind is p.POSITIONAL_ONLY]
        either = [p.name for p in given if p.kind is p.POSITIONAL_OR_KEYWORD]
        yield [*by_place, *either], by_name
        yield by_place, [*either, *by_name]


def _binds(signature: inspect.Signature, call: tuple[list[str], list[str]]) -> bool:
    places, names = call
    try:
        signature.bind(*places, **dict.fromkeys(names))
    except TypeError:
        return False
    return True

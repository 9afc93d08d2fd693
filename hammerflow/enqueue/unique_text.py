"""The text of a unique key: equal for equal calls, on every database."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

from hammerflow.codec.codec import Codec
from hammerflow.errors import ConfigError
from hammerflow.jobs.unique import UniqueKey
from hammerflow.text import safe_repr

__all__ = ["unique_text"]

#: Characters of a key: of the task's name, and of the hash of what must be equal.
_NAME, _HASH = 200, 32


def unique_text(
    rule: UniqueKey, name: str, fn: Callable[..., Any] | None, args: tuple[Any, ...],
    kwargs: Mapping[str, Any], codec: Codec,
) -> str:  # fmt: skip
    """The key of a call: the task's name, and a hash of what its rule compares.

    Values are equal if they are encoded alike, so 1, 1.0, "1" and True differ. Whether an argument
    is given by its name or place, and the order of keys and of the elements of sets, make no
    difference; an argument that is left out counts as its default.

    Args:
        name: of the task.
        fn: its function; None where the task is not registered in this process.

    Raises:
        ConfigError: the rule names an argument that the call does not have, or its function fails.
        NotEncodable: a value cannot be encoded.
    """
    owner = f"task {name}: unique"
    if callable(rule.by):
        try:
            value = rule.by(*args, **kwargs)
        except Exception as error:
            reason = f"{type(error).__name__}: {safe_repr(str(error))}"
            raise ConfigError(f"{owner}: its function failed for this call: {reason}") from error
    else:
        value = _compared(rule.by, owner, fn, args, kwargs)
    text = codec.encode(value, f"{owner} key", "json")[1:]
    canonical = json.dumps(_sorted(json.loads(text)), sort_keys=True, ensure_ascii=True)
    whole = f"{name}\n{canonical}"  # two long names may begin alike
    digest = hashlib.blake2b(whole.encode(), digest_size=_HASH // 2).hexdigest()
    return f"{name[:_NAME]}:{digest}"


def _compared(
    names: tuple[str, ...], owner: str, fn: Callable[..., Any] | None, args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:  # fmt: skip
    """The arguments of these names, or all."""
    found = _bound(fn, args, kwargs)
    if "args" in names and "args" not in found:
        return found
    missing = [name for name in names if name not in found]
    if missing:
        hint = ", ".join(found) or "none"
        raise ConfigError(
            f"{owner}: the call has no argument {missing[0]!r}; it has {hint}"
            if fn is not None
            else f"{owner}: the task is not registered in this process, so its arguments have no "
            "names: import its module, or give them as keywords"
        )
    return {name: found[name] for name in names}


def _bound(
    fn: Callable[..., Any] | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments by the names of the parameters, with the defaults of those left out."""
    if fn is None:
        return {**{str(place): value for place, value in enumerate(args)}, **kwargs}
    try:
        bound = inspect.signature(fn, follow_wrapped=False).bind(*args, **kwargs)
    except (TypeError, ValueError):  # a function in C without a signature
        return _bound(None, args, kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def _sorted(tree: Any) -> Any:
    """A tree of JSON in which order carries no meaning that the value does not give it."""
    if isinstance(tree, list):
        return [_sorted(part) for part in tree]
    if not isinstance(tree, dict):
        return tree
    found = {key: _sorted(part) for key, part in tree.items()}
    for tag in ("$set", "$frozenset", "$dict"):
        if list(found) == [tag]:
            found[tag].sort(key=lambda part: json.dumps(part, sort_keys=True))
    return found

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
from hammerflow.tasks.functions import signature_of
from hammerflow.text import safe_repr

__all__ = ["unique_text"]

#: Characters of a key: of the task's name, and of the hash of what must be equal.
_NAME, _HASH = 200, 32
#: Compares all arguments, also where a parameter has this name.
_ALL = "args"


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
    if _ALL in names:
        return _bound(fn, inspect.signature, args, kwargs)[0]
    found, others = _bound(fn, signature_of, args, kwargs)
    known = {**others, **found}
    missing = [name for name in names if name not in known]
    if missing:
        raise ConfigError(f"{owner}: {_missing(missing[0], known, fn)}")
    return {name: known[name] for name in names}


def _missing(name: str, known: Mapping[str, Any], fn: Callable[..., Any] | None) -> str:
    if fn is None:
        return (
            "the task is not registered in this process, so its arguments have no names: import "
            "its module, or give them as keywords"
        )
    text = f"the call has no argument {name!r}; it has {', '.join(known) or 'none'}"
    if hasattr(fn, "__wrapped__"):
        text += ". Its decorator hides the names: give it as a keyword, or by= a function"
    return text


def _bound(
    fn: Callable[..., Any] | None, signature: Callable[[Any], inspect.Signature],
    args: tuple[Any, ...], kwargs: Mapping[str, Any],
) -> tuple[dict[str, Any], Mapping[str, Any]]:  # fmt: skip
    """The arguments by the names of the parameters, with the defaults of those left out; and again
    those that ``**kwargs`` takes, which are one of these parameters.

    Args:
        signature: ``inspect.signature`` reads the names behind a decorator, which tell equal calls
            alike, but may belong to other arguments than the caller's: a decorator may add some.
    """
    if fn is None:
        return {**{str(place): value for place, value in enumerate(args)}, **kwargs}, {}
    try:
        bound = signature(fn).bind(*args, **kwargs)
    except (AttributeError, TypeError, ValueError):  # or a function in C without a signature
        following = None if signature is signature_of else fn
        return _bound(following, signature_of, args, kwargs)
    bound.apply_defaults()
    kinds = {parameter.kind: name for name, parameter in bound.signature.parameters.items()}
    others = bound.arguments.get(kinds.get(inspect.Parameter.VAR_KEYWORD, ""), {})
    return dict(bound.arguments), others


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

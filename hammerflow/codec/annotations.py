"""Annotations: the classes that a function's signature names, down into their own fields."""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import enum
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from hammerflow.introspection.origin import function_of

__all__ = ["ClassesNamed", "classes_named", "local_names"]


Names = Mapping[str, Any]


class ClassesNamed(typing.NamedTuple):
    """What :func:`classes_named` has found.

    Attributes:
        classes: in the order in which they are named.
        is_complete: False if a name is not defined yet, or only for type checkers.
    """

    classes: list[type]
    is_complete: bool


class _Names(dict[str, Any]):
    """Names for an annotation's text; an unknown one means Any, so that the rest is read."""

    def __init__(self, around: Iterable[Names]) -> None:
        super().__init__()
        self.around = (*around, vars(builtins))
        self.missing: list[str] = []

    def __contains__(self, name: object) -> bool:
        return True  # Python 3.14 asks before it reads

    def __missing__(self, name: str) -> Any:
        for names in self.around:
            if name in names:
                return names[name]
        self.missing.append(name)
        return Any


def local_names(fn: Callable[..., Any]) -> Names:
    """What the annotations' texts of a function inside another one name there.

    It must be called while the outer function runs; later its variables are gone.
    """
    home, _, _ = getattr(_plain(fn), "__qualname__", "").rpartition(".<locals>.")
    texts = [text for text in _annotations(_plain(fn)).values() if isinstance(text, str)]
    frame = sys._getframe(1) if home and texts else None
    while frame is not None and frame.f_code.co_qualname != home:
        frame = frame.f_back
    if frame is None:
        return {}
    names = set(re.findall(r"[^\W\d]\w*", " ".join(texts)))
    return {name: value for name, value in frame.f_locals.items() if name in names}


def classes_named(described: Any, known: Names) -> ClassesNamed:
    """The classes in the annotations of a function's parameters and result, or of a class's fields.

    It reads through Optional, unions, generics, Annotated, Literal, NewType, type aliases and
    forward references, then through the fields of each class that it finds.

    Args:
        described: the function or class.
        known: names that the function's module does not have, of :func:`local_names`.
    """
    found: dict[type, None] = {}
    missing: list[str] = []
    if isinstance(described, type):
        waiting: list[Any] = [described]
    else:
        plain = _plain(described)
        around = (known, _closure(plain), getattr(plain, "__globals__", {}))
        waiting = list(_hints(plain, around, missing))
    seen: list[Any] = []
    while waiting:
        hint = waiting.pop(0)
        if any(hint is known for known in seen):
            continue
        seen.append(hint)
        if isinstance(hint, type):
            found[hint] = None
            waiting += _fields(hint, known, missing)
        else:
            waiting += _parts(hint, missing)
    return ClassesNamed(list(found), not missing)


def _plain(fn: Callable[..., Any]) -> Any:
    """The function with the annotations, below decorators and partials."""
    inner = inspect.unwrap(fn)
    return inspect.unwrap(function_of(inner) or inner)


def _parts(hint: Any, missing: list[str]) -> Iterable[Any]:
    """What a hint is made of."""
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return [type(value) for value in typing.get_args(hint) if isinstance(value, enum.Enum)]
    if origin is typing.Annotated:
        return [hint.__origin__]
    if origin is not None:
        return [origin, *_flattened(typing.get_args(hint))]
    if isinstance(hint, typing.TypeVar):  # a bound that is text belongs to the TypeVar's module
        holder = types.SimpleNamespace(__annotations__={"bound": hint.__bound__ or None})
        module = sys.modules.get(hint.__module__)
        bound = _hints(holder, () if module is None else (vars(module),), missing)
        return [*bound, *hint.__constraints__]
    inner = getattr(hint, "__value__", None) or getattr(hint, "__supertype__", None)
    return [] if inner is None else [inner]  # of a `type` statement, of a NewType


def _flattened(args: Iterable[Any]) -> Iterator[Any]:
    for each in args:
        if isinstance(each, list):  # the parameters of a Callable
            yield from each
        else:
            yield each


def _fields(cls: type, known: Names, missing: list[str]) -> list[Any]:
    """The types of a class's fields, if it is of a kind that has some."""
    of_model = getattr(cls, "model_fields", None)
    of_attrs = getattr(cls, "__attrs_attrs__", ())
    is_described = (
        dataclasses.is_dataclass(cls)
        or isinstance(of_model, Mapping)
        or of_attrs
        or typing.is_typeddict(cls)
        or hasattr(cls, "_field_defaults")
    )
    if not is_described:
        return []
    found: list[Any] = []
    for base in cls.__mro__:
        module = sys.modules.get(base.__module__)
        around = (vars(base), {base.__name__: base}, known, {} if module is None else vars(module))
        found += _hints(base, around, missing)
    if isinstance(of_model, Mapping):  # with the arguments of a generic model
        found += [field.annotation for field in of_model.values()]
    return found + [field.type for field in of_attrs if not isinstance(field.type, str | None)]


def _hints(described: Any, around: Iterable[Names], missing: list[str]) -> Iterator[Any]:
    """The annotations of a function or class, each resolved apart from the others."""
    parameters = {each.__name__: each for each in getattr(described, "__type_params__", ())}
    names = _Names((parameters, *around))
    for name, annotation in _annotations(described).items():
        try:
            yield _resolved(annotation, names)
        except Exception:  # noqa: BLE001  a border: the text of an annotation is a user's code
            missing.append(name)
    missing += names.missing


def _resolved(annotation: Any, names: _Names) -> Any:
    """The annotation without forward references."""
    if sys.version_info >= (3, 14):  # there get_type_hints reads a copy of the names, a plain dict
        import annotationlib

        names["__it__"] = getattr(annotation, "__forward_arg__", annotation)
        return typing.evaluate_forward_ref(
            annotationlib.ForwardRef("__it__"), globals={}, locals=names, type_params=None
        )
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    return typing.get_type_hints(holder, {}, names)["it"]


def _annotations(described: Any) -> Names:
    if sys.version_info >= (3, 14):
        import annotationlib

        try:
            return annotationlib.get_annotations(described, format=annotationlib.Format.FORWARDREF)
        except Exception:  # noqa: BLE001  a border: annotations run when they are read
            return {}
    if isinstance(described, type):
        found = vars(described).get("__annotations__")
    else:
        found = getattr(described, "__annotations__", None)
    return found if isinstance(found, dict) else {}


def _closure(fn: Any) -> Names:
    """The variables around a function that is defined inside another."""
    if not isinstance(fn, types.FunctionType) or fn.__closure__ is None:
        return {}
    found = {}
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__, strict=True):
        with contextlib.suppress(ValueError):  # not set yet
            found[name] = cell.cell_contents
    return found

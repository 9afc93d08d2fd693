"""Registry: the classes whose instances may be arguments and results, by type and by name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hammerflow.codec.annotations import classes_named, local_names
from hammerflow.codec.classes import Registered, is_registrable, registered
from hammerflow.codec.types import EncodeError, NotMade, TypeTag, full_name, short
from hammerflow.errors import ConfigError
from hammerflow.introspection.kinds import is_a
from hammerflow.introspection.origin import import_path
from hammerflow.text import checked_name, safe_repr

__all__ = ["ClassRegistry"]

Function = Callable[..., Any]


@dataclass(slots=True)
class _Declared:
    """A function or class whose annotations name classes."""

    described: Any
    known: Mapping[str, Any]
    module: str
    is_resolved: bool = False  # down to the last name


class ClassRegistry:
    """Classes that were registered by hand, and those that annotations of tasks name.

    A class of an annotation goes by its module and qualified name, so that two modules may each
    have an ``Order``. Annotations are resolved at the first class that is unknown, when everything
    is imported. That is repeated without harm by threads that do it at the same time.

    Args:
        on_change: called with each entry that instances of a class are encoded by from now on.
    """

    def __init__(self, on_change: Callable[[Registered], None]) -> None:
        self.by_type: dict[type, Registered] = {}
        self._on_change = on_change
        self._by_name: dict[str, Registered] = {}
        self._by_full_name: dict[str, Registered] = {}
        self._by_hand: set[type] = set()
        self._ambiguous: set[type] = set()  # annotated classes that share their name
        self._executions: dict[type, Any] = {}
        self._declared: list[_Declared] = []
        self._modules: dict[str, Any] = {}  # the execution of each module with declarations

    def register(self, cls: type, name: str | None) -> None:
        """Register a class by hand.

        Raises:
            ConfigError: the class cannot be registered, or another one has the name.
        """
        if not is_a(cls, type):
            raise ConfigError(f"app.codec.register takes a class, not {safe_repr(cls)}")
        name = checked_name(
            cls.__qualname__ if name is None else name, f"the codec's name of {full_name(cls)}"
        )
        taken = self._by_name.get(name)
        if taken is not None and taken.cls is not cls and not self._is_reloaded(taken.cls, cls):
            raise ConfigError(
                f"the name {name!r} is taken by {_described(taken.cls)}: "
                f"register {_described(cls)} under another name with name="
            )
        entry = registered(cls, name)
        self._by_name[name] = entry
        self._by_hand.add(cls)
        self._executions[cls] = _execution(cls)
        self._ambiguous.discard(cls)
        known = self._by_full_name.setdefault(self._full_name(cls), entry)
        if known.cls is cls or self._is_reloaded(known.cls, cls):
            self._by_full_name[self._full_name(cls)] = entry
        self._use(entry)
        self._declare(cls, {})  # for the classes of its fields

    def declare(self, fn: Function) -> None:
        """Allow the classes that a function's annotations name, once one of them is needed."""
        self._declare(fn, local_names(fn))

    def _declare(self, described: Any, known: Mapping[str, Any]) -> None:
        module, execution = getattr(described, "__module__", None) or "", _execution(described)
        if self._modules.setdefault(module, execution) is not execution:  # it was reloaded
            self._modules[module] = execution
            self._declared = [each for each in self._declared if each.module != module]
        self._declared.append(_Declared(described, known, module))

    def resolve(self) -> bool:
        """Register what the annotations name; whether that has changed anything."""
        before = len(self.by_type)
        for declared in tuple(self._declared):
            if declared.is_resolved:
                continue
            named = classes_named(declared.described, declared.known)
            for cls in named.classes:
                self._register_named(cls)
            declared.is_resolved = named.is_complete
        return len(self.by_type) != before

    def named(self, type_tag: TypeTag, name: Any) -> Registered:
        """The class with this name.

        Raises:
            NotMade: there is none of this kind.
        """
        entry = self._find(name)
        if entry is None and self.resolve():
            entry = self._find(name)
        if entry is None or entry.type_tag is not type_tag:
            raise NotMade(
                f"there is no {type_tag.name[1:]} named {short(name)} in this process: name its "
                "class in an annotation of a task, or register it with app.codec.register"
            )
        return entry

    def _find(self, name: Any) -> Registered | None:
        if type(name) is not str:
            return None
        entry = self._by_name.get(name) or self._by_full_name.get(name)
        return None if entry is None or entry.cls in self._ambiguous else entry

    def _register_named(self, cls: type) -> None:
        if cls in self.by_type or not is_registrable(cls):
            return
        name = self._full_name(cls)
        try:
            entry = registered(cls, checked_name(name, "a class's name"))
        except ConfigError:
            return  # an abstract base, an exception: its instances are refused with advice
        self._executions[cls] = _execution(cls)
        taken = self._by_full_name.get(name)
        if taken is not None and not self._is_reloaded(taken.cls, cls):
            for each in {taken.cls, cls} - self._by_hand:
                self._ambiguous.add(each)
                self._use(entry._replace(cls=each, take=_refuse_ambiguous))
            return
        self._by_full_name[name] = entry
        self._use(entry)

    def _use(self, entry: Registered) -> None:
        self.by_type[entry.cls] = entry
        self._on_change(entry)

    def _full_name(self, cls: type) -> str:
        try:  # the process that calls may have started a module that the worker imports
            module = import_path(cls)
        except ConfigError:
            module = cls.__module__
        return f"{module}.{cls.__qualname__}"

    def _is_reloaded(self, old: type, new: type) -> bool:
        """Whether the module of two classes of one name was executed once more in between."""
        if full_name(old) != full_name(new):
            return False
        main = sys.modules["__main__"]
        is_session = new.__module__ == "__main__" and not hasattr(main, "__file__")
        return is_session or self._executions[old] is not _execution(new)


def _execution(described: Any) -> Any:
    """What is another object after a reload of the module of a class or function."""
    return getattr(sys.modules.get(getattr(described, "__module__", "")), "__spec__", None)


def _refuse_ambiguous(value: Any) -> Any:
    raise EncodeError(
        f"tasks name two classes that are called {full_name(type(value))}: register each under a "
        "name of its own with app.codec.register(cls, name)"
    )


def _described(cls: type) -> str:
    """Name and fields of a class, as two classes may have the same name."""
    kinds = ("__members__", "model_fields", "__dataclass_fields__")
    fields: Iterable[str] = next(
        (found for kind in kinds if (found := getattr(cls, kind, None))), ()
    )
    return f"{full_name(cls)} ({', '.join([*fields][:5])})" if fields else full_name(cls)

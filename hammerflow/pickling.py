"""Pickling: an app as the global variable that holds it, or by its key within one process."""

from __future__ import annotations

import importlib
import pickle
import sys
from typing import Any
from weakref import WeakValueDictionary

from hammerflow.origin import STARTED

__all__ = ["app_at", "app_of_this_process", "reduced_app", "remember_app"]

#: All apps of this process; only pickled apps are looked up here.
_APPS: WeakValueDictionary[bytes, Any] = WeakValueDictionary()


def remember_app(key: bytes, app: Any) -> None:
    """Note an app under a key that no other has."""
    _APPS[key] = app


def reduced_app(app: Any, key: bytes, name: str) -> Any:
    """What ``__reduce__`` of an app returns: what unpickles it imports the module that holds it."""
    for module in sorted(sys.modules, key=STARTED.__contains__):
        names = getattr(sys.modules[module], "__dict__", None) or {}
        for variable, value in list(names.items()):
            if value is app:
                return app_at, (module, variable)
    return app_of_this_process, (key, name)


def app_at(module: str, name: str) -> Any:
    """A pickled app that a module holds."""
    return vars(importlib.import_module(module))[name]


def app_of_this_process(key: bytes, name: str) -> Any:
    """A pickled app that no module holds; this process or an ancestor of its fork has made it."""
    app = _APPS.get(key)
    if app is None:
        raise pickle.UnpicklingError(
            f"cannot unpickle the app {name!r}: it is not in this process, and no module holds it; "
            "make the app a global variable of a module"
        )
    return app

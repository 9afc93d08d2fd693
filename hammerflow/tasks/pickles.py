"""Pickles: how tasks and apps are found again by the process that unpickles them."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any
from weakref import WeakValueDictionary

from hammerflow.errors import ConfigError
from hammerflow.introspection.origin import STARTED

__all__ = ["reduced_app", "reduced_task", "remembered"]

#: The apps of this process by a random key; a forked process has the same.
_APPS: WeakValueDictionary[bytes, Any] = WeakValueDictionary()


def remembered(app: Any) -> bytes:
    """Remember an app that its own process may unpickle; returns its key."""
    key = os.urandom(16)
    _APPS[key] = app
    return key


def reduced_app(app: Any, key: bytes) -> tuple[Any, ...]:
    """What ``__reduce__`` of an app returns: the global variable that holds it, else its key."""
    for module in sorted(sys.modules, key=STARTED.__contains__):
        names = getattr(sys.modules[module], "__dict__", None) or {}
        for name, value in list(names.items()):
            if value is app:
                return _global, (module, name)
    return _app_of_this_process, (key, app.name)


def reduced_task(task: Any, app: Any, name: str) -> str | tuple[Any, ...]:
    """What ``__reduce__`` of a task returns: its qualified name if its module holds it by that,
    else its app and its name in the app."""
    found: Any = sys.modules.get(task.__module__)
    for part in task.__qualname__.split("."):
        found = getattr(found, part, None)
    if found is task:
        return str(task.__qualname__)
    return _task, (app, task.__module__, name)


def _global(module: str, name: str) -> Any:
    return vars(importlib.import_module(module))[name]


def _task(app: Any, module: str, name: str) -> Any:
    importlib.import_module(module)
    return app.tasks[name]


def _app_of_this_process(key: bytes, name: str) -> Any:
    app = _APPS.get(key)
    if app is None:
        raise ConfigError(
            f"cannot unpickle the app {name!r}: it belongs to another process and is not a global "
            "variable of any module; make it one"
        )
    return app

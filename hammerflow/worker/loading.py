"""Loading: imports the user's app, the modules to import before it, and those with its tasks."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
from fnmatch import fnmatchcase

from hammerflow.app import Hammerflow
from hammerflow.errors import ConfigError

__all__ = ["load_app", "preload"]

_CORRECT = "correct include or autodiscover"


def preload() -> None:
    """Import the modules that ``HAMMERFLOW_PRELOAD`` names, separated by commas.

    Each process of a worker but its children, which are forked, does so before it opens a store
    or imports the app: the place for instrumentation, and for
    :mod:`hammerflow.testing.failpoints`.

    Raises:
        ConfigError: one of the modules cannot be imported.
    """
    for name in os.environ.get("HAMMERFLOW_PRELOAD", "").split(","):
        if name.strip():
            _import(name.strip(), "HAMMERFLOW_PRELOAD", "correct the variable")


def load_app(spec: str) -> Hammerflow:
    """Import the user's app and the modules that it includes; the working directory comes first
    on the path.

    Args:
        spec: ``package.module:name``; the name may be left out if it is ``app``, or if the module
            has one app only.

    Raises:
        ConfigError: there is no such module or name, or the user's code has raised; says which.
    """
    module_name, _, name = spec.partition(":")
    if not module_name or not all(part.isidentifier() for part in module_name.split(".")):
        raise ConfigError(f"{spec!r} does not name an app: write package.module:app, without .py")
    names = vars(_import(module_name, spec, "correct -A"))
    apps = {key: value for key, value in names.items() if isinstance(value, Hammerflow)}
    found = apps.get(name) if name else _only_app(apps)
    if found is not None:
        for pattern in found.modules:
            _import_included(pattern, f"{spec}, include {pattern}")
        return found
    known = f"it has {', '.join(apps)}" if apps else "it has no app at all"
    what = f"{name} in the module {module_name}" if name else f"one app in {module_name}"
    raise ConfigError(f"{spec}: cannot find {what}, {known}: write package.module:app")


def _import_included(pattern: str, source: str) -> None:
    """Import the modules that a pattern names, and of packages their module ``tasks``."""
    modules = _matching(pattern, source)
    if not modules:
        raise ConfigError(f"{source}: no module has such a name: {_CORRECT}")
    for name in modules:
        _import(name, source, _CORRECT)
        if "tasks" in _submodules(name, source):
            _import(f"{name}.tasks", source, _CORRECT)


def _matching(pattern: str, source: str) -> list[str]:
    """The modules that a pattern names; without ``*`` that is the one of this name."""
    if not {*pattern} & {*"*?"}:
        return [pattern]
    first, *parts = pattern.split(".")
    names = [first]
    for index, part in enumerate(parts):
        is_last = index == len(parts) - 1
        names = [
            f"{package}.{name}"
            for package in names
            for name in _submodules(package, source, with_folders=not is_last)
            if fnmatchcase(name, part) and name != "__main__"
        ]
    return names


def _submodules(package: str, source: str, *, with_folders: bool = False) -> list[str]:
    """The names of what a package holds; of a module, none.

    Args:
        with_folders: whether folders without ``__init__.py`` count, which may hold modules.
    """
    if parent := package.rpartition(".")[0]:
        _import(parent, source, _CORRECT)
    spec = importlib.util.find_spec(package)
    paths = [*(spec.submodule_search_locations or ())] if spec is not None else []
    names = {module.name for module in pkgutil.iter_modules(paths)}
    if with_folders:
        names |= {entry.name for path in paths for entry in os.scandir(path) if entry.is_dir()}
    return sorted(name for name in names if name.isidentifier())


def _only_app(apps: dict[str, Hammerflow]) -> Hammerflow | None:
    """The one called ``app``, or the only one, which may have several names."""
    if "app" in apps:
        return apps["app"]
    different = {id(app): app for app in apps.values()}
    return next(iter(different.values())) if len(different) == 1 else None


def _import(module_name: str, source: str, remedy: str) -> object:
    """Import a module of the user. Error messages begin with ``source``, which named the module;
    ``remedy`` says what to do if there is no such module."""
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a border: the user's code runs
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if f"{module_name}.".startswith(f"{missing}."):
            raise ConfigError(
                f"{source}: there is no module {missing} in {folder} or on the Python path: "
                f"run it from the project's folder, or {remedy}"
            ) from error
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(
            f"{source}: importing {module_name} failed with {said} (--debug shows where)"
        ) from error

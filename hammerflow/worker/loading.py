"""Loading: imports the user's app, the modules to import before it, and those with its tasks."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import pkgutil
import re
import sys
import sysconfig
from collections.abc import Callable, Coroutine, Iterator, Mapping
from fnmatch import fnmatchcase
from types import ModuleType
from typing import Any

import hammerflow
from hammerflow.app import Hammerflow
from hammerflow.errors import ConfigError
from hammerflow.settings import environ_with
from hammerflow.tasks.task import Task
from hammerflow.text import safe_repr

__all__ = ["app_files", "load_app", "preload", "project_folder", "read_spec"]

#: Identifiers with dots between them.
_DOTTED = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"

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


def project_folder() -> str:
    """The working directory as the shell named it at the start of this process.

    That name may be a link, such as ``current`` of a deploy tool, which each reload must follow
    again: the directory itself stays that of the old release.

    Raises:
        ConfigError: it is gone.
    """
    try:
        folder = _named_folder()
    except FileNotFoundError as error:
        raise ConfigError("the working directory is gone: go to the project's folder") from error
    if not os.path.isdir(folder):
        raise ConfigError(f"the working directory {folder} is gone: put the project there again")
    return folder


@functools.cache
def _named_folder() -> str:
    here, named = os.getcwd(), os.environ.get("PWD", "")
    is_here = os.path.isabs(named) and os.path.isdir(named) and os.path.samefile(named, here)
    return named if is_here else here


def load_app(spec: str, *, database: str | None = None) -> Hammerflow:
    """Import the user's app and the modules that it includes; the working directory comes first
    on the path.

    Args:
        spec: ``package.module:name``; the name may have dots, or be that of a function without
            arguments that makes the app, with or without ``()``. It may be left out if it is
            ``app``, or if the module has one app only.
        database: a URL that takes the place of the app's, as the command line gives it.

    Raises:
        ConfigError: there is no such module or name, or the user's code has raised; says which.
    """
    module_name, name = read_spec(spec)
    remedy = "correct -A"
    if module_name.endswith(".py"):
        remedy = f"write {module_name.removesuffix('.py')}:{name or 'app'}"
    with _no_arguments(), _variable_of(database):
        module = _import(module_name, spec, remedy)
        found = _named(module, name, spec) if name else _only_app(module, spec)
        for pattern in found.modules:
            _import_included(pattern, f"{spec}, include {pattern}")
    if database is not None:
        found.close()
        found.settings = found.settings.with_database(database, "--database")
    return found


def read_spec(spec: str) -> tuple[str, str]:
    """The module and the name in it that ``-A`` gives; the name is "" where it is left out.

    Raises:
        ConfigError: the text has another form; names the right one where it can be guessed.
    """
    found = re.fullmatch(rf"({_DOTTED})(?::({_DOTTED}(?:\(\))?))?", spec)
    if found is not None:
        return found[1], found[2] or ""
    path, _, name = spec.partition(":")
    module = path.removesuffix(".py").removeprefix("./").replace("/", ".")
    guess = f"{module}:{name or 'app'}"
    is_guess = path != module and re.fullmatch(rf"{_DOTTED}:{_DOTTED}(\(\))?", guess)
    right = guess if is_guess else "package.module:app, without .py"
    raise ConfigError(f"{safe_repr(spec)} does not name an app: write {right}")


@contextlib.contextmanager
def _no_arguments() -> Iterator[None]:
    """Hide the arguments of hammerflow from a module that reads ``sys.argv`` when it is imported:
    they are not its own."""
    given, sys.argv = sys.argv, sys.argv[:1]
    try:
        yield
    finally:
        sys.argv = given


@contextlib.contextmanager
def _variable_of(database: str | None) -> Iterator[None]:
    """Give the database to an app that names none itself, while it is made: it may have settings
    that only fit this one."""
    if database is None:
        yield
        return
    before = dict(os.environ)
    _use_environment(before, environ_with(database, before))
    try:
        yield
    finally:
        _use_environment(environ_with(database, before), before)


def _use_environment(old: Mapping[str, str], new: Mapping[str, str]) -> None:
    """Change what differs between the two, and nothing that the app has set meanwhile."""
    for name in old.keys() - new.keys():
        os.environ.pop(name, None)
    os.environ.update({name: new[name] for name in new if old.get(name) != new[name]})


def _named(module: ModuleType, name: str, spec: str) -> Hammerflow:
    """The app that a name in the module means, made by a call if it is a factory."""
    found: Any = module
    try:
        for part in name.removesuffix("()").split("."):
            found = getattr(found, part)
    except AttributeError as error:
        raise ConfigError(
            f"{spec}: cannot find {name} in {module.__name__}: {_what_there_is(module)}"
        ) from error
    except Exception as error:  # a border: a property is the user's code
        raise ConfigError(f"{spec}: reading {name} failed with {_said(error)}") from error
    if isinstance(found, Hammerflow) and not name.endswith("()"):
        return found
    if isinstance(found, ModuleType):
        raise ConfigError(f"{spec} is a module, not an app: {_what_there_is(found)}")
    if not callable(found) or isinstance(found, Task):  # a task would run
        given = f"{name} is {safe_repr(found, 60)}"
        raise ConfigError(f"{spec}: cannot find an app: {given}; {_what_there_is(module)}")
    return _made(found, f"{spec.removesuffix('()')}()")


def _made(factory: Callable[[], object], call: str) -> Hammerflow:
    """The app that a factory returns."""
    try:
        made = factory()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a border: the user's code runs
        raise ConfigError(
            f"{call} failed with {_said(error)}: it must make the app without arguments "
            "(--debug shows where)"
        ) from error
    if not isinstance(made, Hammerflow):
        if isinstance(made, Coroutine):
            made.close()
        raise ConfigError(f"{call} returned {safe_repr(made, 60)}, not an app")
    return made


def _only_app(module: ModuleType, spec: str) -> Hammerflow:
    """The one called ``app``, or the only one, which may have several names."""
    apps = _apps(module)
    different = {id(app): app for app in apps.values()}
    if "app" in apps:
        return apps["app"]
    if len(different) == 1:
        return next(iter(different.values()))
    raise ConfigError(f"{spec}: which app of {module.__name__}? {_what_there_is(module)}")


def _what_there_is(module: ModuleType) -> str:
    """Advice: the names that this module's apps have."""
    if apps := _apps(module):
        return f"write {' or '.join(f'{module.__name__}:{name}' for name in apps)}"
    return (
        "the module holds no app itself: write package.module:app; the name may have dots "
        "(module:box.app) or be a function that makes the app (module:create_app)"
    )


def _apps(module: ModuleType) -> dict[str, Hammerflow]:
    return {key: value for key, value in vars(module).items() if isinstance(value, Hammerflow)}


def app_files() -> list[str]:
    """The files of the modules that were imported from neither Python's library nor installed
    packages: the app's own, wherever they are."""
    schemes = ("stdlib", "platstdlib", "purelib", "platlib")
    foreign = {f"{sysconfig.get_path(scheme)}{os.sep}" for scheme in schemes}
    foreign.add(os.path.dirname(hammerflow.__file__) + os.sep)
    foreign |= {f"{os.path.realpath(path)}{os.sep}" for path in foreign}
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    return sorted(
        path
        for path in (os.path.abspath(file) for file in files if isinstance(file, str))
        if not path.startswith(tuple(foreign))
        and not {"site-packages", "dist-packages"} & {*path.split(os.sep)}
        and os.path.isfile(path)
    )


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


def _import(module_name: str, source: str, remedy: str) -> ModuleType:
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
        parent, _, last = module_name.rpartition(".")
        if missing == module_name and isinstance(
            getattr(sys.modules.get(parent), last, 0), Hammerflow
        ):
            raise ConfigError(f"{source}: {parent} is the module: write {parent}:{last}") from error
        if f"{module_name}.".startswith(f"{missing}."):
            raise ConfigError(
                f"{source}: there is no module {missing} in {folder} or on the Python path: "
                f"run it from the project's folder, or {remedy}"
            ) from error
        raise ConfigError(
            f"{source}: importing {module_name} failed with {_said(error)} (--debug shows where)"
        ) from error


def _said(error: BaseException) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, SystemExit):
        text += ", as a program does: put what only a program does under `if __name__ == ...`"
    return text

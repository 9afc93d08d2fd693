"""Loading: from ``package.module:app`` to the Hammerflow object."""

from __future__ import annotations

import importlib
import os
import sys

from hammerflow.app import Hammerflow
from hammerflow.errors import ConfigError

__all__ = ["load_app"]


def load_app(spec: str) -> Hammerflow:
    """Import the user's app; the working directory comes first on the path.

    Args:
        spec: ``package.module:name``; the name may be left out where it is ``app``, or where the
            module holds one app only.

    Raises:
        ConfigError: no such module or name, or an error in the user's code; says which.
    """
    module_name, _, name = spec.partition(":")
    if not module_name or not all(part.isidentifier() for part in module_name.split(".")):
        raise ConfigError(f"{spec!r} names no app: write package.module:app, without .py")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    module = _import(module_name, spec)
    found = getattr(module, name, None) if name else _only_app(vars(module))
    if isinstance(found, Hammerflow):
        return found
    apps = [key for key, value in vars(module).items() if isinstance(value, Hammerflow)]
    known = f"it has {', '.join(apps)}" if apps else "it has no app at all"
    what = f"{name} in the module {module_name}" if name else f"one app in {module_name}"
    raise ConfigError(f"{spec}: cannot find {what}, {known}: write package.module:app")


def _import(module_name: str, spec: str) -> object:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"{spec}: there is no module {error.name} in {os.getcwd()} or on the Python path: "
                "run it from the project's folder, or correct -A"
            ) from error
        raise _broken(spec, error) from error
    except Exception as error:
        raise _broken(spec, error) from error


def _broken(spec: str, error: Exception) -> ConfigError:
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return ConfigError(f"{spec}: importing the app failed with {said} (--debug shows where)")


def _only_app(names: dict[str, object]) -> object:
    if isinstance(names.get("app"), Hammerflow):
        return names["app"]
    apps = {id(value): value for value in names.values() if isinstance(value, Hammerflow)}
    return next(iter(apps.values())) if len(apps) == 1 else None

"""The drivers of brokers: large packages, imported by the process that uses them, when it does."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from hammerflow.errors import ConfigError

__all__ = ["import_driver", "need_driver"]


def need_driver(module: str, extra: str) -> None:
    """Check that a driver is installed, without importing it.

    Raises:
        ConfigError: it is not.
    """
    try:
        found = importlib.util.find_spec(module)
    except ImportError:
        found = None
    if found is None:
        raise _missing(extra)


def import_driver(module: str, extra: str) -> Any:
    """A driver's module.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise _missing(extra) from error


def _missing(extra: str) -> ConfigError:
    return ConfigError(
        f"a sink of kind {extra} needs a driver that is not installed here: "
        f"pip install 'hammerflow[{extra}]'"
    )

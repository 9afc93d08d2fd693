"""Variables: texts of options that name ``${VARIABLE}`` of the environment, and what is hidden."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final

from hammerflow.errors import ConfigError

__all__ = ["HIDDEN", "filled", "is_variable", "redacted"]

#: Shown instead of a secret.
HIDDEN: Final = "********"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
#: The password of a URL.
_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):[^/\s]+@")


def is_variable(value: Any) -> bool:
    """Whether a value is a text that names a variable."""
    return isinstance(value, str) and _VARIABLE.search(value) is not None


def filled(owner: str, value: Any) -> Any:
    """A value with its variables replaced by those of the environment.

    Args:
        owner: whose option it is, for the message: ``"the sink audit"``.

    Raises:
        ConfigError: a variable is not set.
    """
    if isinstance(value, Mapping):
        return {key: filled(owner, one) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(owner, one) for one in value]
    if not isinstance(value, str):
        return value

    def variable(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise ConfigError(f"{owner} needs the environment variable {found[1]}")
        return os.environ[found[1]]

    return _VARIABLE.sub(variable, value)


def redacted(value: Any) -> Any:
    """A value without the passwords of its URLs."""
    if isinstance(value, Mapping):
        return {key: redacted(one) for key, one in value.items()}
    if isinstance(value, list):
        return [redacted(one) for one in value]
    return _PASSWORD.sub(rf"\1:{HIDDEN}@", value) if isinstance(value, str) else value

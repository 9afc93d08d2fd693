"""Modules: names of those with tasks, which may have wildcards."""

from __future__ import annotations

import re
from typing import Any

from hammerflow.options.checks import Unfit, ValueCheck

__all__ = ["MODULES"]

_MODULE = r"[^\W\d]\w*(\.([^\W\d]|[*?])[\w*?]*)*"


def _modules(value: Any) -> tuple[str, ...]:
    names = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        raise Unfit
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(_MODULE, name):
            raise Unfit(value=name)
    return tuple(names)


#: Names of modules, as a list or separated by commas.
MODULES = ValueCheck(
    "list[str]", "names of modules, such as shop.mail or shop.*.tasks", _modules,
    bounds="names of modules",
)  # fmt: skip

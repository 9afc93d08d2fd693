"""Config file: one setting of hammerflow.toml is changed, and every other line stays as it is.

The file has top-level keys only, so a line is found by its key. No library that rewrites TOML is
needed: the new text must parse to the old settings with this one changed, or nothing is written.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hammerflow.errors import ConfigError
from hammerflow.settings import SETTINGS

__all__ = ["with_setting"]


def with_setting(
    path: Path, name: str, value: str, check: Callable[[Mapping[str, Any]], None]
) -> str:
    """The text of the file with a setting changed or added.

    Args:
        path: it need not exist.
        value: as on a command line.
        check: raises ConfigError if these settings cannot be the content of the file.

    Raises:
        ConfigError: the value is wrong, or the file cannot be read or changed by line.
    """
    try:
        text = path.read_text("utf-8") if path.exists() else ""
        before = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from error
    after = {**before, name: _plain(name, value)}
    check(after)
    changed = _changed(text, name, _literal(after[name]))
    if _parsed(changed) != after:
        raise ConfigError(
            f"{name} in {path} has a form that is not changed by line, such as a value of several "
            "lines: edit the file by hand"
        )
    return changed


def _plain(name: str, value: str) -> Any:
    """The value as the file has it: text stays as it is given."""
    checked = SETTINGS.by_name[name].check.from_text(value, name)
    if isinstance(checked, tuple):
        return list(checked)
    if isinstance(checked, float) and checked.is_integer():
        return int(checked)
    return value if isinstance(checked, str) else checked


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _changed(text: str, name: str, literal: str) -> str:
    lines = text.splitlines(keepends=True)
    key = re.compile(rf"\s*(?:{name}|\"{name}\"|'{name}')\s*=\s*")
    for number, line in enumerate(lines):
        if found := key.match(line):
            lines[number] = f"{found[0]}{literal}{_comment(line)}\n"
            return "".join(lines)
    gap = "\n" if lines and not lines[-1].endswith("\n") else ""
    return f"{text}{gap}{name} = {literal}\n"


def _comment(line: str) -> str:
    """The comment at the end of a line, with the space before it: what is left without it must
    parse."""
    for mark in re.finditer(r"\s*#", line):
        if _parsed(line[: mark.start()]) is not None:
            return line[mark.start() :].rstrip("\n")
    return ""


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None

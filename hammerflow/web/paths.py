"""Paths: names of any characters as parameters of a path.

A name is one segment, percent-encoded: ``a/b`` is ``a%2Fb``. Servers decode a path before they hand
it on, so its segments are taken from the path as it was sent. Where a host keeps no such path, as
a plain server of WSGI does, the table of routes tells which slashes belong to a name.

Browsers and proxies drop the segments ``.`` and ``..``, however they are encoded: these two names,
and those that begin with ``=``, are written with a ``=`` before them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["EncodedPaths", "in_path", "name_of"]

_ESCAPE = "="
_PARAMETER = re.compile(r"\{\w+\}")


def in_path(name: str) -> str:
    """A name as a segment of a path."""
    is_special = name in (".", "..") or name.startswith(_ESCAPE)
    return quote(_ESCAPE + name if is_special else name, safe="")


def name_of(segment: str) -> str:
    """The name that a segment is."""
    return unquote(segment).removeprefix(_ESCAPE)


class EncodedPaths:
    """Keeps the segments of a path apart until the route is known, so that a name may have slashes.

    Args:
        templates: the paths of the table of routes.
    """

    def __init__(self, app: ASGIApp, templates: Iterable[str]) -> None:
        self._app = app
        longest_first = sorted({*templates}, key=lambda one: -len(_PARAMETER.sub("", one)))
        self._plain = [_pattern(template, "[^/]+") for template in longest_first]
        self._greedy = [
            (template, _pattern(template, "(.+)"))
            for template in longest_first if "{" in template
        ]  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            root = scope.get("root_path", "")
            scope = {**scope, "path": root + self._encoded(scope, root)}
        await self._app(scope, receive, send)

    def _encoded(self, scope: Scope, root: str) -> str:
        path = str(scope["path"])
        path = path.removeprefix(root)
        raw = bytes(scope.get("raw_path") or b"").decode("latin-1").partition("?")[0]
        skipped = raw.split("/", root.count("/") + 1)
        for sent in (f"/{skipped[-1]}", raw):  # with the path of the mounting, and without
            if unquote(sent) == path:
                return "/".join(quote(unquote(part), safe="") for part in sent.split("/"))
        return self._told_apart(path)

    def _told_apart(self, path: str) -> str:
        """A decoded path by the table: a name ends where the rest fits."""
        if not any(pattern.fullmatch(path) for pattern in self._plain):
            for template, pattern in self._greedy:
                if found := pattern.fullmatch(path):
                    names = [quote(name, safe="") for name in found.groups()]
                    return _PARAMETER.sub("{}", template).format(*names)
        return "/".join(quote(part, safe="") for part in path.split("/"))


def _pattern(template: str, name: str) -> re.Pattern[str]:
    parts = [re.escape(part) for part in _PARAMETER.split(template)]
    return re.compile(name.join(parts), re.DOTALL)

"""Pages: the dashboard's files, as they are in the package."""

from __future__ import annotations

import gzip
import hashlib
import html
import posixpath
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from http import HTTPStatus
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from hammerflow.web.headers import HEADERS
from hammerflow.web.problems import problem_response

__all__ = ["Pages"]

_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
}
#: For a file whose path names the release that it belongs to: it never changes.
_FOR_EVER = {"cache-control": "public, max-age=31536000, immutable"}
_IMPORT = re.compile(r'^(?:import|export) [^"]*"(\.[^"]+)";', re.MULTILINE)


class _File(NamedTuple):
    content: bytes
    packed: bytes
    media_type: str


class Pages:
    """The dashboard: one page whose code shows what its path names, and the files of that code.

    The files are read once. They are public: nothing of the database is in them. The page itself
    is never kept, as it has what was read for whoever asks.

    Args:
        ways: how a browser logs in, for the page that says so.
        first: what a page reads first, by the request, the name of its module, and the segment of
            the path that names what it shows.
    """

    def __init__(self, ways: str, first: Callable[[Request, str, str], Awaitable[bytes]]) -> None:
        self._ways = ways
        self._first = first
        self._files = dict(_read(files("hammerflow.web") / "static"))
        scripts = ((name, file) for name, file in self._files.items() if name.endswith(".js"))
        self._imports = {name: _imports_of(name, file) for name, file in scripts}
        digest = hashlib.blake2b(digest_size=8)
        for name in sorted(self._files):
            digest.update(name.encode() + b"\0" + self._files[name].content)
        self._release = digest.hexdigest()

    def routes(self) -> list[Route]:
        """What it serves: to be asked after all other routes."""
        return [
            Route("/api/{path:path}", _nothing),
            Route("/static/{release}/{path:path}", self._file, methods=["GET"]),
            Route("/static/{path:path}", _nothing),
            Route("/{path:path}", self._page, methods=["GET"]),
        ]

    async def _file(self, request: Request) -> Response:
        file = self._files.get(request.path_params["path"])
        if file is None or request.path_params["release"] != self._release:
            return await _nothing(request)
        return _answer(request, file, _FOR_EVER)

    async def _page(self, request: Request) -> Response:
        path = request.path_params["path"]
        is_page = not path or f"pages/{path.partition('/')[0]}.js" in self._files
        module = self._module_of(path)
        modules = self._imported_by("app.js") | self._imported_by(module)
        base = request.scope.get("root_path", "")
        static = f"{base}/static/{self._release}"
        preloads = "".join(
            f'<link rel="modulepreload" href="{html.escape(static)}/{name}">'
            for name in modules
        )  # fmt: skip
        text = self._files["index.html"].content.decode()
        for mark, value in (("BASE", base), ("STATIC", static), ("LOGIN", self._ways)):
            text = text.replace("{" + mark + "}", html.escape(value))
        head, _, rest = text.replace("{PRELOADS}", preloads).partition("{FIRST}")

        async def parts() -> AsyncIterator[bytes]:
            yield head.encode()  # with what the browser can fetch in the meantime
            if request.method != "HEAD":
                yield await self._first(request, _stem(module), path.partition("/")[2])
            yield rest.encode()

        status = 200 if is_page else 404
        return StreamingResponse(parts(), status, dict(HEADERS), _TYPES["html"])

    def _module_of(self, path: str) -> str:
        """The module of the page that a path names: ``jobs/ID`` is that of one job."""
        name, _, rest = path.partition("/")
        one = f"pages/{name.removesuffix('s')}.js"
        return one if rest and one in self._files else f"pages/{name or 'overview'}.js"

    def _imported_by(self, module: str) -> dict[str, None]:
        """A module with all that it imports: named in the page, so that they come at once."""
        found: dict[str, None] = {}
        waiting = [module] if module in self._imports else []
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = None
                waiting += self._imports[name]
        return found


def _stem(module: str) -> str:
    return posixpath.basename(module).removesuffix(".js")


def _imports_of(name: str, file: _File) -> list[str]:
    folder = posixpath.dirname(name)
    found = _IMPORT.findall(file.content.decode())
    return [posixpath.normpath(posixpath.join(folder, other)) for other in found]


def _read(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, _File]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _read(entry, f"{prefix}{entry.name}/")
        elif (kind := entry.name.rpartition(".")[2]) in _TYPES:
            content = entry.read_bytes()
            yield prefix + entry.name, _File(content, gzip.compress(content, 9), _TYPES[kind])


def _answer(request: Request, file: _File, more: Mapping[str, str]) -> Response:
    headers = {**HEADERS, **more, "vary": "accept-encoding"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(file.content, 200, headers, file.media_type)
    headers["content-encoding"] = "gzip"
    return Response(file.packed, 200, headers, file.media_type)


async def _nothing(request: Request) -> Response:
    detail = f"there is nothing at {request.url.path}"
    return problem_response(HTTPStatus.NOT_FOUND, detail, dict(HEADERS))

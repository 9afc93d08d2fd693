"""Client: calls the REST API of another host, with the standard library alone."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator, Iterator
from functools import cached_property
from typing import Any

__all__ = ["Client", "ClientError"]

_PAUSE, _LONGEST = 0.5, 15.0
_PARAMETER = re.compile(r"\{(\w+)\}")


class ClientError(Exception):
    """The server has refused a request.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Client:
    """One server. Operations have the names of its description, such as ``listJobs``.

    Args:
        base: the address below which ``/api`` is.
        token: as ``POST /api/tokens`` has made it.
        timeout: seconds that one answer may take.

    Raises:
        ValueError: the base does not begin with http:// or https://.
    """

    def __init__(self, base: str, *, token: str | None = None, timeout: float = 30.0) -> None:
        if not base.startswith(("http://", "https://")):
            raise ValueError(f"the base must begin with http:// or https://, not {base!r}")
        self._base = base.rstrip("/")
        self._token = token
        self._timeout = timeout

    @cached_property
    def operations(self) -> dict[str, tuple[str, str, frozenset[str], bool]]:
        """Method, path, names of the query and whether there is a body, by operation."""
        with self._open("GET", "/api/openapi.json") as answer:
            document = json.load(answer)
        return {
            one["operationId"]: (
                method.upper(), path,
                frozenset(p["name"] for p in one["parameters"] if p["in"] == "query"),
                "requestBody" in one,
            )
            for path, methods in document["paths"].items() for method, one in methods.items()
        }  # fmt: skip

    def call(self, operation: str, /, *, key: str | None = None, **params: Any) -> Any:
        """Call an operation: the parameters of its path, of its query, and the fields of its body.

        Args:
            key: sent as Idempotency-Key, so that a change which is sent again is done once.

        Raises:
            ClientError: the server has refused it.
            TypeError: a parameter is unknown or missing.
            OSError: the server cannot be reached.
        """
        method, template, names, has_body = self._operation(operation)
        parts = _PARAMETER.findall(template)
        if missing := [part for part in parts if part not in params]:
            raise TypeError(f"{operation} needs {', '.join(missing)}")
        values = {part: _in_path(str(params.pop(part))) for part in parts}
        path = template.format(**values)
        unknown = params.keys() - names
        if unknown and not has_body:
            raise TypeError(f"{operation} does not know {', '.join(sorted(unknown))}")
        headers = {} if key is None else {"idempotency-key": key}
        query, body = ({}, params) if has_body else (params, None)
        with self._open(method, path, query, body, headers) as answer:
            text = answer.read().decode()
            is_json = "json" in answer.headers.get("content-type", "")
        return json.loads(text) if is_json else text

    def _operation(self, name: str) -> tuple[str, str, frozenset[str], bool]:
        if name not in self.operations:
            raise TypeError(f"the server has no operation {name}")
        return self.operations[name]

    def all(self, operation: str, /, **params: Any) -> Iterator[Any]:
        """All items of a list that has pages.

        Raises:
            ClientError: the server has refused it.
            TypeError: the operation or a parameter is unknown.
            OSError: the server cannot be reached.
        """
        mark = "before" if "before" in self._operation(operation)[2] else "after"
        while True:
            page = self.call(operation, **params)
            yield from page["items"]
            if page.get("next") is None:
                return
            params[mark] = page["next"]

    def events(self, *, after: int | None = None, **query: Any) -> Generator[dict[str, Any]]:
        """Events as they are logged, each once and in order, also over broken connections."""
        pause = _PAUSE
        while True:
            try:
                for message in self._messages("/api/events/stream", {**query, "after": after}):
                    after = int(message.get("id", after or 0))
                    pause = _PAUSE
                    if message.get("event") != "position":
                        yield json.loads(message["data"])
            except OSError:
                pass
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)

    def logs(self, job_id: str, *, attempt: int | None = None) -> Generator[dict[str, Any]]:
        """What a job logs as it comes, each line once, until the job has ended or is parked.

        Each dict has some lines of one attempt, and how many before them were ``missed``.

        Raises:
            ClientError: the server has refused it.
        """
        after, pause = None, _PAUSE
        path = f"/api/jobs/{_in_path(job_id)}/logs/stream"
        while True:
            try:
                for message in self._messages(path, {"attempt": attempt, "after": after}):
                    after, pause = message.get("id", after), _PAUSE
                    if message.get("event") == "end":
                        return
                    yield json.loads(message["data"])
            except OSError:
                pass
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)

    def _messages(self, path: str, query: dict[str, Any]) -> Iterator[dict[str, str]]:
        message: dict[str, str] = {}
        with self._open("GET", path, query) as answer:
            for raw in answer:
                line = raw.decode().rstrip("\n")
                if not line and "data" in message:
                    yield message
                name, colon, value = line.partition(": ")
                message = {**message, name: value} if colon and name else {}

    def _open(
        self, method: str, path: str, query: dict[str, Any] | None = None, body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Any:  # fmt: skip
        given = {name: _text(value) for name, value in (query or {}).items() if value is not None}
        tail = f"?{urllib.parse.urlencode(given)}" if given else ""
        sent = {"x-hammerflow": "1", **(headers or {})}
        if self._token is not None:
            sent["authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body, default=str).encode()
        if data is not None:
            sent["content-type"] = "application/json"
        url = f"{self._base}{path}{tail}"
        request = urllib.request.Request(url, data, sent, method=method)
        try:
            return urllib.request.urlopen(request, timeout=self._timeout)
        except urllib.error.HTTPError as error:
            with error:
                raise ClientError(error.code, _detail(error)) from None


def _in_path(name: str) -> str:
    """A name as a segment of a path; proxies drop the segments . and .., unless escaped by =."""
    is_special = name in (".", "..") or name.startswith("=")
    return urllib.parse.quote(f"={name}" if is_special else name, safe="")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["detail"])
    except (ValueError, KeyError, OSError):
        return error.reason

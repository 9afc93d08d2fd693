"""Names of any characters in paths: they reach the handler as they are."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

import pytest

from hammerflow.web.paths import EncodedPaths, in_path, name_of
from hammerflow.web.routes import ROUTES
from tests.web.conftest import ODD_NAMES

TEMPLATES = [*{route.path for route in ROUTES}]


def _routed(**scope: Any) -> str:
    """The path that the routes see."""
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])

    served: Any = EncodedPaths(app, TEMPLATES)
    with pytest.raises(StopIteration):
        served({"type": "http", **scope}, None, None).send(None)
    return seen[0]


@pytest.mark.parametrize("root", ["", "/shop/jobs", "/sh op/ü"])
@pytest.mark.parametrize("template", ["/api/queues/{queue}", "/api/queues/{queue}/pause"])
def test_a_name_is_one_segment(template: str, root: str) -> None:
    for name in ODD_NAMES:
        raw = quote(root) + template.format(queue=in_path(name))
        path = _routed(path=unquote(raw), raw_path=raw.encode(), root_path=root)
        parts = path.removeprefix(root).split("/")
        assert len(parts) == template.count("/") + 1, name
        assert name_of(parts[3]) == name


@pytest.mark.parametrize("raw", [b"", b"/elsewhere", b"/api/queues/%ff/pause"])
def test_without_the_path_as_it_was_sent_the_table_tells_names_apart(raw: bytes) -> None:
    for path, found in (
        ("/api/queues/a/b", "/api/queues/a%2Fb"),
        ("/api/queues/a/b/pause", "/api/queues/a%2Fb/pause"),
        ("/api/queues//x//pause", "/api/queues/%2Fx%2F/pause"),
        ("/api/queues/pause/pause", "/api/queues/pause/pause"),
        ("/api/queues/../pause", "/api/queues/../pause"),
        ("/api/webhooks/eu/deliveries/deliveries", "/api/webhooks/eu%2Fdeliveries/deliveries"),
        ("/api/limits/key:a/b?c", "/api/limits/key%3Aa%2Fb%3Fc"),
        ("/api/nothing/a/b", "/api/nothing/a/b"),
        ("/static/0/lib/api.js", "/static/0/lib/api.js"),
    ):
        assert _routed(path=path, raw_path=raw) == found


def test_paths_with_a_hundred_thousand_slashes_are_read_at_once() -> None:
    path = "/api/queues" + "/a" * 50_000 + "/pause/"
    assert _routed(path=path).startswith("/api/queues/a%2F")

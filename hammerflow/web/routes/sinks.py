"""Routes of sinks: list, show, add, change, pause, resume, rewind, test, remove."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hammerflow.admin.sinks import named_sink_json, parked_json, sink_json, try_sink
from hammerflow.admin.sinks import resume_sink as resume_sink_by_name
from hammerflow.errors import ConfigError, HammerflowError
from hammerflow.events.filter import EventFilter
from hammerflow.options.variables import check_variables
from hammerflow.sinks.registry import check_config, code_of, open_sink
from hammerflow.web.access import Role
from hammerflow.web.backend import app_of
from hammerflow.web.problems import RequestRefused
from hammerflow.web.routes.events import Position
from hammerflow.web.routes.types import Done, Instant, Name, Reason, converted, known
from hammerflow.web.routing import ApiCall, Nothing, Route, refuse_unseen

__all__ = ["ROUTES", "FilterBody", "TestTaken", "filter_of_body", "tested"]


class SinkRowShown(msgspec.Struct, kw_only=True):
    """A sink: how far it has come, and what is wrong.

    Attributes:
        config: its options without secrets.
        behind: events that it has not received yet.
        parked: events that it has refused.
        gap: positions of the first and last event that it will never receive.
        is_held: whether a relay delivers to it now.
    """

    name: str
    kind: str
    config: dict[str, Any]
    filters: dict[str, Any]
    app: str
    state: str
    position: int
    behind: int
    sent: int
    sent_at: datetime | None
    created_at: datetime | None
    complete_from: datetime | None
    changed_by: str | None
    reason: str | None
    failures: int
    error: str | None
    error_at: datetime | None
    parked: int
    gap: list[int] | None
    is_held: bool


class SinkList(msgspec.Struct):
    """All sinks by name; head is the position of the last event."""

    items: list[SinkRowShown]
    head: int


class RefusedEvent(msgspec.Struct):
    """An event that a sink has refused."""

    position: int
    at: datetime | None
    kind: str
    subject: str
    error: str
    body: str


class SinkShown(SinkRowShown, kw_only=True):
    """A sink and the events that it has refused."""

    refused: list[RefusedEvent]


class RefusedQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How many refused events."""

    parked: Annotated[int, Meta(ge=0, le=1000)] = 10


def list_sinks(call: ApiCall[Nothing, None]) -> SinkList:
    """List the sinks."""
    store = call.backend.store
    head, parked = store.events.head(), store.sinks.parked_counts()
    rows = [
        _told(call, sink_json(row, head, parked.get(row.name, 0))) for row in store.sinks.list()
    ]
    return SinkList([converted(row, SinkRowShown) for row in rows], head)


def _told(call: ApiCall[Any, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """A sink with what is shown of its options, and of what its receiver has answered."""
    error = fields["error"] and call.texts.note(fields["error"])
    return {**fields, "config": call.texts.fields(fields["config"]), "error": error}


def show_sink(call: ApiCall[RefusedQuery, None]) -> SinkShown:
    """Show a sink and the events that it has refused."""
    return _shown(call, _name(call), call.query.parked)


def _name(call: ApiCall[Any, Any]) -> str:
    return known(lambda: call.backend.store.sinks.get(call.path["sink"])).name


def _shown(call: ApiCall[Any, Any], name: str, parked: int = 10) -> SinkShown:
    store = call.backend.store
    found = store.sinks.parked(name, parked) if parked else []
    texts = call.texts
    refused = [
        {**one, "body": texts.answer(one["body"]), "error": texts.note(one["error"])}
        for one in map(parked_json, found)
    ]
    fields = _told(call, named_sink_json(store, name))
    return converted({**fields, "refused": refused}, SinkShown)


class FilterBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which events; names may hold ``*``."""

    kinds: list[Name] | None = None
    queues: list[Name] = []
    tasks: list[Name] = []
    min_priority: Annotated[int, Meta(ge=0, le=4)] | None = None
    min_duration: Annotated[float, Meta(ge=0, le=10**9)] | None = None
    headers: dict[str, str] = {}
    metadata: dict[str, str] = {}


def filter_of_body(body: FilterBody) -> EventFilter:
    """The filter that a body describes."""
    return EventFilter.of(**msgspec.structs.asdict(body))


class SinkBody(msgspec.Struct, forbid_unknown_fields=True):
    """A sink.

    Attributes:
        kind: none, log, http, redis, nats, kafka, kinesis or pubsub.
        config: its options; a value may name a variable of the relay, such as ${TOKEN}.
        position: where a new one begins; by default after the last event.
    """

    kind: Name
    config: dict[str, Any] = {}
    filters: FilterBody = msgspec.field(default_factory=FilterBody)
    position: Position | None = None


def put_sink(call: ApiCall[Nothing, SinkBody]) -> SinkShown:
    """Add a sink, or change its options."""
    body, store, name = call.body, call.backend.store, call.path["sink"]
    if body.kind == "webhook" or code_of(body.kind, body.config):
        raise ConfigError(
            "a sink of code of your own is declared in the app, and a webhook with "
            "/api/webhooks: the relay imports nothing that only the database names"
        )
    if body.kind == "file":
        detail = (
            "a file on the host of the relay is named in the app, or with hammerflow sink add: who "
            "has a token of the API may not choose what is written there"
        )
        raise RequestRefused(HTTPStatus.FORBIDDEN, detail)
    config = check_config(body.kind, body.config)
    if config.get("include"):
        refuse_unseen(call, "send them to nobody")
    check_variables(f"the sink {name}", config, call.backend.settings.bounds)
    if "${" not in str(config):
        open_sink(name, body.kind, config)  # it checks what the kind needs
    store.sinks.put(
        name, body.kind, config, filter_of_body(body.filters), by=call.who.name,
        position=body.position,
    )  # fmt: skip
    return _shown(call, name)


class SinkPause(msgspec.Struct, forbid_unknown_fields=True):
    """Why."""

    reason: Reason = ""


def pause_sink(call: ApiCall[Nothing, SinkPause]) -> SinkShown:
    """Pause a sink until it is resumed; the log keeps its events for a limited time."""
    name = _name(call)
    call.backend.store.sinks.pause(name, by=call.who.name, reason=call.body.reason)
    return _shown(call, name)


def resume_sink(call: ApiCall[Nothing, None]) -> SinkShown:
    """Resume a sink where it was paused or has stopped."""
    name = _name(call)
    resume_sink_by_name(call.backend.store, name, by=call.who.name)
    return _shown(call, name)


class RewindBody(msgspec.Struct, forbid_unknown_fields=True):
    """Where to continue: after a position, or with the events from a time on.

    Attributes:
        dry_run: only count.
    """

    position: Position | None = None
    at: Instant | None = None
    dry_run: bool = False


class Rewound(msgspec.Struct):
    """How many events are delivered again, or left out."""

    position: int
    again: int
    left_out: int


def rewind_sink(call: ApiCall[Nothing, RewindBody]) -> Rewound:
    """Move the position of a sink: back, to deliver events again, or forward, to skip some."""
    store, body, name = call.backend.store, call.body, _name(call)
    if (body.position is None) == (body.at is None):
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "say where: position or at")
    position = body.position
    if position is None:
        assert body.at is not None
        position = store.events.position_at(body.at.timestamp())
    if position > (head := store.events.head()):
        raise ConfigError(f"the log ends at the position {head}")
    before = store.sinks.get(name).position
    if not body.dry_run:
        store.sinks.rewind(name, position, by=call.who.name)
    return Rewound(position, max(0, before - position), max(0, position - before))


def remove_sink(call: ApiCall[Nothing, None]) -> Done:
    """Remove a sink; events that it has not received are not delivered."""
    name = _name(call)
    behind = named_sink_json(call.backend.store, name)["behind"]
    call.backend.store.sinks.remove(name)
    return Done(f"sink {name} is removed; it was {behind} events behind")


class TestTaken(msgspec.Struct):
    """The test was delivered within this number of seconds."""

    name: str
    seconds: float


def test_sink(call: ApiCall[Nothing, None]) -> TestTaken:
    """Send one event of the kind test to a sink, from the server; 409 says why it failed."""
    backend, name = call.backend, _name(call)
    app = app_of(backend)
    declared = frozenset() if app is None else app.sinks.code()
    return tested(call, lambda: try_sink(backend.store, name, backend.settings, declared))


def tested(call: ApiCall[Any, Any], send: Callable[[], dict[str, Any]]) -> TestTaken:
    """What ``send`` says of a test; who sees no values is not told what a receiver has answered."""
    try:
        found = send()
    except ConfigError:
        raise
    except HammerflowError as error:
        what, colon, answer = str(error).partition(": ")
        raise HammerflowError(f"{what}{colon}{call.texts.note(answer)}") from error
    return TestTaken(found["name"], found["seconds"])


_ONE = "/api/sinks/{sink}"
ROUTES: Sequence[Route] = (
    Route("GET", "/api/sinks", list_sinks, SinkList),
    Route("GET", _ONE, show_sink, SinkShown, query=RefusedQuery),
    Route("PUT", _ONE, put_sink, SinkShown, Role.ADMIN, body=SinkBody),
    Route("DELETE", _ONE, remove_sink, Done, Role.ADMIN),
    Route("POST", f"{_ONE}/pause", pause_sink, SinkShown, Role.OPERATE, body=SinkPause),
    Route("POST", f"{_ONE}/resume", resume_sink, SinkShown, Role.OPERATE),
    Route("POST", f"{_ONE}/test", test_sink, TestTaken, Role.OPERATE),
    Route("POST", f"{_ONE}/rewind", rewind_sink, Rewound, Role.ADMIN, body=RewindBody),
)

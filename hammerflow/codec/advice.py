"""Advice: why a value of some type is refused, and what to pass instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hammerflow.codec.classes import is_registrable
from hammerflow.codec.containers import CONTAINERS
from hammerflow.codec.scalars import SCALARS
from hammerflow.codec.types import full_name

__all__ = ["no_such_type"]

_CONVERTIBLE = frozenset({float, str, bytes, list, dict, *CONTAINERS, *SCALARS})
_LIST = "pass list(value)"
_DICT = "pass dict(value)"
_ID = "pass its id, value.id"
_IDS = "pass the ids of its results, [result.id for result in value]"
_CALL = "enqueue or yield it, and pass the id of its result"
_NAME = "pass its name, or a value from which the task can choose"
_OWN = "it belongs to this process; create it in the task"

#: By the full name of a class or of one of its bases; the nearest base wins.
_ADVICE: Mapping[str, str] = {
    **dict.fromkeys(("generator", "map", "filter", "zip", "enumerate", "reversed"), _LIST),
    **dict.fromkeys(("dict_keys", "dict_values", "dict_items", "odict_keys"), _LIST),
    "itertools.chain": _LIST,
    "itertools.islice": _LIST,
    "mappingproxy": _DICT,
    "collections.ChainMap": _DICT,
    "collections.UserDict": _DICT,
    "collections.UserList": _LIST,
    "collections.UserString": "pass str(value)",
    "types.SimpleNamespace": "pass vars(value)",
    "memoryview": "pass bytes(value)",
    "array.array": "pass value.tolist()",
    "re.Pattern": "pass value.pattern",
    "datetime.tzinfo": "pass zoneinfo.ZoneInfo(key) or the zone's name",
    "numpy.ndarray": "pass value.tolist()",
    "numpy.generic": "pass value.item()",
    **dict.fromkeys(("pandas.NaTType", "pandas.NAType"), "pass None"),
    "pandas.Timestamp": "pass value.to_pydatetime()",
    "pandas.Timedelta": "pass value.to_pytimedelta()",
    "pandas.Series": "pass value.tolist()",
    "pandas.Index": "pass value.tolist()",
    "pandas.DataFrame": 'pass value.to_dict("records"), or store it and pass its place',
    **dict.fromkeys(("function", "builtin_function_or_method", "method", "type", "module"), _NAME),
    "functools.partial": _NAME,
    **dict.fromkeys(("coroutine", "_asyncio.Future"), "await it, and pass its result"),
    "async_generator": "pass [item async for item in value]",
    "concurrent.futures._base.Future": "pass value.result()",
    "BaseException": "pass str(value), or repr(value)",
    "traceback": 'pass "".join(traceback.format_tb(value))',
    "_io._IOBase": "pass the file's path, or what value.read() returns",
    **dict.fromkeys(
        ("_thread.lock", "_thread.RLock", "threading.Thread", "threading.Event",
         "threading.Condition", "threading.Semaphore", "_socket.socket", "frame",
         "sqlite3.Connection", "psycopg.BaseConnection", "pymysql.connections.Connection",
         "sqlalchemy.engine.base.Engine", "sqlalchemy.engine.base.Connection",
         "sqlalchemy.orm.session.Session", "redis.client.Redis",
         "subprocess.Popen", "_contextvars.ContextVar"),
        _OWN,
    ),
    "django.db.models.query.QuerySet": "pass list(value.values_list(\"pk\", flat=True))",
    "django.utils.functional.Promise": "pass str(value)",
    "msgspec.Struct": "pass msgspec.to_builtins(value)",
    "google.protobuf.message.Message": "pass value.SerializeToString()",
    "pydantic.networks._BaseUrl": "pass str(value), or make the field a str",
    "pydantic.networks._BaseMultiHostUrl": "pass str(value), or make the field a str",
    "pydantic.types._SecretBase": "pass a reference to the secret; a database keeps what it gets",
    "object": "pass plain data instead, for instance an id or a path",
    "hammerflow.results.result.Result": _ID,
    "hammerflow.results.workflow.WorkflowResult": _ID,
    "hammerflow.results.workflow.BatchResult": _ID,
    "hammerflow.results.group.GroupResult": _IDS,
    "hammerflow.results.result.Results": _IDS,
    "hammerflow.context.JobContext": _ID,
    "hammerflow.app.Hammerflow": "import it in the module of the task",
    "hammerflow.enqueue.transaction.Transaction": _OWN,
    "hammerflow.canvas.chain.Canvas": _CALL,
    "hammerflow.workflows.workflow.Workflow": _CALL,
    "hammerflow.workflows.batch.Batch": _CALL,
    "hammerflow.tasks.task.Task": "pass value.name, or a value from which the task can choose",
}  # fmt: skip


def no_such_type(kind: type) -> str:
    """Why a type is refused, and what to do instead."""
    return f"type {full_name(kind)} cannot be encoded; {_advice(kind)}"


def _advice(kind: type) -> str:
    advice = next(advice for name in _names(kind) if (advice := _ADVICE.get(name)))
    if advice is not _ADVICE["object"]:
        return advice
    if is_registrable(kind):
        name = kind.__name__
        return (
            f"name it in an annotation of the task, or register it with app.codec.register({name})"
        )
    base = next((base for base in kind.__mro__[1:] if base in _CONVERTIBLE), None)
    if base is not None:
        return f"it would come back as another type: convert it to {base.__name__} first"
    if hasattr(kind, "__mapper__") or (hasattr(kind, "_meta") and hasattr(kind, "pk")):
        return "pass its primary key, and load it in the task"
    return _LIST if hasattr(kind, "__next__") else advice


def _names(kind: type) -> Iterator[str]:
    """The names of a class and its bases, as people import them."""
    for base in kind.__mro__:
        module, name = base.__module__, base.__qualname__
        if module.partition(".")[0] == "pandas":
            module = "pandas"
        yield name if module == "builtins" else f"{module}.{name}"

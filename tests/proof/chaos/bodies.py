"""The app whose workers chaos breaks: the shop's tasks, and those of the chaos load alone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from hammerflow import Hammerflow, Signature, Task, UniqueKey, Workflow, constant, current_job
from tests.acceptance import shop
from tests.acceptance.rules import TURNS
from tests.acceptance.shop import entered

__all__ = ["BEATS", "BIN", "RULES", "app", "declare"]

#: Ended jobs of this queue are removed while the load runs.
BIN = "bin"
#: What becomes of a second call, by the end of the name of the task ``sole_...``.
RULES: Mapping[str, UniqueKey] = {
    "reject": UniqueKey(by="key"),
    "return": UniqueKey(by="key", on_conflict="return_existing"),
    "replace": UniqueKey(by="key", on_conflict="replace"),
    "debounce": UniqueKey(by="key", on_conflict="debounce", within=0.4, max_wait=1.2),
    "throttle": UniqueKey(by="key", on_conflict="throttle", within=1.0),
    "started": UniqueKey(by="key", for_states="until_started", on_conflict="return_existing"),
    "within": UniqueKey(by="key", on_conflict="return_existing", within=0.5),
}
_AGAIN: Any = {"max_attempts": 100, "backoff": constant(0)}
_BIN: Any = {**_AGAIN, "queue": BIN}


def declare(app: Hammerflow) -> Mapping[str, Task[..., Any]]:
    """The tasks of the chaos load by their names: clients and workers have the same ones."""
    found: dict[str, Any] = {f"sole_{name}": _sole(app, name) for name in RULES}

    def note(x: Any = None, seconds: float = 0.0) -> Any:
        with entered(x):
            time.sleep(seconds)
        return x

    def total(results: list[Any]) -> list[Any]:
        with entered(results):
            pass
        return results

    def read(*_: Any) -> dict[str, Any]:
        inputs = dict(current_job().inputs)
        with entered(sorted(inputs.values(), key=str)):
            pass
        return inputs

    def beat(name: str, seconds: float) -> None:
        with entered(name):
            time.sleep(seconds)

    def turn(key: str, x: str) -> str:
        with entered(key, x):
            time.sleep(0.03)
        return x

    def fall(x: Any) -> None:
        with entered(x):
            raise ValueError("as always")

    for fn in (note, total, read):
        found[f"bin_{fn.__name__}"] = app.task(name=f"chaos.bin_{fn.__name__}", **_BIN)(fn)
    found["fall"] = app.task(name="chaos.fall", max_attempts=9, backoff=constant(0.3))(fall)
    limit: Any = {"max_concurrency": TURNS, "limit_key": "{key}"}
    found["turn"] = app.task(name="chaos.turn", **limit, **_AGAIN)(turn)
    found["beat"] = app.task(name="chaos.beat", **_AGAIN)(beat)
    found["twig"] = twig = app.task(name="chaos.twig", **_AGAIN)(_twig)

    def grow(x: str, count: int) -> Iterator[Signature]:
        with entered(x, count):
            yield from (found["bin_note"].s([x, n]) for n in range(count))

    def branch(count: int, depth: int, pause: float) -> Iterator[Signature]:
        """A tree: every fifth child has children of its own."""
        with entered(count, depth):
            for n in range(count):
                time.sleep(pause)
                deeper = depth > 0 and n % 5 == 0
                yield found["branch"].s(count, depth - 1, pause) if deeper else twig.s(n)

    then = found["bin_total"].s()
    found["bin_grow"] = app.spawner(name="chaos.bin_grow", then=then, **_BIN)(grow)
    found["branch"] = app.spawner(name="chaos.branch", **_AGAIN)(branch)
    return found


def _twig(n: int) -> int:
    with entered(n):
        time.sleep(0.02)
    return n


def _sole(app: Hammerflow, name: str) -> Any:
    def sole(key: str, x: str, seconds: float = 0.0) -> str:
        with entered(key, x):
            time.sleep(seconds)
            if x.startswith("fails"):  # sent with max_attempts=1
                raise ValueError(x)
        return x

    return app.task(name=f"chaos.sole_{name}", unique=RULES[name], **_AGAIN)(sole)


#: The schedules: seconds between two ticks, and what else they are given.
BEATS: Mapping[str, tuple[float, dict[str, Any]]] = {
    "all": (1, {"misfire": "all"}),
    "once": (1, {"misfire": "once"}),
    "none": (1, {"misfire": "skip"}),
    "alone": (1, {"misfire": "all", "overlap": "skip"}),
    "in line": (1, {"misfire": "all", "overlap": "queue_one"}),
    "newest": (1, {"misfire": "all", "overlap": "cancel_old"}),
    "spread": (2, {"misfire": "all", "jitter": 1.0}),
    "second": (2, {"misfire": "all"}),
    "later": (2, {"misfire": "all", "after": "second"}),
    "flow": (2, {"misfire": "all"}),
    "sole": (1, {"misfire": "all"}),
}
#: Seconds that the bodies of some take.
_LONG = {"alone": 1.5, "in line": 0.7, "newest": 1.6}


def _schedule(app: Hammerflow, tasks: Mapping[str, Task[..., Any]]) -> None:
    for name, (seconds, options) in BEATS.items():
        work: Any = tasks["beat"].si(name, _LONG.get(name, 0.0))
        if name == "flow":
            work = Workflow("flow").add(work, name="a").then(tasks["beat"].si(name, 0.0), name="b")
        elif name == "sole":
            work = tasks["sole_return"].si("tick", "tick", 1.5)
        is_cron = name in ("second", "later")
        when: Any = f"*/{seconds} * * * * *" if is_cron else timedelta(seconds=seconds)
        zone: Any = {"tz": "Europe/Berlin"} if is_cron else {}
        app.schedule(name, when, work, **options, **zone)


app = shop.app
_schedule(app, declare(app))

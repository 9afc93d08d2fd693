"""Rehearsal: workflows, batches and spawn trees, run by the engine itself in a database of its own.

So their rows are what the engine makes of each case; :mod:`hammerflow.cli.demo.day.staging` gives
them the times of a day and copies them.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from hammerflow.app import Hammerflow
from hammerflow.canvas.chain import chain, chord, group
from hammerflow.cli.demo import shop
from hammerflow.jobs.job import Claimed
from hammerflow.worker.child.executor import Executor
from hammerflow.worker.run_options import TaskCatalog, TaskInfo

__all__ = ["Rehearsal", "Scene", "rehearsed", "scenes"]

_WORKER = 1
_ROUND = 200
Stays = Callable[[str, tuple[Any, ...]], bool]


class Scene(NamedTuple):
    """One workflow, batch or job, and when it takes place.

    Attributes:
        ago: seconds before now at which it begins; None: its last event has just taken place.
        begin: sends it, and gives its handle.
        stays: whether a job, by its task and arguments, is still running at the end.
    """

    ago: float | None
    begin: Callable[[Hammerflow], Any]
    stays: Stays | None = None


class Rehearsal(NamedTuple):
    """What was rehearsed: the app with its database, and the id of each scene's root."""

    app: Hammerflow
    roots: list[tuple[bytes, Scene]]


@contextlib.contextmanager
def rehearsed(played: list[Scene]) -> Iterator[Rehearsal]:
    """Run scenes, in a file that is removed at the end."""
    with TemporaryDirectory(prefix="hammerflow-day-") as folder:
        url = f"sqlite:///{Path(folder) / 'rehearsal.db'}"
        app = shop.create_shop(database=url, doorbell="none", schema=None)
        with contextlib.closing(app):
            app.migrate()
            stage = _Stage(app)
            yield Rehearsal(app, [*stage.play(played)])


class _Stage:
    """A worker of one thread, which leaves some jobs as running."""

    def __init__(self, app: Hammerflow) -> None:
        self._app = app
        catalog = TaskCatalog([TaskInfo.of(task) for task in app.tasks.values()])
        self._catalog, self._task_ids = catalog, catalog.ids(is_async=False)
        self._executor = Executor(app, progress=lambda *_: None)
        self._executor.worker_id = _WORKER
        app.store.workers.register(
            _WORKER, host="rehearsal", pid=1, info={}, tasks=catalog.names, queues=catalog.queues
        )

    def play(self, played: list[Scene]) -> Iterator[tuple[bytes, Scene]]:
        """Run scenes to their ends, those together of which nothing stays; gives their roots."""
        plain = [scene for scene in played if scene.stays is None]
        for some in (plain, *([scene] for scene in played if scene.stays is not None)):
            yield from [(self._begin(scene), scene) for scene in some]
            queues = sorted(self._catalog.queues)
            while sum(self._round(queue, some[0].stays) for queue in queues):
                pass

    def _begin(self, scene: Scene) -> bytes:
        root: bytes = scene.begin(self._app).id.bytes
        return root

    def _round(self, queue: str, stays: Stays | None) -> int:
        jobs = self._app.store.jobs.claim(
            _WORKER, queue=queue, task_ids=self._task_ids, limit=_ROUND, thorough=True
        )
        left = [job for job in jobs if stays is None or not self._stays(job, stays)]
        batch = [(job, self._executor.execute(job)) for job in left]
        self._app.store.jobs.settle(_WORKER, batch)
        return len(jobs)

    def _stays(self, job: Claimed, stays: Stays) -> bool:
        given = json.loads(job.options or "{}")
        args = () if "input_ref" in given else self._app.codec.decode_call(job.args)[0]
        return stays(self._catalog.name(job), args)


def scenes(orders: int) -> list[Scene]:
    """What takes place on the day, with this number of completed orders."""
    hour = 3_600.0
    played = [
        Scene(2 * hour + n * 20 * hour / max(1, orders), _order(480_100 + n)) for n in range(orders)
    ]
    played += [
        Scene(20.1 * hour, lambda app: app.enqueue(shop.catalogue(app, "spring.csv"))),
        Scene(15 * hour, lambda app: app.enqueue(shop.mailing(app, "autumn-sale", 40 + orders))),
        Scene(7.3 * hour, _order(480_071, card=shop.DECLINED)),
        Scene(3.1 * hour, _order(480_072, carrier=shop.LOST_COURIER, policy="continue_on_failure")),
        Scene(2.2 * hour, _cancelled),
        Scene(1.6 * hour, lambda app: app.tasks["imports.feed"].delay("nordic.csv", 60)),
        Scene(1.2 * hour, lambda app: app.enqueue(shop.onboarding(app, "ACME-404"))),
        Scene(0.9 * hour, lambda app: app.enqueue(shop.onboarding(app, "Borealis"))),
        Scene(0.7 * hour, _statement),
        Scene(None, lambda app: app.enqueue(shop.catalogue(app, "winter.csv")), _images(5)),
        Scene(None, _order(480_990), lambda task, _: task == "shipping.book_courier"),
        Scene(None, _order(480_991), lambda task, _: task == "orders.check_fraud"),
        Scene(None, lambda app: app.enqueue(shop.mailing(app, "black-friday-teaser", 60)),
              lambda _, args: args[-1] >= 58),
        Scene(None, lambda app: app.tasks["imports.feed"].delay("summer.csv", 80), _images(2)),
    ]  # fmt: skip
    return played


def _order(number: int, **given: Any) -> Callable[[Hammerflow], Any]:
    return lambda app: app.enqueue(shop.fulfilment(app, number, **given))


def _cancelled(app: Hammerflow) -> Any:
    started = app.enqueue(shop.fulfilment(app, 480_073))
    started.cancel("the customer has called")
    return started


def _statement(app: Hammerflow) -> Any:
    """A chain that ends in a chord."""
    task = app.tasks
    parts = group(*[task["imports.row"].si("ledger.csv", row) for row in range(6)])
    collected = chord(parts, task["imports.summary"].s())
    return app.enqueue(chain(task["reports.daily_sales"].si("ledger"), collected))


def _images(least: int) -> Stays:
    return lambda task, args: task == "images.resize" and args[0] >= least - 1 and args[0] % 2 == 0

"""Options: how one worker runs, as the command line gives it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from hammerflow.errors import ConfigError

__all__ = ["WorkerOptions", "read_queues"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How one worker runs.

    Args:
        app: ``package.module:app``.
        children: number of processes that run jobs, one per CPU by default; as many again for
            async tasks, if the app has both kinds.
        queues: name to weight, or ``high:5,default:1``; None serves every queue.
        async_slots: number of async jobs that one child runs at a time.
        max_jobs_per_child: number of jobs after which a child is replaced.
        max_memory_per_child: MiB beyond which a child is replaced after a job.
        grace: seconds that running jobs have to end after SIGTERM.
        poll: seconds between two polls for jobs if the doorbell is silent; None: the setting.
        burst: end when nothing is ready and nothing runs.
        reload: start children with fresh code when a file of the app changes.
        log_format: "text" or "json".
        log_level: "debug", "info", "warning" or "error".
        configure_logging: whether the worker owns the root logger; the setting of the same name
            must be true, too. See :mod:`hammerflow.worker.logs`.
        log_jobs: log the end of every job at "info", not only at "debug"; also a setting.
    """

    app: str
    children: int | None = None
    queues: Mapping[str, int] | str | None = None
    async_slots: int = 100
    max_jobs_per_child: int | None = None
    max_memory_per_child: int | None = None
    grace: float = 30.0
    poll: float | None = None
    burst: bool = False
    reload: bool = False
    log_format: str = "text"
    log_level: str = "info"
    configure_logging: bool = True
    log_jobs: bool = False

    @property
    def processes(self) -> int:
        """How many children of a kind to run."""
        return self.children or os.cpu_count() or 1

    @property
    def weights(self) -> dict[str, int] | None:
        """The queues to serve, name to weight; None for all."""
        if self.queues is None:
            return None
        return read_queues(self.queues) if isinstance(self.queues, str) else dict(self.queues)

    def __post_init__(self) -> None:
        self.weights  # noqa: B018 - reading it checks it
        for name in ("children", "async_slots", "max_jobs_per_child", "max_memory_per_child"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be 1 or more, not {value}")
        if self.grace < 0:
            raise ConfigError(f"grace must be 0 seconds or more, not {self.grace:g}")
        if self.poll is not None and not 0 < self.poll <= 3600:
            raise ConfigError(f"poll must be seconds from above 0 to 3600, not {self.poll:g}")


def read_queues(text: str) -> dict[str, int]:
    """Read ``high:5,default:1`` as name to weight; a name alone weighs 1.

    Raises:
        ConfigError: the text has another form, or a weight is not from 1 to 1000.
    """
    weights: dict[str, int] = {}
    for part in text.split(","):
        name, colon, weight = part.strip().rpartition(":")
        if not colon:
            name, weight = weight, "1"
        if not name or not weight.isascii() or not weight.isdigit() or not 0 < int(weight) <= 1000:
            raise ConfigError(
                "write queues as name:weight,name:weight with weights from 1 to 1000, "
                f"not {part.strip()!r}"
            )
        weights[name] = int(weight)
    return weights

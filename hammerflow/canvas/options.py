"""The options of one call and of one spawner, described."""

from __future__ import annotations

from hammerflow.option import Option

__all__ = ["CALL_OPTIONS", "SPAWN_OPTIONS"]

_DURATION = "float | timedelta"
_AS_TASK = "the task's"

#: What ``Task.options(...)``, ``Signature.set(...)`` and ``app.signature(...)`` take.
CALL_OPTIONS = (
    Option("queue", "str", _AS_TASK, "The queue that the job goes to."),
    Option("priority", "int", _AS_TASK, "0 (background) to 4 (critical); higher runs first."),
    Option(
        "delay", _DURATION, "0", "Earliest start, counted from now (countdown= in apply_async).",
        "seconds",
    ),
    Option("eta", "datetime", "None", "Earliest start, as an aware datetime; excludes delay."),
    Option(
        "expires", f"{_DURATION} | datetime", _AS_TASK,
        "Latest start, counted from now or as an aware datetime; then the job is cancelled.",
        "seconds",
    ),
    Option(
        "job_id", "uuid.UUID", "a new UUID version 7",
        "The id of the job; a job that already has this id is left as it is.",
    ),
    Option(
        "unique_key", "str", "None",
        "While a job with this key has not ended, the call returns that job's Result.",
    ),
    Option("headers", "Mapping", "{}", "JSON-able values that the body reads as job.headers."),
    Option("max_attempts", "int", _AS_TASK, "Attempts before the job fails for good; 1 or more."),
    Option("backoff", "Backoff", _AS_TASK, "How long to wait before each further attempt."),
    Option(
        "timeout", _DURATION, _AS_TASK, "Running time of one attempt; then its process is killed.",
        "seconds",
    ),
    Option(
        "soft_timeout", _DURATION, _AS_TASK,
        "Running time of one attempt after which SoftTimeout is raised in the body.", "seconds",
    ),
    Option("store_result", "bool", _AS_TASK, "Whether the return value is stored."),
    Option("spawn", "SpawnConfig", _AS_TASK, "Limits and inheritance rules for its children."),
)  # fmt: skip

#: The fields of SpawnConfig, which ``@app.spawner(...)`` takes as keywords.
SPAWN_OPTIONS = (
    Option(
        "handler", "str", "None",
        "Name of an @app.spawn_handler function that gives the children of a plain task.",
    ),
    Option("max_spawn_count", "int", "1000", "Most children of one run; one more fails it."),
    Option("max_depth", "int", "10", "Most generations below the root job; deeper ones fail."),
    Option("inherit_priority", "bool", "True", "Children without a priority take the parent's."),
    Option("inherit_queue", "bool", "False", "Children without a queue take the parent's."),
    Option(
        "inherit_timeout", "bool", "False",
        "Children without timeout and soft_timeout take the parent's.",
    ),
    Option(
        "inherit_retry", "bool", "False",
        "Children without max_attempts and backoff take the parent's.",
    ),
    Option("inherit_trace", "bool", "True", "Children carry the parent's trace id."),
    Option(
        "spawn_delay", _DURATION, "0",
        "Time between the starts of two children, counted from the parent's end.", "seconds",
    ),
    Option(
        "batch_size", "int", "None",
        "Most children that run at a time: child n starts after child n - batch_size has ended.",
    ),
    Option("operation_id", "str", "None", "Text recorded with the spawn, for tracking."),
    Option("metadata", "Mapping", "{}", "JSON-able values recorded with the spawn."),
)  # fmt: skip

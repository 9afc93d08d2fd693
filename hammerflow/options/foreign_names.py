"""Foreign names: what options of other job queues are called here, for messages of errors."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ADVICE"]

Advice = tuple[tuple[str | None, str], ...]


def _is(ours: str, advice: str = "") -> Advice:
    """The advice, where our option of this name is known."""
    return ((ours, advice or f"use {ours}"),)


def _no(advice: str) -> Advice:
    """The advice, wherever the name is given."""
    return ((None, advice),)


_ATTEMPTS = _is("max_attempts", "use max_attempts, which counts the first attempt, too")
_BACKOFF = _is("backoff", "use backoff, for example backoff=constant(30) or exponential(1)")
_START = (("delay", "use delay"), ("countdown", "use countdown or eta"))
_RESULT = _is("store_result", "use store_result=False")
_CURRENT = _no("call current_job() inside the function instead")
_OF_TASK = _no("give it to the task, as @app.task(...) takes it")
_ALWAYS = _no("leave it out: jobs are always acknowledged after they have run")
_METADATA = (("headers", "use headers"), ("metadata", "use metadata"))

#: Name of another library to (our option, advice); the first whose option is known applies.
ADVICE: Mapping[str, Advice] = {
    # Celery
    "acks_late": _ALWAYS,
    "acks_on_failure_or_timeout": _ALWAYS,
    "autoretry_for": _is("retry_on"),
    "bind": _CURRENT,
    "countdown": _is("delay"),
    "default_retry_delay": _BACKOFF,
    "dont_autoretry_for": _is("no_retry_on"),
    "ignore_result": _RESULT,
    "max_retries": _ATTEMPTS,
    "rate_limit": _OF_TASK,
    "reject_on_worker_lost": _ALWAYS,
    "retry_backoff": _BACKOFF,
    "retry_backoff_max": _is("backoff", "use backoff, for example exponential(1, max=600)"),
    "retry_jitter": _is("backoff", "use backoff, for example exponential(1, jitter=0.5)"),
    "retry_kwargs": _ATTEMPTS,
    "routing_key": _is("queue"),
    "soft_time_limit": _is("soft_timeout"),
    "store_errors_even_if_ignored": _no("leave it out: errors are always kept"),
    "task_id": _is("job_id"),
    "throws": _is("no_retry_on"),
    "time_limit": _is("timeout"),
    "track_started": _no("leave it out: the state of a running job is always known"),
    "typing": _no("leave it out: arguments are checked when a task is called"),
    # Dramatiq, Huey, RQ, Procrastinate, Oban, arq, django.tasks
    "actor_name": _is("name"),
    "at_front": _is("priority", "use priority=Priority.CRITICAL"),
    "concurrency_limit": _is("max_concurrency"),
    "context": _CURRENT,
    "depends_on": _no("use a workflow, or signature.depends_on(...)"),
    "enqueue_in": _is("delay"),
    "failure_ttl": _is("result_ttl"),
    "job_timeout": _is("timeout"),
    "keep_result": _is("result_ttl"),
    "max_age": _is("expires"),
    "max_backoff": _BACKOFF,
    "max_concurrency": _OF_TASK,
    "max_tries": _is("max_attempts"),
    "meta": _METADATA,
    "min_backoff": _BACKOFF,
    "pass_context": _CURRENT,
    "queue_name": _is("queue"),
    "queueing_lock": _is("unique_key"),
    "retries": _ATTEMPTS,
    "retry": _ATTEMPTS,
    "retry_delay": _BACKOFF,
    "retry_when": _is("retry_on"),
    "run_after": _START,
    "run_at": _is("eta"),
    "schedule_at": _is("eta"),
    "schedule_in": _START,
    "scheduled_at": _is("eta"),
    "store_results": _is("store_result"),
    "tags": _METADATA,
    "takes_context": _CURRENT,
    "ttl": _is("expires"),
    "visibility_timeout": _is("lease"),
    # settings
    "backend": _no("leave it out: results are kept in the database"),
    "broker": _is("database"),
    "broker_url": _is("database"),
    "database_url": _is("database"),
    "dsn": _is("database"),
    "redis_url": _is("redis"),
    "result_backend": _no("leave it out: results are kept in the database"),
    "task_serializer": _is("serializer"),
    "url": _is("database"),
}

"""Api: the client whose methods are the operations of the REST API, with their types.

The types are in ``api.pyi``, and the names below: both are made from the table of routes by
``python -m hammerflow.web.clients``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hammerflow.web.client import Client, ClientError

__all__ = ["Api", "ClientError"]

_NAMES = [
    "show_overview",
    "show_counts",
    "list_jobs",
    "enqueue_job",
    "show_job",
    "list_children",
    "cancel_job",
    "retry_job",
    "explain_job",
    "show_stack",
    "show_dependencies",
    "delete_job",
    "edit_job",
    "show_logs",
    "start_operation",
    "list_operations",
    "show_operation",
    "stop_operation",
    "undo_operation_by_id",
    "show_series",
    "list_queue_stats",
    "list_workflow_stats",
    "list_failures",
    "list_queues",
    "list_queue_health",
    "show_queue",
    "pause_queue",
    "resume_queue",
    "list_tasks",
    "list_task_stats",
    "show_task",
    "pause_task",
    "resume_task",
    "list_pauses",
    "pause_app",
    "resume_app",
    "list_limits",
    "set_limit",
    "remove_limit",
    "list_workers",
    "show_worker",
    "stop_worker",
    "resize_worker",
    "list_workflows",
    "create_workflow",
    "list_workflow_shares",
    "show_workflow",
    "show_workflow_graph",
    "show_workflow_timeline",
    "cancel_workflow",
    "retry_workflow",
    "resume_workflow",
    "skip_workflow_node",
    "list_batches",
    "create_batch",
    "show_batch",
    "list_batch_calls",
    "retry_batch",
    "cancel_batch",
    "list_spawn_operations",
    "show_spawn_stats",
    "list_pending_spawners",
    "show_spawn_tree",
    "show_lineage",
    "list_schedules",
    "create_schedule",
    "explain_cron",
    "show_schedule",
    "update_schedule",
    "delete_schedule",
    "show_next_runs",
    "pause_schedule",
    "resume_schedule",
    "run_schedule",
    "list_events",
    "list_sinks",
    "show_sink",
    "put_sink",
    "remove_sink",
    "pause_sink",
    "resume_sink",
    "test_sink",
    "rewind_sink",
    "list_webhooks",
    "create_webhook",
    "show_webhook",
    "put_webhook_by_name",
    "remove_webhook_by_name",
    "list_webhook_deliveries",
    "rotate_webhook",
    "enable_webhook",
    "disable_webhook",
    "test_webhook",
    "replay_webhook",
    "list_alerts",
    "list_alert_rules",
    "put_alert_rule",
    "reset_alert_rule",
    "mute_alert_rule",
    "unmute_alert_rule",
    "list_alert_targets",
    "put_alert_target",
    "remove_alert_target",
    "test_alert_target",
    "pause_alert_target",
    "resume_alert_target",
    "list_archived",
    "show_archived",
    "restore_archived",
    "purge_archived",
    "show_archive_stats",
    "list_retention",
    "put_retention",
    "reset_retention",
    "show_session",
    "list_tokens",
    "create_token",
    "revoke_token",
    "list_audit",
]


class Api(Client):
    """One server: ``Api("http://127.0.0.1:8080", token="hf_...").list_jobs(state="failed")``.

    Each method takes the parameters of the path, of the query and the fields of the body by their
    names, and ``key``, which is sent as Idempotency-Key. It raises what :meth:`Client.call` raises.
    """


def _method(name: str) -> Callable[..., Any]:
    operation = re.sub(r"_(\w)", lambda found: found[1].upper(), name)

    def method(self: Api, *, key: str | None = None, **params: Any) -> Any:
        return self.call(operation, key=key, **params)

    method.__name__, method.__qualname__ = name, f"Api.{name}"
    method.__doc__ = f"The operation {operation}."
    return method


for _name in _NAMES:
    setattr(Api, _name, _method(_name))

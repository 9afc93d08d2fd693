"""Whatever a command does, the API does, or there is a reason why not."""

from __future__ import annotations

from collections.abc import Iterator

import click

from hammerflow.cli import COMMANDS, hammerflow
from hammerflow.web.routes import ROUTES

#: The routes of each command, by their names; in a list, the reason why there are none.
_ROUTES: dict[str, str | list[str]] = {
    "worker list": "listWorkers", "worker show": "showWorker", "worker stack": "showStack",
    "worker stop": "stopWorker", "worker pool grow": "resizeWorker",
    "worker pool shrink": "resizeWorker", "worker pool set": "resizeWorker",
    "migrate": ["changes tables: a deployment does that, with another user of the database"],
    "demo": ["starts workers of its own, on a database of its own"],
    "demo seed": ["fills an empty database, before it is served"],
    "doctor": ["looks at the machine it runs on; what the database tells is in showOverview"],
    "health": ["is asked of a worker on its own port"],
    "metrics": ["are read from a worker on its own port"],
    "explain": "explainJob",
    "config get": ["is a file of the machine"], "config set": ["is a file of the machine"],
    "config show": ["is a file of the machine"], "config path": ["is a file of the machine"],
    "job list": "listJobs", "job show": "showJob", "job logs": "showLogs",
    "job enqueue": "enqueueJob",
    "job retry": "retryJob startOperation", "job cancel": "cancelJob startOperation",
    "job edit": "editJob", "job purge": "startOperation deleteJob", "job export": "listJobs",
    "job dead list": "listFailures listJobs", "job dead show": "showJob",
    "job dead replay": "startOperation", "job dead undo": "undoOperationById",
    "monitor": "showOverview streamChanges",
    "queue list": "listQueues", "queue stats": "listQueueStats", "queue pause": "pauseQueue",
    "queue resume": "resumeQueue", "queue clear": "startOperation",
    "queue health": "listQueueHealth",
    "task list": "listTasks showTask", "task stats": "listTaskStats", "task pause": "pauseTask",
    "task resume": "resumeTask",
    "app pause": "pauseApp", "app resume": "resumeApp", "app pauses": "listPauses",
    "limit list": "listLimits", "limit set": "setLimit", "limit remove": "removeLimit",
    "archive run": ["is what workers do all the time"], "archive list": "listArchived",
    "archive show": "showArchived", "archive restore": "restoreArchived",
    "archive stats": "showArchiveStats", "archive purge": "purgeArchived",
    "archive policy": "listRetention putRetention resetRetention",
    "archive export": "listArchived showArchived",
    "backup create": ["writes a file"], "backup list": ["reads a folder"],
    "backup restore": ["reads a file, while nothing else may run"],
    "maintenance vacuum": ["locks tables: it is run where the database is looked after"],
    "maintenance check": ["reads all tables: it is run where the database is looked after"],
    "maintenance reindex": ["locks tables: it is run where the database is looked after"],
    "maintenance analyze": ["is done by workers; by hand where the database is looked after"],
    "schedule list": "listSchedules", "schedule show": "showSchedule",
    "schedule create": "createSchedule", "schedule update": "updateSchedule",
    "schedule pause": "pauseSchedule", "schedule resume": "resumeSchedule",
    "schedule delete": "deleteSchedule", "schedule next": "showNextRuns explainCron",
    "schedule run": "runSchedule",
    "event list": "listEvents", "event tail": "streamEvents",
    "sink list": "listSinks", "sink show": "showSink", "sink add": "putSink",
    "sink pause": "pauseSink", "sink resume": "resumeSink", "sink rewind": "rewindSink",
    "sink remove": "removeSink", "sink test": "testSink",
    "webhook list": "listWebhooks", "webhook show": "showWebhook",
    "webhook add": "createWebhook putWebhookByName", "webhook rotate": "rotateWebhook",
    "webhook enable": "enableWebhook", "webhook disable": "disableWebhook",
    "webhook remove": "removeWebhookByName", "webhook deliveries": "listWebhookDeliveries",
    "webhook test": "testWebhook", "webhook replay": "replayWebhook",
    "relay": ["is a process"],
    "alert list": "listAlerts", "alert rules": "listAlertRules", "alert set": "putAlertRule",
    "alert reset": "resetAlertRule", "alert mute": "muteAlertRule",
    "alert unmute": "unmuteAlertRule", "alert targets": "listAlertTargets",
    "alert add": "putAlertTarget", "alert remove": "removeAlertTarget",
    "alert pause": "pauseAlertTarget", "alert resume": "resumeAlertTarget",
    "alert test": "testAlertTarget",
    "web": ["is this server"],
    "web token create": "createToken", "web token list": "listTokens",
    "web token revoke": "revokeToken",
    "workflow stats": "listWorkflowStats",
    "spawn list": "listSpawnOperations", "spawn stats": "showSpawnStats",
    "spawn pending": "listPendingSpawners", "spawn tree": "showSpawnTree",
    "spawn lineage": "showLineage", "spawn monitor": "listSpawnOperations streamChanges",
    "batch create": "createBatch", "batch list": "listBatches", "batch show": "showBatch",
    "batch retry": "retryBatch", "batch cancel": "cancelBatch", "batch export": "listBatchCalls",
    "workflow create": "createWorkflow", "workflow list": "listWorkflows",
    "workflow show": "showWorkflow", "workflow status": "showWorkflow",
    "workflow graph": "showWorkflowGraph", "workflow dependencies": "showDependencies",
    "workflow cancel": "cancelWorkflow", "workflow retry": "retryWorkflow",
    "workflow resume": "resumeWorkflow", "workflow skip": "skipWorkflowNode",
}  # fmt: skip


def _commands(command: click.Command, name: str) -> Iterator[str]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for part in command.list_commands(context):
            inner = command.get_command(context, part)
            assert inner is not None
            yield from _commands(inner, f"{name} {part}")
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield name


def test_each_command_has_its_routes_or_a_reason() -> None:
    context = click.Context(hammerflow)
    found = set()
    for name in COMMANDS:
        command = hammerflow.get_command(context, name)  # type: ignore[attr-defined]
        found |= {*_commands(command, name)}
    assert found - {"worker"} == _ROUTES.keys()
    named = {name for given in _ROUTES.values() if isinstance(given, str) for name in given.split()}
    assert named <= {route.name for route in ROUTES}

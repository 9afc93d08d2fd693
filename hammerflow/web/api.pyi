# Made by python -m hammerflow.web.clients: change the table of routes instead.
"""Api: the client whose methods are the operations of the REST API, with their types."""

from typing import Any, Literal, NotRequired, TypedDict

from hammerflow.web.client import Client as Client
from hammerflow.web.client import ClientError as ClientError

__all__ = ["Api", "ClientError"]

class AlertList(TypedDict):
    items: list[AlertShown]

class AlertRuleBody(TypedDict):
    kind: NotRequired[str | None]
    options: NotRequired[dict[str, Any]]

class AlertRuleList(TypedDict):
    items: list[AlertRuleShown]
    mutes: list[MuteShown]

class AlertRuleShown(TypedDict):
    name: str
    kind: str
    enabled: bool
    threshold: float
    critical: float
    unit: str
    hold: float
    clear: float
    cooldown: float
    window: float | None
    least: float | None
    subjects: list[str]
    subject: str
    set_by: str

class AlertShown(TypedDict):
    rule: str
    subject: str
    state: str
    severity: str
    since: str
    value: float
    text: str
    told: str | None
    told_at: str | None
    muted: bool
    muted_until: str | None

class AlertTargetBody(TypedDict):
    kind: Literal["alertmanager", "discord", "email", "mattermost", "slack", "teams", "webhook"]
    config: dict[str, Any]

class AlertTargetList(TypedDict):
    items: list[AlertTargetShown]

class AlertTargetShown(TypedDict):
    name: str
    kind: str
    app: str
    config: dict[str, Any]
    paused: bool
    waiting: int
    sent_at: str | None
    error: str
    changed_by: str

class ArchiveMoved(TypedDict):
    jobs: int
    refused: list[str]
    damaged: list[str]

class ArchivePurgeBody(TypedDict):
    ids: list[str]
    dry_run: NotRequired[bool]

class ArchiveStats(TypedDict):
    removed: int
    archived: int
    restored: int
    purged: int
    now: int
    walked_at: str | None
    is_walking: bool

class ArchivedRowShown(TypedDict):
    id: str
    task: str | None
    queue: str | None
    state: str
    ended_at: str | None
    size: int
    root_id: str | None
    workflow_id: str | None
    group_id: str

class ArchivedShown(TypedDict):
    id: str
    task: str | None
    queue: str | None
    state: str
    ended_at: str | None
    size: int
    root_id: str | None
    workflow_id: str | None
    group_id: str
    archived_at: str | None
    call: str | None
    result_text: str | None
    args: Any
    kwargs: Any
    result: Any
    values_hidden: bool
    errors: list[dict[str, Any]]
    columns: dict[str, Any]
    group_jobs: int

class Attempt(TypedDict):
    attempt: int
    at: str
    kind: str
    type: str
    message: str
    traceback: str
    started_at: str | None
    seconds: float | None
    worker_id: int | None

class AttemptLogShown(TypedDict):
    attempt: int
    lease: int
    line_count: int
    dropped: int
    dropped_at: int
    lines: list[LogLineShown]

class AuditShown(TypedDict):
    id: str
    at: str
    who: str
    address: str
    action: str
    target: str
    details: dict[str, Any]
    outcome: str | None

class BatchCall(TypedDict):
    task: str
    args: NotRequired[list[Any]]
    kwargs: NotRequired[dict[str, Any]]
    queue: NotRequired[str | None]
    priority: NotRequired[int | None]
    delay: NotRequired[float | None]
    timeout: NotRequired[float | None]
    max_attempts: NotRequired[int | None]
    headers: NotRequired[dict[str, str] | None]

class BatchCalls(TypedDict):
    items: list[JobRow]
    next: int | None

class BatchError(TypedDict):
    id: str
    error: str

class BatchShown(TypedDict):
    id: str
    kind: str
    name: str
    status: str
    failure_policy: str
    failures: int
    parent_id: str | None
    created_at: str | None
    ended_at: str | None
    deadline_at: str | None
    health_check_interval: float | None
    description: str | None
    trace_id: str | None
    correlation_id: str | None
    metadata: Any
    reason: str | None
    health: Any
    jobs: dict[str, float]
    is_whole: bool
    per_second: float | None
    rate: str | None
    errors: list[BatchError]
    more_errors: int

class CancelBatch(TypedDict):
    reason: NotRequired[str]

class CancelBody(TypedDict):
    reason: NotRequired[str]
    tree: NotRequired[bool]

class CancelWorkflow(TypedDict):
    reason: NotRequired[str]

class Changed(TypedDict):
    id: str
    state: Literal["cancelled", "completed", "failed", "parked", "ready", "running", "scheduled", "skipped", "waiting"]

class Children(TypedDict):
    items: list[JobFields]
    after: int | None
    counts: dict[str, int]

class CountsShown(TypedDict):
    live: LiveCounts
    failures: int
    queues: int
    workers: int
    silent_workers: int
    schedules: int
    limits: int
    sinks: int
    disabled_webhooks: int
    alerts: int

class DeliveryShown(TypedDict):
    id: str
    message: str
    position: int
    attempt: int
    at: str
    status: int | None
    ms: int
    address: str
    error: str
    answer: str

class DependenciesShown(TypedDict):
    workflow_id: str | None
    node: str | None
    pending: int | None
    total: int | None
    depends_on: NeighbourSide
    dependents: NeighbourSide

class Done(TypedDict):
    says: str

class Enqueued(TypedDict):
    id: str
    is_new: bool
    warning: str | None

class ErrorNote(TypedDict):
    type: str
    message: str

class EventPageShown(TypedDict):
    items: list[EventShown]
    after: int
    head: int
    is_on: bool

class EventShown(TypedDict):
    position: int
    kind: str
    at: str
    subject: str
    data: dict[str, Any]
    is_tombstone: bool

class FailureGroupShown(TypedDict):
    key: str
    task: str
    error: str
    pattern: str
    message: str
    jobs: int
    first_at: str | None
    last_at: str | None
    hours: list[int]
    samples: list[str]

class FailureList(TypedDict):
    items: list[FailureGroupShown]
    is_cut: bool

class FilterBody(TypedDict):
    kinds: NotRequired[list[str] | None]
    queues: NotRequired[list[str]]
    tasks: NotRequired[list[str]]
    min_priority: NotRequired[int | None]
    min_duration: NotRequired[float | None]
    headers: NotRequired[dict[str, str]]
    metadata: NotRequired[dict[str, str]]

class FoldedChildren(TypedDict):
    task: str
    count: int
    states: dict[str, int]

class HandlerStats(TypedDict):
    handler: str
    queue: str | None
    operations: int
    failures: int
    requested: int
    children: int
    most_children: int
    mean_seconds: float
    longest_seconds: float

class HealthList(TypedDict):
    items: list[QueueHealthShown]
    explained: int

class JobEdit(TypedDict):
    args: NotRequired[list[Any]]
    kwargs: NotRequired[dict[str, Any]]
    queue: NotRequired[str | None]
    priority: NotRequired[int | None]

class JobEdited(TypedDict):
    id: str
    kept_keys: list[str]

class JobFields(TypedDict):
    id: str
    task: str
    queue: str
    priority: int
    state: Literal["cancelled", "completed", "failed", "parked", "ready", "running", "scheduled", "skipped", "waiting"]
    dependency_status: str
    attempt: int
    created_at: str
    run_at: str | None
    started_at: str | None
    finished_at: str | None
    seconds: float | None
    parent_id: str | None
    root_id: str | None
    depth: int
    spawn_index: int | None
    unique_key: str | None
    reason: str | None
    progress: float | None
    progress_note: str | None
    headers: dict[str, Any]
    options: dict[str, Any]
    workflow_id: str | None
    worker_id: int | None

class JobLogsShown(TypedDict):
    items: list[AttemptLogShown]
    values_hidden: bool
    is_over: bool

class JobRow(TypedDict):
    id: str
    task: str
    queue: str
    priority: int
    state: Literal["cancelled", "completed", "failed", "parked", "ready", "running", "scheduled", "skipped", "waiting"]
    dependency_status: str
    attempt: int
    created_at: str
    run_at: str | None
    started_at: str | None
    finished_at: str | None
    seconds: float | None
    parent_id: str | None
    root_id: str | None
    depth: int
    spawn_index: int | None
    unique_key: str | None
    reason: str | None
    progress: float | None
    progress_note: str | None
    headers: dict[str, Any]
    options: dict[str, Any]
    workflow_id: str | None
    worker_id: int | None
    worker: WorkerRef | None
    error: ErrorNote | None

class JobShown(TypedDict):
    id: str
    task: str
    queue: str
    priority: int
    state: Literal["cancelled", "completed", "failed", "parked", "ready", "running", "scheduled", "skipped", "waiting"]
    dependency_status: str
    attempt: int
    created_at: str
    run_at: str | None
    started_at: str | None
    finished_at: str | None
    seconds: float | None
    parent_id: str | None
    root_id: str | None
    depth: int
    spawn_index: int | None
    unique_key: str | None
    reason: str | None
    progress: float | None
    progress_note: str | None
    headers: dict[str, Any]
    options: dict[str, Any]
    workflow_id: str | None
    worker_id: int | None
    worker: WorkerRef | None
    call: str | None
    args: Any
    kwargs: Any
    result: Any
    result_text: str | None
    values_hidden: bool
    unique_holder: str | None
    limit_key: str | None
    fair_key: str | None
    spawn: dict[str, Any] | None
    obstacles: list[Obstacle]
    errors: list[Attempt]
    logs: list[LogOfAttempt]

class JobsDeleted(TypedDict):
    deleted: int

class LifetimesBody(TypedDict):
    lifetimes: dict[str, float | str]

class LifetimesList(TypedDict):
    items: list[LifetimesShown]

class LifetimesShown(TypedDict):
    kind: str
    name: str
    lifetimes: dict[str, float | str | None]

class LimitBody(TypedDict):
    rate: NotRequired[str | None]
    max: NotRequired[int | None]

class LimitHeld(TypedDict):
    target: str
    rate: str | None
    max: int | None

class LimitList(TypedDict):
    items: list[LimitRow]

class LimitRow(TypedDict):
    target: str
    key: str
    rate: str | None
    max: int | None
    running: int
    waiting: int
    next_start: float
    set_by: str | None
    set_at: str | None

class ListPage_ArchivedRowShown(TypedDict):
    items: list[ArchivedRowShown]
    next: str | None
    is_tired: bool

class ListPage_AuditShown(TypedDict):
    items: list[AuditShown]
    next: str | None
    is_tired: bool

class ListPage_DeliveryShown(TypedDict):
    items: list[DeliveryShown]
    next: str | None
    is_tired: bool

class ListPage_JobRow(TypedDict):
    items: list[JobRow]
    next: str | None
    is_tired: bool

class ListPage_OperationShown(TypedDict):
    items: list[OperationShown]
    next: str | None
    is_tired: bool

class ListPage_WorkflowRowOut(TypedDict):
    items: list[WorkflowRowOut]
    next: str | None
    is_tired: bool

class LiveCounts(TypedDict):
    ready: int
    running: int
    scheduled: int
    waiting: int
    parked: int
    at_least: list[str]

class LogLineShown(TypedDict):
    at: str
    level: str
    logger: str
    message: str

class LogOfAttempt(TypedDict):
    attempt: int
    lease: int
    lines: int
    dropped: int

class MadeBatch(TypedDict):
    id: str
    calls: int

class MadeToken(TypedDict):
    id: str
    token: str

class MuteBody(TypedDict):
    subject: NotRequired[str]
    seconds: NotRequired[float | None]
    reason: NotRequired[str]

class MuteShown(TypedDict):
    rule: str
    subject: str
    until: str | None
    by: str
    reason: str

class Neighbour(TypedDict):
    id: str
    name: str
    state: str

class NeighbourSide(TypedDict):
    count: int
    states: dict[str, int]
    jobs: list[Neighbour]

class NewBatch(TypedDict):
    calls: list[BatchCall]
    name: NotRequired[str]
    on_failure: NotRequired[Literal["collect", "continue", "fail_fast"]]
    rate: NotRequired[str | None]

class NewCall(TypedDict):
    task: str
    args: NotRequired[list[Any]]
    kwargs: NotRequired[dict[str, Any]]
    queue: NotRequired[str | None]
    priority: NotRequired[int | None]
    delay: NotRequired[float | None]
    job_id: NotRequired[str | None]
    unique_key: NotRequired[str | None]
    require_worker: NotRequired[bool]

class NewOperation(TypedDict):
    action: Literal["cancel", "purge", "retry"]
    ids: NotRequired[list[str]]
    state: NotRequired[Literal["cancelled", "completed", "failed", "parked", "ready", "running", "scheduled", "skipped", "waiting"] | None]
    queue: NotRequired[str | None]
    task: NotRequired[str | None]
    error: NotRequired[str | None]
    argument: NotRequired[str | None]
    group: NotRequired[str | None]
    since: NotRequired[str | None]
    until: NotRequired[str | None]
    older_than: NotRequired[float]
    whole: NotRequired[bool]
    reason: NotRequired[str]
    before: NotRequired[str | None]
    dry_run: NotRequired[bool]

class NewSchedule(TypedDict):
    cron: NotRequired[str | None]
    every: NotRequired[str | None]
    args: NotRequired[list[Any]]
    kwargs: NotRequired[dict[str, Any]]
    queue: NotRequired[str | None]
    priority: NotRequired[int | None]
    workflow: NotRequired[dict[str, Any]]
    tz: NotRequired[str | None]
    misfire: NotRequired[Literal["all", "once", "skip"] | None]
    catch_up: NotRequired[str | None]
    overlap: NotRequired[Literal["allow", "cancel_old", "queue_one", "skip"] | None]
    jitter: NotRequired[str | None]
    start: NotRequired[str | None]
    end: NotRequired[str | None]
    after: NotRequired[str | None]
    name: str
    task: NotRequired[str | None]
    paused: NotRequired[bool]

class NewToken(TypedDict):
    name: str
    role: NotRequired[Literal["admin", "operate", "read"]]
    sees_values: NotRequired[bool]
    expires_in: NotRequired[float | None]

class NewWebhook(TypedDict):
    url: str
    filters: NotRequired[FilterBody]
    include: NotRequired[list[Literal["args", "result"]]]
    signature: NotRequired[Literal["ed25519", "hmac"]]
    disable_failures: NotRequired[int | None]
    disable_after: NotRequired[float | None]
    position: NotRequired[int | None]
    name: str

class NextRun(TypedDict):
    tick: str
    starts_at: str

class NextRuns(TypedDict):
    description: str
    tz: str
    runs: list[NextRun]

class NodeBody(TypedDict):
    node: str

class NodeShown(TypedDict):
    id: str
    name: str | None
    task: str | None
    state: str | None
    reason: str | None
    position: int | None

class Obstacle(TypedDict):
    code: str
    says: str
    advice: str
    facts: dict[str, Any]

class OperationList(TypedDict):
    items: list[SpawnOperation]

class OperationShown(TypedDict):
    id: str | None
    action: str
    by: str
    wanted: dict[str, Any]
    at: str | None
    state: str
    total: int
    done: int
    failed: int
    error: str | None
    is_whole: bool
    before: str | None

class OverviewShown(TypedDict):
    at: str
    problems: list[ProblemShown]
    counts: LiveCounts
    paused: int
    is_app_paused: bool
    workers: WorkerTotals
    series: StatsSeries
    failures: list[FailureGroupShown]
    alerts: list[AlertShown]

class ParameterShown(TypedDict):
    name: str
    kind: str
    is_required: bool
    annotation: str

class PauseBody(TypedDict):
    reason: NotRequired[str]

class PauseList(TypedDict):
    items: list[PauseShown]

class PauseReason(TypedDict):
    reason: NotRequired[str]

class PauseShown(TypedDict):
    kind: str
    name: str
    paused_at: str
    paused_by: str | None
    reason: str | None

class Paused(TypedDict):
    name: str
    is_paused: bool

class PendingList(TypedDict):
    items: list[PendingSpawner]

class PendingSpawner(TypedDict):
    parent_id: str
    task: str | None
    states: dict[str, int]
    not_ended: int
    operation: SpawnOperation | None

class ProblemShown(TypedDict):
    severity: str
    code: str
    subject: str
    says: str
    advice: str

class QueueHealthShown(TypedDict):
    queue: str
    status: str
    says: str
    advice: str

class QueueList(TypedDict):
    items: list[QueueRow]

class QueueRow(TypedDict):
    name: str
    paused_at: str | None
    paused_by: str | None
    reason: str | None
    ready: int
    running: int
    scheduled: int
    waiting: int
    parked: int
    oldest: float | None
    at_least: list[str]
    enqueued_per_second: float
    ended_per_second: float

class QueueStatsList(TypedDict):
    items: list[QueueStatsRow]
    next: str | None

class QueueStatsRow(TypedDict):
    enqueued: int
    completed: int
    failed: int
    cancelled: int
    skipped: int
    wait_p50: float | None
    wait_p95: float | None
    wait_p99: float | None
    run_p50: float | None
    run_p95: float | None
    run_p99: float | None
    wait_mean: float | None
    run_mean: float | None
    queue: str

class RefusedEvent(TypedDict):
    position: int
    at: str | None
    kind: str
    subject: str
    error: str
    body: str

class ReplayBody(TypedDict):
    after: NotRequired[int | None]
    since: NotRequired[str | None]
    to: NotRequired[int | None]
    until: NotRequired[str | None]
    dry_run: NotRequired[bool]

class Replayed(TypedDict):
    events: int
    after: int
    to: int

class ResizeBody(TypedDict):
    children: str
    timeout: NotRequired[float]

class Resized(TypedDict):
    children: int
    before: int
    asked: int
    ending: int
    least: int
    most: int

class RestoreBody(TypedDict):
    ids: list[str]
    keep: NotRequired[float]
    dry_run: NotRequired[bool]

class RetryWorkflow(TypedDict):
    node: NotRequired[str | None]
    downstream: NotRequired[bool]

class RewindBody(TypedDict):
    position: NotRequired[int | None]
    at: NotRequired[str | None]
    dry_run: NotRequired[bool]

class Rewound(TypedDict):
    position: int
    again: int
    left_out: int

class ScheduleEdit(TypedDict):
    cron: NotRequired[str | None]
    every: NotRequired[str | None]
    args: NotRequired[list[Any]]
    kwargs: NotRequired[dict[str, Any]]
    queue: NotRequired[str | None]
    priority: NotRequired[int | None]
    workflow: NotRequired[dict[str, Any]]
    tz: NotRequired[str | None]
    misfire: NotRequired[Literal["all", "once", "skip"] | None]
    catch_up: NotRequired[str | None]
    overlap: NotRequired[Literal["allow", "cancel_old", "queue_one", "skip"] | None]
    jitter: NotRequired[str | None]
    start: NotRequired[str | None]
    end: NotRequired[str | None]
    after: NotRequired[str | None]
    no_after: NotRequired[bool]
    reset: NotRequired[bool]

class ScheduleList(TypedDict):
    items: list[ScheduleShownRow]
    next: str | None

class ScheduleRun(TypedDict):
    id: str
    paused: list[dict[str, Any]]

class ScheduleShown(TypedDict):
    name: str
    state: str
    description: str
    app: str | None
    call: str
    queue: str | None
    priority: int | None
    code: dict[str, Any] | None
    edit: dict[str, Any] | None
    edited_at: str | None
    edited_by: str | None
    created_at: str | None
    next_at: str | None
    paused_at: str | None
    paused_by: str | None
    reason: str | None
    disabled_since: str | None
    trouble: str | None
    last_tick: str | None
    last_outcome: str | None
    last_run: str | None
    missed: int
    ticks: list[TickShown]

class ScheduleShownRow(TypedDict):
    name: str
    state: str
    description: str
    app: str | None
    call: str
    queue: str | None
    priority: int | None
    code: dict[str, Any] | None
    edit: dict[str, Any] | None
    edited_at: str | None
    edited_by: str | None
    created_at: str | None
    next_at: str | None
    paused_at: str | None
    paused_by: str | None
    reason: str | None
    disabled_since: str | None
    trouble: str | None
    last_tick: str | None
    last_outcome: str | None
    last_run: str | None
    missed: int

class SessionShown(TypedDict):
    name: str
    role: Literal["admin", "operate", "read"]
    sees_values: bool
    app: str | None
    can_enqueue: bool
    version: str

class SinkBody(TypedDict):
    kind: str
    config: NotRequired[dict[str, Any]]
    filters: NotRequired[FilterBody]
    position: NotRequired[int | None]

class SinkList(TypedDict):
    items: list[SinkRowShown]
    head: int

class SinkPause(TypedDict):
    reason: NotRequired[str]

class SinkRowShown(TypedDict):
    name: str
    kind: str
    config: dict[str, Any]
    filters: dict[str, Any]
    app: str
    state: str
    position: int
    behind: int
    sent: int
    sent_at: str | None
    created_at: str | None
    complete_from: str | None
    changed_by: str | None
    reason: str | None
    failures: int
    error: str | None
    error_at: str | None
    parked: int
    gap: list[int] | None
    is_held: bool

class SinkShown(TypedDict):
    name: str
    kind: str
    config: dict[str, Any]
    filters: dict[str, Any]
    app: str
    state: str
    position: int
    behind: int
    sent: int
    sent_at: str | None
    created_at: str | None
    complete_from: str | None
    changed_by: str | None
    reason: str | None
    failures: int
    error: str | None
    error_at: str | None
    parked: int
    gap: list[int] | None
    is_held: bool
    refused: list[RefusedEvent]

class SpawnOperation(TypedDict):
    parent_id: str
    lease: int
    requested: int
    spawned: int
    started_at: str | None
    ended_at: str | None
    handler: str
    operation_id: str | None
    metadata: dict[str, Any]
    error: str | None
    task: str | None
    queue: str | None
    seconds: float

class SpawnTotals(TypedDict):
    hours: float
    operations: int
    children: int
    failures: int
    success_rate: float
    operations_per_hour: float
    children_per_hour: float
    is_cut: bool
    handlers: list[HandlerStats]

class StackBody(TypedDict):
    timeout: NotRequired[float]

class StackShown(TypedDict):
    says: str
    stack: str

class StatsPoint(TypedDict):
    enqueued: int
    completed: int
    failed: int
    cancelled: int
    skipped: int
    wait_p50: float | None
    wait_p95: float | None
    wait_p99: float | None
    run_p50: float | None
    run_p95: float | None
    run_p99: float | None
    wait_mean: float | None
    run_mean: float | None
    at: str

class StatsSeries(TypedDict):
    span: int
    points: list[StatsPoint]

class StretchShown(TypedDict):
    id: str
    name: str | None
    task: str | None
    state: str | None
    attempt: int
    created_at: str | None
    started_at: str | None
    finished_at: str | None

class TaskList(TypedDict):
    items: list[TaskRow]

class TaskRow(TypedDict):
    name: str
    workers: int
    paused_at: str | None
    paused_by: str | None
    reason: str | None

class TaskShown(TypedDict):
    name: str
    is_served: bool
    queue: str | None
    priority: int | None
    parameters: list[ParameterShown] | None

class TaskStats(TypedDict):
    task: str
    enqueued: int
    completed: int
    failed: int
    cancelled: int
    skipped: int
    wait_p50: float | None
    wait_p95: float | None
    wait_p99: float | None
    run_p50: float | None
    run_p95: float | None
    run_p99: float | None
    wait_mean: float | None
    run_mean: float | None

class TaskStatsList(TypedDict):
    items: list[TaskStats]

class TestTaken(TypedDict):
    name: str
    seconds: float

class TickShown(TypedDict):
    tick: str | None
    at: str | None
    outcome: str
    run: str | None
    detail: str | None

class TimelineShown(TypedDict):
    items: list[StretchShown]
    left_out: int
    is_cut: bool

class TokenList(TypedDict):
    items: list[TokenShown]

class TokenShown(TypedDict):
    id: str
    name: str
    role: Literal["admin", "operate", "read"]
    sees_values: bool
    created_at: str
    created_by: str
    expires_at: str | None
    revoked_at: str | None
    used_at: str | None

class TreeNode(TypedDict):
    id: str
    task: str
    state: str
    attempt: int
    spawn_index: int | None
    reason: str | None
    error: str | None
    is_fan_in: bool
    children: list[TreeNode]
    folded: list[FoldedChildren]
    is_cut: bool

class Undone(TypedDict):
    undone: int
    started: int

class UnmuteBody(TypedDict):
    subject: NotRequired[str]

class WebFault(TypedDict):
    argument: str
    detail: str

class WebProblem(TypedDict):
    type: str
    title: str
    status: int
    detail: str
    errors: list[WebFault]

class WebhookBody(TypedDict):
    url: str
    filters: NotRequired[FilterBody]
    include: NotRequired[list[Literal["args", "result"]]]
    signature: NotRequired[Literal["ed25519", "hmac"]]
    disable_failures: NotRequired[int | None]
    disable_after: NotRequired[float | None]
    position: NotRequired[int | None]

class WebhookDisable(TypedDict):
    reason: NotRequired[str]

class WebhookList(TypedDict):
    items: list[WebhookShown]

class WebhookShown(TypedDict):
    name: str
    url: str | None
    config: dict[str, Any]
    filters: dict[str, Any]
    app: str
    state: str
    sink_state: str
    position: int
    since: str
    failures: int
    waiting: int
    success_at: str | None
    disabled_at: str | None
    probe_at: str | None
    rest_until: str | None
    reason: str
    old_secret_until: str | None
    delivered: int
    failed: int
    changed_by: str | None

class WebhookTested(TypedDict):
    message: str
    is_delivered: bool
    status: int | None
    ms: int
    error: str

class WebhookWithSecret(TypedDict):
    name: str
    url: str | None
    config: dict[str, Any]
    filters: dict[str, Any]
    app: str
    state: str
    sink_state: str
    position: int
    since: str
    failures: int
    waiting: int
    success_at: str | None
    disabled_at: str | None
    probe_at: str | None
    rest_until: str | None
    reason: str
    old_secret_until: str | None
    delivered: int
    failed: int
    changed_by: str | None
    secret: str | None
    public_key: str | None
    warning: str | None

class WorkerList(TypedDict):
    items: list[WorkerRow]

class WorkerRef(TypedDict):
    id: int
    host: str | None
    pid: int | None

class WorkerRow(TypedDict):
    id: int
    host: str
    pid: int
    started_at: str | None
    beat_at: str | None
    silent_for: float
    app: str | None
    version: str | None
    queues: list[str] | None
    task_count: int | None
    draining: bool | None
    waiting: int | None
    size: Any
    least: int | None
    most: int | None
    children: list[dict[str, Any]]

class WorkerShown(TypedDict):
    id: int
    host: str
    pid: int
    started_at: str | None
    beat_at: str | None
    silent_for: float
    app: str | None
    version: str | None
    queues: list[str] | None
    task_count: int | None
    draining: bool | None
    waiting: int | None
    size: Any
    least: int | None
    most: int | None
    children: list[dict[str, Any]]
    tasks: list[str]

class WorkerStopped(TypedDict):
    id: int
    host: str
    pid: int
    holds: int

class WorkerTotals(TypedDict):
    alive: int
    silent: int
    draining: int
    children: int
    busy: int

class WorkflowBody(TypedDict):
    definition: dict[str, Any]

class WorkflowCreated(TypedDict):
    id: str
    name: str
    nodes: int

class WorkflowNow(TypedDict):
    id: str
    status: str
    is_ending: bool

class WorkflowRowOut(TypedDict):
    id: str
    kind: str
    name: str
    status: str
    failure_policy: str
    failures: int
    parent_id: str | None
    created_at: str | None
    ended_at: str | None
    deadline_at: str | None
    health_check_interval: float | None
    description: str | None
    trace_id: str | None
    correlation_id: str | None
    metadata: Any
    reason: str | None
    health: Any

class WorkflowShare(TypedDict):
    id: str
    jobs: dict[str, float]
    is_whole: bool

class WorkflowShareList(TypedDict):
    items: list[WorkflowShare]

class WorkflowShown(TypedDict):
    id: str
    kind: str
    name: str
    status: str
    failure_policy: str
    failures: int
    parent_id: str | None
    created_at: str | None
    ended_at: str | None
    deadline_at: str | None
    health_check_interval: float | None
    description: str | None
    trace_id: str | None
    correlation_id: str | None
    metadata: Any
    reason: str | None
    health: Any
    jobs: dict[str, float]
    is_whole: bool
    nodes: list[NodeShown]
    more: dict[str, int]
    is_cut: bool

class WorkflowStatsList(TypedDict):
    items: list[WorkflowStatsRow]
    span: int
    points: list[WorkflowStatsPoint]

class WorkflowStatsPoint(TypedDict):
    completed: int
    failed: int
    cancelled: int
    success_ratio: float | None
    took_p50: float | None
    took_p95: float | None
    took_mean: float | None
    at: str

class WorkflowStatsRow(TypedDict):
    completed: int
    failed: int
    cancelled: int
    success_ratio: float | None
    took_p50: float | None
    took_p95: float | None
    took_mean: float | None
    name: str
    kind: str
    slowest_node: str | None
    slowest_node_seconds: float | None

class Api(Client):
    def show_overview(
        self,
        *,
        key: str | None = ...,
    ) -> OverviewShown:
        """Show what is wrong now first; it is some seconds old at most."""
    def show_counts(
        self,
        *,
        key: str | None = ...,
    ) -> CountsShown:
        """Count what is on the pages of a dashboard; it is some seconds old at most."""
    def list_jobs(
        self,
        *,
        state: Literal["cancelled", "completed", "failed", "parked", "ready", "running", "scheduled", "skipped", "waiting"] = ...,
        queue: str = ...,
        task: str = ...,
        dependency_status: Literal["failed", "none", "satisfied", "waiting"] = ...,
        error: str = ...,
        argument: str = ...,
        since: str = ...,
        until: str = ...,
        before: str = ...,
        limit: int = ...,
        key: str | None = ...,
    ) -> ListPage_JobRow:
        """List jobs, newest first."""
    def enqueue_job(
        self,
        *,
        task: str,
        args: list[Any] = ...,
        kwargs: dict[str, Any] = ...,
        queue: str | None = ...,
        priority: int | None = ...,
        delay: float | None = ...,
        job_id: str | None = ...,
        unique_key: str | None = ...,
        require_worker: bool = ...,
        key: str | None = ...,
    ) -> Enqueued:
        """Enqueue one call of a task; its arguments are checked first."""
    def show_job(
        self,
        *,
        job_id: str,
        key: str | None = ...,
    ) -> JobShown:
        """Show everything about one job, and why it does not run."""
    def list_children(
        self,
        *,
        job_id: str,
        after: int = ...,
        limit: int = ...,
        key: str | None = ...,
    ) -> Children:
        """List what a job has spawned, in the order of the spawns."""
    def cancel_job(
        self,
        *,
        job_id: str,
        reason: str = ...,
        tree: bool = ...,
        key: str | None = ...,
    ) -> Changed:
        """Cancel a job; one that runs is told to stop."""
    def retry_job(
        self,
        *,
        job_id: str,
        key: str | None = ...,
    ) -> Changed:
        """Run a job again, with all its attempts; it must be failed, cancelled, skipped or parked."""
    def explain_job(
        self,
        *,
        job_id: str,
        key: str | None = ...,
    ) -> Obstacle:
        """Say why a job does not run."""
    def show_stack(
        self,
        *,
        job_id: str,
        timeout: float = ...,
        key: str | None = ...,
    ) -> StackShown:
        """Show the Python stack of a running body, which keeps running."""
    def show_dependencies(
        self,
        *,
        job_id: str,
        limit: int = ...,
        key: str | None = ...,
    ) -> DependenciesShown:
        """Show what a job waits for, and what waits for it."""
    def delete_job(
        self,
        *,
        job_id: str,
        whole: bool = ...,
        key: str | None = ...,
    ) -> JobsDeleted:
        """Delete a job that has ended, with its result, errors and logs, for good."""
    def edit_job(
        self,
        *,
        job_id: str,
        args: list[Any] = ...,
        kwargs: dict[str, Any] = ...,
        queue: str | None = ...,
        priority: int | None = ...,
        key: str | None = ...,
    ) -> JobEdited:
        """Change the arguments, queue or priority of a job that has not started."""
    def show_logs(
        self,
        *,
        job_id: str,
        attempt: int = ...,
        key: str | None = ...,
    ) -> JobLogsShown:
        """Show what the attempts of a job have logged and printed, if its task keeps it."""
    def start_operation(
        self,
        *,
        action: Literal["cancel", "purge", "retry"],
        ids: list[str] = ...,
        state: Literal["cancelled", "completed", "failed", "parked", "ready", "running", "scheduled", "skipped", "waiting"] | None = ...,
        queue: str | None = ...,
        task: str | None = ...,
        error: str | None = ...,
        argument: str | None = ...,
        group: str | None = ...,
        since: str | None = ...,
        until: str | None = ...,
        older_than: float = ...,
        whole: bool = ...,
        reason: str = ...,
        before: str | None = ...,
        dry_run: bool = ...,
        key: str | None = ...,
    ) -> OperationShown:
        """Retry, cancel or remove all jobs that match a filter."""
    def list_operations(
        self,
        *,
        before: str = ...,
        limit: int = ...,
        key: str | None = ...,
    ) -> ListPage_OperationShown:
        """List operations, newest first; they are kept for a year."""
    def show_operation(
        self,
        *,
        operation_id: str,
        key: str | None = ...,
    ) -> OperationShown:
        """Show how far an operation is."""
    def stop_operation(
        self,
        *,
        operation_id: str,
        key: str | None = ...,
    ) -> OperationShown:
        """Stop an operation; jobs that it has changed already stay changed."""
    def undo_operation_by_id(
        self,
        *,
        operation_id: str,
        key: str | None = ...,
    ) -> Undone:
        """Undo a retry for the jobs that have not started since; the others go on."""
    def show_series(
        self,
        *,
        hours: float = ...,
        task: str = ...,
        queue: str = ...,
        key: str | None = ...,
    ) -> StatsSeries:
        """Show figures over time: by minute below a day, by hour up to 24 days, then by day."""
    def list_queue_stats(
        self,
        *,
        hours: float = ...,
        task: str = ...,
        queue: str = ...,
        after: str = ...,
        limit: int = ...,
        key: str | None = ...,
    ) -> QueueStatsList:
        """Show how many jobs of each queue were enqueued and ended, and their times."""
    def list_workflow_stats(
        self,
        *,
        hours: float = ...,
        name: str = ...,
        key: str | None = ...,
    ) -> WorkflowStatsList:
        """Show how many runs of workflows ended, how many completed, and how long they took."""
    def list_failures(
        self,
        *,
        task: str = ...,
        error: str = ...,
        since: str = ...,
        key: str | None = ...,
    ) -> FailureList:
        """List failed and parked jobs in groups: by task, type of error and message."""
    def list_queues(
        self,
        *,
        sort: Literal["name", "oldest"] = ...,
        limit: int = ...,
        key: str | None = ...,
    ) -> QueueList:
        """List the queues with their depths and rates."""
    def list_queue_health(
        self,
        *,
        queue: str = ...,
        key: str | None = ...,
    ) -> HealthList:
        """Show for each queue, or for one, whether its jobs run, and what to do if not."""
    def show_queue(
        self,
        *,
        queue: str,
        key: str | None = ...,
    ) -> QueueRow:
        """Show one queue."""
    def pause_queue(
        self,
        *,
        queue: str,
        reason: str = ...,
        key: str | None = ...,
    ) -> Paused:
        """Stop workers from starting jobs of a queue; running jobs go on."""
    def resume_queue(
        self,
        *,
        queue: str,
        key: str | None = ...,
    ) -> Paused:
        """Let workers start the jobs of a queue again."""
    def list_tasks(
        self,
        *,
        key: str | None = ...,
    ) -> TaskList:
        """List the tasks that the database knows."""
    def list_task_stats(
        self,
        *,
        hours: float = ...,
        queue: str = ...,
        key: str | None = ...,
    ) -> TaskStatsList:
        """Show how many jobs of each task were enqueued and ended, and their times."""
    def show_task(
        self,
        *,
        task: str,
        key: str | None = ...,
    ) -> TaskShown:
        """Show how a task is called: its parameters, its queue and its priority."""
    def pause_task(
        self,
        *,
        task: str,
        reason: str = ...,
        key: str | None = ...,
    ) -> Paused:
        """Stop workers from starting jobs of a task in any queue; running jobs go on."""
    def resume_task(
        self,
        *,
        task: str,
        key: str | None = ...,
    ) -> Paused:
        """Let workers start the jobs of a task again."""
    def list_pauses(
        self,
        *,
        key: str | None = ...,
    ) -> PauseList:
        """List what is paused: since when, by whom and why."""
    def pause_app(
        self,
        *,
        reason: str = ...,
        key: str | None = ...,
    ) -> Paused:
        """Stop workers from starting any job; running jobs go on."""
    def resume_app(
        self,
        *,
        key: str | None = ...,
    ) -> Paused:
        """Let workers start jobs again; pauses of queues and tasks stay."""
    def list_limits(
        self,
        *,
        task: str = ...,
        queue: str = ...,
        key: str | None = ...,
    ) -> LimitList:
        """List the limits, for each key: what runs, what waits, and when the next job may start."""
    def set_limit(
        self,
        *,
        target: str,
        rate: str | None = ...,
        max: int | None = ...,
        key: str | None = ...,
    ) -> LimitHeld:
        """Limit a task (each of its keys, if it has a limit_key), a queue or a batch."""
    def remove_limit(
        self,
        *,
        target: str,
        key: str | None = ...,
    ) -> LimitHeld:
        """Remove a limit that was set; the one that the code declares applies again."""
    def list_workers(
        self,
        *,
        key: str | None = ...,
    ) -> WorkerList:
        """List the workers and their children."""
    def show_worker(
        self,
        *,
        worker: str,
        key: str | None = ...,
    ) -> WorkerShown:
        """Show a worker, named by its number, a prefix of it, or HOST:PID."""
    def stop_worker(
        self,
        *,
        worker: str,
        key: str | None = ...,
    ) -> WorkerStopped:
        """Drain and stop a worker; running bodies get its grace period."""
    def resize_worker(
        self,
        *,
        worker: str,
        children: str,
        timeout: float = ...,
        key: str | None = ...,
    ) -> Resized:
        """Change how many children a worker has, until it ends."""
    def list_workflows(
        self,
        *,
        status: Literal["cancelled", "completed", "failed", "paused", "running"] = ...,
        kind: Literal["batch", "chain", "chord", "group", "workflow"] = ...,
        since: str = ...,
        until: str = ...,
        before: str = ...,
        limit: int = ...,
        key: str | None = ...,
    ) -> ListPage_WorkflowRowOut:
        """List workflows, batches and canvases, newest first."""
    def create_workflow(
        self,
        *,
        definition: dict[str, Any],
        key: str | None = ...,
    ) -> WorkflowCreated:
        """Enqueue a workflow of tasks of the app, in the form of a workflow file; it is checked first."""
    def list_workflow_shares(
        self,
        *,
        ids: str = ...,
        key: str | None = ...,
    ) -> WorkflowShareList:
        """Count the jobs of several workflows by state: as many as can be counted within 0.1 s."""
    def show_workflow(
        self,
        *,
        workflow_id: str,
        key: str | None = ...,
    ) -> WorkflowShown:
        """Show one workflow, how far it is, and its members."""
    def show_workflow_graph(
        self,
        *,
        workflow_id: str,
        format: Literal["boxes", "dot", "json", "mermaid", "text"] = ...,
        max_nodes: int = ...,
        max_depth: int = ...,
        key: str | None = ...,
    ) -> dict[str, Any] | str:
        """Draw the graph of a workflow's jobs and their states."""
    def show_workflow_timeline(
        self,
        *,
        workflow_id: str,
        limit: int = ...,
        key: str | None = ...,
    ) -> TimelineShown:
        """Show when the members of a workflow ran: those that went wrong, run, or ran for longest."""
    def cancel_workflow(
        self,
        *,
        workflow_id: str,
        reason: str = ...,
        key: str | None = ...,
    ) -> Done:
        """Cancel a workflow and all of its jobs that have not ended."""
    def retry_workflow(
        self,
        *,
        workflow_id: str,
        node: str | None = ...,
        downstream: bool = ...,
        key: str | None = ...,
    ) -> WorkflowNow:
        """Run a workflow's failed and cancelled jobs again, and those that were skipped by them."""
    def resume_workflow(
        self,
        *,
        workflow_id: str,
        key: str | None = ...,
    ) -> WorkflowNow:
        """Continue a paused workflow; the jobs that depend on the failed ones are skipped."""
    def skip_workflow_node(
        self,
        *,
        workflow_id: str,
        node: str,
        key: str | None = ...,
    ) -> WorkflowNow:
        """Treat a failed node as completed: the jobs that depend on it run."""
    def list_batches(
        self,
        *,
        status: Literal["cancelled", "completed", "failed", "paused", "running"] = ...,
        before: str = ...,
        limit: int = ...,
        key: str | None = ...,
    ) -> ListPage_WorkflowRowOut:
        """List batches, newest first."""
    def create_batch(
        self,
        *,
        calls: list[BatchCall],
        name: str = ...,
        on_failure: Literal["collect", "continue", "fail_fast"] = ...,
        rate: str | None = ...,
        key: str | None = ...,
    ) -> MadeBatch:
        """Enqueue up to 10 000 calls as a batch; all are checked first, then written as one."""
    def show_batch(
        self,
        *,
        batch_id: str,
        key: str | None = ...,
    ) -> BatchShown:
        """Show a batch: its progress, its rate, how many calls are in which state, first errors."""
    def list_batch_calls(
        self,
        *,
        batch_id: str,
        state: Literal["cancelled", "completed", "failed", "parked", "ready", "running", "scheduled", "skipped", "waiting"] = ...,
        page: int = ...,
        key: str | None = ...,
    ) -> BatchCalls:
        """List the calls of a batch in their order, a page of up to 1 000 at a time."""
    def retry_batch(
        self,
        *,
        batch_id: str,
        key: str | None = ...,
    ) -> Done:
        """Run the failed and cancelled calls of a batch again, with all their attempts."""
    def cancel_batch(
        self,
        *,
        batch_id: str,
        reason: str = ...,
        key: str | None = ...,
    ) -> Done:
        """Cancel the calls of a batch that have not ended, running ones included."""
    def list_spawn_operations(
        self,
        *,
        limit: int = ...,
        queue: str = ...,
        hours: float = ...,
        key: str | None = ...,
    ) -> OperationList:
        """List spawn operations, newest first; failed runs are listed, too."""
    def show_spawn_stats(
        self,
        *,
        queue: str = ...,
        hours: float = ...,
        key: str | None = ...,
    ) -> SpawnTotals:
        """Count operations, children and failures, by handler and queue."""
    def list_pending_spawners(
        self,
        *,
        limit: int = ...,
        key: str | None = ...,
    ) -> PendingList:
        """List completed spawners with unfinished children, newest first."""
    def show_spawn_tree(
        self,
        *,
        job_id: str,
        format: Literal["dot", "json", "mermaid", "text"] = ...,
        max_depth: int = ...,
        wide: int = ...,
        key: str | None = ...,
    ) -> TreeNode | str:
        """Show a job and its descendants as nested objects, or drawn as text, Mermaid or DOT."""
    def show_lineage(
        self,
        *,
        job_id: str,
        depth: int = ...,
        limit: int = ...,
        key: str | None = ...,
    ) -> dict[str, Any]:
        """List a job's ancestors and descendants by generation."""
    def list_schedules(
        self,
        *,
        state: Literal["active", "aside", "disabled", "over", "paused"] = ...,
        task: str = ...,
        queue: str = ...,
        after: str = ...,
        limit: int = ...,
        key: str | None = ...,
    ) -> ScheduleList:
        """List the schedules by name."""
    def create_schedule(
        self,
        *,
        name: str,
        cron: str | None = ...,
        every: str | None = ...,
        args: list[Any] = ...,
        kwargs: dict[str, Any] = ...,
        queue: str | None = ...,
        priority: int | None = ...,
        workflow: dict[str, Any] = ...,
        tz: str | None = ...,
        misfire: Literal["all", "once", "skip"] | None = ...,
        catch_up: str | None = ...,
        overlap: Literal["allow", "cancel_old", "queue_one", "skip"] | None = ...,
        jitter: str | None = ...,
        start: str | None = ...,
        end: str | None = ...,
        after: str | None = ...,
        task: str | None = ...,
        paused: bool = ...,
        key: str | None = ...,
    ) -> ScheduleShown:
        """Create a schedule that calls a task of the app, or enqueues a workflow; both are checked."""
    def explain_cron(
        self,
        *,
        cron: str,
        count: int = ...,
        after: str = ...,
        tz: str = ...,
        key: str | None = ...,
    ) -> NextRuns:
        """Say in words when a cron expression is due, and list the next times."""
    def show_schedule(
        self,
        *,
        schedule: str,
        ticks: int = ...,
        key: str | None = ...,
    ) -> ScheduleShown:
        """Show one schedule and its last ticks."""
    def update_schedule(
        self,
        *,
        schedule: str,
        cron: str | None = ...,
        every: str | None = ...,
        args: list[Any] = ...,
        kwargs: dict[str, Any] = ...,
        queue: str | None = ...,
        priority: int | None = ...,
        workflow: dict[str, Any] = ...,
        tz: str | None = ...,
        misfire: Literal["all", "once", "skip"] | None = ...,
        catch_up: str | None = ...,
        overlap: Literal["allow", "cancel_old", "queue_one", "skip"] | None = ...,
        jitter: str | None = ...,
        start: str | None = ...,
        end: str | None = ...,
        after: str | None = ...,
        no_after: bool = ...,
        reset: bool = ...,
        key: str | None = ...,
    ) -> ScheduleShown:
        """Change a schedule from now on; the change overrides the code."""
    def delete_schedule(
        self,
        *,
        schedule: str,
        key: str | None = ...,
    ) -> Done:
        """Delete a schedule that no code declares, with the record of its ticks; its jobs stay."""
    def show_next_runs(
        self,
        *,
        schedule: str,
        count: int = ...,
        after: str = ...,
        key: str | None = ...,
    ) -> NextRuns:
        """Show when a schedule is due next."""
    def pause_schedule(
        self,
        *,
        schedule: str,
        reason: str = ...,
        key: str | None = ...,
    ) -> ScheduleShown:
        """Pause a schedule: until it is resumed, its ticks are recorded but enqueue nothing."""
    def resume_schedule(
        self,
        *,
        schedule: str,
        key: str | None = ...,
    ) -> ScheduleShown:
        """Resume a schedule with its next tick; ticks during the pause do not run."""
    def run_schedule(
        self,
        *,
        schedule: str,
        key: str | None = ...,
    ) -> ScheduleRun:
        """Enqueue one extra run now, apart from the schedule's ticks."""
    def list_events(
        self,
        *,
        after: int = ...,
        kinds: str = ...,
        queue: str = ...,
        task: str = ...,
        limit: int = ...,
        key: str | None = ...,
    ) -> EventPageShown:
        """List events of the log: the newest ones, or those behind a position."""
    def list_sinks(
        self,
        *,
        key: str | None = ...,
    ) -> SinkList:
        """List the sinks."""
    def show_sink(
        self,
        *,
        sink: str,
        parked: int = ...,
        key: str | None = ...,
    ) -> SinkShown:
        """Show a sink and the events that it has refused."""
    def put_sink(
        self,
        *,
        sink: str,
        kind: str,
        config: dict[str, Any] = ...,
        filters: FilterBody = ...,
        position: int | None = ...,
        key: str | None = ...,
    ) -> SinkShown:
        """Add a sink, or change its options."""
    def remove_sink(
        self,
        *,
        sink: str,
        key: str | None = ...,
    ) -> Done:
        """Remove a sink; events that it has not received are not delivered."""
    def pause_sink(
        self,
        *,
        sink: str,
        reason: str = ...,
        key: str | None = ...,
    ) -> SinkShown:
        """Pause a sink until it is resumed; the log keeps its events for a limited time."""
    def resume_sink(
        self,
        *,
        sink: str,
        key: str | None = ...,
    ) -> SinkShown:
        """Resume a sink where it was paused or has stopped."""
    def test_sink(
        self,
        *,
        sink: str,
        key: str | None = ...,
    ) -> TestTaken:
        """Send one event of the kind test to a sink, from the server; 409 says why it failed."""
    def rewind_sink(
        self,
        *,
        sink: str,
        position: int | None = ...,
        at: str | None = ...,
        dry_run: bool = ...,
        key: str | None = ...,
    ) -> Rewound:
        """Move the position of a sink: back, to deliver events again, or forward, to skip some."""
    def list_webhooks(
        self,
        *,
        key: str | None = ...,
    ) -> WebhookList:
        """List the endpoints."""
    def create_webhook(
        self,
        *,
        url: str,
        name: str,
        filters: FilterBody = ...,
        include: list[Literal["args", "result"]] = ...,
        signature: Literal["ed25519", "hmac"] = ...,
        disable_failures: int | None = ...,
        disable_after: float | None = ...,
        position: int | None = ...,
        key: str | None = ...,
    ) -> WebhookWithSecret:
        """Add an endpoint; the answer has its secret, which no other answer has."""
    def show_webhook(
        self,
        *,
        webhook: str,
        key: str | None = ...,
    ) -> WebhookShown:
        """Show an endpoint; its secret is never shown."""
    def put_webhook_by_name(
        self,
        *,
        webhook: str,
        url: str,
        filters: FilterBody = ...,
        include: list[Literal["args", "result"]] = ...,
        signature: Literal["ed25519", "hmac"] = ...,
        disable_failures: int | None = ...,
        disable_after: float | None = ...,
        position: int | None = ...,
        key: str | None = ...,
    ) -> WebhookWithSecret:
        """Add an endpoint, or change its URL and filter; the answer has the secret of a new one."""
    def remove_webhook_by_name(
        self,
        *,
        webhook: str,
        key: str | None = ...,
    ) -> Done:
        """Remove an endpoint and its log; pending deliveries are cancelled."""
    def list_webhook_deliveries(
        self,
        *,
        webhook: str,
        before: str = ...,
        limit: int = ...,
        key: str | None = ...,
    ) -> ListPage_DeliveryShown:
        """List the attempts of an endpoint within the last week, newest first."""
    def rotate_webhook(
        self,
        *,
        webhook: str,
        signature: Literal["ed25519", "hmac"] = ...,
        key: str | None = ...,
    ) -> WebhookWithSecret:
        """Rotate the secret or key pair; for 24 hours the old one signs, too."""
    def enable_webhook(
        self,
        *,
        webhook: str,
        key: str | None = ...,
    ) -> WebhookShown:
        """Deliver to an endpoint again, from where it was disabled."""
    def disable_webhook(
        self,
        *,
        webhook: str,
        reason: str = ...,
        key: str | None = ...,
    ) -> WebhookShown:
        """Disable an endpoint; its deliveries wait up to a week for it to be enabled."""
    def test_webhook(
        self,
        *,
        webhook: str,
        key: str | None = ...,
    ) -> WebhookTested:
        """Send one event of the kind test to an endpoint, from the server, and return its answer."""
    def replay_webhook(
        self,
        *,
        webhook: str,
        after: int | None = ...,
        since: str | None = ...,
        to: int | None = ...,
        until: str | None = ...,
        dry_run: bool = ...,
        key: str | None = ...,
    ) -> Replayed:
        """Deliver a range of events again under their old ids; the log must still have them."""
    def list_alerts(
        self,
        *,
        all: bool = ...,
        key: str | None = ...,
    ) -> AlertList:
        """List the alerts that are firing."""
    def list_alert_rules(
        self,
        *,
        key: str | None = ...,
    ) -> AlertRuleList:
        """List the rules with their thresholds, and what is muted."""
    def put_alert_rule(
        self,
        *,
        rule: str,
        kind: str | None = ...,
        options: dict[str, Any] = ...,
        key: str | None = ...,
    ) -> AlertRuleShown:
        """Change a rule, or add one of a kind."""
    def reset_alert_rule(
        self,
        *,
        rule: str,
        key: str | None = ...,
    ) -> Done:
        """Reset a rule to its default values, or remove one that was added."""
    def mute_alert_rule(
        self,
        *,
        rule: str,
        subject: str = ...,
        seconds: float | None = ...,
        reason: str = ...,
        key: str | None = ...,
    ) -> MuteShown:
        """Mute a rule: its alerts are listed and logged as events, but not sent."""
    def unmute_alert_rule(
        self,
        *,
        rule: str,
        subject: str = ...,
        key: str | None = ...,
    ) -> Done:
        """Unmute a rule; alerts that are firing are sent at once."""
    def list_alert_targets(
        self,
        *,
        key: str | None = ...,
    ) -> AlertTargetList:
        """List the targets of alerts, without secrets."""
    def put_alert_target(
        self,
        *,
        target: str,
        kind: Literal["alertmanager", "discord", "email", "mattermost", "slack", "teams", "webhook"],
        config: dict[str, Any],
        key: str | None = ...,
    ) -> AlertTargetShown:
        """Add a target of alerts, or change it."""
    def remove_alert_target(
        self,
        *,
        target: str,
        key: str | None = ...,
    ) -> Done:
        """Remove a target; undelivered messages to it are dropped."""
    def test_alert_target(
        self,
        *,
        target: str,
        key: str | None = ...,
    ) -> TestTaken:
        """Send a test message to a target, from the server; 409 says why it failed."""
    def pause_alert_target(
        self,
        *,
        target: str,
        key: str | None = ...,
    ) -> AlertTargetShown:
        """Pause a target until it is resumed; undelivered messages to it are dropped."""
    def resume_alert_target(
        self,
        *,
        target: str,
        key: str | None = ...,
    ) -> AlertTargetShown:
        """Resume a target of alerts."""
    def list_archived(
        self,
        *,
        task: str = ...,
        queue: str = ...,
        state: Literal["cancelled", "completed", "failed", "skipped"] = ...,
        since: str = ...,
        until: str = ...,
        before: str = ...,
        limit: int = ...,
        key: str | None = ...,
    ) -> ListPage_ArchivedRowShown:
        """List archived jobs, newest first; a page scans at most 20 000 and may be short."""
    def show_archived(
        self,
        *,
        archived_id: str,
        key: str | None = ...,
    ) -> ArchivedShown:
        """Show everything about an archived job or workflow."""
    def restore_archived(
        self,
        *,
        ids: list[str],
        keep: float = ...,
        dry_run: bool = ...,
        key: str | None = ...,
    ) -> ArchiveMoved:
        """Bring archived jobs back, with every row as it was."""
    def purge_archived(
        self,
        *,
        ids: list[str],
        dry_run: bool = ...,
        key: str | None = ...,
    ) -> ArchiveMoved:
        """Delete archived jobs for good."""
    def show_archive_stats(
        self,
        *,
        key: str | None = ...,
    ) -> ArchiveStats:
        """Show what retention has deleted and archived."""
    def list_retention(
        self,
        *,
        key: str | None = ...,
    ) -> LifetimesList:
        """Show how long ended jobs are kept."""
    def put_retention(
        self,
        *,
        queue: str,
        lifetimes: dict[str, float | str],
        key: str | None = ...,
    ) -> LifetimesShown:
        """Set how long the ended jobs of a queue are kept; workers follow within a minute."""
    def reset_retention(
        self,
        *,
        queue: str,
        key: str | None = ...,
    ) -> LifetimesShown:
        """Remove the lifetimes that were set for a queue."""
    def show_session(
        self,
        *,
        key: str | None = ...,
    ) -> SessionShown:
        """Show the user of this request and what they may do."""
    def list_tokens(
        self,
        *,
        key: str | None = ...,
    ) -> TokenList:
        """List the tokens."""
    def create_token(
        self,
        *,
        name: str,
        role: Literal["admin", "operate", "read"] = ...,
        sees_values: bool = ...,
        expires_in: float | None = ...,
        key: str | None = ...,
    ) -> MadeToken:
        """Create a token; its value is in this answer only."""
    def revoke_token(
        self,
        *,
        token_id: str,
        key: str | None = ...,
    ) -> Done:
        """Revoke a token."""
    def list_audit(
        self,
        *,
        who: str = ...,
        before: str = ...,
        limit: int = ...,
        key: str | None = ...,
    ) -> ListPage_AuditShown:
        """List the changes that were made through the web, newest first."""

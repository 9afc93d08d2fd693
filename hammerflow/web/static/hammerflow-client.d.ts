// Made by python -m hammerflow.web.clients: change the table of routes instead.

export type AlertList = { items: Array<AlertShown> };

export type AlertRuleBody = { kind?: string | null; options?: Record<string, any> };

export type AlertRuleList = { items: Array<AlertRuleShown>; mutes: Array<MuteShown> };

export type AlertRuleShown = { name: string; kind: string; enabled: boolean; threshold: number; critical: number; unit: string; hold: number; clear: number; cooldown: number; window: number | null; least: number | null; subjects: Array<string>; subject: string; set_by: string };

export type AlertShown = { rule: string; subject: string; state: string; severity: string; since: string; value: number; text: string; told: string | null; told_at: string | null; muted: boolean; muted_until: string | null };

export type AlertTargetBody = { kind: "alertmanager" | "discord" | "email" | "mattermost" | "slack" | "teams" | "webhook"; config: Record<string, any> };

export type AlertTargetList = { items: Array<AlertTargetShown> };

export type AlertTargetShown = { name: string; kind: string; app: string; config: Record<string, any>; paused: boolean; waiting: number; sent_at: string | null; error: string; changed_by: string };

export type ArchiveMoved = { jobs: number; refused?: Array<string>; damaged?: Array<string> };

export type ArchivePurgeBody = { ids: Array<string>; dry_run?: boolean };

export type ArchiveStats = { removed: number; archived: number; restored: number; purged: number; now: number; walked_at: string | null; is_walking: boolean };

export type ArchivedRowShown = { id: string; task: string | null; queue: string | null; state: string; ended_at: string | null; size: number; root_id: string | null; workflow_id: string | null; group_id: string };

export type ArchivedShown = { id: string; task: string | null; queue: string | null; state: string; ended_at: string | null; size: number; root_id: string | null; workflow_id: string | null; group_id: string; archived_at: string | null; call?: string | null; result_text?: string | null; args?: any; kwargs?: any; result?: any; values_hidden?: boolean; errors?: Array<Record<string, any>>; columns?: Record<string, any>; group_jobs: number };

export type Attempt = { attempt: number; at: string; kind: string; type: string; message: string; traceback: string; started_at?: string | null; seconds?: number | null; worker_id?: number | null };

export type AttemptLogShown = { attempt: number; lease: number; line_count: number; dropped: number; dropped_at: number; lines: Array<LogLineShown> };

export type AuditShown = { id: string; at: string; who: string; address: string; action: string; target: string; details: Record<string, any>; outcome: string | null };

export type BatchCall = { task: string; args?: Array<any>; kwargs?: Record<string, any>; queue?: string | null; priority?: number | null; delay?: number | null; timeout?: number | null; max_attempts?: number | null; headers?: Record<string, string> | null };

export type BatchCalls = { items: Array<JobRow>; next: number | null };

export type BatchError = { id: string; error: string };

export type BatchShown = { id: string; kind: string; name: string; status: string; failure_policy: string; failures: number; parent_id: string | null; created_at: string | null; ended_at: string | null; deadline_at: string | null; health_check_interval: number | null; description: string | null; trace_id: string | null; correlation_id: string | null; metadata: any; reason: string | null; health: any; jobs: Record<string, number>; is_whole: boolean; per_second: number | null; rate: string | null; errors: Array<BatchError>; more_errors: number };

export type CancelBatch = { reason?: string };

export type CancelBody = { reason?: string; tree?: boolean };

export type CancelWorkflow = { reason?: string };

export type Changed = { id: string; state: "cancelled" | "completed" | "failed" | "parked" | "ready" | "running" | "scheduled" | "skipped" | "waiting" };

export type Children = { items: Array<JobFields>; after: number | null; counts: Record<string, number> };

export type CountsShown = { live: LiveCounts; failures: number; queues: number; workers: number; silent_workers: number; schedules: number; limits: number; sinks: number; disabled_webhooks: number; alerts: number };

export type DeliveryShown = { id: string; message: string; position: number; attempt: number; at: string; status: number | null; ms: number; address: string; error: string; answer: string };

export type DependenciesShown = { workflow_id: string | null; node: string | null; pending: number | null; total: number | null; depends_on: NeighbourSide; dependents: NeighbourSide };

export type Done = { says: string };

export type Enqueued = { id: string; is_new: boolean; warning?: string | null };

export type ErrorNote = { type: string; message: string };

export type EventPageShown = { items: Array<EventShown>; after: number; head: number; is_on: boolean };

export type EventShown = { position: number; kind: string; at: string; subject: string; data: Record<string, any>; is_tombstone: boolean };

export type FailureGroupShown = { key: string; task: string; error: string; pattern: string; message: string; jobs: number; first_at: string | null; last_at: string | null; hours: Array<number>; samples: Array<string> };

export type FailureList = { items: Array<FailureGroupShown>; is_cut: boolean };

export type FilterBody = { kinds?: Array<string> | null; queues?: Array<string>; tasks?: Array<string>; min_priority?: number | null; min_duration?: number | null; headers?: Record<string, string>; metadata?: Record<string, string> };

export type FoldedChildren = { task: string; count: number; states: Record<string, number> };

export type HandlerStats = { handler: string; queue: string | null; operations: number; failures: number; requested: number; children: number; most_children: number; mean_seconds: number; longest_seconds: number };

export type HealthList = { items: Array<QueueHealthShown>; explained: number };

export type JobEdit = { args?: Array<any>; kwargs?: Record<string, any>; queue?: string | null; priority?: number | null };

export type JobEdited = { id: string; kept_keys: Array<string> };

export type JobFields = { id: string; task: string; queue: string; priority: number; state: "cancelled" | "completed" | "failed" | "parked" | "ready" | "running" | "scheduled" | "skipped" | "waiting"; dependency_status: string; attempt: number; created_at: string; run_at: string | null; started_at: string | null; finished_at: string | null; seconds: number | null; parent_id: string | null; root_id: string | null; depth: number; spawn_index: number | null; unique_key: string | null; reason: string | null; progress: number | null; progress_note: string | null; headers: Record<string, any>; options: Record<string, any>; workflow_id: string | null; worker_id: number | null };

export type JobLogsShown = { items: Array<AttemptLogShown>; values_hidden: boolean; is_over: boolean };

export type JobRow = { id: string; task: string; queue: string; priority: number; state: "cancelled" | "completed" | "failed" | "parked" | "ready" | "running" | "scheduled" | "skipped" | "waiting"; dependency_status: string; attempt: number; created_at: string; run_at: string | null; started_at: string | null; finished_at: string | null; seconds: number | null; parent_id: string | null; root_id: string | null; depth: number; spawn_index: number | null; unique_key: string | null; reason: string | null; progress: number | null; progress_note: string | null; headers: Record<string, any>; options: Record<string, any>; workflow_id: string | null; worker_id: number | null; worker: WorkerRef | null; error: ErrorNote | null };

export type JobShown = { id: string; task: string; queue: string; priority: number; state: "cancelled" | "completed" | "failed" | "parked" | "ready" | "running" | "scheduled" | "skipped" | "waiting"; dependency_status: string; attempt: number; created_at: string; run_at: string | null; started_at: string | null; finished_at: string | null; seconds: number | null; parent_id: string | null; root_id: string | null; depth: number; spawn_index: number | null; unique_key: string | null; reason: string | null; progress: number | null; progress_note: string | null; headers: Record<string, any>; options: Record<string, any>; workflow_id: string | null; worker_id: number | null; worker: WorkerRef | null; call?: string | null; args?: any; kwargs?: any; result?: any; result_text?: string | null; values_hidden?: boolean; unique_holder?: string | null; limit_key?: string | null; fair_key?: string | null; spawn?: Record<string, any> | null; obstacles?: Array<Obstacle>; errors?: Array<Attempt>; logs?: Array<LogOfAttempt> };

export type JobsDeleted = { deleted: number };

export type LifetimesBody = { lifetimes: Record<string, number | string> };

export type LifetimesList = { items: Array<LifetimesShown> };

export type LifetimesShown = { kind: string; name: string; lifetimes: Record<string, number | string | null> };

export type LimitBody = { rate?: string | null; max?: number | null };

export type LimitHeld = { target: string; rate: string | null; max: number | null };

export type LimitList = { items: Array<LimitRow> };

export type LimitRow = { target: string; key: string; rate: string | null; max: number | null; running: number; waiting: number; next_start: number; set_by: string | null; set_at: string | null };

export type ListPage_ArchivedRowShown = { items: Array<ArchivedRowShown>; next?: string | null; is_tired?: boolean };

export type ListPage_AuditShown = { items: Array<AuditShown>; next?: string | null; is_tired?: boolean };

export type ListPage_DeliveryShown = { items: Array<DeliveryShown>; next?: string | null; is_tired?: boolean };

export type ListPage_JobRow = { items: Array<JobRow>; next?: string | null; is_tired?: boolean };

export type ListPage_OperationShown = { items: Array<OperationShown>; next?: string | null; is_tired?: boolean };

export type ListPage_WorkflowRowOut = { items: Array<WorkflowRowOut>; next?: string | null; is_tired?: boolean };

export type LiveCounts = { ready: number; running: number; scheduled: number; waiting: number; parked: number; at_least: Array<string> };

export type LogLineShown = { at: string; level: string; logger: string; message: string };

export type LogOfAttempt = { attempt: number; lease: number; lines: number; dropped: number };

export type MadeBatch = { id: string; calls: number };

export type MadeToken = { id: string; token: string };

export type MuteBody = { subject?: string; seconds?: number | null; reason?: string };

export type MuteShown = { rule: string; subject: string; until: string | null; by: string; reason: string };

export type Neighbour = { id: string; name: string; state: string };

export type NeighbourSide = { count: number; states: Record<string, number>; jobs: Array<Neighbour> };

export type NewBatch = { calls: Array<BatchCall>; name?: string; on_failure?: "collect" | "continue" | "fail_fast"; rate?: string | null };

export type NewCall = { task: string; args?: Array<any>; kwargs?: Record<string, any>; queue?: string | null; priority?: number | null; delay?: number | null; job_id?: string | null; unique_key?: string | null; require_worker?: boolean };

export type NewOperation = { action: "cancel" | "purge" | "retry"; ids?: Array<string>; state?: "cancelled" | "completed" | "failed" | "parked" | "ready" | "running" | "scheduled" | "skipped" | "waiting" | null; queue?: string | null; task?: string | null; error?: string | null; argument?: string | null; group?: string | null; since?: string | null; until?: string | null; older_than?: number; whole?: boolean; reason?: string; before?: string | null; dry_run?: boolean };

export type NewSchedule = { cron?: string | null; every?: string | null; args?: Array<any>; kwargs?: Record<string, any>; queue?: string | null; priority?: number | null; workflow?: Record<string, any>; tz?: string | null; misfire?: "all" | "once" | "skip" | null; catch_up?: string | null; overlap?: "allow" | "cancel_old" | "queue_one" | "skip" | null; jitter?: string | null; start?: string | null; end?: string | null; after?: string | null; name: string; task?: string | null; paused?: boolean };

export type NewToken = { name: string; role?: "admin" | "operate" | "read"; sees_values?: boolean; expires_in?: number | null };

export type NewWebhook = { url: string; filters?: FilterBody; include?: Array<"args" | "result">; signature?: "ed25519" | "hmac"; disable_failures?: number | null; disable_after?: number | null; position?: number | null; name: string };

export type NextRun = { tick: string; starts_at: string };

export type NextRuns = { description: string; tz: string; runs: Array<NextRun> };

export type NodeBody = { node: string };

export type NodeShown = { id: string; name: string | null; task: string | null; state: string | null; reason: string | null; position: number | null };

export type Obstacle = { code: string; says: string; advice: string; facts: Record<string, any> };

export type OperationList = { items: Array<SpawnOperation> };

export type OperationShown = { id: string | null; action: string; by: string; wanted: Record<string, any>; at: string | null; state: string; total: number; done?: number; failed?: number; error?: string | null; is_whole?: boolean; before?: string | null };

export type OverviewShown = { at: string; problems: Array<ProblemShown>; counts: LiveCounts; paused: number; is_app_paused: boolean; workers: WorkerTotals; series: StatsSeries; failures: Array<FailureGroupShown>; alerts: Array<AlertShown> };

export type ParameterShown = { name: string; kind: string; is_required: boolean; annotation: string };

export type PauseBody = { reason?: string };

export type PauseList = { items: Array<PauseShown> };

export type PauseReason = { reason?: string };

export type PauseShown = { kind: string; name: string; paused_at: string; paused_by: string | null; reason: string | null };

export type Paused = { name: string; is_paused: boolean };

export type PendingList = { items: Array<PendingSpawner> };

export type PendingSpawner = { parent_id: string; task: string | null; states: Record<string, number>; not_ended: number; operation: SpawnOperation | null };

export type ProblemShown = { severity: string; code: string; subject: string; says: string; advice: string };

export type QueueHealthShown = { queue: string; status: string; says: string; advice: string };

export type QueueList = { items: Array<QueueRow> };

export type QueueRow = { name: string; paused_at: string | null; paused_by: string | null; reason: string | null; ready: number; running: number; scheduled: number; waiting: number; parked: number; oldest: number | null; at_least: Array<string>; enqueued_per_second: number; ended_per_second: number };

export type QueueStatsList = { items: Array<QueueStatsRow>; next: string | null };

export type QueueStatsRow = { enqueued: number; completed: number; failed: number; cancelled: number; skipped: number; wait_p50: number | null; wait_p95: number | null; wait_p99: number | null; run_p50: number | null; run_p95: number | null; run_p99: number | null; wait_mean: number | null; run_mean: number | null; queue: string };

export type RefusedEvent = { position: number; at: string | null; kind: string; subject: string; error: string; body: string };

export type ReplayBody = { after?: number | null; since?: string | null; to?: number | null; until?: string | null; dry_run?: boolean };

export type Replayed = { events: number; after: number; to: number };

export type ResizeBody = { children: string; timeout?: number };

export type Resized = { children: number; before: number; asked: number; ending: number; least: number; most: number };

export type RestoreBody = { ids: Array<string>; keep?: number; dry_run?: boolean };

export type RetryWorkflow = { node?: string | null; downstream?: boolean };

export type RewindBody = { position?: number | null; at?: string | null; dry_run?: boolean };

export type Rewound = { position: number; again: number; left_out: number };

export type ScheduleEdit = { cron?: string | null; every?: string | null; args?: Array<any>; kwargs?: Record<string, any>; queue?: string | null; priority?: number | null; workflow?: Record<string, any>; tz?: string | null; misfire?: "all" | "once" | "skip" | null; catch_up?: string | null; overlap?: "allow" | "cancel_old" | "queue_one" | "skip" | null; jitter?: string | null; start?: string | null; end?: string | null; after?: string | null; no_after?: boolean; reset?: boolean };

export type ScheduleList = { items: Array<ScheduleShownRow>; next?: string | null };

export type ScheduleRun = { id: string; paused: Array<Record<string, any>> };

export type ScheduleShown = { name: string; state: string; description: string; app: string | null; call: string; queue?: string | null; priority?: number | null; code: Record<string, any> | null; edit: Record<string, any> | null; edited_at: string | null; edited_by: string | null; created_at: string | null; next_at: string | null; paused_at: string | null; paused_by: string | null; reason: string | null; disabled_since: string | null; trouble: string | null; last_tick: string | null; last_outcome: string | null; last_run: string | null; missed: number; ticks: Array<TickShown> };

export type ScheduleShownRow = { name: string; state: string; description: string; app: string | null; call: string; queue?: string | null; priority?: number | null; code: Record<string, any> | null; edit: Record<string, any> | null; edited_at: string | null; edited_by: string | null; created_at: string | null; next_at: string | null; paused_at: string | null; paused_by: string | null; reason: string | null; disabled_since: string | null; trouble: string | null; last_tick: string | null; last_outcome: string | null; last_run: string | null; missed: number };

export type SessionShown = { name: string; role: "admin" | "operate" | "read"; sees_values: boolean; app: string | null; can_enqueue: boolean; version: string };

export type SinkBody = { kind: string; config?: Record<string, any>; filters?: FilterBody; position?: number | null };

export type SinkList = { items: Array<SinkRowShown>; head: number };

export type SinkPause = { reason?: string };

export type SinkRowShown = { name: string; kind: string; config: Record<string, any>; filters: Record<string, any>; app: string; state: string; position: number; behind: number; sent: number; sent_at: string | null; created_at: string | null; complete_from: string | null; changed_by: string | null; reason: string | null; failures: number; error: string | null; error_at: string | null; parked: number; gap: Array<number> | null; is_held: boolean };

export type SinkShown = { name: string; kind: string; config: Record<string, any>; filters: Record<string, any>; app: string; state: string; position: number; behind: number; sent: number; sent_at: string | null; created_at: string | null; complete_from: string | null; changed_by: string | null; reason: string | null; failures: number; error: string | null; error_at: string | null; parked: number; gap: Array<number> | null; is_held: boolean; refused: Array<RefusedEvent> };

export type SpawnOperation = { parent_id: string; lease: number; requested: number; spawned: number; started_at: string | null; ended_at: string | null; handler: string; operation_id: string | null; metadata: Record<string, any>; error: string | null; task: string | null; queue: string | null; seconds: number };

export type SpawnTotals = { hours: number; operations: number; children: number; failures: number; success_rate: number; operations_per_hour: number; children_per_hour: number; is_cut: boolean; handlers: Array<HandlerStats> };

export type StackBody = { timeout?: number };

export type StackShown = { says: string; stack: string };

export type StatsPoint = { enqueued: number; completed: number; failed: number; cancelled: number; skipped: number; wait_p50: number | null; wait_p95: number | null; wait_p99: number | null; run_p50: number | null; run_p95: number | null; run_p99: number | null; wait_mean: number | null; run_mean: number | null; at: string };

export type StatsSeries = { span: number; points: Array<StatsPoint> };

export type StretchShown = { id: string; name: string | null; task: string | null; state: string | null; attempt: number; created_at: string | null; started_at: string | null; finished_at: string | null };

export type TaskList = { items: Array<TaskRow> };

export type TaskRow = { name: string; workers: number; paused_at: string | null; paused_by: string | null; reason: string | null };

export type TaskShown = { name: string; is_served: boolean; queue: string | null; priority: number | null; parameters: Array<ParameterShown> | null };

export type TaskStats = { task: string; enqueued: number; completed: number; failed: number; cancelled: number; skipped: number; wait_p50: number | null; wait_p95: number | null; wait_p99: number | null; run_p50: number | null; run_p95: number | null; run_p99: number | null; wait_mean: number | null; run_mean: number | null };

export type TaskStatsList = { items: Array<TaskStats> };

export type TestTaken = { name: string; seconds: number };

export type TickShown = { tick: string | null; at: string | null; outcome: string; run: string | null; detail: string | null };

export type TimelineShown = { items: Array<StretchShown>; left_out: number; is_cut: boolean };

export type TokenList = { items: Array<TokenShown> };

export type TokenShown = { id: string; name: string; role: "admin" | "operate" | "read"; sees_values: boolean; created_at: string; created_by: string; expires_at: string | null; revoked_at: string | null; used_at: string | null };

export type TreeNode = { id: string; task: string; state: string; attempt: number; spawn_index: number | null; reason: string | null; error: string | null; is_fan_in: boolean; children: Array<TreeNode>; folded: Array<FoldedChildren>; is_cut: boolean };

export type Undone = { undone: number; started: number };

export type UnmuteBody = { subject?: string };

export type WebFault = { argument: string; detail: string };

export type WebProblem = { type: string; title: string; status: number; detail?: string; errors?: Array<WebFault> };

export type WebhookBody = { url: string; filters?: FilterBody; include?: Array<"args" | "result">; signature?: "ed25519" | "hmac"; disable_failures?: number | null; disable_after?: number | null; position?: number | null };

export type WebhookDisable = { reason?: string };

export type WebhookList = { items: Array<WebhookShown> };

export type WebhookShown = { name: string; url: string | null; config: Record<string, any>; filters: Record<string, any>; app: string; state: string; sink_state: string; position: number; since: string; failures: number; waiting: number; success_at: string | null; disabled_at: string | null; probe_at: string | null; rest_until: string | null; reason: string; old_secret_until: string | null; delivered: number; failed: number; changed_by: string | null };

export type WebhookTested = { message: string; is_delivered: boolean; status: number | null; ms: number; error: string };

export type WebhookWithSecret = { name: string; url: string | null; config: Record<string, any>; filters: Record<string, any>; app: string; state: string; sink_state: string; position: number; since: string; failures: number; waiting: number; success_at: string | null; disabled_at: string | null; probe_at: string | null; rest_until: string | null; reason: string; old_secret_until: string | null; delivered: number; failed: number; changed_by: string | null; secret?: string | null; public_key?: string | null; warning?: string | null };

export type WorkerList = { items: Array<WorkerRow> };

export type WorkerRef = { id: number; host: string | null; pid: number | null };

export type WorkerRow = { id: number; host: string; pid: number; started_at: string | null; beat_at: string | null; silent_for: number; app: string | null; version: string | null; queues: Array<string> | null; task_count: number | null; draining: boolean | null; waiting: number | null; size: any; least: number | null; most: number | null; children: Array<Record<string, any>> };

export type WorkerShown = { id: number; host: string; pid: number; started_at: string | null; beat_at: string | null; silent_for: number; app: string | null; version: string | null; queues: Array<string> | null; task_count: number | null; draining: boolean | null; waiting: number | null; size: any; least: number | null; most: number | null; children: Array<Record<string, any>>; tasks?: Array<string> };

export type WorkerStopped = { id: number; host: string; pid: number; holds: number };

export type WorkerTotals = { alive: number; silent: number; draining: number; children: number; busy: number };

export type WorkflowBody = { definition: Record<string, any> };

export type WorkflowCreated = { id: string; name: string; nodes: number };

export type WorkflowNow = { id: string; status: string; is_ending: boolean };

export type WorkflowRowOut = { id: string; kind: string; name: string; status: string; failure_policy: string; failures: number; parent_id: string | null; created_at: string | null; ended_at: string | null; deadline_at: string | null; health_check_interval: number | null; description: string | null; trace_id: string | null; correlation_id: string | null; metadata: any; reason: string | null; health: any };

export type WorkflowShare = { id: string; jobs: Record<string, number>; is_whole: boolean };

export type WorkflowShareList = { items: Array<WorkflowShare> };

export type WorkflowShown = { id: string; kind: string; name: string; status: string; failure_policy: string; failures: number; parent_id: string | null; created_at: string | null; ended_at: string | null; deadline_at: string | null; health_check_interval: number | null; description: string | null; trace_id: string | null; correlation_id: string | null; metadata: any; reason: string | null; health: any; jobs: Record<string, number>; is_whole: boolean; nodes: Array<NodeShown>; more: Record<string, number>; is_cut: boolean };

export type WorkflowStatsList = { items: Array<WorkflowStatsRow>; span: number; points: Array<WorkflowStatsPoint> };

export type WorkflowStatsPoint = { completed: number; failed: number; cancelled: number; success_ratio: number | null; took_p50: number | null; took_p95: number | null; took_mean: number | null; at: string };

export type WorkflowStatsRow = { completed: number; failed: number; cancelled: number; success_ratio: number | null; took_p50: number | null; took_p95: number | null; took_mean: number | null; name: string; kind: string; slowest_node: string | null; slowest_node_seconds: number | null };

export interface RequestOptions { key?: string; signal?: AbortSignal; headers?: object }
export class HammerflowError extends Error { status: number; title: string }
export class HammerflowClient {
  constructor(base?: string, options?: { token?: string; fetch?: typeof fetch });
  request(method: string, path: string, what?: object): Promise<any>;
  open(method: string, path: string, what?: object): Promise<Response>;
  all(operation: string, params?: object): AsyncGenerator<any>;
  events(params?: {
    after?: number; kinds?: string; queue?: string; task?: string; signal?: AbortSignal;
  }): AsyncGenerator<EventShown>;
  changes(params?: { signal?: AbortSignal }): AsyncGenerator<any>;
  logs(params: { job_id: string; attempt?: number; signal?: AbortSignal }): AsyncGenerator<{
    attempt: number; lease: number; missed: number; lines: Array<LogLineShown>;
  }>;
  /** Show what is wrong now first; it is some seconds old at most. */
  showOverview(params?: {}, options?: RequestOptions): Promise<OverviewShown>;
  /** Count what is on the pages of a dashboard; it is some seconds old at most. */
  showCounts(params?: {}, options?: RequestOptions): Promise<CountsShown>;
  /** List jobs, newest first. */
  listJobs(params?: { state?: "cancelled" | "completed" | "failed" | "parked" | "ready" | "running" | "scheduled" | "skipped" | "waiting"; queue?: string; task?: string; dependency_status?: "failed" | "none" | "satisfied" | "waiting"; error?: string; argument?: string; since?: string; until?: string; before?: string; limit?: number }, options?: RequestOptions): Promise<ListPage_JobRow>;
  /** Enqueue one call of a task; its arguments are checked first. */
  enqueueJob(params: NewCall, options?: RequestOptions): Promise<Enqueued>;
  /** Show everything about one job, and why it does not run. */
  showJob(params: { job_id: string }, options?: RequestOptions): Promise<JobShown>;
  /** List what a job has spawned, in the order of the spawns. */
  listChildren(params: { job_id: string; after?: number; limit?: number }, options?: RequestOptions): Promise<Children>;
  /** Cancel a job; one that runs is told to stop. */
  cancelJob(params: { job_id: string } & CancelBody, options?: RequestOptions): Promise<Changed>;
  /** Run a job again, with all its attempts; it must be failed, cancelled, skipped or parked. */
  retryJob(params: { job_id: string }, options?: RequestOptions): Promise<Changed>;
  /** Say why a job does not run. */
  explainJob(params: { job_id: string }, options?: RequestOptions): Promise<Obstacle>;
  /** Show the Python stack of a running body, which keeps running. */
  showStack(params: { job_id: string } & StackBody, options?: RequestOptions): Promise<StackShown>;
  /** Show what a job waits for, and what waits for it. */
  showDependencies(params: { job_id: string; limit?: number }, options?: RequestOptions): Promise<DependenciesShown>;
  /** Delete a job that has ended, with its result, errors and logs, for good. */
  deleteJob(params: { job_id: string; whole?: boolean }, options?: RequestOptions): Promise<JobsDeleted>;
  /** Change the arguments, queue or priority of a job that has not started. */
  editJob(params: { job_id: string } & JobEdit, options?: RequestOptions): Promise<JobEdited>;
  /** Show what the attempts of a job have logged and printed, if its task keeps it. */
  showLogs(params: { job_id: string; attempt?: number }, options?: RequestOptions): Promise<JobLogsShown>;
  /** Retry, cancel or remove all jobs that match a filter. */
  startOperation(params: NewOperation, options?: RequestOptions): Promise<OperationShown>;
  /** List operations, newest first; they are kept for a year. */
  listOperations(params?: { before?: string; limit?: number }, options?: RequestOptions): Promise<ListPage_OperationShown>;
  /** Show how far an operation is. */
  showOperation(params: { operation_id: string }, options?: RequestOptions): Promise<OperationShown>;
  /** Stop an operation; jobs that it has changed already stay changed. */
  stopOperation(params: { operation_id: string }, options?: RequestOptions): Promise<OperationShown>;
  /** Undo a retry for the jobs that have not started since; the others go on. */
  undoOperationById(params: { operation_id: string }, options?: RequestOptions): Promise<Undone>;
  /** Show figures over time: by minute below a day, by hour up to 24 days, then by day. */
  showSeries(params?: { hours?: number; task?: string; queue?: string }, options?: RequestOptions): Promise<StatsSeries>;
  /** Show how many jobs of each queue were enqueued and ended, and their times. */
  listQueueStats(params?: { hours?: number; task?: string; queue?: string; after?: string; limit?: number }, options?: RequestOptions): Promise<QueueStatsList>;
  /** Show how many runs of workflows ended, how many completed, and how long they took. */
  listWorkflowStats(params?: { hours?: number; name?: string }, options?: RequestOptions): Promise<WorkflowStatsList>;
  /** List failed and parked jobs in groups: by task, type of error and message. */
  listFailures(params?: { task?: string; error?: string; since?: string }, options?: RequestOptions): Promise<FailureList>;
  /** List the queues with their depths and rates. */
  listQueues(params?: { sort?: "name" | "oldest"; limit?: number }, options?: RequestOptions): Promise<QueueList>;
  /** Show for each queue, or for one, whether its jobs run, and what to do if not. */
  listQueueHealth(params?: { queue?: string }, options?: RequestOptions): Promise<HealthList>;
  /** Show one queue. */
  showQueue(params: { queue: string }, options?: RequestOptions): Promise<QueueRow>;
  /** Stop workers from starting jobs of a queue; running jobs go on. */
  pauseQueue(params: { queue: string } & PauseBody, options?: RequestOptions): Promise<Paused>;
  /** Let workers start the jobs of a queue again. */
  resumeQueue(params: { queue: string }, options?: RequestOptions): Promise<Paused>;
  /** List the tasks that the database knows. */
  listTasks(params?: {}, options?: RequestOptions): Promise<TaskList>;
  /** Show how many jobs of each task were enqueued and ended, and their times. */
  listTaskStats(params?: { hours?: number; queue?: string }, options?: RequestOptions): Promise<TaskStatsList>;
  /** Show how a task is called: its parameters, its queue and its priority. */
  showTask(params: { task: string }, options?: RequestOptions): Promise<TaskShown>;
  /** Stop workers from starting jobs of a task in any queue; running jobs go on. */
  pauseTask(params: { task: string } & PauseBody, options?: RequestOptions): Promise<Paused>;
  /** Let workers start the jobs of a task again. */
  resumeTask(params: { task: string }, options?: RequestOptions): Promise<Paused>;
  /** List what is paused: since when, by whom and why. */
  listPauses(params?: {}, options?: RequestOptions): Promise<PauseList>;
  /** Stop workers from starting any job; running jobs go on. */
  pauseApp(params?: PauseBody, options?: RequestOptions): Promise<Paused>;
  /** Let workers start jobs again; pauses of queues and tasks stay. */
  resumeApp(params?: {}, options?: RequestOptions): Promise<Paused>;
  /** List the limits, for each key: what runs, what waits, and when the next job may start. */
  listLimits(params?: { task?: string; queue?: string }, options?: RequestOptions): Promise<LimitList>;
  /** Limit a task (each of its keys, if it has a limit_key), a queue or a batch. */
  setLimit(params: { target: string } & LimitBody, options?: RequestOptions): Promise<LimitHeld>;
  /** Remove a limit that was set; the one that the code declares applies again. */
  removeLimit(params: { target: string }, options?: RequestOptions): Promise<LimitHeld>;
  /** List the workers and their children. */
  listWorkers(params?: {}, options?: RequestOptions): Promise<WorkerList>;
  /** Show a worker, named by its number, a prefix of it, or HOST:PID. */
  showWorker(params: { worker: string }, options?: RequestOptions): Promise<WorkerShown>;
  /** Drain and stop a worker; running bodies get its grace period. */
  stopWorker(params: { worker: string }, options?: RequestOptions): Promise<WorkerStopped>;
  /** Change how many children a worker has, until it ends. */
  resizeWorker(params: { worker: string } & ResizeBody, options?: RequestOptions): Promise<Resized>;
  /** List workflows, batches and canvases, newest first. */
  listWorkflows(params?: { status?: "cancelled" | "completed" | "failed" | "paused" | "running"; kind?: "batch" | "chain" | "chord" | "group" | "workflow"; since?: string; until?: string; before?: string; limit?: number }, options?: RequestOptions): Promise<ListPage_WorkflowRowOut>;
  /** Enqueue a workflow of tasks of the app, in the form of a workflow file; it is checked first. */
  createWorkflow(params: WorkflowBody, options?: RequestOptions): Promise<WorkflowCreated>;
  /** Count the jobs of several workflows by state: as many as can be counted within 0.1 s. */
  listWorkflowShares(params?: { ids?: string }, options?: RequestOptions): Promise<WorkflowShareList>;
  /** Show one workflow, how far it is, and its members. */
  showWorkflow(params: { workflow_id: string }, options?: RequestOptions): Promise<WorkflowShown>;
  /** Draw the graph of a workflow's jobs and their states. */
  showWorkflowGraph(params: { workflow_id: string; format?: "boxes" | "dot" | "json" | "mermaid" | "text"; max_nodes?: number; max_depth?: number }, options?: RequestOptions): Promise<Record<string, any> | string>;
  /** Show when the members of a workflow ran: those that went wrong, run, or ran for longest. */
  showWorkflowTimeline(params: { workflow_id: string; limit?: number }, options?: RequestOptions): Promise<TimelineShown>;
  /** Cancel a workflow and all of its jobs that have not ended. */
  cancelWorkflow(params: { workflow_id: string } & CancelWorkflow, options?: RequestOptions): Promise<Done>;
  /** Run a workflow's failed and cancelled jobs again, and those that were skipped by them. */
  retryWorkflow(params: { workflow_id: string } & RetryWorkflow, options?: RequestOptions): Promise<WorkflowNow>;
  /** Continue a paused workflow; the jobs that depend on the failed ones are skipped. */
  resumeWorkflow(params: { workflow_id: string }, options?: RequestOptions): Promise<WorkflowNow>;
  /** Treat a failed node as completed: the jobs that depend on it run. */
  skipWorkflowNode(params: { workflow_id: string } & NodeBody, options?: RequestOptions): Promise<WorkflowNow>;
  /** List batches, newest first. */
  listBatches(params?: { status?: "cancelled" | "completed" | "failed" | "paused" | "running"; before?: string; limit?: number }, options?: RequestOptions): Promise<ListPage_WorkflowRowOut>;
  /** Enqueue up to 10 000 calls as a batch; all are checked first, then written as one. */
  createBatch(params: NewBatch, options?: RequestOptions): Promise<MadeBatch>;
  /** Show a batch: its progress, its rate, how many calls are in which state, first errors. */
  showBatch(params: { batch_id: string }, options?: RequestOptions): Promise<BatchShown>;
  /** List the calls of a batch in their order, a page of up to 1 000 at a time. */
  listBatchCalls(params: { batch_id: string; state?: "cancelled" | "completed" | "failed" | "parked" | "ready" | "running" | "scheduled" | "skipped" | "waiting"; page?: number }, options?: RequestOptions): Promise<BatchCalls>;
  /** Run the failed and cancelled calls of a batch again, with all their attempts. */
  retryBatch(params: { batch_id: string }, options?: RequestOptions): Promise<Done>;
  /** Cancel the calls of a batch that have not ended, running ones included. */
  cancelBatch(params: { batch_id: string } & CancelBatch, options?: RequestOptions): Promise<Done>;
  /** List spawn operations, newest first; failed runs are listed, too. */
  listSpawnOperations(params?: { limit?: number; queue?: string; hours?: number }, options?: RequestOptions): Promise<OperationList>;
  /** Count operations, children and failures, by handler and queue. */
  showSpawnStats(params?: { queue?: string; hours?: number }, options?: RequestOptions): Promise<SpawnTotals>;
  /** List completed spawners with unfinished children, newest first. */
  listPendingSpawners(params?: { limit?: number }, options?: RequestOptions): Promise<PendingList>;
  /** Show a job and its descendants as nested objects, or drawn as text, Mermaid or DOT. */
  showSpawnTree(params: { job_id: string; format?: "dot" | "json" | "mermaid" | "text"; max_depth?: number; wide?: number }, options?: RequestOptions): Promise<TreeNode | string>;
  /** List a job's ancestors and descendants by generation. */
  showLineage(params: { job_id: string; depth?: number; limit?: number }, options?: RequestOptions): Promise<Record<string, any>>;
  /** List the schedules by name. */
  listSchedules(params?: { state?: "active" | "aside" | "disabled" | "over" | "paused"; task?: string; queue?: string; after?: string; limit?: number }, options?: RequestOptions): Promise<ScheduleList>;
  /** Create a schedule that calls a task of the app, or enqueues a workflow; both are checked. */
  createSchedule(params: NewSchedule, options?: RequestOptions): Promise<ScheduleShown>;
  /** Say in words when a cron expression is due, and list the next times. */
  explainCron(params: { count?: number; after?: string; cron: string; tz?: string }, options?: RequestOptions): Promise<NextRuns>;
  /** Show one schedule and its last ticks. */
  showSchedule(params: { schedule: string; ticks?: number }, options?: RequestOptions): Promise<ScheduleShown>;
  /** Change a schedule from now on; the change overrides the code. */
  updateSchedule(params: { schedule: string } & ScheduleEdit, options?: RequestOptions): Promise<ScheduleShown>;
  /** Delete a schedule that no code declares, with the record of its ticks; its jobs stay. */
  deleteSchedule(params: { schedule: string }, options?: RequestOptions): Promise<Done>;
  /** Show when a schedule is due next. */
  showNextRuns(params: { schedule: string; count?: number; after?: string }, options?: RequestOptions): Promise<NextRuns>;
  /** Pause a schedule: until it is resumed, its ticks are recorded but enqueue nothing. */
  pauseSchedule(params: { schedule: string } & PauseReason, options?: RequestOptions): Promise<ScheduleShown>;
  /** Resume a schedule with its next tick; ticks during the pause do not run. */
  resumeSchedule(params: { schedule: string }, options?: RequestOptions): Promise<ScheduleShown>;
  /** Enqueue one extra run now, apart from the schedule's ticks. */
  runSchedule(params: { schedule: string }, options?: RequestOptions): Promise<ScheduleRun>;
  /** List events of the log: the newest ones, or those behind a position. */
  listEvents(params?: { after?: number; kinds?: string; queue?: string; task?: string; limit?: number }, options?: RequestOptions): Promise<EventPageShown>;
  /** List the sinks. */
  listSinks(params?: {}, options?: RequestOptions): Promise<SinkList>;
  /** Show a sink and the events that it has refused. */
  showSink(params: { sink: string; parked?: number }, options?: RequestOptions): Promise<SinkShown>;
  /** Add a sink, or change its options. */
  putSink(params: { sink: string } & SinkBody, options?: RequestOptions): Promise<SinkShown>;
  /** Remove a sink; events that it has not received are not delivered. */
  removeSink(params: { sink: string }, options?: RequestOptions): Promise<Done>;
  /** Pause a sink until it is resumed; the log keeps its events for a limited time. */
  pauseSink(params: { sink: string } & SinkPause, options?: RequestOptions): Promise<SinkShown>;
  /** Resume a sink where it was paused or has stopped. */
  resumeSink(params: { sink: string }, options?: RequestOptions): Promise<SinkShown>;
  /** Send one event of the kind test to a sink, from the server; 409 says why it failed. */
  testSink(params: { sink: string }, options?: RequestOptions): Promise<TestTaken>;
  /** Move the position of a sink: back, to deliver events again, or forward, to skip some. */
  rewindSink(params: { sink: string } & RewindBody, options?: RequestOptions): Promise<Rewound>;
  /** List the endpoints. */
  listWebhooks(params?: {}, options?: RequestOptions): Promise<WebhookList>;
  /** Add an endpoint; the answer has its secret, which no other answer has. */
  createWebhook(params: NewWebhook, options?: RequestOptions): Promise<WebhookWithSecret>;
  /** Show an endpoint; its secret is never shown. */
  showWebhook(params: { webhook: string }, options?: RequestOptions): Promise<WebhookShown>;
  /** Add an endpoint, or change its URL and filter; the answer has the secret of a new one. */
  putWebhookByName(params: { webhook: string } & WebhookBody, options?: RequestOptions): Promise<WebhookWithSecret>;
  /** Remove an endpoint and its log; pending deliveries are cancelled. */
  removeWebhookByName(params: { webhook: string }, options?: RequestOptions): Promise<Done>;
  /** List the attempts of an endpoint within the last week, newest first. */
  listWebhookDeliveries(params: { webhook: string; before?: string; limit?: number }, options?: RequestOptions): Promise<ListPage_DeliveryShown>;
  /** Rotate the secret or key pair; for 24 hours the old one signs, too. */
  rotateWebhook(params: { webhook: string; signature?: "ed25519" | "hmac" }, options?: RequestOptions): Promise<WebhookWithSecret>;
  /** Deliver to an endpoint again, from where it was disabled. */
  enableWebhook(params: { webhook: string }, options?: RequestOptions): Promise<WebhookShown>;
  /** Disable an endpoint; its deliveries wait up to a week for it to be enabled. */
  disableWebhook(params: { webhook: string } & WebhookDisable, options?: RequestOptions): Promise<WebhookShown>;
  /** Send one event of the kind test to an endpoint, from the server, and return its answer. */
  testWebhook(params: { webhook: string }, options?: RequestOptions): Promise<WebhookTested>;
  /** Deliver a range of events again under their old ids; the log must still have them. */
  replayWebhook(params: { webhook: string } & ReplayBody, options?: RequestOptions): Promise<Replayed>;
  /** List the alerts that are firing. */
  listAlerts(params?: { all?: boolean }, options?: RequestOptions): Promise<AlertList>;
  /** List the rules with their thresholds, and what is muted. */
  listAlertRules(params?: {}, options?: RequestOptions): Promise<AlertRuleList>;
  /** Change a rule, or add one of a kind. */
  putAlertRule(params: { rule: string } & AlertRuleBody, options?: RequestOptions): Promise<AlertRuleShown>;
  /** Reset a rule to its default values, or remove one that was added. */
  resetAlertRule(params: { rule: string }, options?: RequestOptions): Promise<Done>;
  /** Mute a rule: its alerts are listed and logged as events, but not sent. */
  muteAlertRule(params: { rule: string } & MuteBody, options?: RequestOptions): Promise<MuteShown>;
  /** Unmute a rule; alerts that are firing are sent at once. */
  unmuteAlertRule(params: { rule: string } & UnmuteBody, options?: RequestOptions): Promise<Done>;
  /** List the targets of alerts, without secrets. */
  listAlertTargets(params?: {}, options?: RequestOptions): Promise<AlertTargetList>;
  /** Add a target of alerts, or change it. */
  putAlertTarget(params: { target: string } & AlertTargetBody, options?: RequestOptions): Promise<AlertTargetShown>;
  /** Remove a target; undelivered messages to it are dropped. */
  removeAlertTarget(params: { target: string }, options?: RequestOptions): Promise<Done>;
  /** Send a test message to a target, from the server; 409 says why it failed. */
  testAlertTarget(params: { target: string }, options?: RequestOptions): Promise<TestTaken>;
  /** Pause a target until it is resumed; undelivered messages to it are dropped. */
  pauseAlertTarget(params: { target: string }, options?: RequestOptions): Promise<AlertTargetShown>;
  /** Resume a target of alerts. */
  resumeAlertTarget(params: { target: string }, options?: RequestOptions): Promise<AlertTargetShown>;
  /** List archived jobs, newest first; a page scans at most 20 000 and may be short. */
  listArchived(params?: { task?: string; queue?: string; state?: "cancelled" | "completed" | "failed" | "skipped"; since?: string; until?: string; before?: string; limit?: number }, options?: RequestOptions): Promise<ListPage_ArchivedRowShown>;
  /** Show everything about an archived job or workflow. */
  showArchived(params: { archived_id: string }, options?: RequestOptions): Promise<ArchivedShown>;
  /** Bring archived jobs back, with every row as it was. */
  restoreArchived(params: RestoreBody, options?: RequestOptions): Promise<ArchiveMoved>;
  /** Delete archived jobs for good. */
  purgeArchived(params: ArchivePurgeBody, options?: RequestOptions): Promise<ArchiveMoved>;
  /** Show what retention has deleted and archived. */
  showArchiveStats(params?: {}, options?: RequestOptions): Promise<ArchiveStats>;
  /** Show how long ended jobs are kept. */
  listRetention(params?: {}, options?: RequestOptions): Promise<LifetimesList>;
  /** Set how long the ended jobs of a queue are kept; workers follow within a minute. */
  putRetention(params: { queue: string } & LifetimesBody, options?: RequestOptions): Promise<LifetimesShown>;
  /** Remove the lifetimes that were set for a queue. */
  resetRetention(params: { queue: string }, options?: RequestOptions): Promise<LifetimesShown>;
  /** Show the user of this request and what they may do. */
  showSession(params?: {}, options?: RequestOptions): Promise<SessionShown>;
  /** List the tokens. */
  listTokens(params?: {}, options?: RequestOptions): Promise<TokenList>;
  /** Create a token; its value is in this answer only. */
  createToken(params: NewToken, options?: RequestOptions): Promise<MadeToken>;
  /** Revoke a token. */
  revokeToken(params: { token_id: string }, options?: RequestOptions): Promise<Done>;
  /** List the changes that were made through the web, newest first. */
  listAudit(params?: { who?: string; before?: string; limit?: number }, options?: RequestOptions): Promise<ListPage_AuditShown>;
}

// A client of the REST API of hammerflow: an ES module for browsers and Node, without dependencies.
// The table at its end is made from the server's own: run python -m hammerflow.web.clients.

/** What the server has refused: the problem of RFC 9457, as an error. */
export class HammerflowError extends Error {
  /**
   * @param {number} status
   * @param {string} title
   * @param {string} detail
   */
  constructor(status, title, detail) {
    super(detail || title);
    this.name = 'HammerflowError';
    this.status = status;
    this.title = title;
  }
}

/** Seconds between two tries to open a stream again, at least and at most. */
const [SOON, LATE] = [0.5, 15];

export class HammerflowClient {
  /**
   * @param {string} base the address below which /api is; empty for the page's own.
   * @param {{token?: string, fetch?: typeof fetch}} options a token, for programs; a browser that is
   *   logged in needs none.
   */
  constructor(base = '', options = {}) {
    this.base = base.replace(/\/+$/, '');
    this.token = options.token;
    this.fetch = options.fetch ?? ((...given) => globalThis.fetch(...given));
  }

  /**
   * Send one request.
   *
   * @param {string} method
   * @param {string} path
   * @param {{query?: object, body?: any, key?: string, signal?: AbortSignal, headers?: object}} what
   *   key: sent as Idempotency-Key, so that a change which is sent again is done once.
   * @returns {Promise<any>} the answer: parsed JSON, or text.
   */
  async request(method, path, { query, body, key, signal, headers = {} } = {}) {
    const answer = await this.open(method, path, { query, body, key, signal, headers });
    const kind = answer.headers.get('content-type') ?? '';
    return kind.includes('json') ? answer.json() : answer.text();
  }

  /** As request, but gives the Response itself. */
  async open(method, path, { query, body, key, signal, headers = {} } = {}) {
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query ?? {})) {
      if (value !== undefined && value !== null) search.append(name, String(value));
    }
    const sent = { ...headers };
    if (this.token) sent.authorization = `Bearer ${this.token}`;
    if (method !== 'GET') sent['x-hammerflow'] = '1';
    if (body !== undefined) sent['content-type'] = 'application/json';
    if (key) sent['idempotency-key'] = key;
    const tail = search.size ? `?${search}` : '';
    const answer = await this.fetch(`${this.base}${path}${tail}`, {
      method, signal, headers: sent, body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (!answer.ok) {
      const problem = await answer.json().catch(() => ({}));
      throw new HammerflowError(
        answer.status, problem.title ?? answer.statusText, problem.detail ?? '',
      );
    }
    return answer;
  }

  /**
   * All items of a list that has pages: for await (const job of client.all('listJobs', {...})).
   *
   * @param {string} operation such as listJobs.
   * @param {object} params
   */
  async *all(operation, params = {}) {
    if (!OPERATIONS[operation]) throw new TypeError(`the server has no operation ${operation}`);
    const mark = OPERATIONS[operation][2].includes('before') ? 'before' : 'after';
    let next = params[mark];
    do {
      const page = await this[operation]({ ...params, [mark]: next });
      yield* page.items;
      next = page.next;
    } while (next !== null && next !== undefined);
  }

  /**
   * Events as they are logged, for as long as the loop goes on: each once and in order, also over
   * broken connections.
   *
   * @param {{after?: number, kinds?: string, queue?: string, task?: string, signal?: AbortSignal}}
   *   params
   */
  async *events({ after, signal, ...query } = {}) {
    let position = after;
    const open = () => this.#lines('/api/events/stream', { ...query, after: position }, signal);
    for await (const message of this.#messages(open, signal)) {
      if (message.id !== undefined) position = Number(message.id);
      if (message.event !== 'position') yield JSON.parse(message.data);
    }
  }

  /**
   * Hints at what has changed, at most one a second: {topics: [...], jobs: {...}, ...}.
   *
   * @param {{signal?: AbortSignal}} params
   */
  async *changes({ signal } = {}) {
    const open = () => this.#lines('/api/changes/stream', {}, signal);
    for await (const message of this.#messages(open, signal)) yield JSON.parse(message.data);
  }

  /**
   * What a job logs as it comes, each line once, until the job has ended or is parked: {attempt,
   * lease, missed, lines}, where missed lines before these were dropped.
   *
   * @param {{job_id: string, attempt?: number, signal?: AbortSignal}} params
   */
  async *logs({ job_id, attempt, signal }) {
    let after;
    const path = `/api/jobs/${inPath(job_id)}/logs/stream`;
    const open = () => this.#lines(path, { attempt, after }, signal);
    for await (const message of this.#messages(open, signal)) {
      after = message.id ?? after;
      if (message.event === 'end') return;
      yield JSON.parse(message.data);
    }
  }

  async *#messages(open, signal) {
    for (let pause = SOON; !signal?.aborted; pause = Math.min(pause * 2, LATE)) {
      try {
        let message = {};
        for await (const line of open()) {
          if (line === '') {
            if (message.data !== undefined) yield message;
            message = {};
            pause = SOON;
          } else if (!line.startsWith(':')) {
            const colon = line.indexOf(': ');
            message[line.slice(0, colon)] = line.slice(colon + 2);
          }
        }
      } catch (error) {
        if (signal?.aborted) return;
        if (error instanceof HammerflowError && error.status < 500) throw error;
      }
      await new Promise((go) => setTimeout(go, pause * 1000 * (0.5 + Math.random() / 2)));
    }
  }

  async *#lines(path, query, signal) {
    const answer = await this.open('GET', path, { query, signal });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    try {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        const lines = (text + value).split('\n');
        text = lines.pop();
        yield* lines;
      }
    } finally {
      await reader.cancel().catch(() => {});
    }
  }
}

// A name as a segment of a path; browsers drop the segments . and .., unless escaped by =.
const inPath = (name) => encodeURIComponent(/^(=|\.\.?$)/.test(name) ? `=${name}` : name);

// Method, path, names of the query, and whether there is a body.
const OPERATIONS = /* table */ {
  showOverview: ["GET", "/api/overview", [], false],
  showCounts: ["GET", "/api/counts", [], false],
  listJobs: ["GET", "/api/jobs", ["state", "queue", "task", "dependency_status", "error", "argument", "since", "until", "before", "limit"], false],
  enqueueJob: ["POST", "/api/jobs", [], true],
  showJob: ["GET", "/api/jobs/{job_id}", [], false],
  listChildren: ["GET", "/api/jobs/{job_id}/children", ["after", "limit"], false],
  cancelJob: ["POST", "/api/jobs/{job_id}/cancel", [], true],
  retryJob: ["POST", "/api/jobs/{job_id}/retry", [], false],
  explainJob: ["GET", "/api/jobs/{job_id}/explain", [], false],
  showStack: ["POST", "/api/jobs/{job_id}/stack", [], true],
  showDependencies: ["GET", "/api/jobs/{job_id}/dependencies", ["limit"], false],
  deleteJob: ["DELETE", "/api/jobs/{job_id}", ["whole"], false],
  editJob: ["PATCH", "/api/jobs/{job_id}", [], true],
  showLogs: ["GET", "/api/jobs/{job_id}/logs", ["attempt"], false],
  startOperation: ["POST", "/api/operations", [], true],
  listOperations: ["GET", "/api/operations", ["before", "limit"], false],
  showOperation: ["GET", "/api/operations/{operation_id}", [], false],
  stopOperation: ["POST", "/api/operations/{operation_id}/stop", [], false],
  undoOperationById: ["POST", "/api/operations/{operation_id}/undo", [], false],
  showSeries: ["GET", "/api/statistics", ["hours", "task", "queue"], false],
  listQueueStats: ["GET", "/api/queue-stats", ["hours", "task", "queue", "after", "limit"], false],
  listWorkflowStats: ["GET", "/api/workflow-stats", ["hours", "name"], false],
  listFailures: ["GET", "/api/failures", ["task", "error", "since"], false],
  listQueues: ["GET", "/api/queues", ["sort", "limit"], false],
  listQueueHealth: ["GET", "/api/queue-health", ["queue"], false],
  showQueue: ["GET", "/api/queues/{queue}", [], false],
  pauseQueue: ["POST", "/api/queues/{queue}/pause", [], true],
  resumeQueue: ["POST", "/api/queues/{queue}/resume", [], false],
  listTasks: ["GET", "/api/tasks", [], false],
  listTaskStats: ["GET", "/api/task-stats", ["hours", "queue"], false],
  showTask: ["GET", "/api/tasks/{task}", [], false],
  pauseTask: ["POST", "/api/tasks/{task}/pause", [], true],
  resumeTask: ["POST", "/api/tasks/{task}/resume", [], false],
  listPauses: ["GET", "/api/pauses", [], false],
  pauseApp: ["POST", "/api/app/pause", [], true],
  resumeApp: ["POST", "/api/app/resume", [], false],
  listLimits: ["GET", "/api/limits", ["task", "queue"], false],
  setLimit: ["PUT", "/api/limits/{target}", [], true],
  removeLimit: ["DELETE", "/api/limits/{target}", [], false],
  listWorkers: ["GET", "/api/workers", [], false],
  showWorker: ["GET", "/api/workers/{worker}", [], false],
  stopWorker: ["POST", "/api/workers/{worker}/stop", [], false],
  resizeWorker: ["POST", "/api/workers/{worker}/resize", [], true],
  listWorkflows: ["GET", "/api/workflows", ["status", "kind", "since", "until", "before", "limit"], false],
  createWorkflow: ["POST", "/api/workflows", [], true],
  listWorkflowShares: ["GET", "/api/workflow-shares", ["ids"], false],
  showWorkflow: ["GET", "/api/workflows/{workflow_id}", [], false],
  showWorkflowGraph: ["GET", "/api/workflows/{workflow_id}/graph", ["format", "max_nodes", "max_depth"], false],
  showWorkflowTimeline: ["GET", "/api/workflows/{workflow_id}/timeline", ["limit"], false],
  cancelWorkflow: ["POST", "/api/workflows/{workflow_id}/cancel", [], true],
  retryWorkflow: ["POST", "/api/workflows/{workflow_id}/retry", [], true],
  resumeWorkflow: ["POST", "/api/workflows/{workflow_id}/resume", [], false],
  skipWorkflowNode: ["POST", "/api/workflows/{workflow_id}/skip", [], true],
  listBatches: ["GET", "/api/batches", ["status", "before", "limit"], false],
  createBatch: ["POST", "/api/batches", [], true],
  showBatch: ["GET", "/api/batches/{batch_id}", [], false],
  listBatchCalls: ["GET", "/api/batches/{batch_id}/calls", ["state", "page"], false],
  retryBatch: ["POST", "/api/batches/{batch_id}/retry", [], false],
  cancelBatch: ["POST", "/api/batches/{batch_id}/cancel", [], true],
  listSpawnOperations: ["GET", "/api/spawn/operations", ["limit", "queue", "hours"], false],
  showSpawnStats: ["GET", "/api/spawn/stats", ["queue", "hours"], false],
  listPendingSpawners: ["GET", "/api/spawn/pending", ["limit"], false],
  showSpawnTree: ["GET", "/api/jobs/{job_id}/spawn-tree", ["format", "max_depth", "wide"], false],
  showLineage: ["GET", "/api/jobs/{job_id}/lineage", ["depth", "limit"], false],
  listSchedules: ["GET", "/api/schedules", ["state", "task", "queue", "after", "limit"], false],
  createSchedule: ["POST", "/api/schedules", [], true],
  explainCron: ["GET", "/api/cron", ["count", "after", "cron", "tz"], false],
  showSchedule: ["GET", "/api/schedules/{schedule}", ["ticks"], false],
  updateSchedule: ["PATCH", "/api/schedules/{schedule}", [], true],
  deleteSchedule: ["DELETE", "/api/schedules/{schedule}", [], false],
  showNextRuns: ["GET", "/api/schedules/{schedule}/next", ["count", "after"], false],
  pauseSchedule: ["POST", "/api/schedules/{schedule}/pause", [], true],
  resumeSchedule: ["POST", "/api/schedules/{schedule}/resume", [], false],
  runSchedule: ["POST", "/api/schedules/{schedule}/run", [], false],
  listEvents: ["GET", "/api/events", ["after", "kinds", "queue", "task", "limit"], false],
  listSinks: ["GET", "/api/sinks", [], false],
  showSink: ["GET", "/api/sinks/{sink}", ["parked"], false],
  putSink: ["PUT", "/api/sinks/{sink}", [], true],
  removeSink: ["DELETE", "/api/sinks/{sink}", [], false],
  pauseSink: ["POST", "/api/sinks/{sink}/pause", [], true],
  resumeSink: ["POST", "/api/sinks/{sink}/resume", [], false],
  testSink: ["POST", "/api/sinks/{sink}/test", [], false],
  rewindSink: ["POST", "/api/sinks/{sink}/rewind", [], true],
  listWebhooks: ["GET", "/api/webhooks", [], false],
  createWebhook: ["POST", "/api/webhooks", [], true],
  showWebhook: ["GET", "/api/webhooks/{webhook}", [], false],
  putWebhookByName: ["PUT", "/api/webhooks/{webhook}", [], true],
  removeWebhookByName: ["DELETE", "/api/webhooks/{webhook}", [], false],
  listWebhookDeliveries: ["GET", "/api/webhooks/{webhook}/deliveries", ["before", "limit"], false],
  rotateWebhook: ["POST", "/api/webhooks/{webhook}/rotate", ["signature"], false],
  enableWebhook: ["POST", "/api/webhooks/{webhook}/enable", [], false],
  disableWebhook: ["POST", "/api/webhooks/{webhook}/disable", [], true],
  testWebhook: ["POST", "/api/webhooks/{webhook}/test", [], false],
  replayWebhook: ["POST", "/api/webhooks/{webhook}/replay", [], true],
  listAlerts: ["GET", "/api/alerts", ["all"], false],
  listAlertRules: ["GET", "/api/alert-rules", [], false],
  putAlertRule: ["PUT", "/api/alert-rules/{rule}", [], true],
  resetAlertRule: ["DELETE", "/api/alert-rules/{rule}", [], false],
  muteAlertRule: ["POST", "/api/alert-rules/{rule}/mute", [], true],
  unmuteAlertRule: ["POST", "/api/alert-rules/{rule}/unmute", [], true],
  listAlertTargets: ["GET", "/api/alert-targets", [], false],
  putAlertTarget: ["PUT", "/api/alert-targets/{target}", [], true],
  removeAlertTarget: ["DELETE", "/api/alert-targets/{target}", [], false],
  testAlertTarget: ["POST", "/api/alert-targets/{target}/test", [], false],
  pauseAlertTarget: ["POST", "/api/alert-targets/{target}/pause", [], false],
  resumeAlertTarget: ["POST", "/api/alert-targets/{target}/resume", [], false],
  listArchived: ["GET", "/api/archive/jobs", ["task", "queue", "state", "since", "until", "before", "limit"], false],
  showArchived: ["GET", "/api/archive/jobs/{archived_id}", [], false],
  restoreArchived: ["POST", "/api/archive/restore", [], true],
  purgeArchived: ["POST", "/api/archive/purge", [], true],
  showArchiveStats: ["GET", "/api/archive/stats", [], false],
  listRetention: ["GET", "/api/retention", [], false],
  putRetention: ["PUT", "/api/retention/{queue}", [], true],
  resetRetention: ["DELETE", "/api/retention/{queue}", [], false],
  showSession: ["GET", "/api/session", [], false],
  listTokens: ["GET", "/api/tokens", [], false],
  createToken: ["POST", "/api/tokens", [], true],
  revokeToken: ["DELETE", "/api/tokens/{token_id}", [], false],
  listAudit: ["GET", "/api/audit", ["who", "before", "limit"], false],
};

for (const [name, [method, path, names, hasBody]] of Object.entries(OPERATIONS)) {
  HammerflowClient.prototype[name] = function (params = {}, options = {}) {
    const rest = { ...params };
    const where = path.replace(/\{(\w+)\}/g, (_, part) => {
      const value = rest[part];
      delete rest[part];
      if (value === undefined) throw new TypeError(`${name} needs ${part}`);
      return inPath(String(value));
    });
    if (hasBody) return this.request(method, where, { ...options, body: rest });
    const unknown = Object.keys(rest).filter((key) => !names.includes(key));
    if (unknown.length) throw new TypeError(`${name} does not know ${unknown.join(', ')}`);
    return this.request(method, where, { ...options, query: rest });
  };
}

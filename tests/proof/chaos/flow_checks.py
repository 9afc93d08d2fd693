"""Flow checks: unique keys, ticks, cancels, pauses and removal, once all is quiet."""

from __future__ import annotations

import bisect
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hammerflow.ids import name_id
from hammerflow.stores.pauses import PauseKind
from tests.acceptance.kit import Shop
from tests.acceptance.ledger import Run
from tests.proof.chaos.bodies import BEATS, BIN, RULES
from tests.proof.chaos.checker import ids, told
from tests.proof.chaos.flow import Answer, FlowLoad
from tests.proof.chaos.load import Load
from tests.stores.kit import as_bytes

__all__ = ["check_flow", "runs_by_tick", "told_of_ticks"]

_CANCELLED, _COMPLETED = 6, 4
#: The clock of the system and that of a database, which rounds.
_CLOCKS = 0.02
_SOLES = """
    SELECT j.id, t.name, j.args, j.created_at, d.started_at, d.finished_at, d.lease
    FROM {jobs} j JOIN {tasks} t ON t.id = j.task_id JOIN {done} d ON d.job_id = j.id
    WHERE t.name LIKE 'chaos.sole%'"""
_CLAIMED = """
    SELECT j.id, d.started_at, j.queue_id, j.task_id
    FROM {done} d JOIN {jobs} j ON j.id = d.job_id WHERE d.started_at IS NOT NULL"""
_TICKS = """
    SELECT s.name, k.tick, k.at, k.outcome, k.run, k.missed
    FROM {schedule_ticks} k JOIN {schedules} s ON s.id = k.schedule_id ORDER BY s.name, k.tick"""
_RUNS = """
    SELECT j.id, j.workflow_id, j.headers, j.created_at, d.started_at, d.finished_at
    FROM {jobs} j JOIN {done} d ON d.job_id = j.id WHERE j.headers LIKE '%"tick"%'"""
#: Columns that name jobs or workflows.
_NAMED = {
    "edges": ("parent_id", "child_id"), "nodes": ("workflow_id", "job_id"), "errors": ("job_id",),
    "job_logs": ("job_id",),
    "spawns": ("parent_id",), "progress": ("job_id",),
    "jobs": ("parent_id", "workflow_id", "dependent_id"),
}  # fmt: skip


class _Sole(NamedTuple):
    """A job with a unique key; times of the database's clock."""

    id: str
    key: str
    x: str
    created: float
    started: float | None  # its last attempt
    finished: float
    lease: int


class _Tick(NamedTuple):
    tick: float
    at: float
    outcome: str
    run: bytes | None
    missed: int


def check_flow(shop: Shop, flow: FlowLoad, load: Load) -> list[tuple[str, str]]:
    """(invariant, "ok" or what is wrong) for each."""
    runs = shop.ledger.runs()
    return [
        told("I11 one holder of a key", lambda: _holders(shop, flow)),
        told("I11 answers name a holder", lambda: _answers(shop, flow)),
        told("I11 the last call holds", lambda: _last_call(shop, flow, runs)),
        told("I11 no key outlives its job", lambda: _keys_left(shop)),
        told("I12 each tick once, none lost", lambda: _ticks(shop)),
        told("I12 overlap", lambda: _overlap(shop)),
        told("I17 a cancel holds", lambda: _cancels(shop, load, runs)),
        told("I20 no tick too early", lambda: _not_early(shop)),
        told("I22 the removed had ended", lambda: _removed(load, runs)),
        told("I22 what is needed stays", lambda: _needed(shop, flow, load)),
        told("I22 nothing names the removed", lambda: _orphans(shop, flow)),
        told("I23 nothing claimed in a pause", lambda: _pauses(shop, flow)),
    ]


# -- I11: unique keys


def _soles(shop: Shop) -> dict[str, dict[str, list[_Sole]]]:
    """By rule and key, in the order in which they were made."""
    found: dict[str, dict[str, list[_Sole]]] = {rule: defaultdict(list) for rule in RULES}
    for job, name, args, created, started, finished, lease in shop.desk.sql(_SOLES):
        key, x, *_ = shop.client.codec.decode(bytes(args))[0]
        sole = _Sole(
            as_bytes(job).hex(), key, x, _seconds(created),
            None if started is None else _seconds(started), _seconds(finished), lease,
        )  # fmt: skip
        found[name.partition("_")[2]][key].append(sole)
    for keys in found.values():
        for jobs in keys.values():
            jobs.sort(key=lambda sole: sole.created)
    return found


def _holders(shop: Shop, flow: FlowLoad) -> None:
    """At no moment two jobs hold a key. A job that was retried has held it twice: it is left out.

    When a key of some seconds was taken is not recorded: after ``asked``, before the job was made.
    """
    took = {a.job: a for a in flow.answers if a.is_new}
    for rule, keys in _soles(shop).items():
        for key, jobs in keys.items():
            kept = [sole for sole in jobs if sole.id not in flow.retried]
            for before, after in itertools.pairwise(kept):
                free = _free_at(rule, before, took.get(before.id))
                assert free is None or after.created >= free - 1e-3, (
                    f"{rule} {key}: {after.id} was made {free - after.created:.3f} s before "
                    f"{before.id} let go of the key"
                )


def _free_at(rule: str, sole: _Sole, answer: Answer | None) -> float | None:
    """When another job could take the key, at the earliest; None if that is not known."""
    period = RULES[rule].within if rule in ("throttle", "within") else None
    over = None
    if period is not None:
        if answer is None:
            return None
        over = sole.created + period - (answer.told - answer.asked) - _CLOCKS
    if rule == "throttle":
        return over
    if rule in ("started", "debounce"):
        end = sole.started if sole.lease == 1 else sole.finished if sole.lease == 0 else None
    else:
        end = sole.finished
    return end if over is None or end is None else min(over, end)


def _answers(shop: Shop, flow: FlowLoad) -> None:
    """A call that was not new names a job of its key that lived while it was asked; what was
    rolled back is not there."""
    soles = {
        s.id: (rule, s) for rule, k in _soles(shop).items() for jobs in k.values() for s in jobs
    }
    for answer in flow.answers:
        if answer.job is None:
            continue
        if answer.is_gone and answer.is_new:
            assert answer.job not in soles, f"{answer.job} was rolled back and is there"
            continue
        assert answer.job in soles, f"{answer} names no job"
        rule, sole = soles[answer.job]
        assert (rule, sole.key) == (answer.rule, answer.key), f"{answer} names {sole}"
        assert sole.created <= answer.told + _CLOCKS, f"{answer} names a later job"
        is_held = rule in ("reject", "return", "replace") and answer.job not in flow.retried
        if not answer.is_new and is_held:
            assert sole.finished >= answer.asked - _CLOCKS, f"{answer} names one that had ended"


def _last_call(shop: Shop, flow: FlowLoad, runs: Sequence[Run]) -> None:
    """A job has the arguments of a call that it was to take, and of no earlier one than the last
    that was answered before it started; those of a call that was rolled back never."""
    gone = {a.x for a in flow.answers if a.is_gone}
    ran = {run.args[1] for run in runs if run.task.startswith("sole")}
    assert not gone & ran, f"{len(gone & ran)} calls ran that were rolled back"
    unknown = {a.x for a in flow.answers if a.job is None}
    calls: defaultdict[str, list[Answer]] = defaultdict(list)
    for answer in flow.answers:
        if answer.job is not None and not answer.is_gone:
            calls[answer.job].append(answer)
    for rule, keys in _soles(shop).items():
        for sole in (sole for jobs in keys.values() for sole in jobs):
            mine = calls[sole.id] if rule in ("replace", "debounce") else [
                answer for answer in calls[sole.id] if answer.is_new
            ]  # fmt: skip
            has = next((answer for answer in mine if answer.x == sole.x), None)
            if has is None:
                assert not mine or sole.x in unknown, f"{rule}: {sole} has no call's arguments"
            elif sole.lease == 1 and sole.started is not None:
                late = [
                    a for a in mine
                    if a.asked > has.told and a.told < sole.started - _CLOCKS
                ]  # fmt: skip
                assert not late, f"{rule}: {sole} is of {has}, {late[-1]} came later"


def _keys_left(shop: Shop) -> None:
    rows = shop.desk.sql("SELECT ukey FROM {unique_keys} WHERE until IS NULL")
    assert not rows, f"{len(rows)} keys are held by nobody: {rows[:3]}"


# -- I12: schedules


def _ticks_of(shop: Shop) -> dict[str, list[_Tick]]:
    found: dict[str, list[_Tick]] = {name: [] for name in BEATS}
    for name, tick, at, outcome, run, missed in shop.desk.sql(_TICKS):
        id_ = None if run is None else as_bytes(run)
        found[name].append(_Tick(_seconds(tick), _seconds(at), outcome, id_, missed))
    return found


def _ticks(shop: Shop) -> None:
    """The rows of ticks are those of a slow oracle; each run is there, and no other of its tick."""
    made = [(as_bytes(row[0]), row[1], row[2]) for row in shop.desk.sql(_RUNS)]
    there = {job for job, _, _ in made} | {as_bytes(w) for _, w, _ in made if w is not None}
    by_tick = runs_by_tick(made)
    for name, ticks in _ticks_of(shop).items():
        every, options = BEATS[name]
        assert len(ticks) > 1, f"{name} has {len(ticks)} ticks"
        times = [tick.tick for tick in ticks]
        gaps = {(later - times[0]) % every for later in times}
        assert all(min(gap, every - gap) < 1e-3 for gap in gaps), f"{name} ticks between its ticks"
        due = round((times[-1] - times[0]) / every) + 1
        first = ticks[0].missed - 1 if ticks[0].outcome in ("missed", "paused") else 0
        dealt = sum(t.missed if t.outcome in ("missed", "paused") else 1 for t in ticks)
        assert dealt - first == due, f"{name}: {due} ticks were due, {dealt - first} dealt with"
        lost = [tick for tick in ticks if tick.outcome == "missed"]
        assert not lost or options["misfire"] != "all", f"{name} lost {lost}"
        runs = [tick.run for tick in ticks if tick.run is not None and tick.outcome != "duplicate"]
        assert len(runs) == len(set(runs)), f"{name}: two ticks have one run"
        assert name == "sole" or set(runs) <= there, f"{name}: {len(set(runs) - there)} runs lost"
        for tick in ticks:
            of_it = by_tick.pop((name, round(tick.tick, 6)), set())
            wanted = set() if tick.run is None or tick.outcome == "duplicate" else {tick.run}
            assert of_it == wanted, (
                f"{name} at {tick.tick}: {len(of_it)} runs, {tick.outcome}: "
                f"{sorted(id_.hex() for id_ in of_it)} instead of {[id_.hex() for id_ in wanted]}"
            )
    stray = [key for key in by_tick if key[1] == round(key[1])]  # run by hand: between two
    assert not stray, f"{len(stray)} runs of no tick: {stray[:3]}"


def runs_by_tick(rows: Iterable[tuple[bytes, Any, str]]) -> dict[tuple[str, float], set[bytes]]:
    """Jobs and workflows by the schedule and the time that their headers name, to the microsecond:
    a run by hand names the time at which it was made, which may be close to a tick.

    Args:
        rows: (job, its workflow or None, headers).
    """
    found: defaultdict[tuple[str, float], set[bytes]] = defaultdict(set)
    for job, workflow, text in rows:
        headers = json.loads(text)
        if headers["schedule"] in BEATS:
            at = round(datetime.fromisoformat(headers["tick"]).timestamp(), 6)
            found[headers["schedule"], at].add(job if workflow is None else as_bytes(workflow))
    return found


def _overlap(shop: Shop) -> None:
    """No run of ``alone`` and ``in line`` began before the one before it had ended."""
    rows = shop.desk.sql(_RUNS)
    spans = {as_bytes(row[0]): row for row in rows}
    for name in ("alone", "in line"):
        ran = [spans[t.run] for t in _ticks_of(shop)[name] if t.run in spans]
        for before, after in itertools.pairwise(ran):
            at = after[3] if name == "alone" else after[4]
            assert _seconds(at) >= _seconds(before[5]) - 1e-3, f"{name}: {after[0]} overlaps"


def _not_early(shop: Shop) -> None:
    """No tick is made before its time, and no run starts before it, its jitter included."""
    spread = shop.client.store.schedules.get("spread").definition
    starts = {as_bytes(row[0]): row[4] for row in shop.desk.sql(_RUNS)}
    for name, ticks in _ticks_of(shop).items():
        for tick in ticks:
            assert tick.at >= tick.tick - 1e-3, (
                f"{name}: the tick {tick.tick} was made at {tick.at}"
            )
            started = starts.get(tick.run or b"") if tick.outcome != "duplicate" else None
            due = tick.tick
            if name == "spread":
                at = datetime.fromtimestamp(due, UTC)
                due += spread.delay_of(name, at, at + timedelta(seconds=2)).total_seconds()
            assert started is None or _seconds(started) >= due - 2e-3, f"{name} {tick.tick}"


def told_of_ticks(shop: Shop, flow: FlowLoad) -> str:
    """What became of the ticks, and of what was removed, in one line."""
    ticks = [tick for ticks in _ticks_of(shop).values() for tick in ticks]
    late = sorted(tick.at - tick.tick for tick in ticks if tick.outcome != "paused")
    outcomes = dict(Counter(tick.outcome for tick in ticks))
    half, most = late[len(late) // 2], late[-1]
    return (
        f"ticks: {outcomes}, made {half:.2f} s late by the median and {most:.2f} s at most; unique "
        f"calls: {len(flow.answers)}; pauses: {len(flow.windows)}; removed: {flow.removed} jobs"
    )


# -- I17, I22, I23


def _cancels(shop: Shop, load: Load, runs: Sequence[Run]) -> None:
    """What a cancel was told is so in the end, and no later attempt starts; of a tree, each job."""
    states = {
        as_bytes(job): state for job, state in shop.desk.sql("SELECT job_id, state FROM {done}")
    }
    begun: defaultdict[bytes, list[Run]] = defaultdict(list)
    for run in runs:
        begun[bytes.fromhex(run.job)].append(run)
    below: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for job, root in shop.desk.sql("SELECT id, root_id FROM {jobs} WHERE root_id IS NOT NULL"):
        below[as_bytes(root)].append(as_bytes(job))
    for promise in (p for p in load.promises if p.kind.startswith("cancel ")):
        answers, at = promise.value
        if promise.kind == "cancel tree":
            whole = {*ids(promise), *below[ids(promise)[0]]}
            assert whole == set(answers), (
                f"{len(whole - set(answers))} of a tree were not cancelled"
            )
        for job, state in answers.items():
            wanted = {"completed": _COMPLETED, "failed": 5}.get(state, _CANCELLED)
            ended = states.get(job)
            assert ended == wanted, f"{promise.kind}: {job.hex()} told {state}, ended as {ended}"
            late = {run.lease for run in begun[job] if run.began > at}
            most = 1 if state == "running" else 0  # one that was claimed may just begin
            assert len(late) <= most, f"{promise.kind}: {job.hex()}, told {state}, began after it"


def _removed(load: Load, runs: Sequence[Run]) -> None:
    """Each job of the bin that was acknowledged came to its end, whatever was removed meanwhile."""
    ended = {(run.task, json.dumps(run.args)) for run in runs if run.ended is not None}
    wanted = {(p.value[0], json.dumps(p.value[1])) for p in load.promises if p.kind == "bin"}
    assert wanted <= ended, f"{len(wanted - ended)} have not ended: {sorted(wanted - ended)[:3]}"


def _needed(shop: Shop, flow: FlowLoad, load: Load) -> None:
    assert not flow.too_soon, f"{len(flow.too_soon)} were removed before their dependents ended"
    states = _states(shop)
    wrong = [id_ for p in load.promises if p.kind == "needed" for id_ in ids(p)]
    wrong = [id_ for id_ in wrong if states.get(id_) != _COMPLETED]
    assert not wrong, f"{len(wrong)} dependents of the removed have not completed"


def _orphans(shop: Shop, flow: FlowLoad) -> None:
    """Also after all of the bin was removed: all that it held has ended."""
    flow.purge(0.0)
    left = shop.desk.sql(f"SELECT count(*) FROM {{jobs}} WHERE queue_id = {name_id(BIN)}")[0][0]
    assert left == 0, f"{left} jobs cannot be removed"
    there = set(shop.desk.ids("SELECT id FROM {jobs}"))
    there |= set(shop.desk.ids("SELECT id FROM {workflows}"))
    for table, columns in _NAMED.items():
        for column in columns:
            rows = shop.desk.ids(f"SELECT {column} FROM {{{table}}} WHERE {column} IS NOT NULL")
            gone = set(rows) - there
            assert not gone, f"{len(gone)} ids in {table}.{column} are of nothing"


def _pauses(shop: Shop, flow: FlowLoad) -> None:
    claims: defaultdict[tuple[PauseKind, int], list[float]] = defaultdict(list)
    for _, started, queue, task in shop.desk.sql(_CLAIMED):
        at = _seconds(started)
        for place in ((PauseKind.APP, 0), (PauseKind.QUEUE, queue), (PauseKind.TASK, task)):
            claims[place].append(at)
    for times in claims.values():
        times.sort()
    for window in flow.windows:
        times = claims[window.kind, name_id(window.name) if window.kind else 0]
        inside = bisect.bisect_left(times, window.until) - bisect.bisect_right(times, window.since)
        assert inside <= 0, f"{inside} jobs were claimed while {window.kind.label(window.name)}"


def _states(shop: Shop) -> dict[bytes, int]:
    rows = shop.desk.sql("SELECT job_id, state FROM {done}")
    return {as_bytes(job): state for job, state in rows}


def _seconds(instant: Any) -> float:
    """A time of the database: SQLite has numbers, MariaDB times without a zone."""
    if isinstance(instant, float | int):
        return float(instant)
    return float((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp())

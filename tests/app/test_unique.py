"""Unique jobs: which calls are the same work, and what becomes of a second one."""

from __future__ import annotations

import functools
import pickle
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hammerflow import (
    ConfigError,
    Hammerflow,
    HammerflowError,
    JobState,
    NotUnique,
    UniqueKey,
    Workflow,
    WorkflowInvalid,
    chain,
    chord,
    current_job,
    group,
)
from hammerflow.errors import NotEncodable
from hammerflow.testing import drain

RETURN = UniqueKey(on_conflict="return_existing")
#: Values that are all different work, whatever a database's collation says.
DIFFERENT = [
    1, 1.0, True, None, "1", "a", "A", "a ", "\u00e9", "e\u0301", b"a", [1], (1,), {"id": 1},
    {"id": 1, "extra": 2}, uuid.UUID(int=1), datetime(2026, 1, 1, tzinfo=UTC), timedelta(1),
]  # fmt: skip


def declared(app: Hammerflow, rule: UniqueKey, **options: Any) -> Any:
    @app.task(unique=rule, **options)
    def sync(customer: Any = None, page: int = 1, *, full: bool = False) -> Any:
        return [customer, page, full]

    return sync


def test_only_equal_arguments_are_the_same_work(app: Hammerflow) -> None:
    sync = declared(app, RETURN)

    results = [sync.delay(value) for value in DIFFERENT]
    again = app.enqueue_many([sync.s(value) for value in reversed(DIFFERENT)])

    assert len({result.id for result in results}) == len(DIFFERENT)
    assert [result.id for result in again] == [result.id for result in reversed(results)]
    assert not any(result.is_new for result in again)


def test_tasks_with_long_names_that_begin_alike_share_no_key(app: Hammerflow) -> None:
    tasks = [app.task(lambda x: x, name="n" * 250 + end, unique=UniqueKey()) for end in "ab"]
    assert [task.delay(1).is_new for task in tasks] == [True, True]


def test_names_places_defaults_and_order_make_no_difference(app: Hammerflow) -> None:
    sync = declared(app, RETURN)
    first = sync.delay({"a": 1, "b": {"x", "y", "z"}, 3: 4})

    equal = [
        sync.delay({3: 4, "b": {"z", "y", "x"}, "a": 1}),
        sync.delay(customer={"b": {"y", "x", "z"}, "a": 1, 3: 4}),
        sync.delay({"a": 1, "b": {"x", "y", "z"}, 3: 4}, 1, full=False),
    ]

    assert {result.id for result in equal} == {first.id}
    assert sync.delay({"a": 1, "b": {"x", "y", "z"}, 3: 4}, 2).is_new


@pytest.mark.parametrize(
    ("by", "same", "other"),
    [
        ("customer", (7, 2), (8, 1)),
        (("customer", "page"), (7, 1), (7, 2)),
        (lambda customer, page=1, full=False: customer % 2, (9, 1), (8, 1)),
    ],
)
def test_a_rule_may_compare_a_part(app: Hammerflow, by: Any, same: Any, other: Any) -> None:
    sync = declared(app, UniqueKey(by=by, on_conflict="return_existing"))
    first = sync.delay(7)

    assert sync.delay(*same).id == first.id
    assert sync.delay(*other).is_new


def traced(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator, whose wrapper shows no names of arguments."""

    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize("is_traced", [False, True])
def test_no_argument_is_left_out_of_the_key(app: Hammerflow, is_traced: bool) -> None:
    def sync(*args: Any, **options: Any) -> None: ...
    def load(args: int, page: int = 1) -> None: ...

    def task(fn: Any, by: Any) -> Any:
        rule = UniqueKey(by=by, on_conflict="return_existing")
        return app.task(name=f"{fn.__name__} {by}", unique=rule)(traced(fn) if is_traced else fn)

    everything, by_page, pages = task(sync, "args"), task(sync, "page"), task(load, "args")
    assert everything.delay(1, page=2).id == everything.delay(1, page=2).id
    assert everything.delay(1, page=3).is_new
    assert everything.delay(2, page=2).is_new
    assert by_page.delay(1, page=2).id == by_page.delay(3, page=2).id
    assert by_page.delay(1, page=3).is_new
    assert pages.delay(1).id == pages.delay(args=1, page=1).id
    assert pages.delay(1, 2).is_new


def test_names_that_a_decorator_hides_are_not_guessed(app: Hammerflow) -> None:
    @app.task(unique=UniqueKey(by="customer"))
    @traced
    def sync(customer: int) -> None: ...

    with pytest.raises(ConfigError, match="has args, kwargs. Its decorator hides the names: give"):
        sync.delay(7)
    assert sync.delay(customer=7).is_new


def test_a_rejected_call_names_the_holder(app: Hammerflow) -> None:
    sync = declared(app, UniqueKey())
    first = sync.delay(7)

    with pytest.raises(NotUnique, match=r"\(ready\) holds the unique key") as caught:
        sync.delay(7)
    with pytest.raises(NotUnique), app.transaction():
        sync.delay(8)
        sync.options(priority=4).delay(8)
    copy = pickle.loads(pickle.dumps(caught.value))

    assert (copy.existing, copy.state, copy.key) == (first.id, "ready", caught.value.key)
    assert isinstance(copy, HammerflowError)
    assert [job.id for job in app.jobs()] == [first.id]
    drain(app)
    assert sync.delay(7).is_new


def test_a_list_says_which_calls_were_new(app: Hammerflow) -> None:
    for rule in (UniqueKey(), RETURN):
        sync = declared(app, rule, name=f"sync {rule.on_conflict}")
        held = sync.delay("b")

        results = app.enqueue_many([sync.s(c) for c in "abac"])

        assert [result.is_new for result in results] == [True, False, False, True]
        assert results[1].id == held.id
        assert results[2].id == results[0].id
        assert [result.is_new for result in results[1:3]] == [False, False]


def test_a_key_is_held_until_the_end_and_no_longer(app: Hammerflow) -> None:
    @app.task(unique=RETURN, max_attempts=2, backoff=lambda attempt: 3600, result_ttl=86400)
    def flaky(x: int) -> int:
        if app.job(first.id).attempt == 1:
            raise ValueError("not yet")
        return x

    first = flaky.delay(1)
    drain(app)
    assert first.state is JobState.SCHEDULED  # a retry
    assert flaky.delay(1).id == first.id
    with app.transaction() as tx:
        tx.execute("UPDATE hammerflow_scheduled SET run_at = " + _epoch(app))
    drain(app)

    assert first.state is JobState.COMPLETED
    assert flaky.delay(1).is_new


def _epoch(app: Hammerflow) -> str:
    return {
        "sqlite": "0", "postgres": "to_timestamp(0)", "mysql": "'1970-01-01 00:00:01'"
    }[app.store.dialect]  # fmt: skip


def test_a_key_until_the_start_is_free_while_its_job_runs_or_waits_to_run_again(
    app: Hammerflow,
) -> None:
    rule = UniqueKey(for_states="until_started", on_conflict="return_existing")
    twins = []

    @app.task(unique=rule, max_attempts=2, backoff=lambda attempt: 3600)
    def index(page: int) -> None:
        twins.append(index.delay(page) if page < 2 else None)
        if page == 1:
            raise ValueError("try again")

    first = index.delay(1)
    assert index.delay(1).id == first.id
    drain(app, limit=1)

    assert twins[0].is_new
    assert first.state is JobState.SCHEDULED
    assert index.delay(1).id == twins[0].id  # the retry has no part in it
    twins[0].cancel()
    first.cancel()
    again = index.delay(1)
    assert again.is_new
    first.retry()  # a key that was free once is not taken again
    assert index.delay(1).id == again.id


def test_a_cancelled_job_and_a_throttle_that_is_over_free_their_keys(app: Hammerflow) -> None:
    sync = declared(app, RETURN)
    first = sync.delay(1)
    first.cancel()
    second = sync.delay(1)
    assert second.is_new
    with pytest.raises(HammerflowError, match=f"held by job {second.id}"):
        first.retry()
    second.cancel()
    first.retry()

    ping = declared(app, UniqueKey(on_conflict="throttle", within=60), name="ping")
    held = ping.delay(1)
    drain(app)
    assert ping.delay(1).id == held.id  # though it has ended
    _shift_keys(app, 59)
    assert app.store.expiry.drop_keys() == 0
    assert not ping.delay(1).is_new
    _shift_keys(app, 2)
    later = ping.delay(1)
    assert later.is_new
    assert ping.delay(1).id == later.id
    _shift_keys(app, 61)
    assert app.store.expiry.drop_keys() == 1


def test_within_bounds_how_long_a_key_is_held(app: Hammerflow) -> None:
    sync = declared(app, UniqueKey(on_conflict="return_existing", within=timedelta(minutes=1)))
    stuck = sync.delay(1)
    _shift_keys(app, 61)
    second = sync.delay(1)

    assert second.is_new
    stuck.cancel()  # frees nothing that the second one holds
    assert sync.delay(1).id == second.id


def test_a_key_whose_time_is_over_holds_up_no_replay(app: Hammerflow) -> None:
    rule = UniqueKey(on_conflict="return_existing", within=timedelta(minutes=1))

    @app.task(unique=rule, max_attempts=1)
    def sync(customer: int) -> None:
        raise ValueError(customer)

    first = sync.delay(1)
    drain(app)
    second = sync.delay(1)
    with pytest.raises(HammerflowError, match="is held by job"):
        first.retry()
    assert f"once job {second.id}, which holds its unique key" in first.explain()
    _shift_keys(app, 61)
    assert "once job" not in first.explain()
    first.retry()
    assert sync.delay(1).id == first.id
    second.cancel()
    assert sync.delay(1).id == first.id


def _shift_keys(app: Hammerflow, seconds: float) -> None:
    """Let time pass for the keys."""
    expression = {
        "sqlite": "{} - {}", "postgres": "{} - {} * interval '1 second'",
        "mysql": "TIMESTAMPADD(SECOND, -{1}, {0})",
    }[app.store.dialect]  # fmt: skip
    columns = [f"{c} = {expression.format(c, seconds)}" for c in ("until", "latest")]
    with app.transaction() as tx:
        tx.execute(f"UPDATE hammerflow_unique_keys SET {', '.join(columns)}")


def _shift_jobs(app: Hammerflow, seconds: float) -> None:
    expression = {
        "sqlite": "run_at - {}", "postgres": "run_at - {} * interval '1 second'",
        "mysql": "TIMESTAMPADD(SECOND, -{}, run_at)",
    }[app.store.dialect]  # fmt: skip
    with app.transaction() as tx:
        tx.execute(f"UPDATE hammerflow_scheduled SET run_at = {expression.format(seconds)}")


def test_a_replaced_call_keeps_its_job_and_runs_with_the_last_arguments(app: Hammerflow) -> None:
    rule = UniqueKey(by="customer", on_conflict="replace")
    sync = declared(app, rule)
    first = sync.delay(7, 1)

    second = sync.options(delay=3600, headers={"h": 1}).delay(7, 2)
    assert (second.id, second.is_new, first.state) == (first.id, False, JobState.SCHEDULED)
    third = sync.delay(7, 3)
    assert first.state is JobState.READY
    listed = app.enqueue_many([sync.s(8, 1), sync.s(8, 2), sync.s(7, 4)])
    drain(app)

    assert third.get(timeout=0) == [7, 4, False]
    assert [result.get(timeout=0) for result in listed] == [[8, 2, False]] * 2 + [[7, 4, False]]
    assert [result.is_new for result in listed] == [True, False, False]
    assert len(app.jobs()) == 2


def test_a_replaced_call_is_limited_and_takes_turns_by_its_last_arguments(app: Hammerflow) -> None:
    options: dict[str, Any] = {"max_concurrency": 1, "limit_key": "owner"}

    @app.task(
        name="both", unique=UniqueKey("item", on_conflict="replace"), fair_by="owner", **options
    )
    def both(item: int, owner: str) -> str:
        return owner

    @app.task(name="one", unique=UniqueKey("item", on_conflict="replace"), **options)
    def one(item: int, owner: str) -> str:
        return owner

    for task in (both, one):
        ready, later = task.delay(1, "ann"), task.options(delay=60).delay(2, "ann")
        Workflow("w").add(task.s(3, "ann")).then(task.si(4, "ann")).enqueue()
        (waiting,) = app.jobs(state=JobState.WAITING)
        (bulk, _) = app.enqueue_many([task.s(5, "ann"), task.s(5, "bob")])
        for item in (1, 2, 4):
            assert not task.delay(item, "bob").is_new
        fair = "bob" if task is both else None
        for job in (ready, later, waiting, bulk):
            assert app.store.limits.keys(job.id.bytes) == ("bob", fair)
        drain(app)
    owners = [app.result(job.id).get(timeout=0) for job in app.jobs(state=JobState.COMPLETED)]
    assert sorted(owners) == ["ann"] * 2 + ["bob"] * 8


def test_a_running_job_is_not_replaced(app: Hammerflow) -> None:
    found = []

    @app.task(unique=UniqueKey(by="customer", on_conflict="replace"))
    def sync(customer: int, page: int) -> int:
        found.extend(sync.delay(customer, page + n) for n in range(1, 4))
        return page

    first = sync.delay(7, 1)
    drain(app)

    assert [(result.id, result.is_new) for result in found] == [(first.id, False)] * 3
    assert first.get(timeout=0) == 1
    assert len(app.jobs()) == 1


def test_a_debounced_job_runs_after_the_last_call_with_its_arguments(app: Hammerflow) -> None:
    """Calls at 0, 3, 6, 9 and 12 s, a delay of 5 s, 10 s at most: runs at 10 s and at 17 s."""
    rule = UniqueKey(by="customer", on_conflict="debounce", within=5, max_wait=10)
    sync = declared(app, rule)
    results = []
    for second in (0, 3, 6, 9):
        results.append(sync.delay(7, second))
        due = results[0].job().run_at
        assert due is not None
        left = due.timestamp() - app.store.clock()
        assert left == pytest.approx(min(5, 10 - second), abs=1.5)
        _shift_jobs(app, 3)
        _shift_keys(app, 3)
    assert {result.id for result in results} == {results[0].id}

    drain(app)  # at 12 s
    assert results[0].get(timeout=0) == [7, 9, False]
    last = sync.delay(7, 12)
    assert last.is_new
    _shift_jobs(app, 6)
    drain(app)
    assert last.get(timeout=0) == [7, 12, False]


def test_no_time_of_a_call_debounces_for_longer_than_max_wait(app: Hammerflow) -> None:
    rule = UniqueKey(by="customer", on_conflict="debounce", within=5, max_wait=10)
    sync = declared(app, rule)

    def far() -> Any:
        return sync.options(eta=datetime.now(UTC) + timedelta(minutes=1))

    plain, late = sync.options(delay=5), sync.options(delay=60)
    for customer, (one, two) in enumerate(
        [(late, None), (far(), None), (plain, late), (plain, far())]
    ):
        first = one.delay(customer)
        if two is not None:
            _shift_keys(app, 3)
            assert not two.delay(customer, 2).is_new
        due = first.job().run_at
        assert due is not None
        wanted = 10 if two is None else 7
        assert due.timestamp() - app.store.clock() == pytest.approx(wanted, abs=1.5)
    soon = datetime.now(UTC) + timedelta(seconds=3)
    last = sync.options(eta=soon).delay(9)
    assert last.job().run_at == soon
    _shift_keys(app, 11)
    far().delay(9)
    assert last.job().state == "ready"


def test_members_of_workflows_hold_keys_and_calls_that_take_results_have_none(
    app: Hammerflow,
) -> None:
    sync = declared(app, RETURN)
    first = app.enqueue(Workflow("w").add(sync.s(1)))
    with pytest.raises(WorkflowInvalid, match="a workflow's node cannot be left out"):
        app.enqueue(Workflow("w").add(sync.s(1)))
    assert not sync.delay(1).is_new

    both = [app.enqueue(chain(sync.si(n), sync.s())) for n in (2, 3)]
    drain(app)

    assert [result.get(timeout=0)[0] for result in both] == [[2, 1, False], [3, 1, False]]
    assert first.get(timeout=0)


def test_children_whose_key_is_held_are_left_out(app: Hammerflow) -> None:
    sync = declared(app, UniqueKey())
    held = sync.options(delay=3600).delay(1)

    @app.spawner(then=declared(app, RETURN, name="total").s())
    def spread(count: int) -> Any:
        for n in range(count):
            yield sync.s(n % 2)

    spread.delay(3)
    drain(app)

    jobs = app.jobs(task=sync.name)
    assert len(jobs) == 2
    assert held.state is JobState.SCHEDULED
    assert len(app.jobs(task="total", state=JobState.COMPLETED)) == 1


def test_nothing_waits_for_a_child_that_was_left_out(app: Hammerflow) -> None:
    """Neither siblings that depend on it, nor those behind it in the order of a batch_size, which
    are as many at a time as ever, nor a canvas."""
    sync = declared(app, UniqueKey())
    held = sync.options(delay=3600).delay(0)

    @app.task(name="end")
    def end(*results: Any) -> None: ...

    @app.spawner(name="in lanes", batch_size=2)
    def in_lanes() -> Any:
        for n in (0, 1, 2, 0, 3, 4, 5):
            yield sync.s(n)

    @app.spawner(name="in order", then=end.s())
    def in_order() -> Any:
        yield (missing := sync.s(0))
        yield end.s().depends_on(missing)
        yield sync.s(0) | group(end.si(), end.si())
        yield chord([sync.s(0), end.si()], end.s())

    lanes = in_lanes.delay()
    drain(app, limit=1)
    assert len(app.jobs(state=JobState.READY)) == 2
    drain(app)
    order = in_order.delay()
    drain(app)
    assert [job.id for job in app.jobs() if not job.state.is_final] == [held.id]
    assert [str(each.status()) for each in app.workflows()] == ["completed"] * 2
    runs = app.store.spawns.runs([lanes.id.bytes, order.id.bytes])
    assert [run.spawned for run in runs.values()] == [5, 5]


def test_a_replacement_does_not_wait_for_a_call_that_was_left_out(app: Hammerflow) -> None:
    sync = declared(app, UniqueKey())
    held = sync.options(delay=3600).delay(0)

    @app.task(name="end")
    def end(*results: Any) -> str:
        return "end"

    @app.task(name="swap")
    def swap(how: int) -> None:
        missing = sync.s(0)
        calls = [missing | end.si(), group([missing, end.si(1)]), chord([missing], end.s())]
        current_job().replace(calls[how])

    results = [swap.delay(how) for how in range(3)]
    drain(app)
    assert [result.get(timeout=0) for result in results] == ["end", [None, "end"], "end"]
    assert [job.id for job in app.jobs() if not job.state.is_final] == [held.id]


def test_a_conflict_with_an_open_transaction_waits_for_its_end(app: Hammerflow) -> None:
    sync = declared(app, RETURN)
    found: list[Any] = []
    entered = threading.Event()

    def second() -> None:
        entered.set()
        found.append(sync.delay(1))

    thread = threading.Thread(target=second)
    with pytest.raises(ZeroDivisionError), app.transaction():
        doomed = sync.delay(1)
        thread.start()
        assert entered.wait(30)
        raise ZeroDivisionError
    thread.join(60)

    assert found[0].is_new
    assert found[0].id != doomed.id
    assert app.job(found[0].id).state is JobState.READY


@pytest.mark.parametrize("on_conflict", ["return_existing", "replace", "debounce"])
def test_many_clients_at_once_make_one_job(app: Hammerflow, on_conflict: str) -> None:
    """Two lists in opposite order and single calls: no deadlock reaches a caller."""
    rule = UniqueKey(by="customer", on_conflict=on_conflict, within=3600)
    sync = declared(app, rule)
    found: list[Any] = []
    errors: list[BaseException] = []
    start = threading.Barrier(6)

    def client(number: int) -> None:
        order = range(5) if number % 2 else reversed(range(5))
        try:
            start.wait(30)
            if number < 4:
                found.extend(app.enqueue_many([sync.s(c, number) for c in order]))
            else:
                found.extend(sync.delay(c, number) for c in order)
        except BaseException as error:  # noqa: BLE001 - asserted below
            errors.append(error)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert errors == []
    assert len(app.jobs()) == len({result.id for result in found}) == 5
    assert sum(result.is_new for result in found) == 5


def test_async_calls_obey_the_rule(app: Hammerflow) -> None:
    import asyncio

    sync = declared(app, UniqueKey())

    async def main() -> None:
        first = await sync.adelay(1)
        with pytest.raises(NotUnique) as caught:
            await sync.adelay(1)
        assert caught.value.existing == first.id
        async with app.transaction():
            assert (await sync.options(unique=RETURN).adelay(1)).id == first.id

    asyncio.run(main())


REFUSED: dict[str, tuple[Callable[[Hammerflow], Any], str]] = {
    "rule": (lambda app: UniqueKey(on_conflict="ignore"), "must be one of reject"),
    "async": (lambda app: UniqueKey(by=_async), "neither async nor a generator"),
    "nothing": (lambda app: UniqueKey(by=()), "the name of an argument"),
    "throttle": (lambda app: UniqueKey(on_conflict="throttle"), "throttle needs a period"),
    "wait": (lambda app: UniqueKey(max_wait=5), 'goes with on_conflict="debounce"'),
    "name": (
        lambda app: declared(app, UniqueKey(by=("full", "custmer"))),
        r"by \('full', 'custmer'\) names 'custmer', but .* did you mean 'customer'\? it",
    ),
    "name of a call": (
        lambda app: declared(app, RETURN).options(unique=UniqueKey(by="nobody")),
        r"sync.options\(\): unique: by 'nobody' names 'nobody', but",
    ),
    "other function": (
        lambda app: declared(app, UniqueKey(by=lambda order: order.id)),
        r"by must be a function that takes .*, \(customer, page, full\), but it takes \(order\)",
    ),
    "fails": (
        lambda app: declared(app, UniqueKey(by=lambda *a, **k: 1 / 0)).delay(1),
        "its function failed for this call: ZeroDivisionError",
    ),
    "delay": (
        lambda app: declared(app, UniqueKey(on_conflict="debounce")).delay(1),
        "a debounced call needs a delay",
    ),
    "both": (
        lambda app: declared(app, RETURN).options(unique=RETURN, unique_key="k"),
        "either unique_key or unique",
    ),
    "text": (lambda app: declared(app, "args"), "unique must be a UniqueKey"),
}


async def _async(*args: Any) -> None: ...


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_a_rule_is_refused(case: str) -> None:
    give, words = REFUSED[case]
    app = Hammerflow("shop", database="sqlite:///never.db")
    with pytest.raises(ConfigError, match=words):
        give(app)


def test_a_value_that_cannot_be_encoded_is_named(app: Hammerflow) -> None:
    sync = declared(app, UniqueKey(by=lambda *a, **k: object()))
    with pytest.raises(NotEncodable, match="unique key"):
        sync.delay(1)


def test_an_explicit_key_still_overrules_the_tasks_rule(app: Hammerflow) -> None:
    sync = declared(app, UniqueKey())
    first = sync.apply_async((1,), unique_key="k")
    assert sync.apply_async((2,), unique_key="k").id == first.id
    assert sync.delay(1).is_new

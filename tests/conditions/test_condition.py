"""Conditions: values, refusals, absorbed errors, bounds, and what users' classes cannot do."""

from __future__ import annotations

import enum
import re
from collections import Counter, deque
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hammerflow.codec.codec import Codec
from hammerflow.conditions import evaluator
from hammerflow.conditions.evaluator import compile_condition
from hammerflow.errors import ConditionError

RESULTS = {
    "a": {"status": "valid", "n": 4, "x": 1.5, "tags": ["p", "q"], "none": None, "in": {"k": 1}},
    "b": [1, 2, 3],
    "my-node": {"status": "ok"},
}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("a.status == 'valid'", True),
        ('a.status != "valid"', False),
        ("a.n > 3 && a.x < 2", True),
        ("a.n > 3 and not a.x < 1 or False", True),
        ("!(a.n == 4)", False),
        ("not a.n == 5", True),
        ("'p' in a.tags", True),
        ("'z' not in a.tags", True),
        ("'status' in a", True),
        ("b[0] + b[1] * 2 == 5", True),
        ("-7 / 2 == -3 && -7 % 2 == -1 && 7 / -2 == -3", True),
        ("a.n == 4.0 && 1 < 1.5", True),
        ("a.none == null && a.none == None", True),
        ("a.status == null", False),
        ("a.status == a.n", False),
        ("has(a.status) && !has(a.missing)", True),
        ("size(b) == 3 && size('abc') == 3", True),
        ("a.status.startsWith('va') && a.status.endsWith('id')", True),
        ("a.status.contains('ali')", True),
        ("deps['my-node'].status == 'ok' && deps[\"b\"][2] == 3", True),
        ("b == [1, 2, 3] && a['n'] == 4", True),
        ("{'k': 1} == a['in'] && {'k': 2} != a['in']", True),
        ("a.n > 3 ? a.x > 1 : a.missing", True),
        ("a.missing || true", True),
        ("b[9] == 1 && false", False),
        ("int('7') == 7 && double(2) == 2.0 && string(7) == '7'", True),
        (r"'\x41\u0042\103\n' == 'ABC' + '\n'", True),
    ],
)
def test_a_condition_has_its_value(source: str, value: bool) -> None:
    assert compile_condition(source, list(RESULTS)).evaluate(RESULTS) is value


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("", "expected a value, got the end"),
        ("'a'", "a condition must be a bool, not string"),
        ("1 + 2", "must be a bool, not int"),
        ("'a' < 1", "string < int is not defined"),
        ("'a' == 1", "compares two types"),
        ("c.x == 1", "known are: 'a', 'b', 'my-node'"),
        ("deps['c'].x == 1", "'c' is not a dependency"),
        ("deps == 1", "deps is read as"),
        ("eval('1')", "no function 'eval'"),
        ("a.upper()", "no method 'upper'"),
        ("size()", "takes 1 argument, not 0"),
        ("has(a)", "takes a field"),
        ("a = 1", "character 3: write =="),
        ("1 < 2 < 3", "do not chain"),
        ("a.n == 'x", "not closed"),
        ("a.n == 99999999999999999999", "64 bits"),
        ("a.n // 2 == 1", "expected a value, got '/'"),
        ("(" * 1000, "nested more than"),
        ("true || " * 300 + "true", "at most 2000 characters"),
    ],
)
def test_a_wrong_condition_is_refused_when_compiled(source: str, text: str) -> None:
    with pytest.raises(ConditionError) as caught:
        compile_condition(source, list(RESULTS))
    assert text in str(caught.value)


UTC_ZONE = datetime(2025, 1, 1, tzinfo=ZoneInfo("UTC"))


class Color(enum.Enum):
    RED = 1


class Liar:
    def __eq__(self, other: object) -> bool:
        raise AssertionError("called")

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        raise AssertionError("called")


@pytest.mark.parametrize(
    ("source", "result", "text"),
    [
        ("missing == 1", {"k": 1}, "there is no field 'missing'"),
        ("k / 0 == 1", {"k": 1}, "division by zero (with k = 1)"),
        ("k", {"k": "x"}, "expected a bool, got string"),
        ("k * k > 0", {"k": 2**62}, "64 bits"),
        ("k < 1", {"k": "x"}, "string < int is not defined"),
        ("k == 1", {"k": Liar()}, "class 'Liar'"),
        ("k == 1", 7, "int has no field 'k'"),
        ("n[k] == 1", [1], "list has no field 'k'"),
        ("size(k + k) > 0", {"k": "x" * 600_000}, "+ would make more than"),
        ("k && true", {"k": 1}, "expected a bool, got int"),
    ],
)
def test_an_evaluation_that_fails_says_why(source: str, result: Any, text: str) -> None:
    with pytest.raises(ConditionError) as caught:
        compile_condition(source, ["n"]).evaluate({"n": result})
    assert text in str(caught.value)
    assert len(str(caught.value)) < 1_000


@dataclass
class Report:
    status: str
    color: Color
    sizes: deque[int]


@pytest.mark.parametrize("serializer", ["msgpack", "json"])
@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("check.status == 'ok'", True),
        ("status == 'ok' && size(check['report'].sizes) == 2", True),
        ("check.report.status == 'fine' && has(check.report.status)", True),
        ("has(check.report.missing)", False),
        ("check.report.sizes[1] == 2 && check.counts.a == 2", True),
        ("check.report.color == 'RED'", "cannot compare values of class 'Color': compare a field"),
        ("check.report == 1 || check.zone == 1", "cannot compare values of class 'Report'"),
        (
            "check.report.missing",
            "no field 'missing' (with check = {'status': 'ok', 'report': <Rep",
        ),
    ],
)
def test_a_condition_reads_what_it_names(serializer: str, source: str, value: bool | str) -> None:
    app = Codec(serializer)
    app.register(Color)
    app.register(Report)
    report = Report("fine", Color.RED, deque([1, 2]))
    stored = app.encode(
        {"status": "ok", "report": report, "counts": Counter("aa"), "zone": UTC_ZONE}
    )
    results = {"check": Codec().decode_opaque(stored)}
    condition = compile_condition(source, ["check"])
    if isinstance(value, str):
        with pytest.raises(ConditionError, match=re.escape(value)):
            condition.evaluate(results)
    else:
        assert condition.evaluate(results) is value


PIECES = ["a", "b.", "[", "]", "(", ")", "'x'", "1", "+", "&&", "!", "?", ":", "in", "-"]


@given(st.text(max_size=60) | st.lists(st.sampled_from(PIECES)))
def test_garbage_raises_nothing_else(text: Any) -> None:
    source = text if isinstance(text, str) else " ".join(text)
    try:
        assert type(compile_condition(source, ["a", "b"]).evaluate(RESULTS)) is bool
    except ConditionError:
        pass


INTS = st.integers(0, 99).map(lambda n: (str(n), n))
BOOLS = st.booleans().map(lambda b: (str(b).lower(), b))
SUMS = st.recursive(
    INTS,
    lambda inner: st.builds(
        lambda x, op, y: (f"({x[0]} {op} {y[0]})", x[1] + y[1] if op == "+" else x[1] - y[1]),
        inner,
        st.sampled_from("+-"),
        inner,
    ),
    max_leaves=8,
)
TESTS = BOOLS | st.builds(lambda x, y: (f"{x[0]} < {y[0]}", x[1] < y[1]), SUMS, SUMS)
TREES = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        st.builds(lambda x, y: (f"({x[0]}) && ({y[0]})", x[1] and y[1]), inner, inner),
        st.builds(lambda x, y: (f"({x[0]}) or ({y[0]})", x[1] or y[1]), inner, inner),
        inner.map(lambda x: (f"!({x[0]})", not x[1])),
    ),
    max_leaves=8,
)


@given(TREES)
def test_an_expression_has_the_value_it_was_built_with(tree: tuple[str, bool]) -> None:
    if len(tree[0]) <= 2_000:
        assert compile_condition(tree[0], []).evaluate({}) is tree[1]


def test_the_steps_of_one_evaluation_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator, "MAX_STEPS", 100)
    huge = {"n": list(range(200))}
    with pytest.raises(ConditionError, match="more than 100 values"):
        compile_condition("-1 in n || true", ["n"]).evaluate(huge)


def test_deep_results_are_compared_without_recursion() -> None:
    deep: list[Any] = []
    for _ in range(50_000):
        deep = [deep]
    assert compile_condition("n == n", ["n"]).evaluate({"n": deep})

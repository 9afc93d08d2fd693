"""The description of the API holds: whatever it allows is answered as it says."""

from __future__ import annotations

import httpx
import hypothesis
import pytest
import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

from hammerflow import Hammerflow
from hammerflow.web.openapi import describe
from hammerflow.web.routes import ROUTES
from tests.web.conftest import TOKEN

#: Requests to each route, of which every second is wrong on purpose.
_EXAMPLES = 5


@pytest.mark.slow
def test_each_route_answers_as_it_is_described(
    busy: Hammerflow, admin: httpx.Client, pytestconfig: pytest.Config,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """What is right by the description may still not fit a task's signature or a job's state: that
    is the one check left out."""
    count = 200 if pytestconfig.getoption("--whole") else _EXAMPLES
    schema = schemathesis.openapi.from_url(str(admin.base_url.join("/api/openapi.json")))
    tried, share = 0, ("sqlite", "postgres", "mysql").index(busy.store.dialect)
    streams = {route.path for route in ROUTES if route.is_stream}  # these do not end
    found = [one.ok() for one in schema.get_all_operations()]
    operations = [one for one in found if one.path not in streams]
    if not pytestconfig.getoption("--whole"):  # each database has a third of the routes
        operations = operations[share::3]
    for operation in operations:

        @hypothesis.settings(
            max_examples=count, deadline=None, database=None, derandomize=True,
            phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )  # fmt: skip
        @hypothesis.given(case=operation.as_strategy())
        def one(case: schemathesis.Case) -> None:
            nonlocal tried
            tried += 1
            case.call_and_validate(
                headers={"Authorization": TOKEN}, excluded_checks=[positive_data_acceptance]
            )

        one()
    assert tried > len(operations) * count / 3
    said = [one.getMessage() for one in caplog.records if one.name.startswith("hammerflow.web")]
    assert said == []


def test_every_route_is_described_once() -> None:
    document = describe(ROUTES, title="shop", version="1")
    names = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert len(names) == len(set(names)) == len(ROUTES)
    for route in ROUTES:
        operation = document["paths"][route.path][route.method.lower()]
        assert operation["summary"].endswith("."), route.name
        assert operation["x-role"] == route.role.label

"""What `job show` says of unique keys."""

from __future__ import annotations

from hammerflow import Hammerflow, UniqueKey
from tests.cli.conftest import Run, claim


def test_job_show_names_the_key_and_its_holder(run: Run, shop: Hammerflow) -> None:
    rule = UniqueKey(for_states="until_started", on_conflict="return_existing")
    add = shop.tasks["shop.add"].options(unique=rule)
    first = add.delay(1, 2)
    alone = run("job", "show", str(first.id)).out
    claim(shop)
    second = add.delay(1, 2)
    started = run("job", "show", str(first.id)).out
    second.cancel()

    assert second.is_new and "(held by this job)" in alone
    assert f"(held by job {second.id})" in started
    assert "(free)" in run("job", "show", str(first.id)).out
    assert run("job", "show", str(first.id), "--json").json["unique_holder"] is None

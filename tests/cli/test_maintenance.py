"""``hammerflow maintenance``: check, vacuum, analyze and reindex."""

from __future__ import annotations

import pytest

from hammerflow import Hammerflow
from hammerflow.settings import parse_url
from tests.cli.conftest import WORKER, Run, claim
from tests.stores.kit import open_raw


def sql(app: Hammerflow, text: str) -> None:
    raw = open_raw(app.settings.database)
    cursor = raw.cursor()
    cursor.execute(text)
    raw.close()


def test_damage_is_shown_mended_and_gone(run: Run, shop: Hammerflow) -> None:
    shop.tasks["shop.add"].delay(1, 2)
    sound = run("maintenance", "check")
    claim(shop)
    sql(shop, "DELETE FROM hammerflow_leases")

    found = run("maintenance", "check")
    asked = run("maintenance", "check", "--fix")
    fixed = run("maintenance", "check", "--fix", "--yes", "--json")
    after = run("maintenance", "check", "--json")

    assert (sound.code, sound.out) == (0, "the tables are sound\n")
    assert found.code == 1 and "jobs_without_state" in found.out
    assert "1 row that cannot be; look at them, then run it with --fix" in found.err
    assert "mend 1 row (jobs_without_state): give --yes" in asked.err
    assert fixed.code == 0 and fixed.json["findings"][0]["mended"] == 1
    assert after.json == {"findings": []}
    assert run("job", "list", "--json").json[0]["reason"].startswith("no_state: ")


@pytest.mark.parametrize("verb", ["vacuum", "analyze", "reindex"])
def test_tables_are_kept_in_shape(run: Run, shop: Hammerflow, verb: str) -> None:
    shop.tasks["shop.add"].delay(1, 2)
    is_file = verb == "vacuum" and shop.store.dialect == "sqlite"
    chosen = [] if is_file else ["--table", "ready", "--table", "jobs"]

    trial = run("maintenance", verb, "--dry-run", *chosen)
    done = run("maintenance", verb, *chosen, *(["--yes"] if verb == "vacuum" else []))
    as_json = run("maintenance", verb, *chosen, *(["--yes"] if verb == "vacuum" else []), "--json")

    names = ["the file"] if is_file else ["ready", "jobs"]
    assert trial.out == f"would {verb} {', '.join(names)}\n"
    assert [line.partition(":")[0] for line in done.out.splitlines()] == names
    assert [step["table"] or "the file" for step in as_json.json["tables"]] == names
    assert len(claim(shop)) == 1


def test_sqlite_asks_before_it_stops_writers(run: Run, embedded_shop: Hammerflow) -> None:
    embedded_shop.store.workers.leave(WORKER)

    assert "for which all writers wait" in run("maintenance", "vacuum").err
    assert "leave --table out" in run("maintenance", "vacuum", "--table", "jobs").err


def test_who_may_not_is_told_so_in_one_sentence(
    run: Run, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAMMERFLOW_DATABASE_URL", postgres_url)
    run("migrate")
    name = parse_url(postgres_url).redacted.rpartition("/")[2].partition("?")[0]
    raw = open_raw(postgres_url)
    role = f"clerk_{name}"
    raw.execute(f"CREATE ROLE {role}")
    raw.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
    raw.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    try:
        mark = "&" if "?" in postgres_url else "?"
        ended = run(
            "--database", f"{postgres_url}{mark}options=-c%20role%3D{role}", "maintenance", "vacuum"
        )
    finally:
        raw.execute(f"DROP OWNED BY {role}")
        raw.execute(f"DROP ROLE {role}")
        raw.close()

    assert ended.code == 1 and "only their owner may vacuum them" in ended.err


@pytest.mark.parametrize("verb", ["vacuum", "analyze", "reindex"])
def test_who_may_only_read_mariadb_is_told_so(
    run: Run, mariadb_url: str, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setenv("HAMMERFLOW_DATABASE_URL", mariadb_url)
    run("migrate")
    url = parse_url(mariadb_url)
    raw = open_raw(mariadb_url)
    cursor = raw.cursor()
    cursor.execute(f"CREATE USER clerk_{verb}@'%' IDENTIFIED BY 'pen'")
    cursor.execute(f"GRANT SELECT ON {url.database}.* TO clerk_{verb}@'%'")
    try:
        reader = f"mysql://clerk_{verb}:pen@{url.host}:{url.port}/{url.database}"
        ended = run(
            "--database", reader, "maintenance", verb, "--yes" if verb == "vacuum" else "--json"
        )
    finally:
        cursor.execute(f"DROP USER clerk_{verb}@'%'")
        raw.close()

    assert ended.code == 1, ended
    assert "may not" in ended.err or "denied" in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.slow
def test_doctor_advises_to_vacuum(run: Run, postgres_url: str) -> None:
    run("--database", postgres_url, "migrate")
    raw = open_raw(postgres_url)
    raw.execute("ALTER TABLE hammerflow_tasks SET (autovacuum_enabled = off)")
    raw.execute("INSERT INTO hammerflow_tasks SELECT i, 't' || i FROM generate_series(1, 60000) i")
    raw.execute("DELETE FROM hammerflow_tasks")
    raw.execute("SELECT pg_stat_force_next_flush()")
    raw.close()

    checks = run("--database", postgres_url, "doctor", "--json").json["checks"]

    (check,) = [each for each in checks if each["name"] == "upkeep"]
    assert "60,000 dead rows" in check["says"]
    assert "maintenance vacuum --table tasks" in check["advice"]

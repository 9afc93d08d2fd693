"""What a worker and the bodies of its jobs log, as text and as JSON."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hammerflow import Result
from hammerflow.worker.logs import configure_fallback, facts
from tests.acceptance.kit import Shop, Worker

_CODE = """
import asyncio, logging, threading
from hammerflow import Hammerflow

app = Hammerflow("logs"{settings})
log = logging.getLogger("shop.mail")
{configuration}
release = threading.Event()

def note(word):
    log.warning("said %s", word)

@app.task(name="sync")
def sync():
    note("sync")

@app.task(name="threads")
def threads():
    thread = threading.Thread(target=note, args=["thread"])
    thread.start()
    thread.join()
    def outlive():
        release.wait()
        note("outlived")
    threading.Thread(target=outlive, name="outlives").start()

@app.task(name="later")
def later():
    note("later")
    release.set()
    for thread in threading.enumerate():
        if thread.name == "outlives":
            thread.join()

@app.task(name="raises", max_attempts=1)
def raises():
    try:
        {{}}["key"]
    except KeyError:
        log.exception("said traceback")
    print("printed as it is")
    raise ValueError("no")

@app.task(name="owns", in_transaction=True)
def owns():
    from hammerflow import current_job
    note("transaction")
    current_job().connection.cursor()

@app.task(name="coroutine")
async def coroutine(word):
    await asyncio.sleep(0.01)
    note(word)
    await asyncio.to_thread(note, word + "-in-thread")
"""


def _worker(
    shop: Shop,
    folder: Path,
    *arguments: str,
    settings: str = "",
    configuration: str = "",
    **env: Any,
) -> Worker:
    code = _CODE.format(settings=settings, configuration=configuration)
    (folder / "logs_app.py").write_text(code)
    return shop.worker(*arguments, children=1, app="logs_app:app", folder=folder, **env)


def _run(shop: Shop, task: str, *args: Any) -> Result[Any]:
    result = shop.client.enqueue(shop.client.signature(task, args))
    result.wait(timeout=15)
    return result


def _run_all(shop: Shop) -> dict[str, Result[Any]]:
    """The jobs by the word that their bodies log."""
    jobs = {"sync": _run(shop, "sync"), "thread": _run(shop, "threads")}
    jobs["later"] = _run(shop, "later")
    jobs["traceback"] = _run(shop, "raises")
    jobs["transaction"] = _run(shop, "owns")
    for word in ("one", "two"):
        jobs[word] = jobs[f"{word}-in-thread"] = _run(shop, "coroutine", word)
    return jobs


@pytest.mark.parametrize("form", ["text", "json"])
def test_each_line_of_a_body_names_its_job(sqlite_shop: Shop, tmp_path: Path, form: str) -> None:
    worker = _worker(sqlite_shop, tmp_path, "--log-format", form)
    jobs = _run_all(sqlite_shop)
    assert worker.stop() == 0
    text = worker.log.replace("printed as it is\n", "")
    lines = _parse_json(text) if form == "json" else _parse_text(text)

    said = {
        line["message"].removeprefix("said "): line for line in lines if "said" in line["message"]
    }
    assert said.keys() == {*jobs, "outlived"}
    for word, job in jobs.items():
        line = said[word]
        assert (line["job"], line["attempt"]) == (str(job.id), "1"), word
        assert line["task"] == job.job().task
        assert (line["logger"], line["level"]) == (
            "shop.mail",
            "error" if word == "traceback" else "warning",
        )
    assert "job" not in said["outlived"], "the thread of a job that has ended belongs to no job"
    assert "KeyError: 'key'" in said["traceback"]["traceback"]
    (failed,) = [line for line in lines if line["message"] == "job failed"]
    assert (failed["job"], failed["task"]) == (str(jobs["traceback"].id), "raises")
    utc = timedelta(0) if form == "json" else datetime.now().astimezone().utcoffset()
    assert {datetime.fromisoformat(line["at"]).utcoffset() for line in lines} == {utc}


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_text_of_a_job_reaches_the_terminal_or_forges_a_line(
    monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(logging, "lastResort", None)
    configure_fallback(form)
    hostile = (
        "a\x1b[2J\x07\x9b\u202e\ud800\x7f\r\n2026-11-26T01:00:00.000+00:00 INFO worker[1] forged"
    )
    try:
        raise ValueError(hostile)
    except ValueError:
        values = {
            "name": "shop",
            "msg": hostile,
            "exc_info": sys.exc_info(),
            **facts(error=hostile, word=hostile[:5]),
        }
    record = logging.makeLogRecord(values)

    written = logging.lastResort.format(record)  # type: ignore[union-attr]

    head, *rest = written.split("\n")
    assert all(line.isprintable() for line in (head, *rest))
    assert all(line.startswith("  ") for line in rest)
    if form == "json":
        assert json.loads(written)["error"] == hostile
    else:
        assert r"a\x1b[2J\x07\x9b\u202e\ud800\x7f" in head
        assert rest[0].endswith("INFO worker[1] forged")


class Order:
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    ("message", "args", "shown"),
    [
        ("shipped %s", (Order(),), "shipped %s (‹Order: repr failed›,)"),
        (Order(), (), "‹Order: repr failed› ()"),
        ("%d pieces", ("many",), "%d pieces ('many',)"),
    ],
)
def test_a_message_that_cannot_be_written_is_shown_in_parts(
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    message: object,
    args: tuple[object, ...],
    shown: str,
) -> None:
    monkeypatch.setattr(logging, "lastResort", None)
    monkeypatch.setattr(Order, "__repr__", Order.__str__)
    configure_fallback(form)
    record = logging.makeLogRecord({"name": "shop", "msg": message, "args": args})

    written = logging.lastResort.format(record)  # type: ignore[union-attr]

    assert (json.loads(written)["message"] if form == "json" else written).endswith(shown)


def _parse_json(text: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in text.splitlines()]
    return [{**line, "attempt": str(line.get("attempt"))} for line in lines]


def _parse_text(text: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    pattern = re.compile(r"(\S+T\S+) ([A-Z]+) ([\w.]+)\[\d+\] (.*?)((?: \w+=(?:\"[^\"]*\"|\S+))*)")
    for row in text.splitlines():
        found = pattern.fullmatch(row)
        if found is None:
            lines[-1]["traceback"] = lines[-1].get("traceback", "") + row
            continue
        at, level, logger, message, tail = found.groups()
        fields = dict(re.findall(r"(\w+)=(\"[^\"]*\"|\S+)", tail))
        head = {"at": at, "level": level.lower(), "logger": logger, "message": message}
        lines.append(head | fields)
    return lines


_OWN = """
import logging.config
logging.config.dictConfig({
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"job": {"()": "hammerflow.worker.logs.JobContextFilter"}},
    "formatters": {"line": {"format": "own|%(message)s|%(task)s|%(job)s|%(attempt)s"}},
    "handlers": {
        "out": {"class": "logging.StreamHandler", "filters": ["job"], "formatter": "line"},
    },
    "root": {"handlers": ["out"], "level": "INFO"},
})
log.info("said import")
"""


@pytest.mark.parametrize(
    "how",
    [
        {"configure_logging": "0"},
        {"arguments": ["--no-configure-logging"]},
        {"settings": ", configure_logging=False"},
    ],
)
def test_the_apps_own_configuration_is_kept_when_told_so(
    sqlite_shop: Shop, tmp_path: Path, how: dict[str, Any]
) -> None:
    arguments = how.get("arguments", [])
    given = {key: value for key, value in how.items() if key != "arguments"}
    with _worker(sqlite_shop, tmp_path, *arguments, configuration=_OWN, **given) as worker:
        job, coroutine = _run(sqlite_shop, "sync"), _run(sqlite_shop, "coroutine", "one")

    own = [line for line in worker.log.splitlines() if "said" in line]
    assert own == [
        "own|said import|-|-|-",
        f"own|said sync|sync|{job.id}|1",
        f"own|said one|coroutine|{coroutine.id}|1",
        f"own|said one-in-thread|coroutine|{coroutine.id}|1",
    ]
    assert "INFO worker[" in worker.log, "the supervisor does not import the app"


def test_basic_config_of_the_app_is_kept_when_told_so(sqlite_shop: Shop, tmp_path: Path) -> None:
    basic = "logging.basicConfig(format='basic|%(message)s')"
    with _worker(sqlite_shop, tmp_path, configuration=basic, configure_logging=0) as worker:
        _run(sqlite_shop, "sync")

    assert "basic|said sync\n" in worker.log


@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        ("logging.basicConfig(filename='own.log')", "FileHandler"),
        (_OWN.replace("False", "True"), "undid disable_existing_loggers for hammerflow's loggers;"),
        (_OWN + "logging.disable(logging.CRITICAL)", "undid logging.disable(CRITICAL);"),
    ],
)
def test_by_default_the_worker_replaces_the_apps_configuration(
    sqlite_shop: Shop, tmp_path: Path, configuration: str, said: str
) -> None:
    with _worker(sqlite_shop, tmp_path, configuration=f"import logging\n{configuration}") as worker:
        job = _run(sqlite_shop, "sync")

    assert "WARNING logs" in worker.log
    assert "replaced the root logger's handlers; --no-configure-logging keeps them" in worker.log
    assert said in worker.log
    assert "imported the app tasks=" in worker.log
    if "disable_existing_loggers" not in said:  # those of the app are its own business
        assert f"said sync job={job.id} task=sync attempt=1\n" in worker.log
    assert "own|said sync" not in worker.log


def test_a_log_file_of_the_app_is_written_when_told_so(sqlite_shop: Shop, tmp_path: Path) -> None:
    file = "logging.basicConfig(filename='own.log', level='INFO')"
    arguments = ["--no-configure-logging"]
    with _worker(sqlite_shop, tmp_path, *arguments, configuration=file) as worker:
        _run(sqlite_shop, "sync")

    assert "said sync" in (tmp_path / "own.log").read_text()
    assert "said sync" not in worker.log

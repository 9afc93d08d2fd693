"""The JavaScript client: made from the table, served, and used against a live server."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from hammerflow import Hammerflow
from hammerflow.events.filter import EventFilter
from hammerflow.testing import drain
from hammerflow.web import clients
from hammerflow.web.access import Role
from hammerflow.web.api import Api
from hammerflow.web.client import Client, ClientError
from hammerflow.web.routes import ROUTES
from hammerflow.web.typed_api import python_names, python_types
from tests.web.conftest import ODD_NAMES

CHECK = Path(__file__).with_name("client_check.mjs")


def test_what_is_shipped_is_made_from_the_table() -> None:
    text = clients.CLIENT.read_text(encoding="utf-8")
    assert text == clients.javascript(text), "run python -m hammerflow.web.clients"
    types = clients.TYPES.read_text(encoding="utf-8")
    assert types == clients.types(), "run python -m hammerflow.web.clients"
    text = clients.API.read_text(encoding="utf-8")
    assert text == python_names(text), "run python -m hammerflow.web.clients"
    stub = clients.API_TYPES.read_text(encoding="utf-8")
    assert stub == python_types(), "run python -m hammerflow.web.clients"
    for route in ROUTES:
        assert route.is_stream or f"  {route.name}(params" in types


@pytest.fixture
def migrated_url(sqlite_url: str) -> str:
    """One database is enough here: what differs between them is tested below the web."""
    app = Hammerflow("shop", database=sqlite_url)
    app.migrate()
    app.close()
    return sqlite_url


@pytest.fixture
def token(busy: Hammerflow) -> str:
    busy.store.sinks.put("log", "none", {}, EventFilter.of(kinds=["*"]), by="test")
    options = {"sees_values": True, "expires_in": None, "by": "test"}
    return busy.store.access.create("ci", Role.ADMIN, **options)[1]  # type: ignore[arg-type]


@pytest.fixture
def url(busy: Hammerflow) -> object:
    from starlette.requests import Request

    from hammerflow.web.access import Principal
    from hammerflow.web.application import create_application
    from hammerflow.web.tokens import TokenCheck, TokenLogin
    from tests.web.conftest import served

    async def nobody(request: Request) -> Principal | None:
        return None

    login = TokenLogin(TokenCheck(busy.store.access), nobody)
    with served(create_application(busy, authorize=login.authorize, title="shop")) as address:
        yield address


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_javascript_client_reads_changes_and_follows(
    busy: Hammerflow, url: str, token: str, tmp_path: Path
) -> None:
    served = httpx.get(f"{url}/client/hammerflow-client.js")
    assert served.headers["content-type"].startswith("text/javascript")
    copy = tmp_path / "hammerflow-client.mjs"
    copy.write_bytes(served.content)
    busy.store.names.register(queues=ODD_NAMES)
    given = ["node", str(CHECK), str(copy), url, token, json.dumps(ODD_NAMES)]
    ran = subprocess.run(given, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {
        "jobs": 2, "all": len(busy.jobs(limit=100)) - 1, "once": True, "call": "(41)",
        "paused": True, "refused": [True, 404],
        "unknown": "listJobs does not know stat", "events": ["queue.paused", "queue.resumed"],
        "topics": ["all"], "names": [*ODD_NAMES],
    }  # fmt: skip


@pytest.mark.skipif(shutil.which("tsc") is None, reason="needs tsc: npm install -g typescript")
def test_the_types_of_typescript_hold(tmp_path: Path) -> None:
    """What is right is accepted, and what is wrong is not: @ts-expect-error says where."""
    for file in (clients.CLIENT, clients.TYPES, CHECK.with_name("client_types.ts")):
        shutil.copy(file, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    options = ["--strict", "--noEmit", "--target", "es2022", "--lib", "es2022,dom",
               "--module", "nodenext"]  # fmt: skip
    ran = subprocess.run(
        ["tsc", *options, "client_types.ts"], cwd=tmp_path, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout


def test_the_typed_python_client_calls_each_operation(
    busy: Hammerflow, url: str, token: str
) -> None:
    api = Api(url, token=token)
    made = api.enqueue_job(task="shop.resize", args=[41], key="a")
    assert api.enqueue_job(task="shop.resize", args=[41], key="a") == made
    assert api.show_job(job_id=made["id"])["call"] == "(41)"
    assert api.pause_queue(queue="default", reason="test")["is_paused"]
    assert api.list_jobs(state="ready", limit=1)["items"][0]["queue"] == "default"
    with pytest.raises(ClientError, match="there is no webhook") as refused:
        api.show_webhook(webhook="none")
    assert refused.value.status == 404
    with pytest.raises(TypeError, match="listJobs does not know stat"):
        api.list_jobs(stat="ready")  # type: ignore[call-arg]
    for route in ROUTES:
        assert route.is_stream or callable(getattr(Api, route.handler.__name__))
        assert route.is_stream or api.operations[route.name][:2] == (route.method, route.path)


def test_the_clients_follow_a_log_to_its_end(
    busy: Hammerflow, url: str, token: str, tmp_path: Path
) -> None:
    @busy.task(name="shop.talk", keep_logs="always")
    def talk(count: int) -> None:
        for number in range(count):
            logging.getLogger("shop").warning("line %d", number)

    job = talk.delay(150)
    drain(busy)
    expected = [f"line {number}" for number in range(150)]
    told = [line["message"] for some in Api(url, token=token).logs(str(job.id))
            for line in some["lines"]]  # fmt: skip
    assert told == expected
    with pytest.raises(ClientError, match="no job has"):
        next(Api(url, token=token).logs("01930000"))
    if shutil.which("node") is None:
        return
    copy = tmp_path / "hammerflow-client.mjs"
    copy.write_bytes(clients.CLIENT.read_bytes())
    program = """
        const [base, token, job_id] = process.argv.slice(1);
        const { HammerflowClient } = await import(process.env.CLIENT);
        const told = [];
        for await (const some of new HammerflowClient(base, { token }).logs({ job_id })) {
          told.push(...some.lines.map((line) => line.message));
        }
        console.log(JSON.stringify(told));
    """
    given = ["node", "--input-type=module", "-e", program, "--", url, token, str(job.id)]
    environment = {**os.environ, "CLIENT": str(copy)}
    ran = subprocess.run(
        given, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == expected


def test_the_python_client_reads_changes_and_follows(
    busy: Hammerflow, url: str, token: str
) -> None:
    client = Client(url, token=token)
    assert len([*client.all("listJobs", limit=2)]) == len(busy.jobs(limit=100))
    call = {"task": "shop.resize", "args": [41]}
    first, again = (client.call("enqueueJob", key="a", **call) for _ in range(2))
    assert first == again
    assert client.call("showJob", job_id=first["id"])["call"] == "(41)"
    busy.store.names.register(queues=ODD_NAMES)
    for name in ODD_NAMES:
        assert client.call("showQueue", queue=name)["name"] == name
    with pytest.raises(ClientError, match="there is no queue") as refused:
        client.call("showQueue", queue="nope")
    assert refused.value.status == 404
    with pytest.raises(TypeError, match="listJobs does not know stat"):
        client.call("listJobs", stat="ready")
    with pytest.raises(TypeError, match="the server has no operation listJob"):
        next(client.all("listJob"))
    with pytest.raises(ValueError, match="must begin with http:// or https://, not 'shop:80'"):
        Client("shop:80")
    client.call("pauseQueue", queue="default", reason="test")
    events = client.events(after=0, kinds="queue.*")
    assert next(events)["kind"] == "queue.paused"
    events.close()

"""The files that the documents show and no test can run: units, manifests, container files."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from hammerflow.cli import hammerflow
from hammerflow.worker.supervisor.health import Health
from tests.docs.pages import PAGES, Block, blocks_of

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
GRACE = 30  # of `hammerflow worker`
INSTRUCTIONS = {"CMD", "COPY", "ENV", "FROM", "RUN", "STOPSIGNAL", "USER", "WORKDIR"}


def _shown(*languages: str) -> pytest.MarkDecorator:
    found = [block for block in BLOCKS if block.language in languages]
    return pytest.mark.parametrize("block", found, ids=lambda block: block.place)


@_shown("ini")
def test_a_unit_is_understood(block: Block, tmp_path: Path) -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(block.text)
    for name, program in unit.items():
        if name.startswith("program:"):  # of supervisord; test_deployment.py runs it
            assert int(program["stopwaitsecs"]) > _check(shlex.split(program["command"]))
            return
    service = unit["Service"]

    assert {"Unit", "Service", "Install"} <= {*unit.sections()}
    assert int(service["TimeoutStopSec"]) > _check(shlex.split(service["ExecStart"]))
    if verify := shutil.which("systemd-analyze"):
        path = tmp_path / (block.file_name or "a.service")
        path.write_text(block.text)
        subprocess.run([verify, "verify", str(path)], check=True)


@_shown("dockerfile")
def test_a_container_file_is_understood(block: Block) -> None:
    lines = [line.split(maxsplit=1) for line in block.text.splitlines() if not line.startswith("#")]

    assert lines[0][0] == "FROM"
    assert {instruction for instruction, _ in lines} <= INSTRUCTIONS
    commands = [json.loads(rest) for instruction, rest in lines if instruction == "CMD"]
    assert [_check(command) for command in commands] == [GRACE]


@_shown("yaml")
def test_manifests_have_their_shape(block: Block) -> None:
    documents = list(yaml.safe_load_all(block.text))

    assert documents
    for manifest in documents:
        if "kind" in manifest:
            _check_manifest(manifest)


@_shown("json")
def test_json_is_json(block: Block) -> None:
    assert json.loads(block.text)


@_shown("console")
def test_every_command_has_the_options_that_are_shown(block: Block) -> None:
    for command in re.findall(r"(?:^\$ |\()(hammerflow .*?)(?:\)|\||$)", block.text, re.MULTILINE):
        _check(shlex.split(command.partition(" &")[0], comments=True))


def test_what_is_not_run_says_why() -> None:
    left_out = [block for block in BLOCKS if block.directive == "not run"]

    assert all(len(block.reason) > 15 for block in left_out)
    assert not [block.place for block in left_out if block.language == "pycon"]


def _check_manifest(manifest: dict[str, Any]) -> None:
    assert {"apiVersion", "kind", "metadata", "spec"} <= manifest.keys()
    assert re.fullmatch(r"[a-z0-9-]{1,63}", manifest["metadata"]["name"])
    template = manifest["spec"]["template"]
    if manifest["kind"] == "Deployment":
        labels = manifest["spec"]["selector"]["matchLabels"]
        assert labels.items() <= template["metadata"]["labels"].items()
    for container in template["spec"]["containers"]:
        assert {"name", "image", "command"} <= container.keys()
        grace = _check(container["command"])
        if "worker" in container["command"]:
            assert template["spec"]["terminationGracePeriodSeconds"] > grace
            _check_probes(container)


def _check_probes(container: dict[str, Any]) -> None:
    """That they ask what the worker serves, where it serves it."""
    command = container["command"]
    port = int(command[command.index("--health") + 1].rpartition(":")[2])
    (name,) = [one["name"] for one in container["ports"] if one["containerPort"] == port]
    probes = {name: probe for name, probe in container.items() if name.endswith("Probe")}
    paths = {probe["httpGet"]["path"] for probe in probes.values()}
    assert paths == Health().routes.keys()
    assert {probe["httpGet"]["port"] for probe in probes.values()} == {name}
    assert all(probe["periodSeconds"] > 0 for probe in probes.values())


def _check(words: list[str]) -> float:
    """That hammerflow has this command with these options; the grace that it gives to jobs."""
    arguments = words[words.index("hammerflow") + 1 :]
    redirected = [i for i, word in enumerate(arguments) if re.match(r"[<>]|2>", word)]
    arguments = arguments[: redirected[0]] if redirected else arguments
    # Options are parsed before --help is obeyed.
    answer = CliRunner().invoke(hammerflow, [*arguments, "--help"])
    assert answer.exit_code == 0, f"{words}: {answer.output}"
    return float(words[words.index("--grace") + 1]) if "--grace" in words else GRACE

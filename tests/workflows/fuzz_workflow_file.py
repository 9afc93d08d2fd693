"""Fuzz workflow files with atheris: ``python -m tests.workflows.fuzz_workflow_file CORPUS``."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports():
    from hammerflow.errors import WorkflowInvalid
    from hammerflow.workflows.file import read_workflow


def read_both(given: bytes) -> None:
    """Whatever it is: read, or refused by WorkflowInvalid."""
    text = given.decode("utf-8", "surrogateescape")
    for kind in ("json", "yaml"):
        try:
            read_workflow(text, format=kind)
        except WorkflowInvalid:
            pass


if __name__ == "__main__":
    atheris.Setup(sys.argv, read_both)
    atheris.Fuzz()

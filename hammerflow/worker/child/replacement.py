"""Replacement: a job that goes on as another call under its own id."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hammerflow.app import Hammerflow
from hammerflow.canvas.chain import Canvas, Chain, Chord, Group
from hammerflow.canvas.signature import Signature
from hammerflow.ids import new_id
from hammerflow.jobs.job import CONDITIONAL, Claimed
from hammerflow.jobs.outcome import Replaced
from hammerflow.workflows.plan import Plan

__all__ = ["replacement"]

#: Options that belong to a job's place in a workflow, kept by the call that replaces it.
_PLACE = ("wait_for_children", "rule", "when")


def replacement(app: Hammerflow, job: Claimed, canvas: Any, options: Mapping[str, Any]) -> Replaced:
    """The outcome of ``current_job().replace(canvas)``.

    The last call of the canvas takes the job's id, so that dependents, unique key and result stay
    where they are; calls before it become jobs of the same workflow.

    Args:
        options: those stored with the job.

    Raises:
        TypeError: not a canvas, or wrong arguments.
    """
    if not isinstance(canvas, Canvas):
        raise TypeError(f"a job is replaced by a signature or canvas, not {canvas!r}")
    if _is_several(canvas):
        canvas = Chain([canvas, Signature("hammerflow.collect")])
    plan = Plan(new_id)
    plan.add_canvas(canvas, None, last_id=job.id)
    rows = app.new_rows(plan)
    call = next(row for row in rows.jobs if row.id == job.id)
    merged = {name: options[name] for name in _PLACE if name in options}
    merged |= json.loads(call.options) if call.options else {}
    before = [
        row._replace(
            workflow_id=job.workflow_id,
            parent_id=job.parent_id,
            root_id=job.root_id or job.id,
            depth=job.depth,
            trace=job.trace,
        )
        for row in rows.jobs
        if row.id != job.id
    ]
    call = call._replace(
        options=json.dumps(merged) if merged else None, rule=call.rule & ~CONDITIONAL
    )
    return Replaced(call, before, [])


def _is_several(canvas: Canvas | None) -> bool:
    """Whether it ends in a group."""
    match canvas:
        case Chain():
            return _is_several(canvas.tasks[-1])
        case Chord():
            return _is_several(canvas.body)
        case _:
            return isinstance(canvas, Group)

"""Places: where in the user's canvas, workflow or batch a planned call is, for its error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hammerflow.canvas.chain import Canvas, Chord
from hammerflow.canvas.signature import Signature
from hammerflow.workflows.plan import Plan
from hammerflow.workflows.planned import PlannedJob

__all__ = ["place_of"]


def place_of(planned: PlannedJob, plan: Plan) -> str:
    """Such as ``group[1][0]``, ``chord.body``, ``link[0]`` or ``node 'b[1]' of node 'inner'``.

    Empty for a call that was sent alone.
    """
    around = planned.workflow
    own = _own_place(planned, plan)
    outer = []
    while around is not None:
        outer += [f"node {around.name!r}"] if around.name else []
        around = around.workflow
    return " of ".join([own, *outer] if own else outer)


def _own_place(planned: PlannedJob, plan: Plan) -> str:
    """Its place in the innermost workflow."""
    workflow = planned.workflow
    if workflow is None:
        return ""
    if workflow.kind == "batch":
        return f"{workflow.label}.then" if planned.name else f"{workflow.label}[{planned.position}]"
    if planned.name:
        return f"node {planned.name!r}"
    if workflow.definition is None:
        calls = _calls(plan.work, "" if type(plan.work) is Signature else workflow.kind)
    else:
        nodes = [node for node in workflow.definition.nodes if isinstance(node.content, Canvas)]
        calls = (call for node in nodes for call in _calls(node.content, f"node {node.name!r}"))
    # A user may use one signature in several places: they are laid out in this order.
    same = [job for job in plan.jobs if job.signature is planned.signature]
    places = [place for place, call in calls if call is planned.signature]
    return places[min(same.index(planned), len(places) - 1)] if places else ""


def _calls(canvas: Any, place: str) -> Iterator[tuple[str, Signature]]:
    """The calls of a canvas with their places, in the order of a :class:`Plan`."""
    if isinstance(canvas, Signature):
        yield place, canvas
    else:
        for index, task in enumerate(canvas.tasks):
            yield from _calls(task, f"{place}[{index}]")
    if isinstance(canvas, Chord):
        yield from _calls(canvas.body, f"{place}.body")
    for kind, callbacks in (("link", canvas.links), ("link_error", canvas.errbacks)):
        for index, callback in enumerate(callbacks):
            yield from _calls(callback, f"{place}.{kind}[{index}]".lstrip("."))

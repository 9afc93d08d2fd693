"""Conditions: whether jobs whose dependencies have ended may run, by what those have returned."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hammerflow.codec import Codec
from hammerflow.condition import compile_condition
from hammerflow.errors import ConditionError, HammerflowError, NotDecodable
from hammerflow.stores.database import Tx

__all__ = ["Asked", "judge", "results_for"]

_PAGE = 1_000
_CODEC = Codec()


class Asked(NamedTuple):
    """A job with a condition."""

    id: bytes
    workflow_id: bytes | None


def judge(tx: Tx, jobs: Sequence[Asked]) -> dict[bytes, bool | str | HammerflowError]:
    """For each job True, the reason why it is skipped, or the error that its condition met."""
    if not jobs:
        return {}
    options = dict(tx.rows("options_of", ids=sorted(job.id for job in jobs)))
    return {job.id: _judge(tx, job, json.loads(options[job.id])) for job in jobs}


def _judge(tx: Tx, job: Asked, options: Mapping[str, Any]) -> bool | str | HammerflowError:
    source, inputs = options["when"], options.get("inputs") or {}
    try:
        results = {
            name: _value(tx, job.workflow_id, reference) for name, reference in inputs.items()
        }
        condition = compile_condition(source, list(inputs))
        return condition.evaluate(results) or f"its condition is false: {source}"
    except NotDecodable as error:
        return ConditionError(f"the condition {source!r} cannot read a result: {error}")
    except HammerflowError as error:
        return error


def _value(tx: Tx, workflow_id: bytes | None, reference: Any) -> Any:
    if isinstance(reference, str):
        rows = tx.rows("results_of", ids=[bytes.fromhex(reference)])
        return _decoded(rows[0][2]) if rows else None
    if isinstance(reference, dict) and "names" in reference:
        named = reference["names"].items()
        return {name: _value(tx, workflow_id, part) for name, part in named}
    if isinstance(reference, list) and any(not isinstance(part, str) for part in reference):
        return [_value(tx, workflow_id, part) for part in reference]
    return [_decoded(value) for _, value in results_for(tx, workflow_id, reference)]


def _decoded(value: bytes | None) -> Any:
    return None if value is None else _CODEC.decode(value)


def results_for(
    tx: Tx, workflow_id: bytes | None, reference: Any
) -> Iterator[tuple[int | None, bytes | None]]:
    """(state code, encoded result) of the jobs that a reference names, in its order.

    Args:
        reference: the hex of an id, a list of those, or ``{"from": hex, "to": hex, "in": hex}``
            for the nodes of a workflow between two ids.
    """
    if isinstance(reference, str):
        reference = [reference]
    if isinstance(reference, list):
        for at in range(0, len(reference), _PAGE):
            ids = [bytes.fromhex(text) for text in reference[at : at + _PAGE]]
            found = {row[0]: row[1:] for row in tx.rows("results_of", ids=sorted(set(ids)))}
            yield from (found.get(id_, (None, None)) for id_ in ids)
        return
    after = (int(reference["from"], 16) - 1).to_bytes(16)
    last = bytes.fromhex(reference["to"])
    if "in" in reference:
        workflow_id = bytes.fromhex(reference["in"])
    while True:
        rows = tx.rows("results_between", workflow=workflow_id, after=after, last=last, n=_PAGE)
        yield from ((state, value) for _, state, value in rows)
        if len(rows) < _PAGE:
            return
        after = rows[-1][0]

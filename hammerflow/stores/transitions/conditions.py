"""Conditions: whether jobs may run, by the results of their dependencies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hammerflow.codec.codec import Codec
from hammerflow.conditions.evaluator import compile_condition
from hammerflow.errors import ConditionError, HammerflowError, NotDecodable
from hammerflow.stores.database import Tx
from hammerflow.stores.transitions.unit import Unit

__all__ = ["PAGE", "evaluate_conditions", "ids_of", "results_of"]

PAGE = 1_000
_CODEC = Codec()


def evaluate_conditions(
    unit: Unit, job_ids: Sequence[bytes]
) -> dict[bytes, bool | str | HammerflowError]:
    """For each job True, the reason why it is skipped, or the error of its condition."""
    if not job_ids:
        return {}
    rows = unit.tx.rows("options_of", ids=sorted(job_ids))
    return {job_id: _evaluate(unit.tx, json.loads(options)) for job_id, options in rows}


def _evaluate(tx: Tx, options: Mapping[str, Any]) -> bool | str | HammerflowError:
    source, inputs = options["when"], options.get("inputs") or {}
    try:
        results = {name: _value(tx, reference) for name, reference in inputs.items()}
        condition = compile_condition(source, list(inputs))
        return condition.evaluate(results) or f"its condition is false: {source}"
    except NotDecodable as error:
        return ConditionError(f"the condition {source!r} cannot read a result: {error}")
    except HammerflowError as error:
        return error


def _value(tx: Tx, reference: Any) -> Any:
    if isinstance(reference, str):
        rows = tx.rows("results_of", ids=[bytes.fromhex(reference)])
        return _decoded(rows[0][2]) if rows else None
    if isinstance(reference, dict) and "names" in reference:
        named = reference["names"].items()
        return {name: _value(tx, part) for name, part in named}
    if isinstance(reference, list) and any(not isinstance(part, str) for part in reference):
        return [_value(tx, part) for part in reference]
    ids = ids_of(tx, reference)
    pages = (ids[at : at + PAGE] for at in range(0, len(ids), PAGE))
    return [_decoded(value) for page in pages for _, value in results_of(tx, page)]


def _decoded(value: bytes | None) -> Any:
    return None if value is None else _CODEC.decode(value)


def ids_of(tx: Tx, reference: Any) -> list[bytes]:
    """The jobs that a reference names, in its order.

    Args:
        reference: the hex of an id, a list of those, or ``{"from": hex, "to": hex, "in": hex}``
            for the nodes of a workflow between two ids.
    """
    if isinstance(reference, str):
        return [bytes.fromhex(reference)]
    if isinstance(reference, list):
        return [bytes.fromhex(text) for text in reference]
    first, last = bytes.fromhex(reference["from"]), bytes.fromhex(reference["to"])
    nodes = tx.rows("node_ids", id=bytes.fromhex(reference["in"]))
    return [id_ for id_, position in nodes if position is not None and first <= id_ <= last]


def results_of(tx: Tx, ids: Sequence[bytes]) -> list[tuple[int | None, bytes | None]]:
    """(state code, encoded result) of jobs, in the order of the ids."""
    found = {row[0]: row[1:] for row in tx.rows("results_of", ids=sorted(set(ids)))}
    return [found.get(id_, (None, None)) for id_ in ids]

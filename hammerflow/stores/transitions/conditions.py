"""Conditions: whether jobs may run, by the results of their dependencies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hammerflow.codec.codec import Codec
from hammerflow.conditions.evaluator import compile_condition
from hammerflow.errors import ConditionError, HammerflowError, NotDecodable
from hammerflow.stores.database import Tx
from hammerflow.stores.transitions.unit import Unit, in_chunks
from hammerflow.workflows.references import JobRange, ResultRef

__all__ = ["PAGE", "evaluate_conditions", "ids_of", "results_of"]

PAGE = 1_000
#: Knows no class of an app: what a condition does not read may be anything.
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
    def read(ref: ResultRef) -> Iterator[Any]:
        for page in in_chunks(ids_of(tx, ref), PAGE):
            for _, value in results_of(tx, page):
                yield None if value is None else _CODEC.decode_opaque(value)

    return ResultRef.from_json(reference).resolve(read)


def ids_of(tx: Tx, ref: ResultRef) -> list[bytes]:
    """The jobs of a reference, in its order."""

    def ids_in(jobs: JobRange) -> list[bytes]:
        nodes = tx.rows("node_ids", id=jobs.workflow_id)
        planned = [id_ for id_, position in nodes if position is not None]
        return [id_ for id_ in planned if jobs.first <= id_ <= jobs.last]

    return ref.ids(ids_in)


def results_of(tx: Tx, ids: Sequence[bytes]) -> list[tuple[int | None, bytes | None]]:
    """(state code, encoded result) of jobs, in the order of the ids."""
    found = {row[0]: row[1:] for row in tx.rows("results_of", ids=sorted(set(ids)))}
    return [found.get(id_, (None, None)) for id_ in ids]

"""Batch rates: the limit that a batch brings with it, which exists while the batch does not end."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence

from hammerflow.jobs.limit import RATE, Limit, batch_limit, batch_target, key_id
from hammerflow.jobs.status import WorkflowState
from hammerflow.stores.database import Tx

__all__ = ["RATE_LIMIT", "drop_rates", "write_rate"]

#: The name of the rate in the options of a batch's row.
RATE_LIMIT = "rate_limit"


def write_rate(tx: Tx, batch_id: bytes, options: str | None) -> None:
    """Write the limit of a batch that is inserted, or goes on after its end.

    Args:
        options: of its row, as JSON.
    """
    rate = None if options is None else json.loads(options).get(RATE_LIMIT)
    if rate is None:
        return
    limit, id_ = Limit(RATE.read(rate)), batch_limit(batch_id)
    tx.many("limit_insert", [(id_, batch_target(batch_id))])
    if tx.rows("limit_row", id=id_)[0] == (None, None):
        tx.run("limit_declare", id=id_, declared=json.dumps(limit.to_plain()), **limit.columns())
    tx.many("limit_keys_insert", [(key_id(id_, ""), id_, "")])


def drop_rates(tx: Tx, targets: Sequence[str]) -> int:
    """Drop the limits of those batches that have ended or were removed; how many.

    The lock of its workflow orders this against a retry, which writes the limit again.
    """
    batches = {uuid.UUID(target.partition(":")[2]).bytes for target in targets}
    rows = tx.rows("workflows_lock", ids=sorted(batches))
    over = batches - {id_ for id_, state, *_ in rows if not WorkflowState(state).status.is_final}
    ids = sorted(map(batch_limit, over))
    if ids:
        tx.run("limit_keys_drop_of", ids=sorted(key_id(id_, "") for id_ in ids))
        tx.run("limits_drop", ids=ids)
    return len(ids)

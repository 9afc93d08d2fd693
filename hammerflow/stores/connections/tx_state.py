"""TxState: whether a transaction can still be written in, whatever ran inside it."""

from __future__ import annotations

from enum import Enum

from hammerflow.errors import HammerflowError

__all__ = ["TxState"]


class TxState(Enum):
    """The state of the transaction on a connection, as the driver knows it without asking."""

    OPEN = "open"
    FAILED = "failed"  # a statement has failed, and the database can only roll back
    ENDED = "ended"  # a statement has committed it or rolled it back

    def check(self) -> None:
        """Raise HammerflowError unless it is open."""
        if self is not TxState.OPEN:
            raise HammerflowError(_FAULTS[self])


_FAULTS = {
    TxState.FAILED: (
        "nothing was committed: a statement of this transaction has failed, and the database "
        "can only roll it back; let its error leave the block, or run it behind a SAVEPOINT"
    ),
    TxState.ENDED: (
        "nothing more can be committed: a statement has ended this transaction inside its block; "
        "leave COMMIT and ROLLBACK to the block, BEGIN and DDL on MySQL out of it, and let the "
        "error of a deadlock leave it"
    ),
}

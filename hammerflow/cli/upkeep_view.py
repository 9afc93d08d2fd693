"""What doctor says of tables that need upkeep."""

from __future__ import annotations

from collections.abc import Iterator

from hammerflow.stores.maintenance.upkeep import Sign, Upkeep
from hammerflow.stores.store import Store

__all__ = ["advice_of"]


def advice_of(store: Store) -> Iterator[tuple[str, str]]:
    """(what was found, what to do) for each table that needs to be vacuumed or analyzed."""
    for sign in Upkeep(store.database).signs():
        yield _bloat(sign, store.dialect) if sign.dead > sign.live else _stale(sign)


def _bloat(sign: Sign, dialect: str) -> tuple[str, str]:
    if dialect == "postgres":
        says = f"the table {sign.table} has {sign.dead:,} dead rows and {sign.live:,} live ones"
        return says, (
            f"run hammerflow maintenance vacuum --table {sign.table}; if that does not help, look "
            "for transactions that have been open for long, and for autovacuum = off"
        )
    what = f"the table {sign.table}" if sign.table else "the file"
    says = (
        f"{what} has {sign.dead / 2**20:,.0f} MiB of free space inside, and uses "
        f"{sign.live / 2**20:,.0f} MiB"
    )
    chosen = f" --table {sign.table}" if sign.table else ""
    return says, f"new rows use it; hammerflow maintenance vacuum{chosen} gives it back"


def _stale(sign: Sign) -> tuple[str, str]:
    says = (
        f"{sign.changed:,} rows of the table {sign.table} have changed since it was analyzed, and "
        f"it has {sign.live:,}"
    )
    return says, f"run hammerflow maintenance analyze --table {sign.table}, or leave autovacuum on"

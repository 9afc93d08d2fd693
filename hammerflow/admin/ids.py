"""Ids as people type them: whole or a unique prefix, with or without dashes."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hammerflow.errors import HammerflowError, JobNotFound
from hammerflow.text import safe_repr

if TYPE_CHECKING:
    from hammerflow.jobs.job import Job
    from hammerflow.stores.retention.archive import Archive
    from hammerflow.stores.store import Store

__all__ = [
    "find_archived", "find_batch", "find_bulk_operation", "find_job", "find_operation",
    "find_token", "find_worker", "find_workflow", "get_job", "only_worker", "page_mark",
]  # fmt: skip

_SHORTEST, _WHOLE = 4, 32  # hexadecimal digits
_CANDIDATES = 5  # ids that an ambiguous prefix lists
_OTHERS = {"batch": "workflow or batch"}  # what an ambiguous prefix may mean
_SEE = {"operation": "", "archived job": ": see hammerflow archive list", "token": ""}


def find_job(store: Store, text: str) -> bytes:
    """The id of the one job whose id begins with ``text``, 4 hexadecimal digits or more.

    Raises:
        JobNotFound: ``text`` is not an id, or no job or more than one has an id like that.
    """
    return _find(text, store.jobs.ids_between, "job", store.archive)


def find_workflow(store: Store, text: str) -> bytes:
    """The id of the one workflow whose id begins with ``text``; as :func:`find_job`."""
    return _find(text, store.workflows.ids_between, "workflow", store.archive)


def find_batch(store: Store, text: str) -> bytes:
    """As :func:`find_workflow`, for a command of batches: what it finds may be no batch."""
    return _find(text, store.workflows.ids_between, "batch", store.archive)


def find_archived(store: Store, text: str) -> bytes:
    """The id of the one archived job or workflow whose id begins with ``text``; as
    :func:`find_job`."""
    return _find(text, store.archive.ids_between, "archived job")


def find_operation(store: Store, text: str) -> bytes:
    """The id of the one replay operation whose id begins with ``text``; as :func:`find_job`."""
    return _find(text, store.dead_letters.operations_between, "operation")


def find_bulk_operation(store: Store, text: str) -> bytes:
    """The id of the one operation on many jobs whose id begins with ``text``."""
    return _find(text, store.operations.ids_between, "operation")


def find_token(store: Store, text: str) -> bytes:
    """The id of the one token of the web whose id begins with ``text``; as :func:`find_job`."""
    return _find(text, store.access.ids_between, "token")


def get_job(store: Store, text: str) -> Job:
    """The job of :func:`find_job`."""
    job = store.jobs.get(find_job(store, text))
    if job is None:
        raise JobNotFound(f"job {text} was deleted just now")
    return job


def find_worker(store: Store, text: str) -> dict[str, Any]:
    """The one worker whose number begins with ``text``, or that is ``host:pid``.

    Raises:
        HammerflowError: no worker or more than one is meant.
    """
    workers = store.workers.list()
    found = [
        each for each in workers
        if str(each["id"]).startswith(text) or f"{each['host']}:{each['pid']}" == text
    ]  # fmt: skip
    if len(found) == 1:
        return found[0]
    if not found:
        raise HammerflowError(f"there is no worker {safe_repr(text)}: see hammerflow worker list")
    ids = ", ".join(str(each["id"]) for each in found[:_CANDIDATES])
    raise HammerflowError(f"{safe_repr(text)} matches several workers: {ids}")


def only_worker(store: Store) -> dict[str, Any]:
    """The only worker that there is.

    Raises:
        HammerflowError: there is none, or more than one.
    """
    workers = store.workers.list()
    if len(workers) == 1:
        return workers[0]
    if not workers:
        raise HammerflowError("there are no workers")
    raise HammerflowError(f"there are {len(workers)} workers: name one of hammerflow worker list")


def page_mark(find: Callable[[Store, str], bytes], store: Store, text: str | None) -> bytes | None:
    """The id before which a page begins: a whole id need not exist any more, a prefix must."""
    if text is None:
        return None
    try:
        return uuid.UUID(text).bytes
    except ValueError:
        return find(store, text)


def _find(
    text: str, ids_between: Callable[[bytes, bytes, int], Sequence[bytes]], noun: str,
    archive: Archive | None = None,
) -> bytes:  # fmt: skip
    digits = text.replace("-", "").lower()
    if not re.fullmatch(f"[0-9a-f]{{{_SHORTEST},{_WHOLE}}}", digits):
        article = "an" if noun[0] in "aeiou" else "a"
        raise JobNotFound(
            f"{text!r} is not {article} {noun} id: give the id or at least its first {_SHORTEST} "
            "hexadecimal digits"
        )
    low, high = (bytes.fromhex(digits.ljust(_WHOLE, filler)) for filler in "0f")
    found = ids_between(low, high, _CANDIDATES + 1)
    if len(found) == 1:
        return found[0]
    if not found and archive is not None:
        _check_archive(archive, noun, low, high)
    if not found:
        is_whole = len(digits) == _WHOLE
        given = f"the id {uuid.UUID(digits)}" if is_whole else f"an id that begins with {text}"
        see = _SEE.get(noun, f": see hammerflow {noun} list")
        raise JobNotFound(f"no {noun} has {given} in this database{see}")
    noun = _OTHERS.get(noun, noun)
    ids = [str(uuid.UUID(bytes=id_)) for id_ in found[:_CANDIDATES]]
    more = " and more" if len(found) > _CANDIDATES else ""
    raise JobNotFound(
        f"more than one {noun} has an id that begins with {text}: {', '.join(ids)}{more}; give "
        "more of its digits"
    )


def _check_archive(archive: Archive, noun: str, low: bytes, high: bytes) -> None:
    """Say where a job or workflow is that was archived.

    Raises:
        JobNotFound: it is in the archive.
    """
    found = archive.ids_between(low, high, 2)
    if len(found) == 1:
        id_ = uuid.UUID(bytes=found[0])
        raise JobNotFound(
            f"{noun} {id_} is archived: hammerflow archive show {id_} shows it, and hammerflow "
            f"archive restore {id_} brings it back"
        )
    if found:
        raise JobNotFound(
            f"more than one archived {noun} has an id like that: see hammerflow archive list"
        )

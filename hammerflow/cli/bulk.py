"""Bulk: commands that change all jobs of a filter: counted, asked for, and told of as they go."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from hammerflow.cli import output
from hammerflow.cli.confirming import confirm
from hammerflow.cli.progress_line import ProgressLine
from hammerflow.cli.session import Session
from hammerflow.jobs.job import JobState
from hammerflow.stores.cancellations import Told
from hammerflow.text import counted

__all__ = ["Answer", "cancel_words", "run_in_bulk", "told"]

#: What became of one job: {"id": ..., "now": ...} or {"id": ..., "error": ...}.
Answer = Mapping[str, str]


def run_in_bulk(
    session: Session, verb: str, number: int, act: Callable[[], Iterator[Answer]],
    *, yes: bool, dry_run: bool,
) -> int:  # fmt: skip
    """Ask, act, and tell: every answer to programs, their counts and the errors to people.

    Args:
        verb: what happens to the jobs, as in ``cancel 3 jobs``.
        number: how many there are.

    Returns:
        1 if any failed, else 0.
    """
    if dry_run:
        session.tell({"matching": number}, f"this would {verb} {counted(number, 'job')}")
        return 0
    if number == 0 and not session.as_json:
        output.say("no matching jobs")
        return 0
    if number:
        confirm(session, f"{verb} {counted(number, 'job')}", yes=yes)
    found: Counter[str] = Counter()
    answers = _watched(act(), found, ProgressLine(session, number))
    if session.as_json:
        output.show_json_list(answers, is_lines=session.as_lines)
    else:
        for answer in answers:
            if "error" in answer:
                output.say(f"{answer['id']}  error: {answer['error']}")
        for text, count in found.most_common():
            output.say(f"{counted(count, 'job')}: {text}")
    return int(found["error"] > 0)


def _watched(
    answers: Iterator[Answer], found: Counter[str], line: ProgressLine
) -> Iterator[Answer]:
    """Count the answers."""
    for answer in answers:
        found[answer.get("now", "error")] += 1
        line.show(found.total())
        yield answer
    line.end()


def told(chunks: Iterable[Told], *, is_unended: bool = False) -> Iterator[Answer]:
    """The answers of a cancel, as its chunks are committed; ``is_unended`` leaves out the jobs that
    had ended before."""
    for chunk in chunks:
        for job_id, state in chunk.items():
            if not is_unended or state in (JobState.CANCELLED, JobState.RUNNING):
                yield {"id": str(uuid.UUID(bytes=job_id)), "now": cancel_words(state)}


def cancel_words(state: JobState) -> str:
    """What a cancel has answered."""
    if state is JobState.RUNNING:
        return "running, its worker was told to stop it"
    return state if state is JobState.CANCELLED else f"{state} meanwhile"

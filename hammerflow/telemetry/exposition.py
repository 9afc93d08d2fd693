"""The text formats in which Prometheus reads metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hammerflow.telemetry.families import FAMILIES, BucketCounts, Family, Readings

__all__ = ["OPENMETRICS", "PLAIN", "write"]

#: Content types of the two formats.
PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def write(readings: Readings, content_type: str = PLAIN) -> str:
    """All families that have readings, each with its help, type and samples.

    Args:
        content_type: PLAIN or OPENMETRICS.
    """
    is_open = content_type == OPENMETRICS
    return "".join(_lines(readings, is_open)) + ("# EOF\n" if is_open else "")


def _lines(readings: Readings, is_open: bool) -> Iterator[str]:
    for family in FAMILIES.values():
        name = family.name.removesuffix("_total") if is_open else family.name
        head = f"# HELP {name} {_escaped(family.help)}\n# TYPE {name} {family.type}\n"
        if (numbers := readings.numbers.get(family.name)) is not None:
            yield head
            for labels, value in numbers.items():
                yield f"{family.name}{_labels(family.labels, labels)} {_number(value)}\n"
        elif (tallies := readings.tallies.get(family.name)) is not None:
            yield head
            for labels, tally in tallies.items():
                yield from _histogram(family, labels, tally)


def _histogram(family: Family, labels: Sequence[str], tally: BucketCounts) -> Iterator[str]:
    names = (*family.labels, "le")
    count = 0
    ends = (*map(_number, map(float, family.bounds)), "+Inf")
    for bound, more in zip(ends, tally.counts, strict=True):
        count += more
        yield f"{family.name}_bucket{_labels(names, (*labels, bound))} {count}\n"
    own = _labels(family.labels, labels)
    yield f"{family.name}_sum{own} {_number(tally.total)}\n"
    yield f"{family.name}_count{own} {count}\n"


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    if not names:
        return ""
    pairs = zip(names, values, strict=True)
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs) + "}"


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.10g}"

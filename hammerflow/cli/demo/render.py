"""How the demo looks: a live tree in a terminal, plain lines elsewhere; then table and sums."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from hammerflow.cli.demo.line_count import COLUMNS, LineCount
from hammerflow.cli.demo.run import Counted, DemoProgress, Measured
from hammerflow.cli.output import is_terminal, say, show_facts, show_table

__all__ = ["progress_view", "show_census", "show_sums"]

_ROWS = 12


@contextlib.contextmanager
def progress_view(*, is_quiet: bool) -> Iterator[Callable[[DemoProgress], None]]:
    """A function that shows a Progress."""
    if is_quiet:
        yield lambda progress: None
    elif is_terminal():
        with _live() as show:
            yield show
    else:
        yield _Lines()


def show_census(census: LineCount) -> None:
    """The largest packages, the rest in one row, and the sum."""
    packages = sorted(census["packages"].items(), key=lambda item: -item[1][1])
    rows = [(name, *map(_number, numbers)) for name, numbers in packages[:_ROWS]]
    rest = packages[_ROWS:]
    if rest:
        rows.append((f"{len(rest)} others", *_sums([numbers for _, numbers in rest])))
    rows.append(("all", *_sums([numbers for _, numbers in packages])))
    heads = ("package", *(name.rjust(9) for name in COLUMNS))
    show_table(heads, rows, empty="there are no source files")
    often = sorted(census["imported"].items(), key=lambda item: (-item[1], item[0]))[:8]
    say(f"most imported: {', '.join(f'{name} {count}' for name, count in often)}\n")


def show_sums(counted: Counted, direct: Counted, measured: Measured) -> None:
    """Throughput and latency."""
    files = sum(numbers[0] for numbers in counted.census["packages"].values())
    rate = counted.batches / counted.seconds
    empty = measured.jobs / measured.seconds
    half, most = measured.latency(0.5) * 1000, measured.latency(0.99) * 1000
    show_facts(
        {
            "check": f"one process counted the same directly, in {direct.seconds:.1f} s",
            "throughput": f"{counted.batches} batches of {files} files in {counted.seconds:.1f} s "
            f"({rate:.0f} jobs/s, {files / counted.seconds:.0f} files/s)\n"
            f"{measured.jobs:,} empty jobs in {measured.seconds:.2f} s ({empty:,.0f} jobs/s)",
            "start latency": f"p50 {half:.1f} ms, p99 {most:.1f} ms over "
            f"{len(measured.latencies)} calls, from delay() to the body",
        }
    )


def _sums(rows: list[list[int]]) -> list[str]:
    return [_number(sum(column)) for column in zip(*rows, strict=True)]


def _number(value: int) -> str:
    return f"{value:,}".rjust(9)


class _Lines:
    """At most a line a second, and one when all batches have ended."""

    def __init__(self) -> None:
        self._at = 0.0
        self._last = ""

    def __call__(self, progress: DemoProgress) -> None:
        line = _words(progress)
        is_end = progress.batches > 0 and progress.ended == progress.batches
        if line != self._last and (is_end or time.monotonic() - self._at >= 1.0):
            self._at, self._last = time.monotonic(), line
            say(line)


def _words(progress: DemoProgress) -> str:
    if not progress.batches:
        return f"count_library {progress.spawner}"
    running = progress.states.get("running", 0)
    return (
        f"count_library {progress.spawner}; count_files {progress.ended}/{progress.batches}, "
        f"{running} running; merge {progress.fan_in}"
    )


@contextlib.contextmanager
def _live() -> Iterator[Callable[[DemoProgress], None]]:
    from rich.live import Live

    with Live(_tree(DemoProgress()), refresh_per_second=10) as live:
        yield lambda progress: live.update(_tree(progress))


def _tree(progress: DemoProgress) -> Any:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.tree import Tree

    tree = Tree(f"[bold]count_library[/]  {progress.spawner}", guide_style="dim")
    if progress.batches:
        line = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=progress.batches, completed=progress.ended, width=40)
        others = {s: n for s, n in progress.states.items() if s != "completed"}
        words = ", ".join(f"{n} {state}" for state, n in sorted(others.items()))
        line.add_row("count_files", bar, f"{progress.ended}/{progress.batches}", words)
        tree.add(line)
        tree.add(f"merge        {progress.fan_in}")
    return tree

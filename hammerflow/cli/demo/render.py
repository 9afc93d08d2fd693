"""What the demo prints: a live tree in a terminal, plain lines elsewhere; then a table and sums."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from statistics import quantiles
from typing import Any

from hammerflow.cli.demo.line_count import COLUMNS, LineCount
from hammerflow.cli.demo.run import DemoCount, DemoMeasurement, DemoProgress
from hammerflow.cli.output import is_terminal, say, show_facts, show_table
from hammerflow.text import counts_text

__all__ = ["progress_view", "show_line_count", "show_measurements"]

_PACKAGES, _IMPORTS = 12, 8  # that are listed


@contextlib.contextmanager
def progress_view(*, is_quiet: bool) -> Iterator[Callable[[DemoProgress], None]]:
    """A function that shows a DemoProgress."""
    if is_quiet:
        yield lambda progress: None
    elif is_terminal():
        from rich.live import Live

        with Live(_tree(DemoProgress()), refresh_per_second=10) as live:
            yield lambda progress: live.update(_tree(progress))
    else:
        yield _line_printer()


def show_line_count(lines: LineCount) -> None:
    """The largest packages, the others in one row, and the sum."""
    packages = sorted(lines["packages"].items(), key=lambda item: -item[1][1])
    rows = [(name, *map(_number, numbers)) for name, numbers in packages[:_PACKAGES]]
    if others := [numbers for _, numbers in packages[_PACKAGES:]]:
        rows.append((f"{len(others)} others", *_sums(others)))
    rows.append(("all", *_sums([numbers for _, numbers in packages])))
    heads = ("package", *(name.rjust(9) for name in COLUMNS))
    show_table(heads, rows, empty="there are no source files")
    imported = sorted(lines["imported"].items(), key=lambda item: (-item[1], item[0]))[:_IMPORTS]
    say(f"most imported: {', '.join(f'{name} {count}' for name, count in imported)}")
    say("")


def show_measurements(counted: DemoCount, direct: DemoCount, measured: DemoMeasurement) -> None:
    """Throughput and latency."""
    files = sum(numbers[0] for numbers in counted.lines["packages"].values())
    rate = counted.batches / counted.seconds
    empty = measured.jobs / measured.seconds
    shares = [1000 * cut for cut in quantiles(measured.latencies, n=100, method="inclusive")]
    show_facts(
        {
            "check": f"one process counted the same directly, in {direct.seconds:.1f} s",
            "throughput": f"{counted.batches} batches of {files} files in {counted.seconds:.1f} s "
            f"({rate:.0f} jobs/s, {files / counted.seconds:.0f} files/s)\n"
            f"{measured.jobs:,} empty jobs in {measured.seconds:.2f} s ({empty:,.0f} jobs/s)",
            "start latency": f"p50 {shares[49]:.1f} ms, p99 {shares[98]:.1f} ms over "
            f"{len(measured.latencies)} calls, from delay() to the body",
        }
    )


def _sums(rows: list[list[int]]) -> list[str]:
    return [_number(sum(column)) for column in zip(*rows, strict=True)]


def _number(value: int) -> str:
    return f"{value:,}".rjust(9)


def _line_printer() -> Callable[[DemoProgress], None]:
    """Print at most a line a second, and one when all batches have ended."""
    printed_at, printed = 0.0, ""

    def show(progress: DemoProgress) -> None:
        nonlocal printed_at, printed
        line = f"count_library {progress.spawner}"
        if progress.batches:
            running = progress.states.get("running", 0)
            line += f"; count_files {progress.ended}/{progress.batches}, {running} running; "
            line += f"merge {progress.fan_in}"
        is_end = progress.batches > 0 and progress.ended == progress.batches
        if line != printed and (is_end or time.monotonic() - printed_at >= 1.0):
            printed_at, printed = time.monotonic(), line
            say(line)

    return show


def _tree(progress: DemoProgress) -> Any:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.tree import Tree

    tree = Tree(f"[bold]count_library[/]  {progress.spawner}", guide_style="dim")
    if progress.batches:
        line = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=progress.batches, completed=progress.ended, width=40)
        others = counts_text({s: n for s, n in progress.states.items() if s != "completed"})
        line.add_row("count_files", bar, f"{progress.ended}/{progress.batches}", others)
        tree.add(line)
        tree.add(f"merge        {progress.fan_in}")
    return tree

"""python -m benchmarks.plot FILE.jsonl [--table] [--note TEXT] > peers.svg: the peers' figures.

The last of each, as bars or as the table of README.md.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

__all__ = ["draw", "read", "table"]

Row = dict[str, Any]

_WIDTH, _LEFT, _RIGHT, _LINE = 760, 240, 90, 20
_MARK = "peer: "
#: What a panel shows: its title, the key of its bars, the key of a tick further on, log scale.
_PANELS = (
    ("Drain, jobs/s (longer is better)", "drain_jobs_s", None, False),
    ("Enqueue one by one, jobs/s (longer is better)", "enqueue_jobs_s", None, False),
    ("Start latency, ms: bar p50, tick p99, log scale (shorter is better)",
     "p50_ms", "p99_ms", True),
)  # fmt: skip
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 13px }
.note { fill: #59636e; font-size: 11px }
.ours { fill: #d1570b } .other { fill: #8b96a3 } .tick { stroke: #1f2328; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note { fill: #9198a1 }
  .ours { fill: #f5893d } .other { fill: #6e7781 } .tick { stroke: #e6edf3 }
}
"""


def read(path: Path) -> list[Row]:
    """The last row of each peer, hammerflow's first."""
    rows: dict[str, Row] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["figure"].startswith(_MARK):
            rows[row["figure"]] = row
    return sorted(rows.values(), key=lambda row: not _is_ours(row))


def draw(rows: Sequence[Row], note: str = "") -> str:
    """The whole SVG; the note says what a reader must know of the run."""
    height = 34 + len(_PANELS) * (44 + _LINE * len(rows))
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
            f'width="{_WIDTH}" height="{height}" role="img">'
        ),
        "<title>hammerflow beside other job queues</title>",
        f"<style>{_STYLE}</style>",
        _text(8, 18, _about(rows) + note, "note"),
    ]
    top = 34
    for title, key, tick, logarithmic in _PANELS:
        parts.append(_text(8, top + 14, title, "title"))
        parts += _panel(rows, top + 24, key, tick, logarithmic=logarithmic)
        top += 44 + _LINE * len(rows)
    return "\n".join([*parts, "</svg>", ""])


def table(rows: Sequence[Row]) -> str:
    """The same as Markdown; in parentheses, how many times the peer's rate hammerflow has."""
    lines = [
        (
            "| peer | enqueue one by one, jobs/s | drain, jobs/s | start latency p50 / p99, ms "
            "| chord of 1 000, s | durable |"
        ),
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        name, version = row["figure"].removeprefix(_MARK), row.get("version", "")
        if "failed" in row:
            lines.append(f"| {name} | failed: {row['failed']} | | | | {row['durable']} |")
            continue
        cells = [
            f"{row[key]:,} ({row[ratio]}x)" if ratio in row else f"{row[key]:,}"
            for key, ratio in (
                ("enqueue_jobs_s", "enqueue_ratio"),
                ("drain_jobs_s", "drain_ratio"),
            )
        ]
        latency = f"{row['p50_ms']} / {row['p99_ms']}"
        cells += [latency, str(row.get("chord_s", "")), row["durable"]]
        lines.append(f"| {name} ({version}) | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _about(rows: Sequence[Row]) -> str:
    if not rows:
        return "no figures of peers"
    row = rows[-1]
    loads = [each["load"] for each in rows if "load" in each]
    load = f", load {min(loads)}-{max(loads)}" if loads else ""
    return (
        f"One Redis INCR a job, 2 worker processes, {row['jobs']:,} jobs; {row['at'][:10]}, "
        f"{row['cores']} cores{load}, Python {row['python']}"
    )


def _panel(
    rows: Sequence[Row], top: int, key: str, tick: str | None, *, logarithmic: bool
) -> Iterator[str]:
    values = [float(row[k]) for row in rows for k in (key, tick) if k and row.get(k)]
    low, high = min(values, default=1.0) / 2, max(values, default=1.0)
    room = _WIDTH - _LEFT - _RIGHT

    def length(value: float) -> float:
        if not logarithmic:
            return room * value / high
        return room * math.log(max(value, low) / low) / math.log(high / low)

    for row in rows:
        name = row["figure"].removeprefix(_MARK)
        yield _text(_LEFT - 8, top + 13, name, "", anchor="end")
        value = row.get(key)
        if not value:
            yield _text(_LEFT, top + 13, "failed", "note")
        else:
            size = length(value)
            kind = "ours" if _is_ours(row) else "other"
            yield (
                f'<rect class="{kind}" x="{_LEFT}" y="{top + 3}" width="{size:.1f}" '
                f'height="{_LINE - 6}" rx="2"/>'
            )
            shown = f"{value:,}"
            if tick and row.get(tick):
                size = length(row[tick])
                x = _LEFT + size
                yield f'<path class="tick" d="M{x:.1f} {top + 2}v{_LINE - 4}"/>'
                shown += f" / {row[tick]:,}"
            yield _text(_LEFT + size + 6, top + 13, shown, "note")
        top += _LINE


def _text(x: float, y: float, text: str, kind: str, *, anchor: str = "start") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y}"{style} text-anchor="{anchor}">{escape(text)}</text>'


def _is_ours(row: Row) -> bool:
    return str(row["figure"]).startswith(f"{_MARK}hammerflow")


def main() -> None:
    """Print the plot, or the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plot", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--table", action="store_true", help="as Markdown")
    parser.add_argument("--note", default="", help="stands behind the plot's heading")
    arguments = parser.parse_args()
    rows = read(arguments.file)
    note = f"; {arguments.note}" if arguments.note else ""
    sys.stdout.write(table(rows) if arguments.table else draw(rows, note))


if __name__ == "__main__":
    main()

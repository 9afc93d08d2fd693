"""The lines of an attempt: the first and the last ones, within bounds, whatever their text is."""

from __future__ import annotations

import logging

import pytest

from hammerflow.jobs.log_lines import LINE, AttemptLog, KeptLine, LineBuffer, log_of


def _line(text: str, level: int = logging.INFO) -> KeptLine:
    return KeptLine.of(1_700_000_000.5, level, "shop", text)


def _log(buffer: LineBuffer) -> AttemptLog:
    return log_of(2, 7, buffer.packed())


def test_what_fits_is_kept_whole() -> None:
    buffer = LineBuffer(4)
    for number in range(4):
        buffer.add(_line(f"line {number}"))
    log = _log(buffer)
    assert [line.message for line in log.lines] == ["line 0", "line 1", "line 2", "line 3"]
    assert (log.attempt, log.lease, log.dropped) == (2, 7, 0)
    assert log.lines[0].at.isoformat() == "2023-11-14T22:13:20.500000+00:00"


@pytest.mark.parametrize("most", [1, 2, 3, 8, 100])
def test_the_first_quarter_and_the_last_lines_are_kept(most: int) -> None:
    buffer = LineBuffer(most)
    for number in range(1_000):
        buffer.add(_line(str(number)))
    log = _log(buffer)
    head = -(-most // 4)
    numbers = [*range(head), *range(1_000 - most + head, 1_000)]
    assert [int(line.message) for line in log.lines] == numbers
    assert (log.dropped, log.dropped_at) == (1_000 - most, head)


@pytest.mark.parametrize("text", ["x" * 15_000, "ü" * 15_000])
def test_all_lines_of_an_attempt_have_a_bound_in_bytes(text: str) -> None:
    buffer = LineBuffer(10_000)
    for _ in range(100):
        buffer.add(_line(text))
    log = _log(buffer)
    size = sum(len(line.message.encode()) for line in log.lines)
    assert 200_000 < size <= 256 << 10
    assert log.dropped == 100 - len(log.lines)


@pytest.mark.parametrize("text", ["a\0b", "\ud800 alone", "\x1b[2J", "\U0001f980", "", "a\n\nb"])
def test_any_text_is_kept(text: str) -> None:
    buffer = LineBuffer(5)
    buffer.add(_line(text))
    (line,) = _log(buffer).lines
    shown = line.message.replace("\\0", "\0").replace("\\ud800", "\ud800")
    assert shown == text


def test_a_line_of_ten_megabytes_is_cut_in_its_middle() -> None:
    buffer = LineBuffer(5)
    buffer.add(_line("a" * 10_000_000 + "the end"))
    (line,) = _log(buffer).lines
    assert len(line.message) <= LINE and line.message.endswith("the end")
    assert "characters left out" in line.message


def test_a_level_of_the_application_has_its_name() -> None:
    buffer = LineBuffer(5)
    buffer.add(_line("odd", 35))
    assert _log(buffer).lines[0].level == "level 35"


@pytest.mark.parametrize("data", [b"", b"x", b"x\x9c", LineBuffer(1).packed()[:-3]])
def test_bytes_of_something_else_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        log_of(1, 1, data)

"""The reader of Redis's protocol: any cut of the bytes, any bytes at all."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hammerflow.notifiers.transports.resp import LIMIT, Reader, command

MESSAGES = st.lists(
    st.lists(st.binary(max_size=40), min_size=1, max_size=4), min_size=1, max_size=6
)


def _feed(reader: Reader, data: bytes, sizes: list[int]) -> list[list[bytes]]:
    found: list[list[bytes]] = []
    for size in sizes:
        found += reader.feed(data[:size])
        data = data[size:]
    return found + reader.feed(data)


@given(MESSAGES, st.lists(st.integers(1, 30), max_size=40))
def test_messages_come_out_as_they_went_in_however_they_are_cut(
    messages: list[list[bytes]], sizes: list[int]
) -> None:
    data = b"".join(command(*message) for message in messages)

    assert _feed(Reader(), data, sizes) == messages


def test_numbers_nulls_and_short_replies_are_read() -> None:
    data = b"+PONG\r\n:3\r\n*3\r\n$9\r\nsubscribe\r\n$-1\r\n:1\r\n*0\r\n+OK\r\n"

    found = Reader().feed(data)

    assert found == [[b"PONG"], [b"3"], [b"subscribe", b"", b"1"], [b"OK"]]


@given(st.lists(st.integers(1, 40_000), max_size=20))
def test_a_giant_string_is_dropped_as_it_comes_and_the_next_message_is_read(
    sizes: list[int],
) -> None:
    giant = command(b"message", b"done", b"x" * (LIMIT + 1))
    after = command(b"message", b"done", b"y" * LIMIT)

    found = _feed(Reader(), giant + after, sizes)

    assert found == [[b"message", b"done", b""], [b"message", b"done", b"y" * LIMIT]]


def test_of_an_endless_string_nothing_is_kept() -> None:
    reader = Reader()
    reader.feed(b"*3\r\n$7\r\nmessage\r\n$1\r\nd\r\n$999999999999\r\n")

    for _ in range(100):
        reader.feed(b"x" * 65536)

    assert len(reader._buffer) == 0


@pytest.mark.parametrize(
    "data",
    [
        b"-NOAUTH Authentication required.\r\n",
        b"*1\r\n*1\r\n",
        b"*17\r\n",
        b"$x\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x16\x03\x01\x02\r\n",
        b":" + b"1" * 2000,
    ],
)
def test_errors_and_other_protocols_are_refused(data: bytes) -> None:
    with pytest.raises(ConnectionError):
        Reader().feed(data)


@given(st.lists(st.binary(max_size=60) | st.sampled_from([b"*3\r\n", b"$5\r\n", b"\r\n", b"$"])))
def test_any_bytes_give_messages_or_a_connection_error(chunks: list[bytes]) -> None:
    reader = Reader()

    with contextlib.suppress(ConnectionError):
        for chunk in chunks:
            for message in reader.feed(chunk):
                assert all(isinstance(string, bytes) for string in message)
    assert len(reader._buffer) <= LIMIT + 2048

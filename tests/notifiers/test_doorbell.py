"""The doorbell's contract, the same over every transport."""

from __future__ import annotations

import os
import threading
import time

from tests.notifiers.conftest import Make
from tests.notifiers.kit import LONG, SHORT, Lines, Listening, in_a_fork, until


def test_a_ring_is_heard_by_those_who_listen_to_its_queue(doorbell: Make) -> None:
    mail, both = Listening(doorbell(), "mail"), Listening(doorbell(), "mail", "a:b * é")
    ringer = doorbell()

    ringer.ring(["mail"])
    mail.comes()
    both.comes()
    ringer.ring(["a:b * é"])
    both.comes()

    assert mail.is_quiet()
    assert not mail.control.is_set()


def test_a_control_is_heard_by_all_and_is_no_work(doorbell: Make) -> None:
    listening = Listening(doorbell())

    doorbell().ring_control()

    assert listening.control.wait(LONG)
    assert listening.is_quiet()


def test_apps_do_not_hear_each_other(doorbell: Make) -> None:
    listening = Listening(doorbell("shop"))
    stranger = doorbell("shop2")

    stranger.ring(["mail"])
    stranger.ring_control()

    assert listening.is_quiet()
    assert not listening.control.is_set()


def test_a_burst_is_few_calls_and_its_last_ring_is_heard(doorbell: Make) -> None:
    listening = Listening(doorbell())
    ringer = doorbell()

    for _ in range(20_000):
        last = time.monotonic()
        ringer.ring(["mail"])
    until(lambda: listening.last_at >= last)

    assert 0 < listening.count < 2_000


def test_each_ring_of_a_row_is_heard_though_the_row_is_fast(doorbell: Make) -> None:
    listening = Listening(doorbell())
    ringer = doorbell()

    for _ in range(300):  # as one who waits for each job before the next
        ringer.ring(["mail"])
        listening.comes()


def test_rings_of_many_threads_all_go_out(doorbell: Make) -> None:
    ringer = doorbell()
    listenings = [Listening(doorbell(), f"queue-{n}") for n in range(8)]

    def ring(n: int) -> None:
        for _ in range(50):
            ringer.ring([f"queue-{n}"])

    threads = [threading.Thread(target=ring, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for listening in listenings:
        listening.comes()


def test_a_ring_before_the_end_of_a_process_is_not_lost(doorbell: Make) -> None:
    listening = Listening(doorbell(), "last")
    ringer = doorbell()

    for _ in range(50):
        ringer.ring(["mail"])
    ringer.ring(["last"])
    ringer.close()

    listening.comes()


def test_a_bell_rings_when_its_job_ends(doorbell: Make) -> None:
    ringer, waiter = doorbell(), doorbell()
    mine, other = os.urandom(16), os.urandom(16)

    with waiter.expect(mine) as bell:
        bell.wait(SHORT)  # it may ring once: something may have been missed
        ringer.ring_done([other])
        assert not bell.wait(SHORT)
        ringer.ring_done([other, mine])
        assert bell.wait(LONG)
        assert not bell.wait(0)


def test_a_bell_rings_for_a_batch_of_any_size(doorbell: Make) -> None:
    ringer, waiter = doorbell(), doorbell()
    ids = [os.urandom(16) for _ in range(10_000)]

    with waiter.expect(ids[0]) as first, waiter.expect(ids[-1]) as last:
        first.wait(SHORT), last.wait(0)
        ringer.ring_done(ids)
        assert first.wait(LONG)
        assert last.wait(LONG)


def test_two_who_wait_for_one_job_are_both_woken(doorbell: Make) -> None:
    ringer, waiter = doorbell(), doorbell()
    job = os.urandom(16)

    with waiter.expect(job) as one, waiter.expect(job) as two:
        one.wait(SHORT), two.wait(0)
        ringer.ring_done([job])
        assert one.wait(LONG)
        assert two.wait(LONG)


def test_a_process_may_ring_listen_and_wait_over_one_doorbell(doorbell: Make) -> None:
    one = doorbell()
    listening = Listening(one)
    job = os.urandom(16)

    with one.expect(job) as bell:
        bell.wait(SHORT)
        one.ring(["mail"])
        one.ring_done([job])
        assert bell.wait(LONG)
    listening.comes()


def test_a_callback_that_fails_does_not_end_the_listening(doorbell: Make, lines: Lines) -> None:
    called = threading.Semaphore(0)

    def fail() -> None:
        called.release()
        raise ValueError("in a callback")

    doorbell().listen(queues=["mail"], on_work=fail, on_control=lambda: None)
    assert called.acquire(timeout=LONG)

    doorbell().ring(["mail"])

    assert called.acquire(timeout=LONG)
    assert "callback" in lines.next()


def test_a_closed_listener_hears_nothing_and_ends_its_thread(doorbell: Make) -> None:
    before = set(threading.enumerate())
    ringer, other = doorbell(), doorbell()
    listening = Listening(other)
    ringer.ring(["mail"])
    listening.comes()

    listening.close()
    listening.close()
    ringer.ring(["mail"])

    assert listening.is_quiet()
    other.close()
    ringer.close()
    ringer.ring(["mail"])
    ringer.ring_done([os.urandom(16)])
    ringer.ring_control()
    assert set(threading.enumerate()) <= before


def test_a_listener_may_close_itself_in_its_callback(doorbell: Make) -> None:
    closed = threading.Event()
    ready = threading.Event()

    def close() -> None:
        ready.wait(LONG)
        listener.close()
        closed.set()

    listener = doorbell().listen(queues=["mail"], on_work=close, on_control=lambda: None)
    ready.set()

    assert closed.wait(LONG)


def test_a_forked_child_has_a_doorbell_of_its_own(doorbell: Make) -> None:
    listening = Listening(doorbell())
    parent = doorbell()
    own = Listening(parent, "own")
    job = os.urandom(16)
    parent.ring(["mail"])
    listening.comes()

    with parent.expect(job) as bell:
        bell.wait(SHORT)

        def ring() -> None:
            parent.ring(["mail"])
            parent.close()

        assert in_a_fork(ring)
        listening.comes()

        parent.ring(["own"])  # nothing of the parent's was closed by its child
        own.comes()
        parent.ring_done([job])
        assert bell.wait(LONG)


def test_a_fork_while_another_thread_rings_does_not_hang(doorbell: Make) -> None:
    listening = Listening(doorbell(), "child")
    parent = doorbell()
    stop = threading.Event()

    def ring() -> None:
        while not stop.is_set():
            parent.ring(["mail"])

    def ring_as_a_child() -> None:
        parent.ring(["child"])
        parent.close()

    thread = threading.Thread(target=ring)
    thread.start()
    try:
        for _ in range(10):
            assert in_a_fork(ring_as_a_child)
            listening.comes()
    finally:
        stop.set()
        thread.join()

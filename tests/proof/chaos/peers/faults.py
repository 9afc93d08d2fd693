"""Faults: a fixed schedule from a seed, the same for each contender, and what does them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Collection, Iterator
from typing import NamedTuple

from tests.proof.chaos.peers.fleet import Fleet
from tests.support.servers import Server

__all__ = ["Fault", "Kill", "Nemesis", "schedule"]

#: Mean seconds between two faults of a kind; the servers are killed once.
CHILD, WORKER, STOP = 2.0, 15.0, 10.0
#: How long a stopped process stands still, and servers are away.
_AWAY = 1.0


class Fault(NamedTuple):
    """One thing to do."""

    at: float  # seconds after the load has begun
    verb: str
    choice: float  # which of the processes, as a share of 1


class Kill(NamedTuple):
    """A kill that was done."""

    kind: str  # child, worker or database
    at: float  # of the monotonic clock; of servers, when they were back
    pids: frozenset[int] = frozenset()  # that died by it


def schedule(seed: int, seconds: float) -> list[Fault]:
    """All faults in their order; each kind keeps its rhythm, but for a quarter of it."""
    choices = random.Random(seed)
    found = list(_rhythm(choices, "child", CHILD, seconds))
    found += _rhythm(choices, "worker", min(WORKER, seconds * 0.7), seconds)
    found += _rhythm(choices, "stop", min(STOP, seconds * 0.7), seconds)
    found.append(Fault(seconds * choices.uniform(0.4, 0.6), "servers", 0.0))
    for fault in list(found):
        if fault.verb in ("stop", "servers"):
            undo = {"stop": "continue", "servers": "servers back"}[fault.verb]
            found.append(fault._replace(at=fault.at + _AWAY, verb=undo))
    return sorted(found)


def _rhythm(choices: random.Random, verb: str, period: float, seconds: float) -> Iterator[Fault]:
    at = period
    while at < seconds:
        shifted = min(at + choices.uniform(-period / 4, period / 4), seconds)
        yield Fault(shifted, verb, choices.random())
        at += period


class Nemesis:
    """Does faults.

    Attributes:
        kills: what was killed when; a server's, when it was back.
        faults: how often each was done.
    """

    def __init__(self, fleet: Fleet, servers: Collection[Server]) -> None:
        self._fleet = fleet
        self._servers = servers
        self._stopped: list[int] = []
        self.kills: list[Kill] = []
        self.faults: Counter[str] = Counter()

    def do(self, fault: Fault, bodies: set[int]) -> None:
        """One fault; ``bodies`` are the processes that have ever run one."""
        match fault.verb:
            case "child":
                self._kill_child(fault.choice, bodies)
            case "worker":
                if pids := self._fleet.kill():
                    self.kills.append(Kill("worker", time.monotonic(), pids))
                    self.faults["worker killed"] += 1
            case "stop":
                if pid := self._pick(fault.choice, bodies):
                    _signal(pid, signal.SIGSTOP)
                    self._stopped.append(pid)
                    self.faults["child stopped"] += 1
            case "continue":
                for pid in self._stopped:
                    _signal(pid, signal.SIGCONT)
                self._stopped.clear()
            case "servers":
                for server in self._servers:
                    server.kill()
            case "servers back":
                for server in self._servers:
                    server.start()
                self.kills.append(Kill("database", time.monotonic()))
                self.faults["servers killed"] += 1

    def _kill_child(self, choice: float, bodies: set[int]) -> None:
        if pid := self._pick(choice, bodies):
            _signal(pid, signal.SIGKILL)
            self.kills.append(Kill("child", time.monotonic(), frozenset({pid})))
            self.faults["child killed"] += 1

    def _pick(self, choice: float, bodies: set[int]) -> int | None:
        """One of the processes that run bodies."""
        living = sorted(self._fleet.family() & bodies - set(self._stopped))
        return living[int(choice * len(living))] if living else None


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)

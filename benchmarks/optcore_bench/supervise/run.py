"""One supervised run, from sending it to its outcome."""

from __future__ import annotations

import json
import math
import select
import sys
from time import monotonic
from typing import NamedTuple

from optcore.history import HistoryRows, PrivateMemory, read_rows
from optcore_bench.supervise import wire
from optcore_bench.supervise.handle import Child
from optcore_bench.supervise.launch import Death, Guard
from optcore_bench.supervise.outcome import Ended, Outcome
from optcore_bench.supervise.words import how_it_ended, last_words, place_in_dump

__all__ = ["Limits", "Run"]

_MEMORY_TICK = 0.02 if sys.platform == "linux" else 0.2
_LONGEST_WAIT = 3600.0
#: How long the news of a death may take after the child's socket has closed.
_GRACE_SECONDS = 0.5
#: A child that kept more than this from its runs is replaced; so is one whose record grew beyond this.
_LEFT_BYTES = 512 << 20
_RECORD_BYTES = 16 << 20


class Limits(NamedTuple):
    """What a run may use; None for no limit."""

    seconds: float | None = None
    memory: int | None = None


class Run:
    """One run of a child, watched.

    Args:
        guard: what reports and ends the child.
        child: the child, which waits for a run.
        limits: when to end it.
    """

    def __init__(self, guard: Guard, child: Child, limits: Limits) -> None:
        self.child_is_clean = False
        self._guard = guard
        self._child = child
        self._limits = limits
        self._start = monotonic()
        self._end = math.inf if limits.seconds is None else self._start + limits.seconds

    def watch(self, number: int, payload: bytes) -> Outcome:
        """Send the run; wait for the answer, the child's death, or a limit."""
        guard, child = self._guard, self._child
        exchange = wire.Exchange(child.sock, number, payload)
        poll = select.poll()
        poll.register(child.sock, select.POLLIN | select.POLLOUT)
        poll.register(child.errors, select.POLLIN)
        poll.register(guard, select.POLLIN)
        while True:
            ready = dict(poll.poll(self._patience()))
            dead = guard.fileno() in ready
            if child.errors in ready and not child.drain():
                poll.unregister(child.errors)
            try:
                if (dead or child.sock.fileno() in ready) and (message := exchange.step()) is not None:
                    return self._answered(message)
                if not exchange.sending:
                    poll.modify(child.sock, select.POLLIN)
            except wire.Disconnected:
                return self._gone()
            except wire.Garbled:
                return self._ended("crashed", "wrote to the supervisor's socket what is not an answer")
            if dead:
                return self._gone()
            if monotonic() >= self._end:
                return self._timed_out()
            if self._limits.memory is not None and (held := child.charged_bytes()) > self._limits.memory:
                return self._too_large(held, self._limits.memory)

    def _patience(self) -> int:
        """Milliseconds to wait for something to happen."""
        tick = _LONGEST_WAIT if self._limits.memory is None else _MEMORY_TICK
        return math.ceil(1000 * max(0.0, min(self._end - monotonic(), tick)))

    # --- how it can end ----------------------------------------------------------------------------------------------

    def _answered(self, message: bytes) -> Outcome:
        child = self._child
        head, _, answer = message.partition(b"\n")
        try:
            report = json.loads(head)
            result = json.loads(answer) if answer else None
        except ValueError:
            return self._ended("crashed", "wrote to the supervisor's socket what is not an answer")
        child.cpu = report["cpu"]
        left_bytes = child.left_bytes(report["resident"])
        self.child_is_clean = (
            report["clean"] and not report["left"] and left_bytes <= _LEFT_BYTES and child.memory.size <= _RECORD_BYTES
        )
        rows, damage = self._rows()
        return Outcome(
            ended=report["ended"],
            answer=result,
            message="; ".join(filter(None, (report["message"], damage))),
            rows=rows,
            seconds=report["seconds"],
            cpu_seconds=report["cpu_seconds"],
            max_rss=report["max_rss"],
        )

    def _gone(self) -> Outcome:
        try:
            death = self._guard.death(_GRACE_SECONDS)
        except TimeoutError:
            return self._ended("crashed", "closed its connection to the supervisor")
        printed = self._child.printed
        place = place_in_dump(printed)
        how = how_it_ended(death.status) + (f" {place}" if place else "")
        return self._outcome("crashed", how, death)

    def _timed_out(self) -> Outcome:
        place = self._child.trace()
        return self._ended(
            "timeout", f"killed at the limit of {self._limits.seconds:g} s" + (f" {place}" if place else "")
        )

    def _too_large(self, held: int, limit: int) -> Outcome:
        return self._ended(
            "memory", f"killed while it held {held / 1e6:.0f} MB of memory; the limit is {limit / 1e6:.0f} MB"
        )

    def _ended(self, ended: Ended, message: str) -> Outcome:
        return self._outcome(ended, message, self._guard.end_child())

    def _outcome(self, ended: Ended, message: str, death: Death) -> Outcome:
        seconds = monotonic() - self._start
        rows, damage = self._rows()
        said = last_words(self._child.printed) if ended == "crashed" else ""
        return Outcome(
            ended=ended,
            answer=None,
            message="; ".join(filter(None, (message, damage, said and f"it printed last: {said}"))),
            rows=rows,
            seconds=seconds,
            cpu_seconds=max(0.0, death.cpu - self._child.cpu),
            max_rss=death.max_rss,
        )

    def _rows(self) -> tuple[HistoryRows, str]:
        """What was recorded, and what is wrong with it."""
        try:
            return read_rows(self._child.memory.current()), ""
        except (ValueError, TypeError, OverflowError, MemoryError):  # a wild pointer of the run's can hit the record
            return read_rows(PrivateMemory().reserve(0)), "its record of evaluations was overwritten and is lost"

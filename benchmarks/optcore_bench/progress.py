"""What the user sees while a study runs, on standard error: a display on a terminal, lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from optcore_bench.words import count

__all__ = ["Lines", "Progress", "Quiet", "Tally", "TerminalBar", "make_progress"]

#: Statuses of runs in which something went wrong.
FAILED = ("error", "timeout", "crashed")


class Progress(Protocol):
    """Told what happens. `begin` comes first and `end` last, also after an error. `started` comes from any thread."""

    def begin(self, name: str, total: int, stored: int, workers: int = 1) -> None:
        """The study has so many runs, of which some are stored already; so many can run at the same time."""

    def note(self, text: str) -> None:
        """Something that the user should know."""

    def started(self, label: str) -> None:
        """A run goes to a worker."""

    def done(self, label: str, status: str, evaluations: int = 0) -> None:
        """A run is stored, which made so many evaluations."""

    def elsewhere(self, label: str, status: str) -> None:
        """Another process has stored a run."""

    def end(self) -> None:
        """Nothing more will come."""


class Quiet:
    """Says nothing."""

    def begin(self, name: str, total: int, stored: int, workers: int = 1) -> None:
        """Says nothing."""

    def note(self, text: str) -> None:
        """Says nothing."""

    def started(self, label: str) -> None:
        """Says nothing."""

    def done(self, label: str, status: str, evaluations: int = 0) -> None:
        """Says nothing."""

    def elsewhere(self, label: str, status: str) -> None:
        """Says nothing."""

    def end(self) -> None:
        """Says nothing."""


class Tally:
    """What is done, what is running, and how fast it goes.

    Args:
        total: runs of the study.
        stored: those of them that were stored beforehand.
        workers: how many can run at the same time.
        clock: tells seconds.
    """

    def __init__(
        self, total: int = 0, stored: int = 0, workers: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total = total
        self.statuses: Counter[str] = Counter()
        self.evaluations = 0
        self._stored = stored
        self._elsewhere = 0
        self._workers = workers
        self._running: dict[str, None] = {}
        self._clock = clock
        self._began = clock()
        self._mutex = threading.Lock()

    def started(self, label: str) -> None:
        """A run goes to a worker."""
        with self._mutex:
            self._running[label] = None

    def done(self, label: str, status: str, evaluations: int) -> None:
        """A run is stored."""
        with self._mutex:
            self._running.pop(label, None)
            self.statuses[status] += 1
            self.evaluations += evaluations

    def elsewhere(self) -> None:
        """Another process has stored a run."""
        self._elsewhere += 1

    @property
    def finished(self) -> int:
        """Runs that are stored."""
        return self._stored + self._elsewhere + self.statuses.total()

    @property
    def failed(self) -> int:
        """Runs of this process in which something went wrong."""
        return sum(self.statuses[status] for status in FAILED)

    @property
    def running(self) -> list[str]:
        """Labels of the runs that are with workers; those that went there last may wait for one, and are left out."""
        with self._mutex:
            return list(self._running)[: self._workers]

    @property
    def seconds(self) -> float:
        """Since it began."""
        return self._clock() - self._began

    @property
    def speed(self) -> float:
        """Evaluations a second of the runs that have ended."""
        seconds = self.seconds
        return self.evaluations / seconds if seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """If the runs that are left take as long as those that have ended; None before any has."""
        ended = sum(count for status, count in self.statuses.items() if status != "not_applicable") + self._elsewhere
        return self.seconds / ended * (self.total - self.finished) if ended else None

    def describe(self) -> str:
        """How it goes, in one line.

        >>> tally = Tally(10, 4, clock=iter([0.0, 2.0, 2.0]).__next__)
        >>> tally.started("a")
        >>> tally.done("b", "error", 20)
        >>> tally.describe()
        '1 failed, 1 running (a), 10 evaluations/s, 10 s left'
        """
        parts = [f"{self.failed} failed"] if self.failed else []
        if running := self.running:
            more = ", ..." if len(running) > 2 else ""
            parts.append(f"{len(running)} running ({', '.join(running[:2])}{more})")
        if self.evaluations:
            parts.append(f"{self.speed:,.0f} evaluations/s")
        if (left := self.seconds_left) is not None and self.finished < self.total:
            parts.append(f"{duration(left)} left")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """A time for people.

    >>> duration(8.2), duration(125), duration(9000)
    ('8 s', '2 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class Lines:
    """Plain lines: one at the start, one every few seconds, one at the end.

    Args:
        stream: where to; standard error by default.
        seconds: at most one line on runs in this time.
    """

    def __init__(self, stream: TextIO | None = None, seconds: float = 5.0) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._seconds = seconds
        self._name = ""
        self._tally = Tally()
        self._next = 0.0

    def begin(self, name: str, total: int, stored: int, workers: int = 1) -> None:
        """Name of the study and what is to be done."""
        self._name, self._tally = name, Tally(total, stored, workers)
        self._next = time.monotonic() + self._seconds
        known = f", {stored} of them stored already" if stored else ""
        self._say(f"{name}: {count(total, 'run')}{known}")

    def note(self, text: str) -> None:
        """The text on a line of its own."""
        self._say(text)

    def started(self, label: str) -> None:
        """It counts as running."""
        self._tally.started(label)

    def done(self, label: str, status: str, evaluations: int = 0) -> None:
        """A line if the last one is old enough."""
        self._tally.done(label, status, evaluations)
        self._perhaps_say(f"last {label}: {status}")

    def elsewhere(self, label: str, status: str) -> None:
        """A line if the last one is old enough."""
        self._tally.elsewhere()
        self._perhaps_say(f"last {label}: {status} (by another process)")

    def _perhaps_say(self, last: str) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._seconds
            facts = ", ".join(filter(None, (last, self._tally.describe())))
            self._say(f"{self._name}: {self._tally.finished}/{self._tally.total}, {facts}")

    def end(self) -> None:
        """How the runs ended."""
        statuses = self._tally.statuses
        self._say(f"{self._name}: {count(statuses.total(), 'run')} in {self._tally.seconds:.1f} s{_listed(statuses)}")

    def _say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


def _listed(statuses: Counter[str]) -> str:
    """How many of each.

    >>> _listed(Counter(converged=2, error=1))
    ' (2 converged, 1 error)'
    """
    return f" ({', '.join(f'{count} {status}' for status, count in statuses.most_common())})" if statuses else ""


class TerminalBar:
    """A bar with what is running below it, by rich."""

    def __init__(self, console: Any = None) -> None:
        from rich.console import Console

        self._console = Console(stderr=True) if console is None else console
        self._live: Any = None
        self._bar: Any = None
        self._task: Any = None
        self._ended = False
        self._tally = Tally()

    def begin(self, name: str, total: int, stored: int, workers: int = 1) -> None:
        """Show the bar."""
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._tally = Tally(total, stored, workers)
        self._bar = Progress(
            TextColumn("[bold]{task.fields[study]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", style="dim", markup=False),
            console=self._console,
        )
        self._task = self._bar.add_task("", total=total, completed=stored, study=name)
        self._live = Live(get_renderable=self._view, console=self._console, refresh_per_second=4)
        self._live.start()

    def _view(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        if self._ended:
            return self._bar
        self._bar.update(self._task, description=self._tally.describe())
        running = self._tally.running
        lines = [Text(f"  {label}", style="dim", no_wrap=True, overflow="ellipsis") for label in running[:_SHOWN]]
        return Group(self._bar, *lines)

    def note(self, text: str) -> None:
        """The text above the bar."""
        self._console.print(text, markup=False, highlight=False)

    def started(self, label: str) -> None:
        """It stands below the bar."""
        self._tally.started(label)

    def done(self, label: str, status: str, evaluations: int = 0) -> None:
        """One further."""
        self._tally.done(label, status, evaluations)
        self._bar.update(self._task, advance=1)

    def elsewhere(self, label: str, status: str) -> None:  # noqa: ARG002  it isn't news of this process
        """One further."""
        self._tally.elsewhere()
        self._bar.update(self._task, advance=1)

    def end(self) -> None:
        """How the runs ended."""
        if self._live is None:
            return
        self._ended = True
        self._bar.update(self._task, description=_listed(self._tally.statuses).strip(" ()"))
        self._live.stop()


#: How many of the running runs stand below the bar.
_SHOWN = 8


def make_progress(*, quiet: bool = False, stream: TextIO | None = None) -> Progress:
    """A display where standard error is a terminal, lines otherwise; nothing if quiet."""
    stream = sys.stderr if stream is None else stream
    if quiet:
        return Quiet()
    return TerminalBar() if stream.isatty() else Lines(stream)

"""What the user sees while a study runs: a bar on a terminal, lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import Any, Protocol, TextIO

__all__ = ["Lines", "Progress", "Quiet", "TerminalBar", "make_progress"]


class Progress(Protocol):
    """Told what happens. `begin` comes first and `end` last, also after an error."""

    def begin(self, name: str, total: int, stored: int) -> None:
        """The study has so many runs, of which some are stored already."""

    def note(self, text: str) -> None:
        """Something that the user should know."""

    def done(self, label: str, status: str) -> None:
        """A run is stored."""

    def end(self) -> None:
        """Nothing more will come."""


class Quiet:
    """Says nothing."""

    def begin(self, name: str, total: int, stored: int) -> None:
        """Says nothing."""

    def note(self, text: str) -> None:
        """Says nothing."""

    def done(self, label: str, status: str) -> None:
        """Says nothing."""

    def end(self) -> None:
        """Says nothing."""


class Lines:
    """Plain lines: one at the start, one every few seconds, one at the end.

    Args:
        stream: where to; standard error by default.
        seconds: at most one line on runs in this time.
    """

    def __init__(self, stream: TextIO | None = None, seconds: float = 5.0) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._seconds = seconds
        self._total = self._stored = 0
        self._name = ""
        self._statuses: Counter[str] = Counter()
        self._next = self._began = 0.0

    def begin(self, name: str, total: int, stored: int) -> None:
        """Name of the study and what is to be done."""
        self._name, self._total, self._stored = name, total, stored
        self._began = time.monotonic()
        self._next = self._began + self._seconds
        known = f", {stored} of them stored already" if stored else ""
        self._say(f"{name}: {total} runs{known}")

    def note(self, text: str) -> None:
        """The text on a line of its own."""
        self._say(text)

    def done(self, label: str, status: str) -> None:
        """A line if the last one is old enough."""
        self._statuses[status] += 1
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._seconds
            count = self._stored + self._statuses.total()
            self._say(f"{self._name}: {count}/{self._total}, last {label}: {status}")

    def end(self) -> None:
        """How the runs ended."""
        seconds = time.monotonic() - self._began
        self._say(f"{self._name}: {self._statuses.total()} runs in {seconds:.1f} s{_listed(self._statuses)}")

    def _say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


def _listed(statuses: Counter[str]) -> str:
    """How many of each.

    >>> _listed(Counter(converged=2, error=1))
    ' (2 converged, 1 error)'
    """
    return f" ({', '.join(f'{count} {status}' for status, count in statuses.most_common())})" if statuses else ""


class TerminalBar:
    """A bar with the time left, by rich."""

    def __init__(self, console: Any = None) -> None:
        from rich.console import Console

        self._console = Console(stderr=True) if console is None else console
        self._bar: Any = None
        self._task: Any = None
        self._statuses: Counter[str] = Counter()

    def begin(self, name: str, total: int, stored: int) -> None:
        """Show the bar."""
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            TextColumn("[bold]{task.fields[study]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.description}", markup=False),
            console=self._console,
        )
        self._task = self._bar.add_task("", total=total, completed=stored, study=name)
        self._bar.start()

    def note(self, text: str) -> None:
        """The text above the bar."""
        self._console.print(text, markup=False, highlight=False)

    def done(self, label: str, status: str) -> None:
        """One further."""
        self._statuses[status] += 1
        self._bar.update(self._task, advance=1, description=f"{label}: {status}")

    def end(self) -> None:
        """How the runs ended."""
        if self._bar is None:
            return
        self._bar.update(self._task, description=_listed(self._statuses).strip(" ()"))
        self._bar.stop()


def make_progress(*, quiet: bool = False, stream: TextIO | None = None) -> Progress:
    """A bar where standard error is a terminal, lines otherwise; nothing if quiet."""
    stream = sys.stderr if stream is None else stream
    if quiet:
        return Quiet()
    return TerminalBar() if stream.isatty() else Lines(stream)

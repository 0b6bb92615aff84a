"""What is said while a study runs: lines without a terminal, a bar on one, nothing where nothing is wanted."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from optcore_bench.progress import Lines, Progress, Quiet, TerminalBar, make_progress


def tell(progress: Progress) -> None:
    progress.begin("quick", 10, 4)
    progress.note("warning: [nlopt] is missing")
    progress.done("more_wild/bard scipy_bfgs [forward]", "converged")
    progress.done("more_wild/bard scipy_bfgs [central]", "error")
    progress.end()


def test_lines_say_what_is_to_be_done_and_how_it_ended() -> None:
    stream = io.StringIO()
    tell(Lines(stream, seconds=1e9))
    first, note, last = stream.getvalue().splitlines()
    assert first == "quick: 10 runs, 4 of them stored already"
    assert note == "warning: [nlopt] is missing"
    assert last.startswith("quick: 2 runs in 0.0 s (1 converged, 1 error)")


def test_lines_on_runs_come_at_most_every_few_seconds() -> None:
    stream = io.StringIO()
    tell(Lines(stream, seconds=0.0))
    lines = stream.getvalue().splitlines()
    assert lines[2] == "quick: 5/10, last more_wild/bard scipy_bfgs [forward]: converged"
    assert lines[3] == "quick: 6/10, last more_wild/bard scipy_bfgs [central]: error"
    assert len(lines) == 5


def test_the_bar_counts_what_is_stored_and_shows_brackets_as_they_are() -> None:
    stream = io.StringIO()
    tell(TerminalBar(Console(file=stream, force_terminal=True, width=160, color_system=None)))
    shown = stream.getvalue()
    assert "6/10" in shown
    assert "warning: [nlopt] is missing" in shown
    assert "1 converged, 1 error" in shown


def test_the_bar_can_end_before_it_began() -> None:
    TerminalBar(Console(file=io.StringIO())).end()


def test_quiet_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    tell(Quiet())
    assert capfd.readouterr() == ("", "")


def test_the_stream_decides() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert isinstance(make_progress(quiet=True), Quiet)
    assert isinstance(make_progress(stream=io.StringIO()), Lines)
    assert isinstance(make_progress(stream=Terminal()), TerminalBar)

"""What is said while a study runs: lines without a terminal, a bar on one, nothing where nothing is wanted."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from optcore_bench.progress import Lines, Progress, Quiet, Tally, TerminalBar, make_progress
from tests.processes import wait_until


def tell(progress: Progress) -> None:
    progress.begin("quick", 10, 4, 2)
    progress.note("warning: [nlopt] is missing")
    progress.started("more_wild/bard scipy_bfgs [forward]")
    progress.started("more_wild/bard scipy_bfgs [central]")
    progress.done("more_wild/bard scipy_bfgs [forward]", "converged", 120)
    progress.done("more_wild/bard scipy_bfgs [central]", "error", 7)
    progress.elsewhere("more_wild/bard scipy_cobyla [none]", "converged")
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
    assert lines[2].startswith("quick: 5/10, last more_wild/bard scipy_bfgs [forward]: converged, 1 running (more")
    assert lines[3].startswith("quick: 6/10, last more_wild/bard scipy_bfgs [central]: error, 1 failed, ")
    assert " evaluations/s, " in lines[3]
    assert lines[3].endswith(" left")
    assert lines[4].startswith("quick: 7/10, last more_wild/bard scipy_cobyla [none]: converged (by another process)")
    assert len(lines) == 6


def test_the_bar_counts_what_is_stored_and_shows_brackets_as_they_are() -> None:
    stream = io.StringIO()
    tell(TerminalBar(Console(file=stream, force_terminal=True, width=160, color_system=None)))
    shown = stream.getvalue()
    assert "7/10" in shown
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


def test_the_display_shows_what_is_running_until_it_ends() -> None:
    stream = io.StringIO()
    bar = TerminalBar(Console(file=stream, force_terminal=True, width=160, color_system=None))
    bar.begin("quick", 10, 4)
    bar.started("more_wild/bard scipy_bfgs [forward]")
    wait_until(lambda: "  more_wild/bard scipy_bfgs [forward]" in stream.getvalue())
    bar.done("more_wild/bard scipy_bfgs [forward]", "timeout", 50)
    wait_until(lambda: "1 failed, " in stream.getvalue())
    assert "[dim]" not in stream.getvalue()
    stream.truncate(0)
    bar.end()
    assert "scipy_bfgs" not in stream.getvalue()
    assert "1 timeout" in stream.getvalue()


def test_no_more_runs_are_said_to_run_than_there_are_workers() -> None:
    tally = Tally(total=10, workers=2)
    for label in "abcd":  # joblib takes jobs before a worker is free
        tally.started(label)
    assert tally.running == ["a", "b"]
    assert tally.describe() == "2 running (a, b)"
    tally.done("b", "converged", 0)
    assert tally.running == ["a", "c"]


def test_the_time_left_is_that_of_the_runs_that_were_run() -> None:
    seconds = 0.0
    tally = Tally(total=10, stored=2, clock=lambda: seconds)
    assert tally.seconds_left is None
    tally.done("a", "not_applicable", 0)
    assert tally.seconds_left is None
    tally.done("b", "converged", 30)
    tally.done("c", "crashed", 10)
    seconds = 8.0
    assert (tally.finished, tally.failed, tally.speed) == (5, 1, 5.0)
    assert tally.seconds_left == 5 * 4.0

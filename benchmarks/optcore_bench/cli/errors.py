"""Errors as one sentence on standard error, with an exit status, without a traceback."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import Any

import typer

__all__ = ["NOT_COMPARABLE", "NOT_FINISHED", "WRONG_INPUT", "TerminatedError", "in_one_sentence", "raising_on_sigterm"]

WRONG_INPUT = 2
NOT_COMPARABLE = 3
NOT_FINISHED = 4
INTERRUPTED = 130
TERMINATED = 143


class TerminatedError(KeyboardInterrupt):
    """SIGTERM came, as from a batch system: the same as Ctrl-C, but for the exit status."""


@contextlib.contextmanager
def in_one_sentence(*, resume: bool = False) -> Iterator[None]:
    """Turn what goes wrong for a reason that the user can mend into one sentence.

    Args:
        resume: whether the same command takes up what Ctrl-C or SIGTERM interrupts.

    Raises:
        typer.Exit: 2 for wrong input, 3 where results can't stand together, 130 after Ctrl-C, 143 after
            SIGTERM.
    """
    from optcore.errors import OptcoreError

    try:
        yield
    except KeyboardInterrupt as error:
        advice = "; finished runs are stored, and the same command resumes" if resume else ""
        terminated = isinstance(error, TerminatedError)
        _leave(f"{'terminated' if terminated else 'interrupted'}{advice}", TERMINATED if terminated else INTERRUPTED)
    except OptcoreError as error:
        from optcore_bench.store.mixing import NotComparableError

        several = len(getattr(error, "sentences", ())) > 1  # a study with several mistakes has a line for each
        text = str(error) if several else _one_line(error)
        _leave(f"error: {text}", NOT_COMPARABLE if isinstance(error, NotComparableError) else WRONG_INPUT)
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        sys.stderr.close()
        raise typer.Exit(0) from None
    except OSError as error:
        _leave(f"error: {_refused(error)}", WRONG_INPUT)


def _leave(message: str, status: int) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(status)


def _refused(error: OSError) -> str:
    """What the system refused, where, and what to do about it where that is clear."""
    if error.filename is None or error.strerror is None:
        return _one_line(error)
    in_the_way = isinstance(error, (FileExistsError, NotADirectoryError))
    remedy = "; a folder is needed there, so choose another path" if in_the_way else ""
    return f"{error.strerror}: '{error.filename}'{remedy}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split("\n"))


@contextlib.contextmanager
def raising_on_sigterm() -> Iterator[None]:
    """SIGTERM raises within; afterwards it means what it did, also to processes that are forked then."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(*_: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what follows is the end
    raise TerminatedError

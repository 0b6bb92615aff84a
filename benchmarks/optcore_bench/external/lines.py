"""The harness's side of the line protocol of programs, version 1; see PROTOCOL.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.objective import Objective
from optcore.solvers import SolverResult
from optcore_bench.external.process import Ended, ExternalError, Process

__all__ = ["ASKS", "VERSION", "Conversation", "numbers", "read_number"]

#: Changes when programs would have to.
VERSION = 1
#: What a program may ask of the harness at a point.
ASKS = ("fun", "gradient", "residuals", "jacobian")
#: Bytes of a line: so many beside those for each number.
_LONGEST, _PER_NUMBER = 1 << 16, 64
_SHOWN = 60
#: Lines of a batch.
_MOST = 1_000_000

Vector = NDArray[np.float64]


def numbers(values: Iterable[Any]) -> list[str]:
    """Numbers as text that gives exactly the same ones when it is read.

    >>> numbers([0.1, 1e300, float("inf"), -0.0])
    ['0.1', '1e+300', 'inf', '-0.0']
    """
    return [repr(float(value)) for value in values]


def read_number(text: str) -> float:
    """A number, decimal or hexadecimal.

    Raises:
        ValueError: it is none.

    >>> read_number("0.1"), read_number("0x1.8p+1"), read_number("-inf"), read_number("1.5D+3".replace("D", "E"))
    (0.1, 3.0, -inf, 1500.0)
    """
    if "_" in text:  # Python reads it
        raise ValueError(text)
    if text.lower().lstrip("+-").startswith("0x"):
        return float.fromhex(text)
    return float(text)


class Conversation:
    """What is said between the harness and a program, line by line.

    Args:
        process: the program.
        label: what messages call it.
        asks: what it may ask.
        objective: answers.
    """

    def __init__(self, process: Process, label: str, asks: tuple[str, ...], objective: Objective) -> None:
        self._process = process
        self._label = label
        self._asks = asks
        self._line = 0
        self._n = objective.n
        self._longest = _LONGEST + _PER_NUMBER * objective.n
        self._one_batch = objective.one_batch
        self._answers: dict[str, Callable[[Vector], Any]] = {
            "fun": lambda x: [objective.value(x)],
            "gradient": objective.gradient,
            "residuals": objective.residuals,
            "jacobian": lambda x: _dense(objective.jacobian(x)),
        }
        self._claims: dict[str, Any] = {}

    def hold(self, header: Iterable[str]) -> SolverResult:
        """Tell it what to minimize, answer until it is done.

        Raises:
            ExternalError: it ends before, or says what is no part of the protocol.
            StopSolver: the budget is spent.
        """
        try:
            self._tell("\n".join([f"optcore {VERSION}", *header, "end", ""]))
            while True:
                word, rest = self._request((*self._asks, "batch", "claim", "done"))
                if word == "done":
                    return self._result(self._point(word, rest))
                if word == "claim":
                    self._claim(rest)
                elif word == "batch":
                    self._batch(rest)
                else:
                    self._reply([self._answers[word](self._point(word, rest))])
        except Ended:
            raise self._ended() from None

    def _ended(self) -> ExternalError:
        unfinished = self._process.rest[:_SHOWN].decode(errors="backslashreplace")
        what = f", in the middle of line {self._line + 1}, {unfinished!r}" if unfinished else ""
        return ExternalError(f"the program {self._label!r} {self._process.wait()} (before 'done'{what})", "crashed")

    # --- what it says ------------------------------------------------------------------------------------------------

    def _request(self, known: tuple[str, ...]) -> tuple[str, str]:
        """The first word of the next line, and the rest."""
        line = self._process.read_line(self._longest)
        self._line += 1
        if line is None:
            raise ExternalError(
                f"the program {self._label!r} wrote a line of more than {self._longest} bytes (line {self._line})"
            )
        text = line.decode(errors="backslashreplace").strip()
        word, _, rest = text.partition(" ")
        if word in known:
            return word, rest
        if word in ASKS and word not in self._asks:
            raise self._error(
                f"asked for {word}", f"may ask for {', '.join(self._asks)}; the key 'asks' in the study says so"
            )
        raise self._error(f"wrote {text[:_SHOWN]!r}", f"expected is one of: {', '.join(known)}")

    def _error(self, what: str, expected: str) -> ExternalError:
        printed = self._process.words_at_the_end
        return ExternalError(
            f"the program {self._label!r} {what} (line {self._line} of its output); {expected}{printed}"
        )

    def _point(self, word: str, text: str) -> Vector:
        parts = text.split()
        if len(parts) != self._n:
            raise self._error(f"wrote {word} with {len(parts)} numbers", f"expected is a point of {self._n}")
        x = np.empty(self._n)
        for i, part in enumerate(parts):
            try:
                x[i] = read_number(part)
            except (ValueError, OverflowError):
                raise self._error(
                    f"wrote {part[:_SHOWN]!r} as number {i + 1} of {word}",
                    "expected is a decimal or hexadecimal number",
                ) from None
        return x

    def _batch(self, text: str) -> None:
        count = int(text) if text.strip().isdecimal() else 0
        if not 1 <= count <= _MOST:
            raise self._error(f"wrote batch {text[:_SHOWN]!r}", "expected is the number of points, at least 1")
        known = tuple(word for word in ("fun", "residuals") if word in self._asks)
        asked = [(word, self._point(word, rest)) for word, rest in (self._request(known) for _ in range(count))]
        with self._one_batch():
            answers = [self._answers[word](x) for word, x in asked]
        self._reply(answers)

    def _reply(self, answers: Iterable[Any]) -> None:
        self._tell("".join(f"ok {' '.join(numbers(answer))}\n" for answer in answers))

    def _tell(self, text: str) -> None:
        """Write to it; where it has ended already, which is a matter of moments, what it said before still counts."""
        with suppress(Ended):
            self._process.write(text.encode())

    # --- its end -----------------------------------------------------------------------------------------------------

    def _claim(self, text: str) -> None:
        name, _, value = text.strip().partition(" ")
        readers: dict[str, Callable[[str], Any]] = {
            "success": lambda v: {"true": True, "false": False}[v],
            "message": str,
            "fun": read_number,
            "nfev": int,
            "nit": int,
        }
        if name not in readers:
            raise self._error(f"wrote claim {name[:_SHOWN]!r}", f"expected is one of: {', '.join(readers)}")
        try:
            self._claims[name] = readers[name](value)
        except (ValueError, KeyError):
            kind = {"success": "true or false", "fun": "a number"}.get(name, "a whole number")
            raise self._error(f"wrote claim {name} {value[:_SHOWN]!r}", f"expected is {kind}") from None

    def _result(self, x: Vector) -> SolverResult:
        claims = self._claims
        return SolverResult(x, claims.get("success"), claims.get("message", ""), claims.get("nit"), claims)


def _dense(jacobian: Any) -> Vector:
    """The entries of a jacobian, row by row."""
    return np.ravel(jacobian if isinstance(jacobian, np.ndarray) else jacobian.toarray())

"""What an optimization returns."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optcore.evaluator import Status
from optcore.history import History

__all__ = ["OptimizeResult"]


@dataclass(frozen=True, eq=False, repr=False)
class OptimizeResult:
    """The result of minimize or maximize.

    Attributes:
        params: the best feasible point that the solver asked for, structured as the start was.
        fun: the value there; the sum of squares for least squares.
        status: how it ended; see `om.Status`.
        message: in the words of the solver, or what stopped it.
        algorithm: name of the algorithm.
        direction: "minimize" or "maximize".
        start_params, start_fun: where it began.
        n_iterations: as the solver counts them; None if it doesn't.
        n_fun_evals: calls of fun, those for numerical derivatives included.
        n_jac_evals, n_fun_and_jac_evals: calls of jac and fun_and_jac.
        n_numdiff_evals: the part of n_fun_evals that was made for numerical derivatives.
        seconds: wall time.
        history: every call; empty with collect_history=False.
        claims: what the solver says of itself, beside what was counted: its final point `x` (flat), its own counts.
    """

    params: Any
    fun: float
    status: Status
    message: str
    algorithm: str
    direction: str
    start_params: Any
    start_fun: float
    n_iterations: int | None
    n_fun_evals: int
    n_jac_evals: int
    n_fun_and_jac_evals: int
    n_numdiff_evals: int
    seconds: float
    history: History
    claims: Mapping[str, Any] = field(default_factory=dict)

    @property
    def success(self) -> bool:
        """Whether the solver claims convergence."""
        return self.status is Status.CONVERGED

    def _lines(self) -> list[tuple[str, str]]:
        calls = [f"{self.n_fun_evals} of fun"]
        if self.n_numdiff_evals:
            calls[0] += f" ({self.n_numdiff_evals} for numerical derivatives)"
        if self.n_jac_evals:
            calls.append(f"{self.n_jac_evals} of jac")
        if self.n_fun_and_jac_evals:
            calls.append(f"{self.n_fun_and_jac_evals} of fun_and_jac")
        iterations = "" if self.n_iterations is None else f", {self.n_iterations} iterations"
        return [
            ("status", f"{self.status.value}: {self.message}" if self.message else self.status.value),
            ("fun", f"{self.fun!r} (from {self.start_fun!r})"),
            ("params", _short(self.params)),
            ("calls", ", ".join(calls) + iterations),
            ("seconds", f"{self.seconds:.3g}"),
        ]

    def __repr__(self) -> str:
        head = f"{self.direction} with {self.algorithm}"
        return "\n".join([head, *(f"  {name:<8} {text}" for name, text in self._lines())])

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        rows = "".join(
            f"<tr><th style='text-align:left'>{name}</th><td style='text-align:left'>{html.escape(text)}</td></tr>"
            for name, text in self._lines()
        )
        title = html.escape(f"{self.direction} with {self.algorithm}")
        return f"<table><caption>{title}</caption>{rows}</table>"


def _short(value: Any, limit: int = 400) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 4] + " ..."

"""Cost models by name, their words, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

from optcore.errors import InvalidInputError

from .virtual import VirtualClock, is_number

__all__ = [
    "BRACKET",
    "CostModel",
    "JacCost",
    "check_cost",
    "check_jac_cost",
    "check_no_jac_cost",
    "check_tau",
    "describe_cost",
    "main_tau",
    "read_taus",
    "tau_label",
]

JacCost = float | Literal["n", "measured"]
CostModel = Literal["evaluations", "gradients", "batches", "seconds"] | VirtualClock

#: What a jacobian may cost, in evaluations: nothing, as much as was measured, as much as n evaluations.
BRACKET: tuple[JacCost, ...] = (0, "measured", "n")

_NAMES = ("evaluations", "gradients", "batches", "seconds")


def main_tau(taus: Iterable[float]) -> float:
    """The accuracy that single sentences and numbers are about: the one nearest to 1e-5.

    >>> main_tau([1e-1, 1e-4, 1e-9])
    0.0001
    """
    return min(taus, key=lambda tau: abs(np.log10(max(tau, 1e-300)) + 5))


def tau_label(tau: float) -> str:
    """Shortest exact spelling of an accuracy.

    >>> [tau_label(tau) for tau in (0.1, 1e-5, 2.5e-10, 0)]
    ['1e-1', '1e-5', '2.5e-10', '0']
    """
    return "0" if tau == 0 else np.format_float_scientific(tau, trim="-", exp_digits=1)


def describe_cost(cost: CostModel, jac_cost: JacCost = 0) -> str:
    """The cost in words, for axes and tables.

    >>> describe_cost("evaluations", "n")
    'evaluations (a jacobian counts as n)'
    >>> describe_cost(VirtualClock(0.1, 0.2, cores=8))
    'seconds at 0.1 s an evaluation, 0.2 s a jacobian, 8 cores'
    """
    if isinstance(cost, VirtualClock):
        overhead = cost.overhead_seconds and f", {_words(cost.overhead_seconds)} overhead a batch"
        spread = f", times spread by {100 * cost.spread:g} %" if cost.spread else ""
        cores = "1 core" if cost.cores == 1 else f"{cost.cores} cores"
        calls = f"{cost.fun_seconds:g} s an evaluation, {cost.jac_seconds:g} s a jacobian"
        return f"seconds at {calls}, {cores}{overhead or ''}{spread}"
    jacobian = {"n": "counts as n", "measured": "counts as measured", 0: "is free"}
    suffix = f" (a jacobian {jacobian.get(jac_cost, f'counts as {jac_cost}')})"
    words = {
        "evaluations": "evaluations" + suffix,
        "gradients": "evaluations / (n + 1)" + suffix,
        "batches": "batches of simultaneous calls",
        "seconds": "seconds by the clock",
    }
    return words[check_cost(cost)]


def _words(overhead: float | str) -> str:
    return "the measured" if isinstance(overhead, str) else f"{overhead:g} s"


def check_tau(tau: Any) -> None:
    """Refuse what isn't an accuracy."""
    if not is_number(tau) or not 0 <= tau < 1:
        raise InvalidInputError(f"tau must be a number in [0, 1), not {tau!r}")


def read_taus(taus: Any) -> tuple[float, ...]:
    """Accuracies of the convergence test; a single one serves for a list of one.

    Raises:
        InvalidInputError: there is none, or one that can't be.

    >>> read_taus(0.1), read_taus([1e-1, 1e-5])
    ((0.1,), (0.1, 1e-05))
    """
    given = (taus,) if is_number(taus) else tuple(taus)
    if not given:
        raise InvalidInputError("taus is empty; give at least one, such as 1e-5")
    for tau in given:
        check_tau(tau)
    return given


def check_cost(cost: object) -> str:
    """The name of a cost model that isn't a clock."""
    if not isinstance(cost, str) or cost not in _NAMES:
        raise InvalidInputError(
            f"cost must be 'evaluations', 'gradients', 'batches', 'seconds' or a VirtualClock, not {cost!r}"
        )
    return cost


def check_jac_cost(jac_cost: Any) -> None:
    """Refuse what isn't a price of a jacobian."""
    named = isinstance(jac_cost, str) and jac_cost in ("n", "measured")
    if not named and not (is_number(jac_cost) and math.isfinite(jac_cost) and jac_cost >= 0):
        raise InvalidInputError(f"jac_cost must be a finite number >= 0, 'n' or 'measured', not {jac_cost!r}")


def check_no_jac_cost(jac_cost: JacCost, why: str) -> None:
    """Refuse a price where the cost has no use for it."""
    if isinstance(jac_cost, str) or jac_cost != 0:
        raise InvalidInputError(f"jac_cost={jac_cost!r} is for costs that count evaluations; {why}")

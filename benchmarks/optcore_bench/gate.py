"""What a comparison tolerates: the table `[gate]` of a study."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from optcore.errors import InvalidInputError, unknown_name

__all__ = ["COSTS", "ExactCost", "Gate", "read_gate"]

#: The costs that are exact counts, and so repeat.
ExactCost = Literal["evaluations", "gradients", "batches"]
COSTS: tuple[ExactCost, ...] = get_args(ExactCost)


@dataclass(frozen=True)
class Gate:
    """Limits on exact counts. All of them must hold; `Gate()` is the rule that applies without a table.

    Args:
        tau: accuracy of the convergence test, 0 <= tau < 1, see `optcore_bench.cost_table`.
        cost: "evaluations", "gradients" (evaluations / (n + 1)) or "batches".
        jac_cost: what a jacobian costs in evaluations: a number, or "n".
        solved: how many solved rows may become unsolved.
        crashed: how many rows may newly end with an error or a crash.
        missing: how many rows may be missing.
        total_log2_per_row: limit of the mean log2(new cost / old cost) over the rows that both sides solve.
        worst_row_ratio: with `worst_row_evaluations`: no row may cost so many times as much ...
        worst_row_evaluations: ... and more than so many units of cost more.
        nondeterministic: the share of rows of the same code that may differ before the comparison is invalid.
        robust_ratio: in robust mode, limit of the geometric mean of the ratios of medians, in the place of
            `total_log2_per_row`, and of solved starts before and after; limits on single rows are then at least 2
            and 10.

    >>> Gate().total_log2_per_row, Gate(solved=1).solved
    (0.1, 1)
    """

    tau: float = 1e-5
    cost: ExactCost = "evaluations"
    jac_cost: float | Literal["n"] = 0
    solved: int = 0
    crashed: int = 0
    missing: int = 0
    total_log2_per_row: float = 0.1
    worst_row_ratio: float = 2.0
    worst_row_evaluations: float = 10
    nondeterministic: float = 0.1
    robust_ratio: float = 1.1

    def __post_init__(self) -> None:
        for key in fields(self):
            _CHECKS[key.name](key.name, getattr(self, key.name))


def read_gate(table: Any) -> Gate:
    """The limits that a table `[gate]` sets, the others as they are by default.

    Args:
        table: a mapping of keys of `Gate` to values, or a Gate.

    Raises:
        UnknownNameError: a key that a gate doesn't have; suggests the nearest.
        InvalidInputError: not a table, or a value that can't be.

    >>> read_gate({"tau": 1e-3}).tau
    0.001
    """
    if isinstance(table, Gate):
        return table
    if not isinstance(table, Mapping):
        raise InvalidInputError(f"must be a table such as {{tau = 1e-5, solved = 0}}, but is {table!r}")
    known = [key.name for key in fields(Gate)]
    for key in table:
        if key not in known:
            raise unknown_name("key of the gate", key, known)
    return Gate(**table)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)


def _share(key: str, value: Any) -> None:
    if not _is_number(value) or not 0 <= value < 1:
        raise InvalidInputError(f"{key} must be a number of at least 0 and below 1, but is {value!r}")


def _count(key: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidInputError(f"{key} is a number of rows, a whole number of at least 0, but is {value!r}")


def _at_least(least: float) -> Any:
    def check(key: str, value: Any) -> None:
        if not _is_number(value) or value < least:
            raise InvalidInputError(f"{key} must be a number of at least {least:g}, but is {value!r}")

    return check


def _cost(key: str, value: Any) -> None:
    if value not in COSTS:
        raise unknown_name(f"{key} of the gate", value, COSTS)


def _jac_cost(key: str, value: Any) -> None:
    if value != "n" and (not _is_number(value) or not 0 <= value < math.inf):
        raise InvalidInputError(f"{key} must be a number of evaluations of at least 0, or 'n', but is {value!r}")


_CHECKS: dict[str, Any] = {
    "tau": _share,
    "cost": _cost,
    "jac_cost": _jac_cost,
    "solved": _count,
    "crashed": _count,
    "missing": _count,
    "total_log2_per_row": _at_least(0),
    "worst_row_ratio": _at_least(1),
    "worst_row_evaluations": _at_least(0),
    "nondeterministic": _share,
    "robust_ratio": _at_least(1),
}

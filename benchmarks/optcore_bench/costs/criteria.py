"""When a run has solved its problem, and which of its evaluations it is charged up to."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from optcore.errors import InvalidInputError
from optcore_bench.evaluations import Bools, Evaluations, Floats, HasTables, Ints, ReferenceValue

from .models import check_tau
from .points import first_close

__all__ = ["Basis", "Judgement", "SolvedBy", "check_basis", "degenerate_rows", "judge"]

#: Whether the first point that passes decides, or the one that the solver returned.
Basis = Literal["history", "output"]
#: What has to become small: the gap to f_L, the distance to x_opt, or the gradient.
SolvedBy = Literal["f", "x", "gradient"]


@dataclass(frozen=True, eq=False)
class Judgement:
    """Which runs solved their problems, and at which evaluation.

    Attributes:
        charged: position of the evaluation up to which each run is charged, -1 where it solved nothing, shape (R,).
        attrs: what `cost_table` says of it in its own attrs, from `tau` to `degenerate`.
    """

    charged: Ints
    attrs: dict[str, Any]

    @property
    def solved(self) -> Bools:
        """Whether each run solved its problem, shape (R,)."""
        return self.charged >= 0


def judge(
    evaluations: Evaluations,
    tau: float,
    f_opt: ReferenceValue = "best_known",
    basis: Basis = "history",
    solved_by: SolvedBy = "f",
    problems: Iterable[Any] | None = None,
) -> Judgement:
    """Apply the convergence test to all runs, to those of the same evaluations once.

    The arguments are those of `cost_table`.
    """
    check_tau(tau)
    check_basis(basis)
    if solved_by not in ("f", "x", "gradient"):
        raise InvalidInputError(f"solved_by must be 'f', 'x' or 'gradient', not {solved_by!r}")
    if basis == "output" and solved_by != "f":
        raise InvalidInputError(
            f"solved_by={solved_by!r} needs points, and of what a solver returned only f_final is stored; "
            "use basis='history' or solved_by='f'"
        )
    if solved_by != "f":
        return _judge(evaluations, tau, f_opt, basis, solved_by, problems)
    known = evaluations.judgements
    key = float(tau), f_opt, basis
    if key not in known:
        known[key] = _judge(evaluations, *key, "f", None)
    return replace(known[key], attrs={name: copy(value) for name, value in known[key].attrs.items()})


def _judge(
    evaluations: Evaluations,
    tau: float,
    f_opt: ReferenceValue,
    basis: Basis,
    solved_by: SolvedBy,
    problems: Iterable[Any] | None,
) -> Judgement:
    use = evaluations.applicable
    rows = evaluations.runs["row"][use]
    low, sources = evaluations.reference(f_opt)
    targets = evaluations.targets(tau, f_opt)
    if solved_by != "f":
        charged, assessable = first_close(evaluations, tau, solved_by, problems)
        sources = np.full(len(sources), "x_opt of the problem" if solved_by == "x" else "the gradient at the start")
    else:
        charged = evaluations.first_hits(targets) if basis == "history" else _returned(evaluations, targets)
        assessable = np.isfinite(targets)
    attrs = {
        "tau": float(tau),
        "f_opt": f_opt,
        "basis": basis,
        "solved_by": solved_by,
        "solvers": evaluations.solvers,
        "f_opt_source": dict(zip(rows, sources[use], strict=True)),
        "not_assessable": list(dict.fromkeys(rows[~assessable[use]])),
        "degenerate": _degenerate(evaluations, low, targets)["row"].tolist() if solved_by == "f" else [],
    }
    return Judgement(charged, attrs)


def check_basis(basis: Basis) -> None:
    """Refuse what isn't a basis."""
    if basis not in ("history", "output"):
        raise InvalidInputError(f"basis must be 'history' or 'output', not {basis!r}")


def _returned(evaluations: Evaluations, targets: Floats) -> Ints:
    """The last evaluation of each run whose returned point has passed, else -1."""
    passed = (evaluations.f_final() <= targets) & (np.diff(evaluations.offsets) > 0)
    return np.where(passed, evaluations.offsets[1:] - 1, -1)


def degenerate_rows(
    results: HasTables | Evaluations, tau: float = 1e-5, f_opt: ReferenceValue = "best_known"
) -> pd.DataFrame:
    """Rows on which an accuracy says little: points that pass are far from a minimum, or the start passes.

    tau is relative to f_start - f_L. Where f_start is huge, as on starts scaled by 10 or 100, even a small tau
    lets values pass that are many times f_L.

    Args:
        results: as for `cost_table`.
        tau: as for `cost_table`.
        f_opt: as for `cost_table`.

    Returns:
        One row per such row of the cost table: `row`, `f_opt` (f_L), `source` (of f_L), `f_start`, `threshold`
        (values up to it pass) and `reason`: "threshold - f_L > |f_L|" (above 2 f_L where f_L > 0), "threshold >
        0.01" (where f_L is 0 but for rounding), "the start is at f_L", or "the start is below f_L".

    Example:
        >>> from optcore_bench import Results, degenerate_rows
        >>> frame = pd.DataFrame({"problem": ["a", "b"], "algorithm": "mine", "evaluation": 0,
        ...                       "fun": [1e6, 2.0], "f_opt": [1.0, 1.0]})
        >>> degenerate_rows(Results.from_frame(frame), 1e-5)[["row", "threshold", "reason"]].values.tolist()
        [['a', 10.99999, 'threshold - f_L > |f_L|']]
    """
    evaluations = Evaluations.read(results)
    check_tau(tau)
    low, sources = evaluations.reference(f_opt)
    found = _degenerate(evaluations, low, evaluations.targets(tau, f_opt))
    found.insert(2, "source", found["row"].map(dict(zip(evaluations.runs["row"], sources, strict=True))))
    found.attrs |= {"tau": float(tau), "f_opt": f_opt}
    return found


def _degenerate(evaluations: Evaluations, low: Floats, targets: Floats) -> pd.DataFrame:
    start = evaluations.f_start()
    # What is 0 but for rounding is 0: the best of the compared runs is 1e-32 where the optimum is 0.
    zero = np.abs(low) <= np.finfo(float).eps * np.abs(start)
    with np.errstate(invalid="ignore", over="ignore"):
        reasons = np.select(
            [start < low, start == low, zero & (targets > 1e-2), ~zero & (targets - low > np.abs(low))],
            ["the start is below f_L", "the start is at f_L", "threshold > 0.01", "threshold - f_L > |f_L|"],
            default="",
        )
    frame = evaluations.runs[["row"]].assign(f_opt=low, f_start=start, threshold=targets, reason=reasons)
    frame = frame[evaluations.applicable & (reasons != "")]
    return frame.drop_duplicates("row").reset_index(drop=True)

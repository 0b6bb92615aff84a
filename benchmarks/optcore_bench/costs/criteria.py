"""When a run has solved its problem, and which of its evaluations it is charged up to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from optcore_bench.evaluations import Bools, Evaluations, Ints, ReferenceValue

from .models import check_tau

__all__ = ["Judgement", "judge"]


@dataclass(frozen=True, eq=False)
class Judgement:
    """Which runs solved their problems, and at which evaluation.

    Attributes:
        charged: position of the evaluation up to which each run is charged, -1 where it solved nothing, shape (R,).
        attrs: `tau`, `f_opt`, `solvers`, `f_opt_source`, `not_assessable`, as in the attrs of `cost_table`.
    """

    charged: Ints
    attrs: dict[str, Any]

    @property
    def solved(self) -> Bools:
        """Whether each run solved its problem, shape (R,)."""
        return self.charged >= 0


def judge(evaluations: Evaluations, tau: float, f_opt: ReferenceValue) -> Judgement:
    """Apply the convergence test to all runs; the arguments are those of `cost_table`."""
    check_tau(tau)
    targets = evaluations.targets(tau, f_opt)
    use = evaluations.applicable
    rows, sources = evaluations.runs["row"][use], evaluations.reference(f_opt)[1][use]
    attrs = {
        "tau": float(tau),
        "f_opt": f_opt,
        "solvers": evaluations.solvers,
        "f_opt_source": dict(zip(rows, sources, strict=True)),
        "not_assessable": list(dict.fromkeys(rows[np.isnan(targets[use])])),
    }
    return Judgement(evaluations.first_hits(targets), attrs)

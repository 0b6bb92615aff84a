"""Our own gate: what solvers of other libraries cost through optcore, on the 53 problems of More and Wild.

A change in dispatch, numerical derivatives or the evaluator that costs any of them an evaluation fails here, with the
rows that it costs. Where it is meant, the baselines are renewed: `pytest tests/bench/test_gate.py --optcore-accept`.
scipy_ls_lm is left out: on ext_powell_singular MINPACK reads memory that nobody set, and its counts don't repeat.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

import optcore as om
from optcore_bench.testing import check

BASELINES = Path(__file__).parents[2] / "results" / "baselines"
#: Any row that costs one evaluation more fails.
STRICT = {"total_log2_per_row": 0, "worst_row_ratio": 1, "worst_row_evaluations": 0, "nondeterministic": 0}
#: By file: the library that it needs, the solvers, and where derivatives come from.
GATES: dict[str, tuple[str, list[str], list[str]]] = {
    "scipy_gradients": ("scipy", ["scipy_lbfgsb", "scipy_slsqp", "scipy_bfgs"], ["analytic", "forward"]),
    "scipy_residuals": ("scipy", ["scipy_ls_trf", "scipy_ls_dogbox"], ["analytic", "central"]),
    "derivative_free": ("nlopt", ["scipy_neldermead", "nlopt_bobyqa", "nlopt_sbplx"], ["none"]),
    "nlopt": ("nlopt", ["nlopt_lbfgsb", "nlopt_slsqp"], ["complex_step"]),
    "iminuit": ("iminuit", ["iminuit_migrad"], ["forward"]),
}


@pytest.mark.parametrize("name", list(GATES))
def test_no_solver_costs_an_evaluation_more_than_its_baseline(name: str, request: pytest.FixtureRequest) -> None:
    library, solvers, derivatives = GATES[name]
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    settings: dict[str, Any] = {
        "derivatives": derivatives,
        "budget": om.Budget(max_evaluations=500),
        "gate": STRICT,
        "robust_starts": 5,
        "accept": bool(request.config.getoption("--optcore-accept", default=False)),
    }
    check({solver: solver for solver in solvers}, "more_wild", baseline=BASELINES / f"{name}.toml", **settings)

"""What solvers cost and solve, by algorithm and derivative strategy: exact counts, and the time of all problems.

One of them by hand, in `benchmarks/`:
`python -c "from asv_suite.solvers import Gradients; print(Gradients().measure())"`.
"""

from optcore import Budget
from optcore_bench.asv import SolverSuite as _SolverSuite


class Gradients(_SolverSuite):
    """Solvers that use gradients, with exact and with numerical ones."""

    problems = {"suite": "more_wild", "n_max": 8}  # noqa: RUF012  asv reads class attributes
    algorithms = ("scipy_lbfgsb", "scipy_bfgs", "scipy_slsqp", "scipy_ls_trf")
    derivatives = ("analytic", "forward", "central")
    budget = Budget(max_gradients=100)


class WithoutDerivatives(_SolverSuite):
    """Solvers that use none."""

    problems = {"suite": "more_wild", "n_max": 8}  # noqa: RUF012  asv reads class attributes
    algorithms = ("scipy_neldermead", "scipy_cobyla", "scipy_powell")
    derivatives = "none"
    budget = Budget(max_gradients=100)

"""The local solvers of NLopt, an optional library (extra `nlopt`); what they share with the global ones.

Source of all: Johnson (2007), The NLopt nonlinear-optimization package, and the papers that it names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.objective import Objective
from optcore.solvers.algorithm import Algorithm, SolverResult, register_algorithm
from optcore.solvers.options import COUNT, SWITCH, UNLIMITED, Rule, or_none

Vector = NDArray[np.float64]

FAILURE, ROUNDING = -1, -4
#: What the return codes of NLopt mean.
MESSAGES = {
    1: "converged",
    2: "the value to stop at was reached",
    3: "ftol was reached",
    4: "xtol was reached",
    5: "maxeval was reached",
    6: "maxtime was reached",
    FAILURE: "NLopt failed: generic failure, code -1",
    -2: "NLopt was given invalid arguments",
    -3: "NLopt ran out of memory",
    ROUNDING: "NLopt stopped because of rounding errors",
    -5: "NLopt was stopped",
}
TIGHT = {
    "convergence_xtol_rel": 0.0,
    "convergence_xtol_abs": 0.0,
    "convergence_ftol_rel": 0.0,
    "convergence_ftol_abs": 0.0,
}
NAMES = {
    "convergence_xtol_rel": "xtol_rel",
    "convergence_xtol_abs": "xtol_abs",
    "convergence_ftol_rel": "ftol_rel",
    "convergence_ftol_abs": "ftol_abs",
    "stopping_maxfun": "maxeval",
}
#: Two points are the same up to rounding, if they differ by less than this, relative to their entries.
SAME = 8 * float(np.finfo(np.float64).eps)


class Calls:
    """The function in the form that NLopt calls, and what can be learnt from the calls.

    What the user's function raises, or what stops a run, is kept here and raised once NLopt has returned: some of its
    solvers go on after an exception. Until then it gets a value that ends it, and no user code is called.

    Args:
        fun: gives the value at x, shape (n,).
        jac: gives the gradient there.
        solver: to be stopped.
        largest: it gets this where the value is larger.
    """

    def __init__(
        self, fun: Callable[[Vector], float], jac: Callable[[Vector], Vector], solver: Any, largest: float
    ) -> None:
        self._fun, self._jac, self._solver, self._largest = fun, jac, solver, largest
        self.raised: BaseException | None = None
        self.last = np.zeros(0)

    def evaluate(self, x: Vector, gradient: Vector) -> float:
        """The value at x, shape (n,); writes the gradient where it is asked for."""
        if self.raised is None:
            try:
                self.last = x.copy()
                value = self._fun(x)
                if gradient.size:
                    gradient[:] = self._jac(x)
            except BaseException as error:  # noqa: BLE001  raised again when NLopt has returned
                self.raised = error
            else:
                return min(float(value), self._largest)
        self._solver.force_stop()
        return -np.inf


@dataclass(frozen=True)
class Nlopt(Algorithm):
    """What all solvers of NLopt share."""

    library: ClassVar[str] = "nlopt"
    extra: ClassVar[str | None] = "nlopt"
    supports_bounds: ClassVar[bool] = True
    tight: ClassVar[Mapping[str, float]] = TIGHT
    library_names: ClassVar[Mapping[str, str]] = NAMES
    code: ClassVar[str]  # name of the algorithm in the nlopt module
    largest: ClassVar[float] = np.inf  # value that it can work with

    convergence_xtol_rel: float = 1e-5
    convergence_xtol_abs: float = 0.0
    convergence_ftol_rel: float = 2e-9
    convergence_ftol_abs: float = 0.0
    stopping_maxfun: int = UNLIMITED

    def code_for(self, bounds: FlatBounds) -> str:  # noqa: ARG002  of some
        """Name of the algorithm in the nlopt module, by the options and by whether there are bounds."""
        return self.code

    def make_solver(self, n: int, bounds: FlatBounds) -> Any:
        """An nlopt.opt with the options."""
        import nlopt

        solver = nlopt.opt(getattr(nlopt, self.code_for(bounds)), n)
        for ours, theirs in self.library_names.items():
            value = getattr(self, ours)
            if value is not None:
                getattr(solver, f"set_{theirs}")(value)
        if bounds.any:
            solver.set_lower_bounds(bounds.lower)
            solver.set_upper_bounds(bounds.upper)
        return solver

    def solve(self, objective: Objective, x0: Vector, bounds: FlatBounds) -> SolverResult:
        """Run NLopt. What the user's function raises passes through."""
        fun, jac = objective.scalar_callables(jointly=self.asks_jointly)
        solver = self.make_solver(x0.size, bounds)
        calls = Calls(fun, jac, solver, self.largest)
        solver.set_min_objective(calls.evaluate)
        return self.run(solver, calls, x0, objective)

    def run(self, solver: Any, calls: Calls, x0: Vector, objective: Objective) -> SolverResult:
        """Run a solver and read how it ended."""
        failure: Exception | None = None
        try:
            x = np.asarray(solver.optimize(x0), dtype=np.float64)
        except Exception as error:  # noqa: BLE001  NLopt's failures come as many types
            failure = error
        if calls.raised is not None:  # outside of the except clause, so that its cause stays what it was
            raise calls.raised
        code = int(solver.last_optimize_result())
        if failure is None:
            return SolverResult(x, success=code in (1, 2, 3, 4), message=MESSAGES.get(code, f"return code {code}"))
        best = objective.best_x
        x = x0 if best is None else best
        success, message = self.read_failure(code, x, calls.last)
        details = solver.get_errmsg()
        return SolverResult(x, success=success, message=f"{message}: {details}" if details else message)

    def read_failure(self, code: int, best: Vector, last: Vector) -> tuple[bool, str]:  # noqa: ARG002  of some
        """Whether what NLopt calls a failure is one, and what happened.

        Args:
            code: the return code, below zero.
            best: the best point, shape (n,).
            last: the last point that was evaluated, shape (n,).
        """
        return False, MESSAGES.get(code, f"NLopt failed: return code {code}")


@dataclass(frozen=True)
class NloptGradient(Nlopt):
    """What the solvers share that use gradients."""

    needs_jac: ClassVar[bool] = True
    asks_jointly: ClassVar[bool] = True


@dataclass(frozen=True)
class NloptLuksan(NloptGradient):
    """What Luksan's solvers share. They fail, in NLopt's words, wherever a line search finds no lower value."""

    aliases: ClassVar[Mapping[str, str]] = {"memory": "limited_memory_storage_length"}
    library_names: ClassVar[Mapping[str, str]] = {**NAMES, "limited_memory_storage_length": "vector_storage"}
    rules: ClassVar[Mapping[str, Rule]] = {"limited_memory_storage_length": or_none(COUNT)}

    limited_memory_storage_length: int | None = None
    memory: InitVar[int | None] = field(default=None, kw_only=True)

    def read_failure(self, code: int, best: Vector, last: Vector) -> tuple[bool, str]:
        """A line search that has shrunk to rounding errors around the best point is convergence; others failed."""
        if code != FAILURE:
            return super().read_failure(code, best, last)
        if np.all(np.abs(last - best) <= SAME * np.abs(best)):
            return True, "converged up to rounding errors: the last line search ended where it began"
        return False, (
            "the line search failed: none of the steps that it tried gave a lower value; the first one is as long as "
            "the gradient, so that scaling fun down may help"
        )


@register_algorithm
@dataclass(frozen=True)
class NloptLBFGSB(NloptLuksan):
    """Limited-memory BFGS of Luksan, with bounds.

    Args:
        limited_memory_storage_length: how many of the latest steps are kept; None: NLopt's choice.
        memory: another name of limited_memory_storage_length.

    References:
        Liu & Nocedal (1989), Math. Programming 45; Nocedal (1980), Math. Comput. 35(151).
    """

    name: ClassVar[str] = "nlopt_lbfgsb"
    code: ClassVar[str] = "LD_LBFGS"


@register_algorithm
@dataclass(frozen=True)
class NloptTNewton(NloptLuksan):
    """Truncated Newton, its Hessian products from differences of gradients.

    Args:
        limited_memory_storage_length: how many of the latest steps are kept; None: NLopt's choice.
        memory: another name of limited_memory_storage_length.
        preconditioned: precondition its linear systems by limited-memory BFGS.
        restarts: begin anew with steepest descent from time to time.

    References:
        Dembo & Steihaug (1983), Math. Programming 26.
    """

    name: ClassVar[str] = "nlopt_tnewton"
    rules: ClassVar[Mapping[str, Rule]] = {**NloptLuksan.rules, "preconditioned": SWITCH, "restarts": SWITCH}

    preconditioned: bool = True
    restarts: bool = True

    def code_for(self, bounds: FlatBounds) -> str:  # noqa: ARG002  the same for all
        """Name of the algorithm in the nlopt module, by the options."""
        return "LD_TNEWTON" + ("_PRECOND" if self.preconditioned else "") + ("_RESTART" if self.restarts else "")


@register_algorithm
@dataclass(frozen=True)
class NloptVar(NloptLuksan):
    """Shifted limited-memory variable metric.

    Args:
        limited_memory_storage_length: how many of the latest steps are kept; None: NLopt's choice.
        memory: another name of limited_memory_storage_length.
        rank_1_update: update the metric with rank 1, not 2.

    References:
        Vlcek & Luksan (2006), J. Comput. Appl. Math. 186(2).
    """

    name: ClassVar[str] = "nlopt_var"
    rules: ClassVar[Mapping[str, Rule]] = {**NloptLuksan.rules, "rank_1_update": SWITCH}

    rank_1_update: bool = True

    def code_for(self, bounds: FlatBounds) -> str:  # noqa: ARG002  the same for all
        """Name of the algorithm in the nlopt module, by the options."""
        return "LD_VAR1" if self.rank_1_update else "LD_VAR2"


@register_algorithm
@dataclass(frozen=True)
class NloptSLSQP(NloptGradient):
    """Sequential least-squares quadratic programming.

    References:
        Kraft (1994), ACM Trans. Math. Software 20(3).
    """

    name: ClassVar[str] = "nlopt_slsqp"
    code: ClassVar[str] = "LD_SLSQP"


@register_algorithm
@dataclass(frozen=True)
class NloptMMA(NloptGradient):
    """The method of moving asymptotes, for many params and separable approximations.

    References:
        Svanberg (2002), SIAM J. Optim. 12(2).
    """

    name: ClassVar[str] = "nlopt_mma"
    code: ClassVar[str] = "LD_MMA"


@register_algorithm
@dataclass(frozen=True)
class NloptCCSAQ(NloptGradient):
    """Conservative convex separable approximations with quadratic terms.

    References:
        Svanberg (2002), SIAM J. Optim. 12(2).
    """

    name: ClassVar[str] = "nlopt_ccsaq"
    code: ClassVar[str] = "LD_CCSAQ"


@register_algorithm
@dataclass(frozen=True)
class NloptBOBYQA(Nlopt):
    """Quadratic models in a trust region, without derivatives.

    References:
        Powell (2009), DAMTP 2009/NA06.
    """

    name: ClassVar[str] = "nlopt_bobyqa"
    code: ClassVar[str] = "LN_BOBYQA"


@register_algorithm
@dataclass(frozen=True)
class NloptNewuoa(Nlopt):
    """Quadratic models in a trust region, without derivatives; with bounds, a variant of NLopt's own. From 2 params on.

    References:
        Powell (2006), in Large-Scale Nonlinear Optimization, Springer.
    """

    name: ClassVar[str] = "nlopt_newuoa"

    def code_for(self, bounds: FlatBounds) -> str:
        """Name of the algorithm in the nlopt module, by whether there are bounds."""
        return "LN_NEWUOA_BOUND" if bounds.any else "LN_NEWUOA"

    def misfit(self, bounds: FlatBounds, names: Callable[[], Sequence[str]]) -> str | None:
        """Why it can't work on params with these bounds and names, and what to do; None if it can."""
        if bounds.lower.size < 2:
            return f"{self.name} needs at least 2 params, but there is 1; use a solver such as scipy_brent"
        return super().misfit(bounds, names)


@register_algorithm
@dataclass(frozen=True)
class NloptCOBYLA(Nlopt):
    """Linear models on a simplex, without derivatives.

    References:
        Powell (1994), Mathematics and its Applications 275.
    """

    name: ClassVar[str] = "nlopt_cobyla"
    code: ClassVar[str] = "LN_COBYLA"
    largest: ClassVar[float] = 1e100  # it never returns from an infinite one


@register_algorithm
@dataclass(frozen=True)
class NloptNelderMead(Nlopt):
    """The downhill simplex, with bounds.

    References:
        Nelder & Mead (1965), Computer Journal 7(4); Box (1965), Computer Journal 8(1), for the bounds.
    """

    name: ClassVar[str] = "nlopt_neldermead"
    code: ClassVar[str] = "LN_NELDERMEAD"


@register_algorithm
@dataclass(frozen=True)
class NloptSbplx(Nlopt):
    """Simplex searches in subspaces.

    References:
        Rowan (1990), PhD thesis, University of Texas at Austin.
    """

    name: ClassVar[str] = "nlopt_sbplx"
    code: ClassVar[str] = "LN_SBPLX"


@dataclass(frozen=True)
class NloptRandom(Nlopt):
    """What the solvers share that draw random numbers. NLopt has one source of them, seeded before each run."""

    is_deterministic: ClassVar[bool] = False

    seed: int | None = field(default=0, kw_only=True)

    def solve(self, objective: Objective, x0: Vector, bounds: FlatBounds) -> SolverResult:
        """Seed and run."""
        import nlopt

        if self.seed is None:
            nlopt.srand_time()
        else:
            nlopt.srand(self.seed)
        return super().solve(objective, x0, bounds)


@register_algorithm
@dataclass(frozen=True)
class NloptPraxis(NloptRandom):
    """Principal axes: conjugate directions without derivatives, with random steps where they degenerate.

    References:
        Brent (1973), Algorithms for Minimization without Derivatives, chapter 7.
    """

    name: ClassVar[str] = "nlopt_praxis"
    code: ClassVar[str] = "LN_PRAXIS"
    supports_bounds: ClassVar[bool] = False  # NLopt lets it see infinity outside, which its models don't survive

"""Solvers under asv: what they solve, at what cost, over the commits of a repository.

In a module of the suite of your own (the folder that `benchmark_dir` in asv.conf.json names):

    from optcore_bench.asv import SolverSuite

    class MySolver(SolverSuite):
        problems = {"suite": "more_wild", "n_max": 6}
        algorithms = ({"name": "mine", "algorithm": "my_package.solvers:solve"}, "scipy_lbfgsb")
        derivatives = ("analytic", "forward")

`asv run --quick` runs it once, `asv continuous main HEAD` compares two commits, and `asv run v1.0..main`, `asv publish`
and `asv preview` show the history as curves. The counts of the `track_` benchmarks repeat exactly on one machine; those
of time are what they are.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import cloudpickle
import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped,unused-ignore]

import optcore as om
from optcore_bench.algorithms import algorithm_entry
from optcore_bench.costs import accuracy_table, cost_table
from optcore_bench.evaluations import Evaluations, applicable, floats, solver_label
from optcore_bench.execute import Task, execute
from optcore_bench.jobs import make_task
from optcore_bench.runner import run_study
from optcore_bench.runs import expand
from optcore_bench.strategies import make_strategy
from optcore_bench.study import Study
from optcore_bench.testing import scratch

__all__ = ["SolverSuite"]

_DIGITS = 16.0


class SolverSuite(ABC):
    """Benchmarks of asv for algorithms x derivative strategies. Subclass it and set `algorithms`.

    Attributes:
        algorithms: as in a study; abstract, so that asv doesn't take this class for a benchmark.
        problems: as in a study.
        derivatives: as in a study.
        budget: what each run may spend.
        starts: 1, or that many perturbed starts.
        tau: accuracy of the convergence test.
        stopping: as in a study.

    >>> class Small(SolverSuite):
    ...     problems = ["more_wild/rosenbrock", "more_wild/bard"]
    ...     algorithms = ("scipy_lbfgsb",)
    >>> Small.params
    (('scipy_lbfgsb',), ('analytic',))
    >>> suite = Small()
    >>> found = suite.measure()
    >>> suite.track_solved(found, "scipy_lbfgsb", "analytic")
    2
    """

    problems: ClassVar[Any] = "more_wild"
    derivatives: ClassVar[Any] = ("analytic",)
    budget: ClassVar[om.Budget] = om.Budget(max_gradients=100)
    starts: ClassVar[int] = 1
    tau: ClassVar[float] = 1e-5
    stopping: ClassVar[str] = "tight"

    #: What asv reads: the names of the cells, and how long one may take.
    param_names: ClassVar[tuple[str, ...]] = ("algorithm", "derivative")
    params: ClassVar[tuple[tuple[str, ...], ...]] = ()
    timeout: ClassVar[float] = 600
    number: ClassVar[int] = 1
    repeat: ClassVar[tuple[int, int, float]] = (1, 5, 20.0)
    warmup_time: ClassVar[float] = 0.0

    #: Made for each subclass, see `measure`.
    setup_cache: ClassVar[Callable[..., Any]]

    @property
    @abstractmethod
    def algorithms(self) -> Any:
        """As in a study."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Tell asv the names of the cells."""
        super().__init_subclass__(**kwargs)
        listed: Any = cls.algorithms
        if isinstance(listed, property):
            return
        algorithms = [listed] if isinstance(listed, (str, Mapping)) else list(listed)
        derivatives = [cls.derivatives] if isinstance(cls.derivatives, (str, Mapping)) else list(cls.derivatives)
        names = tuple(algorithm_entry(one).name for one in algorithms)
        cls.setup_cache = _own_setup_cache(cls)
        cls.params = (names, tuple(make_strategy(one).name for one in derivatives))

    @classmethod
    def study(cls) -> Study:
        """The study that is run."""
        return Study(
            name=cls.__name__,
            problems=cls.problems,
            algorithms=cls.algorithms,
            derivatives=cls.derivatives,
            budget=cls.budget,
            starts=cls.starts,
            stopping=cls.stopping,
            keep_x=False,
        )

    def measure(self) -> dict[str, dict[str, float]]:
        """Run all of it; what asv calls once a commit, as `setup_cache`.

        Returns:
            For each solver's label: `evaluations` (geometric mean until solved; what isn't solved counts with all
            that it spent), `solved` (how many) and `digits` (median of those gained). What can't be run, such as a
            problem without the derivative, is in none of them, and a solver that can't run at all is left out.
        """
        # Solvers in the suite's own module travel by value: asv imports it by an importer that no other process has.
        if module := sys.modules.get(type(self).__module__):
            cloudpickle.register_pickle_by_value(module)
        with scratch() as folder:
            evaluations = Evaluations.read(run_study(self.study(), store=folder / "store", n_jobs=1))
            costs, gaps = cost_table(evaluations, self.tau), accuracy_table(evaluations)
        runs = evaluations.runs
        spent = floats(runs["n_fun_evals"] + runs["n_fun_and_jac_evals"]).clip(min=1.0)
        spent = evaluations.cells.table(np.where(applicable(runs), spent, np.nan), missing=np.nan)
        filled = costs.where(np.isfinite(costs), spent)
        digits = -np.log10(gaps.clip(lower=10.0**-_DIGITS)).where(spent.notna())
        return {
            str(solver): {
                "evaluations": float(np.exp(np.log(filled[solver]).mean())),
                "solved": int(np.isfinite(costs[solver]).sum()),
                "digits": float(digits[solver].median()),
            }
            for solver in costs.columns[spent.notna().any()]
        }

    def setup(self, found: Mapping[str, Mapping[str, float]], algorithm: str, derivative: str) -> None:
        """Skip a pair that can't be; pin the threads, as runs of a study have them, and prepare what is timed.

        Raises:
            NotImplementedError: by which asv knows that there is nothing to measure.
        """
        if solver_label(algorithm, derivative) not in found:
            raise NotImplementedError(f"{algorithm} doesn't run under {derivative}")
        import scipy.linalg  # noqa: F401  loads its BLAS: limits don't reach what a solver would load later

        self._limits = threadpool_limits(1)
        runs = [run for run in expand(self.study()) if (run.entry.name, run.derivative.name) == (algorithm, derivative)]
        self._tasks: list[Task] = [make_task(run) for run in runs if not run.reason]

    def teardown(self, found: Any, algorithm: str, derivative: str) -> None:
        """Give the threads back; asv calls it for what was skipped too."""
        del found, algorithm, derivative
        if hasattr(self, "_limits"):
            self._limits.restore_original_limits()

    def track_evaluations_to_solve(self, found: Any, algorithm: str, derivative: str) -> float:
        """Geometric mean of evaluations until solved."""
        return float(found[solver_label(algorithm, derivative)]["evaluations"])

    track_evaluations_to_solve.unit = "evaluations"  # type: ignore[attr-defined]

    def track_solved(self, found: Any, algorithm: str, derivative: str) -> int:
        """How many problems are solved."""
        return int(found[solver_label(algorithm, derivative)]["solved"])

    track_solved.unit = "problems solved"  # type: ignore[attr-defined]

    def track_digits(self, found: Any, algorithm: str, derivative: str) -> float:
        """Median over problems of the digits gained, -log10 (f_best - f_L) / (f_start - f_L), 16 at most."""
        return float(found[solver_label(algorithm, derivative)]["digits"])

    track_digits.unit = "digits"  # type: ignore[attr-defined]

    def time_all_problems(self, found: Any, algorithm: str, derivative: str) -> None:
        """All problems one after the other, in this process."""
        del found, algorithm, derivative
        for task in self._tasks:
            execute(None, task)


def _own_setup_cache(cls: type[SolverSuite]) -> Callable[..., Any]:
    """A `setup_cache` that asv takes for one of this class alone.

    What it returns is shared by all benchmarks whose `setup_cache` stands in the same line of the same module, as
    `inspect` tells; an inherited one would be shared by all suites. This one is said to stand where its class does.
    """

    def setup_cache(self: SolverSuite) -> dict[str, dict[str, float]]:
        """Run all of it once a commit, see `measure`."""
        return self.measure()

    setup_cache.__module__ = cls.__module__
    setup_cache.__wrapped__ = cls  # type: ignore[attr-defined]
    setup_cache.timeout = 1800  # type: ignore[attr-defined]
    return setup_cache

"""What happens in the supervised process: one optimization, and what it says of itself as plain values."""

from __future__ import annotations

import pickle
import random
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import optcore as om
from optcore.history import FUN, Memory, Recorder
from optcore.marks import Kind
from optcore.solvers import Algorithm
from optcore_bench.addresses import Address
from optcore_bench.external.place import Source
from optcore_bench.external.process import MEMORY_LIMIT, ExternalError
from optcore_bench.strategies import NotApplicableError, Strategy, derivative_error, objective
from optcore_bench.supervise.words import describe_error
from optcore_problems import Problem

__all__ = ["Task", "compare_derivative", "execute"]

Answer = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Task:
    """Everything that a run needs, as it is pickled into the process.

    Attributes:
        problem: where the problem is found, or the problem itself.
        x0: the start, shape (n,).
        algorithm: a class, a function of the user's own, or the source of one of them; an instance where another
            process runs it.
        options: its resolved options.
        kind: what it works on.
        strategy: where derivatives come from.
        seed: for what draws from the global generators; a solver that takes a seed has it among its options.
        max_evaluations, max_seconds: the budget, None without a limit.
        max_memory: bytes that a process beside this one may hold, None without a limit; this one is watched by its
            supervisor.
    """

    problem: Address | Problem
    x0: NDArray[np.float64]
    algorithm: type[Algorithm] | Algorithm | Callable[..., Any] | Source
    options: Mapping[str, Any]
    kind: Kind
    strategy: Strategy
    seed: int
    max_evaluations: int | None
    max_seconds: float | None
    max_memory: int | None = None

    def load_problem(self) -> Problem:
        """The problem itself."""
        return _load(self.problem)


def _load(problem: Address | Problem) -> Problem:
    return problem.load() if isinstance(problem, Address) else problem


def execute(memory: Memory | None, task: Task) -> Answer:
    """Run one optimization.

    Scalar solvers get the scalar function only, least-squares solvers the residuals.

    Args:
        memory: where evaluations are recorded.
        task: what to run.

    Returns:
        `status`, `message`, `f_final` (value without noise at the point that the solver returned) and `n_iterations`;
        status `not_applicable` where the strategy turns out not to fit, `error` for what optcore raises on purpose.

    Raises:
        Exception: whatever the solver or the problem raises; the supervisor says where.
    """
    MEMORY_LIMIT.set(task.max_memory)
    problem = task.load_problem()
    random.seed(task.seed)
    np.random.seed(task.seed % 2**32)  # noqa: NPY002  solvers that draw globally must not depend on the run before
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a benchmark goes where functions overflow; nobody reads a worker's warnings
        try:
            return _minimize(memory, task, problem)
        except NotApplicableError as error:
            return {"status": "not_applicable", "message": str(error)}
        except ExternalError as error:
            return {"status": error.status, "message": str(error)}
        except om.OptcoreError as error:
            return {"status": "error", "message": describe_error(error)}


def _minimize(memory: Memory | None, task: Task, problem: Problem) -> Answer:
    derivatives = task.strategy.arguments(problem, task.kind, task.x0)
    result = om.minimize(
        objective(problem, task.kind),
        task.x0.copy(),
        task.algorithm.load() if isinstance(task.algorithm, Source) else task.algorithm,
        bounds=problem.bounds,
        algo_options=task.options,
        budget=om.Budget(max_evaluations=task.max_evaluations, max_seconds=task.max_seconds),
        error_handling="continue",  # functions overflow far out; the solver is told so and goes on
        collect_history=True if memory is None else memory,
        **derivatives,
    )
    x_final = np.asarray(result.claims.get("x", result.params), dtype=np.float64)
    return {
        "status": str(result.status),
        "message": _with_claims(result),
        "f_final": float(problem.clean.fun(x_final)),
        "n_iterations": result.n_iterations,
    }


def _with_claims(result: om.OptimizeResult) -> str:
    """The solver's message; where it claims another number of evaluations than were counted, that too."""
    counted = result.n_fun_evals + result.n_fun_and_jac_evals
    asked = counted - result.n_numdiff_evals
    claimed = result.claims.get("nfev")
    if claimed is None or claimed in (counted, asked):
        return result.message
    were = "was" if counted == 1 else "were"
    return f"{result.message} (claims {claimed} evaluations; {counted} {were} counted)".strip()


def compare_derivative(memory: Memory | None, task: Task) -> Answer:  # noqa: ARG001  nothing is recorded
    """The relative error of the strategy's derivative at the start, see `derivative_error`.

    It runs apart from the optimization, so that its evaluations cost the run neither budget nor time.
    """
    problem = task.load_problem()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return {"derivative_error": derivative_error(task.strategy, problem, task.kind, task.x0)}
        except (NotApplicableError, om.OptcoreError) as error:
            return {"derivative_error": None, "message": describe_error(error)}


def clean_values(memory: Memory, pickled: bytes, points: NDArray[np.float64]) -> Answer:
    """Record the values without noise at points that a run evaluated, one after the other.

    It runs apart from the optimization, so that it costs the run neither budget nor time.

    Args:
        memory: where they are recorded, as one evaluation each, without the point.
        pickled: the problem as a Task has it.
        points: shape (k, n).

    Returns:
        Nothing.
    """
    problem = _load(pickle.loads(pickled)).clean
    recorder = Recorder(0, memory)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for x in points:
            try:
                value = float(problem.fun(x))
            except Exception:  # noqa: BLE001  whatever the problem raises: there is no value here
                value = float("nan")
            recorder.add(FUN, value, 0, 0.0, 0.0, b"")
    return {}

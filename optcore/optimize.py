"""minimize and maximize: read what the user gave, build an Objective, hand it to a solver, wrap the result."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds, flatten_bounds
from optcore.dispatch import choose
from optcore.elsewhere import ELSEWHERE
from optcore.errors import InvalidInputError, unknown_name
from optcore.evaluator import Budget, ErrorHandling, Evaluator, Status, StopSolver
from optcore.functions import FlatFun, FlatFunAndJac, FlatJac, by_kind
from optcore.history import History, Memory
from optcore.ledger import Keep, Ledger
from optcore.marks import Kind
from optcore.numdiff.options import NumdiffOptions
from optcore.objective import Functions, Objective
from optcore.provenance import Provenance
from optcore.residuals import ResidualReader
from optcore.result import OptimizeResult
from optcore.solvers.algorithm import Algorithm, SolverResult, make_algorithm
from optcore.tree import Converter

if TYPE_CHECKING:
    from optcore.numdiff.differences import Differences

__all__ = ["maximize", "minimize"]

P = ParamSpec("P")
R = TypeVar("R")
Options = Mapping[str, Any] | None

#: How maximize tells minimize what it is; not a name that a caller would use.
_DIRECTION = "_direction"

#: What is meant where nothing is said.
_NO_BUDGET = Budget()
_DIFFERENCES = NumdiffOptions()


def minimize(
    fun: Any = None,
    params: Any = None,
    algorithm: Any = None,
    *,
    bounds: Any = None,
    fixed: Any = None,
    jac: Any = None,
    fun_and_jac: Any = None,
    fun_kwargs: Options = None,
    jac_kwargs: Options = None,
    fun_and_jac_kwargs: Options = None,
    algo_options: Options = None,
    numdiff_options: NumdiffOptions | None = None,
    budget: Budget | None = None,
    check_derivatives: bool = False,
    error_handling: ErrorHandling = "raise",
    on_interrupt: Literal["raise", "return"] = "raise",
    collect_history: bool | Literal["best"] | Memory = True,
    **unknown: Any,
) -> OptimizeResult:
    """Minimize a function of any pytree of params. `maximize` takes the same arguments.

    Args:
        fun: takes params and returns a number; or residuals, if marked with om.mark.least_squares; or likelihood
            contributions, if marked with om.mark.likelihood. May be left out if fun_and_jac is given.
        params: the start: a number, an array, or any pytree of them (dicts, lists, pandas Series and DataFrames ...).
        algorithm: a name ("scipy_lbfgsb"), one of `om.algos`, an instance with options, or a function of your own
            (see `optcore.solvers.callables.CallableAlgorithm`).
        bounds: om.Bounds, scipy's Bounds, or a list of pairs. Those of fixed entries are not used.
        fixed: what stays as it is at the start, even outside its bounds: a tree of bools like params or a part of one
            (one bool for a leaf, a branch or each entry), or names as in messages and `history.names`: "beta" (all of
            it), "beta['age']", a list or set of them. Solvers and numerical derivatives see the other entries only;
            functions, derivatives and results have all of them.
        jac: the derivative of fun, with the structure of params (as JAX gives it); or a list or dict of derivatives
            of different kinds.
        fun_and_jac: returns value and derivative; or a list or dict of such functions.
        fun_kwargs: further arguments of fun, and of jac and fun_and_jac unless these have their own.
        jac_kwargs: further arguments of jac.
        fun_and_jac_kwargs: further arguments of fun_and_jac.
        algo_options: options of the algorithm.
        numdiff_options: how to take derivatives numerically where none is given; forward differences by default.
        budget: what may be spent; exact to the call.
        check_derivatives: before it begins, compare the derivatives that the algorithm will be given with differences
            of fun, as `om.check_derivative` does, at the start and two points near it, and raise WrongDerivativeError
            where an entry is wrong. These calls are counted, recorded and part of the budget, and their points are
            never the result. Entries that can't be judged pass. Nothing is checked where no derivative is given, or
            used.
        error_handling: "raise" raises UserFunctionError when a user function fails; "continue" gives the solver a
            penalty.
        on_interrupt: with "return" Ctrl-C returns the best so far, with status "interrupted".
        collect_history: True keeps every call, "best" only improvements, False none; or a memory to record into.
        **unknown: refused, with what to use instead.

    Returns:
        The best point that the solver asked for, how it ended, and what it cost.

    Raises:
        InvalidInputError: arguments that don't fit; names the leaf.
        InvalidFunctionError: a function returned something that doesn't fit.
        WrongDerivativeError: with check_derivatives, a derivative doesn't belong to its function.
        UserFunctionError: a user function raised.
        UnknownNameError: an algorithm or option that doesn't exist; suggests the nearest.
        MissingLibraryError: the algorithm's library isn't installed.

    >>> import optcore as om
    >>> result = om.minimize(lambda p: p["a"] ** 2 + (p["b"] - 1) ** 2, {"a": 1, "b": 3}, "scipy_lbfgsb")
    >>> round(result.params["b"], 4), result.n_fun_evals
    (1.0, 9)
    """
    started = perf_counter()
    direction = unknown.pop(_DIRECTION, "minimize")
    _refuse(direction, unknown)
    _check_choice("error_handling", error_handling, ("raise", "continue"))
    _check_choice("on_interrupt", on_interrupt, ("raise", "return"))
    _check_choice("check_derivatives", check_derivatives, (False, True))
    if algorithm is None:
        raise InvalidInputError("algorithm is missing: name one, for instance 'scipy_lbfgsb' (om.algos has them all)")
    solver = make_algorithm(algorithm, algo_options)
    converter = Converter(params, fixed)
    flat_bounds = flatten_bounds(bounds, converter, converter.start)
    sign = 1 if direction == "minimize" else -1
    _check_fit(solver, flat_bounds, converter, sign)
    functions = _read_functions(solver, converter, fun, jac, fun_and_jac, fun_kwargs, jac_kwargs, fun_and_jac_kwargs)
    ledger = _make_ledger(collect_history, converter.n, sign, flat_bounds)
    max_evaluations, max_seconds = _checked(budget, Budget, "budget", _NO_BUDGET).resolve(converter.n)
    evaluator = Evaluator(
        ledger,
        converter.describe,
        max_evaluations=max_evaluations,
        max_seconds=max_seconds,
        error_handling=error_handling,
    )
    options = _checked(numdiff_options, NumdiffOptions, "numdiff_options", _DIFFERENCES)
    differences = _make_differences(solver, functions, evaluator, converter, flat_bounds, options)
    objective = Objective(
        solver.kind,
        functions,
        evaluator,
        differences,
        x0=converter.start,
        bounds=flat_bounds,
        converter=converter,
        sign=sign,
        solver_copies_x=solver.copies_x,
        solver_never_returns=solver.never_returns,
    )
    check = _derivative_check(functions, evaluator, converter, flat_bounds) if check_derivatives else None
    status, solved, start_value = _run(solver, objective, flat_bounds, on_interrupt, check)
    best, counts = ledger.best_x, evaluator.counts
    return OptimizeResult(
        params=converter.unflatten(converter.start if best is None else best),
        fun=float("nan") if best is None else float(sign * ledger.best_fun),
        status=status,
        message="; ".join(filter(None, [solved.message, *(differences.notes if differences else [])])),
        algorithm=solver.name,
        direction=direction,
        start_params=converter.unflatten(converter.start),
        start_fun=float(sign * start_value),
        n_iterations=solved.n_iterations,
        n_fun_evals=counts["fun"] + counts["numdiff"],
        n_jac_evals=counts["jac"],
        n_fun_and_jac_evals=counts["fun_and_jac"],
        n_numdiff_evals=counts["numdiff"],
        seconds=perf_counter() - started,
        history=History(ledger.rows, direction, converter),
        n_evaluations_by_purpose=evaluator.purposes,
        provenance=Provenance(solver, options if differences else None, budget, error_handling),
        claims={**solved.claims, "x": solved.x},
    )


def _maximizing(function: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(function)
    def maximize(*args: P.args, **kwargs: P.kwargs) -> R:
        kwargs[_DIRECTION] = "maximize"
        return function(*args, **kwargs)

    maximize.__name__ = maximize.__qualname__ = "maximize"
    maximize.__doc__ = "Maximize a function of any pytree of params. The arguments are those of `minimize`."
    return maximize


maximize = _maximizing(minimize)


def _refuse(function: str, unknown: Mapping[str, Any]) -> None:
    for name in unknown:
        if name in ELSEWHERE:
            raise InvalidInputError(f"{function} has no argument {name!r}: {ELSEWHERE[name]}")
        known = [known for known in minimize.__annotations__ if known not in ("unknown", "return")]
        raise unknown_name(f"argument of {function}", name, known)


def _check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    if value not in choices:
        raise InvalidInputError(f"{name} must be one of {', '.join(map(repr, choices))}, but is {value!r}")


def _checked(given: Any, kind: type[R], name: str, default: R) -> R:
    if given is None:
        return default
    if not isinstance(given, kind):
        raise InvalidInputError(f"{name} must be om.{kind.__name__}(...), but is {given!r}")
    return given


def _check_fit(solver: Algorithm, bounds: FlatBounds, converter: Converter, sign: int) -> None:
    if misfit := solver.misfit(bounds, lambda: converter.names):
        raise InvalidInputError(misfit)
    if sign == -1 and solver.kind is Kind.LEAST_SQUARES:
        raise InvalidInputError(f"{solver.name} minimizes a sum of squares; to maximize, use a scalar solver")


def _read_functions(
    solver: Algorithm,
    converter: Converter,
    fun: Any,
    jac: Any,
    fun_and_jac: Any,
    fun_kwargs: Options,
    jac_kwargs: Options,
    fun_and_jac_kwargs: Options,
) -> Functions:
    """The functions that will serve the solver, flat."""
    funs, jacs, both = by_kind(fun, "fun"), by_kind(jac, "jac"), by_kind(fun_and_jac, "fun_and_jac")
    fun_kind, jac_kind, both_kind = choose(solver.kind, funs, jacs, both, solver.name, needs_jac=solver.needs_jac)
    readers: dict[Kind, ResidualReader] = {}
    keeps_sparse = solver.takes_sparse or solver.kind is Kind.SCALAR  # which gets r'J
    shared = fun_kwargs or {}

    def reader(kind: Kind) -> ResidualReader:
        return readers.setdefault(kind, ResidualReader(converter, keeps_sparse=keeps_sparse))

    def own(kwargs: Options) -> Mapping[str, Any]:
        return shared if kwargs is None else kwargs

    return Functions(
        fun=FlatFun(funs[fun_kind], fun_kind, shared, converter, reader(fun_kind)) if fun_kind else None,
        jac=FlatJac(jacs[jac_kind], jac_kind, own(jac_kwargs), converter, reader(jac_kind)) if jac_kind else None,
        fun_and_jac=FlatFunAndJac(both[both_kind], both_kind, own(fun_and_jac_kwargs), converter, reader(both_kind))
        if both_kind
        else None,
    )


def _make_differences(
    solver: Algorithm,
    functions: Functions,
    evaluator: Evaluator,
    converter: Converter,
    bounds: FlatBounds,
    options: NumdiffOptions,
) -> Differences | None:
    """What takes derivatives numerically, imported where the solver needs it."""
    fun = functions.fun
    if fun is not None and options.batch_evaluator == "batch":
        from optcore.numdiff.batched import take_many

        take_many(fun, options, is_vector=converter.is_vector)
    if fun is None or not solver.needs_jac or functions.jac is not None or functions.fun_and_jac is not None:
        return None
    from optcore.numdiff.differences import Differences

    keeps_sparse = solver.takes_sparse or solver.kind is Kind.SCALAR  # which gets r'J
    return Differences(fun, evaluator, converter, bounds, options, sparse_output=keeps_sparse)


def _make_ledger(collect: bool | Literal["best"] | Memory, n: int, sign: int, bounds: FlatBounds) -> Ledger:
    if isinstance(collect, (bool, str)):
        keeps: dict[Any, Keep] = {True: "all", False: "none", "best": "best"}
        if collect not in keeps:
            raise InvalidInputError(f"collect_history must be True, False or 'best', but is {collect!r}")
        return Ledger(n, keep=keeps[collect], sign=sign, bounds=bounds)
    return Ledger(n, memory=collect, sign=sign, bounds=bounds)


def _derivative_check(
    functions: Functions, evaluator: Evaluator, converter: Converter, bounds: FlatBounds
) -> Callable[[], None]:
    from optcore.derivative_check import refuse_wrong_derivatives

    return functools.partial(refuse_wrong_derivatives, functions, evaluator, converter, bounds)


def _final_point(x: Any, n: int, name: str) -> NDArray[np.float64]:
    """What a solver returned as x, checked: shape (n,)."""
    try:
        flat = np.zeros(0) if np.iscomplexobj(x) else np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError):
        flat = np.zeros(0)
    if flat.shape != (n,):
        raise InvalidInputError(f"the solver {name!r} must return x of shape ({n},), but returned {x!r}")
    return flat


def _run(
    solver: Algorithm,
    objective: Objective,
    bounds: FlatBounds,
    on_interrupt: str,
    check: Callable[[], None] | None = None,
) -> tuple[Status, SolverResult, float]:
    """Evaluate the start, check the derivatives if asked, solve, and say how it ended."""
    start_value = float("nan")
    x0 = objective.x0
    try:
        start_value = objective.start(jointly=solver.asks_jointly)
        if check is not None and solver.needs_jac:
            check()
        solved = solver.solve(objective, x0.copy(), bounds)
        x = _final_point(solved.x, objective.n, solver.name)
        if x is not solved.x:
            solved = replace(solved, x=x)
        objective.finish(solved.x)
    except StopSolver as stop:
        status, solved = stop.status, SolverResult(x0, message=stop.message)
    except KeyboardInterrupt:
        if on_interrupt == "raise":
            raise
        status, solved = Status.INTERRUPTED, SolverResult(x0, message="interrupted by the user")
    else:
        return (Status.CONVERGED if solved.success else Status.STOPPED), solved, start_value
    best = objective.best_x
    return status, SolverResult(x0 if best is None else best, message=solved.message), start_value

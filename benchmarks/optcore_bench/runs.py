"""The runs that a study consists of, each with an id that says everything that determines it."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import optcore
from optcore.bounds import flatten_bounds
from optcore.errors import InvalidInputError
from optcore.marks import Kind
from optcore.solvers import Algorithm, CallableAlgorithm
from optcore.tree import Converter
from optcore_bench.addresses import is_registered
from optcore_bench.algorithms import AlgorithmEntry, resolved_options
from optcore_bench.codehash import code_hash, is_ours
from optcore_bench.environment import library_version
from optcore_bench.external.base import External
from optcore_bench.strategies import Jax, NoDerivative, Strategy
from optcore_bench.study import Study
from optcore_problems import Problem
from optcore_problems.transform import Transformation, perturbed_start

__all__ = ["Run", "expand", "starting_point"]

Vector = NDArray[np.float64]

_ID_DIGITS = 20
#: Changes when the meaning of a stored run does, so that old runs aren't taken for new ones.
_ID_VERSION = "1"


@dataclass(frozen=True, eq=False)
class Run:
    """One cell of a study: a problem from one start, by one algorithm, under one derivative strategy.

    Attributes:
        run_id: hash of everything that determines the run.
        study: name of the study.
        problem: the problem.
        start: number of the start, from 1.
        x0: the start, shape (n,).
        f_start: the value there without noise; None for a problem of the user's own, whose code runs in supervised
            processes only.
        entry: the algorithm as the study lists it.
        algorithm: the same with resolved options.
        derivative: the strategy.
        seed: for stochastic solvers; differs between starts.
        max_evaluations, max_seconds: the budget for this problem, None without a limit.
        reason: why it can't be run, "" if it can.
    """

    run_id: str
    study: str
    problem: Problem
    start: int
    x0: Vector
    f_start: float | None
    entry: AlgorithmEntry
    algorithm: Algorithm
    derivative: Strategy
    seed: int
    max_evaluations: int | None
    max_seconds: float | None
    reason: str = ""

    @property
    def key(self) -> tuple[str, str, int, str, str, str]:
        """What makes it a row of its own, as the store has it: suite, problem, start, noise, algorithm, derivative."""
        problem = self.problem
        return (problem.suite, problem.name, self.start, problem.noise, self.entry.name, self.derivative.name)

    @property
    def label(self) -> str:
        """For people: `more_wild/rosenbrock scipy_lbfgsb [forward]`, `more_wild/rosenbrock#2 ~ wild 0.001 ...`."""
        start = f"#{self.start}" if self.start > 1 else ""
        noise = f" ~ {self.problem.noise}" if self.problem.noise else ""
        return f"{self.problem.full_name}{start}{noise} {self.entry.name} [{self.derivative.name}]"


def expand(study: Study) -> list[Run]:
    """The runs of a study, problem by problem: one for each (problem, start, algorithm, derivative) listed.

    A pair that can't be is listed with its reason. A solver that uses no derivative gets one more run per start
    under `none`, if the study doesn't list `none`.

    Raises:
        InvalidInputError: a solver or problem of the user's own whose code has no hash; asks for `version`.
    """
    cells = list(_cells(study))
    return [
        place.run(study, cell, algorithm, reason)
        for problem in study.resolve_problems()
        for reasons in [[cell.missing or _why_not(problem, cell.algorithm, cell.strategy) or "" for cell in cells]]
        for place in _places(study, problem)
        for cell, reason in zip(cells, reasons, strict=True)
        for algorithm in [cell.at(place.seed)]
    ]


class _Resolved(NamedTuple):
    """An algorithm with its options, and the part of the identity of its runs that says so."""

    algorithm: Algorithm
    text: str


class _Cell(NamedTuple):
    """An algorithm under a strategy, and what is the same for all problems: read once, since it takes milliseconds."""

    entry: AlgorithmEntry
    strategy: Strategy
    algorithm: Algorithm
    missing: str | None
    code: str
    derivative: str
    at: Callable[[int], _Resolved]


def _cells(study: Study) -> Iterator[_Cell]:
    listed: tuple[Strategy, ...] = study.derivatives
    lists_none = any(isinstance(strategy, NoDerivative) for strategy in listed)
    for entry in study.algorithms:
        algorithm = entry.make()
        code, missing = _code_of_algorithm(entry, algorithm), algorithm.missing()
        resolve = _resolver(entry, tight=study.stopping == "tight")
        needs_none = not lists_none and not algorithm.needs_jac
        for strategy in (*listed, NoDerivative("none")) if needs_none else listed:
            library = {"derivative": library_version("jax")} if isinstance(strategy, Jax) else {}
            derivative = _json([strategy.name, strategy.strategy, strategy.resolved_options], strategy.name)
            code_text = _json({**code, **library}, entry.name)
            yield _Cell(entry, strategy, resolve(study.seed).algorithm, missing, code_text, derivative, resolve)


def _resolver(entry: AlgorithmEntry, *, tight: bool) -> Callable[[int], _Resolved]:
    """The algorithm for a seed; made once, however many problems and strategies it meets."""

    @functools.cache
    def resolve(seed: int) -> _Resolved:
        algorithm = entry.make(tight=tight, seed=seed)
        return _Resolved(algorithm, _json([entry.name, resolved_options(algorithm)], entry.name))

    return resolve


class _Place(NamedTuple):
    """A problem from one of its starts, and what is the same for all algorithms and strategies there."""

    problem: Problem
    start: int
    x0: Vector
    f_start: float | None
    seed: int
    max_evaluations: int | None
    max_seconds: float | None
    identity: Mapping[str, str]

    def run(self, study: Study, cell: _Cell, resolved: _Resolved, reason: str) -> Run:
        identity = {
            **self.identity,
            "algorithm": resolved.text,
            "derivative": cell.derivative,
            "code": cell.code,
        }
        return Run(
            run_id=_hash(identity),
            study=study.name,
            problem=self.problem,
            start=self.start,
            x0=self.x0,
            f_start=self.f_start,
            entry=cell.entry,
            algorithm=resolved.algorithm,
            derivative=cell.strategy,
            seed=self.seed,
            max_evaluations=self.max_evaluations,
            max_seconds=self.max_seconds,
            reason=reason,
        )


def _places(study: Study, problem: Problem) -> Iterator[_Place]:
    max_evaluations, max_seconds = study.budget.resolve(problem.n)
    known = is_registered(problem)
    of_all = {
        "schema": _json(_ID_VERSION),
        "optcore": _json(optcore.__version__),
        "problem": _json(_problem_identity(problem), problem.full_name),
        "budget": _json([max_evaluations, max_seconds]),
        "stopping": _json(study.stopping),
    }
    for start in range(1, study.starts + 1):
        x0, seed = starting_point(problem, start, study.seed), study.seed + start - 1
        f_start = float(problem.clean.fun(x0)) if known else None
        identity = {**of_all, "x0": _json(x0.tolist()), "start": _json(start), "seed": _json(seed)}
        yield _Place(problem, start, x0, f_start, seed, max_evaluations, max_seconds, identity)


def _json(value: Any, of: str = "") -> str:
    """JSON that is the same text for equal values."""

    def plain(value: Any) -> Any:
        if isinstance(value, (np.ndarray, np.generic)):
            return value.tolist()
        raise InvalidInputError(
            f"an option of {of!r} is {value!r}; options are text, numbers, lists and tables, so that they can be stored"
        )

    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=plain)


def _hash(identity: Mapping[str, str]) -> str:
    """The id of a run: a hash of the JSON of all that determines it, put together from that of its parts."""
    text = ",".join(f'"{name}":{identity[name]}' for name in sorted(identity))
    return hashlib.sha256(f"{{{text}}}".encode()).hexdigest()[:_ID_DIGITS]


def _why_not(problem: Problem, algorithm: Algorithm, strategy: Strategy) -> str | None:
    """The first reason for which a run can't be, or None."""
    reason = strategy.applicable(problem, algorithm)
    if reason:
        return reason
    if algorithm.kind is Kind.LIKELIHOOD:
        return f"the solver works on likelihood contributions, and {problem.full_name} has none"
    if algorithm.kind is Kind.LEAST_SQUARES and problem.m is None:
        return f"the solver works on residuals, and {problem.full_name} has none"
    if problem.bounds is not None and not algorithm.supports_bounds:
        return f"the solver takes no bounds, and {problem.full_name} has some"
    params = Converter(problem.start)
    return algorithm.misfit(flatten_bounds(problem.bounds, params, params.start), lambda: params.names)


def _problem_identity(problem: Problem) -> Mapping[str, Any]:
    identity: dict[str, Any] = {"name": problem.full_name, "version": problem.version, "n": problem.n, "m": problem.m}
    if problem.transformations:
        identity["transformations"] = [_plain_transformation(one, problem) for one in problem.transformations]
    original = problem.original
    functions = (original.residuals_xp, original.jacobian_np, original.fun_xp, original.gradient_np)
    if is_registered(problem) and all(function is None or is_ours(function) for function in functions):
        return identity
    identity["code"] = [function and _code(function, problem) for function in functions]
    identity["bounds"] = None if problem.bounds is None else [bound.tolist() for bound in _flat_bounds(problem)]
    return identity


def _plain_transformation(transformation: Transformation, problem: Problem) -> list[Any]:
    """Its key and all that it holds; a function by its code."""
    held = transformation.held()
    return [transformation.key, {k: _code(v, problem) if callable(v) else v for k, v in held.items()}]


def _code(function: Any, problem: Problem) -> str:
    try:
        remedy = 'give it a version, which stands for its code: Problem(..., version="2")'
        return code_hash(function, f"problem {problem.full_name!r}", remedy)
    except InvalidInputError:
        if problem.version == Problem.version:  # the default, which nobody chose
            raise
        return ""


def _code_of_algorithm(entry: AlgorithmEntry, algorithm: Algorithm) -> dict[str, Any]:
    """Which code is run: versions for what is installed, a hash for what the user wrote."""
    code: dict[str, Any] = {"version": entry.version}
    if isinstance(entry.algorithm, External):
        return code | entry.algorithm.code(entry.options, entry.version)
    if not isinstance(algorithm, CallableAlgorithm):
        libraries = (algorithm.library, *algorithm.built_on)
        versions = [text for library in libraries for text in (library, library_version(library))]
        code |= {"algorithm": algorithm.name, "library": versions}
    if entry.is_own and not entry.version:
        code["hash"] = entry.code_hash()
    return code


def starting_point(problem: Problem, start: int, seed: int = 0) -> Vector:
    """The start of that number: the standard one, or one perturbed around it, see `perturbed_start`.

    Only problems of registered suites are evaluated at it: code of the user's own runs in supervised processes only.

    Args:
        problem: the problem.
        start: the number, from 1.
        seed: the study's.

    Returns:
        The point, shape (n,).
    """
    return perturbed_start(problem, start, seed, is_checked=is_registered(problem))


def _flat_bounds(problem: Problem) -> tuple[Vector, Vector]:
    """Lower and upper bounds, each of shape (n,), infinite where there are none."""
    lower, upper = (None, None) if problem.bounds is None else (problem.bounds.lower, problem.bounds.upper)
    return (
        np.broadcast_to(np.asarray(-np.inf if lower is None else lower, dtype=np.float64), (problem.n,)),
        np.broadcast_to(np.asarray(np.inf if upper is None else upper, dtype=np.float64), (problem.n,)),
    )

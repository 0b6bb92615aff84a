"""The same function from elsewhere: other variables, bounds and starts."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import Bounds
from optcore.errors import InvalidInputError
from optcore_problems.namespace import per_column
from optcore_problems.transform.base import Transformation, number, whole_number

if TYPE_CHECKING:
    from optcore_problems.problem import Problem

__all__ = ["Bounded", "Scaling", "Start", "perturbed_start"]

Vector = NDArray[np.float64]

_DRAWS = 100


def _generator(problem: Problem, *numbers: int) -> np.random.Generator:
    """What is drawn depends on the numbers and the name of the problem as it was first."""
    words = np.frombuffer(hashlib.sha256(problem.original.full_name.encode()).digest(), dtype="<u4").tolist()
    return np.random.Generator(np.random.PCG64([*numbers, *words]))


@dataclass(frozen=True)
class Scaling(Transformation):
    """Other variables z, with x = D z and D diagonal: a problem that is badly scaled, or well.

    Start, bounds, optima, certified params and derivatives are those in z; values are the same but for rounding.

    Args:
        factors: the diagonal of D, positive, one for each variable. None draws powers of ten.
        decades: drawn factors are between 10^-decades and 10^decades.
        seed: for drawn factors, which depend on it and on the problem's name.

    Raises:
        InvalidInputError: a value that can't be, or factors of the wrong number.

    >>> from optcore_problems import get_problem
    >>> p = get_problem("more_wild/rosenbrock").with_scaling(factors=[0.5, 10.0])
    >>> p.start.tolist(), p.gradient(p.start).round(6).tolist()
    ([-2.4, 0.1], [-107.8, -880.0])
    """

    key: ClassVar[str] = "scaling"
    suffix: ClassVar[str] = "scaled"
    moves: ClassVar[bool] = True

    factors: tuple[float, ...] | None = None
    decades: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.factors is not None:
            given: Any = self.factors
            if isinstance(given, (str, bytes)) or not np.iterable(given):
                raise InvalidInputError(f"scaling: factors must be a list of numbers, but is {given!r}")
            values = [value.item() if isinstance(value, np.generic) else value for value in given]
            object.__setattr__(self, "factors", tuple(number(self.key, "a factor", value, 0.0) for value in values))
        object.__setattr__(self, "decades", whole_number(self.key, "decades", self.decades, 1))
        object.__setattr__(self, "seed", whole_number(self.key, "seed", self.seed))

    def obstacle(self, problem: Problem) -> str | None:
        """Factors for another number of variables."""
        if self.factors is None or len(self.factors) == problem.n:
            return None
        return f"there are {len(self.factors)} factors, but {problem.n} variables"

    def diagonal(self, problem: Problem) -> Vector:
        """The diagonal of D for this problem, shape (n,)."""
        if self.factors is not None:
            return np.array(self.factors)
        powers = _generator(problem, self.seed).integers(-self.decades, self.decades, problem.n, endpoint=True)
        return np.array([float(f"1e{power}") for power in powers])

    def changes(self, problem: Problem) -> dict[str, Any]:
        """Everything in z."""
        d = self.diagonal(problem)
        changes: dict[str, Any] = {
            "start": problem.start / d,
            "x_opt": None if problem.x_opt is None else problem.x_opt / d,
            "local_optima": tuple(
                optimum if optimum.x is None else optimum._replace(x=tuple((np.array(optimum.x) / d).tolist()))
                for optimum in problem.local_optima
            ),
        }
        if problem.bounds is not None:
            changes["bounds"] = Bounds(problem.bounds.lower / d, problem.bounds.upper / d)
        if problem.certified is not None:
            certified = problem.certified
            changes["certified"] = replace(certified, params=certified.params / d, std=certified.std / d)
        for name in ("residuals_xp", "fun_xp", "jacobian_np", "gradient_np"):
            function = getattr(problem, name)
            if function is not None:
                changes[name] = _Scaled(function, d, is_derivative=name.endswith("_np"))
        return changes


@dataclass(frozen=True, eq=False)
class _Scaled:
    """A function of D z, or a derivative with respect to z: J(D z) D."""

    inner: Callable[..., Any]
    diagonal: Vector
    is_derivative: bool

    def __call__(self, z: Any, *more: Any) -> Any:
        answer = self.inner(per_column(z, self.diagonal) * z, *more)
        if not self.is_derivative:
            return answer
        if isinstance(answer, np.ndarray):
            return answer * self.diagonal
        scaled = answer.tocsr(copy=True)
        scaled.data *= self.diagonal[scaled.indices]
        return scaled


@dataclass(frozen=True)
class Bounded(Transformation):
    """The problem with bounds that cut off the known solution in some variables.

    Of the variables in which the start and x_opt differ, the share `fraction` (at least one) gets a bound halfway
    between them: an upper bound where x_opt is above the start, a lower one where it is below. The start stays
    feasible. Which variables, depends on the seed and the problem's name. Bounds that there are stay; the tighter ones
    count. Where the solution is now, and its value, nobody knows: f_opt and x_opt are None.

    In a suite, problems without a known x_opt, or that start there, are left out.

    Args:
        fraction: the share of the variables, above 0 and up to 1.
        seed: other seeds choose others.

    Raises:
        InvalidInputError: a value that can't be, or a problem whose solution isn't known.

    >>> from optcore_problems import get_problem
    >>> p = get_problem("more_wild/rosenbrock").with_bounds()
    >>> p.name, p.bounds.upper.round(12).tolist(), p.f_opt
    ('rosenbrock+bounded', [-0.1, inf], None)
    """

    key: ClassVar[str] = "bounded"
    suffix: ClassVar[str] = "bounded"
    moves: ClassVar[bool] = True

    fraction: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "fraction", number(self.key, "fraction", self.fraction, 0.0, 1.0))
        object.__setattr__(self, "seed", whole_number(self.key, "seed", self.seed))

    def obstacle(self, problem: Problem) -> str | None:
        """No solution that could be cut off."""
        if problem.x_opt is None:
            return "its x_opt isn't known, so no bound can be chosen that cuts it off"
        return None if self._between(problem)[1].any() else "its start is at x_opt, so that nothing can be cut off"

    def _between(self, problem: Problem) -> tuple[Vector, NDArray[np.bool_]]:
        """Points halfway between start and solution, and where they lie strictly between the two."""
        assert problem.x_opt is not None
        start, end = problem.start, problem.x_opt
        middle = start + 0.5 * (end - start)
        return middle, (np.minimum(start, end) < middle) & (middle < np.maximum(start, end))

    def changes(self, problem: Problem) -> dict[str, Any]:
        """Bounds; what is known of the minimum is forgotten."""
        middle, can_cut = self._between(problem)
        candidates = np.flatnonzero(can_cut)
        count = max(1, math.floor(self.fraction * candidates.size + 0.5))
        chosen = np.zeros(problem.n, dtype=bool)
        chosen[_generator(problem, self.seed).permutation(candidates)[:count]] = True
        is_above = np.asarray(problem.x_opt) > problem.start
        lower, upper = np.full(problem.n, -np.inf), np.full(problem.n, np.inf)
        lower[chosen & ~is_above] = middle[chosen & ~is_above]
        upper[chosen & is_above] = middle[chosen & is_above]
        if problem.bounds is not None:
            lower, upper = np.maximum(lower, problem.bounds.lower), np.minimum(upper, problem.bounds.upper)
        return {
            "bounds": Bounds(lower, upper),
            "f_opt": None,
            "f_opt_source": "unknown",
            "x_opt": None,
            "local_optima": (),
            "certified": None,
        }


@dataclass(frozen=True)
class Start(Transformation):
    """The problem from another start, see `perturbed_start`: that of a study with several starts, by its number.

    Args:
        number: of the start, from 1, which is the standard one.
        seed: the study's.

    >>> from optcore_problems import get_problem
    >>> [p.name for p in get_problem("more_wild/rosenbrock").with_starts(3)]
    ['rosenbrock', 'rosenbrock+start:number=2', 'rosenbrock+start:number=3']
    """

    key: ClassVar[str] = "start"
    suffix: ClassVar[str] = "start"
    moves: ClassVar[bool] = True

    number: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "number", whole_number(self.key, "number", self.number, 1))
        object.__setattr__(self, "seed", whole_number(self.key, "seed", self.seed))

    def to_plain(self) -> dict[str, Any]:
        """The number always."""
        return {"number": self.number, **super().to_plain()}

    def changes(self, problem: Problem) -> dict[str, Any]:
        """The start."""
        return {"start": perturbed_start(problem, self.number, self.seed)}


def perturbed_start(problem: Problem, number: int, seed: int = 0, *, is_checked: bool = True) -> Vector:
    """The start of that number: the problem's own, or one perturbed around it.

    Each coordinate is moved by up to half of |x|, or of 1 where it is 0, uniformly, and brought back into the bounds:
    relative to x, since coordinates of one problem may be of 1e-4 and 1e4. Points at which the problem isn't finite,
    or fails, are drawn again. What is drawn depends on the seed, the number, the problem's start and its name without
    transformations only.

    Args:
        problem: the problem.
        number: from 1, which is the start itself.
        seed: other seeds give other starts.
        is_checked: whether the problem is evaluated there.

    Returns:
        The point, shape (n,).

    Raises:
        InvalidInputError: no point is found at which the problem is finite.
    """
    if number == 1:
        return problem.start
    generator = _generator(problem, seed, number)
    reach = 0.5 * np.where(problem.start == 0.0, 1.0, np.abs(problem.start))
    for _ in range(_DRAWS):
        x = problem.start + reach * generator.uniform(-1.0, 1.0, problem.n)
        if problem.bounds is not None:
            x = np.clip(x, problem.bounds.lower, problem.bounds.upper)
        if not is_checked or _is_finite(problem, x):
            return x
    raise InvalidInputError(
        f"problem {problem.full_name!r} isn't finite at {_DRAWS} points around its start; study it with starts=1"
    )


def _is_finite(problem: Problem, x: Vector) -> bool:
    from optcore_problems.transform.failures import EvaluationFailedError

    try:
        return bool(np.isfinite(problem.fun(x)))
    except EvaluationFailedError:
        return False

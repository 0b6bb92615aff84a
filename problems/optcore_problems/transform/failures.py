"""Evaluations that fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidInputError, unknown_name
from optcore_problems.transform.base import Transformation, number, whole_number
from optcore_problems.transform.bits import TO_UNIT, real_points, words

if TYPE_CHECKING:
    from optcore_problems.problem import Problem

__all__ = ["EvaluationFailedError", "Failures", "Region"]

Vector = NDArray[np.float64]

_KINDS = ("nan", "exception")
_DEFAULT_RATE = 0.05
_TRACED = "its failures are decided from the numbers in x, which JAX's tracers don't have"


class EvaluationFailedError(RuntimeError):
    """What an evaluation raises that is meant to fail (`with_failures(kind="exception")`)."""


def _limit(name: str, given: Any) -> float | tuple[float, ...] | None:
    if given is None:
        return None
    values = np.asarray(given, dtype=object)
    if values.ndim > 1 or any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in values.ravel()):
        raise InvalidInputError(f"failures: {name} of the region must be a number or one for each, but is {given!r}")
    return float(given) if values.ndim == 0 else tuple(float(value) for value in values)


@dataclass(frozen=True)
class Region:
    """A box: all x with lower <= x <= upper.

    Args:
        lower: a number for all, or one for each variable; None without a limit.
        upper: likewise.
    """

    lower: float | tuple[float, ...] | None = None
    upper: float | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("lower", "upper"):
            object.__setattr__(self, name, _limit(name, getattr(self, name)))
        if self.lower is None and self.upper is None:
            raise InvalidInputError("failures: a region needs lower or upper")

    def holds(self, x: Vector) -> bool:
        """Whether x, shape (n,), is in it."""
        above = self.lower is None or np.all(x >= np.asarray(self.lower))
        return bool(above and (self.upper is None or np.all(x <= np.asarray(self.upper))))

    def to_plain(self) -> dict[str, Any]:
        """As a study has it."""
        given = {"lower": self.lower, "upper": self.upper}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in given.items() if v is not None}


def _region(given: Any) -> Any:
    if given is None or callable(given):
        return given
    if not isinstance(given, Mapping):
        raise InvalidInputError(
            f"failures: region must be a table {{lower, upper}} or a function of x that says whether it fails, "
            f"but is {given!r}"
        )
    for key in given:
        if key not in ("lower", "upper"):
            raise unknown_name("key of the region of failures", key, ("lower", "upper"))
    return Region(**given)


@dataclass(frozen=True)
class Failures(Transformation):
    """Evaluations that fail at a share of all points, or wherever x is in a region, as hidden constraints do.

    Which points, is a pure function of the seed, the problem's name and x: the same point fails for every solver, each
    time. The standard start never fails by chance; further starts of a study at which a problem of a registered suite
    fails are drawn again. Only values and residuals fail, closed-form derivatives don't.

    Args:
        rate: the share of the points (of the region, where there is one) that fail; by default 0.05, or all points
            of the region.
        kind: "nan": the value, or all residuals, are NaN; "exception": EvaluationFailedError is raised.
        region: a table {lower, upper}, each a number or one for each variable: the box in which points fail. In Python
            also a function of x, shape (n,), that says whether it fails; a pure one, that goes to other processes.
        seed: other seeds fail at other points.

    Raises:
        UnknownNameError, InvalidInputError: a value that can't be; the start lies in the region.

    >>> from optcore_problems import get_problem
    >>> p = get_problem("more_wild/rosenbrock").with_failures(region={"lower": 0.5})
    >>> p.name, p.fun([1.0, 0.0]).item(), p.fun([1.0, 1.0]).item()
    ('rosenbrock+failures:region=lower:0.5', 100.0, nan)
    """

    key: ClassVar[str] = "failures"
    suffix: ClassVar[str] = "failures"
    moves: ClassVar[bool] = False

    rate: float | None = None
    kind: str = "nan"
    region: Any = field(default=None)
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "region", _region(self.region))
        rate = (_DEFAULT_RATE if self.region is None else 1.0) if self.rate is None else self.rate
        object.__setattr__(self, "rate", number(self.key, "rate", rate, 0.0, 1.0))
        object.__setattr__(self, "seed", whole_number(self.key, "seed", self.seed))
        if self.kind not in _KINDS:
            raise unknown_name("kind of failures", self.kind, _KINDS)

    def to_plain(self) -> dict[str, Any]:
        """What was chosen; a function as a region stays a function."""
        chosen: dict[str, Any] = {} if self.region is not None and self.rate == 1.0 else {"rate": self.rate}
        if self.kind != "nan":
            chosen["kind"] = self.kind
        if self.region is not None:
            chosen["region"] = self.region.to_plain() if isinstance(self.region, Region) else self.region
        return chosen | ({"seed": self.seed} if self.seed else {})

    def obstacle(self, problem: Problem) -> str | None:
        """A start in the region, or a region of another length."""
        if isinstance(self.region, Region):
            for name in ("lower", "upper"):
                limit = getattr(self.region, name)
                if isinstance(limit, tuple) and len(limit) != problem.n:
                    return f"{name} of the region has {len(limit)} numbers, but the problem {problem.n} variables"
        if self.region is not None and self.is_in_region(problem.start):
            return "the start lies in the region in which evaluations fail; choose another region"
        return None

    def is_in_region(self, x: Vector) -> bool:
        """Whether x, shape (n,), is where evaluations may fail."""
        if self.region is None:
            return True
        return self.region.holds(x) if isinstance(self.region, Region) else bool(self.region(x))

    def held(self) -> dict[str, Any]:
        """All fields; a box as plain values."""
        return {**super().held(), "region": self.region.to_plain() if isinstance(self.region, Region) else self.region}

    def changes(self, problem: Problem) -> dict[str, Any]:
        """Functions that fail; derivatives that don't."""
        place = len(problem.transformations)
        stream = f"failures {self.seed} {place} {problem.original.full_name}"
        changes: dict[str, Any] = {"excludes": {"jax": _TRACED, **problem.excludes}}
        name = "fun_xp" if problem.residuals_xp is None else "residuals_xp"
        changes[name] = _Failing(getattr(problem, name), self, stream, problem.start)
        if problem.residuals_xp is not None and problem.has_gradient:
            changes["gradient_np"] = problem.gradient
        return changes


@dataclass(frozen=True, eq=False)
class _Failing:
    """A function of (x, xp) that fails at some points; x of shape (n,) or (n, k)."""

    inner: Callable[[Any, Any], Any]
    failures: Failures
    stream: str
    start: Vector

    def __call__(self, x: Any, xp: Any) -> Any:
        points = real_points(x if x.dtype.kind == "f" else xp.real(x), "failure")
        if points.ndim == 1:
            if not self._fails(points):
                return self.inner(x, xp)
            self._raise(points)
            values = self.inner(x, xp)
            return values * np.nan if np.ndim(values) == 0 else np.full(values.shape, np.nan)
        failing = np.array([self._fails(point) for point in points.T], dtype=bool)
        for point in points.T[failing]:
            self._raise(point)
        return xp.where(failing, np.nan, self.inner(x, xp))

    def _fails(self, x: Vector) -> bool:
        rate = self.failures.rate
        assert rate is not None
        if not self.failures.is_in_region(x):
            return False
        fails = rate == 1.0 or float(words(self.stream, x, 1)[0]) * TO_UNIT < 2.0 * rate - 1.0
        return fails and not np.array_equal(x, self.start)

    def _raise(self, x: Vector) -> None:
        if self.failures.kind == "exception":
            shown = ", ".join(f"{value:.6g}" for value in x[:4]) + (", ..." if x.size > 4 else "")
            raise EvaluationFailedError(f"this evaluation is meant to fail, at x = [{shown}]")

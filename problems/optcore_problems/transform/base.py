"""What a transformation is, and how problems and suites are given one."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from optcore.errors import InvalidInputError, unknown_name

if TYPE_CHECKING:
    from optcore_problems.problem import Problem

__all__ = ["Transformable", "Transformation", "apply", "number", "whole_number"]

#: So many numbers stand in a name; of more it holds a hash.
_SHOWN = 4


@dataclass(frozen=True)
class Transformation(ABC):
    """Makes a problem from a problem. Subclasses are frozen dataclasses whose fields are plain values.

    Class attributes:
        key: what studies call it.
        suffix: what it adds to a problem's name; "" where the name stays.
        moves: whether it changes x, the start or the bounds, and so what the analysis looks at too; otherwise it
            only disturbs what evaluations give.
    """

    key: ClassVar[str]
    suffix: ClassVar[str]
    moves: ClassVar[bool]

    @abstractmethod
    def changes(self, problem: Problem) -> dict[str, Any]:
        """The fields of the problem that become others."""

    def obstacle(self, problem: Problem) -> str | None:  # noqa: ARG002  most fit every problem
        """Why this problem can't be transformed, one sentence; None if it can."""
        return None

    @classmethod
    def from_plain(cls, given: Any) -> Transformation | None:
        """From the value that a study has for its key: a table of fields, true for all defaults, false for none.

        Raises:
            UnknownNameError: an unknown field; suggests the nearest.
            InvalidInputError: a value that can't be, or one that is missing.
        """
        if isinstance(given, bool):
            return cls() if given else None
        if not isinstance(given, Mapping):
            raise InvalidInputError(f"{cls.key} must be a table such as {{seed = 1}}, or true, but is {given!r}")
        known = [option.name for option in fields(cls)]
        for name in given:
            if name not in known:
                raise unknown_name(f"key of {cls.key}", name, known)
        return cls(**given)

    def to_plain(self) -> dict[str, Any]:
        """What differs from the defaults, as a study has it."""
        chosen = {option.name: (getattr(self, option.name), option.default) for option in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, (value, default) in chosen.items()
            if default is MISSING or value != default
        }

    def held(self) -> dict[str, Any]:
        """All that determines it beside its key: each field as plain values, or as a function."""
        return {option.name: getattr(self, option.name) for option in fields(self)}

    def label(self) -> str:
        """What it adds to a problem's name: `+bounded`, `+failures:rate=0.1,seed=2`."""
        chosen = ",".join(f"{name}={_short(value)}" for name, value in self.to_plain().items())
        return f"+{self.suffix}:{chosen}" if chosen else f"+{self.suffix}"


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        text = ";".join(map(_short, value))
        return text if len(value) <= _SHOWN else hashlib.sha256(text.encode()).hexdigest()[:8]
    if isinstance(value, Mapping):
        return ";".join(f"{key}:{_short(entry)}" for key, entry in value.items())
    if callable(value):
        return str(getattr(value, "__name__", type(value).__name__))
    if not isinstance(value, float):
        return str(value)
    short = f"{value:g}"
    return (short if float(short) == value else repr(value)).replace("+", "")


def apply(problem: Problem, *transformations: Transformation) -> Problem:
    """The problem under one transformation after the other.

    Raises:
        InvalidInputError: the problem can't be transformed so; the message says why.
    """
    for transformation in transformations:
        problem = _apply_one(problem, transformation)
    return problem


def _apply_one(problem: Problem, transformation: Transformation) -> Problem:
    obstacle = transformation.obstacle(problem)
    if obstacle:
        raise InvalidInputError(f"{transformation.key} of problem {problem.full_name!r}: {obstacle}")
    name = problem.name + (transformation.label() if transformation.suffix else "")
    transformations = (*problem.transformations, transformation)
    changed = replace(
        problem,
        **transformation.changes(problem),
        name=name,
        transformations=transformations,
        base=problem.original,
        undisturbed=None,
    )
    if not transformation.moves:
        return replace(changed, undisturbed=problem.clean)
    if problem.undisturbed is None:
        return changed
    clean = _apply_one(problem.clean, transformation)
    # What is drawn or derived from values is that of the disturbed problem for both.
    clean = replace(clean, start=changed.start, bounds=changed.bounds, x_opt=changed.x_opt)
    return replace(changed, undisturbed=clean)


def number(key: str, name: str, value: Any, least: float, most: float = math.inf, *, above: bool = True) -> float:
    """A finite number above (or at) `least` and up to `most`.

    Raises:
        InvalidInputError: it isn't.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not (value > least if above else value >= least) or value > most:
        limits = f"{'above' if above else 'of at least'} {least:g}" + (
            "" if most == math.inf else f" and up to {most:g}"
        )
        raise InvalidInputError(f"{key}: {name} must be a number {limits}, but is {value!r}")
    return float(value)


def whole_number(key: str, name: str, value: Any, least: int = 0) -> int:
    """A whole number of at least `least`.

    Raises:
        InvalidInputError: it isn't.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or value.__index__() < least:
        raise InvalidInputError(f"{key}: {name} must be a whole number of at least {least}, but is {value!r}")
    return int(value.__index__())


class Transformable(ABC):
    """The transformations as methods, the same for one problem and for a suite."""

    @abstractmethod
    def transform(self, *transformations: Transformation) -> Self:
        """Under one transformation after the other.

        Raises:
            InvalidInputError: it can't be transformed so.
        """

    def with_noise(
        self,
        kind: str = "multiplicative",
        level: float = 1e-3,
        *,
        distribution: str | None = None,
        seed: int = 0,
    ) -> Self:
        """Values with noise, see `Noise`.

        >>> from optcore_problems import get_suite
        >>> get_suite("more_wild").with_noise("additive", 0.01, distribution="uniform")["meyer"].noise
        'additive uniform 0.01'
        """
        from optcore_problems.transform.noise import Noise

        return self.transform(Noise(kind, level, distribution, seed))

    def with_failures(self, rate: float | None = None, kind: str = "nan", *, region: Any = None, seed: int = 0) -> Self:
        """Evaluations that fail, see `Failures`."""
        from optcore_problems.transform.failures import Failures

        return self.transform(Failures(rate, kind, region, seed))

    def with_scaling(self, factors: Sequence[float] | None = None, *, decades: int = 3, seed: int = 0) -> Self:
        """Other variables z with x = D z, see `Scaling`."""
        from optcore_problems.transform.geometry import Scaling

        return self.transform(Scaling(None if factors is None else tuple(factors), decades, seed))

    def with_bounds(self, fraction: float = 0.5, *, seed: int = 0) -> Self:
        """Bounds that cut off the solution, see `Bounded`."""
        from optcore_problems.transform.geometry import Bounded

        return self.transform(Bounded(fraction, seed))

    def with_cost(self, seconds: float = 0.01, kind: str = "sleep", *, jac_seconds: float = 0.0) -> Self:
        """Evaluations that take time, see `Cost`."""
        from optcore_problems.transform.cost import Cost

        return self.transform(Cost(seconds, kind, jac_seconds))

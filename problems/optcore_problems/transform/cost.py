"""Evaluations that take time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

from optcore.errors import unknown_name
from optcore_problems.transform.base import Transformation, number

if TYPE_CHECKING:
    from optcore_problems.problem import Problem

__all__ = ["Cost"]

_KINDS = ("sleep", "busy")


@dataclass(frozen=True)
class Cost(Transformation):
    """Evaluations that take at least so many seconds, for experiments with parallel evaluations.

    Args:
        seconds: added to each evaluation of the value or the residuals; k points in one call take k times as long.
        kind: "sleep" leaves the core to others, as a simulation on another machine does; "busy" keeps it, and Python's
            lock, as a computation in Python does.
        jac_seconds: added to each closed-form gradient or jacobian.

    Raises:
        UnknownNameError, InvalidInputError: a value that can't be.

    >>> from optcore_problems import get_problem
    >>> get_problem("more_wild/rosenbrock").with_cost(0.001).name
    'rosenbrock+cost:seconds=0.001'
    """

    key: ClassVar[str] = "cost"
    suffix: ClassVar[str] = "cost"
    moves: ClassVar[bool] = False

    seconds: float = 0.01
    kind: str = "sleep"
    jac_seconds: float = 0.0

    def __post_init__(self) -> None:
        for name in ("seconds", "jac_seconds"):
            object.__setattr__(self, name, number(self.key, name, getattr(self, name), 0.0, above=False))
        if self.kind not in _KINDS:
            raise unknown_name("kind of cost", self.kind, _KINDS)

    def to_plain(self) -> dict[str, Any]:
        """The seconds always."""
        return {"seconds": self.seconds, **super().to_plain()}

    def changes(self, problem: Problem) -> dict[str, Any]:
        """Functions that take time first."""
        reason = "its cost is one of Python's function, which JAX's compiled code doesn't go through"
        changes: dict[str, Any] = {"excludes": {"jax": reason, **problem.excludes}}
        name = "fun_xp" if problem.residuals_xp is None else "residuals_xp"
        changes[name] = _Costly(getattr(problem, name), self.seconds, self.kind)
        if problem.jacobian_np is not None:
            changes["jacobian_np"] = _Costly(problem.jacobian_np, self.jac_seconds, self.kind)
        if problem.has_gradient:
            changes["gradient_np"] = _Costly(problem.gradient, self.jac_seconds, self.kind)
        return changes


@dataclass(frozen=True, eq=False)
class _Costly:
    """A function of x, shape (n,) or (n, k), and more, that takes time first."""

    inner: Callable[..., Any]
    seconds: float
    kind: str

    def __call__(self, x: Any, *more: Any) -> Any:
        seconds = self.seconds * (1 if x.ndim == 1 else x.shape[1])
        if seconds > 0:
            if self.kind == "sleep":
                time.sleep(seconds)
            else:
                end = perf_counter() + seconds
                while perf_counter() < end:
                    pass
        return self.inner(x, *more)

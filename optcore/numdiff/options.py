"""How derivatives are taken numerically."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from optcore.errors import InvalidInputError, unknown_name

__all__ = ["Method", "NumdiffOptions"]

Method = Literal["forward", "backward", "central", "complex_step"]
METHODS: tuple[str, ...] = get_args(Method)
EVALUATORS = ("processes", "threads", "joblib", "serial")


@dataclass(frozen=True)
class NumdiffOptions:
    """Options of numerical derivatives. `NumdiffOptions()` is the same as None: n + 1 evaluations a gradient.

    Args:
        method: "forward" and "backward" (n + 1 evaluations), "central" (2 n, and one more where the value is asked
            for too), "complex_step" (n, of a function that takes complex params; exact to rounding).
        step_size: absolute steps: a number, or a tree like params. None: eps^(1/2) (central: eps^(1/3)) times
            max(|x|, 0.1); complex steps are 1e-30 times that scale. eps is that of single precision where the
            function computes in it (JAX without x64).
        scaling_factor: multiplies the default steps; a number or a tree like params.
        typical_x: replaces |x| in the default steps; a positive number or a tree like params.
        n_cores: worker processes that evaluate the points of a derivative at the same time; -1 for all cores. Above
            1, workers are always used. It changes nothing but the time.
        batch_evaluator: "processes" (a pool that is started once and kept), "threads", "joblib" (whatever backend of
            joblib is active), "serial", or a callable like map: (function, points) -> results in order.

    Raises:
        UnknownNameError: method or batch_evaluator isn't known.
        InvalidInputError: n_cores, steps or factors are out of range.
    """

    method: Method = "forward"
    step_size: Any = None
    scaling_factor: Any = 1.0
    typical_x: Any = None
    n_cores: int = 1
    batch_evaluator: str | Callable[..., Any] = "processes"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise unknown_name("method of numerical derivatives", self.method, METHODS)
        cores: Any = self.n_cores
        if type(cores) is not int or not (cores >= 1 or cores == -1):
            raise InvalidInputError(
                f"n_cores must be a whole number of at least 1, or -1 for all, but is {self.n_cores!r}"
            )
        if not callable(self.batch_evaluator) and self.batch_evaluator not in EVALUATORS:
            raise unknown_name("batch_evaluator", self.batch_evaluator, EVALUATORS)
        for name in ("step_size", "scaling_factor", "typical_x"):
            value = getattr(self, name)
            if isinstance(value, (int, float)) and not value > 0:
                raise InvalidInputError(f"{name} must be above 0, but is {value!r}")

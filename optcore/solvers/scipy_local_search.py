"""What the global solvers of scipy.optimize share that search locally, too: the local solver and its options."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.errors import unknown_name
from optcore.objective import Objective
from optcore.solvers.algorithm import Algorithm, registered
from optcore.solvers.scipy_scalar import ScipyScalar

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class WithLocalSearch(Algorithm):
    """A global solver with a local one inside. It uses a derivative if that one does."""

    is_global: ClassVar[bool] = True
    supports_bounds: ClassVar[bool] = True
    needs_jac: ClassVar[bool] = True  # with the default local solver

    local_algorithm: str = "scipy_lbfgsb"
    local_algo_options: Mapping[str, Any] | None = None

    def __post_init__(self, *given: Any) -> None:
        """Check the options, those of the local solver too, and see whether that one uses a derivative."""
        super().__post_init__(*given)
        object.__setattr__(self, "needs_jac", self.uses_local_search and self.local.needs_jac)

    @property
    def uses_local_search(self) -> bool:
        """Whether the local solver is used at all."""
        return True

    @property
    def local(self) -> ScipyScalar:
        """The local solver.

        Raises:
            UnknownNameError: there is no such solver, or it has no such option.
            InvalidInputError: an option has a value that can't be.
        """
        made = _local_class(self.local_algorithm).from_options(self.local_algo_options or {})
        assert isinstance(made, ScipyScalar)
        return made

    def misfit(self, bounds: FlatBounds, names: Callable[[], Sequence[str]]) -> str | None:
        """Why it can't work on params with these bounds and names, and what to do; None if it can."""
        if bounds.any and self.uses_local_search and not self.local.supports_bounds:
            return (
                f"{self.local.name}, the local solver of {self.name}, can't handle bounds; choose a local_algorithm "
                "that can, such as scipy_lbfgsb"
            )
        return super().misfit(bounds, names)


def _local_class(name: str) -> type[ScipyScalar]:
    """A local solver by its name here or by that of scipy's method."""
    known = {cls.name: cls for cls in registered() if issubclass(cls, ScipyScalar)}
    by_method = {cls.method.lower(): cls for cls in known.values()}
    found = known.get(name) or by_method.get(name.lower())
    if found is None:
        raise unknown_name("local solver", name, known)
    return found


class Search:
    """What a global solver calls: the function, and the local solver in the form of a `method` of scipy.

    The function gives values only, while points are sampled; while the local solver runs, whatever that one wants.

    Args:
        objective: to be minimized.
        local: the local solver.
        bounds: of the params.
    """

    def __init__(self, objective: Objective, local: ScipyScalar, bounds: FlatBounds) -> None:
        self._objective, self._local, self._bounds = objective, local, bounds
        self._value: Callable[[Vector], float] = objective.value
        self._local_value = objective.scalar_callables(jointly=local.asks_jointly)[0]
        self.method = Method(self._search)

    def value(self, x: Vector) -> float:
        """The objective at x, shape (n,)."""
        return self._value(np.ascontiguousarray(x, dtype=np.float64))

    @contextlib.contextmanager
    def _locally(self) -> Iterator[None]:
        self._value, before = self._local_value, self._value
        try:
            yield
        finally:
            self._value = before

    def _search(self, fun: Any, x0: Vector, bounds: Any = None) -> Any:
        box = self._bounds if bounds is None else _flat(bounds)
        start = np.clip(np.asarray(x0, dtype=np.float64), box.lower, box.upper)
        with self._locally():
            return self._local.minimize(self._objective, start, box, fun)


class Method(str):
    """A function as scipy takes it for a `method` of `minimize`; it passes for a name where scipy looks it up.

    scipy's shgo takes names only and drops options and bounds of most methods; "_custom" is what it calls a function.
    """

    _search: Callable[..., Any]

    def __new__(cls, search: Callable[..., Any]) -> Method:
        """A method that calls search(fun, x0, bounds)."""
        method = super().__new__(cls, "_custom")
        method._search = search
        return method

    def __call__(self, fun: Any, x0: Vector, args: Any = (), bounds: Any = None, **ignored: Any) -> Any:  # noqa: ARG002
        """Search locally from x0, shape (n,); what else scipy hands to methods is known already."""
        return self._search(fun, x0, bounds)


def _flat(bounds: Any) -> FlatBounds:
    """Bounds from any form in which scipy hands them to a method."""
    if hasattr(bounds, "lb"):
        return FlatBounds(np.asarray(bounds.lb, dtype=np.float64), np.asarray(bounds.ub, dtype=np.float64))
    lower, upper = zip(*bounds, strict=True)
    return FlatBounds(
        np.array([-np.inf if side is None else side for side in lower], dtype=np.float64),
        np.array([np.inf if side is None else side for side in upper], dtype=np.float64),
    )

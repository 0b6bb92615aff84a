"""The user's function as advise knows it: as it was given, and as functions of flat vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds, flatten_bounds
from optcore.errors import InvalidFunctionError, InvalidInputError, OptcoreError, UserFunctionError
from optcore.functions import FlatFun, FlatFunAndJac, FlatJac, by_kind
from optcore.marks import Kind
from optcore.residuals import ResidualReader
from optcore.tree import Converter

__all__ = ["Direction", "Task", "read_task"]

Vector = NDArray[np.float64]
Direction = Literal["minimize", "maximize"]
#: Of several functions, the one with the most structure: it serves all solvers.
_PREFERENCE = (Kind.LEAST_SQUARES, Kind.LIKELIHOOD, Kind.SCALAR)


@dataclass(frozen=True, eq=False)
class Task:
    """What is to be minimized.

    Attributes:
        fun, params: as the user gave them.
        arguments: further arguments of `om.minimize` that the user gave, but for derivatives.
        direction: "minimize" or "maximize".
        converter: params <-> flat vectors of their n free entries.
        bounds: flat.
        kind: of the function whose derivatives are compared.
        function: that function, of flat vectors.
        exact: the derivatives of it that the user gave, by the name of the argument: "jac", "fun_and_jac".
        given: the same as the user gave them.
    """

    fun: Any
    params: Any
    arguments: Mapping[str, Any]
    direction: Direction
    converter: Converter
    bounds: FlatBounds
    kind: Kind
    function: FlatFun
    exact: Mapping[str, FlatJac]
    given: Mapping[str, Any]

    @property
    def n(self) -> int:
        """Number of free entries of params."""
        return self.converter.n

    @property
    def start(self) -> Vector:
        """The free entries of params, shape (n,)."""
        return self.converter.start

    @property
    def movable(self) -> NDArray[np.intp]:
        """Positions of the free entries that their bounds let move."""
        return np.flatnonzero(self.bounds.lower < self.bounds.upper)

    def box(self, x: Vector, entries: NDArray[np.intp]) -> FlatBounds:
        """Bounds within which only some entries of x may move, so that only these cost evaluations."""
        lower, upper = x.copy(), x.copy()
        lower[entries], upper[entries] = self.bounds.lower[entries], self.bounds.upper[entries]
        return FlatBounds(lower, upper)

    @property
    def leaves(self) -> list[tuple[str, slice]]:
        """Name and place of each leaf that has free entries; one that stands for all of an array is called "params"."""
        return [(name or "params", part) for name, part in self.converter.blocks if part.stop > part.start]


def read_task(
    fun: Any,
    params: Any,
    *,
    jac: Any,
    fun_and_jac: Any,
    bounds: Any,
    fixed: Any,
    fun_kwargs: Mapping[str, Any] | None,
    jac_kwargs: Mapping[str, Any] | None,
    fun_and_jac_kwargs: Mapping[str, Any] | None,
    direction: str,
) -> Task:
    """Read what the user gave, and call the function once, so that what doesn't fit is said first.

    Raises:
        InvalidInputError: an argument doesn't fit, or the function isn't finite at the start.
        InvalidFunctionError: the function returned something that doesn't fit.
        UserFunctionError: the function raised.
    """
    if direction not in ("minimize", "maximize"):
        raise InvalidInputError(f"direction must be 'minimize' or 'maximize', but is {direction!r}")
    funs = by_kind(fun, "fun")
    if not funs:
        raise InvalidInputError("advise needs fun, a function of params: numerical derivatives are taken of it")
    described = {*by_kind(jac, "jac"), *by_kind(fun_and_jac, "fun_and_jac")}
    ranked = sorted((kind for kind in _PREFERENCE if kind in funs), key=lambda kind: kind not in described)
    kind = ranked[0]
    if kind is Kind.LEAST_SQUARES and direction == "maximize":
        raise InvalidInputError("a sum of squares is minimized; mark the function as something else to maximize it")
    converter = Converter(params, fixed)
    flat_bounds = flatten_bounds(bounds, converter, converter.start)
    reader = ResidualReader(converter)
    shared = fun_kwargs or {}
    exact: dict[str, FlatJac] = {}
    given: dict[str, Any] = {}
    for name, cls, functions, kwargs in (
        ("jac", FlatJac, jac, jac_kwargs),
        ("fun_and_jac", FlatFunAndJac, fun_and_jac, fun_and_jac_kwargs),
    ):
        found = by_kind(functions, name)
        if kind in found:
            exact[name] = cls(found[kind], kind, shared if kwargs is None else kwargs, converter, reader)
            given[name] = functions
        elif found:
            raise InvalidInputError(
                f"{name} is a derivative of another kind than fun, which is {kind.value!r}; mark it with "
                f"om.mark.{kind.value}, or leave it out"
            )
    own = {
        "bounds": bounds,
        "fixed": fixed,
        "fun_kwargs": fun_kwargs,
        "jac_kwargs": jac_kwargs,
        "fun_and_jac_kwargs": fun_and_jac_kwargs,
    }
    task = Task(
        fun=fun,
        params=params,
        arguments={name: value for name, value in own.items() if value is not None},
        direction="maximize" if direction == "maximize" else "minimize",
        converter=converter,
        bounds=flat_bounds,
        kind=kind,
        function=FlatFun(funs[kind], kind, shared, converter, reader),
        exact=exact,
        given=given,
    )
    _try(task)
    return task


def _try(task: Task) -> None:
    try:
        output, value = task.function(task.start)
    except OptcoreError:
        raise
    except Exception as error:  # whatever the user's function raises
        raise UserFunctionError(
            f"fun raised {type(error).__name__} at the start, {task.converter.describe(task.start)}: {error}"
        ) from error
    if not (np.isfinite(value) and np.isfinite(np.asarray(output)).all()):
        raise InvalidFunctionError(
            f"fun is {value} at the start, {task.converter.describe(task.start)}; start where it is finite"
        )

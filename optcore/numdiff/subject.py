"""What is differentiated, and what is known of it. All strategies of one function share it, and add what they learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.errors import InvalidInputError
from optcore.functions import FlatFun
from optcore.numdiff.calls import Calls
from optcore.numdiff.columns import Columns, Singly
from optcore.numdiff.options import NumdiffOptions
from optcore.numdiff.schemes import Steps, choose_steps, default_scale, relative_step
from optcore.tree import Converter

__all__ = ["Subject"]

Vector = NDArray[np.float64]
EPS_SINGLE = float(np.finfo(np.float32).eps)


class Subject:
    """One flat function, where it may be evaluated, and the steps that the user asks for.

    Args:
        function: the user function.
        converter: reads steps given as trees.
        bounds: the points stay within them.
        options: how to take differences.

    Attributes:
        eps: relative rounding error of the function's values, as far as it is known.
        noise: level of noise, shape (1,) or (m,); None: rounding, or not yet known.
        first_step: absolute steps that were asked for, shape (n,), NaN for those that were not; None: none was.
        typical: typical size of params, likewise.
        columns: how params are moved.
    """

    def __init__(self, function: FlatFun, converter: Converter, bounds: FlatBounds, options: NumdiffOptions) -> None:
        self.function = function
        self.converter = converter
        self.options = options
        self._bounds = bounds
        #: Whether points without a value are done without, as far as there are others.
        self.recovers = options.on_failure != "raise" and options.method != "complex_step"
        self.eps: float = converter.eps
        self.noise: Vector | None = None if isinstance(options.noise, str) else _level(options.noise)
        given = None if isinstance(options.step_size, str) else options.step_size
        self.first_step = _positive(converter, given, "step_size")
        self.typical = _positive(converter, options.typical_x, "typical_x")
        self.columns: Columns = Singly()
        self._factor = converter.flatten_partial(options.scaling_factor, default=1.0, what="scaling_factor")

    def box(self, x: Vector) -> FlatBounds:
        """What the points must stay in: the bounds, and x, since some solvers leave the bounds on their way."""
        bounds = self._bounds
        if not bounds.any or bounds.contain(x):
            return bounds
        return FlatBounds(np.minimum(bounds.lower, x), np.maximum(bounds.upper, x))

    def room(self, x: Vector) -> FlatBounds:
        """The same for points of differences, without those that can't tell anything."""
        return self.columns.room(x, self.box(x))

    def scale(self, x: Vector) -> Vector:
        """The size of params that default steps are relative to, shape (n,)."""
        return default_scale(x, self.typical)

    def steps(self, x: Vector, method: str, measured: Vector | None = None) -> Steps:
        """The steps at x, shape (n,), of a method with one round."""
        if measured is not None:
            # A measured step may be smaller than the rounding of an x that has moved.
            h = np.maximum(measured, 4 * np.spacing(np.abs(x)))
        else:
            h = relative_step(method, self.eps) * self._factor * self.scale(x)
            if self.first_step is not None:
                h = np.where(np.isnan(self.first_step), h, self.first_step)
        steps = choose_steps(method, x, h, self.room(x))
        if np.count_nonzero(steps.h) < x.size:
            self._refuse_vanishing(x, h, steps)
        return steps

    def _refuse_vanishing(self, x: Vector, h: Vector, steps: Steps) -> None:
        for i in np.flatnonzero((steps.h == 0) & (steps.scheme != "fixed")):
            raise InvalidInputError(
                f"the step {h[i]:g} for {self.converter.names[i]!r} vanishes in the rounding of {float(x[i])!r}; "
                "give a larger step_size, scaling_factor or typical_x"
            )

    def notice_precision(self) -> bool:
        """Whether it turned out only now that the function computes in single precision."""
        news = self.function.is_single and self.eps < EPS_SINGLE
        if news:
            self.eps = EPS_SINGLE
        return news

    def noise_of(self, calls: Calls) -> NDArray[np.float64] | None:
        """The level of noise as results have it: a number for all values, or one for each."""
        if self.noise is None:
            return None
        return self.noise.reshape(np.shape(calls.base) if self.noise.size > 1 else ())


def _level(noise: float | None) -> Vector | None:
    return None if noise is None else np.array([float(noise)])


def _positive(converter: Converter, tree: Any, what: str) -> Vector | None:
    if tree is None:
        return None
    flat = converter.flatten_partial(tree, default=np.nan, what=what)
    for i in np.flatnonzero(flat <= 0):
        raise InvalidInputError(f"{what} of {converter.names[i]!r} must be above 0, but is {flat[i]}")
    return flat

"""Bounds: om.Bounds, scipy's Bounds or a list of pairs -> two flat vectors."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidInputError

if TYPE_CHECKING:
    from optcore.tree import Converter

__all__ = ["Bounds", "FlatBounds", "flatten_bounds"]


@dataclass(frozen=True, eq=False)
class Bounds:
    """Lower and upper bounds.

    Args:
        lower: a pytree like params, a part of one (missing leaves and None are unbounded), or one number for all.
        upper: likewise.
    """

    lower: Any = None
    upper: Any = None


@dataclass(frozen=True, eq=False)
class FlatBounds:
    """Bounds as flat vectors, shape (n,), infinite where there is none."""

    lower: NDArray[np.float64]
    upper: NDArray[np.float64]

    @staticmethod
    @functools.lru_cache(maxsize=64)
    def none(n: int) -> FlatBounds:
        """No bounds on n params; read-only, since all who ask share them."""
        bounds = FlatBounds(np.full(n, -np.inf), np.full(n, np.inf))
        bounds.lower.flags.writeable = bounds.upper.flags.writeable = False
        bounds.__dict__["any"] = False  # known without looking
        return bounds

    @functools.cached_property
    def any(self) -> bool:
        """Whether at least one bound is finite."""
        return bool(np.isfinite(self.lower).any() or np.isfinite(self.upper).any())

    def contain(self, x: NDArray[np.float64]) -> bool:
        """Whether x, shape (n,), is within the bounds."""
        return bool((x >= self.lower).all() and (x <= self.upper).all())

    def contain_rows(self, x: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which rows of x, shape (k, n), are within the bounds."""
        return np.asarray(((x >= self.lower) & (x <= self.upper)).all(axis=1))


def flatten_bounds(bounds: Any, converter: Converter, x0: NDArray[np.float64], *, slack: float = 0.0) -> FlatBounds:
    """Read bounds of any accepted form and check them against the start.

    Args:
        bounds: the bounds.
        converter: reads trees.
        x0: the start, shape (n,).
        slack: how far outside the start may be, relative to the size of the bound: for starts that were rounded.

    Raises:
        InvalidInputError: a leaf doesn't fit, lower > upper, or the start is outside; the message names the leaf.
    """
    if bounds is None:
        return FlatBounds.none(converter.n)
    lower_tree, upper_tree = _as_pair(bounds)
    lower = converter.flatten_partial(lower_tree, default=-np.inf, what="bounds.lower")
    upper = converter.flatten_partial(upper_tree, default=np.inf, what="bounds.upper")
    if ((lower <= x0) & (x0 <= upper)).all():
        return FlatBounds(lower, upper)
    for i in np.flatnonzero(np.isnan(lower) | np.isnan(upper) | (lower > upper)):
        raise InvalidInputError(
            f"bounds of {converter.names[i]!r}: lower {lower[i]} must not be above upper {upper[i]} (and none NaN)"
        )
    inside = np.clip(x0, lower, upper)
    for i in np.flatnonzero(np.abs(x0 - inside) > slack * np.abs(inside)):
        raise InvalidInputError(
            f"the start of {converter.names[i]!r} is {x0[i]}, outside its bounds [{lower[i]}, {upper[i]}]; "
            "start within the bounds or widen them"
        )
    return FlatBounds(lower, upper)


def _as_pair(bounds: Any) -> tuple[Any, Any]:
    if isinstance(bounds, Bounds):
        return bounds.lower, bounds.upper
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):  # scipy.optimize.Bounds
        return _spread(bounds.lb), _spread(bounds.ub)
    if isinstance(bounds, np.ndarray) and bounds.ndim == 2 and bounds.shape[1] == 2:
        return bounds[:, 0], bounds[:, 1]
    if isinstance(bounds, (list, tuple)) and all(isinstance(b, (list, tuple)) and len(b) == 2 for b in bounds):
        return _side(bounds, 0, -np.inf), _side(bounds, 1, np.inf)
    raise InvalidInputError(
        f"bounds must be om.Bounds, scipy.optimize.Bounds or a list of (lower, upper) pairs, but got {bounds!r}"
    )


def _spread(side: Any) -> Any:
    """One bound for all, as scipy keeps it, is a number."""
    return side.item() if np.size(side) == 1 else side


def _side(pairs: Any, side: int, default: float) -> NDArray[np.float64]:
    try:
        return np.array([default if pair[side] is None else pair[side] for pair in pairs], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"bounds must be pairs of numbers or None, but got {pairs!r}") from error

"""What a least-squares test function is: residuals, jacobian, start and minimum of one size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidInputError
from optcore_problems.problem import LocalOptimum

__all__ = ["EXACT", "MOST_ENTRIES", "UNKNOWN", "LeastSquaresFunction", "Optimum", "Sizes", "refuse_dense"]

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

EXACT = "exact"

#: Entries of the largest dense jacobian that is made: 0.4 GB, of which solvers need several.
MOST_ENTRIES = 5 * 10**7


@dataclass(frozen=True, eq=False)
class Optimum:
    """The best known value of a function of one size.

    Args:
        f: the value, None where none is known.
        source: "exact", "closed form", "best known: ...", "unknown".
        x: where, shape (n,), or None.
        local: other minima.
    """

    f: float | None
    source: str
    x: Vector | None = None
    local: tuple[LocalOptimum, ...] = ()


UNKNOWN = Optimum(None, "unknown")


@dataclass(frozen=True)
class Sizes:
    """Which (n, m) a function has.

    Args:
        n_min: fewest variables.
        n_max: most variables, None without limit.
        usual_m: the number of residuals for n variables, unless another is asked for.
        text: all of this in words, for messages.
        any_m: whether every m >= n is valid too.
        m_max: most residuals where any_m, None without limit.
        at_least: the smallest valid n that isn't below a number of at least n_min; for functions that leave some out.
    """

    n_min: int
    n_max: int | None
    usual_m: Callable[[int], int]
    text: str
    any_m: bool = False
    m_max: int | None = None
    at_least: Callable[[int], int] = int

    @classmethod
    def fixed(cls, n: int, m: int) -> Sizes:
        """One size only."""
        return cls(n, n, lambda _: m, f"n = {n}, m = {m}")

    def has(self, n: int, m: int) -> bool:
        """Whether the function has n variables and m residuals."""
        n_fits = self.n_min <= n and (self.n_max is None or n <= self.n_max) and self.at_least(n) == n
        m_fits = self.any_m and m >= n and (self.m_max is None or m <= self.m_max)
        return n_fits and (m == self.usual_m(n) or m_fits)


class LeastSquaresFunction(ABC):
    """A function of the sum-of-squares kind in one size; instances pickle by class and size.

    Residuals are written once, against an array namespace: no assignment to elements, no abs, norm, sign or
    arctan2, so that complex numbers and JAX's tracers pass through. Where `takes_columns`, they take many points
    too, x of shape (n, k), a point a column, and return shape (m, k): entries x[i] are then vectors, constants of
    shape (m,) go through `per_column`, and sums run over axis 0.

    Args:
        n: number of variables.
        m: number of residuals; None for the usual number.

    Raises:
        InvalidInputError: the function has no such size.
    """

    name: ClassVar[str]
    sizes: ClassVar[Sizes]
    reference: ClassVar[str]
    mgh: ClassVar[int | None] = None
    "Number of the function in More, Garbow & Hillstrom (1981)."
    residual_class: str
    "linear, zero_residual or nonzero_residual."
    takes_columns: ClassVar[bool] = False
    "Whether residuals takes many points at once."
    remarks: ClassVar[tuple[str, ...]] = ()
    "Where sources disagree about the function, its start or its minimum, a sentence each."
    excludes: ClassVar[Mapping[str, str]] = {}
    "Derivative strategies that the function can't be used with, and why."

    def __init__(self, n: int, m: int | None = None) -> None:
        self.n = n
        self.m = self.sizes.usual_m(n) if m is None else m
        if not self.sizes.has(self.n, self.m):
            asked = f"n={n}" if m is None else f"n={n}, m={m}"
            raise InvalidInputError(f"{self.name} has no size {asked}; its sizes: {self.sizes.text}")
        self._prepare()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.n, self.m)

    def _prepare(self) -> None:  # noqa: B027 - not every function has constants
        """Compute constants that depend on the size."""

    @abstractmethod
    def start(self) -> Vector:
        """The standard start, shape (n,)."""

    @abstractmethod
    def residuals(self, x: Any, xp: Any) -> Any:
        """Residuals at x, shape (n,), computed in the namespace xp: shape (m,)."""

    def jacobian(self, x: Vector) -> Matrix:
        """The jacobian of the residuals at a real x: a new array of shape (m, n)."""
        if self.sparse_jacobian is None:
            raise NotImplementedError(f"{type(self).__name__} must define jacobian or sparse_jacobian")
        refuse_dense(self)
        dense: Matrix = self.sparse_jacobian(x).toarray()
        return dense

    def optimum(self) -> Optimum:
        """What is known about the minimum of this size."""
        return UNKNOWN

    #: Pattern of the jacobian as a function without arguments; None for a dense jacobian.
    pattern: Callable[[], Any] | None = None

    #: The jacobian of the residuals at a real x as a new scipy.sparse.csr_array; None for a dense jacobian.
    sparse_jacobian: Callable[[Vector], Any] | None = None


def refuse_dense(function: LeastSquaresFunction) -> None:
    """Refuse the dense jacobian of a function that is too large for it: the machine might go before the error comes.

    Raises:
        InvalidInputError: it would have more than MOST_ENTRIES entries.
    """
    entries = function.m * function.n
    if entries > MOST_ENTRIES:
        raise InvalidInputError(
            f"the jacobian of {function.name} with n={function.n}, m={function.m} is dense and would take "
            f"{8e-9 * entries:.1f} GB; use a smaller n, or only its values and residuals"
        )

"""A test problem: a function, a start, and what is known about its minimum."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optcore.bounds import Bounds, flatten_bounds
from optcore.errors import InvalidInputError
from optcore.tree import Converter
from optcore_problems.namespace import array_namespace
from optcore_problems.transform import Noise, Start, Transformable, Transformation, apply
from optcore_problems.transform.base import whole_number

__all__ = ["Certified", "LocalOptimum", "Problem"]

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_quiet = np.errstate(all="ignore")


class LocalOptimum(NamedTuple):
    """A minimum that isn't the global one: where solvers end in good faith.

    Attributes:
        f: the value there, or the infimum where the minimum is at infinity.
        x: the point, or None where it isn't finite or not known.
    """

    f: float
    x: tuple[float, ...] | None = None


@dataclass(frozen=True, eq=False)
class Certified:
    """Results of a fit that somebody vouches for, with all digits that they print.

    Attributes:
        params: estimates, shape (n,); kept as a read-only float64 array.
        std: their standard deviations, shape (n,); kept likewise.
        rss: residual sum of squares at the estimates.
        source: who certifies it.
        n_digits: the significant digits that are printed; more can't be confirmed.
    """

    params: Vector
    std: Vector
    rss: float
    source: str
    n_digits: int = 11

    def __post_init__(self) -> None:
        for name in ("params", "std"):
            vector = np.array(getattr(self, name), dtype=np.float64)
            vector.flags.writeable = False
            object.__setattr__(self, name, vector)
        if self.params.ndim != 1 or self.std.shape != self.params.shape:
            raise InvalidInputError(
                "certified params and std must be vectors of one length, but have the shapes "
                f"{self.params.shape} and {self.std.shape}"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return Certified, (self.params, self.std, self.rss, self.source, self.n_digits)

    def digits(self, params: ArrayLike) -> float:
        """How many leading digits of the estimates are right: the log relative error of the worst one.

        For an estimate b and its certified value c this is -log10(|b - c| / |c|), or -log10(|b|) where c is 0; at
        most `n_digits`, at least 0, and 0 where b is infinite or NaN.

        Args:
            params: estimates in the order of `Certified.params`, shape (n,).

        Raises:
            InvalidInputError: params has another shape or isn't numeric.

        References:
            McCullough (1998), Assessing the reliability of statistical software: part I, Amer. Statist. 52(4),
            358-366.

        >>> fit = Certified(np.array([200.0, -0.5]), np.array([1.0, 0.1]), 3.0, "an example")
        >>> fit.digits([200.0, -0.5]), round(fit.digits([200.2, -0.5]), 3), fit.digits([200.0, 7.0])
        (11.0, 3.0, 0.0)
        """
        try:
            estimates = np.asarray(params, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InvalidInputError(f"digits takes a vector of {self.params.size} numbers, not {params!r}") from error
        if estimates.shape != self.params.shape:
            raise InvalidInputError(
                f"digits takes estimates of shape {self.params.shape}, but they have {estimates.shape}"
            )
        with np.errstate(all="ignore"):
            deviation = np.abs(estimates - self.params) / np.where(self.params == 0.0, 1.0, np.abs(self.params))
            right = -np.log10(deviation.max())
        return float(np.clip(right, 0.0, self.n_digits)) if np.isfinite(estimates).all() else 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Problem(Transformable):
    """A minimization problem with its standard start and its best known value.

    A least-squares problem has residuals r(x) of shape (m,) and their jacobian J(x) of shape (m, n); its
    value is the sum of squares r'r, without a factor 1/2, and its gradient 2 J'r. A scalar problem has a
    value and a gradient.

    `fun` and `residuals` take numpy vectors, real or complex, and JAX vectors, traced or not, and compute in
    the library of their argument; `fun_batch` and `residuals_batch` take many points, shape (k, n). What is out of
    a function's range is inf or NaN, without a warning.

    Args:
        name: the name within the suite.
        suite: the name of the suite, `""` for a problem of your own.
        start: the standard start, shape (n,); kept as a read-only float64 array.
        residuals_xp: `residuals_xp(x, xp)`, shape (m,), written against an array namespace. None for scalar
            problems.
        jacobian_np: `jacobian_np(x)` for a real numpy x, shape (m, n): an array or a sparse one of scipy.
        fun_xp: `fun_xp(x, xp)`, a scalar; only for problems without residuals.
        gradient_np: `gradient_np(x)`, shape (n,); for problems with residuals only where it isn't 2 J'r.
        takes_columns: whether residuals_xp or fun_xp takes x of shape (n, k) too, a point a column, and returns
            shape (m, k) or (k,).
        m: number of residuals, None where there are none.
        bounds: om.Bounds, scipy's Bounds or a list of pairs; kept as om.Bounds of two read-only arrays of shape
            (n,). None without any.
        f_opt: the best known value, None where none is known.
        f_opt_source: where f_opt comes from: "exact", "closed form", "best known: ...", or "unknown".
        x_opt: a point with the value f_opt, None where it isn't known, not finite or not unique by nature.
        local_optima: other minima, those that are known to attract solvers.
        tags: what to filter by.
        reference: where the problem was published.
        description: what the problem is: its formula, its minimum, what makes it hard.
        remarks: where sources disagree about it, a sentence each.
        excludes: derivative strategies by name that the problem can't be used with, and why.
        certified: certified results of a fit, None where nobody certified any.
        version: changes whenever the problem's values do; results with different versions are not comparable.
        pattern: returns the sparsity pattern of the jacobian as a sparse matrix; None for dense jacobians.
        transformations: what was made of `base`, in order; see `optcore_problems.transform`.
        base: the problem before all transformations; None without any.
        undisturbed: the problem without those that only disturb its values; None without such ones.

    >>> import numpy as np
    >>> def residuals(x, xp):
    ...     return xp.concatenate([x - 3.0, x[:1] * x[1:]])
    >>> p = Problem(name="mine", start=np.array([1.0, 2.0]), m=3, residuals_xp=residuals)
    >>> p.n, p.f_start, float(p.fun([3.0, 3.0]))
    (2, 9.0, 81.0)
    """

    name: str
    start: Vector
    suite: str = ""
    m: int | None = None
    bounds: Bounds | None = None
    f_opt: float | None = None
    f_opt_source: str = "unknown"
    x_opt: Vector | None = None
    local_optima: tuple[LocalOptimum, ...] = ()
    tags: Mapping[str, Any] = field(default_factory=dict)
    reference: str = ""
    description: str = field(default="", repr=False)
    remarks: tuple[str, ...] = field(default=(), repr=False)
    excludes: Mapping[str, str] = field(default_factory=dict, repr=False)
    certified: Certified | None = field(default=None, repr=False)
    version: str = "1"
    residuals_xp: Callable[[Any, Any], Any] | None = field(default=None, repr=False)
    jacobian_np: Callable[[Vector], Matrix] | None = field(default=None, repr=False)
    fun_xp: Callable[[Any, Any], Any] | None = field(default=None, repr=False)
    gradient_np: Callable[[Vector], Vector] | None = field(default=None, repr=False)
    takes_columns: bool = field(default=False, repr=False)
    pattern: Callable[[], Any] | None = field(default=None, repr=False)
    transformations: tuple[Transformation, ...] = field(default=(), repr=False)
    base: Problem | None = field(default=None, repr=False)
    undisturbed: Problem | None = field(default=None, repr=False)
    _shape: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if (self.residuals_xp is None) == (self.fun_xp is None):
            raise InvalidInputError(f"problem {self.name!r} needs residuals_xp or fun_xp, one of them")
        if (self.m is None) != (self.residuals_xp is None):
            raise InvalidInputError(
                f"problem {self.name!r}: m is the number of residuals; give it with residuals_xp only"
            )
        object.__setattr__(self, "start", self._frozen("start", self.start))
        if self.x_opt is not None:
            object.__setattr__(self, "x_opt", self._frozen("x_opt", self.x_opt))
            if self.x_opt.shape != self.start.shape:
                raise InvalidInputError(
                    f"problem {self.name!r}: x_opt has shape {self.x_opt.shape}, start {self.start.shape}"
                )
        if self.m is not None and self.m < 1:
            raise InvalidInputError(f"problem {self.name!r}: m must be at least 1, not {self.m!r}")
        object.__setattr__(self, "bounds", self._flat_bounds())
        object.__setattr__(self, "tags", dict(self.tags))
        object.__setattr__(self, "excludes", dict(self.excludes))
        object.__setattr__(self, "description", inspect.cleandoc(self.description))
        object.__setattr__(self, "_shape", self.start.shape)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        bounds = () if self.bounds is None else (self.bounds.lower, self.bounds.upper)
        for vector in (self.start, self.x_opt, *bounds):  # pickling forgets that an array is read-only
            if vector is not None:
                vector.flags.writeable = False

    def _flat_bounds(self) -> Bounds | None:
        if self.bounds is None:
            return None
        try:
            flat = flatten_bounds(self.bounds, Converter(self.start), self.start)
        except InvalidInputError as error:
            raise InvalidInputError(f"problem {self.name!r}: {error}") from error
        lower, upper = self._frozen("bounds.lower", flat.lower), self._frozen("bounds.upper", flat.upper)
        return Bounds(lower, upper)

    def _frozen(self, what: str, values: ArrayLike) -> Vector:
        vector = np.array(values, dtype=np.float64)
        if vector.ndim != 1 or not vector.size:
            raise InvalidInputError(f"problem {self.name!r}: {what} must be a vector, not of shape {vector.shape}")
        vector.flags.writeable = False
        return vector

    @property
    def n(self) -> int:
        """Number of variables."""
        return self.start.size

    @property
    def full_name(self) -> str:
        """`suite/name`, what get_problem takes; the bare name for a problem without a suite."""
        return f"{self.suite}/{self.name}" if self.suite else self.name

    @property
    def original(self) -> Problem:
        """The problem before all transformations."""
        return self if self.base is None else self.base

    @property
    def clean(self) -> Problem:
        """The problem without noise, failures and artificial cost: the same x, start and bounds."""
        return self if self.undisturbed is None else self.undisturbed

    @property
    def noise(self) -> str:
        """What noise the values have, in words: `multiplicative 0.001`; "" without."""
        return " + ".join(noise.words for noise in self.transformations if isinstance(noise, Noise))

    @property
    def has_gradient(self) -> bool:
        """Whether `gradient` is known in closed form."""
        return self.gradient_np is not None or self.jacobian_np is not None

    @cached_property
    def f_start(self) -> float:
        """The value at the start, without noise."""
        return float(self.clean.fun(self.start))

    def transform(self, *transformations: Transformation) -> Self:
        """The problem under one transformation after the other.

        Raises:
            InvalidInputError: it can't be transformed so; the message says why.
        """
        return cast(Self, apply(self, *transformations))

    def with_starts(self, count: int, *, seed: int = 0) -> tuple[Self, ...]:
        """The problem from its own start and from count - 1 perturbed ones: those of a study with `starts=count`."""
        count = whole_number("starts", "count", count, 1)
        return (self, *(self.transform(Start(number, seed)) for number in range(2, count + 1)))

    @cached_property
    def sparsity(self) -> Any:
        """Pattern of the jacobian: a scipy sparse array of bools, shape (m, n); None where it is dense."""
        return None if self.pattern is None else self.pattern()

    @_quiet
    def fun(self, x: Any) -> Any:
        """The value at x, shape (n,): a scalar; r'r for a least-squares problem.

        Raises:
            InvalidInputError: x has the wrong shape or isn't numeric.
        """
        x, xp = self._read(x)
        if self.residuals_xp is None:
            assert self.fun_xp is not None
            return self.fun_xp(x, xp)
        r = self.residuals_xp(x, xp)
        self._check_residuals(r)
        # Not vdot, which conjugates and so loses the complex step. numpy's dot is r @ r to the bit, in half the time.
        return r.dot(r) if type(r) is np.ndarray else r @ r

    @_quiet
    def residuals(self, x: Any) -> Any:
        """The residuals at x, shape (n,): shape (m,).

        Raises:
            InvalidInputError: x has the wrong shape or isn't numeric, or the problem has no residuals.
        """
        if self.residuals_xp is None:
            raise InvalidInputError(f"problem {self.full_name!r} has no residuals; use fun and gradient")
        r = self.residuals_xp(*self._read(x))
        self._check_residuals(r)
        return r

    @_quiet
    def fun_batch(self, x: Any) -> Any:
        """The values at many points at once.

        Args:
            x: a point a row, shape (k, n).

        Returns:
            Shape (k,). Without `takes_columns` the points are evaluated one after the other.

        Raises:
            InvalidInputError: x has the wrong shape or isn't numeric.
        """
        if self.residuals_xp is not None:
            r = self.residuals_batch(x)
            return (r * r).sum(axis=1)
        assert self.fun_xp is not None
        x, xp = self._read_rows(x)
        if self.takes_columns:
            return self.fun_xp(x.T, xp)
        return xp.stack([self.fun_xp(row, xp) for row in x])

    @_quiet
    def residuals_batch(self, x: Any) -> Any:
        """The residuals at many points at once.

        Args:
            x: a point a row, shape (k, n).

        Returns:
            Shape (k, m). Without `takes_columns` the points are evaluated one after the other.

        Raises:
            InvalidInputError: x has the wrong shape or isn't numeric, or the problem has no residuals.

        >>> from optcore_problems import get_problem
        >>> get_problem("more_wild/rosenbrock").residuals_batch([[1.0, 1.0], [0.0, 2.0]]).tolist()
        [[0.0, 0.0], [20.0, 1.0]]
        """
        if self.residuals_xp is None:
            raise InvalidInputError(f"problem {self.full_name!r} has no residuals; use fun_batch")
        x, xp = self._read_rows(x)
        if self.takes_columns:
            return self.residuals_xp(x.T, xp).T
        return xp.stack([self.residuals_xp(row, xp) for row in x])

    @_quiet
    def jacobian(self, x: ArrayLike) -> Matrix:
        """The jacobian of the residuals at a real x, shape (n,): a new array of shape (m, n), in closed form.

        A `scipy.sparse.csr_array` for problems that are made for many variables.

        Raises:
            InvalidInputError: x has the wrong shape or isn't real, or the problem has no jacobian.
        """
        if self.jacobian_np is None:
            what = "jacobian in closed form" if self.residuals_xp is not None else "residuals, so no jacobian"
            raise InvalidInputError(f"problem {self.full_name!r} has no {what}; use numerical derivatives")
        return self.jacobian_np(self._read_real(x))

    @_quiet
    def gradient(self, x: ArrayLike) -> Vector:
        """The gradient at a real x, shape (n,): a new array of shape (n,); 2 J'r for a least-squares problem.

        Raises:
            InvalidInputError: x has the wrong shape or isn't real, or the problem has no closed form of it.
        """
        x = self._read_real(x)
        if self.gradient_np is not None:
            return self.gradient_np(x)
        if self.residuals_xp is None or self.jacobian_np is None:
            raise InvalidInputError(
                f"problem {self.full_name!r} has no gradient in closed form; use numerical derivatives"
            )
        gradient: Vector = self.residuals_xp(x, np) @ self.jacobian_np(x)
        gradient *= 2.0
        return gradient

    def _check_residuals(self, r: Any) -> None:
        if r.shape != (self.m,):
            raise InvalidInputError(
                f"problem {self.full_name!r} has m={self.m} residuals, but residuals_xp returned shape {tuple(r.shape)}"
            )

    def _read_rows(self, x: Any) -> tuple[Any, Any]:
        """Many points, shape (k, n), and their namespace."""
        xp = array_namespace(x)
        x = self._as_numpy(x) if xp is np else x
        if x.ndim != 2 or x.shape[1] != self.n:
            raise InvalidInputError(
                f"problem {self.full_name!r} takes points of shape (k, {self.n}), but they have {tuple(x.shape)}"
            )
        return x, xp

    def _read(self, x: Any) -> tuple[Any, Any]:
        """The vector and its namespace; what a solver passes takes the short way."""
        if type(x) is np.ndarray and x.dtype.char in "dD" and x.shape == self._shape:
            return x, np
        xp = array_namespace(x)
        if xp is np:
            x = self._as_numpy(x)
        elif x.dtype.kind in "biu":
            x = x.astype(float)
        if x.shape != self._shape:
            raise InvalidInputError(
                f"problem {self.full_name!r} takes one x of shape ({self.n},), but it has {tuple(x.shape)}"
            )
        return x, xp

    def _read_real(self, x: ArrayLike) -> Vector:
        if type(x) is np.ndarray and x.dtype.char == "d" and x.shape == self._shape:
            return x
        vector = np.asarray(self._read(x)[0])  # a JAX array is copied; a tracer has no values and raises
        if vector.dtype.kind == "c":
            raise InvalidInputError(
                f"problem {self.full_name!r}: closed-form derivatives take a real x, not {vector.dtype}"
            )
        return np.asarray(vector, dtype=np.float64)

    def _as_numpy(self, x: Any) -> NDArray[Any]:
        """Float64, or complex128, or what is more precise than these."""
        try:
            array = np.asarray(x)
            wanted = np.complex128 if array.dtype.kind == "c" else np.float64
            return array.astype(np.promote_types(array.dtype, wanted) if array.dtype.kind in "fc" else wanted)
        except (TypeError, ValueError) as error:
            raise InvalidInputError(
                f"problem {self.full_name!r} takes a vector of {self.n} numbers, but x is {x!r}"
            ) from error

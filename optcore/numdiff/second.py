"""Second derivatives by differences: of values, or of gradients where a function for them is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import flatten_bounds
from optcore.errors import InvalidFunctionError, InvalidInputError, unknown_name
from optcore.evaluator import Evaluator
from optcore.functions import FlatFun
from optcore.ledger import Ledger
from optcore.marks import Kind
from optcore.numdiff import adaptive
from optcore.numdiff.batched import take_many
from optcore.numdiff.calls import Caller, Calls
from optcore.numdiff.derivative import SLACK, checked_options
from optcore.numdiff.options import NumdiffOptions
from optcore.numdiff.result import Failure, NumdiffResult
from optcore.numdiff.schemes import EPS, default_scale
from optcore.numdiff.sparse import Places
from optcore.numdiff.symmetric import HessianPattern, of_gradients
from optcore.residuals import ResidualReader
from optcore.tree import Converter

__all__ = ["second_derivative"]

Vector = NDArray[np.float64]
Array = NDArray[np.float64]

#: Powers of eps that are the optimal relative steps of second differences of first and second order.
ORDER = {"forward": 1 / 3, "backward": 1 / 3, "central": 1 / 4}
#: The first step of an extrapolation, relative to the scale of x.
FIRST_STEP = 2.0**-4
METHODS = (*ORDER, "richardson")
#: Multiples of two steps, and weights: symmetric formulas, and those of one corner, see Abramowitz & Stegun (1964),
#: section 25.3.
_SQUARED = [(1.0, 0.0, 1.0), (-1.0, 0.0, 1.0), (0.0, 0.0, -2.0)]
_CROSS = [(1.0, 1.0, 0.25), (1.0, -1.0, -0.25), (-1.0, 1.0, -0.25), (-1.0, -1.0, 0.25)]
_CORNER_SQUARED = [(2.0, 0.0, 1.0), (1.0, 0.0, -2.0), (0.0, 0.0, 1.0)]
_CORNER = [(1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (0.0, 1.0, -1.0), (0.0, 0.0, 1.0)]


def second_derivative(
    func: Callable[..., Any],
    params: Any,
    *,
    jac: Callable[..., Any] | None = None,
    bounds: Any = None,
    func_kwargs: Mapping[str, Any] | None = None,
    options: NumdiffOptions | None = None,
    **numdiff_options: Any,
) -> NumdiffResult:
    """The second derivative (Hessian) of a function that returns a number, by differences.

    Args:
        func: takes params, returns a number.
        params: where; any pytree.
        jac: the gradient of func, with the structure of params. If it is given, the second derivative is the first
            derivative of it, by any method of NumdiffOptions, made symmetric; func isn't called.
        bounds: no point leaves them.
        func_kwargs: further keyword arguments of func and jac.
        options: `om.NumdiffOptions`; None means method="central" here. Of values: "central" (2 n^2 + 1 evaluations),
            "forward" and "backward" (1 + n + n (n + 1) / 2), and "richardson", extrapolated, with error bounds.
            `sparsity` is that of the second derivative, shape (n, n) or a tree like it; one triangle is enough. Of
            values pairs that it leaves out cost nothing: each number that a function returns can tell one entry.
            Gradients tell a column each, and columns are moved together as for first derivatives; since the matrix is
            symmetric, entries that overlap in one column are read in the other one (star colouring): an arrow needs 2
            points, whatever its size, a tridiagonal one 3.
        **numdiff_options: fields of NumdiffOptions, instead of or on top of `options`.

    Returns:
        `derivative` is a tree of params whose leaves are trees of params, as `jax.hessian` gives it, or a
        `scipy.sparse.csr_array` where the sparsity is known and params are a vector; `step` and `scheme` are those of
        the diagonal.

    Raises:
        InvalidInputError: options that don't go with second derivatives.
        InvalidFunctionError: func doesn't return a number, or there is no finite derivative for a pair of leaves.

    >>> import numpy as np
    >>> import optcore as om
    >>> result = om.second_derivative(lambda x: x[0] ** 2 * x[1], np.array([2.0, 3.0]), method="richardson")
    >>> (result.derivative.round(8) + 0.0).tolist()
    [[6.0, 4.0], [4.0, 0.0]]
    """
    known = [option.name for option in fields(NumdiffOptions)]
    for name in numdiff_options:
        if name not in known:
            raise unknown_name(
                "argument of second_derivative", name, [*known, "bounds", "func_kwargs", "jac", "options"]
            )
    start = NumdiffOptions(method="central") if options is None else checked_options(options)
    combined = replace(start, **numdiff_options)
    if jac is not None:
        return of_gradients(jac, params, bounds, combined, func_kwargs)
    return _Hessian(func, params, bounds, combined, func_kwargs).result()


@dataclass(frozen=True)
class _Pairs:
    """Entries of the upper triangle, and how each is differenced; all of shape (p,).

    Attributes:
        i: the first param.
        j: the second one, j >= i.
        side: 0: symmetric; 1: one corner only, away from a bound.
        limit: the largest step, relative to the scales.
    """

    i: NDArray[np.intp]
    j: NDArray[np.intp]
    side: NDArray[np.int8]
    limit: Vector

    def shifts(self, p: int) -> list[tuple[float, float, float]]:
        """Multiples of the steps of i and j, and weights, of the points of one pair."""
        same = self.i[p] == self.j[p]
        if self.side[p]:
            return _CORNER_SQUARED if same else _CORNER
        return _SQUARED if same else _CROSS


class _Hessian:
    """The second derivative of one function at one point, from values."""

    def __init__(
        self,
        func: Callable[..., Any],
        params: Any,
        bounds: Any,
        options: NumdiffOptions,
        kwargs: Mapping[str, Any] | None,
    ) -> None:
        _check(func, options)
        self._options = options
        self._converter = converter = Converter(params)
        self._pattern = None if options.sparsity is None else HessianPattern.read(options.sparsity, converter)
        found = flatten_bounds(bounds, converter, converter.start, slack=SLACK)
        self._x = np.clip(converter.start, found.lower, found.upper)
        self._bounds = found
        function = FlatFun(func, Kind.SCALAR, kwargs or {}, converter, ResidualReader(converter))
        evaluator = Evaluator(Ledger(converter.n, keep="none"), converter.describe)
        take_many(function, options, is_vector=converter.is_vector)
        caller = Caller(function, evaluator, options, keep_errors=options.on_failure != "raise")
        self._calls = Calls(caller, self._x, None)
        self._known: dict[bytes, float] = {}
        self._scale, self._direction = self._scales()

    def _scales(self) -> tuple[Vector, Vector]:
        """What steps are multiples of, and on which side there is more room."""
        options, converter, x = self._options, self._converter, self._x
        typical = (
            None
            if options.typical_x is None
            else converter.flatten_partial(options.typical_x, default=np.nan, what="typical_x")
        )
        if options.method == "richardson":
            scale = np.maximum(np.abs(x), adaptive.SMALLEST_SCALE)
            first = FIRST_STEP
        else:
            factor = converter.flatten_partial(options.scaling_factor, default=1.0, what="scaling_factor")
            scale = default_scale(x, None) * factor
            first = max(EPS, converter.eps) ** ORDER[options.method]
        if typical is not None:
            scale = np.where(np.isnan(typical), scale, np.abs(typical))
        if options.step_size is not None:
            step = converter.flatten_partial(options.step_size, default=np.nan, what="step_size")
            scale = np.where(np.isnan(step), scale, step / first)
        scale = adaptive.power_of_two(scale)
        up, down = self._bounds.upper - x, x - self._bounds.lower
        if options.method == "forward":
            direction = np.where((up >= 2 * first * scale) | (up >= down), 1.0, -1.0)
        elif options.method == "backward":
            direction = np.where((down >= 2 * first * scale) | (down >= up), -1.0, 1.0)
        else:
            direction = np.where(up >= down, 1.0, -1.0)
        return scale, direction

    def result(self) -> NumdiffResult:
        n = self._x.size
        pairs, t = self._pairs()
        value, error, step = self._plain(pairs, t) if self._options.method != "richardson" else self._adapted(pairs, t)
        steps = np.zeros(n)
        diagonal = pairs.i == pairs.j
        steps[pairs.i[diagonal]] = step[diagonal] * self._scale[pairs.i[diagonal]]
        names = self._converter.names
        bad = ~np.isfinite(value)
        scheme = np.full(n, "fixed", dtype="<U20")
        sides = np.array(["central", "forward", "backward"])
        if self._options.method == "richardson":
            sides = np.array(["richardson", "richardson_forward", "richardson_backward"])
        side = (pairs.side * self._direction[pairs.i]).astype(int)[diagonal]
        scheme[pairs.i[diagonal]] = np.where(bad[diagonal], "failed", sides[side])
        if bad.any() and self._options.on_failure != "mark":
            p = int(np.argmax(bad))
            reasons = ", ".join(dict.fromkeys(reason for _, _, reason in self._calls.failures))
            raise InvalidFunctionError(
                f"the second derivative is not finite for {names[pairs.i[p]]!r} and {names[pairs.j[p]]!r}: the "
                f"function gave {reasons or 'values that are too large'} around params; bounds= keep the points inside "
                "the domain, method='richardson' looks for other points, on_failure='mark' leaves the entry out"
            )
        calls = self._calls
        return NumdiffResult(
            derivative=self._shaped(pairs, np.where(np.isfinite(value), value, np.nan)),
            func_value=calls.base,
            step=self._converter.tree_of(steps),
            scheme=dict(zip(names, map(str, scheme), strict=True)),
            n_evaluations=calls.n_evaluations,
            n_rounds=calls.n_rounds,
            error=self._shaped(pairs, error) if self._options.method == "richardson" else None,
            noise=self._options.noise if isinstance(self._options.noise, float) else None,
            failures=tuple(
                Failure(names[i] if i >= 0 else "", self._converter.unflatten(point), reason)
                for i, point, reason in calls.failures
            ),
        )

    def _shaped(self, pairs: _Pairs, found: Vector) -> Any:
        """What belongs to pairs as a tree of trees, or a sparse matrix."""
        n, off = self._x.size, pairs.i != pairs.j
        entries = np.concatenate([found, found[off]])
        rows, columns = np.concatenate([pairs.i, pairs.j[off]]), np.concatenate([pairs.j, pairs.i[off]])
        places = Places(rows, columns, (n, n))
        if self._pattern is not None and self._converter.is_vector:
            return places.matrix(entries)
        reader = ResidualReader(self._converter)
        reader.residuals(self._converter.tree_of(self._x), "params")
        return reader.tree_of(places.dense(entries))

    def _pairs(self) -> tuple[_Pairs, Vector]:
        """The pairs of params that are free, and the first step of each relative to the scales."""
        x, bounds, scale = self._x, self._bounds, self._scale
        is_free = bounds.lower < bounds.upper
        if self._pattern is None:
            free = np.flatnonzero(is_free)
            rows, columns = np.triu_indices(len(free))
            i, j = free[rows], free[columns]
        else:
            upper = (self._pattern.rows <= self._pattern.columns) & is_free[self._pattern.rows]
            upper &= is_free[self._pattern.columns]
            i, j = self._pattern.rows[upper], self._pattern.columns[upper]
        up, down = (bounds.upper - x) / scale, (x - bounds.lower) / scale
        narrow, wide = np.minimum(up, down), np.maximum(up, down) / 2
        method = self._options.method
        first = FIRST_STEP if method == "richardson" else max(EPS, self._converter.eps) ** ORDER[method]
        tight = narrow < first / (8 if method == "richardson" else 1)
        one_sided = tight[i] | tight[j] | (method in ("forward", "backward"))
        room = np.where(one_sided, np.minimum(wide[i], wide[j]), np.minimum(narrow[i], narrow[j]))
        limit = np.minimum(room, 0.5 * np.maximum(1.0, 1.0 / np.maximum(scale[i], scale[j])))
        t = np.minimum(first, limit)
        if method == "richardson":
            limit, t = (adaptive.power_of_two(np.maximum(v, 1e-300)) for v in (limit, t))
        return _Pairs(i, j, one_sided.astype(np.int8), limit), t

    def _differences(self, pairs: _Pairs, ladder: Array) -> tuple[Array, Array]:
        """Second differences for steps of shape (r, p), NaN where none is wanted, in one batch.

        Returns:
            The differences divided by the squared steps, and what values as large as the largest of each can add to
            them relative to their error, both of shape (r, p).
        """
        wanted: list[tuple[tuple[int, int], list[tuple[bytes, float]], float]] = []
        missing: dict[bytes, tuple[Vector, int]] = {}
        for r, p in np.argwhere(~np.isnan(ladder)).tolist():
            i, j, t = int(pairs.i[p]), int(pairs.j[p]), float(ladder[r, p])
            step_i, step_j = t * self._scale[i], t * self._scale[j]
            if pairs.side[p]:
                step_i, step_j = step_i * self._direction[i], step_j * self._direction[j]
            terms = []
            for a, b, weight in pairs.shifts(p):
                point = self._x.copy()
                point[i] += a * step_i
                point[j] += b * step_j
                point = np.clip(point, self._bounds.lower, self._bounds.upper)
                key = point.tobytes()
                terms.append((key, weight))
                if key not in self._known:
                    missing.setdefault(key, (point, i if i == j or b == 0 else j if a == 0 else -1))
            wanted.append(((r, p), terms, float(step_i * step_j)))
        self._evaluate(missing)
        value, size = np.full(ladder.shape, np.nan), np.full(ladder.shape, np.nan)
        for at, terms, area in wanted:
            values = np.array([self._known[key] for key, _ in terms])
            weights = np.array([weight for _, weight in terms])
            if np.isfinite(values).all():
                value[at] = values @ weights / area
                size[at] = np.abs(values).max() / abs(area) * np.abs(weights).sum()
        return value, size

    def _evaluate(self, missing: dict[bytes, tuple[Vector, int]]) -> None:
        key = self._x.tobytes()
        first = self._calls.base is None
        missing.pop(key, None)
        if not missing and not first:
            return
        points = np.array([point for point, _ in missing.values()]).reshape(-1, self._x.size)
        values = self._calls.round(points, "differences", with_base=first)
        coordinate = np.array([i for _, i in missing.values()], dtype=np.intp)
        self._calls.note_failures(points, coordinate, values)
        self._known.update(zip(missing, map(float, values), strict=True))
        self._known[key] = float(self._calls.base)

    def _plain(self, pairs: _Pairs, t: Vector) -> tuple[Vector, Vector, Vector]:
        value = self._differences(pairs, t[None])[0][0]
        bad = ~np.isfinite(value)
        if bad.any() and self._options.on_failure != "raise":
            start = np.where(bad, adaptive.power_of_two(np.maximum(t, 1e-300)) / 4, np.nan)
            again, _, step = self._adapted(pairs, start)
            value, t = np.where(bad, again, value), np.where(bad, step, t)
        return value, np.full(len(t), np.nan), t

    def _adapted(self, pairs: _Pairs, first: Vector) -> tuple[Vector, Vector, Vector]:
        """Extrapolate in rounds; each pair is treated like one coordinate of a first derivative."""
        count = len(first)
        floor = np.maximum(*(4 * np.spacing(np.abs(self._x[k])) / self._scale[k] for k in (pairs.i, pairs.j)))
        nothing = np.empty((0, count, 0))
        h = np.empty((0, count))
        samples = adaptive.Samples(h, nothing, nothing, pairs.side, pairs.limit, floor, np.zeros(count))
        slopes, sizes = np.empty((0, count)), np.empty((0, count))
        rows = adaptive.N_FIRST[int(pairs.side.max(initial=0))]
        ladder = first * 2.0 ** -np.arange(rows)[:, None]
        ladder[adaptive.N_FIRST[0] :, pairs.side == 0] = np.nan
        progress: adaptive.Progress | None = None
        noise = self._options.noise
        while True:
            value, size = self._differences(pairs, ladder)
            slopes, sizes = np.concatenate([slopes, value]), np.concatenate([sizes, size])
            h = np.concatenate([h, ladder])
            samples = replace(samples, h=h)
            order = np.argsort(h, axis=0)
            sorted_h, sorted_slopes, sorted_sizes = (np.take_along_axis(a, order, axis=0) for a in (h, slopes, sizes))
            # Values are off by rounding, theirs and that of their arguments, or by noise.
            level = 2 * EPS if noise is None else max(2 * EPS, 3 * float(noise) / max(abs(self._calls.base), 1e-300))
            found = adaptive.extrapolate(
                sorted_h, sorted_slopes[..., None], (level * sorted_sizes)[..., None], pairs.side == 0
            )
            ladder, progress = adaptive.decide(samples, found, progress, self._options.tol)
            if not len(ladder):
                return found.value[:, 0], found.error[:, 0], found.step[:, 0]


def _check(func: Any, options: NumdiffOptions) -> None:
    if not callable(func):
        raise InvalidInputError(f"func must be a function, but got {func!r}")
    if options.method not in METHODS:
        raise InvalidInputError(
            f"second derivatives of values are taken by {', '.join(METHODS)}, but method is {options.method!r}; with "
            "jac= every method can be used"
        )
    if isinstance(options.sparsity, str):
        raise InvalidInputError(
            "the pattern of second derivatives of values must be given, as a matrix of shape (n, n): "
            f"sparsity={options.sparsity!r} goes with first derivatives, and with second ones where jac= is given"
        )
    if options.measures is not None and options.noise is None:
        raise InvalidInputError(
            f"step_size={options.step_size!r} goes with first derivatives, and with second ones where jac= is given"
        )
    if options.noise is not None and (options.method != "richardson" or isinstance(options.noise, str)):
        raise InvalidInputError(
            "for second derivatives of noisy values give noise as a number and use method='richardson'"
        )

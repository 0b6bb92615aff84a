"""Does a derivative belong to its function? Every entry by itself, at the start and at points near it."""

from __future__ import annotations

import numbers
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds, flatten_bounds
from optcore.derivative_guess import guess
from optcore.derivative_report import Compared, DerivativeCheck, hidden_notes, leaf_checks, summary
from optcore.derivative_verdict import WRONG, Numerical, Verdict, judge, nothing, read, second_look, without_plateaus
from optcore.errors import InvalidFunctionError, InvalidInputError, UserFunctionError, WrongDerivativeError
from optcore.evaluator import Evaluator
from optcore.functions import FlatFun, FlatFunAndJac, FlatJac, by_kind, scalar_of
from optcore.ledger import Ledger
from optcore.marks import Kind
from optcore.numdiff import adaptive, noise
from optcore.objective import Functions
from optcore.residuals import ResidualReader
from optcore.tree import Converter

__all__ = ["DerivativeCheck", "check_derivative", "refuse_wrong_derivatives"]

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Options = Mapping[str, Any] | None

#: Random points are at most this far from the start, relative to the size of each param ...
NEIGHBOURHOOD = 0.1
#: ... which is taken to be this where the param is zero.
SIZE_OF_ZERO = 0.1
N_POINTS = 2
TOLERANCE = 1e-5
#: Values in single precision, as JAX gives without x64: their rounding, and how well derivatives can agree at least.
EPS, EPS_SINGLE = 2.0**-52, 2.0**-23
TOLERANCE_SINGLE = 1e3 * EPS_SINGLE
#: Extrapolation goes on until its bound is this part of the tolerance.
MARGIN = 0.01


def check_derivative(
    fun: Any,
    params: Any,
    jac: Any = None,
    *,
    fun_and_jac: Any = None,
    bounds: Any = None,
    fixed: Any = None,
    fun_kwargs: Options = None,
    jac_kwargs: Options = None,
    fun_and_jac_kwargs: Options = None,
    n_points: int = N_POINTS,
    seed: int = 0,
    tolerance: float = TOLERANCE,
) -> DerivativeCheck:
    """Compare a derivative with differences of its function, at params and at random points near them.

    Each entry is compared by itself with differences that are extrapolated to a step of zero, as by
    `om.first_derivative(..., method="richardson")`, which costs 4 evaluations per param and point. Where they don't
    agree, the noise of the function is estimated, and more steps follow until it shows how far the differences can be
    trusted (some 40 evaluations of a param, 70 at most). An entry is "wrong" only if the discrepancy is ten times the
    bound of the numerical derivative's error (a hundred times, where it is less than a hundredth of the entry). Where
    noise, a kink or values that aren't finite allow no judgement at any of the points, it is "undecided".

    Args:
        fun: takes params and returns a number, or what its mark or annotation says; or a list or dict of functions of
            different kinds. May be None if fun_and_jac is given.
        params: any pytree of numbers and arrays, as for minimize.
        jac: the derivative, with the structure of params; or a list or dict of derivatives of different kinds. Each is
            compared with the function of its kind; a gradient, if there is no scalar function, with the sum of squares
            or of contributions.
        fun_and_jac: likewise, functions that return value and derivative.
        bounds: no point leaves them.
        fixed: a tree of bools or names of leaves, as for minimize: what stays as it is and isn't compared.
        fun_kwargs: further arguments of fun, and of jac and fun_and_jac unless these have their own.
        jac_kwargs: further arguments of jac.
        fun_and_jac_kwargs: further arguments of fun_and_jac.
        n_points: number of random points besides params. Each moves every entry of params by up to a tenth of its size
            (by up to 0.01 where it is zero) within the bounds.
        seed: of the random points.
        tolerance: relative discrepancy that always passes; 1.2e-4 at least where values are in single precision.

    Returns:
        A verdict for each leaf of params; prints as a table.

    Raises:
        InvalidInputError: there is nothing to compare, or arguments don't fit.
        InvalidFunctionError: a function returned something of the wrong structure, or isn't finite at params.
        UserFunctionError: a function raised at params.

    >>> import optcore as om
    >>> def fun(p):
    ...     return p["a"] ** 2 + p["b"] ** 3
    >>> def jac(p):
    ...     return {"a": 2 * p["a"], "b": p["b"] ** 2}
    >>> check = om.check_derivative(fun, {"a": 1, "b": 2}, jac)
    >>> check.ok, [leaf.name for leaf in check.wrong]
    (False, ['b'])
    >>> check.guesses
    ('jac is 1/3 of the derivative at b: a factor 3 is missing.',)
    """
    _check_whole("n_points", n_points)
    _check_whole("seed", seed)
    if not (isinstance(tolerance, numbers.Real) and 0 < tolerance < 1):
        raise InvalidInputError(f"tolerance must be a number between 0 and 1, but is {tolerance!r}")
    converter = Converter(params, fixed)
    flat_bounds = flatten_bounds(bounds, converter, converter.start)
    shared = fun_kwargs or {}
    readers = {kind: ResidualReader(converter) for kind in Kind}

    def flat(cls: Any, given: Any, name: str, kwargs: Options) -> dict[Kind, Any]:
        own = shared if kwargs is None else kwargs
        functions = by_kind(given, name)
        return {kind: cls(function, kind, own, converter, readers[kind]) for kind, function in functions.items()}

    pairs, notes = _pairs(
        flat(FlatFun, fun, "fun", fun_kwargs),
        flat(FlatJac, jac, "jac", jac_kwargs),
        flat(FlatFunAndJac, fun_and_jac, "fun_and_jac", fun_and_jac_kwargs),
    )
    if not pairs:
        missing = "; ".join(notes) if notes else "give fun and jac, or fun_and_jac, as functions"
        raise InvalidInputError(f"there is nothing to check: {missing}")
    evaluator = Evaluator(Ledger(converter.n, keep="none"), converter.describe)
    checker = _Checker(evaluator, converter, flat_bounds, n_points=n_points, seed=seed, tolerance=tolerance)
    return checker.check(pairs, notes)


def refuse_wrong_derivatives(
    functions: Functions, evaluator: Evaluator, converter: Converter, bounds: FlatBounds
) -> None:
    """Check the derivatives that will serve a solver, if there are any; entries that can't be judged pass.

    Raises:
        WrongDerivativeError: at least one entry is wrong; has the whole check as `check`.
    """
    given = (functions.fun, functions.jac, functions.fun_and_jac)
    by_kinds: list[Any] = [{} if function is None else {function.kind: function} for function in given]
    pairs, notes = _pairs(*by_kinds)
    if not pairs:
        return
    check = _Checker(evaluator, converter, bounds).check(pairs, notes)
    if not check.ok:
        error = WrongDerivativeError(summary(check))
        error.check = check
        raise error


def _check_whole(name: str, value: Any) -> None:
    if type(value) is bool or not isinstance(value, numbers.Integral) or int(value) < 0:
        raise InvalidInputError(f"{name} must be a whole number of at least 0, but is {value!r}")


@dataclass
class _Pair:
    """Derivatives, and a function whose values tell what they should be."""

    kind: Kind
    function: FlatFun | FlatFunAndJac
    derivatives: list[FlatJac]

    def values(self, answer: Any) -> Vector:
        """What the derivatives are derivatives of, shape (m,), from what the function gave; m is 1 for scalars."""
        output = answer[0] if isinstance(self.function, FlatFunAndJac) else answer
        if self.kind is Kind.SCALAR:
            output = scalar_of(self.function.kind, output)
        return np.atleast_1d(np.asarray(output, dtype=np.float64))


def _pairs(
    funs: Mapping[Kind, FlatFun], jacs: Mapping[Kind, FlatJac], boths: Mapping[Kind, FlatFunAndJac]
) -> tuple[list[_Pair], list[str]]:
    """Each derivative with a function of its kind, and notes about derivatives for which there is none."""
    pairs, notes = [], []
    for kind in Kind:
        derivatives: list[FlatJac] = [functions[kind] for functions in (jacs, boths) if kind in functions]
        usable = [kind, Kind.LEAST_SQUARES, Kind.LIKELIHOOD] if kind is Kind.SCALAR else [kind]
        candidates: list[Any] = [functions[k] for k in usable for functions in (funs, boths) if k in functions]
        if derivatives and candidates:
            pairs.append(_Pair(kind, candidates[0], derivatives))
        elif derivatives:
            notes.append(f"jac is a {kind.value} one, but there is no fun or fun_and_jac that it belongs to")
    return pairs, notes


class _Checker:
    """Evaluates, and hands what it saw to those who judge.

    Args:
        evaluator: makes and counts the calls.
        converter: knows params; the first point is its start.
        bounds: no point leaves them.
        n_points, seed, tolerance: see `check_derivative`.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        converter: Converter,
        bounds: FlatBounds,
        *,
        n_points: int = N_POINTS,
        seed: int = 0,
        tolerance: float = TOLERANCE,
    ) -> None:
        self._evaluator = evaluator
        self._converter = converter
        self._bounds = bounds
        self._tolerance = tolerance
        self._eps = EPS if converter.eps <= EPS else EPS_SINGLE
        self._points = [converter.start, *self._near(n_points, np.random.default_rng(seed))]
        self._failures: dict[str, list[str]] = {}  # what happened, and at which points

    def check(self, pairs: list[_Pair], notes: list[str]) -> DerivativeCheck:
        """Compare all pairs at all points."""
        before = self._evaluator.counts
        compared = [done for pair in pairs for done in self._compare(pair, name_kind=len(pairs) > 1)]
        spent = {task: number - before[task] for task, number in self._evaluator.counts.items()}
        failures = [f"{what} at {', '.join(where)}" for what, where in self._failures.items()]
        return DerivativeCheck(
            leaves=tuple(leaf for done in compared for leaf in leaf_checks(done)),
            guesses=tuple(sentence for done in compared for sentence in guess(done)),
            notes=(*notes, *failures, *(note for done in compared for note in hidden_notes(done))),
            points=tuple(self._converter.unflatten(x) for x in self._points),
            n_fun_evals=spent["numdiff"],
            n_jac_evals=spent["jac"],
            n_fun_and_jac_evals=spent["fun_and_jac"],
        )

    def _near(self, number: int, rng: np.random.Generator) -> Iterator[Vector]:
        """Random points around the start, within the bounds."""
        x = self._converter.start
        reach = NEIGHBOURHOOD * np.where(x == 0, SIZE_OF_ZERO, np.abs(x))
        lower, upper = np.maximum(x - reach, self._bounds.lower), np.minimum(x + reach, self._bounds.upper)
        for _ in range(number):
            yield np.clip(lower + rng.random(x.size) * (upper - lower), lower, upper)

    def _compare(self, pair: _Pair, *, name_kind: bool) -> list[Compared]:
        """Evaluate one pair at all points; one result for each of its derivatives."""
        seen: dict[str, list[dict[str, Any]]] = {}
        known: dict[str, NDArray[np.bool_]] = {}  # entries that were wrong at an earlier point
        for number, point in enumerate(self._points):
            where = "the start" if number == 0 else f"point {number}"
            answer = self._required(pair.function, point, where)
            if answer is None:
                continue
            x = self._representable(pair, point)
            if x is not point:
                answer = self._required(pair.function, x, where)
            values = pair.values(answer)
            if not np.isfinite(values).any():
                self._refuse_start(x, where)
                self._note(f"{pair.function.name} isn't finite, so that nothing could be compared", where)
                continue
            given = self._derivatives(pair, answer, x, where)
            if given is None:
                continue
            numerical, verdicts = self._differences(pair, x, values, given, known, where)
            for name, derivative in given.items():
                codes = verdicts[name].code
                known[name] = known.get(name, np.zeros(codes.shape, dtype=bool)) | (codes == WRONG)
                seen.setdefault(name, []).append(
                    {"number": number, "x": x, "values": values, "given": derivative, "codes": codes}
                    | dict(zip(Numerical._fields, numerical, strict=True))
                )
        rows = self._row_names(pair)
        return [
            Compared(
                source=f"{name} ({pair.kind.value})" if name_kind else name,
                kind=pair.kind,
                blocks=self._converter.blocks,
                entries=self._entry_names(),
                rows=rows,
                fixed=self._bounds.lower == self._bounds.upper,
                **{key: np.array([at[key] for at in points]) for key in points[0]},
            )
            for name, points in seen.items()
        ]

    def _representable(self, pair: _Pair, x: Vector) -> Vector:
        """The point itself; in single precision the nearest one that the function can tell from its neighbours."""
        if pair.function.is_single:
            self._eps = EPS_SINGLE
        if self._eps == EPS:
            return x
        rounded = np.clip(x.astype(np.float32).astype(np.float64), self._bounds.lower, self._bounds.upper)
        return x if (rounded == x).all() else rounded

    def _derivatives(self, pair: _Pair, answer: Any, x: Vector, where: str) -> dict[str, Matrix] | None:
        """The derivatives given, shape (m, n), by the name of their function; None if one of them failed."""
        given = {}
        for function in pair.derivatives:
            output = answer if function is pair.function else self._required(function, x, where)
            if output is None:
                return None
            derivative = output[1] if isinstance(function, FlatFunAndJac) else output
            dense = derivative.toarray() if hasattr(derivative, "toarray") else derivative
            given[function.name] = np.atleast_2d(np.array(dense, dtype=np.float64))
        return given

    def _differences(
        self,
        pair: _Pair,
        x: Vector,
        values: Vector,
        given: dict[str, Matrix],
        known: dict[str, NDArray[np.bool_]],
        where: str,
    ) -> tuple[Numerical, dict[str, Verdict]]:
        """Extrapolate differences until every entry is settled, or all steps are used."""
        samples, ladder = adaptive.start(x, self._bounds, None)
        if self._eps > EPS:  # steps that the function can see
            samples = replace(samples, floor=np.maximum(samples.floor, 4 * np.spacing(np.abs(x).astype(np.float32))))
            ladder[1:][ladder[1:] < samples.floor] = np.nan
        tolerance = max(self._tolerance, TOLERANCE_SINGLE if self._eps > EPS else 0.0)
        progress: adaptive.Progress | None = None
        level: Vector | None = None
        looks: list[Matrix] | None = None
        if not len(ladder):  # every param is fixed
            parts = {name: nothing(matrix) for name, matrix in given.items()}
            return next(iter(parts.values()))[0], {name: verdict for name, (_, verdict) in parts.items()}
        while True:
            samples = adaptive.turn(self._sample(pair, x, values.size, samples, ladder, where))
            telling, resolution = without_plateaus(samples, values)
            noisy = resolution if level is None else np.maximum(level, resolution)
            found = adaptive.estimate(telling, values, noisy, self._eps)
            numerical = read(telling, found, values, noisy, self._eps)
            verdicts = {
                name: judge(matrix, numerical, telling, values, tolerance=tolerance, eps=self._eps, noise=noisy)
                for name, matrix in given.items()
            }
            is_open = np.zeros(x.size, dtype=bool)
            for name, verdict in verdicts.items():
                entries = verdict.is_open & ~known[name] if name in known else verdict.is_open
                is_open |= entries.any(axis=0)
            if not is_open.any():
                break
            if level is None:
                level = self._noise(pair, x, values, where)
                found = adaptive.estimate(telling, values, np.maximum(level, resolution), self._eps)
            ladder = np.empty((0, x.size))
            if looks is None:
                ladder, progress = adaptive.decide(telling, found, progress, MARGIN * tolerance)
                ladder = self._of_open(ladder, is_open)
                if not len(ladder):
                    looks = second_look(samples)
            while looks and not len(ladder):
                ladder = self._of_open(looks.pop(0), is_open)
            if not len(ladder):
                break
        return numerical, verdicts

    @staticmethod
    def _of_open(ladder: Matrix, is_open: NDArray[np.bool_]) -> Matrix:
        """The steps of params that are not settled."""
        ladder = np.where(is_open, ladder, np.nan)
        return ladder[~np.isnan(ladder).all(axis=1)]

    def _sample(
        self, pair: _Pair, x: Vector, m: int, samples: adaptive.Samples, ladder: Matrix, where: str
    ) -> adaptive.Samples:
        """The values at the steps of a ladder, shape (r, n)."""
        up = np.full((*ladder.shape, m), np.nan)
        down = up.copy()
        for i, j in np.argwhere(~np.isnan(ladder)):
            for sign, values in ((1, up), (-1, down)):
                if samples.side[j] != -sign:
                    point = x.copy()
                    point[j] = np.clip(x[j] + sign * ladder[i, j], self._bounds.lower[j], self._bounds.upper[j])
                    answer = self._optional(pair.function, point, where)
                    if answer is not None:
                        values[i, j] = pair.values(answer)
        return samples.with_values(ladder, up, down)

    def _noise(self, pair: _Pair, x: Vector, values: Vector, where: str) -> Vector:
        """How far values can be off, shape (m,), from points on a line."""
        search = noise.search(x, self._bounds, self._eps)
        points = next(search)
        while True:
            answers = [self._optional(pair.function, point, where) for point in points]
            nothing = np.full(values.size, np.nan)
            on_line = [nothing if answer is None else pair.values(answer) for answer in answers]
            try:
                points = search.send((values, np.array(on_line)))
            except StopIteration as stop:
                # Where the line leaves what is finite nothing is known of the noise.
                level: Vector = noise.SPREAD * np.nan_to_num(stop.value, nan=0.0, posinf=0.0)
                return level

    # calls that may fail -------------------------------------------------------------------------------------------

    def _required(self, function: Any, x: Vector, where: str) -> Any:
        """What a function answers at one of the points; None if it raised there, which is an error at the start."""
        answer = self._evaluator.prober(function)(x)
        if answer is None:
            error = self._evaluator.last_failure
            if where == "the start":
                raise UserFunctionError(
                    f"{function.name} raised {type(error).__name__}: {error}; at params {self._converter.describe(x)}. "
                    "Mend the function, or check the derivative where it can be evaluated"
                ) from error
            self._note(f"{function.name} raised {type(error).__name__} ({error}), so that nothing was compared", where)
        return answer

    def _optional(self, function: Any, x: Vector, where: str) -> Any:
        """What a function answers a step away from one of the points; None if it raised."""
        answer = self._evaluator.prober(function)(x)
        if answer is None:
            error = self._evaluator.last_failure
            self._note(f"{function.name} raised {type(error).__name__} ({error})", f"steps around {where}")
        return answer

    def _refuse_start(self, x: Vector, where: str) -> None:
        if where == "the start":
            raise InvalidFunctionError(
                f"the function is not finite (nan or inf) at {self._converter.describe(x)}; check the derivative "
                "where it is finite"
            )

    def _note(self, what: str, where: str) -> None:
        places = self._failures.setdefault(what, [])
        if where not in places:
            places.append(where)

    # names ---------------------------------------------------------------------------------------------------------

    def _entry_names(self) -> tuple[str, ...]:
        """One per param; those of a bare array are called params[0], params[1] ..."""
        names = self._converter.names
        if self._converter.blocks[0][0]:
            return names
        return tuple(f"params[{name}]" for name in names) if len(names) > 1 else ("params",)

    def _row_names(self, pair: _Pair) -> tuple[str, ...]:
        """One per residual or contribution; empty for scalar functions."""
        if pair.kind is Kind.SCALAR:
            return ()
        word = "residual" if pair.kind is Kind.LEAST_SQUARES else "contribution"
        layout = pair.function.reader.structure
        names: list[str] = []
        for node, leaf in zip(layout.structure.leaves, layout.leaves, strict=True):
            labels = leaf.labels(node.name)
            names += labels if node.name else [f"{word}[{label}]" for label in labels]
        return tuple(names)

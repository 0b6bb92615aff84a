"""Does a problem say the truth about itself? Values, derivatives, patterns and minima, checked by computing.

A check compares what a problem claims with something that was computed in another way: a closed-form jacobian with
the complex step and with JAX, a minimum with the values around it and with what a solver finds from there. What is
allowed is what rounding explains, estimated for each problem; there is no tolerance that hides a wrong definition.

References:
    Squire & Trapp (1998), SIAM Review 40(1), 110-112: the complex step. Higham (2002), Accuracy and Stability of
    Numerical Algorithms, section 3.1: the rounding of sums.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore_problems.problem import Problem

__all__ = ["Check", "Verdict", "check_problem", "has_failed"]

Vector = NDArray[np.float64]
Array = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)
#: How far derivatives may be apart, relative to the largest entry of their row or column, whichever is smaller.
DERIVATIVE_TOLERANCE = 1e-10
#: The step of the complex-step derivative: its error is of the order of its square.
COMPLEX_STEP = 1e-150
#: Up to this many variables every column of a jacobian is compared, above it some directions.
EVERY_COLUMN = 150
N_DIRECTIONS = 8
#: How many digits of a certified residual sum of squares its certified parameters must reproduce.
CERTIFIED_DIGITS = 10


class Verdict(StrEnum):
    """What came of a check."""

    OK = "ok"
    WRONG = "wrong"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Check:
    """One claim of a problem, and whether it holds.

    Attributes:
        name: what was checked.
        verdict: what came of it.
        detail: what was found; why it is wrong or was skipped.
        error: how far off it is, in the unit of the check; None where there is no number.
    """

    name: str
    verdict: Verdict
    detail: str = ""
    error: float | None = None


def has_failed(checks: list[Check]) -> bool:
    """Whether at least one check found something wrong."""
    return any(check.verdict is Verdict.WRONG for check in checks)


def check_problem(problem: Problem, *, jax: bool = True, stored: Mapping[str, float] | None = None) -> list[Check]:
    """Check what a problem says of itself.

    Of a problem with noise, failures or cost it is the one without them that is checked: what it says of itself is of
    that one.

    Args:
        problem: the problem.
        jax: whether to compare derivatives with JAX's, where it is installed.
        stored: the lowest values that runs have found, by the problem's full name; none may be below f_opt.

    Returns:
        One entry a check, in a fixed order.

    >>> from optcore_problems import get_problem
    >>> checks = check_problem(get_problem("more_wild/bard"), jax=False)
    >>> {check.name: str(check.verdict) for check in checks}  # doctest: +ELLIPSIS
    {'start': 'ok', 'batch': 'ok', 'complex step': 'ok', 'jax': 'skipped', 'pattern': 'skipped', 'optimum': 'ok', ...}
    """
    subject = _Subject(problem.clean, (stored or {}).get(problem.full_name))
    checks = _CHECKS if jax else {**_CHECKS, "jax": _not_asked_for}
    return [_run(name, check, subject) for name, check in checks.items()]


def _run(name: str, check: Callable[[_Subject], Check], subject: _Subject) -> Check:
    """One check; what a wrong definition raises is a finding too."""
    try:
        with np.errstate(all="ignore"):
            return check(subject)
    except Exception as error:  # noqa: BLE001  whatever the problem's functions raise
        return Check(name, Verdict.WRONG, f"{type(error).__name__}: {error}")


class _Subject:
    """A problem under examination, and what several checks need of it."""

    def __init__(self, problem: Problem, stored: float | None) -> None:
        self.problem = problem
        self.stored = stored

    @cached_property
    def generator(self) -> np.random.Generator:
        """The same for every problem of one size."""
        return np.random.default_rng(self.problem.n)

    @cached_property
    def points(self) -> list[Vector]:
        """The start and two points near it, within the bounds, where the function is finite."""
        p = self.problem
        near = [p.start + 0.05 * self.generator.uniform(-1.0, 1.0, p.n) * np.maximum(1e-3, np.abs(p.start))
                for _ in range(2)]  # fmt: skip
        return [p.start, *(x for x in map(self.inside, near) if np.isfinite(p.fun(x)))]

    def inside(self, x: Vector) -> Vector:
        """The nearest point within the bounds."""
        bounds = self.problem.bounds
        return x if bounds is None else np.clip(x, bounds.lower, bounds.upper)

    @cached_property
    def directions(self) -> Array:
        """Unit vectors, or some random directions where these would be too many; a row each."""
        n = self.problem.n
        return np.eye(n) if n <= EVERY_COLUMN else self.generator.choice([-1.0, 1.0], (N_DIRECTIONS, n))

    def exact(self, x: Vector) -> Any:
        """The closed-form derivative: the jacobian, or the gradient of a scalar problem, shape (m, n) or (n,)."""
        return self.problem.jacobian(x) if self.problem.m is not None else self.problem.gradient(x)

    def moved(self, x: Vector) -> Array:
        """The closed-form derivative in the directions, shape (m, k) or (k,)."""
        return np.asarray(self.exact(x) @ self.directions.T)

    @property
    def function(self) -> Callable[[Any], Any]:
        """What the derivative belongs to."""
        return self.problem.residuals if self.problem.m is not None else self.problem.fun

    @property
    def why_no_exact(self) -> str:
        """Why there is no closed form, "" where there is one."""
        p = self.problem
        has = p.jacobian_np is not None if p.m is not None else p.gradient_np is not None
        return "" if has else "no derivative in closed form"


def _start(s: _Subject) -> Check:
    p = s.problem
    if not np.isfinite(p.f_start):
        return Check("start", Verdict.WRONG, f"the value at the start is {p.f_start}")
    if p.m is not None:
        by_sum = float((p.residuals(p.start) ** 2).sum())
        if abs(by_sum - p.f_start) > 4 * p.m * EPS * by_sum:
            return Check("start", Verdict.WRONG, f"f is {p.f_start}, but the residuals' squares add up to {by_sum}")
    return Check("start", Verdict.OK, f"f = {p.f_start:.6g}")


def _batch(s: _Subject) -> Check:
    p, x = s.problem, np.stack(s.points)
    single = np.stack([s.function(row) for row in x])
    together = p.residuals_batch(x) if p.m is not None else p.fun_batch(x)
    if together.shape != single.shape:
        return Check("batch", Verdict.WRONG, f"many points give shape {together.shape}, one by one {single.shape}")
    scale = np.maximum(np.abs(single).max(), np.finfo(float).tiny)
    error = float(np.abs(together - single).max() / scale)
    how = "together" if p.takes_columns else "one after the other"
    return Check("batch", Verdict.OK if error <= 1e-12 else Verdict.WRONG, f"many points {how}", error)


def _complex_step(s: _Subject) -> Check:
    p = s.problem
    if "complex_step" in p.excludes:
        return Check("complex step", Verdict.SKIPPED, p.excludes["complex_step"])
    worst = 0.0
    for x in s.points:
        real, as_complex = s.function(x), s.function(x.astype(complex))
        drift = _relative(np.asarray(as_complex.real), np.asarray(real))
        if drift > 1e-12 or np.any(np.imag(as_complex) != 0.0):
            return Check("complex step", Verdict.WRONG, "complex numbers give other values than real ones", drift)
        if s.why_no_exact:
            continue
        columns = [s.function(x + 1j * COMPLEX_STEP * d).imag / COMPLEX_STEP for d in s.directions]
        worst = max(worst, _distance(s.moved(x), np.stack(columns, axis=-1)))
    if s.why_no_exact:
        return Check("complex step", Verdict.SKIPPED, s.why_no_exact)
    return _judged("complex step", worst, "the closed form and the complex step differ")


def _jax(s: _Subject) -> Check:
    p = s.problem
    if importlib.util.find_spec("jax") is None:
        return Check("jax", Verdict.SKIPPED, "jax isn't installed")
    if "jax" in p.excludes:
        return Check("jax", Verdict.SKIPPED, p.excludes["jax"])
    import jax

    with jax.enable_x64(True):
        directions = jax.numpy.asarray(s.directions)

        def value_and_columns(x: Any) -> tuple[Any, Any]:
            value, along = jax.linearize(s.function, x)
            return value, jax.vmap(along, out_axes=-1)(directions)

        compiled = jax.jit(value_and_columns)
        worst = 0.0
        for x in s.points:
            value, columns = (np.asarray(part) for part in compiled(jax.numpy.asarray(x)))
            drift = _relative(value, np.asarray(s.function(x)))
            if drift > 1e-11:
                return Check("jax", Verdict.WRONG, "JAX computes other values than numpy", drift)
            if not s.why_no_exact:
                worst = max(worst, _distance(s.moved(x), columns))
    if s.why_no_exact:
        return Check("jax", Verdict.SKIPPED, s.why_no_exact)
    return _judged("jax", worst, "the closed form and JAX differ")


def _pattern(s: _Subject) -> Check:
    p = s.problem
    if p.sparsity is None:
        return Check("pattern", Verdict.SKIPPED, "dense")
    if p.sparsity.shape != (p.m, p.n):
        return Check("pattern", Verdict.WRONG, f"the pattern has shape {p.sparsity.shape}, not {(p.m, p.n)}")
    import scipy.sparse

    held = scipy.sparse.csr_array(p.sparsity, dtype=bool)
    seen = scipy.sparse.csr_array(held.shape, dtype=bool)
    for x in s.points:
        seen = seen + (scipy.sparse.csr_array(s.exact(x)) != 0)
    outside = int((seen > held).nnz)
    if outside:
        return Check("pattern", Verdict.WRONG, f"{outside} entries of the jacobian are outside the pattern", outside)
    return Check("pattern", Verdict.OK, f"{held.nnz} entries, {held.nnz - int(seen.nnz)} of them always 0 where tried")


def _optimum(s: _Subject) -> Check:
    p = s.problem
    if p.f_opt is None or p.x_opt is None:
        return Check("optimum", Verdict.SKIPPED, "no f_opt" if p.f_opt is None else "no x_opt")
    if not np.array_equal(s.inside(p.x_opt), p.x_opt):
        return Check("optimum", Verdict.WRONG, "x_opt is outside the bounds")
    value = float(p.fun(p.x_opt))
    allowed = _rounding(s, p.x_opt)
    error = abs(value - p.f_opt)
    if not error <= allowed:
        return Check("optimum", Verdict.WRONG, f"f(x_opt) = {value!r}, but f_opt = {p.f_opt!r}", error)
    return Check("optimum", Verdict.OK, f"f(x_opt) = {value:.6g}", error)


def _gradient(s: _Subject) -> Check:
    p = s.problem
    if p.x_opt is None or s.why_no_exact:
        return Check("gradient", Verdict.SKIPPED, s.why_no_exact or "no x_opt")
    x = p.x_opt
    gradient = p.gradient(x)
    if p.bounds is not None:  # at a bound only the way back inside must not lead down
        gradient = np.where(
            (x <= p.bounds.lower) & (gradient > 0) | (x >= p.bounds.upper) & (gradient < 0), 0.0, gradient
        )
    # What moving every variable by some units in its last place changes, and the rounding of the sums.
    allowed = np.zeros(p.n)
    for _ in range(8):
        allowed = np.maximum(allowed, np.abs(p.gradient(_jiggled(s, x)) - p.gradient(x)))
    if p.m is not None:
        J = s.exact(x)
        allowed = allowed + 16 * EPS * np.asarray(np.abs(J).T @ _residual_size(s, x))
    excess = np.abs(gradient) - 8 * allowed
    worst = int(np.argmax(excess))
    if excess[worst] > 0:
        return Check(
            "gradient", Verdict.WRONG, f"entry {worst} at x_opt is {gradient[worst]:.3g}", float(abs(gradient[worst]))
        )
    return Check("gradient", Verdict.OK, "0 at x_opt, up to rounding", float(np.abs(gradient).max()))


def _certified(s: _Subject) -> Check:
    p = s.problem
    if p.certified is None:
        return Check("certified", Verdict.SKIPPED, "nothing certified")
    if p.x_opt is not None and (digits := p.certified.digits(p.x_opt)) < p.certified.n_digits - 1:
        return Check("certified", Verdict.WRONG, f"x_opt has {digits:.1f} of the certified digits", digits)
    rss = float(p.fun(p.certified.params))
    error = abs(rss - p.certified.rss) / p.certified.rss
    allowed = 10.0**-CERTIFIED_DIGITS + (_rounding(s, p.certified.params) + _cut_off(s)) / p.certified.rss
    verdict = Verdict.OK if error <= allowed else Verdict.WRONG
    return Check("certified", verdict, f"residual sum of squares {rss:.11g}, certified {p.certified.rss:.11g}", error)


def _cut_off(s: _Subject) -> float:
    """What the digits that certified parameters were cut off after may change in f, near its minimum."""
    if s.problem.certified is None or s.why_no_exact:
        return 0.0
    params = s.problem.certified.params
    moved = np.abs(s.exact(params)) @ np.abs(params) * (0.5 * 10.0 ** (1 - s.problem.certified.n_digits))
    return float(moved @ moved)


def _lowest(s: _Subject) -> Check:
    """Nothing is below f_opt: no local minimum, no stored run, nothing that a solver finds from x_opt or the start."""
    p = s.problem
    if p.f_opt is None:
        return Check("lowest", Verdict.SKIPPED, "no f_opt")
    found = {f"the local minimum {i + 1}": local.f for i, local in enumerate(p.local_optima)}
    if s.stored is not None:
        found["a stored run"] = s.stored
    found |= _solved(s)
    allowed = 1e-12 * abs(p.f_opt) + (_rounding(s, p.x_opt) if p.x_opt is not None else 0.0)
    for where, value in found.items():
        if value < p.f_opt - allowed:
            complaint = f"{where} has {value!r}, below f_opt = {p.f_opt!r}"
            return Check("lowest", Verdict.WRONG, complaint, p.f_opt - value)
    return Check("lowest", Verdict.OK, f"{len(found)} values, none below")


def _local(s: _Subject) -> Check:
    p = s.problem
    known = [local for local in p.local_optima if local.x is not None]
    if not known:
        return Check("local minima", Verdict.SKIPPED, "no points")
    for local in known:
        x = np.array(local.x)
        error = abs(float(p.fun(x)) - local.f)
        if not error <= 1e-12 * abs(local.f) + _rounding(s, x):
            return Check("local minima", Verdict.WRONG, f"f{local.x} = {float(p.fun(x))!r}, not {local.f!r}", error)
    return Check("local minima", Verdict.OK, f"{len(known)} points")


def _not_asked_for(s: _Subject) -> Check:  # noqa: ARG001  the signature of a check
    return Check("jax", Verdict.SKIPPED, "not asked for")


def _judged(name: str, error: float, complaint: str) -> Check:
    """The verdict on derivatives that were computed in two ways."""
    if error <= DERIVATIVE_TOLERANCE:
        return Check(name, Verdict.OK, f"relative distance {error:.1e}", error)
    return Check(name, Verdict.WRONG, f"{complaint} by {error:.3g}", error)


def _relative(actual: Array, expected: Array) -> float:
    """The largest difference relative to the largest value."""
    if actual.shape != expected.shape:
        return float("inf")
    return float(np.abs(actual - expected).max() / max(np.abs(expected).max(), np.finfo(float).tiny))


def _distance(actual: Array, expected: Array) -> float:
    """The largest difference of entries relative to the largest of their row or column, whichever is smaller."""
    if actual.shape != expected.shape or not np.isfinite(expected).all():
        return float("inf")
    size = np.abs(expected)
    scale = size.max() if size.ndim == 1 else np.minimum(size.max(axis=0), size.max(axis=1)[:, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(actual == expected, 0.0, np.abs(actual - expected) / scale)
    return float(relative.max())


def _jiggled(s: _Subject, x: Vector) -> Vector:
    """A point whose entries differ from x by up to two units in the last place, within the bounds."""
    return s.inside(x + s.generator.integers(-2, 3, x.size) * np.spacing(x))


def _residual_size(s: _Subject, x: Vector) -> Vector:
    """The size of what the residuals are the difference of, shape (m,): their rounding is relative to this."""
    r = np.abs(s.problem.residuals(x))
    if s.why_no_exact:
        return np.asarray(r)
    return np.asarray(r + abs(s.exact(x)) @ np.abs(x))


def _rounding(s: _Subject, x: Vector) -> float:
    """How much of the value at x is a matter of the last places of x and of the sums."""
    p = s.problem
    value = float(p.fun(x))
    moved = max(abs(float(p.fun(_jiggled(s, x))) - value) for _ in range(16))
    if p.m is None:
        return 4 * moved + 64 * EPS * abs(value)
    off = 16 * EPS * _residual_size(s, x)
    return 4 * moved + float(off @ (2.0 * np.abs(p.residuals(x)) + off))


def _solved(s: _Subject) -> dict[str, float]:
    """The values that solvers reach from the start and from x_opt; none where there are too many variables."""
    p = s.problem
    if p.n > EVERY_COLUMN:
        return {}
    starts = {"a solver from the start": p.start}
    if p.x_opt is not None:
        starts["a solver from x_opt"] = p.x_opt
    return {where: value for where, x in starts.items() if (value := _solve(p, x)) is not None}


def _solve(p: Problem, x: Vector) -> float | None:
    """The value that a solver reaches from x; None where it doesn't get anywhere."""
    import scipy.optimize

    infinite = np.full(p.n, np.inf)
    lower, upper = (-infinite, infinite) if p.bounds is None else (p.bounds.lower, p.bounds.upper)
    try:
        if p.m is None:
            gradient = p.gradient if p.gradient_np is not None else None
            pairs = scipy.optimize.Bounds(lower, upper)
            found = scipy.optimize.minimize(p.fun, x, jac=gradient, bounds=pairs, method="L-BFGS-B")
        else:
            jacobian: Any = p.jacobian if p.jacobian_np is not None else "2-point"
            found = scipy.optimize.least_squares(
                p.residuals, x, jacobian, (lower, upper), x_scale="jac", xtol=None, ftol=1e-15, gtol=None, max_nfev=200
            )
    except np.linalg.LinAlgError:  # the jacobian overflows on the way
        return None
    value = float(p.fun(found.x))
    return value if np.isfinite(value) else None


_CHECKS: dict[str, Callable[[_Subject], Check]] = {
    "start": _start,
    "batch": _batch,
    "complex step": _complex_step,
    "jax": _jax,
    "pattern": _pattern,
    "optimum": _optimum,
    "gradient": _gradient,
    "certified": _certified,
    "local minima": _local,
    "lowest": _lowest,
}

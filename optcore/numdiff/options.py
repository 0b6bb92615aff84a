"""How derivatives are taken numerically."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from optcore.errors import InvalidInputError, unknown_name

__all__ = ["Method", "NumdiffOptions"]

Method = Literal["forward", "backward", "central", "complex_step", "richardson", "auto"]
METHODS: tuple[str, ...] = get_args(Method)
EVALUATORS = ("processes", "threads", "joblib", "serial", "batch")
#: Ways to measure steps, and the methods that can use them.
MEASURED = {
    "calibrated": ("forward", "backward", "central"),
    "shi": ("forward", "backward", "central"),
    "more_wild": ("forward", "backward"),
}
OnFailure = Literal["recover", "mark", "raise"]


@dataclass(frozen=True)
class NumdiffOptions:
    """Options of numerical derivatives. `NumdiffOptions()` is the same as None: n + 1 evaluations a gradient.

    Args:
        method: "forward" and "backward" (n + 1 evaluations), "central" (2 n, and one more where the value is asked
            for too), "complex_step" (n, of a function that takes complex params; exact to rounding), "richardson"
            (extrapolated, with a bound of the error: 4 to 12 n, in a few batches), "auto" (one "richardson", which
            measures the steps; then "forward" with these, and "central" near the solution).
        step_size: absolute steps: a number, or a tree like params. None: eps^(1/2) (central: eps^(1/3)) times
            max(|x|, 0.1); complex steps are 1e-30 times that scale. eps is that of single precision where the
            function computes in it (JAX without x64). For "richardson" the step of the first round. Or a name: steps
            are measured once, and used until they no longer fit. "calibrated": by one "richardson" derivative; "shi":
            by the bisection of Shi, Xie, Xuan & Nocedal (2022); "more_wild": by the rule of More & Wild (2012).
        scaling_factor: multiplies the default steps; a number or a tree like params.
        typical_x: replaces |x| in the default steps; a positive number or a tree like params.
        noise: how far the function's values are off (standard deviation): a number, or "estimate" (ECnoise of More &
            Wild, 2011; six calls). None: they are exact to rounding; measured steps estimate it. With noise the steps
            of "forward", "backward" and "central" are calibrated, unless they are given.
        tol: relative error at which an entry of a "richardson" derivative is good enough.
        recalibrate: when steps are measured again: "on_failure" (in an optimization where derivatives no longer
            lead downwards, or the estimated error comes near the gradient; where a param has moved to another order
            of magnitude), "never", or a whole number k: for every k-th derivative.
        on_failure: what follows a point at which the function is NaN or infinite or raises. "recover": the other side,
            then smaller steps, then an error that names the leaf; "mark": likewise, but instead of the error the
            entry is NaN and its scheme "failed"; "raise": an error at once. In minimize an exception is an error at
            once unless error_handling="continue".
        sparsity: where the jacobian of a function with several values may differ from zero: a sparse matrix or an
            array of shape (m, n), n with the params that are fixed, or a tree of blocks like the derivative. Params
            that share no row are moved together: as many points a round as there are colours, not n, with any method.
            "detect" finds the pattern out before the first derivative: functions of JAX are traced by asdex, where that
            is installed; into others NaN is put, which takes n calls, and n more for one jacobian. A pattern that was
            found is compared with a real difference of all params at every tenth derivative, a traced one at the first
            too, and found again where it is wrong. A function that returns one number has nothing that could be told
            apart when several params are moved, even if it is a sum of terms of a few params each: return the terms,
            marked with `om.mark.likelihood` (or residuals with `om.mark.least_squares`), and any scalar solver gets the
            gradient of the sum for colours + 1 calls. For `om.second_derivative` the pattern is that of the Hessian.
        n_cores: worker processes that evaluate the points of a derivative at the same time; -1 for all cores. Above
            1, workers are always used. It changes nothing but the time.
        batch_evaluator: "processes" (a pool that is started once and kept), "threads", "joblib" (whatever backend of
            joblib is active), "serial", "batch" (the function takes points of shape (k, n), returns k values or rows
            of values, and gets a whole batch in one call; `jax.vmap` makes such a function), or a callable like map:
            (function, points) -> results in order.
        timeout: seconds that one call of the function for a derivative may take in a worker ("processes" only, where
            a single core becomes one worker too). Longer ones are ended with their worker, which is replaced, and are
            failures like an exception: see on_failure. The function must not use SIGALRM. None: no limit.
        speculative: for solvers that ask for a value first, and for the derivative only where they like it (SLSQP,
            least squares, trust regions): take the derivative together with each value where that takes no longer,
            which is where as many calls run at the same time as a gradient has points (n_cores, or a batch_evaluator
            that takes them all). It saves a round a gradient, and costs the derivatives that nobody asks for
            (`history.purpose` "speculation"), so that a budget of evaluations ends earlier. Of plain steps.

    Raises:
        UnknownNameError: method, batch_evaluator or another choice isn't known.
        InvalidInputError: n_cores, steps, factors or noise are out of range, or don't go together.

    >>> import numpy as np
    >>> import optcore as om
    >>> from scipy.sparse import diags_array
    >>> pairs = diags_array([np.ones(49), np.ones(49)], offsets=[0, 1], shape=(49, 50))
    >>> terms = om.mark.likelihood(lambda x: -((x[1:] - x[:-1] ** 2) ** 2) - (1 - x[:-1]) ** 2)
    >>> options = om.NumdiffOptions(sparsity=pairs)
    >>> result = om.maximize(terms, np.full(50, 0.9), "scipy_lbfgsb", numdiff_options=options)
    >>> max(np.bincount(result.history.batch))  # calls for a value and a gradient of 50 params
    np.int64(3)
    """

    method: Method = "forward"
    step_size: Any = None
    scaling_factor: Any = 1.0
    typical_x: Any = None
    noise: float | Literal["estimate"] | None = None
    sparsity: Any = None
    n_cores: int = 1
    batch_evaluator: str | Callable[..., Any] = "processes"
    tol: float = 1e-9
    recalibrate: int | Literal["on_failure", "never"] = "on_failure"
    on_failure: OnFailure = "recover"
    timeout: float | None = None
    speculative: bool = False

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
        for name in ("step_size", "scaling_factor", "typical_x", "noise", "tol", "timeout"):
            value = getattr(self, name)
            if isinstance(value, (int, float)) and not value > 0:
                raise InvalidInputError(f"{name} must be above 0, but is {value!r}")
            if isinstance(value, str) and name in ("scaling_factor", "typical_x"):
                raise InvalidInputError(f"{name} must be a number or a tree like params, but is {value!r}")
        if self.on_failure not in get_args(OnFailure):
            raise unknown_name("on_failure", self.on_failure, get_args(OnFailure))
        self._check_timeout()
        self._check_noise()
        self._check_measured()
        self._check_sparsity()
        self._check_speculation()

    def _check_timeout(self) -> None:
        given: Any = self.timeout
        if given is None:
            return
        if isinstance(given, bool) or not isinstance(given, (int, float)) or given == float("inf"):
            raise InvalidInputError(f"timeout must be a number of seconds above 0, or None, but is {given!r}")
        if self.batch_evaluator != "processes":
            raise InvalidInputError(
                "timeout needs batch_evaluator='processes', whose workers can be ended in the middle of a call, but "
                f"it is {self.batch_evaluator!r}"
            )

    def _check_noise(self) -> None:
        given: Any = self.noise
        if given is None or given == "estimate":
            return
        if isinstance(given, bool) or not isinstance(given, (int, float)) or given == float("inf"):
            raise InvalidInputError(f"noise must be a number above 0, 'estimate' or None, but is {given!r}")
        if self.method == "complex_step":
            raise InvalidInputError("complex_step needs a function without noise; use another method, or noise=None")

    def _check_measured(self) -> None:
        every: Any = self.recalibrate
        if every not in ("on_failure", "never") and not (type(every) is int and every >= 1):
            raise InvalidInputError(
                f"recalibrate must be 'on_failure', 'never' or a whole number of at least 1, but is {every!r}"
            )
        if self.method == "auto" and self.step_size is not None:
            raise InvalidInputError("method='auto' measures its steps: leave step_size out, or choose another method")
        if not isinstance(self.step_size, str):
            return
        if self.step_size not in MEASURED:
            raise unknown_name("step_size", self.step_size, MEASURED)
        if self.method not in MEASURED[self.step_size]:
            raise InvalidInputError(
                f"step_size={self.step_size!r} goes with the methods {', '.join(MEASURED[self.step_size])}, "
                f"but the method is {self.method!r}"
            )

    def _check_sparsity(self) -> None:
        if self.sparsity is None:
            return
        if self.sparsity != "detect" if isinstance(self.sparsity, str) else isinstance(self.sparsity, (int, float)):
            raise InvalidInputError(f"sparsity must be a matrix, 'detect' or None, but is {self.sparsity!r}")

    def _check_speculation(self) -> None:
        if self.speculative not in (False, True):
            raise InvalidInputError(f"speculative must be True or False, but is {self.speculative!r}")
        if self.speculative and (self.method in ("richardson", "auto") or self.measures is not None):
            raise InvalidInputError(
                "speculative=True goes with derivatives that take one round: method 'forward', 'backward', 'central' "
                "or 'complex_step', and no measured steps"
            )

    def speculates(self, n: int) -> bool:
        """Whether a derivative for n params comes with each value: where that is wanted and takes no longer."""
        if not self.speculative:
            return False
        if callable(self.batch_evaluator) or self.batch_evaluator == "batch":
            return True
        if self.batch_evaluator == "serial":
            return False
        from optcore.numdiff.pool import n_workers_from

        return n_workers_from(self.n_cores) >= (2 * n if self.method == "central" else n) + 1

    @property
    def measures(self) -> str | None:
        """How steps are measured before they are used: one of MEASURED, or None."""
        if isinstance(self.step_size, str):
            return self.step_size
        if self.method == "auto":
            return "calibrated"
        has_rule = self.method in MEASURED["calibrated"]
        return "calibrated" if self.noise is not None and self.step_size is None and has_rule else None

"""How exact numerical derivatives are, at which cost, and whether their bounds hold; peers in the same run.

Everything is a number that doesn't depend on the machine's speed. One table by hand:
`python -c "import derivatives as d; print(d.accuracy().to_string())"` in this folder.
"""

import warnings
from functools import partial

import numpy as np
from scipy.optimize._numdiff import approx_derivative

import optcore as om
from optcore_bench.derivative_bench.accuracy import accuracy_table
from optcore_bench.derivative_bench.functions import HARD, exact_derivative, moved_points
from optcore_problems import get_suite

OURS = {
    "forward": {},
    "central": {"method": "central"},
    "complex_step": {"method": "complex_step"},
    "richardson": {"method": "richardson"},
    "calibrated forward": {"step_size": "calibrated"},
    "calibrated central": {"method": "central", "step_size": "calibrated"},
    "shi forward": {"step_size": "shi"},
    "shi central": {"method": "central", "step_size": "shi"},
    "more_wild": {"step_size": "more_wild"},
}
PEERS = ("scipy 2-point", "scipy 3-point", "scipy cs", "numdifftools", "optimagic forward", "optimagic central")
OURS_NOISY = {
    "calibrated forward": {"step_size": "calibrated"},
    "calibrated central": {"method": "central", "step_size": "calibrated"},
    "richardson, tol 1e-4": {"method": "richardson", "noise": "estimate", "tol": 1e-4},
}


def by_peer(name, fun, x):
    """Gradient by another library; None where it isn't installed."""
    library, _, method = name.partition(" ")
    try:
        if library == "scipy":
            return approx_derivative(fun, x, method=method)
        if library == "numdifftools":
            import numdifftools

            return np.atleast_1d(numdifftools.Gradient(fun)(x))
        import optimagic

        return np.asarray(optimagic.first_derivative(fun, x, method=method).derivative)
    except ImportError:
        return None


def accuracy(functions=HARD):
    """Of each method on each function: at five points beside that at which steps were measured."""
    methods = {name: om.NumdiffOptions(**options) for name, options in OURS.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peers warn where they fail, which is what the table shows
        rows = accuracy_table(functions, methods, {name: partial(by_peer, name) for name in PEERS})
    rows["per_parameter"] = rows["evaluations"] / rows["n"]
    return rows[rows["phase"] == "next"]


class Accuracy:
    """Thirteen hard functions: the worst of them, at points beside that at which steps were measured.

    asv starts an interpreter for each number, which is why there is none for each function: `accuracy` has them.
    """

    params = (
        "forward",
        "central",
        "complex_step",
        "richardson",
        "calibrated forward",
        "calibrated central",
        "scipy 2-point",
        "scipy 3-point",
        "numdifftools",
    )
    param_names = ("method",)
    timeout = 300
    NINE = tuple(HARD)[:9]

    def setup_cache(self):
        """All of it takes some seconds, once."""
        return accuracy()

    def worst(self, rows, method, what, functions):
        """The largest of the numbers; NaN where a peer isn't installed, or fails so that it is infinite.

        asv never ends to look for steps in a curve with infinities.
        """
        largest = float(rows.loc[(rows["method"] == method) & rows["function"].isin(functions), what].max())
        return largest if np.isfinite(largest) else float("nan")

    def track_norm_error(self, rows, method):
        """Largest error of an entry over the largest entry, of the nine functions without params of zero."""
        return self.worst(rows, method, "norm_error", self.NINE)

    def track_entry_error(self, rows, method):
        """Largest relative error of an entry that doesn't vanish in the rounding of the value, of all functions."""
        return self.worst(rows, method, "entry_error", HARD)

    def track_evaluations_per_parameter(self, rows, method):
        """Calls of the function for one gradient, the value included, over n."""
        return self.worst(rows, method, "per_parameter", HARD)

    track_norm_error.unit = track_entry_error.unit = "relative error"
    track_evaluations_per_parameter.unit = "calls"


class Bounds:
    """Extrapolated gradients of all problems of More & Wild, at their starts and at two points beside each."""

    timeout = 300

    def setup_cache(self):
        """Errors and their bounds, entry by entry."""
        rng = np.random.default_rng(0)
        off, bounds, evaluations = [], [], []
        with np.errstate(all="ignore"):
            for problem in get_suite("more_wild"):
                for move in (0.0, 0.03, 0.03):
                    x = problem.start * (1 + move * rng.normal(size=problem.n))
                    result = om.first_derivative(problem.fun, x, method="richardson")
                    off += np.abs(result.derivative - exact_derivative(problem.fun, x)).tolist()
                    bounds += result.error.tolist()
                    evaluations.append(sum(result.n_evaluations.values()) / problem.n)
        return np.array(off), np.array(bounds), float(np.mean(evaluations))

    def track_share_of_entries_within_their_bound(self, measured):
        """At least 0.99 is wanted."""
        off, bounds, _ = measured
        return float(np.mean(off <= bounds))

    def track_median_overestimate(self, measured):
        """How many times larger the bound is than the error."""
        off, bounds, _ = measured
        return float(np.median(bounds / np.maximum(off, np.finfo(float).tiny)))

    def track_evaluations_per_parameter(self, measured):
        """Mean over problems and points."""
        return measured[2]

    track_share_of_entries_within_their_bound.unit = "share"
    track_median_overestimate.unit = "ratio"
    track_evaluations_per_parameter.unit = "calls"


class Noise:
    """Rosenbrock's function of ten variables with uniform noise: the largest norm-wise error over moved points."""

    params = ("calibrated forward", "calibrated central", "richardson, tol 1e-4", "scipy 2-point", "scipy 3-point")
    param_names = ("method",)
    LEVEL = 1e-6

    def track_norm_error(self, method):
        """NaN where a peer isn't installed."""
        level = self.LEVEL
        hard, rng = HARD["rosenbrock"], np.random.default_rng(0)

        def noisy(x):
            return float(hard.fun(x) + level * rng.uniform(-1, 1))

        derive = None
        if method in OURS_NOISY:
            derivative = om.NumericalDerivative(noisy, hard.x, options=om.NumdiffOptions(**OURS_NOISY[method]))
            derivative(hard.x)
            derive = derivative
        errors = []
        for x in moved_points(hard.x):
            gradient = by_peer(method, noisy, x) if derive is None else derive(x).derivative
            if gradient is None:
                return float("nan")
            truth = exact_derivative(hard.fun, x)
            errors.append(np.abs(gradient - truth).max() / np.abs(truth).max())
        return float(max(errors))

    track_norm_error.unit = "relative error"


class Solved:
    """What the derivatives of a run of BFGS cost: problems of More & Wild with at most eight variables."""

    params = ("central", "auto")
    param_names = ("method",)
    timeout = 300
    TAU = 1e-5

    def setup(self, method):
        """Run the problems."""
        self.solved, self.spent = 0, 0
        options = om.NumdiffOptions(method=method)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            for problem in get_suite("more_wild").filter(n_max=8):
                result = om.minimize(
                    problem.fun,
                    problem.start,
                    "scipy_bfgs",
                    numdiff_options=options,
                    budget=om.Budget(max_evaluations=200 * (problem.n + 1)),
                    error_handling="continue",
                )
                asked = np.where(result.history.task == "fun", result.history.fun, np.inf)
                good = np.flatnonzero(asked <= problem.f_opt + self.TAU * (problem.f_start - problem.f_opt))
                self.solved += bool(len(good))
                self.spent += int(good[0]) + 1 if len(good) else len(asked)

    def track_problems_solved(self, method):
        """Within 200 gradients by forward differences, to tau = 1e-5."""
        del method
        return self.solved

    def track_evaluations(self, method):
        """Until solved, or all of them, summed over the problems."""
        del method
        return self.spent

    track_problems_solved.unit = "problems"
    track_evaluations.unit = "calls"

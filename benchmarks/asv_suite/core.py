"""What the core adds to the bare solver: ratios of times, our call to the peer's, in one process, taken in turn.

Run them with asv (see README), or one of them by hand:
`python -c "from core import Overhead; o = Overhead(); o.setup('jac'); print(o.track_ratio_to_scipy('jac'))"`.
"""

import subprocess
import sys
import time
import tracemalloc
from functools import partial

import numpy as np
import scipy.optimize
from threadpoolctl import threadpool_limits

import optcore as om

START = np.tile([-1.2, 1.0], 5)
OPTIONS = {"ftol": 2e-9, "gtol": 1e-5, "maxfun": 1_000_000, "maxiter": 1_000_000, "maxcor": 10, "maxls": 20}
REPEATS = 60


def rosenbrock_and_gradient(x):
    """Value and gradient in one call."""
    return scipy.optimize.rosen(x), scipy.optimize.rosen_der(x)


def seconds(call, number=5):
    """Mean time of a few calls."""
    start = time.perf_counter()
    for _ in range(number):
        call()
    return (time.perf_counter() - start) / number


def fastest(ours, peers, repeats=REPEATS):
    """The fastest times of both, taken in turn so that a drifting machine hits both."""
    ours(), peers()
    times = [(seconds(ours), seconds(peers)) for _ in range(repeats)]
    return min(a for a, _ in times), min(b for _, b in times)


def ratio(ours, peers, repeats=REPEATS):
    """Ratio of the fastest times."""
    a, b = fastest(ours, peers, repeats)
    return a / b


def constant(_):
    """A function that costs nothing."""
    return 0.5


class Overhead:
    """L-BFGS-B on Rosenbrock with n = 10 and an analytic gradient: fun, jac and the full history through minimize."""

    params = ("jac", "fun_and_jac", "dict")
    param_names = ("derivative",)
    timeout = 300

    def setup(self, derivative):
        """Pin the threads and build the two calls."""
        self.limits = threadpool_limits(1)
        start, jac = START, scipy.optimize.rosen_der
        fun = scipy.optimize.rosen
        if derivative == "dict":
            names = [f"p{i}" for i in range(START.size)]
            start = dict(zip(names, START.tolist(), strict=True))
            self.ours = partial(
                om.minimize,
                lambda p: scipy.optimize.rosen(np.array([p[name] for name in names])),
                start,
                "scipy_lbfgsb",
                jac=lambda p: dict(
                    zip(names, scipy.optimize.rosen_der(np.array([p[name] for name in names])), strict=True)
                ),
            )
            # What a user would write: flatten and unflatten by hand.
            as_dict = partial(zip, names)
            self.bare = partial(
                scipy.optimize.minimize,
                lambda x: scipy.optimize.rosen(np.array(list(dict(as_dict(x)).values()))),
                START,
                jac=lambda x: np.array(
                    list(dict(as_dict(scipy.optimize.rosen_der(np.array(list(dict(as_dict(x)).values()))))).values())
                ),
                method="L-BFGS-B",
                options=OPTIONS,
            )
        elif derivative == "jac":
            self.ours = partial(om.minimize, fun, start, "scipy_lbfgsb", jac=jac)
            self.bare = partial(scipy.optimize.minimize, fun, start, jac=jac, method="L-BFGS-B", options=OPTIONS)
        else:
            self.ours = partial(om.minimize, None, start, "scipy_lbfgsb", fun_and_jac=rosenbrock_and_gradient)
            self.bare = partial(
                scipy.optimize.minimize,
                rosenbrock_and_gradient,
                start,
                jac=True,
                method="L-BFGS-B",
                options=OPTIONS,
            )

    def teardown(self, derivative):
        """Give the threads back."""
        del derivative
        self.limits.restore_original_limits()

    def track_ratio_to_scipy(self, derivative):
        """Time of om.minimize over time of scipy.optimize.minimize."""
        del derivative
        return ratio(self.ours, self.bare)

    def track_ratio_to_optimagic(self, derivative):
        """Time of om.minimize over time of optimagic.minimize; NaN where optimagic isn't installed."""
        try:
            import optimagic
        except ImportError:
            return float("nan")
        if derivative == "fun_and_jac":
            peer = partial(
                optimagic.minimize,
                fun=scipy.optimize.rosen,
                params=START,
                algorithm="scipy_lbfgsb",
                fun_and_jac=rosenbrock_and_gradient,
            )
        else:
            arguments = dict(self.ours.keywords)
            fun, params, algorithm = self.ours.args
            peer = partial(optimagic.minimize, fun=fun, params=params, algorithm=algorithm, **arguments)
        return ratio(self.ours, peer, repeats=10)

    track_ratio_to_scipy.unit = "ratio"
    track_ratio_to_optimagic.unit = "ratio"


class FixedCost:
    """What minimize costs apart from evaluations: a function that is constant, so that the first gradient ends it."""

    def setup(self):
        """Pin the threads."""
        self.limits = threadpool_limits(1)

    def teardown(self):
        """Give the threads back."""
        self.limits.restore_original_limits()

    def track_milliseconds_above_scipy(self):
        """Time of om.minimize less that of scipy.optimize.minimize."""
        zeros = np.zeros(START.size)
        arguments = {"fun": constant, "jac": lambda _: zeros}
        ours, peers = fastest(
            partial(om.minimize, params=START, algorithm="scipy_lbfgsb", **arguments),
            partial(scipy.optimize.minimize, x0=START, method="L-BFGS-B", options=OPTIONS, **arguments),
            repeats=300,
        )
        return 1e3 * (ours - peers)

    track_milliseconds_above_scipy.unit = "ms"


class DictOfArrays:
    """L-BFGS-B on Rosenbrock with params in a dict of ten arrays of ten, fun and jac given, the full history kept."""

    def setup(self):
        """Pin the threads and build the two calls."""
        self.limits = threadpool_limits(1)
        self.x0 = np.tile([-1.2, 1.0], 50)
        self.names = [f"p{i}" for i in range(10)]

    def teardown(self):
        """Give the threads back."""
        self.limits.restore_original_limits()

    def track_microseconds_per_evaluation_above_scipy(self):
        """Time that an evaluation of fun and jac takes on top of bare scipy, the user's own joining left out.

        The user's functions join the arrays and split the gradient themselves, as they must anywhere.
        """
        names = self.names

        def fun(p):
            return scipy.optimize.rosen(np.concatenate([p[name] for name in names]))

        def jac(p):
            gradient = scipy.optimize.rosen_der(np.concatenate([p[name] for name in names]))
            return dict(zip(names, np.split(gradient, 10), strict=True))

        def as_dict(x):
            return {name: x[10 * i : 10 * i + 10] for i, name in enumerate(names)}

        def by_hand(x):
            return np.concatenate(list(jac(as_dict(x)).values()))

        budget = {"maxiter": 50}
        evaluations = scipy.optimize.minimize(
            lambda x: fun(as_dict(x)), self.x0, jac=by_hand, method="L-BFGS-B", options=OPTIONS | budget
        ).nfev
        ours, peers = fastest(
            partial(om.minimize, fun, as_dict(self.x0), "scipy_lbfgsb", jac=jac, algo_options={"stopping_maxiter": 50}),
            partial(
                scipy.optimize.minimize,
                lambda x: fun(as_dict(x)),
                self.x0,
                jac=by_hand,
                method="L-BFGS-B",
                options=OPTIONS | budget,
            ),
        )
        return 1e6 * (ours - peers) / evaluations

    track_microseconds_per_evaluation_above_scipy.unit = "us"


class HistoryMemory:
    """50,000 evaluations at n = 100."""

    timeout = 300

    def track_memory_over_raw_numbers(self):
        """What stays in memory over the size of the numbers: value, times, batch, task and point of each row."""
        n, k = 100, 50_000

        def solver(fun, x0):
            for i in range(1, k):
                x0[0] = -float(i)  # a point of its own, and none is the start
                fun(x0)
            return x0

        om.minimize(constant, np.ones(n), "scipy_neldermead")  # imports what is imported late
        tracemalloc.start()
        try:
            result = om.minimize(lambda x: 1.0 + x[0], np.ones(n), solver)
            assert len(result.history) == k
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        return kept / (k * (8 * n + 3 * 8 + 4 + 1))

    track_memory_over_raw_numbers.unit = "ratio"


class Import:
    """`import optcore` in a fresh interpreter that has imported scipy.optimize."""

    def track_milliseconds_above_scipy(self):
        """The fastest of some interpreters."""
        code = (
            "import scipy.optimize, time; start = time.perf_counter(); import optcore; "
            "print(time.perf_counter() - start)"
        )
        runs = [
            float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
            for _ in range(7)
        ]
        return 1e3 * min(runs)

    track_milliseconds_above_scipy.unit = "ms"


class NumericalGradient:
    """One gradient by forward differences of a cheap function: optcore's over scipy's approx_fprime."""

    params = (10, 100)
    param_names = ("n",)
    timeout = 300

    def setup(self, n):
        """Pin the threads and build the two calls."""
        self.limits = threadpool_limits(1)
        x = np.linspace(0.5, 1.5, n)
        gradient = om.NumericalDerivative(scipy.optimize.rosen, x)
        self.ours = partial(gradient, x)
        self.peer = partial(scipy.optimize.approx_fprime, x, scipy.optimize.rosen)
        self.bare = partial(self.evaluate, np.tile(x, (n + 1, 1)))

    @staticmethod
    def evaluate(points):
        """The calls alone."""
        for x in points:
            scipy.optimize.rosen(x)

    def teardown(self, n):
        """Give the threads back."""
        del n
        self.limits.restore_original_limits()

    def track_ratio_to_scipy(self, n):
        """Time of om.NumericalDerivative over time of scipy.optimize.approx_fprime."""
        del n
        return ratio(self.ours, self.peer)

    def track_ratio_to_bare_calls(self, n):
        """Time of om.NumericalDerivative over time of its n + 1 calls of the function."""
        del n
        return ratio(self.ours, self.bare)

    track_ratio_to_scipy.unit = "ratio"
    track_ratio_to_bare_calls.unit = "ratio"


def square(x):
    """A function that costs next to nothing."""
    return x @ x


def rosenbrock_rows(points):
    """Rosenbrock at many points, shape (k, n), in one call."""
    return (100 * (points[:, 1:] - points[:, :-1] ** 2) ** 2 + (1 - points[:, :-1]) ** 2).sum(axis=1)


class DifferenceEngine:
    """What a forward gradient costs above its n + 1 calls, and the one call of a function that takes them all."""

    params = (10, 100)
    param_names = ("n",)
    timeout = 300

    def setup(self, n):
        """Pin the threads."""
        self.limits = threadpool_limits(1)
        self.x = np.linspace(0.5, 1.5, n)
        self.points = np.tile(self.x, (n + 1, 1))

    def teardown(self, n):
        """Give the threads back."""
        del n
        self.limits.restore_original_limits()

    def _bare(self):
        for x in self.points:
            square(x)

    def track_microseconds_above_the_calls(self, n):
        """Of x @ x, one call after the other."""
        del n
        ours, bare = fastest(partial(om.NumericalDerivative(square, self.x), self.x), self._bare, repeats=400)
        return 1e6 * (ours - bare)

    def track_ratio_to_scipy_above_the_calls(self, n):
        """The same over that of scipy's approx_derivative."""
        del n
        derivative = scipy.optimize._numdiff.approx_derivative
        gradient = partial(om.NumericalDerivative(square, self.x), self.x)
        peers = partial(derivative, square, self.x, method="2-point")
        ours, bare = fastest(gradient, self._bare, repeats=400)
        theirs, bare_again = fastest(peers, self._bare, repeats=400)
        return (ours - bare) / (theirs - bare_again)

    def track_batched_ratio_to_scipy(self, n):
        """Rosenbrock that takes all points in one call, over scipy's approx_derivative, which calls it n + 1 times."""
        del n
        options = om.NumdiffOptions(batch_evaluator="batch")
        derivative = scipy.optimize._numdiff.approx_derivative
        return ratio(
            partial(om.NumericalDerivative(rosenbrock_rows, self.x, options=options), self.x),
            partial(derivative, scipy.optimize.rosen, self.x, method="2-point"),
        )

    track_microseconds_above_the_calls.unit = "us"
    track_ratio_to_scipy_above_the_calls.unit = "ratio"
    track_batched_ratio_to_scipy.unit = "ratio"

"""Test problems for optimization: functions, starts, derivatives and best known values, in suites.

A problem is a value: `p.fun(x)` and `p.start` are all that a solver needs, `p.f_opt` and `p.f_start` all that
a convergence test needs. Least-squares problems have `p.residuals(x)`, shape (m,), and `p.jacobian(x)`, shape
(m, n), in closed form; their value is the sum of squares r'r, without a factor 1/2.

>>> from optcore_problems import get_problem, get_suite, list_suites
>>> p = get_problem("more_wild/rosenbrock")
>>> p.n, p.m, p.f_start, p.f_opt
(2, 2, 24.199999999999996, 0.0)
>>> p.residuals(p.start)
array([-4.4,  2.2])
>>> p.gradient(p.start)
array([-215.6,  -88. ])

Functions are written once against an array namespace, so complex numbers, and with them the complex-step
derivative, and JAX's arrays and tracers go in as they are:

>>> import numpy as np
>>> h = 1e-200
>>> [float(p.fun(p.start + 1j * h * e).imag / h) for e in np.eye(2)]
[-215.59999999999997, -88.0]

Suites hold problems by name; functions that exist in many sizes can be had in any of them:

>>> suite = get_suite("more_wild")
>>> len(suite), len(suite.filter(n_max=4)), len(suite.filter(tags="zero_residual"))
(53, 16, 24)
>>> get_problem("more_wild/mancino", n=100).jacobian(np.ones(100)).shape
(100, 100)

Problems and suites are transformed by noise, failures, other variables, bounds that cut off the solution, other starts
and costs (see `optcore_problems.transform`); what is known of the function itself stays at hand:

>>> noisy = get_suite("more_wild").with_noise("multiplicative", 1e-3, seed=0)["rosenbrock"]
>>> bool(noisy.fun(noisy.start) != noisy.f_start), noisy.clean is suite["rosenbrock"]
(True, True)

A problem of your own is made of its functions, and a study takes it at once:

>>> from optcore_problems import Problem, Suite
>>> t, y = np.arange(5.0), np.array([2.0, 1.2, 0.8, 0.5, 0.3])
>>> def residuals(x, xp):
...     return x[0] * xp.exp(-x[1] * t) - y
>>> decay = Problem(name="decay", start=np.array([1.0, 1.0]), m=5, residuals_xp=residuals)
>>> mine = Suite("mine", (decay, *decay.with_starts(2)[1:]))
>>> from optcore_bench import Study
>>> study = Study("own", [mine, decay.with_noise(level=0.01)], ["scipy_ls_lm", "scipy_bfgs"], ["forward", "jax"])
>>> [p.name for p in study.resolve_problems()]
['decay', 'decay+start:number=2', 'decay']

Kept in a file `my_suite.py`, the same suite is `problems = [{path = "my_suite.py:mine"}]` in a study's TOML; as a part
of an installed module it is `"my_package.module:mine"`, and an entry point of the group `optcore.suites` gives it a
name of its own, beside those of the suites that ship.

References:
    More, Garbow & Hillstrom (1981), Testing unconstrained optimization software, ACM Trans. Math. Softw.
    7(1), 17-41. More & Wild (2009), Benchmarking derivative-free optimization algorithms, SIAM J. Optim.
    20(1), 172-191.
"""

from __future__ import annotations

from optcore_problems.problem import Certified, LocalOptimum, Problem
from optcore_problems.registry import get_problem, get_suite, list_suites
from optcore_problems.suite import Suite
from optcore_problems.transform import EvaluationFailedError

__all__ = [
    "Certified",
    "EvaluationFailedError",
    "LocalOptimum",
    "Problem",
    "Suite",
    "get_problem",
    "get_suite",
    "list_suites",
]

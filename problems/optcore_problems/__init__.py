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

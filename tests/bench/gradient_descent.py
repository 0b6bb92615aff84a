"""A solver as a file of its own, for tests of repositories of solvers, and the change that makes it worse."""

DESCENT = '''
import numpy as np


def descend(fun, jac, x0):
    """Gradient descent whose step is doubled after a success and halved after a failure."""
    x, step, failures = x0, 1e-3, 0
    f, g = fun(x), jac(x)
    while failures < 60:
        y = x - step * g
        value = fun(y)
        if value < f - 1e-4 * step * (g @ g):
            x, f, g, step, failures = y, value, jac(y), 2 * step, 0
        else:
            step, failures = step / 2, failures + 1
    return x
'''
#: What to replace in it, and by what: the step grows by a twentieth after a success, instead of being doubled.
WORSE = ("2 * step, 0", "1.05 * step, 0")

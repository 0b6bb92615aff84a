"""User functions that count their own calls, and small problems with known optima."""

import numpy as np
import pytest

import optcore as om

#: Of the algorithms that every test of all algorithms runs over.
LIBRARIES = ("scipy", "nlopt", "dfols", "iminuit", "pybobyqa")


def of(algorithm):
    """An algorithm by name, or a skip with the reason that its library is missing."""
    cls = getattr(om.algos, algorithm)
    if not cls.available():
        pytest.skip(f"{algorithm} needs {cls.library}, which is not installed")
    return cls


#: Solvers of functions of one number.
ONE_NUMBER = ("scipy_bounded", "scipy_brent", "scipy_golden")


def place(algorithm, start):
    """Arguments that say where an algorithm is to search: one number where it takes one, bounds where it needs some."""
    start = start[:1] if algorithm in ONE_NUMBER else start
    if not getattr(om.algos, algorithm).needs_bounds:
        return {"params": start}
    return {"params": start, "bounds": om.Bounds(start - 2.7, start + 3.4)}


class Counted:
    """A function that notes every point that it was called with."""

    def __init__(self, function, kind="scalar"):
        self.points = []
        self.function = function
        self.marked = getattr(om.mark, kind)(self.call)

    def call(self, x, **kwargs):
        self.points.append(np.array(x, copy=True))
        return self.function(x, **kwargs)

    def __len__(self):
        return len(self.points)


ROSENBROCK_START = np.array([-1.2, 1.0])


def rosenbrock_residuals(x):
    return np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def rosenbrock_jacobian(x):
    return np.array([[-20 * x[0], 10.0], [-1.0, 0.0]])


def rosenbrock(x):
    r = rosenbrock_residuals(x)
    return r @ r


def rosenbrock_gradient(x):
    return 2 * rosenbrock_jacobian(x).T @ rosenbrock_residuals(x)


SCALES = np.array([1.0, 3.0, 0.5])
CENTRE = np.array([0.3, -0.7, 2.0])
ELLIPSE_START = np.array([1.0, 1.0, 1.0])


def ellipse_residuals(x):
    """Zero at CENTRE; of fewer params, too."""
    return SCALES[: len(x)] * (x - CENTRE[: len(x)])


def ellipse_jacobian(x):
    return np.diag(SCALES[: len(x)])


def ellipse(x):
    r = ellipse_residuals(x)
    return r @ r


def ellipse_gradient(x):
    return 2 * SCALES[: len(x)] * ellipse_residuals(x)


class Given:
    """fun, jac and fun_and_jac for one solver, counting; only the ones that are asked for."""

    def __init__(
        self,
        kind,
        names,
        scalar=rosenbrock,
        gradient=rosenbrock_gradient,
        residuals=rosenbrock_residuals,
        jacobian=rosenbrock_jacobian,
    ):
        value, derivative = (scalar, gradient) if kind == "scalar" else (residuals, jacobian)
        functions = {"fun": value, "jac": derivative, "fun_and_jac": lambda x: (value(x), derivative(x))}
        self.counted = {name: Counted(functions[name], kind) for name in names}

    @property
    def arguments(self):
        return {name: counted.marked for name, counted in self.counted.items()}

    @property
    def counts(self):
        return {name: len(self.counted.get(name, ())) for name in ("fun", "jac", "fun_and_jac")}


def counts_of(result):
    return {"fun": result.n_fun_evals, "jac": result.n_jac_evals, "fun_and_jac": result.n_fun_and_jac_evals}


def rows_of(result):
    task = result.history.task
    return {
        "fun": int(np.isin(task, ["fun", "numdiff"]).sum()),
        "jac": int((task == "jac").sum()),
        "fun_and_jac": int((task == "fun_and_jac").sum()),
    }

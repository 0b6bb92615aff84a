"""NIST's Statistical Reference Datasets for nonlinear regression: 27 fits, from two starts each.

The only suite whose estimates and standard deviations somebody certifies, so that a fit can be told how many of its
digits are right:

>>> import optcore as om
>>> from optcore_problems import get_problem
>>> p = get_problem("nist_strd/misra1a_start2")
>>> p.certified.params.tolist(), p.certified.std.tolist(), p.certified.rss
([238.94212918, 0.00055015643181], [2.7070075241, 7.2668688436e-06], 0.12455138894)
>>> residuals = om.mark.least_squares(p.residuals)
>>> result = om.minimize(residuals, p.start, "scipy_ls_trf", jac=om.mark.least_squares(p.jacobian))
>>> p.certified.digits(result.params) > 8
True

Residuals are model - y, parameters come in NIST's order b1, b2, ... The files and where they come from are in the
folder `files`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from optcore_problems.nist_strd.dataset import Dataset, Vector, observations
from optcore_problems.nist_strd.models import MODELS, Model
from optcore_problems.nist_strd.optima import LOCAL_OPTIMA, OPTIMA
from optcore_problems.problem import Matrix, Problem
from optcore_problems.suite import Suite

__all__ = ["build"]

_NIST = "NIST Statistical Reference Datasets, https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml"

_REMARKS = {
    "Lanczos1": (
        "The residuals at the minimum are of the size 1e-13, differences of numbers up to 2.5: in float64 f there is "
        "known to a few per cent only, and values below f_opt by as much are rounding.",
        "Certified parameters with 11 digits are too short to reproduce the certified sum of squares; x_opt has all "
        "digits of a float64.",
    ),
    "Lanczos2": (
        "The residuals at the minimum are of the size 1e-6, differences of numbers up to 2.5: in float64 f there is "
        "known to about 10 digits.",
    ),
    "MGH09": (
        "The function kowalik_osborne of More, Garbow & Hillstrom (1981), with residuals of the other sign; start2 is "
        "the start that they print, start1 is farther away.",
    ),
    "MGH10": (
        "The function meyer of More, Garbow & Hillstrom (1981); start2 is the start that they print, start1 is farther "
        "away.",
    ),
    "MGH17": (
        "The function osborne_1 of More, Garbow & Hillstrom (1981), with residuals of the other sign; start2 is the "
        "start that they print, start1 is farther away.",
    ),
    "Rat43": (
        "NIST's file prints 9 degrees of freedom; its standard deviations are those of 15 - 4 = 11, which is right.",
    ),
    "Roszman1": ("NIST's file says iodine in its description, sulfur in its reference.",),
}


@dataclass(frozen=True)
class Fit:
    """Residuals of a model at the observations of a data set; pickles by name.

    Args:
        dataset: NIST's name of the data set.
        model: its model.
    """

    dataset: str
    model: Model

    def residuals(self, b: Any, xp: Any) -> Any:
        """Model - y, shape (m,), or (m, k) for b of shape (n, k)."""
        y, x = observations(self.dataset)
        if b.ndim == 2:
            y, x = y[:, None], x[..., None]
        return self.model.curve(b, x, xp) - y

    def jacobian(self, b: Vector) -> Matrix:
        """The jacobian of the residuals at a real b, shape (m, n)."""
        return np.stack(self.model.slopes(b, observations(self.dataset)[1]), axis=1)


def _problems(name: str, model: Model) -> tuple[Problem, Problem]:
    data, fit = Dataset.read(name), Fit(name, model)
    f_opt, x_opt = OPTIMA[name]
    first, second = (
        Problem(
            name=f"{name.lower()}_start{number}",
            suite="nist_strd",
            m=data.m,
            start=start,
            f_opt=f_opt,
            f_opt_source="certified by NIST with 11 digits; further digits by Newton's method with 80 digits",
            x_opt=np.array(x_opt),
            local_optima=LOCAL_OPTIMA.get(name, ()),
            tags={
                "dataset": name,
                "level": data.level,
                "start": f"start{number}",
                "model": data.model_class,
                "data": data.kind,
                "observations": data.m,
                "kind": "least_squares",
                "class": "nonzero_residual",
            },
            reference=f"{_NIST}; {data.reference}",
            description=data.description,
            remarks=_REMARKS.get(name, ()),
            certified=data.certified,
            residuals_xp=fit.residuals,
            jacobian_np=fit.jacobian,
            takes_columns=True,
        )
        for number, start in enumerate(data.starts, start=1)
    )
    return first, second


def build() -> Suite:
    """The suite: data sets from the lower level of difficulty to the higher, start 1 before start 2."""
    return Suite(
        name="nist_strd",
        problems=tuple(problem for name, model in MODELS.items() for problem in _problems(name, model)),
        description="27 nonlinear regressions with certified results, from two starts each, 2 to 9 parameters",
        reference=_NIST,
        checked_against=(
            "data: R package NISTnls 0.9-13 (all but BoxBOD), refnx 0.1.67; models: those in the tests of lmfit 1.3.4; "
            "minima, estimates and standard deviations: Newton's method with 80 digits, which confirms all that NIST "
            "prints"
        ),
    )

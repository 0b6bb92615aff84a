"""Transformations of problems: noise, failures, other variables, bounds and starts, and costs that aren't there.

A transformation is a frozen value that makes a problem from a problem; they nest in any order. What they add is a pure
function of a seed, the problem's name and x, so that every solver meets the same, in every process and in any order of
evaluations. `problem.clean` is the problem without what only disturbs its values (noise, failures, cost): the same x,
start and bounds, for the analysis.

>>> from optcore_problems import get_problem
>>> p = get_problem("more_wild/rosenbrock").with_scaling(factors=[1.0, 100.0]).with_noise("multiplicative", 1e-3)
>>> p.name, p.noise, p.start.tolist()
('rosenbrock+scaled:factors=1;100', 'multiplicative 0.001', [-1.2, 0.01])
>>> bool(p.fun(p.start) == p.fun(p.start) != p.clean.fun(p.start)), p.f_start
(True, 24.199999999999996)
"""

from __future__ import annotations

from optcore_problems.transform.base import Transformable, Transformation, apply
from optcore_problems.transform.cost import Cost
from optcore_problems.transform.failures import EvaluationFailedError, Failures, Region
from optcore_problems.transform.geometry import Bounded, Scaling, Start, perturbed_start
from optcore_problems.transform.noise import Noise

__all__ = [
    "TRANSFORMATIONS",
    "Bounded",
    "Cost",
    "EvaluationFailedError",
    "Failures",
    "Noise",
    "Region",
    "Scaling",
    "Start",
    "Transformable",
    "Transformation",
    "apply",
    "perturbed_start",
]

#: By the key that a study uses; where several stand in one table of problems, they are applied in this order.
TRANSFORMATIONS: dict[str, type[Transformation]] = {
    cls.key: cls for cls in (Start, Bounded, Scaling, Noise, Failures, Cost)
}

"""The options that algorithms share: what each one means, and which values it takes.

The names are harmonised: an option is called the same wherever it does the same, whatever a library calls it. What is
particular to one algorithm stands in the docstring of its class, under `Args:`.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from optcore.errors import InvalidInputError

__all__ = ["OPTIONS", "Option", "Rule", "between", "one_of", "or_none", "within"]

#: A limit that no run reaches.
UNLIMITED = 1_000_000


@dataclass(frozen=True)
class Rule:
    """Which values an option takes.

    Args:
        says: the rule, to be read after "must be".
        read: gives the value back as it will be kept, or None if it can't be.
    """

    says: str
    read: Callable[[Any], Any]

    def check(self, owner: str, name: str, value: Any) -> Any:
        """The value as it will be kept.

        Raises:
            InvalidInputError: says what came and what is allowed.

        >>> COUNT.check("scipy_lbfgsb", "stopping_maxfun", 1e6)
        1000000
        """
        kept = self.read(value)
        if kept is None:
            raise InvalidInputError(f"{name} of {owner} must be {self.says}, but is {value!r}")
        return kept


def _real(holds: Callable[[Any], bool]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        real = isinstance(value, numbers.Real) and not isinstance(value, bool)
        return value if real and holds(value) else None

    return read


def _whole(least: int) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        real = isinstance(value, numbers.Real) and not isinstance(value, bool)
        return int(value) if real and least <= value < float("inf") and value % 1 == 0 else None

    return read


TOLERANCE = Rule("a number of at least 0", _real(lambda value: value >= 0))
POSITIVE = Rule("a finite number above 0", _real(lambda value: 0 < value < float("inf")))
NUMBER = Rule("a number", _real(lambda value: value == value))
COUNT = Rule("a whole number of at least 1", _whole(1))
SEED = Rule("a whole number of at least 0", _whole(0))
WHOLE = Rule("a whole number of at least -1", _whole(-1))
SWITCH = Rule("True or False", lambda value: value if isinstance(value, bool) else None)
CALLABLE = Rule("a function", lambda value: value if callable(value) else None)
TABLE = Rule("a dict of options", lambda value: value if isinstance(value, Mapping) else None)


def between(low: float, high: float) -> Rule:
    """Numbers strictly between two others."""
    return Rule(f"a number between {low:g} and {high:g}", _real(lambda value: low < value < high))


def within(low: float, high: float) -> Rule:
    """Numbers from one to another."""
    return Rule(f"a number from {low:g} to {high:g}", _real(lambda value: low <= value <= high))


def one_of(*choices: Any) -> Rule:
    """One of a few values."""
    return Rule(
        f"one of {', '.join(map(repr, choices))}",
        lambda value: next((choice for choice in choices if isinstance(value, type(choice)) and choice == value), None),
    )


@dataclass(frozen=True)
class OrNone(Rule):
    """A rule that allows None, too."""

    def check(self, owner: str, name: str, value: Any) -> Any:
        """The value as it will be kept."""
        return None if value is None else super().check(owner, name, value)


def or_none(rule: Rule) -> Rule:
    """The same rule, and None, which leaves the choice to the algorithm."""
    return OrNone(f"{rule.says}, or None", rule.read)


@dataclass(frozen=True)
class Option:
    """What a harmonised option means.

    Args:
        meaning: one line.
        rule: which values it takes.
    """

    meaning: str
    rule: Rule


_FTOL = "stop when the value falls by less than this"
_XTOL = "stop when the params change by less than this"

OPTIONS: Mapping[str, Option] = {
    "convergence_ftol_abs": Option(f"{_FTOL}, absolutely", TOLERANCE),
    "convergence_ftol_rel": Option(f"{_FTOL}, relative to the value itself", TOLERANCE),
    "convergence_xtol_abs": Option(f"{_XTOL}, absolutely", TOLERANCE),
    "convergence_xtol_rel": Option(f"{_XTOL}, relative to the params themselves", TOLERANCE),
    "convergence_gtol_abs": Option("stop when no entry of the gradient is larger than this", TOLERANCE),
    "convergence_gtol_rel": Option(
        "stop when no residual slope is larger than this, relative to the size of the residuals", TOLERANCE
    ),
    "convergence_minimal_trustregion_radius_tolerance": Option("stop when the trust region has this radius", TOLERANCE),
    "convergence_minimum_criterion_value": Option("stop at a point with this value, if it is known", NUMBER),
    "convergence_minimum_criterion_tolerance": Option(
        "how near to convergence_minimum_criterion_value is near enough, relative to it", TOLERANCE
    ),
    "stopping_maxfun": Option("stop after this many evaluations of the function, as the solver counts them", COUNT),
    "stopping_maxiter": Option("stop after this many iterations", COUNT),
    "trustregion_initial_radius": Option(
        "length of the first steps, about; None: a tenth of the largest param, and at least 0.1", or_none(POSITIVE)
    ),
    "trustregion_max_radius": Option(
        "longest step that is tried; None: a thousand first radii, and at least 1000", or_none(POSITIVE)
    ),
    "trustregion_acceptance": Option(
        "a step is taken if the value falls by more than this part of what the model predicts",
        Rule("a number of at least 0 and below 0.25", _real(lambda value: 0 <= value < 0.25)),
    ),
    "limited_memory_storage_length": Option("how many of the latest steps the Hessian is approximated from", COUNT),
    "max_line_search_steps": Option("steps of one line search at most", COUNT),
    "armijo_condition": Option("part of the predicted fall that a step of the line search must reach", between(0, 1)),
    "curvature_condition": Option("part of the slope that may be left after a step of the line search", between(0, 1)),
    "norm": Option("order of the norm of the gradient that convergence_gtol_abs is about", NUMBER),
    "hessian_step": Option(
        "step of the differences of gradients, relative to 1 + |x|; None: as suits the precision of the gradients",
        or_none(POSITIVE),
    ),
    "adaptive": Option("adapt the coefficients to the number of params", SWITCH),
    "seed": Option("seed of the random numbers; None: other ones each time", or_none(SEED)),
    "population_size": Option("points that are kept at a time; None: the library's choice", or_none(COUNT)),
    "local_algorithm": Option(
        "the local solver, one of scipy's: by its name here ('scipy_lbfgsb') or there ('L-BFGS-B')",
        Rule("the name of a local solver", lambda value: value if isinstance(value, str) else None),
    ),
    "local_algo_options": Option("options of the local solver, harmonised; None: its defaults", or_none(TABLE)),
    "locally_biased": Option("spend more on the neighbourhood of the best points", SWITCH),
    "tr_solver": Option(
        "how the subproblems are solved: 'exact' (dense), 'lsmr' (large and sparse), None: by the jacobian",
        or_none(one_of("exact", "lsmr")),
    ),
    "tr_solver_options": Option("options of the solver of the subproblems, as scipy's `tr_options`", or_none(TABLE)),
}

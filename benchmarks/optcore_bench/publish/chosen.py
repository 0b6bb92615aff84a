"""Which solvers are drawn together: those that a reader named, or as many as a figure can hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import count as count_from
from typing import NamedTuple

from optcore.errors import InvalidInputError, unknown_name
from optcore_bench.figures import split_label
from optcore_bench.words import count

__all__ = ["MOST_LINES", "Subset", "choose_solvers", "common_part", "for_files", "subsets"]

#: More lines than these, and the strategies of one algorithm, or the algorithms under one strategy, are drawn together.
MOST_LINES = 8


class Subset(NamedTuple):
    """Solvers that are drawn together.

    Attributes:
        name: for files; empty where these are all.
        words: for captions.
        solvers: their labels.
    """

    name: str
    words: str
    solvers: tuple[str, ...]


def choose_solvers(patterns: str | Iterable[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    """The solvers that patterns name, in their own order.

    Args:
        patterns: labels such as `scipy_lbfgsb [forward]`, with `*` and `?` for what may be anything; an algorithm's
            name stands for all its strategies, a strategy in brackets for all algorithms under it. Several in a text
            are separated by commas. None: all.
        known: labels of all solvers.

    Raises:
        UnknownNameError: a pattern fits none; suggests the nearest name.
        InvalidInputError: there is no pattern.

    >>> known = ["scipy_bfgs [forward]", "scipy_bfgs [jax]", "nlopt_bobyqa [none]"]
    >>> choose_solvers("*bobyqa*, [jax]", known)
    ('scipy_bfgs [jax]', 'nlopt_bobyqa [none]')
    """
    if patterns is None:
        return tuple(known)
    texts = patterns.split(",") if isinstance(patterns, str) else list(patterns)
    texts = [text.strip() for text in texts if text.strip()]
    if not texts:
        raise InvalidInputError("solvers: there is no pattern; leave it out for all, or name some, as in 'scipy_*'")
    found: set[str] = set()
    for text in texts:
        fits = {solver for solver in known if _fits(text, solver)}
        if not fits:
            names = dict.fromkeys([*known, *(split_label(solver)[0] for solver in known)])
            raise unknown_name("solver", text, names)
        found |= fits
    return tuple(solver for solver in known if solver in found)


def _fits(pattern: str, solver: str) -> bool:
    algorithm, derivative = split_label(solver)
    literal = pattern.replace("[", "[[]")  # brackets are part of a label, not of a pattern
    return any(fnmatchcase(name, literal) for name in (solver, algorithm, f"[{derivative}]"))


def subsets(solvers: Sequence[str]) -> list[Subset]:
    """What is drawn together: all solvers where they are few, otherwise those that share algorithm or strategy.

    Args:
        solvers: labels in the order of the study.

    Returns:
        At least one subset, each with at least two solvers if there are two.
    """
    if len(solvers) <= MOST_LINES:
        return [Subset("", count(len(solvers), "solver"), tuple(solvers))]
    pairs = [(solver, *split_label(solver)) for solver in solvers]
    found: list[Subset] = []
    for position, words in ((1, "derivative strategies of {}"), (2, "algorithms, derivatives: {}")):
        for name in dict.fromkeys(pair[position] for pair in pairs):
            members = tuple(pair[0] for pair in pairs if pair[position] == name)
            if len(members) > 1 and (name or len(members) < len(solvers)):
                said = words.format(name) if name else "solvers that name no derivatives"
                found.append(Subset(_another(for_files(name), found), f"{len(members)} {said}", members))
    return found or [Subset("", count(len(solvers), "solver"), tuple(solvers))]


def _another(name: str, found: Sequence[Subset]) -> str:
    """The name, or one with a number where it is taken: "a b" and "a/b" are one name of a file."""
    taken = {subset.name.casefold() for subset in found}
    names = (name if k == 1 else f"{name}-{k}" for k in count_from(1))
    return next(one for one in names if one.casefold() not in taken)


def common_part(solvers: Sequence[str]) -> tuple[str, dict[str, str]]:
    """What all labels share, and what is left of each: short names for legends.

    >>> common_part(["bfgs [jax]", "bfgs [forward]"])
    ('bfgs', {'bfgs [jax]': 'jax', 'bfgs [forward]': 'forward'})
    """
    pairs = {solver: split_label(solver) for solver in solvers}
    algorithms, derivatives = {a for a, _ in pairs.values()}, {d for _, d in pairs.values()}
    if len(pairs) > 1 and len(algorithms) == 1:
        return algorithms.pop(), {solver: d or "none" for solver, (_, d) in pairs.items()}
    if len(pairs) > 1 and len(derivatives) == 1 and derivatives != {""}:
        return f"derivatives: {derivatives.pop()}", {solver: a for solver, (a, _) in pairs.items()}
    return "", {solver: solver for solver in solvers}


def for_files(name: str) -> str:
    """A strategy or an algorithm as part of a file's name.

    >>> for_files("optimagic:nlopt bobyqa")
    'optimagic-nlopt-bobyqa'
    """
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "solvers"

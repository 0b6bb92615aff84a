"""A suite: problems by name, in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Self

import numpy as np

from optcore.errors import InvalidInputError, unknown_name
from optcore_problems.problem import Problem
from optcore_problems.transform import Transformable, Transformation

__all__ = ["Suite"]


@dataclass(frozen=True, eq=False)
class Suite(Transformable):
    """Problems in a fixed order, each with a name of its own.

    Args:
        name: the suite's name.
        problems: its problems; names are unique.
        description: what the suite is for, one sentence.
        reference: where it was published.
        checked_against: the second source that its values were compared with.
        resize: `resize(sizes)` returns the suite in other numbers of variables, for suites of scalable families.
        make: `make(name, n, m)` returns a problem of a size that the suite may not hold, see get_problem.

    >>> from optcore_problems import get_suite
    >>> suite = get_suite("more_wild")
    >>> len(suite), "rosenbrock" in suite, suite["watson_n9"].n
    (53, True, 9)
    >>> [p.name for p in suite.filter(tags={"function": "watson", "start": "x10"})]
    ['watson_n6_x10', 'watson_n9_x10', 'watson_n12_x10']
    """

    name: str
    problems: tuple[Problem, ...]
    description: str = ""
    reference: str = ""
    checked_against: str = ""
    resize: Callable[[Sequence[int]], Suite] | None = field(default=None, repr=False)
    make: Callable[[str, int | None, int | None], Problem] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if len(self._by_name) != len(self.problems):
            names = [p.name for p in self.problems]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise InvalidInputError(f"suite {self.name!r} has more than one problem of the name {', '.join(twice)}")

    @cached_property
    def _by_name(self) -> dict[str, Problem]:
        return {p.name: p for p in self.problems}

    @property
    def names(self) -> tuple[str, ...]:
        """The problems' names, in order."""
        return tuple(self._by_name)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.problems)

    def __len__(self) -> int:
        return len(self.problems)

    def __contains__(self, problem: object) -> bool:
        if isinstance(problem, Problem):
            return self._by_name.get(problem.name) is problem
        return isinstance(problem, str) and problem in self._by_name

    def __getitem__(self, name: str) -> Problem:
        try:
            return self._by_name[name]
        except (KeyError, TypeError):
            raise unknown_name(f"problem of suite {self.name!r}", name, self._by_name) from None

    def __repr__(self) -> str:
        return f"Suite({self.name!r}, {len(self)} problem{'' if len(self) == 1 else 's'})"

    def filter(
        self,
        *,
        n_max: int | None = None,
        n_min: int | None = None,
        tags: Mapping[str, Any] | str | Iterable[str] | None = None,
    ) -> Suite:
        """The problems that fulfil every condition, as a suite of the same name.

        Args:
            n_max: at most this many variables.
            n_min: at least this many variables.
            tags: a mapping (every key must have that value, or one of a list of values), or one or more
                words, each of which must be a value of one of the problem's tags.

        Raises:
            UnknownNameError: no problem of the suite has such a tag or word.
        """
        conditions = self._conditions(tags)
        kept = tuple(
            p
            for p in self.problems
            if (n_max is None or p.n <= n_max)
            and (n_min is None or p.n >= n_min)
            and all(holds(p.tags) for holds in conditions)
        )
        return replace(self, problems=kept)

    def sized(self, n: int | Sequence[int] | None) -> Suite:
        """The suite in other numbers of variables, one or several; the suite itself for None.

        Raises:
            InvalidInputError: it comes in its own sizes only, or has no such size.
        """
        if n is None:
            return self
        if self.resize is None:
            raise InvalidInputError(
                f"suite {self.name!r} comes in its own sizes only; n= is for suites with `resize`, and "
                "get_problem(name, n=...) for single problems"
            )
        return self.resize(np.atleast_1d(n).tolist())

    def transform(self, *transformations: Transformation) -> Self:
        """All problems under one transformation after the other; those that can't be transformed so are left out.

        Raises:
            InvalidInputError: none can; the message says why for the first.

        >>> from optcore_problems import get_suite
        >>> p = get_suite("more_wild").with_bounds().with_noise(level=0.01)["rosenbrock+bounded"]
        >>> p.noise, p.clean.noise
        ('multiplicative 0.01', '')
        """
        suite = self
        for one in transformations:
            kept = tuple(p.transform(one) for p in suite.problems if one.obstacle(p) is None)
            if not kept and suite.problems:
                suite.problems[0].transform(one)
            resize = None if suite.resize is None else partial(_resized, suite.resize, one)
            suite = replace(suite, problems=kept, resize=resize, make=None)
        return suite

    def with_starts(self, count: int, *, seed: int = 0) -> Self:
        """Each problem from its own start and from count - 1 perturbed ones: those of a study with `starts=count`.

        >>> from optcore_problems import get_suite
        >>> len(get_suite("more_wild").with_starts(3))
        159
        """
        problems = tuple(started for p in self.problems for started in p.with_starts(count, seed=seed))
        return replace(self, problems=problems, resize=None, make=None)

    def _conditions(
        self, tags: Mapping[str, Any] | str | Iterable[str] | None
    ) -> list[Callable[[Mapping[str, Any]], bool]]:
        if tags is None:
            return []
        known = [p.tags for p in self.problems]
        if isinstance(tags, Mapping):
            for key in tags:
                if known and not any(key in own for own in known):
                    raise unknown_name(f"tag of suite {self.name!r}", key, {k for own in known for k in own})
            return [_key_is(key, value) for key, value in tags.items()]
        words = [tags] if isinstance(tags, str) else list(tags)
        for word in words:
            if known and not any(word in own.values() for own in known):
                values = {v for own in known for v in own.values() if isinstance(v, str)}
                raise unknown_name(f"tag of suite {self.name!r}", word, values)
        return [_has_word(word) for word in words]


def _resized(resize: Callable[[Sequence[int]], Suite], transformation: Transformation, sizes: Sequence[int]) -> Suite:
    return resize(sizes).transform(transformation)


def _key_is(key: str, value: Any) -> Callable[[Mapping[str, Any]], bool]:
    wanted = value if isinstance(value, list | tuple | set | frozenset) else (value,)
    return lambda tags: key in tags and tags[key] in wanted


def _has_word(word: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda tags: word in tags.values()

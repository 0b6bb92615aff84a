"""What one entry of a study's `problems` says; that of `algorithms` is in algorithms.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optcore.errors import InvalidInputError, unknown_name
from optcore_bench.addresses import is_place, is_registered, load_suite, place_from
from optcore_bench.algorithms import refuse_python
from optcore_problems import Problem, Suite, get_problem, get_suite, list_suites
from optcore_problems.transform import TRANSFORMATIONS, Transformation, apply

__all__ = ["ProblemEntry", "anchored", "is_same", "problem_entry"]


@dataclass(frozen=True)
class ProblemEntry:
    """A selection of problems.

    Attributes:
        suite: name of the suite, "" for Python objects and for suites of the user's own.
        problem: one problem of the suite by name, "" for all.
        place: where a suite of the user's own is: `FILE.py:NAME` or `MODULE:NAME`.
        n: numbers of variables that a suite of scalable families is asked for, one or a list; None for its own.
        n_min, n_max: bounds on the number of variables.
        tags: as Suite.filter takes them.
        transformations: what is made of each.
        objects: problems that were given as Python objects.
    """

    suite: str = ""
    problem: str = ""
    place: str = ""
    n: int | list[int] | None = None
    n_min: int | None = None
    n_max: int | None = None
    tags: Any = None
    transformations: tuple[Transformation, ...] = ()
    objects: tuple[Problem, ...] = ()

    @property
    def label(self) -> str:
        """What messages call it; differs where the selection does."""
        if self.objects:
            return ", ".join(_with_noise(problem) for problem in self.objects)
        conditions = self._conditions() | self._plain_transformations()
        shown = ", ".join(f"{key}={value!r}" for key, value in conditions.items())
        name = self.place or (f"{self.suite}/{self.problem}" if self.problem else self.suite)
        return f"{name} ({shown})" if shown else name

    def members(self) -> tuple[Problem, ...]:
        """The problems it selects, in the order of the suite."""
        if self.objects:
            return self.objects
        if self.problem:
            return (apply(get_problem(f"{self.suite}/{self.problem}"), *self.transformations),)
        suite = load_suite(self.place, n=self.n) if self.place else get_suite(self.suite, n=self.n)
        chosen = suite.filter(n_max=self.n_max, n_min=self.n_min, tags=self.tags)
        return chosen.transform(*self.transformations).problems

    def to_plain(self) -> Any:
        """As TOML has it."""
        if self.objects:
            return {"python": [f"{_with_noise(problem)} {problem.version}" for problem in self.objects]}
        key, name = ("path", self.place) if self.place else ("suite", self.suite)
        if self.problem:
            key, name = "problem", f"{self.suite}/{self.problem}"
        plain = {key: name} | self._conditions() | self._plain_transformations()
        return name if len(plain) == 1 else plain

    def _conditions(self) -> dict[str, Any]:
        chosen = {"n": self.n, "n_min": self.n_min, "n_max": self.n_max, "tags": self.tags}
        return {key: value for key, value in chosen.items() if value is not None}

    def _plain_transformations(self) -> dict[str, Any]:
        return {one.key: one.to_plain() or True for one in self.transformations}


def _with_noise(problem: Problem) -> str:
    """The name, and the noise if there is any, which is no part of the name."""
    return f"{problem.full_name} ~ {problem.noise}" if problem.noise else problem.full_name


_PLACES = ("suite", "problem", "path")
_TABLE = (*_PLACES, "n", "n_min", "n_max", "tags", *TRANSFORMATIONS)


def problem_entry(given: Any) -> ProblemEntry:
    """Read an entry of `problems`.

    Raises:
        UnknownNameError: no such suite, problem, tag or key; suggests the nearest.
        InvalidInputError: a value of the wrong kind.
    """
    if isinstance(given, ProblemEntry):
        return given
    if isinstance(given, Problem):
        return _from_objects((given,))
    if isinstance(given, Suite):
        return _from_objects(tuple(given))
    if isinstance(given, str):
        return _from_name(given)
    if not isinstance(given, Mapping):
        raise InvalidInputError(
            f"a problem is given by its name, a table {{suite, n_max, tags}} or a Problem, not by {given!r}"
        )
    refuse_python(given)
    for key in given:
        if key not in _TABLE:
            raise unknown_name("key of a table of problems", key, _TABLE)
    entry = _from_table_of_problems(given)
    entry.members()  # unknown tags, and what can't be transformed so, are refused here
    return entry


def _from_table_of_problems(given: Mapping[str, Any]) -> ProblemEntry:
    places = [key for key in _PLACES if key in given]
    if len(places) != 1:
        what = f"has {' and '.join(places)}" if places else f"is {dict(given)!r}"
        raise InvalidInputError(
            f"a table of problems needs the key 'suite', 'problem' or 'path', one of them, but {what}"
        )
    for key in ("n_min", "n_max"):
        value = given.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise InvalidInputError(f"{key} must be a whole number of at least 1, but is {value!r}")
    n = given.get("n")
    if n is not None and not all(type(size) is int and size >= 1 for size in (n if isinstance(n, list) else [n])):
        raise InvalidInputError(f"n must be a whole number of at least 1, or a list of such numbers, but is {n!r}")
    tags = given.get("tags")
    if tags is not None and not isinstance(tags, (str, Mapping, list, tuple)):
        raise InvalidInputError(f"tags must be a word, a list of words or a table, but is {tags!r}")
    name = given[places[0]]
    if not isinstance(name, str):
        raise InvalidInputError(f"{places[0]} must be text, but is {name!r}")
    if places == ["path"]:
        entry = ProblemEntry(place=place_from(name))
        load_suite(entry.place)
    elif places == ["problem"]:
        chosen = [key for key in ("n", "n_min", "n_max", "tags") if given.get(key) is not None]
        if chosen or "/" not in name:
            why = f"{chosen[0]} is for suites" if chosen else f"{name!r} is no 'suite/problem'"
            raise InvalidInputError(f"the key 'problem' names a single problem, but {why}; use the key 'suite'")
        entry = _from_name(name)
    else:
        _check_suite(name)
        entry = ProblemEntry(suite=name)
    made = (cls.from_plain(given[key]) for key, cls in TRANSFORMATIONS.items() if key in given)
    return replace(
        entry,
        n=n,
        n_min=given.get("n_min"),
        n_max=given.get("n_max"),
        tags=_plain_tags(tags),
        transformations=tuple(one for one in made if one is not None),
    )


def anchored(problems: Any, folder: Path) -> Any:
    """The value of `problems` in a file, with places that are files below its folder made absolute."""
    if isinstance(problems, list):
        return [anchored(entry, folder) for entry in problems]
    if isinstance(problems, str) and is_place(problems):
        return place_from(problems, folder)
    if isinstance(problems, dict) and isinstance(problems.get("path"), str):
        return {**problems, "path": place_from(problems["path"], folder)}
    return problems


def _plain_tags(tags: Any) -> Any:
    return dict(tags) if isinstance(tags, Mapping) else list(tags) if isinstance(tags, (list, tuple)) else tags


def _from_name(name: str) -> ProblemEntry:
    if is_place(name):
        entry = ProblemEntry(place=place_from(name))
        load_suite(entry.place)
        return entry
    suite, slash, problem = name.partition("/")
    if slash:
        get_problem(name)
        return ProblemEntry(suite=suite, problem=problem)
    _check_suite(suite)
    return ProblemEntry(suite=suite)


def _check_suite(name: Any) -> None:
    """An unknown suite is often a problem without its suite."""
    if name in list_suites():
        return
    for suite in list_suites():
        if isinstance(name, str) and name in get_suite(suite):
            raise unknown_name("suite", name, [f"{suite}/{name}"])
    raise unknown_name("suite", name, list_suites())


def _from_objects(problems: tuple[Problem, ...]) -> ProblemEntry:
    """Objects that are those of a registered suite, or made of them, go by their name."""
    if not problems:
        raise InvalidInputError("an empty suite was given")
    first, transformations = problems[0].original, problems[0].transformations
    if is_registered(first) and _is_plain(transformations):
        if len(problems) == 1:
            return ProblemEntry(suite=first.suite, problem=first.name, transformations=transformations)
        whole = ProblemEntry(suite=first.suite, transformations=transformations)
        members = whole.members()
        if len(members) == len(problems) and all(map(is_same, members, problems)):
            return whole
    return ProblemEntry(objects=problems)


def _is_plain(transformations: tuple[Transformation, ...]) -> bool:
    """Whether a table can hold them: each at most once, in the usual order, and no functions."""
    order = [list(TRANSFORMATIONS).index(one.key) for one in transformations]
    values = [value for one in transformations for value in one.to_plain().values()]
    return order == sorted(set(order)) and not any(map(callable, values))


def is_same(one: Problem, other: Problem) -> bool:
    """Whether both are the same problem, or were made of the same one in the same way."""
    return one is other or (one.original is other.original and one.transformations == other.transformations)

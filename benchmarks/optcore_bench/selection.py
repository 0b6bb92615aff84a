"""What one entry of a study's `problems` or `algorithms` says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeGuard

from optcore.errors import InvalidInputError, OptcoreError, UnknownNameError, unknown_name
from optcore.solvers import Algorithm, CallableAlgorithm, get_algorithm
from optcore_bench.codehash import is_ours, qualified_name
from optcore_problems import Problem, Suite, get_problem, get_suite, list_suites

__all__ = ["AlgorithmEntry", "ProblemEntry", "algorithm_entry", "problem_entry"]


@dataclass(frozen=True)
class ProblemEntry:
    """A selection of problems.

    Attributes:
        suite: name of the suite, "" for Python objects.
        problem: one problem of the suite by name, "" for all.
        n: numbers of variables that a suite of scalable families is asked for, one or a list; None for its own.
        n_min, n_max: bounds on the number of variables.
        tags: as Suite.filter takes them.
        objects: problems that were given as Python objects.
    """

    suite: str = ""
    problem: str = ""
    n: int | list[int] | None = None
    n_min: int | None = None
    n_max: int | None = None
    tags: Any = None
    objects: tuple[Problem, ...] = ()

    @property
    def label(self) -> str:
        """What messages call it; differs where the selection does."""
        if self.objects:
            return ", ".join(problem.full_name for problem in self.objects)
        if self.problem:
            return f"{self.suite}/{self.problem}"
        conditions = {"n": self.n, "n_min": self.n_min, "n_max": self.n_max, "tags": self.tags}
        shown = ", ".join(f"{key}={value!r}" for key, value in conditions.items() if value is not None)
        return f"{self.suite} ({shown})" if shown else self.suite

    def members(self) -> tuple[Problem, ...]:
        """The problems it selects, in the order of the suite."""
        if self.objects:
            return self.objects
        if self.problem:
            return (get_problem(f"{self.suite}/{self.problem}"),)
        return get_suite(self.suite, n=self.n).filter(n_max=self.n_max, n_min=self.n_min, tags=self.tags).problems

    def to_plain(self) -> Any:
        """As TOML has it."""
        if self.objects:
            return {"python": [f"{problem.full_name} {problem.version}" for problem in self.objects]}
        if self.problem:
            return f"{self.suite}/{self.problem}"
        chosen = {"suite": self.suite, "n": self.n, "n_min": self.n_min, "n_max": self.n_max, "tags": self.tags}
        plain = {key: value for key, value in chosen.items() if value is not None}
        return self.suite if len(plain) == 1 else plain


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
    _refuse_python(given)
    known = ("suite", "n", "n_min", "n_max", "tags")
    for key in given:
        if key not in known:
            raise unknown_name("key of a table of problems", key, known)
    if "suite" not in given:
        raise InvalidInputError(f"a table of problems needs the key 'suite', but is {dict(given)!r}")
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
    entry = ProblemEntry(
        suite=given["suite"], n=n, n_min=given.get("n_min"), n_max=given.get("n_max"), tags=_plain_tags(tags)
    )
    _check_suite(entry.suite)
    entry.members()  # unknown tags are refused here
    return entry


def _plain_tags(tags: Any) -> Any:
    return dict(tags) if isinstance(tags, Mapping) else list(tags) if isinstance(tags, (list, tuple)) else tags


def _from_name(name: str) -> ProblemEntry:
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
    """Objects that are those of a registered suite go by their name."""
    if len(problems) == 1 and is_registered(problems[0]):
        return ProblemEntry(suite=problems[0].suite, problem=problems[0].name)
    suite = problems[0].suite if problems else ""
    if suite in list_suites() and problems == get_suite(suite).problems:
        return ProblemEntry(suite=suite)
    if not problems:
        raise InvalidInputError("an empty suite was given")
    return ProblemEntry(objects=problems)


def is_registered(problem: Problem) -> bool:
    """Whether `get_problem(problem.full_name)` gives this very problem, in any process."""
    if problem.suite not in list_suites():
        return False
    try:
        return get_problem(problem.full_name) is problem
    except OptcoreError:
        return False


@dataclass(frozen=True)
class AlgorithmEntry:
    """A solver under a name.

    Attributes:
        name: what rows call it.
        algorithm: the name of a registered algorithm, or a class or function of the user's own.
        options: the user's options.
        version: stands for the code of a solver whose source can't be hashed.
    """

    name: str
    algorithm: str | type[Algorithm] | Callable[..., Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""

    @property
    def implementation(self) -> Any:
        """The class, or the user's function."""
        return get_algorithm(self.algorithm) if isinstance(self.algorithm, str) else self.algorithm

    @property
    def is_own(self) -> bool:
        """Whether the code is the user's, not optcore's."""
        return not is_ours(self.implementation)

    def make(self, *, tight: bool = False, seed: int = 0) -> Algorithm:
        """An instance with the user's options, above the strictest tolerances if tight; a seed where one is taken.

        Raises:
            UnknownNameError, InvalidInputError: an option that it doesn't have, or a value that can't be.
        """
        implementation = self.implementation
        if not is_algorithm_class(implementation):
            chosen = {name.replace(".", "_"): value for name, value in self.options.items()}
            made = CallableAlgorithm(implementation, chosen)
            takes_seed = "seed" in made.asks_for and "seed" not in chosen
            return CallableAlgorithm(implementation, {**chosen, "seed": seed}) if takes_seed else made
        resolved = {**(implementation.tight if tight else {}), **implementation.read_options(self.options)}
        if "seed" in implementation.option_names():
            resolved.setdefault("seed", seed)
        return implementation.from_options(resolved)

    def to_plain(self) -> Any:
        """As TOML has it."""
        if isinstance(self.algorithm, str):
            if self.name == self.algorithm and not self.options and not self.version:
                return self.name
            plain: dict[str, Any] = {"name": self.name, "algorithm": self.algorithm}
        else:
            plain = {"name": self.name, "python": qualified_name(self.algorithm)}
        if self.options:
            plain["options"] = dict(self.options)
        if self.version:
            plain["version"] = self.version
        return plain


def is_algorithm_class(thing: Any) -> TypeGuard[type[Algorithm]]:
    """Whether it is a subclass of om.Algorithm, not a plain callable."""
    return isinstance(thing, type) and issubclass(thing, Algorithm)


def resolved_options(algorithm: Algorithm) -> dict[str, Any]:
    """All options of an instance by name; of a plain callable those that it was given."""
    if isinstance(algorithm, CallableAlgorithm):
        return dict(algorithm.options)
    return {option.name: getattr(algorithm, option.name) for option in fields(algorithm)}


def algorithm_entry(given: Any) -> AlgorithmEntry:
    """Read an entry of `algorithms`.

    Raises:
        UnknownNameError: no such algorithm, option or key; suggests the nearest.
        InvalidInputError: a value of the wrong kind.
    """
    if isinstance(given, AlgorithmEntry):
        return given
    if isinstance(given, Mapping):
        entry = _from_table(given)
    elif isinstance(given, Algorithm):
        entry = _from_instance(given)
    elif isinstance(given, str) or callable(given):
        entry = AlgorithmEntry(_default_name(given), _by_name(given))
    else:
        raise InvalidInputError(
            f"an algorithm is given by its name, a table {{name, algorithm, options}} or a function, not by {given!r}"
        )
    entry.make()
    return entry


def _from_table(given: Mapping[str, Any]) -> AlgorithmEntry:
    _refuse_python(given)
    known = ("name", "algorithm", "options", "version")
    for key in given:
        if key not in known:
            raise unknown_name("key of a table of an algorithm", key, known)
    algorithm = given.get("algorithm", given.get("name"))
    if algorithm is None:
        raise InvalidInputError(f"a table of an algorithm needs the key 'algorithm', but is {dict(given)!r}")
    options = given.get("options", {})
    if not isinstance(options, Mapping):
        raise InvalidInputError(f"options must be a table, but is {options!r}")
    if isinstance(algorithm, Algorithm):
        instance = _from_instance(algorithm)
        algorithm, options = instance.algorithm, {**instance.options, **options}
    if not isinstance(algorithm, str) and not callable(algorithm):
        raise InvalidInputError(f"algorithm must be a name or a function, but is {algorithm!r}")
    name = given["name"] if "name" in given else _default_name(algorithm)
    if not isinstance(name, str) or not name:
        raise InvalidInputError(f"the name of an algorithm must be text, but is {name!r}")
    return AlgorithmEntry(name, _by_name(algorithm), dict(options), str(given.get("version", "")))


def _from_instance(given: Algorithm) -> AlgorithmEntry:
    if isinstance(given, CallableAlgorithm):
        return AlgorithmEntry(_default_name(given.function), given.function, dict(given.options))
    default = {option.name: option.default for option in fields(given)}
    changed = {name: value for name, value in resolved_options(given).items() if value != default[name]}
    return AlgorithmEntry(given.name, _by_name(type(given)), changed)


def _by_name(algorithm: Any) -> Any:
    """The name of a class that comes with optcore; anything else as it is."""
    if is_algorithm_class(algorithm) and is_ours(algorithm) and _is_found(algorithm):
        return algorithm.name
    return algorithm


def _is_found(algorithm: type[Algorithm]) -> bool:
    """Whether its name leads to it, in any process."""
    try:
        return get_algorithm(algorithm.name) is algorithm
    except UnknownNameError:
        return False


def _default_name(algorithm: Any) -> str:
    if isinstance(algorithm, str):
        return algorithm
    name = getattr(algorithm, "name", None) or getattr(algorithm, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>":
        raise InvalidInputError(f'{algorithm!r} has no name; give it one: {{"name": ..., "algorithm": ...}}')
    return name


def _refuse_python(given: Mapping[str, Any]) -> None:
    if "python" in given:
        raise InvalidInputError(
            f"{given['python']!r} was a Python object, which a file can't hold; run the script that made the study"
        )

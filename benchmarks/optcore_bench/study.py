"""A study: which problems, algorithms and derivatives are compared, and under which rules. Python and TOML alike."""

from __future__ import annotations

import contextlib
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from optcore.errors import InvalidInputError, OptcoreError, UnknownNameError, nearest, unknown_name
from optcore.evaluator import Budget
from optcore_bench import toml
from optcore_bench.algorithms import algorithm_entry, anchored_algorithms
from optcore_bench.gate import read_gate
from optcore_bench.mistakes import UNREADABLE, Kind, Mistakes, StudyError, attempt, mistakes_of_table
from optcore_bench.selection import ProblemEntry, anchored, is_same, problem_entry
from optcore_bench.strategies import Strategy, make_strategy

__all__ = ["TAUS", "Study", "StudyError", "load_study", "shipped_studies", "taus_of"]

T = TypeVar("T")

STOPPING = ("tight", "default")
#: The precisions of the convergence test that everything is shown for unless asked otherwise.
TAUS = (1e-1, 1e-3, 1e-5, 1e-7, 1e-10)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: What is often looked for in a file, and is an option of the command.
_COMMAND = {
    name: f"--{name.removeprefix('n_')}" for name in ("jobs", "n_jobs", "backend", "shard", "store", "walltime")
}


@dataclass(frozen=True, eq=False)
class Study:
    """What is compared, and under which rules. A single value serves for a list of one.

    Args:
        name: letters, digits, dot, dash, underscore; names the default store.
        problems: suites ("more_wild"), problems ("more_wild/rosenbrock"), suites of your own ("my_suite.py:suite", in a
            file relative to its folder, or "my_package.module:suite"), or tables: one of `suite`, `problem` and
            `path`, `n_min`, `n_max` and `tags` to choose by, and the transformations `start`, `bounded`, `scaling`,
            `noise`, `failures`, `cost` (see `optcore_problems.transform`; applied in this order), each a table of its
            arguments or true, as in `{suite = "more_wild", noise = {kind = "multiplicative", level = 1e-3}}`;
            in Python also Problem and Suite objects.
        algorithms: names, or tables `{name, algorithm, options}`; a solver of your own by where it is,
            `{name, path = "my_solver.py:solve"}` or `{name, algorithm = "my_package.module:solve"}`, with
            `python = "venv/bin/python"` in another interpreter, or a program by its `command`, see
            `optcore_bench.external`; in Python `algorithm` may be a function or class of your own, with `version`
            where its code can't be hashed.
        derivatives: names of strategies, or tables `{name, strategy, ...options}`.
        budget: what each run may spend.
        starts: 1 is the standard start; more are perturbed around it.
        seed: decides perturbed starts, and what stochastic solvers draw.
        stopping: "tight" sets every tolerance to its strictest working value, so that the budget decides; "default"
            is what a user of the library gets.
        run_timeout: seconds after which a run without `budget.max_seconds` is killed; a safety net.
        max_memory: bytes that a run may use, or None.
        keep_x: whether the points of all evaluations are stored.
        description: what it is for.
        tau: precisions of the convergence test that reports show.
        gate: what `optcore compare` tolerates, a table of keys of `optcore_bench.comparison.Gate`.

    Raises:
        StudyError: an InvalidInputError and UnknownNameError, with all mistakes at once: `sentences` has one sentence
            for each, which says the key, what came and what to do, and suggests the nearest name.

    >>> study = Study("example", problems="more_wild/rosenbrock", algorithms="scipy_lbfgsb")
    >>> [p.name for p in study.resolve_problems()], study.budget
    (['rosenbrock'], Budget(max_evaluations=None, max_gradients=200, max_seconds=None))
    """

    name: str
    problems: Any
    algorithms: Any
    derivatives: Any = "analytic"
    budget: Any = field(default_factory=lambda: Budget(max_gradients=200))
    starts: int = 1
    seed: int = 0
    stopping: str = "tight"
    run_timeout: float = 600.0
    max_memory: int | None = None
    keep_x: bool = True
    description: str = ""
    tau: Any = TAUS
    gate: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = {key.name: _plain(getattr(self, key.name)) for key in fields(self)}
        values, mistakes = _read_values(given)
        if mistakes.sentences:
            raise StudyError.of(self.name, mistakes.sentences)
        for key, value in values.items():
            object.__setattr__(self, key, value)

    @property
    def source(self) -> Path | None:
        """The file that it was read from; None for a study that was made in Python, and for one that ships."""
        return self.__dict__.get("_source")

    def resolve_problems(self) -> list[Any]:
        """The Problems it selects, in order, each once."""
        return list({(p.full_name, p.noise): p for entry in self.problems for p in entry.members()}.values())

    def to_dict(self) -> dict[str, Any]:
        """All keys with plain values, as TOML has them. What only Python can hold is named, not contained."""
        return {
            "name": self.name,
            "description": self.description,
            "problems": [entry.to_plain() for entry in self.problems],
            "algorithms": [entry.to_plain() for entry in self.algorithms],
            "derivatives": [_strategy_to_plain(strategy) for strategy in self.derivatives],
            "starts": self.starts,
            "seed": self.seed,
            "stopping": self.stopping,
            "run_timeout": self.run_timeout,
            "max_memory": self.max_memory,
            "keep_x": self.keep_x,
            "tau": list(self.tau),
            "budget": {limit.name: getattr(self.budget, limit.name) for limit in fields(Budget)},
            "gate": dict(self.gate),
        }

    def to_toml(self) -> str:
        """Canonical text: the same study gives the same text. `load_study` reads it back.

        Problems and algorithms that only Python can hold stand in it by their name, and can't be read back.
        """
        return toml.dumps(self.to_dict())

    def __eq__(self, other: object) -> bool:
        return self.to_dict() == other.to_dict() if isinstance(other, Study) else NotImplemented

    __hash__ = None  # type: ignore[assignment]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _folder_name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InvalidInputError(
            "must begin with a letter or digit and hold only letters, digits, '.', '-' and '_', since it names a "
            f"folder, but is {value!r}"
        )
    return value


def _strategy_to_plain(strategy: Strategy) -> Any:
    if strategy.name == strategy.strategy and not strategy.options:
        return strategy.name
    return {"name": strategy.name, "strategy": strategy.strategy, **strategy.options}


class _WrongError(Exception):
    """Everything that is wrong with the value of a key."""

    def __init__(self, messages: Iterable[str]) -> None:
        super().__init__(*messages)
        self.messages = [str(message) for message in self.args]


def _read_values(given: Mapping[str, Any], folder: Path | None = None) -> tuple[dict[str, Any], Mistakes]:
    """The values of keys, and what is wrong with those that can't be read.

    Args:
        given: values by key, of any keys that there are.
        folder: what places in it are relative to.
    """
    mistakes = Mistakes()
    values: dict[str, Any] = {}
    for key, read in _readers(folder).items():
        if key not in given:
            continue
        try:
            values[key] = read(given[key])
        except _WrongError as error:
            mistakes.add_to(key, error.messages)
        except OptcoreError as error:
            mistakes.add_to(key, [str(error)])
    return values, mistakes


def _readers(folder: Path | None) -> dict[str, Callable[[Any], Any]]:
    def anchor(place: Callable[[Any, Path], Any], read: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return read if folder is None else lambda entry: read(place(entry, folder))

    problem = Kind(anchor(anchored, problem_entry), ("suite", "problem", "path", "python"), {"suite": "more_wild"})
    algorithm = Kind(
        anchor(anchored_algorithms, algorithm_entry),
        ("name", "algorithm", "path", "python", "command", "asks", "sha256", "version"),
        {"algorithm": "scipy_bfgs"},
        ("options",),
    )
    strategy = Kind(make_strategy, ("name", "strategy"), {"strategy": "forward"})
    return {
        "name": _folder_name,
        "description": lambda v: _typed(v, str, "text"),
        "problems": lambda v: _with_members(_entries(v, problem, lambda e: e.label, "leave one out")),
        "algorithms": lambda v: _entries(v, algorithm, lambda e: e.name),
        "derivatives": lambda v: _entries(v, strategy, lambda e: e.name),
        "budget": _budget,
        "starts": lambda v: _whole_number(v, 1),
        "seed": lambda v: _whole_number(v, 0),
        "stopping": lambda v: _one_of(v, STOPPING),
        "run_timeout": _positive,
        "max_memory": lambda v: None if v is None else _whole_number(v, 1),
        "keep_x": lambda v: _typed(v, bool, "true or false"),
        "tau": _taus,
        "gate": _gate,
    }


def _with_members(entries: tuple[ProblemEntry, ...]) -> tuple[ProblemEntry, ...]:
    """The entries, checked to select something and to give no name twice."""
    wrong: list[str] = []
    found: dict[tuple[str, str], Any] = {}
    for entry in entries:
        members = entry.members()
        if not members:
            wrong.append(f"{entry.label} selects no problem; widen n_min, n_max or tags")
        wrong += [
            f"two different problems are called {problem.full_name!r}; rename one"
            for problem in members
            if not is_same(found.setdefault((problem.full_name, problem.noise), problem), problem)
        ]
    if wrong:
        raise _WrongError(dict.fromkeys(wrong))
    return entries


_RENAME = "leave one out, or give it another name: {name = ..., ...}"


def _entries(given: Any, kind: Kind, name: Callable[[Any], str], advice: str = _RENAME) -> tuple[Any, ...]:
    """What a list of entries says, or a single one; not empty, no name twice."""
    single = isinstance(given, (str, Mapping)) or not isinstance(given, Iterable) or hasattr(given, "problems")
    listed = [given] if single else list(given)
    wrong = [message for entry in listed for message in mistakes_of_table(entry, kind)]
    if not listed:
        wrong.append("is empty; list at least one")
    entries = []
    for entry in listed:
        with contextlib.suppress(*UNREADABLE):
            entries.append(kind.read(entry))
    names = Counter(name(entry) for entry in entries)
    wrong += [f"{one!r} is listed twice; {advice}" for one, count in names.items() if count > 1]
    if wrong:
        raise _WrongError(dict.fromkeys(wrong))
    return tuple(entries)


def _budget(given: Any) -> Budget:
    if isinstance(given, Budget):
        return given
    if not isinstance(given, Mapping):
        raise InvalidInputError(f"must be a table such as {{max_gradients = 200}}, or om.Budget(...), but is {given!r}")
    if wrong := [message for key, value in given.items() if (message := attempt(_limit, (key, value)))]:
        raise _WrongError(wrong)
    return Budget(**given)


def _limit(pair: tuple[Any, Any]) -> None:
    key, value = pair
    known = [limit.name for limit in fields(Budget)]
    if key not in known:
        raise unknown_name("limit", key, known)
    if value is not None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            raise InvalidInputError(f"{key} must be a number, but is {value!r}")
        limit: dict[str, Any] = {key: value}
        Budget(**limit)


def _gate(given: Any) -> dict[str, Any]:
    """The table as it stands in the file, checked to be one of limits."""
    if isinstance(given, Mapping):
        wrong = [message for key, value in given.items() if (message := attempt(read_gate, {key: value}))]
        if wrong:
            raise _WrongError(wrong)
    read_gate(given)
    return dict(given)


def _whole_number(value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidInputError(f"must be a whole number of at least {least}, but is {value!r}")
    return value


def _positive(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= sys.float_info.max:
        raise InvalidInputError(f"must be a finite number above 0, but is {value!r}")
    return float(value)


def _one_of(value: Any, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise unknown_name("value", value, choices)
    return str(value)


def _typed(value: Any, kind: type[T], words: str) -> T:
    if not isinstance(value, kind):
        raise InvalidInputError(f"must be {words}, but is {value!r}")
    return value


def _taus(given: Any) -> tuple[float, ...]:
    single = isinstance(given, (int, float, str)) or not isinstance(given, Iterable) or isinstance(given, Mapping)
    values = [given] if single else list(given)
    if not values:
        raise InvalidInputError("is empty; list at least one")
    wrong = [
        f"must hold numbers between 0 and 1, but holds {value!r}"
        for value in values
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1
    ]
    if not wrong:
        wrong = [f"holds {value!r} twice; leave one out" for value, count in Counter(values).items() if count > 1]
    if wrong:
        raise _WrongError(dict.fromkeys(wrong))
    return tuple(float(value) for value in values)


def taus_of(study: Any) -> tuple[float, ...]:
    """The precisions that a study asks for, as a store keeps it; the usual ones where it names none.

    >>> taus_of({"name": "mine", "tau": [0.1, 1e-7]}), taus_of({"tau": 1e-3}), taus_of(None) == TAUS
    ((0.1, 1e-07), (0.001,), True)
    """
    given = study.get("tau") if isinstance(study, Mapping) else getattr(study, "tau", None)
    if not given:
        return TAUS
    return (float(given),) if isinstance(given, (int, float)) else tuple(float(tau) for tau in given)


def shipped_studies() -> dict[str, Any]:
    """The studies that ship: name to file."""
    folder = files("optcore_bench") / "studies"
    found = {item.name.removesuffix(".toml"): item for item in folder.iterdir() if item.name.endswith(".toml")}
    return dict(sorted(found.items()))


def load_study(study: str | Path) -> Study:
    """Read a study from a TOML file, or one that ships by its name.

    Args:
        study: a path, or a name out of `optcore list studies`. The name of a file is the name of its study, unless
            the file says another.

    Raises:
        UnknownNameError: no file and no shipped study of that name.
        InvalidInputError: not TOML.
        StudyError: all mistakes in it, see `Study`.

    >>> load_study("quick").name
    'quick'
    """
    path = Path(study)
    shipped = shipped_studies()
    if str(study) in shipped and path.suffix != ".toml":
        return _parse(shipped[str(study)].read_text(encoding="utf-8"), str(study), str(study))
    if not path.is_file():
        if path.suffix == ".toml" or len(path.parts) > 1:
            raise InvalidInputError(
                f"there is no file {str(path)!r}; `optcore list studies` shows the studies that ship"
            )
        raise UnknownNameError(
            f"{unknown_name('study', str(study), shipped)}; a study of your own is given by its path, NAME.toml"
        )
    read = _parse(_read_text(path), str(path), path.stem, path.resolve().parent)
    object.__setattr__(read, "_source", path.resolve())
    return read


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # editors on Windows begin a file with a mark of its encoding
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"{str(path)!r} is not valid TOML: it is no text in UTF-8 ({error}); save it in that encoding"
        ) from error


def _parse(text: str, source: str, name: str, folder: Path | None = None) -> Study:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError(f"{source!r} is not valid TOML: {error}") from error
    known = [key.name for key in fields(Study)]
    named = {"name": name} if _NAME.fullmatch(name) else {}
    values, mistakes = _read_values({**named, **table}, folder)
    unknown = [key for key in table if key not in known]
    meant = {nearest(key, known) for key in unknown}
    missing = [
        key.name
        for key in fields(Study)
        if key.default is MISSING and key.default_factory is MISSING and key.name not in {"name", *table, *meant}
    ]
    sentences = [
        f"unknown key {key!r}, which is no part of what is compared; give it to `optcore run` as {_COMMAND[key]}"
        if key in _COMMAND
        else str(unknown_name("key", key, known))
        for key in unknown
    ]
    if "name" not in {**named, **table}:
        better = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-_") or "study"
        sentences.append(f"the name of its file can't be its own, since it names a folder; add name = {better!r}")
    sentences += [f"the key {key!r} is missing" for key in missing]
    if sentences or mistakes.sentences:
        raise StudyError.of(source, [*sentences, *mistakes.sentences])
    return Study(**values)

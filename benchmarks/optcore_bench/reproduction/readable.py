"""The study of a store, as far as it can be read here: what can't is named with the reason, and the rest is run."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optcore.errors import InvalidInputError, OptcoreError
from optcore_bench.algorithms import AlgorithmEntry, algorithm_entry, anchored_algorithms, was_python_object
from optcore_bench.runs import Run, expand
from optcore_bench.selection import problem_entry
from optcore_bench.strategies import make_strategy
from optcore_bench.study import Study

__all__ = ["Readable", "read_stored_study"]

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Readable:
    """What of a study can be run here.

    Attributes:
        study: the study without what can't be read; None if nothing is left of it.
        runs: its runs, by suite, problem, start, noise, algorithm, derivative.
        algorithms, derivatives: the reason why by name, where an entry can't be read.
        problems: reasons of entries that can't be read.
    """

    study: Study | None
    runs: Mapping[Key, Run]
    algorithms: Mapping[str, str] = field(default_factory=dict)
    derivatives: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def why_not(self, row: Mapping[str, Any]) -> str:
        """Why a stored run is not among the runs."""
        for reason in (self.algorithms.get(row["algorithm"]), self.derivatives.get(row["derivative"])):
            if reason is not None:
                return reason
        if self.problems:
            return "; ".join(self.problems)
        return "the study doesn't list it"


def read_stored_study(table: Mapping[str, Any], root: Path) -> Readable:
    """Read the study of a store.

    Args:
        table: what its `study.toml` says.
        root: the store, which has copies of the files of solvers; relative paths start there.

    Returns:
        What can be run of it.

    Raises:
        InvalidInputError, UnknownNameError: a rule of the study, such as its budget, can't be read.
    """
    if "problems" not in table:
        reason = "it holds histories that other programs recorded, not a study that could be run"
        return Readable(None, {}, problems=(reason,))
    algorithms, bad_algorithms = _read_all(
        table.get("algorithms"), lambda entry: _read_algorithm(anchored_algorithms(entry, root))
    )
    derivatives, bad_derivatives = _read_all(table.get("derivatives"), make_strategy)
    problems, bad_problems = _read_all(table.get("problems"), problem_entry)
    reasons: dict[str, Any] = {
        "algorithms": dict(bad_algorithms),
        "derivatives": dict(bad_derivatives),
        "problems": tuple(reason for _, reason in bad_problems),
    }
    if not (algorithms and derivatives and problems):
        return Readable(None, {}, **reasons)
    study = Study(**{**table, "algorithms": algorithms, "derivatives": derivatives, "problems": problems})
    return _expanded(study, reasons)


def _expanded(study: Study, reasons: dict[str, Any]) -> Readable:
    try:
        return Readable(study, {run.key: run for run in expand(study)}, **reasons)
    except OptcoreError:
        pass  # one of them can't be identified: which?
    runs: dict[Key, Run] = {}
    for entry in study.algorithms:
        for problem in study.problems:
            try:
                part = expand(_only(study, entry, problem))
            except OptcoreError as error:
                reasons["algorithms"][entry.name] = str(error)
                reasons["problems"] = tuple(dict.fromkeys((*reasons["problems"], str(error))))
            else:
                runs |= {run.key: run for run in part}
    return Readable(study, runs, **reasons)


def _only(study: Study, algorithm: AlgorithmEntry, problem: Any) -> Study:
    return Study(
        name=study.name,
        problems=[problem],
        algorithms=[algorithm],
        derivatives=study.derivatives,
        budget=study.budget,
        starts=study.starts,
        seed=study.seed,
        stopping=study.stopping,
    )


def _read_all(entries: Any, read: Callable[[Any], Any]) -> tuple[list[Any], list[tuple[str, str]]]:
    """Those that can be read; name and reason of the others."""
    good: list[Any] = []
    bad: list[tuple[str, str]] = []
    for entry in entries if isinstance(entries, list) else [entries]:
        try:
            good.append(read(entry))
        except OptcoreError as error:
            bad.append((_name_of(entry), str(error)))
    return good, bad


def _name_of(entry: Any) -> str:
    if isinstance(entry, Mapping):
        return str(entry.get("name", entry.get("algorithm", entry.get("strategy", entry))))
    return str(entry)


def _read_algorithm(entry: Any) -> AlgorithmEntry:
    """As a study reads it; a function or class of the user's own is imported by the name that the store has of it.

    A file that is gone is taken from the store. One that has changed since is taken as it is: what comes out says
    whether that matters.
    """
    if not isinstance(entry, Mapping):
        return algorithm_entry(entry)
    table = {key: value for key, value in entry.items() if key != "sha256"}
    if was_python_object(entry):
        table["algorithm"] = _python_object(str(table.pop("python")))
    return algorithm_entry(table)


def _python_object(place: str) -> Any:
    """What stood in the study in Python, found again by its name."""
    module, _, name = place.partition(":")
    if module in ("__main__", "__mp_main__") or "<" in name or "(" in place:
        raise InvalidInputError(
            f"{place!r} was a Python object of a script, notebook or function, which a store can't hold; run again the "
            "script that made the study, with another store, and `optcore compare` both"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # where scripts look, too
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever the module raises
        raise InvalidInputError(
            f"{place!r} can't be imported here ({type(error).__name__}: {error}); start in its folder, or install it"
        ) from error
    return found

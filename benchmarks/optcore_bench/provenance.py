"""From what a store is made: the study, the code of solvers and problems of the user's own, libraries, limits, seeds.

What decides the numbers and is compared between stores is the fingerprint, see `optcore_bench.environment`; what
stands here is for readers.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from optcore_bench.addresses import Address, address_of, is_registered
from optcore_bench.codehash import is_ours, qualified_name
from optcore_bench.environment import library_version, repository_of
from optcore_bench.external.base import External
from optcore_bench.external.place import Place
from optcore_bench.runs import Run
from optcore_bench.store.files import file_sum
from optcore_bench.strategies import Jax
from optcore_bench.study import Study
from optcore_bench.supervise.launch import PINNED

__all__ = ["library_versions", "origin", "source_of"]

#: Versions of these are in the fingerprint.
_IN_FINGERPRINT = ("optcore", "numpy", "scipy")


def origin(study: Study, runs: Iterable[Run]) -> dict[str, Any]:
    """What a store is made from, for its manifest; what `optcore_bench.environment.provenance` says comes beside it.

    Args:
        study: the study.
        runs: its runs.

    Returns:
        JSON values: `study` (`name`, `text_sha256` of its text in the store, and of the file that it was read from
        `file`, `sha256` and `git`, as of solvers), `seeds`, `limits` of a run, `variables_of_runs` (environment
        variables that are set in the processes of runs whatever they are outside), `libraries` (versions, see
        `library_versions`), `solvers` and `problems` of the user's own: `name`, `python` (module and name), `file`,
        `sha256`, `version` (of the distribution that installed it) and `git`: `commit`, `dirty`, `tracked`, `changed`
        of the repository that the file lies in.
    """
    listed = list(runs)
    named = {"name": study.name, "text_sha256": hashlib.sha256(study.to_toml().encode()).hexdigest()}
    return {
        "study": named if study.source is None else {**named, **_of_file(study.source)},
        "seeds": {"seed": study.seed, "starts": study.starts, "of_runs": sorted({run.seed for run in listed})},
        "limits": {
            "budget": study.to_dict()["budget"],
            "run_timeout": study.run_timeout,
            "max_memory": study.max_memory,
        },
        "variables_of_runs": dict(PINNED),
        "libraries": library_versions(listed),
        "solvers": [
            {
                "name": entry.name,
                **source_of(entry.implementation if isinstance(entry.algorithm, str) else entry.algorithm),
            }
            for entry in study.algorithms
            if entry.is_own or isinstance(entry.algorithm, External)
        ],
        "problems": _own_problems(listed),
    }


def _own_problems(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """Problems of the user's own; those out of one file once, under the file's name."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        original = run.problem.original
        if is_registered(original):
            continue
        address = address_of(original)
        if isinstance(address, Address) and address.place:
            if address.place not in found:
                where, _, name = address.place.rpartition(":")
                found[address.place] = {"name": address.place, "python": name, **_of_place(where)}
        elif original.full_name not in found:
            functions = (original.residuals_xp, original.fun_xp, original.jacobian_np, original.gradient_np)
            code = next((one for one in functions if one is not None), None)
            found[original.full_name] = {"name": original.full_name, **source_of(code)}
    return list(found.values())


def source_of(thing: Any) -> dict[str, Any]:
    """Where code of the user's own lies.

    Args:
        thing: a function, a class, an object that is called, a partial, a place in a file or module, or what runs
            outside of the process of the harness.

    Returns:
        `python` (module and name; the place as it was given), or of what runs elsewhere what the study says of it; and
        as far as there are such: `file`, `sha256` of it, `version` of the installed distribution that it belongs to,
        and `git` (see `repository_of`).

    >>> source_of(source_of)["python"]
    'optcore_bench.provenance:source_of'
    """
    if isinstance(thing, External):
        return {**thing.to_plain(), **(_of_file(Path(thing.file)) if thing.file else {})}
    if isinstance(thing, Place):
        return {"python": thing.name if thing.is_file else str(thing), **_of_place(thing.where)}
    said: dict[str, Any] = {"python": qualified_name(thing)}
    code = inspect.unwrap(thing.func if isinstance(thing, functools.partial) else thing)
    code = code if inspect.isroutine(code) or isinstance(code, type) else type(code)
    module = str(getattr(code, "__module__", "") or "")
    if module not in ("", "__main__") and not is_ours(code) and (version := library_version(module)) is not None:
        said["version"] = version
    try:
        file = inspect.getsourcefile(code)
    except TypeError:  # built in
        file = None
    return said if file is None or not Path(file).is_file() else {**said, **_of_file(Path(file))}


def _of_place(where: str) -> dict[str, Any]:
    """Of a file, or of a module that was imported or can be found."""
    if where.endswith(".py"):
        return _of_file(Path(where))
    try:
        found = importlib.util.find_spec(where)
    except (ImportError, ValueError):  # a module of another Python's
        found = None
    version = library_version(where)
    said = {} if version is None else {"version": version}
    file = found.origin if found is not None and found.has_location else None
    return said if file is None else {**said, **_of_file(Path(file))}


def _of_file(file: Path) -> dict[str, Any]:
    """A file's place, its sum and its repository. A path below the home folder begins with ~."""
    path, home = file.resolve(), Path.home()
    shown = f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else path.as_posix()
    if not path.is_file():
        return {"file": shown}
    repository = repository_of(path)
    return {"file": shown, "sha256": file_sum(path), "git": repository}


def library_versions(runs: Iterable[Run]) -> dict[str, str | None]:
    """Versions of the libraries that the solvers and derivatives of runs come from, beyond those of the fingerprint.

    Args:
        runs: the runs.

    Returns:
        Version by import name, sorted; None for what is not installed.
    """
    names: set[str] = set()
    seen: set[tuple[str, str]] = set()
    for run in runs:
        cell = (run.entry.name, run.derivative.name)
        if cell not in seen:
            seen.add(cell)
            if isinstance(run.entry.algorithm, External):  # brings its versions in its rows
                continue
            names.update((run.algorithm.library, *run.algorithm.built_on))
            names.update(("jax", "jaxlib") if isinstance(run.derivative, Jax) else ())
    return {name: library_version(name) for name in sorted(names.difference(_IN_FINGERPRINT, {""}))}

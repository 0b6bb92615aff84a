"""May a study go on in a store that is there? What it is compared with, and what its manifest then says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optcore_bench.environment import SOLVER_PREFIX, environment_hash, fingerprint, provenance
from optcore_bench.plan import Plan, Stored, read_stored
from optcore_bench.provenance import origin
from optcore_bench.runs import Run
from optcore_bench.store import Results, RunRecord, StoreNotFoundError
from optcore_bench.store.mixing import RULES, MixedEnvironmentError, MixedStudyError, differences
from optcore_bench.store.writer import store_path
from optcore_bench.study import Study
from optcore_bench.words import count

__all__ = ["check_environment", "look_into", "manifest_entries"]

_THERE_AND_HERE = "{!r} there, {!r} here"


def look_into(path: Path, study: Study, runs: list[Run], *, allow_mixed: bool) -> dict[str, Stored]:
    """What is stored, after checks that the study may go on in this store; nothing where there is no store.

    Raises:
        MixedStudyError: the store holds runs of another study, or of this one under other rules.
        MixedEnvironmentError: it was made in another environment.
    """
    try:
        results = Results(path)
    except StoreNotFoundError:
        return {}
    stored = read_stored(store_path(path))
    _same_rules(path, study, results.study)
    listed = {run.key for run in runs}
    foreign = [key for key in sorted({row.key for row in stored.values()}) if key not in listed]
    if foreign:
        suite, problem, start, noise, algorithm, derivative = foreign[0]
        raise MixedStudyError(
            f"the store '{path}' holds {count(len(foreign), 'run')} that the study {study.name!r} doesn't list, such "
            f"as {suite}/{problem}#{start}{noise and f' ~ {noise}'} {algorithm} [{derivative}]; list what it holds "
            "again, or give another --store"
        )
    if stored and not allow_mixed:
        _same_environment(path, results.manifest.get("environment") or {})
    return stored


def _same_rules(path: Path, study: Study, known: Mapping[str, Any]) -> None:
    asked = study.to_dict()
    asked["budget"] = {key: value for key, value in asked["budget"].items() if value is not None}
    if shown := differences(known, asked, RULES, _THERE_AND_HERE):
        raise MixedStudyError(
            f"the store '{path}' was made under other rules ({shown}); rows of one store share them: give another "
            "--store, or remove this one"
        )


def _same_environment(path: Path, known: Mapping[str, str]) -> None:
    if shown := differences(known, fingerprint(), form=_THERE_AND_HERE):
        raise MixedEnvironmentError(
            f"the store '{path}' was made in another environment ({shown}), where evaluation counts can differ: give "
            "another --store, or mix them with --allow-mixed"
        )


def check_environment(record: RunRecord, *, allow_mixed: bool) -> None:
    """A worker on another machine may have another environment than the one that began the study."""
    there = {key: value for key, value in record.run["environment"].items() if not key.startswith(SOLVER_PREFIX)}
    if not allow_mixed and environment_hash(there) != environment_hash(fingerprint()):
        host = record.timings.get("host")
        raise MixedEnvironmentError(
            f"the worker on {host!r} has another environment than this process; use the same installation on the same "
            "kind of machine, or mix them with --allow-mixed"
        )


def manifest_entries(path: Path, command: str | None, study: Study, plan: Plan) -> dict[str, Any]:
    """Where and from what the store is made; what stored the first run stays, what went on is added."""
    if plan.stored and not plan.pending:
        return {}
    now = {**provenance(command), **origin(study, plan.runs)}
    if not plan.stored:
        return {"environment": fingerprint(), "provenance": now}
    known = Results(path).manifest
    resumed = {key: now[key] for key in ("created", "command", "host", "git", "study", "solvers", "problems")}
    return {"resumed": [*known.get("resumed", []), resumed]}

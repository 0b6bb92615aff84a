"""Baselines: what every row cost, as a small sorted text file that is reviewed in a diff.

A file of TOML with a table for each solver and a line for each problem. It holds the exact counts with the environment
that they repeat in, and medians over perturbed starts, which hold elsewhere too.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from optcore.errors import InvalidInputError
from optcore.files import replacing
from optcore_bench import toml
from optcore_bench.comparison.rows import Key, Row, Side
from optcore_bench.environment import environment_hash

__all__ = ["read_baseline", "write_baseline"]

_FORMAT = 1
_HEAD = """\
# What solvers cost: `cost` evaluations until the convergence test holds at `tau` (inf: never), `evaluations` in all,
# `median` over `starts.robust` perturbed starts, `solved` the share of these. Counts repeat in the environment below
# and are compared exactly there; medians hold elsewhere. Made by optcore; change it by renewing it:
# `pytest --optcore-accept`.
"""
_HASH_DIGITS = 12
_TABLES = ("format", "tau", "starts", "rules", "environment", "lowest")


def write_baseline(
    path: str | os.PathLike[str], exact: Side, medians: Side, starts: tuple[int, int], lowest: Mapping[str, float]
) -> None:
    """Write a baseline whole, or not at all.

    Args:
        path: the file; its folder is made where there is none.
        exact: the rows as they repeat in one environment.
        medians: what `medians` made of the rows over perturbed starts.
        starts: how many starts are in `exact` and in `medians`.
        lowest: f_L of problems without a known optimum, by `suite/problem`.
    """
    goal = Path(path)
    goal.parent.mkdir(parents=True, exist_ok=True)
    environment = next(iter(exact.environments.values()), {})
    table: dict[str, Any] = {
        "format": _FORMAT,
        "tau": exact.tau,
        "starts": {"exact": starts[0], "robust": starts[1]},
        "rules": dict(exact.rules),
        "environment": dict(environment),
    }
    if lowest:
        table["lowest"] = dict(sorted(lowest.items()))
    for solver in sorted({row.solver for row in exact.rows.values()}):
        rows = sorted((row for row in exact.rows.values() if row.solver == solver), key=lambda r: (r.problem, r.start))
        table[solver] = {row.name: _entry(row, medians.rows.get((row.problem, row.solver))) for row in rows}
    with replacing(goal) as beside:
        beside.write_text(_HEAD + toml.dumps(table), encoding="utf-8")


def _entry(row: Row, median: Row | None) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "cost": _number(row.cost),
        "evaluations": row.evaluations,
        "status": row.status,
        "history": row.history[:_HASH_DIGITS],
        "version": row.version,
        "f_start": None if math.isnan(row.f_start) else row.f_start,
    }
    if not row.repeats:
        entry["repeats"] = False
    if row.start == 1 and median is not None:
        entry |= {"median": _number(median.cost), "solved": round(median.share, 4)}
    return entry


def _number(value: float) -> float | int:
    return int(value) if math.isfinite(value) and value == int(value) else value


def read_baseline(path: str | os.PathLike[str]) -> Side:
    """Read a baseline.

    Returns:
        The exact rows; `known_medians` are the medians, `lowest` is what problems without an optimum are measured by.

    Raises:
        InvalidInputError: there is no such file, it is no baseline, or one of a newer format.
    """
    goal = Path(path)
    try:
        table = tomllib.loads(goal.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidInputError(f"there is no baseline '{goal}'; make it by `pytest --optcore-accept`") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"the baseline '{goal}' is not valid TOML: {error}; renew it") from error
    if table.get("format") != _FORMAT:
        raise InvalidInputError(
            f"'{goal}' is no baseline of format {_FORMAT}, since its key 'format' is {table.get('format')!r}; renew it"
        )
    environment = table.get("environment", {})
    starts = int(table.get("starts", {}).get("robust", 0))
    rows: dict[Key, Row] = {}
    known: dict[Key, Row] = {}
    for solver, lines in table.items():
        if solver in _TABLES or not isinstance(lines, Mapping):
            continue
        for label, entry in lines.items():
            row = _row(label, solver, entry, environment_hash(environment), goal)
            rows[row.key] = row
            if "median" in entry:
                share = float(entry.get("solved", math.isfinite(entry["median"])))
                known[row.problem, row.solver] = replace(
                    row, cost=float(entry["median"]), share=share, starts=starts, run_id="", history="", repeats=True
                )
    return Side(
        name=str(goal),
        rows=rows,
        environments={environment_hash(environment): environment},
        rules=table.get("rules", {}),
        tau=float(table.get("tau", 1e-5)),
        known_medians=known,
        starts=starts,
        lowest={str(name): float(value) for name, value in table.get("lowest", {}).items()},
    )


def _row(label: str, solver: str, entry: Mapping[str, Any], environment: str, path: Path) -> Row:
    problem, start = read_label(label)
    try:
        cost = float(entry["cost"])
        return Row(
            problem=problem,
            start=start,
            solver=solver,
            cost=cost,
            evaluations=int(entry["evaluations"]),
            status=str(entry["status"]),
            history=str(entry["history"]),
            environment=environment,
            version=str(entry["version"]),
            f_start=float(entry.get("f_start", math.nan)),
            share=float(math.isfinite(cost)),
            repeats=bool(entry.get("repeats", True)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(
            f"the line {label!r} of {solver!r} in the baseline '{path}' can't be read ({error!r}); renew it"
        ) from error


def read_label(label: str) -> tuple[str, int]:
    """Problem (with its noise) and start of a row of a cost table.

    >>> read_label("more_wild/bard#2 ~ wild 0.001")
    ('more_wild/bard ~ wild 0.001', 2)
    """
    plain, tilde, noise = label.partition(" ~ ")
    problem, _, start = plain.partition("#")
    return f"{problem}{tilde}{noise}", int(start or 1)

"""`optcore show`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import typer

from optcore.errors import InvalidInputError, unknown_name
from optcore_bench.cli.tables import json_text, print_table
from optcore_bench.store import Results
from optcore_bench.store.manifest import published_runs, read_manifest
from optcore_bench.words import count

__all__ = ["show", "show_provenance"]

_TAUS = (1e-1, 1e-5, 1e-10)
_RUN_COLUMNS = (
    "problem",
    "n",
    "start",
    "algorithm",
    "derivative",
    "status",
    "evaluations",
    "f_start",
    "f_best",
    "f_opt",
    "message",
)


def show(store: Path, problem: str | None, algorithm: str | None, *, as_json: bool) -> None:
    """Print a summary by solver, or single runs."""
    results = Results(store)
    single = problem is not None or algorithm is not None
    rows = _single_runs(results, problem, algorithm) if single else _summary(results)
    if as_json:
        typer.echo(json_text(rows))
        return
    if not single:
        manifest = results.manifest
        state = "finished" if results.finished else "not finished; the same `optcore run` resumes it"
        typer.echo(
            f"{store}: {count(len(results.runs), 'run')}, {state}, digest {manifest.get('digest') or 'none yet'}"
        )
    if rows or single or results.runs.empty:
        print_table(rows)
    else:
        reasons = ", ".join(dict.fromkeys(results.runs["message"]))
        typer.echo(f"no run applies: {reasons}")


def show_provenance(store: Path, problem: str | None, algorithm: str | None, *, as_json: bool) -> None:
    """Print from what, where and how a store, a bundle or a published folder was made: a line for each fact.

    Raises:
        InvalidInputError: a problem or an algorithm was named, or the manifest says nothing.
    """
    if problem is not None or algorithm is not None:
        raise InvalidInputError("--provenance is of the whole store; leave out --problem and --algorithm")
    manifest = read_manifest(store) if published_runs(store) else Results(store).manifest
    names = ("created", "finished", "digest", "environment", "provenance", "resumed", "merged")
    facts = {name: manifest[name] for name in names if manifest.get(name)}
    if "provenance" not in facts:
        raise InvalidInputError(f"the manifest of '{store}' doesn't say from what the store was made")
    if as_json:
        typer.echo(json_text(facts))
        return
    lines = list(_facts("", facts))
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        typer.echo(f"{name:{width}}  {value}")


def _facts(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Lines of nested values: `provenance.git.commit` and what it is."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _facts(f"{name}.{key}".lstrip("."), inner)
    elif isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
        for number, entry in enumerate(value, 1):
            yield from _facts(f"{name}[{number}]", entry)
    elif isinstance(value, bool):
        yield name, "yes" if value else "no"
    elif value in (None, {}, []):
        yield name, "none"
    else:
        yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _summary(results: Results) -> list[dict[str, Any]]:
    """One row a solver: what it solved, at what cost, how its runs ended."""
    if results.runs.empty or (results.runs["status"] == "not_applicable").all():
        return []
    from optcore_bench.costs import summary_table, tau_label
    from optcore_bench.digits import median_digits

    table, digits = summary_table(results, taus=_TAUS), median_digits(results)
    rows = []
    for solver, row in table.iterrows():
        shown: dict[str, Any] = {"solver": solver, "problems": int(row["problems"])}
        for tau in _TAUS:
            shown[f"solved {tau:g}"] = int(row[f"solved_{tau_label(tau)}"])
        shown["median evaluations 1e-05"] = _number(row[f"median_cost_{tau_label(1e-5)}"])
        shown["derivative error"] = _number(row["derivative_error"])
        if not digits.empty:
            shown["median digits"] = _number(digits.get(solver, np.nan))
        rows.append(shown)
    return rows


def _single_runs(results: Results, problem: str | None, algorithm: str | None) -> list[dict[str, Any]]:
    from optcore_bench.digits import digits_table

    runs = results.runs
    if problem is not None:
        full = runs["suite"] + "/" + runs["problem"]
        if not ((runs["problem"] == problem) | (full == problem)).any():
            raise unknown_name("problem of this store", problem, sorted({*runs["problem"], *full}))
        runs = runs[(runs["problem"] == problem) | (full == problem)]
    if algorithm is not None:
        if algorithm not in set(runs["algorithm"]):
            raise unknown_name("algorithm of this store", algorithm, set(runs["algorithm"]))
        runs = runs[runs["algorithm"] == algorithm]
    runs = runs.assign(evaluations=runs["n_fun_evals"] + runs["n_fun_and_jac_evals"])
    digits = digits_table(results, runs).set_index("run_id")["digits"]
    columns = list(_RUN_COLUMNS)
    if runs["run_id"].isin(digits.index).any():
        runs = runs.assign(digits=runs["run_id"].map(digits))
        columns.insert(columns.index("message"), "digits")
    return [{name: _number(row[name]) for name in columns} for _, row in runs.iterrows()]


def _number(value: Any) -> Any:
    """Plain Python values; None for what is missing."""
    plain = value.item() if hasattr(value, "item") else value
    return None if plain != plain or str(plain) == "<NA>" else plain

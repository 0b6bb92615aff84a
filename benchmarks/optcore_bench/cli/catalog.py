"""`optcore list`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from optcore_bench.cli.tables import json_text, print_table

if TYPE_CHECKING:
    from optcore.solvers import Algorithm

__all__ = ["show_algorithms", "show_catalog"]

Rows = list[dict[str, Any]]

_HINTS = {
    "algorithms": (
        'one of your own in a study: {name = "mine", path = "my_solver.py:solve"}, in another Python with '
        'python = "venv/bin/python", or a program with command = ["./solver"]; see optcore_bench.external'
    )
}


def show_catalog(what: str, suite: str | None = None, *, as_json: bool) -> None:
    """Print suites, problems (of one suite or study where it is named), algorithms, derivatives or studies.

    Raises:
        UnknownNameError: there is no such suite; suggests the nearest.
    """
    rows = _CATALOGS[what]() if suite is None else _problems([suite])
    if as_json:
        typer.echo(json_text(rows))
    else:
        print_table(rows)
        if what in _HINTS and suite is None:
            typer.echo(_HINTS[what], err=True)


def show_algorithms(name: str | None, *, as_json: bool) -> None:
    """Print all that there is to know of all algorithms, those of optimagic too where it is installed, or of one.

    Raises:
        UnknownNameError: there is no such algorithm; suggests the nearest.
    """
    from optcore.solvers import get_algorithm
    from optcore.solvers.documentation import document

    algorithms = [get_algorithm(name)] if name else _all_algorithms()
    if as_json:
        documented = [dataclasses.asdict(document(a)) | {"installed": a.available()} for a in algorithms]
        typer.echo(json_text(documented))
        return
    for i, algorithm in enumerate(algorithms):
        if i:
            typer.echo()
        _print_details(algorithm)


def _print_details(algorithm: type[Algorithm]) -> None:
    from optcore.solvers.documentation import document, meaning

    d = document(algorithm)
    facts = {
        "kind": d.kind,
        "derivative": "used" if d.needs_jac else "not used",
        "bounds": "needed" if d.needs_bounds else "taken" if d.supports_bounds else "not taken",
        "search": ("global" if d.is_global else "local") + ("" if d.is_deterministic else ", random"),
        "library": d.library + (f", extra {d.extra}" if d.extra else ""),
        "reference": d.reference,
        "missing": algorithm.missing(),
    }
    typer.echo(f"{d.name}: {d.description}")
    for fact, value in facts.items():
        if value:
            typer.echo(f"  {fact:<10} {value}")
    options = [
        {
            "option": o.name,
            "default": o.default,
            "strictest": repr(d.tight[o.name]) if o.name in d.tight else "",
            "meaning": meaning(o, d.library).replace("`", ""),
        }
        for o in d.options
    ]
    print_table(options)


def _suites() -> Rows:
    from optcore_problems import get_suite, list_suites

    return [
        {"suite": name, "problems": len(get_suite(name)), "description": get_suite(name).description}
        for name in list_suites()
    ]


def _problems(suites: Sequence[str] | None = None) -> Rows:
    from optcore_bench.cli.problems import find_problems
    from optcore_problems import list_suites

    return [
        {
            "problem": p.full_name,
            "n": p.n,
            "m": p.m,
            "f_start": p.f_start,
            "f_opt": p.f_opt,
            "bounds": p.bounds is not None,
            "excludes": "; ".join(f"{strategy}: {reason}" for strategy, reason in p.excludes.items()),
        }
        for name in (list_suites() if suites is None else suites)
        for p in find_problems(name)
    ]


def _algorithms() -> Rows:
    return [
        {
            "algorithm": a.name,
            "kind": str(a.kind),
            "derivative": a.needs_jac,
            "bounds": a.supports_bounds,
            "global": a.is_global,
            "library": a.library,
            "installed": a.available(),
        }
        for a in _all_algorithms()
    ]


def _all_algorithms() -> list[type[Algorithm]]:
    from optcore.solvers import algorithm_names, get_algorithm
    from optcore.solvers.optimagic import optimagic_algorithms

    return [*map(get_algorithm, algorithm_names()), *optimagic_algorithms()]


def _derivatives() -> Rows:
    from optcore_bench.strategies import strategy_table

    return [{"derivative": name, "description": summary} for name, summary in strategy_table()]


def _studies() -> Rows:
    from optcore_bench.study import load_study, shipped_studies

    return [{"study": name, "description": load_study(name).description} for name in shipped_studies()]


_CATALOGS: dict[str, Callable[[], Rows]] = {
    "suites": _suites,
    "problems": _problems,
    "algorithms": _algorithms,
    "derivatives": _derivatives,
    "studies": _studies,
}

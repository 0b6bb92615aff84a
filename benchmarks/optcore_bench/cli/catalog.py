"""`optcore list`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import typer

from optcore_bench.cli.tables import print_table

__all__ = ["show_catalog"]

Rows = list[dict[str, Any]]


def show_catalog(what: str, *, as_json: bool) -> None:
    """Print suites, problems, algorithms, derivatives or studies."""
    rows = _CATALOGS[what]()
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        print_table(rows)


def _suites() -> Rows:
    from optcore_problems import get_suite, list_suites

    return [
        {"suite": name, "problems": len(get_suite(name)), "description": get_suite(name).description}
        for name in list_suites()
    ]


def _problems() -> Rows:
    from optcore_problems import get_suite, list_suites

    return [
        {
            "problem": p.full_name,
            "n": p.n,
            "m": p.m,
            "f_start": p.f_start,
            "f_opt": p.f_opt,
            "bounds": p.bounds is not None,
        }
        for name in list_suites()
        for p in get_suite(name)
    ]


def _algorithms() -> Rows:
    from optcore.solvers import algorithm_names, get_algorithm
    from optcore.solvers.optimagic import optimagic_algorithms

    algorithms = [*map(get_algorithm, algorithm_names()), *optimagic_algorithms()]
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
        for a in algorithms
    ]


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

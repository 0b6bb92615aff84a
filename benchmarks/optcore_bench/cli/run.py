"""`optcore run`."""

from __future__ import annotations

import json
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import typer

from optcore_bench.cli.report import open_in_browser
from optcore_bench.progress import make_progress
from optcore_bench.runner import available_cores, run_study
from optcore_bench.study import load_study

__all__ = ["RunOptions", "run"]


class RunOptions(NamedTuple):
    """The arguments of the command."""

    study: str
    store: Path | None
    jobs: int | None
    backend: str
    report: bool
    open_report: bool
    allow_mixed: bool
    quiet: bool
    as_json: bool


def run(options: RunOptions) -> None:
    """Run the study, write its report, and say where it is."""
    study = load_study(options.study)
    results = run_study(
        study,
        options.store,
        n_jobs=available_cores() if options.jobs is None else options.jobs,
        backend=options.backend,
        allow_mixed=options.allow_mixed,
        progress=make_progress(quiet=options.quiet),
        command=shlex.join(["optcore", *sys.argv[1:]]),
    )
    assert results.path is not None  # only results of a data frame have none
    page = None
    if options.report:
        from optcore_bench.report import write_report

        page = write_report(results, results.path / "report.html", taus=study.tau)
    statuses = dict(Counter(results.runs["status"]).most_common())
    facts: dict[str, Any] = {
        "study": study.name,
        "store": str(results.path),
        "runs": len(results.runs),
        "statuses": statuses,
        "digest": results.manifest["digest"],
        "report": None if page is None else str(page),
    }
    if options.as_json:
        typer.echo(json.dumps(facts))
    else:
        _say(facts)
    if page is not None and options.open_report:
        open_in_browser(page)


def _say(facts: dict[str, Any]) -> None:
    statuses = ", ".join(f"{count} {status}" for status, count in facts["statuses"].items())
    typer.echo(f"{facts['runs']} runs: {statuses}")
    typer.echo(f"digest {facts['digest']}")
    typer.echo(f"store {facts['store']}")
    if facts["report"] is not None:
        typer.echo(f"report {facts['report']}")

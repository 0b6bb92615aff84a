"""`optcore run`."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import typer

from optcore_bench.cli.errors import NOT_FINISHED, raising_on_sigterm
from optcore_bench.cli.tables import json_text
from optcore_bench.cores import available_cores, count_workers
from optcore_bench.estimate import describe_plan, estimate
from optcore_bench.progress import duration, make_progress
from optcore_bench.runner import Outcome, carry_out, default_store, plan_study
from optcore_bench.store.files import explained
from optcore_bench.store.writer import store_path
from optcore_bench.study import Study, load_study
from optcore_bench.words import count

__all__ = ["RunOptions", "run"]


class RunOptions(NamedTuple):
    """The arguments of the command."""

    study: str
    store: Path | None
    jobs: int | None
    backend: str
    scheduler: str | None
    retry: str | None
    shard: str | None
    walltime: str | None
    dry_run: bool
    report: bool
    open_report: bool
    allow_mixed: bool
    quiet: bool
    as_json: bool


def run(options: RunOptions) -> None:
    """Run the study, write its report, and say where it is.

    Raises:
        typer.Exit: 4 if the walltime was over before all was run.
        TerminatedError: on SIGTERM.
    """
    study = load_study(options.study)
    if options.dry_run:
        _show_plan(study, options)
        return
    with raising_on_sigterm():
        _run(study, options)


def _run(study: Study, options: RunOptions) -> None:
    outcome = carry_out(
        study,
        options.store,
        n_jobs=_jobs(options),
        backend=options.backend,
        scheduler=options.scheduler,
        retry=options.retry,
        shard=options.shard,
        walltime=options.walltime,
        allow_mixed=options.allow_mixed,
        progress=make_progress(quiet=options.quiet),
        command=shlex.join(["optcore", *sys.argv[1:]]),
    )
    page = _write_report(outcome, study) if options.report else None
    facts = _facts(outcome, study, page)
    if options.as_json:
        typer.echo(json_text(facts))
    else:
        _say(facts)
    if page is not None and options.open_report:
        from optcore_bench.cli.report import open_in_browser  # which imports plotly

        open_in_browser(page)
    if outcome.left:
        raise typer.Exit(NOT_FINISHED)


def _jobs(options: RunOptions) -> int:
    if options.jobs is not None:
        return options.jobs
    return -1 if options.backend == "dask" else available_cores()


def _write_report(outcome: Outcome, study: Study) -> Path | None:
    """Where it is; None where the store isn't complete yet."""
    from optcore_bench.report import write_report

    if not outcome.results.finished:
        return None
    with explained(_path(outcome), "all runs are stored"):
        return write_report(outcome.results, _path(outcome) / "report.html", taus=study.tau)


def _path(outcome: Outcome) -> Path:
    assert outcome.results.path is not None  # only results of a data frame have none
    return outcome.results.path


def _facts(outcome: Outcome, study: Study, page: Path | None) -> dict[str, Any]:
    statuses = dict(Counter(outcome.results.runs["status"]).most_common())
    return {
        "study": study.name,
        "store": str(_path(outcome)),
        "runs": sum(statuses.values()),
        "left": outcome.left,
        "statuses": statuses,
        "digest": outcome.results.manifest["digest"],
        "others": outcome.others,
        "report": None if page is None else str(page),
    }


def _say(facts: dict[str, Any]) -> None:
    statuses = ", ".join(f"{times} {status}" for status, times in facts["statuses"].items())
    typer.echo(f"{count(facts['runs'], 'run')}{statuses and f': {statuses}'}")
    if facts["left"]:
        typer.echo(f"not finished: {count(facts['left'], 'run is', 'runs are')} left; the same command goes on")
    elif facts["others"]:
        typer.echo(f"done; the digest comes when {', '.join(facts['others'])} is done")
    else:
        typer.echo(f"digest {facts['digest']}")
    typer.echo(f"store {facts['store']}")
    if facts["report"] is not None:
        typer.echo(f"report {facts['report']}")


# --- --dry-run -------------------------------------------------------------------------------------------------------


def _show_plan(study: Study, options: RunOptions) -> None:
    plan = plan_study(study, options.store, retry=options.retry, shard=options.shard, allow_mixed=options.allow_mixed)
    workers = count_workers(available_cores() if options.jobs is None else options.jobs)
    root = store_path(default_store(study) if options.store is None else options.store)
    facts = describe_plan(plan, estimate(plan, workers, root, keep_x=study.keep_x), workers)
    if options.as_json:
        typer.echo(json_text({"study": study.name, "store": str(root), **facts}))
    else:
        _say_plan(study.name, facts)


def _say_plan(name: str, facts: dict[str, Any]) -> None:
    typer.echo(f"{name}: {count(facts['runs'], 'run')}, {facts['stored']} of them stored, {facts['to_run']} to run")
    if facts["retried"]:
        typer.echo(f"  {count(facts['retried'], 'is', 'are')} stored and run again")
    if facts["superseded"]:
        typer.echo(f"  {count(facts['superseded'], 'was', 'were')} made by other code or options")
    for row in facts["by_algorithm_and_derivative"]:
        typer.echo(f"  {row['runs']:6d}  {row['algorithm']} [{row['derivative']}]")
    for row in facts["not_applicable"]:
        typer.echo(f"  {row['runs']:6d}  not applicable: {row['reason']}")
    typer.echo(f"time {_time(facts)}")
    typer.echo(f"disk {_disk(facts)}")


def _time(facts: dict[str, Any]) -> str:
    if facts["seconds"] is None:
        return "unknown: no similar runs are stored"
    if not facts["to_run"]:
        return "none"
    known = "" if facts["seconds_known_for"] == facts["to_run"] else f", known for {facts['seconds_known_for']} of them"
    return f"about {duration(facts['seconds'])} with {count(facts['jobs'], 'job')}, as similar runs took{known}"


def _disk(facts: dict[str, Any]) -> str:
    if facts["bytes"] is None:
        return "unknown: the budget does not bound the number of evaluations"
    size = f"{facts['bytes'] / 1e6:,.1f} MB"
    return (
        f"at most {size}, by the budget" if facts["bytes_are"] == "a bound" else f"about {size}, as similar runs took"
    )

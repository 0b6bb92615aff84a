"""`optcore reproduce`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import typer

from optcore.errors import InvalidInputError
from optcore_bench.cli import START
from optcore_bench.cli.errors import NOT_COMPARABLE, raising_on_sigterm
from optcore_bench.cli.tables import json_text, print_table
from optcore_bench.cores import available_cores
from optcore_bench.environment import fingerprint
from optcore_bench.progress import make_progress
from optcore_bench.reproduction import Reproduction, Row, Verdict, environment_of, same_kernels
from optcore_bench.reproduction import reproduce as run_again
from optcore_bench.words import count

__all__ = ["ReproduceOptions", "reproduce"]

_DIFFERENT = 1
_SHOWN = 20


class ReproduceOptions(NamedTuple):
    """The arguments of the command."""

    store: Path
    sample: str | None
    seed: int
    jobs: int | None
    problems: list[str]
    algorithms: list[str]
    out: Path | None
    quiet: bool
    as_json: bool
    same_kernels: bool


def reproduce(options: ReproduceOptions) -> None:
    """Run again, and print what came out.

    Raises:
        typer.Exit: 1 if something is different, 3 if so in another environment.
        InvalidInputError: nothing could be compared.
        TerminatedError: on SIGTERM.
    """
    if options.same_kernels:
        _take_kernels_of(options.store)
    with raising_on_sigterm():
        found = run_again(
            options.store,
            options.sample,
            options.seed,
            available_cores() if options.jobs is None else options.jobs,
            problem=options.problems or None,
            algorithm=options.algorithms or None,
            out=options.out,
            progress=make_progress(quiet=options.quiet),
        )
    status = _status(found)
    if options.as_json:
        typer.echo(json_text(_facts(found, options, status)))
    else:
        _print(found)
    if not found.compared:
        raise InvalidInputError(_why_nothing(found))
    if status:
        raise typer.Exit(status)


def _take_kernels_of(store: Path) -> None:
    """Begin the command anew as a process that computes by the code of where a store was made, if that can be chosen.

    Such things are decided when libraries are loaded, which has happened in this process.
    """
    there, here = environment_of(store), fingerprint()
    variables = same_kernels(there, here)
    if any(os.environ.get(name) != value for name, value in variables.items()):
        sys.stdout.flush()
        command = [sys.executable, "-P", "-c", START, *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **variables})
    for name in ("blas", "simd"):
        if name in there and there[name] != here[name]:
            typer.echo(
                f"note: this machine can't compute as there: {name} {there[name]} there, {here[name]} here", err=True
            )


def _status(found: Reproduction) -> int:
    if not found.compared:
        return 2
    if found.identical:
        return 0
    return NOT_COMPARABLE if found.environment_differs else _DIFFERENT


def _why_nothing(found: Reproduction) -> str:
    if not found.rows:
        return f"no run of '{found.path}' is left by the filters"
    row = found.rows[0]
    return f"none of {count(len(found.rows), 'run')} could be compared; {row.label}: {row.verdict}: {row.detail}"


def _print(found: Reproduction) -> None:
    notable = [row for row in found.rows if row.verdict is not Verdict.IDENTICAL]
    if notable:
        print_table([_line(row) for row in notable[:_SHOWN]])
        if len(notable) > _SHOWN:
            typer.echo(f"... and {len(notable) - _SHOWN} more; --json has them all")
    typer.echo(found.summary())


def _line(row: Row) -> dict[str, Any]:
    before, now = (row.to_dict()[name] for name in ("evaluations", "evaluations_again"))
    counts = str(before) if now in (None, before) else f"{before} -> {now}"
    return {"run": row.label, "verdict": str(row.verdict), "evaluations": counts, "detail": row.detail}


def _facts(found: Reproduction, options: ReproduceOptions, status: int) -> dict[str, Any]:
    return {
        "store": str(found.path),
        "study": found.study,
        "runs": len(found.rows),
        "of": found.total,
        "sample": options.sample,
        "seed": options.seed,
        "counts": found.counts,
        "compared": found.compared,
        "identical": found.identical,
        "environment_differs": {
            name: {"there": there, "here": here} for name, (there, here) in found.environment_differs.items()
        },
        "same_kernels": found.same_kernels,
        "digest": found.digest,
        "digest_again": found.digest_again,
        "out": None if options.out is None else str(options.out),
        "exit_status": status,
        "rows": [row.to_dict() for row in found.rows],
    }

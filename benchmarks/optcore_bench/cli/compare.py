"""`optcore compare`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import typer

from optcore.errors import InvalidInputError
from optcore.files import replacing
from optcore_bench.comparison import Comparison, compare

__all__ = ["CompareOptions", "run_compare"]


@dataclass(frozen=True)
class CompareOptions:
    """What the command line says."""

    old: str | None
    new: str | None
    robust: bool
    markdown: Path | None
    figures: Path | None
    as_json: bool


def run_compare(options: CompareOptions) -> None:
    """Compare, say what was found, and leave with the verdict's exit status.

    Raises:
        typer.Exit: 1 worse, 2 invalid, 3 not comparable.
    """
    if options.old is None or options.new is None:
        raise InvalidInputError("two results are compared: give OLD and NEW, stores or baselines")
    found = compare(options.old, options.new, robust=options.robust)
    if options.markdown is not None:
        with replacing(options.markdown) as beside:
            beside.write_text(found.to_markdown(), encoding="utf-8")
    if options.figures is not None:
        _draw(found, options.figures)
    typer.echo(json.dumps(found.to_dict()) if options.as_json else found.to_text())
    if found.exit_status:
        raise typer.Exit(found.exit_status)


def _draw(found: Comparison, folder: Path) -> None:
    """The pair of convergence curves of every changed row as a page."""
    from optcore_bench.figures import write_figure

    folder.mkdir(parents=True, exist_ok=True)
    for row in found.changed():
        write_figure(found.figure(row.label), folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', row.label).strip('-')}.html")

"""`optcore compare`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import typer

from optcore.errors import InvalidInputError
from optcore.files import check_folder, replacing
from optcore_bench.cli.tables import json_text
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
    revisions: str | None = None
    study: Path | None = None
    repository: Path = Path()
    jobs: int = 1


def run_compare(options: CompareOptions) -> None:
    """Compare, say what was found, and leave with the verdict's exit status.

    Raises:
        typer.Exit: 1 worse, 2 invalid, 3 not comparable.
    """
    if options.robust and options.figures is not None:
        raise InvalidInputError("--figures draws single runs, and --robust compares medians of several; leave one out")
    markdown = None if options.markdown is None else options.markdown.expanduser()
    if markdown is not None:
        check_folder(markdown)
    found = _found(options)
    if options.figures is not None:
        from optcore_bench.comparison.curves import check_histories

        check_histories(found)
    # First: where a file can't be written, the comparison has been said.
    text = json_text(found.to_dict()) if options.as_json else found.to_text(rest=" (--json shows all)")
    typer.echo(text)
    if markdown is not None:
        with replacing(markdown) as beside:
            beside.write_text(found.to_markdown(), encoding="utf-8")
    if options.figures is not None:
        _draw(found, options.figures.expanduser())
    if found.exit_status:
        raise typer.Exit(found.exit_status)


def _found(options: CompareOptions) -> Comparison:
    if options.revisions is None:
        if options.old is None or options.new is None:
            raise InvalidInputError("two results are compared: give OLD and NEW, such as stores, or --rev OLD..NEW")
        return compare(options.old, options.new, robust=options.robust)
    from optcore_bench.comparison.revisions import compare_revisions

    if options.old is not None:
        raise InvalidInputError(f"--rev takes no results, but {options.old!r} was given too")
    if options.study is None:
        raise InvalidInputError("--rev needs the study to run: --study NAME.toml")
    return compare_revisions(
        options.revisions,
        options.study,
        options.repository,
        robust=options.robust,
        n_jobs=options.jobs,
        say=lambda text: typer.echo(text, err=True),
    )


def _draw(found: Comparison, folder: Path) -> None:
    """The pair of convergence curves of every changed row as a page."""
    from optcore_bench.figures import write_figure

    folder.mkdir(parents=True, exist_ok=True)
    for row in found.changed():
        write_figure(found.figure(row.label), folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', row.label).strip('-')}.html")

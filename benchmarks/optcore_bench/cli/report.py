"""`optcore report`."""

from __future__ import annotations

import importlib.util
import webbrowser
from pathlib import Path
from typing import NamedTuple

import typer

from optcore.errors import InvalidInputError
from optcore_bench.cli.tables import json_text
from optcore_bench.evaluations import Evaluations
from optcore_bench.report import write_report
from optcore_bench.store import Results
from optcore_bench.study import taus_of
from optcore_bench.words import count

__all__ = ["FigureOptions", "open_in_browser", "report"]


class FigureOptions(NamedTuple):
    """Options of figures for print: where, how wide, and of which solvers."""

    out: Path | None = None
    width: str = "single"
    solvers: str | None = None
    publish: Path | None = None
    beside: Path | None = None


def report(
    store: Path,
    html: Path | None,
    figures: str | None,
    options: FigureOptions,
    *,
    cdn: bool,
    open_report: bool,
    as_json: bool,
) -> None:
    """Write the report, and figures for print if formats are named."""
    formats = _formats(figures, options)
    if options.publish is not None:
        _publish(store, options.publish, options.beside, formats if figures is not None else None, as_json=as_json)
        return
    results = Results(store)
    assert results.path is not None  # only results of a data frame have none
    # Beside a bundle, which is a file, and in the folder of a store.
    folder = results.path if results.path.is_dir() else results.path.with_suffix("")
    default = folder / "report.html" if folder.is_dir() else folder.with_suffix(".html")
    target = default if html is None else html.expanduser()
    evaluations = Evaluations.read(results)
    page = write_report(evaluations, target, taus_of(results.study), cdn=cdn)
    written: tuple[Path, ...] = ()
    if formats:
        from optcore_bench.publish import publish_figures

        out = folder / "figures" if options.out is None else options.out
        written = publish_figures(evaluations, out, formats=formats, width=options.width, solvers=options.solvers).files
    if as_json:
        typer.echo(json_text({"report": str(page), "figures": [str(path) for path in written]}))
    else:
        for path in written:
            typer.echo(f"figure {path}")
        typer.echo(f"report {page}")
    if open_report:
        open_in_browser(page)


def open_in_browser(page: Path) -> None:
    """Show a file in the user's browser."""
    webbrowser.open(page.resolve().as_uri())


def _publish(store: Path, folder: Path, beside: Path | None, formats: list[str] | None, *, as_json: bool) -> None:
    """Write a study as it is published; figures are drawn where there is a browser, or if formats are named."""
    from optcore_bench.cli.doctor import find_browser
    from optcore_bench.publish import publish_study

    drawn = (
        formats if formats is not None else ["svg"] if find_browser() and importlib.util.find_spec("kaleido") else []
    )
    published = publish_study(store, folder, beside=beside, formats=drawn)
    if as_json:
        typer.echo(json_text({"published": str(published.folder), "files": [str(path) for path in published.files]}))
    else:
        typer.echo(f"published {published.folder}, {count(len(published.files), 'file')}")


def _formats(figures: str | None, options: FigureOptions) -> list[str]:
    from optcore_bench.publish import FORMATS, check_formats
    from optcore_bench.publish.layout import width_in_cm

    if options.beside is not None and options.publish is None:
        raise InvalidInputError("--beside goes with --publish, as in: --publish DIR --beside STORE2")
    if figures is None or options.publish is not None:
        for name, given in (("--out", options.out), ("--solvers", options.solvers)):
            if given is not None:
                raise InvalidInputError(
                    f"{name} goes with --figures, as in: --figures pdf {name} ..., not with --publish"
                )
        if figures is None:
            return []
    chosen = check_formats(figures)
    if not chosen:
        raise InvalidInputError(f"--figures names no format; there are: {', '.join(FORMATS)}")
    width_in_cm(options.width)  # a wrong one is told before the page is written
    return chosen

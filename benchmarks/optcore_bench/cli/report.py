"""`optcore report`."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path
from typing import NamedTuple

import typer

from optcore.errors import InvalidInputError
from optcore_bench.report import write_report
from optcore_bench.store import Results

__all__ = ["FigureOptions", "open_in_browser", "report"]


class FigureOptions(NamedTuple):
    """Options of figures for print: where, how wide, and of which solvers."""

    out: Path | None = None
    width: str = "single"
    solvers: str | None = None


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
    results = Results(store)
    taus = results.study.get("tau")
    assert results.path is not None  # only results of a data frame have none
    # Beside a bundle, which is a file, and in the folder of a store.
    folder = results.path if results.path.is_dir() else results.path.with_suffix("")
    default = folder / "report.html" if folder.is_dir() else folder.with_suffix(".html")
    target = default if html is None else html.expanduser()
    page = write_report(results, target, cdn=cdn, **({} if taus is None else {"taus": taus}))
    written: tuple[Path, ...] = ()
    if formats:
        from optcore_bench.publish import publish_figures

        out = folder / "figures" if options.out is None else options.out
        written = publish_figures(results, out, formats=formats, width=options.width, solvers=options.solvers).files
    if as_json:
        typer.echo(json.dumps({"report": str(page), "figures": [str(path) for path in written]}))
    else:
        for path in written:
            typer.echo(f"figure {path}")
        typer.echo(f"report {page}")
    if open_report:
        open_in_browser(page)


def open_in_browser(page: Path) -> None:
    """Show a file in the user's browser."""
    webbrowser.open(page.resolve().as_uri())


def _formats(figures: str | None, options: FigureOptions) -> list[str]:
    from optcore_bench.publish import FORMATS, check_formats

    if figures is None:
        for name, given in (("--out", options.out), ("--solvers", options.solvers)):
            if given is not None:
                raise InvalidInputError(f"{name} goes with --figures, as in: --figures pdf {name} ...")
        return []
    chosen = check_formats(figures)
    if not chosen:
        raise InvalidInputError(f"--figures names no format; there are: {', '.join(FORMATS)}")
    return chosen

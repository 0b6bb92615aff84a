"""`optcore report`."""

from __future__ import annotations

import importlib.util
import json
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from optcore.errors import InvalidInputError, MissingLibraryError, unknown_name
from optcore_bench.report import write_report
from optcore_bench.store import Results

__all__ = ["open_in_browser", "report"]

FORMATS = ("pdf", "svg", "png")
_TAU = 1e-5


def report(store: Path, html: Path | None, figures: str | None, *, cdn: bool, open_report: bool, as_json: bool) -> None:
    """Write the report, and single figures if formats are named."""
    formats = _formats(figures)
    results = Results(store)
    taus = results.study.get("tau")
    assert results.path is not None  # only results of a data frame have none
    # Beside a bundle, which is a file, and in the folder of a store.
    folder = results.path if results.path.is_dir() else results.path.with_suffix("")
    default = folder / "report.html" if folder.is_dir() else folder.with_suffix(".html")
    target = default if html is None else html.expanduser()
    page = write_report(results, target, cdn=cdn, **({} if taus is None else {"taus": taus}))
    written = _write_figures(results, folder / "figures", formats)
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


def _formats(figures: str | None) -> list[str]:
    chosen = [name.strip() for name in (figures or "").split(",") if name.strip()]
    for name in chosen:
        if name not in FORMATS:
            raise unknown_name("format of figures", name, FORMATS)
    if figures is not None and not chosen:
        raise InvalidInputError(f"--figures names no format; there are: {', '.join(FORMATS)}")
    if chosen and importlib.util.find_spec("kaleido") is None:
        raise MissingLibraryError(
            "figures in files need kaleido, which is not installed: pip install 'optcore[figures]'"
        )
    return chosen


def _write_figures(results: Any, folder: Path, formats: list[str]) -> list[Path]:
    """All figures in all formats, and their numbers as CSV."""
    if not formats:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    numbers, drawn, figures = [], [], []
    for name, plot in _plots(results):
        numbers.append(folder / f"{name}.csv")
        plot.curves.to_csv(numbers[-1], index=False)
        drawn += [folder / f"{name}.{extension}" for extension in formats]
        figures += [plot.figure()] * len(formats)
    _draw(figures, drawn)
    return [*numbers, *drawn]


def _draw(figures: list[Any], paths: list[Path]) -> None:
    """All at once, since each start of the browser takes seconds."""
    import plotly.io

    try:
        plotly.io.write_images(figures, paths)
    except Exception as error:  # kaleido raises whatever the browser makes it raise
        first = str(error).strip().partition("\n")[0]
        raise MissingLibraryError(
            f"the figures could not be drawn ({type(error).__name__}: {first}); they need Chrome or Chromium, and "
            "`optcore doctor` says whether one is found"
        ) from error


def _plots(results: Any) -> Iterator[tuple[str, Any]]:
    """Names of files, and what is in them."""
    from optcore_bench.convergence import convergence
    from optcore_bench.costs import accuracy_table, cost_table
    from optcore_bench.figures import accuracy_profile_plot, data_profile_plot, performance_profile_plot

    costs = cost_table(results, tau=_TAU)
    yield "performance_profile", performance_profile_plot(costs)
    yield "data_profile", data_profile_plot(costs)
    yield "accuracy_profile", accuracy_profile_plot(accuracy_table(results))
    yield "convergence", convergence(results)

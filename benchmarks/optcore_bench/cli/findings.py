"""`optcore findings`."""

from __future__ import annotations

from pathlib import Path

import typer

from optcore.errors import InvalidInputError
from optcore.files import replacing
from optcore_bench.cli.tables import json_text
from optcore_bench.conclusions import findings
from optcore_bench.evaluations import Evaluations, ReferenceValue
from optcore_bench.store import Results
from optcore_bench.words import count

__all__ = ["show_findings"]


def show_findings(
    store: Path, taus: str | None, figures: Path | None, *, compared: bool = False, as_json: bool = False
) -> None:
    """Print the findings of a store, as sentences or with their numbers as JSON, and write its figures if asked."""
    accuracies = None if taus is None else _numbers(taus)
    f_opt: ReferenceValue = "compared" if compared else "best_known"
    evaluations = Evaluations.read(Results(store))
    found = findings(evaluations, accuracies, f_opt=f_opt)
    written = [] if figures is None else _write_figures(evaluations, figures.expanduser(), f_opt)
    if as_json:
        extra = {} if figures is None else {"figures": [str(path) for path in written]}
        typer.echo(json_text(found.to_dict() | extra))
        return
    typer.echo(str(found))
    if figures is not None:
        typer.echo(f"{count(len(written), 'figure')}, each with its numbers, in {figures}")


def _numbers(text: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise InvalidInputError(f"--tau takes numbers with commas between them, as 1e-3,1e-5, not {text!r}") from None
    return sorted(values, reverse=True)


def _write_figures(evaluations: Evaluations, folder: Path, f_opt: ReferenceValue) -> list[Path]:
    """A page and a CSV for each figure of the gallery; the pages share one plotly.min.js."""
    from optcore_bench.gallery import all_figures

    plots = all_figures(evaluations, f_opt=f_opt)
    folder.mkdir(parents=True, exist_ok=True)
    pages = []
    for name, plot in plots.items():
        with replacing(folder / f"{name}.csv") as beside:
            plot.frame.to_csv(beside, index=False)
        page = folder / f"{name}.html"
        # Not through a temporary name: plotly puts its script into the folder of the file that it writes.
        plot.figure().write_html(page, include_plotlyjs="directory")
        pages.append(page)
    return pages

"""`optcore bench-derivatives`."""

from __future__ import annotations

from pathlib import Path

import typer

from optcore_bench.cli.tables import json_text

__all__ = ["bench_derivatives"]


def bench_derivatives(folder: Path, *, timings: bool, as_json: bool) -> None:
    """Measure numerical derivatives and write the page with its tables and figures."""
    from optcore_bench.derivative_bench.page import compute_tables, write_page

    tables = compute_tables(timings=timings, tell=lambda what: typer.echo(f"measuring {what}", err=True))
    written = write_page(folder.expanduser(), tables)
    if as_json:
        typer.echo(json_text({"page": str(written[0]), "files": [str(path) for path in written[1:]]}))
    else:
        for path in written[1:]:
            typer.echo(f"file {path}")
        typer.echo(f"page {written[0]}")

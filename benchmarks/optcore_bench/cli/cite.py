"""`optcore cite`."""

from __future__ import annotations

from pathlib import Path

import typer

from optcore.files import replacing
from optcore_bench.citations import cite as make_citation
from optcore_bench.cli.tables import json_text

__all__ = ["cite"]


def cite(store: Path, bib: Path | None, *, as_json: bool) -> None:
    """Print the paragraph on methods, and the references; these into a file if one is named."""
    citation = make_citation(store)
    if bib is not None:
        with replacing(bib.expanduser()) as beside:
            beside.write_text(citation.bibtex, encoding="utf-8")
    if as_json:
        facts = {
            "methods": citation.methods,
            "latex": citation.latex,
            "keys": ["optcore", *citation.keys],
            "unknown": list(citation.unknown),
            "bibtex": citation.bibtex,
        }
        typer.echo(json_text(facts))
        return
    typer.echo(citation.latex)
    typer.echo("")
    if bib is None:
        typer.echo(citation.bibtex, nl=False)
    else:
        typer.echo(f"references {bib}")
    if citation.unknown:
        typer.echo(f"no reference is known for {', '.join(citation.unknown)}; cite them as their authors ask", err=True)

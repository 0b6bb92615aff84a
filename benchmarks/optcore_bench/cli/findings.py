"""`optcore findings`."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from optcore_bench.conclusions import findings
from optcore_bench.store import Results

__all__ = ["show_findings"]


def show_findings(store: Path, *, as_json: bool) -> None:
    """Print the findings of a store, as sentences or with their numbers as JSON."""
    found = findings(Results(store))
    typer.echo(json.dumps(found.to_dict(), default=str) if as_json else str(found))

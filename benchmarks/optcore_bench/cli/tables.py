"""Tables for terminals and for files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["json_text", "print_table"]

_WIDE = 200


def json_text(value: Any) -> str:
    """JSON, in which there are no infinite numbers and no NaN: null takes their place. Paths and times are text.

    >>> json_text({"f": float("nan"), "bounds": [[0.5, float("inf")]]})
    '{"f": null, "bounds": [[0.5, null]]}'
    """
    return json.dumps(_finite(value), default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    if hasattr(value, "item"):  # a number of numpy's
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows of equal keys: as wide as a terminal is, as wide as needed elsewhere."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        print("nothing to show")
        return

    class Output(Console):
        def on_broken_pipe(self) -> None:
            """Not the end with exit status 1: who reads our output has seen enough."""
            raise BrokenPipeError

    console = Output()
    if not console.is_terminal:
        console = Output(width=_WIDE)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        numeric = all(isinstance(row[name], (int, float)) or row[name] is None for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(value)) for value in row.values()))
    console.print(table)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)

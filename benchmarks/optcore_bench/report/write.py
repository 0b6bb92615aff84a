"""Puts the page together: template, style, script, plotly.js, data, tables. It loads nothing."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from plotly.offline import get_plotlyjs

from optcore_bench.evaluations import Evaluations
from optcore_bench.report import sections
from optcore_bench.report.data import page_data
from optcore_bench.study import TAUS

__all__ = ["write_report"]


def write_report(results: Any, path: str | os.PathLike[str], taus: Sequence[float] = TAUS) -> Path:
    """Write the report of a store: one HTML file that needs nothing else.

    Args:
        results: a store: `runs`, `history()`, `manifest`, `study`, `path`.
        path: the file to write; in a folder that exists, `report.html` is written.
        taus: accuracies to show and to choose from.

    Returns:
        The file. It is written whole or not at all.
    """
    target = Path(path)
    target = target / "report.html" if target.is_dir() else target
    evaluations = Evaluations.read(results)
    page = _page(results, evaluations, tuple(taus))
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    unfinished.write_text(page, encoding="utf-8")
    unfinished.replace(target)
    return target


def _page(results: Any, evaluations: Evaluations, taus: tuple[float, ...]) -> str:
    name = sections.study_name(results, evaluations)
    if not evaluations.applicable.any():
        body, data = sections.nothing_to_show(results, evaluations), None
    else:
        data = page_data(evaluations, taus)
        body = _fill("body.html", sections.filled(results, evaluations, taus, data))
    return _fill(
        "page.html",
        {
            "title": html.escape(name),
            "style": _read("report.css"),
            "body": body,
            "plotly": get_plotlyjs() if data else "",
            "data": script_json(data),
            "script": _read("report.js") if data else "",
        },
    )


def script_json(data: Any) -> str:
    """JSON that can stand in a script element: no text in it can end the element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _read(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _fill(name: str, parts: dict[str, str]) -> str:
    return Template(_read(name)).substitute(parts)

"""Puts the page together: template, style, script, plotly.js, data, tables. It loads nothing."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from plotly.offline import get_plotlyjs, get_plotlyjs_version

from optcore.files import replacing
from optcore_bench.costs import main_tau, read_taus
from optcore_bench.evaluations import Evaluations
from optcore_bench.report import sections
from optcore_bench.report.curves import curve_data
from optcore_bench.report.data import page_data
from optcore_bench.report.figures import figure_data
from optcore_bench.report.markup import Raw, element
from optcore_bench.report.says import pair_to_compare
from optcore_bench.study import TAUS

__all__ = ["write_report"]

#: In the order in which the page runs them.
SCRIPTS = ("costs.js", "tables.js", "plots.js", "legend.js", "report.js")
CDN = "https://cdn.plot.ly"


def write_report(
    results: Any, path: str | os.PathLike[str], taus: Sequence[float] = TAUS, *, cdn: bool = False
) -> Path:
    """Write the report of a store: one HTML file that needs nothing else.

    The same store gives the same bytes, wherever it lies.

    Args:
        results: a store: `runs`, `history()`, `manifest`, `study`, `path`; or `Evaluations` read from one.
        path: the file to write; in a folder that exists, `report.html` is written.
        taus: accuracies to show and to choose from.
        cdn: leave plotly.js, which is 4.8 MB, to plotly's server: a small file, whose figures need a network.

    Returns:
        The file. It is written whole or not at all.

    Raises:
        InvalidInputError: results are none, or there is no accuracy, or one that can't be.
    """
    target = Path(path)
    target = target / "report.html" if target.is_dir() else target
    evaluations = Evaluations.read(results)
    page = _page(evaluations.source, evaluations, read_taus(taus), cdn=cdn)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as unfinished:
        unfinished.write_text(page, encoding="utf-8")
    return target


def _page(results: Any, evaluations: Evaluations, taus: tuple[float, ...], *, cdn: bool) -> str:
    name = sections.study_name(results, evaluations)
    parts = {"title": html.escape(name), "style": _read("report.css"), "origin": f" {CDN}" if cdn else ""}
    if not evaluations.applicable.any():
        body = sections.nothing_to_show(results, evaluations)
        parts |= {"body": body, "data": "null", "curves": "", "figures": "", "plotly": "", "scripts": ""}
        return _fill("page.html", parts)
    statistics = evaluations.statistics
    pair = pair_to_compare(statistics.hits(main_tau(taus)))
    data = page_data(statistics, taus, pair)
    curves = curve_data(evaluations, data["problems"], [solver["label"] for solver in data["solvers"]])
    figures = figure_data(statistics, main_tau(taus))
    headings = "".join(
        element(
            "details",
            element("summary", figure["title"]),
            element("div", class_="plot tall", role="img", aria_label=figure["title"]),
            class_="figure",
            data_name=figure["name"],
        )
        for figure in figures
    )
    filled = sections.filled(results, statistics, taus, pair, measured=data["prices"] is not None)
    return _fill(
        "page.html",
        parts
        | {
            "body": _fill("body.html", filled | {"figures": headings}),
            "data": script_json(data),
            "curves": packed(curves),
            "figures": packed(figures),
            "plotly": _plotly(cdn=cdn),
            "scripts": "\n".join(element("script", Raw(_read(name))) for name in SCRIPTS),
        },
    )


def _plotly(*, cdn: bool) -> Raw:
    """plotly.js itself, or where it is and what its sum must be."""
    code = get_plotlyjs()
    if not cdn:
        return element("script", Raw(code))
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    source = f"{CDN}/plotly-{get_plotlyjs_version()}.min.js"
    return element("script", src=source, integrity=f"sha256-{digest}", crossorigin="anonymous")


def script_json(data: Any) -> str:
    """JSON that can stand in a script element: no text in it can end the element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def packed(data: Any) -> str:
    """JSON in gzip in base64, for what is only read when a section is opened. It holds no time and no name."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _read(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _fill(name: str, parts: dict[str, str]) -> str:
    return Template(_read(name)).substitute(parts)

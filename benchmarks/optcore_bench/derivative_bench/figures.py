"""The figures of the page: compute -> tables -> `.figure()`s, in the house style."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from optcore.plots.styles import COLOURS, DASHES
from optcore_bench.figures import base_layout

__all__ = ["accuracy_figure", "break_even_figure", "efficiency_figure", "noise_figure"]

#: Smaller errors are rounding, and drawn as this.
SMALLEST = 1e-17
_WIDTH, _HEIGHT = 860, 500


def _canvas(title: str, x_title: str, y_title: str) -> go.Figure:
    figure = go.Figure(layout=base_layout())
    figure.update_layout(title_text=title, width=_WIDTH, height=_HEIGHT, margin={"l": 80, "r": 20, "t": 50, "b": 60})
    figure.update_xaxes(title_text=x_title)
    figure.update_yaxes(title_text=y_title)
    return figure


def accuracy_figure(table: pd.DataFrame) -> go.Figure:
    """Largest relative error of an entry by method: a point a function, a line at the worst.

    Args:
        table: of `accuracy_table`.
    """
    rows = table[table["phase"] == "next"]
    per_param = (rows["evaluations"] / rows["n"]).groupby(rows["method"]).mean()
    order = per_param.sort_values(kind="stable").index
    figure = _canvas(
        "Accuracy of derivatives against their cost",
        "method (calls for each param, on average)",
        "largest relative error of an entry",
    )
    for i, method in enumerate(order):
        errors = rows[rows["method"] == method]
        y = errors["entry_error"].clip(lower=SMALLEST, upper=1e2).to_numpy()
        spread = np.linspace(-0.22, 0.22, y.size) if y.size > 1 else np.zeros(1)
        figure.add_trace(
            go.Scatter(
                x=i + spread,
                y=y,
                mode="markers",
                marker={"color": COLOURS[i % len(COLOURS)], "size": 8, "opacity": 0.85},
                name=method,
                text=errors["function"],
                hovertemplate="%{text}: %{y:.2e}<extra>" + method + "</extra>",
                showlegend=False,
            )
        )
        figure.add_shape(
            type="line", x0=i - 0.32, x1=i + 0.32, y0=y.max(), y1=y.max(), line={"color": "#30363d", "width": 2}
        )
    labels = [f"{_broken(method)}<br>{per_param[method]:.1f}" for method in order]
    figure.update_xaxes(tickvals=list(range(len(order))), ticktext=labels, range=[-0.6, len(order) - 0.4])
    figure.update_yaxes(type="log", exponentformat="power", dtick=2)
    return figure


def noise_figure(table: pd.DataFrame) -> go.Figure:
    """Errors against the level of noise, a line a method.

    Args:
        table: of `noise_table`.
    """
    figure = _canvas(
        "Derivatives of a noisy function", "standard deviation of the noise", "relative error of the gradient"
    )
    noisy = table[table["level"] > 0]
    for i, (method, rows) in enumerate(noisy.groupby("method", sort=False)):
        calls = rows["evaluations"].mean()
        figure.add_trace(
            go.Scatter(
                x=rows["level"],
                y=rows["norm_error"].clip(lower=SMALLEST),
                mode="lines+markers",
                name=f"{method} ({calls:.0f} calls)",
                line={"color": COLOURS[i % len(COLOURS)], "dash": DASHES[i % len(DASHES)], "width": 2},
            )
        )
    figure.update_xaxes(type="log", exponentformat="power", dtick=2)
    figure.update_yaxes(type="log", exponentformat="power", dtick=2)
    return figure


def efficiency_figure(table: pd.DataFrame) -> go.Figure:
    """Efficiency of workers against the time of a call.

    Args:
        table: of `efficiency_table`.
    """
    figure = _canvas("How well workers are used", "seconds for a call", "least possible time / time of a gradient")
    evaluators = list(dict.fromkeys(table["evaluator"]))
    workers = list(dict.fromkeys(table["workers"]))
    for (evaluator, number), rows in table.groupby(["evaluator", "workers"], sort=False):
        figure.add_trace(
            _line(
                rows, "efficiency", f"{evaluator}, {number} workers", evaluators.index(evaluator), workers.index(number)
            )
        )
    figure.update_xaxes(type="log", exponentformat="power", dtick=1)
    figure.update_yaxes(range=[0, 1.05], tickformat=".0%")
    return figure


def break_even_figure(table: pd.DataFrame) -> go.Figure:
    """Speed-up by workers against the time of a call.

    Args:
        table: of `break_even_table`.
    """
    figure = _canvas("When workers pay", "seconds for a call", "serial time / parallel time of a gradient")
    evaluators, ns = list(dict.fromkeys(table["evaluator"])), list(dict.fromkeys(table["n"]))
    for (evaluator, n), rows in table.groupby(["evaluator", "n"], sort=False):
        figure.add_trace(_line(rows, "speed_up", f"{evaluator}, {n} params", evaluators.index(evaluator), ns.index(n)))
    figure.add_hline(y=1.0, line={"color": "#30363d", "width": 1})
    figure.update_xaxes(type="log", exponentformat="power", dtick=1)
    figure.update_yaxes(type="log", tickvals=[0.05, 0.1, 0.2, 0.5, 1, 1.5, 2])
    return figure


def _line(rows: pd.DataFrame, column: str, name: str, color: int, dash: int) -> go.Scatter:
    return go.Scatter(
        x=rows["call_seconds"],
        y=rows[column],
        mode="lines+markers",
        name=name,
        line={"color": COLOURS[color % len(COLOURS)], "dash": DASHES[dash % len(DASHES)], "width": 2},
    )


def _broken(method: str) -> str:
    """A name on several lines, so that it fits under its tick."""
    return "<br>".join(_words(method))


def _words(method: str) -> Iterable[str]:
    return method.replace(", ", ",\n").replace("scipy ", "scipy\n").split("\n")

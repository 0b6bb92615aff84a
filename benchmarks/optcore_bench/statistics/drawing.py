"""Figures that several statistics share: marks with intervals, and matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from optcore_bench.figures import base_layout, plain

if TYPE_CHECKING:
    from optcore.plots.styles import LineStyle

__all__ = ["dots", "matrix"]

_ROW = 22


def dots(frame: pd.DataFrame, styles: Mapping[str, LineStyle], rows: Sequence[str]) -> go.Figure:
    """A mark for each value, with its interval, on lines that have names.

    Args:
        frame: columns `solver, y` (one of `rows`), `x, lower, upper`.
        styles: how to draw each solver.
        rows: names of the lines, from the top.
    """
    traces = []
    for solver, part in frame.groupby("solver", sort=False):
        x = part["x"].to_numpy(dtype=float)
        upper, lower = part["upper"].to_numpy(dtype=float) - x, x - part["lower"].to_numpy(dtype=float)
        style = styles[str(solver)]
        error = {
            "type": "data",
            "symmetric": False,
            "array": np.where(np.isfinite(upper), upper, 0.0),
            "arrayminus": np.where(np.isfinite(lower), lower, 0.0),
            "thickness": 1.2,
            "width": 3,
            "color": style.color,
        }
        traces.append(
            {
                "type": "scatter",
                "x": x,
                "y": part["y"].astype(str).map(plain).to_numpy(),
                "name": plain(str(solver)),
                "mode": "markers",
                "marker": {"color": style.color, "size": 8, "symbol": style.symbol},
                "error_x": error,
            }
        )
    figure = go.Figure(traces, base_layout())
    # A category without a mark still has its line, hence the array.
    every = {"type": "category", "tickmode": "linear", "dtick": 1, "tickfont": {"size": 10}}
    figure.update_yaxes(
        categoryorder="array",
        categoryarray=[plain(str(row)) for row in rows][::-1],
        range=[-0.7, len(rows) - 0.3],
        **every,
    )
    figure.update_layout(height=120 + _ROW * max(8, len(rows)))
    return figure


def matrix(values: pd.DataFrame, text: pd.DataFrame | None = None, **trace: Any) -> go.Figure:
    """A heat map of a table, its first row at the top.

    Args:
        values: numbers; what is NaN stays blank.
        text: what to write into the cells.
        trace: properties of plotly's Heatmap.
    """
    figure = go.Figure(layout=base_layout())
    written = {} if text is None else {"text": text.to_numpy(), "texttemplate": "%{text}", "textfont": {"size": 11}}
    figure.add_trace(
        go.Heatmap(
            z=values.to_numpy(dtype=float),
            x=[plain(str(name)) for name in values.columns],
            y=[plain(str(name)) for name in values.index],
            xgap=1,
            ygap=1,
            **written,
            **trace,
        )
    )
    # Names that look like numbers, such as "1e-1", are names all the same.
    every = {"type": "category", "tickmode": "linear", "dtick": 1, "tickfont": {"size": 10}, "showgrid": False}
    figure.update_yaxes(autorange="reversed", **every)
    figure.update_xaxes(tickangle=-45, **every)
    figure.update_layout(height=220 + _ROW * max(6, len(values)))
    return figure

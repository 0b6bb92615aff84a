"""Profiles as plotly figures: compute -> an object that holds the numbers -> `.figure()`.

One style serves all figures, that of `optcore.plots.styles`: a solver's hue says which algorithm it is, its dash
pattern which derivative strategy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from optcore.errors import InvalidInputError
from optcore.files import check_folder, replacing
from optcore.plots.styles import LineStyle, family_styles

from .costs import tau_label
from .drawing import draw
from .profiles import Floats, accuracy_profile, data_profile, ecdf, performance_profile

__all__ = [
    "ProfilePlot",
    "accuracy_profile_plot",
    "check_picture",
    "cost_profile_plot",
    "data_profile_plot",
    "line_figure",
    "order_of",
    "performance_profile_plot",
    "plain",
    "shade",
    "solver_styles",
    "split_label",
    "write_figure",
]

FONT = '-apple-system, BlinkMacSystemFont, "Segoe UI", "Helvetica Neue", "Liberation Sans", Arial, sans-serif'
_GRID, _INK = "#e6e8eb", "#30363d"


def solver_styles(solvers: Iterable[str], order: Iterable[str] = ()) -> dict[str, LineStyle]:
    """Hue by algorithm and dash by derivative strategy, each in the order of the study.

    Args:
        solvers: labels such as `"scipy_lbfgsb [forward]"`.
        order: labels of all solvers of the study, such as `attrs["solvers"]` of a cost table. A solver looks the same
            in every figure, whatever else is drawn; without it, the order of `solvers` decides.

    >>> order = ["a [jax]", "a [forward]", "b [jax]", "b [forward]"]
    >>> solver_styles(["b [jax]"], order)["b [jax]"] == solver_styles(order)["b [jax]"]
    True
    """
    names = {str(solver): split_label(str(solver)) for solver in solvers}
    return family_styles(names, [split_label(str(solver)) for solver in order])


def split_label(solver: str) -> tuple[str, str]:
    """Algorithm and derivative strategy of a label; "" where there is none."""
    algorithm, bracket, derivative = solver.rpartition(" [")
    return (algorithm, derivative.rstrip("]")) if bracket else (solver, "")


@dataclass(frozen=True, eq=False)
class ProfilePlot:
    """The numbers of a profile and how its axes are called.

    Attributes:
        curves: columns `solver, x, y`, right-continuous steps.
        title: what is compared.
        x_title: unit of x; names the cost model.
        y_title: what y is a share of; names tau where there is one.
        log2: x axis in powers of two.
        order: labels of all solvers of the study, which decide how each is drawn.
    """

    curves: pd.DataFrame
    title: str
    x_title: str
    y_title: str
    log2: bool = False
    order: tuple[str, ...] = ()

    @property
    def frame(self) -> pd.DataFrame:
        """The numbers, as `curves`."""
        return self.curves

    def figure(self, styles: Mapping[str, LineStyle] | None = None) -> go.Figure:
        """Draw it.

        Args:
            styles: how to draw each solver; `solver_styles` by default.

        Returns:
            A plotly figure with one trace per solver.
        """
        figure = line_figure(
            self._extended(), styles or solver_styles(self.curves["solver"], self.order), unit=self.x_title
        )
        figure.update_layout(title_text=self.title)
        figure.update_xaxes(title_text=self.x_title)
        figure.update_yaxes(title_text=self.y_title, range=[-0.02, 1.02], tickformat=".0%")
        if self.log2:
            x = self.curves["x"].max()
            ticks = 2.0 ** np.arange(0, np.ceil(np.log2(max(x, 2.0))) + 1)
            ticks = ticks[:: int(np.ceil(ticks.size / 12))]
            figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{t:g}" for t in ticks])
        return figure

    def _extended(self) -> pd.DataFrame:
        """All curves end at the right end of the axis: a share that was reached stays reached."""
        last = self.curves.groupby("solver", sort=False).tail(1)
        # Where nothing is solved, or all at once, the curves are a line that has to end somewhere.
        end = self.curves["x"].max()
        right = max(1.1 * end, 2.0) if self.log2 else 1.03 * end or 1.0
        return pd.concat([self.curves, last.assign(x=right)])


def performance_profile_plot(costs: pd.DataFrame) -> ProfilePlot:
    """Performance profile of a cost table; its `attrs` name cost and tau on the axes."""
    return ProfilePlot(
        curves=performance_profile(costs),
        title="Performance profile",
        x_title=f"times the lowest cost on the problem; cost: {costs.attrs.get('cost', 'as given')}",
        y_title=_share_title(costs),
        log2=True,
        order=order_of(costs),
    )


def data_profile_plot(costs: pd.DataFrame, n: pd.Series | None = None) -> ProfilePlot:
    """Data profile of a cost table.

    Args:
        costs: as for `data_profile`.
        n: number of parameters by row; by default what `cost_table` left in `attrs`.
    """
    return ProfilePlot(
        curves=data_profile(costs, n),
        title="Data profile",
        x_title=f"simplex gradients: {costs.attrs.get('cost', 'cost')} / (n + 1)",
        y_title=_share_title(costs),
        order=order_of(costs),
    )


def cost_profile_plot(costs: pd.DataFrame) -> ProfilePlot:
    """Share of problems solved within a cost: a data profile where the numbers of parameters aren't known."""
    return ProfilePlot(
        curves=ecdf(costs),
        title="Share solved within a cost",
        x_title=f"cost: {costs.attrs.get('cost', 'as given')}",
        y_title=_share_title(costs),
        order=order_of(costs),
    )


def accuracy_profile_plot(gaps: pd.DataFrame, max_digits: float = 16.0) -> ProfilePlot:
    """Accuracy profile of a table of gaps, see `accuracy_table`."""
    budget = gaps.attrs.get("budget", np.inf)
    spent = f"{budget:g} {gaps.attrs.get('cost', '')}" if np.isfinite(budget) else "the whole budget"
    return ProfilePlot(
        curves=accuracy_profile(gaps, max_digits),
        title="Accuracy profile",
        x_title=f"digits gained, -log10 (f_best - f_L) / (f_start - f_L), after {spent}",
        y_title="share of problems with at least so many digits",
        order=order_of(gaps),
    )


def order_of(table: pd.DataFrame) -> tuple[str, ...]:
    """Labels of all solvers of the study that a table comes from, for `solver_styles`."""
    return tuple(table.attrs.get("solvers", ()))


def _share_title(costs: pd.DataFrame) -> str:
    tau = costs.attrs.get("tau")
    return "share of problems solved" if tau is None else f"share of problems solved, tau = {tau_label(tau)}"


def line_figure(curves: pd.DataFrame, styles: Mapping[str, LineStyle], unit: str = "x") -> go.Figure:
    """Step lines of all solvers in the house style; a click in the legend hides or isolates a curve.

    Args:
        curves: columns `solver, x, y`; a solver without rows doesn't appear.
        styles: how to draw each solver.
        unit: what x is, for the text under the pointer.
    """
    traces = [
        {
            "type": "scatter",
            "x": curve["x"].to_numpy(),
            "y": curve["y"].to_numpy(),
            "name": plain(str(solver)),
            "hovertemplate": f"%{{y:.4g}} at %{{x:.4g}}<extra>{plain(str(solver))}</extra>",
            "meta": unit,
            **trace_style(styles[str(solver)]),
        }
        for solver, curve in curves.groupby("solver", sort=False)
    ]
    return go.Figure(traces, base_layout())


def shade(x: Floats, lower: Floats, upper: Floats, solver: str, color: str, opacity: float) -> dict[str, Any]:
    """The area between two lines of a solver as a plotly trace, which the legend hides with the solver.

    Args:
        x: ascending, shape (k,).
        lower: the lower line, shape (k,).
        upper: the upper line, shape (k,).
        solver: whose it is.
        color: of the solver, as "#rrggbb".
        opacity: of the shade.
    """
    rgb = ", ".join(str(int(color[i : i + 2], 16)) for i in (1, 3, 5))
    return {
        "type": "scatter",
        "x": np.concatenate([x, x[::-1]]),
        "y": np.concatenate([lower, upper[::-1]]),
        "fill": "toself",
        "fillcolor": f"rgba({rgb}, {opacity:g})",
        "line": {"width": 0},
        "mode": "lines",
        "name": plain(solver),
        "legendgroup": plain(solver),
        "showlegend": False,
        "hoverinfo": "skip",
    }


#: Formats of a figure by the ending of its file.
PICTURES = ("html", "png", "svg", "pdf")


def check_picture(path: Path, option: str) -> None:
    """Whether a figure can be written at a path, to be asked before long work.

    Args:
        path: the file.
        option: what the path was given by, for the message.

    Raises:
        InvalidInputError: its name ends with no known format.
        FileNotFoundError: there is no such folder.
    """
    if path.suffix.lstrip(".").lower() not in PICTURES:
        raise InvalidInputError(f"{option} {str(path)!r} ends with none of {', '.join('.' + k for k in PICTURES)}")
    check_folder(path)


def write_figure(figure: go.Figure, path: Path) -> Path:
    """Write a figure whole, or not at all: as a page for `.html`, otherwise as an image of that kind.

    Raises:
        MissingLibraryError: images need kaleido and a browser; says what to install.
    """
    kind = path.suffix.lstrip(".").lower()
    with replacing(path) as beside:
        if kind == "html":
            beside.write_text(figure.to_html(include_plotlyjs=True), encoding="utf-8")
        else:
            draw([figure], [beside], {"format": kind}, "or take a name that ends with .html")
    return path


def trace_style(style: LineStyle) -> dict[str, Any]:
    """A style as properties of a plotly trace: steps with a few markers."""
    return {
        "mode": "lines+markers",
        "line": {"color": style.color, "dash": style.dash, "width": 2, "shape": "hv"},
        "marker": {"symbol": style.symbol, "size": 7, "maxdisplayed": 8},
    }


def base_layout() -> dict[str, Any]:
    """What all figures share: fonts, grid, margins, legend."""
    axis = {
        "gridcolor": _GRID,
        "linecolor": "#b5bbc2",
        "zeroline": False,
        "showline": True,
        "ticks": "outside",
        "tickcolor": "#b5bbc2",
        "title": {"standoff": 12, "font": {"size": 13}},
        "automargin": True,
    }
    return {
        "template": "none",
        "font": {"family": FONT, "size": 13, "color": _INK},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "xaxis": axis,
        "yaxis": axis,
        "margin": {"l": 64, "r": 16, "t": 40, "b": 56},
        "hovermode": "closest",
        "showlegend": True,  # also of a single solver, which would have no name otherwise
        "legend": {
            "tracegroupgap": 0,
            "itemclick": "toggle",
            "itemdoubleclick": "toggleothers",
            "font": {"size": 11},
            "itemwidth": 40,
        },
    }


def plain(text: str) -> str:
    """Text for a place where plotly reads a little HTML: names of lines, ticks, titles."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

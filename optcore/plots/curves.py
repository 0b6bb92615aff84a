"""Curves: the numbers of a plot, as a data frame and as a figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from optcore.errors import InvalidInputError
from optcore.plots.decimate import decimate
from optcore.plots.figure import Figure
from optcore.plots.styles import DASHES, MUTED, LineStyle, line_style

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Curve", "Curves", "strokes"]

_MOST_POINTS = 4000  # of a trace; twice as many columns as a figure on a large screen has pixels would not show
_ALL_POINTS = 60_000  # of a figure, where it has many traces
_FEWEST_POINTS = 200
_MARKED = 60  # points are marked where no curve has more
_MARKED_NUMDIFF = 600  # the same where points for derivatives are told apart by their marks
_INK = "#30363d"
_LONG_NAME = 28  # characters beside a figure before the legend moves below it
_SMALL_GROUP = 4  # members that differ by their dashes and stand in the legend
_FAILED_PLACES = 1000  # so many places along the axis can have a mark of failed calls
_FAILED_HEIGHT = 0.022  # of the figure's height
_FAILED_ROWS = 12  # of marks, one above the other


class Curve(NamedTuple):
    """One line of a plot.

    Attributes:
        name: what it is called.
        group: curves of a group share a colour; None: it stands for itself.
        x: where its points are, shape (k,), not decreasing.
        y: values, shape (k,).
        numdiff: which points were evaluated for numerical derivatives, shape (k,).
        failed: where calls were that gave no value, shape (j,); they have marks at the foot of the figure.
    """

    name: str
    group: str | None
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    numdiff: NDArray[np.bool_]
    failed: NDArray[np.float64] = np.zeros(0)


@dataclass(frozen=True, eq=False)
class Curves:
    """The numbers of a plot and how its axes are called.

    Attributes:
        curves: one per result or param.
        x_title, y_title: what is on the axes, with units.
        floor: on a logarithmic axis values below this are drawn here (distances of exactly 0); None: what isn't
            positive is left out.
        legend: names in the legend, the rest is grey; None: all.
        failed: where calls failed that belong to all curves alike, shape (j,).
    """

    curves: tuple[Curve, ...]
    x_title: str
    y_title: str
    floor: float | None = None
    legend: frozenset[str] | None = None
    failed: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def to_frame(self) -> pd.DataFrame:
        """All points of all curves: columns `name, group, x, y, numdiff`, one row a point."""
        import pandas as pd

        parts = [pd.DataFrame({n: v for n, v in curve._asdict().items() if n != "failed"}) for curve in self.curves]
        return pd.concat(parts, ignore_index=True).astype({"group": object})

    def figure(
        self,
        *,
        log_x: bool = False,
        log_y: bool = False,
        template: Any = None,
        palette: Sequence[str] | str | None = None,
    ) -> Figure:
        """Draw it, one trace per curve.

        Long curves are thinned out to what can be seen (see `decimate`): at most 4000 points a trace, and fewer where
        there are many traces. Points that are not finite are not drawn; the line goes on behind them. Where calls
        failed there are short strokes at the foot of the figure, which the legend counts.

        Args:
            log_x: logarithmic horizontal axis.
            log_y: logarithmic vertical axis.
            template: plotly's template, by name or itself; "simple_white" by default.
            palette: a colour, or colours that are used in turn.

        Raises:
            InvalidInputError: the vertical axis is to be logarithmic, and no value is positive.
        """
        heights, y_title = self._heights(log_y)
        limit = int(np.clip(_ALL_POINTS // max(len(self.curves), 1), _FEWEST_POINTS, _MOST_POINTS))
        styles = _styles(self.curves, self.legend, palette)
        traces = [
            _trace(curve, y, style, limit, marked=self._marked, log_x=log_x)
            for curve, y, style in zip(self.curves, heights, styles, strict=True)
        ]
        figure = Figure(data=traces)
        for shape in self._failures(styles, log_x=log_x):
            figure.add_shape(shape)
        figure.update_layout(
            template="simple_white" if template is None else template,
            xaxis=_axis(self.x_title, log=log_x),
            yaxis=_axis(y_title, log=log_y),
            showlegend=True,
            legend=self._legend(),
            margin={"t": 30, "r": 20},
        )
        return figure

    def _failures(self, styles: Sequence[_Style], *, log_x: bool) -> list[dict[str, Any]]:
        """Strokes where calls failed, as shapes: a row for each curve or group that has some, in its colour."""
        places: dict[str, list[NDArray[np.float64]]] = {}
        colours: dict[str, str] = {}
        for curve, style in zip(self.curves, styles, strict=True):
            if (failed := _drawable(curve.failed, log_x=log_x)).size:
                name = curve.name if curve.group is None else curve.group
                places.setdefault(name, []).append(failed)
                colours.setdefault(name, style.line.color)
        shapes = [
            strokes(np.sort(np.concatenate(found)), name, colours[name], row, log_x=log_x)
            for row, (name, found) in enumerate(places.items())
        ]
        failed = _drawable(self.failed, log_x=log_x)
        return [*shapes, strokes(failed, "", _INK, log_x=log_x)] if failed.size else shapes

    @property
    def _marked(self) -> bool:
        """Whether points are marked: for all curves alike, as a mark would seem to mean something otherwise."""
        told_apart = any(curve.numdiff.any() for curve in self.curves)
        return max((curve.x.size for curve in self.curves), default=0) <= (_MARKED_NUMDIFF if told_apart else _MARKED)

    def _heights(self, log_y: bool) -> tuple[list[NDArray[np.float64]], str]:
        """What is drawn of the values, and the title that says so."""
        values = [np.where(np.isfinite(curve.y), curve.y, np.nan) for curve in self.curves]
        if not log_y:
            return values, self.y_title
        positive = [y[y > 0] for y in values]
        below = sum(int(np.count_nonzero(y <= 0)) for y in values)
        if below == 0:
            return values, self.y_title
        if self.floor is None:
            if not any(y.size for y in positive):
                raise InvalidInputError(
                    "log_y=True needs positive values, and there are none; draw the distance to the optimum instead: "
                    "f_opt= of criterion_plot, x_opt= of params_plot"
                )
            return [np.where(y > 0, y, np.nan) for y in values], _with_note(
                self.y_title, f"{below} not above 0 are not shown"
            )
        floor = min([self.floor, *(float(y.min()) for y in positive if y.size)])
        return [np.maximum(y, floor) for y in values], _with_note(
            self.y_title, f"what is below {floor:.1e} is drawn there"
        )

    def _legend(self) -> dict[str, Any]:
        shown = [curve.name for curve in self.curves if self.legend is None or curve.name in self.legend]
        legend: dict[str, Any] = {"tracegroupgap": 6, "font": {"size": 11}, "itemwidth": 40}
        if self.legend is not None:
            legend["title"] = {"text": f"{len(shown)} of {len(self.curves)},<br>those that moved most"}
        if max(map(len, shown), default=0) > _LONG_NAME:  # below: beside it they would take the figure's place
            legend |= {"orientation": "h", "x": 0, "y": -0.18, "yanchor": "top", "entrywidthmode": "pixels"}
        return legend


class _Style(NamedTuple):
    line: LineStyle
    in_legend: bool
    group_title: str | None


def _styles(
    curves: Sequence[Curve], legend: frozenset[str] | None, palette: Sequence[str] | str | None
) -> list[_Style]:
    """A hue per group, or per curve without one; the members of a small group differ by their dashes."""
    sizes = Counter(curve.group for curve in curves)
    turns: dict[Any, int] = {}
    seen: Counter[str] = Counter()
    styles = []
    for i, curve in enumerate(curves):
        if legend is not None and curve.name not in legend:
            styles.append(_Style(_muted(), in_legend=False, group_title=None))
            continue
        turn = turns.setdefault(i if curve.group is None else curve.group, len(turns))
        if curve.group is None:
            # No curve shares its hue: lines differ by their dashes too, for print in grey.
            style = _Style(line_style(turn)._replace(dash=DASHES[turn % len(DASHES)]), in_legend=True, group_title=None)
        else:
            style = _member_style(curve.group, turn, seen[curve.group], sizes[curve.group])
            seen[curve.group] += 1
        styles.append(_recoloured(style, turn, palette))
    return styles


def _member_style(group: str, turn: int, k: int, size: int) -> _Style:
    """The style of the k-th of the `size` members of a group; they have one colour."""
    small = size <= _SMALL_GROUP
    title = (group if small else f"{group}, {size} results") if k == 0 and size > 1 else None
    line = line_style(turn)._replace(dash=DASHES[(k if small else turn) % len(DASHES)])
    return _Style(line, in_legend=small or k == 0, group_title=title)


def _recoloured(style: _Style, turn: int, palette: Sequence[str] | str | None) -> _Style:
    """The style with the colour whose turn it is, where the user gave colours."""
    if not palette:
        return style
    colours = [palette] if isinstance(palette, str) else palette
    return style._replace(line=style.line._replace(color=colours[turn % len(colours)]))


def _muted() -> LineStyle:
    return line_style(0)._replace(color=MUTED)


def _trace(curve: Curve, y: NDArray[np.float64], style: _Style, limit: int, *, marked: bool, log_x: bool) -> go.Scatter:
    kept = decimate(curve.x, y, limit, log_x=log_x)
    numdiff = curve.numdiff[kept]
    muted = style.line.color == MUTED
    size = np.where(numdiff, 3, 6) if numdiff.any() else 6
    marker: dict[str, Any] = {"size": size, "symbol": style.line.symbol}
    grouped = {} if curve.group is None else {"legendgroup": curve.group}
    titled = {"legendgrouptitle": {"text": style.group_title}} if style.group_title else {}
    return go.Scatter(
        x=curve.x[kept],
        y=y[kept],
        name=curve.name,
        mode="lines+markers" if marked else "lines",
        line={"color": style.line.color, "dash": style.line.dash, "width": 1 if muted else 2},
        **({"marker": marker} if marked else {}),
        connectgaps=True,
        showlegend=style.in_legend,
        zorder=0 if muted else 1,
        hovertemplate=f"%{{y:.6g}} at %{{x:.6g}}<extra>{_as_text(curve.name)}</extra>",
        **grouped,
        **titled,
    )


def _drawable(x: NDArray[np.float64], *, log_x: bool) -> NDArray[np.float64]:
    return x[x > 0] if log_x else x


def strokes(x: NDArray[np.float64], name: str, colour: str, row: int = 0, *, log_x: bool = False) -> dict[str, Any]:
    """Marks of failed calls: one shape of short strokes at the foot of a figure, counted in the legend.

    Args:
        x: where they are, not decreasing, shape (j,); those that can't be told apart are drawn once.
        name: whose calls they are; "" where that needn't be said.
        colour: of the strokes.
        row: marks of different curves stand one above the other.
        log_x: the axis is logarithmic; x must be positive.
    """
    along = np.log(x) if log_x else x
    width = along[-1] - along[0]
    column = np.round((along - along[0]) / width * _FAILED_PLACES) if width > 0 else np.zeros(x.size)
    low = row % _FAILED_ROWS * 1.4 * _FAILED_HEIGHT
    drawn = x[np.unique(column, return_index=True)[1]].tolist()
    return {
        "type": "path",
        "path": "".join(f"M{at!r},{low:.4f}L{at!r},{low + _FAILED_HEIGHT:.4f}" for at in drawn),
        "yref": "paper",
        "line": {"color": colour, "width": 1.5},
        "fillcolor": colour,  # that of the mark in the legend
        "opacity": 1,
        "showlegend": True,
        "name": _as_text(f"{name}: {x.size} failed" if name else f"{x.size} failed"),
    }


def _with_note(title: str, note: str) -> str:
    """A title with smaller words in a line of their own: titles of vertical axes must fit its height."""
    return f"{title}<br><span style='font-size:0.8em'>{note}</span>"


def _as_text(name: str) -> str:
    """A name for a place where plotly reads a little HTML."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _axis(title: str, *, log: bool) -> dict[str, Any]:
    axis: dict[str, Any] = {"title": {"text": title}, "automargin": True}
    if log:
        axis |= {"type": "log", "exponentformat": "power", "minor": {"ticks": ""}}
    return axis

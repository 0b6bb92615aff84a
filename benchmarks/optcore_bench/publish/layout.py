"""Figures as a journal prints them: in the width of its columns, in type that can be read there."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import plotly.graph_objects as go

from optcore.errors import InvalidInputError, unknown_name
from optcore_bench.publish.chosen import common_part

__all__ = ["WIDTHS", "for_print", "pixels", "width_in_cm"]

#: Columns of journals, in cm: Springer's and Elsevier's text areas, rounded to what both take.
WIDTHS = {"single": 8.4, "double": 17.4}
_NARROWEST, _WIDEST = 4.0, 60.0

_PER_CM = 96 / 2.54
_PT = 96 / 72
#: Sizes of type in points; 7 pt is what journals take at least.
_TITLE, _TICK, _LEGEND = 8 * _PT, 7 * _PT, 7 * _PT
_ITEM = 30  # the bit of line in a legend, and around it what plotly leaves free
_GAP = 15
_ROW = 19  # a row of a legend is never lower
_CHARACTER = 0.53  # mean width of a character of the sans serif fonts here, in sizes of the type
_FONT = "Liberation Sans, Arial, Helvetica, sans-serif"


def width_in_cm(width: str | float) -> float:
    """A width by its name, or as a number of cm.

    Raises:
        UnknownNameError: neither "single" nor "double" nor a number.
        InvalidInputError: too narrow or too wide to be one.

    >>> width_in_cm("single"), width_in_cm("12.5")
    (8.4, 12.5)
    """
    if isinstance(width, str) and width in WIDTHS:
        return WIDTHS[width]
    try:
        value = float(width)
    except ValueError:
        raise unknown_name("width (or a number of cm)", width, WIDTHS) from None
    if not _NARROWEST <= value <= _WIDEST:
        raise InvalidInputError(f"width must be between {_NARROWEST:g} and {_WIDEST:g} cm, but is {value:g}")
    return value


def pixels(cm: float) -> int:
    """Plotly's pixels, of which an inch has 96."""
    return round(cm * _PER_CM)


def for_print(figure: go.Figure, width_cm: float) -> go.Figure:
    """Lay a figure of solvers out for print: no title, small type, its legend below it.

    Args:
        figure: changed in place. Its traces are named by solvers' labels; the legend says what all have in common once.
        width_cm: width of the column.

    Returns:
        The figure, with its width and height set.
    """
    width = pixels(width_cm)
    left, right, top = 62 if figure.layout.yaxis.type == "log" else 48, 8, 6
    plot_width = width - left - right
    plot_height = round(min(0.72 * plot_width, 8.0 * _PER_CM))
    x_title = _broken(figure.layout.xaxis.title.text, plot_width + left / 2, _TITLE)
    y_title = _broken(figure.layout.yaxis.title.text, plot_height, _TITLE)
    left += round((y_title.count("<br>")) * 1.25 * _TITLE)
    below = 18 + (1 + x_title.count("<br>")) * 1.3 * _TITLE  # ticks, and the title of the axis
    named = [trace for trace in figure.data if trace.showlegend is not False]
    shared, names = common_part([trace.name for trace in named])
    columns, rows = _places(list(names.values()), width - 8)
    legend_height = rows * _ROW + bool(shared) * 1.3 * _LEGEND + 6
    plot_width = width - left - right
    figure.update_layout(
        width=width,
        height=round(top + plot_height + below + legend_height),
        title_text=None,
        font={"family": _FONT, "size": _TICK, "color": "#000000"},
        margin={"l": left, "r": right, "t": top, "b": round(below + legend_height), "autoexpand": False},
        legend={
            "orientation": "h",
            "x": -(left - 4) / plot_width,
            "y": -below / plot_height,
            "xanchor": "left",
            "yanchor": "top",
            "font": {"size": _LEGEND},
            "title": {"text": shared, "side": "top", "font": {"size": _LEGEND}},
            "itemwidth": _ITEM,
            "entrywidth": math.floor((width - 9) / columns) - _ITEM - _GAP,
            "entrywidthmode": "pixels",
            "tracegroupgap": 0,
        },
    )
    axis = {"automargin": False, "linecolor": "#000000", "tickcolor": "#000000", "ticklen": 3, "linewidth": 0.8}
    figure.update_xaxes(title={"text": x_title, "standoff": 4, "font": {"size": _TITLE}}, **axis)
    figure.update_yaxes(title={"text": y_title, "standoff": 4, "font": {"size": _TITLE}}, **axis)
    _thin_ticks(figure, plot_width)
    for trace in named:
        trace.update(name=names[trace.name], line_width=1.3, marker_size=4.5)
    return figure


def _thin_ticks(figure: go.Figure, plot_width: float) -> None:
    """Leave ticks out where their labels would touch."""
    values, text = figure.layout.xaxis.tickvals, figure.layout.xaxis.ticktext
    if values is None or text is None:
        return
    room = max(1, math.floor(plot_width / (1.6 * _TICK * _CHARACTER * max(map(len, text)))))
    step = math.ceil(len(values) / room)
    figure.update_xaxes(tickvals=values[::step], ticktext=text[::step])


def _places(names: Sequence[str], width: float) -> tuple[int, int]:
    """Columns and rows of a legend."""
    longest = max(map(len, names), default=1) * _LEGEND * 0.48 + _ITEM + _GAP
    columns = max(1, min(len(names), math.floor(width / longest)))
    return columns, math.ceil(len(names) / columns)


def _broken(title: Any, room: float, size: float) -> str:
    """A title on as many lines as it needs."""
    characters = max(8, math.floor(room / (size * _CHARACTER)))
    text = re.sub(r" ([-+=/]) ", "\u00a0\\1\u00a0", str(title or ""))  # formulas stay together
    return "<br>".join(wrap(text, characters, break_long_words=False, break_on_hyphens=False))

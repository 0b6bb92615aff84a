"""Small pieces of HTML. Text is escaped here, so that nobody has to remember to."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from optcore.plots.styles import LineStyle

__all__ = [
    "Cell",
    "Raw",
    "choices",
    "element",
    "facts",
    "headings",
    "left",
    "number",
    "plain",
    "scrolling",
    "sort_heading",
    "swatch",
    "table",
]


#: Lengths of the lines and gaps that plotly draws by name, at the width of a swatch.
DASH_LENGTHS = {
    "solid": "none",
    "dash": "7 3",
    "dot": "2 3",
    "dashdot": "7 3 2 3",
    "longdash": "11 3",
    "longdashdot": "11 3 2 3",
}
#: Outlines of plotly's markers around (14, 6).
MARKERS = {
    "circle": "M14 2.5a3.5 3.5 0 1 0 .01 0z",
    "square": "M11 3h6v6h-6z",
    "diamond": "M14 2l4 4-4 4-4-4z",
    "triangle-up": "M14 2l4 7h-8z",
    "x": "M11 3l6 6M17 3l-6 6",
    "triangle-down": "M14 10l4-7h-8z",
    "cross": "M14 2v8M10 6h8",
    "star": "M14 1.5l1.2 3h3.3l-2.6 2 1 3.3-2.9-2-2.9 2 1-3.3-2.6-2h3.3z",
    "hexagon": "M14 2l3.5 2v4l-3.5 2-3.5-2V4z",
    "bowtie": "M10 3l8 6V3l-8 6z",
    "triangle-left": "M10 6l7-4v8z",
    "hourglass": "M11 2h6l-6 8h6z",
}


class Raw(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: Any) -> Raw:
    """One element; children that aren't Raw are escaped. `class_` stands for class, `data_x` for data-x.

    >>> element("td", "a < b", class_="left")
    '<td class="left">a &lt; b</td>'
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    inner = "".join(child if isinstance(child, Raw) else html.escape(str(child)) for child in children)
    return Raw(f"<{tag}{given}>{inner}</{tag}>")


class Cell(NamedTuple):
    """A cell of a table.

    Attributes:
        text: what is shown; Raw for HTML.
        value: what is sorted by, where that isn't the text.
        kind: CSS class.
        style: CSS properties.
        title: shown under the pointer.
    """

    text: str
    value: str | None = None
    kind: str | None = None
    style: str | None = None
    title: str | None = None


def left(text: object) -> Cell:
    """Text, to the left."""
    return Cell(text if isinstance(text, Raw) else str(text), kind="left")


def number(value: float, form: str = "{:,.10g}") -> Cell:
    """A number, sorted by its exact value; a dash, sorted last, where there is none."""
    if pd.isna(value):
        return Cell("\N{EN DASH}", value="inf", kind="none")
    return Cell(form.format(value), value=repr(float(value)))


def sort_heading(text: str, **attributes: Any) -> Raw:
    """Heading of a column that sorts by a click or a key."""
    return element("th", element("button", text, type="button", class_="sort"), **attributes)


def table(head: str, rows: Iterable[Sequence[Cell]], kind: str = "sortable") -> Raw:
    """A table whose first column names its rows.

    Args:
        head: the rows of the head, as HTML.
        rows: cells.
        kind: CSS classes; `sortable` makes headings from `sort_heading` work.
    """
    body = [Raw("".join(_cell("td" if i else "th", cell) for i, cell in enumerate(row))) for row in rows]
    return element(
        "table",
        element("thead", Raw(head)),
        element("tbody", *(element("tr", row) for row in body)),
        class_=kind,
    )


def _cell(tag: str, cell: Cell) -> str:
    return element(
        tag,
        cell.text,
        scope="row" if tag == "th" else None,
        class_=cell.kind,
        data_value=cell.value,
        style=cell.style,
        title=cell.title,
    )


def scrolling(content: Raw, label: str) -> Raw:
    """A box that a large table scrolls in, also by keys."""
    return element("div", content, class_="scroll tall", tabindex=0, role="region", aria_label=label)


def swatch(style: LineStyle) -> Raw:
    """A bit of a solver's line with its marker, as drawn in the figures."""
    dashes = DASH_LENGTHS.get(style.dash, style.dash.replace("px", ""))
    line = element("path", d="M0 6H28", stroke=style.color, stroke_width=2.5, stroke_dasharray=dashes)
    outline = MARKERS.get(style.symbol, "")
    marker = element("path", d=outline, stroke=style.color, stroke_width=1.5, fill=style.color)
    return element("svg", line, marker, class_="swatch", width=28, height=12, aria_hidden="true")


def headings(*names: str) -> str:
    """One row of headings that sort."""
    return element("tr", *(sort_heading(name, class_="left") for name in names))


def facts(pairs: Iterable[tuple[str, Any]], kind: str) -> Raw:
    """Names and what they stand for."""
    parts = (element("dt", name) + element("dd", plain(value)) for name, value in pairs)
    return element("dl", Raw("".join(parts)), class_=kind)


def choices(options: Iterable[tuple[str, str]], chosen: str) -> str:
    """The options of a choice: value and text of each."""
    return "".join(
        element("option", text, value=value, selected="" if value == chosen else None) for value, text in options
    )


def plain(value: Any) -> str:
    """A value as text, nothing where there is none.

    >>> plain(float("nan")), plain("a"), plain([1, "b"])
    ('', 'a', '[1, "b"]')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)

"""Small pieces of HTML. Text is escaped here, so that nobody has to remember to."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from optcore.plots.styles import LineStyle

__all__ = ["Cell", "Raw", "element", "number", "scrolling", "sort_heading", "swatch", "table"]


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
    """A bit of a solver's line, as drawn in the figures."""
    dashes = {"solid": "none", "dash": "7 3", "dot": "2 3", "dashdot": "7 3 2 3", "longdash": "11 3"}
    dashes |= {"longdashdot": "11 3 2 3"}
    pattern = dashes.get(style.dash, style.dash.replace("px", "").replace(",", " "))
    path = element("path", d="M0 4H28", stroke=style.color, stroke_width=2.5, stroke_dasharray=pattern)
    return element("svg", path, class_="swatch", width=28, height=8, aria_hidden="true")

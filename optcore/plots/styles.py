"""One palette and one set of line styles for every figure.

Colours are those of Okabe & Ito (2008) but for their yellow, which is too light for lines on white, then violet,
brown and navy, chosen to be as far as possible from these for people with protanopia, deuteranopia or tritanopia
(simulated after Machado, Oliveira & Fernandes 2009): at least 16 in CIELAB between any two, whatever the colour vision.
Neighbours differ in lightness by 15 or more.

A line belongs to a family (an algorithm, or a group of results) and is a member of it (a derivative strategy, or a
start). The family decides the hue, the member the dash pattern and the tone of the hue, and both the marker: in grey
print no two lines of twelve families with up to twelve members have both dash and marker in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

__all__ = ["COLOURS", "DASHES", "MUTED", "SYMBOLS", "TONES", "LineStyle", "family_styles", "line_style"]

#: A hue for each family, in turn.
COLOURS = (
    "#0072B2",  # blue
    "#E69F00",  # orange
    "#7700DD",  # violet
    "#009E73",  # green
    "#000000",  # black
    "#56B4E9",  # sky blue
    "#D55E00",  # vermillion
    "#663311",  # brown
    "#CC79A7",  # reddish purple
    "#112288",  # navy
)
#: The other tone of each hue, darker or lighter, for every second member; as far apart as the hues themselves.
TONES = (
    "#2DA5FF",
    "#785A0F",
    "#3C0096",
    "#004B2D",
    "#6A6A6A",
    "#6987A5",
    "#FF874B",
    "#B4785A",
    "#781E69",
    "#2D2DFF",
)
#: A pattern for each member, in turn: plotly's names, or lengths of lines and gaps.
DASHES = (
    "solid",
    "dash",
    "dot",
    "dashdot",
    "16px,6px",
    "10px,3px,2px,3px,2px,3px",
    "longdashdot",
    "2px,7px",
    "9px,2px",
    "4px,2px",
    "14px,3px,3px,3px,3px,3px",
    "22px,6px,6px,6px",
)
#: Markers, in turn; they differ by their outlines.
SYMBOLS = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "x",
    "triangle-down",
    "cross",
    "star",
    "hexagon",
    "bowtie",
    "triangle-left",
    "hourglass",
)
#: What is drawn but not named.
MUTED = "#d0d3d8"


class LineStyle(NamedTuple):
    """How a line is drawn everywhere.

    Attributes:
        color: as plotly takes it, `#rrggbb`.
        dash: one of plotly's names, or lengths of lines and gaps.
        symbol: plotly's name of the marker.
    """

    color: str
    dash: str
    symbol: str


def line_style(family: int, member: int = 0) -> LineStyle:
    """The style of a member of a family, both counted from 0.

    >>> line_style(0)
    LineStyle(color='#0072B2', dash='solid', symbol='circle')
    >>> line_style(0, 1)
    LineStyle(color='#2DA5FF', dash='dash', symbol='square')
    """
    tones = (COLOURS, TONES)[member % 2]
    return LineStyle(
        color=tones[family % len(tones)],
        dash=DASHES[member % len(DASHES)],
        # Families and members beyond the last colour and dash begin again with another marker.
        symbol=SYMBOLS[(family + member + member // len(DASHES)) % len(SYMBOLS)],
    )


def family_styles(lines: Mapping[str, tuple[str, str]], order: Iterable[tuple[str, str]] = ()) -> dict[str, LineStyle]:
    """Styles of lines by name: hue by family, dash by member, each in order of appearance.

    Args:
        lines: family and member by the name of the line.
        order: family and member of all lines that there are. Whatever is drawn of them, a line looks the same.

    Members that are called "none" or nothing, as those of solvers without derivatives, are drawn as the first one,
    unless their family has more members.

    >>> two = {"a": ("bfgs", "forward"), "b": ("simplex", "none")}
    >>> [style.dash for style in family_styles(two).values()]
    ['solid', 'solid']
    >>> everything = [("bfgs", "analytic"), ("bfgs", "forward"), ("simplex", "none")]
    >>> [style.dash for style in family_styles(two, everything).values()]
    ['dash', 'solid']
    """
    known = list(dict.fromkeys([*order, *lines.values()]))
    families = _turns(family for family, _ in known)
    members_of: dict[str, set[str]] = {}
    for family, member in known:
        members_of.setdefault(family, set()).add(member)
    alone = {family for family, members in members_of.items() if len(members) == 1 and members <= _NO_MEMBER}
    members = _turns(member for family, member in known if family not in alone)
    return {
        name: line_style(families[family], 0 if family in alone else members[member])
        for name, (family, member) in lines.items()
    }


_NO_MEMBER = {"none", ""}


def _turns(names: Iterable[str]) -> dict[str, int]:
    return {name: i for i, name in enumerate(dict.fromkeys(names))}

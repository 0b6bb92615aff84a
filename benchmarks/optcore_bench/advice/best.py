"""Which candidate is the fastest for which price of an evaluation and number of cores: an envelope of lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from optcore.errors import InvalidInputError
from optcore_bench.figures import base_layout, solver_styles, split_label

__all__ = ["BestMap", "lower_envelope"]

#: The prices that are drawn, in seconds.
FROM, TO = 1e-6, 1e3


@dataclass(frozen=True, eq=False)
class BestMap:
    """For each number of cores, the prices of an evaluation between which a candidate takes the least time.

    The time that a candidate takes is a line over the price of an evaluation: rounds of calls times the price, and
    what the solver itself takes. So the boundaries are exact: they are where two lines cross.

    Attributes:
        regions: columns `cores, from_seconds, to_seconds, candidate`; prices from 0 to infinity.
        lines: columns `candidate, cores, slope, fixed`: seconds = slope x seconds per evaluation + fixed.
        here: seconds per evaluation and cores of the function in question.
    """

    regions: pd.DataFrame
    lines: pd.DataFrame
    here: tuple[float, int]

    @classmethod
    def of(cls, lines: pd.DataFrame, here: tuple[float, int]) -> BestMap:
        """The map of some lines; several lines of one candidate mean that it can choose."""
        parts = []
        for cores, group in lines.groupby("cores", sort=True):
            names, slopes, fixed = (group[name].to_numpy() for name in ("candidate", "slope", "fixed"))
            parts += [(int(cores), *region) for region in lower_envelope(names, slopes, fixed)]
        regions = pd.DataFrame(parts, columns=["cores", "from_seconds", "to_seconds", "candidate"])
        return cls(regions, lines, here)

    def best(self, fun_seconds: float, cores: int) -> str:
        """The candidate that takes the least time.

        Raises:
            InvalidInputError: nothing is known of so many cores.
        """
        mine = self.regions[self.regions["cores"] == cores]
        if mine.empty:
            known = ", ".join(map(str, sorted(set(self.regions["cores"]))))
            raise InvalidInputError(f"the map has no {cores} cores; it has {known}")
        return str(mine["candidate"].iloc[np.searchsorted(mine["to_seconds"].to_numpy(), fun_seconds)])

    def seconds(self, candidate: str, fun_seconds: float, cores: int) -> float:
        """What a candidate takes; inf if it doesn't get there."""
        mine = self.lines[(self.lines["candidate"] == candidate) & (self.lines["cores"] == cores)]
        return float((mine["slope"] * fun_seconds + mine["fixed"]).min()) if len(mine) else np.inf

    def figure(self) -> go.Figure:
        """A band for each number of cores, in the colour of the candidate that is the best there."""
        figure = go.Figure(layout=base_layout())
        cores = sorted(set(self.regions["cores"]))
        place = {number: position for position, number in enumerate(cores)}
        names = list(dict.fromkeys(self.lines["candidate"]))
        styles = solver_styles(names)
        shades = _shades(names)
        for name in [name for name in names if (self.regions["candidate"] == name).any()]:
            x: list[float | None] = []
            y: list[float | None] = []
            for row in self.regions[self.regions["candidate"] == name].itertuples():
                left, right = max(row.from_seconds, FROM), min(row.to_seconds, TO)
                if left < right:
                    low, high = place[row.cores] - 0.46, place[row.cores] + 0.46
                    x += [left, right, right, left, left, None]
                    y += [low, low, high, high, low, None]
            figure.add_trace(
                go.Scatter(
                    x=x,
                    y=y,
                    name=name,
                    mode="lines",
                    fill="toself",
                    fillcolor=styles[name].color,
                    fillpattern={
                        "shape": shades[name],
                        "bgcolor": styles[name].color,
                        "fgcolor": "white",
                        "solidity": 0.15,
                    },
                    line={"color": "white", "width": 1},
                    hoverinfo="name",
                )
            )
        figure.add_trace(
            go.Scatter(
                x=[min(max(self.here[0], FROM), TO)],
                y=[place[self.here[1]]],
                name="your function, here",
                mode="markers",
                marker={"symbol": "star", "size": 16, "color": "black", "line": {"color": "white", "width": 1.5}},
            )
        )
        figure.update_xaxes(title_text="seconds per evaluation", type="log", range=[np.log10(FROM), np.log10(TO)])
        figure.update_xaxes(tickvals=10.0 ** np.arange(-6, 4), ticktext=_DURATIONS)
        figure.update_yaxes(title_text="cores", tickvals=list(place.values()), ticktext=[str(n) for n in cores])
        figure.update_layout(title_text="What takes the least time", legend={"orientation": "h", "y": -0.2})
        return figure


_DURATIONS = ["1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "0.1 s", "1 s", "10 s", "100 s", "1000 s"]
_PATTERNS = ("", "/", "x", "-", ".", "|", "+", "\\")


def _shades(names: list[str]) -> Mapping[str, str]:
    """A pattern by source of derivatives, as lines have their dashes."""
    source = {name: split_label(name)[1] for name in names}
    known = list(dict.fromkeys(source.values()))
    return {name: _PATTERNS[known.index(source[name]) % len(_PATTERNS)] for name in names}


def lower_envelope(names: np.ndarray, slopes: np.ndarray, fixed: np.ndarray) -> list[tuple[float, float, str]]:
    """The lowest of some lines slope x + fixed for each x >= 0.

    Args:
        names: what the lines belong to, shape (k,); neighbours of one name become one region.
        slopes: shape (k,), at least 0; lines that aren't finite are left out.
        fixed: values at 0, shape (k,).

    Returns:
        (from, to, name) for each region, from 0 to infinity.

    >>> lower_envelope(np.array(["steep", "flat"]), np.array([2.0, 1.0]), np.array([0.0, 3.0]))
    [(0.0, 3.0, 'steep'), (3.0, inf, 'flat')]
    """
    usable = np.flatnonzero(np.isfinite(slopes) & np.isfinite(fixed))
    if not usable.size:
        return []
    # At 0 the lowest value wins, among equals the lowest slope, among equals the first.
    now = usable[np.lexsort((slopes[usable], fixed[usable]))[0]]
    at, regions = 0.0, []
    while True:
        flatter = usable[slopes[usable] < slopes[now]]
        if not flatter.size:
            regions.append((at, np.inf, str(names[now])))
            break
        crossings = (fixed[flatter] - fixed[now]) / (slopes[now] - slopes[flatter])
        first = np.lexsort((slopes[flatter], crossings))[0]
        regions.append((at, float(crossings[first]), str(names[now])))
        now, at = flatter[first], float(crossings[first])
    return _merged([region for region in regions if region[0] < region[1]])


def _merged(regions: list[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    merged: list[tuple[float, float, str]] = []
    for region in regions:
        if merged and merged[-1][2] == region[2]:
            merged[-1] = (merged[-1][0], region[1], region[2])
        else:
            merged.append(region)
    return merged

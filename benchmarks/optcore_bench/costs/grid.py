"""Which solver is best at which cost of an evaluation and how many cores: one replay for many clocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
import pandas as pd

from optcore.errors import InvalidInputError, unknown_name
from optcore_bench.evaluations import Evaluations, Floats, HasTables, Ints, ReferenceValue

from .hits import CORES, HitCounts, hit_counts
from .virtual import VirtualClock

__all__ = ["CUT_OFF_SHARE", "VirtualGrid", "virtual_grid"]

#: A cell is marked if more of its solver's runs than this share were cut off by their budget.
CUT_OFF_SHARE = 0.05
SETTINGS = ["fun_seconds", "jac_seconds", "cores", "overhead_seconds", "spread"]


@dataclass(frozen=True, eq=False)
class VirtualGrid:
    """What each solver would take on each of many machines; made by `virtual_grid`.

    Attributes:
        table: one row per setting and solver: `fun_seconds, jac_seconds, cores, overhead_seconds, spread`,
            `solver`, `problems`, `solved`, `median_seconds` (over all problems, a failure being inf: so inf
            where less than half are solved), `fastest` (on how many problems it is, ties count for each),
            `cut_off` (share of its runs that a budget or a time-out ended before they solved) and `marked`
            (more than 5 % were: with a larger budget it may look better).
        tau: accuracy at which problems count as solved.
        not_assessable: rows that nothing can solve, see `cost_table`.
        solvers: all of the study in its order, which decides their colours.
    """

    table: pd.DataFrame
    tau: float
    not_assessable: list[str]
    solvers: tuple[str, ...]

    def best(self) -> pd.DataFrame:
        """The solver with the least median time in each setting; of equals the one that is fastest more often.

        Returns:
            One row per setting: its columns, and `solver`, `median_seconds`, `marked`; the solver is None where
            no median is finite.
        """
        order = self.table.sort_values(["median_seconds", "fastest"], ascending=[True, False], kind="stable")
        best = order.drop_duplicates(SETTINGS).sort_index().reset_index(drop=True)
        best["solver"] = best["solver"].astype(object).where(np.isfinite(best["median_seconds"]), None)
        return best[[*SETTINGS, "solver", "median_seconds", "marked"]]

    def figure(self, x: str = "cores", y: str = "fun_seconds", **fixed: float) -> Any:
        """Map of the best solver over two settings.

        Args:
            x: setting along the horizontal axis.
            y: setting along the vertical axis.
            fixed: values of the other settings; the first of each by default.

        Returns:
            A plotly figure. Cells whose solver was cut off too often are marked by a star.

        Raises:
            UnknownNameError: there is no such setting.
            InvalidInputError: a fixed value isn't in the grid.
        """
        import plotly.graph_objects as go

        best = self._slice(x, y, fixed)
        from optcore_bench.figures import base_layout, solver_styles

        shown = list(dict.fromkeys(best["solver"].dropna())) or [""]
        colours = [style.color for style in solver_styles(shown, self.solvers).values()]
        edges = np.linspace(0, 1, len(shown) + 1)
        scale = [(edge, colour) for i, colour in enumerate(colours) for edge in (edges[i], edges[i + 1])]
        code = best["solver"].map({name: i for i, name in enumerate(shown)}).astype(float)
        text = best["solver"].fillna("none").str.replace(" [", "<br>[") + np.where(best["marked"], " *", "")
        frame = best.assign(code=code, text=text)
        cells = {name: frame.pivot(index=y, columns=x, values=name) for name in ("code", "text", "median_seconds")}
        figure = go.Figure(
            go.Heatmap(
                z=cells["code"].to_numpy(),
                x=[f"{v:g}" for v in cells["code"].columns],
                y=[f"{v:g}" for v in cells["code"].index],
                text=cells["text"].to_numpy(),
                customdata=cells["median_seconds"].to_numpy(),
                texttemplate="%{text}",
                textfont={"size": 12},
                hovertemplate="%{text}: median %{customdata:.3g} s<extra></extra>",
                zmin=-0.5,
                zmax=len(shown) - 0.5,
                colorscale=scale,
                showscale=False,
                xgap=2,
                ygap=2,
            ),
            layout=base_layout(),
        )
        title = f"Least median time to solve, tau = {self.tau:g} (* cut off on more than {CUT_OFF_SHARE:.0%})"
        figure.update_layout(title={"text": title, "font": {"size": 14}})
        for update, name in ((figure.update_xaxes, x), (figure.update_yaxes, y)):
            update(type="category", title_text=name.replace("_", " "), showgrid=False)
        return figure

    def _slice(self, x: str, y: str, fixed: dict[str, float]) -> pd.DataFrame:
        for name in (x, y, *fixed):
            if name not in SETTINGS:
                raise unknown_name("setting", name, SETTINGS)
        best = self.best()
        for name in SETTINGS:
            if name in (x, y):
                continue
            value = fixed.get(name, best[name].iloc[0])
            if not (best[name] == value).any():
                known = ", ".join(map(str, dict.fromkeys(best[name])))
                raise InvalidInputError(f"{name}={value!r} is not in the grid; it has {known}")
            best = best[best[name] == value]
        return best


def virtual_grid(
    results: HasTables | Evaluations | HitCounts,
    tau: float = 1e-5,
    fun_seconds: Sequence[float] = (1e-3, 1e-2, 1e-1, 1.0, 10.0),
    jac_seconds: Sequence[float] = (0.0,),
    cores: Sequence[int] = CORES,
    overhead_seconds: Sequence[float | Literal["measured"]] = (0.0,),
    spread: Sequence[float] = (0.0,),
    f_opt: ReferenceValue = "best_known",
) -> VirtualGrid:
    """Replay all runs on every combination of settings; the history is read once.

    Args:
        results: as for `cost_table`, or counts made from them by `hit_counts` (which decide `tau` and `f_opt`).
        tau: as for `cost_table`.
        fun_seconds: times of an evaluation, see `VirtualClock`; likewise the rest.
        jac_seconds: times of a jacobian.
        cores: numbers of cores.
        overhead_seconds: overheads of a batch.
        spread: coefficients of variation of the times of calls.
        f_opt: as for `cost_table`.

    Returns:
        Medians and counts of each setting and solver, with `.best()` and `.figure()`.

    Raises:
        InvalidInputError: as for `cost_table` and `VirtualClock`; a setting has no values; or there is no run.

    Example:
        >>> from optcore_bench import Results, virtual_grid
        >>> frame = pd.DataFrame({"problem": "a", "algorithm": "mine", "evaluation": range(5), "n": 2,
        ...                       "fun": [9.0, 9.1, 9.2, 0.0, 0.1], "f_opt": 0.0, "batch": [0, 0, 0, 1, 1],
        ...                       "task": ["fun", "numdiff", "numdiff", "fun", "numdiff"]})
        >>> grid = virtual_grid(Results.from_frame(frame), fun_seconds=[1.0], cores=[1, 2, 4])
        >>> grid.table[["cores", "median_seconds"]].values.tolist()
        [[1.0, 4.0], [2.0, 3.0], [4.0, 2.0]]
    """
    axes: dict[str, Sequence[Any]] = {
        "fun_seconds": fun_seconds,
        "jac_seconds": jac_seconds,
        "cores": cores,
        "overhead_seconds": overhead_seconds,
        "spread": spread,
    }
    for name, values in axes.items():
        if isinstance(values, str) or not len(np.atleast_1d(np.asarray(values, dtype=object))):
            raise InvalidInputError(f"{name} takes a list of values, at least one, not {values!r}")
    settings = list(product(*([*np.atleast_1d(np.asarray(values, dtype=object))] for values in axes.values())))
    clocks = [VirtualClock(fun, jac, c, overhead, cv) for fun, jac, c, overhead, cv in settings]
    if isinstance(results, HitCounts):
        hits = results
    else:
        hits = hit_counts(results, tau, f_opt, clock=any(c.overhead_seconds == "measured" for c in clocks))
    if hits.frame.empty:
        raise InvalidInputError("there is nothing to replay: the results have no run that applies")
    cells = _Cells.of(hits)
    frames = []
    for setting, clock in zip(settings, clocks, strict=True):
        frames.append(cells.summary(hits.solved_costs(clock)).assign(**dict(zip(SETTINGS, setting, strict=True))))
    table = pd.concat(frames, ignore_index=True)
    table["marked"] = table["cut_off"] > CUT_OFF_SHARE
    columns = [*SETTINGS, "solver", "problems", "solved", "median_seconds", "fastest", "cut_off", "marked"]
    return VirtualGrid(table[columns], hits.attrs["tau"], hits.attrs["not_assessable"], hits.attrs["solvers"])


@dataclass(frozen=True, eq=False)
class _Cells:
    """Where each run stands in a table of rows and solvers, so that no table is made per setting."""

    row: Ints
    column: Ints
    shape: tuple[int, int]
    solvers: list[str]
    cut_off: Floats

    @classmethod
    def of(cls, hits: HitCounts) -> _Cells:
        cells = hits.cells
        shape = len(cells.rows), len(cells.columns)
        cut = np.bincount(cells.column, weights=hits.frame["cut_off"], minlength=shape[1])
        return cls(cells.row, cells.column, shape, cells.columns, cut / np.bincount(cells.column, minlength=shape[1]))

    def summary(self, costs: Floats) -> pd.DataFrame:
        table = np.full(self.shape, np.inf)
        table[self.row, self.column] = costs
        least = table.min(axis=1, keepdims=True)
        low, high = ((self.shape[0] - 1) // 2, self.shape[0] // 2)
        middle = np.partition(table, [low, high], axis=0)
        with np.errstate(invalid="ignore"):
            median = (middle[low] + middle[high]) / 2
        return pd.DataFrame(
            {
                "solver": self.solvers,
                "problems": self.shape[0],
                "solved": np.isfinite(table).sum(axis=0),
                "median_seconds": median,
                "fastest": ((table == least) & np.isfinite(least)).sum(axis=0),
                "cut_off": self.cut_off,
            }
        )

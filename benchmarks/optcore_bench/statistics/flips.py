"""Orders of solvers that depend on what they should not: who else is compared, tau, the cost model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optcore.errors import InvalidInputError
from optcore_bench.profiles import performance_ratios
from optcore_bench.statistics.bootstrap import Floats
from optcore_bench.statistics.drawing import matrix
from optcore_bench.statistics.scores import row_areas

__all__ = ["Flips", "OrderChanges", "flips", "order_changes"]

_RATIOS = (1.0, 2.0, 4.0, 8.0, 16.0, 128.0)
_COLUMNS = ["left_out", "solver", "other", "up_to", "with_all", "without"]
#: Smaller differences are rounding.
_LEAST = 1e-12


@dataclass(frozen=True, eq=False)
class Flips:
    """Where the order of two solvers in a performance profile turns round when a third one is left out.

    Attributes:
        frame: columns `left_out, solver, other, up_to, with_all, without`: over ratios from 1 up to `up_to`, `solver`
            is on average above `other` by `with_all` (a share of problems) while all are compared, and below it (by
            `without`, negative) once `left_out` is gone.
        solvers: all that were compared.
    """

    frame: pd.DataFrame
    solvers: tuple[str, ...]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs that flip anywhere, each once, in order of appearance."""
        named = zip(self.frame["solver"], self.frame["other"], strict=True)
        return list(dict.fromkeys((min(pair), max(pair)) for pair in named))

    def figure(self, styles: object = None) -> Any:
        """Draw how many solvers, left out one at a time, turn the order of each pair round.

        Args:
            styles: not used.
        """
        del styles
        order = list(self.solvers)
        count = pd.DataFrame(0.0, index=order, columns=order)
        for solver, other, _ in {*zip(self.frame["solver"], self.frame["other"], self.frame["left_out"], strict=True)}:
            count.loc[solver, other] += 1
        total = count + count.T
        np.fill_diagonal(values := total.to_numpy(copy=True), np.nan)
        figure = matrix(
            pd.DataFrame(values, index=order, columns=order),
            colorscale="Cividis",
            zmin=0,
            colorbar={"title": {"text": "solvers whose absence<br>flips the pair", "side": "right"}},
        )
        figure.update_layout(title_text="Order in the performance profile that depends on who else is compared")
        return figure


def flips(costs: pd.DataFrame, ratios: Sequence[float] = _RATIOS) -> Flips:
    """Look for pairs whose order in a performance profile depends on a third solver.

    Each solver is left out once, and the profile of the rest is compared with that of all: by the mean height of the
    curves over log x, from 1 up to each of some ratios (by the height itself at 1). In a performance profile only the
    best solver's curve can be compared with the others; pairs that are named here must be compared two by two.

    Args:
        costs: a cost table, inf where unsolved.
        ratios: up to where curves are compared.

    References:
        Gould & Scott (2016), ACM Trans. Math. Softw. 43(2), 15:1-15:5.

    >>> rows = [(1, 1, 3), (3, 10, 30), (12, 10, 4), (1, 20, 8), (1, 30, 10)]
    >>> found = flips(pd.DataFrame(rows, columns=["A", "B", "C"], dtype=float))
    >>> found.frame[["left_out", "solver", "other", "up_to"]].values.tolist()
    [['A', 'B', 'C', 4.0], ['A', 'B', 'C', 8.0], ['A', 'B', 'C', 16.0]]
    """
    performance_ratios(costs)  # checks the costs
    if not ratios or min(ratios) < 1:
        raise InvalidInputError(f"ratios must be >= 1, not {ratios!r}")
    values = costs.to_numpy(dtype=float)
    names = list(map(str, costs.columns))
    everyone = _heights(values, ratios)
    found: list[tuple[Any, ...]] = []
    for left_out in range(len(names) if len(names) > 2 else 0):
        rest = [k for k in range(len(names)) if k != left_out]
        heights = np.full_like(everyone, np.nan)
        heights[:, rest] = _heights(values[:, rest], ratios)
        before = everyone[:, :, None] - everyone[:, None, :]
        after = heights[:, :, None] - heights[:, None, :]
        with np.errstate(invalid="ignore"):
            turned = np.argwhere((before > _LEAST) & (after < -_LEAST))
        found += [
            (names[left_out], names[i], names[j], ratios[k], before[k, i, j], after[k, i, j])
            for k, i, j in turned.tolist()
        ]
    return Flips(pd.DataFrame(found, columns=_COLUMNS), tuple(names))


def _heights(values: Floats, ratios: Sequence[float]) -> Floats:
    """Mean height of each profile from 1 up to each ratio, shape (ratios, solvers)."""
    relative = performance_ratios(pd.DataFrame(values)).to_numpy()
    up_to = [relative <= 1 if ratio == 1 else row_areas(relative, 1.0, ratio) for ratio in ratios]
    return np.array([rows.mean(axis=0) for rows in up_to])


@dataclass(frozen=True, eq=False)
class OrderChanges:
    """Pairs of which now the one, now the other wins more rows.

    Attributes:
        frame: columns `solver, other, name, wins, losses`: for each pair that changes, one row for each table, by its
            name; the order is that of the tables.
    """

    frame: pd.DataFrame

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs that change, each once."""
        return list(dict.fromkeys(zip(self.frame["solver"], self.frame["other"], strict=True)))

    def figure(self, styles: object = None) -> Any:
        """Draw wins minus losses of each pair that changes, by table.

        Args:
            styles: not used.
        """
        del styles
        shown = self.frame.assign(
            pair=self.frame["solver"] + " against " + self.frame["other"],
            lead=self.frame["wins"] - self.frame["losses"],
        )
        table = shown.pivot(index="pair", columns="name", values="lead")
        table = table.reindex(index=list(dict.fromkeys(shown["pair"])), columns=list(dict.fromkeys(shown["name"])))
        figure = matrix(
            table,
            colorscale="RdBu",
            zmid=0,
            colorbar={"title": {"text": "wins minus losses", "side": "right"}},
        )
        figure.update_layout(title_text="Pairs whose order changes")
        return figure


def order_changes(tables: Mapping[str, pd.DataFrame]) -> OrderChanges:
    """Look for pairs whose order depends on tau, the cost model, or whatever else tells the tables apart.

    Who wins more rows of a pair, by cost or because the other one didn't solve them, depends on no third solver and on
    no unit.

    Args:
        tables: cost tables by name, with the same rows and columns.

    Raises:
        InvalidInputError: the tables differ in their rows or columns.

    >>> loose, strict = pd.DataFrame({"a": [1.0], "b": [2.0]}), pd.DataFrame({"a": [9.0], "b": [3.0]})
    >>> order_changes({"1e-1": loose, "1e-7": strict}).pairs
    [('a', 'b')]
    """
    if not tables:
        raise InvalidInputError("there are no tables to compare; give at least one")
    first = next(iter(tables.values()))
    for name, table in tables.items():
        if not (table.index.equals(first.index) and table.columns.equals(first.columns)):
            raise InvalidInputError(
                f"the table {name!r} has other rows or columns than the first; compare equal tables"
            )
    wins = np.array([_wins(table.to_numpy(dtype=float)) for table in tables.values()])
    lead = wins - wins.transpose(0, 2, 1)
    changing = np.triu((lead > 0).any(axis=0) & (lead < 0).any(axis=0))
    names = list(map(str, first.columns))
    rows = [
        (names[i], names[j], name, int(wins[k, i, j]), int(wins[k, j, i]))
        for i, j in np.argwhere(changing).tolist()
        for k, name in enumerate(tables)
    ]
    return OrderChanges(pd.DataFrame(rows, columns=["solver", "other", "name", "wins", "losses"]))


def _wins(values: Floats) -> Any:
    """How many rows each solver (first axis) wins against each other one."""
    return np.array([(values[:, [i]] < values).sum(axis=0) for i in range(values.shape[1])])

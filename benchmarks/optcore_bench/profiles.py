"""Profiles: from a table of costs (rows: problems, columns: solvers, inf: not solved) to step functions.

Each function takes a DataFrame and returns one with columns `solver, x, y`: the curve of a solver is the
right-continuous step function that takes the value y from x on. Its first point is at the left end of the
axis, its last where the last problem was solved. A problem that a solver doesn't solve never enters its curve
and always stays in the denominator, also when nobody solves it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optcore.errors import InvalidInputError

__all__ = [
    "accuracy_profile",
    "data_profile",
    "digits_gained",
    "dimensions_of",
    "ecdf",
    "has_dimensions",
    "log_ratio_profile",
    "performance_profile",
    "performance_ratios",
    "simplex_gradients",
]

Floats = NDArray[np.float64]


def performance_ratios(costs: pd.DataFrame) -> pd.DataFrame:
    """Cost of each solver over the lowest cost on the same problem; inf where not solved.

    Args:
        costs: positive costs, inf where unsolved.

    Returns:
        Ratios >= 1 of the same shape; all solvers that tie for the lowest cost have ratio 1.

    Raises:
        InvalidInputError: the table is empty, or a cost is NaN, zero or negative.
    """
    values = _checked(costs, positive=True)
    best = values.min(axis=1, keepdims=True)
    ratios = np.divide(values, best, out=np.full_like(values, np.inf), where=np.isfinite(best))
    return pd.DataFrame(ratios, index=costs.index, columns=costs.columns)


def performance_profile(costs: pd.DataFrame) -> pd.DataFrame:
    """Share of problems that a solver solves at most x times as expensively as the best solver.

    Args:
        costs: positive costs, inf where unsolved.

    Returns:
        Columns `solver, x, y`; x >= 1 a ratio, y the share.

    References:
        Dolan & More (2002), Math. Program. 91, 201-213, eq. (2.1).

    >>> costs = pd.DataFrame({"a": [10.0, 20.0], "b": [20.0, 20.0], "c": [np.inf, 50.0]})
    >>> performance_profile(costs).query("solver == 'b'")[["x", "y"]].values.tolist()
    [[1.0, 0.5], [2.0, 1.0]]
    """
    return _steps(performance_ratios(costs), left=1.0)


def data_profile(costs: pd.DataFrame, n: pd.Series | None = None) -> pd.DataFrame:
    """Share of problems that a solver solves within x simplex gradients, that is x (n + 1) evaluations.

    Args:
        costs: positive costs in evaluations, inf where unsolved.
        n: number of parameters by row of `costs`; by default what `cost_table` left in `attrs`.

    Returns:
        Columns `solver, x, y`; x >= 0 in units of n + 1 evaluations, y the share.

    Raises:
        InvalidInputError: as for `performance_profile`; or n of a row is missing; or costs were divided
        already.

    References:
        More & Wild (2009), SIAM J. Optim. 20(1), 172-191, eq. (2.8).
    """
    if costs.attrs.get("model") == "gradients":
        raise InvalidInputError(
            "these costs are in units of n + 1 evaluations already: use ecdf(costs), or costs in evaluations"
        )
    return _steps(simplex_gradients(costs, n), left=0.0)


def dimensions_of(costs: pd.DataFrame, n: pd.Series | None = None) -> Floats:
    """Number of parameters of each row of a cost table, NaN where unknown, shape (rows,).

    Args:
        costs: a cost table; rows may stand in it several times.
        n: number of parameters by row; by default what `cost_table` left in `attrs`.
    """
    known = pd.Series(costs.attrs.get("n", {}), dtype=float) if n is None else pd.Series(n)
    return np.asarray(pd.to_numeric(known.reindex(costs.index)).to_numpy(dtype=float, na_value=np.nan))


def has_dimensions(costs: pd.DataFrame) -> bool:
    """Whether the number of parameters is known of every row, as data profiles need it."""
    return bool((dimensions_of(costs) >= 1).all())


def simplex_gradients(costs: pd.DataFrame, n: pd.Series | None = None) -> pd.DataFrame:
    """Costs over n + 1, which is what one forward difference costs.

    Args:
        costs: positive costs in evaluations, inf where unsolved.
        n: as for `dimensions_of`.

    Raises:
        InvalidInputError: as for `performance_profile`; or n of a row is missing.
    """
    values, dimension = _checked(costs, positive=True), dimensions_of(costs, n)
    if not (dimension >= 1).all():
        row = costs.index[~(dimension >= 1)][0]
        raise InvalidInputError(f"n must be given for every row of the costs and be >= 1; it isn't for {row!r}")
    return pd.DataFrame(values / (dimension[:, None] + 1), index=costs.index, columns=costs.columns)


def ecdf(costs: pd.DataFrame) -> pd.DataFrame:
    """Share of rows whose cost is at most x: the empirical distribution of run lengths.

    Rows may pool several accuracies: `ecdf(pd.concat([cost_table(results, tau) for tau in taus]))`.

    Args:
        costs: positive costs, inf where unsolved.

    Returns:
        Columns `solver, x, y`; x >= 0 a cost, y the share.
    """
    values = _checked(costs, positive=True)
    return _steps(pd.DataFrame(values, columns=costs.columns), left=0.0)


def accuracy_profile(gaps: pd.DataFrame, max_digits: float = 16.0) -> pd.DataFrame:
    """Share of problems on which a solver gained more than x digits with a fixed budget.

    Digits are -log10((f_best - f_L) / (f_start - f_L)), cut at 0 and `max_digits`; a run without progress has
    0. Drawn as steps, this is the curve of "at least x digits"; the two differ only in the jumps themselves.

    Args:
        gaps: what is left of f_start - f_L, see `accuracy_table`; inf where there is nothing.
        max_digits: where the axis ends; exact solutions have as many.

    Returns:
        Columns `solver, x, y`; x from 0 to `max_digits` in digits, y the share, which falls with x.

    References:
        Beiranvand, Hare & Lucet (2017), Optim. Eng. 18, 815-848, on fixed-cost comparisons.
    """
    if not max_digits > 0:
        raise InvalidInputError(f"max_digits must be > 0, not {max_digits!r}")
    _checked(gaps, positive=False)
    frames = []
    for solver, column in zip(gaps.columns, digits_gained(gaps, max_digits).to_numpy().T, strict=True):
        x = np.union1d([0.0], column)
        y = 1 - np.searchsorted(np.sort(column), x, side="right") / column.size
        frames.append(pd.DataFrame({"solver": solver, "x": x, "y": y}))
    return pd.concat(frames, ignore_index=True)


def digits_gained(gaps: pd.DataFrame, max_digits: float = 16.0) -> pd.DataFrame:
    """-log10 of what is left of f_start - f_L, between 0 and `max_digits`; NaN stays.

    >>> digits_gained(pd.DataFrame({"a": [0.5, 1e-3, 0.0]}))["a"].round(2).tolist()
    [0.3, 3.0, 16.0]
    """
    with np.errstate(divide="ignore"):
        digits = np.clip(-np.log10(np.maximum(gaps.to_numpy(dtype=float), 0.0)), 0.0, max_digits)
    return pd.DataFrame(digits, index=gaps.index, columns=gaps.columns)


def log_ratio_profile(costs: pd.DataFrame) -> pd.DataFrame:
    """log2 of the ratio of two solvers' costs, problem by problem, in ascending order.

    Below 0 the first solver was cheaper, above 0 the second. Where only one of them solved a problem, the
    value is 1.1 times the largest ratio of the others (at least 1) to its side; where neither did, it is 0:
    nobody won.

    Args:
        costs: exactly two columns of positive costs, inf where unsolved.

    Returns:
        Columns `solver, x, y`: who won ("" for a draw), the share of problems up to here, log2(cost 1 / cost
        2).

    References:
        Morales (2002), SIAM J. Optim. 12(4), 1001-1013; Shi et al. (2021), arXiv:2102.09762.
    """
    if costs.shape[1] != 2:
        raise InvalidInputError(f"log_ratio_profile compares 2 solvers; the table has {costs.shape[1]} columns")
    first, second = _checked(costs, positive=True).T
    solved = np.isfinite(first), np.isfinite(second)
    both = solved[0] & solved[1]
    y = np.zeros(first.size)
    y[both] = np.log2(first[both] / second[both])
    edge = 1.1 * max(1.0, float(np.abs(y).max()))
    y[solved[0] & ~solved[1]] = -edge
    y[solved[1] & ~solved[0]] = edge
    y.sort()
    winner = np.select([y < 0, y > 0], [str(costs.columns[0]), str(costs.columns[1])], default="")
    return pd.DataFrame({"solver": winner, "x": np.arange(1, y.size + 1) / y.size, "y": y})


def _steps(values: pd.DataFrame, left: float) -> pd.DataFrame:
    """For each column the share of rows with value <= x, at the left end and wherever it grows."""
    frames = []
    for i, solver in enumerate(values.columns):
        column = values.iloc[:, i].to_numpy()
        x = np.union1d([left], column[np.isfinite(column)])
        y = np.searchsorted(np.sort(column), x, side="right") / column.size
        frames.append(pd.DataFrame({"solver": solver, "x": x, "y": y}))
    return pd.concat(frames, ignore_index=True)


def _checked(table: pd.DataFrame, *, positive: bool) -> Any:
    if not isinstance(table, pd.DataFrame):
        raise InvalidInputError(f"a profile is made of a pandas DataFrame, not of a {type(table).__name__}")
    try:
        values = table.to_numpy(dtype=float)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"a profile is made of numbers: {error}") from None
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()][0]
        raise InvalidInputError(f"two columns are called {twice!r}; give each solver a name of its own")
    if values.size == 0:
        raise InvalidInputError(f"a profile needs at least one problem and one solver; the table is {table.shape}")
    wrong = ~(values > 0) if positive else np.isnan(values)
    if wrong.any():
        i, j = np.argwhere(wrong)[0]
        want = "costs must be positive (inf where unsolved)" if positive else "values must not be NaN"
        raise InvalidInputError(f"{want}; {table.columns[j]!r} has {values[i, j]} on {table.index[i]!r}")
    return values

"""The bootstrap that all intervals come from: functions are drawn with replacement, with all their rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optcore.errors import InvalidInputError
from optcore_bench.statistics.clusters import clusters

__all__ = ["Bootstrap", "weighted_medians"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """How intervals are made: percentiles over replicates of the suite, in which functions are drawn with replacement.

    A replicate has as many functions as the suite has, some of them several times and some not at all; all rows of a
    function come along (Davison & Hinkley 1997, Bootstrap Methods and their Application, section 3.8, strategy 1).
    The same seed gives the same replicates, whatever is computed from them.

    Args:
        clusters: the group of each row, by row; `clusters(table)` by default. `"rows"` makes each row its own group.
        replicates: how many.
        level: coverage of the intervals.
        seed: of the draws.
    """

    clusters: pd.Series | Mapping[str, str] | str | None = None
    replicates: int = 1000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.replicates < 1 or int(self.replicates) != self.replicates:
            raise InvalidInputError(f"replicates must be a whole number >= 1, not {self.replicates!r}")
        if not 0 < self.level < 1:
            raise InvalidInputError(f"level must be between 0 and 1, not {self.level!r}")
        if isinstance(self.clusters, str) and self.clusters != "rows":
            raise InvalidInputError(f"clusters must be a Series, a mapping, 'rows' or None, not {self.clusters!r}")

    def groups(self, table: pd.DataFrame) -> NDArray[np.int64]:
        """The number of each row's group, shape (rows,).

        Raises:
            InvalidInputError: a row has no group.
        """
        # The names of the rows decide, and many tables of a store have the same.
        key = tuple(table.index)
        if key not in self._groups:
            self._groups[key] = self._find_groups(table)
        return self._groups[key]

    @cached_property
    def _groups(self) -> dict[tuple[Any, ...], NDArray[np.int64]]:
        return {}

    def _find_groups(self, table: pd.DataFrame) -> NDArray[np.int64]:
        if isinstance(self.clusters, str):
            return np.arange(len(table))
        if self.clusters is None:
            return np.asarray(pd.factorize(clusters(table))[0], dtype=np.int64)
        named: Any = pd.Series(dict(self.clusters), dtype=object)
        # Rows may stand in a table several times (one for each tau): they have the group of their name.
        named = named[~named.index.duplicated()].reindex(table.index)
        if named.isna().any():
            raise InvalidInputError(f"clusters has no group for the row {table.index[named.isna()][0]!r}")
        return np.asarray(pd.factorize(named)[0], dtype=np.int64)

    def weights(self, table: pd.DataFrame) -> Floats:
        """How often each row is in each replicate, shape (replicates, rows)."""
        group = self.groups(table)
        if group.size == 0:
            raise InvalidInputError(f"there is nothing to resample: the table is {table.shape}")
        return self.weights_of(group)

    def weights_of(self, group: NDArray[np.int64]) -> Floats:
        """How often each row is in each replicate, from the numbers of their groups, shape (replicates, rows)."""
        n = int(group.max()) + 1
        if n not in self._drawn:
            drawn = np.random.default_rng(self.seed).multinomial(n, np.full(n, 1 / n), size=self.replicates)
            self._drawn[n] = drawn.astype(float)
        return self._drawn[n][:, group]

    @cached_property
    def _drawn(self) -> dict[int, Floats]:
        return {}

    def shares(self, table: pd.DataFrame, values: Floats) -> Floats:
        """Weighted means over rows in each replicate.

        Args:
            table: its rows are resampled.
            values: what is averaged, shape (rows, k).

        Returns:
            Shape (replicates, k).
        """
        weights = self.weights(table)
        return np.asarray(weights @ values / weights.sum(axis=1, keepdims=True))

    def interval(self, samples: Floats) -> tuple[Any, Any]:
        """Lower and upper percentile over the first axis; values that occur, so that infinite ones do no harm."""
        tail = (1 - self.level) / 2
        lower, upper = np.quantile(samples, [tail, 1 - tail], axis=0, method="inverted_cdf")
        return lower, upper


def weighted_medians(values: Floats, counts: NDArray[np.int32]) -> Floats:
    """The median of some values in each replicate.

    Between two middle values lies their mean; of one finite and one infinite the finite one; of two opposite
    infinities 0. So the median of -values is minus the median of values.

    Args:
        values: shape (rows,), may be infinite.
        counts: how often each is in a replicate, shape (rows, replicates).

    Returns:
        Shape (replicates,); NaN where all counts are 0.
    """
    order = np.argsort(values, kind="stable")
    # Replicates side by side: each step adds rows that lie together in memory.
    total = np.cumsum(counts[order], axis=0, dtype=np.int32)
    whole, last = total[-1], values.size - 1
    # Up to an odd half, "below half" and "at most half" say the same of whole numbers.
    low = np.minimum(np.count_nonzero(total < (whole + 1) // 2, axis=0), last)
    high = np.minimum(np.count_nonzero(total <= whole // 2, axis=0), last)
    a, b = values[order][low], values[order][high]
    with np.errstate(invalid="ignore"):
        middle = np.where(np.isinf(a) & np.isinf(b), np.where(a == b, a, 0.0), (a + b) / 2)
    middle = np.where(np.isinf(a) & np.isfinite(b), b, np.where(np.isinf(b) & np.isfinite(a), a, middle))
    return np.where(whole > 0, middle, np.nan)

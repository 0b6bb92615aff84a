"""How long both sides took, as a ratio with an interval. It is reported, and decides nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

__all__ = ["TimeRatio", "time_ratio"]

_DRAWS = 2000


class TimeRatio(NamedTuple):
    """Geometric mean over rows of new seconds / old seconds.

    Attributes:
        ratio: the mean.
        low, high: 95 % interval by bootstrap over rows.
        rows: how many rows have times on both sides.
    """

    ratio: float
    low: float
    high: float
    rows: int

    def __str__(self) -> str:
        return (
            f"time x{self.ratio:.2f} (95 % interval {self.low:.2f} to {self.high:.2f} over {self.rows} rows), "
            "advisory: it decides nothing"
        )


def time_ratio(rows: Iterable[Any]) -> TimeRatio | None:
    """The ratio of times over the rows that both sides timed; None where fewer than two have times.

    The interval is the same whenever it is asked for: the draws have a fixed seed.

    Args:
        rows: `RowComparison`s.
    """
    import numpy as np

    logs = [
        math.log(row.new.seconds / row.old.seconds)
        for row in rows
        if row.old is not None and row.new is not None and row.old.seconds > 0 and row.new.seconds > 0
    ]
    if len(logs) < 2:
        return None
    values = np.array(logs)
    draws = np.random.default_rng(0).integers(0, values.size, (_DRAWS, values.size))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return TimeRatio(math.exp(values.mean()), math.exp(low), math.exp(high), values.size)

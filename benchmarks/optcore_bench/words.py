"""Words for numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["count", "interval", "names", "quantity", "share", "whole_interval"]


def count(number: int, one: str, several: str | None = None) -> str:
    """A number with its noun.

    >>> count(1, "pair"), count(2, "pair"), count(0, "study", "studies")
    ('1 pair', '2 pairs', '0 studies')
    """
    return f"{number} {one if number == 1 else several or one + 's'}"


def names(given: Sequence[str], most: int = 3) -> str:
    """A list in words; of a long one the first, and how many others there are.

    >>> names(["a"]), names(["a", "b", "c"]), names(["a", "b", "c", "d"])
    ('a', 'a, b and c', 'a, b and 2 others')
    """
    if len(given) > most:
        return f"{', '.join(given[: most - 1])} and {len(given) - most + 1} others"
    return given[0] if len(given) == 1 else f"{', '.join(given[:-1])} and {given[-1]}"


def quantity(value: float) -> str:
    """A number with at most three digits that matter.

    >>> quantity(0.51234), quantity(1234567.0), quantity(12.0), quantity(math.inf)
    ('0.512', '1.23e+06', '12', 'infinite')
    """
    return "infinite" if math.isinf(value) else f"{value:.3g}"


def interval(lower: float, upper: float) -> str:
    """An interval of ratios or scores.

    >>> interval(0.25, 1.5)
    '0.25 to 1.5'
    """
    return f"{quantity(lower)} to {quantity(upper)}"


def whole_interval(lower: float, upper: float) -> str:
    """An interval of counts, to the nearest whole ones.

    >>> whole_interval(-0.4, 3.6)
    '0 to 4'
    """
    return f"{round(lower) + 0} to {round(upper) + 0}"


def share(part: int, whole: int) -> str:
    """A share in percent, never rounded to nothing or all.

    >>> share(1, 1000), share(1, 3), share(999, 1000), share(5, 5)
    ('under 1 %', '33 %', 'over 99 %', '100 %')
    """
    percent = 100 * part / whole
    if 0 < percent < 1:
        return "under 1 %"
    if 99 < percent < 100:
        return "over 99 %"
    return f"{percent:.0f} %"

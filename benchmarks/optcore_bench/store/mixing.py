"""What may stand together in one store: runs of one study, under the same rules, from one environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from optcore.errors import OptcoreError

__all__ = ["RULES", "MixedEnvironmentError", "MixedStudyError", "NotComparableError", "differences"]

#: Keys of a study that all rows of a store share.
RULES = ("name", "budget", "stopping", "seed", "keep_x")


class NotComparableError(OptcoreError):
    """Rows would stand side by side that can't be compared."""


class MixedEnvironmentError(NotComparableError):
    """A store holds the results of one environment, and this is another one."""


class MixedStudyError(NotComparableError):
    """A store holds the results of one study, and this is another one."""


def differences(
    one: Mapping[str, Any], other: Mapping[str, Any], keys: Iterable[str] | None = None, form: str = "{!r} and {!r}"
) -> str:
    """What two studies or environments say differently; "" if nothing.

    Args:
        one: the first.
        other: the second.
        keys: what to compare; all that one of them has by default, sorted.
        form: takes the two values.

    >>> differences({"seed": 0, "name": "a"}, {"seed": 1, "name": "a"}, form="{!r} there, {!r} here")
    'seed 0 there, 1 here'
    """
    compared = sorted({*one, *other}) if keys is None else keys
    return "; ".join(
        f"{key} {form.format(one.get(key), other.get(key))}" for key in compared if one.get(key) != other.get(key)
    )

"""What stays as it is: the argument `fixed` of minimize."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidInputError, unknown_name
from optcore.partial import spread_flags

if TYPE_CHECKING:
    from optcore.tree import Converter

__all__ = ["read_fixed"]


def read_fixed(fixed: Any, converter: Converter) -> NDArray[np.intp] | None:
    """The positions of the entries that are free; None: all.

    Args:
        fixed: a name, or a list, tuple, set or array of names as messages and `history.names` have them: of an entry
            ("b[0]", "beta['age']"), a leaf ("b") or a branch, for all that is below it. Or a tree of bools with a part
            of the keys of params, one bool for a leaf, a branch or each entry; what is missing or None is free.
        converter: knows params.

    Raises:
        UnknownNameError: a name that params don't have; suggests the nearest.
        InvalidInputError: neither names nor bools, or nothing is free.

    >>> from optcore.tree import Converter
    >>> params = Converter({"beta": [1.0, 2.0], "sigma": 3.0})
    >>> read_fixed("beta", params), read_fixed(["beta[1]"], params), read_fixed({"sigma": True}, params)
    (array([2]), array([0, 2]), array([0, 1]))
    """
    names = _as_names(fixed)
    mask = spread_flags(fixed, converter, "fixed") if names is None else _named(names, converter)
    if not mask.any():
        return None
    if mask.all():
        raise InvalidInputError("all params are fixed: there is nothing to optimize; leave at least one entry free")
    return np.flatnonzero(~mask)


def _as_names(fixed: Any) -> list[str] | None:
    """The names, if it is names."""
    if isinstance(fixed, str):
        return [fixed]
    if isinstance(fixed, (list, tuple, set, frozenset)) or getattr(fixed, "ndim", 0) == 1:
        names = list(fixed)
        if isinstance(fixed, (set, frozenset)) or (names and all(isinstance(name, str) for name in names)):
            return [str(name) for name in names]
    return None


def _named(names: list[str], converter: Converter) -> NDArray[np.bool_]:
    places: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for i, name in enumerate(converter.all_names):
        places[name].add((i, i + 1))
    for node in converter.structure.nodes():
        if node.name:
            places[node.name].add((converter.slices[node.start].start, converter.slices[node.stop - 1].stop))
    mask = np.zeros(converter.size, dtype=bool)
    for name in names:
        if name not in places:
            raise unknown_name("name in fixed", name, places)
        if len(places[name]) > 1:
            found = [converter.all_names[start:stop] for start, stop in sorted(places[name])]
            raise InvalidInputError(f"{name!r} in fixed may mean any of {found}; use a tree of bools")
        for start, stop in places[name]:
            mask[start:stop] = True
    return mask

"""Trees with a part of the leaves of params: bounds, steps, what is fixed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidInputError
from optcore.leaves import Leaf, align, completed, is_scalar, library_of, numeric, within
from optcore.structure import show

if TYPE_CHECKING:
    from optcore.tree import Converter

__all__ = ["spread_flags", "spread_numbers"]

Read = Callable[[Any, str], NDArray[Any]]


def spread_numbers(tree: Any, converter: Converter, default: float, what: str) -> NDArray[np.float64]:
    """The numbers in a partial tree, shape (size,).

    Args:
        tree: None, a number for all, or a tree; a number at a branch or an array stands for all entries there.
        converter: knows params.
        default: for what is missing or None.
        what: what the tree is, for messages.

    Raises:
        InvalidInputError: a key that params don't have, another shape, or something that isn't a number; names it.

    >>> from optcore.tree import Converter
    >>> spread_numbers({"b": 7}, Converter({"b": [1.0, 2.0], "a": 3.0}), 0.0, "bounds.lower")
    array([0., 7., 7.])
    """
    flat = np.full(converter.size, default)
    if tree is None:
        return flat
    if is_scalar(tree):
        flat[:] = float(tree)
        return flat
    return _fill(flat, tree, converter, default, what, numeric)


def spread_flags(tree: Any, converter: Converter, what: str) -> NDArray[np.bool_]:
    """The same for a tree of bools, False where nothing is said; shape (size,)."""
    return _fill(np.zeros(converter.size, dtype=bool), tree, converter, False, what, _flags)


def _flags(value: Any, what: str) -> NDArray[np.bool_]:
    array = np.asarray(value)
    if array.dtype == object and array.size and all(isinstance(flag, (bool, np.bool_)) for flag in array.flat):
        array = array.astype(bool)
    if array.dtype != bool:
        raise InvalidInputError(f"{what} must be True or False, but is {show(value)}")
    return array


def _fill(flat: NDArray[Any], tree: Any, converter: Converter, default: Any, what: str, read: Read) -> NDArray[Any]:
    for node, value in converter.structure.spread(tree, what):
        for i in range(node.start, node.stop):
            label = within(what, converter.structure.leaves[i].name)
            flat[converter.slices[i]] = _entries(value, converter.leaves[i], default, label, read)
    return flat


def _entries(value: Any, leaf: Leaf, default: Any, label: str, read: Read) -> NDArray[Any]:
    """One value for all entries of a leaf, or one for each."""
    if isinstance(value, (list, tuple)):
        given = np.asarray(value, dtype=object)
        value = np.where(given == None, default, given)  # noqa: E711  elementwise
    if leaf.axes and library_of(value) == "pandas":
        value = align(completed(value, leaf, default, label), leaf, label, InvalidInputError)
    array = read(value, label)
    if array.shape not in ((), leaf.shape):
        raise InvalidInputError(f"{label} has shape {array.shape}, but params have {leaf.shape} there")
    return array.ravel() if array.shape else array

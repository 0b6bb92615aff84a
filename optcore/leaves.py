"""One leaf of a params tree: how it is named, read as float64, and restored as it came."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import optree
from numpy.typing import NDArray

from optcore.errors import InvalidFunctionError, InvalidInputError

Vector = NDArray[Any]  # float64, or complex128 within a complex step
FLOAT64 = np.dtype(np.float64)


@dataclass(frozen=True)
class Leaf:
    """One leaf of a params tree: how it is named, read and restored."""

    name: str
    shape: tuple[int, ...]
    restore: Callable[[Vector], Any]
    data: Any = None  # of a pandas leaf: what has the index

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    def within(self, what: str) -> str:
        """This leaf of `what`, for messages."""
        return f"{what} at leaf {self.name!r}" if self.name else what

    @property
    def index(self) -> Any:
        """The index of a pandas leaf, else None."""
        return None if self.data is None else self.data.index

    @property
    def labels(self) -> tuple[str, ...]:
        """One per entry, for instance "beta['age']"."""
        if self.data is None:
            return _entry_labels(self.name, self.shape)
        return tuple(f"{self.name}[{key!r}]" if self.name else str(key) for key in _pandas_keys(self.data))


def library_of(value: Any) -> str:
    """The library that a value's type comes from, without importing it."""
    return type(value).__module__.split(".")[0]


def is_scalar(value: Any) -> bool:
    """Whether it is one real number, Python's or numpy's."""
    return isinstance(value, (numbers.Real, np.number)) and not isinstance(value, (bool, np.bool_))


def numeric(value: Any, what: str) -> NDArray[np.float64]:
    """`value` as a float64 array, or an error that says why it can't be one."""
    try:
        array = np.asarray(value)
    except Exception as error:
        raise InvalidInputError(f"{what} can't be read as numbers: {error}") from error
    if array.dtype.kind == "O":
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise InvalidInputError(f"{what} must be numeric, but is {show(value)}") from error
    if array.dtype.kind not in "iuf":
        raise InvalidInputError(f"{what} must be real numbers, but is {show(value)} of type {array.dtype}")
    return array.astype(np.float64)


def refuse_none(params: Any) -> None:
    """Raise InvalidInputError where a leaf of params is None, which optree would pass over."""
    paths, values, _ = optree.tree_flatten_with_path(params, none_is_leaf=True)
    for path, value in zip(paths, values, strict=True):
        if value is None:
            raise InvalidInputError(f"params leaf {leaf_name(path)!r} must be a number or an array, but is None")


def show(value: Any, limit: int = 60) -> str:
    """A value as messages show it: one line of at most `limit` characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _entry_labels(name: str, shape: tuple[int, ...]) -> tuple[str, ...]:
    if shape == ():
        return (name or "x",)
    if name == "":  # params are one array: its entries are called by their index
        return tuple(",".join(map(str, index)) for index in np.ndindex(shape))
    return tuple(f"{name}[{','.join(map(str, index))}]" for index in np.ndindex(shape))


def leaf_name(path: tuple[Any, ...]) -> str:
    """`('c', 0)` -> "c[0]": the first key bare, as a user would call it."""
    if not path:
        return ""
    first, *rest = path
    return f"{first}" + "".join(f"[{entry!r}]" for entry in rest)


def accessor_name(accessor: optree.PyTreeAccessor) -> str:
    """As `leaf_name`, with the fields of namedtuples by their names."""
    name = ""
    for entry in accessor:
        if isinstance(entry, optree.NamedTupleEntry):
            name += f".{entry.field}" if name else entry.field
        else:
            name += f"[{entry.entry!r}]" if name else f"{entry.entry}"
    return name


def read_leaf(value: Any, name: str) -> tuple[Leaf, NDArray[np.float64]]:
    """What a leaf is, and its numbers as a flat vector.

    Raises:
        InvalidInputError: it isn't numeric; names the leaf.
    """
    what = f"params leaf {name!r}" if name else "params"
    if library_of(value) == "pandas":
        return _read_pandas(value, name, what)
    array = numeric(value, what)
    shape = array.shape
    restore: Callable[[Vector], Any]
    if library_of(value) in {"jax", "jaxlib"}:
        restore = RestoreJax(shape)
    elif isinstance(value, np.ndarray):
        restore = RestoreArray(shape)
    elif is_scalar(value):
        restore = restore_number
    else:
        raise InvalidInputError(f"{what} must be a number or an array, but is {show(value)}")
    return Leaf(name, shape, restore), array.ravel()


def restore_number(x: Vector) -> Any:
    """One entry as a Python number."""
    return x.item()


@dataclass(frozen=True)
class RestoreArray:
    """Makes a numpy array of a flat vector."""

    shape: tuple[int, ...]

    def __call__(self, x: Vector) -> Any:
        """The entries x, shape (size,), as a new array."""
        return x.reshape(self.shape).copy()


@dataclass(frozen=True)
class RestoreJax:
    """Makes a JAX array of a flat vector, in the precision that JAX is set to."""

    shape: tuple[int, ...]

    def __call__(self, x: Vector) -> Any:
        """The entries x, shape (size,), as a new array."""
        import jax.numpy as jnp

        return jnp.asarray(x.reshape(self.shape))


@dataclass(frozen=True)
class _RestorePandas:
    template: Any
    column: str | None

    def __call__(self, x: Vector) -> Any:
        if self.column is not None:
            frame = self.template.copy()
            frame[self.column] = x
            return frame
        if self.template.ndim == 1:
            return type(self.template)(x.copy(), index=self.template.index, name=self.template.name)
        return type(self.template)(
            x.reshape(self.template.shape).copy(), index=self.template.index, columns=self.template.columns
        )


def _read_pandas(value: Any, name: str, what: str) -> tuple[Leaf, NDArray[np.float64]]:
    column = "value" if value.ndim == 2 and "value" in value.columns else None
    data = value[column] if column else value
    array = numeric(data.to_numpy(), what)
    return Leaf(name, array.shape, _RestorePandas(value.copy(), column), data.copy()), array.ravel()


def _pandas_keys(data: Any) -> Iterator[Any]:
    if data.ndim == 1:
        yield from data.index
    else:
        yield from ((row, column) for row in data.index for column in data.columns)


def align(value: Any, leaf: Leaf, what: str, error: type[Exception]) -> Any:
    """A Series or DataFrame in the order of the index of params."""
    if value.ndim == 2 and len(leaf.shape) == 1:
        value = value["value"] if "value" in value.columns else value.iloc[:, 0]
    axes = ["index", "columns"][: value.ndim] if value.ndim == len(leaf.shape) else ["index"]
    for axis in axes:
        given, wanted = getattr(value, axis), getattr(leaf.data, axis)
        if given.equals(wanted):
            continue
        if len(given) != len(wanted) or set(given) != set(wanted):
            raise error(f"{what} has the {axis} {list(given)}, but params have {list(wanted)}")
        value = value.reindex(**{axis: wanted})
    return value.to_numpy()


def completed(value: Any, leaf: Leaf, default: float, what: str) -> Any:
    """A Series that has a part of the index of params, with the default for the rest."""
    if value.ndim == 2 and len(leaf.shape) == 1:
        value = value["value"] if "value" in value.columns else value.iloc[:, 0]
    if value.ndim != 1 or len(leaf.shape) != 1:
        return value
    for key in value.index:
        if key not in leaf.index:
            raise InvalidInputError(
                f"{what} has the entry {key!r} that params don't have; they have {list(leaf.index)}"
            )
    return value if len(value.index) == len(leaf.index) else value.reindex(leaf.index, fill_value=default)


def as_pandas(block: NDArray[Any], leaf: Leaf) -> Any:
    """A derivative with respect to a pandas leaf, with its index where it is a vector."""
    import pandas as pd

    return pd.Series(block, index=leaf.index) if block.ndim == 1 else block


def derivative_array(value: Any, what: str) -> NDArray[Any]:
    """A derivative, or a leaf of one, as a float64 array.

    Raises:
        InvalidFunctionError: it can't be read as one, or isn't real.
    """
    if type(value) is np.ndarray and value.dtype is FLOAT64:
        return value
    if value is None:
        raise InvalidFunctionError(f"{what} returned None; is a return statement missing?")
    try:
        array = np.asarray(value)
        if array.dtype.kind == "O":
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidFunctionError(f"{what} returned {show(value)}, which can't be read as an array") from error
    if array.dtype.kind not in "iuf":
        raise InvalidFunctionError(f"{what} must be real numbers, but returned {show(value)} of type {array.dtype}")
    return array.astype(np.float64)

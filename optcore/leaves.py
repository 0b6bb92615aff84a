"""One leaf of a params tree: how it is read as float64, restored as it came, and recognised in derivatives."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidFunctionError, InvalidInputError
from optcore.sparse import is_sparse
from optcore.structure import NAMESPACE, show

Vector = NDArray[Any]  # float64, or complex128 within a complex step
FLOAT64 = np.dtype(np.float64)
#: What restores a leaf from its entries, which are its own; None: they are what the leaf was.
Restore = Callable[[Vector], Any] | None


@dataclass(frozen=True)
class Leaf:
    """One leaf of a params tree, or of a tree of residuals.

    Attributes:
        shape: of its entries.
        restore: makes it of its entries, shape (size,); of its one entry where it was a number.
        axes: the index of a Series; index and columns of a DataFrame; nothing otherwise.
        is_number: whether it was a number rather than an array.
    """

    shape: tuple[int, ...]
    restore: Restore = None
    axes: tuple[Any, ...] = ()
    is_number: bool = False

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    def labels(self, name: str) -> tuple[str, ...]:
        """What its entries are called if the leaf is called `name`, for instance "beta['age']"."""
        if self.axes:
            keys = list(self.axes[0]) if len(self.axes) == 1 else list(product(*self.axes))
            return tuple(f"{name}[{key!r}]" if name else str(key) for key in keys)
        if self.shape == ():
            return (name,)
        indices = [",".join(map(str, index)) for index in np.ndindex(self.shape)]
        return tuple(f"{name}[{index}]" for index in indices) if name else tuple(indices)


def within(what: str, name: str) -> str:
    """The leaf called `name` of `what`, for messages."""
    return f"{what} at leaf {name!r}" if name else what


def library_of(value: Any) -> str:
    """The library that a value's type comes from, without importing it."""
    return type(value).__module__.split(".")[0]


def is_scalar(value: Any) -> bool:
    """Whether it is one real number, Python's or numpy's."""
    return isinstance(value, (numbers.Real, np.number)) and not isinstance(value, (bool, np.bool_))


def _is_real(dtype: np.dtype[Any]) -> bool:
    """Whether its values are real numbers; the short floats of JAX are of no kind that numpy knows."""
    return dtype.kind in "iuf" or dtype.name.startswith(("bfloat", "float"))


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
            raise InvalidInputError(f"{what} must be numeric, but is {show(value)}{_registration(value)}") from error
    if not _is_real(array.dtype):
        raise InvalidInputError(f"{what} must be real numbers, but is {show(value)} of type {array.dtype}")
    return array.astype(np.float64)


def _registration(value: Any) -> str:
    """What to do with an object that may have been meant as a container."""
    cls = type(value)
    if not (dataclasses.is_dataclass(cls) or hasattr(cls, "__attrs_attrs__") or hasattr(value, "tree_flatten")):
        return ""
    return (
        f"; register {cls.__name__} with optree, so that its fields are params: "
        f"optree.register_pytree_node({cls.__name__}, ..., namespace={NAMESPACE!r}), or define it with "
        f"optree.dataclasses.dataclass(namespace={NAMESPACE!r})"
    )


# params in, params out -----------------------------------------------------------------------------------------------


def read_leaf(value: Any, name: Callable[[], str]) -> tuple[Leaf, NDArray[np.float64]]:
    """What a leaf of params is, and its numbers as a flat vector.

    Args:
        value: the leaf.
        name: says what it is called, for messages.

    Raises:
        InvalidInputError: it isn't numeric; names the leaf.
    """
    if type(value) is float:
        return _PYTHON_NUMBER, np.array((value,))
    if type(value) is np.ndarray and value.dtype is FLOAT64:
        return Leaf(value.shape, _restore_array(value.shape)), value.flatten()
    what = f"params leaf {name()!r}" if name() else "params"
    if library_of(value) == "pandas":
        return _read_pandas(value, what)
    array = numeric(value, what)
    shape, flat = array.shape, array.ravel()
    if library_of(value) in {"jax", "jaxlib"}:
        return Leaf(shape, RestoreJax(shape)), flat
    if isinstance(value, np.ndarray):
        _refuse_subclass(value, what)
        return Leaf(shape, _restore_array(shape)), flat
    if isinstance(value, np.number):
        return Leaf((), is_number=True), flat
    if is_scalar(value):
        return _PYTHON_NUMBER, flat
    raise InvalidInputError(f"{what} must be a number or an array, but is {show(value)}")


def _refuse_subclass(value: NDArray[Any], what: str) -> None:
    """Masks, units and the meaning of * would be lost on the way."""
    if type(value) not in (np.ndarray, np.memmap):
        raise InvalidInputError(
            f"{what} is a {type(value).__name__}, which would come back as a plain array; give numpy.asarray(...) of "
            "it, and fixed= for entries that are not to change"
        )


def restore_number(x: Any) -> Any:
    """One entry as a Python number."""
    return x.item()


_PYTHON_NUMBER = Leaf((), restore_number, is_number=True)


def _restore_array(shape: tuple[int, ...]) -> Restore:
    return None if len(shape) == 1 else RestoreArray(shape)


@dataclass(frozen=True)
class RestoreArray:
    """Makes a numpy array of a flat vector."""

    shape: tuple[int, ...]

    def __call__(self, x: Vector) -> Any:
        """The entries x, shape (size,), in shape."""
        return x.reshape(self.shape)


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
            return type(self.template)(x, index=self.template.index, name=self.template.name)
        return type(self.template)(
            x.reshape(self.template.shape), index=self.template.index, columns=self.template.columns
        )


def _read_pandas(value: Any, what: str) -> tuple[Leaf, NDArray[np.float64]]:
    if value.ndim not in (1, 2) or not hasattr(value, "index"):
        raise InvalidInputError(f"{what} must be a Series or a DataFrame, but is {show(value)}")
    column = "value" if value.ndim == 2 and _has_value_column(value) else None
    data = value[column] if column else value
    if data.ndim == 2:
        for label, dtype in zip(data.columns, data.dtypes, strict=True):
            if dtype.kind not in "iufO":
                raise InvalidInputError(
                    f"{what} must be real numbers, but its column {label!r} is of type {dtype}; call the column that "
                    "is to be optimized 'value', or give the others elsewhere"
                )
    array = numeric(data.to_numpy(), what)
    axes = (data.index,) if data.ndim == 1 else (data.index, data.columns)
    # Series and DataFrames of another kind, such as those of geopandas, come back as plain ones.
    return Leaf(array.shape, _RestorePandas(value.copy(), column), axes), array.ravel()


def _has_value_column(frame: Any) -> bool:
    return frame.columns.nlevels == 1 and list(frame.columns).count("value") == 1


# what is given for leaves of params ----------------------------------------------------------------------------------


def align(value: Any, leaf: Leaf, what: str, error: type[Exception]) -> Any:
    """A Series or DataFrame in the order of the index of params."""
    value = _one_column(value, leaf, what, error)
    if value.ndim != len(leaf.axes):
        return value.to_numpy()
    for axis, wanted in zip(("index", "columns"), leaf.axes, strict=False):
        value = reordered(value, axis, wanted, what, error)
    return value.to_numpy()


def reordered(value: Any, axis: str, wanted: Any, what: str, error: type[Exception], whose: str = "params have") -> Any:
    """A Series or DataFrame with one of its axes in the order that is wanted."""
    given = getattr(value, axis)
    if given.equals(wanted):
        return value
    if len(given) != len(wanted) or set(given) != set(wanted):
        raise error(f"{what} has the {axis} {show(list(given))}, but {whose} {show(list(wanted))}")
    if not wanted.is_unique:
        raise error(
            f"{what} has the {axis} {show(list(given))}, but {whose} {show(list(wanted))}: with labels that come "
            "twice the order must be the same"
        )
    return value.reindex(**{axis: wanted})


def _one_column(value: Any, leaf: Leaf, what: str, error: type[Exception]) -> Any:
    """Of a DataFrame the column that is meant where params have a vector."""
    if value.ndim != 2 or len(leaf.shape) != 1:
        return value
    if _has_value_column(value):
        return value["value"]
    if value.shape[1] != 1:
        raise error(
            f"{what} has the columns {show(list(value.columns))}; give a Series, or call the column that is meant "
            "'value'"
        )
    return value.iloc[:, 0]


def completed(value: Any, leaf: Leaf, default: Any, what: str) -> Any:
    """A Series that has a part of the index of params, with the default for the rest."""
    value = _one_column(value, leaf, what, InvalidInputError)
    if value.ndim != 1 or len(leaf.axes) != 1:
        return value
    for key in value.index:
        if key not in leaf.axes[0]:
            raise InvalidInputError(
                f"{what} has the entry {key!r} that params don't have; they have {show(list(leaf.axes[0]))}"
            )
    if len(value.index) == len(leaf.axes[0]):
        return value
    if not (value.index.is_unique and leaf.axes[0].is_unique):
        raise InvalidInputError(f"{what} must have all entries of params, since they have labels that come twice")
    return value.reindex(leaf.axes[0], fill_value=default)


# derivatives ---------------------------------------------------------------------------------------------------------


def as_pandas(block: NDArray[Any], leaf: Leaf) -> Any:
    """A derivative with respect to a pandas leaf, with its index where it is a vector."""
    import pandas as pd

    return pd.Series(block, index=leaf.axes[0]) if block.ndim == 1 else block


def derivative_array(value: Any, what: str, expected: tuple[int, ...] | None = None) -> NDArray[Any]:
    """A derivative, or a leaf of one, as a float64 array.

    Args:
        value: what came.
        what: what it is, for messages.
        expected: the shape that it should have, for messages; it isn't checked here.

    Raises:
        InvalidFunctionError: it can't be read as one, or isn't real.
    """
    if type(value) is np.ndarray and value.dtype is FLOAT64:
        return value
    if value is None:
        raise InvalidFunctionError(f"{what} returned None; is a return statement missing?")
    if is_sparse(value):
        value = value.toarray()
    try:
        array = np.asarray(value)
        if array.dtype.kind == "O":
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        kind = "a number" if expected == () else "an array" if expected is None else f"an array of shape {expected}"
        raise InvalidFunctionError(f"{what} returned {show(value)}, which can't be read as {kind}") from error
    if not _is_real(array.dtype):
        raise InvalidFunctionError(f"{what} must be real numbers, but returned {show(value)} of type {array.dtype}")
    return array.astype(np.float64)


def remedy(shape: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """What to do about an array of a wrong shape; nothing where that isn't plain.

    >>> remedy((3, 1), (3,)), remedy((2, 3), (3, 2)), remedy((2,), (3,))
    ('; reshape it to (3,)', '; transpose it', '')
    """
    if len(shape) == 2 and shape == expected[::-1] and shape != expected:
        return "; transpose it"
    if [size for size in shape if size != 1] == [size for size in expected if size != 1]:
        return f"; reshape it to {expected}" if expected else "; return a number"
    return ""


def jacobian_block(value: Any, residual: Leaf, leaf: Leaf, what: str, *, advice: str = "") -> Any:
    """The derivative of one leaf of residuals by one leaf of params, as a matrix.

    Args:
        value: an array of shape `residual shape + param shape`; a sparse matrix of shape (size of the residual leaf,
            size of the param leaf); or a Series or DataFrame, whose labels are matched.
        residual: the leaf of residuals.
        leaf: the leaf of params.
        what: what returned it, for messages.
        advice: ends the message about a wrong shape.

    Returns:
        Float64, shape (size of the residual leaf, size of the param leaf), sparse if value is.

    Raises:
        InvalidFunctionError: the shape doesn't fit, labels don't, or it isn't real.
    """
    expected, size = residual.shape + leaf.shape, (residual.size, leaf.size)
    if is_sparse(value) and (value.ndim == 2 or value.shape != expected):
        if not _is_real(value.dtype):
            raise InvalidFunctionError(f"{what} must be real numbers, but is sparse of type {value.dtype}")
        if value.shape != size:
            raise InvalidFunctionError(
                f"{what} is sparse of shape {value.shape}, but expected {size}{remedy(value.shape, size)}"
            )
        return value
    if library_of(value) == "pandas":
        value = _aligned_block(value, residual, leaf, what)
    array = derivative_array(value, what, expected)
    if array.shape != expected:
        raise InvalidFunctionError(
            f"{what} has shape {array.shape}, but expected {expected}{advice}{remedy(array.shape, expected)}"
        )
    return array.reshape(size)


def _aligned_block(value: Any, residual: Leaf, leaf: Leaf, what: str) -> Any:
    """A block with the labels of residuals and params, in their order."""
    axes = ("index", "columns")[: value.ndim]
    labels = [*(residual.axes or (None,) * len(residual.shape)), *(leaf.axes or (None,) * len(leaf.shape))]
    if len(labels) == len(axes):
        whose = ["the residuals have"] * len(residual.shape) + ["params have"] * len(leaf.shape)
        for axis, wanted, owner in zip(axes, labels, whose, strict=True):
            if wanted is not None:
                value = reordered(value, axis, wanted, what, InvalidFunctionError, owner)
    return value.to_numpy()

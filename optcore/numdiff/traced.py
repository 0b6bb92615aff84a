"""Patterns of jacobians of JAX functions, by asdex: from the operations that they consist of, without a call."""

from __future__ import annotations

import functools
import inspect
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.functions import FlatFun
from optcore.marks import FunctionValue
from optcore.numdiff.sparse import Pattern, read_pattern
from optcore.tree import Converter

__all__ = ["traced_pattern"]


def traced_pattern(function: FlatFun, converter: Converter, x: NDArray[np.float64]) -> Pattern | None:
    """The pattern of the jacobian, valid for all params.

    Args:
        function: the user function.
        converter: makes params.
        x: any point, shape (n,).

    Returns:
        None where it can't be told: the function doesn't use JAX or can't be traced, or asdex isn't installed.

    References:
        Hill & Dalle (2025), Sparser, better, faster, stronger: sparsity detection for efficient automatic
        differentiation, TMLR; asdex implements it for JAX.
    """
    params = converter.unflatten(x)
    if "jax" not in sys.modules or find_spec("asdex") is None:
        return None
    import jax
    import jax.numpy as jnp

    leaves = jax.tree.leaves(params)
    if not (any(isinstance(leaf, jax.Array) for leaf in leaves) or _mentions_jax(function.function)):
        return None

    def flat(tree: Any) -> Any:
        value = function.function(tree, **function.kwargs)
        value = value.value if isinstance(value, FunctionValue) else value
        return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(value)])

    try:
        import asdex

        found = asdex.jacobian_sparsity(flat, params)
        shape = tuple(map(int, found.shape))
    except Exception:  # noqa: BLE001  whatever tracing raises: there are other ways
        return None
    structure = function.reader.structure
    if shape[1] != converter.size or (structure is not None and structure.m != shape[0]):
        return None
    from scipy.sparse import coo_array

    rows, columns = np.asarray(found.rows), np.asarray(found.cols)
    return read_pattern(coo_array((np.ones(len(rows)), (rows, columns)), shape=shape), converter.size, converter.free)


def _mentions_jax(function: Any) -> bool:
    """Whether a function is one of JAX, or its own code names JAX: tracing others would call them for nothing."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    if type(function).__module__.split(".")[0] in ("jax", "jaxlib"):
        return True
    if not inspect.isfunction(function):
        function = getattr(function, "__func__", type(function).__dict__.get("__call__"))  # of methods, of objects
    if not inspect.isfunction(function):
        return False
    code = function.__code__
    reachable = [function.__globals__.get(name) for name in code.co_names]
    reachable += [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    return any(_is_of_jax(each) for each in reachable)


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018  it raises where there is nothing
    except ValueError:
        return False
    return True


def _is_of_jax(each: Any) -> bool:
    name = each.__name__ if isinstance(each, ModuleType) else type(each).__module__
    return name.split(".")[0] in ("jax", "jaxlib")

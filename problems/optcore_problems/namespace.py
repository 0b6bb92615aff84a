"""Which array library a function should compute with: found from its argument.

A residual function is written once against `xp`. It gets numpy for real and complex arrays (complex ones are
how the complex-step derivative works) and `jax.numpy` for JAX arrays and for the tracers that stand in for
them under `jit`, `grad` and `vmap`. JAX is never imported here unless the argument is JAX's own.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["array_namespace", "interleaved", "is_jax_array", "less", "per_column"]


def is_jax_array(x: object) -> bool:
    """Whether x is a JAX array or tracer; False, and nothing imported, where JAX was never imported."""
    jax = sys.modules.get("jax")
    array_type = getattr(jax, "Array", None)  # None while another thread is still importing jax
    return array_type is not None and isinstance(x, array_type)


def array_namespace(x: object) -> Any:
    """The module with `exp`, `concatenate`, ... that computes with arrays like x.

    Args:
        x: anything; what isn't a JAX array is numpy's business.

    Returns:
        `jax.numpy` for JAX arrays and tracers, otherwise `numpy`.

    >>> array_namespace([1.0, 2.0]).__name__
    'numpy'
    """
    if isinstance(x, np.ndarray) or not is_jax_array(x):
        return np
    import jax.numpy as jnp

    return jnp


def per_column(x: Any, constant: NDArray[np.float64]) -> NDArray[np.float64]:
    """A constant of a function, shape (m,), as it combines with entries of x.

    Functions take one point, x of shape (n,), or many, x of shape (n, k), a point a column. An entry `x[0]` is then
    a number or a vector of length k, and residuals have shape (m,) or (m, k).

    Args:
        x: the point or points.
        constant: shape (m,).

    Returns:
        The constant itself, or a view of shape (m, 1).

    >>> t = np.array([1.0, 2.0, 3.0])
    >>> one, many = np.array([2.0, 5.0]), np.array([[2.0, 4.0], [5.0, 7.0]])
    >>> [(per_column(x, t) * x[0] + x[1]).shape for x in (one, many)]
    [(3,), (3, 2)]
    """
    return constant if x.ndim == 1 else constant[:, None]


def less(r: Any, places: Any, values: Any, xp: Any) -> Any:
    """Subtract from some rows of r.

    Args:
        r: what a function has made itself: numpy's arrays are changed in place, JAX's can't be.
        places: which rows, a slice or an index.
        values: what to subtract.
        xp: the namespace of r.

    >>> less(np.zeros(3), np.s_[1:], np.array([1.0, 2.0]), np)
    array([ 0., -1., -2.])
    """
    if xp is np:
        r[places] -= values
        return r
    return r.at[places].add(-values)


def interleaved(parts: tuple[Any, ...], xp: Any) -> Any:
    """The first row of every part, then the second of every part and so on.

    >>> interleaved((np.array([1.0, 2.0]), np.array([10.0, 20.0])), np)
    array([ 1., 10.,  2., 20.])
    """
    shape = (len(parts) * parts[0].shape[0], *parts[0].shape[1:])
    if xp is not np:
        return xp.stack(parts, axis=1).reshape(shape)
    mixed = np.empty(shape, dtype=parts[0].dtype)  # numpy's stack takes ten times as long
    for i, part in enumerate(parts):
        mixed[i :: len(parts)] = part
    return mixed

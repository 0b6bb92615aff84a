"""Which array library a function should compute with: found from its argument.

A residual function is written once against `xp`. It gets numpy for real and complex arrays (complex ones are
how the complex-step derivative works) and `jax.numpy` for JAX arrays and for the tracers that stand in for
them under `jit`, `grad` and `vmap`. JAX is never imported here unless the argument is JAX's own.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

__all__ = ["array_namespace", "is_jax_array"]


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

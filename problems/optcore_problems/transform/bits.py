"""Random numbers that are a pure function of a seed, a name and x: what noise and failures are made of."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidInputError

__all__ = ["real_points", "uniforms"]

Vector = NDArray[np.float64]

_SHIFT = np.uint64(12)
_UNIT = 2.0**-52


@lru_cache(maxsize=4096)
def _absorbed(stream: str) -> Any:
    """The hash of a stream's name, to go on from."""
    return hashlib.shake_128(stream.encode() + b"\0")


def uniforms(stream: str, x: Vector, count: int) -> Vector:
    """Independent numbers, uniform in (0, 1): the same for the same stream and x in any process and on any machine.

    They are 52 bits each of SHAKE128 of the stream's name and the bytes of x.

    Args:
        stream: text; other text gives numbers that have nothing to do with these.
        x: the point, shape (n,), float64. -0.0 is 0.0.
        count: how many.

    Returns:
        Shape (count,).

    >>> uniforms("0 example", np.array([1.0, -0.0]), 2) == uniforms("0 example", np.array([1.0, 0.0]), 2)
    array([ True,  True])
    """
    hashed = _absorbed(stream).copy()
    hashed.update((x + 0.0).astype("<f8", copy=False).tobytes())
    words = np.frombuffer(hashed.digest(8 * count), dtype="<u8")
    whole: Vector = (words >> _SHIFT).astype(np.float64)
    return (whole + 0.5) * _UNIT


def real_points(x: Any, what: str) -> Vector:
    """x, shape (n,) or (n, k), as real numbers of which there are bits.

    Raises:
        InvalidInputError: x is complex, or a tracer of JAX.
    """
    if type(x) is np.ndarray and x.dtype.char == "d":
        return x
    try:
        points = np.asarray(x)
    except Exception as error:  # whatever the library of a tracer raises
        raise InvalidInputError(
            f"{what} is decided from the bits of x, which an abstract x of type {type(x).__name__} doesn't have; use "
            "numerical derivatives, or the problem's clean function"
        ) from error
    if points.dtype.kind == "c":
        raise InvalidInputError(f"{what} is decided from the bits of a real x, but x is complex; use real differences")
    return points.astype(np.float64, copy=False)

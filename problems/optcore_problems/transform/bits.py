"""Random numbers that are a pure function of a seed, a name and x: what noise and failures are made of."""

from __future__ import annotations

import hashlib
import sys
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidInputError

__all__ = ["TO_UNIT", "real_points", "words"]

Vector = NDArray[np.float64]

_WORD = np.dtype("<i8")
#: Takes words into the open interval from -1 to 1, also where they are rounded to 53 bits.
TO_UNIT = (1.0 - 2.0**-52) * 2.0**-63
_IS_LITTLE = sys.byteorder == "little"


@lru_cache(maxsize=4096)
def _absorbed(stream: str) -> Any:
    """The hash of a stream's name, to go on from."""
    return hashlib.shake_128(stream.encode() + b"\0")


def words(stream: str, x: Vector, count: int) -> NDArray[np.int64]:
    """Independent random words of 64 bits: the same for the same stream and x in any process and on any machine.

    They are SHAKE128 of the stream's name and the bytes of x. Times TO_UNIT they are uniform in (-1, 1).

    Args:
        stream: text; another text gives words that have nothing to do with these.
        x: the point, shape (n,), float64. -0.0 is 0.0.
        count: how many.

    Returns:
        Shape (count,), read-only.

    >>> words("0 example", np.array([1.0, -0.0]), 2) == words("0 example", np.array([1.0, 0.0]), 2)
    array([ True,  True])
    """
    hashed = _absorbed(stream).copy()
    hashed.update((x + 0.0).tobytes() if _IS_LITTLE else (x + 0.0).byteswap().tobytes())
    return np.frombuffer(hashed.digest(8 * count), _WORD)


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

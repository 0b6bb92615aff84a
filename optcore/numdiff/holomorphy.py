"""Is a function fit for complex steps? One real difference tells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.errors import InvalidFunctionError
from optcore.numdiff.schemes import choose_steps

__all__ = ["check_point", "refuse_if_not_holomorphic"]

Vector = NDArray[np.float64]


def check_point(x: Vector, scale: Vector, bounds: FlatBounds, eps: float) -> NDArray[np.complex128]:
    """One real point near x, shape (n,), in a direction that doesn't cancel by symmetry."""
    direction = 0.5 + 0.5 * np.modf(np.arange(1, x.size + 1) * 0.6180339887498949)[0]
    steps = choose_steps("forward", x, eps**0.5 * scale * direction, bounds)
    return np.clip(x + steps.h, bounds.lower, bounds.upper).astype(np.complex128)


def refuse_if_not_holomorphic(move: Vector, base: Any, checked: Any, derivative: Any, eps: float) -> None:
    """Compare a complex-step derivative with the real difference along `move`, shape (n,).

    Raises:
        InvalidFunctionError: they disagree.
    """
    real = np.real(np.asarray(checked) - np.asarray(base))
    size = abs(derivative) @ np.abs(move)
    rounding = 100 * eps * np.max(np.abs(np.real(base)), initial=0.0)
    wrong = np.abs(real - derivative @ move) > 1e-2 * (size + np.abs(real)) + rounding
    if np.any(wrong):
        raise InvalidFunctionError(
            "complex_step disagrees with a real difference: the function isn't holomorphic (abs, max, "
            "comparisons, float() or numpy.linalg.norm on the params drop the imaginary part); rewrite it, or use "
            "method='central'"
        )

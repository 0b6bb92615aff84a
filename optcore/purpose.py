"""What user functions are called for."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["PURPOSES", "Purpose"]


class Purpose(StrEnum):
    """Why a user function was called; `history.purpose` has one for each call.

    Whether a call failed is another matter: any of them can (`history.failed`).
    """

    SOLVER = "solver"  # the solver asked about this very point
    DIFFERENCE = "difference"  # a point of a numerical derivative that the solver asked for
    CALIBRATION = "calibration"  # measures the steps of the derivatives that follow
    NOISE = "noise"  # tells how far the function's values are off
    PROBE = "probe"  # looks at the function: is a derivative right, which pattern has a jacobian, is it holomorphic
    SPECULATION = "speculation"  # a point of a numerical derivative that came with a value, and was never asked for


#: In the order of their numbers in rows.
PURPOSES = tuple(Purpose)

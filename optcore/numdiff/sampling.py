"""Values at moved params, round by round, and the noise in them: what rules with several rounds ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidFunctionError
from optcore.numdiff import adaptive, noise
from optcore.numdiff.calls import Calls
from optcore.numdiff.subject import Subject

__all__ = ["Sampler"]

Vector = NDArray[np.float64]
Array = NDArray[np.float64]


class Sampler:
    """Evaluates a function around points.

    Args:
        subject: the function.

    Attributes:
        estimates_noise: whether the level of noise is estimated, where it isn't known yet.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        options = subject.options
        self.estimates_noise = options.noise == "estimate" or (options.measures is not None and options.noise is None)

    def ladder(
        self, x: Vector, calls: Calls, samples: adaptive.Samples, ladder: Array, purpose: str
    ) -> adaptive.Samples | None:
        """The samples, and those of one round more: at the steps of a ladder, shape (r, n). None: a call failed."""
        subject = self._subject
        row, column, side = _ladder_points(ladder, samples.side)
        values = self.shifted(x, calls, column, side * ladder[row, column], purpose, first=not len(samples.h))
        if values is None:
            return None
        if calls.failures and not subject.recovers:
            self._refuse(calls)
        subject.notice_precision()
        up = np.full((*ladder.shape, values.shape[1]), np.nan)
        down = up.copy()
        for half, k in ((up, np.flatnonzero(side == 1)), (down, np.flatnonzero(side == -1))):
            half[row[k], column[k]] = values[k]
        return samples.with_values(ladder, up, down)

    def _refuse(self, calls: Calls) -> None:
        coordinate, _, reason = calls.failures[0]
        names = self._subject.converter.names
        moved = f"{names[coordinate]!r} was" if coordinate >= 0 else "the params of one colour were"
        raise InvalidFunctionError(
            f"the function gave {reason} where {moved} moved for the numerical derivative; on_failure='recover' looks "
            "for other points"
        )

    def shifted(
        self,
        x: Vector,
        calls: Calls,
        coordinate: NDArray[np.intp],
        shift: Vector,
        purpose: str,
        *,
        first: bool = False,
    ) -> Array | None:
        """Values at x + shift e_i, as far as i enters them, shape (r, d).

        Args:
            x: shape (n,).
            calls: makes them.
            coordinate: shape (r,).
            shift: shape (r,).
            purpose: of the calls.
            first: in the first round of a derivative points come along that tell the noise.

        Returns:
            None if a call failed and failures are to be survived.
        """
        subject, box = self._subject, self._subject.box(x)
        moves = subject.columns.moves(x, coordinate, shift)
        points = np.clip(moves.points, box.lower, box.upper)
        if first and self.estimates_noise and subject.noise is None:
            values = self.search_noise(x, calls, points, purpose)
        else:
            values = calls.round(points, purpose, with_base=first)
        if values is None:
            return None
        k = len(points)
        if not k:  # every param is fixed
            return np.empty((0, max(1, np.size(calls.base))))
        calls.note_failures(points, moves.coordinate, values[:k])
        return subject.columns.read(moves, np.asarray(values[:k], dtype=np.float64))

    def search_noise(self, x: Vector, calls: Calls, others: Array, purpose: str) -> NDArray[Any] | None:
        """Estimate the noise; its first round has other points with it, whose values are returned."""
        subject = self._subject
        search = noise.search(x, subject.box(x), subject.eps)
        points = next(search)
        kept = values = calls.round(
            np.concatenate([others, points]), purpose, with_base=True, more=("noise", len(points))
        )
        while True:
            if values is None:
                return None
            on_line = values[-len(points) :].reshape(len(points), -1)
            try:
                points = search.send((np.atleast_1d(calls.base), on_line))
            except StopIteration as stop:
                subject.noise = stop.value
                return kept  # type: ignore[no-any-return]  # arrays of any kind
            values = calls.round(points, "noise", with_base=False)


def _ladder_points(
    ladder: Array, side: NDArray[np.int8]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int8]]:
    """Rows, columns and signs of the points of a ladder of steps (r, n); those of a coordinate follow each other."""
    column, row = np.nonzero(~np.isnan(ladder.T))
    up, down = np.flatnonzero(side[column] >= 0), np.flatnonzero(side[column] <= 0)
    index = np.concatenate([up, down])
    sign = np.repeat(np.array([1, -1], dtype=np.int8), [len(up), len(down)])
    order = np.argsort(index, kind="stable")
    return row[index[order]], column[index[order]], sign[order]

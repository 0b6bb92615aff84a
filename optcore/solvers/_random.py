"""Random numbers for libraries that draw from the global generators."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Stream"]

R = TypeVar("R")


class Stream:
    """A seeded state of numpy's and Python's global generators, there only while the solver's own code runs.

    User functions draw from what was there before, so that a solver neither sees nor changes what users draw.

    Args:
        seed: any whole number.

    >>> import numpy as np
    >>> np.random.seed(1)
    >>> stream = Stream(seed=7)
    >>> with stream.in_solver():
    ...     mine = np.random.random()
    ...     draw = stream.in_user(lambda x: np.random.random())
    ...     theirs = draw(np.zeros(1))
    >>> np.random.seed(1)
    >>> theirs == np.random.random(), mine == np.random.RandomState(7).random_sample()
    (True, True)
    """

    def __init__(self, seed: int) -> None:
        self._numpy: Any = np.random.RandomState(seed % 2**32).get_state()
        self._python: Any = random.Random(seed).getstate()

    def _swap(self) -> None:
        numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
        np.random.set_state(self._numpy)  # noqa: NPY002
        random.setstate(self._python)
        self._numpy, self._python = numpy_state, python_state

    @contextlib.contextmanager
    def in_solver(self) -> Iterator[None]:
        """What is drawn within comes from this stream."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def in_user(self, function: Callable[[NDArray[np.float64]], R]) -> Callable[[NDArray[np.float64]], R]:
        """A function that is called within, and draws from what was there before."""

        def called(x: NDArray[np.float64]) -> R:
            self._swap()
            try:
                return function(x)
            finally:
                self._swap()

        return called

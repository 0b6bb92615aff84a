"""Functions on their way to worker processes: pickled once, mended where possible, refused in words."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from types import MethodType
from typing import Any

from numpy.typing import NDArray

from optcore.errors import InvalidInputError

FUNCTIONS_KEPT = 8

_keys = count()


class Shipment:
    """A function as it is now, pickled once, for any number of workers.

    Functions that workers can import travel by name, all others (of `__main__`, of a notebook, lambdas,
    closures) by value. What a function refers to is frozen with it: the copies in the workers don't see later
    changes.

    Args:
        function: takes a vector, returns something that can be pickled.

    Raises:
        InvalidInputError: if the function can't be pickled; the message names the variable that is the
        reason.
    """

    def __init__(self, function: Callable[[NDArray[Any]], Any]) -> None:
        self.function = function
        self.key = next(_keys)
        #: Mean duration of a call, and how far durations are from it; None as long as nothing is known.
        self.seconds: float | None = None
        self.spread = 0.0
        self.blob = pickled(function)
        self._by_value: set[str] = set()

    def timed(self, seconds: float) -> None:
        """Take the duration of one call into account (exponentially weighted means)."""
        if self.seconds is None:
            self.seconds = seconds
        else:
            self.spread = 0.7 * self.spread + 0.3 * abs(seconds - self.seconds)
            self.seconds = 0.7 * self.seconds + 0.3 * seconds

    def repair(self, error: BaseException | None) -> None:
        """Pickle again after a worker could not load the function, if that can help.

        A module that exists here but can't be imported there (loaded from a file, not from the path) is sent
        by value.

        Raises:
            InvalidInputError: if it can't help.
        """
        import cloudpickle

        name = getattr(error, "name", None)
        if not isinstance(error, ModuleNotFoundError) or name not in sys.modules or name in self._by_value:
            raise InvalidInputError(
                f"{_name(self.function)} can't be loaded in a worker process "
                f"({type(error).__name__}: {error}); define it in a module that can be imported from here, "
                'or use batch_evaluator="threads" or n_cores=1'
            ) from error
        self._by_value.add(name)
        modules = [sys.modules[name] for name in self._by_value]
        for module in modules:
            cloudpickle.register_pickle_by_value(module)
        try:
            self.blob = pickled(self.function)
        finally:
            for module in modules:
                cloudpickle.unregister_pickle_by_value(module)
        self.key = next(_keys)


def _name(function: object) -> str:
    function = getattr(function, "user_function", getattr(function, "func", function))
    return repr(getattr(function, "__qualname__", None) or type(function).__qualname__)


def pickled(function: Callable[..., Any]) -> bytes:
    from optcore import pickling

    try:
        return pickling.dumps(function)
    except Exception as error:
        culprits = "; ".join(f"its variable {name!r} is a {kind}" for name, kind in _culprits(function))
        raise InvalidInputError(
            f"{_name(function)} can't be sent to worker processes: {culprits or error} "
            f"({type(error).__name__}: {error}). Create such objects inside the function, or use "
            'batch_evaluator="threads" or n_cores=1'
        ) from error


def _culprits(function: Any) -> Iterator[tuple[str, str]]:
    """Names and types of what a function refers to and can't be pickled."""
    from optcore import pickling

    for name, value in _referred(getattr(function, "user_function", function)):
        try:
            pickling.dumps(value)
        except Exception:  # noqa: BLE001  an object's own methods may raise anything
            yield name, f"{type(value).__module__}.{type(value).__qualname__}"


def _referred(function: Any) -> Iterator[tuple[str, Any]]:
    owner = getattr(function, "__self__", None)
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if code is not None:
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            with suppress(ValueError):  # an empty cell
                yield name, cell.cell_contents
        yield from ((name, function.__globals__[name]) for name in code.co_names if name in function.__globals__)
    for holder in (owner, function):
        yield from getattr(holder, "__dict__", {}).items()
    yield from getattr(function, "keywords", {}).items()  # functools.partial
    yield from ((f"argument {i}", value) for i, value in enumerate(getattr(function, "args", ())))


class Shipments:
    """The shipments of the functions used last, found by the identity of the function."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, ...], Shipment] = OrderedDict()
        self._lock = threading.RLock()

    def of(self, function: Callable[[NDArray[Any]], Any]) -> Shipment:
        # A bound method is a new object each time it is looked up. A shipment refers to its function, so that
        # no other object can get the same id while it is kept.
        bound = isinstance(function, MethodType)
        identity = (id(function.__self__), id(function.__func__)) if bound else (id(function),)  # type: ignore[attr-defined]
        with self._lock:
            if identity not in self._kept:
                self._kept[identity] = Shipment(function)
                if len(self._kept) > FUNCTIONS_KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(identity)
            return self._kept[identity]

"""User functions as functions of flat vectors: params in, a checked output and its scalar value out.

Each is a small picklable object, so that the same thing runs here and in worker processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidFunctionError, InvalidInputError, unknown_name
from optcore.history import FUN, FUN_AND_JAC, JAC
from optcore.marks import FunctionValue, Kind, kind_of
from optcore.residuals import ResidualReader
from optcore.sparse import Jacobian
from optcore.tree import Converter

__all__ = ["FlatFun", "FlatFunAndJac", "FlatJac", "by_kind", "gradient_of", "scalar_of"]

NAN = float("nan")
_PLAIN = (float, np.float64)
_FLOAT64 = np.dtype(np.float64)
_SINGLE = (np.dtype(np.float32), np.dtype(np.complex64))


def _real(x: NDArray[Any]) -> NDArray[Any]:
    """A real point among complex ones is evaluated as real."""
    return x.real if x.dtype.kind == "c" and not x.imag.any() else x


def scalar_of(kind: Kind, output: Any) -> float:
    """The objective from what a function of this kind returned: r.r, a sum, or the value itself."""
    if kind is Kind.SCALAR:
        value = output
    elif kind is Kind.LEAST_SQUARES:
        value = output @ output
    else:
        value = output.sum()
    return float(value.real)


def gradient_of(kind: Kind, output: Any, derivative: Jacobian) -> NDArray[np.float64]:
    """The gradient, shape (n,), from output and derivative: 2 J'r, column sums, or the derivative itself."""
    if kind is Kind.SCALAR:
        return derivative  # type: ignore[no-any-return]
    if kind is Kind.LEAST_SQUARES:
        return 2.0 * np.asarray(output @ derivative)
    return np.asarray(derivative.sum(axis=0))


class _Flat:
    """What the three kinds of user function share."""

    task: int
    name: str

    def __init__(
        self,
        function: Callable[..., Any],
        kind: Kind,
        kwargs: Mapping[str, Any],
        converter: Converter,
        reader: ResidualReader,
    ) -> None:
        self.function = function
        self.kind = kind
        self._kwargs = dict(kwargs)
        self._converter = converter
        self._unflatten = converter.unflatten
        #: Nothing to convert: the function can be called with a copy of x.
        self._is_plain = converter.is_vector and not self._kwargs
        self.reader = reader
        #: Whether a value came in single precision: JAX without x64, for instance.
        self.is_single = False
        #: Of an answer that is the gradient and needs no conversion; None where there is no such answer.
        self.gradient_shape: tuple[int, ...] | None = (
            (converter.n,) if converter.is_vector and kind is Kind.SCALAR else None
        )

    def __call__(self, x: NDArray[Any]) -> tuple[Any, float]:
        """(output, value) at x, shape (n,)."""
        return self.read(self.answer(x))

    def answer(self, x: NDArray[Any]) -> Any:
        """What the user function answers."""
        return self.function(self._unflatten(x), **self._kwargs)

    def local_answer(self, *, may_change_x: bool) -> Callable[[NDArray[np.float64]], Any]:
        """The same for calls in this process, as direct as can be.

        Args:
            may_change_x: nobody needs x any more, so that the user function may get it itself instead of a copy.
        """
        if not self._is_plain:
            return self.answer
        function = self.function
        return function if may_change_x else lambda x: function(x.copy())

    def read(self, answer: Any) -> tuple[Any, float]:
        """(output, scalar value) from what the function answered at a real point."""
        raise NotImplementedError

    def _read_output(self, value: Any, *, is_complex: bool) -> tuple[Any, float]:
        """What the solver needs (a float, or a vector) and the scalar value."""
        if isinstance(value, FunctionValue):
            value = value.value
        self.is_single |= getattr(value, "dtype", None) in _SINGLE
        if self.kind is Kind.SCALAR:
            number = self._read_number(value, is_complex=is_complex)
            return number, float(number.real)
        vector = self.reader.residuals(value, self.name)
        if vector.dtype.kind == "c" and not is_complex:
            raise InvalidFunctionError(f"{self.name} returned complex numbers; return real ones")
        return vector, scalar_of(self.kind, vector)

    def _read_number(self, value: Any, *, is_complex: bool) -> Any:
        if type(value) in _PLAIN:
            return float(value)
        shape = np.shape(value)
        if isinstance(value, str):
            raise InvalidFunctionError(f"{self.name} must return a number, but returned the text {value!r}")
        if shape != ():
            advice = (
                "; mark it with om.mark.least_squares or om.mark.likelihood if these are residuals or contributions"
                if len(shape) == 1 and shape != (1,)
                else "; return a number"
            )
            raise InvalidFunctionError(f"{self.name} must return a number, but returned shape {shape}{advice}")
        try:
            number = complex(value)
        except (TypeError, ValueError) as error:
            raise InvalidFunctionError(f"{self.name} must return a number, but returned {value!r}") from error
        if is_complex:
            return number
        if number.imag != 0 or np.iscomplexobj(value):
            raise InvalidFunctionError(f"{self.name} returned the complex number {value!r}; return a real one")
        return number.real


class FlatFun(_Flat):
    """`fun`: x, shape (n,), to (output, value)."""

    task = FUN
    name = "fun"

    def __call__(self, x: NDArray[Any]) -> tuple[Any, float]:
        """(output, value) at x, which may be complex."""
        if x.dtype is not _FLOAT64:
            x = _real(x)
        return self._read_output(self.answer(x), is_complex=x.dtype.kind == "c")

    def read(self, answer: Any) -> tuple[Any, float]:
        """(output, value) from what the function answered at a real point."""
        return self._read_output(answer, is_complex=False)

    def read_any(self, answer: Any, *, is_complex: bool) -> tuple[Any, float]:
        """The same, of points that may be complex."""
        return self._read_output(answer, is_complex=is_complex)

    @property
    def takes_vectors(self) -> bool:
        """Whether the user function gets a vector as it is."""
        return self._converter.is_vector

    @property
    def kwargs(self) -> dict[str, Any]:
        """The further arguments of the user function."""
        return self._kwargs


class FlatJac(_Flat):
    """`jac`: x, shape (n,), to (derivative, NaN); shape (n,) for scalar functions, (m, n) otherwise."""

    task = JAC
    name = "jac"

    def read(self, answer: Any) -> tuple[Any, float]:
        """(derivative, NaN) from what the function answered."""
        return self._read_derivative(answer), NAN

    def _read_derivative(self, tree: Any, m: int | None = None) -> Jacobian:
        if self.kind is Kind.SCALAR:
            return self._converter.gradient(tree, self.name)
        return self.reader.jacobian(tree, self.name, m)


class FlatFunAndJac(FlatJac):
    """`fun_and_jac`: x, shape (n,), to ((output, derivative), value)."""

    task = FUN_AND_JAC
    name = "fun_and_jac"

    def read(self, answer: Any) -> tuple[Any, float]:
        """((output, derivative), value) from what the function answered."""
        if not (isinstance(answer, (tuple, list)) and len(answer) == 2):
            raise InvalidFunctionError(f"fun_and_jac must return a pair (value, derivative), but returned {answer!r}")
        output, value = self._read_output(answer[0], is_complex=False)
        m = None if self.kind is Kind.SCALAR else len(output)
        return (output, self._read_derivative(answer[1], m)), value


def by_kind(given: Any, name: str) -> dict[Kind, Callable[..., Any]]:
    """One function, or a list, tuple or dict of them, by kind.

    Raises:
        InvalidInputError: not functions, or two of one kind.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {_kind_from_key(key, name): _function(function, name) for key, function in given.items()}
    if not isinstance(given, (list, tuple)):
        return {kind_of(_function(given, name)): given}
    found: dict[Kind, Callable[..., Any]] = {}
    for function in given:
        kind = kind_of(_function(function, name))
        if kind in found:
            raise InvalidInputError(
                f"{name} has two functions of the kind {kind.value!r}; mark what they are or leave one out"
            )
        found[kind] = function
    return found


def _function(function: Any, name: str) -> Callable[..., Any]:
    if not callable(function):
        hint = "; for a function that returns (value, derivative) use fun_and_jac=" if function is True else ""
        raise InvalidInputError(
            f"{name} must be a function, or a list or dict of functions, but got {function!r}{hint}"
        )
    return function  # type: ignore[no-any-return]


def _kind_from_key(key: Any, name: str) -> Kind:
    try:
        return Kind(key)
    except ValueError:
        raise unknown_name(f"kind of function in {name}", key, [kind.value for kind in Kind]) from None

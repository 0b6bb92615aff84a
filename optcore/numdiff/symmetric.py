"""Second derivatives of gradients, and what is known of the pattern of a symmetric matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidFunctionError, InvalidInputError
from optcore.numdiff.colouring import colour_symmetric
from optcore.numdiff.derivative import NumericalDerivative
from optcore.numdiff.options import NumdiffOptions
from optcore.numdiff.pattern import is_tree
from optcore.numdiff.result import NumdiffResult
from optcore.numdiff.sparse import Pattern, Places, nonzeros
from optcore.residuals import ResidualReader
from optcore.tree import Converter

__all__ = ["HessianPattern", "of_gradients"]

Vector = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class HessianPattern(Places):
    """Where a symmetric matrix may differ from zero: with (i, j) there is (j, i)."""

    @property
    def n(self) -> int:
        """Number of rows and columns."""
        return self.shape[0]

    @staticmethod
    def read(given: Any, converter: Converter) -> HessianPattern:
        """From a matrix of shape (n, n) or a tree like the derivative; one triangle is enough.

        Raises:
            InvalidInputError: it has another shape.
        """
        n = converter.n
        if is_tree(given):
            reader = ResidualReader(converter, keeps_sparse=True)
            reader.residuals(converter.tree_of(converter.start), "params")
            try:
                given = reader.jacobian(given, "sparsity")
            except InvalidFunctionError as error:
                raise InvalidInputError(
                    f"sparsity must look like the second derivative, a tree of params of trees of params, but {error}"
                ) from error
        if np.shape(given) != (n, n):
            raise InvalidInputError(
                f"sparsity of a second derivative must be a matrix of shape {(n, n)}, with a row and a column for each "
                f"of the params, but has the shape {np.shape(given)}"
            )
        i, j = nonzeros(given)
        rows, columns = np.divmod(np.unique(np.concatenate([i * n + j, j * n + i])), n)
        return HessianPattern(rows, columns, (n, n))

    def readable(self) -> Pattern:
        """Colours, and the entries that can be read when columns of one colour are moved together.

        Where a row has two columns of one colour neither can be read there; each can in its own row.
        """
        colours = colour_symmetric(self.rows, self.columns, self.n)
        keys = self.rows * (colours.max(initial=0) + 1) + colours[self.columns]
        _, index, counts = np.unique(keys, return_inverse=True, return_counts=True)
        single = counts[index] == 1
        rows, columns = self.rows[single], self.columns[single]
        order = np.lexsort((rows, columns))
        return Pattern(rows[order], columns[order], self.shape, colours, mirrored=True)

    def symmetrized(self, pattern: Pattern, entries: Vector) -> tuple[Vector, Vector]:
        """All entries from those that can be read, and by how much the two of a pair differ from their mean."""
        keys = self.rows * self.n + self.columns
        total, number, least, most = (np.full(len(keys), start) for start in (0.0, 0.0, np.inf, -np.inf))
        for i, j in ((pattern.rows, pattern.columns), (pattern.columns, pattern.rows)):
            at = np.searchsorted(keys, i * self.n + j)
            total[at] += entries
            number[at] += 1
            least[at], most[at] = np.minimum(least[at], entries), np.maximum(most[at], entries)
        return total / number, (most - least) / 2


def of_gradients(
    jac: Callable[..., Any], params: Any, bounds: Any, options: NumdiffOptions, kwargs: Mapping[str, Any] | None
) -> NumdiffResult:
    """The first derivative of a gradient, made symmetric."""
    converter = Converter(params)
    known: HessianPattern | None = None
    if options.sparsity is not None and not isinstance(options.sparsity, str):
        known = HessianPattern.read(options.sparsity, converter)
        options = replace(options, sparsity=known.readable())
    found = NumericalDerivative(jac, params, bounds=bounds, options=options, func_kwargs=kwargs)(params)
    reader = ResidualReader(converter, keeps_sparse=True)
    reader.residuals(found.func_value, "jac")
    gradient = converter.gradient(found.func_value, "jac")
    assert gradient.shape == (converter.n,)
    value = reader.jacobian(found.derivative, "jac")
    bound = None if found.error is None else reader.jacobian(found.error, "jac")
    if known is None:
        spread = abs(value - value.T) / 2
        value, bound = (value + value.T) / 2, None if bound is None else (bound + bound.T) / 2 + spread
    else:
        pattern: Pattern = options.sparsity
        shaped = known.matrix if converter.is_vector else known.dense
        entries, spread = known.symmetrized(pattern, _entries(value, pattern))
        value = shaped(entries)
        if bound is not None:
            bound = shaped(known.symmetrized(pattern, _entries(bound, pattern))[0] + spread)
    value, bound = (reader.tree_of(each) if isinstance(each, np.ndarray) else each for each in (value, bound))
    return replace(found, derivative=value, error=bound, func_value=None)


def _entries(matrix: Any, pattern: Pattern) -> Vector:
    """The entries of a pattern; those of a sparse matrix are taken without making it dense."""
    found: Vector = np.asarray(matrix[pattern.rows, pattern.columns]).ravel()
    return found

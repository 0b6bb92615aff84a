"""Collections of algorithms: by name, by what they can do."""

from __future__ import annotations

from collections.abc import Iterator

from optcore.errors import UnknownNameError, unknown_name
from optcore.marks import Kind
from optcore.solvers.algorithm import Algorithm, algorithm_names, get_algorithm

__all__ = ["Algorithms"]


class Algorithms:
    """A collection of algorithms: attributes by name, a size, and a filter.

    >>> import optcore as om
    >>> om.algos.scipy_lbfgsb(limited_memory_storage_length=5).limited_memory_storage_length
    5
    >>> [a.name for a in om.algos.filter(least_squares=True, needs_jac=True, library="scipy")]
    ['scipy_ls_dogbox', 'scipy_ls_lm', 'scipy_ls_trf']
    """

    def __init__(self, chosen: tuple[type[Algorithm], ...] | None = None) -> None:
        self._chosen = chosen

    def __getattr__(self, name: str) -> type[Algorithm]:
        if name.startswith("_"):
            raise AttributeError(name)
        if self._chosen is None:
            try:
                return get_algorithm(name)
            except UnknownNameError as error:
                raise AttributeError(str(error)) from None
        for cls in self._chosen:
            if cls.name == name:
                return cls
        raise AttributeError(str(unknown_name("algorithm", name, self.names)))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.names]

    def __iter__(self) -> Iterator[type[Algorithm]]:
        return map(get_algorithm, self.names) if self._chosen is None else iter(self._chosen)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __repr__(self) -> str:
        return f"Algorithms({', '.join(self.names)})"

    @property
    def names(self) -> list[str]:
        """Their names."""
        return algorithm_names() if self._chosen is None else [cls.name for cls in self._chosen]

    def filter(
        self,
        *,
        least_squares: bool | None = None,
        needs_jac: bool | None = None,
        supports_bounds: bool | None = None,
        is_global: bool | None = None,
        library: str | None = None,
    ) -> Algorithms:
        """Those that are as asked; None doesn't ask."""
        wanted = {
            "needs_jac": needs_jac,
            "supports_bounds": supports_bounds,
            "is_global": is_global,
            "library": library,
        }
        chosen = tuple(
            cls
            for cls in self
            if (least_squares is None or (cls.kind is Kind.LEAST_SQUARES) == least_squares)
            and all(value is None or getattr(cls, name) == value for name, value in wanted.items())
        )
        return Algorithms(chosen)

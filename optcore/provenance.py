"""How a result was made: options, versions, environment. References until somebody asks, plain values from then on."""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np

from optcore._version import __version__

__all__ = ["Provenance", "json_numbers", "plain"]


class Provenance:
    """What a result remembers of the call that made it.

    Making one costs nothing: all is worked out when it is asked for, or when it is pickled, because a file may be
    read where other versions are installed. A pickle holds plain values only, no function and no class of the user's.

    Args:
        algorithm: the instance of optcore.solvers.Algorithm that solved, with its options as fields.
        numdiff_options: the om.NumdiffOptions; None where no derivative was taken numerically.
        budget: the om.Budget; None where there was no limit.
        error_handling: "raise" or "continue".
    """

    def __init__(self, algorithm: Any, numdiff_options: Any, budget: Any, error_handling: str) -> None:
        self._given = (algorithm, numdiff_options, budget, error_handling)

    @functools.cached_property
    def options(self) -> dict[str, Any]:
        """Keys `algorithm`, `numdiff`, `budget`, `error_handling`; functions by their names."""
        algorithm, numdiff_options, budget, error_handling = self._given
        return {
            "algorithm": plain(algorithm),
            "numdiff": plain(numdiff_options),
            "budget": plain(budget),
            "error_handling": error_handling,
        }

    @functools.cached_property
    def versions(self) -> dict[str, str | None]:
        """Of optcore, python, numpy, scipy and the library of the algorithm."""
        import scipy

        from optcore.environment import library_version

        versions: dict[str, str | None] = {
            "optcore": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        }
        library = self._given[0].library.partition(".")[0]
        return versions if library in versions else versions | {library: library_version(library)}

    @functools.cached_property
    def environment(self) -> dict[str, str | int | None]:
        """See `optcore.environment.environment`; as it is when first asked for, or when pickled."""
        from optcore.environment import environment

        return environment()

    def __getstate__(self) -> dict[str, Any]:
        return {"options": self.options, "versions": self.versions, "environment": self.environment}


def plain(value: Any) -> Any:
    """Options as None, bools, numbers, strings, lists and dicts.

    Dataclasses become dicts of their fields, arrays lists, functions and classes their qualified names; what is none
    of these is shown by its repr.

    >>> plain({"step": np.array([1.0, 2.0]), "evaluator": map, "seed": np.int64(3)})
    {'step': [1.0, 2.0], 'evaluator': 'builtins.map', 'seed': 3}
    """
    if value is None or isinstance(value, (bool, str)):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, (numbers.Integral, np.bool_)):
        return bool(value) if isinstance(value, np.bool_) else int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(entry) for entry in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "__array__"):
        return plain(np.asarray(value).tolist())
    if callable(value):
        return f"{getattr(value, '__module__', None)}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    return repr(value)


def json_numbers(value: Any) -> Any:
    """Plain values as strict JSON has them: NaN and the infinities, which it lacks, as strings that float() reads.

    >>> json_numbers({"fun": float("nan"), "bounds": [0.0, float("-inf")]})
    {'fun': 'NaN', 'bounds': [0.0, '-Infinity']}
    """
    if isinstance(value, dict):
        return {key: json_numbers(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [json_numbers(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value

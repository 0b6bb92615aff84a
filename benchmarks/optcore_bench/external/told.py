"""What is told of a solver in a Python of its own, and of that Python, before it runs and as it starts.

Loaded by host.py, in that interpreter (Python 3.8 or newer), where the package can't be imported.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import platform
import sys
from typing import Any, Callable, Mapping  # noqa: UP035  for old interpreters

__all__ = ["describe", "fingerprint", "is_algorithm"]

#: Attributes of an algorithm that decide how it is run.
_FACTS = (
    "name", "needs_jac", "supports_bounds", "needs_bounds", "needs_room", "is_global", "is_deterministic",
    "asks_jointly", "copies_x", "never_returns", "takes_sparse",
)  # fmt: skip


def is_algorithm(thing: Any) -> bool:
    """Whether it is a subclass of om.Algorithm, whichever optcore it is from."""
    return isinstance(thing, type) and hasattr(thing, "from_options") and hasattr(thing, "solve")


def describe(found: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the harness must know of a solver before it can plan its runs.

    Args:
        found: a function or a subclass of om.Algorithm.
        options: the user's.

    Returns:
        Plain values: of an algorithm its attributes, options and versions, of a function its signature; or `failed`,
        the reason why it can't be used.
    """
    if not is_algorithm(found):
        if isinstance(found, type) or not callable(found):
            return {"failed": f"what is there is {found!r}; a solver is a function or a subclass of om.Algorithm"}
        name = getattr(found, "__name__", type(found).__name__)
        return {"signature": _signature(found), "function": name, "hash": _hash(found)}
    from dataclasses import fields

    given = found.read_options(options)
    takes_seed = "seed" in found.option_names()
    seed = {"seed": 0} if takes_seed else {}
    strictest: list[Mapping[str, Any]] = [{}, found.tight]
    made = [found.from_options({**seed, **strict, **given}) for strict in strictest]
    options, tight = ({field.name: getattr(one, field.name) for field in fields(one)} for one in made)
    return {
        "algorithm": {**{fact: getattr(made[0], fact) for fact in _FACTS}, "kind": str(made[0].kind)},
        "options": options,
        "tight": tight,
        "takes_seed": takes_seed and "seed" not in given,
        "missing": found.missing(),
        "hash": _hash(found),
        "versions": {library: _version(library) for library in (found.library, *found.built_on)},
    }


def _signature(function: Callable[..., Any]) -> list[list[Any]]:
    """Name, kind and whether there is a default of each parameter."""
    import inspect

    parameters = inspect.signature(function).parameters.values()
    return [[p.name, int(p.kind), p.default is not p.empty] for p in parameters]


def _hash(found: Any) -> str:
    """Of the source of the module that a solver is from; "" for optcore's and where there is none."""
    import inspect

    module = sys.modules.get(getattr(found, "__module__", ""))
    if module is None or module.__name__.partition(".")[0] == "optcore":
        return ""
    try:
        return hashlib.sha256(inspect.getsource(module).encode()).hexdigest()
    except (OSError, TypeError):
        return ""


def fingerprint(*, with_blas: bool) -> dict[str, str]:
    """What can change the numbers that a solver computes here."""
    import numpy as np

    found = {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "numpy": np.__version__,
    }
    scipy = _version("scipy")
    if scipy is not None:
        found["scipy"] = scipy
    if with_blas:
        if scipy is not None:
            importlib.import_module("scipy.linalg")  # loads scipy's BLAS
        found["blas"] = _blas()
    return found


def _blas() -> str:
    try:
        threadpools = importlib.import_module("threadpoolctl").threadpool_info()
    except Exception:  # noqa: BLE001  not for this Python
        return "unknown"
    return ", ".join(
        sorted(
            {
                " ".join(str(entry.get(key) or "") for key in ("internal_api", "version", "architecture"))
                for entry in threadpools
                if entry["user_api"] == "blas"
            }
        )
    )


def _version(library: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        pass
    if importlib.util.find_spec(library) is None:
        return None
    return getattr(importlib.import_module(library), "__version__", None)

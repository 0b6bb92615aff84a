"""From what a store is made: the study, the code of its own solvers, libraries, the machine, what was set.

What decides the numbers and is compared between stores is the fingerprint, see `optcore_bench.environment`; what
stands here is for readers.
"""

from __future__ import annotations

from collections.abc import Iterable

from optcore_bench.environment import library_version
from optcore_bench.runs import Run
from optcore_bench.strategies import Jax

__all__ = ["library_versions"]

#: Versions of these are in the fingerprint.
_IN_FINGERPRINT = ("optcore", "numpy", "scipy")


def library_versions(runs: Iterable[Run]) -> dict[str, str | None]:
    """Versions of the libraries that the solvers and derivatives of runs come from, beyond those of the fingerprint.

    Args:
        runs: the runs.

    Returns:
        Version by import name, sorted; None for what is not installed.
    """
    names: set[str] = set()
    seen: set[tuple[str, str]] = set()
    for run in runs:
        cell = (run.entry.name, run.derivative.name)
        if cell not in seen:
            seen.add(cell)
            names.update((run.algorithm.library, *run.algorithm.built_on))
            names.update(("jax", "jaxlib") if isinstance(run.derivative, Jax) else ())
    return {name: library_version(name) for name in sorted(names.difference(_IN_FINGERPRINT, {""}))}

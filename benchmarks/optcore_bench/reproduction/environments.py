"""What differs between where a store was made and here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from optcore.environment import distributions_of
from optcore_bench.environment import fingerprint
from optcore_bench.provenance import library_versions
from optcore_bench.reproduction.compare import Row
from optcore_bench.reproduction.original import Original
from optcore_bench.runs import Run

__all__ = ["Differs", "differing"]

#: Name of a property of the environment -> its value there and here; None where it has none.
Differs = dict[str, tuple[str | None, str | None]]


def differing(
    original: Original, rows: Iterable[Row], here: Mapping[str, Mapping[str, str]], runs: Iterable[Run]
) -> Differs:
    """What differs: in the fingerprints of the harness, in those that rows brought, in versions of solvers' libraries.

    Args:
        original: what was run again.
        rows: what became of it.
        here: fingerprints of the new rows by their hash.
        runs: what was run, for the libraries.

    Returns:
        The names of what differs, sorted, with both values.
    """
    found = _between(original.environment, fingerprint()) if original.environment else {}
    there = original.environments
    for row in rows:
        if row.again is not None and row.stored["environment"] != row.again["environment"]:
            old, new = there.get(row.stored["environment"]), here.get(row.again["environment"])
            if old is None or new is None:
                found["environment"] = (row.stored["environment"], row.again["environment"])
            else:
                found |= _between(old, new)
    found |= _libraries(original.manifest, library_versions(runs))
    return dict(sorted(found.items()))


def _between(one: Mapping[str, str], other: Mapping[str, str]) -> Differs:
    return {name: (one.get(name), other.get(name)) for name in {*one, *other} if one.get(name) != other.get(name)}


def _libraries(manifest: Mapping[str, Any], here: Mapping[str, str | None]) -> Differs:
    """By what the manifest says of libraries; of older manifests, by the distributions that were installed."""
    provenance = manifest.get("provenance") or {}
    named, installed = provenance.get("libraries"), provenance.get("packages")
    if not isinstance(named, dict) and not isinstance(installed, dict):
        return {}
    found: Differs = {}
    for name, version in here.items():
        if isinstance(named, dict) and name in named:
            known = named[name]
        elif isinstance(installed, dict):
            known = next((installed[one] for one in distributions_of(name) if one in installed), None)
        else:
            continue
        if known != version:
            found[name] = (known, version)
    return found

"""Where a run was made: what decides its numbers (fingerprint), and what a reader wants to know (provenance).

Evaluation counts and histories repeat bit by bit in one environment. Another BLAS kernel, another number of
BLAS threads or another set of SIMD instructions changes the rounding and, after some iterations, the path of
a solver.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import scipy

import optcore
from optcore.environment import blas, cpu, library_version, output_of, simd

__all__ = ["environment_hash", "fingerprint", "library_version", "provenance"]

_HASH_DIGITS = 12


def fingerprint() -> dict[str, str]:
    """What can change the numbers that a run computes.

    The same in every process of one environment: it depends neither on the load nor on a clock nor on what
    else the process has imported. `blas_threads` is 1 because the harness pins its workers to one thread; how
    many threads the calling process may use is not looked at. What is chosen when BLAS is loaded (such as
    OPENBLAS_CORETYPE) shows in `blas`.

    Returns:
        Keys `optcore`, `python`, `numpy`, `scipy`, `blas`, `blas_threads`, `simd`, `os`, `libc`, `machine`, `cpu`.

    >>> fingerprint()["blas_threads"]
    '1'
    """
    return dict(_fingerprint())


@cache
def _fingerprint() -> dict[str, str]:
    return {
        "optcore": optcore.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "blas": blas(),
        "blas_threads": "1",
        "simd": simd(),
        "os": platform.system(),
        "libc": " ".join(platform.libc_ver()) if platform.system() == "Linux" else platform.mac_ver()[0],
        "machine": platform.machine(),
        "cpu": cpu(),
    }


def environment_hash(fingerprint: Mapping[str, str]) -> str:
    """A short name for a fingerprint: 12 hex digits of the SHA-256 of its sorted JSON.

    Args:
        fingerprint: what `fingerprint` returned, here or elsewhere.

    Returns:
        The name; equal fingerprints have equal names.

    >>> environment_hash({"b": "2", "a": "1"}) == environment_hash({"a": "1", "b": "2"})
    True
    """
    text = json.dumps(dict(fingerprint), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]


def provenance(command: str | None) -> dict[str, Any]:
    """Where and from what a store was made, for its manifest.

    Args:
        command: the command line, or None.

    Returns:
        JSON values: `created` (UTC), `command`, `host`, `platform`, `cpu`, `cpu_count`, `memory_bytes`,
        `python`, `packages` (versions of the installed distributions), `git` (`commit` and `dirty` of the
        checkout that the current folder is in, or None). The user's name is not in it.
    """
    return {
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "command": command,
        "host": platform.node(),
        "platform": platform.platform(),
        "cpu": _fingerprint()["cpu"],
        "cpu_count": os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "python": platform.python_version(),
        "packages": _packages(),
        "git": _git(),
    }


def _packages() -> dict[str, str]:
    found = ((entry.metadata["Name"], entry.version) for entry in importlib.metadata.distributions())
    return dict(sorted({name: version for name, version in found if name}.items(), key=lambda pair: pair[0].lower()))


def _git() -> dict[str, Any] | None:
    commit = output_of("git", "rev-parse", "HEAD")
    if not commit:
        return None
    return {"commit": commit, "dirty": bool(output_of("git", "status", "--porcelain"))}


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None

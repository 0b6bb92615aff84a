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
from pathlib import Path
from typing import Any

import numpy as np
import scipy

import optcore
from optcore.environment import blas, blas_details, cpu, library_version, name_and_version, output_of, simd

__all__ = ["SOLVER_PREFIX", "environment_hash", "fingerprint", "library_version", "provenance", "repository_of"]

_HASH_DIGITS = 12
#: Begins the keys of what a solver in a Python of its own adds to the fingerprint of its rows.
SOLVER_PREFIX = "solver_"


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
    return _hash_of(tuple(sorted(fingerprint.items())))


@cache  # each run is asked for it
def _hash_of(items: tuple[tuple[str, str], ...]) -> str:
    text = json.dumps(dict(items), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]


#: Beginnings of names of environment variables that change what is computed, or how fast.
VARIABLES = (
    "OPENBLAS_",
    "GOTO_",
    "OMP_",
    "KMP_",
    "MKL_",
    "BLIS_",
    "VECLIB_",
    "NUMEXPR_",
    "NPY_",
    "SCIPY_",
    "JAX_",
    "XLA_",
    "CUDA_VISIBLE_DEVICES",
    "PYTHONHASHSEED",
    "PYTHONOPTIMIZE",
    "GLIBC_TUNABLES",
    "LD_PRELOAD",
    "MALLOC_",
)


def provenance(command: str | None) -> dict[str, Any]:
    """Where and from what a store was made, for its manifest.

    Args:
        command: the command line, or None.

    Returns:
        JSON values: `created` (UTC), `command`, `host`, `platform`, `cpu`, `cpu_count`, `cpus_usable`, `memory_bytes`,
        `memory_limit` (bytes that the system lets this process use, or None), `blas` (libraries with their kernels and
        threads, in the process that runs the study), `simd`, `variables` (environment variables that are set and can
        matter, see `VARIABLES`), `python`, `packages` (versions of the installed distributions), `git` (`commit` and
        `dirty` of the checkout that the current folder is in, or None) and `optcore_git`, the same of optcore's own
        code where that is a checkout. The user's name is not in it.
    """
    from optcore_bench.cores import available_cores

    return {
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "command": command,
        "host": platform.node(),
        "platform": platform.platform(),
        "cpu": _fingerprint()["cpu"],
        "cpu_count": os.cpu_count(),
        "cpus_usable": available_cores(),
        "memory_bytes": _memory_bytes(),
        "memory_limit": _memory_limit(),
        "blas": blas_details(),
        "simd": simd(),
        "variables": {name: os.environ[name] for name in sorted(os.environ) if name.startswith(VARIABLES)},
        "python": platform.python_version(),
        "packages": _packages(),
        "git": _head(Path()),
        "optcore_git": _own_git(),
    }


def _packages() -> dict[str, str]:
    found = dict(pair for entry in importlib.metadata.distributions() if (pair := name_and_version(entry)))
    return dict(sorted(found.items(), key=lambda pair: pair[0].lower()))


def _own_git() -> dict[str, Any] | None:
    """Of a checkout of optcore; an installation that happens to lie below some checkout is none."""
    file = Path(optcore.__file__)
    return _head(file.parent) if _is_tracked(file) else None


def _head(folder: Path) -> dict[str, Any] | None:
    """`commit` and `dirty` of the checkout that a folder is in; None where there is none, or no git."""
    commit = _git(folder, "rev-parse", "HEAD")
    return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain"))} if commit else None


def _is_tracked(file: Path) -> bool:
    return bool(_git(file.parent, "ls-files", "--", file.name))


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says in a folder; None if it fails or isn't there."""
    return output_of("git", "-C", str(folder), *arguments)


def repository_of(file: Path) -> dict[str, Any] | None:
    """The git repository that a file lies in.

    Args:
        file: a file that is there.

    Returns:
        `file` (relative to the root), `commit`, `dirty` (whether anything in the repository differs from the commit),
        `tracked` (whether the file is under version control) and `changed` (whether it differs from the commit, or is
        not in it); None where there is no repository, or no git.
    """
    root, head = _git(file.parent, "rev-parse", "--show-toplevel"), _head(file.parent)
    if not root or head is None:
        return None
    tracked = _is_tracked(file)
    changed = _git(file.parent, "status", "--porcelain", "--", file.name)
    resolved, top = file.resolve(), Path(root).resolve()
    return {
        "file": resolved.relative_to(top).as_posix() if resolved.is_relative_to(top) else file.name,
        **head,
        "tracked": tracked,
        "changed": bool(changed) or not tracked,
    }


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _memory_limit() -> int | None:
    """The least of what the process and its cgroup may use."""
    limits: list[int] = []
    try:
        import resource

        limits.append(resource.getrlimit(resource.RLIMIT_AS)[0])
    except (ImportError, OSError, ValueError):
        pass
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limits.append(int(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError):  # none, or "max"
            continue
    return min((limit for limit in limits if 0 < limit < 2**62), default=None)

"""Where a run was made: what decides its numbers (fingerprint), and what a reader wants to know (provenance).

Evaluation counts and histories repeat bit by bit in one environment. Another BLAS kernel, another number of
BLAS threads or another set of SIMD instructions changes the rounding and, after some iterations, the path of
a solver.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from threadpoolctl import threadpool_info  # type: ignore[import-untyped,unused-ignore]

import optcore

__all__ = ["environment_hash", "fingerprint", "library_version", "provenance"]

_HASH_DIGITS = 12
_SECONDS_FOR_GIT = 10


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
        "blas": _blas(),
        "blas_threads": "1",
        "simd": _simd(),
        "os": platform.system(),
        "libc": " ".join(platform.libc_ver()) if platform.system() == "Linux" else platform.mac_ver()[0],
        "machine": platform.machine(),
        "cpu": _cpu(),
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


def _blas() -> str:
    """Name, version and kernel of each BLAS that numpy and scipy use."""
    importlib.import_module("scipy.linalg")  # loads scipy's BLAS, which may be another one than numpy's
    found = [entry for entry in threadpool_info() if entry["user_api"] == "blas"]
    bundled = [entry for entry in found if _inside(entry["filepath"], ("numpy", "scipy"))]
    chosen = bundled or [entry for entry in found if "site-packages" not in Path(entry["filepath"]).parts]
    names = {
        " ".join(str(entry.get(key) or "") for key in ("internal_api", "version", "architecture")) for entry in chosen
    }
    if names:
        return ", ".join(sorted(names))
    built_with = _build_information("Build Dependencies").get("blas", {})  # Accelerate can't be asked
    return f"{built_with.get('name', 'unknown')} {built_with.get('version', '')}".strip()


def _inside(path: str, packages: tuple[str, ...]) -> bool:
    """Whether a library lies in the folder of a package or in the one of libraries that its wheel brings."""
    folders = {name for package in packages for name in (package, f"{package}.libs")}
    parts = Path(path).parts
    return any(parts[i] == "site-packages" and parts[i + 1] in folders for i in range(len(parts) - 1))


def _simd() -> str:
    return " ".join(_build_information("SIMD Extensions").get("found", [])) or "none beyond the baseline"


def _build_information(section: str) -> dict[str, Any]:
    information: Any = np.show_config(mode="dicts")  # type: ignore[no-untyped-call,unused-ignore]
    return dict((information or {}).get(section, {}))


def _cpu() -> str:
    if platform.system() == "Darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or "unknown"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model", "cpu model"))]
    return models[0] if models else platform.processor() or "unknown"


def _output(*command: str) -> str | None:
    """What a program prints, without the line's end; None if it fails or isn't there."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_SECONDS_FOR_GIT,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.rstrip("\n")


def library_version(import_name: str) -> str | None:
    """The installed version of the library that an import name belongs to.

    Args:
        import_name: such as "dfols", which the distribution DFO-LS installs.

    Returns:
        Its version; None if it is not installed. Nothing is imported.

    >>> library_version("numpy") == np.__version__
    True
    >>> library_version("no_such_library") is None
    True
    """
    name = import_name.partition(".")[0]
    for distribution in (*_distributions().get(name, ()), name):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


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
    commit = _output("git", "rev-parse", "HEAD")
    if not commit:
        return None
    return {"commit": commit, "dirty": bool(_output("git", "status", "--porcelain"))}


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None

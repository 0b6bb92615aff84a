"""What a machine computes with: BLAS, SIMD, CPU, versions of libraries. Imported when somebody asks."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info  # type: ignore[import-untyped,unused-ignore]

__all__ = [
    "blas",
    "blas_details",
    "blas_threads",
    "cpu",
    "distributions_of",
    "environment",
    "library_version",
    "name_and_version",
    "output_of",
    "simd",
]

_PATIENCE = 10  # seconds for a program that is asked something
#: In the metadata of a distribution.
_FIELD = re.compile(r"^(Name|Version): *(\S+)", re.MULTILINE | re.IGNORECASE)
#: In its list of files: the module that a file is, or is a part of.
_MODULE = re.compile(r"^(\w+)(?:/[^,\n]*)?(?:\.[\w-]+)*\.(?:py|so|pyd),", re.MULTILINE)


def environment() -> dict[str, str | int | None]:
    """Where this process runs, as a result shows it.

    Returns:
        `os`, `machine`, `cpu`, `cpu_count`, `blas` (name, version and kernel) and `blas_threads`, the number of
        threads that BLAS may use now; None where that can't be told.

    >>> sorted(environment())
    ['blas', 'blas_threads', 'cpu', 'cpu_count', 'machine', 'os']
    """
    return {
        "os": platform.platform(),
        "machine": platform.machine(),
        "cpu": cpu(),
        "cpu_count": os.cpu_count(),
        "blas": blas(),
        "blas_threads": blas_threads(),
    }


def blas() -> str:
    """Name, version and kernel of each BLAS that numpy and scipy use."""
    names = {
        " ".join(str(entry.get(key) or "") for key in ("internal_api", "version", "architecture"))
        for entry in _blas_libraries()
    }
    if names:
        return ", ".join(sorted(names))
    built_with = _build_information("Build Dependencies").get("blas", {})  # Accelerate can't be asked
    return f"{built_with.get('name', 'unknown')} {built_with.get('version', '')}".strip()


def blas_threads() -> int | None:
    """How many threads the BLAS of numpy and scipy may use at this moment; None if it can't be asked."""
    return max((int(entry["num_threads"]) for entry in _blas_libraries()), default=None)


def _blas_libraries() -> list[Mapping[str, Any]]:
    importlib.import_module("scipy.linalg")  # loads scipy's BLAS, which may be another one than numpy's
    found = [entry for entry in threadpool_info() if entry["user_api"] == "blas"]
    bundled = [entry for entry in found if _inside(entry["filepath"], ("numpy", "scipy"))]
    return bundled or [entry for entry in found if "site-packages" not in Path(entry["filepath"]).parts]


def _inside(path: str, packages: tuple[str, ...]) -> bool:
    """Whether a library lies in the folder of a package or in the one of libraries that its wheel brings."""
    folders = {name for package in packages for name in (package, f"{package}.libs")}
    parts = Path(path).parts
    return any(parts[i] == "site-packages" and parts[i + 1] in folders for i in range(len(parts) - 1))


def blas_details() -> list[dict[str, str | int | None]]:
    """Each BLAS that numpy and scipy use, as far as it can be asked.

    Returns:
        Keys `library` (file name), `name`, `version`, `kernel`, `threads`, `threading`; None where unknown.
    """
    details: list[dict[str, str | int | None]] = [
        {
            "library": Path(entry["filepath"]).name,
            "name": entry.get("internal_api"),
            "version": entry.get("version"),
            "kernel": entry.get("architecture"),
            "threads": entry.get("num_threads"),
            "threading": entry.get("threading_layer"),
        }
        for entry in _blas_libraries()
    ]
    return sorted(details, key=lambda entry: str(entry["library"]))


def simd() -> str:
    """The SIMD extensions that numpy found beyond those that it was built for."""
    return " ".join(_build_information("SIMD Extensions").get("found", [])) or "none beyond the baseline"


def _build_information(section: str) -> dict[str, Any]:
    information: Any = np.show_config(mode="dicts")  # type: ignore[no-untyped-call,unused-ignore]
    return dict((information or {}).get(section, {}))


@cache
def cpu() -> str:
    """The model of the processor."""
    if platform.system() == "Darwin":
        return output_of("sysctl", "-n", "machdep.cpu.brand_string") or "unknown"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model", "cpu model"))]
    return models[0] if models else platform.processor() or "unknown"


def output_of(*command: str) -> str | None:
    """What a program prints, without the line's end; None if it fails or isn't there."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
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
    for distribution in distributions_of(import_name):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def distributions_of(import_name: str) -> tuple[str, ...]:
    """The installed distributions that an import name may belong to; last the one of the same name, installed or not.

    >>> distributions_of("numpy.linalg")[-1]
    'numpy'
    """
    name = import_name.partition(".")[0]
    return (*_distributions().get(name, ()), name)


@cache
def _distributions() -> Mapping[str, list[str]]:
    """The same as `importlib.metadata.packages_distributions`, which takes as long as all else that starts a study."""
    found: dict[str, list[str]] = {}
    for entry in importlib.metadata.distributions():
        if known := name_and_version(entry):
            for module in _modules_of(entry):
                found.setdefault(module, []).append(known[0])
    return found


def name_and_version(entry: importlib.metadata.Distribution) -> tuple[str, str] | None:
    """Of an installed distribution; None where it doesn't say so.

    Out of the fields alone: importlib parses the description too, which takes 1 ms a package, each time.
    """
    text = entry.read_text("METADATA") or entry.read_text("PKG-INFO") or ""
    fields = {name.lower(): value for name, value in _FIELD.findall(text.partition("\n\n")[0])}
    return (fields["name"], fields["version"]) if {"name", "version"} <= fields.keys() else None


def _modules_of(entry: importlib.metadata.Distribution) -> set[str]:
    """The modules that it brings, out of the text of its list of files: importlib makes a path of each of them."""
    if declared := (entry.read_text("top_level.txt") or "").split():
        return set(declared)
    listed = entry.read_text("RECORD")
    if listed is None:  # an egg
        listed = "".join(f"{file.as_posix()},\n" for file in entry.files or ())
    return set(_MODULE.findall(listed))

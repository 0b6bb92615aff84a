"""`optcore doctor`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import typer

from optcore_bench.cli.tables import json_text
from optcore_bench.environment import fingerprint, library_version
from optcore_bench.runner import available_cores

__all__ = ["doctor"]

#: Import name, the extra that installs it, and what it unlocks.
OPTIONAL = (
    ("jax", "jax", "the derivative strategy 'jax'"),
    ("asdex", "asdex", 'sparsity="detect" of functions of JAX without a call'),
    ("nlopt", "nlopt", "the algorithms nlopt_*"),
    ("dfols", "dfols", "the algorithm nag_dfols"),
    ("pybobyqa", "pybobyqa", "the algorithm nag_pybobyqa"),
    ("iminuit", "iminuit", "the algorithm iminuit_migrad"),
    ("optimagic", "optimagic", "the algorithms optimagic:NAME, any of optimagic's"),
    ("distributed", "dask", "the backend 'dask': runs on several machines"),
    ("kaleido", "figures", "figures as PDF, SVG and PNG; needs Chrome or Chromium too"),
    ("duckdb", "sql", "results.sql: queries over the tables of a store"),
)
REQUIRED = (
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "plotly",
    "joblib",
    "optree",
    "cloudpickle",
    "threadpoolctl",
    "typer",
    "rich",
)
_BROWSERS = (
    "google-chrome",
    "google-chrome-stable",
    "chromium",
    "chromium-browser",
    "chrome",
    "msedge",
    "brave-browser",
)
_MAC_BROWSERS = ("Google Chrome", "Chromium")


def doctor(*, as_json: bool) -> None:
    """Print what is there, what is missing, and what that would unlock."""
    facts = collect()
    if as_json:
        typer.echo(json_text(facts))
        return
    typer.echo(f"optcore {facts['optcore']}, {facts['machine']['python']}")
    for entry in (*facts["required"], *facts["optional"]):
        typer.echo(_line(entry))
    browser = facts["browser"]
    typer.echo(f"  ok       browser {browser}" if browser else f"  missing  {NO_BROWSER}")
    typer.echo("machine")
    for key, value in facts["machine"].items():
        typer.echo(f"  {key:<13} {value}")


NO_BROWSER = "Chrome or Chromium: figures as PDF, SVG and PNG; install one, or run: plotly_get_chrome"


def _line(entry: dict[str, Any]) -> str:
    if entry["version"] is not None:
        return f"  ok       {entry['library']} {entry['version']}"
    return f"  missing  {entry['library']}: {entry['unlocks']}; pip install '{entry['install']}'"


def collect() -> dict[str, Any]:
    """Everything that the doctor knows, as plain values."""
    from optcore._version import __version__

    required = [
        {"library": name, "version": library_version(name), "unlocks": "everything", "install": "optcore"}
        for name in REQUIRED
    ]
    optional = [
        {"library": name, "version": library_version(name), "unlocks": unlocks, "install": f"optcore[{extra}]"}
        for name, extra, unlocks in OPTIONAL
    ]
    here = fingerprint()
    machine = {
        **here,
        "cores": f"{available_cores()} usable of {os.cpu_count()}",
        "blas_threads": f"{here['blas_threads']} in runs",
    }
    return {
        "optcore": __version__,
        "required": required,
        "optional": optional,
        "browser": find_browser(),
        "machine": machine,
    }


def find_browser() -> str | None:
    """Path of a Chrome or Chromium that kaleido can use, or None."""
    named = os.environ.get("BROWSER_PATH")
    candidates = [named] if named else [shutil.which(name) for name in _BROWSERS]
    candidates += [f"/Applications/{name}.app/Contents/MacOS/{name}" for name in _MAC_BROWSERS]
    found = next((path for path in candidates if path and Path(path).exists()), None)
    return found or _downloaded_browser()


def _downloaded_browser() -> str | None:
    """The one that `plotly_get_chrome` puts beside its library."""
    try:
        from choreographer.cli.defaults import default_download_path
    except ImportError:
        return None
    found = [
        path for path in Path(default_download_path).rglob("chrome*") if path.is_file() and os.access(path, os.X_OK)
    ]
    return str(found[0]) if found else None

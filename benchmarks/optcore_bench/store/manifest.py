"""`manifest.json`: what was asked, where it ran, whether it is finished, and sums that find damage.

`sha256` is the sum of the manifest itself: SHA-256 of the JSON of all other entries, keys sorted, without spaces,
non-ASCII characters escaped. `files` has the sums of `study.toml` and, once the store is finished, of the files of its
tables. Sums find what a disk, a copy or an editor changed; they are no signature, for who means to forge can
compute them as well.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from optcore_bench.store.digest import DIGEST_DEFINITION, Digest
from optcore_bench.store.files import file_sum, replace_text
from optcore_bench.store.schema import TABLES, DamagedStoreError, check_version, may_not_read, no_store

MANIFEST = "manifest.json"
STUDY = "study.toml"
#: Where a published folder has its runs.
_PUBLISHED_RUNS = ("runs.parquet", "runs.csv")
#: A folder with the files of solvers of the user's own.
SOURCES = "sources"

#: What an unfinished store doesn't know of itself.
UNFINISHED: dict[str, Any] = {
    "finished": None,
    "digest": None,
    "digest_definition": DIGEST_DEFINITION,
    "digest_rows": None,
    "digest_left_out": None,
    "statuses": None,
}


def published_runs(root: Path) -> Path | None:
    """The file with the runs of a published folder, which has no evaluations; None where it is none."""
    if any((root / folder).is_dir() for folder in ("runs", "log")):
        return None
    return next((root / name for name in _PUBLISHED_RUNS if (root / name).is_file()), None)


def read_manifest(root: Path) -> dict[str, Any]:
    """What `manifest.json` says.

    Args:
        root: the store.

    Returns:
        The manifest.

    Raises:
        StoreNotFoundError: there is none.
        StoreVersionError: a newer optcore wrote it.
        DamagedStoreError: it is no manifest.
    """
    path = root / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise no_store(root) from None
    except PermissionError as error:
        raise may_not_read(path) from error
    except (OSError, ValueError):
        manifest = {}
    check_version(manifest.get("schema") if isinstance(manifest, dict) else None, path)
    return dict(manifest)


def read_study(root: Path) -> dict[str, Any]:
    """What `study.toml` says.

    Args:
        root: the store.

    Returns:
        The study.

    Raises:
        DamagedStoreError: it is missing or no TOML.
    """
    path = root / STUDY
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except PermissionError as error:
        raise may_not_read(path) from error
    except (OSError, ValueError) as error:
        raise DamagedStoreError(f"'{path}' can't be read ({error}); restore it from a copy") from error


def write_manifest(root: Path, manifest: dict[str, Any], *, keep_sum: bool = False) -> None:
    """Replace `manifest.json`.

    Args:
        root: the store.
        manifest: what it shall say.
        keep_sum: keep the sum that `manifest` has, instead of taking a new one.
    """
    entries = json.loads(json.dumps(manifest, default=str))
    if not keep_sum:
        entries.pop("sha256", None)
        entries["sha256"] = manifest_sum(entries)
    replace_text(root / MANIFEST, json.dumps(entries, indent=2) + "\n")


def manifest_sum(manifest: dict[str, Any]) -> str:
    """The sum of a manifest, by the definition in the module's docstring.

    >>> manifest_sum({"b": 1, "a": None, "sha256": "?"}) == manifest_sum({"a": None, "b": 1})
    True
    """
    entries = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(entries, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def unfinished(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a store to which runs are added."""
    known = manifest.get("files")
    kept = {STUDY: known[STUDY]} if isinstance(known, dict) and STUDY in known else {}
    return {**manifest, **UNFINISHED, "files": kept}


def counted(runs: Any, digest: Digest) -> dict[str, Any]:
    """What the manifest of a finished store says of its runs.

    Args:
        runs: the table `runs`.
        digest: of them.

    Returns:
        The entries.
    """
    return {
        "digest": digest.value,
        "digest_definition": DIGEST_DEFINITION,
        "digest_rows": digest.rows,
        "digest_left_out": digest.left_out,
        "statuses": dict(sorted(Counter(runs.column("status").to_pylist()).items())),
    }


def finished(
    root: Path, manifest: dict[str, Any], runs: Any, stem: str, digest: Digest, when: str | None = None
) -> dict[str, Any]:
    """The manifest of a store that consists of one segment.

    Args:
        root: the store.
        manifest: what it said before.
        runs: the table `runs` of the segment.
        stem: name of the segment.
        digest: of its runs.
        when: when it was finished; now by default.

    Returns:
        The manifest.
    """
    paths = [root / STUDY, *(root / table / f"{stem}.parquet" for table in TABLES)]
    sums = {path.relative_to(root).as_posix(): file_sum(path) for path in paths if path.exists()}
    return {**manifest, "finished": when or now(), **counted(runs, digest), "files": sums}


def now() -> str:
    """The present time as ISO text in UTC."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")

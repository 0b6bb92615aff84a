"""Writing a store in one go: all of it, or nothing."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from optcore_bench.store.begun import begun_folder, rename
from optcore_bench.store.compact import write_index, write_segment
from optcore_bench.store.digest import Digest, store_digest
from optcore_bench.store.files import explained, file_sum, replace_text
from optcore_bench.store.log import sync_folder
from optcore_bench.store.manifest import SOURCES, STUDY, UNFINISHED, finished, now, write_manifest
from optcore_bench.store.reference import write_reference
from optcore_bench.store.schema import SCHEMA_VERSION, StoreError
from optcore_bench.store.selection import Selection, plain_rows
from optcore_bench.store.sources import Source


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name when the block ends well and is removed when it doesn't.

    Args:
        path: its name.

    Yields:
        The folder, beside its place.

    Raises:
        StoreError: there is something at the path.
        StoreWriteError: the disk is full, or the place may not be written.
    """
    refuse_existing(path)
    with explained(path, "nothing was left there"):
        with begun_folder(path) as begun:
            yield begun
            refuse_existing(path)
            rename(begun, path)
        sync_folder(path.parent)


def refuse_existing(path: Path) -> None:
    """Refuse to write where there is something, except for an empty folder."""
    if (path.exists() or path.is_symlink()) and not (path.is_dir() and not os.listdir(path)):
        raise StoreError(f"there is something at '{path}' already; give another path, or remove it")


def write_store(
    path: Path,
    study: str,
    manifest: Mapping[str, Any],
    sources: Sequence[Source],
    selection: Selection,
    *,
    done: bool = True,
    reference: Any = None,
    folders: Sequence[Path] = (),
) -> Digest:
    """Write runs from anywhere as a new store.

    Args:
        path: its folder.
        study: text of its `study.toml`.
        manifest: entries of its manifest.
        sources: where the runs are.
        selection: which runs.
        done: whether the study went through.
        reference: f_L that is frozen, see `optcore_bench.store.reference`; None for nothing.
        folders: stores whose kept files of solvers go along.

    Returns:
        The digest of the runs.

    Raises:
        StoreError: there is something at the path.
        StoreWriteError: the disk is full, or the place may not be written.
    """
    digest = store_digest(plain_rows(selection.runs))
    with whole_folder(path) as root:
        replace_text(root / STUDY, study)
        stem = write_segment(root, sources, selection, [], digest)
        write_index(root, stem, sources, selection, force=True)
        if reference is not None:
            write_reference(root, reference)
        for folder in folders:
            if (folder / SOURCES).is_dir():
                shutil.copytree(folder / SOURCES, root / SOURCES, dirs_exist_ok=True)
        entries = {"schema": SCHEMA_VERSION, "created": now(), **UNFINISHED, **json.loads(json.dumps(manifest))}
        if done:
            entries = finished(root, entries, selection.runs, stem, digest)
        else:
            entries["files"] = {STUDY: file_sum(root / STUDY)}
        write_manifest(root, entries)
    return digest

"""Taking results elsewhere: as CSV, or as a zip file that proves itself.

A bundle is a zip file with one folder, named like the study: the store's files as they are, its report where there
is one, and `SHA256SUMS`, which `sha256sum -c SHA256SUMS` accepts after unzipping. Parquet is compressed already, so
nothing is compressed again, and the same store gives the same bytes on every machine: names sorted, times 1980,
rights 0644.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.csv

from optcore_bench.store.files import explained, file_sum, locked, replace_file
from optcore_bench.store.manifest import MANIFEST, SOURCES, STUDY, read_manifest, read_study
from optcore_bench.store.results import Results
from optcore_bench.store.schema import TABLES, DamagedStoreError
from optcore_bench.store.selection import merged_rows
from optcore_bench.store.sources import INDEX_FILE, REFERENCE_FILE, list_contents
from optcore_bench.store.whole import refuse_existing, whole_folder
from optcore_bench.store.writer import store_path

__all__ = ["SUMS", "export_bundle", "export_csv", "unpack"]

#: The file of sums in a bundle.
SUMS = "SHA256SUMS"
REPORT = "report.html"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_RIGHTS = 0o100644 << 16
_CHUNK = 2**20
_LARGE = 2**31 - 1


def export_csv(store: str | os.PathLike[str], folder: str | os.PathLike[str], *, history: bool = False) -> list[Path]:
    """Write the tables of a store as CSV: floats exact, null as nothing, text in quotes, `x` as a JSON list.

    Args:
        store: folder of a store, or a bundle.
        folder: where the files are written: all of them, or none.
        history: write the evaluations and their clock too: large, 300 bytes for each where n = 10.

    Returns:
        The files: `runs.csv`, `timings.csv` and, if asked for, `history.csv` and `clock.csv`.

    Raises:
        StoreNotFoundError: there is no store.
        StoreError: there is something at `folder`.
        StoreWriteError: the disk is full, or the place may not be written.
    """
    results, target = Results(store), store_path(folder)
    names = list(TABLES) if history else ["runs", "timings"]
    with whole_folder(target) as begun:
        for name in names:
            _write_csv(begun / f"{name}.csv", _rows(results, name), name)
    return [target / f"{name}.csv" for name in names]


def _rows(results: Results, table: str) -> Iterator[Any]:
    sources, selection = results.selected
    if table in ("runs", "timings"):
        yield getattr(selection, table)
    else:
        yield from merged_rows(sources, selection.order, table)


def _write_csv(path: Path, tables: Iterator[Any], table: str) -> None:
    text = {"x": pa.string()}
    schema = pa.schema([pa.field(field.name, text.get(field.name, field.type)) for field in TABLES[table]])
    with pyarrow.csv.CSVWriter(path, schema) as writer:
        for rows in tables:
            columns = [_text(rows.column(name)) if name in text else rows.column(name) for name in schema.names]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _text(column: Any) -> Any:
    lists = (None if value is None else json.dumps(value) for value in column.to_pylist())
    return pa.array(lists, pa.string())


# --- bundles ----------------------------------------------------------------------------------------------------------


def export_bundle(store: str | os.PathLike[str], file: str | os.PathLike[str]) -> Path:
    """Write a store into one zip file with sums, which every command opens as if it were the store.

    Args:
        store: folder of the store, finished or not.
        file: the zip file; there must be nothing yet.

    Returns:
        Its path.

    Raises:
        StoreNotFoundError: there is no store.
        StoreError: there is something at `file`.
        DamagedStoreError: a file can't be read.
        StoreWriteError: the disk is full, or the place may not be written.
    """
    root, target = store_path(store), store_path(file)
    refuse_existing(target)
    read_manifest(root)
    with locked(root), explained(target, "nothing was left there"):
        names = list(_bundled(root))
        sums = {name: file_sum(root / name) for name in names}
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, lambda temporary: _write_bundle(temporary, root, sums))
    return target


def _bundled(root: Path) -> Iterator[str]:
    contents = list_contents(root)
    yield from (name for name in (MANIFEST, REPORT, STUDY) if (root / name).is_file())
    yield from (f"{table}/{stem}.parquet" for table in TABLES for stem in contents.segments)
    yield from (f"log/{stem}.log" for stem in contents.logs)
    yield from (f"derived/{name}" for name in (INDEX_FILE, REFERENCE_FILE) if (root / "derived" / name).is_file())
    yield from (path.relative_to(root).as_posix() for path in sorted((root / SOURCES).rglob("*")) if path.is_file())


def _write_bundle(path: Path, root: Path, sums: dict[str, str]) -> None:
    folder = re.sub(r"[^\w.-]+", "-", str(read_study(root).get("name", ""))).strip(".-") or "store"
    listing = "".join(f"{value}  {name}\n" for name, value in sorted(sums.items()))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        with archive.open(_entry(f"{folder}/{SUMS}", 0), "w") as entry:
            entry.write(listing.encode())
        for name, value in sorted(sums.items()):
            size = (root / name).stat().st_size
            with (root / name).open("rb") as source:
                found = _copied(source, archive, _entry(f"{folder}/{name}", size), size)
            if found != value:
                raise DamagedStoreError(
                    f"'{root / name}' changes while it is exported; wait until nothing writes to it"
                )


def _entry(name: str, size: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr, entry.create_system, entry.file_size = _RIGHTS, 3, size
    return entry


def _copied(source: Any, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, size: int) -> str:
    digest = hashlib.sha256()
    with archive.open(entry, "w", force_zip64=size > _LARGE) as target:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            target.write(chunk)
    return digest.hexdigest()


def unpack(bundle: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Path:
    """Make a store of a bundle, after every file was compared with its sum.

    Args:
        bundle: the zip file.
        folder: folder of the store that is made: whole, or not at all.

    Returns:
        The folder.

    Raises:
        DamagedStoreError: it is no bundle, or not what was exported.
        StoreError: there is something at `folder`.
        StoreWriteError: the disk is full, or the place may not be written.
    """
    target = store_path(folder)
    with whole_folder(target) as begun:
        unpack_into(store_path(bundle), begun)
    return target


def unpack_into(bundle: Path, folder: Path) -> None:
    """Unpack a bundle into an empty folder and compare every file with its sum.

    Args:
        bundle: the zip file.
        folder: where its files go.

    Raises:
        DamagedStoreError: it is no bundle, or not what was exported.
    """
    with _naming(bundle), zipfile.ZipFile(bundle) as archive:
        entries = {tuple(PurePosixPath(name).parts): name for name in archive.namelist() if not name.endswith("/")}
        tops = {parts[0] for parts in entries}
        unsafe = [name for parts, name in entries.items() if len(parts) < 2 or ".." in parts or name.startswith("/")]
        if unsafe or len(tops) != 1:
            raise ValueError("its files are not in one folder")
        (top,) = tops
        if (top, SUMS) not in entries:
            raise ValueError(f"it has no file {SUMS}")
        lines = archive.read(entries.pop((top, SUMS))).decode().splitlines()
        sums = {name: value for value, _, name in (line.partition("  ") for line in lines)}
        names = {"/".join(parts[1:]): name for parts, name in entries.items()}
        if different := sorted(set(sums) ^ set(names)):
            raise ValueError(f"{SUMS} and the files in it differ by {', '.join(different[:3])}")
        for name, entry in names.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target, _CHUNK)
            if file_sum(path) != sums[name]:
                raise ValueError(f"{name} has another sum than in {SUMS}")


@contextlib.contextmanager
def _naming(bundle: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError, KeyError) as error:
        raise DamagedStoreError(
            f"'{bundle}' is no sound bundle ({str(error).strip() or type(error).__name__}); fetch it again, or make it "
            "with: optcore store export STORE FILE.zip"
        ) from error

"""Writing a store: append finished runs from any thread or process, then finish."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from optcore_bench.environment import fingerprint, provenance
from optcore_bench.store.begun import begun_folder, rename
from optcore_bench.store.compact import compact, rotate
from optcore_bench.store.digest import store_digest
from optcore_bench.store.files import explained, file_sum, locked, replace_text
from optcore_bench.store.log import LogWriter, sync_folder
from optcore_bench.store.manifest import STUDY, UNFINISHED, finished, now, read_manifest, unfinished, write_manifest
from optcore_bench.store.record import RunRecord, encode, prepare
from optcore_bench.store.schema import KEY, SCHEMA_VERSION, StoreError, no_store
from optcore_bench.store.selection import plain_rows, read_consistently, select

_ROTATE_BYTES = 64 * 2**20


class StoreWriter:
    """Appends runs to a store.

    A run is stored when `append` returns, and `kill -9` can't take it back. Threads may share a writer; each
    process needs its own (a pickled writer opens the same store again) and should close it before some
    process calls `finish`, which leaves alone what another process still holds open.

    Args:
        path: folder of the store. It is made if `study` is given and there is none.
        study: text of `study.toml`; replaces the one of an existing store.
        manifest: entries of `manifest.json` to set, such as `command`, `environment` and `provenance`. A new
            store without any describes the present environment.
        rotate_bytes: size from which a log is turned into a Parquet segment.

    Raises:
        StoreNotFoundError: there is no store and no `study` to make one of.
        StoreError: the folder holds something else.
        StoreVersionError: a newer optcore wrote the store.
        StoreWriteError: the disk is full, or the folder may not be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        study: str | None = None,
        manifest: Mapping[str, Any] | None = None,
        rotate_bytes: int = _ROTATE_BYTES,
    ) -> None:
        self.path = store_path(path)
        self._rotate_bytes = rotate_bytes
        self._log: LogWriter | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()
        if not (self.path / "manifest.json").exists():
            if study is None:
                raise no_store(self.path)
            with explained(self.path, "nothing was begun"):
                _create(self.path, study, manifest)
        read_manifest(self.path)
        with explained(self.path):
            self._update(study, manifest)

    def _update(self, study: str | None, manifest: Mapping[str, Any] | None) -> None:
        with locked(self.path):
            known = read_manifest(self.path)
            new = json.loads(json.dumps({**known, **(manifest or {})}, default=str))
            if study is not None and _read_text(self.path / STUDY) != study:
                # A death between the two files must not leave a sum that doesn't fit.
                sums = dict(new.get("files") or {})
                if sums.pop(STUDY, None) is not None:
                    write_manifest(self.path, {**known, "files": sums})
                replace_text(self.path / STUDY, study)
                new["files"] = {STUDY: file_sum(self.path / STUDY), **sums}
            if new != known:
                write_manifest(self.path, new)

    def append(self, record: RunRecord) -> None:
        """Store a finished run.

        Args:
            record: the run.

        Raises:
            InvalidInputError: it doesn't fit the tables.
            StoreWriteError: the disk is full, or the store may not be written; the run is not stored.
            OSError: the disk failed; the run is not stored.
        """
        payload = encode(prepare(record))
        self._leave_parent()
        with explained(self.path):
            self._append(payload)

    def _append(self, payload: bytes) -> None:
        with self._lock:
            log = self._log = self._log or self._new_log()
            try:
                log.append(payload)
            except BaseException:
                # The log may end in half a frame: what came after it would not be read.
                self._log = None
                log.abandon()
                raise
            full = log.size >= self._rotate_bytes
            if full:
                self._log = None
        if full:
            log.close()
            rotate(self.path, log.path)

    def _leave_parent(self) -> None:
        """After a fork the log is the parent's."""
        if self._pid != os.getpid():
            self._pid, self._lock, self._log = os.getpid(), threading.Lock(), None

    def _new_log(self) -> LogWriter:
        log = LogWriter(self.path / "log")
        try:
            with locked(self.path):
                manifest = read_manifest(self.path)
                if manifest.get("finished") is not None:
                    write_manifest(self.path, unfinished(manifest))
        except BaseException:
            log.abandon()
            raise
        return log

    def finish(self, run_ids: Collection[str] | None = None) -> int:
        """Bring the store to one file in each table, and write its digest and its counts to the manifest.

        Of several runs of one (suite, problem, start, noise, algorithm, derivative) one stays: one of
        `run_ids`, or the latest. Finishing twice changes nothing. While another process has the store open
        for writing, what it appended stays in its log and the manifest goes on to call the store unfinished;
        the last one to finish completes it. Memory is bounded by row groups, not by the number of
        evaluations.

        Args:
            run_ids: ids of the study's present runs.

        Returns:
            How many superseded runs were dropped.

        Raises:
            StoreWriteError: the disk is full, or the store may not be written; no run is lost by that.
        """
        self.close()
        with explained(self.path), locked(self.path):
            done = compact(self.path, run_ids)
            manifest = read_manifest(self.path)
            if not done.complete:
                write_manifest(self.path, unfinished(manifest))
            elif done.changed or manifest.get("finished") is None:
                runs = done.selection.runs
                digest = done.digest or store_digest(plain_rows(runs))
                write_manifest(self.path, finished(self.path, manifest, runs, done.stem, digest))
        return done.selection.dropped

    def close(self) -> None:
        """Bring what was appended to the disk and let go of the log. A later `append` begins a new one."""
        self._leave_parent()
        with self._lock:
            log, self._log = self._log, None
        if log is not None:
            log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_rotate_bytes": self._rotate_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _log=None, _lock=threading.Lock(), _pid=os.getpid())

    def __repr__(self) -> str:
        return f"StoreWriter('{self.path}')"


def store_path(path: str | os.PathLike[str]) -> Path:
    """The absolute path of a store, `~` expanded."""
    return Path(path).expanduser().absolute()


def stored_run_ids(path: str | os.PathLike[str]) -> dict[str, tuple[Any, ...]]:
    """What need not be run again.

    Args:
        path: the store.

    Returns:
        For each stored run_id its (suite, problem, start, noise, algorithm, derivative); superseded runs too.

    Raises:
        StoreNotFoundError: there is no store.
    """
    root = store_path(path)
    read_manifest(root)
    runs = read_consistently(root, lambda sources: select(sources, one_per_cell=False).runs)
    columns = [runs.column(name).to_pylist() for name in ("run_id", *KEY)]
    return {run_id: tuple(key) for run_id, *key in zip(*columns, strict=True)}


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _create(root: Path, study: str, manifest: Mapping[str, Any] | None) -> None:
    """Make a store under another name beside its place and rename it: nobody sees half of it."""
    entries = {"environment": fingerprint(), "provenance": provenance(None)} if manifest is None else dict(manifest)
    with begun_folder(root) as begun:
        replace_text(begun / STUDY, study)
        sums = {STUDY: file_sum(begun / STUDY)}
        write_manifest(begun, {"schema": SCHEMA_VERSION, "created": now(), **UNFINISHED, "files": sums, **entries})
        try:
            rename(begun, root)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            if not (root / "manifest.json").exists():
                raise StoreError(
                    f"'{root}' holds something that is not a store; choose another path or remove what is there"
                ) from error
    sync_folder(root.parent)

"""Checking a store against itself, and repairing what can be computed again.

What is compared with what: every page with its checksum; every run's evaluations with its `history_hash`; the
clock's rows and the index with the history's; files with their sums in the manifest, the manifest with its own; the
runs with the digest in the manifest and with the one in the file that they stand in. Nothing is repaired
that these don't prove.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from optcore_bench.store.check_files import Checked, check_log, check_segment, log_fixes, stored_index
from optcore_bench.store.compact import is_leftover, write_index
from optcore_bench.store.digest import DIGEST_DEFINITION, store_digest
from optcore_bench.store.files import explained, file_sum, locked
from optcore_bench.store.manifest import (
    MANIFEST,
    SOURCES,
    STUDY,
    counted,
    finished,
    manifest_sum,
    read_manifest,
    write_manifest,
)
from optcore_bench.store.schema import TABLES, DamagedStoreError, StoreError, StoreVersionError, no_store
from optcore_bench.store.selection import plain_rows, select
from optcore_bench.store.sources import INDEX_FILE, Segment, list_segments, unused
from optcore_bench.store.writer import store_path

#: What else may stand in the folder of a store: what people write about it, and what is made from it.
_DOCUMENTS = (".md", ".rst", ".html", ".pdf", ".cff")
_COMPANIONS = ("figures", "LICENSE", "README", "NOTICE", ".gitignore", ".gitattributes")
#: Kinds that don't put into doubt what other files say.
_HARMLESS = ("foreign", "leftover", "stale")
_ROUNDS = 4


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a store.

    Attributes:
        path: the file.
        kind: one of "missing", "damaged" (truncated, or bits flipped), "changed" (whole, but not what was
            recorded), "foreign", "duplicate", "torn" (a log's end), "leftover" and "stale" (can be computed again).
        message: a sentence that names the file.
        fix: repairs it; None where that can't be done.
    """

    path: Path
    kind: str
    message: str
    fix: Callable[[], None] | None = field(default=None, compare=False, repr=False)


class Repaired(NamedTuple):
    """What `repair` did and what it left."""

    repaired: list[Finding]
    left: list[Finding]


def check(path: str | os.PathLike[str]) -> list[Finding]:
    """Read all of a store and compare it with itself. Memory is bounded by row groups and the table `runs`.

    Args:
        path: folder of the store.

    Returns:
        What is wrong; empty for a sound store.

    Raises:
        StoreNotFoundError: there is no store.
        StoreVersionError: a newer optcore wrote it.
    """
    root = store_path(path)
    if not any((root / name).exists() for name in (MANIFEST, STUDY, *TABLES)):
        raise no_store(root)
    with locked(root):
        return list(_Check(root).findings())


def repair(path: str | os.PathLike[str]) -> Repaired:
    """Repair what can be computed again: the index, a torn log, leftovers, a stale manifest.

    Args:
        path: folder of the store.

    Returns:
        What was repaired and what is left.

    Raises:
        StoreNotFoundError: there is no store.
        StoreVersionError: a newer optcore wrote it.
        StoreWriteError: the disk is full, or the store may not be written.
    """
    root, done = store_path(path), []
    found = check(root)
    for _ in range(_ROUNDS):  # with a leftover gone, the manifest may turn out to be provable
        if not (now := [finding for finding in found if finding.fix is not None]):
            break
        with explained(root), locked(root):
            for finding in now:
                assert finding.fix is not None
                finding.fix()
        done += now
        found = check(root)
    return Repaired([finding for finding in done if finding not in found], found)


def verify(path: str | os.PathLike[str]) -> list[str]:
    """What `check` finds, as sentences.

    Args:
        path: folder of the store.

    Returns:
        One sentence for each thing that is wrong; empty for a sound store.

    Raises:
        StoreNotFoundError: there is no store.
        StoreVersionError: a newer optcore wrote it.
    """
    return [finding.message for finding in check(path)]


class _Check:
    """One check of a locked store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.manifest: dict[str, Any] = {}
        self.live: list[str] = []
        self.replaced: set[str] = set()
        self.known: frozenset[str] = frozenset()
        self.checked: dict[str, Checked] = {}
        self.bad: set[Path] = set()
        self.wrong_sums: list[str] = []

    def findings(self) -> Iterator[Finding]:
        """Everything that is wrong."""
        yield from self._noting(self._read_manifest())
        yield from self._noting(self._study())
        yield from self._noting(self._segments())
        yield from self._noting(self._logs())
        yield from self._noting(self._names())
        yield from self._noting(self._duplicates())
        yield from self._noting(self._sums())
        yield from self._noting(self._index())
        yield from self._state()

    def _noting(self, found: Iterator[Finding]) -> Iterator[Finding]:
        for finding in found:
            if finding.kind not in _HARMLESS:
                self.bad.add(finding.path)
            yield finding

    def _name(self, path: Path) -> str:
        return f"'{path.relative_to(self.root)}'"

    def _read_manifest(self) -> Iterator[Finding]:
        path = self.root / MANIFEST
        if not path.exists():
            yield Finding(path, "missing", f"'{MANIFEST}' is missing; restore it from a copy")
            return
        try:
            self.manifest = read_manifest(self.root)
        except DamagedStoreError as error:
            yield Finding(path, "damaged", str(error).replace(f"{self.root}/", ""))
        except StoreVersionError:
            if _intact(json.loads(path.read_text(encoding="utf-8"))):
                raise
            line = f"'{MANIFEST}' is not what optcore wrote: its sha256 does not fit what it says"
            yield Finding(path, "damaged", line)

    def _study(self) -> Iterator[Finding]:
        path = self.root / STUDY
        try:
            tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            yield Finding(path, "missing", f"'{STUDY}' is missing; restore it from a copy")
        except (OSError, ValueError) as error:
            yield Finding(path, "damaged", f"'{STUDY}' can't be read ({error}); restore it from a copy")

    def _segments(self) -> Iterator[Finding]:
        stems = list_segments(self.root)
        for stem in stems:
            try:
                self.replaced |= Segment(self.root, stem).replaces
            except StoreError:
                continue  # said below, where all of the file is read
        self.live = [stem for stem in stems if stem not in self.replaced]
        for stem in self.live:
            checked = self.checked[stem] = check_segment(self.root, stem)
            for path, kind, message in checked.problems:
                yield Finding(path, kind, message)
        ids = [checked.runs.column("run_id").to_pylist() for checked in self.checked.values() if checked.runs]
        self.known = frozenset().union(*ids)

    def _logs(self) -> Iterator[Finding]:
        for path in sorted((self.root / "log").glob("*.log")):
            if path.stem in self.replaced:
                continue
            checked = check_log(path)
            self.checked[path.stem] = checked
            if checked.runs:
                self.known |= frozenset(checked.runs.column("run_id").to_pylist())
            fixes = log_fixes(path)
            for where, kind, message in checked.problems:
                yield Finding(where, kind, message, fixes.get(kind))

    def _names(self) -> Iterator[Finding]:
        """Files that are missing, in the way, or not the store's."""
        dead, orphans = unused(self.root, self.live, self.replaced)
        for path in dead:
            why = "was left by a process that was killed, and nothing needs it"
            yield Finding(path, "leftover", f"{self._name(path)} {why}", path.unlink)
        lost: dict[str, list[Path]] = {}
        for path in orphans:
            if is_leftover(path, self.known) and path.relative_to(self.root).as_posix() not in self._listed():
                why = "was left by a process that was killed: its runs are stored elsewhere"
                yield Finding(path, "leftover", f"{self._name(path)} {why}", path.unlink)
            else:
                lost.setdefault(path.stem, []).append(path)
        missing = {name for name in self._listed() if not (self.root / name).exists()}
        missing |= {f"runs/{stem}.parquet" for stem in lost}
        missing -= {f"{table}/{stem}.parquet" for table in TABLES for stem in (*self.replaced, *self.live)} | {STUDY}
        for name in sorted(missing):
            others = ", ".join(self._name(path) for path in lost.get(Path(name).stem, []))
            needed = f", without which {others} can't be used" if others else ""
            yield Finding(self.root / name, "missing", f"'{name}' is missing{needed}; restore it from a copy")
        known = {self.root / table / f"{stem}.parquet" for table in TABLES for stem in self.live}
        for path in self._entries():
            if path not in known and path not in dead and path not in orphans:
                yield Finding(path, "foreign", f"{self._name(path)} is no file of this store; move it elsewhere")

    def _listed(self) -> dict[str, str]:
        """The sums in the manifest."""
        files = self.manifest.get("files")
        return {name: str(value) for name, value in files.items()} if isinstance(files, dict) else {}

    def _entries(self) -> Iterator[Path]:
        """What is there and doesn't have the name of something that a store has."""
        for path in sorted(self.root.iterdir()):
            if path.name in (MANIFEST, STUDY) or path.suffix.lower() in _DOCUMENTS:
                continue
            if path.name == SOURCES and path.is_dir():
                continue
            if path.name in (*TABLES, "log", "derived", "claims") and path.is_dir():
                for inner in sorted(path.iterdir()):
                    own = {
                        "log": inner.suffix == ".log",
                        "derived": inner.suffix == ".parquet",
                        "claims": inner.suffix == ".claims",
                    }
                    if not (own.get(path.name, False) and inner.is_file()):
                        yield inner
            elif path.name.partition(".")[0] not in _COMPANIONS and path.name not in _COMPANIONS:
                yield path

    def _duplicates(self) -> Iterator[Finding]:
        """Runs that stand in several files with different rows; equal ones are taken once."""
        first: dict[str, tuple[str, Any]] = {}
        for stem, checked in self.checked.items():
            for run in () if checked.runs is None else plain_rows(checked.runs):
                row = {name: repr(value) for name, value in run.items() if name != "message"}
                other, known = first.setdefault(run["run_id"], (stem, row))
                if other != stem and known != row:
                    names = [name for name in row if row[name] != known[name]]
                    path = checked.path
                    yield Finding(
                        path,
                        "duplicate",
                        f"run {run['run_id']!r} stands in {self._name(path)} and in "
                        f"{self._name(self.checked[other].path)} with different {', '.join(names)}",
                    )

    def _sums(self) -> Iterator[Finding]:
        listed = self._listed()
        paths = {name: self.root / name for name in sorted(listed)}
        found = {
            name: file_sum(path)
            for name, path in paths.items()
            if path not in self.bad and path.is_file() and path.stem not in self.replaced
        }
        different = [name for name, value in found.items() if value != listed[name]]
        if different and not _intact(self.manifest):
            # It may be the manifest that was changed.
            corrected = {**self.manifest, "files": {**listed, **found}}
            if manifest_sum(corrected) == self.manifest.get("sha256"):
                self.wrong_sums = different
                return
        for name in different:
            yield Finding(
                paths[name],
                "changed",
                f"'{name}' can be read, but is not the file that was written: its sha256 is {found[name][:12]}, in "
                f"the manifest {listed[name][:12]}",
            )

    def _index(self) -> Iterator[Finding]:
        path = self.root / "derived" / INDEX_FILE
        done = self.manifest.get("finished") is not None
        if len(self.live) != 1 or self.checked[self.live[0]].places is None:
            return
        (stem,) = self.live
        if not path.exists() and not done:
            return
        found = stored_index(path)
        if found == (stem, self.checked[stem].places):
            return
        if not path.exists():
            why = "is missing"
        elif found.of in self.replaced:
            why = "is of files that were replaced: a process was killed before it wrote the next one"
        else:
            why = "does not say where the rows of the runs are"
        sound = not self.checked[stem].problems
        fix = partial(self._write_index, stem) if sound else None
        yield Finding(path, "stale", f"'derived/{INDEX_FILE}' {why}; it can be computed again", fix)

    def _write_index(self, stem: str) -> None:
        # Away with the old one first: the rows' places must be looked up in the history.
        (self.root / "derived" / INDEX_FILE).unlink(missing_ok=True)
        segment = Segment(self.root, stem)
        write_index(self.root, stem, [segment], select([segment], one_per_cell=False), force=True)

    def _state(self) -> Iterator[Finding]:
        """Whether the manifest says of the store what it is."""
        path = self.root / MANIFEST
        manifest = self.manifest
        if not manifest:
            return
        intact = _intact(manifest)
        fix = None
        if wrong := self._wrong():
            fresh = self._fresh()
            if fresh is not None and (intact or manifest_sum(fresh) == manifest.get("sha256")):
                fix = partial(write_manifest, self.root, fresh, keep_sum=not intact)
            yield Finding(path, "changed" if fix is None else "stale", wrong, fix)
        if not intact and fix is None:
            line = f"'{MANIFEST}' is not what optcore wrote: its sha256 does not fit what it says"
            yield Finding(path, "changed", line)

    def _wrong(self) -> str | None:
        """What the manifest says of the runs and is not so."""
        manifest = self.manifest
        if self.wrong_sums:
            return f"'{MANIFEST}' has another sha256 of {', '.join(self.wrong_sums)} than the files"
        if manifest.get("finished") is None:
            return None
        holding = [checked for checked in self.checked.values() if checked.runs is None or checked.runs.num_rows]
        if len(holding) > 1 or len(self.live) > 1:
            return f"'{MANIFEST}' calls the store finished, but its runs stand in {max(2, len(holding))} places"
        if not self.live:
            return f"'{MANIFEST}' calls the store finished, but there is no file of its runs"
        checked = self.checked[self.live[0]]
        if checked.runs is None or manifest.get("digest_definition") != DIGEST_DEFINITION:
            return None
        found = counted(checked.runs, store_digest(plain_rows(checked.runs)))
        if found["digest"] != manifest.get("digest"):
            there = str(manifest.get("digest"))[:12]
            return f"the runs have digest {found['digest'][:12]}, but '{MANIFEST}' says {there}"
        for name, value in found.items():
            if manifest.get(name) != value:
                return f"'{MANIFEST}' says {name} {manifest.get(name)!r}, but the runs say {value!r}"
        listed = {name for name in self._listed() if name != STUDY}
        if "files" in manifest and listed != {f"{table}/{self.live[0]}.parquet" for table in TABLES}:
            return f"'{MANIFEST}' has sums of files that are not those of the tables"
        return None

    def _fresh(self) -> dict[str, Any] | None:
        """The manifest that the rows prove; None where they don't."""
        if len(self.live) != 1 or self.bad - {self.root / MANIFEST}:
            return None
        (stem,) = self.live
        checked = self.checked[stem]
        if checked.runs is None:
            return None
        digest = store_digest(plain_rows(checked.runs))
        if checked.witness != digest.value:
            return None
        return finished(self.root, self.manifest, checked.runs, stem, digest, self.manifest.get("finished"))


def _intact(manifest: dict[str, Any]) -> bool:
    """Whether a manifest is as it was written; those from before there were sums are taken as they are."""
    if "sha256" not in manifest:
        return "files" not in manifest
    return bool(manifest["sha256"] == manifest_sum(manifest))

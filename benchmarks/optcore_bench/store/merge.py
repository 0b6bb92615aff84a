"""Putting shards or parts of one study together."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from optcore.errors import InvalidInputError
from optcore_bench import toml
from optcore_bench.store.check import check
from optcore_bench.store.digest import LEFT_OUT, digest_line
from optcore_bench.store.files import locked
from optcore_bench.store.manifest import STUDY, read_manifest, read_study
from optcore_bench.store.mixing import RULES, MixedEnvironmentError, MixedStudyError, differences
from optcore_bench.store.reference import agreement
from optcore_bench.store.schema import KEY, TABLES, DamagedStoreError, StoreError
from optcore_bench.store.selection import Selection, plain_rows, select
from optcore_bench.store.sources import Source, open_sources
from optcore_bench.store.whole import refuse_existing, write_store
from optcore_bench.store.writer import store_path

__all__ = ["Merged", "merge"]

#: Keys of which the merged study lists what any of the studies lists.
_LISTS = ("problems", "algorithms", "derivatives")


class Merged(NamedTuple):
    """What `merge` made."""

    path: Path
    runs: int
    repeated: int  # how many runs stood in more than one of the stores
    digest: str
    finished: bool
    note: str = ""  # of which problems f_L was frozen differently, one sentence


class _Part(NamedTuple):
    """One of the stores that are merged."""

    path: Path
    manifest: dict[str, Any]
    study: dict[str, Any]
    sources: list[Source]
    shown: Selection


def merge(
    out: str | os.PathLike[str], stores: Iterable[str | os.PathLike[str]], *, allow_mixed: bool = False
) -> Merged:
    """Make one store of several that hold parts of one study. The parts are only read.

    The digest is that of the study run in one piece. The result is finished if all parts are. An f_L that one of the
    parts has frozen stays frozen, unless another one has frozen another value: then neither is, as `note` says, and
    analyses take the best of all runs.

    Args:
        out: folder of the new store.
        stores: folders of the parts.
        allow_mixed: take runs that were made in different environments too, and of several runs of one cell
            that other code, options or versions made, the one that began last.

    Returns:
        What was made.

    Raises:
        StoreNotFoundError: there is no store at one of the paths.
        StoreError: there is something at `out`, or a run stands in two stores with different rows.
        DamagedStoreError: a part is not what was written.
        NotComparableError: the parts were made under different rules or in different environments.
        StoreWriteError: the disk is full, or the place may not be written.
    """
    target, paths = store_path(out), _distinct(stores)
    refuse_existing(target)
    _same_rules(paths)
    if not allow_mixed:
        _same_environment(paths)
    for path in paths:
        _undamaged(path)
    with contextlib.ExitStack() as stack:
        for path in sorted(paths):
            stack.enter_context(locked(path))
        parts = [_part(path) for path in paths]
        repeated = _agree(parts, allow_mixed=allow_mixed)
        sources = [source for part in parts for source in part.sources]
        selection = select(sources)
        done = all(part.manifest.get("finished") is not None for part in parts)
        frozen = agreement(paths)
        text, manifest = _study_text(parts), _manifest(parts)
        digest = write_store(
            target, text, manifest, sources, selection, done=done, reference=frozen.table, folders=paths
        )
    return Merged(target, selection.runs.num_rows, repeated, digest.value, done, frozen.note)


def _distinct(stores: Iterable[str | os.PathLike[str]]) -> list[Path]:
    paths: list[Path] = []
    for path in map(store_path, stores):
        read_manifest(path)
        if any(path.samefile(other) for other in paths):
            raise InvalidInputError(f"the store '{path}' is given twice")
        paths.append(path)
    if not paths:
        raise InvalidInputError("there is nothing to merge; give the folders of stores")
    return paths


def _part(path: Path) -> _Part:
    sources = open_sources(path)
    return _Part(path, read_manifest(path), read_study(path), sources, select(sources))


def _undamaged(path: Path) -> None:
    needed = (*TABLES, "log")
    for finding in check(path):
        inside = finding.path.relative_to(path).parts[0] in needed
        if inside and finding.kind in ("missing", "damaged", "changed", "duplicate"):
            raise DamagedStoreError(
                f"the store '{path}' can't be merged: {finding.message}; see: optcore store check {path}"
            )


# --- what may stand together ------------------------------------------------------------------------------------------


def _same_rules(paths: Sequence[Path]) -> None:
    first, *others = ((path, read_study(path)) for path in paths)
    for path, study in others:
        if shown := differences(first[1], study, RULES):
            raise MixedStudyError(
                f"the stores '{first[0]}' and '{path}' were made under different rules ({shown}); rows of one store "
                "share them"
            )


def _same_environment(paths: Sequence[Path]) -> None:
    first, *others = ((path, read_manifest(path).get("environment") or {}) for path in paths)
    for path, there in others:
        if shown := differences(first[1], there):
            raise MixedEnvironmentError(
                f"the stores '{first[0]}' and '{path}' were made in different environments ({shown}), where evaluation "
                "counts can differ; mix them with --allow-mixed"
            )


def _agree(parts: Sequence[_Part], *, allow_mixed: bool) -> int:
    """Refuse runs that two stores tell differently; return how many they tell alike."""
    known: dict[str, tuple[_Part, dict[str, Any]]] = {}
    cells: dict[tuple[Any, ...], tuple[_Part, str]] = {}
    repeated = 0
    for part in parts:
        for run in plain_rows(part.shown.runs):
            run_id, cell = run["run_id"], tuple(run[name] for name in KEY)
            if run_id in known:
                _identical(run, part, *known[run_id])
                repeated += 1
                continue
            known[run_id] = (part, run)
            other, other_id = cells.setdefault(cell, (part, run_id))
            if other_id != run_id and not allow_mixed:
                raise MixedStudyError(
                    f"{_label(run)} was run with different code, options or versions in '{other.path}' (run "
                    f"{other_id!r}) and in '{part.path}' (run {run_id!r}); take the one that began last with "
                    "--allow-mixed"
                )
    return repeated


def _identical(run: dict[str, Any], part: _Part, other: _Part, there: dict[str, Any]) -> None:
    ended_by_clock = run["status"] in LEFT_OUT and there["status"] in LEFT_OUT
    if ended_by_clock or digest_line(run) == digest_line(there):
        return
    names = [name for name in run if name != "message" and repr(run[name]) != repr(there[name])]
    raise StoreError(
        f"run {run['run_id']!r} ({_label(run)}) stands in '{other.path}' and in '{part.path}' with different "
        f"{', '.join(names)}; it does not repeat itself, or one of the stores was changed: remove one of the stores "
        "from the list, or run the study again"
    )


def _label(run: Mapping[str, Any]) -> str:
    return f"{run['suite']}/{run['problem']}#{run['start']} {run['algorithm']} [{run['derivative']}]"


# --- what the new store says of itself --------------------------------------------------------------------------------


def _study_text(parts: Sequence[_Part]) -> str:
    """The text of the study; where lists differ, one that lists all of them."""
    texts = [(part.path / STUDY).read_text(encoding="utf-8") for part in parts]
    if len(set(texts)) == 1:
        return texts[0]
    study = dict(parts[0].study)
    for key in _LISTS:
        entries: dict[str, Any] = {}
        for part in parts:
            value = part.study.get(key, [])
            for entry in value if isinstance(value, list) else [value]:
                entries.setdefault(json.dumps(entry, sort_keys=True, default=str), entry)
        if entries:
            study[key] = list(entries.values())
    if starts := [part.study["starts"] for part in parts if isinstance(part.study.get("starts"), int)]:
        study["starts"] = max(starts)
    return toml.dumps(study)


def _manifest(parts: Sequence[_Part]) -> dict[str, Any]:
    """Environment and provenance of the first part, and where each came from."""
    entries: dict[str, Any] = {
        key: parts[0].manifest[key] for key in ("environment", "provenance") if key in parts[0].manifest
    }
    told = []
    for part in parts:
        provenance = part.manifest.get("provenance")
        where = provenance if isinstance(provenance, dict) else {}
        entry = {
            "store": part.path.name,
            "runs": part.shown.runs.num_rows,
            "digest": part.manifest.get("digest"),
            **{key: where[key] for key in ("created", "command", "host", "git") if key in where},
        }
        if (environment := part.manifest.get("environment")) != entries.get("environment"):
            entry["environment"] = environment
        told.append(entry)
    return {**entries, "merged": told}

"""What is to be run again: a store, a bundle, or a published folder, which holds the runs without their evaluations.

A published folder has `study.toml`, `manifest.json` and, as `runs.parquet` or `runs.csv`, the table `runs` of the store
that it was made from (`optcore store export STORE FOLDER` writes it as CSV). The digest of these rows must be the one
that its manifest says.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from optcore.errors import InvalidInputError
from optcore_bench.environment import environment_hash
from optcore_bench.store import Results
from optcore_bench.store.digest import store_digest
from optcore_bench.store.manifest import published_runs, read_manifest, read_study
from optcore_bench.store.schema import RUNS, DamagedStoreError
from optcore_bench.store.selection import plain_rows
from optcore_bench.store.writer import store_path

__all__ = ["Original", "environment_of", "open_original"]

_ADVICE = "publish its runs too, as runs.csv of `optcore store export STORE FOLDER`"


@dataclass(frozen=True, eq=False)
class Original:
    """Results as they were found.

    Attributes:
        path: the folder or file.
        study: what `study.toml` says.
        manifest: what `manifest.json` says.
        rows: one a run, with the columns of `runs`; null is None.
        results: the store with the evaluations; None where they are not published.
    """

    path: Path
    study: Mapping[str, Any]
    manifest: Mapping[str, Any]
    rows: tuple[dict[str, Any], ...]
    results: Results | None

    @property
    def environment(self) -> dict[str, str]:
        """The fingerprint of where it was made; empty if the manifest has none."""
        return _fingerprint_in(self.manifest)

    @property
    def environments(self) -> dict[str, dict[str, str]]:
        """Fingerprints by the hash in the rows."""
        known = {environment_hash(self.environment): self.environment}
        return known if self.results is None else known | self.results.environments

    def history(self, run_id: str) -> pd.DataFrame | None:
        """The evaluations of a run; None where they are not published."""
        return None if self.results is None else self.results.history(run_id=run_id)


def open_original(store: str | os.PathLike[str]) -> Original:
    """Open what is to be run again.

    Args:
        store: folder of a store, a bundle, or a published folder.

    Returns:
        It, whole.

    Raises:
        StoreNotFoundError: there is nothing of the kind.
        DamagedStoreError: a file does not hold what was written, or the runs are not those of the manifest.
        InvalidInputError: there are no runs.
    """
    path = store_path(store)
    if file := published_runs(path):
        manifest = read_manifest(path)
        return Original(path, read_study(path), manifest, tuple(plain_rows(_read_published(file, manifest))), None)
    results = Results(path)
    table, manifest = results.selected[1].runs, results.manifest
    if not table.num_rows:
        published = manifest.get("digest_rows")
        raise InvalidInputError(
            f"'{path}' says the digest of {published} runs, but not which; {_ADVICE}"
            if published
            else f"the store '{path}' holds no runs yet; run its study first"
        )
    return Original(path, results.study, manifest, tuple(plain_rows(table)), results)


def environment_of(store: str | os.PathLike[str]) -> dict[str, str]:
    """The fingerprint of where a store was made, without reading its runs; empty if the manifest has none.

    Args:
        store: as for `open_original`.

    Raises:
        StoreNotFoundError, DamagedStoreError: as from `open_original`.
    """
    path = store_path(store)
    return _fingerprint_in(Results(path).manifest if path.is_file() else read_manifest(path))


def _fingerprint_in(manifest: Mapping[str, Any]) -> dict[str, str]:
    return dict(manifest.get("environment") or {})


def _read_published(file: Path, manifest: Mapping[str, Any]) -> Any:
    try:
        if file.suffix == ".parquet":
            table = pq.read_table(file)
        else:
            types = {field.name: field.type for field in RUNS}
            options = pyarrow.csv.ConvertOptions(
                column_types=types, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
            )
            table = pyarrow.csv.read_csv(
                file,
                parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
                convert_options=options,
            )
        runs = table.select(RUNS.names).cast(pa.schema([pa.field(field.name, field.type) for field in RUNS]))
        digest = store_digest(plain_rows(runs)).value
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise DamagedStoreError(f"'{file}' is no table of runs ({error}); restore it from a copy") from error
    if digest != manifest.get("digest"):
        raise DamagedStoreError(
            f"the digest of the runs in '{file}' is {digest[:16]}..., but the manifest beside it says "
            f"{str(manifest.get('digest'))[:16]}...; restore both from a copy"
        )
    return runs

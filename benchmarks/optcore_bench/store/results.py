"""Reading a store, finished or not."""

from __future__ import annotations

import html
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from optcore.errors import unknown_name
from optcore_bench.store.digest import Digest, store_digest
from optcore_bench.store.manifest import STUDY, published_runs, read_manifest, read_study
from optcore_bench.store.reference import frozen_in
from optcore_bench.store.schema import TABLES, StoreNotFoundError
from optcore_bench.store.selection import Selection, merged_rows, plain_rows, read_consistently, select
from optcore_bench.store.sources import Source
from optcore_bench.store.writer import store_path
from optcore_bench.words import count

_T = TypeVar("_T")
Names = str | Iterable[str] | None


class Results:
    """The runs of a store as data frames.

    Shows what was stored when it was opened; open the store again to see runs that were added since. Of
    several runs of one (suite, problem, start, noise, algorithm, derivative) the latest is shown.

    Args:
        path: folder of the store, or a bundle (`optcore store export STORE FILE.zip`), which is unpacked to a
            temporary folder for as long as the results are in use, and compared with its sums.

    Raises:
        StoreNotFoundError: there is no store at the path, or a published folder, which has no evaluations.
        StoreVersionError: a newer optcore wrote it.
        DamagedStoreError: a file does not hold what was written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path: Path | None = store_path(path)
        self._root: Path | None = self._path
        if self._path.suffix.lower() == ".zip" and self._path.is_file():
            self._root = self._unpacked(self._path)
        self._manifest = read_manifest(self._root)
        if file := published_runs(self._root):
            raise StoreNotFoundError(
                f"'{path}' is a published folder, which has no evaluations: `optcore reproduce` and `optcore compare` "
                f"take it, pandas reads '{file.name}', and `optcore run {self._root / 'study.toml'}` makes its store"
            )
        self._sources, self._selection = read_consistently(self._root, _chosen)

    def _unpacked(self, bundle: Path) -> Path:
        from optcore_bench.store.export import unpack_into

        folder = Path(tempfile.mkdtemp(prefix="optcore-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        unpack_into(bundle, folder)
        return folder

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> Self:
        """Results of histories that others recorded, so that every analysis works on them.

        Args:
            frame: one row an evaluation. Columns `problem`, `algorithm`, `evaluation` (whole numbers, in their order)
                and `fun`. Optional, one value an evaluation: `task` ("fun", "jac", "fun_and_jac" or "numdiff"; "fun"
                by default), `batch` (evaluations that can run at the same time share a number), `seconds` (since the
                start of the run, at the end of the evaluation), `fun_true` (without noise), `x` (vectors), and `best`,
                the best value so far: values below it, from outside the bounds, don't count. Optional, one value a
                run: `suite`, `derivative`, `start`, `noise`, which tell runs apart, and `n`, `m`, `status`,
                `message`, `f_start`, `f_opt`, `f_final`, `seed`, `n_iterations`, `derivative_error`,
                `problem_version`, `algorithm_options`, `derivative_options`, `study`, `environment`. Others are
                ignored, unless their name looks like a slip.

        Returns:
            Results without a path, a study and a manifest; `save` makes a store of them. What is not given and does
            not follow is unknown: where there is no `n`, costs in gradients are refused; no `seconds`, costs in
            seconds; no `f_opt`, the best of the compared runs takes its place.

        Raises:
            InvalidInputError: a column is missing, or holds what it can't; the message names it.
            UnknownNameError: there is no such task or status.

        Example:
            >>> frame = pd.DataFrame({"problem": "a", "algorithm": "mine", "fun": [3.0, 1.0]})
            >>> frame["evaluation"] = [1, 2]
            >>> Results.from_frame(frame).runs[["problem", "algorithm", "f_start", "f_best", "n_fun_evals"]]
              problem algorithm  f_start  f_best  n_fun_evals
            0       a      mine      3.0     1.0            2
        """
        from optcore_bench.store.frame import FrameSource

        results = cls.__new__(cls)
        results._path = results._root = None
        results._manifest = {}
        results._sources, results._selection = _chosen([FrameSource(frame)])
        return results

    @property
    def path(self) -> Path | None:
        """Folder of the store, or the bundle; None for results that were made from a data frame."""
        return self._path

    @property
    def folder(self) -> Path | None:
        """Where the files are: the folder of the store, or what the bundle was unpacked to; None if in memory."""
        return self._root

    @property
    def selected(self) -> tuple[list[Source], Selection]:
        """Where the runs are, and which of them are shown."""
        return self._sources, self._selection

    @property
    def manifest(self) -> dict[str, Any]:
        """What `manifest.json` said when the store was opened."""
        return dict(self._manifest)

    @property
    def study(self) -> dict[str, Any]:
        """What `study.toml` says."""
        return {} if self._root is None else read_study(self._root)

    @property
    def finished(self) -> bool:
        """Whether the study went through; if not, what is stored so far is shown."""
        return self._path is None or self._manifest.get("finished") is not None

    @property
    def _runs(self) -> Any:
        return self._selection.runs

    def _read(self, read: Callable[[list[Source], Selection], _T]) -> _T:
        """Read from the files found at first or, if these were compacted meanwhile, from the new ones."""
        try:
            return read(self._sources, self._selection)
        except FileNotFoundError:
            if self._root is None:
                raise
        shown = self._runs.column("run_id")

        def look_again(sources: list[Source]) -> _T:
            answer = read(*(found := _chosen(sources, shown)))
            self._sources, self._selection = found
            return answer

        return read_consistently(self._root, look_again)

    @property
    def runs(self) -> pd.DataFrame:
        """One row per run, sorted by problem, algorithm and derivative; always all columns.

        Null becomes NaN, or <NA> in `m` and `n_iterations`.
        """
        return _frame(self._runs, "runs")

    @property
    def timings(self) -> pd.DataFrame:
        """What a clock measured, one row per run in the order of `runs`."""
        return _frame(self._selection.timings, "timings")

    def history(
        self,
        run_id: Names = None,
        problem: Names = None,
        algorithm: Names = None,
        derivative: Names = None,
        *,
        columns: list[str] | None = None,
    ) -> pd.DataFrame:
        """Evaluations, sorted by run as in `runs` and by evaluation.

        Filters are a name or several; a run must pass all of them. Only what they ask for is read.

        Args:
            run_id: ids of runs.
            problem: names of problems, `"rosenbrock"` or `"more_wild/rosenbrock"`.
            algorithm: names of algorithms.
            derivative: names of derivative strategies.
            columns: columns to read; all by default. Without `x` it is much faster.

        Returns:
            Columns `run_id` and `task` (categorical), `evaluation`, `batch`, `fun`, `fun_true` (NaN where
            there is no noise), `best`, and `x` (an array of n numbers, or None where the study did not keep
            it).

        Raises:
            UnknownNameError: no run has the name.
        """
        return self._rows(
            "history",
            {"run_id": run_id, "problem": problem, "algorithm": algorithm, "derivative": derivative},
            columns,
        )

    def clock(
        self,
        run_id: Names = None,
        problem: Names = None,
        algorithm: Names = None,
        derivative: Names = None,
        *,
        columns: list[str] | None = None,
    ) -> pd.DataFrame:
        """When each evaluation started and stopped, in ns since the start of its run.

        Args:
            run_id: as in `history`.
            problem: as in `history`.
            algorithm: as in `history`.
            derivative: as in `history`.
            columns: as in `history`.

        Returns:
            Columns `run_id`, `evaluation`, `start`, `stop`; the same rows as `history` with the same filters.

        Raises:
            UnknownNameError: no run has the name.
        """
        return self._rows(
            "clock",
            {"run_id": run_id, "problem": problem, "algorithm": algorithm, "derivative": derivative},
            columns,
        )

    def sql(self, query: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Ask the tables `runs`, `history`, `timings` and `clock` in SQL, by DuckDB.

        The tables are views over the Parquet files: a query reads the columns and row groups that it needs, and
        tables larger than the memory are no obstacle. Rows have no order unless the query says `order by`.

        Args:
            query: a query in DuckDB's SQL.
            parameters: values for `?`, `$1` or `$name` in it.

        Returns:
            Its result.

        Raises:
            MissingLibraryError: duckdb is not installed; it comes with the extra `sql`.
            InvalidInputError: DuckDB can't answer the query.
        """
        from optcore_bench.store.sql import query as ask

        return self._read(lambda sources, selection: ask(sources, selection, query, parameters))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the results as a store of their own, such as histories of others for `optcore report`.

        Args:
            path: its folder, where there must be nothing yet.

        Returns:
            The folder.

        Raises:
            StoreError: there is something at the path.
            StoreWriteError: the disk is full, or the place may not be written.
        """
        from optcore_bench.store.whole import write_store

        target = store_path(path)
        text = f"name = {json.dumps(target.name)}\n" if self._root is None else (self._root / STUDY).read_text("utf-8")
        manifest = {"environment": {}} if self._root is None else self._manifest
        extras = {} if self._root is None else {"reference": frozen_in(self._root), "folders": [self._root]}
        self._read(lambda *found: write_store(target, text, manifest, *found, done=self.finished, **extras))
        return target

    def _rows(self, table: str, filters: dict[str, Names], columns: list[str] | None) -> pd.DataFrame:
        schema = TABLES[table]
        for name in columns or ():
            if name not in schema.names:
                raise unknown_name(f"column of {table}", name, schema.names)
        chosen = self._choose(filters)

        def read(sources: list[Source], selection: Selection) -> Any:
            order = selection.order if chosen is None else [entry for entry in selection.order if entry[1] in chosen]
            found = list(merged_rows(sources, order, table, columns, plain=False))
            if not found:
                return schema.empty_table() if columns is None else schema.empty_table().select(columns)
            whole = pa.concat_tables([_same_schema(rows) for rows in found])
            return whole.select(schema.names if columns is None else columns)

        return _frame(self._read(read), table)

    def _choose(self, filters: dict[str, Names]) -> frozenset[str] | None:
        """Ids of the runs that pass all filters; None if there is no filter."""
        runs = self._runs
        mask: Any = None
        for name, value in filters.items():
            if value is None:
                continue
            passes = _passes(runs, name, [value] if isinstance(value, str) else list(value))
            mask = passes if mask is None else pc.and_(mask, passes)
        return None if mask is None else frozenset(runs.column("run_id").filter(mask).to_pylist())

    @cached_property
    def _digest(self) -> Digest:
        return store_digest(plain_rows(self._runs))

    @property
    def digest(self) -> str:
        """The digest of what no clock decided, computed from `runs`; see `optcore_bench.store.digest`."""
        return self._digest.value

    @property
    def environments(self) -> dict[str, dict[str, str]]:
        """Fingerprints by the hash in `runs.environment`: the harness's, and those that runs brought."""
        from optcore_bench.environment import environment_hash

        known: dict[str, dict[str, str]] = {}
        if isinstance(own := self._manifest.get("environment"), dict):
            known[environment_hash(own)] = own
        for found in self._read(lambda sources, _: [source.environments for source in sources]):
            known |= found
        return known

    def _counts(self) -> dict[str, int]:
        names = ("problem", "algorithm", "derivative")
        return {"run": self._runs.num_rows} | {
            name: pc.count_distinct(self._runs.column(name)).as_py() for name in names
        }

    def __repr__(self) -> str:
        counts = ", ".join(count(size, name) for name, size in self._counts().items())
        place = "from a data frame" if self._path is None else f"'{self._path}'"
        return f"Results({place}: {counts}{'' if self.finished else '; unfinished'})"

    def _repr_html_(self) -> str:
        statuses = {
            entry["values"]: entry["counts"] for entry in pc.value_counts(self._runs.column("status")).to_pylist()
        }
        rows = {
            "store": "from a data frame" if self._path is None else str(self._path),
            **{f"{name}s": size for name, size in self._counts().items()},
            "statuses": ", ".join(f"{name}: {statuses[name]}" for name in sorted(statuses)) or "none",
            "state": "finished" if self.finished else "unfinished",
            "digest": self.digest[:16],
        }
        cells = "".join(f"<tr><th>{name}</th><td>{html.escape(str(value))}</td></tr>" for name, value in rows.items())
        return f"<table><caption>Results</caption>{cells}</table>"


def _chosen(sources: list[Source], shown: Any = None) -> tuple[list[Source], Selection]:
    """The sources with the runs to show from them: all, or those among the run ids `shown`."""
    selection = select(sources)
    if shown is not None:
        mask = pc.is_in(selection.runs.column("run_id"), value_set=shown.combine_chunks())
        selection = Selection(
            selection.runs.filter(mask),
            selection.timings.filter(mask),
            [entry for entry, shows in zip(selection.order, mask.to_pylist(), strict=True) if shows],
            selection.dropped,
        )
    return sources, selection


def _passes(runs: Any, name: str, values: list[str]) -> Any:
    """Which runs have one of the values; for problems also with the suite before them."""
    spellings = [runs.column(name)]
    if name == "problem":
        spellings.append(pc.binary_join_element_wise(runs.column("suite"), runs.column("problem"), "/"))
    known = set().union(*(pc.unique(column).to_pylist() for column in spellings))
    for value in values if known else ():
        if value not in known:
            raise unknown_name(name, value, known)
    passes = [pc.is_in(column, value_set=pa.array(values, pa.string())) for column in spellings]
    return passes[0] if len(passes) == 1 else pc.or_(*passes)


def _same_schema(rows: Any) -> Any:
    """Without key-values and null flags, so that rows of logs and of files can be put together."""
    fields = [pa.field(field.name, field.type) for field in rows.schema]
    return pa.Table.from_arrays(rows.columns, schema=pa.schema(fields))


def _frame(table: Any, name: str) -> pd.DataFrame:
    frame = table.unify_dictionaries().to_pandas()
    for field in TABLES[name]:
        if field.nullable and field.type == pa.int64() and field.name in frame:
            frame[field.name] = _nullable(table.column(field.name))
    for column in frame.columns:
        if isinstance(frame[column].dtype, pd.CategoricalDtype):
            frame[column] = frame[column].cat.remove_unused_categories()
    return frame


def _nullable(column: Any) -> pd.Series:
    return column.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)

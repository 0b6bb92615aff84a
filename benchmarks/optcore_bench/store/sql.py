"""SQL over the tables of results, by DuckDB."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset

from optcore.errors import InvalidInputError, MissingLibraryError
from optcore_bench.store.schema import TABLES
from optcore_bench.store.selection import Selection
from optcore_bench.store.sources import Segment, Source

__all__ = ["query"]

_GLOB = re.compile(r"[*?\[\]{}]")


def query(
    sources: Sequence[Source],
    selection: Selection,
    text: str,
    parameters: Sequence[Any] | Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Run a query over the tables `runs`, `history`, `timings` and `clock`.

    Args:
        sources: where the runs are.
        selection: which of them are shown.
        text: the query.
        parameters: values for its `?`, `$1` or `$name`.

    Returns:
        Its result.

    Raises:
        MissingLibraryError: duckdb is not installed.
        InvalidInputError: DuckDB refuses the query.
        FileNotFoundError: a file is gone, since the store was compacted.
    """
    try:
        import duckdb
    except ImportError as error:
        raise MissingLibraryError(
            "results.sql needs duckdb, which is not installed: pip install 'optcore[sql]'"
        ) from error
    # Without replacements a name that is no table is an error, rather than some variable of this program.
    with duckdb.connect(config={"python_enable_replacements": "false"}) as connection:
        # Files that are gone are found here: DuckDB's own error can't be told from others.
        for source in sources:
            if isinstance(source, Segment):
                for table in TABLES:
                    source.path(table).stat()
        for table in TABLES:
            _make_view(connection, table, sources, selection)
        try:
            answer = connection.execute(text, parameters)
            return answer.df()
        except duckdb.Error as error:
            raise InvalidInputError(f"the query can't be answered: {' '.join(str(error).split())}") from error


def _make_view(connection: Any, table: str, sources: Sequence[Source], selection: Selection) -> None:
    """A view that reads files when it is asked, and only the columns and row groups that it is asked for."""
    parts = []
    for position, source in enumerate(sources):
        ids = [run_id for owner, run_id in selection.order if owner == position]
        if not ids:
            continue
        columns = ", ".join(TABLES[table].names)
        part = f"select {columns} from {_relation(connection, table, position, source, ids)}"
        if isinstance(source, Segment) and len(ids) < source.runs.num_rows:
            name = f"shown_{position}"
            connection.register(name, pa.table({"run_id": pa.array(ids, pa.string())}))
            part += f" where run_id in (select run_id from {name})"
        parts.append(part)
    if not parts:
        connection.register(f"empty_{table}", TABLES[table].empty_table())
        parts = [f"select * from empty_{table}"]
    connection.execute(f"create view {table} as {' union all '.join(parts)}")


def _relation(connection: Any, table: str, position: int, source: Source, ids: list[str]) -> str:
    """What a view selects from: a file, or rows in memory where they are in a log or a data frame."""
    name = f"{table}_{position}"
    if not isinstance(source, Segment):
        connection.register(name, _in_memory(table, source, ids))
        return name
    path = str(source.path(table))
    if _GLOB.search(path):  # DuckDB would take it for a pattern
        connection.register(name, pyarrow.dataset.dataset(path))
        return name
    quoted = path.replace("'", "''")
    return f"read_parquet('{quoted}')"


def _in_memory(table: str, source: Source, ids: list[str]) -> Any:
    if table in ("runs", "timings"):
        rows = source.runs if table == "runs" else source.timings
        return rows.filter(pa.compute.is_in(rows.column("run_id"), value_set=pa.array(ids, pa.string())))
    return pa.concat_tables([TABLES[table].empty_table(), *source.rows(table, ids)])

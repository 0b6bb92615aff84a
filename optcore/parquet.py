"""A history as a Parquet file: the only place of the core that knows pyarrow, imported where it is asked for.

One row an evaluation, in plan order. Points are one column `x` of lists, not a column per param: what a file says of
itself doesn't grow with their number, and that is how the benchmark's store has them. Floats are exact. The metadata
says what it is, under `optcore.schema` (version), `optcore.table`, `optcore.direction`, `optcore.names` (JSON, what the
entries of x are called), `optcore.free` (how many of them the solver could move), `optcore.columns` (JSON, what each
column means) and `optcore.version`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from optcore._version import __version__
from optcore.errors import InvalidInputError
from optcore.files import replacing
from optcore.history import TASKS, History, HistoryRows
from optcore.purpose import PURPOSES

__all__ = ["SCHEMA_VERSION", "read_history", "write_history"]

SCHEMA_VERSION = "1"
_TABLE = "optimization history"
#: Evaluations in a row group: one is in memory at a time, in lists, when a file is written. Where points are long it
#: has fewer, since lists are found by numbers of 32 bits.
_GROUP = 131_072
_GROUP_ENTRIES = 1 << 26

_MEANINGS = {
    "evaluation": "position among all calls of user code, from 0",
    "task": f"what the call was for: {', '.join(TASKS)}",
    "purpose": f"why it was made: {', '.join(PURPOSES)}",
    "fun": "value in the user's scale, the sum of squares for least squares; NaN where the call gives none",
    "batch": "calls that could run at the same time share a number",
    "start": "seconds from the start of the optimization to the start of the call",
    "stop": "seconds from the start of the optimization to the end of the call",
    "best": "best value so far among feasible points that the solver asked for; NaN before the first",
    "feasible": "whether the point is within the bounds",
    "failed": "whether the solver got a penalty, because the call gave no answer that could be used",
    "x": "the point; its entries are called as optcore.names says",
}
#: Measured on histories of forward differences and of Nelder-Mead: dictionaries make columns of floats larger.
_ENCODINGS = {
    "evaluation": "DELTA_BINARY_PACKED",
    "batch": "DELTA_BINARY_PACKED",
    "fun": "BYTE_STREAM_SPLIT",
    "start": "BYTE_STREAM_SPLIT",
    "stop": "BYTE_STREAM_SPLIT",
    "x.list.element": "BYTE_STREAM_SPLIT",
}


class FlatParams:
    """Params of a history from a file: vectors with names, whatever they were in the optimization.

    What was fixed then is in the vectors like everything else.
    """

    def __init__(self, names: tuple[str, ...], n_free: int | None = None) -> None:
        self.all_names = names
        self.n_free = len(names) if n_free is None else n_free

    def flatten_all(self, params: Any) -> NDArray[np.float64]:
        """The vector itself, copied, shape (n,)."""
        return np.array(params, dtype=np.float64)

    restore = flatten_all

    def with_fixed(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The vectors themselves, shape (k, n)."""
        return x


def write_history(history: History, path: str | os.PathLike[str]) -> None:
    """See `History.to_parquet`."""
    columns = history.columns()
    schema = _schema(columns, history)
    with (
        replacing(path) as beside,
        pq.ParquetWriter(
            beside,
            schema,
            compression="zstd",
            compression_level=3,
            use_dictionary=["task", "purpose", "best"],
            column_encoding=_ENCODINGS,
            write_page_checksum=True,
        ) as writer,
    ):
        points = history.flat_params
        size = max(min(_GROUP, _GROUP_ENTRIES // max(points.shape[1], 1)), 1)
        for first in range(0, max(len(history), 1), size):
            part = slice(first, first + size)
            arrays = [pa.array(column[part]) for column in columns.values()]
            writer.write_table(pa.table([*arrays, _lists(points[part])], schema=schema))


def _schema(columns: dict[str, NDArray[Any]], history: History) -> Any:
    types = {name: pa.string() if c.dtype.kind == "U" else pa.from_numpy_dtype(c.dtype) for name, c in columns.items()}
    fields = [pa.field(name, type_, nullable=False) for name, type_ in types.items()]
    x = pa.field("x", pa.list_(pa.field("element", pa.float64(), nullable=False)), nullable=False)
    metadata = {
        "optcore.schema": SCHEMA_VERSION,
        "optcore.table": _TABLE,
        "optcore.direction": history.direction,
        "optcore.names": json.dumps(list(history.names)),
        "optcore.free": str(history.n_free),
        "optcore.columns": json.dumps(_MEANINGS),
        "optcore.version": __version__,
    }
    return pa.schema([*fields, x], metadata=metadata)


def _lists(points: NDArray[np.float64]) -> Any:
    k, n = points.shape
    offsets = pa.array(np.arange(k + 1, dtype=np.int32) * n)
    element = pa.field("element", pa.float64(), nullable=False)
    return pa.ListArray.from_arrays(offsets, pa.array(points.ravel()), type=pa.list_(element))


def read_history(path: str | os.PathLike[str]) -> History:
    """See `History.from_parquet`."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file '{path}'")
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidInputError(f"'{path}' can't be read as Parquet; is it damaged? {error}") from error
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    if metadata.get("optcore.table") != _TABLE:
        raise InvalidInputError(f"'{path}' is not a history that History.to_parquet wrote")
    version = metadata["optcore.schema"]
    if int(version) > int(SCHEMA_VERSION):
        raise InvalidInputError(
            f"'{path}' has schema version {version}, but this optcore reads versions up to {SCHEMA_VERSION}; "
            "upgrade it with: pip install --upgrade optcore"
        )
    names = tuple(json.loads(metadata["optcore.names"]))
    read = {name: table[name].to_numpy() for name in ("fun", "batch", "start", "stop", "feasible", "failed")}
    rows = HistoryRows(
        task=_positions(table["task"], TASKS),
        # Files from before there were purposes have none.
        purpose=_positions(table["purpose"], PURPOSES) if "purpose" in table.column_names else None,
        x=table["x"].combine_chunks().flatten().to_numpy().reshape(len(table), len(names)),
        **read,
    )
    # Files from before it was said count all entries as free.
    free = metadata.get("optcore.free")
    return History(rows, metadata["optcore.direction"], FlatParams(names, None if free is None else int(free)))


def _positions(column: Any, words: tuple[str, ...]) -> NDArray[np.uint8]:
    """Where the words of a column stand among all there are."""
    codes = {word: code for code, word in enumerate(words)}
    return np.array([codes[word] for word in column.to_pylist()], dtype=np.uint8)

"""What the tables of a store hold: columns, types, encodings, and the errors of files that don't fit.

Encodings were chosen by measurement: a dictionary on `fun` or `x` costs 2 to 3 bytes a value, byte stream
split saves one, delta encoding makes counters and clocks almost free. Page checksums find flipped bits, which
zstd alone does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from optcore.errors import OptcoreError

SCHEMA_VERSION = "1"

#: The words of the column `status`.
STATUSES = (
    "converged",
    "stopped",
    "budget_evaluations",
    "budget_seconds",
    "error",
    "timeout",
    "crashed",
    "not_applicable",
)

#: Statuses of runs that went wrong, as opposed to runs that ended before they solved their problem; "interrupted" is
#: said by results that others recorded.
FAILED = ("error", "timeout", "crashed", "interrupted")

#: What makes two runs the same cell of a study; a finished store holds one run of each.
KEY = ("suite", "problem", "start", "noise", "algorithm", "derivative")

#: Rows of a row group of `history` and `clock`: small enough to read one run in about 2 ms.
ROW_GROUP_ROWS = 20_000

_TEXT, _INT, _FLOAT = pa.string(), pa.int64(), pa.float64()


def _schema(table: str, fields: list[tuple[str, Any, bool]]) -> Any:
    return pa.schema(
        [pa.field(name, type_, nullable=nullable) for name, type_, nullable in fields],
        metadata={"optcore.schema": SCHEMA_VERSION, "optcore.table": table},
    )


RUNS = _schema(
    "runs",
    [
        ("run_id", _TEXT, False),
        ("study", _TEXT, False),
        ("suite", _TEXT, False),
        ("problem", _TEXT, False),
        ("problem_version", _TEXT, False),
        ("n", _INT, False),
        ("m", _INT, True),
        ("algorithm", _TEXT, False),
        ("algorithm_options", _TEXT, False),
        ("derivative", _TEXT, False),
        ("derivative_options", _TEXT, False),
        ("start", _INT, False),
        ("seed", _INT, False),
        ("noise", _TEXT, False),
        ("status", _TEXT, False),
        ("message", _TEXT, False),
        ("f_start", _FLOAT, True),
        ("f_opt", _FLOAT, True),
        ("f_best", _FLOAT, True),
        ("f_final", _FLOAT, True),
        ("derivative_error", _FLOAT, True),
        ("n_fun_evals", _INT, False),
        ("n_jac_evals", _INT, False),
        ("n_fun_and_jac_evals", _INT, False),
        ("n_numdiff_evals", _INT, False),
        ("n_batches", _INT, False),
        ("n_iterations", _INT, True),
        ("history_hash", _TEXT, False),
        ("environment", _TEXT, False),
    ],
)

HISTORY = _schema(
    "history",
    [
        ("run_id", _TEXT, False),
        ("evaluation", pa.int32(), False),
        ("task", _TEXT, False),
        ("batch", pa.int32(), False),
        ("fun", _FLOAT, False),
        ("fun_true", _FLOAT, True),
        ("best", _FLOAT, False),
        ("x", pa.list_(pa.field("element", _FLOAT, nullable=False)), True),
    ],
)

TIMINGS = _schema(
    "timings",
    [
        ("run_id", _TEXT, False),
        ("seconds", _FLOAT, True),
        ("cpu_seconds", _FLOAT, True),
        ("max_rss", _INT, True),
        ("host", _TEXT, True),
        ("worker", _TEXT, True),
        ("started_at", pa.timestamp("us", tz="UTC"), True),
    ],
)

CLOCK = _schema(
    "clock",
    [
        ("run_id", _TEXT, False),
        ("evaluation", pa.int32(), False),
        ("start", _INT, False),
        ("stop", _INT, False),
    ],
)

INDEX = _schema("index", [("run_id", _TEXT, False), ("first_row", _INT, False), ("n_rows", _INT, False)])

#: The four tables of a store by the name of their folder.
TABLES: dict[str, Any] = {"runs": RUNS, "history": HISTORY, "timings": TIMINGS, "clock": CLOCK}
_SCHEMAS: dict[str, Any] = {**TABLES, "derived": INDEX}

_DELTA = "DELTA_BINARY_PACKED"
_SPLIT = "BYTE_STREAM_SPLIT"
_ENCODINGS: dict[str, dict[str, str]] = {
    "history": {
        "evaluation": _DELTA,
        "batch": _DELTA,
        "fun": _SPLIT,
        "fun_true": _SPLIT,
        "x.list.element": _SPLIT,
    },
    "clock": {"evaluation": _DELTA, "start": _DELTA, "stop": _DELTA},
    "derived": {"first_row": _DELTA, "n_rows": _DELTA},
}
_DICTIONARIES: dict[str, list[str]] = {
    "runs": [field.name for field in RUNS if field.type == _TEXT and field.name not in ("run_id", "history_hash")],
    "history": ["run_id", "task", "best"],
    "timings": ["host", "worker"],
    "clock": ["run_id"],
    "derived": [],
}


class StoreError(OptcoreError):
    """A store can't be read or written as asked."""


class StoreNotFoundError(StoreError, FileNotFoundError):
    """There is no store at the path."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class StoreVersionError(StoreError):
    """The store was written by a newer optcore."""


class DamagedStoreError(StoreError):
    """A file of the store doesn't hold what was written."""


class MissingFileError(DamagedStoreError, FileNotFoundError):
    """A file of the store is gone; where another process is compacting the store, only for readers that look once."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class StoreWriteError(StoreError, OSError):
    """The disk is full, or the store may not be written."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


def no_store(path: Path) -> StoreNotFoundError:
    """The error of a path without a store."""
    return StoreNotFoundError(f"there is no store at '{path}'; make one with: optcore run STUDY --store {path}")


def may_not_read(path: Path) -> DamagedStoreError:
    """The error for a file that is there and may not be read: nothing says that it is damaged."""
    return DamagedStoreError(f"'{path}' can't be read (permission denied); make it readable, or ask whom it belongs to")


def check_version(version: object, path: Path) -> None:
    """Refuse what a newer optcore wrote.

    Args:
        version: what the file says of its schema.
        path: the file, for the message.

    Raises:
        StoreVersionError: the version is newer than this package reads.
        DamagedStoreError: there is no version.

    >>> check_version("1", Path("runs/a.parquet"))
    """
    text = version.decode() if isinstance(version, bytes) else str(version)
    if not text.isdigit():
        raise DamagedStoreError(
            f"'{path}' does not say which schema version it has (found {version!r}); "
            "it was not written by optcore, or it is damaged"
        )
    if int(text) > int(SCHEMA_VERSION):
        raise StoreVersionError(
            f"'{path}' has schema version {text}, but this optcore reads versions up to {SCHEMA_VERSION}; "
            "upgrade it with: pip install --upgrade optcore"
        )


def parquet_writer(path: Path, table: str, metadata: Mapping[str, Any] | None = None) -> Any:
    """A Parquet writer with the schema and the encodings of a table.

    Args:
        path: file to write.
        table: name of the table: a key of `TABLES`, or "derived" for the index.
        metadata: JSON values that go into the file's key-values as `optcore.KEY`, beside the schema version.

    Returns:
        A `pyarrow.parquet.ParquetWriter`.
    """
    schema = _SCHEMAS[table]
    extra = {f"optcore.{key}": json.dumps(value, sort_keys=True) for key, value in (metadata or {}).items()}
    return pq.ParquetWriter(
        path,
        schema.with_metadata({**schema.metadata, **extra}),
        compression="zstd",
        compression_level=3,
        use_dictionary=_DICTIONARIES[table],
        column_encoding=_ENCODINGS.get(table),
        write_page_checksum=True,
    )


def file_metadata(file: Any, key: str, default: Any) -> Any:
    """A JSON value that `parquet_writer` put into a file.

    Args:
        file: the `pyarrow.parquet.ParquetFile`.
        key: its name, without "optcore.".
        default: what is returned where the file has none.

    Returns:
        The value.
    """
    raw = (file.schema_arrow.metadata or {}).get(f"optcore.{key}".encode())
    return default if raw is None else json.loads(raw)

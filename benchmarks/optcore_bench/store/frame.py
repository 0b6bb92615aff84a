"""Histories that others recorded, as a source of results."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from optcore.errors import InvalidInputError, unknown_name
from optcore.history import FUN, FUN_AND_JAC, TASKS, HistoryRows
from optcore_bench.store.record import RunRecord, StoredRun, best_column, canonical_json, prepare
from optcore_bench.store.schema import KEY, RUNS, STATUSES, TIMINGS
from optcore_bench.store.sources import stored_rows

_REQUIRED = ("problem", "algorithm", "evaluation", "fun")
#: What makes a run, and what it is where the column is missing.
_CELL: dict[str, Any] = {"suite": "", "problem": None, "start": 1, "noise": "", "algorithm": None, "derivative": ""}
#: One row an evaluation: numbers, whole or not.
_BY_EVALUATION = {"evaluation": True, "fun": False, "fun_true": False, "batch": True, "seconds": False, "best": False}
#: The same in all rows of a run: numbers, whole or not, and text.
_BY_RUN = {"n": True, "m": True, "seed": True, "n_iterations": True, "f_start": False, "f_opt": False}
_BY_RUN |= {"f_final": False, "derivative_error": False}
_TEXT_BY_RUN = (
    "study",
    "problem_version",
    "algorithm_options",
    "derivative_options",
    "status",
    "message",
    "environment",
)
_KNOWN = (*_CELL, *_BY_EVALUATION, *_BY_RUN, *_TEXT_BY_RUN, "task", "x")
_LOOKS_LIKE = 0.8


class FrameSource:
    """Runs in memory, made from a data frame with one row an evaluation.

    Args:
        frame: see `optcore_bench.store.Results.from_frame`.

    Raises:
        InvalidInputError: a column is missing, or holds something else than it must.
        UnknownNameError: there is no such task or status.
    """

    stem = "frame"

    def __init__(self, frame: pd.DataFrame) -> None:
        self.environments: dict[str, dict[str, str]] = {}
        groups = _checked(frame).groupby(list(KEY), sort=False, observed=True, dropna=False)
        stored = [_stored(dict(zip(KEY, key, strict=True)), rows) for key, rows in groups]
        self._stored = {run.run["run_id"]: run for run in stored}
        self.runs = pa.Table.from_pylist([run.run for run in stored], schema=RUNS)
        self.timings = pa.Table.from_pylist([run.timings for run in stored], schema=TIMINGS)

    def n_rows(self, run_id: str) -> int:
        """Number of evaluations of a run."""
        return len(self._stored[run_id].task)

    def rows(
        self, table: str, run_ids: Sequence[str], columns: list[str] | None = None, *, plain: bool = True
    ) -> Iterator[Any]:
        """Rows of `history` or `clock` of some runs, in the order of `run_ids`."""
        yield from stored_rows((self._stored[run_id] for run_id in run_ids), table, columns, plain=plain)


def read_histories(path: Path) -> pd.DataFrame:
    """Read histories from a file, for `optcore_bench.store.Results.from_frame`.

    Args:
        path: a .csv file, with `x` as JSON lists where there is such a column, or a .parquet file.

    Returns:
        The data frame; its rows are numbered from 1, as in a file.

    Raises:
        InvalidInputError: the file is of another kind, or can't be read.
    """
    readers = {".csv": _read_csv, ".parquet": pd.read_parquet}
    if path.suffix.lower() not in readers:
        raise InvalidInputError(f"'{path}' is neither a bundle (.zip) nor histories (.csv, .parquet)")
    try:
        frame = readers[path.suffix.lower()](path)
    except InvalidInputError:
        raise
    except (ValueError, pa.ArrowException) as error:  # pandas' own errors are ValueErrors
        raise InvalidInputError(f"'{path}' can't be read: {' '.join(str(error).split())}") from error
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    text = [*(name for name in _CELL if name != "start"), *_TEXT_BY_RUN, "task", "x"]
    # In text nothing is null: "None" or "NA" may be the name of an algorithm.
    options = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(text, pa.string()), strings_can_be_null=False)
    parsing = pyarrow.csv.ParseOptions(newlines_in_values=True)
    frame = pyarrow.csv.read_csv(path, parse_options=parsing, convert_options=options).to_pandas()
    if "x" in frame:
        frame["x"] = [_point(value, row) for row, value in enumerate(frame["x"], 1)]
    return frame


def _point(text: str, row: int) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        raise InvalidInputError(
            f"column 'x' must hold JSON lists such as '[0.1, 2.0]', but holds {text!r} in row {row}"
        ) from None


# --- columns ----------------------------------------------------------------------------------------------------------


def _checked(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns that are known, in their types."""
    if not isinstance(frame, pd.DataFrame):
        if hasattr(frame, "to_pandas"):
            raise InvalidInputError("histories come as a pandas DataFrame; convert this with its to_pandas()")
        raise InvalidInputError(f"histories come as a pandas DataFrame, not as {type(frame).__name__}")
    if missing := [name for name in _REQUIRED if name not in frame.columns]:
        raise InvalidInputError(
            f"a data frame of histories needs the columns {', '.join(_REQUIRED)}; this one lacks {', '.join(missing)}"
        )
    for name in frame.columns:
        like = difflib.get_close_matches(str(name), [known for known in _KNOWN if known not in frame], 1, _LOOKS_LIKE)
        if name not in _KNOWN and like:
            raise InvalidInputError(f"column {name!r} is not known; rename it to {like[0]!r}, or drop it")
    if len(set(frame.columns)) < len(frame.columns):
        raise InvalidInputError("two columns of the data frame have the same name")
    out: dict[str, Any] = {}
    for name, default in _CELL.items():
        if name == "start":
            out[name] = _numbers(frame, name, whole=True, least=1) if name in frame else np.ones(len(frame))
        else:
            out[name] = _words(frame, name, default) if name in frame else np.full(len(frame), default, dtype=object)
    for name, whole in _BY_EVALUATION.items():
        if name in frame:
            out[name] = _numbers(frame, name, whole=whole, least=0 if whole or name == "seconds" else None)
            if name == "evaluation" and np.isnan(out[name]).any():
                raise InvalidInputError(f"column 'evaluation' lacks a number in row {_row(frame, np.isnan(out[name]))}")
    for name, whole in _BY_RUN.items():
        if name in frame:
            out[name] = _numbers(frame, name, whole=whole, least=1 if name == "n" else None)
    for name in (*_TEXT_BY_RUN, "task"):
        if name in frame:
            out[name] = _words(frame, name, "")
    if "x" in frame:
        out["x"] = frame["x"].to_numpy()
    return pd.DataFrame(out)


def _row(frame: pd.DataFrame, mask: NDArray[np.bool_]) -> str:
    return repr(frame.index[int(np.flatnonzero(mask)[0])])


def _words(frame: pd.DataFrame, name: str, default: str | None) -> NDArray[np.object_]:
    values = frame[name].astype(object)
    unknown = values.isna().to_numpy()
    if default is None and unknown.any():
        raise InvalidInputError(f"column {name!r} lacks a name in row {_row(frame, unknown)}")
    return np.array(
        [default if lacking else str(value) for value, lacking in zip(values, unknown, strict=True)], dtype=object
    )


def _numbers(frame: pd.DataFrame, name: str, *, whole: bool, least: int | None) -> NDArray[np.float64]:
    column = frame[name]
    numbers: NDArray[np.float64] = pd.to_numeric(column.astype(object), errors="coerce").to_numpy(
        dtype=np.float64, na_value=np.nan
    )
    bad = np.isnan(numbers) & column.notna().to_numpy()
    what = ("whole numbers" if whole else "numbers") + ("" if least is None else f" of at least {least}")
    if not bad.any():
        known = ~np.isnan(numbers)
        if whole:
            bad = known & (np.abs(numbers) < 2**53) & (numbers != np.floor(numbers))
            bad |= known & ~(np.abs(numbers) < 2**53)
        if least is not None:
            bad |= known & (numbers < least)
    if bad.any():
        value = _plain(column.iloc[int(np.flatnonzero(bad)[0])])
        raise InvalidInputError(f"column {name!r} must hold {what}, but holds {value!r} in row {_row(frame, bad)}")
    return numbers


def _one(rows: pd.DataFrame, name: str, cell: dict[str, Any]) -> Any:
    """The value that a column has in all rows of a run; None where it is missing."""
    if name not in rows:
        return None
    values = rows[name].unique()
    if len(values) > 1:
        raise InvalidInputError(
            f"column {name!r} must have one value in a run, but has {_plain(values[0])!r} and {_plain(values[1])!r} in "
            f"{_label(cell)}"
        )
    value = _plain(values[0])
    return None if value != value else value


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _label(cell: dict[str, Any]) -> str:
    told = (f"{name} {cell[name]!r}" for name in ("suite", "problem", "algorithm", "derivative") if cell[name])
    return ", ".join(told) + ("" if cell["start"] == 1 else f", start {cell['start']:.0f}")


# --- runs -------------------------------------------------------------------------------------------------------------


def _stored(cell: dict[str, Any], group: pd.DataFrame) -> StoredRun:
    rows = group.sort_values("evaluation", kind="stable")
    if (twice := rows["evaluation"].duplicated()).any():
        number = rows["evaluation"][twice].iloc[0]
        raise InvalidInputError(f"column 'evaluation' has {number:.0f} twice in {_label(cell)}")
    fun = rows["fun"].to_numpy()
    fun_true = rows["fun_true"].to_numpy() if "fun_true" in rows and rows["fun_true"].notna().any() else None
    task = _tasks(rows)
    timed = "seconds" in rows and rows["seconds"].notna().any()
    stop = rows["seconds"].to_numpy() if timed else np.zeros(len(rows))
    batch = _batches(rows, cell)
    value = fun if fun_true is None else fun_true
    # A value that is not in the best so far of whoever recorded it was found outside the bounds.
    knows_best = "best" in rows and rows["best"].notna().any()
    feasible = value >= rows["best"].to_numpy() if knows_best else None
    x = _points(rows, cell)
    given = {name: _one(rows, name, cell) for name in (*_BY_RUN, *_TEXT_BY_RUN)}
    run = _run(cell, given, task, value, best_column(task, value, feasible), x)
    run["n_batches"] = len(np.unique(batch))
    start = np.concatenate([[0.0], stop[:-1]]) if timed else stop
    points = np.zeros((len(rows), 0)) if x is None else x
    history = HistoryRows(task, fun, batch, start, stop, points, feasible)
    seconds = float(np.nanmax(stop)) if timed else None
    return prepare(RunRecord(run, {"seconds": seconds}, history, fun_true, keep_x=x is not None))


def _run(
    cell: dict[str, Any],
    given: dict[str, Any],
    task: NDArray[np.uint8],
    value: NDArray[np.float64],
    best: NDArray[np.float64],
    x: NDArray[np.float64] | None,
) -> dict[str, Any]:
    """The row of `runs`: what was given, and what follows from the evaluations."""
    status = given["status"] or "stopped"
    if status not in STATUSES:
        raise unknown_name("status", status, STATUSES)
    text = {name: str(cell[name]) for name in ("suite", "problem", "noise", "algorithm", "derivative")}
    counts = {f"n_{name}_evals": int(np.count_nonzero(task == code)) for code, name in enumerate(TASKS)}
    # In `runs`, n_fun_evals counts every call of fun, those for derivatives too.
    counts["n_fun_evals"] += counts["n_numdiff_evals"]
    asked = value[np.isin(task, (FUN, FUN_AND_JAC))]
    return {
        **text,
        **counts,
        "run_id": hashlib.sha256(canonical_json([text, int(cell["start"])]).encode()).hexdigest()[:16],
        "study": given["study"] or "",
        "problem_version": given["problem_version"] or "",
        "n": given["n"] or (0 if x is None else x.shape[1]),
        "m": given["m"],
        "algorithm_options": given["algorithm_options"] or None,
        "derivative_options": given["derivative_options"] or None,
        "start": int(cell["start"]),
        "seed": given["seed"] or 0,
        "status": status,
        "message": given["message"] or "",
        "f_start": (asked if len(asked) else value)[0] if given["f_start"] is None else given["f_start"],
        "f_opt": given["f_opt"],
        "f_best": best[-1],
        "f_final": best[-1] if given["f_final"] is None else given["f_final"],
        "derivative_error": given["derivative_error"],
        "n_iterations": given["n_iterations"],
        "environment": given["environment"] or "",
    }


def _batches(rows: pd.DataFrame, cell: dict[str, Any]) -> NDArray[np.int32]:
    if "batch" not in rows:
        return np.arange(len(rows), dtype=np.int32)
    if rows["batch"].isna().any() or rows["batch"].max() >= 2**31:
        raise InvalidInputError(f"column 'batch' lacks a number below 2**31 in {_label(cell)}")
    return np.asarray(rows["batch"].to_numpy(), dtype=np.int32)


def _points(rows: pd.DataFrame, cell: dict[str, Any]) -> NDArray[np.float64] | None:
    if "x" not in rows or rows["x"].isna().all():
        return None
    try:
        points = np.array([np.asarray(value, dtype=np.float64) for value in rows["x"]])
    except (TypeError, ValueError):
        points = np.zeros(0)
    if points.ndim != 2:
        raise InvalidInputError(f"column 'x' must hold vectors of one length, but doesn't in {_label(cell)}")
    return points


def _tasks(rows: pd.DataFrame) -> NDArray[np.uint8]:
    if "task" not in rows:
        return np.zeros(len(rows), dtype=np.uint8)
    codes = {name: code for code, name in enumerate(TASKS)}
    for name in rows["task"].unique():
        if name not in codes:
            raise unknown_name("task", name, TASKS)
    return np.array([codes[name] for name in rows["task"]], dtype=np.uint8)

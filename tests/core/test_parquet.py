"""Histories as Parquet files: read back as they were, by us and by others, or refused."""

import dataclasses
import json
import re
import subprocess
import sys

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.extra import numpy as hnp

import optcore as om
from optcore.history import History, HistoryRows
from tests.core.counting import ROSENBROCK_START, rosenbrock


@pytest.fixture
def result():
    return om.maximize(
        lambda p: -rosenbrock(p["x"]),
        {"x": ROSENBROCK_START},
        "scipy_lbfgsb",
        bounds=om.Bounds(lower={"x": [-2.0, -2.0]}),
    )


def test_what_was_written_is_read_back(result, tmp_path):
    result.history.to_parquet(tmp_path / "h.parquet")
    again = History.from_parquet(tmp_path / "h.parquet")
    pd.testing.assert_frame_equal(again.to_frame(), result.history.to_frame())
    assert again.direction == "maximize"
    assert again.names == ("x[0]", "x[1]")
    np.testing.assert_array_equal(again.params[3], result.history.flat_params[3])
    np.testing.assert_array_equal(again.flatten([1, 2]), [1.0, 2.0])
    assert [path.name for path in tmp_path.iterdir()] == ["h.parquet"]


def test_it_opens_in_plots_and_measures_like_the_original(result, tmp_path):
    result.history.to_parquet(tmp_path / "h.parquet")
    again = History.from_parquet(tmp_path / "h.parquet")
    np.testing.assert_array_equal(again.monotone_fun, result.history.monotone_fun)
    np.testing.assert_array_equal(again.asked, result.history.asked)


def test_the_axis_of_gradients_counts_what_was_free_in_a_file_too(tmp_path):
    start = {"a": np.ones(2), "b": np.ones(3)}
    result = om.minimize(lambda p: float(p["a"] @ p["a"] + p["b"] @ p["b"]), start, "scipy_lbfgsb", fixed="b")
    result.history.to_parquet(tmp_path / "h.parquet")
    again = dataclasses.replace(result, history=History.from_parquet(tmp_path / "h.parquet"))
    assert (again.history.n_free, len(again.history.names)) == (2, 5)
    (before,), (after,) = (om.criterion_plot(r, x_axis="gradients").data for r in (result, again))
    np.testing.assert_array_equal(after.x, before.x)
    assert after.x[0] == 1 / 3


finite_or_not = st.floats(allow_nan=True, allow_infinity=True)


@given(st.data(), st.integers(0, 12), st.integers(1, 4))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_float_survives(tmp_path, data, k, n):
    def draw(kind, elements, shape=k):
        return data.draw(hnp.arrays(kind, shape, elements=elements))

    rows = HistoryRows(
        task=draw(np.uint8, st.integers(0, 3)),
        fun=draw(np.float64, finite_or_not),
        batch=draw(np.int32, st.integers(0, 2**31 - 1)),
        start=draw(np.float64, st.floats(0, 1e9)),
        stop=draw(np.float64, st.floats(0, 1e9)),
        x=draw(np.float64, finite_or_not, (k, n)),
        feasible=draw(np.bool_, st.booleans()),
        failed=draw(np.bool_, st.booleans()),
        purpose=draw(np.uint8, st.integers(0, len(om.Purpose) - 1)),
    )
    History(rows).to_parquet(tmp_path / "h.parquet")
    again = History.from_parquet(tmp_path / "h.parquet").rows
    for name, array in rows._asdict().items():
        read = getattr(again, name)
        assert read.dtype == array.dtype, name
        np.testing.assert_array_equal(read, array, err_msg=name)
        if array.dtype == np.float64:
            np.testing.assert_array_equal(np.signbit(read), np.signbit(array), err_msg=name)


def test_several_row_groups_are_one_history(result, tmp_path, monkeypatch):
    monkeypatch.setattr("optcore.parquet._GROUP", 10)
    result.history.to_parquet(tmp_path / "h.parquet")
    assert pq.ParquetFile(tmp_path / "h.parquet").num_row_groups == -(-len(result.history) // 10) > 1
    again = History.from_parquet(tmp_path / "h.parquet")
    pd.testing.assert_frame_equal(again.to_frame(), result.history.to_frame())


def test_the_file_says_what_it_is_and_what_its_columns_mean(result, tmp_path):
    result.history.to_parquet(tmp_path / "h.parquet")
    schema = pq.read_schema(tmp_path / "h.parquet")
    metadata = {key.decode(): value.decode() for key, value in schema.metadata.items()}
    assert metadata["optcore.schema"] == "1"
    assert metadata["optcore.version"] == om.__version__
    assert metadata["optcore.direction"] == "maximize"
    assert json.loads(metadata["optcore.names"]) == ["x[0]", "x[1]"]
    assert list(json.loads(metadata["optcore.columns"])) == schema.names
    assert all(not field.nullable for field in schema)


def test_a_file_from_before_there_were_purposes_is_read(result, tmp_path):
    path = tmp_path / "h.parquet"
    result.history.to_parquet(path)
    pq.write_table(pq.read_table(path).drop_columns(["purpose"]), path)
    again = History.from_parquet(path)
    np.testing.assert_array_equal(again.purpose, np.where(again.task == "numdiff", "difference", "solver"))
    pd.testing.assert_frame_equal(again.to_frame(), result.history.to_frame())


def test_pandas_reads_it_without_us(result, tmp_path):
    result.history.to_parquet(tmp_path / "h.parquet")
    frame = pd.read_parquet(tmp_path / "h.parquet")
    np.testing.assert_array_equal(frame["fun"], result.history.fun)
    np.testing.assert_array_equal(np.vstack(frame["x"]), result.history.flat_params)


def test_failed_writing_leaves_the_old_file(result, tmp_path, monkeypatch):
    path = tmp_path / "h.parquet"
    result.history.to_parquet(path)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fail)
    with pytest.raises(OSError, match="no space left"):
        result.history.to_parquet(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def damaged(path):
    data = bytearray(path.read_bytes())
    data[100] ^= 255
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def foreign(path):
    pq.write_table(pa.table({"a": [1]}), path)


def newer(path):
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"optcore.schema": b"2"}), path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (damaged, "can't be read as Parquet; is it damaged?"),
        (cut, "can't be read as Parquet; is it damaged?"),
        (foreign, "is not a history that History.to_parquet wrote"),
        (newer, "has schema version 2, but this optcore reads versions up to 1; upgrade it with: pip install"),
    ],
)
def test_a_file_that_is_not_what_we_wrote_is_refused(result, tmp_path, change, message):
    path = tmp_path / "h.parquet"
    result.history.to_parquet(path)
    change(path)
    with pytest.raises(om.InvalidInputError, match=re.escape(f"'{path}' {message}")):
        History.from_parquet(path)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(f"there is no file '{tmp_path / 'no.parquet'}'")):
        History.from_parquet(tmp_path / "no.parquet")


def test_pyarrow_is_imported_when_a_file_is_written_and_not_before():
    code = (
        "import sys, numpy as np, optcore as om\n"
        "result = om.minimize(lambda x: float(x @ x), np.ones(2), 'scipy_neldermead')\n"
        "repr(result), result.to_json()\n"
        "print('pyarrow' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_long_points_are_written_in_groups_that_fit(tmp_path, monkeypatch):
    monkeypatch.setattr("optcore.parquet._GROUP_ENTRIES", 10)
    history = om.minimize(lambda x: float(x @ x), np.ones(4), "scipy_neldermead").history
    history.to_parquet(tmp_path / "history.parquet")
    assert pq.ParquetFile(tmp_path / "history.parquet").num_row_groups == -(-len(history) // 2)
    np.testing.assert_array_equal(
        om.History.from_parquet(tmp_path / "history.parquet").flat_params, history.flat_params
    )

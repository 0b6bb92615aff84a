"""The digest covers what no clock decided, and nothing else."""

from __future__ import annotations

import hashlib
import itertools
import json
import struct

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optcore_bench.store import STATUSES, Results, RunRecord, StoreWriter, history_hash
from tests.bench.store_records import make_store, record, rows

RECORDS = [
    record(0, k=30),
    record(1, k=0),
    record(2, k=7, n=1, keep_x=False),
    record(3, k=12, fun_true=rows(12, 3, 3).fun + 1.0, noise={"level": 1e-3}),
    record(4, k=0, status="not_applicable", message="a derivative-free solver needs no jax", f_start=None),
    record(5, k=3, f_best=float("nan"), f_final=float("inf"), derivative_error=-0.0, study="naïve"),
]


def digest_of(tmp_path, records, name: str = "s") -> str:
    make_store(tmp_path / name, records)
    return Results(tmp_path / name).digest


def by_the_definition(path) -> str:
    """The digest written down a second time, from the definition alone, on the files of a finished store."""
    codes = {"fun": 0, "jac": 1, "fun_and_jac": 2, "numdiff": 3}

    def double(value: float) -> bytes:
        return bytes.fromhex("000000000000f87f") if value != value else struct.pack("<d", value)

    def column(content: bytes) -> bytes:
        return struct.pack("<q", len(content)) + content

    history = pq.read_table(path / "history").to_pylist()
    lines = []
    for run in pq.read_table(path / "runs").to_pylist():
        mine = sorted((row for row in history if row["run_id"] == run["run_id"]), key=lambda row: row["evaluation"])
        text = b"optcore-history-1\0" + struct.pack("<q", len(mine))
        text += column(bytes(codes[row["task"]] for row in mine))
        text += column(b"".join(struct.pack("<i", row["batch"]) for row in mine))
        text += column(b"".join(double(row["fun"]) for row in mine))
        if mine and mine[0]["fun_true"] is not None:
            text += b"\1" + column(b"".join(double(row["fun_true"]) for row in mine))
        else:
            text += b"\0"
        if mine and mine[0]["x"] is not None:
            text += b"\1" + column(b"".join(struct.pack("<i", len(row["x"])) for row in mine))
            text += column(b"".join(double(value) for row in mine for value in row["x"]))
        else:
            text += b"\0"
        assert run["history_hash"] == hashlib.sha256(text).hexdigest()
        if run["status"] in ("timeout", "crashed", "budget_seconds"):
            continue
        del run["message"]
        bits = {name: double(value)[::-1].hex() if isinstance(value, float) else value for name, value in run.items()}
        lines.append((run["run_id"].encode(), json.dumps(bits, sort_keys=True, separators=(",", ":")).encode() + b"\n"))
    return hashlib.sha256(b"optcore-store-1\0" + b"".join(line for _, line in sorted(lines))).hexdigest()


def test_the_digest_is_the_one_that_its_definition_gives(tmp_path) -> None:
    assert digest_of(tmp_path, RECORDS) == by_the_definition(tmp_path / "s")
    assert Results(tmp_path / "s").manifest["digest"] == by_the_definition(tmp_path / "s")


def test_the_digest_is_the_same_in_any_order_and_file_layout_and_after_interruptions(tmp_path) -> None:
    expected = digest_of(tmp_path, RECORDS)
    for number, order in enumerate(itertools.islice(itertools.permutations(RECORDS), 0, 720, 144)):
        path = tmp_path / str(number)
        make_store(path, order[:2], finish=False)
        make_store(path, order[2:4], finish=number % 2 == 0, rotate_bytes=1)
        make_store(path, order[3:], finish=False)
        assert Results(path).digest == expected
        StoreWriter(path).finish()
        assert Results(path).digest == Results(path).manifest["digest"] == expected


def test_what_a_clock_measured_and_what_a_message_says_do_not_change_the_digest(tmp_path) -> None:
    entry = RECORDS[0]
    other = entry.history._replace(start=entry.history.start * 2, stop=entry.history.stop * 3)
    slow = RunRecord(entry.run | {"message": "other words"}, {"seconds": 99.0, "host": "there"}, other)
    assert digest_of(tmp_path, [entry], "a") == digest_of(tmp_path, [slow], "b")


@pytest.mark.parametrize("where", ["fun", "fun_true", "x"])
def test_one_ulp_in_one_value_changes_the_digest(tmp_path, where) -> None:
    history = rows(12, 3)
    changed = {name: getattr(history, name).copy() for name in ("fun", "x")} | {"fun_true": history.fun.copy()}
    before = digest_of(tmp_path, [record(0, history=history, fun_true=history.fun)], "a")
    flat = changed[where].reshape(-1)
    flat[4] = np.nextafter(flat[4], np.inf)
    fun_true = changed.pop("fun_true")
    assert digest_of(tmp_path, [record(0, history=history._replace(**changed), fun_true=fun_true)], "b") != before


@pytest.mark.parametrize(
    "changes",
    [
        {"f_final": 0.0},  # it was -0.0
        {"f_opt": None},
        {"n_iterations": 5},
        {"noise": "a little"},
        {"algorithm_options": {"a": 2, "b": 1}},
        {"environment": "ba9876543210"},
        {"keep_x": False},
    ],
    ids=str,
)
def test_every_deterministic_column_counts(tmp_path, changes) -> None:
    assert digest_of(tmp_path, [record(0, **changes)], "b") != digest_of(tmp_path, [record(0)], "a")


def test_a_batch_and_a_task_count() -> None:
    k = np.arange(4)
    task, batch, fun = k.astype(np.uint8), k.astype(np.int32), k.astype(np.float64)
    hashes = {
        history_hash(task, batch, fun, None, None),
        history_hash(task[::-1], batch, fun, None, None),
        history_hash(task, batch[::-1], fun, None, None),
        history_hash(task, batch, fun, fun, None),
        history_hash(task, batch, fun, None, fun[:, None]),
        history_hash(task, batch, fun, None, np.zeros((4, 0))),
        history_hash(task[:3], batch[:3], fun[:3], None, None),
    }
    assert len(hashes) == 7


@given(st.lists(st.floats(allow_subnormal=True), max_size=8), st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_the_hash_does_not_depend_on_how_the_array_lies_in_memory(values, task) -> None:
    fun = np.array(values, dtype=np.float64)
    k = len(fun)
    tasks, batch = np.full(k, task, np.uint8), np.zeros(k, np.int32)
    spread = np.zeros((k, 2))
    spread[:, 1] = fun
    swapped = fun.astype(">f8")
    expected = history_hash(tasks, batch, fun, None, fun[:, None])
    assert history_hash(tasks, batch.astype(np.int64), spread[:, 1], None, spread[:, 1:]) == expected
    assert history_hash(tasks, batch, swapped, None, swapped[:, None]) == expected


def test_runs_that_clock_memory_or_signal_ended_are_left_out_and_counted(tmp_path) -> None:
    records = [record(i, status=status) for i, status in enumerate(STATUSES)]
    kept = [entry for entry in records if entry.run["status"] not in ("timeout", "crashed", "budget_seconds")]
    assert digest_of(tmp_path, records, "a") == digest_of(tmp_path, kept, "b")
    manifest = Results(tmp_path / "a").manifest
    assert manifest["digest_left_out"] == {"budget_seconds": 1, "crashed": 1, "timeout": 1}
    assert manifest["digest_rows"] == 5
    assert manifest["digest_definition"] == "1"
    assert manifest["statuses"] == dict.fromkeys(sorted(STATUSES), 1)


def test_rows_that_are_not_applicable_count(tmp_path) -> None:
    assert digest_of(tmp_path, RECORDS[:4], "a") != digest_of(tmp_path, RECORDS[:5], "b")

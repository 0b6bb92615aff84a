"""A store is read without us, and the page on its format says what is there."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import optcore_bench.store
from optcore_bench.store import SCHEMA_VERSION, STATUSES, Results
from optcore_bench.store.schema import INDEX, TABLES
from tests.bench.store_records import make_store, record

FORMAT = Path(optcore_bench.store.__file__).with_name("FORMAT.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    path = tmp_path_factory.mktemp("made") / "s"
    noisy = record(1, k=30).history.fun + 0.5
    records = [record(i, k=30 + i, keep_x=i % 2 > 0, message="größer") for i in range(2, 12)]
    make_store(path, [record(0, k=0), record(1, k=30, fun_true=noisy), *records])
    return Results(path)


def rows(results: Results, table: str) -> list[dict[str, Any]]:
    """What we say ourselves, null as None and x as a list."""
    sources, selection = results.selected
    if table in ("runs", "timings"):
        return getattr(selection, table).to_pylist()
    ids = [run_id for _, run_id in selection.order]
    return pa.concat_tables(sources[0].rows(table, ids)).to_pylist()


def same(found: list[dict[str, Any]], expected: list[dict[str, Any]], *, null_is_nan: bool = False) -> None:
    assert len(found) == len(expected)

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray | list | tuple):
            return [float(entry).hex() for entry in value]
        if value is None or value is pd.NaT:
            return None
        if isinstance(value, float):
            return None if null_is_nan and value != value else value.hex()
        return value.isoformat() if hasattr(value, "isoformat") else value

    for ours, theirs in zip(expected, found, strict=True):
        assert {name: plain(value) for name, value in theirs.items()} == {n: plain(value) for n, value in ours.items()}


@pytest.mark.parametrize("table", TABLES)
def test_pyarrow_alone_reads_every_table(results: Results, table: str) -> None:
    found = pq.read_table(results.path / table, page_checksum_verification=True)
    assert found.column_names == TABLES[table].names
    assert found.schema.metadata[b"optcore.schema"] == SCHEMA_VERSION.encode()
    assert found.schema.metadata[b"optcore.table"] == table.encode()
    same(found.to_pylist(), rows(results, table))


@pytest.mark.parametrize("table", TABLES)
def test_pandas_alone_reads_every_table(results: Results, table: str) -> None:
    found = pd.read_parquet(results.path / table)
    expected = rows(results, table)
    if table == "runs":  # whole numbers with null become floats
        found = found.drop(columns=["m", "n_iterations"])
        expected = [{k: v for k, v in row.items() if k not in ("m", "n_iterations")} for row in expected]
    same(found.to_dict("records"), expected, null_is_nan=True)


@pytest.mark.parametrize("table", TABLES)
def test_polars_alone_reads_every_table(results: Results, table: str) -> None:
    polars = pytest.importorskip("polars")
    same(polars.scan_parquet(results.path / table / "*.parquet").collect().to_dicts(), rows(results, table))


@pytest.mark.parametrize("table", TABLES)
def test_duckdb_alone_reads_every_table(results: Results, table: str) -> None:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        answer = connection.execute(f"select * from '{results.path}/{table}/*.parquet'")
        names = [column[0] for column in answer.description]
        found = [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
    expected = rows(results, table)
    if table == "timings":  # the session's zone, of the same moment
        found = [{**row, "started_at": row["started_at"].timestamp()} for row in found]
        expected = [{**row, "started_at": row["started_at"].timestamp()} for row in expected]
    same(found, expected)


def test_the_sums_are_what_the_page_says(results: Results) -> None:
    manifest = json.loads((results.path / "manifest.json").read_text())
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == manifest["sha256"]
    assert set(manifest["files"]) == {"study.toml"} | {f"{t}/{next((results.path / t).iterdir()).name}" for t in TABLES}
    for name, value in manifest["files"].items():
        assert hashlib.sha256((results.path / name).read_bytes()).hexdigest() == value


def section(title: str) -> str:
    return re.split(r"^#", FORMAT.split(f"# {title}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize("table", TABLES)
def test_the_page_has_every_column_with_its_type_and_whether_it_may_be_null(table: str) -> None:
    said: dict[str, tuple[str, bool]] = {}
    for line in section(table).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0] not in ("column", "---"):
            for name in cells[0].split(", "):
                said[name] = (cells[1], cells[2] == "yes")
    names = {"list<element: double not null>": "list of double", "timestamp[us, tz=UTC]": "timestamp (µs, UTC)"}
    types = {field.name: (names.get(str(field.type), str(field.type)), field.nullable) for field in TABLES[table]}
    assert said == types
    assert list(said) == TABLES[table].names


def test_the_page_has_the_version_the_statuses_the_index_and_the_keys_of_the_manifest(results: Results) -> None:
    assert FORMAT.startswith(f"# The format of a store, version {SCHEMA_VERSION}\n")
    assert ", ".join(STATUSES) in FORMAT
    assert all(f"`{name}`" in section("derived/index.parquet") for name in INDEX.names)
    said = {name for line in section("manifest.json").splitlines() for name in line.split("|")[1:2]}
    keys = {name.strip() for names in said for name in names.split(",")}
    assert set(results.manifest) <= keys | {"command"}
    assert all(
        f"`{key.decode()}`" in FORMAT for key in pq.read_schema(next((results.path / "runs").iterdir())).metadata
    )


def test_the_examples_of_the_page_run(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(results.path.parent)
    for language, text in re.findall(r"```(\w+)\n(.*?)```", FORMAT, flags=re.DOTALL):
        code = text.replace("STORE", results.path.name)
        if language == "python":
            if "polars" in code:
                pytest.importorskip("polars")
            exec(code, {})
        elif language == "sql":
            duckdb = pytest.importorskip("duckdb")
            with duckdb.connect() as connection:
                assert connection.execute(code).fetchall()

"""`check` names what is wrong with a store, `repair` mends what can be proven and leaves the rest as it is."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from optcore_bench.store import Results, StoreNotFoundError, StoreVersionError, StoreWriter, check, repair, verify
from optcore_bench.store.manifest import manifest_sum
from optcore_bench.store.schema import TABLES, parquet_writer
from tests.bench.store_records import make_store, record

RUNS = 14
K = 60


def records(first: int = 0, last: int = RUNS) -> list[Any]:
    """Runs with points, without, with noise, and one without evaluations."""
    made = [record(i, k=K, keep_x=i % 3 > 0) for i in range(first, last)]
    made[-1] = record(last - 1, k=0)
    noisy = record(first, k=K)
    made[0] = record(first, k=K, fun_true=noisy.history.fun + 1.0)
    return made


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "s"
    make_store(path, records())
    return path


@pytest.fixture
def store(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "s"))


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def only(root: Path, table: str) -> Path:
    (path,) = (root / table).glob("*.parquet")
    return path


def named(root: Path) -> dict[str, str]:
    """Kind by file, of what check finds."""
    found: dict[str, str] = {}
    for finding in check(root):
        found.setdefault(finding.path.relative_to(root).as_posix(), finding.kind)
        assert f"{finding.path.name}" in finding.message
        assert str(root) not in finding.message
    return found


PARTS = [*TABLES, "derived", "study.toml", "manifest.json"]


def part(root: Path, name: str) -> Path:
    return root / name if "." in name else only(root, name)


def test_a_sound_store_is_sound_in_every_state_and_checking_changes_no_byte(original: Path, tmp_path: Path) -> None:
    for state, options in {"log": {}, "segments": {"rotate_bytes": 1}}.items():
        make_store(tmp_path / state, records(), finish=False, **options)
        make_store(tmp_path / f"{state} after", records(), **options)
        make_store(tmp_path / f"{state} after", records(RUNS, RUNS + 3), finish=False, **options)
    for path in (original, *sorted(tmp_path.iterdir())):
        before = files(path)
        assert check(path) == []
        assert repair(path) == ([], [])
        assert files(path) == before


@pytest.mark.parametrize("name", PARTS)
def test_a_flipped_bit_anywhere_is_found_and_the_file_is_named(store: Path, name: str) -> None:
    path = part(store, name)
    content = path.read_bytes()
    chance = random.Random(name)
    for _ in range(60):
        bit = chance.randrange(8 * len(content))
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        relative = path.relative_to(store).as_posix()
        if name == "derived":  # holds nothing that isn't elsewhere: what reads the same is the same
            assert set(named(store)) <= {relative}
        else:
            assert relative in named(store), f"bit {bit}"


@pytest.mark.parametrize("name", PARTS)
def test_a_file_that_was_cut_anywhere_or_is_gone_is_named(store: Path, name: str) -> None:
    path = part(store, name)
    content = path.read_bytes()
    chance = random.Random(name)
    for length in [0, 1, len(content) - 1, *(chance.randrange(len(content)) for _ in range(20))]:
        path.write_bytes(content[:length])
        assert path.relative_to(store).as_posix() in named(store) or content[:length].strip() == content.strip()
    path.unlink()
    expected = {"derived": "stale"}.get(name, "missing")
    assert named(store)[path.relative_to(store).as_posix()] == expected


@pytest.mark.parametrize("name", [name for name in PARTS if name != "derived"])
def test_what_was_damaged_and_cannot_be_proven_is_left_as_it_is(store: Path, name: str) -> None:
    path = part(store, name)
    chance = random.Random(name)
    content = bytearray(path.read_bytes())
    for _ in range(3):
        content[chance.randrange(len(content))] ^= 0x11
    path.write_bytes(content)
    before = files(store)
    done, left = repair(store)
    assert not done
    assert path in {finding.path for finding in left}
    assert files(store) == before


@pytest.mark.parametrize("harm", ["cut", "flipped", "gone", "of another", "wrong places"])
def test_the_index_is_computed_again(store: Path, harm: str) -> None:
    path = only(store, "derived")
    content = path.read_bytes()
    if harm == "gone":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(content[:-9])
    elif harm == "flipped":
        path.write_bytes(content[:-1] + b"?")
    else:
        table = pq.read_table(path)
        if harm == "of another":
            table = table.replace_schema_metadata({**table.schema.metadata, b"optcore.of": b'"part-0009-abcdef"'})
        else:
            table = table.set_column(1, table.schema.field(1), [pa.array(table.column(1).to_pylist()[::-1])])
        pq.write_table(table, path)
    assert set(named(store)) == {"derived/index.parquet"}
    done, left = repair(store)
    assert [finding.kind for finding in done] == ["stale"]
    assert left == check(store) == []
    assert path.read_bytes() == content


def edited(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}, indent=2))


@pytest.mark.parametrize(
    "entries",
    [
        {"digest": "0" * 64},
        {"digest_rows": 3},
        {"statuses": {"error": 14}},
        {"digest": None, "digest_rows": None},
        {"files": {}},
    ],
)
def test_a_manifest_that_contradicts_the_rows_is_repaired_where_its_sum_proves_the_rest(
    store: Path, original: Path, entries: dict[str, Any]
) -> None:
    edited(store / "manifest.json", **entries)
    assert named(store) == {"manifest.json": "stale"}
    done, left = repair(store)
    assert (len(done), left) == (1, [])
    assert (store / "manifest.json").read_bytes() == (original / "manifest.json").read_bytes()


@pytest.mark.parametrize("name", ["command", "environment", "created", "finished", "sha256"])
def test_what_the_rows_do_not_prove_in_a_manifest_stays_and_is_named(store: Path, name: str) -> None:
    edited(store / "manifest.json", **{name: "2026", "digest": "0" * 64})
    before = files(store)
    _, left = repair(store)
    assert {finding.path.name for finding in left} == {"manifest.json"}
    assert files(store) == before


def test_a_manifest_from_an_older_copy_is_brought_up_to_date(store: Path) -> None:
    old = (store / "manifest.json").read_bytes()
    make_store(store, records(RUNS, RUNS + 3))
    new = Results(store).manifest
    (store / "manifest.json").write_bytes(old)
    assert named(store) == {"manifest.json": "stale"}
    done, left = repair(store)
    assert (len(done), left) == (1, [])
    assert Results(store).manifest == {
        **new,
        "finished": json.loads(old)["finished"],
        "sha256": Results(store).manifest["sha256"],
    }


def rewritten(path: Path, table: str, change: Callable[[Any], Any]) -> None:
    """The file with other rows, as sound as optcore writes it."""
    old = pq.read_table(path)
    metadata = {
        key.decode().removeprefix("optcore."): json.loads(value)
        for key, value in old.schema.metadata.items()
        if key.startswith(b"optcore.") and key not in (b"optcore.schema", b"optcore.table")
    }
    new = change(old)
    with parquet_writer(path, table, metadata) as writer:
        writer.write_table(pa.Table.from_arrays(new.columns, schema=TABLES[table]))


def first_value(table: Any, column: str, value: Any) -> Any:
    position = table.column_names.index(column)
    values = table.column(column).to_pylist()
    values[0] = value
    return table.set_column(position, table.schema.field(position), pa.array(values, table.schema.field(position).type))


@pytest.mark.parametrize("known", [True, False], ids=["with sums", "from before there were sums"])
@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("runs", "f_best", -1.0),
        ("runs", "status", "error"),
        ("history", "fun", 0.5),
        ("history", "batch", 77),
        ("history", "task", "fun_and_jac"),
        ("history", "task", "none of ours"),
        ("history", "evaluation", 5),
        ("history", "run_id", "another"),
        ("history", "fun_true", None),
        ("clock", "run_id", "another"),
        ("timings", "run_id", "another"),
        ("timings", "seconds", 0.001),
        ("clock", "stop", 1),
        ("history", "best", -1.0),
    ],
)
def test_rows_that_someone_changed_with_care_are_found_and_not_repaired(
    store: Path, table: str, column: str, value: Any, known: bool
) -> None:
    path = only(store, table)
    rewritten(path, table, lambda rows: first_value(rows, column, value))
    if not known:
        manifest = json.loads((store / "manifest.json").read_text())
        (store / "manifest.json").write_text(
            json.dumps({k: v for k, v in manifest.items() if k not in ("files", "sha256")})
        )
        if (table, column) in {("timings", "seconds"), ("clock", "stop"), ("history", "best")}:
            return  # nothing but a sum knows these
    before = files(store)
    found = named(store)
    assert path.relative_to(store).as_posix() in found or (table == "runs" and "manifest.json" in found)
    assert not repair(store).repaired
    assert files(store) == before


def test_a_run_twice_in_a_file_and_rows_of_no_run_are_found(store: Path) -> None:
    path = only(store, "runs")
    rewritten(path, "runs", lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]))
    assert any("stands 2 times in 'runs/" in line for line in verify(store))
    rewritten(path, "runs", lambda rows: rows.slice(1, rows.num_rows - 2))
    assert any("has rows of 1 run that 'runs/" in line for line in verify(store))


def test_swapped_files_are_found(store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_store(other, records(RUNS, 2 * RUNS))
    for table in ("history", "clock", "timings"):
        whole = only(store, table).read_bytes()
        only(store, table).write_bytes(only(other, table).read_bytes())
        assert only(store, table).relative_to(store).as_posix() in named(store)
        only(store, table).write_bytes(whole)
    history, clock = only(store, "history"), only(store, "clock")
    one, two = history.read_bytes(), clock.read_bytes()
    history.write_bytes(two)
    clock.write_bytes(one)
    assert set(named(store)) == {path.relative_to(store).as_posix() for path in (history, clock)}


def test_foreign_files_are_named_and_neither_used_nor_removed(store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_store(other, records(RUNS, 2 * RUNS))
    foreign = {
        "runs/theirs.parquet": only(other, "runs").read_bytes(),
        "history/notes.txt": b"mine",
        "log/notes.txt": b"mine",
        "derived/cache.bin": b"mine",
        "data.csv": b"mine",
    }
    for name, content in foreign.items():
        (store / name).parent.mkdir(exist_ok=True)
        (store / name).write_bytes(content)
    (store / "clock" / "folder").mkdir()
    for name in ("README.md", "report.html", "LICENSE"):
        (store / name).write_text("about the store")
    assert named(store) == dict.fromkeys([*foreign, "clock/folder"], "foreign")
    assert len(Results(store).runs) == RUNS
    assert not repair(store).repaired
    make_store(store, [record(RUNS, k=3)])
    assert len(Results(store).runs) == RUNS + 1
    assert {name: (store / name).read_bytes() for name in foreign} == foreign


def test_claims_of_processes_at_work_are_no_foreign_files(store: Path) -> None:
    (store / "claims").mkdir()
    (store / "claims" / "host-1.claims").write_text("{}\n")
    assert named(store) == {}
    (store / "claims" / "notes.txt").write_text("mine")
    assert list(named(store).values()) == ["foreign"]


def test_a_segment_that_was_copied_from_another_store_is_named(store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_store(other, [record(3, k=5), *records(RUNS, 2 * RUNS)])
    for table in TABLES:
        shutil.copy(only(other, table), store / table)
    lines = verify(store)
    assert any("calls the store finished, but its runs stand in 2 places" in line for line in lines)
    assert any(
        "run '0000000000000003' stands in 'runs/" in line and "with different n_fun_evals" in line for line in lines
    )
    assert not repair(store).repaired


def test_a_lost_file_in_runs_is_no_leftover_and_nothing_of_it_is_removed(store: Path, tmp_path: Path) -> None:
    lost = only(store, "runs")
    lost.unlink()
    before = files(store)
    assert f"'runs/{lost.name}' is missing, without which 'history/{lost.name}', " in " ".join(verify(store))
    assert not repair(store).repaired
    assert files(store) == before
    # Unfinished, no manifest knows the file; going on must not take its rows for a leftover either.
    path = tmp_path / "unfinished"
    make_store(path, records(), finish=False, rotate_bytes=1)
    gone = sorted((path / "runs").iterdir())[0]
    gone.unlink()
    assert named(path) == {f"runs/{gone.name}": "missing"}
    StoreWriter(path).finish()
    assert (path / "history" / gone.name).exists()
    assert named(path) == {f"runs/{gone.name}": "missing"}


def test_leftovers_of_killed_processes_are_removed(store: Path) -> None:
    sound = files(store)
    stem = only(store, "runs").stem
    for name in ("history/.part-0002-abcdef.parquet.0a1b2c3d.tmp", ".manifest.json.0a1b2c3d.tmp"):
        (store / name).write_bytes(b"half")
    for table in ("history", "clock"):  # a segment that never came to count
        shutil.copy(only(store, table), store / table / "part-0002-abcdef.parquet")
    (store / "log").mkdir()
    (store / "log" / "0123456789abcdef.log").touch()
    assert set(named(store).values()) == {"leftover"}
    assert len(check(store)) == 5
    assert all("killed" in line for line in verify(store))
    done, left = repair(store)
    assert (len(done), left) == (5, [])
    assert files(store) == sound
    assert only(store, "runs").stem == stem


def log_of(store: Path) -> Path:
    (path,) = (store / "log").iterdir()
    return path


def test_a_torn_log_is_cut_behind_its_last_whole_run(tmp_path: Path) -> None:
    path = tmp_path / "s"
    make_store(path, records(), finish=False)
    content = log_of(path).read_bytes()
    chance = random.Random(0)
    for cut in sorted(chance.randrange(1, len(content)) for _ in range(12)):
        log_of(path).write_bytes(content[:cut])
        whole = set(Results(path).runs["run_id"])
        kinds = [finding.kind for finding in check(path)]
        assert kinds in ([], ["torn"])
        done, left = repair(path)
        assert (len(done), left) == (len(kinds), [])
        assert set(Results(path).runs["run_id"]) == whole
        assert all(content.startswith(log.read_bytes()) for log in (path / "log").glob("*"))
        for log in (path / "log").glob("*"):
            log.unlink()
        (path / "log" / "0123456789abcdef.log").touch()


def test_whole_runs_behind_damage_in_a_log_are_saved(tmp_path: Path) -> None:
    path = tmp_path / "s"
    make_store(path, records(), finish=False)
    content = log_of(path).read_bytes()
    chance = random.Random(1)
    for _ in range(20):
        damaged = bytearray(content)
        bit = chance.randrange(8 * len(content))
        damaged[bit // 8] ^= 1 << bit % 8
        log_of(path).write_bytes(damaged)
        (finding,) = check(path)
        assert finding.kind in ("damaged", "torn")
        assert repair(path) == ([finding], [])
        assert len(Results(path).runs) == RUNS - 1
    make_store(path, records())
    assert len(Results(path).runs) == RUNS
    assert check(path) == []


def test_the_log_that_a_process_appends_to_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    writer = make_store(path, [], finish=False)
    writer.append(record(0))
    with log_of(path).open("ab") as log:
        log.write(b"OCL1 and no more yet")
    before = files(path)
    assert check(path) == []
    assert repair(path) == ([], [])
    assert files(path) == before
    writer.close()
    assert [finding.kind for finding in check(path)] == ["torn"]


def test_a_resumed_study_with_another_text_leaves_sums_that_fit_at_every_step(store: Path, monkeypatch) -> None:
    real = os.replace
    steps = 0

    class Killed(BaseException):
        pass

    for fatal in range(8):
        steps = 0

        def deadly(self, target, fatal=fatal):
            nonlocal steps
            steps += 1
            if steps > fatal:
                raise Killed
            real(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", deadly)
            with contextlib.suppress(Killed):
                StoreWriter(store, study=f'name = "number {fatal}"\n').close()
        assert check(store) == []
    assert steps <= 8


def test_a_folder_that_is_no_store_and_a_newer_store_are_errors(store: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(StoreNotFoundError):
            check(path)
    manifest = {**json.loads((store / "manifest.json").read_text()), "schema": "9"}
    (store / "manifest.json").write_text(json.dumps({**manifest, "sha256": manifest_sum(manifest)}))
    with pytest.raises(StoreVersionError):
        check(store)
    (store / "manifest.json").write_text(json.dumps(manifest))  # a flipped bit rather than the future
    assert named(store) == {"manifest.json": "damaged"}

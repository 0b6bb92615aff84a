"""Running a store again: what is the same, what is not and from which evaluation on, what can't be run here."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import optcore as om
from optcore_bench import Results, Study, reproduce, run_study
from optcore_bench.cli import app
from optcore_bench.reproduction import VERDICTS, Reproduction, environment_of, same_kernels
from optcore_bench.reproduction.original import open_original
from optcore_bench.reproduction.readable import read_stored_study
from optcore_bench.reproduction.sample import choose, read_sample
from optcore_bench.store import DamagedStoreError, StoreNotFoundError
from optcore_bench.store.export import export_bundle, export_csv
from optcore_problems import get_problem

PUBLISHED = Path(__file__).parents[2] / "results" / "quick"

MODULE = "optcore_test_walkers"
#: Asks for points on the first axis of Rosenbrock's function, and ends in some way.
WALKER = """
def {name}(fun, x0):
    for step in {steps}:
        x = np.array(x0)
        x[0] += step
        fun(x)
    {end}
    return x0
"""
FIVE = [1.0, 2.0, 3.0, 4.0, 5.0]
NEAR = float(np.nextafter(4.0, 5.0))
KILL, SLEEP = "import os; os.kill(os.getpid(), 9)", "import time; time.sleep(60)"

# Solver: steps and end, as stored and as changed; verdict, first evaluation that differs, what differs, words.
# Evaluation 0 is the start, which the harness evaluates itself.
WALKERS: dict[str, tuple[Any, Any, str, int | None, str | None, str]] = {
    "same": ((FIVE, ""), (FIVE, ""), "identical", None, None, ""),
    "remark": ((FIVE, "pass"), (FIVE, "pass  # a remark"), "identical", None, None, ""),
    "moved": (
        (FIVE, ""),
        ([1.0, 2.0, 3.0, 4.5, 5.0], ""),
        "same counts",
        4,
        "x",
        "evaluation 4: x[0] 2.8 stored, 3.3 now",
    ),
    "one_bit": ((FIVE, ""), ([1.0, 2.0, 3.0, NEAR, 5.0], ""), "same counts", 4, "x", "evaluation 4: x[0] 2.8 stored"),
    "shorter": ((FIVE, ""), (FIVE[:3], ""), "different", 4, "length", "n_fun_evals 6 stored, 4 now"),
    "longer": ((FIVE, ""), ([*FIVE, 6.0], ""), "different", 6, "length", "then the stored history ends"),
    "raises": ((FIVE, ""), (FIVE, "raise OSError(1)"), "different", None, None, "status stopped stored, error now"),
    "killed": (
        (FIVE, ""),
        (FIVE, KILL),
        "ended from outside",
        None,
        None,
        "now crashed; all evaluations are identical",
    ),
    "hangs": (
        (FIVE, ""),
        (FIVE, SLEEP),
        "ended from outside",
        None,
        None,
        "now timeout; all evaluations are identical",
    ),
    "died": (
        (FIVE[:3], KILL),
        (FIVE, ""),
        "ended from outside",
        4,
        "length",
        "stored crashed; the first 4 evaluations are identical",
    ),
    "gone": ((FIVE, ""), None, "not reproducible here", None, None, "can't be imported here (AttributeError"),
}


def write_walkers(folder: Path, which: int) -> None:
    """Write the module as it was stored (0) or as it was changed (1); the next import reads it."""
    chosen = {name: case[which] for name, case in WALKERS.items() if case[which] is not None}
    made = [WALKER.format(name=name, steps=steps, end=end) for name, (steps, end) in chosen.items()]
    (folder / f"{MODULE}.py").write_text("import numpy as np\n" + "".join(made))
    sys.modules.pop(MODULE, None)
    importlib.invalidate_caches()


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store of solvers out of a file of the user's own."""
    folder = tmp_path_factory.mktemp("walked")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setattr(sys, "dont_write_bytecode", True)
        write_walkers(folder, 0)
        module = importlib.import_module(MODULE)
        solvers = [{"name": name, "algorithm": getattr(module, name)} for name in WALKERS]
        run_study(Study("walked", "more_wild/rosenbrock", solvers, "none", run_timeout=2.5), folder / "store", 2)
        yield folder / "store"
        sys.modules.pop(MODULE, None)


@pytest.fixture(scope="module")
def changed(walked: Path) -> Reproduction:
    """The store run again after the file was changed."""
    write_walkers(walked.parent, 1)
    return reproduce(walked, n_jobs=2)


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of registered solvers, one of which uses no derivatives."""
    path = tmp_path_factory.mktemp("registered") / "store"
    run_study(
        Study(
            "registered",
            ["more_wild/rosenbrock", "more_wild/box_3d"],
            ["scipy_lbfgsb", "scipy_ls_lm", "scipy_neldermead"],
            ["analytic", "forward"],
            budget={"max_evaluations": 40},
            starts=2,
        ),
        path,
    )
    return path


def row_of(found: Reproduction, algorithm: str) -> Any:
    return found.frame.set_index("algorithm").loc[algorithm]


def optcore(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


# --- the same --------------------------------------------------------------------------------------------------------


def test_a_store_that_is_run_again_is_identical_with_its_digest(registered: Path) -> None:
    found = reproduce(registered, n_jobs=2)
    assert found.identical
    assert found.counts == dict.fromkeys(VERDICTS, 0) | {"identical": len(Results(registered).runs)}
    assert found.environment_differs == {}
    assert found.digest_again == found.digest == Results(registered).manifest["digest"]
    assert len(found.frame) == found.total == found.compared
    assert found.frame["same_code"].all()
    assert found.frame["same_environment"].all()
    assert found.frame["first_difference"].isna().all()
    assert "reproduced bit by bit" in found.summary()


def test_the_store_is_not_touched_and_nothing_is_left(
    registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def state() -> dict[str, bytes]:
        return {str(file): file.read_bytes() for file in registered.rglob("*") if file.is_file()}

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = state()
    assert reproduce(registered, sample=1).identical
    assert state() == before
    assert list(tmp_path.iterdir()) == []


def test_the_new_runs_can_be_kept_as_a_store(registered: Path, tmp_path: Path) -> None:
    found = reproduce(registered, out=tmp_path / "again")
    again = Results(tmp_path / "again")
    assert again.manifest["digest"] == found.digest
    assert again.history()["fun"].equals(Results(registered).history()["fun"])
    with pytest.raises(om.OptcoreError, match="there is something at"):
        reproduce(registered, out=tmp_path / "again")


def test_a_bundle_is_run_again_like_its_store(registered: Path, tmp_path: Path) -> None:
    found = reproduce(export_bundle(registered, tmp_path / "bundle.zip"), sample="20%", algorithm="scipy_lbfgsb")
    assert found.identical
    assert set(found.frame["algorithm"]) == {"scipy_lbfgsb"}
    assert found.digest_again is None


def test_filters_choose_problems_and_algorithms_and_suggest_the_nearest(registered: Path) -> None:
    found = reproduce(registered, problem="more_wild/box_3d", algorithm=["scipy_ls_lm"])
    assert set(zip(found.frame["problem"], found.frame["algorithm"], strict=True)) == {("box_3d", "scipy_ls_lm")}
    assert len(found.rows) == 4
    assert "problem more_wild/box_3d; algorithm scipy_ls_lm" in found.summary()
    with pytest.raises(om.UnknownNameError, match=r"unknown problem of this store 'box3d'; did you mean 'box_3d'\?"):
        reproduce(registered, problem="box3d")
    with pytest.raises(om.UnknownNameError, match=r"did you mean 'scipy_lbfgsb'\?"):
        reproduce(registered, algorithm="scipy_lbfgs")


# --- samples ---------------------------------------------------------------------------------------------------------


def made_up(problems: int, solvers: int) -> list[dict[str, Any]]:
    return [
        {
            "run_id": f"{problem}-{solver}",
            "suite": "made",
            "problem": f"up{problem}",
            "start": 1,
            "noise": "",
            "algorithm": f"solver{solver}",
            "derivative": "none",
            "status": "not_applicable" if problem % 7 == 3 else "timeout" if problem % 5 == 1 else "converged",
        }
        for problem in range(problems)
        for solver in range(solvers)
    ]


@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 80), st.integers(0, 3), st.randoms(use_true_random=False))
def test_a_sample_has_each_solver_and_follows_from_the_seed_alone(
    problems: int, solvers: int, sample: int, seed: int, random: Any
) -> None:
    rows = made_up(problems, solvers)
    chosen = choose(rows, sample, seed)
    able = [row for row in rows if row["status"] != "not_applicable"]
    assert len(chosen) == max(min(sample, len(able)), solvers)
    assert {row["algorithm"] for row in chosen} == {row["algorithm"] for row in rows}
    assert all(row["status"] != "not_applicable" for row in chosen)
    shuffled = random.sample(rows, len(rows))
    assert {row["run_id"] for row in choose(shuffled, sample, seed)} == {row["run_id"] for row in chosen}


def test_another_seed_is_another_sample_and_all_of_them_cover_everything() -> None:
    rows = made_up(10, 3)
    samples = [frozenset(row["run_id"] for row in choose(rows, 6, seed)) for seed in range(60)]
    assert len(set(samples)) > 30
    sound = {row["run_id"] for row in rows if row["status"] == "converged"}
    assert frozenset().union(*samples) == sound  # what a clock ended comes last


def test_a_larger_sample_holds_the_smaller_one_of_the_same_seed() -> None:
    rows = made_up(10, 3)
    small, large = ({row["run_id"] for row in choose(rows, size, 5)} for size in (5, 20))
    assert small < large


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "ten", "0%", "101%", "%", "nan%", float("nan"), "-3"])
def test_a_sample_that_can_not_be_is_refused(wrong: Any) -> None:
    with pytest.raises(om.InvalidInputError, match="a sample is a number of runs of at least 1, or a share"):
        read_sample(wrong, 100)


@pytest.mark.parametrize(("given", "expected"), [("0.5%", 8), ("100%", 1537), ("10%", 154), (" 7 ", 7), (2000, 1537)])
def test_a_share_is_rounded_up(given: Any, expected: int) -> None:
    assert read_sample(given, 1537) == expected


# --- not the same ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WALKERS)
def test_each_run_gets_its_verdict_with_the_first_evaluation_that_differs(changed: Reproduction, name: str) -> None:
    _, after, verdict, first, column, words = WALKERS[name]
    row = row_of(changed, name)
    assert row["verdict"] == verdict
    assert words in row["detail"]
    assert (None if pd.isna(row["first_difference"]) else row["first_difference"]) == first
    assert (None if pd.isna(row["differs_in"]) else row["differs_in"]) == column
    assert row["evaluations"] == 1 + len(WALKERS[name][0][0])
    assert pd.isna(row["evaluations_again"]) if after is None else row["evaluations_again"] == 1 + len(after[0])


def test_both_values_of_the_first_evaluation_that_differs_are_those_of_the_function(changed: Reproduction) -> None:
    problem = get_problem("more_wild/rosenbrock")
    row = row_of(changed, "moved")
    expected = [problem.fun(problem.start + np.array([step, 0.0])) for step in (4.0, 4.5)]
    assert [row["value"], row["value_again"]] == expected
    longer = row_of(changed, "longer")
    assert np.isnan(longer["value"])
    assert longer["value_again"] == problem.fun(problem.start + np.array([6.0, 0.0]))


def test_other_code_is_said_to_be_other_code_also_where_it_has_no_effect(changed: Reproduction) -> None:
    assert not row_of(changed, "remark")["same_code"]  # the source of the whole module counts
    assert row_of(changed, "remark")["detail"] == "made by other code, options or versions"


def test_the_summary_counts_the_verdicts_and_says_what_explains_them(changed: Reproduction) -> None:
    assert changed.counts == {
        "identical": 2,
        "same counts": 2,
        "different": 3,
        "not reproducible here": 1,
        "ended from outside": 3,
    }
    assert not changed.identical
    assert changed.compared == 7
    assert changed.digest_again is None  # one is missing
    assert "not reproduced: what differs was made by other code, options or versions" in changed.summary()


def test_histories_of_other_programs_are_said_to_be_no_study(tmp_path: Path) -> None:
    frame = pd.DataFrame({"problem": "p", "algorithm": "a", "evaluation": [0, 1], "fun": [2.0, 1.0]})
    found = reproduce(Results.from_frame(frame).save(tmp_path / "store"))
    assert [row.verdict for row in found.rows] == ["not reproducible here"]
    assert found.rows[0].label == "p a"
    assert found.rows[0].detail == "it holds histories that other programs recorded, not a study that could be run"


def test_other_results_of_the_same_code_are_not_explained(changed: Reproduction) -> None:
    rows = [replace(row, again=row.again and {**row.again, "run_id": row.stored["run_id"]}) for row in changed.rows]
    same = replace(changed, rows=tuple(rows))
    assert "not reproduced: the same environment gives other results" in same.summary()


def test_a_library_that_is_missing_here_is_named(registered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs = "scipy_ls_lm needs scipy, which is not installed: pip install 'scipy'"
    monkeypatch.setattr(om.algos.scipy_ls_lm, "missing", classmethod(lambda cls: needs))
    found = reproduce(registered, problem="rosenbrock")
    missing = found.frame[found.frame["algorithm"] == "scipy_ls_lm"]
    assert set(missing["verdict"]) == {"not reproducible here"}
    assert set(missing["detail"]) == {needs}
    assert found.identical


# --- published folders -----------------------------------------------------------------------------------------------


def publish(store: Path, folder: Path) -> Path:
    """What a published folder holds."""
    export_csv(store, folder)
    (folder / "timings.csv").unlink()
    for name in ("study.toml", "manifest.json"):
        shutil.copy(store / name, folder / name)
    return folder


def test_a_published_folder_is_run_again_without_its_evaluations(walked: Path, tmp_path: Path) -> None:
    folder = publish(walked, tmp_path / "published")
    write_walkers(walked.parent, 1)
    found = reproduce(folder, algorithm=["same", "moved"])
    assert row_of(found, "same")["verdict"] == "identical"
    row = row_of(found, "moved")
    assert row["verdict"] == "same counts"
    assert row["detail"].startswith("the evaluations differ, and the stored ones are not at hand; made by other code")


def test_a_published_folder_proves_its_digest(registered: Path, tmp_path: Path) -> None:
    found = reproduce(publish(registered, tmp_path / "published"))
    assert found.identical
    assert found.digest_again == found.digest == Results(registered).manifest["digest"]


def test_published_runs_that_are_not_those_of_the_manifest_are_refused(registered: Path, tmp_path: Path) -> None:
    folder = publish(registered, tmp_path / "published")
    text = (folder / "runs.csv").read_text()
    (folder / "runs.csv").write_text(text.replace("converged", "stopped", 1))
    with pytest.raises(DamagedStoreError, match=r"the digest of the runs in .* but the manifest beside it says"):
        reproduce(folder)
    (folder / "runs.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DamagedStoreError, match="is no table of runs"):
        reproduce(folder)
    (folder / "runs.csv").unlink()
    with pytest.raises(om.InvalidInputError, match=r"but not which; publish its runs too"):
        reproduce(folder)


def test_paths_of_a_published_study_start_at_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "steps.py").write_text("def solve(fun, x0):\n    fun(x0 + 1)\n    return x0\n")
    solver = {"name": "steps", "path": f"{tmp_path / 'steps.py'}:solve"}
    run_study(Study("steps", "more_wild/rosenbrock", [solver], "none"), tmp_path / "store")
    folder = publish(tmp_path / "store", tmp_path / "published")
    text = (folder / "study.toml").read_text()
    assert str(tmp_path) in text
    (folder / "study.toml").write_text(text.replace(str(tmp_path), ".."))
    monkeypatch.chdir(tmp_path.parent)
    assert reproduce(folder).identical


@pytest.mark.parametrize("file", sorted(PUBLISHED.parent.glob("*/runs.*")), ids=lambda file: str(file.parent.name))
def test_published_runs_have_the_digest_of_their_manifest_and_a_study_that_lists_them(file: Path) -> None:
    original = open_original(file.parent)
    assert original.results is None
    readable = read_stored_study(original.study, file.parent)
    # The other Python of a study need not be on this machine.
    elsewhere = {name for name, reason in readable.algorithms.items() if "there is no Python interpreter" in reason}
    keys = {
        (row["suite"], row["problem"], row["start"], row["noise"], row["algorithm"], row["derivative"])
        for row in original.rows
    }
    assert {key for key in keys if key[4] not in elsewhere} == set(readable.runs)
    assert len(keys) == len(original.rows) == original.manifest["digest_rows"]


def test_the_published_study_quick_is_reproduced_here_or_the_environment_differs() -> None:
    found = reproduce(PUBLISHED, problem=["rosenbrock", "helical_valley"], sample=1)
    assert found.total == 1537
    assert len(found.rows) == found.compared == 25  # the solvers of the study that have a problem to solve
    assert found.identical or found.environment_differs


# --- the command line ------------------------------------------------------------------------------------------------


def elsewhere(store: Path, copy: Path, **differs: str) -> Path:
    """A copy of a store of which the manifest says that another processor was used, or what else differs."""
    shutil.copytree(store, copy)
    manifest = json.loads((store / "manifest.json").read_text())
    manifest["environment"].update(differs or {"cpu": "Other 1"})
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return copy


def test_exit_status_0_is_identical_also_in_another_environment(registered: Path, tmp_path: Path) -> None:
    done = optcore("reproduce", str(elsewhere(registered, tmp_path / "copy")), "-q", "--sample", "3", "--jobs", "1")
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    assert "environment: cpu Other 1 there" in done.stdout
    assert "reproduced bit by bit" in done.stdout


def test_exit_status_is_1_for_what_differs_and_3_in_another_environment(walked: Path, tmp_path: Path) -> None:
    write_walkers(walked.parent, 1)
    other = optcore("reproduce", str(walked), "-q", "--json", "-a", "moved", "-a", "gone", "--sample", "10%")
    assert other.exit_code == 1
    facts = json.loads(other.stdout)
    assert (facts["runs"], facts["of"], facts["exit_status"], facts["compared"]) == (2, len(WALKERS), 1, 1)
    assert facts["counts"]["same counts"] == 1
    assert sorted(row["first_difference"] for row in facts["rows"] if row["algorithm"] == "moved") == [4]
    foreign = optcore("reproduce", str(elsewhere(walked, tmp_path / "copy")), "-q", "-a", "moved")
    assert foreign.exit_code == 3
    assert "environment: cpu Other 1 there" in foreign.stdout
    assert "not identical, in another environment" in foreign.stdout


HASWELL = {"machine": "x86_64", "blas": "openblas 0.3.30 Haswell, openblas 0.3.31 Haswell", "simd": "X86_V3"}


@pytest.mark.parametrize(
    ("there", "here", "variables"),
    [
        ({}, {}, {}),
        ({}, {"blas": "openblas 0.3.30 SkylakeX"}, {"OPENBLAS_CORETYPE": "Haswell"}),
        (
            {},
            {"simd": "X86_V3 X86_V4 AVX512_ICL"},
            {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL", "XLA_FLAGS": "--xla_cpu_max_isa=AVX2"},
        ),
        (
            {"simd": "none beyond the baseline"},
            {},
            {"NPY_DISABLE_CPU_FEATURES": "X86_V3", "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2"},
        ),
        ({"simd": "X86_V3 AVX512"}, {"simd": "X86_V3 AVX512 NEW"}, {"NPY_DISABLE_CPU_FEATURES": "NEW"}),
        ({}, {"blas": "openblas 0.3.30 Zen"}, {"OPENBLAS_CORETYPE": "Haswell"}),
        # Not possible: a newer kernel, a mixture of them, another library, other extensions, another machine.
        ({"blas": "openblas 0.3.30 SkylakeX"}, {}, {}),
        ({"blas": "openblas 0.3.30 Zen, openblas 0.3.31 Haswell"}, {}, {}),
        ({"blas": "mkl 2025.0 AVX2"}, {}, {}),
        ({"blas": "openblas 0.3.30 NewerThanThis"}, {}, {}),
        ({"simd": "X86_V3 X86_V4"}, {}, {}),
        ({"machine": "aarch64", "blas": "openblas 0.3.30 NEOVERSEN1", "simd": "ASIMDHP"}, {}, {}),
    ],
    ids=str,
)
def test_the_variables_that_choose_the_kernels_of_there(
    there: dict[str, str], here: dict[str, str], variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NPY_DISABLE_CPU_FEATURES", "XLA_FLAGS"):
        monkeypatch.delenv(name, raising=False)
    assert same_kernels(HASWELL | there, HASWELL | here) == variables


def test_where_a_store_was_made_is_told_without_its_runs(registered: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "store.zip"
    export_bundle(Results(registered).path, bundle)
    for place in (registered, bundle, PUBLISHED):
        assert environment_of(place) == open_original(place).environment != {}
    with pytest.raises(StoreNotFoundError):
        environment_of(tmp_path / "none")


def test_kernels_that_this_machine_does_not_have_are_a_note(registered: Path, tmp_path: Path) -> None:
    copy = elsewhere(registered, tmp_path / "copy", blas="other 1.0 New")
    done = optcore("reproduce", str(copy), "-q", "--sample", "1", "--jobs", "1", "--same-kernels")
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith("note: this machine can't compute as there: blas other 1.0 New there, ")


def test_nothing_that_can_be_run_is_exit_2_with_the_reason(walked: Path) -> None:
    write_walkers(walked.parent, 1)
    done = optcore("reproduce", str(walked), "-q", "-a", "gone")
    assert done.exit_code == 2
    assert "none of 1 run could be compared" in done.stderr
    assert "can't be imported here" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "there is no store at"),
        (["STORE", "--sample", "many"], "a sample is a number of runs of at least 1"),
        (["STORE", "--problem", "rosenbrok"], "did you mean 'rosenbrock'?"),
        (["STORE", "--jobs", "0"], "n_jobs must be a whole number of at least 1"),
    ],
)
def test_wrong_input_is_exit_2_in_one_sentence(registered: Path, arguments: list[str], words: str) -> None:
    done = optcore("reproduce", *(str(registered) if word == "STORE" else word for word in arguments), "-q")
    assert done.exit_code == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_store_that_is_not_there_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError):
        reproduce(tmp_path / "none")
    from optcore_bench.store import StoreWriter

    StoreWriter(tmp_path / "empty", study='name = "empty"\n').close()
    with pytest.raises(om.InvalidInputError, match="holds no runs yet"):
        reproduce(tmp_path / "empty")

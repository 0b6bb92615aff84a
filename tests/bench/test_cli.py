"""The command line, as a user has it: exit statuses, sentences, files."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from optcore_bench.cli import app
from optcore_bench.cli import doctor as doctor_module
from optcore_bench.cli import tables as tables_module
from optcore_bench.store import Results, stored_run_ids
from tests.processes import PATIENCE, wait_until

STUDY = """
problems = { suite = "more_wild", n_max = 3 }
algorithms = ["scipy_lbfgsb", "scipy_ls_lm", "scipy_neldermead"]
derivatives = ["analytic", "forward"]
budget = { max_gradients = 20 }
"""
COMMAND = [sys.executable, "-c", "from optcore_bench.cli import main; main()"]


def optcore(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study that was run from within it."""
    path = tmp_path_factory.mktemp("work")
    (path / "tiny.toml").write_text(STUDY)
    done = subprocess.run(
        [*COMMAND, "run", "tiny.toml", "--jobs", "2"], cwd=path, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    (path / "stdout").write_text(done.stdout)
    (path / "stderr").write_text(done.stderr)
    return path


@pytest.fixture
def store(folder: Path) -> str:
    return str(folder / "results" / "local" / "tiny")


def test_run_ends_by_naming_the_report_that_it_wrote(folder: Path) -> None:
    lines = (folder / "stdout").read_text().splitlines()
    page = folder / "results" / "local" / "tiny" / "report.html"
    assert lines[-1] == f"report {page}"
    assert "<html" in page.read_text(encoding="utf-8")
    results = Results(page.parent)
    assert f"digest {results.manifest['digest']}" in lines
    assert results.manifest["provenance"]["command"].endswith("run tiny.toml --jobs 2")
    assert (folder / "stderr").read_text().startswith(f"tiny: {len(results.runs)} runs\n")


def test_a_tilde_in_the_store_is_the_home_folder(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (folder / "one.toml").write_text('problems = "more_wild/rosenbrock"\nalgorithms = "scipy_bfgs"\n')
    run = optcore("run", str(folder / "one.toml"), "--store=~/mine", "--quiet", "--json")
    assert run.exit_code == 0, run.output
    facts = json.loads(run.stdout)
    assert (facts["store"], facts["report"]) == (str(tmp_path / "mine"), str(tmp_path / "mine" / "report.html"))
    shown = optcore("report", "~/mine")
    assert shown.stdout.split() == ["report", str(tmp_path / "mine" / "report.html")]
    optcore("report", "~/mine", "--html=~/page.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "page.html"]


def test_a_run_leaves_the_meaning_of_sigterm_as_it_was(folder: Path, store: str) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert optcore("run", str(folder / "tiny.toml"), "--store", store, "--quiet", "--no-report").exit_code == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_run_again_runs_nothing_and_says_the_same_digest(folder: Path, store: str) -> None:
    before = Results(store).manifest
    done = optcore("run", str(folder / "tiny.toml"), "--store", store, "--quiet", "--no-report", "--json")
    assert done.exit_code == 0
    facts = json.loads(done.stdout)
    assert facts["digest"] == before["digest"]
    assert facts["report"] is None
    assert sum(facts["statuses"].values()) == facts["runs"] == len(Results(store).runs)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('algorithms = "scipy_lbfgs"', "unknown algorithm 'scipy_lbfgs'; did you mean 'scipy_lbfgsb'?"),
        ('problems = "more_wlid"', "unknown suite 'more_wlid'; did you mean 'more_wild'?"),
        ('problems = "more_wild/rosenbrok"', "'rosenbrok'; did you mean 'rosenbrock'?"),
        ('derivatives = "foward"', "unknown derivative strategy 'foward'; did you mean 'forward'?"),
        ("budgets = 3", "unknown key 'budgets'; did you mean 'budget'?"),
        ("starts = 0", "key 'starts': must be a whole number of at least 1"),
        ("starts = = 0", "is not valid TOML"),
    ],
)
def test_a_wrong_study_is_one_sentence_and_exit_2(tmp_path: Path, line: str, words: str) -> None:
    given = {"problems": '"more_wild/rosenbrock"', "algorithms": '"scipy_bfgs"'}
    key = line.partition(" =")[0]
    text = "".join(f"{name} = {value}\n" for name, value in given.items() if name != key)
    (tmp_path / "wrong.toml").write_text(text + line + "\n")
    done = optcore("run", str(tmp_path / "wrong.toml"), "--store", str(tmp_path / "store"))
    assert done.exit_code == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.output
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "qiuck"], "did you mean 'quick'?"),
        (["run", "nowhere.toml"], "there is no file 'nowhere.toml'"),
        (["run", "quick", "--jobs", "0", "--store", "unused"], "n_jobs must be a whole number of at least 1"),
        (["show", "nowhere"], "there is no store at"),
        (["report", "nowhere"], "there is no store at"),
        (["list", "suite"], "suites"),
        (["rnu"], "No such command 'rnu'"),
    ],
)
def test_wrong_arguments_are_exit_2_without_a_traceback(arguments: list[str], words: str) -> None:
    done = optcore(*arguments)
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.output


def test_a_file_in_the_way_of_a_folder_is_named(folder: Path, store: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for arguments in (
        ["run", str(folder / "tiny.toml"), "--store", str(tmp_path / "file" / "store")],
        ["findings", store, "--figures", str(tmp_path / "file")],
    ):
        done = optcore(*arguments)
        assert done.exit_code == 2
        assert f"'{tmp_path / 'file'}'; a folder is needed there, so choose another path" in done.stderr
        assert "Errno" not in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_store_of_another_study_is_exit_3(folder: Path, store: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(STUDY.replace("max_gradients = 20", "max_gradients = 21"))
    done = optcore("run", str(tmp_path / "tiny.toml"), "--store", store)
    assert done.exit_code == 3
    assert len(done.stderr.splitlines()) == 1
    assert "made under other rules (budget" in done.stderr
    assert "--store" in done.stderr


def test_another_environment_is_exit_3_until_mixing_is_allowed(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "one.toml"
    path.write_text('problems = "more_wild/rosenbrock"\nalgorithms = "scipy_bfgs"\n')
    store = tmp_path / "store"
    arguments = ["run", str(path), "--store", str(store), "--no-report", "--quiet"]
    assert optcore(*arguments).exit_code == 0
    manifest = json.loads((store / "manifest.json").read_text())
    manifest["environment"]["numpy"] = "0.1"
    (store / "manifest.json").write_text(json.dumps(manifest))
    refused = optcore(*arguments)
    assert refused.exit_code == 3
    assert "numpy '0.1' there" in refused.stderr
    assert "--allow-mixed" in refused.stderr
    assert optcore(*arguments, "--allow-mixed").exit_code == 0


def rows_so_far(store: Path) -> int:
    return len(stored_run_ids(store)) if (store / "manifest.json").exists() else 0


def interrupt(folder: Path, store: Path, how: signal.Signals, *arguments: str) -> tuple[int, str]:
    """Run the study, send the signal once some rows are stored, and say how it ended."""
    command = [*COMMAND, "run", "tiny.toml", "--store", str(store), "--jobs", "1", *arguments]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    # rows that need no process are stored at once: wait until some that do are too
    wait_until(lambda: rows_so_far(store) >= 35 or process.poll() is not None)
    process.send_signal(how)
    _, err = process.communicate(timeout=PATIENCE)
    return process.returncode, err


def test_kill_9_costs_the_runs_in_flight_and_the_same_command_resumes(folder: Path, store: str, tmp_path: Path) -> None:
    killed = tmp_path / "store"
    status, _ = interrupt(folder, killed, signal.SIGKILL)
    assert status == -signal.SIGKILL
    kept = stored_run_ids(killed)
    undisturbed = Results(store)
    assert 0 < len(kept) < len(undisturbed.runs)
    done = optcore("run", str(folder / "tiny.toml"), "--store", str(killed), "--no-report")
    assert done.exit_code == 0
    assert f"{len(kept)} of them stored already" in done.stderr
    assert Results(killed).manifest["digest"] == undisturbed.manifest["digest"]
    assert len(Results(killed).runs) == len(undisturbed.runs)


def test_ctrl_c_is_one_line_that_says_how_to_go_on(folder: Path, tmp_path: Path) -> None:
    status, err = interrupt(folder, tmp_path / "store", signal.SIGINT, "--quiet")
    assert status == 130
    assert err == "interrupted; finished runs are stored, and the same command resumes\n"
    assert rows_so_far(tmp_path / "store") >= 35


def test_report_writes_the_page_where_it_is_told(store: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = optcore("report", store, "--html", str(page))
    assert done.exit_code == 0
    assert done.stdout == f"report {page}\n"
    assert page.stat().st_size > 10_000


def test_figures_need_a_known_format(store: str) -> None:
    done = optcore("report", store, "--figures", "pdf,sgv")
    assert done.exit_code == 2
    assert "unknown format of figures 'sgv'; did you mean 'svg'?" in done.stderr
    assert "names no format" in optcore("report", store, "--figures", ",").stderr


def test_figures_need_kaleido_and_the_message_names_the_extra(store: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "kaleido", None)
    done = optcore("report", store, "--figures", "pdf", "--out", str(tmp_path / "paper"))
    assert done.exit_code == 2
    assert "pip install 'optcore[figures]'" in done.stderr
    assert (tmp_path / "paper" / "data_profile.csv").is_file()


def test_options_of_figures_need_figures(store: str, tmp_path: Path) -> None:
    done = optcore("report", store, "--out", "elsewhere")
    assert done.exit_code == 2
    assert "--out goes with --figures" in done.stderr
    page = tmp_path / "page.html"
    wrong = optcore("report", store, "--html", str(page), "--figures", "svg", "--width", "singel")
    assert "did you mean 'single'" in wrong.stderr
    assert not page.exists()


@pytest.mark.skipif(doctor_module.find_browser() is None, reason="there is no browser that could draw")
def test_figures_come_with_their_numbers(store: str, tmp_path) -> None:
    pytest.importorskip("kaleido")
    arguments = ["--figures", "svg", "--out", str(tmp_path / "paper"), "--solvers", "*ls_lm*", "--json"]
    done = optcore("report", store, *arguments)
    assert done.exit_code == 0, done.stderr
    files = [Path(path) for path in json.loads(done.stdout)["figures"]]
    assert {path.stem for path in files if path.suffix == ".svg"} == {
        "performance_profile", "data_profile", "accuracy_profile", "convergence"
    }  # fmt: skip
    assert all(path.with_suffix(".csv").is_file() for path in files if path.suffix == ".svg")
    assert all(path.parent == tmp_path / "paper" for path in files)


def test_show_sums_up_by_solver(store: str) -> None:
    rows = {row["solver"]: row for row in json.loads(optcore("show", store, "--json").stdout)}
    assert set(rows) == {
        "scipy_lbfgsb [analytic]", "scipy_lbfgsb [forward]",
        "scipy_ls_lm [analytic]", "scipy_ls_lm [forward]", "scipy_neldermead [none]",
    }  # fmt: skip
    problems = Results(store).runs["problem"].nunique()
    for row in rows.values():
        assert row["problems"] == problems
        assert row["solved 1e-10"] <= row["solved 1e-05"] <= row["solved 0.1"] <= problems
    assert rows["scipy_ls_lm [analytic]"]["derivative error"] == 0.0
    text = optcore("show", store).stdout
    assert "finished, digest" in text
    assert "scipy_ls_lm [analytic]" in text


@pytest.mark.parametrize("arguments", [["show", "{store}"], ["list", "problems"], ["show", "{store}", "--provenance"]])
def test_a_reader_that_has_seen_enough_is_no_error(store: str, arguments: list[str]) -> None:
    reads, writes = os.pipe()
    os.close(reads)  # as `head` does
    filled = [argument.format(store=store) for argument in arguments]
    try:
        done = subprocess.run([*COMMAND, *filled], stdout=writes, stderr=subprocess.PIPE, timeout=100, check=False)
    finally:
        os.close(writes)
    assert (done.returncode, done.stderr) == (0, b"")


def test_show_says_why_no_run_applies(tmp_path: Path) -> None:
    study = tmp_path / "none.toml"
    study.write_text('problems = "more_wild/bard"\nalgorithms = "scipy_bfgs"\nderivatives = "none"\n')
    assert optcore("run", str(study), "--store", str(tmp_path / "s"), "--quiet", "--no-report").exit_code == 0
    shown = optcore("show", str(tmp_path / "s"))
    assert shown.stdout.splitlines()[1:] == ["no run applies: the solver needs a derivative"]


def test_show_lists_the_runs_of_a_problem_and_an_algorithm(store: str) -> None:
    arguments = ["show", store, "--problem", "rosenbrock", "--algorithm", "scipy_lbfgsb"]
    rows = json.loads(optcore(*arguments, "--json").stdout)
    assert [(row["problem"], row["derivative"]) for row in rows] == [
        ("rosenbrock", "analytic"),
        ("rosenbrock", "forward"),
    ]
    runs = Results(store).runs.set_index(["problem", "algorithm", "derivative"])
    assert rows[1]["evaluations"] == runs["n_fun_evals"]["rosenbrock", "scipy_lbfgsb", "forward"]
    assert rows[1]["f_start"] == pytest.approx(24.2)
    assert "scipy_lbfgsb" in optcore(*arguments).stdout
    done = optcore("show", store, "--problem", "rosenbrok")
    assert done.exit_code == 2
    assert "did you mean 'rosenbrock'?" in done.stderr


@pytest.mark.parametrize(
    ("what", "some"),
    [
        ("suites", "more_wild"),
        ("problems", "more_wild/rosenbrock"),
        ("algorithms", "scipy_lbfgsb"),
        ("derivatives", "complex_step"),
        ("studies", "quick"),
    ],
)
def test_list_shows_what_there_is(what: str, some: str) -> None:
    assert some in optcore("list", what).stdout
    rows = json.loads(optcore("list", what, "--json").stdout)
    assert some in {next(iter(row.values())) for row in rows}


def test_list_tells_all_about_algorithms() -> None:
    shown = optcore("list", "algorithms", "--details").stdout
    for name in ("scipy_lbfgsb", "scipy_dual_annealing", "nlopt_mlsl"):
        assert f"\n{name}: " in shown
    one = optcore("list", "algorithms", "scipy_dual_annealing").stdout
    assert one.startswith("scipy_dual_annealing: Generalized simulated annealing")
    assert "  bounds     needed\n" in one
    assert "  search     global, random\n" in one
    assert "Xiang, Sun, Fan & Gong (1997), Physics Letters A 233(3)" in one
    assert "restart_temp_ratio in scipy" in one
    assert "scipy_lbfgsb:" not in one
    (row,) = json.loads(optcore("list", "algorithms", "scipy_lbfgsb", "--json").stdout)
    assert row["name"] == "scipy_lbfgsb"
    assert row["tight"] == {"convergence_ftol_rel": 0.0, "convergence_gtol_abs": 1e-100}
    assert {"name": "limited_memory_storage_length", "default": "10", "aliases": ["memory"]}.items() <= {
        **row["options"][4]
    }.items()
    assert row["installed"] is True
    assert len(json.loads(optcore("list", "algorithms", "--details", "--json").stdout)) > 40


def test_list_tells_all_about_what_it_lists() -> None:
    listed = json.loads(optcore("list", "algorithms", "--json").stdout)
    detailed = json.loads(optcore("list", "algorithms", "--details", "--json").stdout)
    assert [row["name"] for row in detailed] == [row["algorithm"] for row in listed]


def test_list_says_what_it_has_no_details_of() -> None:
    wrong = optcore("list", "algorithms", "scipy_lbfgs")
    assert wrong.exit_code == 2
    assert "unknown algorithm 'scipy_lbfgs'; did you mean 'scipy_lbfgsb'?" in wrong.stderr
    suites = optcore("list", "suites", "--details")
    assert suites.exit_code == 2
    assert "only algorithms have details; `optcore list suites` shows all there is" in suites.stderr


def test_doctor_says_what_is_missing_and_what_it_unlocks(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = doctor_module.library_version
    monkeypatch.setattr(doctor_module, "library_version", lambda name: None if name == "jax" else installed(name))
    monkeypatch.setattr(doctor_module, "find_browser", lambda: None)
    lines = optcore("doctor").stdout.splitlines()
    (jax,) = [line for line in lines if " jax" in line]
    assert jax.split()[0] == "missing"
    assert "strategy 'jax'; pip install 'optcore[jax]'" in jax
    assert any("missing  Chrome or Chromium" in line and "plotly_get_chrome" in line for line in lines)
    assert any(line.startswith("  ok       numpy ") for line in lines)
    facts = json.loads(optcore("doctor", "--json").stdout)
    assert facts["browser"] is None
    optional = {
        "jax",
        "asdex",
        "nlopt",
        "dfols",
        "pybobyqa",
        "iminuit",
        "optimagic",
        "distributed",
        "kaleido",
        "duckdb",
    }
    assert {entry["library"] for entry in facts["optional"]} == optional
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert {entry["install"] for entry in facts["optional"]} == {f"optcore[{name}]" for name in extras if name != "all"}
    assert {"blas", "cpu", "cores"} <= set(facts["machine"])


def test_version_and_help() -> None:
    from optcore import __version__

    assert optcore("--version").stdout == f"optcore {__version__}\n"
    first_screen = optcore("--help").stdout
    positions = [
        first_screen.index(f" {command} ") for command in ("run", "report", "compare", "advise", "doctor", "show")
    ]
    assert positions == sorted(positions)


def test_what_files_of_ones_own_print_when_they_are_loaded_is_no_part_of_json(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from optcore_problems import get_problem\nprint('loading')\n"
        "def solve(fun, x0):\n    return x0\n"
        "def suite():\n    print('making')\n    return get_problem('mgh/rosenbrock')\n"
    )
    study = tmp_path / "own.toml"
    study.write_text('problems = "mine.py:suite"\nalgorithms = { name = "mine", path = "mine.py:solve" }\n')
    done = optcore("run", str(study), "--dry-run", "--json", "--store", str(tmp_path / "store"))
    assert json.loads(done.stdout)["study"] == "own"
    assert done.stderr.splitlines() == ["loading", "making"]


def test_help_shows_what_stands_in_brackets() -> None:
    shown = {
        command: " ".join(optcore(command, "--help").stdout.replace("│", " ").split()) for command in ("run", "report")
    }
    assert "Folder of the results. [default: results/local/NAME]" in shown["run"]
    assert "'scipy_*,[forward]'. [default: all]" in shown["report"]


def test_help_loads_none_of_the_heavy_libraries() -> None:
    heavy = ("numpy", "scipy", "pandas", "pyarrow", "plotly", "joblib", "optree")
    code = (
        "import sys; from optcore_bench.cli import app\n"
        "try: app(['--help'])\n"
        f"except SystemExit: print('loaded:', [name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_import_optcore_bench_is_light_and_complete() -> None:
    code = (
        "import sys, optcore_bench as b\n"
        "print([name for name in ('numpy', 'pandas', 'pyarrow', 'plotly') if name in sys.modules])\n"
        "print([name for name in b.__all__ if getattr(b, name) is None], set(b.__all__) <= set(dir(b)))\n"
        "from optcore_bench import Study, Results, load_study, run_study, cost_table, VirtualClock\n"
        "try: b.nothing\n"
        "except AttributeError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[] True", "module 'optcore_bench' has no attribute 'nothing'"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
def test_a_terminal_gets_a_bar(folder: Path, store: str) -> None:
    ours, theirs = pty.openpty()
    command = [*COMMAND, "run", "tiny.toml", "--store", store, "--no-report"]
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # Linux says so at the end
        pass
    os.close(ours)
    assert process.wait(timeout=PATIENCE) == 0
    total = len(Results(store).runs)
    assert f"{total}/{total}".encode() in shown


def test_json_of_numbers_that_are_not_finite_is_json(tmp_path: Path) -> None:
    frame = pd.DataFrame({"problem": "p", "algorithm": ["a", "a", "b"], "evaluation": [0, 1, 0]})
    Results.from_frame(frame.assign(fun=[np.inf, 1.0, np.nan], f_opt=-np.inf)).save(tmp_path / "store")
    store = str(tmp_path / "store")
    for command in (["show", store], ["show", store, "--problem", "p"], ["findings", store], ["compare", store, store]):
        done = optcore(*command, "--json")
        assert json.loads(done.stdout, parse_constant=pytest.fail), command


def test_every_command_writes_its_json_by_the_function_that_keeps_it_valid() -> None:
    folder = Path(tables_module.__file__).parent
    assert [path.name for path in folder.glob("*.py") if "json.dumps" in path.read_text()] == ["tables.py"]
    assert tables_module.json_text([np.float32("nan"), np.int64(3), Path("a")]) == '[null, 3, "a"]'

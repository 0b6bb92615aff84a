"""`optcore check-problems`, `show-problem` and `list problems --suite`, as a user has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import optcore as om
from optcore_bench import Study, run_study
from optcore_bench.cli import app
from optcore_problems import Problem, Suite, registry


def optcore(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_check_problems_prints_a_row_a_problem() -> None:
    done = optcore("check-problems", "more_wild/bard", "more_wild/cube_n5", "--no-jax")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["problem", "n", "m"]
    assert [line.split()[0] for line in lines[1:3]] == ["more_wild/bard", "more_wild/cube_n5"]
    assert lines[-1] == "2 problems, 0 wrong"


def test_check_problems_as_json() -> None:
    done = optcore("check-problems", "more_wild/bard", "--no-jax", "--json")
    (row,) = json.loads(done.stdout)
    assert row["problem"] == "more_wild/bard"
    assert {check["name"]: check["verdict"] for check in row["checks"]}["gradient"] == "ok"


def parabola(x: Any, xp: Any) -> Any:
    return x @ x


def test_a_wrong_problem_is_named_in_a_sentence_and_the_exit_status_is_1(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Problem(name="parabola", suite="mine", start=[1.0], fun_xp=parabola, f_opt=0.5, x_opt=[0.0])
    monkeypatch.setitem(registry._SHIPPED, "mine", "")
    monkeypatch.setattr(registry, "_build", {"mine": Suite("mine", (wrong,))}.__getitem__)
    done = optcore("check-problems", "mine", "--no-jax")
    assert done.exit_code == 1
    assert "mine/parabola: optimum: f(x_opt) = 0.0, but f_opt = 0.5" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 problem, 1 wrong"


def test_check_problems_compares_with_the_runs_of_a_store(tmp_path: Path) -> None:
    study = Study(
        name="few", problems=["more_wild/bard"], algorithms=["scipy_ls_lm"], budget=om.Budget(max_gradients=9)
    )
    run_study(study, store=tmp_path / "few", n_jobs=1)
    done = optcore("check-problems", "more_wild/bard", "--no-jax", "--json", "--store", str(tmp_path / "few"))
    (row,) = json.loads(done.stdout)
    assert {check["name"]: check["detail"] for check in row["checks"]}["lowest"] == "4 values, none below"


def test_check_problems_checks_the_problems_of_a_study_as_it_transforms_them(tmp_path: Path) -> None:
    study = tmp_path / "noisy.toml"
    study.write_text(
        'problems = [{ problem = "more_wild/bard", noise = true }, { problem = "more_wild/bard", scaling = true }]\n'
        'algorithms = "scipy_bfgs"\n'
    )
    done = optcore("check-problems", str(study), "--no-jax", "--json")
    assert done.exit_code == 0, done.output
    assert [row["problem"] for row in json.loads(done.stdout)] == ["more_wild/bard", "more_wild/bard+scaled"]
    assert optcore("check-problems", str(tmp_path / "none.toml")).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("check-problems", "more_wilde"), "error: unknown suite 'more_wilde'; did you mean 'more_wild'?"),
        (("check-problems", "more_wild/brad"), "did you mean 'bard'?"),
        (("show-problem", "more_wild"), "'more_wild' is a suite of 53 problems; name one of them as 'suite/problem'"),
        (("show-problem", "bard"), "did you mean 'mgh/bard'"),
        (("show-problem", "more_wild/bard", "--plot", "a.doc"), "ends with none of .html, .png, .svg, .pdf"),
        (("show-problem", "more_wild/bard", "--plot", "nowhere/a.html"), "there is no folder 'nowhere'"),
        (("list", "suites", "--suite", "more_wild"), "--suite goes with `optcore list problems`, not with suites"),
        (("list", "problems", "--suite", "morewild"), "unknown suite 'morewild'; did you mean 'more_wild'?"),
        (("check-problems", "more_wild/bard", "--store", "nowhere"), "nowhere"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_status_2(arguments: tuple[str, ...], sentence: str) -> None:
    done = optcore(*arguments)
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_list_problems_of_a_suite() -> None:
    rows = json.loads(optcore("list", "problems", "--suite", "more_wild", "--json").stdout)
    assert len(rows) == 53
    assert {row["problem"].partition("/")[0] for row in rows} == {"more_wild"}


OWN = """
from optcore_problems import Problem
def value(x, xp):
    return (x @ x) ** 2
both = [Problem(name=name, start=[1.0, 2.0], fun_xp=value, f_opt=0.0) for name in ("first", "second")]
"""


def test_problems_of_a_file_are_listed_shown_and_checked_one_by_one_as_the_messages_say(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    place = f"{tmp_path / 'own.py'}:both"
    several = optcore("show-problem", place)
    assert several.exit_code == 2
    assert f"for example '{place}/first', or list them: optcore list problems --suite {place}" in several.stderr
    listed = json.loads(optcore("list", "problems", "--suite", place, "--json").stdout)
    assert [row["problem"] for row in listed] == ["first", "second"]
    assert optcore("show-problem", f"{place}/second").stdout.startswith("second\n")
    checked = json.loads(optcore("check-problems", f"{place}/first", "--no-jax", "--json").stdout)
    assert [row["problem"] for row in checked] == ["first"]
    unknown = optcore("show-problem", f"{place}/scond")
    assert unknown.exit_code == 2
    assert "did you mean 'second'?" in unknown.stderr


def test_what_is_not_finite_is_null_in_json(tmp_path: Path) -> None:
    text = OWN.replace("(x @ x) ** 2", "xp.log(x[0] - 2.0)").replace("f_opt=0.0", "bounds=[(0.0, None)] * 2")
    (tmp_path / "own.py").write_text(text)
    place = f"{tmp_path / 'own.py'}:both"

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    shown = json.loads(optcore("show-problem", f"{place}/first", "--json").stdout, parse_constant=refuse)
    assert (shown["f_start"], shown["bounds"]) == (None, [[0.0, 0.0], [None, None]])
    listed = json.loads(optcore("list", "problems", "--suite", place, "--json").stdout, parse_constant=refuse)
    assert [row["f_start"] for row in listed] == [None, None]
    wrong = optcore("check-problems", place, "--no-jax", "--json")
    assert wrong.exit_code == 1
    json.loads(wrong.stdout, parse_constant=refuse)


def test_list_problems_says_which_strategies_a_problem_excludes(monkeypatch: pytest.MonkeyPatch) -> None:
    stiff = Problem(name="parabola", suite="mine", start=[1.0], fun_xp=parabola, excludes={"jax": "it loops"})
    monkeypatch.setitem(registry._SHIPPED, "mine", "")
    monkeypatch.setattr(registry, "_build", {"mine": Suite("mine", (stiff,))}.__getitem__)
    (row,) = json.loads(optcore("list", "problems", "--suite", "mine", "--json").stdout)
    assert row["excludes"] == "jax: it loops"


def test_show_problem_says_what_is_known() -> None:
    done = optcore("show-problem", "more_wild/freudenstein_roth")
    assert done.exit_code == 0, done.output
    for text in ("n = 2, m = 2", "f = 400.5", "f = 0 (exact)", "f = 48.98425367924 at", "Freudenstein & Roth (1963)"):
        assert text in done.stdout
    facts = json.loads(optcore("show-problem", "more_wild/freudenstein_roth", "--json").stdout)
    assert facts["x_opt"] == [5.0, 4.0]
    assert facts["tags"]["mgh"] == 2


def test_show_problem_draws_its_landscape(tmp_path: Path) -> None:
    path = tmp_path / "bard.html"
    done = optcore("show-problem", "more_wild/bard", "--plot", str(path))
    assert done.stdout.splitlines()[-1] == f"plot {path}"
    assert "from the start (0) to the best known point (1)" in path.read_text(encoding="utf-8")
    assert [entry.name for entry in tmp_path.iterdir()] == ["bard.html"]

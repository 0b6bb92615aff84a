"""A published study says what its store says, is small, and can be reproduced from what was published."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import optcore_bench.publish.study as study_module
from optcore.errors import InvalidInputError
from optcore_bench import Results, Study, load_study, publish_study, reproduce, run_study, summary_table, worth_table
from optcore_bench.cli.app import app
from optcore_bench.evaluations import Evaluations
from optcore_bench.publish.chosen import subsets
from optcore_bench.publish.lessons import derivative_lessons, limits_of_the_problems
from tests.bench.fake_results import make_results, run, study_results

STUDY = Study(
    "tight_study",
    problems=["more_wild/rosenbrock", "more_wild/bard", "nist_strd/misra1a_start2"],
    algorithms=["scipy_lbfgsb", "scipy_ls_trf", "scipy_neldermead"],
    derivatives=["analytic", "forward", "central"],
    budget={"max_gradients": 20},
    keep_x=False,
)


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> tuple[Results, Results]:
    folder = tmp_path_factory.mktemp("stores")
    default = replace(STUDY, name="default_study", stopping="default")
    return tuple(run_study(study, store=folder / study.name, n_jobs=1) for study in (STUDY, default))


@pytest.fixture(scope="module")
def published(stores, tmp_path_factory):
    return publish_study(stores[0], tmp_path_factory.mktemp("results") / "out", beside=stores[1], formats=[]).folder


def tables_of(page: str) -> dict[str, list[list[str]]]:
    """Rows of the Markdown tables of a page, by their first heading."""
    found = {}
    for block in re.findall(r"(?:^\|.*\|\n)+", page, re.MULTILINE):
        rows = [line.strip("| ").split(" | ") for line in block.splitlines()]
        found.setdefault(rows[0][0], rows[2:])
    return found


def test_a_folder_has_what_reproducing_and_reading_take(published):
    names = {path.name for path in published.iterdir()}
    expected = {"README.md", "study.toml", "manifest.json", "runs.parquet", "report.html", "figures", "store.zip"}
    assert names == expected | {"default_study"}
    assert {path.name for path in (published / "default_study").iterdir()} == expected
    assert sum(path.stat().st_size for path in published.rglob("*") if path.is_file()) < 1_500_000
    assert load_study(published / "study.toml") == STUDY


def test_the_published_folder_reproduces(published):
    found = reproduce(published, 3, n_jobs=1)
    assert len(found.rows) >= 3  # each solver at least once
    assert {str(row.verdict) for row in found.rows} == {"identical"}


def test_a_small_store_is_published_whole_and_a_large_one_is_not(stores, published, tmp_path, monkeypatch):
    assert Results(published / "store.zip").digest == stores[0].digest
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "store.zip").write_bytes(b"of an earlier time")
    monkeypatch.setattr(study_module, "LARGEST_BUNDLE", 1000)
    one = Study("one", problems="more_wild/rosenbrock", algorithms="scipy_lbfgsb", derivatives="analytic")
    publish_study(run_study(one, store=tmp_path / "store"), copy, formats=[])
    assert not (copy / "store.zip").exists()
    assert "store.zip" not in (copy / "README.md").read_text()


def test_the_page_quotes_the_numbers_of_the_store(stores, published):
    results = stores[0]
    page = (published / "README.md").read_text()
    tables = tables_of(page)
    worth = worth_table(results, results.study["tau"])
    rows = tables["derivative"]
    assert len(rows) == len(worth)
    for cells, (_, row) in zip(rows, worth.iterrows(), strict=True):
        assert cells[0] == row["derivative"]
        assert [int(cell) for cell in cells[2:8]] == [
            row[name] for name in ("pairs", "exact_solved", "solved", "lost", "lost_to_budget", "gained")
        ]
        shown = float(cells[8]) if cells[8] != "-" else np.nan
        np.testing.assert_allclose(shown, row["ratio_0"], rtol=5e-3)
    summary = summary_table(results, results.study["tau"])
    for cells in tables["solver"]:
        assert int(cells[4]) == summary.at[cells[0], "solved_1e-5"]
    assert results.digest in page
    assert "optcore reproduce results/tight_study --sample 40" in page
    assert f"{len(results.runs)}" in page


def test_studies_side_by_side_are_counted_run_by_run(stores, published):
    page = (published / "README.md").read_text()
    lines = page.split("### tight_study beside default_study")[1].splitlines()
    rows = {line.split(" | ")[0].strip("| "): line for line in lines if line.startswith("| ")}
    for derivative in ("analytic", "forward", "central", "none"):
        cells = [cell.strip() for cell in rows[derivative].strip("|").split("|")][1:]
        counts = []
        for tau in ("1e-5", "1e-10"):
            for results in stores:
                summary = summary_table(results, (1e-5, 1e-10)).query("derivative == @derivative")
                counts.append(f"{summary[f'solved_{tau}'].sum()} of {summary['problems'].sum()}")
        assert cells == counts


def test_links_of_the_page_lead_somewhere(published):
    page = (published / "README.md").read_text()
    targets = re.findall(r"\]\(([^)]+)\)", page)
    assert len(targets) >= 6
    assert all((published / target).exists() for target in targets)


def test_the_page_shows_figures_of_strategies_by_the_names_of_their_files():
    evaluations = Evaluations.read(study_results(n_problems=1, derivatives=("with h = 1e-3", "closed")))
    shown = study_module._shown(evaluations)
    assert "data_profile-with-h-1e-3" in shown
    assert set(shown) <= {f"data_profile-{part.name}" for part in subsets(evaluations.solvers)}


def test_lessons_tell_what_is_lost_to_the_budget_and_down_to_which_tau_a_strategy_is_enough():
    exact = {"values": [1, np.nan, 1e-3, np.nan, 0], "tasks": ["fun", "jac", "fun", "jac", "fun"]}
    coarse = {"values": [1, 1, 1, 1e-3], "tasks": ["fun", "numdiff", "numdiff", "fun"], "status": "budget_evaluations"}
    results = make_results(
        *(run("scipy_bfgs analytic", p, **exact) for p in "abc"),
        *(run("scipy_bfgs forward", p, **coarse) for p in "abc"),
    )
    evaluations = Evaluations.read(results)
    (sentence,) = derivative_lessons(evaluations, [1e-1, 1e-2, 1e-5])
    assert sentence.startswith("**forward**, all solvers: solves 0 of the 3 that 'analytic' solves at tau = 1e-5")
    assert "(of the 3 lost, the budget ended 3)" in sentence
    assert sentence.endswith("Enough down to tau = 1e-2; down to 1e-5 if what the budget ended is left out.")
    assert "times the cost" not in sentence  # nothing was solved under both, so that there is no ratio


def test_limits_are_those_of_the_problems_that_ran(stores):
    small, squares, cheap, noise = limits_of_the_problems(Evaluations.read(stores[0]))
    assert "2 to 3 params (median 2)" in small
    assert "All 3 are sums of squares, written as residuals, 1 of them with a minimum below 1e-08" in squares
    assert re.search(r"An evaluation takes [\d.]+ (microseconds|ms)", cheap)
    assert "without noise" in noise
    noisy = make_results(run("a", "p", [1, 0], noise="multiplicative 0.001"))
    assert not any("noise" in sentence for sentence in limits_of_the_problems(Evaluations.read(noisy)))


def test_what_cannot_be_published_is_refused_in_a_sentence(stores, tmp_path):
    with pytest.raises(InvalidInputError, match="both studies are called 'tight_study'"):
        publish_study(stores[0], tmp_path / "x", beside=stores[0])
    with pytest.raises(InvalidInputError, match="no folder of a finished study"):
        publish_study(make_frame_results(), tmp_path / "x")
    done = CliRunner().invoke(app, ["report", str(stores[0].path), "--beside", str(stores[1].path)])
    assert done.exit_code == 2
    assert "--beside goes with --publish" in done.stderr
    assert not (tmp_path / "x").exists()


def test_the_command_publishes_the_same_bytes_without_figures_where_nothing_could_draw_them(
    stores, published, tmp_path, monkeypatch
):
    monkeypatch.setattr("optcore_bench.cli.doctor.find_browser", lambda: None)
    second = ["--beside", str(stores[1].path)]
    done = CliRunner().invoke(
        app, ["report", str(stores[0].path), "--publish", str(tmp_path / "out"), *second, "--json"]
    )
    assert done.exit_code == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["published"] == str(tmp_path / "out")
    found = {path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {str(path) for path in found} == set(facts["files"])
    assert {path.relative_to(tmp_path / "out") for path in found} == {
        path.relative_to(published) for path in published.rglob("*") if path.is_file()
    }
    for path in found:
        assert path.read_bytes() == (published / path.relative_to(tmp_path / "out")).read_bytes(), path.name


def make_frame_results() -> Results:
    import pandas as pd

    frame = pd.DataFrame({"problem": "p", "algorithm": "a", "evaluation": [0, 1], "fun": [1.0, 0.0]})
    return Results.from_frame(frame)


@pytest.mark.parametrize("name", ["derivative_strategies", "derivative_strategies_default"])
def test_the_studies_of_derivative_strategies_have_ten_solvers_of_several_libraries_and_most_strategies(name):
    import optcore as om
    from optcore_bench.strategies import strategy_names

    study = load_study(name)
    algorithms = {entry.name for entry in study.algorithms}
    libraries = {str(known.library) for known in om.algos if known.name in algorithms}
    assert len(algorithms) >= 10
    assert libraries >= {"scipy", "nlopt", "iminuit", "dfols"}
    default = name.endswith("default")
    left_out = {"fun_and_jac", "jax", "backward", "auto"} if default else set()
    assert {strategy.name for strategy in study.derivatives} == set(strategy_names()) - {"none"} - left_out
    assert {entry.label for entry in study.problems} == {"more_wild", "mgh", "nist_strd"}
    other = load_study("derivative_strategies")
    same = {"name": "x", "stopping": "tight", "description": "", "derivatives": "analytic"}
    assert replace(study, **same) == replace(other, **same)
    assert study.stopping == ("default" if default else "tight")

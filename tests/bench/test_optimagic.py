"""optimagic's algorithms in studies, in the catalog and in the doctor's list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import optcore as om
from optcore.solvers import get_algorithm
from optcore.solvers import optimagic as module
from optcore_bench import Study, load_study, run_study, runs
from optcore_bench.cli import app
from optcore_bench.cli.doctor import OPTIONAL
from optcore_bench.runs import expand

optimagic = pytest.importorskip("optimagic", reason="optimagic is an extra")

STUDY = """
problems = "more_wild/rosenbrock"
derivatives = ["analytic", "forward"]
budget = { max_evaluations = 40 }
algorithms = [
    "optimagic:scipy_lbfgsb",
    "optimagic:bhhh",
    "optimagic:scipy_ls_lm",
    { name = "simplex", algorithm = "optimagic:neldermead_parallel", options = { init_simplex_method = "pfeffer" } },
]
"""


def only(algorithm: Any, **changes: Any) -> str:
    """The id of the run of one algorithm."""
    (run,) = expand(Study("s", "more_wild/rosenbrock", algorithm, "forward", **changes))
    return run.run_id


def test_a_study_in_a_file_runs_them_and_their_rows_are_exact(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(STUDY)
    results = run_study(load_study(tmp_path / "own.toml"), tmp_path / "store")
    table = results.runs.set_index(["algorithm", "derivative"])
    assert (table.loc["optimagic:bhhh", "status"] == "not_applicable").all()
    message = "the solver works on likelihood contributions, and more_wild/rosenbrock has none"
    assert (table.loc["optimagic:bhhh", "message"] == message).all()
    assert table.loc[("simplex", "none"), "status"] == "budget_evaluations"
    assert "pfeffer" in str(table.loc[("simplex", "none"), "algorithm_options"])
    assert table.loc[("optimagic:scipy_ls_lm", "analytic"), "f_best"] < 1e-10
    ran = results.runs[results.runs["status"] != "not_applicable"]
    assert len(ran) == 5
    for row in ran.itertuples():
        history = results.history(run_id=row.run_id)
        assert (history["task"] == "fun").sum() + (history["task"] == "numdiff").sum() == row.n_fun_evals <= 40
        assert (history["task"] == "jac").sum() == row.n_jac_evals


def test_the_text_of_a_study_names_them_however_they_were_given() -> None:
    cls = get_algorithm("optimagic:pounders")
    given = ["optimagic:scipy_lbfgsb", cls, get_algorithm("optimagic:scipy_bfgs")(stopping_maxiter=7)]
    study = Study("s", "more_wild/rosenbrock", given)
    named = {"name": "optimagic:scipy_bfgs", "algorithm": "optimagic:scipy_bfgs", "options": {"stopping_maxiter": 7}}
    assert study.to_dict()["algorithms"] == ["optimagic:scipy_lbfgsb", "optimagic:pounders", named]


def test_ids_know_the_versions_of_optimagic_and_of_the_library_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    before = only("optimagic:nlopt_slsqp")
    assert before == only("optimagic:nlopt_slsqp") != only("optimagic:nlopt_lbfgsb")
    known = runs.library_version
    for library in ("optimagic", "nlopt"):
        with monkeypatch.context() as patch:
            patch.setattr(runs, "library_version", lambda name, new=library: "9.9" if name == new else known(name))
            assert only("optimagic:nlopt_slsqp") != before


def test_a_seed_reaches_the_algorithms_that_take_one() -> None:
    (run,) = expand(Study("s", "more_wild/rosenbrock", "optimagic:scipy_basinhopping", "forward", seed=5))
    assert run.algorithm.seed == 5  # type: ignore[attr-defined]


def test_the_strictest_tolerances_are_those_of_the_same_algorithm_here() -> None:
    (run,) = expand(Study("s", "more_wild/rosenbrock", "optimagic:scipy_lbfgsb", "forward"))
    tight = {name: getattr(run.algorithm, name) for name in om.algos.scipy_lbfgsb.tight}
    assert tight == om.algos.scipy_lbfgsb.tight


def test_without_optimagic_rows_say_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_is_installed", lambda: False)
    monkeypatch.setattr(module._NotInstalled, "available", classmethod(lambda cls: False))
    (run, *_) = expand(Study("s", "more_wild/rosenbrock", "optimagic:pounders", "forward"))
    assert run.reason == "optimagic:pounders needs optimagic, which is not installed: pip install 'optcore[optimagic]'"


def test_the_catalog_lists_them_all_and_which_can_run() -> None:
    rows = json.loads(CliRunner().invoke(app, ["list", "algorithms", "--json"]).stdout)
    found = {row["algorithm"]: row for row in rows if row["algorithm"].startswith("optimagic:")}
    assert len(found) == len(optimagic.algorithms.ALL_ALGORITHMS)
    assert found["optimagic:pounders"] == {
        "algorithm": "optimagic:pounders", "kind": "least_squares", "derivative": False, "bounds": True,
        "global": False, "library": "optimagic", "installed": True,
    }  # fmt: skip
    assert found["optimagic:bhhh"]["kind"] == "likelihood"
    assert {name.removeprefix("optimagic:") for name, row in found.items() if row["installed"]} == set(
        optimagic.algorithms.AVAILABLE_ALGORITHMS
    )


def test_the_doctor_knows_every_extra_that_unlocks_algorithms() -> None:
    extras = {(cls.library, cls.extra) for cls in om.algos if cls.extra}
    extras.add((module.Optimagic.library, module.Optimagic.extra))
    assert extras <= {(library, extra) for library, extra, _ in OPTIONAL}

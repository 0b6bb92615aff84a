"""Transformed problems in studies, from the TOML to the store and its analysis, in supervised processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optcore.errors import InvalidInputError, UnknownNameError
from optcore_bench.costs import cost_table
from optcore_bench.runner import make_task, run_study
from optcore_bench.runs import expand
from optcore_bench.store import Results, verify
from optcore_bench.study import Study, load_study
from optcore_problems import Problem, get_problem, get_suite
from optcore_problems.transform import Noise

ROSENBROCK = get_problem("more_wild/rosenbrock")
NOISE = {"kind": "multiplicative", "level": 1e-3}

NOISY: dict[str, Any] = {
    "name": "noisy",
    "problems": [
        {"suite": "more_wild", "n_max": 2, "noise": NOISE},
        {"suite": "more_wild", "n_max": 2, "noise": {"kind": "wild", "level": 1e-2}},
        "more_wild/rosenbrock",
        {"problem": "more_wild/rosenbrock", "bounded": True, "failures": {"rate": 0.05}},
    ],
    "algorithms": ["scipy_lbfgsb", "scipy_ls_trf", "scipy_neldermead"],
    "derivatives": ["analytic", "forward", "complex_step", "none"],
    "budget": {"max_gradients": 30},
}


def noisy(**changes: Any) -> Study:
    return Study(**(NOISY | changes))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run_study(noisy(), tmp_path_factory.mktemp("noisy") / "store")


def test_rows_say_their_noise_and_keep_values_with_and_without_it(results: Results) -> None:
    runs = results.runs.set_index("run_id")
    assert set(runs["noise"]) == {"multiplicative 0.001", "wild 0.01", ""}
    assert set(runs.loc[runs["noise"] == "", "problem"]) == {"rosenbrock", "rosenbrock+bounded+failures:rate=0.05"}
    history = results.history()
    assert set(history["run_id"].astype(str)) == set(runs.index[runs["status"] != "not_applicable"])
    for run_id, rows in history.groupby("run_id", observed=True):
        run = runs.loc[run_id]
        clean = get_problem(f"more_wild/{run['problem'].partition('+')[0]}")
        at_x = np.array([clean.fun(x) for x in rows["x"]])
        valued = (rows["task"] != "jac").to_numpy()
        if run["noise"]:
            np.testing.assert_array_equal(rows["fun_true"].to_numpy()[valued], at_x[valued])
            noise = Noise(*run["noise"].split()[:1], float(run["noise"].split()[1]))  # type: ignore[call-overload]
            disturbed = clean.transform(noise)
            # A least-squares solver's value is summed by the core, in another order.
            np.testing.assert_allclose(rows["fun"][valued], [disturbed.fun(x) for x in rows["x"][valued]], rtol=1e-14)
            assert not np.array_equal(rows["fun"][valued], rows["fun_true"][valued])
        else:
            assert rows["fun_true"].isna().all()
        assert run["f_start"] == clean.fun(rows["x"].iloc[0])
        assert run["f_best"] == rows["best"].iloc[-1]
    assert not verify(results.path)  # type: ignore[arg-type]


def test_the_best_value_and_the_final_one_are_without_noise(results: Results) -> None:
    runs = results.runs[results.runs["noise"] == "multiplicative 0.001"].set_index("run_id")
    history = results.history()
    asked = history[history["task"].isin(["fun", "fun_and_jac"])]
    best = asked.groupby("run_id", observed=True)["fun_true"].min()
    ran = runs.index[runs["status"] != "not_applicable"]
    # None of these problems has bounds, so all points that a solver asks for are feasible.
    np.testing.assert_array_equal(runs.loc[ran, "f_best"], best.loc[ran])
    final = runs.loc[ran, "f_final"]
    seen = {run_id: set(rows["fun_true"]) for run_id, rows in asked.groupby("run_id", observed=True)}
    assert all(value in seen[run_id] for run_id, value in final.items() if np.isfinite(value))


def test_a_noisy_run_counts_as_solved_when_the_clean_value_passes(tmp_path: Path) -> None:
    bowl = Problem(name="bowl", start=np.array([3.0, 4.0]), fun_xp=_bowl, f_opt=0.0)
    walk = {"name": "walk", "algorithm": _straight_to_the_origin}
    found = run_study(Study("s", bowl.with_noise("additive", 6.0), walk, "none"), tmp_path / "store")
    run, history = found.runs.iloc[0], found.history()
    assert run["f_start"] == 25.0 == history["fun_true"].iloc[0] != history["fun"].iloc[0]
    tau = 0.1
    truly, apparently = (np.flatnonzero(history[column] <= tau * 25.0)[0] + 1 for column in ("fun_true", "fun"))
    # (1 - t/20)^2 <= 0.1 from t = 14 on, which is the fifteenth evaluation.
    assert truly == 15 != apparently
    assert cost_table(found, tau=tau).to_numpy().item() == truly


def _straight_to_the_origin(fun: Any, x0: Any) -> Any:
    for t in range(21):
        fun(x0 * (1 - t / 20))
    return x0


def _bowl(x: Any, xp: Any) -> Any:
    return (x * x).sum()


def test_strategies_that_a_problem_excludes_are_rows_with_the_reason(results: Results) -> None:
    runs = results.runs
    excluded = runs[(runs["derivative"] == "complex_step") & (runs["algorithm"] == "scipy_lbfgsb")]
    by_noise = excluded.set_index(["problem", "noise"])
    row = by_noise.loc[("rosenbrock", "multiplicative 0.001")]
    assert row["status"] == "not_applicable"
    assert row["message"].startswith("more_wild/rosenbrock excludes 'complex_step': its noise is decided from the bits")
    # The oscillation has a derivative, although nobody would want it.
    wild = by_noise.loc[("rosenbrock", "wild 0.01")]
    assert wild["status"] != "not_applicable"
    assert wild["derivative_error"] > 0.1
    assert by_noise.loc[("rosenbrock", "")]["derivative_error"] < 1e-14


def test_a_problem_of_ones_own_excludes_a_strategy_with_its_reason() -> None:
    problem = Problem(name="p", start=np.ones(2), fun_xp=_bowl, excludes={"forward": "it is rounded"}, version="2")
    reasons = [run.reason for run in expand(Study("s", problem, "scipy_lbfgsb", ["forward", "central"]))]
    assert reasons == ["p excludes 'forward': it is rounded", ""]


def test_the_digest_does_not_depend_on_workers_or_order(results: Results, tmp_path: Path) -> None:
    turned = noisy(problems=NOISY["problems"][::-1], algorithms=NOISY["algorithms"][::-1])
    again = run_study(turned, tmp_path / "store", n_jobs=2, backend="loky")
    assert again.manifest["digest"] == results.manifest["digest"]


def test_a_study_that_goes_on_has_the_digest_of_the_whole(results: Results, tmp_path: Path) -> None:
    run_study(noisy(problems=NOISY["problems"][:1]), tmp_path / "store")
    again = run_study(noisy(), tmp_path / "store")
    assert again.manifest["digest"] == results.manifest["digest"]


def test_rows_of_one_problem_with_and_without_noise_stand_side_by_side(results: Results) -> None:
    rows = set(cost_table(results).index)
    assert {"more_wild/rosenbrock", "more_wild/rosenbrock ~ multiplicative 0.001", "more_wild/beale"} <= rows | {
        "more_wild/beale"
    }
    assert "more_wild/rosenbrock ~ wild 0.01" in rows
    assert "more_wild/rosenbrock+bounded+failures:rate=0.05" in rows


# --- what determines a run -------------------------------------------------------------------------------------------


def ids(problems: Any) -> list[str]:
    return [run.run_id for run in expand(Study("s", problems, "scipy_lbfgsb"))]


def test_every_part_of_a_transformation_changes_the_id() -> None:
    plain = {"problem": "more_wild/rosenbrock"}
    tables: list[dict[str, Any]] = [
        {},
        {"noise": NOISE},
        {"noise": {**NOISE, "seed": 1}},
        {"noise": {**NOISE, "level": 1e-2}},
        {"noise": {**NOISE, "distribution": "uniform"}},
        {"noise": {"kind": "rounded", "level": 5}},
        {"failures": {"rate": 0.1}},
        {"failures": {"rate": 0.1, "kind": "exception"}},
        {"failures": {"region": {"lower": 3.0}}},
        {"failures": {"region": {"upper": -3.0}}},
        {"scaling": {"factors": [1.0, 1.0]}},
        {"bounded": True},
        {"bounded": {"fraction": 1.0}},
        {"cost": {"seconds": 0.01}},
        {"cost": {"seconds": 0.01, "kind": "busy"}},
        {"start": {"number": 2}},
    ]
    found = [ids(plain | table)[0] for table in tables]
    assert len(set(found)) == len(found)
    assert found == [ids(plain | table)[0] for table in tables]
    # Without transformations nothing has changed.
    assert found[0] == ids("more_wild/rosenbrock")[0]


def test_starts_are_those_of_the_problem_without_noise() -> None:
    clean, with_noise = (
        [run.x0.tolist() for run in expand(Study("s", p, "scipy_lbfgsb", starts=3))]
        for p in (ROSENBROCK, ROSENBROCK.with_noise())
    )
    assert clean == with_noise
    assert clean == [p.start.tolist() for p in ROSENBROCK.with_starts(3)]


def test_wrapped_problems_of_suites_travel_by_name() -> None:
    for problems in (
        get_suite("more_wild").with_noise("rounded", 6).with_cost(0.0),
        {"suite": "more_wild", "scaling": {"seed": 3}, "failures": {"rate": 0.1}},
    ):
        run = expand(Study("s", problems, "scipy_lbfgsb"))[7]
        task = make_task(run)
        assert not isinstance(task.problem, Problem)
        loaded = task.load_problem()
        x = run.x0 * 1.1
        assert loaded.full_name == run.problem.full_name
        np.testing.assert_array_equal(loaded.fun(x), run.problem.fun(x))


def test_python_and_toml_name_the_same_runs(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'algorithms = "scipy_lbfgsb"\n'
        'problems = [{suite="more_wild", noise={kind="multiplicative", level=1e-3}, bounded=true, '
        "failures={rate=0.1, region={lower=2.0}}, scaling=false}]\n"
    )
    from_file = load_study(file)
    suite = get_suite("more_wild").with_bounds().with_noise("multiplicative", 1e-3)
    keeps = suite.with_failures(0.1, region={"lower": 2.0})
    in_python = Study("mine", keeps, "scipy_lbfgsb")
    assert [run.run_id for run in expand(from_file)] == [run.run_id for run in expand(in_python)]
    assert from_file == in_python
    (tmp_path / "again.toml").write_text(in_python.to_toml())
    assert load_study(tmp_path / "again.toml") == in_python


def test_what_a_table_can_not_hold_stays_python() -> None:
    backwards = ROSENBROCK.with_noise().with_scaling()
    study = Study("s", [backwards, ROSENBROCK.with_failures(region=_in_a_corner)], "scipy_lbfgsb")
    assert study.to_dict()["problems"][0] == {"python": ["more_wild/rosenbrock+scaled ~ multiplicative 0.001 1"]}
    assert len({run.run_id for run in expand(study)}) == 2
    assert all(make_task(run).load_problem().name == run.problem.name for run in expand(study))


def _in_a_corner(x: Any) -> bool:
    return bool((x > 5).all())


def test_the_same_problem_under_two_noises_is_two_problems_and_twice_the_same_is_one() -> None:
    table = {"suite": "more_wild", "n_max": 2, "noise": NOISE}
    both = Study("s", [table, {**table, "n_max": 3}, "more_wild"], "scipy_lbfgsb")
    names = [(p.name, p.noise) for p in both.resolve_problems()]
    assert len(names) == len(set(names)) == len(get_suite("more_wild").filter(n_max=3)) + 53


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            {"suite": "more_wild", "nois": {}},
            UnknownNameError,
            "table of problems 'nois'; did you mean 'noise'",
        ),
        ({"suite": "more_wild", "noise": {"lvel": 1}}, UnknownNameError, "key of noise 'lvel'; did you mean 'level'"),
        ({"suite": "more_wild", "noise": "strong"}, InvalidInputError, "noise must be a table such as"),
        ({"suite": "more_wild", "bounded": {"fraction": 3}}, InvalidInputError, "fraction must be a number above 0"),
        (
            {"suite": "more_wild", "problem": "more_wild/bard"},
            InvalidInputError,
            "one of them, but has suite and problem",
        ),
        ({"problem": "more_wild"}, InvalidInputError, "'more_wild' is no 'suite/problem'; use the key 'suite'"),
        ({"problem": "more_wild/bard", "n_max": 3}, InvalidInputError, "n_max is for suites; use the key 'suite'"),
        ({"problem": "more_wild/bart"}, UnknownNameError, "did you mean 'bard'"),
        ({"problem": "more_wild/bard", "scaling": {"factors": [1.0]}}, InvalidInputError, "there are 1 factors, but 3"),
        ({"suite": 3}, InvalidInputError, "suite must be text, but is 3"),
    ],
    ids=str,
)
def test_wrong_tables_are_errors_that_say_where(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"study 's', key 'problems': .*{message}"):
        Study("s", given, "scipy_lbfgsb")


# --- problems of the user's own --------------------------------------------------------------------------------------


def _slow_residuals(x: Any, xp: Any) -> Any:
    return xp.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def test_ones_own_problem_with_noise_failures_and_cost_is_judged_without_them(tmp_path: Path) -> None:
    mine = Problem(name="mine", start=np.array([-1.2, 1.0]), m=2, residuals_xp=_slow_residuals, f_opt=0.0)
    disturbed = mine.with_noise("additive", 0.1).with_failures(0.1, "exception").with_cost(0.002)
    study = Study("s", disturbed, ["scipy_neldermead", "scipy_ls_trf"], ["forward", "none"], {"max_evaluations": 60})
    found = run_study(study, tmp_path / "store", n_jobs=2)
    runs = found.runs[found.runs["status"] != "not_applicable"]
    assert len(runs) == 2
    assert set(runs["f_start"]) == {mine.f_start}
    for run_id, rows in found.history().groupby("run_id", observed=True):
        values = rows[rows["task"] != "jac"]
        known = values["fun"].notna().to_numpy()
        np.testing.assert_array_equal(values["fun_true"].notna(), known)
        np.testing.assert_array_equal(values["fun_true"][known], [mine.fun(x) for x in values["x"][known]])
        seconds = found.timings.set_index("run_id").loc[run_id, "seconds"]
        assert seconds > 0.002 * known.sum()


def test_a_run_that_dies_keeps_its_values_without_noise(tmp_path: Path) -> None:
    mine = Problem(name="mine", start=np.array([3.0, 4.0]), fun_xp=_bowl)
    study = Study("s", mine.with_noise("additive", 0.1), {"name": "dies", "algorithm": _dies}, "none")
    found = run_study(study, tmp_path / "store")
    assert found.runs["status"].tolist() == ["crashed"]
    assert found.history()["fun_true"].tolist() == [25.0, 5.0]
    assert found.runs["f_best"].tolist() == [5.0]


def _dies(fun: Any, x0: Any) -> Any:
    import os

    fun(x0)
    fun(np.array([1.0, 2.0]))
    os._exit(3)


def test_values_that_can_not_be_had_without_noise_are_said_to_be_missing(tmp_path: Path) -> None:
    fatal = Problem(name="fatal", start=np.array([3.0, 4.0]), fun_xp=_fatal_later)
    study = Study("s", fatal.with_noise("additive", 0.1), {"name": "three", "algorithm": _three}, "none")
    found = run_study(study, tmp_path / "store")
    assert found.history()["fun_true"].tolist()[:2] == [25.0, 5.0]
    assert np.isnan(found.history()["fun_true"].tolist()[2])
    assert "values without noise are known for 2 of 3 evaluations: " in found.runs["message"].item()
    assert found.runs["f_best"].tolist() == [5.0]


_calls: list[float] = []


def _fatal_later(x: Any, xp: Any) -> Any:
    """Ends its process at the sixth call: the third for the values without noise."""
    import os

    _calls.append(float(x[0]))
    if len(_calls) == 7:  # three for the solver, one for the final value, three without noise
        os._exit(1)
    return (x * x).sum()


def _three(fun: Any, x0: Any) -> Any:
    for x in ([3.0, 4.0], [1.0, 2.0], [1.0, 1.0]):
        fun(np.array(x))
    return x0

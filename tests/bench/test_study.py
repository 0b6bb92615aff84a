"""Studies: what they accept, what they refuse and in which words, and that TOML and Python are the same."""

from __future__ import annotations

import dataclasses
import tomllib
from typing import Any

import numpy as np
import pytest

import optcore as om
from optcore_bench.study import Study, load_study, shipped_studies
from optcore_problems import Problem, Suite, get_problem, get_suite

GOOD: dict[str, Any] = {"name": "good", "problems": "more_wild/rosenbrock", "algorithms": "scipy_lbfgsb"}

# Changed keys, then what the message must hold: the key, what came, and the nearest name or the remedy.
WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "algorithm": ({"algorithms": ["scipy_lbfgs"]}, ["'algorithms'", "'scipy_lbfgs'", "did you mean 'scipy_lbfgsb'?"]),
    "suite": ({"problems": ["more_wlid"]}, ["'problems'", "unknown suite 'more_wlid'", "did you mean 'more_wild'?"]),
    "problem": ({"problems": "more_wild/rosenbrok"}, ["'problems'", "'rosenbrok'", "did you mean 'rosenbrock'?"]),
    "problem without suite": ({"problems": "rosenbrock"}, ["'problems'", "did you mean 'mgh/rosenbrock'?"]),
    "derivative": ({"derivatives": ["analytic", "foward"]}, ["'derivatives'", "'foward'", "did you mean 'forward'?"]),
    "planned derivative": (
        {"derivatives": "hyper_dual"},
        ["'derivatives'", "unknown derivative strategy 'hyper_dual'"],
    ),
    "option": (
        {"algorithms": {"algorithm": "scipy_lbfgsb", "options": {"convergence_ftol_re": 1e-9}}},
        ["'algorithms'", "'convergence_ftol_re'", "did you mean 'convergence_ftol_rel'?"],
    ),
    "derivative option": (
        {"derivatives": {"strategy": "forward", "n_core": 2}},
        ["'derivatives'", "'n_core'", "did you mean 'n_cores'?"],
    ),
    "derivative option value": ({"derivatives": {"strategy": "forward", "n_cores": 0}}, ["'derivatives'", "n_cores"]),
    "option of analytic": ({"derivatives": {"strategy": "analytic", "step_size": 1}}, ["takes no options"]),
    "name none": ({"derivatives": {"name": "none", "strategy": "forward"}}, ["'none' is kept"]),
    "key of a problem table": ({"problems": {"suite": "more_wild", "nmax": 4}}, ["'nmax'", "did you mean 'n_max'?"]),
    "n_max": ({"problems": {"suite": "more_wild", "n_max": "4"}}, ["'problems'", "n_max must be a whole number"]),
    "tag": ({"problems": {"suite": "more_wild", "tags": ["liner"]}}, ["'problems'", "'liner'", "'linear'"]),
    "nothing selected": ({"problems": {"suite": "more_wild", "n_max": 1}}, ["'problems'", "selects no problem"]),
    "table without suite": ({"problems": {"n_max": 4}}, ["needs the key 'suite'"]),
    "key of an algorithm table": (
        {"algorithms": {"algorithm": "scipy_bfgs", "option": {}}},
        ["'option'", "did you mean 'options'?"],
    ),
    "table without algorithm": ({"algorithms": {"options": {}}}, ["needs the key 'algorithm'"]),
    "table without strategy": ({"derivatives": {"n_cores": 2}}, ["needs the key 'strategy'"]),
    "twice": ({"algorithms": ["scipy_bfgs", "scipy_bfgs"]}, ["'algorithms'", "'scipy_bfgs' is listed twice"]),
    "none": ({"problems": []}, ["'problems'", "is empty"]),
    "budget key": ({"budget": {"max_evals": 10}}, ["'budget'", "'max_evals'", "did you mean 'max_evaluations'?"]),
    "budget value": ({"budget": {"max_evaluations": 0}}, ["'budget'", "at least 1"]),
    "budget type": ({"budget": 100}, ["'budget'", "{max_gradients = 200}"]),
    "budget text": ({"budget": {"max_seconds": "1"}}, ["'budget'", "max_seconds must be a number"]),
    "starts": ({"starts": 0}, ["'starts'", "at least 1", "0"]),
    "starts bool": ({"starts": True}, ["'starts'", "whole number"]),
    "seed": ({"seed": -1}, ["'seed'", "at least 0"]),
    "stopping": ({"stopping": "tigth"}, ["'stopping'", "did you mean 'tight'?"]),
    "run_timeout": ({"run_timeout": 0}, ["'run_timeout'", "above 0"]),
    "max_memory": ({"max_memory": 1.5}, ["'max_memory'", "whole number"]),
    "keep_x": ({"keep_x": "yes"}, ["'keep_x'", "true or false"]),
    "tau": ({"tau": [0.1, 2.0]}, ["'tau'", "between 0 and 1", "2.0"]),
    "gate": ({"gate": 1}, ["'gate'", "a table"]),
    "name": ({"name": "a/b"}, ["'name'", "names a folder"]),
    "description": ({"description": 1}, ["'description'", "text"]),
    "problem type": ({"problems": [3]}, ["'problems'", "not by 3"]),
    "algorithm type": ({"algorithms": [3]}, ["'algorithms'", "not by 3"]),
}


@pytest.mark.parametrize(("changes", "words"), WRONG.values(), ids=WRONG)
def test_a_wrong_study_is_refused_by_key_with_the_nearest_name(changes: dict[str, Any], words: list[str]) -> None:
    given = GOOD | changes
    with pytest.raises(om.OptcoreError) as caught:
        Study(**given)
    message = str(caught.value)
    assert message.startswith(f"study {given['name']!r}, key '")
    assert all(word in message for word in words), message
    assert isinstance(caught.value, om.InvalidInputError | om.UnknownNameError)


def test_an_unknown_key_of_a_file_suggests_the_nearest(tmp_path: Any) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('problem = "more_wild"\nalgorithms = "scipy_bfgs"\n')
    with pytest.raises(om.UnknownNameError, match=r"unknown key 'problem'; did you mean 'problems'\?"):
        load_study(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('problems = "more_wild"\n', "the key 'algorithms' is missing"),
        ("problems = [\n", "is not valid TOML"),
        ('problems = "more_wild"\nalgorithms = { name = "gd", python = "script:gd" }\n', "run the script"),
    ],
)
def test_a_file_that_is_no_study_is_refused(tmp_path: Any, text: str, words: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(om.InvalidInputError, match=words):
        load_study(path)


def test_an_unknown_study_suggests_the_nearest_and_says_how_to_give_a_file() -> None:
    with pytest.raises(om.UnknownNameError, match=r"unknown study 'qiuck'; did you mean 'quick'\?.*by its path"):
        load_study("qiuck")
    with pytest.raises(om.InvalidInputError, match=r"there is no file 'no/such\.toml'"):
        load_study("no/such.toml")


def test_defaults_are_those_of_the_documentation() -> None:
    study = Study(**GOOD)
    assert study.budget == om.Budget(max_gradients=200)
    assert (study.starts, study.seed, study.stopping, study.run_timeout) == (1, 0, "tight", 600.0)
    assert (study.max_memory, study.keep_x, study.description) == (None, True, "")
    assert study.tau == (1e-1, 1e-3, 1e-5, 1e-7, 1e-10)
    assert [strategy.name for strategy in study.derivatives] == ["analytic"]


def test_a_single_value_serves_for_a_list_of_one() -> None:
    single = Study("s", "more_wild", "scipy_bfgs", "forward", tau=1e-5)
    listed = Study("s", ["more_wild"], ["scipy_bfgs"], ["forward"], tau=[1e-5])
    assert single == listed
    assert len(single.resolve_problems()) == len(get_suite("more_wild"))


def test_python_and_toml_are_the_same_study(tmp_path: Any) -> None:
    study = Study(
        name="both",
        problems=["more_wild/rosenbrock", {"suite": "more_wild", "n_max": 3, "tags": {"function": "box_3d"}}],
        algorithms=[
            "scipy_bfgs",
            {"name": "lbfgs-5", "algorithm": "scipy_lbfgsb", "options": {"limited_memory_storage_length": 5}},
        ],
        derivatives=["analytic", {"name": "forward-2", "strategy": "forward", "n_cores": 2}],
        budget={"max_evaluations": 50, "max_seconds": 1.5},
        starts=2,
        seed=7,
        stopping="default",
        max_memory=10**9,
        keep_x=False,
        description='quotes " and \\ and ü',
        tau=1e-3,
        gate={"worst_row_ratio": 1.1},
    )
    path = tmp_path / "other.toml"
    path.write_text(study.to_toml(), encoding="utf-8")
    again = load_study(path)
    assert again == study
    assert again.to_toml() == study.to_toml()
    for setting in dataclasses.fields(Study):
        assert getattr(again, setting.name) == getattr(study, setting.name), setting.name


def test_the_text_of_a_study_says_nothing_of_how_it_is_run() -> None:
    keys = tomllib.loads(Study(**GOOD).to_toml())
    assert set(keys) <= {setting.name for setting in dataclasses.fields(Study)}
    assert not {"n_jobs", "jobs", "backend", "shard", "store", "path"} & set(keys)


def test_the_name_of_a_file_is_the_name_of_its_study(tmp_path: Any) -> None:
    path = tmp_path / "my-study.toml"
    path.write_text('problems = "more_wild/rosenbrock"\nalgorithms = "scipy_bfgs"\n')
    assert load_study(str(path)).name == "my-study"


def test_every_shipped_study_loads_under_its_own_name() -> None:
    assert "quick" in shipped_studies()
    for name in shipped_studies():
        assert load_study(name).name == name


def test_quick_compares_both_kinds_of_solvers_from_several_libraries() -> None:
    algorithms = [entry.make() for entry in load_study("quick").algorithms]
    assert len(algorithms) >= 5
    assert {str(algorithm.kind) for algorithm in algorithms} == {"scalar", "least_squares"}
    assert len({algorithm.library for algorithm in algorithms}) >= 2


def test_a_problem_that_is_selected_twice_is_run_once() -> None:
    study = Study("s", ["more_wild/rosenbrock", "more_wild"], "scipy_bfgs")
    names = [problem.name for problem in study.resolve_problems()]
    assert len(names) == len(set(names)) == len(get_suite("more_wild"))
    assert names[0] == "rosenbrock"


def own_problem(name: str = "mine") -> Problem:
    return Problem(name=name, start=np.ones(2), m=2, residuals_xp=lambda x, xp: x - 3.0)


def test_python_objects_are_named_in_the_text_and_registered_ones_go_by_name() -> None:
    def solver(fun: Any, x0: Any) -> Any:
        return x0

    study = Study(
        "s", [own_problem(), get_problem("more_wild/rosenbrock"), get_suite("more_wild")], [solver, om.algos.scipy_bfgs]
    )
    plain = study.to_dict()
    assert plain["problems"] == [{"python": ["mine 1"]}, "more_wild/rosenbrock", "more_wild"]
    assert plain["algorithms"][0] == {"name": "solver", "python": f"{__name__}:{solver.__qualname__}"}
    assert plain["algorithms"][1] == "scipy_bfgs"
    assert tomllib.loads(study.to_toml())["problems"] == plain["problems"]


def test_an_instance_of_an_algorithm_keeps_its_options() -> None:
    study = Study("s", "more_wild/rosenbrock", om.algos.scipy_lbfgsb(limited_memory_storage_length=3))
    assert study.algorithms[0].options == {"limited_memory_storage_length": 3}
    assert study.algorithms[0].name == "scipy_lbfgsb"


def test_two_problems_of_one_name_are_refused() -> None:
    twins = Suite("", (own_problem(), own_problem("other")))
    with pytest.raises(om.InvalidInputError, match="two different problems are called 'mine'"):
        Study("s", [own_problem(), twins], "scipy_bfgs")


def test_a_lambda_needs_a_name() -> None:
    with pytest.raises(om.InvalidInputError, match="has no name; give it one"):
        Study("s", "more_wild/rosenbrock", lambda fun, x0: x0)


def test_a_solver_that_asks_for_something_unknown_is_refused_with_what_there_is() -> None:
    def solver(fun: Any, start: Any) -> Any:
        return start

    with pytest.raises(om.InvalidInputError, match="asks for 'start'; a solver gets by name any of fun, x0"):
        Study("s", "more_wild/rosenbrock", solver)

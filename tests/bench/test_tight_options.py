"""`stopping="tight"`: the options that rows hold are those of the documentation's table, for every algorithm."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner

from optcore.solvers import algorithm_names, get_algorithm
from optcore_bench.algorithms import resolved_options
from optcore_bench.cli import app
from optcore_bench.runner import run_study
from optcore_bench.runs import expand
from optcore_bench.study import Study
from tests.cases import in_one_test

ALGORITHMS = algorithm_names()
PAGE = (files("optcore.solvers") / "ALGORITHMS.md").read_text(encoding="utf-8")

#: Options named like tolerances for which there is no strictest value, with the reason.
NO_NOISE = "means something only where a level of noise is given"
A_TABLE = "a table of the library's own options, not a number"
OFF = "off unless it is given"
SPARED = {
    "nag_dfols": {
        "convergence_noise_corrected_criterion_tolerance": NO_NOISE,
        "convergence_slow_progress": A_TABLE,
        "convergence_ftol_scaled": OFF,
    },
    "nag_pybobyqa": {
        "convergence_noise_corrected_criterion_tolerance": NO_NOISE,
        "convergence_slow_progress": A_TABLE,
        "convergence_criterion_value": OFF,
    },
    "scipy_basinhopping": {"convergence_n_unchanged_iterations": OFF},
    "scipy_direct": {
        "convergence_ftol_rel": "decides which boxes are divided; ends nothing",
        "convergence_minimum_criterion_value": OFF,
        "convergence_minimum_criterion_tolerance": "goes with the value, which is off",
    },
    "scipy_shgo": {
        "convergence_minimum_criterion_value": OFF,
        "convergence_minimum_criterion_tolerance": "goes with the value, which is off",
    },
}


def table(name: str) -> dict[str, tuple[str, str]]:
    """Default and strictest value of each option, as the page writes them; "" where it gives no strictest one."""
    section = re.search(rf"^### {name}\n(.*?)(?=^### |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert section is not None, f"{name} isn't in ALGORITHMS.md"
    rows = re.findall(r"^\| `(\w+)` \| `(.*?)` \| (?:`(.*?)`)? ?\|", section[1], re.MULTILINE)
    return {option: (default, strictest) for option, default, strictest in rows}


def written(options: dict[str, Any]) -> dict[str, str]:
    return {name: repr(value) for name, value in options.items() if name != "seed"}


def of_study(name: str, stopping: str) -> dict[str, Any]:
    (run, *_) = expand(Study("s", "more_wild/rosenbrock", name, "forward", stopping=stopping, seed=5))
    return resolved_options(run.algorithm)


@in_one_test("name", ALGORITHMS)
def test_rows_hold_the_strictest_values_of_the_page_and_its_defaults_elsewhere(name: str) -> None:
    options = table(name)
    strictest = {option: tight or default for option, (default, tight) in options.items() if option != "seed"}
    defaults = {option: default for option, (default, _) in options.items() if option != "seed"}
    assert written(of_study(name, "tight")) == strictest
    assert written(of_study(name, "default")) == defaults
    if "seed" in options:
        assert of_study(name, "tight")["seed"] == 5  # the study's, so that starts differ


@in_one_test("name", ALGORITHMS)
def test_every_tolerance_has_a_strictest_value_that_is_stricter(name: str) -> None:
    algorithm = get_algorithm(name)
    tolerances = {option for option in table(name) if option.startswith("convergence_")}
    spared = SPARED.get(name, {})
    assert tolerances - set(algorithm.tight) == set(spared)
    defaults = resolved_options(algorithm())
    assert {defaults[option] for option, reason in spared.items() if reason == OFF} <= {None, 0.0, -np.inf}
    for option in tolerances - set(spared):
        assert defaults[option] is None or algorithm.tight[option] <= defaults[option], option


def test_the_command_shows_the_same_values() -> None:
    done = CliRunner().invoke(app, ["list", "algorithms", "--details", "--json"])
    assert done.exit_code == 0, done.output
    shown = {entry["name"]: entry["tight"] for entry in json.loads(done.stdout)}
    for name in ALGORITHMS:
        assert {option: repr(value) for option, value in shown[name].items()} == {
            option: tight for option, (_, tight) in table(name).items() if tight
        }


def test_the_options_stand_resolved_in_the_stored_row(tmp_path: Path) -> None:
    study = Study("s", "more_wild/rosenbrock", "scipy_lbfgsb", "forward", budget={"max_evaluations": 20})
    (row,) = run_study(study, tmp_path / "store").runs.to_dict("records")
    assert written(json.loads(row["algorithm_options"])) == written(of_study("scipy_lbfgsb", "tight"))

"""The study made again: what is published is what ships, and its finding holds on a part of it that is run here."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from optcore import Budget
from optcore_bench import Study, cost_table, load_study, run_study
from optcore_bench.statistics import pairwise_table

PUBLISHED = Path(__file__).parents[2] / "results" / "more_wild_2009"


def test_the_published_study_is_the_one_that_ships_and_is_small():
    assert load_study(PUBLISHED / "study.toml") == load_study("more_wild_2009")
    assert sum(path.stat().st_size for path in PUBLISHED.iterdir()) < 2_000_000


def test_the_tables_of_the_published_page_are_its_csv():
    words = {
        "nlopt_newuoa": "NEWUOA",
        "nlopt_bobyqa": "BOBYQA",
        "nlopt_neldermead": "Nelder-Mead (NLopt)",
        "scipy_neldermead": "Nelder-Mead (scipy)",
        "nlopt_sbplx": "Subplex",
    }
    with (PUBLISHED / "shares.csv").open(newline="") as file:
        shares = {
            (row["variant"], float(row["tau"]), int(row["budget"]), words[row["solver"].split(" ")[0]]): float(row["y"])
            for row in csv.DictReader(file)
        }
    lines = (PUBLISHED / "README.md").read_text(encoding="utf-8").splitlines()
    heads = [i for i, line in enumerate(lines) if line.startswith("| tau |")]
    assert len(heads) == 2
    for variant, head in zip(("smooth", "noisy"), heads, strict=True):
        names = [cell.strip() for cell in lines[head].strip("|").split("|")][2:]
        rows = [line for line in lines[head + 2 : head + 18] if line.startswith("| 1e-")]
        assert len(rows) == 16
        for row in rows:
            tau, budget, *cells = (cell.strip() for cell in row.strip("|").split("|"))
            values = [shares[variant, float(tau), int(budget), name] for name in names]
            assert [int(cell.strip("*")) for cell in cells] == [round(100 * value) for value in values]
            assert [cell.startswith("**") for cell in cells] == [value == max(values) for value in values]


def test_the_model_based_solver_beats_nelder_mead_from_eight_variables_on(tmp_path):
    # More & Wild (2009), abstract: on these problems the model-based solver performs better than direct searches.
    pytest.importorskip("nlopt")
    study = Study(
        "part",
        problems={"suite": "more_wild", "n_min": 8},
        algorithms=["nlopt_newuoa", "scipy_neldermead"],
        derivatives="none",
        budget=Budget(max_gradients=50),
        keep_x=False,
    )
    results = run_study(study, store=tmp_path / "store", n_jobs=2)
    costs = cost_table(results, tau=1e-5, f_opt="compared")
    row = pairwise_table(costs).of("nlopt_newuoa [none]", "scipy_neldermead [none]")
    assert len(costs) == 24
    assert row.wins > 5 * row.losses
    assert row.median_log2 < 0
    assert row.upper < 0

"""Comparing two results: states of rows, limits, verdicts, exit statuses, words."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import optcore as om
from optcore.errors import InvalidInputError, UnknownNameError
from optcore_bench import Results, Study, compare, cost_table, load_study, run_study
from optcore_bench.cli import app
from optcore_bench.comparison import Gate, State
from optcore_bench.comparison.rows import medians
from optcore_bench.comparison.sources import common_floor, open_side, read_side
from optcore_bench.store import StoreNotFoundError
from optcore_bench.store.export import export_bundle
from tests.bench.fake_results import FakeResults, make_results, run

PROBLEMS = ["more_wild/rosenbrock", "more_wild/bard_x10", "more_wild/freudenstein_roth"]


def falling(cost: int, extra: int = 0, **columns: Any) -> dict[str, Any]:
    """A run from 1 that reaches 0 at evaluation `cost` and goes on for `extra` more; 0 never does."""
    values = [1.0] * max(cost - 1, 1) + ([0.0] * (1 + extra) if cost else [])
    return run("mine none", values=values, **({"history_hash": str(values), "problem_version": "1"} | columns))


def fakes(*costs: int, **columns: Any) -> FakeResults:
    runs = [falling(cost, problem=f"p{i}", f_start=1.0, f_opt=0.0, **columns) for i, cost in enumerate(costs)]
    results = make_results(*runs)
    results.runs["run_id"] = [f"{columns.get('code', 'old')}{i}" for i in range(len(costs))]
    results.rows["run_id"] = (
        results.runs["run_id"].repeat(results.rows.groupby("run_id", sort=False).size().to_numpy()).to_numpy()
    )
    return results


def states(found: Any) -> list[str]:
    return [row.state.value for row in found.rows]


# --- rows and limits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "state", "words"),
    [
        (412, 412, "SAME", "s/p0 mine [none]: 412 -> 412 evaluations"),
        (412, 655, "WORSE", "s/p0 mine [none]: 412 -> 655 evaluations (+59 %)"),
        (655, 412, "BETTER", "s/p0 mine [none]: 655 -> 412 evaluations (-37 %)"),
        (412, 0, "FAILED", "s/p0 mine [none]: solved in 412 evaluations -> not solved"),
        (0, 412, "BETTER", "s/p0 mine [none]: not solved (converged) -> solved in 412 evaluations"),
    ],
)
def test_a_row_is_judged_by_its_cost_and_says_so(old: int, new: int, state: str, words: str) -> None:
    (row,) = compare(fakes(old), fakes(new, code="new")).rows
    assert row.state == state
    assert str(row).startswith(words)


@pytest.mark.parametrize(
    ("old", "new", "gate", "verdict"),
    [
        ((100, 100), (100, 100), {}, "same"),
        ((100, 100), (100, 99), {}, "better"),
        ((100, 0), (100, 100), {}, "better"),
        # The rule of the default: 2^0.1 = 1.0718 on average over the solved rows.
        ((1000, 1000), (1071, 1071), {}, "same"),
        ((1000, 1000), (1072, 1072), {}, "worse"),
        ((1000, 1000, 0), (1072, 1072, 0), {}, "worse"),
        # Twice as much, and more than 10 more, in one of many rows.
        ((10, *[100] * 20), (20, *[100] * 20), {}, "same"),
        ((11, *[100] * 20), (22, *[100] * 20), {}, "worse"),
        ((100, *[100] * 20), (199, *[100] * 20), {}, "same"),
        ((100, *[100] * 20), (200, *[100] * 20), {}, "worse"),
        ((100, 50), (0, 50), {}, "worse"),
        ((100, 50), (0, 50), {"solved": 1}, "same"),
        ((100, 100), (100,), {}, "worse"),
        ((100, 100), (100,), {"missing": 1}, "same"),
        ((100,), (100, 100), {}, "same"),
        ((1000, 1000), (1000, 1001), {"total_log2_per_row": 0}, "worse"),
        ((1000, 1000), (999, 1001), {"worst_row_ratio": 1, "worst_row_evaluations": 0}, "worse"),
        ((1000, 1000), (1999, 1000), {"total_log2_per_row": 1}, "same"),
    ],
)
def test_limits_decide_at_their_boundaries(old: Any, new: Any, gate: dict[str, Any], verdict: str) -> None:
    found = compare(fakes(*old), fakes(*new, code="new"), gate=gate)
    assert found.verdict == verdict, found.to_text()
    assert found.exit_status == (1 if verdict == "worse" else 0)
    assert bool(found.reasons) == (verdict == "worse")


def test_the_total_is_the_mean_of_log2_ratios_over_rows_that_both_solve() -> None:
    old, new = (100, 200, 0, 70), (110, 190, 50, 0)
    found = compare(fakes(*old), fakes(*new, code="new"), gate={"solved": 5})
    assert found.judged == 2
    assert found.total_log2_per_row == pytest.approx(np.mean(np.log2([110 / 100, 190 / 200])))


def test_other_evaluations_by_the_same_code_in_the_same_environment_leave_the_gate() -> None:
    old = fakes(*[100] * 20)
    new = fakes(500, *[100] * 19)  # the same run ids
    found = compare(old, new)
    assert states(found) == ["NONDETERMINISTIC", *["SAME"] * 19]
    assert (found.verdict, found.judged) == ("same", 19)
    assert "by the same code in the same environment" in found.to_text()
    new.runs["environment"] = old.runs["environment"] = "other"
    assert compare(old, new, same_code=False).verdict == "worse"


def test_code_that_changed_under_the_same_ids_is_invalid_rather_than_passed() -> None:
    found = compare(fakes(*[100] * 20), fakes(*[500] * 20))
    assert (found.verdict, found.exit_status) == ("invalid", 2)
    assert 'give the algorithm a "version"' in found.to_text()


@pytest.mark.parametrize("status", ["error", "crashed"])
def test_a_new_crash_fails_even_where_nothing_was_solved(status: str) -> None:
    old, new = fakes(0, 50), fakes(0, 50, code="new")
    new.runs.loc[0, ["status", "message"]] = [status, "ValueError: no step\nmore"]
    found = compare(old, new)
    assert (found.verdict, states(found)) == ("worse", ["FAILED", "SAME"])
    assert f"({status}: ValueError: no step)" in found.to_text()
    assert compare(new, new).verdict == "same"


@pytest.mark.parametrize("status", ["timeout", "budget_seconds"])
@pytest.mark.parametrize("side", [0, 1])
def test_what_a_clock_ended_is_invalid_and_never_a_regression(status: str, side: int) -> None:
    pair = [fakes(100, 100), fakes(100, 0, code="new")]
    pair[side].runs.loc[0, "status"] = status
    found = compare(*pair)
    assert (found.verdict, found.exit_status) == ("invalid", 2)
    assert f"s/p0 mine [none] ended by {status}" in found.to_text()


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("environment", "elsewhere", "the environments differ"),
        ("problem_version", "2", "the problem s/p0 changed: version 1 then, 2 now"),
        ("f_start", 1.5, "s/p0 starts elsewhere: at 1 then, at 1.5 now"),
    ],
)
def test_rows_that_are_not_the_same_question_are_not_comparable(column: str, value: Any, words: str) -> None:
    new = fakes(100, 0, code="new")
    new.runs[column] = value
    found = compare(fakes(100, 100), new)
    assert (found.verdict, found.exit_status) == ("not comparable", 3)
    assert words in found.to_text()


@pytest.mark.parametrize(
    ("then", "now", "verdict", "words"),
    [
        ({"cpu": "a"}, {"cpu": "b", "nlopt": "1"}, "not comparable", "cpu 'a' in the old one, 'b' in the new one"),
        ({"cpu": "a"}, {"cpu": "a", "nlopt": "1"}, "same", "1 SAME"),  # one side knows more of the same environment
        ({}, {}, "not comparable", "the environments differ (other fingerprints)"),
    ],
)
def test_environments_are_compared_by_what_is_known_of_both(then: Any, now: Any, verdict: str, words: str) -> None:
    old, new = fakes(100, environment="one"), fakes(100, code="new", environment="two")
    old.environments, new.environments = {"one": then}, {"two": now}  # type: ignore[attr-defined]
    found = compare(old, new)
    assert found.verdict == verdict
    assert words in found.to_text()


def test_results_without_a_row_in_common_are_wrong_input() -> None:
    new = fakes(100)
    new.runs["algorithm"] = "another"
    found = compare(fakes(100), new)
    assert (found.exit_status, states(found)) == (2, ["MISSING", "NEW"])
    assert "no row in common" in found.to_text()


def test_without_a_best_known_value_both_sides_are_measured_from_the_better_one() -> None:
    old, new = fakes(100, 100), fakes(100, 100, code="new")
    for side in (old, new):
        side.runs["f_opt"] = math.nan
    new.rows.loc[new.rows["run_id"] == "new1", ["fun", "best"]] += 0.5  # only gets down to 0.5
    new.runs["f_start"] = 1.0
    assert states(compare(old, new)) == ["SAME", "FAILED"]
    assert states(compare(new, old)) == ["SAME", "BETTER"]


# --- robust ----------------------------------------------------------------------------------------------------------


def starts(costs: list[int], code: str = "old", environment: str = "here") -> FakeResults:
    results = fakes(*costs, code=code, environment=environment)
    results.runs["problem"] = "p"
    results.runs["start"] = range(1, len(costs) + 1)
    return results


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        ([100, 110, 120, 130, 140], "same"),
        ([400, 110, 120, 130, 140], "same"),  # one start that took another path moves no median
        ([110, 121, 131, 143, 154], "same"),  # 131 / 120 is within the limit of 1.1
        ([112, 123, 134, 145, 156], "worse"),  # 134 / 120 is beyond it
        ([50, 55, 60, 65, 70], "better"),
        ([0, 110, 120, 130, 140], "same"),  # one start of five less is chance
        ([0, 0, 120, 130, 140], "worse"),  # two move the median
        ([0, 0, 0, 130, 140], "worse"),
    ],
)
def test_robust_compares_medians_over_starts_across_environments(new: list[int], verdict: str) -> None:
    old = starts([100, 110, 120, 130, 140])
    there = starts(new, "new", "elsewhere")
    assert compare(old, there).verdict == "not comparable"
    found = compare(old, there, robust=True)
    assert found.verdict == verdict, found.to_text()
    assert len(found.rows) == 1


def test_robust_sees_starts_that_are_lost_here_and_there() -> None:
    old, new = starts([100] * 5), starts([100] * 5, "new", "elsewhere")
    several = [(starts([100] * 5), starts([0] + [100] * 4, "new", "elsewhere")) for _ in range(4)]
    for i, (one, other) in enumerate([(old, new), *several]):
        for side in (one, other):
            side.runs["problem"] = f"p{i}"
            side.runs["run_id"] = side.runs["run_id"] + f"of{i}"
            side.rows["run_id"] = side.rows["run_id"] + f"of{i}"
    sides = [
        FakeResults(pd.concat([pair[k].runs for pair in several]), pd.concat([pair[k].rows for pair in several]))
        for k in (0, 1)
    ]
    found = compare(*sides, robust=True)
    assert (found.verdict, set(states(found))) == ("worse", {"SAME"})
    assert "16 starts are solved, where 20 were" in found.to_text()
    assert compare(*sides, robust=True, gate={"robust_ratio": 1.3}).verdict == "same"


def test_robust_refuses_other_starts_instead_of_calling_them_lost() -> None:
    old, new = starts([100] * 9), starts([100] * 5, "new", "elsewhere")
    for one, other, words in (
        (old, new, "9 starts in the old one and 5 in"),
        (new, old, "5 starts in the old one and 9"),
    ):
        found = compare(one, other, robust=True)
        assert (found.verdict, found.exit_status) == ("not comparable", 3)
        assert f"the median of s/p mine [none] is over {words}" in found.to_text()


def test_a_baseline_over_more_starts_than_the_store_has_loses_none() -> None:
    gate = Gate()
    many, few = (
        read_side(one, gate, common_floor(one))
        for one in (open_side(starts([100] * 9)), open_side(starts([100] * 5, "new", "elsewhere")))
    )
    known = replace(many, known_medians=medians(many).rows)
    assert compare(known, few, robust=True).verdict == "same"
    assert compare(few, known, robust=True).verdict == "same"


def test_robust_with_few_starts_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidInputError, match=r"at least 5 starts, but 'fake' has 3 .* starts = 20"):
        compare(starts([1, 2, 3]), starts([1, 2, 3]), robust=True)


# --- the gate of a study ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gate", "error", "words"),
    [
        ({"solvd": 1}, UnknownNameError, "unknown key of the gate 'solvd'; did you mean 'solved'?"),
        ({"cost": "evaluation"}, UnknownNameError, "did you mean 'evaluations'?"),
        ({"cost": "seconds"}, UnknownNameError, "unknown cost of the gate 'seconds'"),
        ({"tau": 1.5}, InvalidInputError, "tau must be a number of at least 0 and below 1, but is 1.5"),
        ({"solved": 0.5}, InvalidInputError, "solved is a number of rows, a whole number of at least 0, but is 0.5"),
        ({"worst_row_ratio": 0.5}, InvalidInputError, "worst_row_ratio must be a number of at least 1, but is 0.5"),
        ({"jac_cost": "m"}, InvalidInputError, "jac_cost must be a number of evaluations of at least 0, or 'n'"),
        (["tau"], InvalidInputError, "must be a table such as"),
    ],
)
def test_a_wrong_gate_is_refused_by_the_study_and_by_compare(gate: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        Study("s", PROBLEMS, "scipy_bfgs", gate=gate)
    assert str(caught.value).startswith("study 's', key 'gate': ")
    assert words in str(caught.value)
    if isinstance(gate, dict):
        with pytest.raises(error, match="'gate': " if error is InvalidInputError else "unknown"):
            compare(fakes(1), fakes(1), gate=gate)


def test_the_gate_in_a_study_file_is_the_one_that_is_applied(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('problems = "more_wild/bard"\nalgorithms = "scipy_bfgs"\n[gate]\nsolved = 2\ntau = 1e-3\n')
    study = load_study(path)
    assert study.gate == {"solved": 2, "tau": 1e-3}
    old = fakes(100)
    old.study = study.to_dict()
    found = compare(old, fakes(100))
    assert (found.gate.solved, found.gate.tau, found.gate.missing) == (2, 1e-3, 0)
    assert compare(old, fakes(100), gate={"solved": 1}).gate.solved == 1


# --- stores ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same study twice, and once with an L-BFGS-B that remembers one step and doesn't search finely."""
    folder = tmp_path_factory.mktemp("stores")
    paths = {}
    for name, options in {"old": {}, "again": {}, "new": {"limited_memory_storage_length": 1}}.items():
        solver = {"name": "lbfgsb", "algorithm": "scipy_lbfgsb", "options": options}
        study = Study(
            "gate",
            PROBLEMS,
            [solver, "scipy_ls_trf"],
            ["analytic", "forward"],
            om.Budget(max_gradients=60),
            gate={"total_log2_per_row": 0.05},
        )
        paths[name] = folder / name
        run_study(study, store=paths[name])
    return paths


def test_a_repeated_study_is_the_same_and_costs_are_those_of_the_cost_table(stores: dict[str, Path]) -> None:
    found = compare(stores["old"], stores["again"])
    assert (found.verdict, set(states(found))) == ("same", {"SAME"})
    table = cost_table(Results(stores["old"]), tau=1e-5)
    assert len(found.rows) == table.size
    for row in found.rows:
        assert row.old is not None
        assert row.old.cost == table.loc[row.name, row.solver]


def test_less_memory_is_worse_and_the_rows_of_the_other_solver_are_the_same(stores: dict[str, Path]) -> None:
    found = compare(Results(stores["old"]), stores["new"])
    assert found.verdict == "worse"
    assert {row.solver.partition(" ")[0] for row in found.changed()} == {"lbfgsb"}
    assert all(row.state is State.SAME for row in found.rows if "trf" in row.solver)
    table = [cost_table(Results(stores[name])) for name in ("old", "new")]
    row = found.find("more_wild/rosenbrock lbfgsb [analytic]")
    before, after = (int(t.loc["more_wild/rosenbrock", "lbfgsb [analytic]"]) for t in table)
    assert str(row) == f"{row.label}: {before} -> {after} evaluations ({100 * (after / before - 1):+.0f} %)"
    assert found.time is not None
    assert found.time.low <= found.time.ratio <= found.time.high


def test_the_pair_of_curves_ends_at_what_the_runs_cost(stores: dict[str, Path]) -> None:
    found = compare(stores["old"], stores["new"])
    row = found.find("more_wild/rosenbrock lbfgsb [analytic]")
    assert row.old is not None
    assert row.new is not None
    pair = found.curves(row.label)
    for name, one in (("old", row.old), ("new", row.new)):
        curve = pair.curves[pair.curves["solver"] == name]
        assert curve["x"].iloc[-1] == one.evaluations
        assert curve["x"][curve["y"] <= found.gate.tau].iloc[0] == one.cost
    figure = found.figure(row.label)
    assert [trace.name for trace in figure.data] == ["old", "new"]
    assert str(row) in figure.layout.title.text
    with pytest.raises(UnknownNameError, match="did you mean 'more_wild/rosenbrock"):
        found.figure("more_wild/rosenbrok lbfgsb [analytic]")
    with pytest.raises(InvalidInputError, match=r"4 rows are called .*add the solver"):
        found.figure("more_wild/rosenbrock")


def test_curves_read_the_evaluations_of_no_other_run(stores: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    found = compare(stores["old"], stores["new"])
    row = found.find("more_wild/rosenbrock lbfgsb [analytic]")
    asked: list[Any] = []
    read = Results.history

    def history(self: Results, run_id: Any = None, **others: Any) -> pd.DataFrame:
        asked.append(run_id)
        return read(self, run_id, **others)

    monkeypatch.setattr(Results, "history", history)
    found.curves(row)
    assert row.old is not None
    assert row.new is not None
    assert set(asked) == {row.old.run_id, row.new.run_id}


def test_curves_of_results_in_memory_are_measured_from_the_better_side() -> None:
    old, new = fakes(10), fakes(20, code="new")
    for results, best in ((old, 0.5), (new, 0.0)):
        results.runs = results.runs.assign(f_opt=np.nan, f_best=best)
        results.rows.loc[results.rows["fun"] == 0.0, ["fun", "best"]] = best
    found = compare(old, new)
    curves = found.curves(found.rows[0]).curves
    assert curves.groupby("solver")["y"].min().to_dict() == {"new": 0.0, "old": 0.5}


def optcore(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def test_the_command_line_has_the_verdict_as_exit_status(stores: dict[str, Path], tmp_path: Path) -> None:
    same = optcore(stores["old"], stores["again"])
    assert (same.exit_code, same.stdout.splitlines()[0][:5]) == (0, "same:")
    report, figures = tmp_path / "comment.md", tmp_path / "figures"
    worse = optcore(stores["old"], stores["new"], "--markdown", report, "--figures", figures, "--json")
    assert worse.exit_code == 1
    facts = json.loads(worse.stdout)
    found = compare(stores["old"], stores["new"])
    assert facts == json.loads(json.dumps(found.to_dict()))
    assert facts["verdict"] == "worse"
    lines = report.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "### optcore compare: worse"
    assert sum(line.startswith(("| WORSE", "| FAILED", "| BETTER")) for line in lines) == len(found.changed())
    assert len(list(figures.glob("*.html"))) == len(found.changed())


def test_a_comment_that_cannot_be_written_is_said_first_and_figures_after_the_verdict(
    stores: dict[str, Path], tmp_path: Path
) -> None:
    nowhere = optcore(stores["old"], stores["new"], "--markdown", tmp_path / "nowhere" / "comment.md")
    assert (nowhere.exit_code, nowhere.stdout) == (2, "")
    assert f"there is no folder '{tmp_path / 'nowhere'}'" in nowhere.stderr
    (tmp_path / "file").write_text("")
    in_the_way = optcore(stores["old"], stores["new"], "--figures", tmp_path / "file")
    assert in_the_way.exit_code == 2
    assert in_the_way.stdout.startswith("worse:")


def test_figures_that_cannot_be_drawn_are_refused_whatever_the_rows_say(
    stores: dict[str, Path], tmp_path: Path
) -> None:
    medians = optcore(stores["old"], stores["again"], "--robust", "--figures", tmp_path / "figures")
    assert (medians.exit_code, medians.stdout) == (2, "")
    assert "--robust compares medians of several; leave one out" in medians.stderr
    published = tmp_path / "published"
    published.mkdir()
    for name in ("study.toml", "manifest.json"):
        (published / name).write_bytes((stores["old"] / name).read_bytes())
    cost_table(Results(stores["old"])).to_csv(published / "costs.csv")
    for new in ("again", "new"):
        done = optcore(published, stores[new], "--figures", tmp_path / "figures")
        assert (done.exit_code, done.stdout) == (2, "")
        assert f"'{published}' holds costs without histories; compare stores to see curves" in done.stderr
    assert not (tmp_path / "figures").exists()


def test_where_the_rows_are_that_are_not_shown_is_said_by_who_shows_them() -> None:
    found = compare(fakes(100, 100), fakes(200, 300, code="new"))
    assert "  ... and 1 more row\n" in found.to_text(1) + "\n"
    assert found.to_text(1, " (there)").splitlines()[-1] == "  ... and 1 more row (there)"


def test_wrong_input_is_one_sentence_and_exit_status_2(stores: dict[str, Path], tmp_path: Path) -> None:
    for arguments in ([stores["old"], tmp_path / "none"], [stores["old"]], [tmp_path, stores["old"]]):
        done = optcore(*arguments)
        assert done.exit_code == 2
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.splitlines()) == 1
    with pytest.raises(StoreNotFoundError):
        compare(tmp_path / "none", stores["old"])


def test_another_budget_is_not_comparable(stores: dict[str, Path], tmp_path: Path) -> None:
    study = Study("gate", PROBLEMS[0], "scipy_ls_trf", budget=om.Budget(max_gradients=61))
    run_study(study, store=tmp_path / "other")
    done = optcore(stores["old"], tmp_path / "other")
    assert done.exit_code == 3
    assert "budget {'max_gradients': 60} in the old one, {'max_gradients': 61} in the new one" in done.stdout


def test_bundles_and_published_costs_are_compared_like_stores(stores: dict[str, Path], tmp_path: Path) -> None:
    bundle = tmp_path / "old.zip"
    export_bundle(stores["old"], bundle)
    assert compare(bundle, stores["again"]).verdict == "same"
    published = tmp_path / "published"
    published.mkdir()
    for name in ("study.toml", "manifest.json"):
        (published / name).write_bytes((stores["old"] / name).read_bytes())
    cost_table(Results(stores["old"])).to_csv(published / "costs.csv")
    assert compare(published, stores["again"]).verdict == "same"
    found = compare(published, stores["new"])
    assert found.verdict == "worse"
    reference = compare(stores["old"], stores["new"])
    assert {row.label: row.state for row in found.rows} == {row.label: row.state for row in reference.rows}
    assert found.total_log2_per_row == reference.total_log2_per_row
    assert all(row.old.status == "" for row in found.rows if row.old)
    pq.write_table(pa.Table.from_pandas(Results(stores["old"]).runs), published / "runs.parquet")
    found = compare(published, stores["new"])
    assert {row.label: str(row) for row in found.rows} == {row.label: str(row) for row in reference.rows}
    with pytest.raises(InvalidInputError, match="holds costs without histories"):
        found.figure(found.changed()[0].label)
    with pytest.raises(InvalidInputError, match="holds evaluations at tau = 1e-05 only"):
        compare(published, stores["new"], gate={"tau": 1e-3})
    (published / "costs.csv").unlink()
    with pytest.raises(InvalidInputError, match=r"holds no evaluations; publish its costs too, as costs\.csv"):
        compare(published, stores["new"])


def test_a_hundred_comparisons_of_the_same_with_the_same_never_fail(stores: dict[str, Path], tmp_path: Path) -> None:
    study = load_study(stores["old"] / "study.toml")
    runs = [stores["old"], stores["again"]]
    for i in range(3):  # other numbers of jobs too: counts don't depend on them
        runs.append(tmp_path / str(i))
        run_study(study, store=runs[-1], n_jobs=1 + i % 2)
    opened = [Results(path) for path in runs]
    strict = {"total_log2_per_row": 0, "worst_row_ratio": 1, "worst_row_evaluations": 0, "nondeterministic": 0}
    gates = [strict, strict | {"tau": 1e-10}, strict | {"cost": "batches"}, strict | {"jac_cost": "n", "tau": 1e-3}]
    found = [compare(one, other, gate=gate) for gate in gates for one in opened for other in opened]
    assert [one.verdict for one in found] == ["same"] * 100
    assert {state for one in found for state in states(one)} == {"SAME"}


def test_an_unfinished_store_is_refused(stores: dict[str, Path]) -> None:
    results = Results(stores["old"])
    results._manifest["finished"] = None
    with pytest.raises(InvalidInputError, match="is not finished; run its study to the end first"):
        compare(results, stores["again"])


def test_markdown_escapes_what_would_break_its_table() -> None:
    old, new = fakes(100), fakes(200, code="new")
    for side in (old, new):
        side.runs["algorithm"] = "a|b"
    assert "s/p0 a\\|b [none]" in compare(old, new).to_markdown()

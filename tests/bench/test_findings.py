"""Findings say what the numbers say: each sentence against a study whose answer is known beforehand."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from optcore.errors import InvalidInputError
from optcore_bench import Results, all_figures, findings
from optcore_bench.cli.app import app
from optcore_bench.conclusions.make import findings_of
from optcore_bench.evaluations import Evaluations
from optcore_bench.statistics import Bootstrap
from tests.bench.fake_results import FakeResults, make_results, run, study_results

INF = math.inf
FEW = Bootstrap(replicates=100)


def two_solvers(n_problems: int = 24, **columns) -> FakeResults:
    """`fast` solves everything at its third evaluation, `slow` every second problem at its ninth."""
    runs = []
    for k in range(n_problems):
        name = f"{'abcdefghijklmnopqrstuvwxyz'[k % 26] * 3}"
        runs.append(run("fast", name, [1.0, 0.5, 0.0], n=2, **columns))
        runs.append(run("slow", name, [1.0, 0.5] + [0.4] * 6 + [0.0 if k % 2 else 0.3], n=2, **columns))
    return make_results(*runs)


def sentences(results, **options) -> str:
    return str(findings(results, bootstrap=FEW, **options))


def test_who_leads_by_how_many_problems_and_with_what_interval():
    found = findings(two_solvers(), taus=[1e-5], bootstrap=FEW)
    (lead,) = found.of("solved")
    row = lead.frame.iloc[0]
    assert (row["leader"], row["solved"], row["second"], row["ahead_by"]) == ("fast [none]", 24, "slow [none]", 12)
    assert 4 < row["lower"] < 12 < row["upper"] < 20
    assert row["settled"]
    assert lead.sentence.startswith(
        "At tau = 1e-5 most problems are solved by fast [none], 24 of 24 (12 more than slow"
    )
    assert "not settled" not in lead.sentence


def test_a_lead_of_one_problem_is_not_settled():
    runs = [run("a", f"{c}{c}{c}", [1.0, 0.0], n=2) for c in "abcdefghijklmnopqrstuv"]
    runs += [run("b", f"{c}{c}{c}", [1.0, 0.0 if c != "a" else 0.5], n=2) for c in "abcdefghijklmnopqrstuv"]
    (lead,) = findings(make_results(*runs), taus=[1e-5], bootstrap=FEW).of("solved")
    assert lead.frame.loc[0, "lower"] == 0
    assert "interval 0 to" in lead.sentence
    assert "not settled, 1 of 1 other within the band" in lead.sentence


def test_budgets_in_simplex_gradients_tell_who_is_early():
    # 3 evaluations are one simplex gradient of two variables: fast needs exactly 3, slow 9.
    (early,) = findings(two_solvers(), taus=[1e-5], bootstrap=FEW).of("early")
    assert early.frame["budget"].tolist() == [1.0]
    assert early.frame["solved"].tolist() == [24]
    assert "within 1 simplex gradient by fast [none], 24 of 24" in early.sentence


def test_wins_and_the_median_ratio_of_the_two_nearest():
    (cost,) = findings(two_solvers(), taus=[1e-5], bootstrap=FEW).of("cost")
    assert "fast [none] is the cheaper one against 1 of 1 other" in cost.sentence
    assert "24 wins, 0 ties, 0 losses" in cost.sentence
    assert cost.frame.loc[0, "wins"] == 24


def test_the_same_results_give_the_same_sentences_and_numbers():
    results = study_results(12, algorithms=("scipy_lbfgsb", "scipy_bfgs"), derivatives=("analytic", "forward"))
    first, second = (findings(results, bootstrap=FEW) for _ in range(2))
    assert str(first) == str(second)
    for one, other in zip(first, second, strict=True):
        pd.testing.assert_frame_equal(one.frame, other.frame)


def test_report_and_page_of_a_study_share_findings_that_are_made_once():
    evaluations = Evaluations.read(two_solvers(3))
    assert findings(evaluations, taus=[1e-5]) is findings(evaluations, taus=[1e-5])
    assert findings(evaluations, taus=[1e-5]) is findings_of(evaluations.statistics, [1e-5])  # what the report asks for
    assert findings(evaluations, taus=[1e-5], bootstrap=FEW) is not findings(evaluations, taus=[1e-5])


@pytest.mark.parametrize(
    ("kind", "words", "columns"),
    [
        ("budget", "The budget ended 100 % of the runs", {"status": "budget_evaluations"}),
        ("failures", "48 runs failed (48 crashed), 24 of them of fast [none]", {"status": "crashed"}),
        (
            "starts",
            "The objective is noisy (multiplicative 0.001), and one start of each",
            {"noise": "multiplicative 0.001"},
        ),
    ],
)
def test_what_limits_a_conclusion_is_said_and_only_then(kind, words, columns):
    assert words in sentences(two_solvers(**columns))
    assert findings(two_solvers(), bootstrap=FEW).of(kind) == []


def test_a_random_solver_with_few_starts_is_named():
    runs = [run("scipy_dual_annealing", c * 3, [1.0, 0.0], n=2) for c in "abc"]
    assert "scipy_dual_annealing draws random numbers, and one start of each problem" in sentences(make_results(*runs))
    many = [run("scipy_dual_annealing", "ppp", [1.0, 0.0], n=2, start=k) for k in range(1, 16)]
    assert findings(make_results(*many), bootstrap=FEW).of("starts") == []


def test_rows_of_few_functions_are_named_as_such():
    rows = [run("a", f"thing_n{n}", [1.0, 0.0], n=n) for n in range(2, 9)]
    (few,) = findings(make_results(*rows), bootstrap=FEW).of("few_functions")
    assert few.sentence.startswith("There is only 1 function")
    assert few.frame.to_numpy().tolist() == [["thing", 7]]


def test_pairs_whose_order_depends_on_a_third_solver_are_named():
    # The five rows of Gould & Scott's effect, each for four functions of its own.
    rows = [(1, 1, 3), (3, 10, 30), (12, 10, 4), (1, 20, 8), (1, 30, 10)]
    runs = []
    for k in range(20):
        for solver, cost in zip("ABC", rows[k % 5], strict=True):
            values = [1.0] * (cost - 1) + [0.0] if cost > 1 else [0.0]
            runs.append(run(solver, "abcdefghijklmnopqrst"[k] * 3, values, n=2, f_start=1.0))
    (flip,) = findings(make_results(*runs), taus=[1e-5], bootstrap=FEW).of("flips")
    assert "The order of 1 pair in the performance profile depends on who else is compared" in flip.sentence
    assert "B [none] is above C [none], and below it once A [none] is left out" in flip.sentence


def test_pairs_whose_order_depends_on_tau_are_named():
    runs = []
    for c in "abcdefghijklmnopqrstu":
        runs.append(run("rough", c * 3, [1.0, 0.05, 0.05], n=2))
        runs.append(run("exact", c * 3, [1.0, 0.5, 0.0], n=2))
    (tau,) = findings(make_results(*runs), taus=[1e-1, 1e-5], bootstrap=FEW).of("tau")
    assert "1 of 1 pair" in tau.sentence
    assert tau.frame[["name", "wins", "losses"]].to_numpy().tolist() == [["1e-1", 21, 0], ["1e-5", 0, 21]]


def test_pairs_whose_order_depends_on_the_price_of_a_jacobian_are_named():
    runs = []
    for c in "abcdefghijklmnopqrstu":
        tasks = ["fun", "jac", "fun", "jac", "fun"]
        runs.append(run("newton analytic", c * 3, [1.0, np.nan, 0.5, np.nan, 0.0], tasks=tasks, n=9))
        runs.append(run("search", c * 3, [1.0] * 9 + [0.0], n=9))
    (price,) = findings(make_results(*runs), taus=[1e-5], bootstrap=FEW).of("jac_cost")
    assert "21 to 0 where a jacobian is free, 0 to 21 where a jacobian costs n evaluations" in price.sentence


def test_pairs_whose_order_depends_on_the_number_of_cores_are_named():
    runs = []
    for c in "abcdefghijklmnopqrstu":
        tasks, batches = ["fun", *["numdiff"] * 9, "fun"], [0] * 10 + [1]
        values = [1.0, *[np.nan] * 9, 0.0]
        runs.append(run("newton forward", c * 3, values, tasks=tasks, batches=batches, n=9))
        runs.append(run("search", c * 3, [1.0] * 5 + [0.0], n=9))
    (cores,) = findings(make_results(*runs), taus=[1e-5], bootstrap=FEW).of("batches")
    assert "depends on how many cores there are, all calls taking equally long, for 1 of 1 pair" in cores.sentence
    assert cores.frame[["wins", "losses"]].to_numpy().tolist() == [[0, 21], [21, 0]]


def test_rows_that_tau_makes_degenerate_are_named_with_their_threshold():
    runs = [run("a", "huge_one", [1e9, 1.0], n=2, f_opt=1.0), run("a", "tame", [1.5, 1.0], n=2, f_opt=1.0)]
    runs += [run("a", "nearly_zero", [9.0, 1e-30], n=2, f_opt=1e-30)]
    (loose,) = findings(make_results(*runs), taus=[1e-5], bootstrap=FEW).of("degenerate")
    assert "isn't above f_L" not in str(findings(make_results(*runs), taus=[1e-5], bootstrap=FEW))
    assert loose.frame[["row", "threshold"]].to_numpy().tolist() == [["s/huge_one", pytest.approx(1e4 + 1)]]
    assert "on s/huge_one, such as 1e+04 where f_L = 1" in loose.sentence


def test_rows_that_start_at_the_best_known_value_are_named():
    runs = [run("a", "done", [1.0, 1.0], n=2, f_opt=1.0), run("a", "open", [1.5, 1.0], n=2, f_opt=1.0)]
    (done,) = findings(make_results(*runs), taus=[1e-5], bootstrap=FEW).of("start_at_f_opt")
    assert done.sentence == "The start of s/done isn't above f_L, so that everyone solves it at once."


def test_rows_nobody_solves_and_best_known_values_that_runs_beat_are_named():
    runs = [run("a", "hard", [1.0, 0.9], n=2), run("a", "easy", [4.0, 1.0], n=2, f_opt=2.0)]
    text = sentences(make_results(*runs), taus=[1e-5])
    assert "At tau = 1e-5 nobody solves s/hard; it stays in every denominator" in text
    assert "Runs went below the best known value of s/easy" in text


def test_pairs_without_a_run_and_environments_that_differ_are_named():
    runs = [
        run("a", "p", [1.0, 0.0], n=2),
        run("a", "q", [1.0, 0.0], n=2, environment="other"),
        run("b", "p", [1.0], n=2),
    ]
    text = sentences(make_results(*runs))
    assert "1 pair of problem and solver has no run in this store" in text
    assert "made in 2 environments" in text


def test_one_of_a_kind_is_spoken_of_in_the_singular():
    rows = [run("only", "p", [1e6, 1.0], n=2, f_opt=0.5)]
    text = sentences(make_results(*rows)) + sentences(make_results(*rows, run("other", "p", [1e6, 1e5], n=2)))
    assert "1 solver on 1 problem, which comes from 1 function." in text
    assert "of 1 problem; at" in text
    assert not re.search(r"\b1 (problems|functions|solvers|others|pairs|starts|runs|wins|ties|losses)\b", text)


def test_a_comma_in_a_name_is_no_end_of_it():
    runs = [run("lbfgs,_m=5", name, [1.0, 0.0], n=2) for name in "pq"]
    found = findings(make_results(*runs, run("slow", "p", [1.0, 0.5], n=2)), taus=[1e-5], bootstrap=FEW)
    comma = findings(make_results(*(r | {"algorithm": "a, b"} for r in runs), run("c", "p", [1.0, 0.0], n=2)))
    assert found.of("solved")[0].sentence.startswith("At tau = 1e-5 most problems are solved by lbfgs,_m=5 [none], 2 ")
    assert "solved by a, b [none], 2 of 2 (1 more than c [none]" in str(comma)
    assert "all of them" not in str(comma)


def test_nobody_is_said_to_lead_where_nobody_solves_anything_or_all_are_alike():
    failed = findings(make_results(*(run(name, "p", [1.0, 0.9], n=2, f_opt=0.0) for name in "ab")), bootstrap=FEW)
    assert failed.of("area") == []
    alike = findings(make_results(*(run(name, "p", [1.0, 0.0], n=2) for name in "ab")), bootstrap=FEW)
    assert "a [none] and b [none] have the same area under the data profile" in alike.of("area")[0].sentence
    assert "no solver is the cheaper one against any other; a [none] against b [none]: 0 wins, 1 tie" in str(alike)


def test_several_rows_that_start_at_the_minimum_are_spoken_of_in_the_plural():
    text = sentences(make_results(*(run("a", name, [1.0, 1.0], n=2, f_opt=1.0) for name in "pq")))
    assert "The starts of s/p and s/q aren't above f_L, so that everyone solves them at once." in text


def test_runs_of_a_row_that_begin_at_different_values_are_named():
    found = findings(
        make_results(run("a", "p", [9.0, 0.0]), run("b", "p", [1.0, 0.0]), run("a", "q", [9.0]), run("b", "q", [9.0]))
    )
    (said,) = found.of("different_starts")
    assert said.sentence.startswith("Runs of s/p begin at different values: tau is measured from each run's own")
    assert said.frame.values.tolist() == [["s/p", 1.0, 9.0]]


def test_results_without_a_run_that_applies_allow_no_conclusion():
    assert sentences(make_results(run("a", status="not_applicable"))).strip().endswith("is one that can't be.")
    with pytest.raises(InvalidInputError, match="nothing to draw"):
        all_figures(make_results(run("a", status="not_applicable")))


def test_histories_of_others_without_dimensions_and_known_optima_have_findings_and_figures():
    rows = [
        {"problem": p, "algorithm": a, "evaluation": k, "fun": 2.0**-k if a == "x" else 3.0**-k}
        for p in ("p", "q")
        for a in ("x", "y")
        for k in range(6)
    ]
    results = Results.from_frame(pd.DataFrame(rows))
    assert "most problems are solved by y, 2 of 2" in sentences(results)
    names = set(all_figures(results, bootstrap=FEW))
    assert {"performance_profile", "pairs", "convergence_batches"} <= names
    assert not {"data_profile", "scores", "convergence_seconds", "over_starts", "derivative_errors"} & names


def test_findings_are_said_as_a_list_in_html_and_as_json():
    found = findings(two_solvers(status="crashed"), bootstrap=FEW)
    assert "What must not be concluded:" in str(found)
    assert found._repr_html_().count("<li>") == len(found) == len(found.frame)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False, default=str))
    assert [row["kind"] for row in plain["findings"]] == found.frame["kind"].tolist()
    assert plain["findings"][1]["numbers"][0]["budget"] is None  # all that was spent


@pytest.fixture(scope="module")
def gallery():
    results = study_results(
        8, algorithms=("scipy_lbfgsb", "scipy_bfgs"), derivatives=("analytic", "forward"), max_gradients=30
    )
    return all_figures(results, bootstrap=FEW)


def test_the_gallery_has_every_figure_with_its_numbers(gallery):
    assert list(gallery) == [
        "performance_profile",
        "data_profile",
        "accuracy_profile",
        "log_ratio_profile",
        "run_times",
        "scores",
        "expected_run_times",
        "ranks",
        "pairs",
        "flips",
        "order_by_tau",
        "costs_by_problem",
        "digits_by_problem",
        "derivative_errors",
        "convergence_evaluations",
        "convergence_one_problem",
        "convergence_batches",
        "convergence_virtual_time",
    ]
    for name, plot in gallery.items():
        assert isinstance(plot.frame, pd.DataFrame), name
        assert plot.figure().layout.title.text, name


def test_the_same_results_give_the_same_bytes(gallery):
    results = study_results(
        8, algorithms=("scipy_lbfgsb", "scipy_bfgs"), derivatives=("analytic", "forward"), max_gradients=30
    )
    again = all_figures(results, bootstrap=FEW)
    for name, plot in gallery.items():
        assert plot.frame.to_csv() == again[name].frame.to_csv(), name
        assert plot.figure().to_json() == again[name].figure().to_json(), name


def test_a_solver_has_one_colour_in_every_figure(gallery):
    colours: dict[str, set[str]] = {}
    for name in ("performance_profile", "run_times", "scores", "ranks", "convergence_evaluations", "derivative_errors"):
        for trace in gallery[name].figure().data:
            if trace.showlegend is not False:
                colour = trace.line.color if trace.mode != "markers" else trace.marker.color
                colours.setdefault(trace.name, set()).add(colour)
    assert len(colours) == 5
    assert all(len(found) == 1 for found in colours.values())


def test_several_starts_have_their_figure():
    runs = [run("a", "p", [1.0] * k + [0.0], n=2, start=k) for k in (1, 2, 3)]
    plot = all_figures(make_results(*runs), bootstrap=FEW)["over_starts"]
    assert plot.frame[["starts", "solved", "median", "lower", "upper"]].to_numpy().tolist() == [[3, 3, 3.0, 2.0, 4.0]]


def test_the_command_prints_sentences_or_json(tmp_path):
    rows = [{"problem": p, "algorithm": "x", "evaluation": k, "fun": 2.0**-k, "n": 2} for p in "pq" for k in range(4)]
    store = Results.from_frame(pd.DataFrame(rows)).save(tmp_path / "store")
    said = CliRunner().invoke(app, ["findings", str(store)])
    assert said.exit_code == 0
    assert "1 solver on 2 problems, which come from 2 functions." in said.output
    as_json = CliRunner().invoke(app, ["findings", str(store), "--json"])
    assert json.loads(as_json.output)["findings"][0]["numbers"] == [
        {"solvers": 1, "problems": 2, "functions": 2, "runs": 2}
    ]
    folder = tmp_path / "figures"
    drawn = CliRunner().invoke(
        app, ["findings", str(store), "--tau", "1e-2,1e-1", "--compared", "--figures", str(folder)]
    )
    assert [line[:18] for line in drawn.output.splitlines()[1:3]] == ["- At tau = 1e-1 mo", "- At tau = 1e-2 mo"]
    pages = sorted(path.stem for path in folder.glob("*.html"))
    assert pages == sorted(path.stem for path in folder.glob("*.csv"))
    assert {"performance_profile", "run_times", "convergence_batches"} <= set(pages)
    assert (folder / "plotly.min.js").is_file()
    assert list(pd.read_csv(folder / "run_times.csv")) == ["solver", "x", "y", "lower", "upper"]
    wrong = CliRunner().invoke(app, ["findings", str(store), "--tau", "small"])
    assert (wrong.exit_code, "--tau takes numbers" in wrong.output) == (2, True)
    missing = CliRunner().invoke(app, ["findings", str(tmp_path / "nowhere")])
    assert missing.exit_code == 2

"""The report: what it says, and that it is safe and complete. What a browser makes of it: test_report_browser.py."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re

import numpy as np
import pytest
from plotly.offline import get_plotlyjs

from optcore.errors import InvalidInputError
from optcore_bench.conclusions import findings
from optcore_bench.costs import VirtualClock, break_even, cost_table, hit_counts, summary_table
from optcore_bench.evaluations import Evaluations
from optcore_bench.report import write_report
from optcore_bench.report.curves import MOST_POINTS, curve_data
from optcore_bench.report.data import page_data
from optcore_bench.report.says import pair_to_compare
from optcore_bench.report.write import script_json
from optcore_bench.statistics.of_store import StoreStatistics
from optcore_bench.trajectories import convergence
from tests.bench.fake_results import make_results, run, study_results

EVIL = "<script>alert('x')</script>&\"</td>"


def text_of(page: str) -> str:
    """What a reader reads: without script, style and tags."""
    body = re.sub(r"<(script|style).*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL).group(1))


def curves_of(page: str) -> dict:
    text = re.search(r'<script type="text/plain" id="curves">(.*?)</script>', page, re.DOTALL).group(1)
    return json.loads(gzip.decompress(base64.b64decode(text)))


def costs_of(data: dict, tau: str, cores: int, price: float | np.ndarray) -> np.ndarray:
    """Costs of all solvers by problem from the counts in the page, as `report/hits.py` says they are to be read."""
    table = []
    for by_cores in data["hits"][data["taus"].index(tau)]:
        counts = [c for c in by_cores[: data["cores"].index(cores) + 1] if c is not None][-1]
        p, q = (np.array(counts[name]) * np.ones(len(data["problems"])) for name in "pq")
        s = np.array(counts["s"]) * np.ones(p.size) if "s" in counts else q
        spent = np.where(np.less_equal(price, 1), p + price * q, p + q - s + price * s)
        table.append(np.where(p < 0, np.inf, spent))
    return np.array(table)


@pytest.fixture(scope="module")
def results():
    return study_results(n_problems=12)


@pytest.fixture(scope="module")
def page(results, tmp_path_factory) -> str:
    path = write_report(results, tmp_path_factory.mktemp("report") / "deep" / "report.html")
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    return path.read_text()


def test_a_folder_gets_a_file_named_report(tmp_path):
    assert write_report(make_results(run("a", "p", [3, 0])), tmp_path) == tmp_path / "report.html"


def test_the_summary_has_the_exact_numbers_of_the_summary_table(results, page):
    text = text_of(page)
    summary = summary_table(results)
    for _, row in summary.iterrows():
        solved = " ".join(str(row[f"solved_{t}"]) for t in ("1e-1", "1e-3", "1e-5", "1e-7", "1e-10"))
        assert f"{row['algorithm']} {row['derivative']} {solved}" in text
    runs = results.runs[results.runs["status"] != "not_applicable"]
    assert f"6 algorithms with 5 derivative strategies on 12 problems: {len(runs)} runs." in text
    said = text.split("What these runs say")[1].split("Summary")[0]
    for finding in findings(results):
        assert finding.sentence in said
    assert said.index("At other accuracies") < said.index("What must not be concluded")
    hits = hit_counts(results)
    pair = pair_to_compare(hits)
    assert break_even(hits, *pair).sentence() in said
    assert [data_of(page)["solvers"][j]["label"] for j in data_of(page)["pair"]] == list(pair)


def test_the_pair_that_is_compared_first_is_forward_against_the_best_with_jacobians():
    closed = {"tasks": ["fun", "jac", "fun"], "values": [5, np.nan, 0]}
    both = [run("a jax", "p", **closed), run("a central", "p", [5, 0]), run("a forward", "p", [5, 4, 0])]
    other = [run("b jax", "p", **closed), run("b jax", "q", **closed), run("b none", "p", [5, 4])]
    assert pair_to_compare(hit_counts(make_results(*both))) == ("a [forward]", "a [jax]")
    assert pair_to_compare(hit_counts(make_results(*both, *other))) == ("b [none]", "b [jax]")
    assert pair_to_compare(hit_counts(make_results(both[0], other[2]))) is None


def test_failures_pairs_that_cannot_be_and_improvements_are_listed_with_reasons(results, page):
    text = text_of(page)
    for r in results.runs[results.runs["status"].isin(["error", "crashed", "timeout"])].itertuples():
        assert f"{r.status} {r.algorithm} [{r.derivative}] {r.suite}/{r.problem} {r.message}" in text
    assert "nlopt_neldermead [jax] uses no derivative 12 problems" in text
    assert "more_wild/meyer scipy" in text.split("Better than the best known value")[1]


def test_provenance_says_what_made_the_numbers(page):
    text = text_of(page)
    for part in (
        "digest sha256:6f0c8a21b7",
        "command optcore run derivatives --jobs 2",
        "commit 0123456789abcdef",
        "versions: scipy 1.17.1",
        "machine: cpu A CPU <at> 3 GHz",
        "environment linux",
        "simplex gradients Evaluations divided by n + 1",
    ):
        assert part in text


@pytest.mark.parametrize("tau", [1e-1, 1e-5, 1e-10])
def test_the_page_holds_counts_that_make_every_cost_table(results, page, tau):
    data = data_of(page)
    label = f"1e-{round(-np.log10(tau))}"
    n = np.array(data["n"])
    for price, jac_cost in ((0, 0), (0.83, 0.83), (n, "n")):
        expected = cost_table(results, tau, jac_cost=jac_cost)
        np.testing.assert_allclose(costs_of(data, label, 1, price).T, expected, rtol=1e-14)
        assert data["problems"] == list(expected.index)
        assert [s["label"] for s in data["solvers"]] == list(expected.columns)
    for cores in data["cores"]:
        for price in (0.0, 0.5, 1.0, 7.5):
            expected = cost_table(results, tau, VirtualClock(1.0, price, cores))
            np.testing.assert_allclose(costs_of(data, label, cores, price).T, expected, rtol=1e-14)


def test_rounds_that_mix_evaluations_and_jacobians_last_as_long_as_the_longer(tmp_path):
    mixed = run("a jax", values=[5, np.nan, 4, np.nan, 0], tasks=["fun", "jac", "fun", "jac", "fun_and_jac"],
                batches=[0, 0, 1, 1, 2])  # fmt: skip
    data = page_data(StoreStatistics(Evaluations.read(make_results(mixed))), [1e-5])
    assert data["cores"] == [1, 2]
    # One at a time: 3 evaluations and 3 jacobians. Two at a time: two mixed rounds and one call for both.
    assert data["hits"][0][0] == [{"p": [3], "q": [3]}, {"p": [3], "q": [1], "s": [3]}]
    for price in (0.0, 0.5, 1.0, 4.0):
        for cores in (1, 2):
            expected = cost_table(make_results(mixed), 1e-5, VirtualClock(1.0, price, cores))
            assert pytest.approx(expected.to_numpy()) == costs_of(data, "1e-5", cores, price).T


def test_runs_are_listed_with_status_evaluations_and_what_is_left(results, page):
    data = data_of(page)
    runs = data["runs"]
    solver, problem = "scipy_bfgs [central]", 3
    j = [s["label"] for s in data["solvers"]].index(solver)
    mine = results.runs[(results.runs["algorithm"] == "scipy_bfgs") & (results.runs["derivative"] == "central")]
    row = mine[mine["problem"] == data["problems"][problem].split("/")[1]].iloc[0]
    assert runs["words"][runs["status"][j][problem]] == row["status"]
    assert runs["evaluations"][j][problem] == (results.rows["run_id"] == row["run_id"]).sum()
    left = (row["f_best"] - row["f_opt"]) / (row["f_start"] - row["f_opt"])
    assert runs["gap"][j][problem] == pytest.approx(left, rel=1e-3)


def test_it_says_how_to_run_the_study_again_and_which_options_were_used(tmp_path):
    environment = {"optcore": "0.1.0", "numpy": "2.4.6", "python": "CPython 3.11.7"}
    options = {"algorithm_options": '{"tolerance": 1e-9, "memory": null}', "derivative_options": '{"n_cores": 2}'}
    results = make_results(
        run("a forward", "p", [3, 0], **options),
        run("a forward", "q", [3, 0], algorithm_options='{"tolerance": 1e-6}'),
        manifest={"digest": "abc", "environment": environment},
        study={"name": "mine", "problems": ["more_wild"], "seed": None},
    )
    text = text_of(write_report(results, tmp_path / "r.html").read_text())
    assert "algorithm a tolerance 1e-09 | 1e-06 algorithm a memory none derivative forward n_cores 2" in text
    said = text.split("Reproduce it")[1].split("What the words mean")[0]
    assert "with CPython 3.11.7" in said
    assert (
        "pip install optcore==0.1.0 numpy==2.4.6 optcore run study.toml --store again optcore reproduce STORE" in said
    )
    assert 'digest abc name = "mine" problems = ["more_wild"]' in said
    alone = text_of(write_report(make_results(run("a", "p", [3, 0])), tmp_path / "r.html").read_text())
    assert "These results don't come from a store of a study" in alone


def test_the_same_results_give_the_same_bytes_wherever_they_lie(tmp_path):
    first, second = (study_results(3, ("scipy_lbfgsb", "scipy_ls_lm"), ("analytic", "forward")) for _ in range(2))
    second.path = tmp_path / "elsewhere"
    page = write_report(first, tmp_path / "a.html").read_bytes()
    assert page == write_report(second, tmp_path / "b.html").read_bytes()
    assert page == write_report(Evaluations.read(first), tmp_path / "c.html").read_bytes()


def test_curves_are_thinned_to_200_points_and_lie_on_those_of_python(results, page):
    curves = curves_of(page)
    every = [c for problem in curves["problems"] for c in problem if c]
    every += [c for cost in curves["all"].values() for c in cost if c]
    assert max(len(c["y"]) for c in every) <= 200
    data = data_of(page)
    drawn = convergence(results, data["problems"][0], jac_cost="n").curves
    k = [c["key"] for c in curves["costs"]].index("jacn")
    for solver, curve in zip(data["solvers"], curves["problems"][0], strict=True):
        expected = drawn[drawn["solver"] == solver["label"]]
        np.testing.assert_allclose(curve["x"][k], expected["x"], rtol=1e-5)
        np.testing.assert_allclose(curve["y"], expected["y"].clip(1e-16), rtol=1e-3)


def test_calls_without_a_value_are_marked_in_the_curves_of_their_run(tmp_path):
    many = [1.0, *[np.nan] * 100, 0.5]
    results = make_results(
        run("a jax", values=[1, np.nan, 0.5, np.inf], tasks=["fun", "jac", "fun", "fun"]),
        run("b none", values=many),
        run("c none", values=[1, 0]),
    )
    page = write_report(results, tmp_path / "report.html").read_text()
    (curves,) = curves_of(page)["problems"]
    costs = [c["key"] for c in curves_of(page)["costs"]]
    a, b, c = curves
    assert (a["failures"], a["failed"][costs.index("jac0")], a["failed"][costs.index("jacn")]) == (1, [3], [5])
    assert b["failures"] == 100
    assert len(b["failed"][0]) <= 60
    assert (b["failed"][0][0], b["failed"][0][-1]) == (2, 101)
    assert "failed" not in c


def test_many_curves_have_fewer_points_each(results, monkeypatch):
    monkeypatch.setattr("optcore_bench.report.curves.MOST_POINTS", 40 * 12 * 21)
    evaluations = Evaluations.read(results)
    data = page_data(StoreStatistics(evaluations), [1e-5])
    curves = curve_data(evaluations, data["problems"], [s["label"] for s in data["solvers"]])
    assert max(len(c["y"]) for problem in curves["problems"] for c in problem if c) <= 40
    assert MOST_POINTS >= 200 * 53 * 25  # a study of the size of quick is drawn in full


def test_measured_jacobians_can_be_chosen_where_there_is_a_clock(tmp_path):
    results = make_results(
        run("a jax", values=[1, np.nan, 0], tasks=["fun", "jac", "fun"], clock=[(0, 1), (1, 4), (4, 5)])
    )
    page = write_report(results, tmp_path / "report.html").read_text()
    assert [c["key"] for c in curves_of(page)["costs"]] == ["jac0", "measured", "jacn", "batches", "seconds"]
    assert data_of(page)["prices"] == [[3]]


def test_where_no_price_of_a_jacobian_was_measured_there_is_a_dash(tmp_path):
    both = run("a jax", values=[1, 0], tasks=["fun_and_jac"] * 2, clock=[(0, 1), (1, 2)])
    page = write_report(make_results(both), tmp_path / "report.html").read_text()
    assert data_of(page)["prices"] is None
    assert [c["key"] for c in curves_of(page)["costs"]] == ["jac0", "jacn", "batches", "seconds"]
    assert "a jax 1 1 1 1 1 2 \N{EN DASH} 6 0" in text_of(page)  # free, measured, n; failed runs


def test_without_dimensions_n_cannot_be_the_price_of_a_jacobian(tmp_path):
    results = make_results(run("a jax", values=[1, np.nan, 0], tasks=["fun", "jac", "fun"], n=None))
    page = write_report(results, tmp_path / "report.html").read_text()
    assert data_of(page)["n"] == [None]
    assert [c["key"] for c in curves_of(page)["costs"]] == ["jac0", "batches"]
    assert "a jax 1 1 1 1 1 2 \N{EN DASH} \N{EN DASH} 0" in text_of(page)


def test_nothing_comes_from_the_network(page):
    own = page.replace(get_plotlyjs(), "")
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?\s*(?:https?:)?//", own)
    assert "url(" not in own
    assert "@import" not in own
    assert "default-src 'none'" in own
    assert page.count("plotly.js v") == 1


def test_a_small_page_names_plotlys_server_and_the_sum_of_what_it_gives(results, page, tmp_path):
    whole, path = page, write_report(results, tmp_path / "r.html", cdn=True)
    page = path.read_text()
    assert path.stat().st_size < 1e6
    source, digest = re.search(
        r'<script src="([^"]+)" integrity="sha256-([^"]+)" crossorigin="anonymous">', page
    ).groups()
    assert re.fullmatch(r"https://cdn\.plot\.ly/plotly-[0-9.]+\.min\.js", source)
    assert base64.b64decode(digest) == hashlib.sha256(get_plotlyjs().encode()).digest()
    assert "script-src 'unsafe-inline' https://cdn.plot.ly;" in page
    assert data_of(page) == data_of(whole)


def test_text_from_users_is_escaped_everywhere(tmp_path):
    runs = [
        run(
            f"{EVIL} {EVIL}".replace(" ", "_", 0),
            EVIL,
            [5, 4],
            f_opt=4.5,
            message=EVIL,
            status="error",
            environment=EVIL,
        ),
        run("b " + EVIL, EVIL, status="not_applicable", message=EVIL),
    ]
    results = make_results(
        *runs, manifest={EVIL: EVIL, "tree": {EVIL: [EVIL]}}, study={"name": EVIL, "description": EVIL}
    )
    page = write_report(results, tmp_path / "r.html").read_text()
    assert "<script>alert" not in page
    assert "alert('x')</script>" not in page
    assert data_of(page)["problems"] == [f"s/{EVIL}"]


def test_json_in_a_script_cannot_end_it():
    assert "</" not in script_json({"a": "</script><!--"})
    assert json.loads(script_json({"a": "</script>"})) == {"a": "</script>"}


def test_a_store_without_finished_runs_has_a_page_that_says_so(tmp_path):
    results = make_results(run("a", values=[1]), manifest={"digest": "none yet"})
    results.runs, results.rows = results.runs.iloc[:0], results.rows.iloc[:0]
    text = text_of(write_report(results, tmp_path / "r.html").read_text())
    assert "No run is finished." in text
    assert "none yet" in text


def test_a_store_where_nothing_applies_says_why(tmp_path):
    results = make_results(run("a jax", "p", status="not_applicable", message="it has no derivative"))
    text = text_of(write_report(results, tmp_path / "r.html").read_text())
    assert "No run applies" in text
    assert "it has no derivative" in text


def test_the_file_stays_small(tmp_path):
    path = write_report(study_results(), tmp_path / "r.html")
    assert path.stat().st_size - len(get_plotlyjs()) < 3e6


def test_values_that_are_lower_by_rounding_only_are_counted_not_listed(tmp_path):
    known = 85822.20162635634
    runs = [run("a", "p", [1e6, np.nextafter(known, 0)], f_opt=known), run("a", "q", [9, 1], f_opt=2.0)]
    text = text_of(write_report(make_results(*runs), tmp_path / "r.html").read_text()).split("best known value")[-1]
    assert "1 problem differs by rounding only" in text
    assert "s/q a [none] 2.0 1.0 1" in text
    assert "s/p a" not in text


def test_the_summary_brackets_the_cost_of_a_jacobian(tmp_path):
    clock = [(0, 1), (1, 4), (4, 5)]
    results = make_results(run("a jax", values=[1, np.nan, 0], tasks=["fun", "jac", "fun"], clock=clock, n=7))
    text = text_of(write_report(results, tmp_path / "r.html").read_text())
    assert "a jax 1 1 1 1 1 2 5 9 0" in text


def test_accuracies_that_cannot_be_are_named_before_anything_is_written(results, tmp_path):
    for taus, words in (((), "taus is empty; give at least one"), ((2,), "tau must be a number in"), ("a", "not 'a'")):
        with pytest.raises(InvalidInputError, match=words):
            write_report(results, tmp_path / "r.html", taus=taus)
    assert not (tmp_path / "r.html").exists()
    assert '"taus":["1e-1"]' in write_report(results, tmp_path / "r.html", taus=0.1).read_text()

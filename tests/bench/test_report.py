"""The report: what it says, that it is safe and complete, and that a browser shows it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from optcore_bench.costs import cost_table, dimensions, summary_table
from optcore_bench.evaluations import Evaluations
from optcore_bench.profiles import data_profile, performance_profile
from optcore_bench.report import write_report
from optcore_bench.report.data import page_data
from optcore_bench.report.write import script_json
from tests.bench.fake_results import make_results, run, study_results

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = "<script>alert('x')</script>&\"</td>"


def text_of(page: str) -> str:
    """What a reader reads: without script, style and tags."""
    body = re.sub(r"<(script|style).*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL).group(1))


@pytest.fixture(scope="module")
def results():
    return study_results(n_problems=12)


@pytest.fixture(scope="module")
def page(results, tmp_path_factory) -> str:
    path = write_report(results, tmp_path_factory.mktemp("report") / "deep" / "report.html")
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    return path.read_text()


def test_a_folder_gets_a_file_named_report(results, tmp_path):
    assert write_report(results, tmp_path) == tmp_path / "report.html"


def test_the_summary_has_the_exact_numbers_of_the_summary_table(results, page):
    text = text_of(page)
    summary = summary_table(results)
    for _, row in summary.iterrows():
        solved = " ".join(str(row[f"solved_{t}"]) for t in ("1e-1", "1e-3", "1e-5", "1e-7", "1e-10"))
        assert f"{row['algorithm']} {row['derivative']} {solved}" in text
    runs = results.runs[results.runs["status"] != "not_applicable"]
    failed = runs["status"].isin(["error", "crashed", "timeout"]).sum()
    assert f"6 algorithms with 5 derivative strategies on 12 problems: {len(runs)} runs." in text
    assert f"{failed} runs failed" in text
    solved = int(np.isfinite(cost_table(results)).to_numpy().sum())
    assert f"At tau = 1e-5, {solved} of {12 * 21} pairs of problem and solver are solved" in text


def test_failures_pairs_that_cannot_be_and_improvements_are_listed_with_reasons(results, page):
    text = text_of(page)
    for r in results.runs[results.runs["status"].isin(["error", "crashed", "timeout"])].itertuples():
        assert f"{r.status} {r.algorithm} [{r.derivative}] {r.suite}/{r.problem} {r.message}" in text
    assert "nlopt_neldermead [jax] uses no derivative 12 problems" in text
    assert "more_wild/meyer scipy" in text.split("Better than the best known value")[1]


def test_provenance_says_what_made_the_numbers(page):
    text = text_of(page).split("Provenance")[-1]
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


def test_the_page_holds_the_cost_tables(results, page):
    data = data_of(page)
    assert [c["key"] for c in data["costs"]] == ["jac0", "jacn", "batches"]
    for key, kwargs in {"jac0": {}, "jacn": {"jac_cost": "n"}, "batches": {"cost": "batches"}}.items():
        for tau in (1e-1, 1e-10):
            expected = cost_table(results, tau, **kwargs)
            shown = np.array(data["tables"][key][f"1e-{round(-np.log10(tau))}"], dtype=float)
            np.testing.assert_array_equal(np.where(np.isnan(shown), np.inf, shown), expected.to_numpy())
            assert data["problems"] == list(expected.index)
            assert [s["label"] for s in data["solvers"]] == list(expected.columns)


def test_curves_are_thinned_to_200_points(results):
    data = page_data(Evaluations.read(results), [1e-5])
    curves = [c for problem in data["convergence"]["problems"] for c in problem if c]
    curves += [c for cost in data["convergence"]["all"].values() for c in cost if c]
    assert max(len(c["y"]) for c in curves) <= 200


def test_measured_jacobians_can_be_chosen_where_there_is_a_clock():
    results = make_results(
        run("a jax", values=[1, np.nan, 0], tasks=["fun", "jac", "fun"], clock=[(0, 1), (1, 4), (4, 5)])
    )
    data = page_data(Evaluations.read(results), [1e-5])
    assert [c["key"] for c in data["costs"]] == ["jac0", "measured", "jacn", "batches"]
    assert data["tables"]["measured"]["1e-5"] == [[5]]


def test_where_no_price_of_a_jacobian_was_measured_there_is_a_dash(tmp_path):
    both = run("a jax", values=[1, 0], tasks=["fun_and_jac"] * 2, clock=[(0, 1), (1, 2)])
    page = write_report(make_results(both), tmp_path / "report.html").read_text()
    assert [c["key"] for c in data_of(page)["costs"]] == ["jac0", "jacn", "batches"]
    assert "a jax 1 1 1 1 1 2 \N{EN DASH} 6 0" in text_of(page)  # free, measured, n; failed runs


def test_nothing_comes_from_the_network(page):
    without_plotly = max(re.split(r"<script>", page)[1:], key=len)
    own = page.replace(without_plotly, "")
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?\s*(?:https?:)?//", own)
    assert "url(" not in own
    assert "@import" not in own
    assert "default-src 'none'" in own
    assert page.count("plotly.js v") == 1


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
    from plotly.offline import get_plotlyjs

    path = write_report(study_results(), tmp_path / "r.html")
    assert path.stat().st_size - len(get_plotlyjs()) < 3e6


def browse(path: Path, profile: Path) -> tuple[str, str]:
    """The page as a browser leaves it, and what it wrote to its console."""
    done = subprocess.run(
        [
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
            *("--disable-component-update", "--disable-sync", f"--user-data-dir={profile}"),
            *("--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom", path.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


#: Run in the page after its own script: what it computed, and what it shows after controls were used.
PROBE = """
const r = window.optcoreReport, all = [...r.data.solvers.keys()], table = r.data.tables.jacn["1e-5"];
const out = {performance: r.performanceProfile(table, all, all), data: r.dataProfile(table, all, r.data.n)};
out.traces = document.getElementById("performance").data.length;
const use = (id, value) => {
  const node = document.getElementById(id);
  node.value = value; node.dispatchEvent(new Event("change"));
};
use("tau", "1e-1"); use("cost", "jacn"); use("problem", "0");
out.title = document.getElementById("convergence-plot").layout.title.text;
out.axis = document.getElementById("performance").layout.xaxis.title.text;
out.note = document.getElementById("costs-note").textContent;
const box = document.querySelector("#solvers .group > label input");
box.click();
out.fewer = document.getElementById("performance").data.length;
const sort = [...document.querySelectorAll("#summary .sort")].find((b) => b.textContent === "1e-10");
const column = () => [...document.querySelectorAll("#summary tbody tr")].map((tr) => Number(tr.cells[6].textContent));
sort.click(); out.ascending = column(); sort.click(); out.descending = column();
document.getElementById("none").click();
out.none = document.getElementById("convergence-plot").data.length;
document.getElementById("all").click(); document.getElementById("log").click();
const node = document.createElement("pre");
node.id = "probe"; node.textContent = JSON.stringify(out); document.body.append(node);
"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome is installed")
def test_a_browser_draws_the_report_without_errors_and_its_profiles_are_those_of_python(results, page, tmp_path):
    probed = tmp_path / "report.html"
    probed.write_text(page.replace("</body>", f"<script>{PROBE}</script></body>"))
    dom, console = browse(probed, tmp_path / "profile")
    assert console == ""
    assert len(re.findall(r'<svg class="main-svg"', dom)) >= 3
    assert dom.count('class="scatterlayer') >= 3
    assert len(re.findall(r"<tr>", re.search(r'id="cost-table".*?</table>', dom, re.DOTALL).group())) >= 12
    out = json.loads(html.unescape(re.search(r'<pre id="probe">(.*?)</pre>', dom, re.DOTALL).group(1)))

    costs = cost_table(results, 1e-5, jac_cost="n")
    for name, curves in (
        ("performance", performance_profile(costs)),
        ("data", data_profile(costs, dimensions(results))),
    ):
        assert len(out[name]) == costs.shape[1]
        for solver, drawn in zip(costs.columns, out[name], strict=True):
            expected = curves[curves["solver"] == solver]
            assert drawn["x"] == expected["x"].tolist()
            assert drawn["y"] == expected["y"].tolist()

    assert out["traces"] == costs.shape[1]
    assert out["fewer"] == costs.shape[1] - 4
    assert out["none"] == 0
    assert out["title"] == costs.index[0]
    assert "counts as n" in out["axis"]
    assert "tau = 1e-1, in evaluations (a jacobian counts as n)" in out["note"]
    assert out["ascending"] == sorted(out["ascending"])
    assert out["descending"] == sorted(out["ascending"], reverse=True)
    assert len(set(out["ascending"])) > 1


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

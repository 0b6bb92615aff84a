"""The report in a real browser: it is drawn, its controls work, and its numbers are those of Python."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optcore_bench.costs import VirtualClock, break_even, cost_table, dimensions, hit_counts
from optcore_bench.gallery import all_figures
from optcore_bench.profiles import data_profile, ecdf, performance_profile
from optcore_bench.report import write_report
from tests.bench.browser import CHROMIUM, Browser, browser
from tests.bench.fake_results import make_results, run, study_results

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome is installed")

#: Lets what was asked for be drawn.
SETTLE = """new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50))))
  .then(() => optcoreReport.done())"""
OPEN_ALL = "document.querySelectorAll('#more details').forEach((d) => { d.open = true; }); " + SETTLE
#: How far the page can be scrolled sideways, and how far the table of results in its box.
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
BOX_OVERFLOW = (
    "(() => { const b = document.querySelector('#summary .scroll'); return b.scrollWidth - b.clientWidth; })()"
)


@pytest.fixture(scope="module")
def results():
    return study_results(n_problems=9, algorithms=("scipy_lbfgsb", "scipy_ls_lm"), max_gradients=60)


@pytest.fixture(scope="module")
def path(results, tmp_path_factory) -> Path:
    return write_report(results, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(chromium, path) -> Browser:
    chromium.size(1280)
    chromium.open(path)
    return chromium


def use(page: Browser, **controls: object) -> None:
    """Set controls as a reader does, and wait until the page is drawn."""
    for name, value in controls.items():
        kind = "input" if name in ("jac", "cores", "seconds") else "change"
        script = f"(() => {{ const c = document.getElementById('{name.replace('_', '-')}'); c.value = '{value}';"
        page.run(script + f" c.dispatchEvent(new Event('{kind}', {{bubbles: true}})); }})()")
    page.run(SETTLE)


def text(page: Browser, name: str) -> str:
    return page.run(f"document.getElementById('{name}').textContent")


def table(page: Browser) -> np.ndarray:
    """Costs in the page, shape (problems, solvers)."""
    return np.array(
        page.run("optcoreReport.costTable().map((c) => c.map((v) => (v === Infinity ? null : v)))"), float
    ).T


def drawn(page: Browser, plot: str) -> pd.DataFrame:
    """Curves as plotly has them, without the point that leads each to the right end of the axis."""
    traces = page.run(
        f"document.getElementById('{plot}').data.map((t) => [t.name, t.x.slice(0, -1), t.y.slice(0, -1)])"
    )
    return pd.concat([pd.DataFrame({"solver": name, "x": x, "y": y}) for name, x, y in traces], ignore_index=True)


def same(curves: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Equal up to the first x: on a logarithmic axis 0 is drawn left of its edge."""
    assert curves["solver"].tolist() == expected["solver"].tolist()
    np.testing.assert_allclose(curves["y"], expected["y"], rtol=1e-14)
    inside = expected["x"] > 0
    np.testing.assert_allclose(curves["x"][inside], expected["x"][inside], rtol=1e-12)


@pytest.mark.parametrize("width", [400, 1280])
def test_all_is_drawn_without_errors_requests_or_a_page_that_scrolls_sideways(chromium, path, results, width):
    chromium.size(width)
    chromium.open(path)
    assert chromium.run(OVERFLOW) == 0
    assert (chromium.run(BOX_OVERFLOW) > 0) == (width == 400)
    assert chromium.run("document.querySelectorAll('.js-plotly-plot').length") == 1  # the rest is drawn when opened
    chromium.run(OPEN_ALL)
    figures = list(all_figures(results, curves=False))
    assert "ranks" in figures
    drawn_figures = "[...document.querySelectorAll('details.figure:has(.main-svg)')].map((d) => d.dataset.name)"
    assert chromium.run(drawn_figures) == [name for name in figures if name != "costs_by_problem"]
    solvers = cost_table(results).shape[1]
    for plot in ("data-profile", "performance-plot", "convergence-plot"):
        lines = f"document.querySelectorAll('#{plot} .scatterlayer .trace path.js-line').length"
        assert chromium.run(lines) == solvers, plot
    assert chromium.run(OVERFLOW) == 0
    assert chromium.console == []
    assert chromium.requests == [path.as_uri()]


def test_the_profiles_are_those_of_python_at_every_setting_of_the_sliders(page, results):
    n = dimensions(results)
    same(drawn(page, "data-profile"), data_profile(cost_table(results), n))
    page.run("document.getElementById('performance').open = true; " + SETTLE)
    use(page, tau="1e-3", jac=51)
    assert text(page, "jac-text") == "n evaluations"
    costs = cost_table(results, 1e-3, jac_cost="n")
    same(drawn(page, "data-profile"), data_profile(costs, n))
    same(drawn(page, "performance-plot"), performance_profile(costs))
    use(page, jac_unit="evaluations", jac=41)
    price = float(text(page, "jac-text").split()[0])
    assert price == 3.98  # 10 ** 0.6 in three digits
    np.testing.assert_allclose(table(page), cost_table(results, 1e-3, jac_cost=price).replace(np.inf, np.nan))
    for step, cores in enumerate(page.run("optcoreReport.data.cores")):
        use(page, cores=step)
        expected = cost_table(results, 1e-3, VirtualClock(1.0, price, cores)).replace(np.inf, np.nan)
        np.testing.assert_allclose(table(page), expected, rtol=1e-13)
    use(page, seconds=51)
    assert text(page, "seconds-text") == "100 ms"
    clock = VirtualClock(0.1, 0.1 * price, page.run("optcoreReport.data.cores.at(-1)"))
    same(drawn(page, "data-profile"), ecdf(cost_table(results, 1e-3, clock)))
    page.run("document.getElementById('reset').click(); " + SETTLE)
    same(drawn(page, "data-profile"), data_profile(cost_table(results, 1e-3), n))


def test_the_solvers_own_time_is_added_as_a_virtual_clock_adds_it(chromium, tmp_path):
    results = study_results(n_problems=6, algorithms=("scipy_lbfgsb",), max_gradients=60)
    rows = results.rows[["run_id", "evaluation", "batch"]]
    begin = rows["batch"] * (1 + pd.factorize(rows["run_id"])[0] % 7) / 100  # half of it is spent in calls
    results.times = rows[["run_id", "evaluation"]].assign(start=begin, stop=begin + 0.005)
    results.__post_init__()
    chromium.size(1280)
    chromium.open(write_report(results, tmp_path / "report.html"))
    own = "document.getElementById('own')"
    assert chromium.run(f"[{own}.disabled, {own}.checked]") == [True, False]  # evaluations are counted
    assert "is left out unless it is added" in text(chromium, "own-note")
    use(chromium, jac_unit="evaluations", jac=41, cores=1, seconds=41)
    assert (text(chromium, "seconds-text"), text(chromium, "jac-text")) == ("10 ms", "3.98 evaluations")
    cores = chromium.run("optcoreReport.data.cores[1]")

    def costs(price: float, **options: str) -> pd.DataFrame:
        return cost_table(results, cost=VirtualClock(0.01, 0.01 * price, cores, **options))

    np.testing.assert_allclose(0.01 * table(chromium), costs(3.98).replace(np.inf, np.nan), rtol=1e-12)
    chromium.run(f"{own}.click(); {SETTLE}")
    expected = costs(3.98, overhead_seconds="measured")
    np.testing.assert_allclose(0.01 * table(chromium), expected.replace(np.inf, np.nan), rtol=1e-5)
    assert not np.allclose(expected.replace(np.inf, 0), costs(3.98).replace(np.inf, 0))
    axis = chromium.run("document.getElementById('data-profile').layout.xaxis.title.text")
    assert "10 ms an evaluation, and the solver's own time" in axis

    pair = ["scipy_lbfgsb [forward]", "scipy_lbfgsb [analytic]"]
    found = chromium.run("optcoreReport.pairOf({}, {})".format(*numbers(chromium, *pair)))
    assert found["verdict"] == "above"
    sums = []
    for factor in (1 - 1e-4, 1 + 1e-4):
        both = costs(found["price"] * factor, overhead_seconds="measured")[pair]
        sums.append(both[np.isfinite(both).all(axis=1)].sum())
    assert sums[0].iloc[0] > sums[0].iloc[1]
    assert sums[1].iloc[0] < sums[1].iloc[1]
    assert "own time is added, at 10 ms an evaluation" in text(chromium, "pair-says")
    chromium.run(f"document.getElementById('reset').click(); {SETTLE}")
    np.testing.assert_array_equal(table(chromium), cost_table(results).replace(np.inf, np.nan))
    assert chromium.run(f"[{own}.disabled, {own}.checked]") == [True, False]
    assert chromium.console == []


def test_without_a_clock_the_page_says_that_the_solvers_own_time_is_left_out(page):
    assert page.run("document.getElementById('own-label').hidden")
    assert "was not measured, and is left out" in text(page, "own-note")


PAIRS = [
    ("scipy_lbfgsb [forward]", "scipy_lbfgsb [analytic]"),
    ("scipy_ls_lm [central]", "scipy_ls_lm [jax]"),
    ("scipy_lbfgsb [analytic]", "scipy_lbfgsb [forward]"),
    ("scipy_lbfgsb [forward]", "nlopt_neldermead [none]"),
]


def numbers(page: Browser, *pair: str) -> tuple[int, ...]:
    labels = [s["label"] for s in page.run("optcoreReport.data.solvers")]
    return tuple(labels.index(name) for name in pair)


@pytest.mark.parametrize("unit", ["n", "evaluations"])
def test_the_break_even_sentence_is_that_of_python(page, results, unit):
    hits = hit_counts(results)
    use(page, jac_unit=unit)
    for pair in PAIRS:
        a, b = numbers(page, *pair)
        use(page, pair_a=a, pair_b=b)
        expected = break_even(hits, *pair)
        assert text(page, "pair-says").startswith(expected.sentence(unit))
        prices = page.run(f"optcoreReport.pairOf({a}, {b}).each.map((one) => one.price ?? null)")
        known = expected.table[~expected.table["verdict"].isin(["only a", "only b", "neither"])]
        column = known["price_n" if unit == "n" else "price"]
        np.testing.assert_allclose(np.array(prices, dtype=float), column, rtol=1e-14)
    price = 1.1
    use(page, pair_a=numbers(page, PAIRS[0][0])[0], pair_b=numbers(page, PAIRS[0][1])[0], jac=52 if unit == "n" else 27)
    assert text(page, "jac-text").split()[0] == str(price)
    wins = break_even(hits, *PAIRS[0]).cheaper(price, unit)
    assert f"at the price set above, on {wins}." in text(page, "pair-says")


def test_on_several_cores_break_even_prices_are_where_the_costs_of_two_solvers_cross(page, results):
    use(page, jac_unit="evaluations", cores=2)
    cores = page.run("optcoreReport.data.cores[2]")
    pair = list(PAIRS[0])
    found = page.run("optcoreReport.pairOf({}, {})".format(*numbers(page, *pair)))

    def costs(price: float) -> pd.DataFrame:
        table = cost_table(results, 1e-5, VirtualClock(1.0, price, cores))[pair]
        return table[np.isfinite(table).all(axis=1)]

    assert cores == 4
    assert found["both"] == len(costs(0.0)) > 3
    assert found["verdict"] == "above"
    below, above = (costs(found["price"] * factor).sum() for factor in (1 - 1e-9, 1 + 1e-9))
    assert below.iloc[0] >= below.iloc[1]
    assert above.iloc[0] < above.iloc[1]
    for i, one in enumerate(found["each"]):
        if one["verdict"] == "above" and one["price"] > 0:
            below, above = (costs(one["price"] * factor).iloc[i] for factor in (1 - 1e-9, 1 + 1e-9))
            assert below.iloc[0] >= below.iloc[1]
            assert above.iloc[0] < above.iloc[1]


def test_mixed_rounds_bend_the_costs_where_a_jacobian_takes_as_long_as_an_evaluation(page):
    # a: 4 rounds of evaluations and 1 of both kinds; b: 3 of jacobians, one of both kinds. They cross at 4/3.
    a, b = {"p": 5, "q": 0, "r": 4, "s": 1}, {"p": 1, "q": 3, "r": 0, "s": 4}
    cost = {w: (max(1, w) + 4, max(1, w) + 3 * w) for w in (4 / 3,)}
    assert cost[4 / 3][0] == pytest.approx(cost[4 / 3][1])
    found = page.run(f"optcoreCosts.breakEven([[{json.dumps(a)}, {json.dumps(b)}, 1]])")
    assert found["price"] == pytest.approx(4 / 3)
    assert found["verdict"] == "above"
    found = page.run(f"optcoreCosts.breakEven([[{json.dumps(a)}, {json.dumps(b)}, 10]])")
    assert found["price"] == pytest.approx(4 / 30)


def test_solvers_are_picked_by_algorithm_and_strategy(page, results):
    box = "[...document.querySelectorAll('#panel label')].find((l) => l.textContent === '{}').click(); " + SETTLE
    page.run(box.format("central"))
    shown = drawn(page, "data-profile")["solver"].unique().tolist()
    expected = [s for s in cost_table(results) if "central" not in s]
    assert shown == expected
    page.run("document.getElementById('none').click(); " + SETTLE)
    assert page.run("document.getElementById('data-profile').data.length") == 0
    assert text(page, "cheapest") == "None of the solvers shown solves a problem."
    page.run("document.getElementById('all').click(); " + SETTLE)
    assert drawn(page, "data-profile")["solver"].nunique() == cost_table(results).shape[1]
    assert page.console == []


def test_tables_are_sorted_and_filtered(page, results):
    column = "[...document.querySelectorAll('#summary tbody tr:not([hidden])')].map((r) => r.cells[6].textContent)"
    head = "[...document.querySelectorAll('#summary .sort')].find((b) => b.textContent === '1e-10').click()"
    page.run(head)
    values = list(map(int, page.run(column)))
    assert values == sorted(values)
    assert len(set(values)) > 1
    page.run(head)
    assert list(map(int, page.run(column))) == sorted(values, reverse=True)
    search = "(() => {{ const s = document.querySelector('#{} input[type=search]'); s.value = '{}'; "
    search += "s.dispatchEvent(new Event('input')); }})()"
    page.run(search.format("summary", "LBFGSB forward"))
    names = (
        "[...document.querySelectorAll('#summary tbody tr:not([hidden])')].map((r) => r.cells[0].textContent.trim())"
    )
    assert page.run(names) == ["scipy_lbfgsb"]
    assert "1 of 9 rows" in page.run("document.querySelector('#summary .filter').textContent")

    page.run("document.getElementById('runs').open = true; " + SETTLE)
    runs = results.runs[results.runs["status"] != "not_applicable"]
    count = "document.querySelectorAll('#run-table tbody tr:not([hidden])').length"
    assert page.run(count) == len(runs)
    status = runs["status"].value_counts().index[-1]
    page.run(search.format("runs", status))
    assert page.run(count) == (runs["status"] == status).sum()
    use(page, tau="1e-1")  # the table is made anew, the filter stays
    assert page.run(count) == (runs["status"] == status).sum()


def test_convergence_is_drawn_for_the_problem_that_is_picked(page, results):
    page.run("location.hash = '#convergence'; " + SETTLE)
    assert page.run("document.getElementById('convergence').open")
    title = "document.getElementById('convergence-plot').layout.title.text"
    assert page.run(title) == "9 problems, median"
    page.run("document.getElementById('next').click(); " + SETTLE)
    first = cost_table(results).index[0]
    assert page.run(title) == first
    use(page, convergence_cost=1)
    axis = page.run("document.getElementById('convergence-plot').layout.xaxis.title.text")
    assert "counts as n" in axis
    page.run("document.getElementById('previous').click(); document.getElementById('previous').click(); " + SETTLE)
    assert page.run(title) == cost_table(results).index[-1]
    assert page.console == []


def test_calls_without_a_value_have_strokes_in_the_convergence_of_their_problem(chromium, tmp_path):
    runs = [run("a", values=[4, np.nan, 1, np.inf]), run("b", values=[4, 2]), run("a", "q", [1, 0]), run("b", "q", [1])]
    chromium.size(1280)
    chromium.open(write_report(make_results(*runs), tmp_path / "report.html"))
    chromium.run("location.hash = '#convergence'; " + SETTLE)
    shapes = "(document.getElementById('convergence-plot').layout.shapes || []).map((s) => [s.name, s.path])"
    assert chromium.run(shapes) == []
    chromium.run("document.getElementById('next').click(); " + SETTLE)
    assert chromium.run(shapes) == [["a [none]: 2 failed", "M2,0L2,0.022M4,0L4,0.022"]]
    drawn = "document.querySelectorAll('#convergence-plot .shapelayer path').length"
    assert chromium.run(drawn) == 1
    assert "Strokes at the foot" in chromium.run("document.getElementById('convergence-note').textContent")
    chromium.run("document.getElementById('next').click(); " + SETTLE)
    assert chromium.run(shapes) == []
    assert chromium.console == []


def test_sliders_are_moved_by_keys_and_say_what_they_mean(page):
    focus = "(() => { const e = document.activeElement; return [e.id, getComputedStyle(e).outlineStyle]; })()"
    page.run("document.getElementById('none').focus()")
    seen = []
    for _ in range(200):
        page.key("Tab", 9)
        seen.append(page.run(focus))
        if seen[-1][0] == "seconds":
            break
    order = [name for name, _ in seen if name in ("jac", "jac-unit", "cores", "seconds", "reset")]
    assert order == ["reset", "jac", "jac-unit", "cores", "seconds"]
    assert {style for _, style in seen} == {"solid"}  # where the focus is can be seen
    page.run("document.getElementById('jac').focus()")
    for _ in range(51):
        page.key("ArrowRight", 39)
    page.run(SETTLE)
    assert page.run("document.getElementById('jac').getAttribute('aria-valuetext')") == "n evaluations"
    page.run("document.getElementById('cores').focus()")
    page.key("ArrowRight", 39)
    assert page.run("document.getElementById('cores').getAttribute('aria-valuetext')") == "2"
    unnamed = "[...document.querySelectorAll('input, select, button')].filter((c) => !(c.labels && c.labels.length) &&"
    unnamed += " !c.textContent.trim() && !c.getAttribute('aria-label')).map((c) => c.outerHTML)"
    assert page.run(unnamed) == []


def test_a_dark_page_has_light_text(chromium, path):
    chromium.prefer(prefers_color_scheme="dark", prefers_reduced_motion="reduce")
    chromium.open(path)
    light = "getComputedStyle(document.body).{}.match(/\\d+/g).slice(0, 3).every((v) => Number(v) {})"
    assert chromium.run(light.format("color", "> 200"))
    assert chromium.run(light.format("backgroundColor", "< 50"))
    assert chromium.run("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    chromium.prefer()


def test_without_plotlys_server_a_small_page_says_why_it_has_no_figures_and_works_otherwise(
    chromium, results, tmp_path
):
    path = write_report(results, tmp_path / "small.html", cdn=True)
    path.write_text(path.read_text().replace("https://cdn.plot.ly/plotly", "https://unreachable.invalid/plotly"))
    chromium.size(1280)
    chromium.open(path)
    assert chromium.run("typeof Plotly") == "undefined"
    assert chromium.run("document.getElementById('no-plots').checkVisibility()")
    assert "it did not load: open the page with a network" in text(chromium, "no-plots")
    assert "cost" in text(chromium, "pair-says")
    chromium.run(OPEN_ALL)
    assert chromium.run("document.querySelectorAll('#cost-table tbody tr').length") == len(cost_table(results))
    assert not chromium.run("[...document.querySelectorAll('.plot')].some((plot) => plot.checkVisibility())")
    assert not [line for line in chromium.console if "Plotly" in line or "Error:" in line]


def test_a_page_with_its_library_has_no_notice_that_it_is_missing(page):
    assert not page.run("document.getElementById('no-plots').checkVisibility()")


def test_one_solver_has_no_pair_to_compare_and_ticks_on_its_axis(chromium, tmp_path):
    results = make_results(run("only", "p", [5.0, 4.0, 0.0], n=2))
    chromium.size(1280)
    chromium.open(write_report(results, tmp_path / "one.html"))
    chromium.run(OPEN_ALL)
    for name in ("pair-choice", "pair-says", "break-even-table"):
        assert not chromium.run(f"document.getElementById('{name}').checkVisibility()"), name
    assert "none is the same algorithm as another" in text(chromium, "break-even-note")
    assert chromium.run("document.querySelectorAll('#data-profile .xtick').length") >= 3
    facts = chromium.run("[...document.querySelectorAll('.facts dt')].map((dt) => dt.textContent)")
    assert facts == ["problem", "solver", "run", "evaluations", "failed runs"]
    assert chromium.console == []


def test_two_solvers_that_are_one_are_not_compared(page):
    use(page, pair_a=0, pair_b=0)
    assert text(page, "pair-says") == "Choose two solvers to compare."


def test_solvers_that_solve_nothing_are_a_line_at_zero(chromium, tmp_path):
    results = make_results(*(run(name, "p", [5.0, 4.0], n=2, f_opt=0.0) for name in "ab"))
    chromium.size(1280)
    chromium.open(write_report(results, tmp_path / "none.html"))
    lines = "document.querySelectorAll('#data-profile .scatterlayer path.js-line')"
    assert chromium.run(f"[...{lines}].map((line) => line.getBBox().width > 300)") == [True, True]


def test_names_with_markup_are_read_as_they_are_in_legends(chromium, tmp_path):
    results = make_results(*(run(name, "p", [5.0, 0.0], n=2) for name in ("<mine>", "<b>x</b>")))
    chromium.size(1280)
    chromium.open(write_report(results, tmp_path / "names.html"))
    chromium.run(OPEN_ALL)
    for place in ("#data-profile", "details[data-name=performance_profile]"):
        legend = f"[...document.querySelectorAll('{place} .legendtext')].map((entry) => entry.textContent)"
        assert chromium.run(legend) == ["<mine> [none]", "<b>x</b> [none]"], place


def test_titles_of_figures_fit_a_phone(chromium, path):
    chromium.size(400)
    chromium.open(path)
    chromium.run(OPEN_ALL)
    cut = """[...document.querySelectorAll('details.figure .plot')].filter((plot) => {
      const box = plot.getBoundingClientRect();
      const titles = [...plot.querySelectorAll('.gtitle, .xtitle')].map((title) => title.getBoundingClientRect());
      return titles.some((title) => title.left < box.left - 1 || title.right > box.right + 1);
    }).map((plot) => plot.parentElement.dataset.name)"""
    assert chromium.run(cut) == []

"""The report in a real browser: it is drawn, its controls work, and its numbers are those of Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optcore_bench.costs import VirtualClock, cost_table, dimensions
from optcore_bench.profiles import data_profile, ecdf, performance_profile
from optcore_bench.report import write_report
from tests.bench.browser import CHROMIUM, Browser, browser
from tests.bench.fake_results import study_results

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome is installed")

#: Lets what was asked for be drawn.
SETTLE = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50))))"
OPEN_ALL = "document.querySelectorAll('main details.more').forEach((d) => { d.open = true; }); " + SETTLE
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
    chromium.run(OPEN_ALL)
    chromium.run(OPEN_ALL)  # the curves are unpacked meanwhile
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


@pytest.mark.parametrize("cores", [1, 4])
def test_break_even_prices_are_where_the_costs_of_two_solvers_cross(page, results, cores):
    use(page, jac_unit="evaluations", cores=page.run(f"optcoreReport.data.cores.indexOf({cores})"))
    labels = [s["label"] for s in page.run("optcoreReport.data.solvers")]
    without, with_jac = "scipy_lbfgsb [forward]", "scipy_lbfgsb [analytic]"
    a, b = labels.index(without), labels.index(with_jac)
    prices = page.run(f"optcoreReport.breakEvens({a}, {b}).map((v) => (v === Infinity ? 'inf' : v))")

    def costs(price: float) -> pd.DataFrame:
        found = cost_table(results, 1e-5, VirtualClock(1.0, price, cores))[[without, with_jac]]
        return found[np.isfinite(found).any(axis=1)]

    assert len(prices) == len(costs(0.0))
    for i, price in enumerate(map(float, prices)):
        if price > 0:  # up to the price it isn't cheaper, beyond it is
            below = costs(min(price * (1 - 1e-9), 1e12)).iloc[i]
            assert below[without] >= below[with_jac]
        if price < np.inf:
            above = costs(price * (1 + 1e-9) + 1e-12).iloc[i]
            assert above[without] < above[with_jac]
    use(page, pair_a=a, pair_b=b)
    median = np.quantile(list(map(float, prices)), 0.5, method="inverted_cdf")
    if len(prices) % 2:
        assert f"{without} beats {with_jac} if a jacobian costs more than {median:.3g} evaluations" in text(
            page, "pair-says"
        )
    finite = np.isfinite(list(map(float, prices))).sum()
    assert (
        f"(median of the {len(prices)} problems that one of them solves). There is such a price on {finite} of them"
        in (text(page, "pair-says"))
    )


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
    page.run(SETTLE)
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

"""Plots: the numbers in the traces, and what images need."""

import sys
import types

import numpy as np
import pytest

import optcore as om
from tests.core.counting import ROSENBROCK_START, rosenbrock, rosenbrock_gradient, rosenbrock_residuals


@pytest.fixture(scope="module")
def results():
    return {
        "analytic": om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb", jac=rosenbrock_gradient),
        "numerical": om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb"),
        "least squares": om.minimize(om.mark.least_squares(rosenbrock_residuals), ROSENBROCK_START, "scipy_ls_lm"),
    }


def test_criterion_plot_has_one_trace_per_result_named_by_its_key(results):
    figure = om.criterion_plot(results)
    assert [trace.name for trace in figure.data] == list(results)
    for trace, result in zip(figure.data, results.values(), strict=True):
        np.testing.assert_array_equal(trace.y, result.history.fun[result.history.asked])
        assert trace.y[0] == pytest.approx(24.2)
    assert figure.layout.xaxis.title.text == "Number of evaluations"
    assert figure.layout.yaxis.title.text == "Criterion value"


def test_numerical_derivatives_move_the_line_to_the_right(results):
    analytic, numerical, _ = om.criterion_plot(results).data
    np.testing.assert_array_equal(analytic.x, np.arange(1, 45))
    np.testing.assert_array_equal(numerical.x, np.arange(1, 45) * 3 - 2)


def test_monotone_lines_never_rise_and_cut_lines_end_there(results):
    for trace in om.criterion_plot(results, monotone=True, max_evaluations=30).data:
        assert (np.diff(trace.y) <= 0).all()
        assert max(trace.x) <= 30


def test_names_and_scale(results):
    figure = om.criterion_plot(list(results.values()), names=["a", "b", "c"], log_scale=True)
    assert [trace.name for trace in figure.data] == ["a", "b", "c"]
    assert figure.layout.yaxis.type == "log"
    assert [trace.name for trace in om.criterion_plot(list(results.values())).data] == ["0", "1", "2"]
    assert len(om.criterion_plot(results["analytic"]).data) == 1


def test_params_plot_has_one_trace_per_param(results):
    history = results["numerical"].history
    figure = om.params_plot(results["numerical"])
    assert [trace.name for trace in figure.data] == ["0", "1"]
    for i, trace in enumerate(figure.data):
        np.testing.assert_array_equal(trace.y, history.flat_params[history.asked][:, i])
        np.testing.assert_array_equal(trace.x, np.flatnonzero(history.asked) + 1)


def test_params_plot_draws_a_selection_of_a_tree():
    result = om.minimize(lambda p: p["b"] ** 2 + p["a"] @ p["a"], {"b": 1.0, "a": np.ones(3)}, "scipy_lbfgsb")
    figure = om.params_plot(result, selector=lambda p: {"x": p["b"], "y": p["a"][1:]}, max_evaluations=5)
    assert [trace.name for trace in figure.data] == ["b", "a[1]", "a[2]"]
    assert list(figure.data[0].x) == [1]


def test_a_plot_of_nothing_says_why(results):
    empty = om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb", collect_history=False)
    with pytest.raises(om.InvalidInputError, match="'mine' has no history; optimize with collect_history=True"):
        om.criterion_plot({"mine": empty})
    with pytest.raises(om.InvalidInputError, match=r"'mine' must be a result of om.minimize or om.maximize, but is 3"):
        om.criterion_plot({"mine": 3})
    with pytest.raises(om.InvalidInputError, match=r"there are 3 results, but 2 names: \['a', 'b'\]"):
        om.criterion_plot(list(results.values()), names=["a", "b"])
    with pytest.raises(om.InvalidInputError, match="'result' must be a result"):
        om.params_plot(3)


def test_an_image_without_kaleido_says_what_to_install(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "kaleido", None)  # an import of it raises ImportError
    with pytest.raises(
        om.MissingLibraryError, match=r"a figure as png needs kaleido: pip install 'optcore\[figures\]'"
    ):
        om.criterion_plot(results).show(renderer="png")


def test_an_image_without_a_browser_says_what_to_install(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "kaleido", types.ModuleType("kaleido"))

    def to_image(self, **kwargs):
        raise RuntimeError("Kaleido requires Google Chrome to be installed.")

    figure = om.criterion_plot(results)
    monkeypatch.setattr(type(figure), "to_image", to_image)
    with pytest.raises(om.MissingLibraryError, match=r"needs Chrome or Chromium: .* or use fig.write_html"):
        figure.show(renderer="svg")


def test_an_image_is_written_to_a_file_that_is_named(results, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "kaleido", types.ModuleType("kaleido"))
    figure = om.criterion_plot(results)
    monkeypatch.setattr(type(figure), "to_image", lambda self, format: b"the image" + format.encode())
    path = figure.show(renderer="png")
    assert path.read_bytes() == b"the imagepng"
    assert capsys.readouterr().out == f"figure written to {path}\n"
    path.unlink()


def test_the_figure_can_be_written_as_html(results, tmp_path):
    om.criterion_plot(results).write_html(tmp_path / "figure.html", include_plotlyjs=False)
    assert "least squares" in (tmp_path / "figure.html").read_text()

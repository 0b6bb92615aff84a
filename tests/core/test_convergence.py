"""How much still changed in the end, against hand-computed numbers and those of a peer."""

import numpy as np
import pytest

import optcore as om
from optcore.convergence import convergence_report
from optcore.history import FUN, JAC, NUMDIFF, History, HistoryRows

POINTS = np.array(
    [[4, 1], [3, 1], [9, 9], [2, 0.5], [1.5, 0.5], [1.5, 0.3], [1.1, 0.01], [1.2, 0.2], [1.05, 0.02], [1.04, 0.03]]
)
VALUES = np.array([20, 9, 90, 3, 2, 2, 1.2, 1.9, 1.05, 1.02])

#: get_convergence_report of optimagic 0.5.3 for a history of these points and values.
PEER = {
    "one_step": {
        "relative_criterion_change": 0.029411764705882377,
        "relative_params_change": 0.10046121451237672,
        "absolute_criterion_change": 0.030000000000000027,
        "absolute_params_change": 0.014142135623730956,
    },
    "five_steps": {
        "relative_criterion_change": 1.9411764705882353,
        "relative_params_change": 4.7897882005279895,
        "absolute_criterion_change": 1.98,
        "absolute_params_change": 1.0688779163215976,
    },
}


def history(values, points, task=None, direction="minimize", feasible=None):
    k = len(values)
    codes = np.full(k, FUN, np.uint8) if task is None else np.array(task, np.uint8)
    times = np.arange(k, dtype=float)
    rows = HistoryRows(codes, np.asarray(values, float), times.astype(np.int32), times, times, points, feasible)
    return History(rows, direction)


@pytest.mark.parametrize(("direction", "sign"), [("minimize", 1), ("maximize", -1)])
def test_the_numbers_are_those_of_the_peer(direction, sign):
    report = convergence_report(history(sign * VALUES, POINTS, direction=direction))
    assert report.keys() == PEER.keys()
    for span, measures in PEER.items():
        assert report[span] == pytest.approx(measures, rel=1e-13)


def test_with_two_points_by_hand_both_spans_are_one_step():
    report = convergence_report(history([5.0, 0.02], np.array([[3.0, 4.0], [0.0, 2.0]])))
    assert report["one_step"] == report["five_steps"]
    assert report["one_step"] == pytest.approx(
        {
            "absolute_criterion_change": 4.98,
            "relative_criterion_change": 49.8,  # in units of 0.1, as 0.02 is smaller
            "absolute_params_change": np.sqrt(3**2 + 2**2),
            "relative_params_change": np.sqrt(30**2 + 1**2),  # 3 in units of 0.1, 2 in units of 2
        }
    )


def test_points_for_derivatives_outside_the_bounds_or_without_a_value_are_no_steps():
    values = [9.0, 1.0, np.nan, 0.0, 4.0, np.nan]
    points = np.arange(6.0)[:, None]
    report = convergence_report(
        history(
            values,
            points,
            task=[FUN, NUMDIFF, JAC, FUN, FUN, FUN],
            feasible=np.array([True, True, True, False, True, True]),
        )
    )
    assert report["one_step"]["absolute_criterion_change"] == 5
    assert report["one_step"]["absolute_params_change"] == 4


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [np.nan, 1.0]], ids=str)
def test_with_less_than_two_accepted_points_there_is_no_report(values):
    assert convergence_report(history(values, np.zeros((len(values), 1)))) is None


def test_values_that_overflow_give_numbers_or_nan_and_no_warning():
    report = convergence_report(history([np.inf, 1e308, -1e308], np.array([[1e200], [1e300], [-1e300]])))
    assert report["one_step"]["absolute_criterion_change"] == np.inf
    assert report["five_steps"]["absolute_criterion_change"] == np.inf


def test_a_result_without_history_has_no_report_and_one_with_improvements_only_has_the_same():
    def fun(x):
        return float(x @ x)

    reports = [
        om.minimize(fun, np.array([3.0, 1.0]), "scipy_neldermead", collect_history=collect).convergence_report
        for collect in (True, "best", False)
    ]
    assert reports[0]["one_step"] == reports[1]["one_step"]
    assert 0 < reports[0]["one_step"]["relative_params_change"] < 1e-3
    assert reports[2] is None

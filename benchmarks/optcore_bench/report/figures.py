"""The figures of the gallery for the page, which draws one when its heading is opened."""

from __future__ import annotations

import json
from typing import Any

from optcore_bench.gallery import figures_of
from optcore_bench.statistics.of_store import StoreStatistics

__all__ = ["figure_data"]

#: What the page draws itself, for what the reader chooses.
OWN = ("costs_by_problem",)
HEADINGS = {
    "performance_profile": "Performance profile with bands",
    "data_profile": "Data profile with bands",
    "accuracy_profile": "Accuracy profile with bands",
    "log_ratio_profile": "Log-ratio profile of the two best",
    "run_times": "Run times, all accuracies pooled",
    "scores": "Area scores",
    "expected_run_times": "Expected run times",
    "ranks": "Mean ranks",
    "pairs": "Wins of every pair",
    "flips": "Pairs whose order depends on who else is compared",
    "order_by_tau": "Order of the solvers by accuracy",
    "digits_by_problem": "Digits of every problem",
    "over_starts": "Median and quartiles over starts",
    "derivative_errors": "Error of the derivative against cost",
}


def figure_data(statistics: StoreStatistics, tau: float) -> list[dict[str, Any]]:
    """Every figure of a store but convergence, which the page draws for the problem that is picked.

    Args:
        statistics: of the store, with at least one run that applies.
        tau: accuracy of the convergence test.

    Returns:
        JSON-able: `name`, `title`, and `figure` with plotly's `data` and `layout`.
    """
    plots = figures_of(statistics, tau, curves=False)
    return [
        {
            "name": name,
            "title": HEADINGS.get(name, name.replace("_", " ")),
            "figure": json.loads(plot.figure().to_json()),
        }
        for name, plot in plots.items()
        if name not in OWN
    ]

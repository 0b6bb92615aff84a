"""Statistics of cost tables: compute -> an object that holds the numbers (`.frame`) -> `.figure()`.

Intervals come from one bootstrap (`Bootstrap`), which draws functions with all their rows: rows of one function, in
several sizes or from several starts, are not independent of each other (`clusters`).

>>> import pandas as pd
>>> from optcore_bench.statistics import area_scores, pairwise_table
>>> costs = pd.DataFrame({"a": [12.0, 30.0], "b": [24.0, float("inf")]}, index=["suite/p", "suite/q"])
>>> int(pairwise_table(costs).of("a", "b").wins)
2
"""

from optcore_bench.statistics.bands import (
    BandPlot,
    accuracy_bands,
    data_profile_bands,
    ecdf_bands,
    performance_bands,
)
from optcore_bench.statistics.bootstrap import Bootstrap
from optcore_bench.statistics.clusters import clusters, rows_by_problem
from optcore_bench.statistics.derivative_errors import DerivativeErrors, derivative_errors
from optcore_bench.statistics.flips import Flips, OrderChanges, flips, order_changes
from optcore_bench.statistics.heat import HeatMap, cost_heat_map, digits_heat_map
from optcore_bench.statistics.log_ratios import LogRatioPlot, log_ratio_plot
from optcore_bench.statistics.pairs import PairwiseTable, pairwise_table
from optcore_bench.statistics.ranks import RankTable, rank_table
from optcore_bench.statistics.run_times import (
    ExpectedRunTimes,
    expected_run_times,
    restarted,
    run_times,
    spent_table,
)
from optcore_bench.statistics.scores import LIMITS, AreaScores, area_scores
from optcore_bench.statistics.starts import ENOUGH_STARTS, OverStarts, few_starts, over_starts, random_algorithms

__all__ = [
    "ENOUGH_STARTS",
    "LIMITS",
    "AreaScores",
    "BandPlot",
    "Bootstrap",
    "DerivativeErrors",
    "ExpectedRunTimes",
    "Flips",
    "HeatMap",
    "LogRatioPlot",
    "OrderChanges",
    "OverStarts",
    "PairwiseTable",
    "RankTable",
    "accuracy_bands",
    "area_scores",
    "clusters",
    "cost_heat_map",
    "data_profile_bands",
    "derivative_errors",
    "digits_heat_map",
    "ecdf_bands",
    "expected_run_times",
    "few_starts",
    "flips",
    "log_ratio_plot",
    "order_changes",
    "over_starts",
    "pairwise_table",
    "performance_bands",
    "random_algorithms",
    "rank_table",
    "restarted",
    "rows_by_problem",
    "run_times",
    "spent_table",
]

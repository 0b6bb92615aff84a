"""Statistics of cost tables: compute -> an object that holds the numbers (`.frame`) -> `.figure()`.

| question | function |
|---|---|
| how sure is the height of a curve? | `performance_bands`, `data_profile_bands`, `accuracy_bands`, `ecdf_bands` |
| how long until a target is reached, over all targets? | `run_times`, then `ecdf_bands` |
| how long with restarts, as in COCO? | `expected_run_times`; `restarted` simulates them |
| one number a solver | `area_scores`: area under the data or performance profile over log x, from `LIMITS` |
| solvers two by two | `pairwise_table`: wins, ties, losses, median log2 ratio; `log_ratio_plot` |
| mean ranks | `rank_table` |
| several starts | `over_starts`: median and quartiles; `few_starts` warns below fifteen where something is random |
| does the order depend on who else is compared? | `flips` |
| does it depend on tau, or on the cost? | `order_changes` of several tables |
| where does who fail? | `cost_heat_map`, `digits_heat_map` |
| what is an exact derivative worth? | `derivative_errors` |

What is not solved costs inf, stays in every denominator, loses against whatever is solved, and ties in the last ranks.
Equal costs are ties. Intervals are percentiles of one bootstrap (`Bootstrap`: 1000 replicates, 95 %, seed 0), which
draws functions with all their rows: rows of one function, in several sizes or from several starts, are not independent
of each other (`clusters`). Bands hold pointwise. The same table and seed give the same numbers.

>>> import pandas as pd
>>> from optcore_bench.statistics import area_scores, clusters, pairwise_table
>>> costs = pd.DataFrame(
...     {"a": [12.0, 30.0, 44.0], "b": [24.0, float("inf"), 40.0]}, index=["suite/p_n2", "suite/p_n4", "suite/q"]
... )
>>> row = pairwise_table(costs).of("a", "b")
>>> int(row.wins), int(row.losses), int(row.more_solved)
(2, 1, 1)
>>> area_scores(costs, "performance").frame["score"].round(2).tolist()
[0.99, 0.62]
>>> sorted(set(clusters(costs)))  # two functions, of which `Bootstrap` draws two
['p', 'q']
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

"""Several starts of a problem: median and quartiles, and whether there are enough of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from optcore.errors import OptcoreError
from optcore_bench.evaluations import Evaluations, HasTables
from optcore_bench.figures import order_of, solver_styles
from optcore_bench.profiles import performance_ratios
from optcore_bench.statistics.bootstrap import weighted_medians
from optcore_bench.statistics.clusters import rows_by_problem
from optcore_bench.statistics.drawing import dots

if TYPE_CHECKING:
    from optcore.plots.styles import LineStyle

#: Kinds of noise that are one fixed function.
_NOT_RANDOM = ("rounded", "wild")

__all__ = ["ENOUGH_STARTS", "OverStarts", "few_starts", "over_starts", "random_algorithms"]

#: Fewer starts than this say little about something that is random; COCO asks for as many instances.
ENOUGH_STARTS = 15


@dataclass(frozen=True, eq=False)
class OverStarts:
    """What happened from several starts of each problem.

    Attributes:
        frame: columns `problem, solver, starts, solved, median, lower, upper`; lower and upper are the quartiles.
            Starts that weren't solved count as infinitely expensive; where the median is between a finite and an
            infinite cost, it is the finite one.
        warnings: sentences about what is random and has too few starts.
        cost: in words.
        order: labels of all solvers of the study, which decide how each is drawn.
    """

    frame: pd.DataFrame
    warnings: tuple[str, ...]
    cost: str
    order: tuple[str, ...] = ()

    def figure(self, styles: Mapping[str, LineStyle] | None = None) -> Any:
        """Draw median and quartiles: a row a problem, a mark a solver; none where the median is infinite.

        Args:
            styles: how to draw each solver; `solver_styles` by default.
        """
        finite = self.frame[np.isfinite(self.frame["median"])]
        shown = finite.rename(columns={"median": "x", "problem": "y"})
        rows = list(dict.fromkeys(self.frame["problem"]))
        figure = dots(shown, styles or solver_styles(self.frame["solver"], self.order), rows)
        figure.update_layout(title_text="Median and quartiles over starts")
        figure.update_xaxes(title_text=self.cost, type="log", exponentformat="power")
        return figure


def over_starts(costs: pd.DataFrame, results: HasTables | Evaluations | None = None) -> OverStarts:
    """Median and quartiles of the cost over the starts of each problem.

    Args:
        costs: a cost table with the rows `suite/problem`, `suite/problem#2`, ...
        results: where the costs come from; needed for the warnings.

    >>> costs = pd.DataFrame({"a": [1.0, 3.0, np.inf]}, index=["s/p", "s/p#2", "s/p#3"])
    >>> over_starts(costs).frame.values.tolist()
    [['s/p', 'a', 3, 2, 3.0, 1.0, inf]]
    """
    performance_ratios(costs)  # checks the costs
    frames = []
    groups = rows_by_problem(costs).to_numpy()
    for problem in dict.fromkeys(groups):
        values = costs.to_numpy(dtype=float)[groups == problem]
        even = np.ones((len(values), 1), dtype=np.int32)
        quartiles = np.quantile(values, [0.25, 0.75], axis=0, method="inverted_cdf")
        frames.append(
            pd.DataFrame(
                {
                    "problem": problem,
                    "solver": costs.columns,
                    "starts": len(values),
                    "solved": np.isfinite(values).sum(axis=0),
                    "median": [float(weighted_medians(column, even)[0]) for column in values.T],
                    "lower": quartiles[0],
                    "upper": quartiles[1],
                }
            )
        )
    warnings = () if results is None else few_starts(results)
    return OverStarts(pd.concat(frames, ignore_index=True), warnings, costs.attrs.get("cost", "cost"), order_of(costs))


def random_algorithms(results: HasTables | Evaluations) -> list[str]:
    """Algorithms of the results that draw random numbers, by the names that they have there.

    Those that nobody here knows (a user's own, or of a library that isn't installed) are taken to be deterministic.
    """
    evaluations = Evaluations.read(results)
    source: Any = evaluations.source
    study = getattr(source, "study", None)
    listed = study.get("algorithms", ()) if isinstance(study, Mapping) else ()
    entries = {_name(entry): entry for entry in ([listed] if isinstance(listed, (str, Mapping)) else listed)}
    names = dict.fromkeys(map(str, evaluations.runs["algorithm"][evaluations.applicable]))
    return [name for name in names if not _is_deterministic(entries.get(name, name))]


def few_starts(results: HasTables | Evaluations) -> tuple[str, ...]:
    """Sentences about what is random (a solver, noise) and was run from fewer than fifteen starts."""
    evaluations = Evaluations.read(results)
    runs = evaluations.runs[evaluations.applicable]
    if runs.empty:
        return ()
    starts = int(runs.groupby(["suite", "problem"], dropna=False)["start"].nunique().min())
    if starts >= ENOUGH_STARTS:
        return ()
    advice = f"{'one start' if starts == 1 else f'{starts} starts'} of each problem can't tell what is typical: "
    advice += f"give the study starts = {ENOUGH_STARTS} or more"
    found = []
    if random := random_algorithms(evaluations):
        found.append(f"{', '.join(random)} {'draws' if len(random) == 1 else 'draw'} random numbers, and {advice}.")
    kinds = {str(noise) for noise in runs["noise"].dropna().unique() if noise}
    noises = sorted(noise for noise in kinds if not noise.startswith(_NOT_RANDOM))
    if noises:
        found.append(f"The objective is noisy ({', '.join(noises)}), and {advice}.")
    return tuple(found)


def _name(entry: Any) -> str:
    return str(entry.get("name", entry.get("algorithm"))) if isinstance(entry, Mapping) else str(entry)


def _is_deterministic(entry: Any) -> bool:
    from optcore_bench.algorithms import algorithm_entry

    try:
        return bool(algorithm_entry(entry).make().is_deterministic)
    except (OptcoreError, ImportError):
        return True

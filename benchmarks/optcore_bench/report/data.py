"""The numbers of a report, as plain lists and dicts for the page's script.

The page holds counts at the first hits, not costs or profiles: its script makes these, so that they can be drawn
again for the solvers that the reader picks and for what a call and a jacobian cost where they will be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from optcore_bench.costs import dimensions, tau_label
from optcore_bench.evaluations import Evaluations, Ints
from optcore_bench.figures import base_layout, solver_styles
from optcore_bench.report.curves import numbers
from optcore_bench.report.hits import core_counts, hit_data, measured_prices, own_time
from optcore_bench.report.markup import swatch
from optcore_bench.statistics.of_store import StoreStatistics

__all__ = ["page_data"]


def page_data(
    statistics: StoreStatistics, taus: Sequence[float], pair: tuple[str, str] | None = None
) -> dict[str, Any]:
    """Everything that the page computes with.

    Args:
        statistics: of the store, with at least one run that applies.
        taus: accuracies to choose from.
        pair: two solvers that are compared at first; the first and the last by default.

    Returns:
        JSON-able. `hits` and `own` as `report.hits` says; `prices[solver][problem]` of a jacobian as measured, in
        evaluations, or null; `runs` with the status, the number of evaluations and what is left of f_start - f_L, by
        solver and problem.
    """
    evaluations = statistics.evaluations
    solvers, problems = evaluations.cells.columns, evaluations.cells.rows
    styles = solver_styles(solvers, evaluations.solvers)
    labels = evaluations.runs.drop_duplicates("solver").set_index("solver")
    cells = _cells(evaluations)
    cores = core_counts(evaluations)
    hits = [statistics.hits(tau) for tau in taus]
    return {
        "solvers": [
            {"label": s, "algorithm": str(labels.at[s, "algorithm"]), "derivative": _text(labels.at[s, "derivative"])}
            | styles[s]._asdict()
            | {"swatch": swatch(styles[s])}
            for s in solvers
        ],
        "problems": problems,
        "n": numbers(dimensions(evaluations).reindex(problems).to_numpy(dtype=float)),
        "taus": [tau_label(tau) for tau in taus],
        "pair": [solvers.index(name) for name in pair] if pair else [0, len(solvers) - 1],
        "cores": cores,
        "hits": hit_data(hits, cores, solvers, problems),
        "own": own_time(evaluations, hits),
        "prices": _prices(evaluations, cells, len(problems)),
        "runs": _runs(statistics, cells, len(problems)),
        "layout": base_layout(),
    }


def _cells(evaluations: Evaluations) -> Ints:
    """`solver * problems + problem` of each run, -1 for pairs that can't be."""
    cells = evaluations.cells
    out = np.full(len(cells.used), -1, dtype=np.int64)
    out[cells.used] = cells.column * len(cells.rows) + cells.row
    return out


def _prices(evaluations: Evaluations, cells: Ints, size: int) -> list[list[float | None]] | None:
    prices = measured_prices(evaluations)
    if prices is None:
        return None
    table = _by_cell(prices, cells, size, np.nan)
    return [[None if np.isnan(v) else v for v in row] for row in table.tolist()]


def _runs(statistics: StoreStatistics, cells: Ints, size: int) -> dict[str, Any]:
    evaluations = statistics.evaluations
    status = evaluations.runs["status"].astype(str)
    words = list(dict.fromkeys(status[evaluations.applicable]))
    codes = np.array([words.index(s) if s in words else -1 for s in status])
    return {
        "words": words,
        "status": _by_cell(codes, cells, size, -1).tolist(),
        "evaluations": _by_cell(np.diff(evaluations.offsets), cells, size, 0).tolist(),
        "gap": [numbers(column, 4) for column in statistics.gaps().to_numpy().T],
    }


def _by_cell(values: Any, cells: Ints, size: int, missing: float) -> Any:
    """One value of each run as a table of solvers x problems."""
    table = np.full(-(-(int(cells.max()) + 1) // size) * size, missing, dtype=values.dtype)
    table[cells[cells >= 0]] = values[cells >= 0]
    return table.reshape(-1, size)


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value)

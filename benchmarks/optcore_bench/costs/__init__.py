"""What it cost each solver to solve each problem: the table that all profiles are made of.

A run has solved its problem at the first evaluation that the solver asked for with
f(x) <= f_L + tau (f_start - f_L), f the noise-free value (More & Wild 2009, SIAM J. Optim. 20(1), eq. (2.2)).

A cost is a model by name: `cost="evaluations"`, `"gradients"` (evaluations over n + 1), `"batches"`, `"seconds"`, or a
`VirtualClock`; `jac_cost` prices a jacobian in evaluations (a number, `"n"`, `"measured"`). What counts as solved is
chosen apart from it: `tau`, `f_opt` (where f_L comes from), `basis` (first hit or returned point) and `solved_by` (f,
distance to x_opt, gradient).

Defined for all of them: NaN never passes, -inf does; a start that isn't finite makes a row not assessable, and nothing
solves it; a start at or below f_L asks for f_L and no more; negative values need nothing special, since only
differences enter; a run that fails costs inf and stays in every denominator. The attrs of a table name the rows that
this is about: `not_assessable`, `not_run`, `degenerate`.

>>> import pandas as pd
>>> from optcore_bench import Results, break_even, cost_table, hit_counts
>>> forward = {"derivative": "forward", "fun": [9.0, 9.1, 9.1, 1.0, 1.1, 1.1, 0.0], "batch": [0, 0, 0, 1, 1, 1, 2],
...            "task": ["fun", "numdiff", "numdiff"] * 2 + ["fun"]}
>>> closed = {"derivative": "analytic", "fun": [9.0, 9.0, 1.0, 1.0, 0.0], "batch": range(5),
...           "task": ["fun", "jac"] * 2 + ["fun"]}
>>> frame = pd.concat([pd.DataFrame(run) for run in (forward, closed)]).reset_index(names="evaluation")
>>> results = Results.from_frame(frame.assign(problem="p", algorithm="mine", n=2, f_opt=0.0))
>>> for options in ({}, {"jac_cost": "n"}, {"cost": "batches"}, {"cost": VirtualClock(1.0, 0.5, cores=3)}):
...     print(cost_table(results, **options).loc["p"].to_dict())
{'mine [analytic]': 3.0, 'mine [forward]': 7.0}
{'mine [analytic]': 7.0, 'mine [forward]': 7.0}
{'mine [analytic]': 5.0, 'mine [forward]': 3.0}
{'mine [analytic]': 4.0, 'mine [forward]': 3.0}

All of that follows from a few counts at the first hit, which are small where histories are large:

>>> hits = hit_counts(results)
>>> hits.costs(fun_seconds=1.0, jac_seconds=0.5, cores=3).loc["p"].to_dict()
{'mine [analytic]': 4.0, 'mine [forward]': 3.0}
>>> break_even(hits, "mine [forward]", "mine [analytic]").total["n"]
Crossing(verdict='above', price=Fraction(1, 1))
"""

from .breakeven import BreakEven, break_even
from .counting import cost_at
from .criteria import degenerate_rows
from .frozen import freeze_reference, read_reference
from .grid import VirtualGrid, virtual_grid
from .hits import HitCounts, hit_counts
from .models import BRACKET, CostModel, JacCost, describe_cost, main_tau, read_taus, tau_label
from .summary import improved, summary_table
from .tables import accuracy_table, cost_table, dimensions, relative_gaps
from .virtual import VirtualClock, expected_longest

__all__ = [
    "BRACKET",
    "BreakEven",
    "CostModel",
    "HitCounts",
    "JacCost",
    "VirtualClock",
    "VirtualGrid",
    "accuracy_table",
    "break_even",
    "cost_at",
    "cost_table",
    "degenerate_rows",
    "describe_cost",
    "dimensions",
    "expected_longest",
    "freeze_reference",
    "hit_counts",
    "improved",
    "main_tau",
    "read_reference",
    "read_taus",
    "relative_gaps",
    "summary_table",
    "tau_label",
    "virtual_grid",
]

"""What it cost each solver to solve each problem: the table that all profiles are made of.

A run has solved its problem at the first evaluation that the solver asked for with
f(x) <= f_L + tau (f_start - f_L), f the noise-free value (More & Wild 2009, SIAM J. Optim. 20(1), eq. (2.2)).
"""

from .breakeven import BreakEven, break_even
from .counting import cost_at
from .criteria import degenerate_rows
from .frozen import freeze_reference, read_reference
from .grid import VirtualGrid, virtual_grid
from .hits import HitCounts, hit_counts
from .models import CostModel, JacCost, describe_cost, tau_label
from .summary import improved, summary_table
from .tables import accuracy_table, cost_table, dimensions, relative_gaps
from .virtual import VirtualClock, expected_longest

__all__ = [
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
    "read_reference",
    "relative_gaps",
    "summary_table",
    "tau_label",
    "virtual_grid",
]

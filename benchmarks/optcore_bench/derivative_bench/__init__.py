"""Numerical derivatives measured: how exact each method is at which cost, and when workers pay.

`optcore bench-derivatives` makes the page with its tables and figures.
"""

from __future__ import annotations

from optcore_bench.derivative_bench.accuracy import METHODS, accuracy_table, noise_table
from optcore_bench.derivative_bench.functions import HARD, HardFunction
from optcore_bench.derivative_bench.page import write_page
from optcore_bench.derivative_bench.parallel import break_even_table, efficiency_table

__all__ = [
    "HARD",
    "METHODS",
    "HardFunction",
    "accuracy_table",
    "break_even_table",
    "efficiency_table",
    "noise_table",
    "write_page",
]

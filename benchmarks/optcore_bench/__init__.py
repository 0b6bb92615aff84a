"""Benchmarks of optimizers: studies of algorithms and derivative strategies, their store, and what it shows.

Names are imported when they are asked for, so that `import optcore_bench` and `optcore --help` are quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optcore_bench.advice import advise
    from optcore_bench.citations import cite
    from optcore_bench.comparison import compare
    from optcore_bench.conclusions import Findings, findings
    from optcore_bench.costs import (
        VirtualClock,
        accuracy_table,
        break_even,
        cost_table,
        degenerate_rows,
        hit_counts,
        summary_table,
        virtual_grid,
    )
    from optcore_bench.digits import digits_table
    from optcore_bench.figures import accuracy_profile_plot, data_profile_plot, performance_profile_plot
    from optcore_bench.gallery import all_figures
    from optcore_bench.publish import publish_figures, publish_study, worth_table
    from optcore_bench.report import write_report
    from optcore_bench.reproduction import reproduce
    from optcore_bench.runner import run_study
    from optcore_bench.store import Results
    from optcore_bench.study import Study, StudyError, load_study
    from optcore_bench.trajectories import convergence

_HOMES = {
    "Findings": "conclusions",
    "Results": "store",
    "Study": "study",
    "StudyError": "study",
    "VirtualClock": "costs",
    "accuracy_profile_plot": "figures",
    "accuracy_table": "costs",
    "advise": "advice",
    "all_figures": "gallery",
    "break_even": "costs",
    "cite": "citations",
    "compare": "comparison",
    "convergence": "trajectories",
    "cost_table": "costs",
    "data_profile_plot": "figures",
    "degenerate_rows": "costs",
    "digits_table": "digits",
    "findings": "conclusions",
    "hit_counts": "costs",
    "load_study": "study",
    "performance_profile_plot": "figures",
    "publish_figures": "publish",
    "publish_study": "publish",
    "reproduce": "reproduction",
    "run_study": "runner",
    "summary_table": "costs",
    "virtual_grid": "costs",
    "worth_table": "publish",
    "write_report": "report",
}

__all__ = [
    "Findings",
    "Results",
    "Study",
    "StudyError",
    "VirtualClock",
    "accuracy_profile_plot",
    "accuracy_table",
    "advise",
    "all_figures",
    "break_even",
    "cite",
    "compare",
    "convergence",
    "cost_table",
    "data_profile_plot",
    "degenerate_rows",
    "digits_table",
    "findings",
    "hit_counts",
    "load_study",
    "performance_profile_plot",
    "publish_figures",
    "publish_study",
    "reproduce",
    "run_study",
    "summary_table",
    "virtual_grid",
    "worth_table",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'optcore_bench' has no attribute {name!r}")
    return getattr(importlib.import_module(f"optcore_bench.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

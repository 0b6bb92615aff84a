"""Comparing the results of two versions: what got worse, on which problems, by how much.

Example: the same study twice, the second time by an L-BFGS-B that remembers one step instead of ten.

    >>> import tempfile, optcore as om, optcore_bench as ob
    >>> def results(folder, memory):
    ...     solver = {"name": "lbfgsb", "algorithm": "scipy_lbfgsb"}
    ...     solver["options"] = {"limited_memory_storage_length": memory}
    ...     study = ob.Study("gate", "more_wild/rosenbrock", solver, budget=om.Budget(max_evaluations=300))
    ...     return ob.run_study(study, store=folder)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     old, new = results(f"{folder}/old", 10), results(f"{folder}/new", 1)
    ...     found = ob.compare(old, new)
    >>> found.verdict.value, found.exit_status
    ('worse', 1)
"""

from __future__ import annotations

from optcore_bench.comparison.between import compare
from optcore_bench.comparison.comparison import Comparison
from optcore_bench.comparison.verdict import RowComparison, State, Verdict
from optcore_bench.gate import Gate, read_gate

__all__ = ["Comparison", "Gate", "RowComparison", "State", "Verdict", "compare", "read_gate"]

"""Running a store again: is it still what it says, row by row?"""

from __future__ import annotations

from optcore_bench.reproduction.compare import VERDICTS, Difference, Row, Verdict
from optcore_bench.reproduction.kernels import same_kernels
from optcore_bench.reproduction.original import environment_of
from optcore_bench.reproduction.rerun import Reproduction, reproduce

__all__ = ["VERDICTS", "Difference", "Reproduction", "Row", "Verdict", "environment_of", "reproduce", "same_kernels"]

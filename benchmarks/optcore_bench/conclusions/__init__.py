"""What the numbers of a store say, and what must not be concluded from them, in plain sentences."""

from optcore_bench.conclusions.make import findings
from optcore_bench.conclusions.model import Finding, Findings

__all__ = ["Finding", "Findings", "findings"]

"""Which algorithm, and which source of derivatives, for one function of the user's own."""

from __future__ import annotations

from optcore_bench.advice.best import BestMap
from optcore_bench.advice.decide import advise
from optcore_bench.advice.result import Advice

__all__ = ["Advice", "BestMap", "advise"]

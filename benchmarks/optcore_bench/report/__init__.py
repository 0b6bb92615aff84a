"""The report of a store: one HTML file with everything in it."""

from __future__ import annotations

from optcore_bench.report.write import write_report

__all__ = ["write_report"]

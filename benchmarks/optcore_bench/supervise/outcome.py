"""What became of a supervised run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from optcore.errors import OptcoreError
from optcore.history import HistoryRows

__all__ = ["Ended", "Outcome", "SupervisionError"]

Ended = Literal["returned", "raised", "crashed", "timeout", "memory"]


class SupervisionError(OptcoreError, RuntimeError):
    """The processes that supervision needs could not be started, or the supervisor was closed."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended, and what it left.

    Attributes:
        ended: "returned", "raised" (any exception, SystemExit and KeyboardInterrupt included, or an answer that is not
            plain), "crashed" (its process ended), "timeout" or "memory" (it was killed at a limit).
        answer: what the function returned; None unless `ended` is "returned".
        message: how and where, in words; "" if it returned.
        rows: all evaluations recorded, whatever the end.
        seconds: wall time; of the function where it ended by itself, until the death of its process elsewhere.
        cpu_seconds: processor time of the run, that of processes it waited for included; NaN if unknown.
        max_rss: largest resident set of the process in bytes, its libraries and what was recorded included;
            0 if unknown. Where the system can't reset it (other than Linux) it is that of all runs of the process.
    """

    ended: Ended
    answer: dict[str, Any] | None
    message: str
    rows: HistoryRows
    seconds: float
    cpu_seconds: float
    max_rss: int

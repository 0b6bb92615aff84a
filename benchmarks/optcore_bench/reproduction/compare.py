"""One run, as it was stored and as it came out now."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optcore_bench.store.digest import LEFT_OUT, canonical
from optcore_bench.store.schema import KEY
from optcore_bench.words import count

__all__ = ["VERDICTS", "Difference", "Row", "Verdict", "compare_runs", "first_difference", "without_rerun"]


class Verdict(StrEnum):
    """What became of a run."""

    IDENTICAL = "identical"  # status, counts, history and results are the same bits
    SAME_COUNTS = "same counts"  # it ended the same way after as many evaluations, with other values on the way
    DIFFERENT = "different"  # it ended otherwise, or after another number of evaluations
    NOT_REPRODUCIBLE = "not reproducible here"  # solver, library or file is missing
    ENDED_FROM_OUTSIDE = "ended from outside"  # a clock, the memory limit or a signal ended it, before or now


VERDICTS = tuple(str(verdict) for verdict in Verdict)

_COUNTS = (
    "status",
    "n_fun_evals",
    "n_jac_evals",
    "n_fun_and_jac_evals",
    "n_numdiff_evals",
    "n_batches",
    "n_iterations",
)
_VALUES = ("history_hash", "f_start", "f_best", "f_final", "derivative_error")


class Difference(NamedTuple):
    """Where two histories part.

    Attributes:
        evaluation: number of the first evaluation that differs, from 0 as in the table `history`.
        column: what differs in it: "x" (another point was asked for), "task", "batch", "fun" or "fun_true"; "length"
            where one history ends before it.
        stored: the value of the function there as it was stored, or None.
        again: the same now.
        detail: the difference in words.
    """

    evaluation: int
    column: str
    stored: float | None
    again: float | None
    detail: str


@dataclass(frozen=True)
class Row:
    """A stored run and what became of it.

    Attributes:
        stored: its row of `runs`.
        again: the new one, None where it was not run.
        verdict: how they compare.
        detail: the reason, or the difference, in words; "" for what is identical.
        difference: the first evaluation that differs, where evaluations are known and one does.
    """

    stored: Mapping[str, Any]
    again: Mapping[str, Any] | None
    verdict: Verdict
    detail: str = ""
    difference: Difference | None = None

    @property
    def label(self) -> str:
        """For people: `more_wild/rosenbrock scipy_lbfgsb [forward]`."""
        row = self.stored
        start = f"#{row['start']}" if row["start"] > 1 else ""
        noise = f" ~ {row['noise']}" if row["noise"] else ""
        suite, derivative = row["suite"] and f"{row['suite']}/", row["derivative"] and f" [{row['derivative']}]"
        return f"{suite}{row['problem']}{start}{noise} {row['algorithm']}{derivative}"

    @property
    def same_code(self) -> bool | None:
        """Whether code, options and versions are those of the stored run; None where it was not run."""
        return self.again["run_id"] == self.stored["run_id"] if self.again else None

    def to_dict(self) -> dict[str, Any]:
        """As a row of a data frame."""
        again = self.again or {}
        return {
            "run_id": self.stored["run_id"],
            **{name: self.stored[name] for name in KEY},
            "verdict": str(self.verdict),
            "detail": self.detail,
            "status": self.stored["status"],
            "status_again": again.get("status"),
            "evaluations": _evaluations(self.stored),
            "evaluations_again": _evaluations(again) if again else None,
            "f_best": self.stored["f_best"],
            "f_best_again": again.get("f_best"),
            "first_difference": self.difference and self.difference.evaluation,
            "differs_in": self.difference and self.difference.column,
            "value": self.difference and self.difference.stored,
            "value_again": self.difference and self.difference.again,
            "same_code": self.same_code,
            "same_environment": again.get("environment") == self.stored["environment"] if again else None,
        }


def without_rerun(stored: Mapping[str, Any], reason: str) -> Row:
    """A run that can't be run here."""
    return Row(stored, None, Verdict.NOT_REPRODUCIBLE, reason)


def compare_runs(
    stored: Mapping[str, Any], again: Mapping[str, Any], there: pd.DataFrame | None, here: pd.DataFrame | None
) -> Row:
    """Compare a stored run with the same one now.

    Args:
        stored: its row of `runs`; null is None.
        again: the new row.
        there: the stored evaluations; None where they are not known, or not needed since the hashes are equal.
        here: the new ones.

    Returns:
        The verdict. Options, versions and environment don't enter it: what counts is what came out.
    """
    difference = None if there is None or here is None else first_difference(there, here)
    same_history = stored["history_hash"] == again["history_hash"]
    both = (("stored", stored), ("now", again))
    if ended := [f"{word} {row['status']}" for word, row in both if row["status"] in LEFT_OUT]:
        detail = _how_far(ended, there, here, difference, same_history=same_history)
        return Row(stored, again, Verdict.ENDED_FROM_OUTSIDE, detail, difference)
    counts = [name for name in _COUNTS if not _same(stored[name], again[name])]
    values = [name for name in _VALUES if not _same(stored[name], again[name])]
    if not counts and not values:
        return Row(stored, again, Verdict.IDENTICAL, _other_code(stored, again))
    words = [f"{name} {_shown(stored[name])} stored, {_shown(again[name])} now" for name in counts]
    if difference is not None:
        words.append(difference.detail)
    elif "history_hash" in values:
        words.append("the evaluations differ" + (", and the stored ones are not at hand" if there is None else ""))
    if difference is None:
        results = [name for name in values if name != "history_hash"]
        words += [f"{name} {_shown(stored[name])} stored, {_shown(again[name])} now" for name in results]
    verdict = Verdict.DIFFERENT if counts else Verdict.SAME_COUNTS
    if said := _other_code(stored, again):
        words.append(said)
    return Row(stored, again, verdict, "; ".join(words), difference)


def _other_code(stored: Mapping[str, Any], again: Mapping[str, Any]) -> str:
    return "" if stored["run_id"] == again["run_id"] else "made by other code, options or versions"


def _how_far(
    ended: list[str],
    there: pd.DataFrame | None,
    here: pd.DataFrame | None,
    difference: Difference | None,
    *,
    same_history: bool,
) -> str:
    said = ", ".join(ended)
    if same_history:
        return f"{said}; all evaluations are identical"
    if there is None or here is None:
        return said
    both = min(len(there), len(here))
    if difference is not None and difference.evaluation < both:
        return f"{said}; {difference.detail}"
    return f"{said}; the first {count(both, 'evaluation is', 'evaluations are')} identical" if both else said


def first_difference(there: pd.DataFrame, here: pd.DataFrame) -> Difference | None:
    """Where two histories part, or None where they don't.

    Args:
        there: the stored evaluations, as `Results.history` gives them for one run.
        here: the new ones.

    Returns:
        The first evaluation that differs, compared bit by bit; NaN equals NaN.
    """
    both = min(len(there), len(here))
    points = _points_differ(there["x"].iloc[:both], here["x"].iloc[:both])
    found: list[tuple[int, str]] = []
    for column in ("task", "x", "fun", "fun_true", "batch"):
        differ = points if column == "x" else _differ(there[column].iloc[:both], here[column].iloc[:both])
        if differ.any():
            found.append((int(np.argmax(differ)), column))
    if not found:
        return None if len(there) == len(here) else _shorter(there, here, both)
    position = min(at for at, _ in found)
    column = next(name for at, name in found if at == position)
    before, now = there.iloc[position], here.iloc[position]
    return Difference(position, column, float(before["fun"]), float(now["fun"]), _in_words(column, before, now))


def _in_words(column: str, before: pd.Series, now: pd.Series) -> str:
    """What differs in an evaluation."""
    where = f"evaluation {before['evaluation']}"
    if column != "x":
        return f"{where}: {column} {_shown(before[column])} stored, {_shown(now[column])} now"
    if len(before["x"]) != len(now["x"]):
        return f"{where}: {len(before['x'])} variables stored, {len(now['x'])} now"
    entry = int(np.argmax(_bits(before["x"]) != _bits(now["x"])))
    return f"{where}: x[{entry}] {_shown(before['x'][entry])} stored, {_shown(now['x'][entry])} now"


def _shorter(there: pd.DataFrame, here: pd.DataFrame, both: int) -> Difference:
    longer, ends = (here, "stored") if len(there) < len(here) else (there, "new")
    value = float(longer.iloc[both]["fun"])
    stored, again = (None, value) if ends == "stored" else (value, None)
    many = f"the first {count(both, 'evaluation is', 'evaluations are')} identical" if both else "there are none"
    return Difference(both, "length", stored, again, f"{many}, then the {ends} history ends")


def _bits(values: Any) -> NDArray[np.int64]:
    return canonical(np.asarray(values, dtype=np.float64)).view(np.int64)


def _differ(one: pd.Series, other: pd.Series) -> NDArray[np.bool_]:
    if one.dtype == np.float64:
        return np.asarray(_bits(one.to_numpy()) != _bits(other.to_numpy()))
    return np.asarray(one.astype(object).to_numpy() != other.astype(object).to_numpy(), dtype=bool)


def _points_differ(one: pd.Series, other: pd.Series) -> NDArray[np.bool_]:
    """Which points differ; none where either history has no points."""
    pairs = zip(one, other, strict=True)
    return np.fromiter(
        (
            a is not None and b is not None and (len(a) != len(b) or bool((_bits(a) != _bits(b)).any()))
            for a, b in pairs
        ),
        dtype=bool,
        count=len(one),
    )


def _evaluations(row: Mapping[str, Any]) -> int:
    return int(row["n_fun_evals"] + row["n_fun_and_jac_evals"])


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return struct.pack("<d", one) == struct.pack("<d", other) or (one != one and other != other)
    return bool(one == other)


def _shown(value: Any) -> str:
    if value is None:
        return "unknown"
    return repr(float(value)) if isinstance(value, float) else str(value)

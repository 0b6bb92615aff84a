"""`compare`: open both sides, see whether they can be compared, judge."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from optcore.errors import InvalidInputError
from optcore_bench.comparison.comparison import Comparison
from optcore_bench.comparison.rows import Side, medians
from optcore_bench.comparison.sources import Opened, common_floor, open_side, read_side
from optcore_bench.comparison.times import time_ratio
from optcore_bench.comparison.verdict import RowComparison, Verdict, compare_rows, judge
from optcore_bench.evaluations import HasTables
from optcore_bench.gate import Gate, read_gate
from optcore_bench.store.mixing import differences

__all__ = ["choose_gate", "compare", "compare_sides"]

#: How runs end when a clock decides.
_BY_CLOCK = ("timeout", "budget_seconds")


def compare(
    old: str | os.PathLike[str] | HasTables | Side | Opened,
    new: str | os.PathLike[str] | HasTables | Side | Opened,
    *,
    gate: Mapping[str, Any] | Gate | None = None,
    robust: bool = False,
    same_code: bool = True,
) -> Comparison:
    """Compare two results row by row, by exact counts.

    Rows are matched by suite, problem, start, noise, the algorithm's name and the derivative strategy. Each is SAME,
    BETTER or WORSE by its cost until the convergence test holds, FAILED where it was solved and no longer is or newly
    ends by an error, NEW, MISSING, or NONDETERMINISTIC: other evaluations by the same code (the same run id) in the
    same environment, which leave the gate. Counts repeat exactly in one environment only, so results of two
    environments are not comparable row by row; `robust=True` compares medians over starts instead.

    Args:
        old: path of a store, of a bundle, of a published folder or of a baseline, or results.
        new: the same.
        gate: limits, see `Gate`; by default those of the new side's study, or the old one's, or `Gate()`.
        robust: compare medians over the starts of each problem (at least 5, better 20), whatever the environments.
            The limit is `gate.robust_ratio` on the geometric mean of the ratios of medians, beside the limits on
            single rows.
        same_code: whether equal run ids mean equal code; False where the caller knows that the code differs.

    Returns:
        The comparison, whatever its verdict.

    Raises:
        StoreNotFoundError, InvalidInputError: a side can't be read, or is not finished.
        UnknownNameError: the gate has an unknown key; suggests the nearest.
    """
    one, other = open_side(old), open_side(new)
    limits = choose_gate(gate, one, other)
    floor = common_floor(one, other)
    return compare_sides(
        read_side(one, limits, floor), read_side(other, limits, floor), limits, robust=robust, same_code=same_code
    )


def choose_gate(given: Mapping[str, Any] | Gate | None, old: Opened, new: Opened) -> Gate:
    """The limits that were given, else those of the new side's study, else of the old one's, else `Gate()`.

    A baseline has its costs at one tau, which is then that of `Gate()`.

    Raises:
        InvalidInputError: a value that can't be; names where it stands.
        UnknownNameError: an unknown key; suggests the nearest.
    """
    for table, name in ((given, "gate"), (new.gate, new.name), (old.gate, old.name)):
        if table:
            return read_named_gate(table, name)
    known = [opened.side.tau for opened in (new, old) if opened.side is not None]
    return Gate(tau=known[0]) if known else Gate()


def read_named_gate(table: Mapping[str, Any] | Gate, name: str) -> Gate:
    """The limits of a table; what is wrong with it is told with where it stands."""
    try:
        return read_gate(table)
    except InvalidInputError as error:
        raise InvalidInputError(f"{name!r}: {error}") from error


def compare_sides(old: Side, new: Side, gate: Gate, *, robust: bool = False, same_code: bool = True) -> Comparison:
    """Judge two sides that were read; see `compare`."""
    by_clock = [
        f"{side.name}: {row.name} {row.solver} ended by {row.status}"
        for side in (old, new)
        for row in side.rows.values()
        if row.status in _BY_CLOCK
    ]
    if robust:
        old, new = medians(old), medians(new)
    rows = compare_rows(old, new, gate, robust=robust, same_code=same_code)

    def verdict(word: Verdict, *reasons: str) -> Comparison:
        return Comparison(old, new, rows, word, reasons, gate, robust=robust)

    if not any(row.old is not None and row.new is not None for row in rows):
        return verdict(Verdict.INVALID, f"{old.name!r} and {new.name!r} have no row in common")
    if by_clock:
        more = f", and {len(by_clock) - 1} more" if len(by_clock) > 1 else ""
        advice = "a clock decided how these rows ended; give the study a budget of evaluations, or leave them out"
        return verdict(Verdict.INVALID, f"{by_clock[0]}{more}: {advice}")
    if reasons := _why_not(old, new, rows, robust=robust):
        return verdict(Verdict.NOT_COMPARABLE, *reasons)
    found = judge(rows, gate, robust=robust)
    return Comparison(
        old,
        new,
        rows,
        found.verdict,
        found.reasons,
        gate,
        found.total_log2_per_row,
        found.judged,
        robust=robust,
        time=time_ratio(rows),
    )


def _why_not(old: Side, new: Side, rows: tuple[RowComparison, ...], *, robust: bool) -> list[str]:
    """Why the sides can't be compared."""
    form = "{!r} in the old one, {!r} in the new one"
    reasons = []
    shared = [key for key in old.rules if key in new.rules]
    one, other = ({key: _plain(side.rules[key]) for key in shared} for side in (old, new))
    if shown := differences(one, other, form=form):
        reasons.append(f"the studies have other rules: {shown}; rows are comparable under the same rules only")
    pairs = [(row, row.old, row.new) for row in rows if row.old is not None and row.new is not None]
    for row, before, after in pairs:
        if before.version and after.version and before.version != after.version:
            reasons.append(f"the problem {row.name} changed: version {before.version} then, {after.version} now")
            break
        if _another_start(before.f_start, after.f_start):
            reasons.append(f"{row.name} starts elsewhere: at {before.f_start:.17g} then, at {after.f_start:.17g} now")
            break
    counted = old.known_medians is None and new.known_medians is None  # a baseline says how many were asked for
    for row, before, after in pairs if counted else ():
        if before.starts != after.starts:
            reasons.append(
                f"the median of {row.label} is over {before.starts} starts in the old one and {after.starts} in the "
                "new one: run both from the same starts"
            )
            break
    kinds = {(b.environment, a.environment) for _, b, a in pairs if b.environment and a.environment}
    for then, now in sorted(kinds):
        shown = "" if robust or then == now else _other_environment(old, then, new, now, form)
        if shown:
            reasons.append(
                f"the environments differ ({shown}), and counts repeat in one environment only: run both in one job, "
                "or compare medians over starts by --robust"
            )
            break
    return reasons


def _other_environment(old: Side, before: str, new: Side, after: str, form: str) -> str:
    """How two environments differ in what is known of both, "" if they don't."""
    then, now = old.environments.get(before, {}), new.environments.get(after, {})
    shared = sorted({*then} & {*now})
    return differences(then, now, shared, form) if shared else "other fingerprints"


def _plain(value: Any) -> Any:
    return {key: one for key, one in value.items() if one is not None} if isinstance(value, Mapping) else value


def _another_start(old: float, new: float) -> bool:
    """Whether values at the start say that it is another one; rounding differs between environments."""
    return not (math.isnan(old) or math.isnan(new) or math.isclose(old, new, rel_tol=1e-6, abs_tol=1e-12))

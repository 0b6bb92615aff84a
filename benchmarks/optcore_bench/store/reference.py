"""f_L as a store has frozen it, in `derived/reference.parquet`; what is frozen is decided by `optcore_bench.costs`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from optcore_bench.store.files import replace_file
from optcore_bench.store.schema import DamagedStoreError
from optcore_bench.store.sources import REFERENCE_FILE

__all__ = ["REFERENCE", "Agreement", "agreement", "frozen_in", "write_reference"]

#: What tells problems apart; the best value that was found; the solver and the run that found it.
REFERENCE = pa.schema(
    [
        ("suite", pa.string()),
        ("problem", pa.string()),
        ("n", pa.float64()),
        ("f_opt", pa.float64()),
        ("solver", pa.string()),
        ("run_id", pa.string()),
    ]
)


def frozen_in(root: Path) -> Any:
    """What is frozen in a store, as a table; None where nothing is.

    Raises:
        DamagedStoreError: the file can't be read.
    """
    path = root / "derived" / REFERENCE_FILE
    if not path.is_file():
        return None
    try:
        return pq.read_table(path).select(REFERENCE.names).cast(REFERENCE)
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise DamagedStoreError(
            f"'{path}', which holds f_L as it was frozen, can't be read ({error}); restore it from a copy, or remove "
            "it: the best value of all runs then takes its place"
        ) from error


def write_reference(root: Path, table: Any) -> None:
    """Freeze in a store what a table with the columns of `REFERENCE` says."""
    path = root / "derived" / REFERENCE_FILE
    replace_file(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))


class Agreement(NamedTuple):
    """What several stores have frozen.

    Attributes:
        table: the problems for which one value is frozen, in whichever of the stores; None if there are none.
        note: the others, in words; "" if there are none.
    """

    table: Any
    note: str


def agreement(roots: Iterable[Path]) -> Agreement:
    """What stands frozen in any of several stores and not with another value in a second one.

    Raises:
        DamagedStoreError: a file can't be read.
    """
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    told: dict[tuple[str, ...], dict[float, Path]] = {}  # each value, and where it stood first
    for root in roots:
        table = frozen_in(root)
        for row in [] if table is None else table.to_pylist():
            key = (row["suite"] or "", row["problem"], str(row["n"]))
            rows.setdefault(key, row)
            told.setdefault(key, {}).setdefault(row["f_opt"], root)
    agreed = [row for key, row in rows.items() if len(told[key]) == 1]
    disputed = [(key, values) for key, values in told.items() if len(values) > 1]
    return Agreement(pa.Table.from_pylist(agreed, REFERENCE) if agreed else None, _in_words(disputed))


def _in_words(disputed: list[tuple[tuple[str, ...], dict[float, Path]]]) -> str:
    if not disputed:
        return ""
    (suite, problem, _), values = disputed[0]
    said = " and ".join(f"as {value!r} in '{root}'" for value, root in values.items())
    which = f", one of {len(disputed)} such problems," if len(disputed) > 1 else ""
    return (
        f"f_L of {suite and f'{suite}/'}{problem}{which} was frozen {said}; no such value is taken over: "
        "the best of all runs counts until `optcore run` freezes it"
    )

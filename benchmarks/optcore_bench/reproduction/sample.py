"""Which of the stored runs are run again."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from optcore.errors import InvalidInputError
from optcore_bench.store.digest import LEFT_OUT
from optcore_bench.store.schema import KEY

__all__ = ["choose", "read_sample"]

Row = Mapping[str, Any]


def read_sample(given: Any, total: int) -> int:
    """How many of `total` runs a sample has.

    Args:
        given: a number of runs of at least 1, or a share of them such as "10%" (rounded up); None for all.
        total: of how many.

    Raises:
        InvalidInputError: it is neither.

    >>> read_sample("10%", 1325), read_sample(40, 1325), read_sample("40", 20), read_sample(None, 7)
    (133, 40, 20, 7)
    """
    if given is None:
        return total
    count: float = math.nan
    text = "" if isinstance(given, bool) else str(given).strip()
    try:
        if text.endswith("%"):
            share = float(text[:-1])
            count = math.ceil(share * total / 100.0 - 1e-9) if 0 < share <= 100 else math.nan
        else:
            count = int(text)
    except ValueError:
        pass
    if not count >= 1:
        if text.endswith("%") and count == 0:
            return 0
        raise InvalidInputError(
            f"a sample is a number of runs of at least 1, or a share of them such as 10%, but is {given!r}"
        )
    return min(int(count), total)


def choose(rows: Sequence[Row], sample: Any, seed: int) -> list[Row]:
    """The runs of a sample: each solver at least once, the rest at random.

    Which these are follows from the seed and the cells of the study alone: neither from the order of the rows nor from
    what was run elsewhere. Cells that can't be (`not_applicable`) are in no sample, since they prove nothing. Runs that
    a clock, the memory limit or a signal ended are chosen last of their solver's.

    Args:
        rows: of the table `runs`.
        sample: as `read_sample` takes it; None for all rows, those that are not applicable too.
        seed: decides which.

    Returns:
        The chosen rows in the order of `rows`.
    """
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise InvalidInputError(f"the seed of a sample must be a whole number, but is {seed!r}")
    if sample is None:
        return list(rows)
    able = [row for row in rows if row["status"] != "not_applicable"]
    size = read_sample(sample, len(able))
    order = sorted(able, key=lambda row: (row["status"] in LEFT_OUT, _lot(row, seed)))
    first: dict[tuple[str, str], Row] = {}
    for row in order:
        first.setdefault((row["algorithm"], row["derivative"]), row)
    chosen = {row["run_id"] for row in first.values()}
    for row in order:
        if len(chosen) >= size:
            break
        chosen.add(row["run_id"])
    return [row for row in rows if row["run_id"] in chosen]


def _lot(row: Row, seed: int) -> str:
    cell = "\0".join(str(row[name]) for name in KEY)
    return hashlib.sha256(f"{seed}\0{cell}".encode()).hexdigest()

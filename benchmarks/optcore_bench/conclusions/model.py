"""A sentence with the numbers that it was made from."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

__all__ = ["Finding", "Findings"]


@dataclass(frozen=True, eq=False)
class Finding:
    """One sentence.

    Attributes:
        kind: what it is about, such as "solved", "cost", "flips", "budget".
        caution: whether it says what must not be concluded.
        sentence: plain text.
        frame: the numbers behind it.
    """

    kind: str
    caution: bool
    sentence: str
    frame: pd.DataFrame

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True, eq=False)
class Findings:
    """Sentences in the order in which they should be read.

    Attributes:
        items: all of them; those that limit the others last.
    """

    items: tuple[Finding, ...]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def of(self, kind: str) -> list[Finding]:
        """Those of a kind; none where nothing of the kind was found."""
        return [item for item in self.items if item.kind == kind]

    @property
    def results(self) -> tuple[Finding, ...]:
        """What was found."""
        return tuple(item for item in self.items if not item.caution)

    @property
    def cautions(self) -> tuple[Finding, ...]:
        """What must not be concluded."""
        return tuple(item for item in self.items if item.caution)

    @property
    def frame(self) -> pd.DataFrame:
        """Columns `kind, caution, sentence`, one row a finding."""
        rows = [(item.kind, item.caution, item.sentence) for item in self.items]
        return pd.DataFrame(rows, columns=["kind", "caution", "sentence"])

    def to_dict(self) -> dict[str, Any]:
        """For JSON: `findings`, a list of `kind, caution, sentence, numbers` (records; null where not finite)."""
        records = []
        for item in self.items:
            plain = item.frame.astype(object)
            finite = plain.where(plain.notna() & ~plain.isin([float("inf"), float("-inf")]), None)
            numbers = finite.to_dict("records")
            row = {"kind": item.kind, "caution": item.caution, "sentence": item.sentence, "numbers": numbers}
            records.append(row)
        return {"findings": records}

    def __str__(self) -> str:
        lines = [f"- {item}" for item in self.results]
        if self.cautions:
            lines += ["", "What must not be concluded:", *(f"- {item}" for item in self.cautions)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [_list(self.results)]
        if self.cautions:
            parts += ["<p>What must not be concluded:</p>", _list(self.cautions)]
        return "".join(parts)


def _list(items: tuple[Finding, ...]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(item.sentence)}</li>' for item in items)}</ul>"

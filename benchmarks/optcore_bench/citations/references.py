"""The references: BibTeX entries by key, as they stand in `references.bib`."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from types import MappingProxyType

__all__ = ["read_references"]

_FIELD = re.compile(r", (?=\w+ = \{)")


@cache
def read_references() -> MappingProxyType[str, str]:
    """Entries by key, one field a line.

    >>> print(read_references()["brent1973"])
    @book{brent1973,
      author = {Brent, Richard P.},
      title = {Algorithms for Minimization without Derivatives},
      publisher = {Prentice-Hall},
      address = {Englewood Cliffs, NJ},
      year = {1973},
    }
    """
    text = (files("optcore_bench.citations") / "references.bib").read_text(encoding="utf-8")
    entries = {}
    for line in text.splitlines():
        head, *fields = _FIELD.split(line[:-1])
        entries[head.partition("{")[2]] = "\n".join([f"{head},", *(f"  {field}," for field in fields), "}"])
    return MappingProxyType(entries)

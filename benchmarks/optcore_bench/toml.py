"""Writing TOML: the few kinds of values that a study has, always in the same text.

The standard library reads TOML (tomllib) and doesn't write it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from optcore.errors import InvalidInputError

__all__ = ["dumps"]


def dumps(table: Mapping[str, Any]) -> str:
    """A document: plain keys first, then mappings as tables of their own; None is left out.

    >>> print(dumps({"name": "quick", "budget": {"max_gradients": 10}, "tau": [0.1, 1e-05]}), end="")
    name = "quick"
    tau = [0.1, 1e-05]
    <BLANKLINE>
    [budget]
    max_gradients = 10
    """
    plain = [(key, value) for key, value in table.items() if value is not None and not isinstance(value, Mapping)]
    tables = [(key, value) for key, value in table.items() if isinstance(value, Mapping)]
    lines = [f"{_key(key)} = {_value(value, key)}" for key, value in plain]
    for key, inner in tables:
        lines += ["", f"[{_key(key)}]", *(f"{_key(k)} = {_value(v, k)}" for k, v in inner.items() if v is not None)]
    return "\n".join(lines) + "\n"


def _key(key: str) -> str:
    bare = key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key)
    return key if bare else _text(key)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON's escapes are TOML's, but for DEL


def _value(value: Any, key: str) -> str:
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        value = value.tolist()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)  # inf, -inf, nan are TOML's words too
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(k)} = {_value(v, k)}" for k, v in value.items() if v is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, (list, tuple)):
        items = [_value(item, key) for item in value]
        one_line = "[" + ", ".join(items) + "]"
        return one_line if len(one_line) < 80 else "[\n  " + ",\n  ".join(items) + ",\n]"
    raise InvalidInputError(
        f"{key!r} holds {value!r}, which can't be written to TOML; use text, numbers, lists or tables"
    )

"""Writing TOML: what is written is what the standard library's reader reads."""

from __future__ import annotations

import math
import tomllib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import optcore as om
from optcore_bench.toml import dumps

text = st.text(st.characters(exclude_categories=["Cs"]))
plain = text | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=3), max_leaves=8
)


@given(st.dictionaries(text, values, max_size=5))
def test_what_is_written_is_read_back(table: dict[str, Any]) -> None:
    again = tomllib.loads(dumps(table))
    assert again == table
    assert dumps(again).splitlines() == dumps(table).splitlines() or set(again) == set(table)


def test_none_is_left_out_and_numpy_numbers_are_plain() -> None:
    table = {"a": None, "b": np.float64(0.5), "c": np.array([1, 2]), "d": {"x": None, "y": math.inf}}
    assert tomllib.loads(dumps(table)) == {"b": 0.5, "c": [1, 2], "d": {"y": math.inf}}


def test_what_toml_can_not_hold_is_refused() -> None:
    with pytest.raises(om.InvalidInputError, match="'key' holds <object"):
        dumps({"key": object()})

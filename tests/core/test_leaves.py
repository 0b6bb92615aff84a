"""What a leaf of params can be, and what is refused."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import optcore as om
from optcore.leaves import remedy
from optcore.tree import Converter
from tests.core.trees import FRAME, MULTI


@dataclasses.dataclass
class Unregistered:
    slope: float = 1.0


class Quantity(np.ndarray):
    """An array with a meaning that would be lost."""


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"a": Unregistered()},
         "params leaf 'a' must be numeric, but is Unregistered.*; register Unregistered with optree"),
        ({"a": Unregistered()},
         r"register_pytree_node\(Unregistered, ..., namespace='optcore'\), or define it with optree.da"),
        ({"a": np.ma.masked_array([1.0, 2.0], [True, False])},
         "params leaf 'a' is a MaskedArray, which would come back as a"),
        (np.ones(2).view(Quantity), "params is a Quantity, which would come back as a plain array; give numpy.asarray"),
        (pd.DataFrame({"x": [1.0], "name": ["a"]}), "params must be"),
        (pd.DataFrame({"x": [1.0], "on": [True]}),
         "params must be real numbers, but its column 'on' is of type bool; call t"),
        ({"f": pd.DataFrame({"value": ["a"]})}, "params leaf 'f' must be"),
        (pd.Index([1.0, 2.0]), "params must be a Series or a DataFrame, but is Index"),
        ({"a": [1.0, "x"]}, r"params leaf 'a\[1\]' must be real numbers, but is 'x'"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else type(value).__name__,
)  # fmt: skip
def test_what_can_not_be_a_leaf_is_an_error_that_says_what_to_do(params, message):
    with pytest.raises(om.InvalidInputError, match=message):
        om.minimize(lambda p: 1.0, params, "scipy_lbfgsb")


def test_arrays_that_are_mapped_to_a_file_are_arrays(tmp_path):
    mapped = np.memmap(tmp_path / "start", dtype=np.float64, mode="w+", shape=(3,))
    mapped[:] = [1.0, 2.0, 3.0]
    restored = Converter({"a": mapped}).unflatten(np.array([4.0, 5.0, 6.0]))
    assert type(restored["a"]) is np.ndarray
    np.testing.assert_array_equal(mapped, [1, 2, 3])


def test_entries_are_independent_of_each_other_and_of_the_vector():
    params = {"a": np.zeros(2), "b": np.zeros((1, 2)), "s": pd.Series([0.0, 0.0]), "f": FRAME, "z": np.array(0.0)}
    converter = Converter(params)
    x = converter.start.copy()
    first, second = converter.unflatten(x), converter.unflatten(x)
    for key in ("a", "b"):
        first[key][:] = 7.0
    first["z"][()] = 7.0
    first["s"].iloc[0] = 7.0
    first["f"].loc["r", "value"] = 7.0
    first["f"].loc["r", "group"] = "changed"
    np.testing.assert_array_equal(x, converter.start)
    np.testing.assert_array_equal(converter.flatten(second), converter.start)
    assert second["f"].loc["r", "group"] == converter.unflatten(x)["f"].loc["r", "group"] == "g"
    x[:] = 9.0
    np.testing.assert_array_equal(converter.flatten(second), converter.start)


def test_pandas_leaves_keep_name_index_names_and_other_columns():
    frame = pd.DataFrame({"value": [1, 2, 3, 4], "text": list("abcd")}, index=MULTI)
    series = pd.Series([1.0, 2.0], index=pd.date_range("2024-01-01", periods=2, name="day"), name="y")
    restored = Converter({"f": frame, "s": series}).unflatten(np.arange(6.0))
    assert list(restored["f"].columns) == ["value", "text"]
    assert restored["f"].index.names == ["where", "year"]
    assert restored["f"]["value"].tolist() == [0, 1, 2, 3]
    pd.testing.assert_series_equal(restored["s"], series * 0 + [4.0, 5.0])


def test_columns_with_levels_are_all_optimized():
    columns = pd.MultiIndex.from_tuples([("value", "x"), ("value", "y")])
    table = pd.DataFrame([[1.0, 2.0]], columns=columns)
    converter = Converter(table)
    assert converter.n == 2
    pd.testing.assert_frame_equal(converter.unflatten(converter.start), table)


@pytest.mark.parametrize(
    ("shape", "expected", "advice"),
    [
        ((3, 1), (3,), "; reshape it to (3,)"),
        ((1, 3), (3, 1), "; transpose it"),
        ((2, 3), (3, 2), "; transpose it"),
        ((1,), (), "; return a number"),
        ((2,), (3,), ""),
        ((2, 2), (4,), ""),
    ],
)
def test_advice_is_given_where_it_is_plain_what_is_wrong(shape, expected, advice):
    assert remedy(shape, expected) == advice

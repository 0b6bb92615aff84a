"""Params of every kind, with the flat vectors and the names that they should have."""

import dataclasses
from collections import OrderedDict, defaultdict, deque, namedtuple

import numpy as np
import optree
import pandas as pd

from optcore.structure import NAMESPACE

Pair = namedtuple("Pair", ["alpha", "beta"])


@optree.dataclasses.dataclass(namespace=NAMESPACE)
class Line:
    """A dataclass; `unit` is not a param."""

    slope: float
    level: float
    unit: str = optree.dataclasses.field(default="m", pytree_node=False)


@dataclasses.dataclass
class Known:
    """A class of somebody else, registered in optree's global namespace below."""

    x: float
    w: float


class Bag:
    """Registered without names of its children."""

    def __init__(self, *items):
        self.items = items

    def __eq__(self, other):
        return type(other) is Bag and all(map(np.array_equal, self.items, other.items))

    __hash__ = None


GLOBAL = getattr(optree.registry, "__GLOBAL_NAMESPACE")
optree.register_pytree_node(
    Known, lambda known: ((known.x, known.w), None, ("x", "w")), lambda _, c: Known(*c), namespace=GLOBAL
)
optree.register_pytree_node(Bag, lambda bag: (bag.items, None), lambda _, items: Bag(*items), namespace=NAMESPACE)

FRAME = pd.DataFrame({"value": [1.0, 2.0], "lower": [-5.0, 0.0], "group": ["g", "h"]}, index=["r", "s"])
TABLE = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], index=["r", "s"], columns=["x", "y"])
SERIES = pd.Series([1.0, 2.0], index=["b", "a"], name="beta")
MULTI = pd.MultiIndex.from_product([["north", "south"], [1, 2]], names=["where", "year"])

#: params, their flat vector, the names of its entries
TREES = {
    "number": (6.2, [6.2], ["0"]),
    "int": (3, [3], ["0"]),
    "0-d array": (np.array(4.0), [4], ["0"]),
    "numpy number": (np.float32(0.5), [0.5], ["0"]),
    "vector": (np.arange(3.0), [0, 1, 2], ["0", "1", "2"]),
    "ints": (np.arange(3), [0, 1, 2], ["0", "1", "2"]),
    "single precision": (np.arange(2, dtype=np.float32), [0, 1], ["0", "1"]),
    "every second": (np.arange(6.0)[::-2], [5, 3, 1], ["0", "1", "2"]),
    "other byte order": (np.arange(2, dtype=">f8"), [0, 1], ["0", "1"]),
    "matrix": (np.arange(4.0).reshape(2, 2), [0, 1, 2, 3], ["0,0", "0,1", "1,0", "1,1"]),
    "transposed": (np.arange(6.0).reshape(3, 2).T, [0, 2, 4, 1, 3, 5], ["0,0", "0,1", "0,2", "1,0", "1,1", "1,2"]),
    "list": ([1, 2.5], [1, 2.5], ["0", "1"]),
    "tuple": ((1, np.arange(2.0)), [1, 0, 1], ["0", "1[0]", "1[1]"]),
    "deque": (deque([1.0, 2.0]), [1, 2], ["0", "1"]),
    "dict": ({"b": 1.0, "a": 2.0}, [2, 1], ["a", "b"]),
    "nested": ({"b": [1, (2.0, {"k": 3})], "a": np.eye(2)}, [1, 0, 0, 1, 1, 2, 3],
               ["a[0,0]", "a[0,1]", "a[1,0]", "a[1,1]", "b[0]", "b[1][0]", "b[1][1]['k']"]),
    "ordered dict": (OrderedDict(b=1.0, a=2.0), [1, 2], ["b", "a"]),
    "default dict": (defaultdict(float, b=1.0, a=2.0), [2, 1], ["a", "b"]),
    "namedtuple": (Pair(1.0, np.array([2.0, 3.0])), [1, 2, 3], ["alpha", "beta[0]", "beta[1]"]),
    "namedtuple inside": ({"p": Pair(1.0, 2.0)}, [1, 2], ["p.alpha", "p.beta"]),
    "dataclass": (Line(1.0, 2.0, "cm"), [1, 2], ["slope", "level"]),
    "dataclass inside": ({"m": [Line(1.0, np.array([2.0, 3.0]))]}, [1, 2, 3],
                         ["m[0].slope", "m[0].level[0]", "m[0].level[1]"]),
    "globally registered": ({"k": Known(1.0, 2.0)}, [1, 2], ["k.x", "k.w"]),
    "children without names": ({"b": Bag(1.0, np.ones(1))}, [1, 1], ["b[0]", "b[1][0]"]),
    "int keys": ({2: 1.0, 1: 2.0}, [2, 1], ["1", "2"]),
    "keys of several kinds": ({"1": 1.0, 1: 2.0}, [2, 1], ["[1]", "['1']"]),
    "keys that look alike": ({"a[0]": 1.0, "a": [2.0]}, [2, 1], ["['a'][0]", "['a[0]']"]),
    "an empty key": ({"": 1.0}, [1], ["['']"]),
    "tuples as keys": ({("a", 1): 1.0, ("a", 0): 2.0}, [2, 1], ["('a', 0)", "('a', 1)"]),
    "numbers of all kinds": ({"b": np.float64(1.0), "i": np.int32(2), "p": 3, "z": np.array(4.0)}, [1, 2, 3, 4],
                             ["b", "i", "p", "z"]),
    "nothing in some places": ({"a": np.zeros((0, 2)), "b": 1.0, "c": {}, "d": []}, [1], ["b"]),
    "series": (SERIES, [1, 2], ["b", "a"]),
    "series inside": ({"s": SERIES}, [1, 2], ["s['b']", "s['a']"]),
    "series of ints": (pd.Series([1, 2]), [1, 2], ["0", "1"]),
    "series of nullable numbers": (pd.Series([1.5, 2], dtype="Float64"), [1.5, 2], ["0", "1"]),
    "series with two levels": ({"s": pd.Series([1.0, 2, 3, 4], index=MULTI)}, [1, 2, 3, 4],
                               ["s[('north', 1)]", "s[('north', 2)]", "s[('south', 1)]", "s[('south', 2)]"]),
    "series with labels twice": (pd.Series([1.0, 2.0, 3.0], index=["a", "b", "a"]), [1, 2, 3], ["a#0", "b", "a#2"]),
    "value column": (FRAME, [1, 2], ["r", "s"]),
    "value column inside": ({"f": FRAME, "a": 3.0}, [3, 1, 2], ["a", "f['r']", "f['s']"]),
    "value column with two levels": (pd.DataFrame({"value": [1, 2, 3, 4]}, index=MULTI), [1, 2, 3, 4],
                                     ["('north', 1)", "('north', 2)", "('south', 1)", "('south', 2)"]),
    "data frame": (TABLE, [1, 2, 3, 4], ["('r', 'x')", "('r', 'y')", "('s', 'x')", "('s', 'y')"]),
    "everything": ({"f": FRAME, "m": Line(SERIES, [1, np.array(2.0)]), "t": (Pair(0, np.ones((1, 2))),)},
                   [1, 2, 1, 2, 1, 2, 0, 1, 1],
                   ["f['r']", "f['s']", "m.slope['b']", "m.slope['a']", "m.level[0]", "m.level[1]", "t[0].alpha",
                    "t[0].beta[0,0]", "t[0].beta[0,1]"]),
}  # fmt: skip

try:
    import optree.integrations.attrs
except ImportError:  # attrs isn't installed
    pass
else:

    @optree.integrations.attrs.define(namespace=NAMESPACE)
    class Curve:
        """An object of attrs."""

        height: float
        ends: np.ndarray

        def __eq__(self, other):
            return type(other) is Curve and self.height == other.height and np.array_equal(self.ends, other.ends)

    TREES["attrs"] = ({"c": Curve(1.0, np.array([2.0, 3.0]))}, [1, 2, 3], ["c.height", "c.ends[0]", "c.ends[1]"])


def assert_same(left, right):
    """Same types, structure and values; numbers and arrays have become float64, Python's numbers floats."""
    left_leaves, left_spec = optree.tree_flatten(left, namespace=NAMESPACE)
    right_leaves, right_spec = optree.tree_flatten(right, namespace=NAMESPACE)
    assert left_spec == right_spec
    assert left_spec.is_leaf() or type(left) is type(right)
    for a, b in zip(left_leaves, right_leaves, strict=True):
        if isinstance(a, (pd.Series, pd.DataFrame)):
            check = pd.testing.assert_series_equal if a.ndim == 1 else pd.testing.assert_frame_equal
            numbers = a.select_dtypes("number").columns if a.ndim == 2 else None
            check(a.astype(float) if numbers is None else a.astype(dict.fromkeys(numbers, float)), b)
            continue
        kinds = {np.ndarray: np.ndarray, np.float64: np.float64, np.float32: np.float64, np.int32: np.float64}
        assert type(b) is kinds.get(type(a), float)
        assert np.shape(a) == np.shape(b)
        assert np.asarray(b).dtype == np.dtype(np.float64)
        np.testing.assert_array_equal(a, b)

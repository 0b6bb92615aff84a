"""Names of leaves, and trees that are matched by key whatever their containers are."""

import pickle
from collections import OrderedDict, namedtuple

import hypothesis.strategies as st
import numpy as np
import optree
import pytest
from hypothesis import given, settings

from optcore.errors import InvalidInputError
from optcore.structure import NAMESPACE, ONE_LEAF, Structure, distinct, is_single, refuse_none, show, what_it_is
from tests.core.trees import Bag, Known, Line, Pair

TREE = {"b": [1, (2, {"k": 3})], "p": Pair(4, Line(5, 6)), "o": OrderedDict(z=7, y=8), "e": {}, "g": Bag(9)}
NAMES = ("b[0]", "b[1][0]", "b[1][1]['k']", "g[0]", "o['z']", "o['y']", "p.alpha", "p.beta.slope", "p.beta.level")


def test_leaves_are_called_what_a_user_would_write():
    structure, leaves = Structure.of(TREE)
    assert structure.names == NAMES
    assert leaves == [1, 2, 3, 9, 7, 8, 4, 5, 6]
    assert len(structure) == 9
    assert not structure.is_leaf


def test_branches_have_names_and_know_the_leaves_below_them():
    structure, _ = Structure.of(TREE)
    below = {node.name: NAMES[node.start : node.stop] for node in structure.nodes() if node.children is not None}
    assert below == {
        "": NAMES,
        "b": NAMES[:3],
        "b[1]": NAMES[1:3],
        "b[1][1]": NAMES[2:3],
        "g": NAMES[3:4],
        "o": NAMES[4:6],
        "p": NAMES[6:9],
        "p.beta": NAMES[7:9],
    }


def test_a_leaf_alone_has_no_name():
    assert ONE_LEAF.names == ("",)
    assert ONE_LEAF.is_leaf
    assert ONE_LEAF.match([1, 2], "jac", ValueError) == [[1, 2]]


def test_a_structure_can_be_pickled():
    structure, _ = Structure.of(TREE)
    assert structure.names
    again = pickle.loads(pickle.dumps(structure))
    assert again.names == NAMES
    assert len(pickle.dumps(structure)) < 3000


Other = namedtuple("Other", ["alpha", "beta"])


@pytest.mark.parametrize(
    ("params", "other", "found"),
    [
        ({"b": 1, "a": 2}, {"a": "A", "b": "B"}, ["A", "B"]),
        ({"b": 1, "a": 2}, OrderedDict(b="B", a="A"), ["A", "B"]),
        (OrderedDict(b=1, a=2), {"a": "A", "b": "B"}, ["B", "A"]),
        (OrderedDict(b=1, a=2), OrderedDict(a="A", b="B"), ["B", "A"]),
        ([1, 2], ("A", "B"), ["A", "B"]),
        (Pair(1, 2), ("A", "B"), ["A", "B"]),
        (Pair(1, 2), {"beta": "B", "alpha": "A"}, ["A", "B"]),
        (Pair(1, 2), Other("A", "B"), ["A", "B"]),
        ((1, 2), Pair("A", "B"), ["A", "B"]),
        (Line(1, 2), {"level": "B", "slope": "A"}, ["A", "B"]),
        (Line(1, 2, "m"), Line("A", "B", "another unit"), ["A", "B"]),
        (Known(1, 2), {"w": "B", "x": "A"}, ["A", "B"]),
        ({"a": 1, "b": 2}, {"a": ["A", ["A"]], "b": None}, [["A", ["A"]], None]),
        ({"a": 1, "e": {}}, {"a": "A"}, ["A"]),
        ({"a": 1}, {"a": "A", "e": {}, "n": None}, ["A"]),
        ({0: 1, 1: 2}, ["A", "B"], ["A", "B"]),
        ({None: 1, "a": 2}, {"a": "A", None: "N"}, ["N", "A"]),
    ],
    ids=str,
)
def test_what_another_tree_has_at_the_leaves_is_found_by_key(params, other, found):
    structure, leaves = Structure.of(params)
    order = {leaf: i for i, leaf in enumerate(leaves)}
    matched = structure.match(other, "jac", ValueError)
    assert [matched[order[leaf]] for leaf in sorted(leaves)] == found or list(matched) == found


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"a": 1}, "jac lacks the leaf 'b.alpha' of params"),
        ({"a": 1, "b": {"alpha": 1}}, "jac lacks the leaf 'b.beta' of params"),
        ({"a": 1, "b": [1, 2, 3]},
         r"jac has a leaf 'b\[2\]' that params don't have; params have 'a', 'b.alpha', 'b.beta'"),
        ({"a": 1, "b": Line(1, 2)}, "jac has a leaf 'b.slope' that params don't have"),
        ({"a": 1, "c": 2}, "jac has a leaf 'c' that params don't have"),
        ([1, Pair(2, 3)], "jac has a leaf '0' that params don't have"),
        ({"a": 1, "b": 2},
         "jac at 'b' must have the structure of params, with the leaves 'b.alpha', 'b.beta', but is 2"),
        ({"a": 1, "b": np.ones(2)}, r"jac at 'b' must have .* but is an array of shape \(2,\)"),
        ({"a": 1, "b": None}, "jac at 'b' must have .* but is None; is a return statement missing?"),
        (np.ones(3),
         r"jac must have the structure of params, with the leaves 'a', 'b.alpha', 'b.beta', but is an array"),
    ],
    ids=str,
)  # fmt: skip
def test_a_tree_with_other_keys_is_an_error_that_names_them(other, message):
    structure, _ = Structure.of({"a": 1, "b": Pair(2, 3)})
    with pytest.raises(KeyError, match=message):
        structure.match(other, "jac", KeyError)


def test_long_lists_of_names_are_cut():
    structure, _ = Structure.of(list(range(20)))
    with pytest.raises(ValueError, match=r"with the leaves '0', '1', '2', '3', '4', '5', '6', '7', \.\.\., but is 3"):
        structure.match(3, "jac", ValueError)


@pytest.mark.parametrize(
    ("tree", "found"),
    [
        (None, {}),
        (7, {"": 7}),
        ({"b": 7}, {"b": 7}),
        ({"b": {"alpha": None}, "a": 1}, {"a": 1}),
        ({"b": Pair(None, [1, 2])}, {"b.beta": [1, 2]}),
        ({"b": {"beta": True}}, {"b.beta": True}),
        ({"c": np.array([1, 2])}, {"c[0]": 1, "c[1]": 2}),
        ({"c": [None, 2]}, {"c[1]": 2}),
        ({"c": np.array(5)}, {"c": np.array(5)}),
    ],
    ids=str,
)
def test_a_part_of_a_tree_says_something_of_leaves_and_branches(tree, found):
    structure, _ = Structure.of({"a": 1, "b": Pair(2, 3), "c": [4, 5]})
    assert {node.name: value for node, value in structure.spread(tree, "bounds.lower")} == found


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"d": 1}, "bounds.lower has a leaf 'd' that params don't have; params have 'a', 'b.alpha', 'b.beta', 'c"),
        ({"b": {"gamma": 1}}, r"bounds.lower has a leaf \"b\['gamma'\]\" that params don't have"),
        ({"b": "text"}, "bounds.lower at 'b' must have the structure of params, .* but is 'text'"),
        (
            {"c": np.ones(3)},
            r"bounds.lower at 'c' must have the structure of params, .* but is an array of shape \(3,\)",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_a_part_of_another_tree_is_an_error(tree, message):
    structure, _ = Structure.of({"a": 1, "b": Pair(2, 3), "c": [4, 5]})
    with pytest.raises(InvalidInputError, match=message):
        list(structure.spread(tree, "bounds.lower"))


def test_none_is_refused_by_name():
    params = {"a": 1, "b": Pair(None, 2)}
    with pytest.raises(InvalidInputError, match=r"params leaf 'b\.alpha' must be a number or an array, but is None"):
        refuse_none(params, len(Structure.of(params)[0]))


def test_what_a_registered_class_raises_when_it_is_compared_is_no_error_here():
    class Odd:
        def __init__(self, value):
            self.value = value

    optree.register_pytree_node(Odd, lambda odd: ((odd.value,), np.ones(3)), lambda _, c: Odd(*c), namespace=NAMESPACE)
    try:
        structure, _ = Structure.of(Odd(1.0))
        assert list(structure.match(Odd(2.0), "jac", ValueError)) == [2.0]
    finally:
        optree.unregister_pytree_node(Odd, namespace=NAMESPACE)


@given(st.lists(st.text("ab#01", max_size=3), max_size=8))
@settings(max_examples=200, deadline=None)
def test_no_two_names_are_the_same_and_those_that_differ_are_kept(names):
    result = distinct(names, [f"[{name!r}]" for name in names])
    assert len(result) == len(names)
    assert len(set(result)) == len(names)
    if len(set(names)) == len(names):
        assert list(result) == names


def test_values_in_messages_are_one_short_line():
    assert show("a\nb") == "'a\\nb'"
    assert len(show(list(range(100)))) == 60
    assert what_it_is(np.ones((2, 3))) == "an array of shape (2, 3)"
    assert what_it_is(3.5) == "3.5"
    assert what_it_is(None) == "None; is a return statement missing?"
    assert is_single(np.array(1))
    assert is_single(True)
    assert not is_single(np.ones(1))
    assert not is_single("text")

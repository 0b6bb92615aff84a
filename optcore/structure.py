"""The structure of a tree: its leaves by key, what they are called, and how to find them in other trees.

Trees are those of optree: dicts (keys sorted, as in JAX), lists, tuples, namedtuples and every class that is registered
with it, either in its global namespace or in the namespace "optcore":

>>> import optree
>>> @optree.dataclasses.dataclass(namespace="optcore")
... class Model:
...     slope: float
...     level: float
>>> Structure.of({"model": Model(1.0, 2.0), "rest": [3.0]})[0].names
('model.slope', 'model.level', 'rest[0]')
"""

from __future__ import annotations

import functools
import numbers
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optree

from optcore.errors import InvalidInputError

__all__ = ["NAMESPACE", "ONE_LEAF", "Node", "Structure", "distinct", "is_single", "refuse_none", "show", "what_it_is"]

#: Classes that are registered with optree in this namespace are containers; those of its global namespace are, too.
NAMESPACE = "optcore"

#: Stands for a key that a tree doesn't have; None may be a key.
ABSENT = object()

_FIELDS = (optree.NamedTupleEntry, optree.GetAttrEntry)  # dataclasses and attrs objects have kinds of the latter


@dataclass(eq=False)
class Node:
    """A leaf or a branch of a tree.

    Attributes:
        name: what messages call it, for instance "c[0]"; the first key is bare.
        spelled: the same with the first key like the others, which can't be mistaken for another one.
        start, stop: the leaves below it.
        children: by key; the fields of namedtuples, dataclasses and the like by name. None: a leaf.
        by_position: the keys of the fields of a namedtuple, which have a position too.
    """

    name: str
    spelled: str
    start: int
    stop: int
    children: dict[Any, Node] | None = None
    by_position: dict[int, Any] = field(default_factory=dict)

    def key_of(self, entry: optree.PyTreeEntry) -> Any:
        """The key of the child that an entry of another tree stands for; ABSENT if there is none."""
        assert self.children is not None
        for key in (_key(entry), entry.entry):
            if key in self.children:
                return key
            if key in self.by_position:
                return self.by_position[key]
        return ABSENT

    @property
    def is_row(self) -> bool:
        """Whether its children are leaves that are numbered: an array can stand for them."""
        children = self.children or {}
        return list(children) == list(range(self.stop - self.start)) and all(
            child.children is None for child in children.values()
        )


class Structure:
    """The keys of a tree.

    Attributes:
        spec: optree's description; trees of the same spec have their leaves in the same order.
    """

    def __init__(self, spec: optree.PyTreeSpec) -> None:
        self.spec = spec

    @classmethod
    def of(cls, tree: Any) -> tuple[Structure, list[Any]]:
        """The structure and the leaves of a tree."""
        leaves, spec = optree.tree_flatten(tree, namespace=NAMESPACE)
        return cls(spec), leaves

    def __len__(self) -> int:
        return self.spec.num_leaves

    def __getstate__(self) -> dict[str, Any]:
        return {"spec": self.spec}

    @functools.cached_property
    def root(self) -> Node:
        """The tree of its nodes, built when keys or names are asked for."""
        root = Node("", "", 0, len(self))
        for i, accessor in enumerate(self.spec.accessors()):
            node = root
            for entry in accessor:
                if node.children is None:
                    node.children = {}
                key = _key(entry)
                if key not in node.children:
                    piece = _piece(entry)
                    bare = piece if node.name else _bare(entry)
                    node.children[key] = Node(node.name + bare, node.spelled + piece, i, i)
                    if isinstance(entry, optree.NamedTupleEntry):
                        node.by_position[entry.entry] = key
                node = node.children[key]
                node.stop = i + 1
        return root

    @functools.cached_property
    def leaves(self) -> list[Node]:
        """The nodes that are leaves, in order."""
        return [node for node in self.nodes() if node.children is None]

    @property
    def names(self) -> tuple[str, ...]:
        """What the leaves are called; "" if the tree is a leaf itself."""
        return tuple(node.name for node in self.leaves)

    @property
    def is_leaf(self) -> bool:
        """Whether the tree is one leaf, without any container."""
        return self.spec.is_leaf()

    def nodes(self) -> Iterator[Node]:
        """All nodes, parents before their children."""
        stack = [self.root]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed((node.children or {}).values()))

    def known(self, node: Node | None = None) -> str:
        """The names of the first leaves below a node, for messages."""
        start, stop = (0, len(self)) if node is None else (node.start, node.stop)
        names = [repr(leaf.name) for leaf in self.leaves[start : min(stop, start + 8)]]
        return ", ".join(names) + (", ..." if stop - start > 8 else "")

    # other trees ---------------------------------------------------------------------------------------------------

    def match(self, tree: Any, what: str, error: type[Exception], whose: str = "params") -> Sequence[Any]:
        """What another tree has where this one has leaves, found by key.

        Args:
            tree: a tree with the same keys, in containers of any kind.
            what: what it is, for messages.
            error: raised if it lacks a key or has others.
            whose: what has this structure, for messages; a plural.

        Returns:
            One thing for each leaf; where the tree has a container there, the container.
        """
        try:
            return self.spec.flatten_up_to(tree)
        except (ValueError, TypeError):  # other containers, or what doesn't fit: the long way says which
            pass
        found: list[Any] = [None] * len(self)
        self._collect(tree, self.root, found, _Wording(what, error, whose))
        return found

    def _collect(self, tree: Any, node: Node, found: list[Any], wording: _Wording) -> None:
        if node.children is None:
            found[node.start] = tree
            return
        given = _children(tree)
        if given is None:
            raise wording.not_a_branch(node, tree, self.known(node))
        missing = dict(node.children)
        for entry, child in given:
            key = node.key_of(entry)
            if key in missing:
                self._collect(child, missing.pop(key), found, wording)
            elif child is not None and optree.tree_leaves(child, namespace=NAMESPACE):
                raise wording.unknown(_name_below(node, entry), self.known())
        for lacking in missing.values():
            raise wording.lacking(self.leaves[lacking.start].name)

    def spread(self, tree: Any, what: str) -> Iterator[tuple[Node, Any]]:
        """Nodes of this tree, and what a tree with a part of the keys has for each.

        Args:
            tree: None, one value for all, or a tree with a part of the keys; None stands for nothing, one value at a
                branch for all leaves below it.
            what: what it is, for messages.

        Raises:
            InvalidInputError: it has a key that isn't here.
        """
        yield from self._spread(tree, self.root, _Wording(what, InvalidInputError, "params"))

    def _spread(self, tree: Any, node: Node, wording: _Wording) -> Iterator[tuple[Node, Any]]:
        if tree is None:
            return
        if node.children is None or is_single(tree):
            yield node, tree
            return
        given = _children(tree)
        if given is None and node.is_row and np.shape(tree) == (len(node.children),):
            yield from zip(node.children.values(), list(np.asarray(tree)), strict=True)
            return
        if given is None:
            raise wording.not_a_branch(node, tree, self.known(node))
        for entry, child in given:
            key = node.key_of(entry)
            if key is ABSENT:
                raise wording.unknown(_name_below(node, entry), self.known())
            yield from self._spread(child, node.children[key], wording)


#: Of a number or an array.
ONE_LEAF = Structure(optree.treespec_leaf(namespace=NAMESPACE))


@dataclass(frozen=True)
class _Wording:
    """The messages about trees that don't fit."""

    what: str
    error: type[Exception]
    whose: str

    def not_a_branch(self, node: Node, tree: Any, known: str) -> Exception:
        where = f" at {node.name!r}" if node.name else ""
        return self.error(
            f"{self.what}{where} must have the structure of {self.whose}, with the leaves {known}, but is "
            f"{what_it_is(tree)}"
        )

    def unknown(self, name: str, known: str) -> Exception:
        return self.error(f"{self.what} has a leaf {name!r} that {self.whose} don't have; {self.whose} have {known}")

    def lacking(self, name: str) -> Exception:
        return self.error(f"{self.what} lacks the leaf {name!r} of {self.whose}")


def is_single(value: Any) -> bool:
    """Whether it is one number or flag, arrays without dimensions included."""
    return isinstance(value, (numbers.Number, np.generic)) or getattr(value, "ndim", None) == 0


def _children(tree: Any) -> list[tuple[optree.PyTreeEntry, Any]] | None:
    """The children of a container with their entries, None among them; None for a leaf."""
    if tree is None or optree.tree_is_leaf(tree, namespace=NAMESPACE):
        return None
    children, spec = optree.tree_flatten(
        tree, is_leaf=lambda child: child is not tree, none_is_leaf=True, namespace=NAMESPACE
    )
    return [(accessor[0], child) for accessor, child in zip(spec.accessors(), children, strict=True)]


def _key(entry: optree.PyTreeEntry) -> Any:
    return entry.field if isinstance(entry, optree.NamedTupleEntry) else entry.entry


def _is_field(entry: optree.PyTreeEntry) -> bool:
    return isinstance(entry, _FIELDS) or (isinstance(entry, optree.FlattenedEntry) and isinstance(entry.entry, str))


def _piece(entry: optree.PyTreeEntry) -> str:
    return f".{_key(entry)}" if _is_field(entry) else f"[{entry.entry!r}]"


def _bare(entry: optree.PyTreeEntry) -> str:
    """The first key, as a user would call it; a key without characters is shown as it is written."""
    return str(_key(entry)) or _piece(entry)


def _name_below(node: Node, entry: optree.PyTreeEntry) -> str:
    return node.name + _piece(entry) if node.name else _bare(entry)


def refuse_none(params: Any, n_leaves: int) -> None:
    """Raise InvalidInputError where one of the leaves of params is None, which optree would pass over."""
    leaves, spec = optree.tree_flatten(params, none_is_leaf=True, namespace=NAMESPACE)
    if len(leaves) == n_leaves:
        return
    for i, value in enumerate(leaves):
        if value is None:
            name = Structure(spec).leaves[i].name
            raise InvalidInputError(f"params leaf {name!r} must be a number or an array, but is None")


def distinct(names: Sequence[str], spelled: Sequence[str]) -> tuple[str, ...]:
    """The names, those that two things have spelled out, and numbered if that doesn't help.

    >>> distinct(["a[0]", "b", "a[0]"], ["['a'][0]", "['b']", "['a[0]']"])
    ("['a'][0]", 'b', "['a[0]']")
    """
    chosen = list(names)
    for longer in (spelled, None, None):
        counts = Counter(chosen)
        if len(counts) == len(chosen):
            break
        chosen = [
            name if counts[name] == 1 else longer[i] if longer is not None else f"{name}#{i}"
            for i, name in enumerate(chosen)
        ]
    return tuple(chosen)


def show(value: Any, limit: int = 60) -> str:
    """A value as messages show it: one line of at most `limit` characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def what_it_is(value: Any) -> str:
    """A thing that should have been a tree, for messages."""
    if value is None:
        return "None; is a return statement missing?"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"an array of shape {shape}"
    return show(value)

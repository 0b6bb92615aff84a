"""Functions as bytes for other processes, with all that they need there.

Functions that travel by value keep the names of the files that they were written in, and classes that do so stay
registered with optree.
"""

from __future__ import annotations

import io
from collections import ChainMap
from collections.abc import Iterator
from types import CodeType
from typing import Any, ClassVar

import cloudpickle
import cloudpickle.cloudpickle
import optree

from optcore.structure import NAMESPACE

__all__ = ["dumps"]

#: What cloudpickle writes instead of the file of functions that travel by value, from its version 3.1.3 on.
_NO_FILE = "<dynamic-code>"


def _reduce_code(code: CodeType) -> tuple[Any, ...]:
    make, arguments = cloudpickle.cloudpickle._code_reduce(code)
    return make, tuple(code.co_filename if argument == _NO_FILE else argument for argument in arguments)


def _reduce_spec(spec: optree.PyTreeSpec) -> tuple[Any, ...]:
    """A description of a tree, and how to flatten classes of it that other processes can't import."""
    registrations = []
    classes: set[Any] = {node.type for node in _nodes(spec) if node.kind == optree.PyTreeKind.CUSTOM}
    for cls in classes:
        if not cloudpickle.cloudpickle._should_pickle_by_reference(cls):
            entry = optree.register_pytree_node.get(cls, namespace=spec.namespace)
            assert entry is not None  # since it is in the tree
            registrations.append((cls, entry.flatten_func, entry.unflatten_func, entry.path_entry_type))
    return _load_spec, (registrations, spec.__reduce_ex__(2)[2])


def _nodes(spec: optree.PyTreeSpec) -> Iterator[optree.PyTreeSpec]:
    yield spec
    for child in spec.children():
        yield from _nodes(child)


def _load_spec(registrations: list[tuple[Any, ...]], state: Any) -> optree.PyTreeSpec:
    for cls, flatten, unflatten, path_entry_type in registrations:
        if optree.register_pytree_node.get(cls, namespace=NAMESPACE) is None:
            optree.register_pytree_node(cls, flatten, unflatten, path_entry_type=path_entry_type, namespace=NAMESPACE)
    spec = optree.PyTreeSpec.__new__(optree.PyTreeSpec)
    spec.__setstate__(state)  # type: ignore[attr-defined]  # not in its stubs
    return spec


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Keeps file names, so that a traceback of another process says where the user's code failed."""

    dispatch_table: ClassVar = ChainMap(
        {CodeType: _reduce_code, optree.PyTreeSpec: _reduce_spec}, cloudpickle.Pickler.dispatch_table
    )


def dumps(value: Any) -> bytes:
    """As cloudpickle.dumps: by value what other processes can't import.

    >>> import pickle
    >>> pickle.loads(dumps(dumps)) is dumps
    True
    """
    with io.BytesIO() as file:
        _Pickler(file, protocol=5).dump(value)
        return file.getvalue()

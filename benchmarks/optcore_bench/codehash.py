"""What a solver or problem of the user's own is, as a hash: it changes when its code does.

A run that is stored isn't run again, so that its id must say which code made it.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from optcore.errors import InvalidInputError

__all__ = ["code_hash", "is_ours", "qualified_name"]


def is_ours(thing: Any) -> bool:
    """Whether a class or function comes with optcore, whose versions change with its code."""
    return str(getattr(thing, "__module__", "")).partition(".")[0] in ("optcore", "optcore_problems", "optcore_bench")


def qualified_name(thing: Any) -> str:
    """Module and name of a function or class, or of an object's class, for people.

    >>> qualified_name(qualified_name)
    'optcore_bench.codehash:qualified_name'
    """
    if isinstance(thing, functools.partial):
        return f"partial({qualified_name(thing.func)})"
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}:{named.__qualname__}"


def code_hash(thing: Any, what: str) -> str:
    """Hash of the source of the module that defines it, of its qualified name and of the values bound to it.

    For lambdas and for what was typed into a notebook or console its own source is taken, since there is no module
    whose source would be the same next time.

    Args:
        thing: a function, a class, an object with `__call__`, a bound method or a functools.partial.
        what: how an error names it, as "algorithm 'mine'".

    Returns:
        64 hexadecimal digits.

    Raises:
        InvalidInputError: there is no source, or a bound value has no stable text; asks for `version`.
    """
    digest = hashlib.sha256()
    for part in _parts(thing, what):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def _parts(thing: Any, what: str) -> list[str]:
    if isinstance(thing, functools.partial):
        bound = [_stable(value, what) for value in (*thing.args, sorted(thing.keywords.items()))]
        return ["partial", *_parts(thing.func, what), *bound]
    if inspect.ismethod(thing):
        return ["method", *_parts(thing.__func__, what), *_parts(thing.__self__, what)]
    if inspect.isfunction(thing) or isinstance(thing, type):
        return [qualified_name(thing), _source(thing, what), *_closure(thing, what)]
    state = getattr(thing, "__dict__", {})
    return ["object", *_parts(type(thing), what), _stable(sorted(state.items()), what)]


def _closure(thing: Any, what: str) -> list[str]:
    """The values that a function took along from where it was defined, and its defaults."""
    cells = getattr(thing, "__closure__", None) or ()
    names = thing.__code__.co_freevars if cells else ()
    values: list[Any] = [(name, _cell(cell)) for name, cell in zip(names, cells, strict=True)]
    values += list(getattr(thing, "__defaults__", None) or ()) if thing.__name__ == "<lambda>" else []
    return [_stable(value, what) for value in values]


def _cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet: a function that refers to itself
        return None


def _source(thing: Any, what: str) -> str:
    module = sys.modules.get(thing.__module__)
    whole_module = getattr(module, "__file__", None) and thing.__name__ != "<lambda>"
    try:
        return inspect.getsource(module) if whole_module and module is not None else inspect.getsource(thing)
    except (OSError, TypeError) as error:
        raise _ask_for_version(what, "its source can't be found") from error


def _stable(value: Any, what: str) -> str:
    """Text that is the same for the same value in every process."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return repr(value)
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufcSU":
        return f"{value.dtype.str}{value.shape}{hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()}"
    if isinstance(value, (list, tuple)):
        return f"({','.join(_stable(item, what) for item in value)})"
    if isinstance(value, Mapping):
        items = sorted((_stable(k, what), _stable(v, what)) for k, v in value.items())
        return f"{{{','.join(f'{k}:{v}' for k, v in items)}}}"
    if inspect.ismodule(value):
        return f"module {value.__name__} {getattr(value, '__version__', '')}"
    if inspect.isbuiltin(value) or (callable(value) and is_ours(value)):
        return qualified_name(value)
    if callable(value):
        return ";".join(_parts(value, what))
    raise _ask_for_version(what, f"it holds {type(value).__name__} {value!r}, which has no text that stays the same")


def _ask_for_version(what: str, why: str) -> InvalidInputError:
    return InvalidInputError(
        f"{what}: {why}, so results can't be matched with the code that made them; "
        'give it a version: {"name": ..., "algorithm": ..., "version": "1"}'
    )

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

_REMEDY = 'give it a version: {"name": ..., "algorithm": ..., "version": "1"}'


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


def code_hash(thing: Any, what: str, remedy: str = _REMEDY) -> str:
    """Hash of the source of the module that defines it, of its qualified name and of the values bound to it.

    Bound are what a function took along from where it was defined, its defaults, what a partial adds, and what an
    object holds. For lambdas and for what was typed into a notebook or console its own source is taken, since there
    is no module whose source would be the same next time.

    Args:
        thing: a function, a class, an object with `__call__`, a bound method or a functools.partial.
        what: how an error names it, as "algorithm 'mine'".
        remedy: what an error advises.

    Returns:
        64 hexadecimal digits.

    Raises:
        InvalidInputError: there is no source, or a bound value has no stable text; asks for `version`.
    """
    digest = hashlib.sha256()
    try:
        for part in _parts(thing):
            digest.update(part.encode() + b"\0")
    except _NoHashError as error:
        raise InvalidInputError(
            f"{what}: {error}, so results can't be matched with the code that made them; {remedy}"
        ) from error
    return digest.hexdigest()


class _NoHashError(Exception):
    """There is no text that is the same in every process; the message says why."""


def _parts(thing: Any) -> list[str]:
    if isinstance(thing, functools.partial):
        bound = [_stable(value) for value in (*thing.args, sorted(thing.keywords.items()))]
        return ["partial", *_parts(thing.func), *bound]
    if inspect.ismethod(thing):
        return ["method", *_parts(thing.__func__), *_parts(thing.__self__)]
    if inspect.isfunction(thing):
        return [qualified_name(thing), _source(thing), *map(_stable, _bound(thing))]
    if isinstance(thing, type):
        return [qualified_name(thing), _source(thing)]
    state = getattr(thing, "__dict__", {})
    return ["object", *_parts(type(thing)), _stable(sorted(state.items()))]


def _bound(function: Any) -> list[Any]:
    """The values that a function took along from where it was defined, and its defaults."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return [*((name, _cell(cell)) for name, cell in cells), function.__defaults__, function.__kwdefaults__]


def _cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet: a function that refers to itself
        return None


def _source(thing: Any) -> str:
    module = sys.modules.get(thing.__module__)
    whole_module = getattr(module, "__file__", None) and thing.__name__ != "<lambda>"
    try:
        return inspect.getsource(module) if whole_module and module is not None else inspect.getsource(thing)
    except (OSError, TypeError) as error:
        raise _NoHashError("its source can't be found") from error


def _stable(value: Any) -> str:
    """Text that is the same for the same value in every process."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return repr(value)
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufcSU":
        return f"{value.dtype.str}{value.shape}{hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()}"
    if isinstance(value, (list, tuple)):
        return f"({','.join(_stable(item) for item in value)})"
    if isinstance(value, Mapping):
        items = sorted((_stable(k), _stable(v)) for k, v in value.items())
        return f"{{{','.join(f'{k}:{v}' for k, v in items)}}}"
    if inspect.ismodule(value):
        return f"module {value.__name__} {getattr(value, '__version__', '')}"
    if inspect.isbuiltin(value) or (callable(value) and is_ours(value)):
        return qualified_name(value)
    if callable(value):
        return ";".join(_parts(value))
    raise _NoHashError(f"it holds {type(value).__name__} {value!r}, which has no text that stays the same")

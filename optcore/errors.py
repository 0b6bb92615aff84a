"""Errors of the core: each message says what came, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class OptcoreError(Exception):
    """Base of all errors that optcore raises on purpose."""


class InvalidInputError(OptcoreError, ValueError):
    """What the caller gave can't be used: params, bounds, options, combinations of them."""


class InvalidFunctionError(OptcoreError, ValueError):
    """A user function returned something that doesn't fit its kind or the params."""


class WrongDerivativeError(InvalidFunctionError):
    """A derivative doesn't belong to its function.

    Attributes:
        check: the `om.DerivativeCheck` that found it.
    """

    check: Any = None


class UserFunctionError(OptcoreError, RuntimeError):
    """A user function raised; chained to the original exception."""


class UnknownNameError(OptcoreError, LookupError):
    """A name isn't known; the message suggests the nearest one."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class MissingLibraryError(OptcoreError, ImportError):
    """An algorithm or strategy needs a library that isn't installed; the message names the extra."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like `name`, or None if none does.

    >>> nearest("scipy_lbfgs", ["scipy_lbfgsb", "scipy_bfgs"])
    'scipy_lbfgsb'
    """
    candidates = list(known)
    lower = {candidate.lower(): candidate for candidate in candidates}
    matches = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    if matches:
        return lower[matches[0]]
    inside = [c for low, c in lower.items() if len(name) > 2 and (name.lower() in low or low in name.lower())]
    return min(inside, key=len) if inside else None


def unknown_name(what: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """One sentence: what isn't known, the nearest name, or all of them when few.

    >>> print(unknown_name("algorithm", "scipy_lbfgs", ["scipy_lbfgsb", "scipy_bfgs"]))
    unknown algorithm 'scipy_lbfgs'; did you mean 'scipy_lbfgsb'?
    """
    names = sorted(known)
    guess = nearest(str(name), names)
    if guess is not None:
        return UnknownNameError(f"unknown {what} {name!r}; did you mean {guess!r}?")
    shown = ", ".join(names[:30]) + (", ..." if len(names) > 30 else "")
    return UnknownNameError(f"unknown {what} {name!r}; there are: {shown}")

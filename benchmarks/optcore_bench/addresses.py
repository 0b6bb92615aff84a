"""Where problems come from, as text: how a study names them, and how another process finds them.

A problem of a registered suite is found by its name; one of the user's own suite by `my_suite.py:suite` or
`my_package.module:suite` and its name. What was made of it by transformations is made again there. Problems without an
address travel by value.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import cloudpickle

from optcore.errors import InvalidInputError, OptcoreError, unknown_name
from optcore_bench.supervise.words import describe_error
from optcore_problems import Problem, Suite, get_problem, list_suites
from optcore_problems.transform import Transformation, apply

__all__ = ["Address", "address_of", "check_file", "find", "is_place", "is_registered", "load_suite", "place_from"]

#: What errors give as examples of places.
_SUITES = "'my_suite.py:suite' or 'my_package.module:suite'"
_FOLDER = "paths in a study start at the folder of its file"


@dataclass(frozen=True)
class Address:
    """Where a problem is found.

    Attributes:
        place: `FILE.py:NAME` or `MODULE:NAME`; "" for the registered suites.
        name: the name without transformations, as get_problem takes it.
        transformations: what is made of it.
    """

    place: str
    name: str
    transformations: tuple[Transformation, ...] = ()

    def load(self) -> Problem:
        """The problem itself.

        Raises:
            UnknownNameError, InvalidInputError: it isn't there, or not any more.
        """
        if not self.place:
            return apply(get_problem(self.name), *self.transformations)
        found = _originals(load_suite(self.place))
        if self.name not in found:
            raise unknown_name(f"problem of {self.place!r}", self.name, found)
        return apply(found[self.name], *self.transformations)


#: The places of problems out of files and modules.
_PLACES: WeakKeyDictionary[Problem, str] = WeakKeyDictionary()


def address_of(problem: Problem) -> Address | None:
    """Where another process finds the problem; None where it has to be sent."""
    original = problem.original
    if is_registered(original):
        return Address("", original.full_name, problem.transformations)
    place = _PLACES.get(original)
    return None if place is None else Address(place, original.full_name, problem.transformations)


def is_registered(problem: Problem) -> bool:
    """Whether `get_problem` gives this very problem, but for transformations, in any process."""
    original = problem.original
    if original.suite not in list_suites():
        return False
    try:
        return get_problem(original.full_name) is original
    except OptcoreError:
        return False


# --- suites out of files and modules ---------------------------------------------------------------------------------


def is_place(text: str) -> bool:
    """Whether it is meant as FILE.py:NAME or MODULE:NAME.

    >>> [is_place(text) for text in ("more_wild/rosenbrock", "mine.py", "mine.py:suite", "package.module:suite")]
    [False, True, True, True]
    """
    return ":" in text or text.endswith(".py")


def place_from(text: str, folder: Path | None = None, examples: str = _SUITES) -> str:
    """The place with an absolute path, if it is a file.

    Args:
        text: what the study says.
        folder: where relative paths start; the current folder by default.
        examples: what an error shows as right.

    Raises:
        InvalidInputError: not FILE.py:NAME or MODULE:NAME.

    >>> place_from("package.module:suite")
    'package.module:suite'
    """
    where, colon, name = text.rpartition(":")
    if not colon or not where or not name.isidentifier():
        raise InvalidInputError(f"{text!r} must say which object of a file or module it means: {examples}")
    if not where.endswith(".py"):
        return text
    path = Path(where).expanduser()
    return f"{path if path.is_absolute() else Path(folder or '.').resolve() / path}:{name}"


def load_suite(place: str, n: int | Sequence[int] | None = None) -> Suite:
    """The suite at a place: a Suite, a Problem, a list of Problems, or a function that returns one of these.

    Files and modules run at the first call in a process, files again when they have changed.

    Args:
        place: `FILE.py:NAME` or `MODULE:NAME`.
        n: numbers of variables, for suites that can be resized; None for those that the suite holds.

    Raises:
        InvalidInputError: no such file, module or object, one that fails, or one that isn't a suite; or a suite that
            can't be resized.
    """
    found, state = find(place)
    key = (place, state)
    if key not in _LOADED:
        with redirect_stdout(sys.stderr):
            suite = _as_suite(found, place)
        _LOADED[key] = suite
        for original in _originals(suite).values():
            _PLACES.setdefault(original, place)
    return _LOADED[key].sized(n)


def _originals(suite: Suite) -> dict[str, Problem]:
    """What a suite's problems were made of, by name. Of several that share a name, the others travel by value."""
    found: dict[str, Problem] = {}
    for problem in suite:
        found.setdefault(problem.original.full_name, problem.original)
    return found


def find(place: str, examples: str = _SUITES, start: str = _FOLDER) -> tuple[Any, Any]:
    """The object at a place, and for files when it was written and how long it is.

    Files and modules run at the first call in a process, files again when they have changed.

    Args:
        place: `FILE.py:NAME` or `MODULE:NAME`.
        examples: what an error shows as right.
        start: where paths start, for the error of a file that isn't there.

    Raises:
        InvalidInputError: no such file or module, or one that fails.
        UnknownNameError: it has no such name; suggests the nearest.
    """
    where, _, name = place.rpartition(":")
    with redirect_stdout(sys.stderr):  # what it prints is no part of a command's output, which may be JSON
        module, state = _file(where, start) if where.endswith(".py") else (_module(where, examples), None)
    return _attribute(module, where, name), state


#: Suites by place and, for files, by when the file was written and how long it is.
_LOADED: dict[tuple[str, Any], Suite] = {}
#: Modules made of files by path, with the same.
_FILES: dict[Path, tuple[ModuleType, Any]] = {}


def _module(name: str, examples: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise InvalidInputError(f"the module {name!r} can't be imported: {error}") from error
        raise InvalidInputError(
            f"there is no module {name!r}; install its package or put its folder on PYTHONPATH, or give a file: "
            f"{examples.partition(' or ')[0]}"
        ) from error
    except (Exception, SystemExit) as error:  # whatever the user's module raises
        raise InvalidInputError(f"the module {name!r} can't be imported: {describe_error(error)}") from error


def check_file(path: Path, start: str = _FOLDER) -> None:
    """Refuse a place whose file isn't there.

    Raises:
        InvalidInputError: says which, and where paths start.
    """
    if not path.is_file():
        raise InvalidInputError(f"there is no file {str(path)!r}; {start}")


def _file(text: str, start: str) -> tuple[ModuleType, Any]:
    path = Path(text)
    check_file(path, start)
    status = path.stat()
    state = (status.st_mtime_ns, status.st_size)
    known = _FILES.get(path)
    if known is not None and known[1] == state:
        return known
    name = f"file_{path.stem}" if known is None else known[0].__name__
    while known is None and name in sys.modules:
        name += "_"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # since the name ends with .py
    module = importlib.util.module_from_spec(spec)
    # Where classes and functions look for their module, and the folder for what the file imports from beside it.
    sys.modules[name] = module
    # No other process can import it: what doesn't go by its place is sent with its code.
    cloudpickle.register_pickle_by_value(module)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    try:
        # Not by the loader, whose cache takes a file that was written again within a second for the old one.
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
    except (Exception, SystemExit) as error:  # whatever the user's file raises
        cloudpickle.unregister_pickle_by_value(module)
        del sys.modules[name]
        raise InvalidInputError(f"the file {str(path)!r} can't be loaded: {describe_error(error)}") from error
    _FILES[path] = module, state
    return module, state


def _attribute(module: ModuleType, where: str, name: str) -> Any:
    if not hasattr(module, name):
        own = [key for key in vars(module) if not key.startswith("_")]
        raise unknown_name(f"name in {where!r}:", name, own)
    return getattr(module, name)


def _as_suite(found: Any, place: str) -> Suite:
    given = found
    if callable(found):
        try:
            found = found()
        except Exception as error:  # whatever the user's function raises
            raise InvalidInputError(
                f"{place!r} is called to get a suite, but raises {type(error).__name__}: {error}"
            ) from error
    if isinstance(found, Suite):
        suite = found
    else:
        problems = (found,) if isinstance(found, Problem) else tuple(found) if isinstance(found, Iterable) else ()
        if not problems or not all(isinstance(problem, Problem) for problem in problems):
            raise InvalidInputError(
                f"{place!r} must be a Suite, a Problem, a list of Problems or a function that returns one of them, but "
                f"{'is' if found is given else 'returns'} {found!r}"
            )
        suite = Suite(place, problems)
    if not len(suite):
        raise InvalidInputError(f"the suite at {place!r} is empty")
    return suite

"""Solvers out of a file or a module: where they are, what they consist of, and how a supervised process loads them."""

from __future__ import annotations

import ast
import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optcore.errors import InvalidInputError
from optcore.solvers import Algorithm
from optcore.solvers.shipped import FAMILIES
from optcore_bench.addresses import check_file, find, is_place, place_from
from optcore_bench.codehash import code_hash
from optcore_bench.external.host import load_source

__all__ = ["Place", "Source", "place_in", "sources_of"]

_EXAMPLES = "'my_solver.py:solve' or 'my_package.module:solve'"


@dataclass(frozen=True)
class Place:
    """Where a solver is.

    Attributes:
        where: the absolute path of a file, or the name of a module.
        name: of the function or class in it.

    >>> Place.read("package.module:solve")
    Place(where='package.module', name='solve')
    """

    where: str
    name: str

    @classmethod
    def read(cls, text: str, folder: Path | None = None) -> Place:
        """A place out of `FILE.py:NAME`, the path relative to a folder, or `MODULE:NAME`.

        Raises:
            InvalidInputError: it is neither.
        """
        where, _, name = place_from(text, folder, _EXAMPLES).rpartition(":")
        return cls(where, name)

    def __str__(self) -> str:
        return f"{self.where}:{self.name}"

    @property
    def is_file(self) -> bool:
        """Whether it is in a file, not in a module that every process can import."""
        return self.where.endswith(".py")

    def find(self) -> Any:
        """The function or class. Its file or module runs in this process, at the first call and when it has changed.

        Raises:
            InvalidInputError: no such file or module, one that fails, or what is there is no solver.
            UnknownNameError: nothing of that name; suggests the nearest.
        """
        found, _ = find(str(self), _EXAMPLES)
        if isinstance(found, type) and not issubclass(found, Algorithm):
            raise InvalidInputError(
                f"the class at {str(self)!r} is no subclass of om.Algorithm; a solver is such a class, made with "
                "@om.register_algorithm, or a function"
            )
        if not callable(found):
            raise InvalidInputError(
                f"what is at {str(self)!r} can't be called, but is {found!r}; a solver is a function or a subclass of "
                "om.Algorithm"
            )
        return found

    @property
    def file(self) -> str:
        """The file; "" for a module."""
        return self.where if self.is_file else ""

    def to_plain(self) -> dict[str, Any]:
        """Its keys in the table of an algorithm, as TOML has them."""
        return {"path": str(self), "sha256": self.sha256} if self.is_file else {"algorithm": str(self)}

    @property
    def sha256(self) -> str:
        """Of the file's bytes, as sha256sum gives it; "" for a module."""
        if not self.is_file:
            return ""
        check_file(Path(self.where))
        return hashlib.sha256(Path(self.where).read_bytes()).hexdigest()

    def code_hash(self, what: str) -> str:
        """Hash of its name, its source, and the source of what its file imports from beside it."""
        if not self.is_file:
            return code_hash(self.find(), what)
        digest = hashlib.sha256(self.name.encode() + b"\0")
        for name, source in sorted(sources_of(Path(self.where)).items()):
            digest.update(f"{name} {len(source)}\0".encode() + source)
        return digest.hexdigest()

    def for_workers(self) -> Any:
        """What another process calls or loads: the function itself, if it can be imported there; or its source."""
        return Source.read(self) if self.is_file else self.find()


@dataclass(frozen=True)
class Source:
    """A file of a solver as it travels to other processes.

    It is run anew for each run, and so is what it imports from beside it: what a run leaves in the globals of its
    module would make the next one depend on the order of runs.

    Attributes:
        path: of the file, for messages, `__file__` and for what it imports from beside it.
        name: of the function or class.
        text: the source.
        helpers: names of the modules beside it that it imports.
    """

    path: str
    name: str
    text: bytes
    helpers: tuple[str, ...]

    @classmethod
    def read(cls, place: Place) -> Source:
        """The file at a place as it is now.

        Raises:
            InvalidInputError: there is none.
        """
        path = Path(place.where)
        check_file(path)
        sources = sources_of(path)
        text = sources.pop(path.name)
        return cls(place.where, place.name, text, tuple(sorted({_module_name(name) for name in sources})))

    def load(self) -> Any:
        """Run the file and take the function or class out of it."""
        return load_source(self.path, self.text, self.name, self.helpers)


def place_in(text: str) -> bool:
    """Whether the name of an algorithm is meant as a place; `optimagic:NAME` is none.

    >>> [place_in(text) for text in ("scipy_lbfgsb", "optimagic:scipy_lbfgsb", "mine.py:solve", "package.module:solve")]
    [False, False, True, True]
    """
    return is_place(text) and text.partition(":")[0] not in FAMILIES


# --- what a file imports from beside it ------------------------------------------------------------------------------


def sources_of(path: Path) -> dict[str, bytes]:
    """The file and all that it imports from its folder, directly or not: name relative to the folder -> bytes.

    Nothing is run: imports are read from the text. A package is taken as a whole.
    """
    folder = path.parent
    found: dict[str, bytes] = {}
    todo = [path]
    while todo:
        file = todo.pop()
        name = file.relative_to(folder).as_posix()
        if name in found:
            continue
        found[name] = file.read_bytes()
        for module in _imported(found[name]):
            beside, package = folder / f"{module}.py", folder / module
            if beside.is_file():
                todo.append(beside)
            elif (package / "__init__.py").is_file():
                todo.extend(sorted(package.rglob("*.py")))
    return found


@functools.lru_cache(maxsize=64)  # each run asks
def _imported(source: bytes) -> tuple[str, ...]:
    """Top-level names of what a source imports absolutely; none if it can't be read, which running it will say."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ()
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
    return tuple(dict.fromkeys(name.partition(".")[0] for name in names))


def _module_name(file: str) -> str:
    """The name that a file below the folder is imported by.

    >>> _module_name("helper.py"), _module_name("package/__init__.py"), _module_name("package/part.py")
    ('helper', 'package', 'package.part')
    """
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

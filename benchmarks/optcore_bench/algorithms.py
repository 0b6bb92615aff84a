"""What one entry of a study's `algorithms` says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeGuard

from optcore.errors import InvalidInputError, UnknownNameError, unknown_name
from optcore.solvers import Algorithm, CallableAlgorithm, get_algorithm
from optcore_bench.codehash import code_hash, is_ours, qualified_name
from optcore_bench.external.base import External, plain_options, with_seed
from optcore_bench.external.dialogue import RemoteAlgorithm
from optcore_bench.external.interpreter import Interpreter
from optcore_bench.external.kept import with_kept_source
from optcore_bench.external.place import Place, place_in
from optcore_bench.external.program import Program, ProgramAlgorithm, absolute_command, absolute_program

__all__ = [
    "AlgorithmEntry",
    "algorithm_entry",
    "anchored_algorithms",
    "refuse_python",
    "resolved_options",
    "was_python_object",
]


@dataclass(frozen=True)
class AlgorithmEntry:
    """A solver under a name.

    Attributes:
        name: what rows call it.
        algorithm: the name of a registered algorithm; a class or function of the user's own, or where one is; or
            one that runs outside of the process of the harness.
        options: the user's options.
        version: stands for the code of a solver whose source can't be hashed.
    """

    name: str
    algorithm: str | Place | External | type[Algorithm] | Callable[..., Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""

    @property
    def implementation(self) -> Any:
        """The class, or the user's function."""
        if isinstance(self.algorithm, Place):
            return self.algorithm.find()
        if isinstance(self.algorithm, str):
            found = get_algorithm(self.algorithm)
            return getattr(found, "plain_function", found)
        return self.algorithm

    @property
    def is_own(self) -> bool:
        """Whether the code is the user's, not optcore's."""
        if isinstance(self.algorithm, External):
            return bool(self.algorithm.file)
        return isinstance(self.algorithm, Place) or not is_ours(self.implementation)

    @property
    def environment(self) -> dict[str, str]:
        """What its rows say of where it runs, beside the fingerprint of the harness."""
        return self.algorithm.environment(self.options) if isinstance(self.algorithm, External) else {}

    def code_hash(self) -> str:
        """A hash of code of the user's own.

        Raises:
            InvalidInputError: there is none; asks for `version`.
        """
        what = f"algorithm {self.name!r}"
        return (
            self.algorithm.code_hash(what)
            if isinstance(self.algorithm, Place)
            else code_hash(self.implementation, what)
        )

    def make(self, *, tight: bool = False, seed: int = 0) -> Algorithm:
        """An instance with the user's options, above the strictest tolerances if tight; a seed where one is taken.

        Raises:
            UnknownNameError, InvalidInputError: an option that it doesn't have, or a value that can't be.
        """
        if isinstance(self.algorithm, External):
            return self.algorithm.make(self.options, tight=tight, seed=seed)
        implementation = self.implementation
        if not is_algorithm_class(implementation):
            return with_seed(CallableAlgorithm(implementation, plain_options(self.options)), seed)
        resolved = {**(implementation.tight if tight else {}), **implementation.read_options(self.options)}
        if "seed" in implementation.option_names():
            resolved.setdefault("seed", seed)
        return implementation.from_options(resolved)

    def to_plain(self) -> Any:
        """As TOML has it."""
        if isinstance(self.algorithm, str):
            if self.name == self.algorithm and not self.options and not self.version:
                return self.name
            plain: dict[str, Any] = {"name": self.name, "algorithm": self.algorithm}
        elif isinstance(self.algorithm, (Place, External)):
            plain = {"name": self.name, **self.algorithm.to_plain()}
        else:
            plain = {"name": self.name, "python": qualified_name(self.algorithm)}
        if self.options:
            plain["options"] = dict(self.options)
        if self.version:
            plain["version"] = self.version
        return plain


def is_algorithm_class(thing: Any) -> TypeGuard[type[Algorithm]]:
    """Whether it is a subclass of om.Algorithm, not a plain callable."""
    return isinstance(thing, type) and issubclass(thing, Algorithm)


def resolved_options(algorithm: Algorithm) -> dict[str, Any]:
    """All options of an instance by name; of a plain callable those that it was given."""
    if isinstance(algorithm, (CallableAlgorithm, RemoteAlgorithm, ProgramAlgorithm)):
        return dict(algorithm.options)
    return {option.name: getattr(algorithm, option.name) for option in fields(algorithm)}


def algorithm_entry(given: Any) -> AlgorithmEntry:
    """Read an entry of `algorithms`.

    Raises:
        UnknownNameError: no such algorithm, option or key; suggests the nearest.
        InvalidInputError: a value of the wrong kind, or a solver of the user's own that can't be used.
    """
    if isinstance(given, AlgorithmEntry):
        return given
    if isinstance(given, Mapping):
        entry = _from_table(given)
    elif isinstance(given, Algorithm):
        entry = _from_instance(given)
    elif isinstance(given, str) or callable(given):
        algorithm = _by_name(given)
        entry = AlgorithmEntry(_default_name(algorithm), algorithm)
    else:
        raise InvalidInputError(
            f"an algorithm is given by its name, a table {{name, algorithm, options}} or a function, not by {given!r}"
        )
    entry.make()
    return entry


_KEYS = ("name", "algorithm", "path", "python", "command", "asks", "options", "version", "sha256")


def _from_table(given: Mapping[str, Any]) -> AlgorithmEntry:
    if was_python_object(given):
        refuse_python(given)
    for key in given:
        if key not in _KEYS:
            raise unknown_name("key of a table of an algorithm", key, _KEYS)
    for one, other in (("algorithm", "path"), ("algorithm", "command"), ("path", "command"), ("python", "command")):
        if one in given and other in given:
            raise InvalidInputError(
                f"a table of an algorithm has {one!r} or {other!r}, not both, but is {dict(given)!r}"
            )
    if "asks" in given and "command" not in given:
        raise InvalidInputError(f"asks goes with the key 'command', but the table is {dict(given)!r}")
    options = given.get("options", {})
    if not isinstance(options, Mapping):
        raise InvalidInputError(f"options must be a table, but is {options!r}")
    algorithm = _algorithm_of(given)
    if isinstance(algorithm, Algorithm):
        instance = _from_instance(algorithm)
        algorithm, options = instance.algorithm, {**instance.options, **options}
    name = given["name"] if "name" in given else _default_name(algorithm)
    if not isinstance(name, str) or not name:
        raise InvalidInputError(f"the name of an algorithm must be text, but is {name!r}")
    if "sha256" in given:
        _check_unchanged(algorithm, given["sha256"])
    if "python" in given:
        algorithm = _in_python(algorithm, given["python"])
    return AlgorithmEntry(name, algorithm, dict(options), str(given.get("version", "")))


def _algorithm_of(given: Mapping[str, Any]) -> Any:
    """What a table says of where its algorithm is: a name, a place, a class, an instance or a function."""
    if "command" in given:
        return Program.read(given["command"], given.get("asks"))
    if "path" in given:
        if not isinstance(given["path"], str):
            raise InvalidInputError(f"path must be text such as 'my_solver.py:solve', but is {given['path']!r}")
        return Place.read(given["path"])
    algorithm = given.get("algorithm", given.get("name"))
    if algorithm is None:
        raise InvalidInputError(
            f"a table of an algorithm needs the key 'algorithm', 'path' or 'command', but is {dict(given)!r}"
        )
    if not isinstance(algorithm, (str, Place, Algorithm)) and not callable(algorithm):
        raise InvalidInputError(f"algorithm must be a name or a function, but is {algorithm!r}")
    return _by_name(algorithm)


def _in_python(algorithm: Any, python: Any) -> Interpreter:
    """An algorithm that runs in a Python of its own."""
    if not isinstance(python, str) or not python:
        raise InvalidInputError(
            f"python must be the path of an interpreter, such as 'venv/bin/python', but is {python!r}"
        )
    if not isinstance(algorithm, (str, Place)):
        raise InvalidInputError(
            f"python goes with the name of an algorithm or the place of a solver, but the algorithm is {algorithm!r}, "
            "which only this Python has"
        )
    return Interpreter(absolute_program(python, Path()), algorithm)


def _check_unchanged(algorithm: Any, sha256: Any) -> None:
    """A stored study says which file it was, so that another one doesn't pass for it."""
    if not isinstance(algorithm, Program) and not (isinstance(algorithm, Place) and algorithm.is_file):
        raise InvalidInputError("sha256 is of the file of a solver; it goes with the keys 'path' and 'command'")
    if algorithm.sha256 != sha256:
        raise InvalidInputError(
            f"the file {algorithm.file!r} has changed since the study was stored (sha256 {str(sha256)[:12]}... then, "
            f"{algorithm.sha256[:12]}... now); restore it, or run the study's own file, which takes it as it is"
        )


def anchored_algorithms(algorithms: Any, folder: Path) -> Any:
    """The value of `algorithms` in a file, with what is below its folder made absolute."""
    if isinstance(algorithms, list):
        return [anchored_algorithms(entry, folder) for entry in algorithms]
    if isinstance(algorithms, str):
        return str(Place.read(algorithms, folder)) if place_in(algorithms) else algorithms
    if not isinstance(algorithms, dict):
        return algorithms
    anchored = dict(with_kept_source(algorithms, folder))
    for key in ("algorithm", "path"):
        text = anchored.get(key)
        if isinstance(text, str) and (key == "path" or place_in(text)):
            anchored[key] = str(Place.read(text, folder))
    if "command" in anchored:
        anchored["command"] = absolute_command(anchored["command"], folder)
    if isinstance(anchored.get("python"), str) and anchored["python"] and not was_python_object(anchored):
        anchored["python"] = absolute_program(anchored["python"], folder)
    return anchored


def _from_instance(given: Algorithm) -> AlgorithmEntry:
    if isinstance(given, CallableAlgorithm):
        return AlgorithmEntry(_default_name(given.function), given.function, dict(given.options))
    default = {option.name: option.default for option in fields(given)}
    changed = {name: value for name, value in resolved_options(given).items() if value != default[name]}
    return AlgorithmEntry(given.name, _by_name(type(given)), changed)


def _by_name(algorithm: Any) -> Any:
    """The name of a class that comes with optcore, the place that a text means; anything else as it is."""
    if isinstance(algorithm, str) and place_in(algorithm):
        return Place.read(algorithm)
    if is_algorithm_class(algorithm) and is_ours(algorithm) and _is_found(algorithm):
        return algorithm.name
    return algorithm


def _is_found(algorithm: type[Algorithm]) -> bool:
    """Whether its name leads to it, in any process."""
    try:
        return get_algorithm(algorithm.name) is algorithm
    except UnknownNameError:
        return False


def _default_name(algorithm: Any) -> str:
    if isinstance(algorithm, str):
        return algorithm
    if isinstance(algorithm, Place):
        return algorithm.name
    if isinstance(algorithm, External):
        return algorithm.default_name
    name = getattr(algorithm, "name", None) or getattr(algorithm, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>":
        raise InvalidInputError(f'{algorithm!r} has no name; give it one: {{"name": ..., "algorithm": ...}}')
    return name


def was_python_object(given: Mapping[str, Any]) -> bool:
    """Whether the table of a stored study stands for a Python object, not for a solver in a Python of its own."""
    return not {"algorithm", "path"} & set(given) and ":" in str(given.get("python", ""))


def refuse_python(given: Mapping[str, Any]) -> None:
    """Say that a stored study names a Python object, which a file can't hold."""
    if "python" in given:
        raise InvalidInputError(
            f"{given['python']!r} was a Python object, which a file can't hold; run the script that made the study"
        )

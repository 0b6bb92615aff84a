"""Solvers in a Python of their own, as a study knows them: with its numpy, its scipy, its libraries."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from optcore.errors import InvalidInputError
from optcore.solvers import Algorithm, CallableAlgorithm
from optcore_bench.environment import SOLVER_PREFIX
from optcore_bench.external import host
from optcore_bench.external.base import External, plain_options, with_seed
from optcore_bench.external.dialogue import Call, RemoteAlgorithm, RemoteFunction, own_environment
from optcore_bench.external.place import Place, Source

__all__ = ["Interpreter"]

_PATIENCE = 300.0
#: What the other Python may lack and is lent: packages and modules that are Python code only.
_LENT = ("optcore", "cloudpickle", "threadpoolctl", "typing_extensions")


@dataclass(frozen=True)
class Interpreter(External):
    """A solver in a Python of its own.

    Attributes:
        python: absolute path of the interpreter.
        solver: the name of an algorithm of optcore, or where a solver of the user's own is.
    """

    python: str
    solver: str | Place

    @property
    def default_name(self) -> str:
        """The name of the algorithm or function."""
        return self.solver.name if isinstance(self.solver, Place) else self.solver

    @property
    def file(self) -> str:
        """The file of a solver of the user's own."""
        return self.solver.file if isinstance(self.solver, Place) else ""

    def make(self, options: Mapping[str, Any], *, tight: bool, seed: int) -> Algorithm:
        """An algorithm of this process that hands on what is asked."""
        chosen, request = plain_options(options), self._request()
        told = self._told(chosen, request)
        call = Call(self.python, request, told["fingerprint"])
        if "signature" not in told:
            resolved = dict(told["tight" if tight else "options"]) | ({"seed": seed} if told["takes_seed"] else {})
            known_as = "" if isinstance(self.solver, Place) else self.solver
            return RemoteAlgorithm(call, resolved, told["algorithm"], told["missing"], known_as)
        function = RemoteFunction(call, told["function"], tuple((n, k, o) for n, k, o in told["signature"]))
        return with_seed(CallableAlgorithm(function, chosen), seed)

    def to_plain(self) -> dict[str, Any]:
        """Its keys as TOML has them."""
        solver = self.solver.to_plain() if isinstance(self.solver, Place) else {"algorithm": self.solver}
        return {**solver, "python": self.python}

    def code(self, options: Mapping[str, Any], version: str) -> dict[str, Any]:
        """The versions there, and the source of what is the user's own."""
        told = self._told(options)
        code = {"python": told["fingerprint"], "library": told.get("versions"), "algorithm": self.default_name}
        if not version:
            own = self.solver if isinstance(self.solver, Place) and self.solver.is_file else None
            code["hash"] = told["hash"] if own is None else own.code_hash("")
        return code

    def environment(self, options: Mapping[str, Any]) -> dict[str, str]:
        """The versions there."""
        told = self._told(options)
        found = {**(told.get("versions") or {}), **told["fingerprint"]}
        return {f"{SOLVER_PREFIX}{key}": value for key, value in found.items() if value is not None}

    def _request(self) -> dict[str, Any]:
        """What the interpreter must know to load the solver."""
        if not isinstance(self.solver, Place):
            what: dict[str, Any] = {"algorithm": self.solver}
        elif self.solver.is_file:
            source = Source.read(self.solver)
            text = source.text.decode("utf-8", "surrogateescape")
            what = {"path": source.path, "name": source.name, "text": text, "helpers": list(source.helpers)}
        else:
            what = {"module": self.solver.where, "name": self.solver.name}
        return {"what": what, "places": _places(), "preload": self._preload()}

    def _preload(self) -> list[str]:
        """Modules that start no threads and that every run needs: not those of the user, nor other libraries."""
        if isinstance(self.solver, Place):
            return ["numpy"]
        return ["numpy", "scipy.optimize", "optcore.solvers"]

    def _told(self, options: Mapping[str, Any], request: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """What the interpreter tells about the solver; it is asked once.

        Raises:
            InvalidInputError: there is no such interpreter, or it can't load the solver.
        """
        loaded = self._request() if request is None else request
        asked = {"do": "describe", "options": plain_options(options), **loaded}
        told = _ask(self.python, json.dumps(asked, sort_keys=True, default=_plain), _state(self.python))
        if "failed" in told:
            raise InvalidInputError(f"{self.default_name!r} can't be used in {self.python!r}: {told['failed']}")
        return told


def _state(python: str) -> tuple[int, int]:
    """Differs if there is another interpreter at the place; what is installed in it is looked at once in a process."""
    try:
        status = os.stat(python)
    except OSError:
        raise InvalidInputError(
            f"there is no Python interpreter {python!r}; give the path of one, such as 'venv/bin/python'"
        ) from None
    return status.st_ino, status.st_mtime_ns


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise InvalidInputError(
        f"an option is {value!r}; options are text, numbers, lists and tables, so that they can be sent"
    )


@functools.cache
def _places() -> dict[str, str]:
    """The files of what the other Python may lack."""
    found = ((name, importlib.util.find_spec(name)) for name in _LENT)
    return {name: spec.origin for name, spec in found if spec is not None and spec.origin is not None}


@functools.lru_cache(maxsize=256)
def _ask(python: str, request: str, _: tuple[int, int]) -> Mapping[str, Any]:
    try:
        done = subprocess.run(
            [python, host.__file__],
            input=host.pack(json.loads(request)),
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
            env=own_environment(),
        )
    except OSError as error:
        raise InvalidInputError(f"the Python interpreter {python!r} can't be started: {error.strerror}") from error
    except subprocess.TimeoutExpired:
        raise InvalidInputError(f"{python!r} has not loaded the solver after {_PATIENCE:g} s") from None
    try:
        start = host.LENGTHS.size
        length, _blob = host.LENGTHS.unpack(done.stdout[:start])
        return host.unpack(done.stdout[start : start + length], b"")[0]
    except Exception:  # noqa: BLE001  it is no Python, or too old a one, or it died
        said = done.stderr.decode(errors="replace").strip().splitlines()
        why = said[-1] if said else f"it ended with exit code {done.returncode}"
        raise InvalidInputError(
            f"{python!r} does not answer as a Python interpreter of version 3.8 or newer with numpy does: {why}"
        ) from None

"""What runs in a Python of its own: loads a solver there and lets the harness answer what it asks.

A script for that interpreter (Python 3.8 or newer), and a module for the harness, which shares the format of messages.
A plain function needs nothing there but numpy. An algorithm of optcore, by name or as a subclass, is run by the
harness's own source of optcore, whose folder is given; optree need not be there.

Messages go through stdin and stdout: two lengths of 4 bytes, a JSON object, then its arrays, one after the other.
What the solver prints goes to stderr.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.abc
import importlib.util
import json
import os
import platform
import signal
import struct
import sys
import traceback
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence  # noqa: UP035  for old interpreters

if TYPE_CHECKING or __name__ != "__main__":
    from optcore_bench.external import told
else:  # a script in an interpreter that doesn't have the package
    _told = importlib.util.spec_from_file_location("told", Path(__file__).with_name("told.py"))
    told = importlib.util.module_from_spec(_told)
    _told.loader.exec_module(told)

__all__ = ["LENGTHS", "load_source", "main", "pack", "unpack"]

#: Of the JSON object and of the arrays, in bytes.
LENGTHS = struct.Struct("<II")
_MOST_CAUSES = 5


# --- messages --------------------------------------------------------------------------------------------------------


def pack(message: Mapping[str, Any], arrays: Sequence[Any] = ()) -> bytes:
    """A message as bytes.

    Args:
        message: plain values.
        arrays: numpy arrays of floats or integers, sent exactly.
    """
    kinds = [[array.dtype.str, list(array.shape)] for array in arrays]
    blob = b"".join(array.tobytes() for array in arrays)
    head = json.dumps({**message, "arrays": kinds}, default=_plain).encode()
    return LENGTHS.pack(len(head), len(blob)) + head + blob


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def unpack(head: bytes, blob: bytes) -> tuple[dict[str, Any], list[Any]]:
    """A message and its arrays, which are copies."""
    import numpy as np

    message: dict[str, Any] = json.loads(head)
    arrays, at = [], 0
    for kind, shape in message.pop("arrays"):
        dtype = np.dtype(kind)
        count = int(np.prod(shape, dtype=np.int64))
        arrays.append(np.frombuffer(blob, dtype, count, at).reshape(shape).copy())
        at += count * dtype.itemsize
    return message, arrays


# --- solvers ---------------------------------------------------------------------------------------------------------


def load_source(path: str, text: bytes, name: str, helpers: Sequence[str]) -> Any:
    """Run the source of a file anew, and what it imports from beside it, and take something out of it.

    Args:
        path: of the file, for messages, `__file__` and for what it imports from beside it.
        text: its source.
        name: of what is taken.
        helpers: names of the modules beside it that it imports.
    """
    folder = str(Path(path).parent)
    for helper in helpers:
        if str(getattr(sys.modules.get(helper), "__file__", "")).startswith(folder):
            del sys.modules[helper]
    if folder not in sys.path:
        sys.path.append(folder)
    module = types.ModuleType(f"file_{Path(path).stem}")
    module.__file__ = path
    sys.modules[module.__name__] = module  # where dataclasses look up their annotations
    exec(compile(text, path, "exec"), vars(module))
    return _take(module, name, path)


def _take(module: Any, name: str, where: str) -> Any:
    if not hasattr(module, name):
        near = difflib.get_close_matches(name, [key for key in vars(module) if not key.startswith("_")], n=1)
        raise AttributeError(f"there is no {name!r} in {where!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return getattr(module, name)


class _OneOf(importlib.abc.MetaPathFinder):
    """Finds single packages and modules of the harness's installation, and no other of their neighbours."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:  # noqa: ARG002
        place = self._places.get(name)
        if place is None:
            return None
        if name == "optcore" and sys.version_info < (3, 11):
            raise ImportError(
                f"algorithms of optcore need Python 3.11 or newer, and this is {platform.python_version()}; a plain "
                "function that doesn't import optcore needs 3.8"
            )
        folder = [os.path.dirname(place)] if os.path.basename(place) == "__init__.py" else None
        return importlib.util.spec_from_file_location(name, place, submodule_search_locations=folder)


class _Anything:
    """Stands for whatever optree has, where it isn't installed: flat vectors need none of it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything()

    def __call__(self, *_: Any, **__: Any) -> Any:
        return _Anything()

    def __iter__(self) -> Any:
        return iter(())


def _take_optcore(places: Mapping[str, str]) -> None:
    """Make the harness's optcore importable, and what it needs beside numpy and the solver's own library."""
    if any(isinstance(finder, _OneOf) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _OneOf({"optcore": places["optcore"]}))
    sys.meta_path.append(_OneOf({name: place for name, place in places.items() if name != "optcore"}))
    if importlib.util.find_spec("optree") is None:
        stand_in: Any = types.ModuleType("optree")
        stand_in.__getattr__ = lambda name: getattr(_Anything(), name)
        sys.modules["optree"] = stand_in


def _load(what: Mapping[str, Any]) -> Any:
    if "text" in what:
        return load_source(what["path"], what["text"].encode("utf-8", "surrogateescape"), what["name"], what["helpers"])
    if "module" in what:
        return _take(importlib.import_module(what["module"]), what["name"], what["module"])
    from optcore.solvers import get_algorithm

    return get_algorithm(what["algorithm"])


# --- a run -----------------------------------------------------------------------------------------------------------


class _Harness:
    """The other end of the pipes."""

    def __init__(self, read: int, write: int) -> None:
        self._in, self._out = read, os.fdopen(write, "wb")

    def send(self, message: Mapping[str, Any], arrays: Sequence[Any] = ()) -> None:
        self._out.write(pack(message, arrays))
        self._out.flush()

    def receive(self) -> tuple[dict[str, Any], list[Any]]:
        head, blob = (self._read(length) for length in LENGTHS.unpack(self._read(LENGTHS.size)))
        return unpack(head, blob)

    def _read(self, size: int) -> bytes:
        """So many bytes and no more: what comes next may be for another copy of this process."""
        data = b""
        while len(data) < size:
            part = os.read(self._in, size - len(data))
            if not part:  # nobody is there any more
                os._exit(0)
            data += part
        return data

    def ask(self, what: str, x: Any = None) -> Any:
        import numpy as np

        self.send({"ask": what}, [] if x is None else [np.asarray(x, dtype=np.float64)])
        answer, arrays = self.receive()
        if answer["form"] == "stop":
            os._exit(0)
        if answer["form"] == "float":
            return float(arrays[0][0])
        if answer["form"] == "pair":
            return float(arrays[0][0]), arrays[1]
        if answer["form"] == "sparse":
            return _sparse(arrays, answer["shape"])
        if answer["form"] == "pair of arrays":
            return (
                arrays[0],
                arrays[1] if len(arrays) == 2 else _sparse(arrays[1:], answer["shape"]),
            )
        return arrays[0] if arrays else None


def _sparse(arrays: Sequence[Any], shape: Sequence[int]) -> Any:
    from scipy.sparse import csr_array

    return csr_array(tuple(arrays), shape=tuple(shape))


class _Objective:
    """Stands for optcore's Objective: what a solver may ask, answered by the harness."""

    def __init__(self, harness: _Harness, request: Mapping[str, Any], arrays: Sequence[Any], kind: Any) -> None:
        from optcore.bounds import FlatBounds

        self._harness = harness
        self.kind = kind
        self.n, self.m = request["n"], request["m"]
        self.x0 = arrays[0]
        self.bounds = FlatBounds(arrays[1], arrays[2])
        self.derivative_precision = request["derivative_precision"]
        self.evaluator = types.SimpleNamespace(
            max_evaluations=request["max_evaluations"], max_seconds=request["max_seconds"]
        )

    def __getattr__(self, name: str) -> Any:
        if name == "best_x":
            return self._harness.ask("best_x")
        return lambda x=None: self._harness.ask(name, x)

    def scalar_callables(self, *, jointly: bool) -> tuple[Callable[..., Any], Callable[..., Any]]:
        names = ("value_of_pair", "gradient_of_pair") if jointly else ("value", "gradient")
        value, gradient = (getattr(self, name) for name in names)
        return value, gradient


def _run_algorithm(harness: _Harness, found: Any, request: Mapping[str, Any], arrays: Sequence[Any]) -> None:
    algorithm = found.from_options(request["options"])
    objective = _Objective(harness, request, arrays, algorithm.kind)
    solved = algorithm.solve(objective, arrays[0].copy(), objective.bounds)
    message = {
        "done": True,
        "success": None if solved.success is None else bool(solved.success),
        "message": str(solved.message),
        "n_iterations": None if solved.n_iterations is None else int(solved.n_iterations),
        "claims": {key: value for key, value in solved.claims.items() if _is_simple(value)},
    }
    _answer(harness, message, solved.x)


def _run_function(harness: _Harness, found: Any, request: Mapping[str, Any], arrays: Sequence[Any]) -> None:
    offered: dict[str, Any] = dict(request["plain"])
    for name in request["functions"]:
        offered[name] = lambda x, name=name: harness.ask(name, x)
    given = iter(arrays)
    for name in request["vectors"]:
        offered[name] = next(given)
    if request["has_bounds"]:
        offered["bounds"] = (next(given), next(given))
    answer = found(**offered)
    held = answer if isinstance(answer, Mapping) else getattr(answer, "__dict__", {})
    import numpy as np

    has_x = "x" in held or (hasattr(answer, "x") and not isinstance(answer, np.ndarray))
    if not has_x:
        _answer(harness, {"done": True, "claims": None}, answer)
        return
    names = ("fun", "nfev", "njev", "nit", "success", "message")
    claims = {name: held.get(name, getattr(answer, name, None)) for name in names}
    claims = {name: value for name, value in claims.items() if value is not None}
    x = held["x"] if "x" in held else answer.x  # noqa: SIM401  what a mapping has no attribute for
    _answer(harness, {"done": True, "claims": claims}, x)


def _is_simple(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, bool)) or hasattr(value, "tolist")


def _answer(harness: _Harness, message: Mapping[str, Any], x: Any) -> None:
    import numpy as np

    try:
        harness.send(message, [np.asarray(x, dtype=np.float64)])
    except (TypeError, ValueError):
        harness.send({**message, "odd": repr(x)})


def _describe_error(error: BaseException) -> str:
    """Type, text and the last place outside of libraries and of these files, then the cause."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(parts) < _MOST_CAUSES:
        frames = [
            frame
            for frame in traceback.extract_tb(cause.__traceback__)
            if frame.filename not in (__file__, told.__file__) and "frozen importlib" not in frame.filename
        ]
        own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
        place = f" (in {own[-1].name} ({own[-1].filename}:{own[-1].lineno}))" if own else ""
        parts.append(f"{type(cause).__name__}: {cause}"[:2000] + place)
        cause = cause.__cause__
    return "; caused by ".join(parts)


def _serve(harness: _Harness, request: Mapping[str, Any], arrays: Sequence[Any]) -> None:
    if request["do"] == "describe":
        versions = {"fingerprint": told.fingerprint(with_blas=True)}  # before the solver is loaded
        harness.send({**versions, **told.describe(_load(request["what"]), request["options"])})
        return
    found = _load(request["what"])
    harness.send({"fingerprint": told.fingerprint(with_blas=False), "pid": os.getpid()})
    if told.is_algorithm(found):
        _run_algorithm(harness, found, request, arrays)
    else:
        _run_function(harness, found, request, arrays)


def _serve_and_end(harness: _Harness, request: Mapping[str, Any], arrays: Sequence[Any]) -> None:
    try:
        _serve(harness, request, arrays)
    except BaseException as error:  # noqa: BLE001  whatever the solver raises; SystemExit too
        try:
            harness.send({"failed": _describe_error(error)})
        finally:
            os._exit(1)
    sys.stderr.flush()
    os._exit(0)


def _serve_many(harness: _Harness) -> None:
    """Serve each run in a copy of this process, in which libraries are loaded and no solver has run."""
    if os.fork():
        os._exit(0)  # so that this is no child of the process of the harness, which looks at what its runs leave
    while True:
        request, arrays = harness.receive()
        _take_optcore(request["places"])
        with contextlib.suppress(Exception):  # what can't be loaded is told by the copy
            for module in request["preload"]:
                importlib.import_module(module)
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            _serve_and_end(harness, request, arrays)
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
        harness.send({"ended": status})


def main() -> None:
    """Serve one request, to describe a solver or to run it; or, with the argument "serve", one run after the other."""
    del sys.path[0]  # the folder of this file
    harness = _Harness(os.dup(0), os.dup(1))
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    if "serve" in sys.argv:
        _serve_many(harness)
    try:
        request, arrays = harness.receive()
        _take_optcore(request["places"])
    except Exception as error:  # noqa: BLE001  no numpy
        harness.send({"failed": _describe_error(error)})
        os._exit(1)
    _serve_and_end(harness, request, arrays)


if __name__ == "__main__":
    main()

"""Programs as solvers: any language that reads and writes lines. The protocol is described in PROTOCOL.md."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.errors import InvalidInputError, unknown_name
from optcore.marks import Kind
from optcore.objective import Objective
from optcore.solvers import Algorithm, SolverResult
from optcore_bench.external.base import External, plain_options
from optcore_bench.external.lines import ASKS, Conversation, numbers
from optcore_bench.external.process import Process

__all__ = ["Program", "ProgramAlgorithm", "absolute_command", "absolute_program"]


@dataclass(frozen=True)
class Program(External):
    """A program that asks for evaluations by lines of text.

    Attributes:
        command: the absolute path of the program, and its arguments.
        asks: what it may ask, of "fun", "gradient", "residuals", "jacobian".
    """

    command: tuple[str, ...]
    asks: tuple[str, ...] = ("fun", "gradient")

    @classmethod
    def read(cls, command: Any, asks: Any = None) -> Program:
        """A program out of the keys `command` and `asks` of a study.

        Raises:
            InvalidInputError, UnknownNameError: they can't be; or there is no such program.
        """
        names = ("fun", "gradient") if asks is None else (asks,) if isinstance(asks, str) else asks
        if not isinstance(names, (list, tuple)) or not names or not all(isinstance(name, str) for name in names):
            raise InvalidInputError(f"asks must be a list of {', '.join(ASKS)}, but is {asks!r}")
        for name in names:
            if name not in ASKS:
                raise unknown_name("question of a program in 'asks'", name, ASKS)
        if not {"fun", "residuals"} & set(names):
            raise InvalidInputError(f"asks must hold 'fun' or 'residuals', but is {asks!r}")
        wrong = [
            name
            for name, needs in (("gradient", "fun"), ("jacobian", "residuals"))
            if name in names and needs not in names
        ]
        if wrong or {"fun", "residuals"} <= set(names):
            raise InvalidInputError(
                f"a program asks for fun and gradient, or for residuals and jacobian, but asks is {list(names)!r}"
            )
        made = cls(tuple(absolute_command(command, Path())), tuple(name for name in ASKS if name in names))
        made.check()
        return made

    def check(self) -> None:
        """Refuse a program that isn't there or can't be run.

        Raises:
            InvalidInputError: says which.
        """
        program = Path(self.command[0])
        if not program.is_file():
            raise InvalidInputError(
                f"there is no program {str(program)!r}; paths in a study start at the folder of its file, and a name "
                "without a folder is looked up there and on PATH"
            )
        if not os.access(program, os.X_OK):
            raise InvalidInputError(
                f"the file {str(program)!r} can't be executed; chmod +x it, or name its interpreter"
            )

    @property
    def default_name(self) -> str:
        """The name of the file."""
        return Path(self.command[0]).name

    @property
    def file(self) -> str:
        """The program."""
        return self.command[0]

    @property
    def sha256(self) -> str:
        """Of the program's bytes, as sha256sum gives it."""
        self.check()
        return _sha256(self.command[0])

    def make(self, options: Mapping[str, Any], *, tight: bool, seed: int) -> Algorithm:  # noqa: ARG002  it is told
        """An algorithm of this process that starts the program."""
        return ProgramAlgorithm(self.command, self.asks, {"seed": seed, **plain_options(options)})

    def to_plain(self) -> dict[str, Any]:
        """Its keys as TOML has them."""
        return {"command": list(self.command), "asks": list(self.asks), "sha256": self.sha256}

    def code(self, options: Mapping[str, Any], version: str) -> dict[str, Any]:  # noqa: ARG002  they are in the id
        """The bytes of the program and of the files among its arguments, and the other arguments."""
        arguments = [_sha256(one) if os.path.isfile(one) else one for one in self.command[1:]]
        return {"program": "" if version else self.sha256, "arguments": arguments, "asks": list(self.asks)}

    def environment(self, options: Mapping[str, Any]) -> dict[str, str]:  # noqa: ARG002  nothing is known of it
        """Nothing: what it was built with is in its bytes."""
        return {}


def _sha256(path: str) -> str:
    status = os.stat(path)
    return _sha256_of(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=64)
def _sha256_of(path: str, *_: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def absolute_command(command: Any, folder: Path) -> list[str]:
    """A command with the absolute path of its program and of those of its arguments that are files.

    Args:
        command: a list, or text as a shell splits it.
        folder: where relative paths start.

    Raises:
        InvalidInputError: it is neither, or empty.
    """
    try:
        parts = shlex.split(command) if isinstance(command, str) else command
    except ValueError as error:
        raise InvalidInputError(f"the command {command!r} can't be split into arguments: {error}") from error
    if not isinstance(parts, (list, tuple)) or not parts or not all(isinstance(part, str) and part for part in parts):
        raise InvalidInputError(
            f"command must be a list of texts, such as ['./solver', '--fast'], or one text, but is {command!r}"
        )
    program, *arguments = parts
    return [
        absolute_program(program, folder),
        *(os.path.abspath(folder / one) if (folder / one).is_file() else one for one in arguments),
    ]


def absolute_program(text: str, folder: Path) -> str:
    """A program by its path, relative to a folder, or by its name on PATH, as an absolute path.

    Links are not followed: the interpreter of a virtual environment is one.
    """
    path = Path(text).expanduser()
    if len(path.parts) == 1 and not (folder / path).is_file() and (found := shutil.which(text)):
        return os.path.abspath(found)
    return os.path.abspath(folder / path)


@dataclass(frozen=True, eq=False)
class ProgramAlgorithm(Algorithm):
    """A program that is started for each run.

    Args:
        command: the program and its arguments.
        asks: what it may ask.
        options: told to it, with the seed.
    """

    name: ClassVar[str] = "program"
    library: ClassVar[str] = "optcore"
    supports_bounds: ClassVar[bool] = True

    command: tuple[str, ...]
    asks: tuple[str, ...]
    options: Mapping[str, Any]

    def __post_init__(self, *given: Any) -> None:
        """What it may ask decides what it works on."""
        object.__setattr__(self, "kind", Kind.SCALAR if "fun" in self.asks else Kind.LEAST_SQUARES)
        object.__setattr__(self, "needs_jac", bool({"gradient", "jacobian"} & set(self.asks)))

    def solve(self, objective: Objective, x0: NDArray[np.float64], bounds: FlatBounds) -> SolverResult:
        """Start the program, answer what it asks, and read what it says at its end.

        Raises:
            ExternalError: it can't be started, ends early, or says what is no part of the protocol.
        """
        with Process(self.command) as process:
            return Conversation(process, self.command[0], self.asks, objective).hold(
                self._header(objective, x0, bounds)
            )

    def _header(self, objective: Objective, x0: NDArray[np.float64], bounds: FlatBounds) -> Sequence[str]:
        evaluator = objective.evaluator
        limits = [
            f"{name} {'none' if limit is None else repr(limit)}"
            for name, limit in (("max_evaluations", evaluator.max_evaluations), ("max_seconds", evaluator.max_seconds))
        ]
        return [
            f"n {objective.n}",
            f"m {objective.m or 0}",
            " ".join(["x0", *numbers(x0)]),
            " ".join(["lower", *numbers(bounds.lower)]),
            " ".join(["upper", *numbers(bounds.upper)]),
            *limits,
            f"seed {self.options['seed']}",
            " ".join(["asks", *self.asks]),
            *(f"option {name} {json.dumps(value)}" for name, value in self.options.items() if name != "seed"),
        ]

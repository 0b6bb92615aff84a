"""Solvers that harnesses meet and seldom survive, and two good ones to run beside them.

A module of its own, so that the processes that run them need not import pytest.
"""

from __future__ import annotations

import ctypes
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from typing import Any, NamedTuple

import numpy as np

#: How often each of them evaluates before it goes wrong.
EVALUATIONS = 3
#: What runs of a study of them may take: memory, and seconds where they never end, and where they do.
BYTES = 300_000_000
SECONDS = 2.0
PLENTY = 120.0


class End(NamedTuple):
    """How a run ends: its status, and what its message says (a regular expression)."""

    status: str
    message: str = ""


def evaluate(fun: Any, x0: Any) -> None:
    for i in range(EVALUATIONS):
        fun(x0 + i)


# --- exceptions and exits --------------------------------------------------------------------------------------------


def raises(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    raise RuntimeError("boom")


def exits(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    sys.exit(5)


def interrupts(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    raise KeyboardInterrupt


def recurses(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)

    def deeper(i: int) -> Any:
        return deeper(i + 1)

    return deeper(0)


def overflows_the_stack(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    sys.setrecursionlimit(2**30)

    def deeper(_: Any) -> Any:
        return max([0], key=deeper)  # through C, so that it is the system's stack that ends

    return deeper(0)


def exits_at_once(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    os._exit(0)


def segfaults(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    ctypes.string_at(0)


def aborts(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    os.abort()


def kills_its_group(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    os.killpg(0, signal.SIGKILL)


# --- no end ----------------------------------------------------------------------------------------------------------


def hangs(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    while True:
        try:
            while True:
                pass
        except BaseException:  # noqa: BLE001  that is the point
            continue


def spins_in_c(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    re.match("(a+)+b", "a" * 60)  # holds the interpreter's lock for years


def eats_memory(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    kept = []
    while True:
        kept.append(np.ones(2**21))


# --- nonsense --------------------------------------------------------------------------------------------------------


def returns_nothing(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)


def returns_text(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    return "the solution"


def returns_another_shape(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    return np.ones((x0.size, 1))


def returns_complex(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    return x0 + 1j


def returns_nan(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    return np.full(x0.size, np.nan)


def returns_many_numbers(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    return list(range(200_000))


def claims_too_many_iterations(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    return {"x": x0, "nit": 2**80}


def claims_text(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    return {"x": x0, "nit": "many", "nfev": "few"}


def claims_in_megabytes(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    return {"x": x0, "message": "la" * 5_000_000 + "\ud83d\x00"}


def evaluates_nonsense(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    return fun(np.ones(x0.size + 1))


class Unreadable:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("look away")

    __repr__ = None  # type: ignore[assignment]


def returns_what_can_not_be_looked_at(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    return Unreadable()


# --- what it leaves --------------------------------------------------------------------------------------------------


def prints_megabytes(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    for _ in range(40):
        os.write(1, b"o" * 50_000)
        print("e" * 50_000, file=sys.stderr)
    return x0


def changes_directory(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    os.chdir("/")
    return x0


def seeds_the_global_generators(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    np.random.seed(12345)  # noqa: NPY002  that is the point
    random.seed(12345)
    return x0


def changes_settings(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    warnings.simplefilter("error")
    np.seterr(all="raise")
    sys.setrecursionlimit(150)
    return x0


def leaves_threads(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    for _ in range(3):
        threading.Thread(target=time.sleep, args=(600,)).start()  # it isn't even a daemon
    return x0


def leaves_processes(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    subprocess.Popen(["sleep", "613"], start_new_session=True)
    return x0


def closes_descriptors(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    os.closerange(3, 256)
    return x0


def closes_all_descriptors(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    os.closerange(0, 256)
    return x0


def reads_from_the_terminal(fun: Any, x0: Any) -> Any:
    evaluate(fun, x0)
    return input("where to? ")


BAD = {
    raises: End("error", r"^RuntimeError: boom \(in raises \(.*bad_solvers\.py:\d+\)\)$"),
    exits: End("error", r"^SystemExit: 5 \(in exits"),
    interrupts: End("error", r"^KeyboardInterrupt \(in interrupts"),
    recurses: End("error", r"^RecursionError: maximum recursion depth exceeded"),
    overflows_the_stack: (  # Python 3.12 counts calls through C too
        End("crashed", "^killed by SIGSEGV") if sys.version_info < (3, 12) else End("error", "^RecursionError")
    ),
    exits_at_once: End("crashed", r"^ended by os\._exit\(0\)"),
    segfaults: End("crashed", r"^killed by SIGSEGV in segfaults \("),
    aborts: End("crashed", r"^killed by SIGABRT in aborts"),
    kills_its_group: End("crashed", r"^killed by SIGKILL"),
    eats_memory: End("crashed", r"^killed while it held \d+ MB of memory; the limit is 300 MB$"),
    returns_nothing: End("error", r"the solver 'returns_nothing' must return x of shape \(2,\).*returned None"),
    returns_text: End("error", "must return x of shape.*'the solution'"),
    returns_another_shape: End("error", r"must return x of shape \(2,\)"),
    returns_complex: End("error", r"must return x of shape \(2,\).*1\.j"),
    returns_nan: End("stopped"),
    returns_many_numbers: End("error", r"^InvalidInputError: .*must return x of shape \(2,\).* \.\.\. "),
    claims_too_many_iterations: End("error", rf"^the solver claims {2**80} iterations"),
    claims_text: End("error", "^ValueError: invalid literal for int.*'many'"),
    claims_in_megabytes: End("stopped", r"^la.* \.\.\. la"),
    evaluates_nonsense: End("error", r"'evaluates_nonsense' must evaluate at points of shape \(2,\), but gave array"),
    returns_what_can_not_be_looked_at: End("error", "look away"),
    prints_megabytes: End("stopped", "^$"),
    changes_directory: End("stopped", "^$"),
    seeds_the_global_generators: End("stopped", "^$"),
    changes_settings: End("stopped", "^$"),
    leaves_threads: End("stopped", "^$"),
    leaves_processes: End("stopped", "^$"),
    closes_descriptors: End("crashed", "the connection to the supervisor was closed during the run"),
    closes_all_descriptors: End("crashed", "^ended by"),  # it can't say more than that
    reads_from_the_terminal: End("error", "^EOFError"),
}


#: Those that have no end of their own.
ENDLESS = {
    hangs: End("timeout", rf"^killed at the limit of {SECONDS:g} s in hangs \("),
    spins_in_c: End("timeout", rf"^killed at the limit of {SECONDS:g} s in spins_in_c \("),
}


def draws(fun: Any, x0: Any) -> Any:
    """A good one that depends on the global generators."""
    points = [x0 + np.random.standard_normal(x0.size) + random.random() for _ in range(20)]  # noqa: NPY002  as above
    return min(points, key=fun)

"""Hashes of code: the same for the same code in another process, another one for other code or other bound values."""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optcore as om
from optcore_bench.codehash import code_hash, is_ours, qualified_name

SOURCE = """
import functools
STEP = {step}
def solver(fun, x0):
    return x0 - STEP
def other(fun, x0):
    return x0
def make(rate):
    def inner(fun, x0):
        return x0 * rate
    return inner
def make_default(rate):
    def inner(fun, x0, rate=rate):
        return x0 * rate
    return inner
def make_keyword(rate):
    def inner(fun, x0, *, rate=rate):
        return x0 * rate
    return inner
class Solver:
    def __init__(self, rate):
        self.rate = rate
    def __call__(self, fun, x0):
        return x0
    def method(self, fun, x0):
        return x0
short = lambda fun, x0: x0
"""


def load(folder: Path, step: float) -> Any:
    path = folder / "own_solver_module.py"
    path.write_text(SOURCE.format(step=step))
    spec = importlib.util.spec_from_file_location("own_solver_module", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["own_solver_module"] = module
    spec.loader.exec_module(module)
    import linecache

    linecache.clearcache()
    return module


@pytest.fixture
def module(tmp_path: Path) -> Any:
    yield load(tmp_path, 0.5)
    del sys.modules["own_solver_module"]


def test_it_changes_with_the_source_of_the_module_and_with_the_name(module: Any, tmp_path: Path) -> None:
    before = code_hash(module.solver, "solver")
    assert before == code_hash(module.solver, "solver")
    assert before != code_hash(module.other, "solver")
    assert code_hash(load(tmp_path, 0.25).solver, "solver") != before
    assert code_hash(load(tmp_path, 0.5).solver, "solver") == before


def test_it_changes_with_what_is_bound_to_the_function(module: Any) -> None:
    makers = [
        module.make,
        module.make_default,
        module.make_keyword,
        module.Solver,
        lambda rate: module.Solver(rate).method,
        lambda rate: functools.partial(module.solver, rate=rate),
        lambda rate: functools.partial(module.solver, np.array([rate, 1.0])),
    ]
    for make in makers:
        assert code_hash(make(0.1), "solver") == code_hash(make(0.1), "solver")
        assert code_hash(make(0.1), "solver") != code_hash(make(0.2), "solver")


def test_it_is_the_same_in_another_process(module: Any, tmp_path: Path) -> None:
    script = (
        "import own_solver_module as m; from optcore_bench.codehash import code_hash as h; "
        "print(h(m.make(0.1), ''), h(m.short, ''))"
    )
    there = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert there.stdout.split() == [code_hash(module.make(0.1), ""), code_hash(module.short, "")]


def test_without_source_or_stable_values_a_version_is_asked_for(module: Any) -> None:
    typed: dict[str, Any] = {"__name__": "nowhere"}
    exec("def solver(fun, x0):\n    return x0", typed)  # as in a console: no file, no source
    with pytest.raises(om.InvalidInputError, match=r"'typed'.*its source can't be found.*give it a version"):
        code_hash(typed["solver"], "algorithm 'typed'")
    with pytest.raises(om.InvalidInputError, match=r"it holds object .*give it a version"):
        code_hash(module.make(object()), "algorithm 'odd'")


def test_the_advice_is_the_callers(module: Any) -> None:
    with pytest.raises(om.InvalidInputError, match=r"^problem 'p': it holds object .*; do this$"):
        code_hash(module.make_default(object()), "problem 'p'", "do this")


def test_what_is_ours_needs_no_hash(module: Any) -> None:
    assert is_ours(om.algos.scipy_lbfgsb)
    assert not is_ours(module.Solver)
    assert qualified_name(functools.partial(module.solver)) == "partial(own_solver_module:solver)"

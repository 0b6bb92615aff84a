"""`om.algos`: every name is declared, so that editors complete it and type checkers know its options."""

import ast
import importlib
import inspect
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import optcore as om
from optcore.solvers import algos
from optcore.solvers.algorithm import algorithm_names, get_algorithm
from optcore.solvers.shipped import MODULES

ROOT = Path(om.__file__).parents[1]


def declarations():
    """Name of an algorithm -> name of its class, as type checkers read it."""
    (cls,) = (node for node in ast.parse(inspect.getsource(algos)).body if isinstance(node, ast.ClassDef))
    (block,) = (node for node in cls.body if isinstance(node, ast.If))
    return {line.targets[0].id: line.value.id for line in block.body}


def test_the_declared_names_are_those_of_the_register_and_no_other_class_of_ours():
    declared = declarations()
    assert declared == {name: get_algorithm(name).__name__ for name in MODULES}
    assert list(declared) == sorted(declared)
    ours = {n for n in algorithm_names() if get_algorithm(n).__module__.startswith("optcore.solvers.")}
    assert {n for n in ours if not n.startswith("example_")} == set(declared)  # examples of docstrings
    for name, module in MODULES.items():
        assert get_algorithm(name).name == name
        assert get_algorithm(name).__module__ == f"optcore.solvers.{module}"


def test_every_class_of_our_modules_that_has_a_name_is_registered():
    for module in set(MODULES.values()):
        for cls in vars(importlib.import_module(f"optcore.solvers.{module}")).values():
            if isinstance(cls, type) and issubclass(cls, om.Algorithm) and hasattr(cls, "name"):
                assert get_algorithm(cls.name) is cls


def test_modules_of_algorithms_are_imported_when_one_is_asked_for():
    script = (
        "import sys, optcore as om\n"
        "loaded = lambda: [m for m in sys.modules if 'solvers.scipy' in m or 'solvers.nlopt' in m]\n"
        "len(om.algos), dir(om.algos), 'nlopt_lbfgsb' in om.algos\n"
        "print(loaded())\n"
        "om.algos.scipy_lbfgsb\n"
        "print(loaded())\n"
        "print([m for m in sys.modules if m.startswith(('scipy', 'nlopt', 'dfols'))])\n"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == ["[]", "['optcore.solvers.scipy_scalar']", "[]"]


def test_an_algorithm_that_is_registered_later_is_there_too():
    @dataclass(frozen=True)
    class Own(om.Algorithm):
        name = "example_registered_in_a_test"

    om.register_algorithm(Own)
    assert om.algos.example_registered_in_a_test is Own
    assert "example_registered_in_a_test" in om.algos
    assert "example_registered_in_a_test" in dir(om.algos)
    assert "example_registered_in_a_test" not in om.algos.shipped()


def test_a_filter_gives_a_sized_collection():
    found = om.algos.filter(is_global=True, needs_jac=False, library="scipy")
    assert len(found) == 3
    assert found.names == ["scipy_brute", "scipy_differential_evolution", "scipy_direct"]
    assert [a.name for a in found] == found.names
    assert found.scipy_brute is om.algos.scipy_brute
    with pytest.raises(AttributeError, match="unknown algorithm 'scipy_brut'; did you mean 'scipy_brute'"):
        _ = found.scipy_brut
    assert len(om.algos.filter(library="no_such_library")) == 0


def test_a_name_that_is_taken_by_optcore_itself_can_not_be_registered():
    cls = type("Other", (om.Algorithm,), {"name": "scipy_lbfgsb"})
    with pytest.raises(om.InvalidInputError, match="the name 'scipy_lbfgsb' is taken by an algorithm of optcore; cho"):
        om.register_algorithm(cls)
    assert get_algorithm("scipy_lbfgsb") is om.algos.scipy_lbfgsb


def test_a_type_checker_knows_the_options_of_every_declared_algorithm(tmp_path):
    """Strict mypy, as a user of the package runs it: right calls pass, wrong ones are named."""
    pytest.importorskip("mypy", reason="a tool of contributors")
    right = "\n".join(f"om.algos.{name}()" for name in om.algos.shipped().names)
    (tmp_path / "user.py").write_text(
        "import optcore as om\n"
        f"{right}\n"
        "reveal_type(om.algos.scipy_lbfgsb(memory=5, convergence_gtol_abs=1e-3))\n"
        "reveal_type(om.algos.scipy_lbfgsb(memory=5).limited_memory_storage_length)\n"
        "reveal_type(om.algos.nlopt_direct(locally_biased=True))\n"
        "reveal_type(om.algos.filter(is_global=True))\n"
        "reveal_type(om.algos.registered_by_somebody)\n"
        "om.algos.scipy_lbfgsb(memroy=5)\n"
        "om.algos.scipy_lbfgsb(memory='five')\n"
        "om.algos.scipy_dual_annealing(seed=1.5)\n"
    )
    (tmp_path / "mypy.ini").write_text("[mypy]\nfollow_imports = skip\n[mypy-optcore.*]\nfollow_imports = silent\n")
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file=mypy.ini", "user.py"],
        capture_output=True, text=True, cwd=tmp_path, check=False, env={"MYPYPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    first = 2 + len(om.algos.shipped())
    lines = [line for line in checked.stdout.splitlines() if line.startswith("user.py:")]
    expected = [
        f'user.py:{first}: note: Revealed type is "optcore.solvers.scipy_scalar.ScipyLBFGSB"',
        f'user.py:{first + 1}: note: Revealed type is "int"',
        f'user.py:{first + 2}: note: Revealed type is "optcore.solvers.nlopt_global.NloptDIRECT"',
        f'user.py:{first + 3}: note: Revealed type is "optcore.solvers.collection.Algorithms"',
        f'user.py:{first + 4}: note: Revealed type is "type[optcore.solvers.algorithm.Algorithm]"',
        f'user.py:{first + 5}: error: Unexpected keyword argument "memroy"',
        f'user.py:{first + 6}: error: Argument "memory" has incompatible type "str"',
        f'user.py:{first + 7}: error: Argument "seed" has incompatible type "float"',
    ]
    found = [line.replace("builtins.", "") for line in lines]
    assert len(found) >= len(expected), checked.stdout + checked.stderr
    shown = [line for line in found if any(line.startswith(start) for start in expected)]
    assert len(shown) == len(expected), checked.stdout
    assert [line for line in found if "error" in line] == [line for line in shown if "error" in line]

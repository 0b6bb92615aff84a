"""Suites as collections, and problems and suites by name."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from optcore.errors import InvalidInputError, UnknownNameError
from optcore_problems import Problem, Suite, get_problem, get_suite, list_suites
from tests.cases import in_one_test

SUITE = get_suite("more_wild")


def test_a_suite_is_a_collection_of_problems() -> None:
    assert all(isinstance(p, Problem) for p in SUITE)
    assert len(SUITE) == len(list(SUITE)) == len(SUITE.names) == 53
    assert SUITE["meyer"] is next(p for p in SUITE if p.name == "meyer")
    assert "meyer" in SUITE
    assert SUITE["meyer"] in SUITE
    assert "mayer" not in SUITE
    assert 3 not in SUITE
    assert repr(SUITE) == "Suite('more_wild', 53 problems)"


def test_filters_by_size_and_tags_combine() -> None:
    assert {p.n for p in SUITE.filter(n_max=3)} == {2, 3}
    assert {p.n for p in SUITE.filter(n_min=10, n_max=11)} == {10, 11}
    watson = SUITE.filter(tags={"function": "watson"})
    assert watson.names == ("watson_n6", "watson_n6_x10", "watson_n9", "watson_n9_x10", "watson_n12", "watson_n12_x10")
    assert watson.filter(tags="x10", n_max=9).names == ("watson_n6_x10", "watson_n9_x10")
    assert SUITE.filter(tags={"mgh": [1, 2], "start": "standard"}).names == ("rosenbrock", "freudenstein_roth")
    assert all(p.tags["class"] == "linear" and p.tags["start"] == "x10" for p in SUITE.filter(tags=["linear", "x10"]))
    assert len(SUITE.filter(n_min=100)) == 0
    assert SUITE.filter().names == SUITE.names
    assert isinstance(watson, Suite)
    assert watson.name == "more_wild"


def test_unknown_tags_suggest_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown tag of suite 'more_wild' 'clas'; did you mean 'class'"):
        SUITE.filter(tags={"clas": "linear"})
    with pytest.raises(
        UnknownNameError, match="unknown tag of suite 'more_wild' 'zero_residuals'; did you mean 'zero_residual'"
    ):
        SUITE.filter(tags=["zero_residuals"])


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(
        UnknownNameError, match="unknown problem of suite 'more_wild' 'rosenbrok'; did you mean 'rosenbrock'"
    ):
        SUITE["rosenbrok"]
    with pytest.raises(
        UnknownNameError, match="unknown problem of suite 'more_wild' 'rosenbrok'; did you mean 'rosenbrock'"
    ):
        get_problem("more_wild/rosenbrok")
    with pytest.raises(UnknownNameError, match="unknown suite 'more_wilde'; did you mean 'more_wild'"):
        get_problem("more_wilde/rosenbrock")
    with pytest.raises(UnknownNameError, match="unknown suite 'morewild'; did you mean 'more_wild'"):
        get_suite("morewild")
    with pytest.raises(UnknownNameError, match=r"did you mean 'mgh/meyer' or 'more_wild/meyer'\?"):
        get_problem("meyer")
    with pytest.raises(UnknownNameError, match="problems are named 'suite/problem', as"):
        get_problem("nothing")


def test_two_problems_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="more than one problem of the name meyer"):
        Suite("mine", (SUITE["meyer"], SUITE["meyer"]))


def test_a_suite_pickles() -> None:
    assert pickle.loads(pickle.dumps(SUITE)).names == SUITE.names


def test_sizes_of_a_suite_without_families_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="suite 'more_wild' comes in its own sizes only"):
        get_suite("more_wild", n=[10, 100])


#: A package with an entry point, as an installer leaves it; the second one gives a suite of another name.
ENTRY_POINTS = "[optcore.suites]\nmine = their_suites:make\nready = their_suites:READY\nwrong = their_suites:make\n"
THEIRS = """
from optcore_problems import Problem, Suite

def bowl(x, xp):
    return x @ x

def make():
    return Suite("mine", (Problem(name="bowl", start=[1.0, 2.0], fun_xp=bowl),))

READY = Suite("ready", make().problems)
"""


def test_other_packages_bring_suites_by_entry_points(tmp_path: Path) -> None:
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (tmp_path / "their_suites.py").write_text(THEIRS)
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from optcore_problems import get_problem, get_suite, list_suites\n"
        "assert {'mine', 'ready', 'more_wild'} <= set(list_suites())\n"
        "assert get_problem('mine/bowl').f_start == get_suite('ready')['bowl'].f_start == 5.0\n"
        "get_suite('wrong')"
    )
    done = subprocess.run([sys.executable, "-B", "-c", script], capture_output=True, text=True)
    assert "the entry point 'wrong' of optcore.suites must give a Suite of the name 'wrong'" in done.stderr
    assert "their_suites:make gives Suite('mine', 1 problem)" in done.stderr


def test_list_suites_lists_what_get_suite_takes() -> None:
    assert "more_wild" in list_suites()
    for name in list_suites():
        assert get_suite(name).name == name
        assert get_suite(name) is get_suite(name)


@in_one_test("problem", SUITE)
def test_every_problem_is_found_by_name_and_by_its_own_size(problem: Problem) -> None:
    assert get_problem(problem.full_name) is problem
    assert get_problem(problem.full_name, n=problem.n, m=problem.m) is problem
    assert get_problem(problem.full_name, n=problem.n) is problem


@pytest.mark.parametrize(
    ("name", "n", "m", "expected"),
    [
        ("watson", 9, None, ("watson_n9", 9, 31)),
        ("watson", 7, None, ("watson_n7", 7, 31)),
        ("watson_n9", 12, None, ("watson_n12", 12, 31)),
        ("watson_n9_x10", 20, None, ("watson_n20_x10", 20, 31)),
        ("watson_n31", None, None, ("watson_n31", 31, 31)),
        ("linear_full_rank", 4, None, ("linear_full_rank_n4", 4, 20)),
        ("linear_full_rank", 4, 4, ("linear_full_rank_n4_m4", 4, 4)),
        ("linear_rank1_x10", None, 50, ("linear_rank1_n7_m50_x10", 7, 50)),
        ("chebyquad_n8", None, 16, ("chebyquad_n8_m16", 8, 16)),
        ("chebyquad_n8_m16", None, None, ("chebyquad_n8_m16", 8, 16)),
        ("chebyquad_n8_m16", 9, None, ("chebyquad_n9", 9, 9)),
        ("box_3d", None, 20, ("box_3d_n3_m20", 3, 20)),
        ("bdqrtic", 100, None, ("bdqrtic_n100", 100, 192)),
        ("cube", np.int64(50), None, ("cube_n50", 50, 50)),
        ("brown_almost_linear", 10, None, ("brown_almost_linear", 10, 10)),
        ("bard_x10", 3, 15, ("bard_x10", 3, 15)),
        ("meyer_x10", None, None, ("meyer_x10", 3, 16)),
    ],
)
def test_sizes_are_had_by_argument_and_by_name(
    name: str, n: int | None, m: int | None, expected: tuple[str, int, int]
) -> None:
    problem = get_problem(f"more_wild/{name}", n=n, m=m)
    assert (problem.name, problem.n, problem.m) == expected
    assert problem.residuals(problem.start).shape == (problem.m,)
    assert problem.jacobian(problem.start).shape == (problem.m, problem.n)
    assert get_problem(problem.full_name) is problem
    assert pickle.loads(pickle.dumps(problem)).f_start == problem.f_start


@pytest.mark.parametrize(
    ("name", "n", "m", "message"),
    [
        ("rosenbrock", 3, None, "rosenbrock has no size n=3; its sizes: n = 2, m = 2"),
        ("rosenbrock", None, 3, "rosenbrock has no size n=2, m=3; its sizes: n = 2, m = 2"),
        ("watson", 32, None, "watson has no size n=32; its sizes: n = 2 ... 31, m = 31"),
        ("watson", 6, 30, "watson has no size n=6, m=30; its sizes: n = 2 ... 31, m = 31"),
        ("watson_n1", None, None, "watson has no size n=1; its sizes: n = 2 ... 31, m = 31"),
        ("bdqrtic", 4, None, "bdqrtic has no size n=4; its sizes: n >= 5, m = 2 (n - 4)"),
        ("chebyquad_n6", None, 5, "chebyquad has no size n=6, m=5; its sizes: n >= 1, m >= n (n unless given)"),
        ("linear_full_rank", 0, None, "linear_full_rank has no size n=0; its sizes: n >= 1, m >= n (5 n unless given)"),
        ("cube", 2.5, None, "n must be a whole number, not 2.5"),
        ("watson", None, 31, "more_wild/watson comes in several sizes; say n= too: n = 2 ... 31, m = 31"),
    ],
)
def test_sizes_that_do_not_exist_say_which_do(name: str, n: object, m: object, message: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        get_problem(f"more_wild/{name}", n=n, m=m)
    assert str(error.value) == message


@pytest.mark.parametrize(
    "name", ["watson", "watson_x10", "rosenbrock_n2", "cube_n05", "_n5", "watson_n9_m31", "watson_x100", ""]
)
def test_names_that_are_not_canonical_are_unknown(name: str) -> None:
    with pytest.raises(UnknownNameError, match="unknown problem"):
        get_problem(f"more_wild/{name}")


def test_the_name_of_a_function_in_several_sizes_lists_them() -> None:
    with pytest.raises(UnknownNameError) as error:
        get_problem("more_wild/cube")
    assert str(error.value) == (
        "unknown problem of suite 'more_wild' 'cube': it has several sizes; "
        "say n= or use one of 'cube_n5', 'cube_n6', 'cube_n8'"
    )

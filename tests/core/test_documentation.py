"""What the docstrings of algorithms say is what users read: nothing is missing, and the page is current."""

import inspect
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import optcore as om
from optcore.solvers.documentation import algorithms_page, document
from tests.cases import in_one_test

PAGE = Path(om.__file__).parent / "solvers" / "ALGORITHMS.md"
SHIPPED = om.algos.shipped()


@in_one_test("name", SHIPPED.names)
def test_every_algorithm_has_a_description_and_a_reference_and_every_option_a_meaning(name):
    documented = document(getattr(om.algos, name))
    assert documented.description.endswith(".")
    assert len(documented.reference) > 15
    assert [option.name for option in documented.options if not option.meaning] == []


@in_one_test("name", SHIPPED.names)
def test_docstrings_explain_no_option_that_is_not_there(name):
    cls = getattr(om.algos, name)
    doc = (inspect.getdoc(cls) or "").partition("Args:")[2].partition("References:")[0]
    explained = set(re.findall(r"^ {4}(\w+):", doc, re.MULTILINE))
    assert explained <= {*cls.option_names(), *cls.aliases}


@in_one_test("name", SHIPPED.names)
def test_every_algorithm_has_strictest_values_for_all_its_tolerances(name):
    cls = getattr(om.algos, name)
    tolerances = {name for name in cls.option_names() if re.fullmatch("convergence_[fgx]tol_(abs|rel)", name)}
    not_tolerances = {"convergence_ftol_rel"} if name == "scipy_direct" else set()
    assert tolerances - not_tolerances <= set(cls.tight)
    assert set(cls.tight) <= set(cls.option_names())


def test_the_page_of_all_algorithms_is_current():
    assert PAGE.read_text(encoding="utf-8") == algorithms_page(SHIPPED), (
        "run `python -m optcore.solvers > optcore/solvers/ALGORITHMS.md`"
    )


def test_the_page_is_what_the_command_prints():
    printed = subprocess.run([sys.executable, "-m", "optcore.solvers"], capture_output=True, text=True, check=True)
    assert printed.stdout == PAGE.read_text(encoding="utf-8")
    assert printed.stderr == ""


def test_a_class_of_the_user_s_own_is_documented_from_its_docstring():
    @dataclass(frozen=True)
    class Own(om.Algorithm):
        """What it is: Somebody (1999), Some Journal 3(1).

        More of it.

        Args:
            rate: how fast,
                over two lines.
        """

        name = "own"
        rate: float = 0.1
        stopping_maxiter: int = 5
        unexplained: int = 1

    documented = document(Own)
    assert documented.description == "What it is. More of it."
    assert documented.reference == "Somebody (1999), Some Journal 3(1)."
    assert [o.meaning for o in documented.options] == [
        "how fast, over two lines",
        "stop after this many iterations",
        "",
    ]


def test_a_reference_may_be_a_section_a_part_of_the_summary_a_paragraph_or_missing():
    def reference(doc):
        cls = dataclass(frozen=True)(type("Own", (om.Algorithm,), {"name": "own", "__doc__": doc}))
        return document(cls).description, document(cls).reference

    assert reference("A.\n\nReferences:\n    B (2001),\n    C.") == ("A.", "B (2001), C.")
    assert reference("A: B (2001), C.") == ("A.", "B (2001), C.")
    assert reference("A.\n\nB (2001), C.\n\nD.") == ("A. D.", "B (2001), C.")
    assert reference("A.") == ("A.", "")


def test_facts_of_the_page_come_from_the_class():
    page = PAGE.read_text(encoding="utf-8")
    meaning = "how many of the latest steps the Hessian is approximated from (`maxcor` in scipy)"
    assert f"| `limited_memory_storage_length` | `10` |  | {meaning}; also called `memory` |" in page
    assert "| [`scipy_direct`](#scipy_direct) | Dividing rectangles: " in page
    assert "less than this times max(\\|value\\|, 1)" in page
    assert "Library nlopt (extra `nlopt`); uses a derivative; needs bounds; global; random." in page

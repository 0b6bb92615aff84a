"""Everything that ships has a reference, references are sound BibTeX, the paragraph is filled in from the store."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

import optcore as om
from optcore.errors import InvalidInputError
from optcore_bench import Results, Study, cite, run_study
from optcore_bench.citations import read_references
from optcore_bench.citations.sources import ALGORITHMS, LIBRARIES, METHODS, STRATEGIES, SUITES
from optcore_bench.cli.app import app
from optcore_bench.strategies import strategy_names
from optcore_problems import list_suites
from tests.cases import in_one_test

#: What BibTeX's standard styles ask for.
REQUIRED = {
    "article": {"author", "title", "journal", "year"},
    "book": {"author", "title", "publisher", "year"},
    "incollection": {"author", "title", "booktitle", "publisher", "year"},
    "inproceedings": {"author", "title", "booktitle", "year"},
    "misc": {"author", "title"},
    "phdthesis": {"author", "title", "school", "year"},
    "techreport": {"author", "title", "institution", "year"},
}


def my_solver(fun, x0):
    fun(x0)
    return x0


STUDY = Study(
    "cited",
    problems=["more_wild/rosenbrock", "nist_strd/misra1a_start1"],
    algorithms=[
        {"name": "bfgs-loose", "algorithm": "scipy_bfgs", "options": {"convergence_gtol_abs": 1e-2}},
        "nlopt_bobyqa",
        {"name": "mine", "algorithm": my_solver, "version": "1"},
    ],
    derivatives=["analytic", {"name": "steps", "strategy": "complex_step"}],
    budget={"max_evaluations": 40},
    stopping="default",
    tau=[1e-2, 1e-4],
)


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    pytest.importorskip("nlopt")
    return run_study(STUDY, store=tmp_path_factory.mktemp("cite") / "store", n_jobs=1)


# references -----------------------------------------------------------------------------------------------------------


def test_every_algorithm_suite_strategy_and_library_that_ships_has_an_entry():
    shipped = {algorithm.name for algorithm in om.algos}
    assert shipped == set(ALGORITHMS)
    assert {str(algorithm.library) for algorithm in om.algos} <= set(LIBRARIES)
    assert set(list_suites()) == set(SUITES)
    assert set(strategy_names()) == set(STRATEGIES)
    # An algorithm without a paper of its own is described by its library alone.
    assert [name for name, keys in ALGORITHMS.items() if not keys] == ["scipy_brute"]
    assert all(SUITES.values())


def test_every_key_is_a_reference_and_every_reference_is_used():
    tables = [*ALGORITHMS.values(), *SUITES.values(), *STRATEGIES.values(), *METHODS.values()]
    used = {key for keys in tables for key in keys} | {key for keys, _ in LIBRARIES.values() for key in keys}
    assert used | {"harris2020"} == set(read_references())


@in_one_test("key", read_references())
def test_an_entry_is_sound(key):
    entry = read_references()[key]
    kind, name = re.match(r"@(\w+)\{([\w]+),\n", entry).groups()
    fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", entry, re.MULTILINE))
    assert name == key
    assert len(fields) == entry.count("\n") - 1
    assert set(fields) >= REQUIRED[kind]
    assert entry.count("{") == entry.count("}")
    if "year" in fields:
        assert 1950 <= int(fields["year"]) <= 2026
        assert key.endswith(fields["year"])
    if "doi" in fields:
        assert re.fullmatch(r"10\.\d{4,5}/\S+", fields["doi"])
    if "pages" in fields:
        first, last = re.fullmatch(r"(?:\d+:)?(\d+)--(?:\d+:)?(\d+)", fields["pages"]).groups()
        assert int(first) < int(last)
    assert fields["author"].isascii()  # accents in TeX's spelling, which every BibTeX reads


@in_one_test("algorithm", om.algos)
def test_references_agree_with_what_the_algorithm_itself_names(algorithm):
    """Years in the documentation of an algorithm are those of its references, as far as it names any."""
    documented = (type(algorithm).__doc__ or "") if not isinstance(algorithm, type) else (algorithm.__doc__ or "")
    years = set(re.findall(r"\((\d{4})\)", documented.partition("References:")[2]))
    cited = {key[-4:] for key in ALGORITHMS[algorithm.name]}
    assert not years or years & cited


# a study --------------------------------------------------------------------------------------------------------------


def test_a_study_cites_what_it_used_under_whatever_name_and_nothing_else(results):
    citation = cite(results)
    assert set(citation.keys) == {
        "nocedal2006", "virtanen2020",  # scipy_bfgs
        "powell2009", "johnson2007",  # nlopt_bobyqa
        "more2009", "nist_strd", "squire1998", "dolan2002", "gould2016", "harris2020",
    }  # fmt: skip
    assert citation.unknown == ("mine",)
    assert re.findall(r"^@\w+\{(\w+),", citation.bibtex, re.MULTILINE) == ["optcore", *citation.keys]


def test_the_paragraph_says_what_was_run_as_the_store_has_it(results):
    text = cite(results).methods
    packages = {k.lower(): v for k, v in results.manifest["provenance"]["packages"].items()}
    for words in (
        "The study cited was run with optcore",
        "on 2 problems with 2 parameters of more_wild and nist_strd: 8 runs.",
        f"bfgs-loose of scipy {packages['scipy']}",
        f"nlopt_bobyqa of nlopt {packages['nlopt']}",
        "mine of our own",
        "steps (complex steps)",
        "Each run was given 40 evaluations of the objective.",
        "stopped by the default tolerances",
        "tau = 1e-2 and 1e-4, where f_L is the best known value of each problem",
        f"No run failed. {(results.runs['status'] == 'not_applicable').sum()} combinations",
        results.digest,
    ):
        assert words in text, words
    assert "<<" not in text


def test_latex_cites_every_key_and_escapes_what_tex_reads(results):
    citation = cite(results)
    cited = {key for keys in re.findall(r"\\cite\{([^}]*)\}", citation.latex) for key in keys.split(", ")}
    assert cited == {"optcore", *citation.keys}
    plain = re.sub(r"\\cite\{[^}]*\}|\$[^$]*\$", "", citation.latex)
    assert not re.search(r"(?<!\\)[_#%&]", plain)
    assert r"$f(x) \le f_L + \tau (f_0 - f_L)$~\cite{more2009}, $\tau$ = $10^{-2}$ and $10^{-4}$" in citation.latex


def test_the_command_prints_the_paragraph_and_writes_the_file(results, tmp_path):
    runner = CliRunner()
    bib = tmp_path / "study.bib"
    done = runner.invoke(app, ["cite", str(results.path), "--bib", str(bib)])
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("The study cited was run")
    assert bib.read_text() == cite(results).bibtex
    assert "no reference is known for mine" in done.stderr
    facts = json.loads(runner.invoke(app, ["cite", str(results.path), "--json"]).stdout)
    assert facts["unknown"] == ["mine"]
    assert facts["bibtex"] == cite(results).bibtex
    assert "@article{more2009," in runner.invoke(app, ["cite", str(results.path)]).stdout


def test_a_store_in_which_nothing_ran_has_nothing_to_cite(tmp_path):
    study = Study("empty", problems="more_wild/bard", algorithms="scipy_lbfgsb", derivatives="none")
    nothing = run_study(study, store=tmp_path / "store", n_jobs=1)
    with pytest.raises(InvalidInputError, match="nothing to cite"):
        cite(nothing)
    assert CliRunner().invoke(app, ["cite", str(tmp_path / "store")]).exit_code == 2

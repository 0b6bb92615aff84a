"""A study with mistakes says all of them at once: one sentence for each, with the nearest name."""

from __future__ import annotations

import dataclasses
import datetime as dt
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import optcore as om
from optcore_bench import Study, load_study
from optcore_bench.cli import app
from optcore_bench.study import StudyError

GOOD = {"problems": '"more_wild/rosenbrock"', "algorithms": '"scipy_bfgs"'}

# Lines of a file (they replace the good ones of their keys) -> what its sentences are, by their beginnings.
CASES: dict[str, tuple[str, list[str]]] = {
    # names
    "unknown key": ("budgets = 3", ["unknown key 'budgets'; did you mean 'budget'?"]),
    "two unknown keys": ("sed = 1\nstart = 1", ["unknown key 'sed'; did you mean 'seed'?", "unknown key 'start'; did"]),
    "options of the command": (
        "jobs = 2\nbackend = 'loky'",
        [
            "unknown key 'jobs', which is no part of what is compared; give it to `optcore run` as --jobs",
            "unknown key 'backend', which is no part of what is compared; give it to `optcore run` as --backend",
        ],
    ),
    "unknown suite": (
        'problems = "more_wlid"',
        ["key 'problems': unknown suite 'more_wlid'; did you mean 'more_wild'?"],
    ),
    "two unknown suites": (
        'problems = ["more_wlid", "mhg"]',
        ["key 'problems': unknown suite 'more_wlid'", "key 'problems': unknown suite 'mhg'; did you mean 'mgh'?"],
    ),
    "problem without suite": ('problems = "rosenbrock"', ["key 'problems': unknown suite 'rosenbrock'; did you mean"]),
    "unknown problem": ('problems = "more_wild/rosenbrok"', ["key 'problems': unknown problem"]),
    "unknown algorithms": (
        'algorithms = ["scipy_lbfgs", "scipy_bfgs", "scipy_neldermed"]',
        [
            "key 'algorithms': unknown algorithm 'scipy_lbfgs'; did",
            "key 'algorithms': unknown algorithm 'scipy_neldermed'",
        ],
    ),
    "unknown derivatives": (
        'derivatives = ["foward", "analitic"]',
        [
            "key 'derivatives': unknown derivative strategy 'foward'; did",
            "key 'derivatives': unknown derivative strategy",
        ],
    ),
    "unknown stopping": ('stopping = "tigth"', ["key 'stopping': unknown value 'tigth'; did you mean 'tight'?"]),
    "twice": ('algorithms = ["scipy_bfgs", "scipy_bfgs"]', ["key 'algorithms': 'scipy_bfgs' is listed twice"]),
    "twice and unknown": (
        'algorithms = ["scipy_bfgs", "scipy_bfgs", "nope"]',
        ["key 'algorithms': unknown algorithm 'nope'", "key 'algorithms': 'scipy_bfgs' is listed twice"],
    ),
    "derivative twice": ('derivatives = ["forward", "forward"]', ["key 'derivatives': 'forward' is listed twice"]),
    "problem twice": ('problems = ["mgh", "mgh"]', ["key 'problems': 'mgh' is listed twice; leave one out"]),
    "name": ('name = "a/b"', ["key 'name': must begin with a letter or digit"]),
    "name of a wrong type": (
        "name = 3",
        [
            "key 'name': must begin with a letter or digit and hold only letters, digits, '.', '-' and '_', since it "
            "names a folder, but is 3"
        ],
    ),
    # tables of problems
    "keys of a table of problems": (
        'problems = { suite = "more_wild", nmax = 4, n_min = "2" }',
        [
            "key 'problems': unknown key of a table of problems 'nmax'; did",
            "key 'problems': n_min must be a whole number",
        ],
    ),
    "unknown suite in a table": (
        'problems = { suite = "more_wlid", n_max = 0 }',
        ["key 'problems': unknown suite 'more_wlid'", "key 'problems': n_max must be a whole number of at least 1"],
    ),
    "tags": ('problems = { suite = "more_wild", tags = ["liner"] }', ["key 'problems': unknown"]),
    "tags of a wrong type": ('problems = { suite = "more_wild", tags = 3 }', ["key 'problems': tags must be a word"]),
    "nothing selected": (
        'problems = { suite = "more_wild", n_max = 1 }',
        ["key 'problems': more_wild (n_max=1) selects no"],
    ),
    "no suite": ("problems = { n_max = 4 }", ["key 'problems': a table of problems needs the key 'suite'"]),
    "noise": (
        'problems = { suite = "more_wild", noise = { kind = "multiplicative", levl = 1e-3 } }',
        ["key 'problems': unknown key of noise 'levl'; did you mean 'level'?"],
    ),
    "noise that is nan": (
        'problems = { suite = "more_wild", noise = { kind = "multiplicative", level = nan } }',
        ["key 'problems': noise: level must be a number above 0, but is nan"],
    ),
    "noise of a wrong type": (
        'problems = { suite = "more_wild", noise = 3 }',
        ["key 'problems': noise must be a table"],
    ),
    "no problems": ("problems = []", ["key 'problems': is empty"]),
    "problems of a wrong type": ("problems = 3", ["key 'problems': a problem is given by its name"]),
    "two of a wrong type": (
        "problems = [3, true]",
        [
            "key 'problems': a problem is given by its name, a table {suite, n_max, tags} or a Problem, not by 3",
            "key 'problems'",
        ],
    ),
    "a file that isn't there": ('problems = "nowhere.py:suite"', ["key 'problems': "]),
    # tables of algorithms
    "options": (
        'algorithms = { algorithm = "scipy_lbfgsb", options = { convergence_ftol_re = 1e-9, memry = 3 } }',
        [
            "key 'algorithms': unknown option of scipy_lbfgsb 'convergence_ftol_re'; did",
            "key 'algorithms': unknown option",
        ],
    ),
    "options and keys": (
        'algorithms = { algorithm = "scipy_lbfgsb", option = 1, options = { memry = 3 }, name = 4 }',
        [
            "key 'algorithms': the name of an algorithm must be text, but is 4",
            "key 'algorithms': unknown key of a table of an algorithm 'option'; did you mean 'options'?",
        ],
    ),
    "unknown algorithm and key": (
        'algorithms = { algorithm = "scipy_lbfgs", option = 1 }',
        [
            "key 'algorithms': unknown algorithm 'scipy_lbfgs'",
            "key 'algorithms': unknown key of a table of an algorithm",
        ],
    ),
    "option of a wrong type": (
        'algorithms = { algorithm = "scipy_lbfgsb", options = { convergence_ftol_rel = "small" } }',
        ["key 'algorithms': convergence_ftol_rel of scipy_lbfgsb must be a number of at least 0, but is 'small'"],
    ),
    "two options of a wrong type": (
        'algorithms = { algorithm = "scipy_lbfgsb", options = { convergence_ftol_rel = "a", stopping_maxiter = true }}',
        [
            "key 'algorithms': convergence_ftol_rel of scipy_lbfgsb must be a number of at least 0, but is 'a'",
            "key 'algorithms': stopping_maxiter of scipy_lbfgsb must be a whole number of at least 1, but is True",
        ],
    ),
    "option that is nan": (
        'algorithms = { algorithm = "scipy_lbfgsb", options = { convergence_ftol_rel = nan } }',
        ["key 'algorithms': convergence_ftol_rel of scipy_lbfgsb must be a number of at least 0, but is nan"],
    ),
    "option that is a date": (
        'algorithms = { algorithm = "scipy_lbfgsb", options = { convergence_ftol_rel = 2026-01-02 } }',
        ["key 'algorithms': convergence_ftol_rel of scipy_lbfgsb must be a number of at least 0, but is datetime.date"],
    ),
    "options of a wrong type": (
        'algorithms = { algorithm = "scipy_lbfgsb", options = 3 }',
        ["key 'algorithms': options must be a table, but is 3"],
    ),
    "no algorithm": ("algorithms = { options = {} }", ["key 'algorithms': a table of an algorithm needs the key"]),
    "no algorithms": ("algorithms = []", ["key 'algorithms': is empty"]),
    "algorithms of a wrong type": ("algorithms = 1.5", ["key 'algorithms': an algorithm is given by its name"]),
    "python": (
        'algorithms = { name = "gd", python = "script:gd" }',
        ["key 'algorithms': 'script:gd' was a Python object"],
    ),
    # tables of derivatives
    "options of derivatives": (
        'derivatives = { strategy = "forward", n_core = 2, step_sze = 1.0 }',
        [
            "key 'derivatives': unknown option of the derivative strategy 'forward' 'n_core'",
            "key 'derivatives': unknown opt",
        ],
    ),
    "options of derivatives, values": (
        'derivatives = { strategy = "forward", n_cores = 0 }',
        ["key 'derivatives': "],
    ),
    "name and option": (
        'derivatives = { name = "none", strategy = "forward", n_core = 2 }',
        ["key 'derivatives': the name 'none' is kept", "key 'derivatives': unknown option of the derivative strategy"],
    ),
    "options of analytic": (
        'derivatives = { strategy = "analytic", n_cores = 1 }',
        ["key 'derivatives': the derivative"],
    ),
    "no strategy": ("derivatives = { n_cores = 2 }", ["key 'derivatives': a table of a derivative strategy needs"]),
    "step that is nan": (
        'derivatives = { strategy = "forward", step_size = nan }',
        ["key 'derivatives': step_size must be above 0, but is nan"],
    ),
    # budget and gate
    "limits": (
        'budget = { max_evals = 10, max_seconds = "1", max_gradients = 0 }',
        [
            "key 'budget': unknown limit 'max_evals'; did you mean 'max_evaluations'?",
            "key 'budget': max_seconds must be a number, but is '1'",
            "key 'budget': Budget.max_gradients must be a whole number of at least 1, but is 0",
        ],
    ),
    "limit that is nan": ("budget = { max_seconds = nan }", ["key 'budget': max_seconds must be a number, but is nan"]),
    "limit that is true": (
        "budget = { max_seconds = true }",
        ["key 'budget': max_seconds must be a number, but is True"],
    ),
    "limit of half an evaluation": (
        "budget = { max_evaluations = 1.5 }",
        ["key 'budget': Budget.max_evaluations must be"],
    ),
    "budget of a wrong type": ("budget = 100", ["key 'budget': must be a table such as {max_gradients = 200}"]),
    "gate": (
        'gate = { solvd = 0, tau = 2.0, cost = "evaluation", worst_row_ratio = nan, missing = -1 }',
        [
            "key 'gate': unknown key of the gate 'solvd'; did you mean 'solved'?",
            "key 'gate': tau must be a number of at least 0 and below 1, but is 2.0",
            "key 'gate': unknown cost of the gate 'evaluation'; did you mean 'evaluations'?",
            "key 'gate': worst_row_ratio must be a number of at least 1, but is nan",
            "key 'gate': missing is a number of rows",
        ],
    ),
    "gate of a wrong type": ("gate = 1", ["key 'gate': must be a table"]),
    # numbers, words
    "tau": (
        'tau = [0.1, 2.0, nan, true, "a"]',
        [f"key 'tau': must hold numbers between 0 and 1, but holds {value}" for value in ("2.0", "nan", "True", "'a'")],
    ),
    "tau that is text": ('tau = "1e-5"', ["key 'tau': must hold numbers between 0 and 1, but holds '1e-5'"]),
    "tau twice": ("tau = [0.1, 1e-1]", ["key 'tau': holds 0.1 twice"]),
    "no tau": ("tau = []", ["key 'tau': is empty"]),
    "a table of tau": ("tau = { a = 0.1 }", ["key 'tau': must hold numbers between 0 and 1"]),
    "starts": ("starts = 0", ["key 'starts': must be a whole number of at least 1, but is 0"]),
    "half a start": ("starts = 1.5", ["key 'starts': must be a whole number of at least 1, but is 1.5"]),
    "seed": ("seed = -1", ["key 'seed': must be a whole number of at least 0, but is -1"]),
    "seed that is text": ('seed = "1"', ["key 'seed': must be a whole number"]),
    "run_timeout": ("run_timeout = nan", ["key 'run_timeout': must be a finite number above 0, but is nan"]),
    "run_timeout without end": (
        "run_timeout = inf",
        ["key 'run_timeout': must be a finite number above 0, but is inf"],
    ),
    "max_memory": ('max_memory = "2GB"', ["key 'max_memory': must be a whole number of at least 1, but is '2GB'"]),
    "keep_x": ("keep_x = 1", ["key 'keep_x': must be true or false, but is 1"]),
    "description": ("description = 2026-01-02", ["key 'description': must be text, but is datetime.date"]),
    "a list of stoppings": ('stopping = ["tight"]', ["key 'stopping': unknown value"]),
}
#: Cases whose mistakes are of different keys, so that they can be put together in any number.
APART = {
    text.partition(" =")[0]: name
    for name, (text, _) in CASES.items()
    if text.count("\n") == 0 and not text.startswith(("budgets", "name"))
}


def written(path: Path, *texts: str) -> Path:
    """A file with the good keys, but for those that the texts give."""
    given = {line.partition(" =")[0] for text in texts for line in text.splitlines()}
    kept = [f"{key} = {value}" for key, value in GOOD.items() if key not in given]
    path.write_text("\n".join([*kept, *texts]) + "\n")
    return path


def sentences_of(path: Path) -> tuple[str, ...]:
    with pytest.raises(StudyError) as caught:
        load_study(path)
    return caught.value.sentences


def test_there_are_fifty_cases_and_one_for_every_key() -> None:
    assert len(CASES) >= 50
    keys = {text.partition(" =")[0] for text, _ in CASES.values()}
    assert {key.name for key in dataclasses.fields(Study)} <= keys


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_a_mistake_is_one_sentence_with_its_key_and_the_nearest_name(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    found = sentences_of(written(tmp_path / "mine.toml", text))
    assert len(found) == len(expected), found
    for sentence, beginning in zip(found, expected, strict=True):
        assert sentence.startswith(beginning), found
        assert "\n" not in sentence
        assert "Error" not in sentence


@settings(max_examples=25)
@given(chosen=st.sets(st.sampled_from(sorted(APART.values())), min_size=1))
def test_mistakes_of_several_keys_are_all_said_at_once(tmp_path_factory: Any, chosen: set[str]) -> None:
    path = tmp_path_factory.mktemp("several") / "mine.toml"
    alone = [sentences_of(written(path, CASES[name][0])) for name in sorted(chosen)]
    together = sentences_of(written(path, *(CASES[name][0] for name in sorted(chosen))))
    assert sorted(together) == sorted(sentence for sentences in alone for sentence in sentences)


def test_a_file_with_a_mistake_in_every_field_says_each_of_them_and_is_exit_2(tmp_path: Path) -> None:
    chosen = [CASES[name] for name in sorted(APART.values())]
    path = written(tmp_path / "every.toml", *(text for text, _ in chosen), 'name = "a/b"', "sed = 1")
    expected = [sentence for _, sentences in chosen for sentence in sentences] + [
        "key 'name': must",
        "unknown key 'sed'",
    ]
    done = CliRunner().invoke(app, ["run", str(path), "--store", str(tmp_path / "store")])
    assert done.exit_code == 2
    assert not (tmp_path / "store").exists()
    lines = done.stderr.splitlines()
    assert lines[0] == f"error: study {str(path)!r} has {len(expected)} mistakes:"
    assert len(lines) == 1 + len(expected)
    assert all(any(line.strip().startswith(one) for line in lines[1:]) for one in expected)
    assert "Traceback" not in done.output


def test_python_says_the_same_sentences_as_a_file(tmp_path: Path) -> None:
    given = {"problems": "more_wlid", "algorithms": ["scipy_lbfgs"], "seed": -1, "tau": [2.0]}
    with pytest.raises(StudyError) as caught:
        Study("mine", **given)
    text = 'problems = "more_wlid"\nalgorithms = ["scipy_lbfgs"]\nseed = -1\ntau = [2.0]\n'
    (tmp_path / "mine.toml").write_text(text)
    assert caught.value.sentences == sentences_of(tmp_path / "mine.toml")
    assert str(caught.value).startswith("study 'mine' has 4 mistakes:\n  key 'problems'")


def test_a_number_that_is_none_is_refused_where_only_the_users_own_code_would_read_it() -> None:
    def solver(fun: Any, x0: Any, options: Any) -> Any:
        return x0

    with pytest.raises(StudyError) as caught:
        Study(
            "mine", "mgh/rosenbrock", {"name": "s", "algorithm": solver, "options": {"a": np.nan, "b": [1.0, np.nan]}}
        )
    assert caught.value.sentences == (
        "key 'algorithms': options.a is nan, which is no number",
        "key 'algorithms': options.b is nan, which is no number",
    )


def test_the_error_is_both_kinds_and_travels_to_other_processes() -> None:
    with pytest.raises(om.InvalidInputError) as caught:
        Study("mine", "more_wlid", "scipy_bfgs")
    assert isinstance(caught.value, om.UnknownNameError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again), again.sentences) == (StudyError, str(caught.value), caught.value.sentences)


def test_a_key_that_is_missing_is_said_beside_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("seed = -1\n")
    assert sentences_of(tmp_path / "mine.toml") == (
        "the key 'problems' is missing",
        "the key 'algorithms' is missing",
        "key 'seed': must be a whole number of at least 0, but is -1",
    )
    (tmp_path / "mine.toml").write_text('problem = "more_wild"\nalgorithms = "scipy_bfgs"\n')
    assert sentences_of(tmp_path / "mine.toml") == ("unknown key 'problem'; did you mean 'problems'?",)


def test_the_name_of_a_file_that_can_be_none_of_a_folder_is_said_to_be_that(tmp_path: Path) -> None:
    text = "".join(f"{key} = {value}\n" for key, value in GOOD.items())
    for name, better in (("Größe eins", "Gr-e-eins"), ("é", "study")):
        path = tmp_path / f"{name}.toml"
        path.write_text(text)
        words = f"the name of its file can't be its own, since it names a folder; add name = {better!r}"
        assert sentences_of(path) == (words,)
        path.write_text(f"name = {better!r}\n{text}")
        assert load_study(path).name == better


def test_files_of_windows_editors_are_read(tmp_path: Path) -> None:
    lines = [f"{key} = {value}" for key, value in GOOD.items()]
    (tmp_path / "mine.toml").write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    assert load_study(tmp_path / "mine.toml") == Study("mine", "more_wild/rosenbrock", "scipy_bfgs")


def test_numbers_of_numpy_serve_as_numbers() -> None:
    given: dict[str, Any] = {"starts": np.int64(2), "seed": np.int32(3), "max_memory": np.int64(10**9)}
    study = Study("mine", "mgh/rosenbrock", "scipy_bfgs", keep_x=np.bool_(False), run_timeout=np.float32(2), **given)
    plain = Study(
        "mine",
        "mgh/rosenbrock",
        "scipy_bfgs",
        "analytic",
        starts=2,
        seed=3,
        max_memory=10**9,
        keep_x=False,
        run_timeout=2.0,
    )
    assert study == plain
    assert study.to_toml() == plain.to_toml()


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"name = \xff\xfe")
    with pytest.raises(om.InvalidInputError, match="no text in UTF-8"):
        load_study(tmp_path / "mine.toml")


ODD = [
    None,
    True,
    -1,
    0,
    7,
    1.5,
    np.nan,
    np.inf,
    "",
    "x",
    "a:b",
    "a.py:b",
    [],
    [[]],
    [None],
    {},
    {"a": 1},
    {"name": []},
]
ODD += [
    {"suite": []},
    {"path": "x"},
    {"algorithm": {}},
    {"strategy": 3, "n_cores": []},
    {"options": {}},
    [{"suite": 1}],
]
ODD += [
    dt.date(2026, 1, 2),
    object(),
    b"x",
    np.ones(2),
    {1: 2},
    ["forward", 3],
    {"tau": [], "cost": None},
    1 + 2j,
    10**400,
]


@pytest.mark.parametrize("number", range(len(ODD)))
def test_whatever_comes_as_a_value_is_read_or_refused_in_words(number: int) -> None:
    for key in dataclasses.fields(Study):
        given = {"name": "mine", "problems": "more_wild/rosenbrock", "algorithms": "scipy_bfgs", key.name: ODD[number]}
        sentences: tuple[str, ...] = ("key ",)
        try:
            Study(**given)
        except StudyError as error:
            sentences = error.sentences
        assert sentences
        assert all(sentence.startswith("key ") for sentence in sentences)

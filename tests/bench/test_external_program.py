"""Programs as solvers: the examples of PROTOCOL.md bit by bit, every word of the protocol, and what can go wrong."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cloudpickle
import numpy as np
import pytest
from hypothesis import given as every
from hypothesis import strategies as st

import optcore as om
from optcore.errors import OptcoreError
from optcore_bench.algorithms import algorithm_entry
from optcore_bench.external.host import load_source
from optcore_bench.external.lines import Conversation, numbers, read_number
from optcore_bench.external.process import Ended, ExternalError
from optcore_bench.runner import run_study
from optcore_bench.runs import expand
from optcore_bench.store import Results
from optcore_bench.study import Study, load_study
from optcore_problems import get_problem
from tests.processes import is_running, wait_until

# Solvers travel by value: importing this module in each new process would import pytest there.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def _example(language: str) -> str:
    text = (files("optcore_bench") / "external" / "PROTOCOL.md").read_text(encoding="utf-8")
    [code] = re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return str(code)


def _in_process(fun: Any, jac: Any, x0: Any, options: Any) -> Any:
    """The method of the examples, called as a function."""
    descend = load_source("descent.py", _example("python").encode(), "descend", ())
    x, success = descend(lambda x: fun(np.array(x)), lambda x: jac(np.array(x)).tolist(), x0.tolist(), options["steps"])
    return {"x": np.array(x), "success": success}


def _compiled(folder: Path) -> Path | None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    (folder / "descent.c").write_text(_example("c"))
    subprocess.run(
        [compiler, "-std=c99", "-Wall", "-Werror", "-O2", "-ffp-contract=off", "-o", "descent", "descent.c"],
        check=True, cwd=folder,
    )  # fmt: skip
    return folder / "descent"


def _check_same(results: Results, one: str, other: str) -> None:
    runs = results.runs.set_index(["problem", "derivative"])
    first, second = (runs[runs["algorithm"] == name].sort_index() for name in (one, other))
    assert first["history_hash"].tolist() == second["history_hash"].tolist()
    for column in ("status", "n_fun_evals", "n_jac_evals", "n_numdiff_evals", "f_final"):
        assert first[column].tolist() == second[column].tolist(), column


def test_the_example_in_python_agrees_bit_by_bit_with_its_method_in_process(tmp_path: Path) -> None:
    (tmp_path / "descent.py").write_text(_example("python"))
    options = {"steps": 12}
    study = Study(
        "s",
        ["more_wild/rosenbrock", "more_wild/brown_dennis"],
        [
            {"name": "here", "algorithm": _in_process, "options": options},
            {"name": "program", "command": [sys.executable, str(tmp_path / "descent.py")], "options": options},
        ],
        ["analytic", "forward"],
        {"max_evaluations": 45},
    )
    results = run_study(study, tmp_path / "store", n_jobs=2)
    _check_same(results, "here", "program")
    assert set(results.runs["status"]) == {"stopped", "budget_evaluations"}
    spent = results.runs[results.runs["status"] == "budget_evaluations"]
    assert set(spent["n_fun_evals"]) == {45}


def test_the_example_in_c_agrees_bit_by_bit_with_the_method_in_process(tmp_path: Path) -> None:
    if _compiled(tmp_path) is None:
        pytest.skip("there is no C compiler, neither cc nor gcc")
    options = {"steps": 12}
    study = Study(
        "s",
        ["more_wild/rosenbrock", "more_wild/watson_n6"],
        [
            {"name": "here", "algorithm": _in_process, "options": options},
            {"name": "program", "command": f"{tmp_path}/descent", "options": options},
        ],
        budget={"max_evaluations": 200},
    )
    results = run_study(study, tmp_path / "store")
    _check_same(results, "here", "program")
    assert set(results.runs["status"]) == {"stopped"}


#: Speaks the protocol as the test says: each argument is a line, {x0} and {h} stand for points.
TALKER = """
import os, signal, sys, time
header = []
while (line := sys.stdin.readline().rstrip("\\n")) != "end":
    header.append(line)
x0 = next(line for line in header if line.startswith("x0")).removeprefix("x0 ")
h = " ".join((float(number) + 0.5).hex() for number in x0.split())
for argument in sys.argv[1:]:
    command, _, rest = argument.partition(":")
    if command == "say":
        print(rest.format(x0=x0, h=h), flush=True)
    elif command == "raw":
        sys.stdout.write(rest.format(x0=x0, h=h)); sys.stdout.flush()
    elif command == "hear":
        print(sys.stdin.readline().strip(), file=sys.stderr, flush=True)
    elif command == "header":
        open(rest, "w").write("\\n".join(header))
    elif command == "exit":
        os._exit(int(rest))
    elif command == "signal":
        os.kill(os.getpid(), int(rest))
    elif command == "close":
        os.close(1); time.sleep(60)
    elif command == "flood":
        for _ in range(100):
            sys.stderr.write("x" * 100_000 + "\\n")
    elif command == "long":
        sys.stdout.write("x" * 10_000_000); sys.stdout.flush()
    elif command == "eat":
        eaten = bytearray(int(rest)); time.sleep(60)
    elif command == "hang":
        for _ in range(2):
            pid = os.fork()
            if pid == 0:
                os.setsid()
                break
        with open(rest, "a") as file:
            file.write(f"{os.getpid()} ")
        time.sleep(600)
"""


@pytest.fixture
def talker(tmp_path: Path) -> list[str]:
    (tmp_path / "talker.py").write_text(TALKER)
    return [sys.executable, str(tmp_path / "talker.py")]


ASK, ASK_HALF = ["say:fun {x0}", "hear:"], ["say:fun {h}", "hear:"]
#: name -> (what it does, the keys of its entry, status, message, evaluations).
CASES: dict[str, tuple[list[str], dict[str, Any], str, str, int]] = {
    "done": (["say:done {h}"], {}, "stopped", "^$", 2),  # the point that it returns is evaluated, if nobody has
    "claims": (
        [*ASK_HALF, "say:claim success true", "say:claim message it is good", "say:claim nit 3", "say:claim nfev 7",
         "say:done {h}"],
        {}, "converged", r"^it is good \(claims 7 evaluations; 2 were counted\)$", 2,
    ),
    "batch": (
        ["say:batch 3", "say:fun 1 2", "say:fun 0x1p+1 -3e0", "say:fun inf 0", "hear:", "hear:", "hear:",
         "say:done {x0}"],
        {}, "stopped", "^$", 4,
    ),
    "no answer": ([*ASK_HALF, "exit:0"], {}, "crashed", r"ended with exit code 0; .* \(before 'done'\)$", 2),
    "exit": ([*ASK_HALF, "raw:fu", "exit:3"], {}, "crashed",
             r"^the program '.*python.*' ended with exit code 3; it printed last: ok .* \(before 'done', in the middle "
             r"of line 2, 'fu'\)$", 2),
    "signal": ([*ASK_HALF, "signal:11"], {}, "crashed", r"was killed by SIGSEGV", 2),
    "close": ([*ASK_HALF, "close:"], {}, "crashed", r"closed its output without ending", 2),
    "nonsense": ([*ASK_HALF, "say:hello world"], {}, "error",
                 r"wrote 'hello world' \(line 2 of its output\); expected is one of: fun, gradient, batch, claim, "
                 r"done", 2),
    "count": (["say:fun 1 2 3"], {}, "error", r"wrote fun with 3 numbers \(line 1 .*\); expected is a point of 2", 1),
    "comma": (["say:fun 1 2,5"], {}, "error", r"wrote '2,5' as number 2 of fun \(line 1.*decimal or hexadecimal", 1),
    "not asked": (["say:gradient {x0}"], {"asks": "fun"}, "error",
                  r"asked for gradient \(line 1 .*\); may ask for fun; the key 'asks' in the study says so", 1),
    "residuals": (["say:residuals {h}", "hear:", "say:jacobian {h}", "hear:", "say:done {h}"],
                  {"asks": ["residuals", "jacobian"]}, "stopped", "^$", 2),
    "batch of none": (["say:batch 0"], {}, "error", r"wrote batch '0' .*; expected is the number of points", 1),
    "batch of what": (["say:batch 2", "say:fun 1 2", "say:gradient 1 2"], {}, "error",
                      r"wrote 'gradient 1 2' \(line 3 .*one of: fun$", 1),
    "claim": (["say:claim nit many"], {}, "error", r"wrote claim nit 'many' .*; expected is a whole number", 1),
    "claim what": (["say:claim fame 1"], {}, "error", r"wrote claim 'fame' .* one of: success, message, fun, ", 1),
    "flood": (["flood:", *ASK_HALF, "say:done {h}"], {}, "stopped", "^$", 2),
    "long": (["long:"], {}, "error", r"wrote a line of more than \d+ bytes \(line 1\)$", 1),
    "spent": ([w for i in range(9) for w in (f"say:fun {i} 1", "hear:")], {}, "budget_evaluations", "of 6 eval", 6),
    "batch spent": (["say:batch 8", *[f"say:fun {i} 1" for i in range(8)], "hear:"], {}, "budget_evaluations", "", 6),
}  # fmt: skip


@pytest.fixture(scope="module")
def conversations(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("conversations")
    (folder / "talker.py").write_text(TALKER)
    entries = [
        {"name": name, "command": [sys.executable, f"{folder}/talker.py", *says], **keys}
        for name, (says, keys, *_) in CASES.items()
    ]
    hangs = [sys.executable, f"{folder}/talker.py", *ASK_HALF, f"hang:{folder}/pids"]
    entries.insert(0, {"name": "hang", "command": hangs})  # the others go on beside it
    study = Study("s", "more_wild/rosenbrock", entries, ["analytic"], {"max_evaluations": 6}, run_timeout=4.0)
    return run_study(study, folder / "store", n_jobs=2)


@pytest.mark.parametrize("name", CASES)
def test_what_a_program_says_is_its_row(conversations: Results, name: str) -> None:
    _, _, status, message, evaluations = CASES[name]
    runs = conversations.runs.set_index("algorithm")
    row = runs[runs["derivative"] == ("none" if name == "not asked" else "analytic")].loc[name]
    assert row["status"] == status, row["message"]
    assert re.search(message, row["message"]), row["message"]
    assert row["n_fun_evals"] == evaluations


class Gone:
    """A program that has said something and has ended before it is told anything."""

    rest, words_at_the_end = b"", ""

    def __init__(self, *said: bytes) -> None:
        self._said = list(said)

    def write(self, data: bytes) -> None:
        raise Ended

    def read_line(self, longest: int) -> bytes:
        if not self._said:
            raise Ended
        return self._said.pop(0)

    def wait(self) -> str:
        return "ended with exit code 0"


@pytest.mark.parametrize(
    ("said", "status", "message"),
    [([b"hello"], "error", "wrote 'hello'"), ([], "crashed", "ended"), ([b"fun 1 2", b"x"], "error", "wrote 'x'")],
)
def test_what_a_program_said_counts_however_early_it_ended(said: list[bytes], status: str, message: str) -> None:
    objective: Any = SimpleNamespace(
        n=2, one_batch=None, value=lambda x: float(x.sum()), gradient=None, residuals=None, jacobian=None
    )
    with pytest.raises(ExternalError, match=message) as caught:
        Conversation(cast(Any, Gone(*said)), "it", ("fun",), objective).hold([])
    assert caught.value.status == status


def test_the_points_of_a_batch_are_evaluated_as_one_and_numbers_arrive_exactly(conversations: Results) -> None:
    history = conversations.history(algorithm="batch")
    problem = get_problem("more_wild/rosenbrock")
    assert history["batch"].nunique() == 2  # the start, then three points
    points = [*history["x"]]
    assert np.array_equal(points[1:], [[1.0, 2.0], [2.0, -3.0], [np.inf, 0.0]])
    assert history["fun"].tolist()[:3] == [problem.fun(np.asarray(x)) for x in points[:3]]
    residuals = conversations.history(algorithm="residuals")
    assert np.array_equal(residuals["x"].iloc[1], problem.start + 0.5)


def test_the_header_says_what_the_protocol_promises(tmp_path: Path, talker: list[str]) -> None:
    entry = algorithm_entry(
        {
            "name": "x",
            "command": [*talker, f"header:{tmp_path}/header", "say:done {x0}"],
            "options": {"a.b": ["c", 1.5]},
        }
    )
    problem = get_problem("more_wild/rosenbrock")
    om.minimize(
        problem.fun,
        problem.start,
        entry.make(seed=5),
        jac=problem.gradient,
        bounds=om.Bounds([-2, -np.inf], [0.1, np.inf]),
        budget=om.Budget(max_evaluations=9),
    )
    assert (tmp_path / "header").read_text().splitlines() == [
        "optcore 1",
        "n 2",
        "m 0",
        "x0 -1.2 1.0",
        "lower -2.0 -inf",
        "upper 0.1 inf",
        "max_evaluations 9",
        "max_seconds none",
        "seed 5",
        "asks fun gradient",
        'option a_b ["c", 1.5]',
    ]


def test_a_program_that_hangs_is_killed_with_all_that_it_started(conversations: Results) -> None:
    row = conversations.runs.set_index("algorithm").loc["hang"]
    assert (row["status"], row["n_fun_evals"]) == ("timeout", 2)
    assert conversations.path is not None
    pids = [int(pid) for pid in (conversations.path.parent / "pids").read_text().split()]
    assert len(pids) == 3
    wait_until(lambda: not any(map(is_running, pids)))


def test_a_program_that_eats_memory_is_killed_and_one_that_does_not_is_left_alone(
    tmp_path: Path, talker: list[str]
) -> None:
    # The limit is one on the process of the harness, too, which has some libraries loaded.
    entries = [
        {"name": "greedy", "command": [*talker, *ASK_HALF, "eat:900000000"]},
        {"name": "child", "command": ["/bin/sh", "-c", f"{shlex.join([*talker, *ASK_HALF, 'eat:900000000'])}; exit"]},
        {"name": "modest", "command": [*talker, *ASK_HALF, "say:done {x0}"]},
    ]
    study = Study("s", "more_wild/rosenbrock", entries, max_memory=600_000_000)
    rows = run_study(study, tmp_path / "store").runs.set_index("algorithm")
    for name in ("greedy", "child"):
        assert rows.loc[name, "status"] == "crashed"
        assert re.fullmatch(
            r"killed while its process held \d+ MB of memory; the limit is 600 MB", rows.loc[name, "message"]
        )
        assert rows.loc[name, "n_fun_evals"] == 2
    assert rows.loc["modest", "status"] == "stopped"


def test_ids_follow_the_bytes_of_the_program_and_of_files_among_its_arguments(tmp_path: Path) -> None:
    def ids(*arguments: str, **keys: Any) -> list[str]:
        entry = {"name": "x", "command": [f"{tmp_path}/solver", *arguments], **keys}
        return [run.run_id for run in expand(Study("s", "more_wild/rosenbrock", entry))]

    def write(name: str, text: str) -> None:
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    write("solver", "#!/bin/sh\n")
    write("settings", "a")
    file = str(tmp_path / "settings")
    first = [ids(), ids("--fast"), ids(file), ids(asks="fun")]
    assert len({one for listed in first for one in listed}) == 5  # a program without gradient runs under none, too
    shutil.copy(tmp_path / "settings", tmp_path / "same")
    assert ids(str(tmp_path / "same")) == ids(file)
    write("settings", "bb")
    assert ids(file) != first[2]
    assert ids("--fast") == first[1]
    write("solver", "#!/bin/sh\n# built anew\n")
    assert not {*ids(), *ids("--fast")} & {*first[0], *first[1]}
    assert ids(version="1") == ids(version="1")


def test_a_study_in_a_file_finds_the_program_from_its_folder_and_its_text_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study").mkdir()
    solver = tmp_path / "study" / "solver"
    solver.write_text("#!/bin/sh\n")
    solver.chmod(0o755)
    (tmp_path / "study" / "data.txt").touch()
    (tmp_path / "study" / "own.toml").write_text(
        'problems = "more_wild/rosenbrock"\n'
        'algorithms = [{name = "a", command = "./solver --fast data.txt \'two words\'", asks = "fun"},\n'
        '              {command = ["sh", "data.txt"]}]\n'
    )
    monkeypatch.chdir(tmp_path)
    study = load_study("study/own.toml")
    first, second = study.to_dict()["algorithms"]
    assert first["command"] == [str(solver), "--fast", f"{tmp_path}/study/data.txt", "two words"]
    assert second["name"] == "sh"
    assert second["command"][0] == os.path.abspath(str(shutil.which("sh")))
    (tmp_path / "again.toml").write_text(study.to_toml())
    assert load_study("again.toml").to_dict()["algorithms"] == study.to_dict()["algorithms"]
    solver.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(OptcoreError, match=r"the file '.*/solver' has changed since the study was stored"):
        load_study("again.toml")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"command": "./missing"}, r"there is no program '/.*/missing'; paths in a study start at the folder of"),
        ({"command": "plain"}, r"the file '/.*/plain' can't be executed; chmod \+x it, or name its interpreter"),
        (
            {"command": []},
            r"command must be a list of texts, such as \['./solver', '--fast'\], or one text, but is \[\]",
        ),
        ({"command": "'open"}, r"the command \"'open\" can't be split into arguments: No closing quotation"),
        ({"command": "sh", "asks": ["hessian"]}, r"unknown question of a program in 'asks' 'hessian'"),
        ({"command": "sh", "asks": ["gradient"]}, r"asks must hold 'fun' or 'residuals', but is \['gradient'\]"),
        (
            {"command": "sh", "asks": ["fun", "jacobian"]},
            r"asks for fun and gradient, or for residuals and jacobian, but",
        ),
        ({"command": "sh", "asks": []}, r"asks must be a list of fun, gradient, residuals, jacobian, but is \[\]"),
        ({"algorithm": "scipy_bfgs", "asks": "fun"}, r"asks goes with the key 'command'"),
        ({"command": "sh", "python": "python3"}, r"has 'python' or 'command', not both"),
        ({"command": "sh", "aks": "fun"}, r"'aks'; did you mean 'asks'\?"),
    ],
)
def test_what_cannot_be_a_program_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], message: str
) -> None:
    (tmp_path / "plain").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptcoreError, match=message) as caught:
        Study("s", "more_wild/rosenbrock", {"name": "x", **given})
    assert "\n" not in str(caught.value)


def test_a_program_that_the_system_cannot_run_is_a_row(tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("#!/no/such/interpreter\n")
    (tmp_path / "broken").chmod(0o755)
    study = Study("s", "more_wild/rosenbrock", {"name": "x", "command": str(tmp_path / "broken")})
    row = run_study(study, tmp_path / "store").runs.iloc[0]
    assert row["status"] == "error"
    assert re.fullmatch(r"the program '.*/broken' can't be started: No such file or directory", row["message"])


@every(st.floats(allow_nan=False))
def test_numbers_survive_both_spellings_exactly(value: float) -> None:
    [decimal] = numbers([value])
    for text in (decimal, value.hex(), decimal.upper()):
        assert np.float64(read_number(text)).tobytes() == np.float64(value).tobytes()


@pytest.mark.parametrize("text", ["", "x", "1,5", "1_0", "0x", "--1"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_number(text or "?")

"""What README shows, runs: its Python blocks one after the other in one script, as a reader would paste them."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), flags=re.DOTALL)


def test_the_python_blocks_run_in_order_as_a_plain_script(tmp_path):
    script = tmp_path / "readme.py"
    script.write_text("\n".join(blocks("python")))
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results/local/derivatives/report.html").exists()
    assert "'a': 2.2463462" in done.stdout


def test_the_study_in_toml_is_the_study_in_python():
    from optcore_bench import Study
    from optcore_bench.study import load_study  # noqa: F401  the name that README's readers find

    text = next(block for block in blocks("toml") if 'name = "derivatives"' in block)
    given = tomllib.loads(text)
    assert (
        Study(**given).to_toml()
        == Study(
            name="derivatives",
            problems={"suite": "more_wild", "n_max": 4},
            algorithms=["scipy_lbfgsb", "scipy_ls_lm"],
            derivatives=["analytic", "forward", "complex_step"],
        ).to_toml()
    )


SUITE = """
from optcore_problems import Suite, get_problem

suite = Suite("mine", (get_problem("mgh/beale"),))
"""


def test_the_study_of_harder_problems_is_one(tmp_path):
    from optcore_bench.study import load_study

    text = next(block for block in blocks("toml") if "my_suite.py" in block)
    (tmp_path / "my_suite.py").write_text(SUITE)
    (tmp_path / "harder.toml").write_text(text)
    problems = load_study(tmp_path / "harder.toml").resolve_problems()
    assert [p.name for p in problems[:2]] == ["beale", "rosenbrock"]
    assert problems[1].noise == "multiplicative 0.001"
    assert problems[-1].name.startswith("rosenbrock+bounded+failures")


@pytest.mark.parametrize("path", re.findall(r"\]\((results/[^)]+)\)", README.read_text()))
def test_pictures_that_readme_shows_are_there(path):
    assert (README.parent / path).stat().st_size > 0

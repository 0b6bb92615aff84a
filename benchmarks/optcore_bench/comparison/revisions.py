"""Two revisions of a solver's repository, built and run in one job.

Each revision is cloned, and installed into a virtual environment of its own. That environment sees the libraries of
the one that optcore runs in, so that both revisions run with the same numpy, scipy and optcore; what a revision itself
installs comes first. The study is run old, new, new, old: rows that don't repeat are known then, and a machine that
gets slower or faster hits both sides.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import optcore
import optcore_problems
from optcore.errors import InvalidInputError
from optcore_bench.comparison.between import choose_gate, compare_sides, read_named_gate
from optcore_bench.comparison.comparison import Comparison
from optcore_bench.comparison.rows import of_two_runs
from optcore_bench.comparison.sources import Opened, common_floor, read_side
from optcore_bench.gate import Gate
from optcore_bench.store import Results

__all__ = ["compare_revisions"]

_PACKAGED = ("pyproject.toml", "setup.py")


class _Revision(NamedTuple):
    name: str
    commit: str

    def __str__(self) -> str:
        return self.name if self.commit.startswith(self.name) else f"{self.name} ({self.commit[:8]})"


def compare_revisions(
    revisions: str,
    study: str | os.PathLike[str],
    repository: str | os.PathLike[str] = ".",
    *,
    gate: Mapping[str, Any] | Gate | None = None,
    robust: bool = False,
    n_jobs: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Build two revisions of a solver and compare them on a study.

    Args:
        revisions: "OLD..NEW", as in "main..HEAD"; "OLD.." is "OLD..HEAD". Committed states are compared, not what lies
            in the working tree.
        study: a TOML file, the same for both. It names the solver by its entry point, as
            `{name = "mine", algorithm = "my_package.module:solve"}`, or, where it lies in the repository, by a file
            beside it: `{name = "mine", path = "my_solver.py:solve"}`.
        repository: a folder in the solver's git repository.
        gate: limits; those of the study by default.
        robust: compare medians over starts.
        n_jobs: runs at the same time.
        say: told what is being done.

    Returns:
        The comparison. The histories behind its figures last as long as it does.

    Raises:
        InvalidInputError: no such revision, study or repository; a gate that can't be; or a revision that can't be
            built or run, with what the tool said.
    """
    root = Path(_git(Path(repository).expanduser(), "rev-parse", "--show-toplevel"))
    old, new = _read_revisions(revisions, root)
    file = Path(study).expanduser().resolve()
    if not file.is_file():
        raise InvalidInputError(f"there is no file '{study}'; give the study of the solver, NAME.toml")
    if gate:
        gate = read_named_gate(gate, "gate")  # before anything is built
    folder = Path(tempfile.mkdtemp(prefix="optcore-"))
    try:
        found = _compare(folder, root, (old, new), file, gate, robust, n_jobs, say)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(found, shutil.rmtree, folder, ignore_errors=True)
    return found


def _compare(
    folder: Path,
    root: Path,
    revisions: tuple[_Revision, _Revision],
    study: Path,
    gate: Mapping[str, Any] | Gate | None,
    robust: bool,
    n_jobs: int,
    say: Callable[[str], None],
) -> Comparison:
    from optcore_bench.cli import START  # the library of command lines is of no use to other comparisons

    builds = []
    for label, revision in zip(("old", "new"), revisions, strict=True):
        say(f"building {revision}")
        builds.append((revision, folder / label, *_build(folder / label, root, revision, study)))
    stores: list[list[Path]] = [[], []]
    for side in (0, 1, 1, 0):
        revision, home, python, file = builds[side]
        store = home / f"store-{len(stores[side]) + 1}"
        say(f"running {revision}, {len(stores[side]) + 1} of 2")
        command = [str(python), "-P", "-c", START, "run", str(file), "--store", str(store)]
        _run([*command, "--no-report", "--quiet", "--jobs", str(n_jobs)], home, f"{revision} can't be run")
        stores[side].append(store)
    opened = [[Opened(Results(path), str(builds[i][0])) for path in paths] for i, paths in enumerate(stores)]
    limits = choose_gate(gate, opened[0][0], opened[1][0])
    floor = common_floor(*opened[0], *opened[1])
    old, new = (of_two_runs(*(read_side(one, limits, floor) for one in pair)) for pair in opened)
    return compare_sides(old, new, limits, robust=robust, same_code=False)


def _read_revisions(text: str, root: Path) -> tuple[_Revision, _Revision]:
    old, dots, new = text.partition("..")
    if not dots or not old or new.startswith("."):
        raise InvalidInputError(f"revisions are OLD..NEW, as in main..HEAD, but are {text!r}")
    names = (old, new or "HEAD")
    found = [_Revision(name, _git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")) for name in names]
    return found[0], found[1]


def _git(folder: Path, *arguments: str) -> str:
    if shutil.which("git") is None:
        raise InvalidInputError("revisions are compared by git, which is not installed")
    if not folder.is_dir():
        raise InvalidInputError(f"there is no folder '{folder}'; give one in the solver's git repository")
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        if arguments[:2] == ("rev-parse", "--verify"):
            name = arguments[-1].removesuffix("^{commit}")
            raise InvalidInputError(
                f"there is no revision {name!r} in '{folder}'; `git branch -a` and `git tag` show what there is "
                "(in CI, fetch the whole history)"
            )
        raise InvalidInputError(f"'{folder}' is in no git repository; give one in the solver's: --repo FOLDER")
    return done.stdout.strip()


def _build(home: Path, root: Path, revision: _Revision, study: Path) -> tuple[Path, Path]:
    """Clone and install a revision; returns its Python and the study to run."""
    home.mkdir()
    source = home / "source"
    problem = f"{revision} can't be built"
    _run(["git", "clone", "-q", "--shared", "--no-checkout", str(root), str(source)], home, problem)
    _run(["git", "-C", str(source), "checkout", "-q", "--detach", revision.commit], home, problem)
    _run([sys.executable, "-m", "venv", "--without-pip", str(home / "venv")], home, problem)
    bin_folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    python = home / "venv" / bin_folder / name
    is_package = any((source / file).is_file() for file in _PACKAGED)
    place = _run(
        [str(python), "-P", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], home, problem
    ).strip()
    lines = [*([] if is_package else [str(source)]), *_shared_paths()]
    (Path(place) / "optcore_harness.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if is_package:
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--disable-pip-version-check"]
        _run([*pip, str(source)], home, problem)
    if study.is_relative_to(root):  # files that it names are those of the revision
        target = source / study.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(study.read_bytes())
        return python, target
    return python, study


def _shared_paths() -> list[str]:
    """Where optcore and the libraries of this environment are."""
    roots = [str(Path(str(package.__file__)).parents[1]) for package in (optcore, optcore_problems)]
    roots.append(str(Path(__file__).parents[2]))
    libraries = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    return list(dict.fromkeys([*roots, *libraries]))


def _run(command: list[str], folder: Path, problem: str) -> str:
    """Run a program without what this process has on its path; its last line says what went wrong."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    env = {key: value for key, value in os.environ.items() if key not in hidden}
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise InvalidInputError(f"{problem}: {' '.join(said[-3:]) or f'exit status {done.returncode}'}")
    return done.stdout

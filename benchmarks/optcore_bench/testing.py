"""What tests of solvers ask: does it solve enough, and does it still cost what it did?

    >>> from optcore_bench.testing import assert_solves
    >>> easy = ["more_wild/rosenbrock", "more_wild/bard"]
    >>> assert_solves("scipy_neldermead", problems=easy, at_least=2, tau=1e-5)
    {'scipy_neldermead [none]': 2}

`check` compares with a baseline, a file beside the test; the pytest fixture `optcore_regression` calls it.
"""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optcore as om
from optcore.errors import InvalidInputError
from optcore_bench.algorithms import algorithm_entry
from optcore_bench.comparison import Comparison, State, Verdict
from optcore_bench.comparison.baseline import read_baseline, write_baseline
from optcore_bench.comparison.between import compare_sides
from optcore_bench.comparison.rows import MIN_STARTS, Key, Row, Side, medians, of_two_runs
from optcore_bench.comparison.sources import common_floor, open_side, read_side
from optcore_bench.cores import available_cores
from optcore_bench.environment import environment_hash, fingerprint, library_version
from optcore_bench.evaluations import floats
from optcore_bench.gate import Gate, read_gate
from optcore_bench.runner import run_study
from optcore_bench.study import Study
from optcore_bench.words import count

__all__ = ["RegressionError", "assert_solves", "check"]

#: A solver by its name, as a table of a study, as a function or class; or several by the names to call them.
Solvers = str | Callable[..., Any] | Mapping[str, Any]

_BUDGET = om.Budget(max_evaluations=1000)
_ROBUST_STARTS = 9
_SHOWN = 30


class RegressionError(AssertionError):
    """A solver costs more than its baseline says, or can't be compared with it.

    Attributes:
        comparison: what was found, None where there was nothing to compare with.
    """

    def __init__(self, message: str, comparison: Comparison | None = None) -> None:
        super().__init__(message)
        self.comparison = comparison


def assert_solves(
    solver: Solvers,
    problems: Any = "more_wild",
    *,
    at_least: int | None = None,
    tau: float = 1e-5,
    budget: om.Budget | None = None,
    derivatives: Any = "none",
    starts: int = 1,
    seed: int = 0,
    stopping: str = "tight",
    n_jobs: int | None = None,
) -> dict[str, int]:
    """Assert that a solver solves enough problems.

    Args:
        solver: a name, a function or class, or a dict of several.
        problems: as in a study.
        at_least: how many rows (problems times starts) each solver must solve; all by default.
        tau: accuracy of the convergence test.
        budget: what each run may spend; 1000 evaluations by default.
        derivatives: strategies, as in a study.
        starts: 1, or that many perturbed starts.
        seed: as in a study.
        stopping: as in a study.
        n_jobs: runs at the same time; by default 1 under pytest-xdist, else as many as there are cores.

    Returns:
        How many rows each `algorithm [derivative]` solves.

    Raises:
        AssertionError: names the rows that weren't solved.
        InvalidInputError, UnknownNameError: as from a study.
    """
    __tracebackhide__ = True  # of pytest: the test that calls is what a reader wants to see
    settings = _Settings(_algorithms(solver), problems, derivatives, budget or _BUDGET, seed, stopping, n_jobs)
    side, _ = _run(settings, starts, read_gate({"tau": tau}))
    found: dict[str, list[Row]] = {}
    for row in side.rows.values():
        found.setdefault(row.solver, []).append(row)
    for name, rows in found.items():
        unsolved = [row for row in rows if not row.is_solved]
        wanted = len(rows) if at_least is None else at_least
        if len(rows) - len(unsolved) < wanted:
            listed = "\n".join(f"  {row.name}: {row.status} {row.message}".rstrip() for row in unsolved[:_SHOWN])
            more = f"\n  ... and {len(unsolved) - _SHOWN} more" if len(unsolved) > _SHOWN else ""
            which = f"; it doesn't solve\n{listed}{more}" if unsolved else ""
            solved = f"{len(rows) - len(unsolved)} of {len(rows)} problems"
            raise AssertionError(f"{name} solves {solved} at tau = {tau:g}, not {wanted}{which}")
    return {name: sum(row.is_solved for row in rows) for name, rows in found.items()}


def check(
    solver: Solvers,
    problems: Any = "more_wild",
    *,
    baseline: str | os.PathLike[str],
    derivatives: Any = "none",
    budget: om.Budget | None = None,
    starts: int = 1,
    tau: float = 1e-5,
    gate: Mapping[str, Any] | None = None,
    seed: int = 0,
    stopping: str = "tight",
    robust_starts: int = _ROBUST_STARTS,
    accept: bool = False,
    n_jobs: int | None = None,
) -> Comparison:
    """Assert that a solver costs what its baseline says, or less.

    In the environment of the baseline counts are compared exactly. Where a row differs, all is run once more, and rows
    that don't repeat leave the gate. In another environment (another CPU, BLAS or version of numpy) medians over
    perturbed starts are compared, see `compare(robust=True)`.

    Args:
        solver: a name, a function or class, or a dict of several.
        problems: as in a study.
        baseline: its file.
        derivatives: strategies, as in a study.
        budget: what each run may spend; 1000 evaluations by default.
        starts: how many starts are compared exactly: 1 is the standard one, others are perturbed.
        tau: accuracy of the convergence test.
        gate: limits, see `optcore_bench.comparison.Gate`; without tau and cost.
        seed: as in a study.
        stopping: as in a study.
        robust_starts: over how many perturbed starts the medians of a new baseline are.
        accept: make or renew the baseline instead.
        n_jobs: as for `assert_solves`.

    Returns:
        The comparison; on `accept` that of the old baseline, where there was one, with what was written.

    Raises:
        RegressionError: an AssertionError that says which rows are worse and by how much; or that there is no baseline,
            or one for other settings, and how to make it.
        InvalidInputError, UnknownNameError: as from a study.
    """
    __tracebackhide__ = True  # of pytest: the test that calls is what a reader wants to see
    limits = read_gate({**(gate or {}), "tau": tau})
    if limits.cost != "evaluations" or limits.jac_cost != 0:
        raise InvalidInputError("a baseline holds evaluations; leave cost and jac_cost out of the gate")
    if robust_starts < MIN_STARTS:
        raise InvalidInputError(f"robust_starts must be at least {MIN_STARTS}, but is {robust_starts}")
    settings = _Settings(_algorithms(solver), problems, derivatives, budget or _BUDGET, seed, stopping, n_jobs)
    path = Path(baseline)
    if accept:
        return _accept(path, settings, (starts, robust_starts), limits)
    if not path.exists():
        raise RegressionError(f"there is no baseline '{path}' yet; make it by `pytest --optcore-accept`, and commit it")
    known = read_baseline(path)
    if known.tau != tau:
        raise RegressionError(f"the baseline '{path}' is for tau = {known.tau:g}, not {tau:g}; {_RENEW}")
    here = environment_hash(settings.environment()) in known.environments
    found = _exactly(known, settings, starts, limits) if here else _robustly(known, settings, limits)
    if message := _complaint(found, path):
        raise RegressionError(message, found)
    return found


_RENEW = "if that is intended, renew it by `pytest --optcore-accept`"


def _complaint(found: Comparison, path: Path) -> str:
    """What is wrong, "" if nothing."""
    unknown = [row for row in found.rows if row.state is State.NEW]
    if found.verdict in (Verdict.SAME, Verdict.BETTER):
        if not unknown:
            return ""
        rows = count(len(unknown), "row has", "rows have")
        return f"{rows} no baseline in '{path}', such as {unknown[0].label}; make it by `pytest --optcore-accept`"
    return f"{found.to_text(_SHOWN, ' (.comparison of this error has all)')}\ncompared with '{path}'; {_RENEW}"


def _exactly(known: Side, settings: _Settings, starts: int, gate: Gate) -> Comparison:
    """Compare counts; where any differs, look whether it repeats."""
    new, _ = _run(settings, starts, gate, known)
    if _differs(known.rows, new.rows):
        again, _ = _run(settings, starts, gate, known)
        new = of_two_runs(new, again)
    return compare_sides(replace(known, known_medians=None), new, gate, same_code=False)


def _robustly(known: Side, settings: _Settings, gate: Gate) -> Comparison:
    new, _ = _run(settings, known.starts, gate, known)
    found = compare_sides(known, new, gate, robust=True, same_code=False)
    return replace(found, notes=("the baseline is of another environment: medians over starts were compared",))


def _accept(path: Path, settings: _Settings, starts: tuple[int, int], gate: Gate) -> Comparison:
    before = read_baseline(path) if path.exists() else None
    exact, lowest = _run(settings, starts[0], gate)
    many, _ = _run(settings, max(starts), gate, replace(exact, lowest=lowest))
    exact = of_two_runs(exact, many)
    write_baseline(path, exact, medians(many), (starts[0], max(starts)), lowest)
    note = f"wrote {count(len(exact.rows), 'row')} to '{path}'"
    if before is None or before.tau != gate.tau:
        return Comparison(exact, exact, (), Verdict.SAME, (), gate, notes=(note,))
    found = compare_sides(replace(before, known_medians=None), exact, gate, same_code=False)
    return replace(found, notes=(note,))


def _differs(old: Mapping[Key, Row], new: Mapping[Key, Row]) -> bool:
    """Whether any evaluation of a row that repeats differs."""
    return any(
        key in new and row.repeats and not new[key].history.startswith(row.history or "?") for key, row in old.items()
    )


# --- running ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Settings:
    """What is run."""

    algorithms: list[dict[str, Any]]
    problems: Any
    derivatives: Any
    budget: om.Budget
    seed: int
    stopping: str
    n_jobs: int | None

    def study(self, starts: int) -> Study:
        return Study(
            name="regression",
            problems=self.problems,
            algorithms=self.algorithms,
            derivatives=self.derivatives,
            budget=self.budget,
            starts=starts,
            seed=self.seed,
            stopping=self.stopping,
            keep_x=False,
        )

    def environment(self) -> dict[str, str]:
        """The fingerprint, and the versions of the libraries of solvers that come with optcore."""
        classes = [entry.implementation for entry in map(algorithm_entry, self.algorithms) if not entry.is_own]
        names = {name for cls in classes for name in (cls.library, *cls.built_on)} - {"optcore", "scipy", "numpy"}
        return fingerprint() | {name: library_version(name) or "none" for name in sorted(names)}

    def jobs(self) -> int:
        if self.n_jobs is not None:
            return self.n_jobs
        return 1 if "PYTEST_XDIST_WORKER" in os.environ else available_cores()


def _algorithms(solver: Solvers) -> list[dict[str, Any]]:
    """Entries of a study; functions get a version, since a baseline looks at what they do and not at their source."""
    is_table = isinstance(solver, Mapping) and "algorithm" in solver
    if not isinstance(solver, Mapping) or is_table:
        return [_entry(None, solver)]
    if not solver:
        raise InvalidInputError("an empty dict of solvers was given; give at least one, {name: solver}")
    return [_entry(name, one) for name, one in solver.items()]


def _entry(name: str | None, solver: Any) -> dict[str, Any]:
    table = dict(solver) if isinstance(solver, Mapping) else {"algorithm": solver}
    if name is not None:
        table["name"] = name
    if not isinstance(table.get("algorithm"), str):
        table.setdefault("version", "as it is")
    return table


def _run(settings: _Settings, starts: int, gate: Gate, known: Side | None = None) -> tuple[Side, dict[str, float]]:
    """Run the study in a folder that is removed.

    Args:
        settings: what to run.
        starts: from how many starts.
        gate: says tau.
        known: the baseline, with f_L of problems without a known optimum.

    Returns:
        The rows, and f_L of problems without a known optimum by `suite/problem`.
    """
    with scratch() as folder:
        results = run_study(settings.study(starts), store=folder / "store", n_jobs=settings.jobs())
        opened = open_side(results, "now")
        floor = common_floor(*([] if known is None else [open_side(known)]), opened)
        side = replace(read_side(opened, gate, floor), source=None)
        here = settings.environment()
        rows = {key: replace(row, environment=environment_hash(here)) for key, row in side.rows.items()}
        side = replace(side, rows=rows, environments={environment_hash(here): here})
        if not side.rows:
            reason = next(iter(side.not_applicable.values()), "no problem was selected")
            # "none" is the default, and no solver that uses derivatives can do with it.
            remedy = "; say where it comes from, as derivatives='analytic'" if settings.derivatives == "none" else ""
            raise InvalidInputError(f"no run applies: {reason}{remedy if 'needs a derivative' in reason else ''}")
        unknown = results.runs[[not math.isfinite(f) for f in floats(results.runs["f_opt"])]]
        names = {(s, p): int(n) for s, p, n in zip(unknown["suite"], unknown["problem"], unknown["n"], strict=True)}
        lowest = {f"{s}/{p}": floor[s, p, n] for (s, p), n in names.items() if math.isfinite(floor[s, p, n])}
    return side, lowest


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is removed."""
    with tempfile.TemporaryDirectory(prefix="optcore-") as folder:
        yield Path(folder)

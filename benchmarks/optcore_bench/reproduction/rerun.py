"""Run a store again, all of it or a sample, and say of each run whether it came out the same."""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from optcore.errors import unknown_name
from optcore_bench.backends import open_backend
from optcore_bench.environment import fingerprint
from optcore_bench.jobs import known_columns, make_job
from optcore_bench.progress import Progress, make_progress
from optcore_bench.reproduction.compare import VERDICTS, Row, Verdict, compare_runs, without_rerun
from optcore_bench.reproduction.environments import Differs, differing
from optcore_bench.reproduction.kernels import same_kernels
from optcore_bench.reproduction.original import Original, open_original
from optcore_bench.reproduction.readable import Readable, read_stored_study
from optcore_bench.reproduction.sample import choose
from optcore_bench.runs import Run
from optcore_bench.store import KEY, Results, StoreWriter
from optcore_bench.store.selection import plain_rows
from optcore_bench.store.whole import refuse_existing
from optcore_bench.store.writer import store_path
from optcore_bench.study import Study
from optcore_bench.words import count
from optcore_bench.worker import NotRun, record_without_process

__all__ = ["Reproduction", "reproduce"]

_COMPARED = (Verdict.IDENTICAL, Verdict.SAME_COUNTS, Verdict.DIFFERENT)


@dataclass(frozen=True, eq=False)
class Reproduction:
    """What came out when a store was run again.

    Attributes:
        path: what was run again.
        study: the name of its study.
        rows: the runs that were chosen, in the order of the store.
        total: how many runs it holds.
        environment_differs: what differs between where it was made and here: name -> (value there, value here).
        digest: the digest that it has.
        digest_again: the digest of the new runs; None where not all were run again, by choice or since some can't be.
        left_out: what was not chosen because of a filter, in words; "" without one.
    """

    path: Path
    study: str
    rows: tuple[Row, ...]
    total: int
    environment_differs: Differs = field(default_factory=dict)
    digest: str | None = None
    digest_again: str | None = None
    left_out: str = ""

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row a run: what it is, `verdict`, `detail`, status, evaluations and best value, stored and again.

        `first_difference` is the number of the first evaluation that differs (from 0, as in `history`), `differs_in`
        what does, `value` and `value_again` the function's value there; missing where nothing differs or the
        evaluations are not known.
        """
        names = list(without_rerun(_NO_RUN, "").to_dict())
        frame = pd.DataFrame([row.to_dict() for row in self.rows], columns=names)
        for name in ("evaluations_again", "first_difference"):
            frame[name] = frame[name].astype("Int64")
        for name in ("f_best", "f_best_again", "value", "value_again"):
            frame[name] = frame[name].astype("float64")
        return frame

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many runs have each verdict, all verdicts in their order."""
        found = Counter(str(row.verdict) for row in self.rows)
        return {verdict: found[verdict] for verdict in VERDICTS}

    @property
    def compared(self) -> int:
        """How many runs could be compared: neither missing something here nor ended from outside."""
        return sum(row.verdict in _COMPARED for row in self.rows)

    @property
    def identical(self) -> bool:
        """Whether all runs that could be compared are identical, and there were some."""
        return self.compared > 0 and self.counts[Verdict.IDENTICAL] == self.compared

    @property
    def same_kernels(self) -> dict[str, str]:
        """The environment variables under which this machine would compute as the one of the store did.

        See `optcore_bench.reproduction.kernels`; set before Python starts. Empty where that is not what differs.
        """
        there, here = ({name: pair[side] for name, pair in self.environment_differs.items()} for side in (0, 1))
        return same_kernels(there, here)

    def summary(self) -> str:
        """A few lines: how many runs came out how, what differs here, and the verdict."""
        chosen = len(self.rows)
        all_of_them = "the only run" if chosen == 1 else f"all {chosen} runs"
        which = all_of_them if chosen == self.total else f"{chosen} of {self.total} runs"
        lines = [f"{self.study}: {which} of {self.path}{self.left_out and f' ({self.left_out})'}"]
        lines += [f"  {count:6d}  {verdict}" for verdict, count in self.counts.items() if count]
        for name, (there, here) in self.environment_differs.items():
            lines.append(f"  environment: {name} {there or 'missing'} there, {here or 'missing'} here")
        if (variables := self.same_kernels) and not self.identical:
            values = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
            lines.append(f"  to compute as there: {values}, as `optcore reproduce --same-kernels` sets")
        if self.digest_again is not None:
            same = self.digest_again == self.digest
            lines.append(f"  digest {self.digest_again}, {'the same' if same else f'stored {self.digest}'}")
        return "\n".join([*lines, self._verdict()])

    def _verdict(self) -> str:
        if not self.compared:
            return "nothing could be compared"
        if self.identical:
            rest = len(self.rows) - self.compared
            but = f", as far as it can be: {count(rest, 'run')} can not" if rest else ""
            return f"reproduced bit by bit{but}"
        if self.environment_differs:
            return "not identical, in another environment, where rounding and then paths can differ"
        if not any(row.same_code for row in self.rows if row.verdict in (Verdict.SAME_COUNTS, Verdict.DIFFERENT)):
            return "not reproduced: what differs was made by other code, options or versions"
        return "not reproduced: the same environment gives other results"

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self.counts.items() if count)
        return f"Reproduction('{self.path}': {counts or 'no runs'})"


_NO_RUN: dict[str, Any] = dict.fromkeys(
    ("run_id", "suite", "problem", "start", "noise", "algorithm", "derivative", "status", "f_best"), ""
) | {"n_fun_evals": 0, "n_fun_and_jac_evals": 0}


def reproduce(
    store: str | os.PathLike[str],
    sample: int | str | None = None,
    seed: int = 0,
    n_jobs: int = 1,
    *,
    problem: str | Sequence[str] | None = None,
    algorithm: str | Sequence[str] | None = None,
    backend: str = "threads",
    out: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Reproduction:
    """Run what a store holds again, from its own study, and compare run by run.

    The store is only read. The new runs go to a temporary store, or to `out`. On another processor the bits are the
    same where libraries use the same code; `Reproduction.same_kernels` says which variables choose it, if any do.

    Args:
        store: folder of a store, a bundle (`optcore store export STORE FILE.zip`), or a published folder with
            `study.toml`, `manifest.json` and `runs.parquet` or `runs.csv`.
        sample: how many of the runs: a number, or a share such as "10%"; all by default. Each solver (an algorithm
            under a derivative strategy) is in it at least once, also where that makes it larger.
        seed: decides which runs are in the sample; the same seed gives the same ones.
        n_jobs: how many runs at the same time; -1 for as many as this process may use cores.
        problem: only runs of these problems, `"rosenbrock"` or `"more_wild/rosenbrock"`.
        algorithm: only runs of these algorithms.
        backend: as of `run_study`.
        out: folder of a new store that keeps the new runs.
        progress: told what happens; nobody by default.

    Returns:
        The verdict on each run:

        - `identical`: status, counts, history and results are the same bits;
        - `same counts`: it ended the same way after as many evaluations, with other values on the way;
        - `different`: it ended otherwise, or after another number of evaluations;
        - `not reproducible here`: its solver, library or file is missing;
        - `ended from outside`: a clock, the memory limit or a signal ended it, before or now.

    Raises:
        StoreNotFoundError, DamagedStoreError: there is no store, or not what was written.
        UnknownNameError: no run has the problem or algorithm, or the study holds a rule that is not known.
        InvalidInputError: the sample can't be, or there are no runs.

    Example:
        >>> from optcore_bench import Study, run_study
        >>> solvers = ["scipy_lbfgsb", "scipy_neldermead"]
        >>> study = Study("tiny", "more_wild/rosenbrock", solvers, budget={"max_evaluations": 20})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = run_study(study, f"{folder}/tiny")
        ...     again = reproduce(f"{folder}/tiny")
        >>> again.identical, again.counts["identical"], again.environment_differs
        (True, 3, {})
        >>> again.digest_again == again.digest
        True
    """
    original = open_original(store)
    progress = make_progress(quiet=True) if progress is None else progress
    listed, words = _filtered(original.rows, problem, algorithm)
    chosen = choose(listed, sample, seed)
    readable = read_stored_study(original.study, original.path)
    runs = {row["run_id"]: run for row in chosen if (run := readable.runs.get(_key(row)))}
    with _place(out) as path:
        again = _run_again(path, readable.study, runs.values(), n_jobs, backend, progress) if runs else None
        new = {} if again is None else {row["run_id"]: row for row in plain_rows(again.selected[1].runs)}
        rows = tuple(_compared(original, again, new, readable, row, runs.get(row["run_id"])) for row in chosen)
        environments = {} if again is None else again.environments
        whole = again is not None and all(row.again is not None for row in rows) and len(rows) == len(original.rows)
        return Reproduction(
            path=original.path,
            study=str(original.study.get("name", original.path.name)),
            rows=rows,
            total=len(original.rows),
            environment_differs=differing(original, rows, environments, runs.values()),
            digest=original.manifest.get("digest"),
            digest_again=again.digest if whole and again is not None else None,
            left_out=words,
        )


def _filtered(rows: Sequence[dict[str, Any]], problem: Any, algorithm: Any) -> tuple[list[dict[str, Any]], str]:
    """The rows that pass the filters, and these in words."""
    chosen, words = list(rows), []
    spellings = {
        "problem": lambda row: {row["problem"], f"{row['suite']}/{row['problem']}"},
        "algorithm": lambda row: {row["algorithm"]},
    }
    for name, given in (("problem", problem), ("algorithm", algorithm)):
        if given is None:
            continue
        wanted = {given} if isinstance(given, str) else set(given)
        known = set().union(*(spellings[name](row) for row in rows))
        for one in sorted(wanted - known):
            raise unknown_name(f"{name} of this store", one, known)
        chosen = [row for row in chosen if spellings[name](row) & wanted]
        words.append(f"{name} {', '.join(sorted(wanted))}")
    return chosen, "; ".join(words)


@contextlib.contextmanager
def _place(out: str | os.PathLike[str] | None) -> Iterator[Path]:
    if out is not None:
        path = store_path(out)
        refuse_existing(path)
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="optcore-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "again"


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in KEY)


def _run_again(path: Path, study: Study | None, runs: Any, n_jobs: int, backend: str, progress: Progress) -> Results:
    assert study is not None  # there are runs
    listed: list[Run] = list(runs)
    manifest = {"environment": fingerprint()}
    with (
        open_backend(backend, n_jobs) as workers,
        StoreWriter(path, study=study.to_toml(), manifest=manifest) as writer,
    ):
        progress.begin(f"{study.name} again", len(listed), 0, workers.workers)
        try:
            for run in listed:
                if run.reason:
                    row = known_columns(run)
                    writer.append(record_without_process(row, run.reason, run.problem.n, keep_x=study.keep_x))
                    progress.done(run.label, "not_applicable")
            labels = {run.run_id: run.label for run in listed}
            with contextlib.closing(workers.perform(_jobs(study, listed, progress))) as answers:
                for answer in answers:
                    assert not isinstance(answer, NotRun)  # there is no walltime
                    writer.append(answer)
                    evaluations = answer.run["n_fun_evals"] + answer.run["n_fun_and_jac_evals"]
                    progress.done(labels[answer.run["run_id"]], answer.run["status"], evaluations)
        finally:
            progress.end()
        writer.finish()
    return Results(path)


def _jobs(study: Study, runs: Sequence[Run], progress: Progress) -> Iterator[Any]:
    for run in runs:
        if not run.reason:
            progress.started(run.label)
            yield make_job(study, run)


def _compared(
    original: Original,
    again: Results | None,
    new_rows: Mapping[str, Mapping[str, Any]],
    readable: Readable,
    row: Mapping[str, Any],
    run: Run | None,
) -> Row:
    if run is None or again is None:
        return without_rerun(row, readable.why_not(row))
    if run.reason and row["status"] != "not_applicable":
        return without_rerun(row, run.reason)
    new = new_rows[run.run_id]
    there = here = None
    if new["history_hash"] != row["history_hash"]:
        there, here = original.history(row["run_id"]), again.history(run_id=run.run_id)
    return compare_runs(row, new, there, here)

"""The evaluations of a store as flat arrays, and what the analysis asks of them: first hits, targets, labels.

Everything that costs, profiles and convergence plots need is counted here in one vectorised pass over the
history; no Python loop runs per evaluation.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optcore.errors import InvalidInputError
from optcore.history import TASKS
from optcore_bench.store.record import best_column

if TYPE_CHECKING:
    from optcore_bench.costs.criteria import Judgement
    from optcore_bench.costs.rounds import Batches
    from optcore_bench.costs.tables import Cells
    from optcore_bench.statistics.of_store import StoreStatistics

__all__ = ["Evaluations", "HasTables", "ReferenceValue", "applicable", "floats", "row_labels", "solver_label"]

#: Where f_L of the convergence test comes from: the problem's best known value or the best of the compared
#: runs.
ReferenceValue = Literal["best_known", "compared"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
#: Whole numbers of 4 bytes, as stores have them, or of 8.
Whole = NDArray[np.int32] | Ints

_COUNTED = ("run_id", "evaluation", "task", "batch")
_CLOCK = ("run_id", "evaluation", "start", "stop")


class HasTables(Protocol):
    """What the analysis needs of a store: the table of runs and the table of evaluations."""

    @property
    def runs(self) -> Any:
        """One row a run, as a pandas DataFrame."""
        ...

    def history(self) -> Any:
        """One row an evaluation, as a pandas DataFrame; without a column `best` it is made from `fun`."""
        ...


def solver_label(algorithm: object, derivative: object) -> str:
    """Name of a column: the algorithm and, in brackets, its derivative strategy.

    >>> solver_label("scipy_lbfgsb", "forward")
    'scipy_lbfgsb [forward]'
    >>> solver_label("theirs", None)
    'theirs'
    """
    return str(algorithm) if _is_missing(derivative) else f"{algorithm} [{derivative}]"


def _names(study: Any, key: str) -> list[str]:
    """Names of a study's entries: each is a name, or a table or an object with one."""
    entries = study.get(key) if isinstance(study, Mapping) else getattr(study, key, None)
    if entries is None:
        return []
    single = isinstance(entries, (str, Mapping)) or not isinstance(entries, Iterable)
    return [
        str(entry.get("name", entry) if isinstance(entry, Mapping) else getattr(entry, "name", entry))
        for entry in ([entries] if single else entries)
    ]


def row_labels(runs: pd.DataFrame) -> pd.Series:
    """Name of each run's row in a cost table: `suite/problem`, `suite/problem#2` for the second start.

    Starts are numbered from 1 in the column `start`. Where one problem was run under several noises, the
    noise is part of the name: `suite/problem ~ multiplicative 0.001`.
    """
    suites = ["" if _is_missing(s) else f"{s}/" for s in runs["suite"]]
    starts = ["" if _is_missing(k) or int(k) <= 1 else f"#{int(k)}" for k in runs["start"]]
    noises = ["" if _is_missing(s) else f" ~ {s}" for s in runs["noise"]]
    plain = [f"{s}{p}{k}" for s, p, k in zip(suites, runs["problem"], starts, strict=True)]
    kinds: dict[str, set[str]] = {}
    for label, noise in zip(plain, noises, strict=True):
        kinds.setdefault(label, set()).add(noise)
    labels = [label + (noise if len(kinds[label]) > 1 else "") for label, noise in zip(plain, noises, strict=True)]
    return pd.Series(labels, index=runs.index, dtype=object)


def applicable(runs: pd.DataFrame) -> Bools:
    """False for runs that stand for a pair that can't be, shape (R,)."""
    return np.asarray(runs["status"] != "not_applicable", dtype=bool)


def _is_missing(value: object) -> bool:
    return value is None or value is pd.NA or value == "" or (isinstance(value, float) and np.isnan(value))


@dataclass(frozen=True, eq=False)
class Evaluations:
    """The runs of a store and their evaluations, sorted by run and evaluation.

    Attributes:
        runs: one row a run, index 0 .. R-1, with the columns `row` and `solver` (labels) added.
        offsets: the evaluations of run r are `offsets[r]:offsets[r + 1]`, shape (R + 1,).
        evaluation: number of the evaluation within its run, shape (k,).
        task: position in `optcore.history.TASKS`, shape (k,).
        batch: calls of one run that could run at the same time share a number, shape (k,).
        best: the best noise-free value so far at feasible points that the run's solver asked for, NaN before
            the first, shape (k,).
        source: what it was read from; asked for its clock only.
    """

    runs: pd.DataFrame
    offsets: Ints
    evaluation: Whole
    task: NDArray[np.uint8]
    batch: Whole
    best: Floats
    source: HasTables

    @classmethod
    def read(cls, results: HasTables | Evaluations) -> Evaluations:
        """Read all evaluations of a store once; what was read already is returned as it is.

        Raises:
            InvalidInputError: it is no store, nor anything with its tables.
        """
        if isinstance(results, Evaluations):
            return results
        if not (hasattr(results, "runs") and hasattr(results, "history")):
            raise InvalidInputError(
                f"results must have the tables runs and history(), which {type(results).__name__} lacks; open a store "
                "by Results(path), or histories of your own by Results.from_frame(frame)"
            )
        runs = results.runs.reset_index(drop=True)
        runs = runs.assign(
            row=row_labels(runs),
            solver=[solver_label(a, d) for a, d in zip(runs["algorithm"], runs["derivative"], strict=True)],
            n=_dimensions(runs),
        )
        history = _columns(results.history, _COUNTED)
        code = _run_codes(runs["run_id"], history["run_id"])
        evaluation = _whole(history["evaluation"])
        order = _order(code, evaluation)
        batch, task = _whole(history["batch"])[order], _task_codes(history["task"])[order]
        offsets = np.searchsorted(code[order], np.arange(len(runs) + 1)).astype(np.int64)
        if "best" not in history and _can_choose(results.history):
            del history, code  # so that both don't have to be in memory
            history = _columns(results.history, ("best",))
        return cls(
            runs=runs,
            offsets=offsets,
            evaluation=evaluation[order],
            task=task,
            batch=batch,
            best=floats(history["best"])[order] if "best" in history else _best(history, order, task, offsets),
            source=results,
        )

    @cached_property
    def run(self) -> Ints:
        """Position in `runs` of each evaluation's run, shape (k,)."""
        return np.repeat(np.arange(len(self.runs)), np.diff(self.offsets))

    @cached_property
    def solvers(self) -> tuple[str, ...]:
        """Labels of all solvers with a run that applies, in the order of the study."""
        study = getattr(self.source, "study", None)
        algorithms, derivatives = _names(study, "algorithms"), _names(study, "derivatives")
        asked = (solver_label(a, d) for a in algorithms for d in dict.fromkeys([*derivatives, "none"]))
        there = dict.fromkeys(self.runs["solver"][self.applicable])
        return tuple(dict.fromkeys([*(label for label in asked if label in there), *there]))

    @cached_property
    def applicable(self) -> Bools:
        """False for runs that stand for a pair that can't be, shape (R,)."""
        return applicable(self.runs)

    @cached_property
    def batches(self) -> Batches:
        """The batches of all runs by what they held."""
        from optcore_bench.costs.rounds import Batches

        return Batches.of(self)

    @cached_property
    def cells(self) -> Cells:
        """Where the runs stand in a cost table.

        Raises:
            InvalidInputError: two runs fall into one cell.
        """
        from optcore_bench.costs.tables import Cells

        return Cells.of(self.runs)

    @cached_property
    def judgements(self) -> dict[tuple[float, ReferenceValue, str], Judgement]:
        """What `optcore_bench.costs.criteria.judge` has found, by tau, f_L and basis."""
        return {}

    @cached_property
    def statistics(self) -> StoreStatistics:
        """Statistics of costs in evaluations, which report, findings and figures share; some run must apply."""
        from optcore_bench.statistics.of_store import StoreStatistics

        return StoreStatistics(self)

    @property
    def prices(self) -> tuple[Floats, Floats]:
        """What a call of jac, and the jacobian in fun_and_jac, was measured to cost in evaluations, shapes (R,).

        See `optcore_bench.costs.counting.median_prices`.
        """
        return self._of_clock[0]

    @property
    def overhead(self) -> Floats:
        """Seconds a batch that each run spent outside of calls, shape (R,).

        See `optcore_bench.costs.counting.measured_overhead`.
        """
        return self._of_clock[1]

    @cached_property
    def _of_clock(self) -> tuple[tuple[Floats, Floats], Floats]:
        """What is kept of the clock, since it takes long to read."""
        from optcore_bench.costs.counting import measured_overhead, median_prices

        clock = self.clock()
        return median_prices(self, clock), measured_overhead(self, clock)

    @cached_property
    def problem(self) -> Ints:
        """Number of each run's problem, whatever its start and noise, shape (R,)."""
        groups = self.runs.groupby(["suite", "problem", "n"], sort=False, dropna=False)
        return np.asarray(groups.ngroup(), dtype=np.int64)

    @cached_property
    def run_best(self) -> Floats:
        """The least finite `best` of each run, NaN where there is none, shape (R,)."""
        best = np.full(len(self.runs), np.nan)
        full = np.diff(self.offsets) > 0
        if full.any():
            values = np.where(np.isfinite(self.best), self.best, np.inf)
            best[full] = np.minimum.reduceat(values, self.offsets[:-1][full])
        return np.where(np.isfinite(best), best, np.nan)

    def dimension(self) -> Floats:
        """Number of parameters of each run's problem, NaN where unknown, shape (R,)."""
        n = floats(self.runs["n"])
        return np.where(n >= 1, n, np.nan)

    def f_start(self) -> Floats:
        """Value at the start; NaN where it isn't finite, so that nothing is measured from it, shape (R,)."""
        start = floats(self.runs["f_start"])
        return np.where(np.isfinite(start), start, np.nan)

    def f_final(self) -> Floats:
        """Noise-free value of the point that each run returned, NaN where there is none, shape (R,)."""
        return floats(self.runs["f_final"]) if "f_final" in self.runs else np.full(len(self.runs), np.nan)

    def reference(self, f_opt: ReferenceValue) -> tuple[Floats, NDArray[np.object_]]:
        """The value f_L of each run's convergence test, and where it comes from.

        Args:
            f_opt: "best_known" takes the column `f_opt` and, where that is null, the value that is frozen in the
                store, or else the best of the compared runs; "compared" takes the best of the compared runs of
                the same problem everywhere.

        Returns:
            f_L, NaN where no run of the problem found a finite value, and "best known", "frozen: best of SOLVER"
            or "best of the compared runs", both of shape (R,).
        """
        if f_opt not in ("best_known", "compared"):
            raise InvalidInputError(f"f_opt must be 'best_known' or 'compared', not {f_opt!r}")
        return self._best_known if f_opt == "best_known" else self._best_of_runs

    @cached_property
    def _best_of_runs(self) -> tuple[Floats, NDArray[np.object_]]:
        found = pd.Series(self.run_best).groupby(self.problem).transform("min").to_numpy(dtype=float)
        return found, np.full(len(found), "best of the compared runs", dtype=object)

    @cached_property
    def _best_known(self) -> tuple[Floats, NDArray[np.object_]]:
        found, source = self._best_of_runs
        source = source.copy()
        known = floats(self.runs["f_opt"])
        frozen, finder = self.frozen
        source[np.isfinite(frozen)] = [f"frozen: best of {name}" for name in finder[np.isfinite(frozen)]]
        source[np.isfinite(known)] = "best known"
        found = np.where(np.isfinite(frozen), frozen, found)
        return np.where(np.isfinite(known), known, found), source

    @cached_property
    def frozen(self) -> tuple[Floats, NDArray[np.object_]]:
        """f_L as frozen in the store where no value is known, and the solver that found it, shapes (R,)."""
        from optcore_bench.costs.frozen import frozen_values

        return frozen_values(self.source, self.runs)

    def points(self) -> NDArray[np.object_]:
        """The point of each evaluation, shape (k,) of vectors; None where it wasn't stored.

        Raises:
            InvalidInputError: the results have no points at all.
        """
        history = _columns(self.source.history, ("run_id", "evaluation", "x"))
        if "x" not in history:
            raise InvalidInputError("these results hold no points (a column x of the history); use solved_by='f'")
        order = _order(_run_codes(self.runs["run_id"], history["run_id"]), history["evaluation"].to_numpy(np.int64))
        return np.asarray(history["x"].to_numpy(dtype=object)[order])

    @cached_property
    def failed(self) -> Bools:
        """True for calls at points that the solver asked for whose value is not finite, shape (k,)."""
        history = _columns(self.source.history, ("run_id", "evaluation", "fun"))
        order = _order(_run_codes(self.runs["run_id"], history["run_id"]), _whole(history["evaluation"]))
        asked = np.isin(self.task, (TASKS.index("fun"), TASKS.index("fun_and_jac")))
        return np.asarray(asked & ~np.isfinite(floats(history["fun"])[order]))

    def targets(self, tau: float, f_opt: ReferenceValue) -> Floats:
        """f_L + tau (f_start - f_L) of each run; NaN, which nothing reaches, where that isn't finite."""
        f_low, _ = self.reference(f_opt)
        with np.errstate(over="ignore", invalid="ignore"):
            target = f_low + tau * (self.f_start() - f_low)
        # A start below the best known value must not ask for more than the best known value.
        target = np.where(target < f_low, f_low, target)
        return np.where(np.isfinite(target), target, np.nan)

    def first_hits(self, targets: Floats) -> Ints:
        """Position of the evaluation that brought each run's best value to its target, or -1, shape (R,)."""
        hit = np.flatnonzero(self.best <= targets[self.run])
        first = np.full(len(targets), -1, dtype=np.int64)
        runs, position = np.unique(self.run[hit], return_index=True)
        first[runs] = hit[position]
        return first

    @cached_property
    def improvements(self) -> Ints:
        """Positions of the evaluations at which the best value of their run fell, in order."""
        best = np.where(np.isnan(self.best), np.inf, self.best)
        before = np.concatenate([[np.inf], best])[: best.size]
        before[self.offsets[:-1][np.diff(self.offsets) > 0]] = np.inf
        return np.flatnonzero(best < before).astype(np.int64)

    def count(self, events: Bools, rows: Ints) -> Ints:
        """How many `events` (k,) each of `rows` has seen in its own run, itself included."""
        total = np.concatenate([[0], np.cumsum(events, dtype=np.int64)])
        return np.asarray(total[rows + 1] - total[self.offsets[self.run[rows]]])

    @cached_property
    def first_of_batch(self) -> Bools:
        """True for the first evaluation of each batch, shape (k,). In plan order, batches don't mix."""
        new = np.ones(self.batch.size, dtype=bool)
        new[1:] = (self.batch[1:] != self.batch[:-1]) | (self.run[1:] != self.run[:-1])
        return new

    def clock(self) -> tuple[Floats, Floats]:
        """Start and stop of each evaluation in seconds since its run started, shapes (k,); NaN where unknown.

        Raises:
            InvalidInputError: the results have no clock.
        """
        read = getattr(self.source, "clock", None)
        if read is None:
            raise InvalidInputError("these results hold no times of evaluations; use another cost, e.g. 'evaluations'")
        clock = _columns(read, _CLOCK)
        code = _run_codes(self.runs["run_id"], clock["run_id"])
        number = clock["evaluation"].to_numpy(dtype=np.int64)
        order = _order(code, number)
        width = 1 + max(int(self.evaluation.max(initial=0)), int(number.max(initial=0)))
        have, want = (code.astype(np.int64) * width + number)[order], self.run * width + self.evaluation
        position = np.minimum(np.searchsorted(have, want), max(have.size - 1, 0))
        found = have[position] == want if have.size else np.zeros(want.size, dtype=bool)
        out = np.full((2, want.size), np.nan)
        for i, name in enumerate(("start", "stop")):
            # Stores keep whole nanoseconds.
            unit = 1e9 if pd.api.types.is_integer_dtype(clock[name].dtype) else 1.0
            out[i, found] = clock[name].to_numpy(dtype=float)[order][position[found]] / unit
        # A run all of whose times are 0 was recorded by someone without a clock.
        timed = np.bincount(self.run, weights=out[1] > 0, minlength=len(self.runs)) > 0
        out[:, ~timed[self.run]] = np.nan
        return out[0], out[1]


def _dimensions(runs: pd.DataFrame) -> pd.Series:
    """Number of parameters of each run; where it isn't known, that of other runs of the same problem."""
    n = runs["n"].where(floats(runs["n"]) >= 1)
    if not n.isna().any() or n.isna().all():
        return runs["n"]
    return n.fillna(n.groupby([runs["suite"], runs["problem"]], dropna=False).transform("first"))


def _can_choose(read: Callable[..., pd.DataFrame]) -> bool:
    return "columns" in inspect.signature(read).parameters


def _columns(read: Callable[..., pd.DataFrame], names: Sequence[str]) -> pd.DataFrame:
    """A table of evaluations; where they can be chosen, some columns: points take the longest to read."""
    return read(columns=list(names)) if _can_choose(read) else read()


def _whole(column: pd.Series) -> Whole:
    """Whole numbers as they are stored: the 4 bytes of a store aren't made 8."""
    values = column.to_numpy()
    return values if values.dtype == np.int32 else np.asarray(values, dtype=np.int64)


def _run_codes(run_ids: pd.Series, column: pd.Series) -> Whole:
    """Position of each row's run in `runs`, -1 for others; 4 bytes a row, since there are many."""
    index = pd.Index(run_ids.astype(object))
    if not index.is_unique:
        twice = index[index.duplicated()][0]
        raise InvalidInputError(f"run {twice!r} stands in the table of runs more than once; keep one of its rows")
    if isinstance(column.dtype, pd.CategoricalDtype):
        known = index.get_indexer(pd.Index(column.cat.categories.astype(object)))
        return np.asarray(np.append(known, -1).astype(np.int32)[column.cat.codes.to_numpy()])
    codes, categories = pd.factorize(column)
    known = index.get_indexer(pd.Index(np.asarray(categories, dtype=object)))
    return np.asarray(np.append(known, -1).astype(np.int32)[codes])


def _order(code: Whole, evaluation: Whole) -> Any:
    """How to sort by run and evaluation: a slice where nothing has to move, which is how stores are written.

    Rows of unknown runs have code -1 and are left out.
    """
    same = code[1:] == code[:-1]
    same &= evaluation[1:] > evaluation[:-1]
    same |= code[1:] > code[:-1]
    if same.all() and (code.size == 0 or code[0] >= 0):
        return slice(None)
    order = np.lexsort((evaluation, code))
    return order[code[order] >= 0]


def _task_codes(task: pd.Series) -> NDArray[np.uint8]:
    codes: Any
    names: Any
    if isinstance(task.dtype, pd.CategoricalDtype):
        codes, names = task.cat.codes.to_numpy(), task.cat.categories
    else:
        codes, names = pd.factorize(task)
    strange = [name for name in names if name not in TASKS]
    if strange or (codes < 0).any():
        what: Hashable = strange[0] if strange else None
        raise InvalidInputError(f"task must be one of {', '.join(TASKS)}; the history has {what!r}")
    position = np.array([TASKS.index(name) for name in names] or [0], dtype=np.uint8)
    return np.asarray(position[codes], dtype=np.uint8)


def _best(history: pd.DataFrame, order: Any, task: NDArray[np.uint8], offsets: Ints) -> Floats:
    """The column `best` of a history without one: all its points are taken as feasible."""
    value = _noise_free(history)[order]
    runs = [slice(begin, end) for begin, end in pairwise(offsets)]
    return np.concatenate([best_column(task[run], value[run]) for run in runs] or [value])


def _noise_free(history: pd.DataFrame) -> Floats:
    fun = floats(history["fun"])
    if "fun_true" not in history:
        return fun
    true = floats(history["fun_true"])
    return np.where(np.isnan(true), fun, true)


def floats(column: pd.Series) -> Floats:
    """A column as float64, nulls of any kind as NaN."""
    return np.asarray(pd.to_numeric(column).to_numpy(dtype=float, na_value=np.nan), dtype=float)

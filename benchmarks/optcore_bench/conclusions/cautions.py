"""What must not be concluded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from optcore.errors import InvalidInputError
from optcore_bench.conclusions.model import Finding
from optcore_bench.costs import JacCost, cost_table, degenerate_rows, improved, tau_label
from optcore_bench.evaluations import Evaluations, ReferenceValue, floats
from optcore_bench.statistics import Flips, OrderChanges, clusters, few_starts, order_changes
from optcore_bench.store.schema import FAILED
from optcore_bench.words import count, names, quantity, share

__all__ = [
    "beaten",
    "cut_off",
    "degenerate",
    "different_starts",
    "environments",
    "failures",
    "few_functions",
    "few_starts_of",
    "flipping_pairs",
    "missing",
    "orders_by_batches",
    "orders_by_jac_cost",
    "orders_by_tau",
    "unsolved",
]

#: Percentile intervals from fewer groups than this are too narrow to be taken at their word.
FEW_FUNCTIONS = 20
#: Above this share of runs that the budget ended, a failure says little about the solver.
MUCH_CUT_OFF = 0.05
#: Improvements that are smaller than this, relative to the value, are rounding.
_ROUNDING = 1e-6


def few_functions(costs: pd.DataFrame) -> Iterator[Finding]:
    """Rows that aren't independent, and intervals from few functions."""
    group = clusters(costs)
    number = group.nunique()
    frame = group.value_counts(sort=False).rename_axis("function").rename("problems").reset_index()
    if number < FEW_FUNCTIONS:
        words = (
            f"There {'is' if number == 1 else 'are'} only {count(number, 'function')}: intervals from so few are too "
            "narrow, and say nothing about other functions."
        )
        yield Finding("few_functions", caution=True, sentence=words, frame=frame)
    elif number < len(costs):
        words = (
            f"The {len(costs)} problems are {number} functions in several sizes and from several starts: they are not "
            "independent, and what holds for one function counts several times."
        )
        yield Finding("few_functions", caution=True, sentence=words, frame=frame)


def flipping_pairs(found: Flips) -> Iterator[Finding]:
    """Orders in the performance profile that depend on who else is compared."""
    if found.frame.empty:
        return
    row = found.frame.iloc[found.frame["without"].argmin()]
    words = (
        f"The order of {count(len(found.pairs), 'pair')} in the performance profile depends on who else is compared: "
        f"{row['solver']} is above {row['other']}, and below it once {row['left_out']} is left out. Only the best "
        "curve may be compared with the others; compare these two by two."
    )
    yield Finding("flips", caution=True, sentence=words, frame=found.frame)


def orders_by_tau(found: OrderChanges, solvers: int) -> Iterator[Finding]:
    """Pairs whose order depends on tau, of so many solvers."""
    if not found.frame.empty:
        words = f"Which of two solvers wins more problems depends on tau for {_changes(found, solvers, 'at')}."
        yield Finding("tau", caution=True, sentence=words, frame=found.frame)


def orders_by_jac_cost(evaluations: Evaluations, costs: pd.DataFrame, f_opt: ReferenceValue) -> Iterator[Finding]:
    """Pairs whose order depends on what a jacobian costs; it is free in `costs`."""
    prices: dict[str, JacCost] = {"costs what was measured": "measured", "costs n evaluations": "n"}
    tables = {"is free": costs}
    for words, price in prices.items():
        try:
            tables[words] = cost_table(evaluations, costs.attrs["tau"], jac_cost=price, f_opt=f_opt)
        except InvalidInputError:
            continue  # no clock, or no known dimension: this price isn't known
    found = order_changes(tables)
    if not found.frame.empty:
        words = _changes(found, costs.shape[1], "where a jacobian")
        yield Finding(
            "jac_cost",
            caution=True,
            sentence=f"Which of two solvers wins more problems depends on what a jacobian costs for {words}.",
            frame=found.frame,
        )


def orders_by_batches(evaluations: Evaluations, costs: pd.DataFrame, f_opt: ReferenceValue) -> Iterator[Finding]:
    """Pairs whose order depends on how many calls can run at the same time."""
    tau = costs.attrs["tau"]
    # A jacobian is a call like others in both, so that the cores make all the difference.
    tables = {
        "one core": cost_table(evaluations, tau, jac_cost=1, f_opt=f_opt),
        "as many as a batch has calls": cost_table(evaluations, tau, "batches", f_opt=f_opt),
    }
    found = order_changes(tables)
    if not found.frame.empty:
        words = (
            "Which of two solvers wins more problems depends on how many cores there are, all calls taking equally "
            f"long, for {_changes(found, costs.shape[1], 'on')}."
        )
        yield Finding("batches", caution=True, sentence=words, frame=found.frame)


def _changes(found: OrderChanges, solvers: int, at: str) -> str:
    """How many pairs change, and the one that changes the most."""
    pairs = found.frame.assign(lead=found.frame["wins"] - found.frame["losses"])
    lead = pairs.groupby(["solver", "other"], sort=False)["lead"]
    solver, other = (lead.max().clip(lower=0) * -lead.min().clip(upper=0)).idxmax()
    rows = pairs[(pairs["solver"] == solver) & (pairs["other"] == other)]
    ends = [rows.loc[rows["lead"].idxmax()], rows.loc[rows["lead"].idxmin()]]
    examples = ", ".join(f"{row['wins']} to {row['losses']} {at} {row['name']}" for row in ends)
    return (
        f"{len(found.pairs)} of {count(solvers * (solvers - 1) // 2, 'pair')}, most of all for {solver} against "
        f"{other}: {examples}"
    )


def cut_off(evaluations: Evaluations) -> Iterator[Finding]:
    """Runs that the budget ended."""
    runs = evaluations.runs[evaluations.applicable]
    ended = runs["status"].isin(("budget_evaluations", "budget_seconds"))
    if ended.mean() <= MUCH_CUT_OFF:
        return
    frame = ended.groupby(runs["solver"], sort=False).agg(["sum", "size"]).reset_index()
    frame.columns = ["solver", "cut_off", "runs"]
    worst = frame.loc[(frame["cut_off"] / frame["runs"]).idxmax()]
    words = (
        f"The budget ended {share(int(ended.sum()), len(runs))} of the runs (of {worst['solver']} "
        f"{worst['cut_off']} of {worst['runs']}): what they did not solve they might have solved with more."
    )
    yield Finding("budget", caution=True, sentence=words, frame=frame)


def few_starts_of(evaluations: Evaluations) -> Iterator[Finding]:
    """Something random, and fewer than fifteen starts."""
    runs = evaluations.runs[evaluations.applicable]
    frame = runs.groupby("row", sort=False).size().rename("runs").rename_axis("problem").reset_index()
    for words in few_starts(evaluations):
        yield Finding("starts", caution=True, sentence=words, frame=frame)


def failures(evaluations: Evaluations) -> Iterator[Finding]:
    """Runs that went wrong."""
    runs = evaluations.runs[evaluations.applicable]
    failed = runs[runs["status"].isin(FAILED)]
    if failed.empty:
        return
    kinds = failed["status"].value_counts()
    parts = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    most = failed["solver"].value_counts(sort=False)
    worst = str(most.idxmax())
    words = (
        f"{count(len(failed), 'run')} failed ({parts}), {most[worst]} of them of {worst}; what they had not solved "
        "when they ended counts as not solved."
    )
    frame = failed[["row", "solver", "status", "message"]].reset_index(drop=True)
    yield Finding("failures", caution=True, sentence=words, frame=frame)


def degenerate(
    evaluations: Evaluations, tables: Mapping[float, pd.DataFrame], f_opt: ReferenceValue
) -> Iterator[Finding]:
    """Rows on which tau asks for next to nothing, since f_start is so far above f_L, or nothing at all."""
    found = pd.concat([degenerate_rows(evaluations, tau, f_opt).assign(tau=tau) for tau in tables], ignore_index=True)
    trivial = found["reason"].isin(("the start is at f_L", "the start is below f_L"))
    if trivial.any():
        rows = list(dict.fromkeys(found["row"][trivial]))
        start, isnt, them = ("start", "isn't", "it") if len(rows) == 1 else ("starts", "aren't", "them")
        words = f"The {start} of {names(rows)} {isnt} above f_L, so that everyone solves {them} at once."
        yield Finding("start_at_f_opt", caution=True, sentence=words, frame=found[trivial].reset_index(drop=True))
    frame = found[~trivial].reset_index(drop=True)
    if frame.empty:
        return
    counts = [f"{number} at {tau_label(tau)}" for tau in tables if (number := int((frame["tau"] == tau).sum()))]
    strict = frame[frame["tau"] == min(frame["tau"])]
    worst = strict.iloc[0]
    words = (
        f"tau asks for little where f_start is huge: the threshold is above 2 f_L, or above 0.01 where f_L = 0, on "
        f"{', '.join(counts)}, of {count(len(next(iter(tables.values()))), 'problem')}; at "
        f"{tau_label(float(worst['tau']))} on "
        f"{names(list(strict['row']))}, such as {quantity(worst['threshold'])} where f_L = {quantity(worst['f_opt'])}."
    )
    yield Finding("degenerate", caution=True, sentence=words, frame=frame)


def different_starts(evaluations: Evaluations) -> Iterator[Finding]:
    """Rows whose runs don't begin at one value, from which tau could be measured."""
    runs = evaluations.runs[evaluations.applicable]
    start = floats(runs["f_start"])
    frame = runs[["row"]].assign(lowest=start, highest=start)[np.isfinite(start)]
    frame = frame.groupby("row", sort=False).agg({"lowest": "min", "highest": "max"}).reset_index()
    apart = frame["highest"] - frame["lowest"] > _ROUNDING * np.maximum(frame["highest"].abs(), frame["lowest"].abs())
    frame = frame[apart].reset_index(drop=True)
    if len(frame):
        words = (
            f"Runs of {names(list(frame['row']))} begin at different values: tau is measured from each run's own, so "
            "that they don't have to reach the same; give all the same f_start."
        )
        yield Finding("different_starts", caution=True, sentence=words, frame=frame)


def unsolved(costs: pd.DataFrame) -> Iterator[Finding]:
    """Rows that nobody solved."""
    nobody = costs.index[~np.isfinite(costs.to_numpy(dtype=float)).any(axis=1)]
    if len(nobody):
        words = (
            f"At tau = {tau_label(costs.attrs['tau'])} nobody solves {names(list(nobody), 6)}; "
            f"{'it stays' if len(nobody) == 1 else 'they stay'} in every denominator and can't tell solvers apart."
        )
        yield Finding("unsolved", caution=True, sentence=words, frame=pd.DataFrame({"problem": nobody}))


def beaten(evaluations: Evaluations, costs: pd.DataFrame) -> Iterator[Finding]:
    """Best known values that runs went below, by more than rounding."""
    found = improved(evaluations, costs.attrs["tau"])
    known = floats(evaluations.runs.drop_duplicates("row").set_index("row")["f_start"].reindex(found["row"]))
    with np.errstate(invalid="ignore"):
        found = found[(found["gain"] > _ROUNDING * np.maximum(np.abs(found["f_opt"]), 1e-300)) & (found["gain"] > 0)]
    found = found[found["gain"] > np.finfo(float).eps * np.abs(known[found.index])].reset_index(drop=True)
    if len(found):
        words = (
            f"Runs went below the best known value of {names(list(found['row']))}; adopting what they found would "
            f"change who solves {count(int((found['solved'] != found['solved_if_adopted']).sum()), 'problem')}."
        )
        yield Finding("best_known", caution=True, sentence=words, frame=found)


def missing(costs: pd.DataFrame) -> Iterator[Finding]:
    """Pairs without a run, and rows that can't be assessed."""
    if pairs := costs.attrs.get("not_run"):
        has = "pair of problem and solver has", "pairs of problem and solver have"
        words = f"{count(len(pairs), *has)} no run in this store; that counts as not solved."
        yield Finding("not_run", caution=True, sentence=words, frame=pd.DataFrame(pairs, columns=["problem", "solver"]))
    if rows := costs.attrs.get("not_assessable"):
        them = "it" if len(rows) == 1 else "them"
        words = f"The start or f_L of {names(list(rows))} isn't finite, so that nothing can solve {them}."
        yield Finding("not_assessable", caution=True, sentence=words, frame=pd.DataFrame({"problem": rows}))


def environments(evaluations: Evaluations) -> Iterator[Finding]:
    """Runs of several environments, whose counts can't be compared exactly."""
    runs = evaluations.runs[evaluations.applicable]
    found = runs["environment"].dropna().value_counts(sort=False)
    frame = found.rename_axis("environment").rename("runs").reset_index()
    if len(frame) > 1:
        words = (
            f"The runs were made in {len(frame)} environments: evaluation counts differ between processors, versions "
            "and numbers of threads, by some percent and more."
        )
        yield Finding("environments", caution=True, sentence=words, frame=frame)

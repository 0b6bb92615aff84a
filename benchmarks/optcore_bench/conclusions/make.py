"""All findings of a store, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from optcore_bench.conclusions import cautions, leaders
from optcore_bench.conclusions.model import Finding, Findings
from optcore_bench.costs import CostModel, JacCost, main_tau, read_taus
from optcore_bench.evaluations import Evaluations, HasTables, ReferenceValue
from optcore_bench.statistics import Bootstrap
from optcore_bench.statistics.of_store import StoreStatistics
from optcore_bench.study import taus_of

__all__ = ["findings", "findings_of"]


def findings(
    results: HasTables | Evaluations,
    taus: Sequence[float] | None = None,
    cost: CostModel = "evaluations",
    jac_cost: JacCost = 0,
    f_opt: ReferenceValue = "best_known",
    bootstrap: Bootstrap | None = None,
) -> Findings:
    """Sentences made from the numbers: who leads, by how much, how sure that is, and what must not be concluded.

    The same results give the same sentences. Intervals are percentiles of a bootstrap over functions; a lead whose
    interval holds 0 is called not settled.

    Args:
        results: a store, anything with its tables `runs` and `history()`, or `Evaluations` read from one.
        taus: accuracies of the convergence test; those of the study by default, or the standard grid.
        cost: as for `cost_table`.
        jac_cost: as for `cost_table`.
        f_opt: as for `cost_table`.
        bootstrap: how the intervals are made.

    Returns:
        Findings, each with its numbers in `.frame`; printing them gives a list.

    Example:
        >>> import optcore as om, optcore_bench as ob, tempfile
        >>> study = ob.Study("two", problems=["more_wild/rosenbrock", "more_wild/bard"], derivatives="analytic",
        ...                  algorithms=["scipy_lbfgsb", "scipy_bfgs"], budget=om.Budget(max_gradients=50))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = findings(ob.run_study(study, store=folder, n_jobs=1))
        >>> print(found.of("scope")[0])
        2 solvers on 2 problems, which come from 2 functions.
    """
    evaluations = Evaluations.read(results)
    taus = taus_of(getattr(evaluations.source, "study", None)) if taus is None else read_taus(taus)
    if not evaluations.applicable.any():
        nothing = Finding("scope", caution=True, sentence=_nothing(evaluations), frame=evaluations.runs.head(0))
        return Findings((nothing,))
    return findings_of(StoreStatistics.of(evaluations, cost, jac_cost, f_opt, bootstrap), taus)


def findings_of(statistics: StoreStatistics, taus: Sequence[float]) -> Findings:
    """The findings, with statistics that others may ask for too; who asks again gets the same object.

    Args:
        statistics: of the store, with at least one run that applies.
        taus: accuracies of the convergence test, at least one.
    """
    return statistics.once(("findings", *taus), lambda: Findings(tuple(_items(statistics, taus))))


def _items(statistics: StoreStatistics, taus: Sequence[float]) -> Iterator[Finding]:
    yield from leaders.scope(statistics, taus)
    yield from leaders.solved(statistics, taus)
    yield from leaders.overall(statistics, taus)
    yield from leaders.cheapest(statistics, main_tau(taus))
    yield from _cautions(statistics, taus)


def _cautions(statistics: StoreStatistics, taus: Sequence[float]) -> Iterator[Finding]:
    evaluations, f_opt = statistics.evaluations, statistics.f_opt
    tables, middle = statistics.tables(taus), statistics.costs(main_tau(taus))
    yield from cautions.few_functions(middle)
    yield from cautions.flipping_pairs(statistics.flips(main_tau(taus)))
    if len(tables) > 1:
        yield from cautions.orders_by_tau(statistics.changes(taus), middle.shape[1])
    if statistics.cost == "evaluations" and statistics.jac_cost == 0:
        yield from cautions.orders_by_jac_cost(evaluations, middle, f_opt)
        yield from cautions.orders_by_batches(evaluations, middle, f_opt)
    yield from cautions.cut_off(evaluations)
    yield from cautions.few_starts_of(evaluations)
    yield from cautions.failures(evaluations)
    yield from cautions.different_starts(evaluations)
    yield from cautions.degenerate(evaluations, tables, f_opt)
    yield from cautions.unsolved(middle)
    yield from cautions.beaten(evaluations, middle)
    yield from cautions.missing(middle)
    yield from cautions.environments(evaluations)


def _nothing(evaluations: Evaluations) -> str:
    if evaluations.runs.empty:
        return "There is no run, so nothing can be concluded."
    return "No run applies: every pair of solver and derivative is one that can't be."

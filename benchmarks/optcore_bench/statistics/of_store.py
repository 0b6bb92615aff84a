"""What findings, figures and reports ask of one store, each made once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pandas as pd

from optcore_bench.costs import CostModel, HitCounts, JacCost, accuracy_table, cost_table, hit_counts, tau_label
from optcore_bench.evaluations import Evaluations, ReferenceValue
from optcore_bench.statistics.bootstrap import Bootstrap
from optcore_bench.statistics.flips import Flips, OrderChanges, flips, order_changes
from optcore_bench.statistics.pairs import PairwiseTable, pairwise_table
from optcore_bench.statistics.run_times import pool
from optcore_bench.statistics.scores import AreaScores, area_scores

__all__ = ["StoreStatistics"]

T = TypeVar("T")


class StoreStatistics:
    """Tables of costs and their statistics under one cost model; who asks again gets the same object.

    Args:
        evaluations: of the store, with at least one run that applies.
        cost: as for `cost_table`.
        jac_cost: as for `cost_table`.
        f_opt: as for `cost_table`.
        bootstrap: how intervals are made.
    """

    def __init__(
        self,
        evaluations: Evaluations,
        cost: CostModel = "evaluations",
        jac_cost: JacCost = 0,
        f_opt: ReferenceValue = "best_known",
        bootstrap: Bootstrap | None = None,
    ) -> None:
        self.evaluations, self.cost, self.jac_cost, self.f_opt = evaluations, cost, jac_cost, f_opt
        self.bootstrap = bootstrap or Bootstrap()
        self._made: dict[tuple[Any, ...], Any] = {}

    @classmethod
    def of(
        cls,
        evaluations: Evaluations,
        cost: CostModel,
        jac_cost: JacCost,
        f_opt: ReferenceValue,
        bootstrap: Bootstrap | None,
    ) -> StoreStatistics:
        """Those that the evaluations have already where nothing but the defaults is asked for."""
        if (cost, jac_cost, f_opt, bootstrap) == ("evaluations", 0, "best_known", None):
            return evaluations.statistics
        return cls(evaluations, cost, jac_cost, f_opt, bootstrap)

    def once(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """What was made under this key, or is made now."""
        if key not in self._made:
            self._made[key] = make()
        found: T = self._made[key]
        return found

    def costs(self, tau: float) -> pd.DataFrame:
        """The cost table."""
        key = "costs", float(tau)
        return self.once(key, lambda: cost_table(self.evaluations, tau, self.cost, self.jac_cost, self.f_opt))

    def hits(self, tau: float) -> HitCounts:
        """What each run had spent when it solved its problem."""
        return self.once(("hits", float(tau)), lambda: hit_counts(self.evaluations, tau, self.f_opt))

    def tables(self, taus: Sequence[float]) -> dict[float, pd.DataFrame]:
        """Cost tables by tau."""
        return {float(tau): self.costs(tau) for tau in taus}

    def pooled(self, taus: Sequence[float]) -> pd.DataFrame:
        """Cost tables below each other, as `run_times` makes them."""
        return self.once(("pooled", *taus), lambda: pool(self.tables(taus)))

    def gaps(self) -> pd.DataFrame:
        """The accuracy table of everything that was spent."""
        return self.once(("gaps",), lambda: accuracy_table(self.evaluations, f_opt=self.f_opt))

    def scores(self, taus: Sequence[float]) -> AreaScores:
        """Areas under the data profile, all accuracies together."""
        return self.once(("scores", *taus), lambda: area_scores(self.pooled(taus), "data", bootstrap=self.bootstrap))

    def pairs(self, tau: float) -> PairwiseTable:
        """Solvers two by two."""
        return self.once(("pairs", float(tau)), lambda: pairwise_table(self.costs(tau), self.bootstrap))

    def flips(self, tau: float) -> Flips:
        """Orders that depend on who else is compared."""
        return self.once(("flips", float(tau)), lambda: flips(self.costs(tau)))

    def changes(self, taus: Sequence[float]) -> OrderChanges:
        """Orders that depend on tau."""
        return self.once(
            ("changes", *taus), lambda: order_changes({tau_label(t): table for t, table in self.tables(taus).items()})
        )

"""The first page of a report: text and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from optcore.errors import InvalidInputError
from optcore_bench.costs import BRACKET, JacCost, cost_table, main_tau, summary_table, tau_label
from optcore_bench.digits import median_digits
from optcore_bench.evaluations import Evaluations
from optcore_bench.figures import solver_styles
from optcore_bench.report import details
from optcore_bench.report.markup import (
    Cell,
    Raw,
    choices,
    element,
    headings,
    left,
    number,
    plain,
    scrolling,
    sort_heading,
    swatch,
    table,
)
from optcore_bench.report.says import said
from optcore_bench.statistics.of_store import StoreStatistics
from optcore_bench.store.schema import FAILED
from optcore_bench.words import count as counted

__all__ = ["filled", "nothing_to_show", "study_name"]

#: More rows than this are counted, not shown.
MOST_ROWS = 500


def study_name(results: Any, evaluations: Evaluations) -> str:
    """Name of the study, or of the studies in the store."""
    name = details.study_of(results).get("name")
    names = [name] if name else [str(s) for s in evaluations.runs["study"].dropna().unique()]
    return ", ".join(names) or "optcore"


def filled(
    results: Any, statistics: StoreStatistics, taus: Sequence[float], pair: tuple[str, str] | None, *, measured: bool
) -> dict[str, str]:
    """The parts of the body by name, as HTML.

    Args:
        results: a store.
        statistics: of the store, with at least one run that applies.
        taus: accuracies to show.
        pair: two solvers, the first without jacobians, see `says.pair_to_compare`.
        measured: whether jacobians have a measured price.
    """
    evaluations, default = statistics.evaluations, main_tau(taus)
    costs = statistics.costs(default)
    prices = _prices(evaluations, default, measured=measured)
    return {
        "title": element("h1", study_name(results, evaluations)),
        "lead": _lead(results, evaluations, len(costs)),
        "facts": _facts(evaluations, costs),
        "findings": said(statistics, taus, default, pair),
        "tau_options": choices([(tau_label(t), tau_label(t)) for t in taus], tau_label(default)),
        "tau": tau_label(default),
        "caveats": _caveats(costs),
        "summary": _summary(evaluations, taus, default, prices, median_digits(results)),
        "failures": _failures(evaluations),
        "not_applicable": details.not_applicable(evaluations),
        "improved": details.better_than_known(evaluations, default),
        "options": details.resolved_options(evaluations),
        "provenance": details.provenance(results, evaluations),
        "reproduce": details.reproduce(results, evaluations),
        "definitions": details.definitions(),
    }


def _prices(evaluations: Evaluations, tau: float, *, measured: bool) -> list[JacCost]:
    """The bracket of prices of a jacobian, as far as these results allow it: n must be known."""
    prices: list[JacCost] = [0, "measured"] if measured else [0]
    try:
        cost_table(evaluations, tau, jac_cost="n")
    except InvalidInputError:
        return prices
    return [*prices, "n"]


def nothing_to_show(results: Any, evaluations: Evaluations) -> str:
    """The page of a store without a run that applies."""
    finished = "No run applies: every pair is one that can't be."
    why = "No run is finished." if evaluations.runs.empty else finished
    title = element("h1", study_name(results, evaluations))
    sections = element("section", details.not_applicable(evaluations)) if len(evaluations.runs) else Raw("")
    provenance = element("section", element("h2", "Provenance"), details.provenance(results, evaluations))
    return element("header", title, element("p", why, class_="lead"), class_="top") + element(
        "main", sections, provenance, class_="alone"
    )


def _lead(results: Any, evaluations: Evaluations, problems: int) -> Raw:
    runs = evaluations.runs[evaluations.applicable]
    what = (
        f"{counted(runs['algorithm'].nunique(), 'algorithm')} with "
        f"{counted(runs['derivative'].nunique(), 'derivative strategy', 'derivative strategies')} on "
        f"{counted(problems, 'problem')}: {counted(len(runs), 'run')}."
    )
    description = str(details.study_of(results).get("description") or "")
    purpose = element("p", description, class_="purpose") if description else Raw("")
    return Raw(purpose + element("p", what, class_="lead"))


def _facts(evaluations: Evaluations, costs: pd.DataFrame) -> str:
    runs = evaluations.runs[evaluations.applicable]
    facts = {
        "problem": len(costs),
        "solver": costs.shape[1],
        "run": len(runs),
        "evaluation": len(evaluations.best),
        "failed run": int(runs["status"].isin(FAILED).sum()),
    }
    return "".join(
        element("div", element("dt", counted(value, name).partition(" ")[2]), element("dd", f"{value:,}"))
        for name, value in facts.items()
    )


def _caveats(costs: pd.DataFrame) -> str:
    """What the reader must know about single problems before comparing."""
    unknown = sum(source != "best known" for source in costs.attrs["f_opt_source"].values())
    notes = []
    if unknown:
        which = counted(unknown, "problem")
        notes.append(f" For {which} no value is known: there, f_L is the best of these runs.")
    if bad := costs.attrs["not_assessable"]:
        names = ", ".join(bad[:10]) + (", ..." if len(bad) > 10 else "")
        notes.append(f" Without a finite value at the start, {counted(len(bad), 'problem')} can't be judged: {names}.")
    return element("span", *notes)


def _summary(
    evaluations: Evaluations, taus: Sequence[float], default: float, known: Sequence[JacCost], digits: pd.Series
) -> Raw:
    free = summary_table(evaluations, taus)
    label = tau_label(default)
    medians = {
        price: summary_table(evaluations, [default], jac_cost=price)[f"median_cost_{label}"]
        if price in known
        else pd.Series(np.nan, index=free.index)
        for price in BRACKET
    }
    styles = solver_styles(free.index, evaluations.solvers)
    runs = evaluations.runs[evaluations.applicable]
    failed = runs[runs["status"].isin(FAILED)].groupby("solver").size().reindex(free.index, fill_value=0)
    rows = []
    for solver, row in free.iterrows():
        name = element("span", swatch(styles[str(solver)]), f" {row['algorithm']}")
        solved = [(row[f"solved_{tau_label(t)}"], row[f"share_{tau_label(t)}"]) for t in taus]
        rows.append(
            [
                Cell(name, value=str(row["algorithm"]), kind="left"),
                left(plain(row["derivative"])),
                *(Cell(f"{n}", None, "bar", f"--share:{share:.4f}", f"{share:.1%}") for n, share in solved),
                *(number(medians[price][solver], "{:,.3g}" if price == "measured" else "{:,.6g}") for price in BRACKET),
                number(failed[solver]),
                number(row["derivative_error"], "{:.1e}" if row["derivative_error"] else "{:g}"),
                *(() if digits.empty else (number(digits.get(solver, np.nan), "{:.1f}"),)),
            ]
        )
    further = ("failed runs", "derivative error", *(() if digits.empty else ("median digits",)))
    return table(_summary_head(taus, label, int(free["problems"].iloc[0]), further), rows)


def _summary_head(taus: Sequence[float], label: str, problems: int, further: Sequence[str]) -> str:
    cost = Raw(f"median cost, tau {label}<br><small>evaluations, of those solved; a jacobian counts</small>")
    upper = element(
        "tr",
        sort_heading("algorithm", rowspan=2, class_="left"),
        sort_heading("derivative", rowspan=2, class_="left"),
        element("th", f"solved of {problems} at tau", colspan=len(taus)),
        element("th", cost, colspan=len(BRACKET)),
        *(sort_heading(name, rowspan=2) for name in further),
    )
    return upper + element("tr", *(sort_heading(str(name)) for name in (*map(tau_label, taus), *BRACKET)))


def _failures(evaluations: Evaluations) -> str:
    runs = evaluations.runs[evaluations.runs["status"].isin(FAILED)]
    if runs.empty:
        return element("p", "No run failed.")
    rows = [
        [
            left(element("span", str(run.status), class_="status")),
            left(run.solver),
            left(run.row),
            Cell(plain(run.message), kind="left message"),
        ]
        for run in runs.head(MOST_ROWS).itertuples()
    ]
    note = (
        f"{counted(len(runs), 'run')} ended by an error, a time-out or a crash. What they evaluated before "
        "counts; a problem that was solved by then is solved."
    )
    if len(runs) > MOST_ROWS:
        note += f" The first {MOST_ROWS} are shown; all are in the store."
    content = table(headings("status", "solver", "problem", "message"), rows, "sortable text")
    return element("p", note, class_="note") + scrolling(content, "Failed runs")

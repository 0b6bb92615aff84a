"""The parts of a report that are text and tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from optcore_bench.costs import JacCost, cost_table, improved, summary_table, tau_label
from optcore_bench.digits import median_digits
from optcore_bench.evaluations import Evaluations
from optcore_bench.figures import solver_styles
from optcore_bench.report.markup import (
    Cell,
    Raw,
    element,
    left,
    number,
    scrolling,
    sort_heading,
    swatch,
    table,
)

__all__ = ["filled", "nothing_to_show", "study_name"]

#: Statuses of runs that went wrong, as opposed to runs that ended before they solved their problem.
FAILED = ("error", "timeout", "crashed", "interrupted")
#: More rows than this are counted, not shown.
MOST_ROWS = 500
#: Improvements that are smaller than this, relative to the value, are rounding; and those of a sum of squares that
#: come from residuals known to this many eps of the residuals at the start.
ROUNDING, ROUNDING_OF_RESIDUALS = 1e-12, 8

DEFINITIONS = (
    (
        "evaluations",
        "Every call of the objective, those for numerical derivatives included, up to and including the one "
        "that solved the problem. A jacobian is free, counts as n evaluations, or counts as the time it was "
        "measured to take, in evaluations; a dash where the clock timed no evaluation without a jacobian.",
    ),
    ("batches", "Groups of calls that could run at the same time: the cost where there are cores enough."),
    ("simplex gradients", "Evaluations divided by n + 1, which is what one forward difference costs."),
    (
        "digits",
        "Right leading digits of the worst parameter at a run's best point, for problems whose solution somebody "
        "certifies; the median over these problems.",
    ),
    ("not solved", "Infinitely expensive: it stays in every denominator, whatever the reason."),
)


def study_name(results: Any, evaluations: Evaluations) -> str:
    """Name of the study, or of the studies in the store."""
    name = _study(results).get("name")
    names = [name] if name else [str(s) for s in evaluations.runs["study"].dropna().unique()]
    return ", ".join(names) or "optcore"


def filled(results: Any, evaluations: Evaluations, taus: Sequence[float], data: Mapping[str, Any]) -> dict[str, str]:
    """The parts of the body by name, as HTML."""
    default = min(taus, key=lambda tau: abs(np.log10(max(tau, 1e-300)) + 5))
    costs = cost_table(evaluations, default)
    return {
        "title": element("h1", study_name(results, evaluations)),
        "lead": _lead(results, evaluations, costs),
        "facts": _facts(evaluations, costs),
        "tau_options": _options([(tau_label(t), tau_label(t)) for t in taus], tau_label(default)),
        "cost_options": _options([(c["key"], c["title"]) for c in data["costs"]], "jac0"),
        "caveats": _caveats(costs),
        "summary": _summary(
            evaluations,
            taus,
            default,
            measured=any(c["key"] == "measured" for c in data["costs"]),
            digits=median_digits(results),
        ),
        "failures": _failures(evaluations),
        "not_applicable": _not_applicable(evaluations),
        "improved": _improved(evaluations, default),
        "provenance": _provenance(results, evaluations),
        "definitions": _list(DEFINITIONS, "text"),
    }


def nothing_to_show(results: Any, evaluations: Evaluations) -> str:
    """The page of a store without a run that applies."""
    finished = "No run applies: every pair is one that can't be."
    why = "No run is finished." if evaluations.runs.empty else finished
    title = element("h1", study_name(results, evaluations))
    sections = element("section", _not_applicable(evaluations)) if len(evaluations.runs) else Raw("")
    provenance = element("section", element("h2", "Provenance"), _provenance(results, evaluations))
    return element("header", title, element("p", why, class_="lead"), class_="top") + element(
        "main", sections, provenance, class_="alone"
    )


def _study(results: Any) -> dict[str, Any]:
    """The study as a dict, whether it is one or a dataclass."""
    study = getattr(results, "study", None)
    if isinstance(study, Mapping):
        return dict(study)
    return {name: getattr(study, name) for name in getattr(study, "__dataclass_fields__", ())}


def _lead(results: Any, evaluations: Evaluations, costs: pd.DataFrame) -> Raw:
    runs = evaluations.runs[evaluations.applicable]
    by_solver = np.isfinite(costs).sum()
    first = [str(solver) for solver in by_solver.index[by_solver == by_solver.max()]]
    best = " and ".join(first) if len(first) <= 3 else f"{first[0]} and {len(first) - 1} others"
    tau, missing = tau_label(costs.attrs["tau"]), costs.attrs["not_run"]
    words = [
        f"{_count(runs['algorithm'].nunique(), 'algorithm')} with "
        f"{_count(runs['derivative'].nunique(), 'derivative strategy', 'derivative strategies')} on "
        f"{_count(len(costs), 'problem')}: {_count(len(runs), 'run')}.",
        f"At tau = {tau}, {by_solver.sum()} of {costs.size} pairs of problem and solver are solved; "
        f"most, {by_solver.max()} of {len(costs)}, by {best}.",
        _failed_in_words(runs["status"]),
    ]
    if missing:
        words.append(f"{_count(len(missing), 'pair has', 'pairs have')} no run in this store.")
    description = str(_study(results).get("description") or "")
    purpose = element("p", description, class_="purpose") if description else Raw("")
    return Raw(purpose + element("p", " ".join(words), class_="lead"))


def _failed_in_words(status: pd.Series) -> str:
    kinds = status[status.isin(FAILED)].value_counts()
    if kinds.empty:
        return "No run failed."
    parts = ", ".join(f"{name} {count}" for name, count in kinds.items())
    return f"{_count(int(kinds.sum()), 'run')} failed ({parts})."


def _facts(evaluations: Evaluations, costs: pd.DataFrame) -> str:
    runs = evaluations.runs[evaluations.applicable]
    facts = {
        "problems": len(costs),
        "solvers": costs.shape[1],
        "runs": len(runs),
        "evaluations": len(evaluations.best),
        "failed runs": int(runs["status"].isin(FAILED).sum()),
    }
    return "".join(element("div", element("dt", name), element("dd", f"{value:,}")) for name, value in facts.items())


def _caveats(costs: pd.DataFrame) -> str:
    """What the reader must know about single problems before comparing."""
    unknown = sum(source != "best known" for source in costs.attrs["f_opt_source"].values())
    notes = []
    if unknown:
        which = _count(unknown, "problem")
        notes.append(f" For {which} no value is known: there, f_L is the best of these runs.")
    if bad := costs.attrs["not_assessable"]:
        names = ", ".join(bad[:10]) + (", ..." if len(bad) > 10 else "")
        notes.append(f" Without a finite value at the start, {_count(len(bad), 'problem')} can't be judged: {names}.")
    return element("span", *notes)


def _summary(
    evaluations: Evaluations, taus: Sequence[float], default: float, *, measured: bool, digits: pd.Series
) -> Raw:
    free = summary_table(evaluations, taus)
    prices: tuple[JacCost, ...] = (0, "measured", "n")
    label = tau_label(default)
    medians = {
        price: summary_table(evaluations, [default], jac_cost=price)[f"median_cost_{label}"]
        if measured or price != "measured"
        else pd.Series(np.nan, index=free.index)
        for price in prices
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
                left(_text(row["derivative"])),
                *(Cell(f"{n}", None, "bar", f"--share:{share:.4f}", f"{share:.1%}") for n, share in solved),
                *(number(medians[price][solver], "{:,.6g}") for price in prices),
                number(failed[solver]),
                number(row["derivative_error"], "{:.1e}" if row["derivative_error"] else "{:g}"),
                *(() if digits.empty else (number(digits.get(solver, np.nan), "{:.1f}"),)),
            ]
        )
    further = ("failed runs", "derivative error", *(() if digits.empty else ("median digits",)))
    return table(_summary_head(taus, label, int(free["problems"].iloc[0]), prices, further), rows)


def _summary_head(
    taus: Sequence[float], label: str, problems: int, prices: Sequence[JacCost], further: Sequence[str]
) -> str:
    cost = Raw(f"median cost, tau {label}<br><small>evaluations; a jacobian counts</small>")
    upper = element(
        "tr",
        sort_heading("algorithm", rowspan=2, class_="left"),
        sort_heading("derivative", rowspan=2, class_="left"),
        element("th", f"solved of {problems} at tau", colspan=len(taus)),
        element("th", cost, colspan=len(prices)),
        *(sort_heading(name, rowspan=2) for name in further),
    )
    return upper + element("tr", *(sort_heading(str(name)) for name in (*map(tau_label, taus), *prices)))


def _headings(*names: str) -> str:
    return element("tr", *(sort_heading(name, class_="left") for name in names))


def _failures(evaluations: Evaluations) -> str:
    runs = evaluations.runs[evaluations.runs["status"].isin(FAILED)]
    if runs.empty:
        return element("p", "No run failed.")
    rows = [
        [
            left(element("span", str(run.status), class_="status")),
            left(run.solver),
            left(run.row),
            Cell(_text(run.message), kind="left message"),
        ]
        for run in runs.head(MOST_ROWS).itertuples()
    ]
    note = (
        f"{_count(len(runs), 'run')} ended by an error, a time-out or a crash. What they evaluated before "
        "counts; a problem that was solved by then is solved."
    )
    if len(runs) > MOST_ROWS:
        note += f" The first {MOST_ROWS} are shown; all are in the store."
    content = table(_headings("status", "solver", "problem", "message"), rows, "sortable text")
    return element("p", note, class_="note") + scrolling(content, "Failed runs")


def _not_applicable(evaluations: Evaluations) -> str:
    runs = evaluations.runs[~evaluations.applicable]
    if runs.empty:
        return element("p", "Every pair could be run.")
    runs = runs.assign(message=runs["message"].map(_text))
    rows = []
    for (solver, message), group in runs.groupby(["solver", "message"], sort=False):
        problems = list(dict.fromkeys(group["row"]))
        count = element("summary", _count(len(problems), "problem"))
        rows.append(
            [
                left(solver),
                Cell(str(message), kind="left message"),
                Cell(element("details", count, ", ".join(problems)), value=str(len(problems)), kind="left"),
            ]
        )
    return scrolling(table(_headings("solver", "reason", "problems"), rows, "sortable text"), "Pairs that can't be")


def _improved(evaluations: Evaluations, tau: float) -> str:
    better = improved(evaluations, tau)
    start = better["row"].map(evaluations.runs.groupby("row")["f_start"].first()).abs()
    of_residuals = ROUNDING_OF_RESIDUALS * np.finfo(float).eps * np.sqrt(better["f_opt"].abs() * start)
    by_rounding = better["gain"] <= ROUNDING * better["f_opt"].abs() + of_residuals.fillna(0.0)
    real = better[~by_rounding]
    count = int(by_rounding.sum())
    rest = f" {_count(count, 'problem differs', 'problems differ')} by rounding only." if count else ""
    if real.empty:
        return element("p", "No run went below a best known value." + rest)
    rows = [
        [left(b.row), left(b.solver)]
        + [Cell(repr(float(value)), value=repr(float(value))) for value in (b.f_opt, b.f_best)]
        + [number(b.gain, "{:.3g}"), number(b.solved), number(b.solved_if_adopted)]
        for b in real.itertuples()
    ]
    note = (
        f"{_count(len(real), 'problem')}. Everything above is measured against the value known before; the last column "
        f"is how many solvers would solve the problem at tau = {tau_label(tau)} with the new one.{rest}"
    )
    head = _headings("problem", "found by", "best known", "found", "lower by", "solve it", "would solve it")
    return element("p", note, class_="note") + scrolling(table(head, rows), "Improved values")


def _provenance(results: Any, evaluations: Evaluations) -> str:
    facts: list[tuple[str, Any]] = [("store", str(getattr(results, "path", "")))]
    facts += _flat(getattr(results, "manifest", None) or {})
    environments = evaluations.runs["environment"].dropna().unique().tolist()
    facts += [("environment" if i == 0 else "", each) for i, each in enumerate(environments[:20])]
    facts += [(f"study: {key}", value) for key, value in _study(results).items() if value not in (None, "")]
    return _list(facts, "provenance")


def _list(facts: Iterable[tuple[str, Any]], kind: str) -> Raw:
    pairs = (element("dt", name) + element("dd", _text(value)) for name, value in facts)
    return element("dl", Raw("".join(pairs)), class_=kind)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}: ")
        else:
            yield f"{prefix}{key}", value


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _count(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _options(options: Iterable[tuple[str, str]], chosen: str) -> str:
    return "".join(
        element("option", text, value=value, selected="" if value == chosen else None) for value, text in options
    )

"""The parts of a report behind "more" that are text and tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from optcore_bench import toml
from optcore_bench.costs import improved, tau_label
from optcore_bench.evaluations import Evaluations
from optcore_bench.report.markup import (
    Cell,
    Raw,
    element,
    facts,
    headings,
    left,
    number,
    plain,
    scrolling,
    table,
)
from optcore_bench.words import count as counted

__all__ = [
    "better_than_known",
    "definitions",
    "not_applicable",
    "provenance",
    "reproduce",
    "resolved_options",
    "study_of",
]

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
    (
        "rounds",
        "On several cores the calls of a batch are made so many at a time. A round lasts as long as its longest "
        "call, a call for value and jacobian as long as both.",
    ),
    (
        "a solver's own time",
        "What a run spent outside of calls, as the clock measured it here, over its number of batches: deciding, "
        "sending calls out, collecting their results. Where it is added to seconds, it passes once a batch.",
    ),
    ("simplex gradients", "Evaluations divided by n + 1, which is what one forward difference costs."),
    (
        "break-even price",
        "The price of a jacobian at which two solvers cost the same on a problem; exact, since costs are linear in it.",
    ),
    (
        "digits",
        "Right leading digits of the worst parameter at a run's best point, for problems whose solution somebody "
        "certifies; the median over these problems.",
    ),
    ("not solved", "Infinitely expensive: it stays in every denominator, whatever the reason."),
)


def definitions() -> Raw:
    """What the words mean."""
    return facts(DEFINITIONS, "text")


def study_of(results: Any) -> dict[str, Any]:
    """The study as a dict, whether it is one or a dataclass."""
    study = getattr(results, "study", None)
    if isinstance(study, Mapping):
        return dict(study)
    return {name: getattr(study, name) for name in getattr(study, "__dataclass_fields__", ())}


def not_applicable(evaluations: Evaluations) -> str:
    """Pairs of solver and problem that can't be, with the reason."""
    runs = evaluations.runs[~evaluations.applicable]
    if runs.empty:
        return element("p", "Every pair could be run.")
    runs = runs.assign(message=runs["message"].map(plain))
    rows = []
    for (solver, message), group in runs.groupby(["solver", "message"], sort=False):
        problems = list(dict.fromkeys(group["row"]))
        count = element("summary", counted(len(problems), "problem"))
        rows.append(
            [
                left(solver),
                Cell(str(message), kind="left message"),
                Cell(element("details", count, ", ".join(problems)), value=str(len(problems)), kind="left"),
            ]
        )
    return scrolling(table(headings("solver", "reason", "problems"), rows, "sortable text"), "Pairs that can't be")


def better_than_known(evaluations: Evaluations, tau: float) -> str:
    """Runs that went below the best known value of their problem."""
    better = improved(evaluations, tau)
    start = better["row"].map(evaluations.runs.groupby("row")["f_start"].first()).abs()
    of_residuals = ROUNDING_OF_RESIDUALS * np.finfo(float).eps * np.sqrt(better["f_opt"].abs() * start)
    by_rounding = better["gain"] <= ROUNDING * better["f_opt"].abs() + of_residuals.fillna(0.0)
    real = better[~by_rounding]
    count = int(by_rounding.sum())
    rest = f" {counted(count, 'problem differs', 'problems differ')} by rounding only." if count else ""
    if real.empty:
        return element("p", "No run went below a best known value." + rest)
    rows = [
        [left(b.row), left(b.solver)]
        + [Cell(repr(float(value)), value=repr(float(value))) for value in (b.f_opt, b.f_best)]
        + [number(b.gain, "{:.3g}"), number(b.solved), number(b.solved_if_adopted)]
        for b in real.itertuples()
    ]
    note = (
        f"{counted(len(real), 'problem')}. Everything above is measured against the value known before; the last "
        f"column is how many solvers would solve the problem at tau = {tau_label(tau)} with the new one.{rest}"
    )
    head = headings("problem", "found by", "best known", "found", "lower by", "solve it", "would solve it")
    return element("p", note, class_="note") + scrolling(table(head, rows), "Improved values")


def resolved_options(evaluations: Evaluations) -> str:
    """Options of each algorithm and derivative strategy as they were resolved, one row an option."""
    runs = evaluations.runs[evaluations.applicable]
    rows = []
    for kind in ("algorithm", "derivative"):
        known = runs[[kind, f"{kind}_options"]].dropna()
        for name, group in known.groupby(kind, sort=False):
            rows += [
                [left(kind), left(name), left(option), Cell(value, kind="left message")]
                for option, value in _options(group[f"{kind}_options"].drop_duplicates())
            ]
    if not rows:
        return element("p", "The results don't say with which options the solvers ran.")
    head = headings("kind", "name", "option", "value")
    return scrolling(table(head, rows, "sortable text"), "Options of every solver")


def _options(texts: Iterable[str]) -> list[tuple[str, str]]:
    """Each option with all the values that it had."""
    found: dict[str, dict[str, None]] = {}
    for text in texts:
        for option, value in _parsed(text).items():
            found.setdefault(option, {})[plain("none" if value is None else value)] = None
    return [(option, " | ".join(values)) for option, values in found.items()] or [("none", "")]


def _parsed(text: str) -> dict[str, Any]:
    try:
        options = json.loads(text)
    except ValueError:
        return {"options": text}  # results that others recorded have their own spelling
    return options if isinstance(options, dict) else {"options": options}


def provenance(results: Any, evaluations: Evaluations) -> str:
    """What made the numbers: versions, machine, commit, study."""
    known = list(_flat(getattr(results, "manifest", None) or {}))
    environments = evaluations.runs["environment"].dropna().unique().tolist()
    known += [("environment" if i == 0 else "", each) for i, each in enumerate(environments[:20])]
    known += [(f"study: {key}", value) for key, value in study_of(results).items() if value not in (None, "")]
    return facts(known, "provenance")


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}: ")
        else:
            yield f"{prefix}{key}", value


def reproduce(results: Any, evaluations: Evaluations) -> str:
    """How to run the study again, and what must come out."""
    study, manifest = study_of(results), getattr(results, "manifest", None) or {}
    if not study or not manifest.get("digest"):
        return element("p", "These results don't come from a store of a study, so there is no command that makes them.")
    environment = manifest.get("environment") or {}
    packages = " ".join(f"{name}=={environment[name]}" for name in ("optcore", "numpy", "scipy") if name in environment)
    commands = [f"pip install {packages}"] if packages else []
    commands += ["optcore run study.toml --store again", "optcore reproduce STORE"]
    python = environment.get("python")
    words = (
        "Save the study below as study.toml and run it"
        + (f", with {python}" if python else "")
        + ". In the same environment (see Provenance) the digest will be the one given here, whatever the number of "
        "workers; elsewhere costs may differ by a few evaluations. Whoever has the store runs it again and compares "
        "row by row with the last command."
    )
    runs = evaluations.runs["environment"].dropna().nunique()
    if runs > 1:
        words += f" The runs come from {runs} environments."
    return (
        element("p", words, class_="note")
        + element("pre", "\n".join(commands))
        + facts([("digest", manifest["digest"])], "provenance")
        + element("pre", _study_text(study))
    )


def _study_text(study: Mapping[str, Any]) -> str:
    """The study as TOML; what isn't plain, such as a callable, by its name."""
    known = {key: value for key, value in study.items() if not (pd.api.types.is_scalar(value) and pd.isna(value))}
    return toml.dumps(json.loads(json.dumps(known, default=str)))

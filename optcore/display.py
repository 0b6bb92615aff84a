"""Results as people see them: text for a screen of 80 by 24, a table for notebooks."""

from __future__ import annotations

import html
import json
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optcore.provenance import json_numbers
from optcore.purpose import Purpose

if TYPE_CHECKING:
    from optcore.result import OptimizeResult

__all__ = ["as_html", "as_text"]

_WIDTH = 80
_LINES, _PARAMS_LINES = 3, 7  # of one entry


def as_text(result: OptimizeResult) -> str:
    """A heading and an entry for each thing that matters, long ones cut off."""
    lines = [textwrap.shorten(_title(result), _WIDTH, placeholder=" ...")]
    for name, text in _entries(result):
        wrapped = textwrap.wrap(
            text[: _WIDTH * _PARAMS_LINES],  # what can be shown; the rest would cost time only
            _WIDTH,
            break_on_hyphens=False,  # they are signs of exponents
            initial_indent=f"  {name:<9}",
            subsequent_indent=" " * 11,
            max_lines=_PARAMS_LINES if name == "params" else _LINES,
            placeholder=f" ... {len(result.history.names)} in all" if name == "params" else " ...",
        )
        lines.extend(wrapped)
    return "\n".join(lines)


def as_html(result: OptimizeResult) -> str:
    """A table with the same entries; options, versions and environment fold out."""
    rows = [(name, html.escape(_cut(text))) for name, text in _entries(result) if name != "changes"]
    if result.convergence_report:
        rows.insert(-1, ("changes", _changes_table(result.convergence_report)))
    made = {"options": result.options, "versions": result.versions, "environment": result.environment}
    rows += [(name, _fold_out(entries)) for name, entries in made.items()]
    body = "".join(f"<tr>{_cell('th', name)}{_cell('td', text)}</tr>" for name, text in rows)
    return f"<table><caption>{html.escape(_title(result))}</caption>{body}</table>"


def _title(result: OptimizeResult) -> str:
    return f"{result.direction} with {result.algorithm}"


def _entries(result: OptimizeResult) -> list[tuple[str, str]]:
    calls = [f"{result.n_fun_evals} of fun"]
    if result.n_numdiff_evals:
        calls[0] += f" ({result.n_numdiff_evals} for numerical derivatives{_rare_purposes(result)})"
    if result.n_jac_evals:
        calls.append(f"{result.n_jac_evals} of jac")
    if result.n_fun_and_jac_evals:
        calls.append(f"{result.n_fun_and_jac_evals} of fun_and_jac")
    iterations = "" if result.n_iterations is None else f", {result.n_iterations} iterations"
    report = result.convergence_report
    return [
        ("status", f"{result.status.value}: {result.message}" if result.message else result.status.value),
        ("fun", f"{result.fun!r} (from {result.start_fun!r})"),
        ("params", _one_line(result.params)),
        ("calls", ", ".join(calls) + iterations),
        *([("changes", _changes(report))] if report else []),
        ("seconds", f"{result.seconds:.3g}"),
    ]


def _rare_purposes(result: OptimizeResult) -> str:
    """What else the calls were for, where it isn't just differences."""
    usual = (Purpose.SOLVER, Purpose.DIFFERENCE)
    rare = [f"{number} {word}" for word, number in result.n_evaluations_by_purpose.items() if word not in usual]
    return f": {', '.join(rare)}" if rare else ""


def _one_line(value: Any) -> str:
    return " ".join(repr(value).split())


def _cut(text: str, limit: int = 500) -> str:
    return text if len(text) <= limit else text[: limit - 4] + " ..."


def _changes(report: Mapping[str, Mapping[str, float]]) -> str:
    spans = [
        f"fun {report[name]['relative_criterion_change']:.1e}, params {report[name]['relative_params_change']:.1e}"
        for name in ("one_step", "five_steps")
    ]
    return f"last step: {spans[0]}; last five: {spans[1]} (relative)"


def _cell(tag: str, text: str) -> str:
    return f"<{tag} style='text-align:left;vertical-align:top'>{text}</{tag}>"


def _changes_table(report: Mapping[str, Mapping[str, float]]) -> str:
    head = "".join(_cell("th", text) for text in ("", "last step", "last five steps"))
    body = "".join(
        f"<tr>{_cell('th', name.removesuffix('_change').replace('_', ', '))}"
        + "".join(_cell("td", f"{span[name]:.3g}") for span in report.values())
        + "</tr>"
        for name in report["one_step"]
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _fold_out(entries: Mapping[str, Any]) -> str:
    text = html.escape(json.dumps(json_numbers(entries), indent=2))
    return f"<details><summary>{', '.join(map(html.escape, entries))}</summary><pre>{text}</pre></details>"

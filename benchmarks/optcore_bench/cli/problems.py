"""`optcore check-problems` and `optcore show-problem`."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from optcore.errors import InvalidInputError, unknown_name
from optcore_bench.cli.tables import json_text, print_table
from optcore_bench.words import count

if TYPE_CHECKING:
    from optcore_problems import Problem
    from optcore_problems.checks import Check

__all__ = ["check_problems", "find_problems", "show_problem"]

WRONG = 1
_SHOWN_ENTRIES = 12


def check_problems(chosen: Sequence[str], stores: Sequence[Path], *, jax: bool, as_json: bool) -> None:
    """Check problems and print a table, a row a problem, and a sentence for each thing that is wrong.

    Args:
        chosen: suites, problems, and files of studies, which mean their problems; all suites where none is named.
        stores: results whose lowest values are compared with f_opt.
        jax: whether to compare with JAX's derivatives, where it is installed.
        as_json: print JSON instead.

    Raises:
        typer.Exit: 1 where something is wrong.
    """
    from optcore_problems import list_suites
    from optcore_problems.checks import check_problem, has_failed

    stored = _lowest(stores)
    problems = [problem for name in chosen or list_suites() for problem in find_problems(name)]
    checked = []
    for i, problem in enumerate(problems):
        _progress(f"{i + 1}/{len(problems)} {problem.full_name}")
        checked.append((problem, check_problem(problem, jax=jax, stored=stored)))
    _progress("")
    wrong = [problem for problem, checks in checked if has_failed(checks)]
    if as_json:
        rows = [{"problem": p.full_name, "checks": [dataclasses.asdict(c) for c in checks]} for p, checks in checked]
        typer.echo(json_text(rows))
    else:
        print_table([_row(problem, checks) for problem, checks in checked])
        for sentence in _complaints(checked):
            typer.echo(sentence)
        typer.echo(f"{count(len(checked), 'problem')}, {len(wrong)} wrong")
    if wrong:
        raise typer.Exit(WRONG)


def find_problems(name: str) -> Sequence[Problem]:
    """Those of a suite, of a study, or the one of that name; of a suite in a file, FILE.py:SUITE/PROBLEM.

    Raises:
        UnknownNameError: there is none of that name; suggests the nearest.
        InvalidInputError: there is no such file, or it holds something else.
    """
    where, colon, rest = name.rpartition(":")
    suite, slash, single = rest.partition("/")
    if colon and slash and single:
        members = {problem.name: problem for problem in find_problems(f"{where}:{suite}")}
        if single not in members:
            raise unknown_name(f"problem of {where}:{suite}", single, members)
        return [members[single]]
    if name.endswith(".toml"):
        from optcore_bench.study import load_study

        return load_study(name).resolve_problems()
    from optcore_bench.selection import problem_entry

    return problem_entry(name).members()


def _lowest(stores: Sequence[Path]) -> dict[str, float]:
    """The lowest value of each problem in some stores, by its full name."""
    from optcore_bench.store import Results

    lowest: dict[str, float] = {}
    for store in stores:
        runs = Results(store).runs
        names = runs["suite"].where(runs["suite"] == "", runs["suite"] + "/") + runs["problem"]
        for name, value in runs.groupby(names)["f_best"].min().dropna().items():
            lowest[str(name)] = min(float(value), lowest.get(str(name), float("inf")))
    return lowest


def _progress(text: str) -> None:
    """What is being checked, on one line of a terminal; nothing elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def _row(problem: Problem, checks: Iterable[Check]) -> dict[str, Any]:
    from optcore_problems.checks import Verdict, has_failed

    marks = {Verdict.OK: "ok", Verdict.SKIPPED: "-", Verdict.WRONG: "WRONG"}
    by_name = {check.name: check for check in checks}
    row: dict[str, Any] = {"problem": problem.full_name, "n": problem.n, "m": problem.m}
    row |= {"f_start": _finite(lambda: problem.f_start), "f_opt": problem.f_opt}
    for name, check in by_name.items():
        has_error = check.verdict is Verdict.OK and name in ("complex step", "jax") and check.error is not None
        row[name] = f"{check.error:.0e}" if has_error else marks[check.verdict]
    row["verdict"] = "WRONG" if has_failed(list(by_name.values())) else "ok"
    return row


def _finite(value: Any) -> float | None:
    """A number, or None where computing it raises: the check says so."""
    try:
        return float(value())
    except Exception:  # noqa: BLE001  whatever a user's function raises
        return None


def _complaints(checked: Iterable[tuple[Problem, Iterable[Check]]]) -> Iterable[str]:
    from optcore_problems.checks import Verdict

    for problem, checks in checked:
        for check in checks:
            if check.verdict is Verdict.WRONG:
                yield f"{problem.full_name}: {check.name}: {check.detail}"


def show_problem(name: str, plot: Path | None, *, open_plot: bool, as_json: bool) -> None:
    """Print what a problem is, where it comes from and what is known about its minimum; draw it where asked to."""
    problems = find_problems(name)
    if len(problems) != 1:
        example = f"{name}/{problems[0].name}" if ":" in name else problems[0].full_name
        raise InvalidInputError(
            f"{name!r} is a suite of {count(len(problems), 'problem')}; name one of them as 'suite/problem', "
            f"for example '{example}', or list them: optcore list problems --suite {name}"
        )
    problem = problems[0]
    if plot is not None:
        from optcore_bench.figures import check_picture

        plot = plot.expanduser()
        check_picture(plot, "--plot")
    facts = describe(problem)
    if as_json:
        typer.echo(json_text(facts))
    else:
        _print_facts(problem, facts)
    if plot is None and open_plot:
        plot = Path(f"{problem.name}.html")
    if plot is not None:
        from optcore_bench.figures import write_figure
        from optcore_bench.landscape import landscape

        written = write_figure(landscape(problem).figure(), plot)
        typer.echo(f"plot {written}", err=as_json)
        if open_plot:
            from optcore_bench.cli.report import open_in_browser

            open_in_browser(written)


def describe(problem: Problem) -> dict[str, Any]:
    """All that a problem knows of itself, as plain values."""
    pattern = problem.sparsity
    return {
        "problem": problem.full_name,
        "description": problem.description,
        "n": problem.n,
        "m": problem.m,
        "start": problem.start.tolist(),
        "f_start": problem.f_start,
        "f_opt": problem.f_opt,
        "f_opt_source": problem.f_opt_source,
        "x_opt": None if problem.x_opt is None else problem.x_opt.tolist(),
        "local_optima": [{"f": local.f, "x": local.x} for local in problem.local_optima],
        "bounds": None if problem.bounds is None else [problem.bounds.lower.tolist(), problem.bounds.upper.tolist()],
        "closed_form_derivative": problem.has_gradient,
        "excludes": dict(problem.excludes),
        "pattern_entries": None if pattern is None else int(pattern.nnz),
        "certified": None
        if problem.certified is None
        else {
            "params": problem.certified.params.tolist(),
            "std": problem.certified.std.tolist(),
            "rss": problem.certified.rss,
            "source": problem.certified.source,
        },
        "tags": {key: value for key, value in problem.tags.items() if isinstance(value, str | int | float)},
        "reference": problem.reference,
        "remarks": list(problem.remarks),
        "version": problem.version,
    }


def _print_facts(problem: Problem, facts: Mapping[str, Any]) -> None:
    typer.echo(problem.full_name)
    if problem.description:
        typer.echo("\n" + problem.description + "\n")
    size = f"n = {problem.n}" + ("" if problem.m is None else f", m = {problem.m}")
    source = f" ({problem.f_opt_source})" if problem.f_opt is not None else ""
    lines = [
        ("size", size),
        ("start", f"{_vector(facts['start'])}, f = {problem.f_start:.15g}"),
        ("best known", f"f = {_known(problem.f_opt)}{source}"),
        ("at", "not known, not finite or not unique" if problem.x_opt is None else _vector(facts["x_opt"])),
        *(
            ("also", f"f = {local.f:.15g}" + ("" if local.x is None else f" at {_vector(local.x)}"))
            for local in problem.local_optima
        ),
        ("bounds", _bounds(facts["bounds"])),
        ("derivative", "closed form" if facts["closed_form_derivative"] else "none in closed form"),
        *(("excluded", f"{strategy}: {reason}") for strategy, reason in problem.excludes.items()),
        ("pattern", "dense" if facts["pattern_entries"] is None else f"{facts['pattern_entries']} entries"),
    ]
    if problem.certified is not None:
        certified = problem.certified
        lines += [
            ("certified", f"{_vector(certified.params.tolist())} by {certified.source}"),
            ("std", _vector(certified.std.tolist())),
            ("rss", f"{certified.rss:.11g}"),
        ]
    lines += [("tags", ", ".join(f"{key} {value}" for key, value in facts["tags"].items()))]
    lines += [("reference", problem.reference), *(("remark", remark) for remark in problem.remarks)]
    for what, text in lines:
        if text:
            typer.echo(f"  {what:<11} {text}")


def _known(value: float | None) -> str:
    return "not known" if value is None else f"{value:.15g}"


def _vector(values: Sequence[float]) -> str:
    shown = ", ".join(f"{value:.11g}" for value in values[:_SHOWN_ENTRIES])
    return f"({shown}{', ...' if len(values) > _SHOWN_ENTRIES else ''})"


def _bounds(bounds: Any) -> str:
    return "none" if bounds is None else f"lower {_vector(bounds[0])}, upper {_vector(bounds[1])}"

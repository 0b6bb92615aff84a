"""The page: tables and figures of numerical derivatives, and which method to take when."""

from __future__ import annotations

import contextlib
import math
import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from optcore.errors import MissingLibraryError
from optcore.files import replacing
from optcore_bench.derivative_bench import figures
from optcore_bench.derivative_bench.accuracy import accuracy_table, noise_table
from optcore_bench.derivative_bench.functions import HARD
from optcore_bench.derivative_bench.parallel import break_even, break_even_table, efficiency_table
from optcore_bench.figures import write_figure

__all__ = ["Tables", "compute_tables", "page_text", "write_page"]


@dataclass(frozen=True, eq=False)
class Tables:
    """What was measured.

    Attributes:
        accuracy: of `accuracy_table`.
        noise: of `noise_table`.
        efficiency: of `efficiency_table`; None where time was not measured.
        break_even: of `break_even_table`; None where time was not measured.
    """

    accuracy: pd.DataFrame
    noise: pd.DataFrame
    efficiency: pd.DataFrame | None = None
    break_even: pd.DataFrame | None = None

    def named(self) -> Iterator[tuple[str, pd.DataFrame, Callable[[pd.DataFrame], Any]]]:
        """The tables there are: name of the file, table, and what draws it."""
        yield "accuracy", self.accuracy, figures.accuracy_figure
        yield "noise", self.noise, figures.noise_figure
        if self.efficiency is not None:
            yield "efficiency", self.efficiency, figures.efficiency_figure
        if self.break_even is not None:
            yield "break_even", self.break_even, figures.break_even_figure


def compute_tables(*, timings: bool = True, tell: Callable[[str], None] = lambda _: None) -> Tables:
    """Measure all there is.

    Args:
        timings: whether to measure time, too, which takes two minutes and a machine that does nothing else.
        tell: is told what is being measured.
    """
    tell("accuracy of each method on each function")
    accuracy = accuracy_table()
    tell("accuracy on a noisy function")
    noise = noise_table()
    if not timings:
        return Tables(accuracy, noise)
    tell("efficiency of workers")
    efficiency = efficiency_table()
    tell("break-even of workers")
    return Tables(accuracy, noise, efficiency, break_even_table())


def write_page(folder: Path, tables: Tables, *, draw: bool = True) -> list[Path]:
    """Write the page as README.md, each table as CSV, each figure as SVG, or as HTML where SVG can't be drawn.

    Args:
        folder: made where it isn't there.
        tables: what was measured.
        draw: whether to draw SVGs; without, figures are HTML.

    Returns:
        The files, the page first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written, drawn = [], {}
    for name, table, figure_of in tables.named():
        target = folder / f"{name}.csv"
        with replacing(target) as beside:
            table.to_csv(beside, index=False, float_format="%.6g")
        drawn[name] = _draw(figure_of(table), folder / name, draw=draw)
        written += [target, drawn[name]]
    page = folder / "README.md"
    with replacing(page) as beside:
        beside.write_text(page_text(tables, {name: path.name for name, path in drawn.items()}), encoding="utf-8")
    return [page, *written]


def _draw(figure: Any, stem: Path, *, draw: bool) -> Path:
    if draw:
        with contextlib.suppress(MissingLibraryError):
            return write_figure(figure, stem.with_suffix(".svg"))
    return write_figure(figure, stem.with_suffix(".html"))


def page_text(tables: Tables, pictures: dict[str, str]) -> str:
    """The page as Markdown.

    Args:
        tables: what was measured.
        pictures: file names of the figures by name.
    """
    parts = [
        "# Numerical derivatives: how exact, at which cost, and when workers pay",
        "Made by `optcore bench-derivatives`; every number and figure on this page comes from that command. Errors and "
        "counts repeat exactly in one environment, times do not.",
        _advice(tables),
        "## Accuracy against cost",
        f"Gradients of {len(HARD)} functions that are hard to differentiate, against a complex step of 1e-40 in "
        "extended precision. Every method takes one gradient at the function's point and then five at points moved by "
        "three per cent, as in an optimization; what is shown are these five. An entry counts by its own relative "
        "error, since a norm hides the small ones; entries that vanish in the rounding of the value are left out.",
        _picture("accuracy", pictures, "Largest relative error of an entry, by method, a point a function"),
        "Largest relative error of an entry, and calls for a gradient of n params:",
        _accuracy_markdown(tables.accuracy),
        _bounds_sentence(tables.accuracy),
        "The functions:",
        "\n".join(f"- {function.name} (n = {function.x.size}): {function.hard_because}" for function in HARD.values()),
        "## Noise",
        "Rosenbrock's function of ten variables with uniform noise; the median error of 20 gradients relative to the "
        'gradient\'s largest entry. `noise="estimate"` measures the noise with six calls (ECnoise) and the steps with '
        "the first gradient.",
        _picture("noise", pictures, "Error of the gradient against the noise, by method"),
        _noise_markdown(tables.noise),
        *_parallel_parts(tables, pictures),
        "## Made on",
        _machine(),
    ]
    return "\n\n".join(parts) + "\n"


def _advice(tables: Tables) -> str:
    """Which method when, with the numbers that say so."""
    worst, calls = _worst(tables.accuracy), _calls(tables.accuracy)

    def fact(method: str) -> str:
        return f"worst entry {worst[method]:.0e}, {calls[method]:.1f} n calls"

    noisy = tables.noise[np.isclose(tables.noise["level"], 1e-6)].set_index("method")["norm_error"]
    rows = [
        ("the function takes complex numbers and is smooth", '`method="complex_step"`', fact("complex_step")),
        (
            "you want to know the derivative, and how wrong it can be",
            '`method="richardson"`',
            fact("richardson") + ", with a bound for each entry",
        ),
        (
            "an optimization, calls are dear, params of all scales or of zero",
            '`step_size="calibrated"`',
            fact("forward, calibrated"),
        ),
        ("the same, more digits near the solution", '`method="auto"`', "the calls of both, as the gradient demands"),
        (
            "more digits all the time",
            '`method="central", step_size="calibrated"`',
            fact("central, calibrated"),
        ),
        (
            "values are noisy (simulations, iterative solvers inside)",
            '`noise="estimate"`',
            f"noise 1e-6: error {noisy['forward, noise estimated']:.0e}, with plain steps {noisy['forward']:.0e}",
        ),
        ("params near 1, a quick look", "the default, `forward`", fact("forward")),
        ("a jacobian with a known pattern", "`sparsity=pattern`", "as many calls as colours, not n"),
        *_when_parallel(tables),
    ]
    lines = ["## Which method when", "| when | take | because |\n|---|---|---|"]
    return "\n\n".join(lines) + "\n" + "\n".join(f"| {when} | {take} | {why} |" for when, take, why in rows)


def _when_parallel(tables: Tables) -> list[tuple[str, str, str]]:
    if tables.break_even is None:
        return []
    edge = break_even(tables.break_even, "processes", 10)
    return [
        (
            f"a call takes longer than {_time(edge)}",
            "`n_cores=2` or more",
            "the same derivative, bit by bit; below that workers cost more than they bring",
        )
    ]


def _worst(table: pd.DataFrame) -> pd.Series:
    return table[table["phase"] == "next"].groupby("method")["entry_error"].max()


def _calls(table: pd.DataFrame) -> pd.Series:
    rows = table[table["phase"] == "next"]
    return (rows["evaluations"] / rows["n"]).groupby(rows["method"]).mean()


def _accuracy_markdown(table: pd.DataFrame) -> str:
    rows = table[table["phase"] == "next"]
    methods = list(dict.fromkeys(rows["method"]))
    errors = rows.pivot(index="function", columns="method", values="entry_error")
    first = table[table["phase"] == "first"]
    lines = [_row(["function", *methods]), _rule(len(methods))]
    lines += [
        _row([name, *(f"{errors.loc[name, m]:.0e}" for m in methods)]) for name in dict.fromkeys(rows["function"])
    ]
    lines.append(_row(["calls / n", *(f"{_calls(table)[m]:.1f}" for m in methods)]))
    per_first = (first["evaluations"] / first["n"]).groupby(first["method"]).mean()
    lines.append(_row(["calls / n of the first", *(f"{per_first[m]:.1f}" for m in methods)]))
    rounds = rows.groupby("method")["rounds"].mean()
    lines.append(_row(["rounds", *(f"{rounds[m]:.1f}" for m in methods)]))
    return "\n".join(lines)


def _bounds_sentence(table: pd.DataFrame) -> str:
    given = table[table["bounds_held"].notna()]
    shares = given.groupby("method")["bounds_held"].mean()
    said = ", ".join(f"{method} {share:.1%}" for method, share in shares.items())
    return f"Entries whose error is within the bound, or the estimate, that comes with it: {said}."


def _noise_markdown(table: pd.DataFrame) -> str:
    methods = list(dict.fromkeys(table["method"]))
    errors = table.pivot(index="level", columns="method", values="norm_error")
    lines = [_row(["noise", *methods]), _rule(len(methods))]
    lines += [_row([f"{level:g}", *(f"{errors.loc[level, m]:.0e}" for m in methods)]) for level in errors.index]
    calls = table.groupby("method")["evaluations"].mean()
    lines.append(_row(["calls", *(f"{calls[m]:.0f}" for m in methods)]))
    return "\n".join(lines)


def _parallel_parts(tables: Tables, pictures: dict[str, str]) -> list[str]:
    parts = []
    if tables.efficiency is not None:
        table = tables.efficiency
        shown = table.pivot(index=["evaluator", "workers"], columns="call_seconds", values="efficiency")
        lines = [_row(["evaluator", "workers", *map(_time, shown.columns)]), _rule(len(shown.columns) + 1)]
        lines += [
            _row([*map(str, key), *(f"{value:.0%}" for value in values)])
            for key, values in zip(shown.index, shown.to_numpy(), strict=True)
        ]
        parts += [
            "## Workers",
            "Gradients of ten params by functions that sleep, so that more workers than processors can be seen at "
            "work: the least possible time, ceil(11 / workers) calls, over the time that it took.",
            _picture("efficiency", pictures, "Efficiency of workers against the time of a call"),
            "\n".join(lines),
        ]
    if tables.break_even is not None:
        table = tables.break_even
        said = "; ".join(
            f"{evaluator}, {n} params: {_time(break_even(table, evaluator, n))}"
            for evaluator, n in table[["evaluator", "n"]].drop_duplicates().itertuples(index=False)
        )
        parts += [
            "## From which cost of a call on workers pay",
            f"Two workers against none, by functions that keep a processor busy. They break even at: {said}.",
            _picture("break_even", pictures, "Speed-up by two workers against the time of a call"),
        ]
    return parts


def _picture(name: str, pictures: dict[str, str], text: str) -> str:
    file = pictures[name]
    return f"![{text}]({file})" if file.endswith(".svg") else f"[{text}]({file})"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _rule(columns: int) -> str:
    return "|---|" + "---|" * columns


def _time(seconds: float) -> str:
    if math.isinf(seconds):
        return "never here"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _machine() -> str:
    from optcore_bench.environment import fingerprint

    here = fingerprint()
    facts = [f"{key} {here[key]}" for key in ("python", "numpy", "scipy", "cpu", "os") if here.get(key)]
    return f"{', '.join(facts)}; {platform.machine()}."

"""`optcore advise`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from optcore_bench.cli.tables import json_text

if TYPE_CHECKING:
    import pandas as pd

    from optcore_bench.advice import Advice

__all__ = ["AdviseOptions", "run_advise"]

#: What errors give as examples of places.
_EXAMPLES = "'model.py:loss' or 'package.module:loss'"
_FOLDER = "paths start at the current folder"


@dataclass(frozen=True)
class AdviseOptions:
    """What the command line says; see `optcore_bench.advise`."""

    fun: str
    start: str
    jac: str | None
    fun_and_jac: str | None
    bounds: str | None
    seconds: float
    cores: int | None
    algorithms: list[str] | None
    derivatives: list[str] | None
    maximize: bool
    figure: Path | None
    quiet: bool
    as_json: bool


def run_advise(options: AdviseOptions) -> None:
    """Look at the function, try what survives, print the advice."""
    from optcore_bench.addresses import find, place_from
    from optcore_bench.advice import advise
    from optcore_bench.figures import check_picture, write_figure

    def load(place: str | None) -> Any:
        return None if place is None else find(place_from(place, examples=_EXAMPLES), _EXAMPLES, _FOLDER)[0]

    figure = None if options.figure is None else options.figure.expanduser()
    if figure is not None:
        check_picture(figure, "--figure")

    advice = advise(
        load(options.fun),
        load(options.start),
        jac=load(options.jac),
        fun_and_jac=load(options.fun_and_jac),
        bounds=load(options.bounds),
        direction="maximize" if options.maximize else "minimize",
        seconds=options.seconds,
        cores=options.cores,
        algorithms=options.algorithms,
        derivatives=options.derivatives,
        tell=None if options.quiet else _to_stderr,
    )
    if options.as_json:
        typer.echo(json_text(_plain(advice)))
    else:
        typer.echo(str(advice))
        typer.echo(f"\nin Python: om.{'maximize' if options.maximize else 'minimize'}({_call(options, advice)})")
    if figure is not None:  # in the end: where it can't be drawn, the advice has been said
        write_figure(advice.figure(), figure)
        typer.echo(f"file {options.figure}", err=options.as_json)


def _to_stderr(line: str) -> None:
    typer.echo(line, err=True)


def _call(options: AdviseOptions, advice: Advice) -> str:
    """The call that the advice amounts to, as code."""
    from optcore.numdiff.options import NumdiffOptions

    names = {"jac": options.jac, "fun_and_jac": options.fun_and_jac, "bounds": options.bounds}
    parts = [_name(options.fun), _name(options.start)]
    for key, value in advice.options.items():
        if isinstance(value, NumdiffOptions):
            changed = [f"{n}={v!r}" for n, v in vars(value).items() if v != getattr(NumdiffOptions(), n)]
            parts.append(f"{key}=om.NumdiffOptions({', '.join(changed)})")
        else:
            place = names.get(key)
            parts.append(f"{key}={value!r}" if place is None else f"{key}={_name(place)}")
    return ", ".join(parts)


def _name(place: str) -> str:
    return place.rpartition(":")[2]


def _plain(advice: Advice) -> dict[str, Any]:
    return {
        "advice": advice.sentence,
        "best": advice.best,
        "notes": list(advice.notes),
        "seconds_per_evaluation": advice.probe.seconds,
        "noise": advice.probe.noise if advice.probe.noisy else None,
        "cores": advice.cores,
        "tau": advice.tau,
        "table": _records(advice.table),
        "derivatives": _records(advice.derivatives),
        "errors": _records(advice.errors.set_index("derivative")),
        "map": _records(advice.map.regions.set_index("cores")),
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table."""
    rows: list[dict[str, Any]] = table.reset_index().to_dict("records")
    return rows
